// SPDX-License-Identifier: Apache-2.0
//
// OffsetFetch: positions of one group (up to version 7) or of several (KIP-709). Both shapes are
// brought into one, a list of groups, and the answer of old is cut out of it at the end.
#include "kafka/group_call.h"
#include "wire/gen/kafka_offset_fetch.h"

#define FETCH_GROUPS_SINCE 8
#define FETCH_IDS_SINCE    10

// ---- the request

static bool fetch_topic(struct kafka_request *r, struct slice name, const struct uuid *id,
                        const int32_t *partitions, uint32_t count, struct group_topic *out)
{
    bool by_id = r->version >= FETCH_IDS_SINCE;
    const struct topic *topic = NULL;
    int err = by_id ? kafka_topic(r, true, name, id, &topic) : 0;
    out->name = name;
    if (topic != NULL)
        out->name = arena_slice(&r->arena, topic->name);
    out->partitions = kafka_alloc(r, count, sizeof *out->partitions);
    if (out->partitions == NULL)
        return false;
    out->partitions_count = count;
    for (uint32_t j = 0; j < count; j++)
        out->partitions[j] = (struct group_offset){
            .partition = partitions[j], .leader_epoch = -1, .offset = -1, .err = err};
    return true;
}

static bool fetch_one(struct kafka_request *r, struct group_fetch *fetch)
{
    const struct kafka_offset_fetch_request *q = r->message;
    fetch->group_id = q->group_id;
    fetch->all = q->topics_null;
    fetch->topics_count = q->topics_count;
    fetch->topics = kafka_alloc(r, q->topics_count, sizeof *fetch->topics);
    for (uint32_t i = 0; fetch->topics != NULL && i < q->topics_count; i++) {
        const struct kafka_offset_fetch_request_topic *t = &q->topics[i];
        if (!fetch_topic(r, t->name, NULL, t->partition_indexes, t->partition_indexes_count,
                         &fetch->topics[i]))
            return false;
    }
    return fetch->topics != NULL;
}

static bool fetch_group(struct kafka_request *r, const struct kafka_offset_fetch_request_group *g,
                        struct group_fetch *fetch)
{
    fetch->group_id = g->group_id;
    fetch->all = g->topics_null;
    fetch->topics_count = g->topics_count;
    fetch->topics = kafka_alloc(r, g->topics_count, sizeof *fetch->topics);
    for (uint32_t i = 0; fetch->topics != NULL && i < g->topics_count; i++) {
        const struct kafka_offset_fetch_request_group_topic *t = &g->topics[i];
        if (!fetch_topic(r, t->name, &t->topic_id, t->partition_indexes, t->partition_indexes_count,
                         &fetch->topics[i]))
            return false;
    }
    return fetch->topics != NULL;
}

// ---- the answer

static bool answer_topic(struct kafka_request *r, const struct group_topic *t,
                         struct kafka_offset_fetch_response_group_topic *out)
{
    out->name = t->name;
    out->partitions_count = t->partitions_count;
    out->partitions = kafka_alloc_default(
        r, &kafka_offset_fetch_response_group_topic_partition_type, t->partitions_count);
    if (out->partitions == NULL)
        return false;
    for (uint32_t j = 0; j < t->partitions_count; j++) {
        const struct group_offset *p = &t->partitions[j];
        struct kafka_offset_fetch_response_group_topic_partition *o = &out->partitions[j];
        o->partition_index = p->partition;
        o->committed_offset = p->err == 0 ? p->offset : -1;
        o->committed_leader_epoch = p->err == 0 ? p->leader_epoch : -1;
        o->metadata = p->metadata.data != NULL ? p->metadata : slice_of("", 0);
        o->error_code = err_kafka(p->err);
    }
    return true;
}

// Of all topics in version 10 only those that still have an id can be told.
static bool topic_id_of(struct kafka_request *r, const struct group_fetch *fetch, uint32_t i,
                        uint32_t group, struct uuid *out)
{
    const struct kafka_offset_fetch_request *q = r->message;
    if (r->version < FETCH_IDS_SINCE)
        return true;
    if (!fetch->all) {
        *out = q->groups[group].topics[i].topic_id;
        return true;
    }
    const struct topic *topic = topic_by_name(kafka_shard(r), fetch->topics[i].name);
    if (topic != NULL)
        *out = topic->id;
    return topic != NULL;
}

static bool answer_group(struct kafka_request *r, uint32_t group, const struct group_fetch *fetch,
                         struct kafka_offset_fetch_response_group *out)
{
    const struct wire_struct *type = &kafka_offset_fetch_response_group_topic_type;
    out->group_id = fetch->group_id;
    out->error_code = err_kafka(fetch->r.err);
    // Version 1 has no place for the group's error but the partitions.
    bool told = fetch->r.err == 0 || r->version < 2;
    uint32_t count = told ? fetch->topics_count : 0;
    out->topics = kafka_alloc_default(r, type, count);
    if (out->topics == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct kafka_offset_fetch_response_group_topic *t = &out->topics[out->topics_count];
        for (uint32_t j = 0; fetch->r.err != 0 && j < fetch->topics[i].partitions_count; j++)
            fetch->topics[i].partitions[j].err = fetch->r.err;
        if (!topic_id_of(r, fetch, i, group, &t->topic_id))
            continue;
        out->topics_count++;
        if (!answer_topic(r, &fetch->topics[i], t))
            return false;
    }
    return true;
}

// The one group's topics in the shape of version 7 and below.
static bool answer_of_old(struct kafka_request *r,
                          const struct kafka_offset_fetch_response_group *group,
                          struct kafka_offset_fetch_response *out)
{
    out->error_code = group->error_code;
    out->topics_count = group->topics_count;
    out->topics =
        kafka_alloc_default(r, &kafka_offset_fetch_response_topic_type, group->topics_count);
    for (uint32_t i = 0; out->topics != NULL && i < group->topics_count; i++) {
        const struct kafka_offset_fetch_response_group_topic *t = &group->topics[i];
        struct kafka_offset_fetch_response_topic *o = &out->topics[i];
        o->name = t->name;
        o->partitions_count = t->partitions_count;
        o->partitions = kafka_alloc_default(r, &kafka_offset_fetch_response_partition_type,
                                            t->partitions_count);
        if (o->partitions == NULL)
            return false;
        for (uint32_t j = 0; j < t->partitions_count; j++)
            o->partitions[j] = (struct kafka_offset_fetch_response_partition){
                .partition_index = t->partitions[j].partition_index,
                .committed_offset = t->partitions[j].committed_offset,
                .committed_leader_epoch = t->partitions[j].committed_leader_epoch,
                .metadata = t->partitions[j].metadata,
                .error_code = t->partitions[j].error_code,
            };
    }
    return out->topics != NULL;
}

static void offset_fetch_answer(struct kafka_request *r)
{
    const struct kafka_group_calls *all = r->state;
    struct kafka_offset_fetch_response answer;
    wire_default(&kafka_offset_fetch_response_type, &answer);
    answer.groups = kafka_alloc_default(r, &kafka_offset_fetch_response_group_type, all->count);
    if (answer.groups == NULL)
        return;
    answer.groups_count = all->count;
    for (uint32_t i = 0; i < all->count; i++)
        if (!answer_group(r, i, &all->calls[i].u.fetch, &answer.groups[i]))
            return;
    if (r->version < FETCH_GROUPS_SINCE && !answer_of_old(r, &answer.groups[0], &answer))
        return;
    kafka_answer(r, &answer);
}

// ---- the way

static void fetch_run(struct groups *groups, struct kafka_group_call *call)
{
    groups_fetch(groups, &call->u.fetch);
}

void kafka_offset_fetch_handle(struct kafka_request *r)
{
    const struct kafka_offset_fetch_request *q = r->message;
    uint32_t count = r->version >= FETCH_GROUPS_SINCE ? q->groups_count : 1;
    struct kafka_group_call *calls =
        kafka_group_calls_new(r, count, fetch_run, offset_fetch_answer);
    if (calls == NULL)
        return;
    if (count == 0) {
        offset_fetch_answer(r);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct group_fetch *fetch = &calls[i].u.fetch;
        bool ok = r->version >= FETCH_GROUPS_SINCE ? fetch_group(r, &q->groups[i], fetch)
                                                   : fetch_one(r, fetch);
        if (!ok)
            return;
        fetch->require_stable = q->require_stable;
    }
    for (uint32_t i = 0; i < count; i++)
        kafka_group_call_start(&calls[i], calls[i].u.fetch.group_id);
}
