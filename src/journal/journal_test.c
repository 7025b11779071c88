// SPDX-License-Identifier: Apache-2.0
//
// The journal on real files: what is done is replayed, in order, whole groups only; several ports;
// bundles whose parts cross; a full journal; fail-stop. Damage to its files is recover_test.c's.
#include "journal/journal.h"
#include "journal/rig_test.h"

static void test_empty_store_opens_and_reopens(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rig_open(rig, 0), 0);
        assert_int_equal(rig->recovery.frames, 0);
        assert_int_equal(rig->recovery.last_lsn, 0);
        assert_false(rig->recovery.cut);
        assert_int_equal(journal_durable_lsn(rig->journal), 0);
        rig_close(rig);
    }
    rig_destroy(rig);
}

static void test_frames_are_replayed_in_order(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    char head[16];
    for (int i = 0; i < 20; i++) {
        (void)snprintf(head, sizeof head, "frame-%02d", i);
        rig_add_one(rig, 0, head, (size_t)i * 100);
    }
    assert_int_equal(rig->done_count[0], 20);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(rig->done[0][i].err, 0);
        assert_int_equal(rig->done[0][i].lsn, (uint64_t)(2 * i + 1)); // a commit frame after each
    }
    assert_int_equal(journal_durable_lsn(rig->journal), 40);
    rig_close(rig);

    assert_int_equal(rig_open(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 20);
    assert_int_equal(rig->recovery.first_lsn, 1);
    assert_int_equal(rig->recovery.last_lsn, 40);
    assert_int_equal(rig->recovery.groups, 20);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(head, sizeof head, "frame-%02d", i);
        assert_string_equal(rig->replayed[i].head, head);
        assert_int_equal(rig->replayed[i].body_len, (size_t)i * 100);
        assert_int_equal(rig->replayed[i].lsn, (uint64_t)(2 * i + 1));
        assert_int_equal(rig->replayed[i].kind, JOURNAL_BATCH);
        assert_int_equal(rig->replayed[i].last_group, i == 19);
    }
    assert_int_equal(journal_durable_lsn(rig->journal), 40);
    rig_close(rig);
    rig_destroy(rig);
}

static void test_writing_goes_on_after_reopening(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    for (int round = 0; round < 5; round++) {
        assert_int_equal(rig_open(rig, 0), 0);
        assert_int_equal(rig->replayed_count, round);
        char head[16];
        (void)snprintf(head, sizeof head, "round-%d", round);
        rig_add_one(rig, round % RIG_SHARDS, head, 5000);
        rig_close(rig);
    }
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 5);
    assert_string_equal(rig->replayed[4].head, "round-4");
    assert_string_equal(rig->replayed[0].head, "round-0");
    rig_destroy(rig);
}

static void test_replay_from_a_later_lsn(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    rig_add_one(rig, 0, "a", 10); // LSN 1, commit 2
    rig_add_one(rig, 0, "b", 10); // LSN 3, commit 4
    rig_close(rig);
    assert_int_equal(rig_scan(rig, 3), 0);
    assert_int_equal(rig->replayed_count, 1);
    assert_string_equal(rig->replayed[0].head, "b");
    assert_int_equal(rig_scan(rig, 5), 0);
    assert_int_equal(rig->replayed_count, 0);
    // A checkpoint that is ahead of the journal: something is missing.
    assert_int_equal(rig_scan(rig, 6), ERR_CORRUPT);
    assert_non_null(strstr(rig->recovery.damage, "LSN 6"));
    rig_destroy(rig);
}

struct many {
    struct rig *rig;
    int shard, count, next;
};

static void many_run(struct io *io, void *arg)
{
    struct many *m = arg;
    char head[24];
    for (int i = 0; i < m->count; i++) {
        (void)snprintf(head, sizeof head, "s%d-%05d", m->shard, m->next++);
        struct rig_write w = {.rig = m->rig, .shard = m->shard, .head = head, .body_len = 300};
        rig_add_run(io, &w);
    }
}

static void test_ports_share_groups_and_keep_their_order(void **state)
{
    (void)state;
    enum { ROUNDS = 20, EACH = 10 };
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    struct many many[RIG_SHARDS];
    for (int s = 0; s < RIG_SHARDS; s++)
        many[s] = (struct many){.rig = rig, .shard = s, .count = EACH};
    for (int round = 0; round < ROUNDS; round++)
        for (int s = 0; s < RIG_SHARDS; s++)
            rig_call_on(rig->shards[s], many_run, &many[s]);
    rig_wait_dones(rig, ROUNDS * EACH * RIG_SHARDS);
    struct journal_stats stats;
    journal_stats(rig->journal, &stats);
    assert_true(stats.groups <= ROUNDS * RIG_SHARDS);
    assert_int_equal(stats.frames, ROUNDS * EACH * RIG_SHARDS);
    assert_int_equal(stats.sync_ns.count, stats.groups);
    assert_int_equal(stats.direct_bytes, 0);
    rig_close(rig);

    for (int s = 0; s < RIG_SHARDS; s++)
        for (size_t i = 1; i < rig->done_count[s]; i++)
            assert_true(rig->done[s][i].lsn > rig->done[s][i - 1].lsn);
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, ROUNDS * EACH * RIG_SHARDS);
    int next[RIG_SHARDS] = {0};
    for (size_t i = 0; i < rig->replayed_count; i++) {
        int shard, number;
        assert_int_equal(sscanf(rig->replayed[i].head, "s%d-%d", &shard, &number), 2);
        assert_int_equal(number, next[shard]++);
    }
    rig_destroy(rig);
}

// ---- barriers

struct barrier {
    struct journal_barrier b;
    struct rig *rig;
    size_t dones_before;
    int err;
    bool inside;
    sem_t fired;
};

static void barrier_fired(struct journal_barrier *b, int err)
{
    struct barrier *barrier = CONTAINER_OF(b, struct barrier, b);
    ASSERT(!barrier->inside);
    barrier->err = err;
    barrier->dones_before = barrier->rig->done_count[0];
    sem_post(&barrier->fired);
}

static void barrier_run(struct io *io, void *arg)
{
    (void)io;
    struct barrier *barrier = arg;
    barrier->b.fn = barrier_fired;
    barrier->inside = true;
    journal_barrier(barrier->rig->ports[0], &barrier->b);
    barrier->inside = false;
}

static void test_barriers_follow_what_was_added(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    struct barrier barrier = {.rig = rig, .err = 1};
    sem_init(&barrier.fired, 0, 0);
    rig_call_on(rig->shards[0], barrier_run, &barrier); // nothing is open
    rig_wait(&barrier.fired);
    assert_int_equal(barrier.err, 0);
    assert_int_equal(barrier.dones_before, 0);

    struct many many = {.rig = rig, .shard = 0, .count = 50};
    rig_call_on(rig->shards[0], many_run, &many);
    rig_call_on(rig->shards[0], barrier_run, &barrier);
    rig_wait(&barrier.fired);
    assert_int_equal(barrier.err, 0);
    assert_int_equal(barrier.dones_before, 50);
    sem_destroy(&barrier.fired);
    rig_close(rig);
    rig_destroy(rig);
}

// ---- direct mode

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

    rig->verify_answer = false;
    assert_int_equal(rig_open(rig, 0), 0);
    assert_true(rig->recovery.cut);
    assert_int_equal(rig->replayed_count, 1);
    assert_string_equal(rig->replayed[0].head, "kept");
    assert_int_equal(rig->recovery.last_lsn, 2);
    rig_close(rig);
    // It stays cut, whatever the segment says later, and its LSNs are given again.
    rig->verify_answer = true;
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
    rig->verify_answer = false;
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 4);
    assert_false(rig->recovery.cut);
    assert_false(rig->replayed[1].last_group);
    rig_destroy(rig);
}

// ---- bundles

static void bundle_part(struct rig *rig, int shard, const char *head, uint64_t id, uint32_t parts)
{
    struct rig_write w = {
        .rig = rig, .shard = shard, .head = head, .body_len = 50, .bundle = id, .parts = parts};
    rig_call_on(rig->shards[shard], rig_add_run, &w);
}

static void test_bundle_parts_cross_and_share_a_group(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    bundle_part(rig, 0, "A0", 1, 2);
    rig_add(rig, 0, "behind-A0", 10);
    bundle_part(rig, 1, "B1", 2, 3);
    rig_add(rig, 1, "behind-B1", 10);
    rig_add_one(rig, 2, "free", 10); // another lane is not held up
    assert_int_equal(rig->done_count[0], 0);
    assert_int_equal(rig->done_count[1], 0);
    bundle_part(rig, 0, "B0", 2, 3);
    bundle_part(rig, 1, "A1", 1, 2); // A is whole now, but behind B1 on this lane
    rig_add_one(rig, 2, "free", 10);
    assert_int_equal(rig->done_count[0], 0);
    assert_int_equal(rig->done_count[1], 0);
    bundle_part(rig, 2, "B2", 2, 3);
    rig_wait_dones(rig, 7);
    rig_close(rig);

    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 9);
    uint64_t first = rig->replayed[2].lsn;
    for (size_t i = 2; i < 9; i++)
        assert_int_equal(rig->replayed[i].lsn, first + i - 2); // no commit frame in between
    assert_string_equal(rig->done[0][0].head, "A0");
    assert_string_equal(rig->done[0][1].head, "behind-A0");
    assert_string_equal(rig->done[0][2].head, "B0");
    assert_string_equal(rig->done[1][0].head, "B1");
    assert_string_equal(rig->done[1][1].head, "behind-B1");
    assert_string_equal(rig->done[1][2].head, "A1");
    rig_destroy(rig);
}

static void test_incomplete_bundle_is_never_replayed(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    bundle_part(rig, 0, "half", 7, 2);
    rig_add_one(rig, 1, "other", 10);
    rig_close(rig);
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 1);
    assert_string_equal(rig->replayed[0].head, "other");
    rig_destroy(rig);
}

static void test_what_fits_no_file_is_refused(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    rig_add_one(rig, 0, "huge", 2 * 1024 * 1024);
    assert_int_equal(rig->done[0][0].err, ERR_LIMIT);
    rig_add_one(rig, 0, "small", 10);
    assert_int_equal(rig->done[0][1].err, 0);
    assert_int_equal(rig->fatal_err, 0);
    rig_close(rig);
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 1);
    rig_destroy(rig);
}

struct rig_turn {
    struct rig *rig;
    size_t body_len[2];
};

static void turn_run(struct io *io, void *arg)
{
    struct rig_turn *turn = arg;
    for (int i = 0; i < 2; i++) {
        struct rig_write w = {.rig = turn->rig, .head = "long", .body_len = turn->body_len[i]};
        rig_add_run(io, &w);
    }
}

// The longest body fits behind the fullest submission.
static void test_the_longest_body_fits(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    rig->options.file_bytes = 4 * 1024 * 1024;
    uint64_t most = journal_body_max(rig->options.file_bytes);
    assert_in_range(most, 3 * 1024 * 1024, rig->options.file_bytes);
    assert_int_equal(rig_open(rig, 0), 0);
    for (int round = 0; round < 2; round++) {
        struct rig_turn turn = {rig, {512 * 1024 - 100, most}};
        rig_call_on(rig->shards[0], turn_run, &turn);
        rig_wait_dones(rig, 2);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(rig->done[0][i].err, 0);
    rig_close(rig);
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 4);
    rig_destroy(rig);
}

// ---- files

static void test_full_journal_waits_and_goes_on(void **state)
{
    (void)state;
    enum { FRAMES = 200 };
    struct rig *rig = rig_create();
    rig->options.files_max = 2;
    rig->options.file_bytes = 256 * 1024;
    rig->options.first_file_bytes = 64 * 1024;
    rig->options.group_max_bytes = 32 * 1024;
    assert_int_equal(rig_open(rig, 0), 0);
    for (int i = 0; i < FRAMES; i++) {
        char head[16];
        (void)snprintf(head, sizeof head, "f%04d", i);
        rig_add(rig, i % RIG_SHARDS, head, 8 * 1024);
    }
    while (!rig->want_urgent)
        rig_wait(&rig->wants);
    usleep(50 * 1000);
    int done = 0;
    assert_int_equal(sem_getvalue(&rig->dones, &done), 0);
    assert_true(done < FRAMES);
    int waited = 0, recycled = 0;
    while (waited < FRAMES) {
        struct timespec until;
        assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
        until.tv_nsec += 20 * 1000 * 1000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        if (sem_timedwait(&rig->dones, &until) == 0) {
            waited++;
        } else {
            journal_recycle(rig->journal, journal_durable_lsn(rig->journal) + 1);
            recycled++;
        }
        assert_true(recycled < 500);
    }
    assert_int_equal(rig->fatal_err, 0);
    uint64_t last = journal_durable_lsn(rig->journal);
    rig_close(rig);
    // Recycled files are full of old groups; none of them comes back.
    assert_int_equal(rig_scan(rig, last + 1), 0);
    assert_int_equal(rig->replayed_count, 0);
    assert_int_equal(rig_scan(rig, 1), ERR_CORRUPT); // what was recycled is not there
    assert_int_equal(rig_open(rig, last + 1), 0);
    rig_add_one(rig, 0, "goes-on", 10);
    assert_int_equal(rig->done[0][0].lsn, last + 1);
    rig_close(rig);
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

// ---- fail-stop

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
    bundle_part(rig, 0, "late", 1, 2); // not even a half bundle is kept
    rig_wait_dones(rig, 1);
    assert_int_equal(rig->done[0][0].err, ERR_SYNC);
    struct barrier barrier = {.rig = rig};
    sem_init(&barrier.fired, 0, 0);
    rig_call_on(rig->shards[0], barrier_run, &barrier);
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
        cmocka_unit_test(test_empty_store_opens_and_reopens),
        cmocka_unit_test(test_frames_are_replayed_in_order),
        cmocka_unit_test(test_writing_goes_on_after_reopening),
        cmocka_unit_test(test_replay_from_a_later_lsn),
        cmocka_unit_test(test_ports_share_groups_and_keep_their_order),
        cmocka_unit_test(test_barriers_follow_what_was_added),
        cmocka_unit_test(test_big_bodies_go_direct),
        cmocka_unit_test(test_many_small_bodies_of_a_target_go_direct_together),
        cmocka_unit_test(test_newest_group_without_its_bodies_is_cut),
        cmocka_unit_test(test_older_group_is_not_verified),
        cmocka_unit_test(test_bundle_parts_cross_and_share_a_group),
        cmocka_unit_test(test_incomplete_bundle_is_never_replayed),
        cmocka_unit_test(test_what_fits_no_file_is_refused),
        cmocka_unit_test(test_the_longest_body_fits),
        cmocka_unit_test(test_full_journal_waits_and_goes_on),
        cmocka_unit_test(test_direct_write_meets_a_full_disk),
        cmocka_unit_test(test_failed_direct_write_stops_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
