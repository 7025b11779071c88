// SPDX-License-Identifier: Apache-2.0
//
// Members of one consumer group: they join, the leader shares out the partitions, each reads from
// what the group committed and commits what it has read. Some are static (KIP-345). Now and then
// one leaves, or dies without a word and comes back later: a dynamic one as somebody new, a static
// one under its instance id. When the run is over they go on until the group was given everything,
// so a group that stays stuck after some crash is found, too.
#include <stdio.h>
#include <string.h>

#include "base/endian.h"
#include "base/err.h"
#include "sim/client.h"
#include "wire/gen/kafka_find_coordinator.h"
#include "wire/gen/kafka_heartbeat.h"
#include "wire/gen/kafka_join_group.h"
#include "wire/gen/kafka_leave_group.h"
#include "wire/gen/kafka_sync_group.h"

#define GROUP           "crew"
#define MEMBERS_MAX     16
#define SHARE_BYTES     12 // of an assignment: generation, then a bit per partition
#define UUID_TEXT       37 // what the server appends to a name to make a member id
#define LIMIT_MIN_MS    200
#define LIMIT_MAX_MS    1500
#define DEAD_MAX_MS     3000
#define INSTANCES_SINCE 5 // of JoinGroup

enum member_state { MEMBER_OUT, MEMBER_JOINED, MEMBER_WORKING };

struct position {
    bool known, asked_start;
    int64_t next, committed;
};

struct member {
    struct client c;
    struct model_group *group;
    enum member_state state;
    bool is_static;
    bool named; // it joined in a version that told the server its instance id
    char instance[24];
    char id[MODEL_NAME]; // empty: none yet
    char protocol[24];
    int32_t session_ms, rebalance_ms;
    int32_t generation;
    int32_t least;  // generation when the join was sent
    uint64_t owned; // bit per partition of the group's
    int64_t dead_until_ns;
    struct position positions[MODEL_PER_GEN];
    uint32_t at; // the partition under way
    struct client_fetch fetch;
    uint64_t since;
    uint32_t write; // the commit under way
    int64_t offset;
    char members[MEMBERS_MAX][MODEL_NAME]; // as the leader was told
    uint32_t members_count;
    uint8_t shares[MEMBERS_MAX][SHARE_BYTES];
};

static void member_start(struct client *c)
{
    struct member *b = CONTAINER_OF(c, struct member, c);
    struct world *w = c->world;
    b->group = group_model(&w->model, GROUP);
    if (b->group->progress_count == 0)
        for (uint32_t t = 0; t < w->topics_count; t++)
            for (uint32_t i = 0; i < w->topics[t]->partitions_count; i++)
                group_model_follow(&w->model, b->group, w->topics[t]->partitions[i]);
    b->is_static = client_chance(c, 40);
    (void)snprintf(b->instance, sizeof b->instance, "still-%u", c->number);
    b->session_ms = (int32_t)prng_range(&c->prng, LIMIT_MIN_MS, LIMIT_MAX_MS);
    b->rebalance_ms = (int32_t)prng_range(&c->prng, LIMIT_MIN_MS, LIMIT_MAX_MS);
}

static struct slice instance_of(const struct member *b)
{
    return b->named ? slice_cstr(b->instance) : SLICE_NULL;
}

// Who it is for the model: a static member stays the same when its id changes.
static const char *identity_of(const struct member *b)
{
    return b->is_static ? b->instance : b->id;
}

static void out(struct member *b, bool forget_id)
{
    b->state = MEMBER_OUT;
    b->owned = 0;
    if (forget_id)
        b->id[0] = '\0';
}

// What an error says about the membership; false: nothing.
static bool expelled(struct member *b, int code)
{
    switch (code) {
    case ERR_UNKNOWN_MEMBER_ID:
    case ERR_FENCED_INSTANCE_ID:
        out(b, true);
        return true;
    case ERR_ILLEGAL_GENERATION:
    case ERR_REBALANCE_IN_PROGRESS:
        out(b, false);
        return true;
    default:
        return false;
    }
}

// ---- join

// A static leader may come back with another id in the same generation: its name stays.
static void leader_name(struct slice leader, char name[MODEL_NAME])
{
    slice_to_cstr(leader, name, MODEL_NAME);
    size_t len = strlen(name);
    if (strncmp(name, "still-", 6) == 0 && len > UUID_TEXT)
        name[len - UUID_TEXT] = '\0';
}

static void joined(struct client *c, int err, const void *response)
{
    struct member *b = CONTAINER_OF(c, struct member, c);
    const struct kafka_join_group_response *r = response;
    if (err != 0)
        return;
    int code = err_from_kafka(r->error_code);
    client_note(c, "joined: %s, generation %d, %u members", err_name(code), r->generation_id,
                r->members_count);
    if (code == ERR_MEMBER_ID_REQUIRED)
        slice_to_cstr(r->member_id, b->id, sizeof b->id);
    if (code != 0) {
        (void)expelled(b, code);
        return;
    }
    char leader[MODEL_NAME];
    leader_name(r->leader, leader);
    group_model_joined(&c->world->model, b->group, c->start_at_send, b->least, r->generation_id,
                       leader);
    slice_to_cstr(r->member_id, b->id, sizeof b->id);
    slice_to_cstr(r->protocol_name, b->protocol, sizeof b->protocol);
    b->named = b->is_static && c->call.version >= INSTANCES_SINCE;
    b->generation = r->generation_id;
    b->state = MEMBER_JOINED;
    b->members_count = 0;
    for (uint32_t i = 0; i < r->members_count && i < MEMBERS_MAX && !r->skip_assignment; i++)
        slice_to_cstr(r->members[i].member_id, b->members[b->members_count++], MODEL_NAME);
}

static void subscription_make(const struct member *b, struct buf *out)
{
    const struct world *w = b->c.world;
    buf_put_be16(out, 0);
    buf_put_be32(out, w->topics_count);
    for (uint32_t i = 0; i < w->topics_count; i++) {
        struct slice name = slice_cstr(w->topics[i]->name);
        buf_put_be16(out, (uint16_t)name.len);
        buf_put(out, name.data, name.len);
    }
    buf_put_be32(out, UINT32_MAX); // no user data
}

static void join(struct member *b)
{
    struct client *c = &b->c;
    struct kafka_join_group_request q;
    struct kafka_join_group_request_protocol protocols[2];
    struct buf subscription;
    buf_init(&subscription, 4096);
    subscription_make(b, &subscription);
    wire_default(&kafka_join_group_request_type, &q);
    for (uint32_t i = 0; i < 2; i++) {
        wire_default(&kafka_join_group_request_protocol_type, &protocols[i]);
        protocols[i].name = slice_cstr(i == 0 ? "range" : "sticky");
        protocols[i].metadata = buf_slice(&subscription);
    }
    q.group_id = slice_cstr(GROUP);
    q.session_timeout_ms = b->session_ms;
    q.rebalance_timeout_ms = b->rebalance_ms;
    q.member_id = slice_cstr(b->id);
    q.group_instance_id = b->is_static ? slice_cstr(b->instance) : SLICE_NULL;
    q.protocol_type = slice_cstr("consumer");
    q.protocols = protocols;
    q.protocols_count = 1 + client_dice(c, 2);
    q.reason = SLICE_NULL;
    b->least = group_model_least(b->group);
    client_note(c, "joins as '%s'", b->id);
    client_call(c, KAFKA_API_JOIN_GROUP, &q, joined);
    buf_fini(&subscription);
}

// ---- sync

static void assigned(struct member *b, struct slice share)
{
    struct client *c = &b->c;
    struct model *m = &c->world->model;
    if (share.len != SHARE_BYTES || (int32_t)be32_get(share.data) != b->generation) {
        model_fail(m, "%s was given an assignment that nobody made for generation %d", c->name,
                   b->generation);
        return;
    }
    group_model_synced(m, b->group, c->start_at_send, b->generation);
    b->owned = be64_get(share.data + 4);
    b->state = MEMBER_WORKING;
    for (uint32_t i = 0; i < b->group->progress_count; i++) {
        const struct model_partition *p = b->group->progress[i].partition;
        b->positions[i].known = false;
        if ((b->owned >> i & 1) != 0)
            group_model_assigned(m, b->group, c->start_at_send, b->generation, identity_of(b),
                                 p->topic->name, p->index);
    }
}

static void synced(struct client *c, int err, const void *response)
{
    struct member *b = CONTAINER_OF(c, struct member, c);
    const struct kafka_sync_group_response *r = response;
    if (err != 0)
        return;
    int code = err_from_kafka(r->error_code);
    client_note(c, "synced generation %d: %s", b->generation, err_name(code));
    if (code == 0)
        assigned(b, r->assignment);
    else
        (void)expelled(b, code);
}

// Every partition to exactly one member.
static void shares_make(struct member *b)
{
    for (uint32_t k = 0; k < b->members_count; k++) {
        uint64_t mask = 0;
        for (uint32_t i = k; i < b->group->progress_count; i += b->members_count)
            mask |= UINT64_C(1) << i;
        be32_put(b->shares[k], (uint32_t)b->generation);
        be64_put(b->shares[k] + 4, mask);
    }
}

static void sync_group(struct member *b)
{
    struct client *c = &b->c;
    struct kafka_sync_group_request q;
    struct kafka_sync_group_request_assignment assignments[MEMBERS_MAX];
    wire_default(&kafka_sync_group_request_type, &q);
    shares_make(b);
    for (uint32_t i = 0; i < b->members_count; i++) {
        wire_default(&kafka_sync_group_request_assignment_type, &assignments[i]);
        assignments[i].member_id = slice_cstr(b->members[i]);
        assignments[i].assignment = slice_of(b->shares[i], SHARE_BYTES);
    }
    q.group_id = slice_cstr(GROUP);
    q.generation_id = b->generation;
    q.member_id = slice_cstr(b->id);
    q.group_instance_id = instance_of(b);
    q.protocol_type = slice_cstr("consumer");
    q.protocol_name = slice_cstr(b->protocol);
    q.assignments = assignments;
    q.assignments_count = b->members_count;
    client_call(c, KAFKA_API_SYNC_GROUP, &q, synced);
}

// ---- heartbeat, leave, find

static void beaten(struct client *c, int err, const void *response)
{
    struct member *b = CONTAINER_OF(c, struct member, c);
    const struct kafka_heartbeat_response *r = response;
    if (err == 0)
        (void)expelled(b, err_from_kafka(r->error_code));
}

static void heartbeat(struct member *b)
{
    struct kafka_heartbeat_request q;
    wire_default(&kafka_heartbeat_request_type, &q);
    q.group_id = slice_cstr(GROUP);
    q.generation_id = b->generation;
    q.member_id = slice_cstr(b->id);
    q.group_instance_id = instance_of(b);
    client_call(&b->c, KAFKA_API_HEARTBEAT, &q, beaten);
}

static void left(struct client *c, int err, const void *response)
{
    const struct kafka_leave_group_response *r = response;
    if (err == 0)
        client_note(c, "left: %s", err_name(err_from_kafka(r->error_code)));
}

static void leave(struct member *b)
{
    struct kafka_leave_group_request q;
    struct kafka_leave_group_request_member who;
    char id[MODEL_NAME];
    (void)snprintf(id, sizeof id, "%s", b->id);
    wire_default(&kafka_leave_group_request_type, &q);
    wire_default(&kafka_leave_group_request_member_type, &who);
    who.member_id = slice_cstr(id);
    who.group_instance_id = instance_of(b);
    who.reason = SLICE_NULL;
    q.group_id = slice_cstr(GROUP);
    q.member_id = slice_cstr(id);
    q.members = &who;
    q.members_count = 1;
    client_note(&b->c, "leaves as '%s'", id);
    out(b, true);
    client_call(&b->c, KAFKA_API_LEAVE_GROUP, &q, left);
}

static void found(struct client *c, int err, const void *response)
{
    const struct kafka_find_coordinator_response *r = response;
    if (err != 0)
        return;
    bool many = c->call.version >= 4;
    if (many && r->coordinators_count != 1) {
        model_fail(&c->world->model, "%u coordinators of one group", r->coordinators_count);
        return;
    }
    int code = err_from_kafka(many ? r->coordinators[0].error_code : r->error_code);
    int32_t port = many ? r->coordinators[0].port : r->port;
    if (code == 0 && port != WORLD_PORT)
        model_fail(&c->world->model, "the coordinator is said to be at port %d", port);
}

static void find(struct member *b)
{
    struct kafka_find_coordinator_request q;
    struct slice key = slice_cstr(GROUP);
    wire_default(&kafka_find_coordinator_request_type, &q);
    q.key = key;
    q.coordinator_keys = &key;
    q.coordinator_keys_count = 1;
    client_call(&b->c, KAFKA_API_FIND_COORDINATOR, &q, found);
}

// ---- work

static void committed(struct client *c, int err, const void *response)
{
    struct member *b = CONTAINER_OF(c, struct member, c);
    int code = client_commit_code(c, err, response);
    struct model_register *r = b->group->progress[b->at].committed;
    bool refused = code == ERR_ILLEGAL_GENERATION || code == ERR_UNKNOWN_MEMBER_ID ||
                   code == ERR_FENCED_INSTANCE_ID || code == ERR_REBALANCE_IN_PROGRESS;
    client_note(c, "committed %lld for %s in generation %d: %s", (long long)b->offset, r->name,
                b->generation, err_name(code));
    register_written(&c->world->model, r, b->write,
                     code == 0 ? MODEL_OK
                     : refused ? MODEL_REFUSED
                               : MODEL_UNKNOWN);
    (void)expelled(b, code);
    if (code != 0)
        return;
    b->positions[b->at].committed = b->offset;
    c->world->report->commits++;
    server_acknowledged(c->world);
}

static void commit(struct member *b)
{
    struct model_progress *progress = &b->group->progress[b->at];
    b->offset = b->positions[b->at].next;
    const struct client_commit commit = {
        .group = GROUP,
        .member = b->id,
        .instance = b->named ? b->instance : NULL,
        .generation = b->generation,
        .partition = progress->partition,
        .offset = b->offset,
    };
    b->write = register_write(&b->c.world->model, progress->committed, (uint64_t)b->offset);
    progress->committed->writes[b->write].generation = b->generation;
    client_commit(&b->c, &commit, committed);
}

static void committed_told(struct client *c, int err, const void *response)
{
    struct member *b = CONTAINER_OF(c, struct member, c);
    struct model_progress *progress = &b->group->progress[b->at];
    struct position *position = &b->positions[b->at];
    int64_t offset = -1;
    if (client_committed_offset(c, err, response, &offset) != 0)
        return;
    client_note(c, "is told %lld for %s", (long long)offset, progress->committed->name);
    register_seen(&c->world->model, progress->committed, b->since, (uint64_t)offset);
    position->known = true;
    position->asked_start = false;
    position->committed = offset;
    position->next = offset >= 0 ? offset : progress->partition->start_low;
}

static void read_more(struct client *c, int err, const void *response)
{
    struct member *b = CONTAINER_OF(c, struct member, c);
    const struct kafka_fetch_response_partition *r = client_fetched(c, &b->fetch, err, response);
    if (r == NULL)
        return;
    struct position *position = &b->positions[b->at];
    if (err_from_kafka(r->error_code) == ERR_OFFSET_OUT_OF_RANGE)
        position->asked_start = true;
    if (r->error_code != 0)
        return;
    group_model_read(&c->world->model, b->group, &b->group->progress[b->at], b->fetch.offset,
                     b->fetch.next);
    position->next = b->fetch.next;
}

static void work(struct member *b)
{
    struct client *c = &b->c;
    uint32_t i = client_dice(c, b->group->progress_count);
    while ((b->owned >> i & 1) == 0)
        i = (i + 1) % b->group->progress_count;
    struct position *position = &b->positions[i];
    struct model_partition *p = b->group->progress[i].partition;
    b->at = i;
    if (!position->known) {
        b->since = model_now(&c->world->model);
        client_ask_committed(c, GROUP, p, committed_told);
    } else if (position->asked_start) { // "auto.offset.reset=earliest"
        position->asked_start = false;
        position->next = p->start_seen;
        client_list_start(c, p);
    } else if (position->next > position->committed && client_chance(c, 40)) {
        commit(b);
    } else {
        b->fetch.partition = p;
        b->fetch.offset = position->next;
        b->fetch.max_bytes = 1U << (10 + client_dice(c, 10));
        b->fetch.wait_ms = 0;
        client_fetch(c, &b->fetch, read_more);
    }
}

// ---- steps

// Without a word, as in a crash of its machine.
static void die(struct member *b)
{
    int64_t ms = prng_range(&b->c.prng, 1, DEAD_MAX_MS);
    client_note(&b->c, "dies for %lld ms", (long long)ms);
    b->dead_until_ns = io_now_ns(b->c.io) + ms * 1000000;
    out(b, true);
    client_forget(&b->c);
}

static void member_step(struct client *c)
{
    struct member *b = CONTAINER_OF(c, struct member, c);
    bool calm = c->world->phase == PHASE_VERIFY;
    if (io_now_ns(c->io) < b->dead_until_ns && !calm)
        return;
    if (!calm && b->state != MEMBER_OUT && client_chance(c, 2))
        die(b);
    else if (client_chance(c, 2) && client_can(c, KAFKA_API_FIND_COORDINATOR))
        find(b);
    else if (b->state == MEMBER_OUT)
        join(b);
    else if (b->state == MEMBER_JOINED)
        sync_group(b);
    else if (!calm && client_chance(c, 4))
        leave(b);
    else if (b->owned == 0 || client_chance(c, 20))
        heartbeat(b);
    else
        work(b);
}

const struct client_kind client_member = {
    .name = "member",
    .size = sizeof(struct member),
    .needs = KAFKA_API_JOIN_GROUP,
    .verifies = true,
    .start = member_start,
    .step = member_step,
};
