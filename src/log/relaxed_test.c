// SPDX-License-Identifier: Apache-2.0
//
// Relaxed logs: what is acknowledged when written, what a crash takes and leaves, and changing
// one's mind while batches are under way.
#include "log/frames.h"
#include "log/rig_steps_test.h"

static void set_start_run(struct rig *r, void *arg)
{
    int64_t *offset = arg;
    *offset = log_set_start(r->logs[0], *offset);
}

static int set_start(int64_t offset)
{
    rig_on(rig, rig->shard, set_start_run, &offset);
    rig_idle(rig);
    return (int)offset;
}

static void test_relaxed(void **state)
{
    (void)state;
    rig->options[0].relaxed = true;
    rig_open(rig);
    append_many(0, 100, 1000);
    rig_cut(rig, true, true);
    int64_t end = append_many(0, 300, 3000); // over several segments
    struct buf want;
    snapshot_of(&want);
    rig_restart(rig);
    assert_int_equal(rig->replayed, 300); // found in the segments: the journal has none
    assert_int_equal(rig->recovery.frames, 0);
    assert_int_equal(log_end_offset(rig->logs[0]), end);
    expect_log(0, &want, 90000);
    buf_fini(&want);
    rig_close(rig);
}

struct toggle {
    bool relaxed;
};

static void toggle_run(struct rig *r, void *arg)
{
    const struct toggle *t = arg;
    struct log_options o = r->options[0];
    o.relaxed = t->relaxed;
    log_set_options(r->logs[0], &o);
}

// flush.messages may be set and taken back while batches are under way: their frames still come
// home to them, and a crash finds everything, whichever way it went.
static void test_relaxed_comes_and_goes(void **state)
{
    (void)state;
    rig_open(rig);
    int64_t end = 0;
    for (int i = 0; i < 40; i++) {
        struct toggle t = {.relaxed = i % 2 == 0};
        end = rig_append(rig, 0, 1, 4000, 1000); // not waited for
        rig_on(rig, rig->shard, toggle_run, &t);
        end = rig_append(rig, 0, 1, 4000, 1000);
        if (i % 7 == 6)
            rig_cut(rig, false, true);
    }
    rig_durable(rig, 0, end);
    rig_idle(rig);
    struct buf want;
    snapshot_of(&want);
    rig->options[0].was_relaxed = true; // as the node finds in the topic's records
    rig_restart(rig);
    rig->options[0].was_relaxed = false;
    assert_int_equal(log_end_offset(rig->logs[0]), end);
    expect_log(0, &want, 90000);
    buf_fini(&want);
    rig_cut(rig, true, true);
    struct toggle strict = {.relaxed = false};
    rig_on(rig, rig->shard, toggle_run, &strict);
    rig_append(rig, 0, 1, 100, 1000);
    rig_idle(rig);
    rig_restart(rig);
    assert_int_equal(rig->recovery.frames, 1); // it was journalled again
    rig_close(rig);
}

// The journal knows a relaxed log's new start and not its end.
static void test_relaxed_trimmed_before_a_crash(void **state)
{
    (void)state;
    rig->options[0].relaxed = true;
    rig_open(rig);
    int64_t end = append_many(0, 300, 3000);
    assert_int_equal(set_start(end / 2), 0);
    rig_idle(rig);
    rig_restart(rig);
    assert_int_equal(log_end_offset(rig->logs[0]), end);
    assert_int_equal(log_start_offset(rig->logs[0]), end / 2);
    assert_int_equal(append_many(0, 1, 100), end + 1); // of one record
    rig_close(rig);
}

static struct journal_replayed batch_frame(uint8_t head[FRAME_BATCH_BYTES], int64_t base_offset,
                                           struct buf *batch)
{
    struct batch_builder bb;
    buf_init(batch, 1U << 20);
    batch_build_begin(&bb, batch, BATCH_NONE, 1700000000000);
    batch_build_record(&bb, 1700000000000, SLICE_NULL, slice_cstr("late"), SLICE_NULL, 0);
    assert_int_equal(batch_build_end(&bb), 0);
    batch_set_offset(batch->data, base_offset, 0);
    const struct frame_batch f = {
        .key = rig_key(0),
        .base_offset = base_offset,
        .last_offset = base_offset,
        .segment = base_offset,
        .size_bytes = (uint32_t)batch->len,
        .max_timestamp_ms = 1700000000000,
    };
    frame_batch_put(head, &f);
    return (struct journal_replayed){.lsn = 1,
                                     .kind = JOURNAL_BATCH,
                                     .head = slice_of(head, FRAME_BATCH_BYTES),
                                     .body = buf_slice(batch)};
}

// A topic that was deleted while a checkpoint was made is not in the snapshot, and its last batches
// lie behind the LSN from which the journal is replayed. That is no reason not to start; a log that
// still exists and has such a hole is.
static void test_hole_is_judged_after_replay(void **state)
{
    (void)state;
    rig_open(rig);
    struct log_options o = rig->options[0];
    struct log_store_options so = rig->store_options;
    struct log_store *store = NULL;
    struct log *log = NULL;
    assert_int_equal(log_store_create(&so, &store), 0);
    const struct log_key key = rig_key(0);
    assert_int_equal(log_create(store, &key, &o, &log), 0);
    uint8_t head[FRAME_BATCH_BYTES];
    struct buf bytes;
    struct batch b;
    bool applied = true;
    struct journal_replayed frame = batch_frame(head, 100, &bytes);
    assert_int_equal(log_replay(log, &frame, &b, &applied), 0);
    assert_false(applied);
    assert_int_equal(log_end_offset(log), 0);
    assert_int_equal(log_recover(log, rig->opener, rig_found, rig), ERR_CORRUPT);
    buf_fini(&bytes);
    log_store_destroy(store);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_relaxed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relaxed_comes_and_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relaxed_trimmed_before_a_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hole_is_judged_after_replay, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
