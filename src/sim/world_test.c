// SPDX-License-Identifier: Apache-2.0
//
// Whole runs: a seed is a run and always the same one, a run does what it is for, a planted bug is
// found. And the history's ring.
#include "sim/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bugs.h"
#include "base/mem.h"
#include "sim/bundler.h"
#include "sim/client.h"
#include "sim/history.h"

#define STEPS 150

static struct sim_run_report run(uint64_t seed)
{
    struct sim_run_report report;
    const struct sim_run_options options = {.seed = seed, .steps = STEPS};
    sim_run(&options, &report);
    return report;
}

static void test_a_seed_is_a_run(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim_run_report a = run(seed), b = run(seed), c = run(seed + 1);
        assert_false(a.violated);
        assert_true(a.hash == b.hash);
        assert_true(a.hash != c.hash);
        assert_int_equal(a.io.events, b.io.events);
        assert_int_equal(a.records_read, b.records_read);
    }
}

static void test_a_run_does_what_it_is_for(void **state)
{
    (void)state;
    uint64_t starts = 0, acknowledged = 0, read = 0, commits = 0, bundles = 0;
    for (uint64_t seed = 10; seed < 20; seed++) {
        struct sim_run_report r = run(seed);
        assert_false(r.violated);
        assert_true(r.steps >= STEPS);
        assert_true(r.records_read >= r.records_acknowledged / 2);
        starts += r.starts;
        acknowledged += r.records_acknowledged;
        read += r.records_read;
        commits += r.commits;
        bundles += r.bundles;
    }
    assert_true(starts > 12);
    assert_true(acknowledged > 200);
    assert_true(read > 200);
    assert_true(commits > 10);
    assert_true(bundles > 10);
}

static void count_line(void *arg, const char *line)
{
    uint64_t *count = arg;
    assert_true(strlen(line) < HISTORY_WIDTH);
    (*count)++;
}

static void test_trace_changes_nothing(void **state)
{
    (void)state;
    uint64_t lines = 0;
    struct sim_run_report traced, plain = run(3);
    const struct sim_run_options options = {
        .seed = 3, .steps = STEPS, .trace = count_line, .arg = &lines};
    sim_run(&options, &traced);
    assert_true(lines > STEPS);
    assert_true(traced.hash == plain.hash);
}

static void test_a_planted_bug_is_found(void **state)
{
    (void)state;
    uint64_t lines = 0;
    struct sim_run_report r = {0};
    bug_planted = BUG_FORGET_EPOCH;
    for (uint64_t seed = 1; seed < 20 && !r.violated; seed++) {
        const struct sim_run_options options = {
            .seed = seed, .steps = STEPS, .tail = count_line, .arg = &lines};
        sim_run(&options, &r);
    }
    bug_planted = BUG_NONE;
    assert_true(r.violated);
    assert_non_null(strstr(r.violation, "leader epoch"));
    assert_true(lines > 10);
}

static void last_line(void *arg, const char *line)
{
    slice_to_cstr(slice_cstr(line), arg, HISTORY_WIDTH);
}

static void test_history_keeps_the_last_lines(void **state)
{
    (void)state;
    struct history *h = mem_zalloc(sizeof *h);
    char last[HISTORY_WIDTH] = "";
    uint64_t count = 0;
    history_tail(h, 10, count_line, &count);
    assert_int_equal(count, 0);
    for (int i = 0; i < 2 * HISTORY_LINES; i++)
        history_note(h, "test", "line %d", i);
    history_tail(h, 10, count_line, &count);
    assert_int_equal(count, 10);
    count = 0;
    history_tail(h, 10 * HISTORY_LINES, count_line, &count);
    assert_int_equal(count, HISTORY_LINES);
    history_tail(h, 1, last_line, last);
    assert_non_null(strstr(last, "line 1023"));
    mem_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_seed_is_a_run),
        cmocka_unit_test(test_a_run_does_what_it_is_for),
        cmocka_unit_test(test_trace_changes_nothing),
        cmocka_unit_test(test_a_planted_bug_is_found),
        cmocka_unit_test(test_history_keeps_the_last_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
