// SPDX-License-Identifier: Apache-2.0
//
// A committer has a consumer group to itself, without members, and commits offsets that only rise:
// what it reads back must be what it committed last, or later.
#include <stdio.h>

#include "base/err.h"
#include "sim/client.h"
#include "wire/gen/kafka_offset_commit.h"
#include "wire/gen/kafka_offset_fetch.h"

#define SLOTS        4 // partitions it commits for
#define GROUPS_SINCE 8 // version of OffsetFetch that asks for several groups

struct committer {
    struct client c;
    char group[24];
    struct model_register *slots[SLOTS];
    struct model_partition *partitions[SLOTS];
    uint32_t at;     // the slot under way
    uint32_t number; // of the write under way
    uint64_t since;
    int64_t offset; // the last one it tried
};

static void committer_start(struct client *c)
{
    struct committer *k = CONTAINER_OF(c, struct committer, c);
    struct world *w = c->world;
    (void)snprintf(k->group, sizeof k->group, "solo-%u", c->number);
    for (uint32_t i = 0; i < SLOTS; i++) {
        k->partitions[i] = w->topics[i / 2]->partitions[i % 2];
        k->slots[i] = register_create(&w->model, (uint64_t)INT64_C(-1), "%s of %s-%d", k->group,
                                      w->topics[i / 2]->name, i % 2);
    }
}

// ---- commit

static void committed(struct client *c, int err, const void *response)
{
    struct committer *k = CONTAINER_OF(c, struct committer, c);
    struct model *m = &c->world->model;
    const struct kafka_offset_commit_response *r = response;
    enum model_outcome outcome = MODEL_UNKNOWN;
    if (err == 0 && r->topics_count == 1 && r->topics[0].partitions_count == 1) {
        int code = err_from_kafka(r->topics[0].partitions[0].error_code);
        client_note(c, "committed %lld: %s", (long long)k->offset, err_name(code));
        outcome = code == 0 ? MODEL_OK : MODEL_UNKNOWN;
    }
    register_written(m, k->slots[k->at], k->number, outcome);
    if (outcome != MODEL_OK)
        return;
    c->world->report->commits++;
    server_acknowledged(c->world);
}

static void commit(struct committer *k)
{
    struct kafka_offset_commit_request q;
    struct kafka_offset_commit_request_topic topic;
    struct kafka_offset_commit_request_partition part;
    struct model_partition *p = k->partitions[k->at];
    wire_default(&kafka_offset_commit_request_type, &q);
    wire_default(&kafka_offset_commit_request_topic_type, &topic);
    wire_default(&kafka_offset_commit_request_partition_type, &part);
    k->offset++;
    part.partition_index = p->index;
    part.committed_offset = k->offset;
    part.committed_leader_epoch = -1;
    part.committed_metadata = slice_cstr("by weir sim");
    topic.name = slice_cstr(p->topic->name);
    topic.topic_id = p->topic->id;
    topic.partitions = &part;
    topic.partitions_count = 1;
    q.group_id = slice_cstr(k->group);
    q.generation_id_or_member_epoch = -1;
    q.group_instance_id = SLICE_NULL;
    q.retention_time_ms = -1;
    q.topics = &topic;
    q.topics_count = 1;
    client_note(&k->c, "commits %lld for %s", (long long)k->offset, k->slots[k->at]->name);
    k->number = register_write(&k->c.world->model, k->slots[k->at], (uint64_t)k->offset);
    client_call(&k->c, KAFKA_API_OFFSET_COMMIT, &q, committed);
}

// ---- fetch

static void told(struct committer *k, int16_t code, int64_t offset)
{
    client_note(&k->c, "is told %lld for %s: %s", (long long)offset, k->slots[k->at]->name,
                err_name(err_from_kafka(code)));
    if (code == 0)
        register_seen(&k->c.world->model, k->slots[k->at], k->since, (uint64_t)offset);
}

static void fetched(struct client *c, int err, const void *response)
{
    struct committer *k = CONTAINER_OF(c, struct committer, c);
    const struct kafka_offset_fetch_response *r = response;
    if (err != 0)
        return;
    if (c->call.version < GROUPS_SINCE) {
        if (r->error_code == 0 && r->topics_count == 1 && r->topics[0].partitions_count == 1)
            told(k, r->topics[0].partitions[0].error_code,
                 r->topics[0].partitions[0].committed_offset);
        return;
    }
    if (r->groups_count != 1 || r->groups[0].error_code != 0 || r->groups[0].topics_count != 1 ||
        r->groups[0].topics[0].partitions_count != 1)
        return;
    const struct kafka_offset_fetch_response_group_topic_partition *p =
        &r->groups[0].topics[0].partitions[0];
    told(k, p->error_code, p->committed_offset);
}

static void fetch(struct committer *k)
{
    struct kafka_offset_fetch_request q;
    struct kafka_offset_fetch_request_topic topic;
    struct kafka_offset_fetch_request_group group;
    struct kafka_offset_fetch_request_group_topic group_topic;
    struct model_partition *p = k->partitions[k->at];
    int32_t index = p->index;
    wire_default(&kafka_offset_fetch_request_type, &q);
    wire_default(&kafka_offset_fetch_request_topic_type, &topic);
    wire_default(&kafka_offset_fetch_request_group_type, &group);
    wire_default(&kafka_offset_fetch_request_group_topic_type, &group_topic);
    topic.name = slice_cstr(p->topic->name);
    topic.partition_indexes = &index;
    topic.partition_indexes_count = 1;
    group_topic.name = topic.name;
    group_topic.topic_id = p->topic->id;
    group_topic.partition_indexes = &index;
    group_topic.partition_indexes_count = 1;
    group.group_id = slice_cstr(k->group);
    group.member_id = SLICE_NULL;
    group.member_epoch = -1;
    group.topics = &group_topic;
    group.topics_count = 1;
    group.topics_null = false;
    q.group_id = group.group_id;
    q.topics = &topic;
    q.topics_count = 1;
    q.topics_null = false;
    q.groups = &group;
    q.groups_count = 1;
    q.require_stable = client_chance(&k->c, 30);
    k->since = model_now(&k->c.world->model);
    client_call(&k->c, KAFKA_API_OFFSET_FETCH, &q, fetched);
}

static void committer_step(struct client *c)
{
    struct committer *k = CONTAINER_OF(c, struct committer, c);
    k->at = client_dice(c, SLOTS);
    if (client_chance(c, 55) && client_can(c, KAFKA_API_OFFSET_COMMIT))
        commit(k);
    else
        fetch(k);
}

const struct client_kind client_committer = {
    .name = "committer",
    .size = sizeof(struct committer),
    .needs = KAFKA_API_OFFSET_FETCH,
    .start = committer_start,
    .step = committer_step,
};
