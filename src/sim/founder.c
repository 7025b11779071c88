// SPDX-License-Identifier: Apache-2.0
//
// The founder makes the topics that live as long as the world, one after the other, in spite of
// faults: what the server may have done is tried again until it is there. They have small segments;
// one loses its oldest records by retention, one by DeleteRecords.
#include <stdio.h>

#include "base/err.h"
#include "sim/client.h"
#include "wire/gen/kafka_create_topics.h"

#define CONFIGS_MAX 4

struct founder {
    struct client c;
    uint32_t at;     // the topic under way
    bool made;       // it is there: ask for its id
    uint32_t exists; // numbers of the writes under way
    uint32_t count;
    int32_t partitions;
};

static void told(struct client *c, bool exists)
{
    struct founder *f = CONTAINER_OF(c, struct founder, c);
    struct world *w = c->world;
    if (!exists ||
        (uuid_is_zero(&w->topics[f->at]->id) && client_version_max(c, KAFKA_API_METADATA) >= 10))
        return;
    w->topics_ready |= 1U << f->at;
    f->at++;
    f->made = false;
}

static void settle(struct founder *f, struct model_topic *t, enum model_outcome outcome)
{
    struct model *m = &f->c.world->model;
    register_written(m, t->exists, f->exists, outcome);
    register_written(m, t->count, f->count, outcome);
}

static void created(struct client *c, int err, const void *response)
{
    struct founder *f = CONTAINER_OF(c, struct founder, c);
    const struct kafka_create_topics_response *r = response;
    struct model_topic *t = c->world->topics[f->at];
    if (err != 0 || r->topics_count != 1) {
        settle(f, t, MODEL_UNKNOWN);
        return;
    }
    int code = err_from_kafka(r->topics[0].error_code);
    client_note(c, "create %s: %s", t->name, err_name(code));
    f->made = code == 0 || code == ERR_TOPIC_ALREADY_EXISTS;
    settle(f, t, code == 0 ? MODEL_OK : f->made ? MODEL_REFUSED : MODEL_UNKNOWN);
}

static uint32_t configs_plan(struct client *c, uint32_t topic, char text[CONFIGS_MAX][24],
                             struct kafka_create_topics_request_config *configs)
{
    struct model_topic *t = c->world->topics[topic];
    uint32_t n = 0;
    (void)snprintf(text[n], 24, "%u", 1024U << client_dice(c, 6));
    configs[n].name = slice_cstr("internal.segment.bytes");
    configs[n].value = slice_cstr(text[n]);
    n++;
    (void)snprintf(text[n], 24, "%u", 64U << client_dice(c, 7));
    configs[n].name = slice_cstr("index.interval.bytes");
    configs[n].value = slice_cstr(text[n]);
    n++;
    if (topic == WORLD_TOPIC_RETAINED) {
        (void)snprintf(text[n], 24, "%u", 4096U << client_dice(c, 4));
        configs[n].name = slice_cstr("retention.bytes");
        configs[n].value = slice_cstr(text[n]);
        n++;
        for (uint32_t i = 0; i < t->partitions_count; i++)
            t->partitions[i]->start_high = INT64_MAX;
    }
    return n;
}

static void create(struct founder *f)
{
    struct client *c = &f->c;
    struct model_topic *t = c->world->topics[f->at];
    struct kafka_create_topics_request q;
    struct kafka_create_topics_request_topic topic;
    struct kafka_create_topics_request_config configs[CONFIGS_MAX];
    char text[CONFIGS_MAX][24];
    wire_default(&kafka_create_topics_request_type, &q);
    wire_default(&kafka_create_topics_request_topic_type, &topic);
    topic.name = slice_cstr(t->name);
    topic.num_partitions = (int32_t)t->partitions_count;
    topic.replication_factor = 1;
    topic.configs = configs;
    topic.configs_count = configs_plan(c, f->at, text, configs);
    q.topics = &topic;
    q.topics_count = 1;
    q.timeout_ms = 10000;
    f->exists = register_write(&c->world->model, t->exists, 1);
    f->count = register_write(&c->world->model, t->count, t->partitions_count);
    client_call(c, KAFKA_API_CREATE_TOPICS, &q, created);
}

static void founder_step(struct client *c)
{
    struct founder *f = CONTAINER_OF(c, struct founder, c);
    struct world *w = c->world;
    if (f->at == w->topics_count)
        return;
    if (f->made) {
        client_metadata(c, w->topics[f->at], told);
    } else {
        create(f);
    }
}

const struct client_kind client_founder = {
    .name = "founder",
    .size = sizeof(struct founder),
    .needs = -1,
    .step = founder_step,
};
