// SPDX-License-Identifier: Apache-2.0
//
// CreateTopics: each topic is made by the catalogue and answered when it is durable and known on
// all shards. Replication factors from production configurations are accepted and described as 1;
// assignments by hand are accepted when they name this node only.
#include "kafka/config_entry.h"
#include "kafka/resolve.h"
#include "wire/gen/kafka_create_topics.h"

struct create {
    struct topic_create create;
    struct kafka_request *r;
    int err; // the door's own
    const char *why;
};
struct create_topics {
    struct create *creates; // by topic of the request; those named twice only once
    uint32_t *topics;       // index into the request
    uint32_t count, left;
};

// ---- the answer

static bool create_configs(struct kafka_request *r, const struct create *c,
                           struct kafka_create_topics_response_topic *out)
{
    struct config_overrides set;
    char why[TOPIC_WHY_MAX];
    out->configs = kafka_alloc_default(r, &kafka_create_topics_response_config_type,
                                       kafka_config_count(CONFIG_TOPIC));
    if (out->configs == NULL)
        return false;
    config_overrides_init(&set);
    for (uint32_t i = 0; i < c->create.configs_count; i++) {
        const struct config_change change = {CONFIG_SET, c->create.configs[i].name,
                                             c->create.configs[i].value};
        // It was checked when the topic was made.
        (void)config_override_change(&set, CONFIG_TOPIC, &change, why, sizeof why);
    }
    for (size_t i = 0; i < config_defs_count; i++) {
        struct kafka_config_entry entry;
        if (config_defs[i].scope != CONFIG_TOPIC)
            continue;
        kafka_config_entry(r, &config_defs[i], &set, &entry);
        struct kafka_create_topics_response_config *o = &out->configs[out->configs_count++];
        o->name = slice_cstr(entry.def->name);
        o->value = entry.value;
        o->read_only = entry.read_only;
        o->config_source = entry.source;
    }
    config_overrides_fini(&set);
    return true;
}

static bool create_answer_topic(struct kafka_request *r, const struct create *c,
                                struct kafka_create_topics_response_topic *out)
{
    int err = c->err != 0 ? c->err : c->create.err;
    out->name = c->create.name;
    out->error_code = err_kafka(err);
    if (err != 0) {
        const char *why = c->err != 0 ? c->why : c->create.why;
        out->error_message = kafka_text(r, why[0] != '\0' ? why : err_text(err));
        return true;
    }
    out->topic_id = c->create.id;
    out->num_partitions = c->create.partitions_made;
    out->replication_factor = 1;
    return r->version < 5 || create_configs(r, c, out);
}

static void create_answer(struct kafka_request *r)
{
    const struct create_topics *s = r->state;
    struct kafka_create_topics_response answer;
    wire_default(&kafka_create_topics_response_type, &answer);
    answer.topics = kafka_alloc_default(r, &kafka_create_topics_response_topic_type, s->count);
    if (answer.topics == NULL)
        return;
    answer.topics_count = s->count;
    for (uint32_t i = 0; i < s->count; i++)
        if (!create_answer_topic(r, &s->creates[i], &answer.topics[i]))
            return;
    kafka_answer(r, &answer);
}

static void create_done(struct topic_create *create)
{
    struct kafka_request *r = CONTAINER_OF(create, struct create, create)->r;
    struct create_topics *s = r->state;
    ASSERT(s->left > 0);
    if (--s->left == 0)
        create_answer(r);
}

// ---- the request

// The assignment by hand: partitions numbered from 0 without gaps, each on this node. A set of
// numbers below n, each there once, is that sequence.
static int create_assignment(struct kafka_request *r,
                             const struct kafka_create_topics_request_topic *t, const char **why)
{
    if (t->num_partitions != -1 || t->replication_factor != -1) {
        *why = "A manual partition assignment was specified, so the number of partitions and the "
               "replication factor must be -1.";
        return ERR_INVALID_REQUEST;
    }
    *why = "A manual assignment must number partitions from 0 without gaps and name this broker "
           "as the only replica of each.";
    bool *there = arena_zalloc(&r->arena, t->assignments_count);
    if (there == NULL)
        return ERR_LIMIT;
    for (uint32_t i = 0; i < t->assignments_count; i++) {
        const struct kafka_create_topics_request_assignment *a = &t->assignments[i];
        int32_t at = a->partition_index;
        if (at < 0 || (uint32_t)at >= t->assignments_count || there[at] ||
            kafka_replicas_check(r, a->broker_ids, a->broker_ids_count) != 0)
            return ERR_INVALID_REPLICA_ASSIGNMENT;
        there[at] = true;
    }
    return 0;
}

static bool create_fill(struct kafka_request *r, struct kafka_names *seen,
                        const struct kafka_create_topics_request_topic *t, struct create *c)
{
    const struct kafka_create_topics_request *q = r->message;
    const struct kafka_name *name = kafka_names_find(seen, t->name);
    ASSERT(name != NULL);
    struct config_pair *configs = kafka_alloc(r, t->configs_count, sizeof *configs);
    if (configs == NULL)
        return false;
    for (uint32_t i = 0; i < t->configs_count; i++)
        configs[i] = (struct config_pair){t->configs[i].name, t->configs[i].value};
    bool by_hand = t->assignments_count > 0;
    c->r = r;
    c->why = "";
    c->create = (struct topic_create){
        .name = t->name,
        .partitions_count = by_hand ? (int32_t)t->assignments_count : t->num_partitions,
        .replication_factor = by_hand ? 1 : t->replication_factor,
        .configs = configs,
        .configs_count = t->configs_count,
        .validate_only = q->validate_only,
        .done = create_done,
    };
    if (name->count > 1) {
        c->err = ERR_INVALID_REQUEST;
        c->why = "Duplicate topic name.";
    } else if (by_hand) {
        c->err = create_assignment(r, t, &c->why);
    } else if (t->num_partitions < -1) { // 0 is refused by the catalogue, -1 is its default
        c->err = ERR_INVALID_PARTITIONS;
        c->why = "Number of partitions was set to an invalid non-positive value.";
    }
    return true;
}

static bool create_collect(struct kafka_request *r, struct kafka_names *seen)
{
    const struct kafka_create_topics_request *q = r->message;
    struct create_topics *s = r->state;
    for (uint32_t i = 0; i < q->topics_count; i++) {
        const struct kafka_name *name = kafka_names_add(seen, r, q->topics[i].name);
        if (name == NULL)
            return false;
        if (name->count == 1)
            s->topics[s->count++] = i;
    }
    for (uint32_t i = 0; i < s->count; i++)
        if (!create_fill(r, seen, &q->topics[s->topics[i]], &s->creates[i]))
            return false;
    return true;
}

void kafka_create_topics_handle(struct kafka_request *r)
{
    const struct kafka_create_topics_request *q = r->message;
    struct create_topics *s = kafka_alloc(r, 1, sizeof *s);
    if (s == NULL)
        return;
    r->state = s;
    s->creates = kafka_alloc(r, q->topics_count, sizeof *s->creates);
    s->topics = s->creates == NULL ? NULL : kafka_alloc(r, q->topics_count, sizeof *s->topics);
    if (s->topics == NULL)
        return;
    struct kafka_names seen;
    kafka_names_init(&seen, r);
    bool ok = create_collect(r, &seen);
    kafka_names_fini(&seen);
    if (!ok)
        return;
    for (uint32_t i = 0; i < s->count; i++)
        s->left += s->creates[i].err == 0;
    if (s->left == 0) {
        create_answer(r);
        return;
    }
    for (uint32_t i = 0; i < s->count; i++)
        if (s->creates[i].err == 0)
            topic_create_start(kafka_shard(r), &s->creates[i].create);
}
