// SPDX-License-Identifier: Apache-2.0
//
// Words and options in both spellings, what is refused, and numbers within their range.
#include "cli/arguments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

static const struct cli_command command = {.name = "topic"};
static const char *const known[] = {"--partitions", "--config", NULL};

// `line` is cut at its spaces, as a shell would; the first word is the command's name.
static int read_line(const char *line, struct cli_arguments *out)
{
    static char text[1024];
    static char *argv[64];
    int argc = 0;
    char *rest = NULL;
    assert_true(strlen(line) < sizeof text);
    (void)snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < 64);
        argv[argc++] = word;
    }
    return cli_arguments_read(&command, argc, argv, known, out);
}

static void words_and_options(void **state)
{
    struct cli_arguments a;
    (void)state;
    assert_int_equal(read_line("topic create --partitions 3 plays --kafka=[::1]:9", &a), 0);
    assert_int_equal(a.words_count, 2);
    assert_string_equal(a.words[0], "create");
    assert_string_equal(a.words[1], "plays");
    assert_string_equal(a.kafka, "[::1]:9");
    assert_string_equal(cli_option(&a, "--partitions"), "3");
    assert_null(cli_option(&a, "--config"));
}

static void nothing_at_all(void **state)
{
    struct cli_arguments a;
    (void)state;
    assert_int_equal(read_line("topic", &a), 0);
    assert_int_equal(a.words_count, 0);
    assert_int_equal(a.options_count, 0);
    assert_null(a.kafka);
}

static void options_repeat_in_order(void **state)
{
    struct cli_arguments a;
    (void)state;
    assert_int_equal(read_line("topic --config a=1 --config=b=2 --config c=", &a), 0);
    assert_int_equal(a.options_count, 3);
    assert_string_equal(a.options[0].value, "a=1");
    assert_string_equal(a.options[1].value, "b=2"); // only the first '=' ends the name
    assert_string_equal(cli_option(&a, "--config"), "c=");
}

static void what_is_refused(void **state)
{
    struct cli_arguments a;
    (void)state;
    assert_int_equal(read_line("topic list --partition 3", &a), EX_USAGE);
    assert_int_equal(read_line("topic list --", &a), EX_USAGE);
    assert_int_equal(read_line("topic create t --partitions", &a), EX_USAGE);
    assert_int_equal(read_line("topic create t --kafka", &a), EX_USAGE);
    assert_int_equal(read_line("topic create t --partitionsx=3", &a), EX_USAGE);
}

static void tables_are_limited(void **state)
{
    static const struct {
        const char *what;
        int max;
    } rows[] = {{"word", CLI_WORDS_MAX}, {"--config=a", CLI_OPTIONS_MAX}};
    struct cli_arguments a;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *argv[64] = {(char[]){"topic"}};
        char what[16];
        (void)snprintf(what, sizeof what, "%s", rows[i].what);
        for (int k = 1; k <= rows[i].max + 1; k++)
            argv[k] = what;
        assert_int_equal(cli_arguments_read(&command, rows[i].max + 1, argv, known, &a), 0);
        assert_int_equal(a.words_count + a.options_count, rows[i].max);
        assert_int_equal(cli_arguments_read(&command, rows[i].max + 2, argv, known, &a), EX_USAGE);
    }
}

static void numbers(void **state)
{
    static const char *const bad[] = {"",   "0",   "101", "x",
                                      "7x", "1.5", "-1",  "9223372036854775808"};
    int64_t n = 77;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(cli_number(&command, "--partitions", bad[i], 1, 100, &n), EX_USAGE);
    assert_int_equal(n, 77); // untouched on failure
    assert_int_equal(cli_number(&command, "--partitions", "1", 1, 100, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(cli_number(&command, "--partitions", "100", 1, 100, &n), 0);
    assert_int_equal(n, 100);
    assert_int_equal(cli_number(&command, "--at", "-9223372036854775808", INT64_MIN, INT64_MAX, &n),
                     0);
    assert_true(n == INT64_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_options),       cmocka_unit_test(nothing_at_all),
        cmocka_unit_test(options_repeat_in_order), cmocka_unit_test(what_is_refused),
        cmocka_unit_test(tables_are_limited),      cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
