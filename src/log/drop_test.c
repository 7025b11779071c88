// SPDX-License-Identifier: Apache-2.0
//
// Segments given back from the middle: the files go, reads and lookups pass over the hole, marks
// and size say what is there, and restarts, from the journal alone and from a checkpoint, find the
// same.
#include "log/rig_steps_test.h"

struct drop_call {
    int64_t from, to;
    int count;
};

static void drop_run(struct rig *r, void *arg)
{
    struct drop_call *c = arg;
    c->count = log_drop_segments(r->logs[0], c->from, c->to);
}

static int drop(int64_t from, int64_t to)
{
    struct drop_call c = {from, to, 0};
    rig_on(rig, rig->shard, drop_run, &c);
    rig_idle(rig);
    return c.count;
}

enum { SEGMENT = 10 }; // batches of a segment, of two records each

static void store_make(int segments)
{
    rig->options[0].segment_bytes = 10500;
    rig->options[0].index_interval_bytes = 2000;
    rig->store_options.tail_bytes_per_log = 8000;
    rig->store_options.write_min_bytes = 1000;
    rig->direct_min_bytes = 1 << 20;
    rig_open(rig);
    for (int i = 0; i < segments * SEGMENT; i++)
        rig_append(rig, 0, 2, 478, 1000 + i * 10);
    rig_durable(rig, 0, segments * SEGMENT * 2);
    rig_idle(rig);
    assert_int_equal(rig->logs[0]->segments_count, segments);
    for (int i = 0; i < segments; i++)
        assert_int_equal(rig->logs[0]->segments[i].base_offset, i * SEGMENT * 2);
}

static int64_t first_read_at(int64_t offset)
{
    struct buf got;
    struct batch b = {.base_offset = -1};
    buf_init(&got, 1 << 20);
    assert_int_equal(rig_read(rig, 0, &offset, 1, &got, NULL), 0);
    if (got.len > 0)
        assert_int_equal(batch_peek(buf_slice(&got), &b), 0);
    buf_fini(&got);
    return b.base_offset;
}

static void expect_hole(void)
{
    assert_int_equal(log_start_offset(rig->logs[0]), 0);
    assert_int_equal(log_end_offset(rig->logs[0]), 120);
    assert_int_equal(first_read_at(0), 0);
    assert_int_equal(first_read_at(19), 18);
    assert_int_equal(first_read_at(20), 60);
    assert_int_equal(first_read_at(41), 60);
    assert_int_equal(first_read_at(59), 60);
    assert_int_equal(first_read_at(60), 60);
    int64_t ms;
    assert_int_equal(rig_lookup(rig, 0, 1000 + 9 * 10, &ms), 18);
    assert_int_equal(rig_lookup(rig, 0, 1000 + 10 * 10, &ms), 60); // the first that is there
    assert_int_equal(ms, 1000 + 30 * 10);
    assert_int_equal(rig_lookup(rig, 0, LOG_LOOKUP_MAX, &ms), 119);
    uint64_t size = 0;
    for (uint32_t i = 0; i < rig->logs[0]->segments_count; i++)
        size += rig->logs[0]->segments[i].size_bytes;
    assert_int_equal(log_size_bytes(rig->logs[0]), size);
    assert_int_equal(rig->logs[0]->segments_count, 4);
}

static void test_a_hole(void **state)
{
    (void)state;
    store_make(6);
    rig_cut(rig, true, true);
    assert_int_equal(count_files(".log"), 6);
    uint64_t size = log_size_bytes(rig->logs[0]);
    assert_int_equal(drop(21, 79), 1); // only the one that lies in it whole
    assert_int_equal(drop(20, 60), 1); // and the other, which lies beside the hole
    assert_int_equal(drop(20, 60), 0);
    assert_true(log_size_bytes(rig->logs[0]) < size);
    assert_int_equal(count_files(".log"), 4);
    expect_hole();
    rig_restart(rig); // from the old checkpoint, which knows nothing of it, and the journal
    expect_hole();
    rig_cut(rig, false, true);
    rig_restart(rig); // from the new one alone
    assert_int_equal(rig->recovery.frames, 0);
    expect_hole();
    rig_cut(rig, true, true);
    rig_restart(rig);
    expect_hole();
    assert_int_equal(count_files(".log"), 4);
    rig_close(rig);
}

static void test_what_stays(void **state)
{
    (void)state;
    store_make(3);
    assert_int_equal(drop(40, 1000), 0); // the active one
    assert_int_equal(drop(0, 20), 1);    // the first: the log starts where it did
    assert_int_equal(log_start_offset(rig->logs[0]), 0);
    assert_int_equal(first_read_at(0), 20);
    assert_int_equal(drop(0, 1000), 1);
    assert_int_equal(first_read_at(3), 40);
    rig_restart(rig);
    assert_int_equal(first_read_at(3), 40);
    assert_int_equal(log_end_offset(rig->logs[0]), 60);
    assert_int_equal(rig_append(rig, 0, 1, 10, 5000), 61);
    rig_durable(rig, 0, 61);
    rig_close(rig);
}

static void test_an_unwritten_one_is_never_written(void **state)
{
    (void)state;
    rig->store_options.write_min_bytes = 10 << 20;
    rig->options[0].segment_bytes = 10500;
    rig_open(rig);
    rig_idle(rig); // tidied: a log that is not yet is written when it is, however little there is
    for (int i = 0; i < 3 * SEGMENT; i++)
        rig_append(rig, 0, 2, 478, 1000 + i * 10);
    rig_durable(rig, 0, 60);
    rig_idle(rig);
    assert_int_equal(count_files(".log"), 0);
    assert_int_equal(drop(20, 40), 1);
    struct log_store_stats stats;
    log_store_stats(rig->store, &stats);
    uint64_t left = log_size_bytes(rig->logs[0]);
    assert_int_equal(stats.unwritten_bytes, left);
    rig_cut(rig, true, true);
    assert_int_equal(count_files(".log"), 2);
    rig_restart(rig);
    assert_int_equal(first_read_at(20), 40);
    rig_close(rig);
}

static void set_start_run(struct rig *r, void *arg)
{
    assert_int_equal(log_set_start(r->logs[0], *(int64_t *)arg), 0);
}

static void retain_run(struct rig *r, void *arg)
{
    struct log_options o = r->options[0];
    o.retention_bytes = *(int64_t *)arg;
    log_set_options(r->logs[0], &o);
    log_retain(r->logs[0], 100000);
}

static void test_the_start_passes_a_hole(void **state)
{
    (void)state;
    store_make(6);
    assert_int_equal(drop(20, 60), 2);
    int64_t start = 30;
    rig_on(rig, rig->shard, set_start_run, &start); // into the hole
    rig_idle(rig);
    assert_int_equal(rig->logs[0]->segments[0].base_offset, 60);
    assert_int_equal(first_read_at(30), 60);
    rig_restart(rig);
    assert_int_equal(log_start_offset(rig->logs[0]), 30);
    assert_int_equal(first_read_at(30), 60);
    int64_t keep = 15000; // bytes: what is there counts
    rig_on(rig, rig->shard, retain_run, &keep);
    rig_idle(rig);
    assert_int_equal(log_start_offset(rig->logs[0]), 80);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_hole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_unwritten_one_is_never_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_start_passes_a_hole, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
