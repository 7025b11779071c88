// SPDX-License-Identifier: Apache-2.0
//
// Fetch: what to read, with or without a session (KIP-227), and the wait for it. The answer is in
// fetch_answer.c.
//
//   session id, epoch   meaning
//   any, -1             no session; one that is named ends
//   any, 0              everything is named; the answer may open a session
//   id, n               only what changed is named; n must be the epoch that the session expects;
//                       when nothing is left in it the session ends
#include "kafka/fetch_int.h"

#include "kafka/conn.h"

// ---- what to read

static void fetch_want(struct kafka_request *r, struct slice name, const struct uuid *id,
                       const struct kafka_fetch_request_partition *p)
{
    struct fetch_state *s = r->state;
    struct fetch_want *w = &s->wants[s->fetch.parts_count];
    struct fetch_part *part = &s->parts[s->fetch.parts_count++];
    const struct topic *topic = NULL;
    w->name = name;
    w->id = *id;
    w->asked = *p;
    w->err = kafka_topic(r, s->by_id, name, id, &topic);
    int err = kafka_part(topic, p->partition, p->current_leader_epoch, &part->part);
    if (w->err == 0)
        w->err = err;
    part->offset = p->fetch_offset;
    part->max_bytes = p->partition_max_bytes > 0 ? (uint32_t)p->partition_max_bytes : 0;
    part->last_fetched_epoch = p->last_fetched_epoch;
}

static bool fetch_room(struct kafka_request *r, size_t count)
{
    struct fetch_state *s = r->state;
    s->parts = kafka_alloc(r, count, sizeof *s->parts);
    s->wants = s->parts == NULL ? NULL : kafka_alloc(r, count, sizeof *s->wants);
    return s->wants != NULL;
}

static bool fetch_all_named(struct kafka_request *r)
{
    const struct kafka_fetch_request *q = r->message;
    size_t count = 0;
    for (uint32_t i = 0; i < q->topics_count; i++)
        count += q->topics[i].partitions_count;
    if (!fetch_room(r, count))
        return false;
    for (uint32_t i = 0; i < q->topics_count; i++) {
        const struct kafka_fetch_request_topic *t = &q->topics[i];
        for (uint32_t j = 0; j < t->partitions_count; j++)
            fetch_want(r, t->topic, &t->topic_id, &t->partitions[j]);
    }
    return true;
}

static bool fetch_whole_session(struct kafka_request *r, const struct kafka_session *session)
{
    if (!fetch_room(r, session->parts.count))
        return false;
    LIST_FOR (it, &session->parts.order) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        const struct kafka_session_part *p = CONTAINER_OF(node, struct kafka_session_part, node);
        struct kafka_fetch_request_partition asked;
        wire_default(&kafka_fetch_request_partition_type, &asked);
        asked.partition = p->partition;
        asked.current_leader_epoch = p->current_leader_epoch;
        asked.last_fetched_epoch = p->last_fetched_epoch;
        asked.fetch_offset = p->fetch_offset;
        asked.partition_max_bytes = p->max_bytes;
        // The session may change while this waits, so the name is copied.
        fetch_want(r, arena_slice(&r->arena, p->name), &p->id, &asked);
    }
    return true;
}

// ---- sessions

void kafka_session_ask(struct kafka_session_part *part,
                       const struct kafka_fetch_request_partition *asked)
{
    part->current_leader_epoch = asked->current_leader_epoch;
    part->last_fetched_epoch = asked->last_fetched_epoch;
    part->fetch_offset = asked->fetch_offset;
    part->max_bytes = asked->partition_max_bytes;
}

static int session_update(struct kafka_session *session, const struct kafka_fetch_request *q)
{
    for (uint32_t i = 0; i < q->topics_count; i++) {
        const struct kafka_fetch_request_topic *t = &q->topics[i];
        for (uint32_t j = 0; j < t->partitions_count; j++) {
            struct kafka_session_part *p =
                kafka_session_add(session, t->topic, &t->topic_id, t->partitions[j].partition);
            if (p == NULL)
                return ERR_BUDGET;
            kafka_session_ask(p, &t->partitions[j]);
        }
    }
    for (uint32_t i = 0; i < q->forgotten_topics_data_count; i++) {
        const struct kafka_fetch_request_forgotten_topic *t = &q->forgotten_topics_data[i];
        for (uint32_t j = 0; j < t->partitions_count; j++) {
            struct kafka_session_part *p =
                kafka_session_part(session, t->topic, &t->topic_id, t->partitions[j]);
            if (p != NULL)
                kafka_session_drop(session, p);
        }
    }
    return 0;
}

// The session of an incremental fetch, brought up to date, NULL if that has ended it; or what is
// wrong with it.
static int session_continue(struct kafka_request *r, struct kafka_session **out)
{
    const struct kafka_fetch_request *q = r->message;
    const struct fetch_state *s = r->state;
    struct kafka_session *session = kafka_session_find(r->door->sessions, q->session_id);
    if (session == NULL)
        return ERR_FETCH_SESSION_ID_NOT_FOUND;
    if (session->epoch != q->session_epoch)
        return ERR_INVALID_FETCH_SESSION_EPOCH;
    if (session->by_id != s->by_id)
        return ERR_FETCH_SESSION_TOPIC_ID_ERROR;
    if (session_update(session, q) != 0) {
        // No memory to remember more: without a session the client names everything, which costs
        // memory only while it asks.
        kafka_session_close(session);
        return ERR_FETCH_SESSION_ID_NOT_FOUND;
    }
    ASSERT(session->by_id == s->by_id);
    kafka_session_next(session);
    *out = session;
    if (session->parts.count == 0) {
        kafka_session_close(session);
        *out = NULL;
    }
    return 0;
}

static bool fetch_collect(struct kafka_request *r)
{
    const struct kafka_fetch_request *q = r->message;
    struct fetch_state *s = r->state;
    bool has_sessions = r->version >= FETCH_SESSIONS_SINCE;
    bool full = q->session_epoch == 0 || q->session_epoch == -1;
    if (has_sessions && !full) {
        struct kafka_session *session;
        int err = session_continue(r, &session);
        if (err != 0) {
            kafka_fetch_refuse(r, err);
            return false;
        }
        if (session == NULL)
            return fetch_all_named(r);
        s->session_id = session->id;
        s->incremental = true;
        return fetch_whole_session(r, session);
    }
    struct kafka_session *old = has_sessions && q->session_id != 0
                                    ? kafka_session_find(r->door->sessions, q->session_id)
                                    : NULL;
    if (old != NULL)
        kafka_session_close(old);
    s->opens_session = has_sessions && q->session_epoch == 0;
    return fetch_all_named(r);
}

// ---- the request

static uint32_t not_negative(int32_t v)
{
    return v > 0 ? (uint32_t)v : 0;
}

static void fetch_limits(struct kafka_request *r)
{
    const struct kafka_fetch_request *q = r->message;
    struct fetch *f = &((struct fetch_state *)r->state)->fetch;
    uint32_t most = kafka_config(r)->fetch_max_bytes;
    f->max_bytes = not_negative(q->max_bytes) < most ? not_negative(q->max_bytes) : most;
    f->min_bytes =
        not_negative(q->min_bytes) < f->max_bytes ? not_negative(q->min_bytes) : f->max_bytes;
    f->max_wait_ms =
        q->max_wait_ms < KAFKA_FETCH_WAIT_MAX_MS ? q->max_wait_ms : KAFKA_FETCH_WAIT_MAX_MS;
}

void kafka_fetch_handle(struct kafka_request *r)
{
    struct fetch_state *s = kafka_alloc(r, 1, sizeof *s);
    if (s == NULL)
        return;
    r->state = s;
    s->r = r;
    s->by_id = r->version >= FETCH_IDS_SINCE;
    if (!fetch_collect(r))
        return;
    fetch_limits(r);
    ASSERT(s->fetch.min_bytes <= s->fetch.max_bytes);
    s->fetch.parts = s->parts;
    s->fetch.context = &r->context;
    s->fetch.done = kafka_fetch_done;
    ASSERT(!s->started);
    s->started = true;
    fetch_start(kafka_shard(r), &s->fetch);
}

void kafka_fetch_cancel(struct kafka_request *r)
{
    struct fetch_state *s = r->state;
    if (s->started && !s->cancelled)
        fetch_cancel(&s->fetch);
    s->cancelled = true;
}

void kafka_fetch_fini(struct kafka_request *r)
{
    struct fetch_state *s = r->state;
    if (s == NULL || !s->started)
        return;
    fetch_drop(&s->fetch); // nothing, unless the server has ended meanwhile
    fetch_release(&s->fetch);
}
