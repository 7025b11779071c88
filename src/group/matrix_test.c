// SPDX-License-Identifier: Apache-2.0
//
// Every operation in every state, compared with a table of the errors that Kafka's coordinator
// gives.
#include "group/rig_test.h"

// ---- operation x state

enum {
    WAITS = 1,
    OK = 0,
    UNKNOWN = ERR_UNKNOWN_MEMBER_ID,
    GEN = ERR_ILLEGAL_GENERATION,
    REB = ERR_REBALANCE_IN_PROGRESS,
    NAVAIL = ERR_COORDINATOR_NOT_AVAILABLE,
    PROTO = ERR_INCONSISTENT_GROUP_PROTOCOL,
    NOGROUP = ERR_GROUP_ID_NOT_FOUND,
    NONEMPTY = ERR_NON_EMPTY_GROUP,
    SUBSCRIBED = ERR_GROUP_SUBSCRIBED_TO_TOPIC,
    FENCED = ERR_FENCED_INSTANCE_ID
};

struct cell {
    const char *name;
    void (*fill)(struct call *call, struct rig_member *members);
    int expected[GROUP_STATES_COUNT]; // Empty, Preparing, Completing, Stable, Dead
};

static void op_join_new(struct call *c, struct rig_member *m)
{
    struct rig_member fresh;
    member_init(&fresh, m->group, NULL);
    join_fill(c, &fresh);
    c->u.join.protocols = m->protocols;
}
static void op_join_pending(struct call *c, struct rig_member *m)
{
    op_join_new(c, m);
    c->u.join.known_member_id_required = true;
}
static void op_join_leader(struct call *c, struct rig_member *m)
{
    join_fill(c, &m[0]);
}
static void op_join_follower(struct call *c, struct rig_member *m)
{
    join_fill(c, &m[1]);
}
static void op_join_changed(struct call *c, struct rig_member *m)
{
    join_fill(c, &m[1]);
    c->u.join.protocols_count = 1;
}
static void op_join_stranger(struct call *c, struct rig_member *m)
{
    join_fill(c, &m[0]);
    c->u.join.member_id = slice_cstr("stranger");
}
static void op_join_other_type(struct call *c, struct rig_member *m)
{
    op_join_new(c, m);
    c->u.join.protocol_type = slice_cstr("connect");
}
static void op_join_no_protocols(struct call *c, struct rig_member *m)
{
    op_join_new(c, m);
    c->u.join.protocols_count = 0;
}
static void op_sync_follower(struct call *c, struct rig_member *m)
{
    sync_fill(c, &m[1]);
}
static void op_sync_leader(struct call *c, struct rig_member *m)
{
    sync_fill(c, &m[0]);
}
static void op_sync_old(struct call *c, struct rig_member *m)
{
    sync_fill(c, &m[1]);
    c->u.sync.generation--;
}
static void op_sync_stranger(struct call *c, struct rig_member *m)
{
    sync_fill(c, &m[1]);
    c->u.sync.member_id = slice_cstr("stranger");
}
static void op_sync_protocol(struct call *c, struct rig_member *m)
{
    sync_fill(c, &m[1]);
    c->u.sync.protocol_name = slice_cstr("sticky");
}
static void op_heartbeat(struct call *c, struct rig_member *m)
{
    heartbeat_fill(c, &m[1]);
}
static void op_heartbeat_old(struct call *c, struct rig_member *m)
{
    heartbeat_fill(c, &m[1]);
    c->u.heartbeat.generation--;
}
static void op_heartbeat_stranger(struct call *c, struct rig_member *m)
{
    heartbeat_fill(c, &m[1]);
    c->u.heartbeat.member_id = slice_cstr("stranger");
}
static void op_heartbeat_instance(struct call *c, struct rig_member *m)
{
    heartbeat_fill(c, &m[1]);
    c->u.heartbeat.instance_id = slice_cstr("nobody's");
}
static void op_leave(struct call *c, struct rig_member *m)
{
    leave_fill(c, &m[1]);
}
static void op_commit(struct call *c, struct rig_member *m)
{
    commit_fill(c, &m[1], "plays", 5);
}
static void op_commit_old(struct call *c, struct rig_member *m)
{
    commit_fill(c, &m[1], "plays", 5);
    c->u.commit.generation--;
}
static void op_commit_stranger(struct call *c, struct rig_member *m)
{
    commit_fill(c, &m[1], "plays", 5);
    c->u.commit.member_id = slice_cstr("stranger");
}
static void op_commit_simple(struct call *c, struct rig_member *m)
{
    commit_fill(c, &m[1], "plays", 5);
    c->u.commit.member_id = slice_of("", 0);
    c->u.commit.generation = -1;
}
static void op_fetch(struct call *c, struct rig_member *m)
{
    fetch_fill(c, m->group, "plays");
}
static void op_forget(struct call *c, struct rig_member *m)
{
    forget_fill(c, m->group, "other");
}
static void op_delete(struct call *c, struct rig_member *m)
{
    delete_fill(c, m->group);
}
static void op_describe(struct call *c, struct rig_member *m)
{
    *c = (struct call){.kind = CALL_DESCRIBE};
    c->u.describe.group_id = slice_cstr(m->group);
}

static const struct cell cells[] = {
    // operation                                     Empty    Prepar.  Complet.    Stable      Dead
    {"join, new", op_join_new, {WAITS, WAITS, WAITS, WAITS, NAVAIL}},
    {"join, new, id required",
     op_join_pending,
     {ERR_MEMBER_ID_REQUIRED, ERR_MEMBER_ID_REQUIRED, ERR_MEMBER_ID_REQUIRED,
      ERR_MEMBER_ID_REQUIRED, NAVAIL}},
    {"join, leader", op_join_leader, {UNKNOWN, WAITS, OK, WAITS, NAVAIL}},
    {"join, follower", op_join_follower, {UNKNOWN, WAITS, OK, OK, NAVAIL}},
    {"join, changed", op_join_changed, {UNKNOWN, WAITS, WAITS, WAITS, NAVAIL}},
    {"join, stranger", op_join_stranger, {UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, NAVAIL}},
    {"join, other type", op_join_other_type, {WAITS, PROTO, PROTO, PROTO, NAVAIL}},
    {"join, no protocols", op_join_no_protocols, {PROTO, PROTO, PROTO, PROTO, NAVAIL}},
    {"sync, follower", op_sync_follower, {UNKNOWN, REB, WAITS, OK, NAVAIL}},
    {"sync, leader", op_sync_leader, {UNKNOWN, REB, OK, OK, NAVAIL}},
    {"sync, old generation", op_sync_old, {UNKNOWN, GEN, GEN, GEN, NAVAIL}},
    {"sync, stranger", op_sync_stranger, {UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, NAVAIL}},
    {"sync, protocol", op_sync_protocol, {UNKNOWN, PROTO, PROTO, PROTO, NAVAIL}},
    {"heartbeat", op_heartbeat, {UNKNOWN, REB, OK, OK, NAVAIL}},
    {"heartbeat, old", op_heartbeat_old, {UNKNOWN, GEN, GEN, GEN, NAVAIL}},
    {"heartbeat, stranger", op_heartbeat_stranger, {UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, NAVAIL}},
    {"heartbeat, instance", op_heartbeat_instance, {UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, NAVAIL}},
    {"leave", op_leave, {UNKNOWN, OK, OK, OK, NAVAIL}},
    {"commit", op_commit, {UNKNOWN, OK, REB, OK, NAVAIL}},
    {"commit, old", op_commit_old, {UNKNOWN, GEN, GEN, GEN, NAVAIL}},
    {"commit, stranger", op_commit_stranger, {UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, NAVAIL}},
    {"commit, simple", op_commit_simple, {OK, UNKNOWN, UNKNOWN, UNKNOWN, NAVAIL}},
    {"fetch", op_fetch, {OK, OK, OK, OK, OK}},
    {"forget", op_forget, {OK, OK, OK, OK, NOGROUP}},
    {"describe", op_describe, {OK, OK, OK, OK, NOGROUP}},
    {"delete", op_delete, {OK, NONEMPTY, NONEMPTY, NONEMPTY, NOGROUP}},
};

// A leader and a follower, in the state asked for (Dead: the deletion is made by the caller).
static void bring_to(struct rig *rig, struct rig_member *members, enum group_state state,
                     struct call *third)
{
    rig_join_all(rig, members, 2);
    if (members[1].leader) {
        struct rig_member swap = members[0];
        members[0] = members[1];
        members[1] = swap;
        for (int i = 0; i < 2; i++)
            for (int p = 0; p < 2; p++)
                members[i].protocols[p].metadata =
                    rig_subscription(members[i].subscription, 32, "plays");
    }
    if (state == GROUP_COMPLETING_REBALANCE)
        return;
    rig_sync_all(rig, members, 2);
    if (state == GROUP_STABLE)
        return;
    if (state == GROUP_PREPARING_REBALANCE) {
        op_join_new(third, members);
        call_start(rig, third, CALL_JOIN);
        rig_run_ms(rig, 10);
        assert_false(third->done);
        return;
    }
    rig_leave(rig, &members[1]);
    rig_leave(rig, &members[0]);
}

struct both { // in one turn
    struct io_msg msg;
    struct call *first, *second;
};
static void both_run(struct io_msg *msg)
{
    struct both *both = CONTAINER_OF(msg, struct both, msg);
    call_make(both->first);
    call_make(both->second);
}

static int outcome(struct call *call)
{
    if (!call_wait(call, 50))
        return WAITS;
    if (call->u.r.err != 0)
        return call->u.r.err;
    if (call->kind == CALL_LEAVE)
        return call->leaver.err;
    if (call->kind == CALL_COMMIT || call->kind == CALL_FORGET)
        return call->offset.err;
    return 0;
}

static void run_cell(struct rig *rig, const struct cell *cell, enum group_state state)
{
    char group[64];
    struct rig_member members[2];
    struct call third = {.done = true}, call, del;
    (void)snprintf(group, sizeof group, "%s/%s", cell->name, group_state_name(state));
    member_init(&members[0], group, NULL);
    member_init(&members[1], group, NULL);
    bring_to(rig, members, state, &third);
    cell->fill(&call, members);
    if (state == GROUP_DEAD) {
        op_delete(&del, members);
        del.rig = call.rig = rig;
        del.done = call.done = false;
        del.u.r.done = call.u.r.done = call_done;
        struct both both = {.msg.run = both_run, .first = &del, .second = &call};
        io_post(rig->shard, &both.msg);
        assert_true(call_wait(&del, 1000));
        call_end(&del);
    } else {
        assert_int_equal(rig_state(rig, group), state);
        call_start(rig, &call, call.kind);
    }
    int got = outcome(&call);
    if (got != cell->expected[state])
        print_error("%s: expected %s, got %s\n", group,
                    cell->expected[state] == WAITS ? "to wait" : err_name(cell->expected[state]),
                    got == WAITS ? "to wait" : err_name(got));
    assert_int_equal(got, cell->expected[state]);
    if (call.done)
        call_end(&call);
    else
        call_cancel(&call);
    if (state != GROUP_PREPARING_REBALANCE)
        return;
    if (third.done)
        call_end(&third);
    else
        call_cancel(&third);
}

static void test_every_operation_in_every_state(void **unused)
{
    (void)unused;
    struct rig *rig = rig_create(1);
    rig_start(rig);
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++)
        for (int state = 0; state < GROUP_STATES_COUNT; state++)
            run_cell(rig, &cells[i], (enum group_state)state);
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_operation_in_every_state)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
