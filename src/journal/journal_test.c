// SPDX-License-Identifier: Apache-2.0
//
// The journal on real files: what is done is replayed, in order, whole groups only; several ports;
// bundles whose parts cross; a full journal. Bodies that go direct are direct_test.c's, damage to
// the journal's files recover_test.c's.
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

static void test_barriers_follow_what_was_added(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    struct rig_barrier barrier = {.rig = rig, .err = 1};
    sem_init(&barrier.fired, 0, 0);
    rig_call_on(rig->shards[0], rig_barrier_run, &barrier); // nothing is open
    rig_wait(&barrier.fired);
    assert_int_equal(barrier.err, 0);
    assert_int_equal(barrier.dones_before, 0);

    struct many many = {.rig = rig, .shard = 0, .count = 50};
    rig_call_on(rig->shards[0], many_run, &many);
    rig_call_on(rig->shards[0], rig_barrier_run, &barrier);
    rig_wait(&barrier.fired);
    assert_int_equal(barrier.err, 0);
    assert_int_equal(barrier.dones_before, 50);
    sem_destroy(&barrier.fired);
    rig_close(rig);
    rig_destroy(rig);
}

// ---- bundles

static void test_bundle_parts_cross_and_share_a_group(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    rig_bundle_part(rig, 0, "A0", 1, 2);
    rig_add(rig, 0, "behind-A0", 10);
    rig_bundle_part(rig, 1, "B1", 2, 3);
    rig_add(rig, 1, "behind-B1", 10);
    rig_add_one(rig, 2, "free", 10); // another lane is not held up
    assert_int_equal(rig->done_count[0], 0);
    assert_int_equal(rig->done_count[1], 0);
    rig_bundle_part(rig, 0, "B0", 2, 3);
    rig_bundle_part(rig, 1, "A1", 1, 2); // A is whole now, but behind B1 on this lane
    rig_add_one(rig, 2, "free", 10);
    assert_int_equal(rig->done_count[0], 0);
    assert_int_equal(rig->done_count[1], 0);
    rig_bundle_part(rig, 2, "B2", 2, 3);
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

// More lies before one part of a bundle than a file holds: it goes in groups of its own before it,
// whichever lane's turn it is, and the bundle is not refused.
static void test_what_lies_before_a_bundle_goes_first(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    rig->options.file_bytes = rig->options.first_file_bytes = 4 << 20;
    rig->options.group_max_bytes = 256 * 1024;
    assert_int_equal(rig_open(rig, 0), 0);
    assert_int_equal(journal_bundle_max(4 << 20), (4 << 20) / 2 - IO_BLOCK);
    for (uint64_t round = 0; round < 4; round++) {
        int count = 0;
        rig_bundle_part(rig, 1, "hold1", 10 + round, 2); // holds lane 1 until its other part comes
        for (; count < 90; count++)
            rig_add(rig, 1, "before", 60 * 1024);
        rig_bundle_part(rig, 1, "B1", 20 + round, 2);
        rig_bundle_part(rig, 0, "B0", 20 + round, 2);
        rig_bundle_part(rig, 2, "hold2", 10 + round, 2);
        while (journal_durable_lsn(rig->journal) == 0)
            usleep(1000);
        rig_wait_dones(rig, 60); // the file is full: the rest needs the next
        journal_recycle(rig->journal, journal_durable_lsn(rig->journal) + 1);
        rig_wait_dones(rig, count + 4 - 60);
        assert_string_equal(rig->done[0][rig->done_count[0] - 1].head, "B0");
        assert_int_equal(rig->done[0][rig->done_count[0] - 1].err, 0);
        assert_int_equal(rig->done[1][rig->done_count[1] - 1].err, 0);
    }
    rig_close(rig);
    rig_destroy(rig);
}

static void test_incomplete_bundle_is_never_replayed(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    assert_int_equal(rig_open(rig, 0), 0);
    rig_bundle_part(rig, 0, "half", 7, 2);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_store_opens_and_reopens),
        cmocka_unit_test(test_frames_are_replayed_in_order),
        cmocka_unit_test(test_writing_goes_on_after_reopening),
        cmocka_unit_test(test_replay_from_a_later_lsn),
        cmocka_unit_test(test_ports_share_groups_and_keep_their_order),
        cmocka_unit_test(test_barriers_follow_what_was_added),
        cmocka_unit_test(test_bundle_parts_cross_and_share_a_group),
        cmocka_unit_test(test_what_lies_before_a_bundle_goes_first),
        cmocka_unit_test(test_incomplete_bundle_is_never_replayed),
        cmocka_unit_test(test_what_fits_no_file_is_refused),
        cmocka_unit_test(test_the_longest_body_fits),
        cmocka_unit_test(test_full_journal_waits_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
