// SPDX-License-Identifier: Apache-2.0
//
// The answer to a fetch: which partitions it names, and the bytes of their records, which stay in
// their blobs until they are sent. Without a session every partition that was asked for is named;
// with one, only those with news.
#include "base/bugs.h"
#include "kafka/conn.h"
#include "kafka/fetch_int.h"

void kafka_fetch_refuse(struct kafka_request *r, int err)
{
    struct kafka_fetch_response answer;
    wire_default(&kafka_fetch_response_type, &answer);
    answer.error_code = err_kafka(err);
    kafka_answer(r, &answer);
}

// KIP-110: "zstd ... UNSUPPORTED_COMPRESSION_TYPE for fetch requests below version 10".
static bool fetch_has_zstd(const struct fetch_part *part)
{
    for (uint32_t i = 0; i < part->read.pieces_count; i++) {
        struct slice left = blob_piece_slice(part->read.pieces[i]);
        struct batch batch;
        while (left.len > 0 && batch_peek(left, &batch) == 0) {
            if (batch_codec(&batch) == BATCH_ZSTD)
                return true;
            left = slice_of(left.data + batch.size_bytes, left.len - batch.size_bytes);
        }
    }
    return false;
}

static int16_t fetch_code(const struct fetch_state *s, uint32_t i)
{
    const struct fetch_part *part = &s->parts[i];
    int16_t code = kafka_part_error(s->wants[i].err, &part->part, s->by_id);
    if (code == 0 && s->r->version < FETCH_ZSTD_SINCE && fetch_has_zstd(part))
        code = err_kafka(ERR_UNSUPPORTED_COMPRESSION_TYPE);
    return code;
}

// ---- sessions

static bool part_has_news(const struct kafka_session_part *known, const struct fetch_part *part,
                          int16_t code)
{
    if (bug(BUG_SESSION_SILENT) && known->told_high_watermark >= 0)
        return code != 0 || part->read.bytes > 0;
    return code != 0 || part->read.bytes > 0 || part->diverging_epoch >= 0 ||
           known->told_high_watermark != part->part.high_watermark ||
           known->told_log_start != part->part.log_start_offset;
}

static void part_told(struct kafka_session_part *known, const struct fetch_part *part, int16_t code)
{
    // An error is told again and again until it is gone, and its end is news as well.
    known->told_high_watermark = code == 0 ? part->part.high_watermark : -1;
    known->told_log_start = code == 0 ? part->part.log_start_offset : -1;
}

// Whether the answer of a session names this partition; notes what it tells.
static bool session_tells(struct fetch_state *s, struct kafka_session *session, uint32_t i)
{
    const struct fetch_want *w = &s->wants[i];
    const struct fetch_part *part = &s->parts[i];
    struct kafka_session_part *known =
        kafka_session_part(session, w->name, &w->id, w->asked.partition);
    int16_t code = fetch_code(s, i);
    if (known == NULL) // forgotten by a later request of the same connection
        return code != 0 || part->read.bytes > 0;
    if (!part_has_news(known, part, code))
        return false;
    part_told(known, part, code);
    if (part->read.bytes > 0)
        kafka_session_rotate(session, known);
    return true;
}

// The session that a full fetch opens; 0 when there is none to be had.
static int32_t session_open(struct fetch_state *s)
{
    struct kafka_sessions *sessions = s->r->door->sessions;
    bool wanted = s->opens_session && s->r->conn != NULL && s->fetch.parts_count > 0;
    struct kafka_session *session = wanted ? kafka_session_new(sessions, s->by_id) : NULL;
    for (uint32_t i = 0; session != NULL && i < s->fetch.parts_count; i++) {
        const struct fetch_want *w = &s->wants[i];
        struct kafka_session_part *part =
            kafka_session_add(session, w->name, &w->id, w->asked.partition);
        if (part == NULL) {
            kafka_session_close(session);
            return 0;
        }
        kafka_session_ask(part, &w->asked);
        part_told(part, &s->parts[i], fetch_code(s, i));
    }
    return session != NULL ? session->id : 0;
}

// ---- the answer

static void part_answer(const struct fetch_state *s, uint32_t i,
                        struct kafka_fetch_response_partition *out)
{
    const struct fetch_part *part = &s->parts[i];
    const struct kafka_fetch_request *q = s->r->message;
    out->partition_index = s->wants[i].asked.partition;
    out->error_code = fetch_code(s, i);
    out->high_watermark = -1;
    out->last_stable_offset = -1;
    out->log_start_offset = -1;
    out->preferred_read_replica = -1;
    out->records.bytes = slice_of("", 0);
    // Read uncommitted has no list, read committed one that is empty: there are no transactions.
    out->aborted_transactions_null = q->isolation_level == 0;
    if (out->error_code != 0)
        return;
    ASSERT(part->part.log_start_offset <= part->part.high_watermark);
    ASSERT(part->read.bytes == 0 || part->read.pieces_count > 0);
    out->high_watermark = part->part.high_watermark;
    out->last_stable_offset = part->part.high_watermark;
    out->log_start_offset = part->part.log_start_offset;
    if (part->diverging_epoch >= 0) {
        out->diverging_epoch.epoch = part->diverging_epoch;
        out->diverging_epoch.end_offset = part->diverging_end_offset;
    }
    if (part->read.bytes > 0) {
        out->records.pieces = part->read.pieces;
        out->records.pieces_count = part->read.pieces_count;
    }
}

static bool same_topic(const struct fetch_want *a, const struct fetch_want *b)
{
    return uuid_eq(&a->id, &b->id) && slice_eq(a->name, b->name);
}

// Neighbours of one topic share an entry, in the order in which they were asked for.
static bool fetch_answer_topics(struct fetch_state *s, const uint32_t *named, uint32_t count,
                                struct kafka_fetch_response *answer)
{
    struct kafka_request *r = s->r;
    uint32_t topics = 0;
    for (uint32_t i = 0; i < count; i++)
        topics += i == 0 || !same_topic(&s->wants[named[i - 1]], &s->wants[named[i]]);
    struct kafka_fetch_response_partition *parts =
        kafka_alloc_default(r, &kafka_fetch_response_partition_type, count);
    if (parts == NULL)
        return false;
    answer->responses = kafka_alloc_default(r, &kafka_fetch_response_topic_type, topics);
    if (answer->responses == NULL)
        return false;
    struct kafka_fetch_response_topic *t = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct fetch_want *w = &s->wants[named[i]];
        if (i == 0 || !same_topic(&s->wants[named[i - 1]], w)) {
            t = &answer->responses[answer->responses_count++];
            t->topic = w->name;
            t->topic_id = w->id;
            t->partitions = &parts[i];
        }
        part_answer(s, named[i], &parts[i]);
        t->partitions_count++;
    }
    ASSERT(answer->responses_count == topics);
    ASSERT(topics <= count);
    return true;
}

void kafka_fetch_done(struct fetch *fetch)
{
    struct fetch_state *s = CONTAINER_OF(fetch, struct fetch_state, fetch);
    struct kafka_request *r = s->r;
    ASSERT(s->started);
    uint32_t *named = kafka_alloc(r, fetch->parts_count, sizeof *named);
    if (named == NULL)
        return;
    struct kafka_session *session =
        s->incremental ? kafka_session_find(r->door->sessions, s->session_id) : NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < fetch->parts_count; i++)
        if (session == NULL || session_tells(s, session, i))
            named[count++] = i;
    struct kafka_fetch_response answer;
    wire_default(&kafka_fetch_response_type, &answer);
    answer.session_id = s->incremental ? s->session_id : session_open(s);
    if (fetch_answer_topics(s, named, count, &answer))
        kafka_answer(r, &answer);
}
