// SPDX-License-Identifier: Apache-2.0
//
// Followers read many partitions with one fetch, as consumers do: with an incremental session
// (KIP-227), which names only what changed and is told only what is new, or without one. What a
// session leaves out must be nothing new; and when the run is over it must have brought everything.
#include "base/assert.h"
#include "base/err.h"
#include "sim/client.h"

#define FOLLOWS        16
#define SESSIONS_SINCE 7 // versions of Fetch
#define IDS_SINCE      13
#define EPOCH_NONE     (-1) // no session
#define EPOCH_FIRST    0    // opens one

struct follow {
    struct model_partition *partition;
    int64_t next;
    bool lost;                    // the offset is gone: ask where the log begins
    bool wanted;                  // in the session, or in this fetch
    bool named;                   // in this request
    bool told;                    // in this answer
    int64_t named_next;           // what the session was told last; -1: not in it
    int64_t told_end, told_start; // what it told last; -1: nothing, or an error
    struct model_read read;
};

struct follower {
    struct client c;
    bool by_id; // in all its requests: a session is by ids or by names
    int32_t session_id, session_epoch;
    struct follow follows[FOLLOWS];
    uint32_t count;
    struct follow *asked_start;
    bool done;
};

// ---- answers

static void follow_forget(struct follow *at)
{
    at->named_next = -1;
    at->told_end = at->told_start = -1;
}

static void session_lost(struct follower *f)
{
    f->session_epoch = EPOCH_FIRST;
    for (uint32_t i = 0; i < f->count; i++)
        follow_forget(&f->follows[i]);
}

static struct follow *follow_of(struct follower *f, const struct kafka_fetch_response_topic *t,
                                int32_t index)
{
    for (uint32_t i = 0; i < f->count; i++) {
        struct follow *at = &f->follows[i];
        const struct model_topic *topic = at->partition->topic;
        bool same =
            f->by_id ? uuid_eq(&topic->id, &t->topic_id) : slice_eq_cstr(t->topic, topic->name);
        if (same && at->partition->index == index)
            return at;
    }
    return NULL;
}

static void part_told(struct follower *f, struct follow *at,
                      const struct kafka_fetch_response_partition *r)
{
    struct client *c = &f->c;
    const struct model_fetched fetched = {
        .offset = at->next,
        .err = err_from_kafka(r->error_code),
        .high_watermark = r->high_watermark,
        .log_start = r->log_start_offset,
        .records = r->records.bytes,
    };
    int64_t next = model_fetched(&c->world->model, at->partition, &at->read, &fetched);
    client_note(c, "follows %s-%d from %lld to %lld: %s, end %lld, start %lld",
                at->partition->topic->name, at->partition->index, (long long)at->next,
                (long long)next, err_name(fetched.err), (long long)r->high_watermark,
                (long long)r->log_start_offset);
    c->world->report->records_read += (uint64_t)(next - at->next);
    at->told = true;
    at->next = next;
    at->lost = fetched.err == ERR_OFFSET_OUT_OF_RANGE;
    at->told_end = fetched.err == 0 ? r->high_watermark : -1;
    at->told_start = fetched.err == 0 ? r->log_start_offset : -1;
}

// What the answer does not name: the session has told all there was when the request was sent.
static void silence_check(struct follower *f, const struct follow *at)
{
    struct model *m = &f->c.world->model;
    m->checks++;
    if (f->session_epoch <= EPOCH_FIRST)
        model_fail(m, "%s-%d: asked for, but the answer does not name it",
                   at->partition->topic->name, at->partition->index);
    else if (at->told_end < at->read.end)
        model_fail(m, "%s-%d: the log reaches to %lld, the session told of %lld and now nothing",
                   at->partition->topic->name, at->partition->index, (long long)at->read.end,
                   (long long)at->told_end);
    else if (at->told_start < at->read.start_seen && at->read.start == m->start)
        model_fail(m, "%s-%d: the log starts at %lld, the session told of %lld and now nothing",
                   at->partition->topic->name, at->partition->index, (long long)at->read.start_seen,
                   (long long)at->told_start);
}

// KIP-74: the first batch there is comes, however small the limits.
static void progress_check(struct follower *f, bool any_records, bool any_errors)
{
    struct model *m = &f->c.world->model;
    for (uint32_t i = 0; i < f->count && !any_records && !any_errors; i++) {
        const struct follow *at = &f->follows[i];
        if (at->wanted && at->next < at->read.end && at->next >= at->read.start_seen &&
            at->next >= at->told_start)
            model_fail(m, "%s-%d: nothing at %lld nor elsewhere, but the log reaches to %lld",
                       at->partition->topic->name, at->partition->index, (long long)at->next,
                       (long long)at->read.end);
    }
}

static void parts_told(struct follower *f, const struct kafka_fetch_response *r)
{
    struct model *m = &f->c.world->model;
    bool records = false, errors = false;
    for (uint32_t t = 0; t < r->responses_count; t++) {
        const struct kafka_fetch_response_topic *topic = &r->responses[t];
        for (uint32_t i = 0; i < topic->partitions_count; i++) {
            const struct kafka_fetch_response_partition *part = &topic->partitions[i];
            struct follow *at = follow_of(f, topic, part->partition_index);
            if (at == NULL || !at->wanted || at->told) {
                model_fail(m, "a fetch was answered about partition %d, which it had not asked for",
                           part->partition_index);
                return;
            }
            part_told(f, at, part);
            records |= part->records.bytes.len > 0;
            errors |= part->error_code != 0;
        }
    }
    for (uint32_t i = 0; i < f->count; i++)
        if (f->follows[i].wanted && !f->follows[i].told)
            silence_check(f, &f->follows[i]);
    progress_check(f, records, errors);
}

static void told(struct client *c, int err, const void *response)
{
    struct follower *f = CONTAINER_OF(c, struct follower, c);
    const struct kafka_fetch_response *r = response;
    int code = err != 0 ? err : err_from_kafka(r->error_code);
    if (code != 0) {
        client_note(c, "session %d, epoch %d: %s", f->session_id, f->session_epoch, err_name(code));
        session_lost(f);
        return;
    }
    parts_told(f, r);
    if (f->session_epoch == EPOCH_NONE || r->session_id == 0) {
        session_lost(f);
        return;
    }
    if (f->session_epoch > EPOCH_FIRST)
        c->world->report->sessions_continued++;
    f->session_id = r->session_id;
    f->session_epoch++;
    for (uint32_t i = 0; i < f->count; i++)
        if (!f->follows[i].wanted)
            follow_forget(&f->follows[i]);
}

// ---- requests

static void choose(struct follower *f)
{
    struct client *c = &f->c;
    bool all = c->world->phase == PHASE_VERIFY;
    bool incremental = f->session_epoch > EPOCH_FIRST;
    for (uint32_t i = 0; i < f->count; i++) {
        struct follow *at = &f->follows[i];
        bool in = incremental && at->named_next >= 0;
        at->told = false;
        at->wanted = all || (incremental ? in != client_chance(c, 10) : client_chance(c, 60));
        if (at->next < at->partition->start_seen)
            at->next = at->partition->start_seen;
        at->named = at->wanted ? !in || at->named_next != at->next : in;
    }
}

struct fetch_request {
    struct kafka_fetch_request q;
    struct kafka_fetch_request_topic topics[FOLLOWS];
    struct kafka_fetch_request_partition parts[FOLLOWS];
    struct kafka_fetch_request_forgotten_topic forgotten[FOLLOWS];
    int32_t forgotten_parts[FOLLOWS];
};

static void name(struct follower *f, struct fetch_request *r, struct follow *at)
{
    const struct model_topic *t = at->partition->topic;
    uint32_t i = r->q.topics_count++; // an entry each: the same topic may come several times
    wire_default(&kafka_fetch_request_topic_type, &r->topics[i]);
    wire_default(&kafka_fetch_request_partition_type, &r->parts[i]);
    r->parts[i].partition = at->partition->index;
    r->parts[i].current_leader_epoch = -1;
    r->parts[i].last_fetched_epoch = -1;
    r->parts[i].fetch_offset = at->next;
    r->parts[i].partition_max_bytes = 1 << (6 + client_dice(&f->c, 14));
    r->topics[i].topic = slice_cstr(t->name);
    r->topics[i].topic_id = t->id;
    r->topics[i].partitions = &r->parts[i];
    r->topics[i].partitions_count = 1;
    at->named_next = at->next;
}

static void forget(struct fetch_request *r, struct follow *at)
{
    const struct model_topic *t = at->partition->topic;
    uint32_t i = r->q.forgotten_topics_data_count++;
    wire_default(&kafka_fetch_request_forgotten_topic_type, &r->forgotten[i]);
    r->forgotten_parts[i] = at->partition->index;
    r->forgotten[i].topic = slice_cstr(t->name);
    r->forgotten[i].topic_id = t->id;
    r->forgotten[i].partitions = &r->forgotten_parts[i];
    r->forgotten[i].partitions_count = 1;
}

static void fetch(struct follower *f)
{
    struct client *c = &f->c;
    struct fetch_request r;
    if (f->session_epoch == EPOCH_FIRST && client_chance(c, 25))
        f->session_epoch = EPOCH_NONE;
    choose(f);
    wire_default(&kafka_fetch_request_type, &r.q);
    r.q.topics = r.topics;
    r.q.forgotten_topics_data = r.forgotten;
    for (uint32_t i = 0; i < f->count; i++) {
        struct follow *at = &f->follows[i];
        at->read = model_read_begin(&c->world->model, at->partition);
        if (at->named && at->wanted)
            name(f, &r, at);
        else if (at->named)
            forget(&r, at);
    }
    r.q.replica_id = -1;
    r.q.max_wait_ms = (int32_t)client_dice(c, 2) * 40;
    r.q.min_bytes = 1;
    r.q.max_bytes = 1 << (8 + client_dice(c, 13));
    r.q.session_id = f->session_epoch == EPOCH_NONE ? 0 : f->session_id;
    r.q.session_epoch = f->session_epoch;
    int16_t max = client_version_max(c, KAFKA_API_FETCH);
    c->least_version = f->by_id ? IDS_SINCE : SESSIONS_SINCE;
    c->most_version = f->by_id || max < IDS_SINCE ? max : IDS_SINCE - 1;
    client_call(c, KAFKA_API_FETCH, &r.q, told);
}

// ---- steps

static void follower_start(struct client *c)
{
    struct follower *f = CONTAINER_OF(c, struct follower, c);
    struct world *w = c->world;
    f->by_id = client_chance(c, 50);
    f->session_epoch = EPOCH_FIRST;
    for (uint32_t t = 0; t < w->topics_count; t++)
        for (uint32_t i = 0; i < w->topics[t]->partitions_count; i++) {
            ASSERT(f->count < FOLLOWS);
            f->follows[f->count] = (struct follow){.partition = w->topics[t]->partitions[i]};
            follow_forget(&f->follows[f->count++]);
        }
    w->followers++;
}

static void start_told(struct follower *f)
{
    struct follow *at = f->asked_start;
    f->asked_start = NULL;
    at->lost = false;
    at->next = at->partition->start_seen;
}

static void verify(struct follower *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        const struct follow *at = &f->follows[i];
        if (at->lost || at->next < at->partition->end)
            return;
    }
    if (!f->done)
        f->c.world->followed++;
    f->done = true;
}

static void follower_step(struct client *c)
{
    struct follower *f = CONTAINER_OF(c, struct follower, c);
    if (f->asked_start != NULL)
        start_told(f);
    if (c->world->phase == PHASE_VERIFY)
        verify(f);
    for (uint32_t i = 0; i < f->count && f->asked_start == NULL; i++)
        if (f->follows[i].lost)
            f->asked_start = &f->follows[i];
    if (f->done)
        return;
    if (f->asked_start != NULL)
        client_list_start(c, f->asked_start->partition);
    else
        fetch(f);
}

const struct client_kind client_follower = {
    .name = "follower",
    .size = sizeof(struct follower),
    .needs = KAFKA_API_FETCH,
    .verifies = true,
    .start = follower_start,
    .step = follower_step,
};
