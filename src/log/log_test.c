// SPDX-License-Identifier: Apache-2.0
//
// A log on real files with a real journal: what is appended is read back the same from memory, from
// segments and after restarts with and without a checkpoint; marks, waiters, lookups, epochs,
// retention, deletion, and logs in memory.
#include "log/frames.h"
#include "log/rig_steps_test.h"

static void test_append_and_read(void **state)
{
    (void)state;
    rig_open(rig);
    int64_t offset = 0;
    struct buf got;
    buf_init(&got, 1 << 20);
    assert_int_equal(rig_read(rig, 0, &offset, 1000, &got, NULL), 0);
    assert_int_equal(got.len, 0);
    assert_int_equal(rig_append(rig, 0, 3, 100, 1000), 3);
    assert_int_equal(rig_append(rig, 0, 2, 100, 2000), 5);
    rig_durable(rig, 0, 5);
    bool cold;
    assert_int_equal(rig_read(rig, 0, &offset, 1, &got, &cold), 0); // at least one batch
    assert_int_equal(offset, 3);
    assert_false(cold);
    offset = 4; // inside the second batch: whole batches come
    buf_clear(&got);
    assert_int_equal(rig_read(rig, 0, &offset, 100000, &got, NULL), 0);
    assert_int_equal(offset, 5);
    expect_dense(buf_slice(&got), 3);
    offset = 6;
    assert_int_equal(rig_read(rig, 0, &offset, 1000, &got, NULL), ERR_OFFSET_OUT_OF_RANGE);
    offset = -1;
    assert_int_equal(rig_read(rig, 0, &offset, 1000, &got, NULL), ERR_OFFSET_OUT_OF_RANGE);
    buf_fini(&got);
    assert_int_equal(log_high_watermark(rig->logs[0]), 5);
    assert_int_equal(log_end_offset(rig->logs[0]), 5);
    rig_close(rig);
}

static void test_tail_and_cold_agree(void **state)
{
    (void)state;
    rig_open(rig);
    append_many(0, 300, 1000);
    rig_idle(rig);
    struct buf warm, cold_bytes;
    int cold;
    buf_init(&warm, 64U << 20);
    buf_init(&cold_bytes, 64U << 20);
    read_all(0, 100000, &warm, &cold);
    assert_true(cold > 0); // 1.5 MB do not stay in a tail of 256 KiB
    expect_dense(buf_slice(&warm), 0);
    // Every batch once more by itself, in an order that no memory of positions helps.
    for (int64_t at = log_end_offset(rig->logs[0]) - 1; at >= 0; at -= 13) {
        int64_t offset = at;
        struct buf one;
        buf_init(&one, 1 << 20);
        assert_int_equal(rig_read(rig, 0, &offset, 1, &one, NULL), 0);
        struct batch b;
        assert_int_equal(batch_peek(buf_slice(&one), &b), 0);
        assert_true(b.base_offset <= at);
        assert_true(batch_last_offset(&b) >= at);
        buf_fini(&one);
    }
    expect_log(0, &warm, 7000);
    struct log_store_stats stats;
    log_store_stats(rig->store, &stats);
    assert_true(stats.segments > 1);
    assert_true(stats.written_bytes + stats.direct_bytes > 0); // all direct, where groups grow
    assert_int_equal(stats.crc_errors, 0);
    buf_fini(&cold_bytes);
    buf_fini(&warm);
    rig_close(rig);
}

// Nothing but the journal survives.
static void test_restart_without_checkpoint(void **state)
{
    (void)state;
    rig_open(rig);
    int64_t end = append_many(0, 60, 1000);
    struct buf want;
    snapshot_of(&want);
    for (int i = 0; i < 3; i++) {
        rig_restart(rig);
        assert_int_equal(rig->replayed, 60);
        assert_int_equal(log_end_offset(rig->logs[0]), end);
        assert_int_equal(log_high_watermark(rig->logs[0]), end);
        expect_log(0, &want, 50000);
    }
    int64_t more = append_many(0, 5, 5000);
    assert_true(more > end);
    buf_fini(&want);
    rig_close(rig);
}

static void test_restart_with_checkpoints(void **state)
{
    (void)state;
    rig_open(rig);
    struct buf want;
    for (int round = 0; round < 5; round++) {
        append_many(0, 80, 1000 + round * 1000);
        rig_cut(rig, round == 3, round != 2);
        append_many(0, 40, 1500 + round * 1000);
        snapshot_of(&want);
        rig_restart(rig);
        assert_int_equal(rig->replayed, round == 2 ? 160 : 40);
        expect_log(0, &want, 60000);
        buf_fini(&want);
    }
    assert_int_equal(log_epoch_at(rig->logs[0], 0), 7);
    rig_cut(rig, false, true);
    rig_restart(rig);
    assert_int_equal(rig->replayed, 0); // a clean stop leaves nothing to replay
    assert_int_equal(log_epoch_at(rig->logs[0], 0), 7);
    rig_close(rig);
}

// Replay with a budget too small for it: batches are written while they are replayed.
static void test_replay_spills(void **state)
{
    (void)state;
    rig_open(rig);
    append_many(0, 200, 1000);
    struct buf want;
    snapshot_of(&want);
    rig_close(rig);
    budget_init(&rig->tails, 100000, NULL);
    rig_open(rig);
    assert_int_equal(rig->replayed, 200);
    expect_log(0, &want, 100000);
    rig_cut(rig, true, true);
    rig_restart(rig);
    expect_log(0, &want, 100000);
    buf_fini(&want);
    rig_close(rig);
}

static void test_lookup(void **state)
{
    (void)state;
    rig_open(rig);
    int64_t ts;
    assert_int_equal(rig_lookup(rig, 0, 0, &ts), -1);
    assert_int_equal(rig_lookup(rig, 0, LOG_LOOKUP_MAX, &ts), -1);
    int64_t end = 0;
    for (int i = 0; i < 500; i++) // 5 records each: timestamps i * 100 … + 4
        end = rig_append(rig, 0, 5, 600, 1000 + i * 100);
    rig_durable(rig, 0, end);
    rig_idle(rig);
    for (int i = 0; i < 500; i += 23) {
        assert_int_equal(rig_lookup(rig, 0, 1000 + i * 100, &ts), i * 5);
        assert_int_equal(ts, 1000 + i * 100);
        assert_int_equal(rig_lookup(rig, 0, 1000 + i * 100 + 3, &ts), i * 5 + 3);
        if (i < 499)
            assert_int_equal(rig_lookup(rig, 0, 1000 + i * 100 + 5, &ts), i * 5 + 5);
    }
    assert_int_equal(rig_lookup(rig, 0, 0, &ts), 0);
    assert_int_equal(rig_lookup(rig, 0, 1000 + 499 * 100 + 5, &ts), -1);
    assert_int_equal(rig_lookup(rig, 0, LOG_LOOKUP_MAX, &ts), end - 1);
    assert_int_equal(ts, 1000 + 499 * 100 + 4);
    rig_append(rig, 0, 1, 100, 5); // an old record does not become the largest
    rig_durable(rig, 0, end + 1);
    assert_int_equal(rig_lookup(rig, 0, LOG_LOOKUP_MAX, &ts), end - 1);
    rig_close(rig);
}

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

static void test_delete_records(void **state)
{
    (void)state;
    rig_open(rig);
    int64_t end = append_many(0, 600, 1000);
    rig_cut(rig, true, true);
    int files = count_files(".log");
    assert_true(files > 2);
    assert_int_equal(set_start(end + 1), ERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(set_start(end / 2), 0);
    assert_int_equal(log_start_offset(rig->logs[0]), end / 2);
    rig_idle(rig);
    assert_true(count_files(".log") < files);
    int64_t offset = end / 2 - 1;
    struct buf got, want;
    buf_init(&got, 1 << 20);
    assert_int_equal(rig_read(rig, 0, &offset, 1000, &got, NULL), ERR_OFFSET_OUT_OF_RANGE);
    offset = end / 2;
    assert_int_equal(rig_read(rig, 0, &offset, 1000, &got, NULL), 0);
    buf_fini(&got);
    assert_int_equal(set_start(5), 0); // never back
    assert_int_equal(log_start_offset(rig->logs[0]), end / 2);
    snapshot_of(&want);
    rig_restart(rig); // from the journal alone
    assert_int_equal(log_start_offset(rig->logs[0]), end / 2);
    struct buf again;
    snapshot_of(&again);
    assert_int_equal(again.len, want.len);
    assert_memory_equal(again.data, want.data, want.len);
    buf_fini(&again);
    rig_cut(rig, false, true);
    rig_restart(rig); // from the checkpoint
    assert_int_equal(log_start_offset(rig->logs[0]), end / 2);
    assert_int_equal(set_start(end), 0);
    assert_int_equal(log_start_offset(rig->logs[0]), end);
    assert_true(append_many(0, 3, 1) > end);
    buf_fini(&want);
    rig_close(rig);
}

struct retain_call {
    int64_t now_ms, retention_ms, retention_bytes;
};

static void retain_run(struct rig *r, void *arg)
{
    struct retain_call *c = arg;
    struct log_options o = r->options[0];
    o.retention_ms = c->retention_ms;
    o.retention_bytes = c->retention_bytes;
    log_set_options(r->logs[0], &o);
    log_retain(r->logs[0], c->now_ms);
}

static void retain(int64_t now_ms, int64_t retention_ms, int64_t retention_bytes)
{
    struct retain_call c = {now_ms, retention_ms, retention_bytes};
    rig_on(rig, rig->shard, retain_run, &c);
    rig_idle(rig);
}

static void test_retention(void **state)
{
    (void)state;
    rig_open(rig);
    int64_t end = append_many(0, 600, 100000);
    uint64_t size = log_size_bytes(rig->logs[0]);
    retain(100000, -1, -1);
    assert_int_equal(log_start_offset(rig->logs[0]), 0);
    retain(100000, -1, (int64_t)size); // a byte more would have to be missing
    assert_int_equal(log_start_offset(rig->logs[0]), 0);
    retain(100000, -1, 1500000);
    uint64_t left = log_size_bytes(rig->logs[0]);
    assert_true(left < size);
    assert_true(left >= 1500000); // never below what was asked to be kept
    int64_t start = log_start_offset(rig->logs[0]);
    assert_true(start > 0);
    retain(100000 + 7000, 1000, -1); // the oldest batches are at 100000, the newest at 105990
    assert_true(log_start_offset(rig->logs[0]) == end); // all expired, the active one was rolled
    assert_int_equal(log_size_bytes(rig->logs[0]), 0);
    assert_int_equal(log_end_offset(rig->logs[0]), end);
    int64_t more = append_many(0, 4, 200000);
    rig_restart(rig);
    assert_int_equal(log_start_offset(rig->logs[0]), end);
    assert_int_equal(log_end_offset(rig->logs[0]), more);
    rig_close(rig);
}

static void test_epochs(void **state)
{
    (void)state;
    rig_open(rig);
    for (int32_t e = 3; e < 9; e += 2) {
        struct rig_append a = {0, 4, 10, 1000, e, {0}, 0};
        rig_on(rig, rig->shard, rig_append_run, &a);
        assert_int_equal(a.err, 0);
    }
    rig_durable(rig, 0, 12);
    for (int i = 0; i < 2; i++) {
        int32_t epoch;
        int64_t end;
        const struct log *log = rig->logs[0];
        log_epoch_end(log, 2, &epoch, &end);
        assert_int_equal(epoch, -1);
        assert_int_equal(end, -1);
        log_epoch_end(log, 3, &epoch, &end);
        assert_int_equal(epoch, 3);
        assert_int_equal(end, 4);
        log_epoch_end(log, 6, &epoch, &end);
        assert_int_equal(epoch, 5);
        assert_int_equal(end, 8);
        log_epoch_end(log, 100, &epoch, &end);
        assert_int_equal(epoch, 7);
        assert_int_equal(end, 12);
        assert_int_equal(log_epoch_at(log, 3), 3);
        assert_int_equal(log_epoch_at(log, 4), 5);
        assert_int_equal(log_epoch_at(log, 11), 7);
        assert_int_equal(log_epoch_at(log, 12), -1);
        rig_restart(rig);
    }
    assert_int_equal(set_start(6), 0);
    assert_int_equal(log_epoch_at(rig->logs[0], 6), 5);
    rig_close(rig);
}

static void test_many_logs_few_files(void **state)
{
    (void)state;
    for (int i = 1; i < RIG_LOGS; i++)
        rig->options[i] = rig->options[0];
    rig->store_options.files_max = 3;
    rig->store_options.tail_bytes_per_log = 0;
    rig->store_options.write_min_bytes = 1;
    rig_open(rig);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < RIG_LOGS; i++)
            append_many(i, 10, round * 1000);
    }
    rig_idle(rig);
    for (int i = 0; i < RIG_LOGS; i++) {
        struct buf got;
        int cold;
        buf_init(&got, 64U << 20);
        read_all(i, 20000, &got, &cold);
        expect_dense(buf_slice(&got), 0);
        buf_fini(&got);
    }
    assert_true(rig->store->writer_files.count <= 3);
    assert_true(rig->store->reader_files.count <= 3);
    rig_close(rig);
}

static void delete_run(struct rig *r, void *arg)
{
    (void)arg;
    log_delete(r->logs[0]);
    r->logs[0] = NULL;
    r->options[0].segment_bytes = 0;
}

static void test_delete_log(void **state)
{
    (void)state;
    rig->options[1] = rig->options[0];
    rig_open(rig);
    append_many(0, 200, 1000);
    append_many(1, 200, 1000);
    rig_cut(rig, true, true);
    struct rig_waiter w = {.log = 0, .offset = 1 << 20};
    sem_init(&w.done, 0, 0);
    rig_on(rig, rig->shard, rig_wait_run, &w);
    int before = count_files(".log");
    rig_on(rig, rig->shard, delete_run, NULL);
    rig_wait(&w.done);
    assert_int_equal(w.err, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    sem_destroy(&w.done);
    rig_idle(rig);
    assert_int_equal(count_files(".log"), before / 2);
    rig_restart(rig);
    assert_true(log_end_offset(rig->logs[1]) > 0);
    rig_close(rig);
}

static void test_in_memory(void **state)
{
    (void)state;
    rig->options[1] = rig->options[0];
    rig->options[1].memory = true;
    rig_open(rig);
    int64_t end = 0;
    for (int i = 0; i < 50; i++)
        end = rig_append(rig, 1, 2, 1000, 1000 + i);
    rig_durable(rig, 1, end);
    assert_int_equal(end, 100);
    struct buf got;
    int cold;
    buf_init(&got, 1 << 20);
    read_all(1, 5000, &got, &cold);
    assert_int_equal(cold, 0);
    expect_dense(buf_slice(&got), 0);
    buf_fini(&got);
    int64_t ts;
    assert_int_equal(rig_lookup(rig, 1, 1010, &ts), 19); // the tenth batch's second record
    assert_int_equal(count_files(".log"), 0);
    rig_restart(rig);
    assert_int_equal(log_end_offset(rig->logs[1]), 0);
    rig_close(rig);
}

static void test_budget(void **state)
{
    (void)state;
    rig->options[1] = rig->options[0];
    rig->options[1].memory = true;
    budget_init(&rig->tails, 50000, NULL);
    rig_open(rig);
    struct rig_append a = {1, 1, 30000, 1, 7, {0}, 0};
    rig_on(rig, rig->shard, rig_append_run, &a);
    assert_int_equal(a.err, 0);
    rig_on(rig, rig->shard, rig_append_run, &a);
    assert_int_equal(a.err, ERR_AGAIN); // memory logs cannot make room
    // A log with files can: everything durable is written and dropped.
    int64_t end = 0;
    for (int i = 0; i < 40; i++) {
        end = rig_append(rig, 0, 1, 5000, 1000);
        rig_durable(rig, 0, end);
        rig_idle(rig);
    }
    struct buf got;
    int cold;
    buf_init(&got, 1 << 20);
    read_all(0, 1 << 20, &got, &cold);
    expect_dense(buf_slice(&got), 0);
    buf_fini(&got);
    rig_close(rig);
}

static void append_small_part(struct rig *test_rig, void *arg)
{
    struct batch b;
    struct blob *request;
    struct log_appended out;
    struct blob *small = rig_batch(1, 500, 1000, &b);
    assert_int_equal(blob_create(1 << 20, arg, &request), 0);
    memcpy(request->data + 4000, small->data, b.size_bytes);
    const struct blob_piece piece = {request, 4000, b.size_bytes};
    assert_int_equal(log_append(test_rig->logs[0], piece, &b, 7, &out), 0);
    blob_unref(small);
    blob_unref(request);
}

// A quiet partition's newest batch does not keep the whole request in memory that it came in.
static void test_tail_keeps_no_request(void **state)
{
    (void)state;
    struct budget requests;
    struct buf got;
    int cold;
    budget_init(&requests, 8 << 20, NULL);
    buf_init(&got, 1 << 20);
    rig_open(rig);
    for (int i = 0; i < 3; i++)
        rig_on(rig, rig->shard, append_small_part, &requests);
    rig_durable(rig, 0, 3);
    rig_idle(rig);
    assert_int_equal(budget_used(&requests), 0);
    read_all(0, 1 << 20, &got, &cold);
    assert_int_equal(cold, 0);
    expect_dense(buf_slice(&got), 0);
    buf_fini(&got);
    rig_close(rig);
}

// Cold reads take from their budget: at its limit they find one batch, then nothing; no error,
// since a consumer only has to ask again. Something always passes.
static void test_read_budget(void **state)
{
    (void)state;
    struct budget reads, other;
    budget_init(&other, 1 << 20, NULL);
    budget_init(&reads, 64 << 10, &other);
    rig->store_options.read_budget = &reads;
    rig->store_options.tail_bytes_per_log = 0;
    rig_open(rig);
    append_many(0, 100, 3000);
    rig_cut(rig, true, true);
    rig_idle(rig);
    const size_t all = 1 << 20;
    int64_t offset = 0;
    struct buf got;
    bool cold = false;
    buf_init(&got, 1 << 20);
    assert_int_equal(rig_read(rig, 0, &offset, all, &got, &cold), 0);
    assert_true(cold);
    assert_true(offset > 0);
    assert_true(got.len < 16 << 10); // all of it was more than the budget: one batch
    assert_int_equal(budget_take(&reads, 64 << 10), 0);
    int64_t stays = offset;
    assert_int_equal(rig_read(rig, 0, &offset, all, &got, &cold), 0);
    assert_int_equal(offset, stays);
    budget_give(&reads, 64 << 10);
    budget_force(&other, 1 << 20); // the process has nothing left, and none of it is ours
    assert_int_equal(rig_read(rig, 0, &offset, all, &got, &cold), 0);
    assert_true(offset > stays);
    budget_give(&other, 1 << 20);
    assert_int_equal(budget_used(&reads), 0);
    buf_fini(&got);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_append_and_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tail_and_cold_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_without_checkpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_with_checkpoints, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replay_spills, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lookup, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delete_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retention, setup, teardown),
        cmocka_unit_test_setup_teardown(test_epochs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_logs_few_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delete_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_budget, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_budget, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tail_keeps_no_request, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
