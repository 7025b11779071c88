// SPDX-License-Identifier: Apache-2.0
//
// What the room's tests share: one simulated machine with a shard, the real journal and the groups,
// driven from outside. A call is a request with its name: it is made on the shard, and the test
// goes on when it is answered or when simulated time has passed. Crashes and restarts replay the
// journal as a server does.
#ifndef WEIR_GROUP_RIG_TEST_H
#define WEIR_GROUP_RIG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "group/group.h"
#include "io/sim.h"

#define RIG __attribute__((unused)) static
#define MS  ((int64_t)1000000)

struct rig {
    struct sim *sim;
    struct sim_machine *machine;
    struct io_world *world;
    struct io *opener, *actor, *maker, *shard;
    struct journal *journal;
    struct journal_port *port;
    struct groups *groups;
    struct groups_options options;
    int open_err, restore_err;
    bool ready, fatal;
    struct buf snapshot; // the records of all cuts that were installed, oldest first
};

// ---- calls

enum call_kind {
    CALL_JOIN,
    CALL_SYNC,
    CALL_HEARTBEAT,
    CALL_LEAVE,
    CALL_COMMIT,
    CALL_FETCH,
    CALL_FORGET,
    CALL_DESCRIBE,
    CALL_LIST,
    CALL_DELETE
};
struct call {
    union {
        struct group_request r;
        struct group_join join;
        struct group_sync sync;
        struct group_heartbeat heartbeat;
        struct group_leave leave;
        struct group_commit commit;
        struct group_fetch fetch;
        struct group_forget forget;
        struct group_describe describe;
        struct group_list list;
        struct group_delete del;
    } u;
    enum call_kind kind;
    bool done, inside; // inside: answered from inside the call, which must not be
    struct io_msg msg;
    struct rig *rig;
    struct group_offset offset;
    struct group_topic topic;
    struct group_leaver leaver;
    char names[8][64]; // what slices of the request point at
};

RIG void call_done(struct group_request *r)
{
    struct call *call = CONTAINER_OF(r, struct call, u);
    ASSERT(!call->inside);
    ASSERT(!call->done);
    call->done = true;
}

RIG void call_make(struct call *call)
{
    struct groups *groups = call->rig->groups;
    call->inside = true;
    switch (call->kind) {
    case CALL_JOIN:
        groups_join(groups, &call->u.join);
        break;
    case CALL_SYNC:
        groups_sync(groups, &call->u.sync);
        break;
    case CALL_HEARTBEAT:
        groups_heartbeat(groups, &call->u.heartbeat);
        break;
    case CALL_LEAVE:
        groups_leave(groups, &call->u.leave);
        break;
    case CALL_COMMIT:
        groups_commit(groups, &call->u.commit);
        break;
    case CALL_FETCH:
        groups_fetch(groups, &call->u.fetch);
        break;
    case CALL_FORGET:
        groups_forget(groups, &call->u.forget);
        break;
    case CALL_DESCRIBE:
        groups_describe(groups, &call->u.describe);
        break;
    case CALL_LIST:
        groups_list(groups, &call->u.list);
        break;
    case CALL_DELETE:
        groups_delete(groups, &call->u.del);
        break;
    }
    call->inside = false;
}

RIG void call_run(struct io_msg *msg)
{
    call_make(CONTAINER_OF(msg, struct call, msg));
}

// Posts it to the shard; call_wait for the answer.
RIG void call_start(struct rig *rig, struct call *call, enum call_kind kind)
{
    call->rig = rig;
    call->kind = kind;
    call->done = false;
    call->u.r.done = call_done;
    call->msg.run = call_run;
    io_post(rig->shard, &call->msg);
}

RIG bool call_is_done(void *arg)
{
    const struct call *call = arg;
    return call->done;
}

RIG bool call_wait(struct call *call, int64_t ms)
{
    struct sim *sim = call->rig->sim;
    return sim_run_until(sim, sim_now_ns(sim) + ms * MS, call_is_done, call);
}

RIG int call_now(struct rig *rig, struct call *call, enum call_kind kind)
{
    call_start(rig, call, kind);
    assert_true(call_wait(call, 60000));
    return call->u.r.err;
}

RIG void call_end(struct call *call)
{
    group_request_fini(&call->u.r);
}

RIG struct slice call_name(struct call *call, int index, const char *text)
{
    if (text == NULL)
        return SLICE_NULL;
    (void)snprintf(call->names[index], sizeof call->names[index], "%s", text);
    return slice_cstr(call->names[index]);
}

// ---- the machine

RIG void rig_fatal(void *arg, int err, const char *what)
{
    struct rig *rig = arg;
    ASSERT(err != 0);
    ASSERT(what != NULL);
    rig->fatal = true;
}

RIG void rig_want(void *arg, bool urgent)
{
    (void)arg;
    (void)urgent;
}

RIG int rig_replay(void *arg, const struct journal_replayed *frame)
{
    struct rig *rig = arg;
    struct cursor in = cursor_of(frame->body);
    struct state_record record;
    ASSERT(frame->kind == JOURNAL_STATE);
    int err = state_get(&in, &record);
    return err != 0 ? err : groups_restore_record(rig->groups, &record);
}

RIG int rig_verify(void *arg, const struct journal_replayed *frame)
{
    (void)arg;
    (void)frame;
    return 1;
}

RIG void rig_turn_end(void *arg)
{
    journal_flush(arg);
}

struct rig_step {
    struct io_msg msg;
    struct rig *rig;
    bool done;
};

RIG bool rig_step_done(void *arg)
{
    return ((struct rig_step *)arg)->done;
}

RIG void rig_on(struct rig *rig, struct io *io, void (*run)(struct io_msg *msg))
{
    struct rig_step step = {.msg.run = run, .rig = rig};
    io_post(io, &step.msg);
    assert_true(sim_run_until(rig->sim, sim_now_ns(rig->sim) + 60000 * MS, rig_step_done, &step));
}

RIG void rig_run_ms(struct rig *rig, int64_t ms)
{
    (void)sim_run_until(rig->sim, sim_now_ns(rig->sim) + ms * MS, NULL, NULL);
}

RIG void rig_open_run(struct io_msg *msg)
{
    struct rig_step *step = CONTAINER_OF(msg, struct rig_step, msg);
    struct rig *rig = step->rig;
    const struct journal_options options = {.dir = "journal",
                                            .file_bytes = 4 << 20,
                                            .first_file_bytes = 1 << 20,
                                            .files_max = 8,
                                            .direct_min_bytes = 1 << 20,
                                            .group_max_bytes = 1 << 20,
                                            .actor = rig->actor,
                                            .checkpointer = rig->maker,
                                            .ports_count = 1,
                                            .fatal = rig_fatal,
                                            .want_checkpoint = rig_want,
                                            .arg = rig};
    const struct journal_replay replay = {.frame = rig_replay, .verify = rig_verify, .arg = rig};
    struct journal_recovery recovery;
    rig->open_err = journal_open(rig->opener, &options, 0, &replay, &recovery, &rig->journal);
    step->done = true;
}

RIG void rig_shard_run(struct io_msg *msg)
{
    struct rig_step *step = CONTAINER_OF(msg, struct rig_step, msg);
    struct rig *rig = step->rig;
    rig->port = journal_port_create(rig->journal, 0, rig->shard);
    io_on_turn_end(rig->shard, rig_turn_end, rig->port);
    groups_start(rig->groups, rig->shard, rig->port);
    step->done = true;
}

RIG struct io *rig_actor(struct rig *rig, const char *name, enum io_kind kind)
{
    struct io *io = NULL;
    struct io_actor_options options = {.name = name, .kind = kind};
    assert_int_equal(io_actor_create(rig->world, &options, &io), 0);
    return io;
}

// Starts the machine: snapshot, replay, service. False: it crashed on the way.
RIG void rig_start(struct rig *rig)
{
    rig->world = sim_start(rig->machine);
    assert_non_null(rig->world);
    rig->opener = rig_actor(rig, "opener", IO_WORKER);
    rig->actor = rig_actor(rig, "journal", IO_WORKER);
    rig->maker = rig_actor(rig, "maker", IO_WORKER);
    rig->shard = rig_actor(rig, "shard", IO_LOOP);
    rig->groups = groups_create(&rig->options);
    struct cursor in = cursor_of(buf_slice(&rig->snapshot));
    while (cursor_left(&in) > 0) {
        struct state_record record;
        assert_int_equal(state_get(&in, &record), 0);
        assert_int_equal(groups_restore_record(rig->groups, &record), 0);
    }
    rig->journal = NULL;
    rig_on(rig, rig->opener, rig_open_run);
    assert_int_equal(rig->open_err, 0);
    journal_start(rig->journal);
    rig_on(rig, rig->shard, rig_shard_run);
    rig_run_ms(rig, 20);
}

// Frees what the dead or stopped machine left.
RIG void rig_clear(struct rig *rig)
{
    io_actor_stop(rig->shard);
    io_actor_stop(rig->actor);
    io_actor_stop(rig->maker);
    io_actor_stop(rig->opener);
    groups_destroy(rig->groups);
    journal_port_destroy(rig->port);
    journal_destroy(rig->journal);
    sim_world_free(rig->world);
    rig->groups = NULL;
    rig->port = NULL;
    rig->journal = NULL;
}

RIG void rig_stop_run(struct io_msg *msg)
{
    struct rig_step *step = CONTAINER_OF(msg, struct rig_step, msg);
    groups_stop(step->rig->groups);
    step->done = true;
}

RIG void rig_restart(struct rig *rig)
{
    sim_crash(rig->machine, SIM_POWER_LOSS);
    rig_clear(rig);
    rig_start(rig);
}

RIG struct rig *rig_create(uint64_t seed)
{
    struct rig *rig = mem_zalloc(sizeof *rig);
    struct sim_options options;
    sim_options_init(&options, seed);
    assert_int_equal(sim_create(&options, &rig->sim), 0);
    rig->machine = sim_machine_create(rig->sim, "server", true);
    buf_init(&rig->snapshot, (size_t)64 << 20);
    groups_options_default(&rig->options);
    rig->options.initial_rebalance_delay_ms = 100;
    return rig;
}

RIG void rig_destroy(struct rig *rig)
{
    rig_on(rig, rig->shard, rig_stop_run);
    rig_run_ms(rig, 100);
    rig_clear(rig);
    sim_destroy(rig->sim);
    buf_fini(&rig->snapshot);
    mem_free(rig);
}

// ---- giving up

__attribute__((unused)) static struct group_request *cancelled;
RIG void cancel_run(struct io_msg *msg)
{
    struct rig_step *step = CONTAINER_OF(msg, struct rig_step, msg);
    group_request_cancel(cancelled);
    step->done = true;
}

RIG void call_cancel(struct call *call)
{
    cancelled = &call->u.r;
    rig_on(call->rig, call->rig->shard, cancel_run);
    call_end(call);
}

// ---- requests with the usual contents

// "consumer" metadata: version 0, topics, no user data.
RIG struct slice rig_subscription(char *out, size_t size, const char *topic)
{
    size_t len = strlen(topic);
    ASSERT(len + 12 <= size);
    memset(out, 0, size);
    out[5] = 1;
    out[7] = (char)len;
    memcpy(out + 8, topic, len);
    return slice_of(out, 8 + len + 4);
}

struct rig_member { // a client's view of itself
    const char *group, *instance;
    char id[128];
    char subscription[32];
    struct slice metadata;
    int32_t generation;
    bool leader;
    struct group_protocol protocols[2];
};

RIG void member_init(struct rig_member *m, const char *group, const char *instance)
{
    memset(m, 0, sizeof *m);
    m->group = group;
    m->instance = instance;
    m->generation = -1;
    m->metadata = rig_subscription(m->subscription, sizeof m->subscription, "plays");
    m->protocols[0] = (struct group_protocol){slice_cstr("range"), m->metadata};
    m->protocols[1] = (struct group_protocol){slice_cstr("roundrobin"), m->metadata};
}

RIG void join_fill(struct call *call, struct rig_member *m)
{
    *call = (struct call){.kind = CALL_JOIN};
    call->u.join.group_id = slice_cstr(m->group);
    call->u.join.member_id = call_name(call, 0, m->id);
    call->u.join.instance_id = call_name(call, 1, m->instance);
    call->u.join.client_id = slice_cstr("app");
    call->u.join.client_host = slice_cstr("/127.0.0.1");
    call->u.join.protocol_type = slice_cstr("consumer");
    call->u.join.protocols = m->protocols;
    call->u.join.protocols_count = 2;
    call->u.join.session_timeout_ms = 10000;
    call->u.join.rebalance_timeout_ms = 30000;
}

RIG void join_take(struct call *call, struct rig_member *m)
{
    struct group_join *j = &call->u.join;
    assert_int_equal(j->r.err, 0);
    slice_to_cstr(j->out_member_id, m->id, sizeof m->id);
    m->generation = j->generation;
    m->leader = slice_eq(j->leader, j->out_member_id);
    assert_true(slice_eq_cstr(j->out_protocol_type, "consumer"));
    call_end(call);
}

RIG void sync_fill(struct call *call, const struct rig_member *m)
{
    *call = (struct call){.kind = CALL_SYNC};
    call->u.sync.group_id = slice_cstr(m->group);
    call->u.sync.member_id = call_name(call, 0, m->id);
    call->u.sync.instance_id = call_name(call, 1, m->instance);
    call->u.sync.generation = m->generation;
}

RIG void heartbeat_fill(struct call *call, const struct rig_member *m)
{
    *call = (struct call){.kind = CALL_HEARTBEAT};
    call->u.heartbeat.group_id = slice_cstr(m->group);
    call->u.heartbeat.member_id = call_name(call, 0, m->id);
    call->u.heartbeat.instance_id = call_name(call, 1, m->instance);
    call->u.heartbeat.generation = m->generation;
}

RIG void leave_fill(struct call *call, const struct rig_member *m)
{
    *call = (struct call){.kind = CALL_LEAVE};
    call->leaver = (struct group_leaver){.member_id = call_name(call, 0, m->id),
                                         .instance_id = call_name(call, 1, m->instance)};
    call->u.leave.group_id = slice_cstr(m->group);
    call->u.leave.members = &call->leaver;
    call->u.leave.members_count = 1;
}

RIG void topic_fill(struct call *call, const char *topic, int32_t partition, int64_t offset)
{
    call->offset = (struct group_offset){.partition = partition,
                                         .offset = offset,
                                         .leader_epoch = 3,
                                         .metadata = slice_cstr("meta")};
    call->topic = (struct group_topic){
        .name = call_name(call, 2, topic), .partitions = &call->offset, .partitions_count = 1};
}

RIG void commit_fill(struct call *call, const struct rig_member *m, const char *topic,
                     int64_t offset)
{
    *call = (struct call){.kind = CALL_COMMIT};
    topic_fill(call, topic, 0, offset);
    call->u.commit.group_id = slice_cstr(m->group);
    call->u.commit.member_id = call_name(call, 0, m->id);
    call->u.commit.instance_id = call_name(call, 1, m->instance);
    call->u.commit.generation = m->generation;
    call->u.commit.retention_ms = -1;
    call->u.commit.topics = &call->topic;
    call->u.commit.topics_count = 1;
}

RIG void fetch_fill(struct call *call, const char *group, const char *topic)
{
    *call = (struct call){.kind = CALL_FETCH};
    topic_fill(call, topic, 0, 0);
    call->u.fetch.group_id = slice_cstr(group);
    call->u.fetch.topics = &call->topic;
    call->u.fetch.topics_count = 1;
}

RIG void forget_fill(struct call *call, const char *group, const char *topic)
{
    *call = (struct call){.kind = CALL_FORGET};
    topic_fill(call, topic, 0, 0);
    call->u.forget.group_id = slice_cstr(group);
    call->u.forget.topics = &call->topic;
    call->u.forget.topics_count = 1;
}

RIG void delete_fill(struct call *call, const char *group)
{
    *call = (struct call){.kind = CALL_DELETE};
    call->u.del.group_id = slice_cstr(group);
}

RIG int64_t rig_fetch(struct rig *rig, const char *group, const char *topic)
{
    struct call call;
    fetch_fill(&call, group, topic);
    assert_int_equal(call_now(rig, &call, CALL_FETCH), 0);
    int64_t offset = call.offset.offset;
    call_end(&call);
    return offset;
}

// A commit of somebody without membership.
RIG int rig_commit_simple(struct rig *rig, const char *group, const char *topic, int64_t offset)
{
    struct rig_member nobody;
    struct call call;
    member_init(&nobody, group, NULL);
    commit_fill(&call, &nobody, topic, offset);
    int err = call_now(rig, &call, CALL_COMMIT);
    call_end(&call);
    return err != 0 ? err : call.offset.err;
}

RIG enum group_state rig_state(struct rig *rig, const char *group)
{
    struct call call = {.kind = CALL_DESCRIBE};
    call.u.describe.group_id = slice_cstr(group);
    (void)call_now(rig, &call, CALL_DESCRIBE);
    enum group_state state = call.u.describe.state;
    call_end(&call);
    return state;
}

// All join at once; afterwards the group is in CompletingRebalance.
RIG void rig_join_all(struct rig *rig, struct rig_member *members, int count)
{
    struct call calls[8];
    ASSERT(count <= 8);
    for (int i = 0; i < count; i++) {
        join_fill(&calls[i], &members[i]);
        call_start(rig, &calls[i], CALL_JOIN);
    }
    for (int i = 0; i < count; i++) {
        assert_true(call_wait(&calls[i], 40000));
        join_take(&calls[i], &members[i]);
    }
}

// All sync; the leader assigns to each a text with its place. Afterwards the group is Stable.
RIG void rig_sync_all(struct rig *rig, struct rig_member *members, int count)
{
    struct call calls[8];
    struct group_assignment assignments[8];
    static const char *const texts[8] = {"p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"};
    for (int i = 0; i < count; i++) {
        assignments[i].member_id = slice_cstr(members[i].id);
        assignments[i].assignment = slice_cstr(texts[i]);
    }
    for (int i = 0; i < count; i++) {
        sync_fill(&calls[i], &members[i]);
        if (members[i].leader) {
            calls[i].u.sync.assignments = assignments;
            calls[i].u.sync.assignments_count = (uint32_t)count;
        }
        call_start(rig, &calls[i], CALL_SYNC);
    }
    for (int i = 0; i < count; i++) {
        assert_true(call_wait(&calls[i], 40000));
        assert_int_equal(calls[i].u.r.err, 0);
        assert_true(slice_eq_cstr(calls[i].u.sync.assignment, texts[i]));
        call_end(&calls[i]);
    }
}

RIG int rig_heartbeat(struct rig *rig, const struct rig_member *m)
{
    struct call call;
    heartbeat_fill(&call, m);
    int err = call_now(rig, &call, CALL_HEARTBEAT);
    call_end(&call);
    return err;
}

RIG void rig_leave(struct rig *rig, struct rig_member *m)
{
    struct call call;
    leave_fill(&call, m);
    assert_int_equal(call_now(rig, &call, CALL_LEAVE), 0);
    assert_int_equal(call.leaver.err, 0);
    call_end(&call);
}

#endif
