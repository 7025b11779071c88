// SPDX-License-Identifier: Apache-2.0
//
// DeleteTopics: by name, since version 6 by name or id (KIP-516).
#include "kafka/resolve.h"
#include "wire/gen/kafka_delete_topics.h"

struct delete
{
    struct topic_delete del;
    struct kafka_request *r;
    struct slice name; // to answer with; null when unknown
    struct uuid id;
    int err; // the door's own
    const char *why;
};
struct delete_topics {
    struct delete *deletes;
    uint32_t count, left;
};

static void delete_answer(struct kafka_request *r)
{
    const struct delete_topics *s = r->state;
    struct kafka_delete_topics_response answer;
    wire_default(&kafka_delete_topics_response_type, &answer);
    answer.responses = kafka_alloc_default(r, &kafka_delete_topics_response_topic_type, s->count);
    if (answer.responses == NULL)
        return;
    answer.responses_count = s->count;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct delete *d = &s->deletes[i];
        struct kafka_delete_topics_response_topic *out = &answer.responses[i];
        int err = d->err != 0 ? d->err : d->del.err;
        const char *why = d->err != 0 ? d->why : d->del.why;
        out->name = d->name;
        out->topic_id = d->id;
        out->error_code = err_kafka(err);
        if (err != 0)
            out->error_message = kafka_text(r, why[0] != '\0' ? why : err_text(err));
    }
    kafka_answer(r, &answer);
}

static void delete_done(struct topic_delete *del)
{
    struct kafka_request *r = CONTAINER_OF(del, struct delete, del)->r;
    struct delete_topics *s = r->state;
    ASSERT(s->left > 0);
    if (--s->left == 0)
        delete_answer(r);
}

// What is to be deleted, named both ways where both are known.
static void delete_fill(struct kafka_request *r, struct slice name, const struct uuid *id,
                        struct delete *d)
{
    const struct topic *topic = NULL;
    bool by_id = name.data == NULL;
    d->r = r;
    d->why = "";
    d->name = name;
    d->id = by_id ? *id : (struct uuid){{0}};
    d->del.name = name;
    d->del.done = delete_done;
    if (by_id && uuid_is_zero(id)) {
        d->err = ERR_INVALID_REQUEST;
        d->why = "Neither topic name nor id were specified.";
        return;
    }
    if (!by_id && !uuid_is_zero(id)) {
        d->err = ERR_INVALID_REQUEST;
        d->why = "You may not specify both topic name and topic id.";
        return;
    }
    d->err = kafka_topic(r, by_id, name, id, &topic);
    if (d->err != 0)
        return;
    d->name = arena_slice(&r->arena, topic->name);
    d->id = topic->id;
    d->del.name = d->name;
    d->del.id = topic->id;
}

// A topic that is named twice is deleted by neither.
static bool delete_duplicates(struct kafka_request *r)
{
    struct delete_topics *s = r->state;
    struct kafka_names seen;
    bool ok = true;
    kafka_names_init(&seen, r);
    for (uint32_t i = 0; ok && i < s->count; i++)
        ok = s->deletes[i].err != 0 || kafka_names_add(&seen, r, s->deletes[i].name) != NULL;
    for (uint32_t i = 0; ok && i < s->count; i++) {
        const struct kafka_name *name = kafka_names_find(&seen, s->deletes[i].name);
        if (s->deletes[i].err != 0 || name->count == 1)
            continue;
        s->deletes[i].err = ERR_INVALID_REQUEST;
        s->deletes[i].why = "Duplicate topic name.";
    }
    kafka_names_fini(&seen);
    return ok;
}

void kafka_delete_topics_handle(struct kafka_request *r)
{
    static const struct uuid none = {{0}};
    const struct kafka_delete_topics_request *q = r->message;
    struct delete_topics *s = kafka_alloc(r, 1, sizeof *s);
    if (s == NULL)
        return;
    r->state = s;
    s->count = r->version < 6 ? q->topic_names_count : q->topics_count;
    s->deletes = kafka_alloc(r, s->count, sizeof *s->deletes);
    if (s->deletes == NULL)
        return;
    for (uint32_t i = 0; i < s->count; i++) {
        bool old = r->version < 6;
        delete_fill(r, old ? q->topic_names[i] : q->topics[i].name,
                    old ? &none : &q->topics[i].topic_id, &s->deletes[i]);
    }
    if (!delete_duplicates(r))
        return;
    for (uint32_t i = 0; i < s->count; i++)
        s->left += s->deletes[i].err == 0;
    if (s->left == 0) {
        delete_answer(r);
        return;
    }
    for (uint32_t i = 0; i < s->count; i++)
        if (s->deletes[i].err == 0)
            topic_delete_start(kafka_shard(r), &s->deletes[i].del);
}
