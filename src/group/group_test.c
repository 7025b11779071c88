// SPDX-License-Identifier: Apache-2.0
//
// What consumers live through: refusals and limits, three members of which one dies, static members
// that restart, offsets over a crash, expiry, a stop. Operation by operation: matrix_test.c.
#include "group/rig_test.h"

#include "base/bugs.h"

// ---- refused before any group is looked at

static void test_refusals(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(2);
    rig_start(rig);
    struct rig_member m;
    struct call call;
    member_init(&m, "", NULL);
    join_fill(&call, &m);
    assert_int_equal(call_now(rig, &call, CALL_JOIN), ERR_INVALID_GROUP_ID);
    call_end(&call);
    heartbeat_fill(&call, &m);
    assert_int_equal(call_now(rig, &call, CALL_HEARTBEAT), ERR_INVALID_GROUP_ID);
    call_end(&call);
    assert_int_equal(rig_commit_simple(rig, "", "plays", 1), 0); // the empty id may commit
    assert_int_equal(rig_fetch(rig, "", "plays"), 1);
    fetch_fill(&call, "", "plays");
    call.u.fetch.group_id = SLICE_NULL;
    assert_int_equal(call_now(rig, &call, CALL_FETCH), ERR_INVALID_GROUP_ID);
    call_end(&call);
    member_init(&m, "g", NULL);
    const int32_t wrong[] = {5999, 1800001, -1};
    for (int i = 0; i < 3; i++) {
        join_fill(&call, &m);
        call.u.join.session_timeout_ms = wrong[i];
        assert_int_equal(call_now(rig, &call, CALL_JOIN), ERR_INVALID_SESSION_TIMEOUT);
        call_end(&call);
    }
    join_fill(&call, &m);
    call.u.join.protocols_count = 100000;
    assert_int_equal(call_now(rig, &call, CALL_JOIN), ERR_INVALID_REQUEST);
    call_end(&call);
    static char large[4097];
    memset(large, 'x', sizeof large);
    commit_fill(&call, &m, "plays", 1);
    call.offset.metadata = slice_of(large, sizeof large);
    assert_int_equal(call_now(rig, &call, CALL_COMMIT), 0);
    assert_int_equal(call.offset.err, ERR_OFFSET_METADATA_TOO_LARGE);
    call_end(&call);
    assert_int_equal(rig_state(rig, "g"), GROUP_DEAD); // nothing came of it
    commit_fill(&call, &m, "plays", 1);
    call.u.commit.generation = 4;
    assert_int_equal(call_now(rig, &call, CALL_COMMIT), ERR_ILLEGAL_GENERATION);
    call_end(&call);
    call.u.commit.group_id_not_found_known = true;
    call.u.commit.group_id = slice_cstr("absent");
    assert_int_equal(call_now(rig, &call, CALL_COMMIT), ERR_GROUP_ID_NOT_FOUND);
    call_end(&call);
    rig_destroy(rig);
}

static void test_size_and_budget(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(3);
    struct budget budget;
    budget_init(&budget, 1 << 20, NULL);
    rig->options.max_size = 2;
    rig->options.budget = &budget;
    rig_start(rig);
    struct rig_member m[3];
    struct call call;
    for (int i = 0; i < 3; i++)
        member_init(&m[i], "g", NULL);
    rig_join_all(rig, m, 2);
    rig_sync_all(rig, m, 2);
    join_fill(&call, &m[2]);
    assert_int_equal(call_now(rig, &call, CALL_JOIN), ERR_GROUP_MAX_SIZE_REACHED);
    assert_int_equal(call.u.join.out_member_id.len, 0);
    call_end(&call);
    static char large[2 << 20];
    member_init(&m[2], "h", NULL);
    m[2].protocols[0].metadata = slice_of(large, sizeof large);
    join_fill(&call, &m[2]);
    assert_int_equal(call_now(rig, &call, CALL_JOIN), ERR_GROUP_MAX_SIZE_REACHED);
    call_end(&call);
    assert_int_equal(rig_state(rig, "h"), GROUP_DEAD); // nothing is left of it
    int err = 0, commits = 0;
    for (char name[32]; err == 0; commits++) { // every group, topic and offset costs
        (void)snprintf(name, sizeof name, "many-%d", commits);
        err = rig_commit_simple(rig, name, "plays", 1);
        assert_in_range(commits, 0, 5000);
    }
    assert_int_equal(err, ERR_COORDINATOR_NOT_AVAILABLE);
    assert_int_equal(rig_heartbeat(rig, &m[0]), 0); // others notice nothing
    rig_destroy(rig);
    assert_int_equal(budget_used(&budget), 0);
}

// ---- stories

static void test_a_member_dies(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(4);
    rig_start(rig);
    struct rig_member m[3];
    for (int i = 0; i < 3; i++)
        member_init(&m[i], "g", NULL);
    rig_join_all(rig, m, 3);
    assert_int_equal(m[0].generation, 1);
    assert_int_equal(m[0].leader + m[1].leader + m[2].leader, 1);
    rig_sync_all(rig, m, 3);
    // Member 2 falls silent; the others beat every 3 s and hear of it within the session timeout.
    int told = 0;
    for (int s = 0; s < 15 && told < 2; s += 3) {
        rig_run_ms(rig, 3000);
        told = 0;
        for (int i = 0; i < 2; i++)
            told += rig_heartbeat(rig, &m[i]) == ERR_REBALANCE_IN_PROGRESS;
    }
    assert_int_equal(told, 2);
    rig_join_all(rig, m, 2);
    assert_int_equal(m[0].generation, 2);
    rig_sync_all(rig, m, 2);
    assert_int_equal(rig_heartbeat(rig, &m[2]), ERR_UNKNOWN_MEMBER_ID);
    assert_int_equal(rig_state(rig, "g"), GROUP_STABLE);
    rig_destroy(rig);
}

static void test_who_does_not_rejoin_is_left_behind(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(5);
    rig_start(rig);
    struct rig_member m[3];
    for (int i = 0; i < 3; i++)
        member_init(&m[i], "g", NULL);
    rig_join_all(rig, m, 2);
    rig_sync_all(rig, m, 2);
    struct call third, first;
    join_fill(&third, &m[2]);
    call_start(rig, &third, CALL_JOIN);
    rig_run_ms(rig, 10);
    join_fill(&first, &m[0]);
    call_start(rig, &first, CALL_JOIN);
    for (int s = 0; s < 27;
         s += 3) { // member 1 beats but never joins: the rebalance timeout decides
        rig_run_ms(rig, 3000);
        assert_int_equal(rig_heartbeat(rig, &m[1]), ERR_REBALANCE_IN_PROGRESS);
    }
    assert_false(third.done);
    assert_true(call_wait(&third, 5000));
    assert_true(call_wait(&first, 5000));
    join_take(&third, &m[2]);
    join_take(&first, &m[0]);
    assert_int_equal(m[2].generation, 2);
    assert_int_equal(rig_heartbeat(rig, &m[1]), ERR_UNKNOWN_MEMBER_ID);
    // Member 2 never asks for its assignment: it is removed, and the other has to join again.
    for (int s = 0; s < 27; s += 3) {
        rig_run_ms(rig, 3000);
        assert_int_equal(rig_heartbeat(rig, &m[0]), 0);
        assert_int_equal(rig_heartbeat(rig, &m[2]), 0);
    }
    struct call sync;
    sync_fill(&sync, &m[0]);
    assert_int_equal(call_now(rig, &sync, CALL_SYNC), 0);
    call_end(&sync);
    rig_run_ms(rig, 4000);
    assert_int_equal(rig_heartbeat(rig, &m[0]), ERR_REBALANCE_IN_PROGRESS);
    assert_int_equal(rig_heartbeat(rig, &m[2]), ERR_UNKNOWN_MEMBER_ID);
    rig_destroy(rig);
}

static void test_the_first_rebalance_waits(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(6);
    rig->options.initial_rebalance_delay_ms = 3000;
    rig_start(rig);
    struct rig_member m[4];
    struct call calls[4];
    for (int i = 0; i < 4; i++) { // one every two seconds: each puts the beginning off
        member_init(&m[i], "g", NULL);
        join_fill(&calls[i], &m[i]);
        call_start(rig, &calls[i], CALL_JOIN);
        rig_run_ms(rig, 2000);
        assert_false(calls[0].done);
    }
    for (int i = 0; i < 4; i++) {
        assert_true(call_wait(&calls[i], 10000));
        uint32_t members = calls[i].u.join.members_count;
        join_take(&calls[i], &m[i]);
        assert_int_equal(m[i].generation, 1);
        assert_int_equal(members, m[i].leader ? 4 : 0);
    }
    rig_destroy(rig);
}

static void test_member_id_required(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(7);
    rig_start(rig);
    struct rig_member m;
    struct call call;
    member_init(&m, "g", NULL);
    join_fill(&call, &m);
    call.u.join.known_member_id_required = true;
    assert_int_equal(call_now(rig, &call, CALL_JOIN), ERR_MEMBER_ID_REQUIRED);
    slice_to_cstr(call.u.join.out_member_id, m.id, sizeof m.id);
    call_end(&call);
    assert_memory_equal(m.id, "app-", 4);
    assert_int_equal(strlen(m.id), 4 + 36);
    rig_join_all(rig, &m, 1);
    assert_int_equal(m.generation, 1);
    // One that never comes back holds up nobody for longer than its session.
    struct rig_member lost;
    member_init(&lost, "g", NULL);
    join_fill(&call, &lost);
    call.u.join.known_member_id_required = true;
    assert_int_equal(call_now(rig, &call, CALL_JOIN), ERR_MEMBER_ID_REQUIRED);
    call_end(&call);
    rig_sync_all(rig, &m, 1);
    join_fill(&call, &m);
    call_start(rig, &call, CALL_JOIN);
    rig_run_ms(rig, 5000);
    assert_false(call.done);
    assert_true(call_wait(&call, 6000));
    join_take(&call, &m);
    assert_int_equal(m.generation, 2);
    rig_destroy(rig);
}

static void test_static_member_restarts(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(8);
    rig_start(rig);
    struct rig_member m[2], again;
    struct call call;
    member_init(&m[0], "g", "one");
    member_init(&m[1], "g", "two");
    rig_join_all(rig, m, 2);
    rig_sync_all(rig, m, 2);
    for (int i = 0; i < 2; i++) { // the leader and the follower, as v9 on and before
        for (int v9 = 0; v9 < 2; v9++) {
            member_init(&again, "g", m[i].instance);
            join_fill(&call, &again);
            call.u.join.skip_assignment_known = v9 != 0;
            assert_int_equal(call_now(rig, &call, CALL_JOIN), 0);
            assert_int_equal(call.u.join.skip_assignment, v9 != 0 && m[i].leader);
            assert_int_equal(call.u.join.members_count, v9 != 0 && m[i].leader ? 2 : 0);
            join_take(&call, &again);
            assert_int_equal(again.generation, 1);
            assert_string_not_equal(again.id, m[i].id);
            assert_int_equal(rig_heartbeat(rig, &m[i]), ERR_FENCED_INSTANCE_ID);
            memcpy(m[i].id, again.id, sizeof again.id);
            sync_fill(&call, &m[i]);
            assert_int_equal(call_now(rig, &call, CALL_SYNC), 0);
            assert_true(slice_eq_cstr(call.u.sync.assignment, i == 0 ? "p0" : "p1"));
            call_end(&call);
        }
    }
    assert_int_equal(rig_heartbeat(rig, &m[0]), 0);
    assert_int_equal(rig_heartbeat(rig, &m[1]), 0);
    // An administrator removes it by its instance id.
    leave_fill(&call, &m[1]);
    call.leaver.member_id = slice_of("", 0);
    assert_int_equal(call_now(rig, &call, CALL_LEAVE), 0);
    assert_int_equal(call.leaver.err, 0);
    call_end(&call);
    assert_int_equal(rig_heartbeat(rig, &m[0]), ERR_REBALANCE_IN_PROGRESS);
    assert_int_equal(rig_heartbeat(rig, &m[1]), ERR_UNKNOWN_MEMBER_ID);
    rig_destroy(rig);
}

// ---- over a crash

static void test_members_and_offsets_survive(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(9);
    rig_start(rig);
    struct rig_member m[2];
    struct call call;
    member_init(&m[0], "g", NULL);
    member_init(&m[1], "g", "static");
    rig_join_all(rig, m, 2);
    rig_sync_all(rig, m, 2);
    commit_fill(&call, &m[0], "plays", 42);
    assert_int_equal(call_now(rig, &call, CALL_COMMIT), 0);
    call_end(&call);
    for (int round = 0; round < 2; round++) { // a crash, and a crash soon after the restart
        rig_restart(rig);
        assert_int_equal(rig_state(rig, "g"), GROUP_STABLE);
        assert_int_equal(rig_heartbeat(rig, &m[0]), 0);
        assert_int_equal(rig_heartbeat(rig, &m[1]), 0);
        fetch_fill(&call, "g", "plays");
        assert_int_equal(call_now(rig, &call, CALL_FETCH), 0);
        assert_int_equal(call.offset.offset, 42);
        assert_int_equal(call.offset.leader_epoch, 3);
        assert_true(slice_eq_cstr(call.offset.metadata, "meta"));
        call_end(&call);
        sync_fill(&call, &m[1]);
        assert_int_equal(call_now(rig, &call, CALL_SYNC), 0);
        assert_true(slice_eq_cstr(call.u.sync.assignment, "p1"));
        call_end(&call);
    }
    // The sessions run again: who does not show up goes.
    rig_run_ms(rig, 9000);
    assert_int_equal(rig_heartbeat(rig, &m[0]), 0);
    rig_run_ms(rig, 5000);
    assert_int_equal(rig_heartbeat(rig, &m[0]), ERR_REBALANCE_IN_PROGRESS);
    assert_int_equal(rig_heartbeat(rig, &m[1]), ERR_UNKNOWN_MEMBER_ID);
    rig_destroy(rig);
}

static void test_a_rebalance_half_done_is_undone(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(10);
    rig_start(rig);
    struct rig_member m[2];
    struct call call;
    member_init(&m[0], "g", NULL);
    member_init(&m[1], "g", NULL);
    rig_join_all(rig, m, 1);
    rig_sync_all(rig, m, 1);
    join_fill(&call, &m[1]);
    call_start(rig, &call, CALL_JOIN);
    rig_run_ms(rig, 10);
    call_cancel(&call);
    rig_restart(rig);
    assert_int_equal(rig_state(rig, "g"), GROUP_STABLE); // generation 1, of one member
    assert_int_equal(rig_heartbeat(rig, &m[0]), 0);
    rig_destroy(rig);
}

static void test_deletions_survive(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(11);
    rig_start(rig);
    struct call call;
    assert_int_equal(rig_commit_simple(rig, "gone", "plays", 7), 0);
    assert_int_equal(rig_commit_simple(rig, "kept", "plays", 8), 0);
    assert_int_equal(rig_commit_simple(rig, "kept", "other", 9), 0);
    delete_fill(&call, "gone");
    assert_int_equal(call_now(rig, &call, CALL_DELETE), 0);
    call_end(&call);
    forget_fill(&call, "kept", "other");
    assert_int_equal(call_now(rig, &call, CALL_FORGET), 0);
    assert_int_equal(call.offset.err, 0);
    call_end(&call);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(rig_fetch(rig, "gone", "plays"), -1);
        assert_int_equal(rig_fetch(rig, "kept", "plays"), 8);
        assert_int_equal(rig_fetch(rig, "kept", "other"), -1);
        rig_restart(rig);
    }
    struct call list = {.kind = CALL_LIST};
    assert_int_equal(call_now(rig, &list, CALL_LIST), 0);
    assert_int_equal(list.u.list.groups_count, 1);
    assert_true(slice_eq_cstr(list.u.list.groups[0].group_id, "kept"));
    call_end(&list);
    rig_destroy(rig);
}

static void test_expiry(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(12);
    rig->options.offsets_retention_ms = 3600 * 1000;
    rig_start(rig);
    struct rig_member m;
    struct call call;
    member_init(&m, "members", NULL);
    rig_join_all(rig, &m, 1);
    rig_sync_all(rig, &m, 1);
    commit_fill(&call, &m, "plays", 1);
    assert_int_equal(call_now(rig, &call, CALL_COMMIT), 0);
    call_end(&call);
    commit_fill(&call, &m, "other", 2); // not subscribed to
    assert_int_equal(call_now(rig, &call, CALL_COMMIT), 0);
    call_end(&call);
    assert_int_equal(rig_commit_simple(rig, "simple", "plays", 3), 0);
    for (int s = 0; s < 2 * 3600; s += 8) {
        rig_run_ms(rig, 8000);
        assert_int_equal(rig_heartbeat(rig, &m), 0);
    }
    assert_int_equal(rig_fetch(rig, "members", "plays"), 1); // somebody reads it
    assert_int_equal(rig_fetch(rig, "members", "other"), -1);
    assert_int_equal(rig_fetch(rig, "simple", "plays"), -1);
    assert_int_equal(rig_state(rig, "simple"), GROUP_DEAD);
    rig_leave(rig, &m);
    rig_run_ms(rig, (int64_t)50 * 60 * 1000);
    assert_int_equal(rig_fetch(rig, "members", "plays"), 1);
    rig_run_ms(rig, (int64_t)30 * 60 * 1000);
    assert_int_equal(rig_fetch(rig, "members", "plays"), -1);
    rig_restart(rig);
    assert_int_equal(rig_state(rig, "members"), GROUP_DEAD);
    rig_destroy(rig);
}

static bool only_plays(void *arg, struct slice topic)
{
    (void)arg;
    return slice_eq_cstr(topic, "plays");
}

static void check_run(struct io_msg *msg)
{
    struct rig_step *step = CONTAINER_OF(msg, struct rig_step, msg);
    groups_topics_check(step->rig->groups, only_plays, NULL);
    step->done = true;
}

// A crash came between a topic's deletion and the tombstones of its offsets.
static void test_offsets_of_topics_that_are_gone(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(21);
    rig_start(rig);
    assert_int_equal(rig_commit_simple(rig, "g", "plays", 1), 0);
    assert_int_equal(rig_commit_simple(rig, "g", "other", 2), 0);
    assert_int_equal(rig_commit_simple(rig, "h", "other", 3), 0);
    rig_restart(rig);
    assert_int_equal(rig_fetch(rig, "g", "other"), 2);
    rig_on(rig, rig->shard, check_run);
    rig_run_ms(rig, 100);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(rig_fetch(rig, "g", "plays"), 1);
        assert_int_equal(rig_fetch(rig, "g", "other"), -1);
        assert_int_equal(rig_fetch(rig, "h", "other"), -1);
        rig_restart(rig); // the tombstones are in the journal
    }
    rig_destroy(rig);
}

static void test_stop_answers_who_waits(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(13);
    rig_start(rig);
    struct rig_member m[2];
    struct call join, late;
    member_init(&m[0], "g", NULL);
    member_init(&m[1], "g", NULL);
    rig_join_all(rig, m, 1);
    rig_sync_all(rig, m, 1);
    join_fill(&join, &m[1]);
    call_start(rig, &join, CALL_JOIN);
    rig_run_ms(rig, 10);
    rig_on(rig, rig->shard, rig_stop_run);
    assert_true(call_wait(&join, 100));
    assert_int_equal(join.u.r.err, ERR_COORDINATOR_NOT_AVAILABLE);
    call_end(&join);
    heartbeat_fill(&late, &m[0]);
    assert_int_equal(call_now(rig, &late, CALL_HEARTBEAT), ERR_COORDINATOR_NOT_AVAILABLE);
    call_end(&late);
    rig_destroy(rig);
}

struct both { // a commit and what follows it in the same turn
    struct io_msg msg;
    struct call *first, *second;
    const char *topic;
};
static void both_run(struct io_msg *msg)
{
    struct both *both = CONTAINER_OF(msg, struct both, msg);
    call_make(both->first);
    if (both->second != NULL)
        call_make(both->second);
    if (both->topic != NULL)
        groups_topic_deleted(both->first->rig->groups, slice_cstr(both->topic));
}

static void start_both(struct rig *rig, struct both *both)
{
    struct call *calls[] = {both->first, both->second};
    for (int i = 0; i < 2 && calls[i] != NULL; i++) {
        calls[i]->rig = rig;
        calls[i]->done = false;
        calls[i]->u.r.done = call_done;
    }
    both->msg.run = both_run;
    io_post(rig->shard, &both->msg);
}

// A committed offset is seen when it is durable; who asks for stable ones waits for it.
static void test_fetch_beside_a_commit(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(14);
    rig_start(rig);
    assert_int_equal(rig_commit_simple(rig, "g", "plays", 1), 0);
    for (int stable = 0; stable < 2; stable++) {
        struct rig_member nobody;
        struct call commit, fetch;
        member_init(&nobody, "g", NULL);
        commit_fill(&commit, &nobody, "plays", 2 + stable);
        fetch_fill(&fetch, "g", "plays");
        fetch.u.fetch.require_stable = stable != 0;
        struct both both = {.first = &commit, .second = &fetch};
        start_both(rig, &both);
        assert_true(call_wait(&fetch, 1000));
        assert_true(call_wait(&commit, 1000));
        assert_int_equal(fetch.offset.offset, stable != 0 ? 3 : 1);
        call_end(&commit);
        call_end(&fetch);
    }
    rig_destroy(rig);
}

static void test_a_topic_is_deleted(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(15);
    rig_start(rig);
    assert_int_equal(rig_commit_simple(rig, "g", "users", 1), 0);
    struct rig_member nobody;
    struct call commit;
    member_init(&nobody, "g", NULL);
    commit_fill(&commit, &nobody, "plays", 2); // under way when the topic goes: it goes too
    struct both both = {.first = &commit, .topic = "plays"};
    start_both(rig, &both);
    assert_true(call_wait(&commit, 1000));
    call_end(&commit);
    rig_run_ms(rig, 100);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(rig_fetch(rig, "g", "plays"), -1);
        assert_int_equal(rig_fetch(rig, "g", "users"), 1);
        rig_restart(rig);
    }
    rig_destroy(rig);
}

static size_t cut_len;
static void cut_run(struct io_msg *msg)
{
    struct rig_step *step = CONTAINER_OF(msg, struct rig_step, msg);
    struct buf out;
    buf_init(&out, 1 << 20);
    groups_cut(step->rig->groups, false, &out);
    groups_settled(step->rig->groups, true);
    cut_len = out.len;
    buf_fini(&out);
    step->done = true;
}

static void test_cuts_hold_what_changed(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(16);
    rig_start(rig);
    assert_int_equal(rig_commit_simple(rig, "g", "plays", 1), 0);
    rig_on(rig, rig->shard, cut_run);
    assert_true(cut_len > 0);
    rig_on(rig, rig->shard, cut_run);
    assert_int_equal(cut_len, 0);
    assert_int_equal(rig_commit_simple(rig, "g", "plays", 2), 0);
    bug_planted = BUG_LOSE_OFFSETS;
    rig_on(rig, rig->shard, cut_run);
    bug_planted = BUG_NONE;
    assert_int_equal(cut_len, 0);
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_size_and_budget),
        cmocka_unit_test(test_a_member_dies),
        cmocka_unit_test(test_who_does_not_rejoin_is_left_behind),
        cmocka_unit_test(test_the_first_rebalance_waits),
        cmocka_unit_test(test_member_id_required),
        cmocka_unit_test(test_static_member_restarts),
        cmocka_unit_test(test_members_and_offsets_survive),
        cmocka_unit_test(test_a_rebalance_half_done_is_undone),
        cmocka_unit_test(test_deletions_survive),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_offsets_of_topics_that_are_gone),
        cmocka_unit_test(test_stop_answers_who_waits),
        cmocka_unit_test(test_fetch_beside_a_commit),
        cmocka_unit_test(test_a_topic_is_deleted),
        cmocka_unit_test(test_cuts_hold_what_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
