// SPDX-License-Identifier: Apache-2.0
//
// Frames that nobody waits for: they keep their place, do not wait for ever, and cost few groups.
#include "journal/rig_test.h"

static void lazy_add(struct rig *rig, const char *head)
{
    struct rig_write w = {.rig = rig, .shard = 0, .head = head, .body_len = 20, .lazy = true};
    rig_call_on(rig->shards[0], rig_add_run, &w);
}

static int64_t now_ns(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void test_alone_it_becomes_durable_in_time(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    int64_t start_ns = now_ns();
    lazy_add(rig, "alone");
    rig_wait_dones(rig, 1);
    assert_true(now_ns() - start_ns >= JOURNAL_LAZY_NS);
    assert_int_equal(rig->done[0][0].err, 0);
    assert_true(journal_durable_lsn(rig->journal) >= rig->done[0][0].lsn);
    lazy_add(rig, "again"); // and not only once
    rig_wait_dones(rig, 1);
    rig_close(rig);
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 2);
    assert_string_equal(rig->replayed[0].head, "alone");
    rig_destroy(rig);
}

static void test_what_is_awaited_takes_it_along(void **state)
{
    (void)state;
    enum { ROUNDS = 100 };
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    for (int i = 0; i < ROUNDS; i++) {
        lazy_add(rig, "lazy");
        rig_add(rig, 0, "awaited", 20);
        rig_wait_dones(rig, 2);
        assert_string_equal(rig->done[0][2 * i].head, "lazy");
        assert_string_equal(rig->done[0][2 * i + 1].head, "awaited");
        assert_true(rig->done[0][2 * i].lsn < rig->done[0][2 * i + 1].lsn);
    }
    rig_close(rig);
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 2 * ROUNDS);
    rig_destroy(rig);
}

static void test_many_turns_cost_few_groups(void **state)
{
    (void)state;
    enum { TURNS = 1000 };
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    int64_t start_ns = now_ns();
    for (int i = 0; i < TURNS; i++)
        lazy_add(rig, "lazy");
    rig_wait_dones(rig, TURNS);
    int64_t took_ns = now_ns() - start_ns;
    struct journal_stats stats;
    journal_stats(rig->journal, &stats);
    assert_int_equal(stats.frames, TURNS);
    assert_true((int64_t)stats.groups <= took_ns / JOURNAL_LAZY_NS + 1);
    rig_close(rig);
    rig_destroy(rig);
}

// ---- who does not wait for the timer: compared with an awaited write, however slow the disk is

enum { TRIES = 10 }; // of full submissions the journal has room for twice as many

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// The quickest of some writes, so that one was not held up by others.
static int64_t quickest_ns(struct rig *rig, size_t body_len, bool lazy)
{
    struct rig_write w = {
        .rig = rig, .shard = 0, .head = "write", .body_len = body_len, .lazy = lazy};
    int64_t quickest = INT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        int64_t start_ns = now_ns();
        rig_call_on(rig->shards[0], rig_add_run, &w);
        rig_wait_dones(rig, 1);
        quickest = least(quickest, now_ns() - start_ns);
    }
    return quickest;
}

static void test_a_barrier_does_not_wait_for_the_timer(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    int64_t awaited_ns = quickest_ns(rig, 20, false);
    struct rig_barrier barrier = {.rig = rig, .err = 1};
    sem_init(&barrier.fired, 0, 0);
    int64_t quickest = INT64_MAX;
    for (size_t i = 0; i < TRIES; i++) {
        int64_t start_ns = now_ns();
        lazy_add(rig, "lazy");
        rig_call_on(rig->shards[0], rig_barrier_run, &barrier);
        rig_wait(&barrier.fired);
        quickest = least(quickest, now_ns() - start_ns);
        assert_int_equal(barrier.err, 0);
        assert_int_equal(barrier.dones_before, TRIES + i + 1);
    }
    assert_true(quickest < awaited_ns + JOURNAL_LAZY_NS);
    sem_destroy(&barrier.fired);
    rig_close(rig);
    rig_destroy(rig);
}

static void test_a_full_submission_does_not_wait_for_the_timer(void **state)
{
    (void)state;
    enum { FULL_BYTES = 140 * 1024 }; // more than an eighth of the rig's files
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    int64_t awaited_ns = quickest_ns(rig, FULL_BYTES, false);
    assert_true(quickest_ns(rig, FULL_BYTES, true) < awaited_ns + JOURNAL_LAZY_NS);
    rig_close(rig);
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone_it_becomes_durable_in_time),
        cmocka_unit_test(test_what_is_awaited_takes_it_along),
        cmocka_unit_test(test_many_turns_cost_few_groups),
        cmocka_unit_test(test_a_barrier_does_not_wait_for_the_timer),
        cmocka_unit_test(test_a_full_submission_does_not_wait_for_the_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
