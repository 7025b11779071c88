// SPDX-License-Identifier: Apache-2.0
//
// The same table into a pipe and onto a terminal; the terminal is a pseudo one.
#include "cli/table.h"

#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const columns[] = {"TOPIC", ">SIZE", "NOTE", NULL};

static void fill(struct table *t)
{
    table_init(t, columns);
    table_cell(t, "%s", "plays");
    table_bytes(t, 1536000);
    table_cell(t, "%s", "");
    table_cell(t, "%s-%d", "a-longer-name", 7);
    table_bytes(t, 999);
    table_cell(t, "%s", "kept");
}

// What `print` writes to standard output when that is `to`; read back from `from`.
static void printed(int to, int from, void (*print)(void), char *out, size_t size)
{
    (void)fflush(stdout);
    int kept = dup(STDOUT_FILENO);
    assert_true(kept >= 0);
    assert_true(dup2(to, STDOUT_FILENO) >= 0);
    print();
    (void)fflush(stdout);
    assert_true(dup2(kept, STDOUT_FILENO) >= 0);
    (void)close(kept);
    ssize_t len = read(from, out, size - 1);
    assert_true(len >= 0);
    out[len] = '\0';
}

static void in_pipe(void (*print)(void), char *out, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    printed(ends[1], ends[0], print, out, size);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void on_terminal(void (*print)(void), char *out, size_t size)
{
    int person = -1;
    int program = -1;
    struct termios mode;
    if (openpty(&person, &program, NULL, NULL, NULL) != 0)
        skip(); // no /dev/pts, as in a bare chroot
    assert_int_equal(tcgetattr(program, &mode), 0);
    cfmakeraw(&mode); // no carriage returns between us and the text
    assert_int_equal(tcsetattr(program, TCSANOW, &mode), 0);
    printed(program, person, print, out, size);
    (void)close(person);
    (void)close(program);
}

static void print_filled(void)
{
    struct table t;
    fill(&t);
    table_print(&t);
    assert_null(t.cells);
    assert_int_equal(t.cells_count, 0);
}

static void print_empty(void)
{
    struct table t;
    table_init(&t, columns);
    table_print(&t);
}

static void print_sizes(void)
{
    static const char *const one[] = {">N", NULL};
    static const int64_t sizes[] = {0, 999, 1000, 1049, 999949, 999950, 1500000000, INT64_MAX};
    struct table t;
    table_init(&t, one);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        table_bytes(&t, sizes[i]);
    table_print(&t);
}

static void print_hostile(void)
{
    static const char *const one[] = {"GROUP", NULL};
    struct table t;
    table_init(&t, one);
    table_cell(&t, "%s", "a\033[2Jb\tc\nd\x7f\xc3\xa9");
    table_print(&t);
}

static void strangers_move_no_cursor(void **state)
{
    char text[128];
    (void)state;
    in_pipe(print_hostile, text, sizeof text);
    assert_string_equal(text, "GROUP\na?[2Jb?c?d?\xc3\xa9\n");
}

static void programs_get_tabs_and_plain_numbers(void **state)
{
    char text[512];
    (void)state;
    in_pipe(print_filled, text, sizeof text);
    assert_string_equal(text, "TOPIC\tSIZE\tNOTE\n"
                              "plays\t1536000\t\n"
                              "a-longer-name-7\t999\tkept\n");
}

static void people_get_columns(void **state)
{
    char text[512];
    (void)state;
    on_terminal(print_filled, text, sizeof text);
    assert_string_equal(text, "TOPIC              SIZE  NOTE\n"
                              "plays            1.5 MB  \n"
                              "a-longer-name-7     999  kept\n");
}

static void no_rows_are_a_heading(void **state)
{
    char text[512];
    (void)state;
    in_pipe(print_empty, text, sizeof text);
    assert_string_equal(text, "TOPIC\tSIZE\tNOTE\n");
    on_terminal(print_empty, text, sizeof text);
    assert_string_equal(text, "TOPIC  SIZE  NOTE\n");
}

static void sizes_grow_their_units(void **state)
{
    char text[512];
    (void)state;
    on_terminal(print_sizes, text, sizeof text);
    assert_string_equal(text, "           N\n"
                              "           0\n"
                              "         999\n"
                              "      1.0 kB\n"
                              "      1.0 kB\n"
                              "    999.9 kB\n"
                              "      1.0 MB\n"
                              "      1.5 GB\n"
                              "9223372.0 TB\n");
}

static void many_rows(void **state)
{
    static const char *const one[] = {"N", NULL};
    struct table t;
    (void)state;
    table_init(&t, one);
    for (int i = 0; i < 1000; i++)
        table_cell(&t, "%d", i);
    assert_int_equal(t.cells_count, 1000);
    assert_string_equal(t.cells[999], "999");
    int nowhere = dup(STDOUT_FILENO);
    FILE *file = tmpfile();
    assert_non_null(file);
    (void)fflush(stdout);
    (void)dup2(fileno(file), STDOUT_FILENO);
    table_print(&t);
    (void)fflush(stdout);
    (void)dup2(nowhere, STDOUT_FILENO);
    (void)close(nowhere);
    assert_int_equal(lseek(fileno(file), 0, SEEK_END), 2 + 10 * 2 + 90 * 3 + 900 * 4);
    (void)fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strangers_move_no_cursor),
        cmocka_unit_test(programs_get_tabs_and_plain_numbers),
        cmocka_unit_test(people_get_columns),
        cmocka_unit_test(no_rows_are_a_heading),
        cmocka_unit_test(sizes_grow_their_units),
        cmocka_unit_test(many_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
