// SPDX-License-Identifier: Apache-2.0
//
// CreatePartitions: raises the number of partitions of topics.
#include "kafka/resolve.h"
#include "wire/gen/kafka_create_partitions.h"

struct grow {
    struct topic_grow grow;
    struct kafka_request *r;
    int err; // the door's own
    const char *why;
};
struct create_partitions {
    struct grow *grows;
    uint32_t count, left;
};

static void grow_answer(struct kafka_request *r)
{
    const struct create_partitions *s = r->state;
    struct kafka_create_partitions_response answer;
    wire_default(&kafka_create_partitions_response_type, &answer);
    answer.results = kafka_alloc_default(r, &kafka_create_partitions_response_topic_type, s->count);
    if (answer.results == NULL)
        return;
    answer.results_count = s->count;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct grow *g = &s->grows[i];
        int err = g->err != 0 ? g->err : g->grow.err;
        const char *why = g->err != 0 ? g->why : g->grow.why;
        answer.results[i].name = g->grow.name;
        answer.results[i].error_code = err_kafka(err);
        if (err != 0)
            answer.results[i].error_message = kafka_text(r, why[0] != '\0' ? why : err_text(err));
    }
    kafka_answer(r, &answer);
}

static void grow_done(struct topic_grow *grow)
{
    struct kafka_request *r = CONTAINER_OF(grow, struct grow, grow)->r;
    struct create_partitions *s = r->state;
    ASSERT(s->left > 0);
    if (--s->left == 0)
        grow_answer(r);
}

// Replicas by hand, one list for each partition that is added.
static int grow_assignment(struct kafka_request *r,
                           const struct kafka_create_partitions_request_topic *t, const char **why)
{
    const struct topic *topic = topic_by_name(kafka_shard(r), t->name);
    if (t->assignments_null || topic == NULL)
        return 0; // an unknown topic is the catalogue's to refuse
    if ((int64_t)t->assignments_count + topic->partitions_count != t->count) {
        *why = "The number of manual assignments differs from the number of new partitions.";
        return ERR_INVALID_REPLICA_ASSIGNMENT;
    }
    for (uint32_t i = 0; i < t->assignments_count; i++) {
        int err = kafka_replicas_check(r, t->assignments[i].broker_ids,
                                       t->assignments[i].broker_ids_count);
        if (err != 0) {
            *why = "A manual assignment must name this broker as the only replica.";
            return err;
        }
    }
    return 0;
}

static bool grow_collect(struct kafka_request *r, struct kafka_names *seen)
{
    const struct kafka_create_partitions_request *q = r->message;
    struct create_partitions *s = r->state;
    for (uint32_t i = 0; i < q->topics_count; i++) {
        const struct kafka_create_partitions_request_topic *t = &q->topics[i];
        const struct kafka_name *name = kafka_names_add(seen, r, t->name);
        if (name == NULL)
            return false;
        if (name->count > 1)
            continue;
        struct grow *g = &s->grows[s->count++];
        g->r = r;
        g->why = "";
        g->grow = (struct topic_grow){.name = t->name,
                                      .partitions_count = t->count,
                                      .validate_only = q->validate_only,
                                      .done = grow_done};
        g->err = grow_assignment(r, t, &g->why);
    }
    for (uint32_t i = 0; i < s->count; i++) {
        if (kafka_names_find(seen, s->grows[i].grow.name)->count == 1)
            continue;
        s->grows[i].err = ERR_INVALID_REQUEST;
        s->grows[i].why = "Duplicate topic in request.";
    }
    return true;
}

void kafka_create_partitions_handle(struct kafka_request *r)
{
    const struct kafka_create_partitions_request *q = r->message;
    struct create_partitions *s = kafka_alloc(r, 1, sizeof *s);
    if (s == NULL)
        return;
    r->state = s;
    s->grows = kafka_alloc(r, q->topics_count, sizeof *s->grows);
    if (s->grows == NULL)
        return;
    struct kafka_names seen;
    kafka_names_init(&seen, r);
    bool ok = grow_collect(r, &seen);
    kafka_names_fini(&seen);
    if (!ok)
        return;
    for (uint32_t i = 0; i < s->count; i++)
        s->left += s->grows[i].err == 0;
    if (s->left == 0) {
        grow_answer(r);
        return;
    }
    for (uint32_t i = 0; i < s->count; i++)
        if (s->grows[i].err == 0)
            topic_grow_start(kafka_shard(r), &s->grows[i].grow);
}
