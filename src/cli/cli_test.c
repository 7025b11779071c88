// SPDX-License-Identifier: Apache-2.0
//
// What scripts see of a command that failed: the code of sysexits.h, and one line on standard
// error that begins with the program's name.
#include "cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"

static const struct cli_command command = {.name = "topic"};

// Standard error of `fn`, in a file meanwhile.
static int said(int (*fn)(void), char *out, size_t size)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    (void)fflush(stderr);
    int kept = dup(STDERR_FILENO);
    assert_true(kept >= 0);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
    int code = fn();
    (void)fflush(stderr);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    (void)close(kept);
    rewind(file);
    out[fread(out, 1, size - 1, file)] = '\0';
    (void)fclose(file);
    return code;
}

static int misuse(void)
{
    return cli_usage(&command, "'%s' takes one topic", "create");
}

static int misfortune(void)
{
    cli_error("no answer from %s within %d s", "127.0.0.1:9092", 30);
    return 0;
}

static void usage_names_the_command_and_its_help(void **state)
{
    char text[256];
    (void)state;
    assert_int_equal(said(misuse, text, sizeof text), EX_USAGE);
    assert_string_equal(text, "weir topic: 'create' takes one topic\n"
                              "Try 'weir topic --help'.\n");
}

static void errors_are_one_line(void **state)
{
    char text[256];
    (void)state;
    (void)said(misfortune, text, sizeof text);
    assert_string_equal(text, "weir: no answer from 127.0.0.1:9092 within 30 s\n");
}

static void codes_of_sysexits(void **state)
{
    static const struct {
        int err, code;
    } rows[] = {
        {0, EX_OK},
        {ERR_LOCKED, EX_UNAVAILABLE},
        {ERR_REFUSED, EX_UNAVAILABLE},
        {ERR_TIMEOUT, EX_UNAVAILABLE},
        {ERR_ADDRESS_IN_USE, EX_UNAVAILABLE},
        {ERR_CORRUPT, EX_DATAERR},
        {ERR_FORMAT_VERSION, EX_DATAERR},
        {ERR_PERMISSION, EX_NOPERM},
        {ERR_CONFIG, EX_CONFIG},
        {ERR_NOT_FOUND, EX_NOINPUT},
        {ERR_IO, EX_IOERR},
        {ERR_SYNC, EX_IOERR},
        {ERR_NOSPACE, EX_IOERR},
        {ERR_UNKNOWN_SERVER, EX_SOFTWARE},
        {-9999, EX_SOFTWARE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(cli_exit_code(rows[i].err), rows[i].code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_names_the_command_and_its_help),
        cmocka_unit_test(errors_are_one_line),
        cmocka_unit_test(codes_of_sysexits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
