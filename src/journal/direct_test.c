// SPDX-License-Identifier: Apache-2.0
//
// Bodies that bypass the journal, on real files: which go direct, what recovery asks about them, a
// disk that fills up under a direct write, and one that fails: fail-stop.
#include "journal/journal.h"
#include "journal/rig_test.h"

struct fake_target {
    struct journal_target target;
    struct rig *rig;
    struct io_file *file;
    uint64_t end;
    size_t calls, frames;
    int err;
};

static int fake_write(struct journal_target *target, struct journal_frame **frames, size_t count)
{
    struct fake_target *fake = CONTAINER_OF(target, struct fake_target, target);
    fake->calls++;
    fake->frames += count;
    if (fake->err != 0)
        return fake->err;
    int err = 0;
    if (fake->file == NULL)
        err = io_open(target->writer, "segment", IO_CREATE | IO_WRITE, &fake->file);
    for (size_t i = 0; i < count && err == 0; i++) {
        struct slice body = blob_piece_slice(frames[i]->w.body);
        ASSERT(frames[i]->direct);
        struct iovec iov = {.iov_base = (void *)(uintptr_t)body.data, .iov_len = body.len};
        err = io_write(fake->file, fake->end, &iov, 1);
        fake->end += body.len;
    }
    return err;
}

static int fake_sync(struct journal_target *target, struct journal_frame **frames, size_t count)
{
    struct fake_target *fake = CONTAINER_OF(target, struct fake_target, target);
    ASSERT(frames[count - 1]->direct);
    return io_sync(fake->file);
}

static void fake_init(struct fake_target *fake, struct rig *rig)
{
    *fake = (struct fake_target){.rig = rig};
    fake->target.writer = rig->writer;
    fake->target.write = fake_write;
    fake->target.sync = fake_sync;
}

struct direct_turn { // a turn of one shard: a small frame, a big one, a small one
    struct rig *rig;
    struct fake_target *fake;
    size_t big;
};

static void direct_turn_run(struct io *io, void *arg)
{
    struct direct_turn *t = arg;
    struct rig_write w = {.rig = t->rig, .shard = 1, .head = "before", .body_len = 10};
    rig_add_run(io, &w);
    w.head = "big";
    w.body_len = t->big;
    w.target = &t->fake->target;
    rig_add_run(io, &w);
    w.head = "after";
    w.body_len = 10;
    w.target = NULL;
    rig_add_run(io, &w);
}

static void test_big_bodies_go_direct(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    struct fake_target fake;
    fake_init(&fake, rig);
    struct direct_turn turn = {.rig = rig, .fake = &fake, .big = 128 * 1024};
    rig_call_on(rig->shards[1], direct_turn_run, &turn);
    rig_wait_dones(rig, 3);
    turn.big = 127 * 1024; // below the limit
    rig_call_on(rig->shards[1], direct_turn_run, &turn);
    rig_wait_dones(rig, 3);
    assert_int_equal(fake.calls, 1);
    assert_int_equal(fake.end, 128 * 1024);
    struct journal_stats stats;
    journal_stats(rig->journal, &stats);
    assert_int_equal(stats.direct_groups, 1);
    assert_int_equal(stats.direct_bytes, 128 * 1024);
    rig_close(rig);

    static const bool direct[] = {false, true, false, false, false, false};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(rig->done[1][i].err, 0);
        assert_int_equal(rig->done[1][i].direct, direct[i]);
    }
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 6);
    assert_string_equal(rig->replayed[0].head, "before");
    assert_string_equal(rig->replayed[1].head, "big");
    assert_int_equal(rig->replayed[1].kind, JOURNAL_REFERENCE);
    assert_int_equal(rig->replayed[1].body_len, 16);
    assert_memory_equal(rig->replayed[1].body, "bigbigbigbigbigb", 16);
    assert_string_equal(rig->replayed[2].head, "after");
    assert_int_equal(rig->replayed[4].kind, JOURNAL_BATCH);
    assert_int_equal(rig->replayed[4].body_len, 127 * 1024);
    rig_destroy(rig);
}

static void ten_run(struct io *io, void *arg)
{
    for (int i = 0; i < 10; i++)
        rig_add_run(io, arg);
}

static void test_many_small_bodies_of_a_target_go_direct_together(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    rig->options.direct_min_bytes = 10 * 128;
    assert_int_equal(rig_open(rig, 0), 0);
    struct fake_target fake;
    fake_init(&fake, rig);
    struct rig_write w = {
        .rig = rig, .shard = 0, .head = "r", .body_len = 128, .target = &fake.target};
    rig_call_on(rig->shards[0], rig_add_run, &w); // alone it stays below
    rig_wait_dones(rig, 1);
    assert_int_equal(fake.calls, 0);
    rig_call_on(rig->shards[0], ten_run, &w); // a turn of ten does not
    rig_wait_dones(rig, 10);
    assert_int_equal(fake.calls, 1);
    assert_int_equal(fake.frames, 10);
    assert_false(rig->done[0][0].direct);
    for (int i = 1; i <= 10; i++)
        assert_true(rig->done[0][i].direct);
    rig_close(rig);
    rig_destroy(rig);
}

static void test_newest_group_without_its_bodies_is_cut(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    struct fake_target fake;
    fake_init(&fake, rig);
    rig_add_one(rig, 0, "kept", 100);
    struct direct_turn turn = {.rig = rig, .fake = &fake, .big = 200 * 1024};
    rig_call_on(rig->shards[1], direct_turn_run, &turn);
    rig_wait_dones(rig, 3);
    rig_close(rig);

    rig->verify_answer = ERR_IO; // nobody can tell: nothing is cut
    assert_int_equal(rig_scan(rig, 0), ERR_IO);
    rig->verify_answer = 0;
    assert_int_equal(rig_open(rig, 0), 0);
    assert_true(rig->recovery.cut);
    assert_int_equal(rig->replayed_count, 1);
    assert_string_equal(rig->replayed[0].head, "kept");
    assert_int_equal(rig->recovery.last_lsn, 2);
    rig_close(rig);
    // It stays cut, whatever the segment says later, and its LSNs are given again.
    rig->verify_answer = 1;
    assert_int_equal(rig_open(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 1);
    assert_false(rig->recovery.cut);
    rig_add_one(rig, 0, "next", 100);
    assert_int_equal(rig->done[0][0].lsn, 3);
    rig_close(rig);
    rig_destroy(rig);
}

static void test_older_group_is_not_verified(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    struct fake_target fake;
    fake_init(&fake, rig);
    struct direct_turn turn = {.rig = rig, .fake = &fake, .big = 200 * 1024};
    rig_call_on(rig->shards[1], direct_turn_run, &turn);
    rig_wait_dones(rig, 3);
    rig_add_one(rig, 0, "newest", 100);
    rig_close(rig);
    rig->verify_answer = 0;
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 4);
    assert_false(rig->recovery.cut);
    assert_false(rig->replayed[1].last_group);
    rig_destroy(rig);
}

// It stops nothing: the body goes into the journal, in the same file or, if too large, in the next.
static void test_direct_write_meets_a_full_disk(void **state)
{
    (void)state;
    static const uint64_t first_file_bytes[] = {64 * 1024, 1024 * 1024};
    for (size_t n = 0; n < 2; n++) {
        struct rig *rig = rig_create();
        rig->options.first_file_bytes = first_file_bytes[n];
        assert_int_equal(rig_open(rig, 0), 0);
        struct fake_target fake;
        fake_init(&fake, rig);
        fake.err = ERR_NOSPACE;
        struct direct_turn turn = {.rig = rig, .fake = &fake, .big = 200 * 1024};
        rig_call_on(rig->shards[1], direct_turn_run, &turn);
        rig_wait_dones(rig, 3);
        rig_close(rig);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(rig->done[1][i].err, 0);
            assert_false(rig->done[1][i].direct);
            assert_int_equal(rig->done[1][i].lsn, i + 1); // what was taken back used none up
        }
        assert_int_equal(rig_scan(rig, 0), 0);
        assert_int_equal(rig->replayed_count, 3);
        assert_int_equal(rig->replayed[1].kind, JOURNAL_BATCH);
        assert_int_equal(rig->replayed[1].body_len, 200 * 1024);
        rig_destroy(rig);
    }
}

static void test_failed_direct_write_stops_everything(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    struct fake_target fake;
    fake_init(&fake, rig);
    fake.err = ERR_IO;
    struct direct_turn turn = {.rig = rig, .fake = &fake, .big = 200 * 1024};
    rig_call_on(rig->shards[1], direct_turn_run, &turn);
    rig_wait_dones(rig, 3);
    rig_wait(&rig->fatals);
    assert_int_equal(rig->fatal_err, ERR_IO);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig->done[1][i].err, ERR_SYNC);
    rig_bundle_part(rig, 0, "late", 1, 2); // not even a half bundle is kept
    rig_wait_dones(rig, 1);
    assert_int_equal(rig->done[0][0].err, ERR_SYNC);
    struct rig_barrier barrier = {.rig = rig};
    sem_init(&barrier.fired, 0, 0);
    rig_call_on(rig->shards[0], rig_barrier_run, &barrier);
    rig_wait(&barrier.fired);
    assert_int_equal(barrier.err, ERR_SYNC);
    sem_destroy(&barrier.fired);
    int fatals = 1;
    assert_int_equal(sem_getvalue(&rig->fatals, &fatals), 0);
    assert_int_equal(fatals, 0); // once
    assert_int_equal(journal_durable_lsn(rig->journal), 0);
    rig_close(rig);
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_big_bodies_go_direct),
        cmocka_unit_test(test_many_small_bodies_of_a_target_go_direct_together),
        cmocka_unit_test(test_newest_group_without_its_bodies_is_cut),
        cmocka_unit_test(test_older_group_is_not_verified),
        cmocka_unit_test(test_direct_write_meets_a_full_disk),
        cmocka_unit_test(test_failed_direct_write_stops_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
