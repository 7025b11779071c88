// SPDX-License-Identifier: Apache-2.0
//
// Askers put the questions that clients ask about partitions: where they begin and end, what stands
// at a time, where a leader epoch ended; and Metadata. Now and then one deletes records where that
// is allowed.
#include <string.h>

#include "base/err.h"
#include "sim/client.h"
#include "wire/gen/kafka_delete_records.h"
#include "wire/gen/kafka_list_offsets.h"
#include "wire/gen/kafka_offset_for_leader_epoch.h"

#define LIST_LATEST   (-1)
#define LIST_EARLIEST (-2)

// ---- ListOffsets

static void listed(struct client *c, int err, const void *response)
{
    const struct kafka_list_offsets_response *r = response;
    struct model *m = &c->world->model;
    struct model_partition *p = c->asked_partition;
    if (err != 0 || r->topics_count != 1 || r->topics[0].partitions_count != 1)
        return;
    const struct kafka_list_offsets_response_partition *at = &r->topics[0].partitions[0];
    client_note(c, "list %s-%d at %lld: %s, %lld of %lld", p->topic->name, p->index,
                (long long)c->asked_time, err_name(err_from_kafka(at->error_code)),
                (long long)at->offset, (long long)at->timestamp);
    if (err_from_kafka(at->error_code) == ERR_CORRUPT_MESSAGE) // a lookup reads what it passes
        model_damaged(m, p, &c->asked_read, 0, INT64_MAX);
    if (at->error_code != 0)
        return;
    if (c->asked_time == LIST_LATEST)
        model_listed_end(m, p, &c->asked_read, at->offset);
    else if (c->asked_time == LIST_EARLIEST)
        model_listed_start(m, p, &c->asked_read, at->offset);
    else
        model_listed_time(m, p, &c->asked_read, c->asked_time, at->offset, at->timestamp);
}

static void list(struct client *c, struct model_partition *p, int64_t timestamp)
{
    struct kafka_list_offsets_request q;
    struct kafka_list_offsets_request_topic topic;
    struct kafka_list_offsets_request_partition part;
    wire_default(&kafka_list_offsets_request_type, &q);
    wire_default(&kafka_list_offsets_request_topic_type, &topic);
    wire_default(&kafka_list_offsets_request_partition_type, &part);
    part.partition_index = p->index;
    part.current_leader_epoch = -1;
    part.timestamp = timestamp;
    topic.name = slice_cstr(p->topic->name);
    topic.partitions = &part;
    topic.partitions_count = 1;
    q.replica_id = -1;
    q.topics = &topic;
    q.topics_count = 1;
    c->asked_partition = p;
    c->asked_time = timestamp;
    c->asked_read = model_read_begin(&c->world->model, p);
    client_call(c, KAFKA_API_LIST_OFFSETS, &q, listed);
}

void client_list_start(struct client *c, struct model_partition *p)
{
    list(c, p, LIST_EARLIEST);
}

// ---- OffsetForLeaderEpoch

static void epoch_told(struct client *c, int err, const void *response)
{
    const struct kafka_offset_for_leader_epoch_response *r = response;
    struct model_partition *p = c->asked_partition;
    if (err != 0 || r->topics_count != 1 || r->topics[0].partitions_count != 1)
        return;
    const struct kafka_offset_for_leader_epoch_response_partition *at = &r->topics[0].partitions[0];
    client_note(c, "epoch %lld of %s-%d: %s, epoch %d ends at %lld", (long long)c->asked_time,
                p->topic->name, p->index, err_name(err_from_kafka(at->error_code)),
                at->leader_epoch, (long long)at->end_offset);
    if (at->error_code == 0)
        model_epoch_end(&c->world->model, p, &c->asked_read, (int32_t)c->asked_time,
                        at->leader_epoch, at->end_offset);
}

static void ask_epoch(struct client *c, struct model_partition *p)
{
    struct kafka_offset_for_leader_epoch_request q;
    struct kafka_offset_for_leader_epoch_request_topic topic;
    struct kafka_offset_for_leader_epoch_request_partition part;
    wire_default(&kafka_offset_for_leader_epoch_request_type, &q);
    wire_default(&kafka_offset_for_leader_epoch_request_topic_type, &topic);
    wire_default(&kafka_offset_for_leader_epoch_request_partition_type, &part);
    part.partition = p->index;
    part.current_leader_epoch = -1;
    part.leader_epoch = (int32_t)client_dice(c, c->world->model.start + 1);
    topic.topic = slice_cstr(p->topic->name);
    topic.partitions = &part;
    topic.partitions_count = 1;
    q.replica_id = -2;
    q.topics = &topic;
    q.topics_count = 1;
    c->asked_partition = p;
    c->asked_time = part.leader_epoch;
    c->asked_read = model_read_begin(&c->world->model, p);
    client_call(c, KAFKA_API_OFFSET_FOR_LEADER_EPOCH, &q, epoch_told);
}

// ---- DeleteRecords

static void trimmed(struct client *c, int err, const void *response)
{
    const struct kafka_delete_records_response *r = response;
    struct model_partition *p = c->asked_partition;
    if (err != 0 || r->topics_count != 1 || r->topics[0].partitions_count != 1)
        return;
    const struct kafka_delete_records_response_partition *at = &r->topics[0].partitions[0];
    client_note(c, "delete %s-%d below %lld: %s, start %lld", p->topic->name, p->index,
                (long long)c->asked_time, err_name(err_from_kafka(at->error_code)),
                (long long)at->low_watermark);
    if (at->error_code == 0) {
        if (at->low_watermark < c->asked_time)
            model_fail(&c->world->model,
                       "%s-%d: records below %lld were to be deleted, but it is "
                       "said to start at %lld",
                       p->topic->name, p->index, (long long)c->asked_time,
                       (long long)at->low_watermark);
        model_deleted(&c->world->model, p, &c->asked_read, at->low_watermark);
        server_acknowledged(c->world);
    }
}

static void trim(struct client *c, struct model_partition *p)
{
    struct kafka_delete_records_request q;
    struct kafka_delete_records_request_topic topic;
    struct kafka_delete_records_request_partition part;
    wire_default(&kafka_delete_records_request_type, &q);
    wire_default(&kafka_delete_records_request_topic_type, &topic);
    wire_default(&kafka_delete_records_request_partition_type, &part);
    part.partition_index = p->index;
    part.offset = prng_range(&c->prng, p->start_seen, p->end);
    topic.name = slice_cstr(p->topic->name);
    topic.partitions = &part;
    topic.partitions_count = 1;
    q.topics = &topic;
    q.topics_count = 1;
    q.timeout_ms = 10000;
    c->asked_partition = p;
    c->asked_time = part.offset;
    c->asked_read = model_read_begin(&c->world->model, p);
    model_deleting(&c->world->model, p, part.offset);
    client_call(c, KAFKA_API_DELETE_RECORDS, &q, trimmed);
}

// ---- steps

static void asker_step(struct client *c)
{
    struct world *w = c->world;
    struct model_partition *p = client_partition(c);
    switch (client_dice(c, 6)) {
    case 0:
        client_metadata(c, p->topic, NULL);
        break;
    case 1:
        if (client_can(c, KAFKA_API_OFFSET_FOR_LEADER_EPOCH))
            ask_epoch(c, p);
        break;
    case 2:
        p = w->topics[WORLD_TOPIC_TRIMMED]->partitions[client_dice(c, 2)];
        if (client_can(c, KAFKA_API_DELETE_RECORDS) && client_chance(c, 40))
            trim(c, p);
        break;
    default:
        if (client_can(c, KAFKA_API_LIST_OFFSETS))
            list(c, p,
                 client_chance(c, 50) ? LIST_EARLIEST + (int64_t)client_dice(c, 2)
                                      : world_timestamp(w) - client_dice(c, 2000));
        break;
    }
}

const struct client_kind client_asker = {
    .name = "asker",
    .size = sizeof(struct client),
    .needs = -1,
    .step = asker_step,
};
