// SPDX-License-Identifier: Apache-2.0
//
// Metadata of one topic, asked by clients of several kinds.
#include <string.h>

#include "sim/client.h"
#include "wire/gen/kafka_metadata.h"

#define IDS_SINCE    10 // versions of Metadata
#define EPOCHS_SINCE 7

static void topic_told(struct client *c, const struct kafka_metadata_response_topic *t)
{
    struct world *w = c->world;
    struct model_topic *topic = c->asked_topic;
    const struct uuid none = {{0}};
    bool exists = t->error_code == 0;
    // 3: UNKNOWN_TOPIC_OR_PARTITION, 5: LEADER_NOT_AVAILABLE (being made)
    if (!exists && t->error_code != 3)
        return;
    topic_model_seen(&w->model, topic, c->asked_at, exists,
                     c->call.version >= IDS_SINCE ? &t->topic_id : &none, t->partitions_count);
    for (uint32_t i = 0; i < t->partitions_count && exists; i++)
        if (c->call.version >= EPOCHS_SINCE && client_same_start(c))
            model_epoch(&w->model, w->model.start, t->partitions[i].leader_epoch);
    client_note(c, "metadata of %s: error %d, %u partitions", topic->name, t->error_code,
                t->partitions_count);
    if (c->metadata_done != NULL)
        c->metadata_done(c, exists);
}

static void metadata_answered(struct client *c, int err, const void *response)
{
    const struct kafka_metadata_response *r = response;
    if (err != 0)
        return;
    for (uint32_t i = 0; i < r->topics_count; i++)
        if (slice_eq_cstr(r->topics[i].name, c->asked_topic->name))
            topic_told(c, &r->topics[i]);
}

void client_metadata(struct client *c, struct model_topic *topic,
                     void (*done)(struct client *c, bool exists))
{
    struct kafka_metadata_request_topic t;
    struct kafka_metadata_request q;
    wire_default(&kafka_metadata_request_topic_type, &t);
    wire_default(&kafka_metadata_request_type, &q);
    t.name = slice_cstr(topic->name);
    q.topics = &t;
    q.topics_count = 1;
    q.topics_null = false;
    c->asked_topic = topic;
    c->asked_at = model_now(&c->world->model);
    c->metadata_done = done;
    client_call(c, KAFKA_API_METADATA, &q, metadata_answered);
}
