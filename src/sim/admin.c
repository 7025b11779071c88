// SPDX-License-Identifier: Apache-2.0
//
// An administrator has topic names of its own: it makes topics, lets them grow, changes a setting,
// deletes them, makes them again, and looks whether the server agrees.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "sim/client.h"
#include "wire/gen/kafka_create_partitions.h"
#include "wire/gen/kafka_create_topics.h"
#include "wire/gen/kafka_delete_topics.h"
#include "wire/gen/kafka_describe_configs.h"
#include "wire/gen/kafka_incremental_alter_configs.h"

#define NAMES          2
#define PARTITIONS_MAX 6
#define SETTING        "retention.ms"
#define SETTING_LEAST  INT64_C(10000000000) // ms: old enough to delete nothing
#define RESOURCE_TOPIC 2
#define SOURCE_TOPIC   1 // DYNAMIC_TOPIC_CONFIG

struct name {
    char text[24];
    struct model_topic *topic; // the newest one that was made, or is being made
    bool there;                // as far as the last Metadata told
    bool sure;                 // and nothing was changed since
};

struct admin {
    struct client c;
    struct name names[NAMES];
    struct name *at;
    uint32_t exists, count, setting; // writes under way
    uint64_t since;
    int64_t next_setting;
};

static void admin_start(struct client *c)
{
    struct admin *a = CONTAINER_OF(c, struct admin, c);
    for (uint32_t i = 0; i < NAMES; i++) {
        (void)snprintf(a->names[i].text, sizeof a->names[i].text, "churn-%u-%u", c->number, i);
        a->names[i].sure = true;
    }
    a->next_setting = SETTING_LEAST;
}

static enum model_outcome outcome_of(struct admin *a, const char *what, int err)
{
    client_note(&a->c, "%s %s: %s", what, a->at->text, err_name(err));
    if (err == 0)
        server_acknowledged(a->c.world);
    return err == 0 ? MODEL_OK : MODEL_UNKNOWN;
}

// ---- create

static void created(struct client *c, int err, const void *response)
{
    struct admin *a = CONTAINER_OF(c, struct admin, c);
    const struct kafka_create_topics_response *r = response;
    struct model *m = &c->world->model;
    struct model_topic *t = a->at->topic;
    int code = ERR_TIMEOUT;
    if (err == 0 && r->topics_count == 1)
        code = err_from_kafka(r->topics[0].error_code);
    enum model_outcome outcome = outcome_of(a, "created", code);
    if (code == ERR_TOPIC_ALREADY_EXISTS)
        outcome = MODEL_REFUSED;
    register_written(m, t->exists, a->exists, outcome);
    register_written(m, t->count, a->count, outcome);
    a->at->there = outcome == MODEL_OK;
    a->at->sure = outcome == MODEL_OK;
}

static void create(struct admin *a)
{
    struct client *c = &a->c;
    struct model *m = &c->world->model;
    struct kafka_create_topics_request q;
    struct kafka_create_topics_request_topic topic;
    struct name *n = a->at;
    if (n->topic == NULL || n->topic->deleting)
        n->topic = topic_model_create(m, n->text, 1 + client_dice(c, 3));
    wire_default(&kafka_create_topics_request_type, &q);
    wire_default(&kafka_create_topics_request_topic_type, &topic);
    topic.name = slice_cstr(n->text);
    topic.num_partitions = (int32_t)n->topic->partitions_count;
    topic.replication_factor = 1;
    q.topics = &topic;
    q.topics_count = 1;
    q.timeout_ms = 10000;
    a->exists = register_write(m, n->topic->exists, 1);
    a->count = register_write(m, n->topic->count, n->topic->partitions_count);
    client_call(c, KAFKA_API_CREATE_TOPICS, &q, created);
}

// ---- delete

static void deleted(struct client *c, int err, const void *response)
{
    struct admin *a = CONTAINER_OF(c, struct admin, c);
    const struct kafka_delete_topics_response *r = response;
    struct model *m = &c->world->model;
    int code = ERR_TIMEOUT;
    if (err == 0 && r->responses_count == 1)
        code = err_from_kafka(r->responses[0].error_code);
    enum model_outcome outcome = outcome_of(a, "deleted", code);
    register_written(m, a->at->topic->exists, a->exists, outcome);
    if (outcome == MODEL_OK)
        topic_model_dead(m, a->at->topic);
    if (code == ERR_UNKNOWN_TOPIC_OR_PARTITION)
        register_seen(m, a->at->topic->exists, a->since, 0);
    a->at->there = outcome != MODEL_OK;
    a->at->sure = outcome == MODEL_OK;
}

static void delete_topic(struct admin *a)
{
    struct client *c = &a->c;
    struct model *m = &c->world->model;
    struct kafka_delete_topics_request q;
    struct kafka_delete_topics_request_topic topic;
    struct slice name = slice_cstr(a->at->text);
    wire_default(&kafka_delete_topics_request_type, &q);
    wire_default(&kafka_delete_topics_request_topic_type, &topic);
    topic.name = name;
    q.topics = &topic;
    q.topics_count = 1;
    q.topic_names = &name;
    q.topic_names_count = 1;
    q.timeout_ms = 10000;
    a->at->topic->deleting = true;
    a->since = model_now(m);
    a->exists = register_write(m, a->at->topic->exists, 0);
    a->at->topic->deletion = a->exists;
    client_call(c, KAFKA_API_DELETE_TOPICS, &q, deleted);
}

// ---- grow

static void grown(struct client *c, int err, const void *response)
{
    struct admin *a = CONTAINER_OF(c, struct admin, c);
    const struct kafka_create_partitions_response *r = response;
    int code = ERR_TIMEOUT;
    if (err == 0 && r->results_count == 1)
        code = err_from_kafka(r->results[0].error_code);
    register_written(&c->world->model, a->at->topic->count, a->count, outcome_of(a, "grew", code));
}

static void grow(struct admin *a)
{
    struct client *c = &a->c;
    struct kafka_create_partitions_request q;
    struct kafka_create_partitions_request_topic topic;
    struct model_topic *t = a->at->topic;
    if (t->partitions_count >= PARTITIONS_MAX)
        return;
    topic_model_grow(&c->world->model, t, t->partitions_count + 1);
    wire_default(&kafka_create_partitions_request_type, &q);
    wire_default(&kafka_create_partitions_request_topic_type, &topic);
    topic.name = slice_cstr(a->at->text);
    topic.count = (int32_t)t->partitions_count;
    topic.assignments_null = true;
    q.topics = &topic;
    q.topics_count = 1;
    q.timeout_ms = 10000;
    a->count = register_write(&c->world->model, t->count, t->partitions_count);
    client_call(c, KAFKA_API_CREATE_PARTITIONS, &q, grown);
}

// ---- settings

static void altered(struct client *c, int err, const void *response)
{
    struct admin *a = CONTAINER_OF(c, struct admin, c);
    const struct kafka_incremental_alter_configs_response *r = response;
    int code = ERR_TIMEOUT;
    if (err == 0 && r->responses_count == 1)
        code = err_from_kafka(r->responses[0].error_code);
    register_written(&c->world->model, a->at->topic->setting, a->setting,
                     outcome_of(a, "altered", code));
}

static void alter(struct admin *a)
{
    struct kafka_incremental_alter_configs_request q;
    struct kafka_incremental_alter_configs_request_resource resource;
    struct kafka_incremental_alter_configs_request_config config;
    char value[24];
    wire_default(&kafka_incremental_alter_configs_request_type, &q);
    wire_default(&kafka_incremental_alter_configs_request_resource_type, &resource);
    wire_default(&kafka_incremental_alter_configs_request_config_type, &config);
    (void)snprintf(value, sizeof value, "%" PRId64, ++a->next_setting);
    config.name = slice_cstr(SETTING);
    config.value = slice_cstr(value);
    resource.resource_type = RESOURCE_TOPIC;
    resource.resource_name = slice_cstr(a->at->text);
    resource.configs = &config;
    resource.configs_count = 1;
    q.resources = &resource;
    q.resources_count = 1;
    a->setting =
        register_write(&a->c.world->model, a->at->topic->setting, (uint64_t)a->next_setting);
    client_call(&a->c, KAFKA_API_INCREMENTAL_ALTER_CONFIGS, &q, altered);
}

static void described(struct client *c, int err, const void *response)
{
    struct admin *a = CONTAINER_OF(c, struct admin, c);
    const struct kafka_describe_configs_response *r = response;
    if (err != 0 || r->results_count != 1 || r->results[0].error_code != 0 ||
        r->results[0].configs_count != 1)
        return;
    const struct kafka_describe_configs_response_config *config = &r->results[0].configs[0];
    char text[24];
    slice_to_cstr(config->value, text, sizeof text);
    uint64_t value = config->config_source == SOURCE_TOPIC ? strtoull(text, NULL, 10) : 0;
    client_note(c, "%s of %s is %s", SETTING, a->at->text, text);
    register_seen(&c->world->model, a->at->topic->setting, a->since, value);
}

static void describe(struct admin *a)
{
    struct kafka_describe_configs_request q;
    struct kafka_describe_configs_request_resource resource;
    struct slice key = slice_cstr(SETTING);
    wire_default(&kafka_describe_configs_request_type, &q);
    wire_default(&kafka_describe_configs_request_resource_type, &resource);
    resource.resource_type = RESOURCE_TOPIC;
    resource.resource_name = slice_cstr(a->at->text);
    resource.configuration_keys = &key;
    resource.configuration_keys_count = 1;
    resource.configuration_keys_null = false;
    q.resources = &resource;
    q.resources_count = 1;
    a->since = model_now(&a->c.world->model);
    client_call(&a->c, KAFKA_API_DESCRIBE_CONFIGS, &q, described);
}

// ---- steps

static void looked(struct client *c, bool exists)
{
    struct admin *a = CONTAINER_OF(c, struct admin, c);
    a->at->there = exists;
    a->at->sure = true;
}

static void admin_step(struct client *c)
{
    struct admin *a = CONTAINER_OF(c, struct admin, c);
    a->at = &a->names[client_dice(c, NAMES)];
    struct name *n = a->at;
    if (n->topic != NULL && (!n->sure || client_chance(c, 25))) {
        client_metadata(c, n->topic, looked);
        return;
    }
    if (!n->there) {
        create(a);
        return;
    }
    ASSERT(n->topic != NULL); // what is there has been made
    if (n->topic->deleting) { // it was to go, and is there all the same: once more
        delete_topic(a);
        return;
    }
    switch (client_dice(c, 6)) {
    case 0:
        delete_topic(a);
        break;
    case 1:
        grow(a);
        break;
    case 2:
    case 3:
        alter(a);
        break;
    default:
        describe(a);
        break;
    }
}

const struct client_kind client_admin = {
    .name = "admin",
    .size = sizeof(struct admin),
    .needs = KAFKA_API_DELETE_TOPICS,
    .start = admin_start,
    .step = admin_step,
};
