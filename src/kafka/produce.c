// SPDX-License-Identifier: Apache-2.0
//
// Produce: record batches go from the frame to their partitions without a copy; the answer leaves
// when all of them are durable (acks 1 and -1 mean the same on one node), or never (acks 0).
//
// What is checked here is what the request as a whole says: acks, transactions, one batch per
// partition. The batch itself is checked where it is appended (node/produce.c). Of a partition that
// is named more than once the last batch counts, and it is answered once, as Kafka does it.
#include <string.h>

#include "base/endian.h"
#include "kafka/resolve.h"
#include "wire/gen/kafka_produce.h"

#define PRODUCE_NAME_BYTES 20 // topic and partition

struct produce_state {
    struct kafka_request *r;
    struct produce produce;
    struct produce_part *parts;
    int *errs; // the door's own, by part
    const char **whys;
    bool *replaced; // by a later part for the same partition
    uint8_t (*names)[PRODUCE_NAME_BYTES];
};

#define PRODUCE_ZSTD_SINCE 7
#define PRODUCE_IDS_SINCE  13

// KIP-98: "produce requests of version 3 and above carry exactly one batch per partition".
static int produce_records(struct kafka_request *r, struct slice records, const char **out_why)
{
    struct batch batch;
    int err = batch_peek(records, &batch);
    if (records.len == 0 || err == ERR_TRUNCATED) {
        *out_why = "Produce requests must have exactly one record batch per partition";
        return ERR_INVALID_RECORD;
    }
    if (err == ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT) {
        *out_why = "Produce requests are only allowed to contain record batches with magic "
                   "version 2";
        return ERR_INVALID_RECORD;
    }
    if (err != 0)
        return err;
    if (batch.size_bytes != records.len) {
        *out_why = "Produce requests are only allowed to contain exactly one record batch per "
                   "partition";
        return ERR_INVALID_RECORD;
    }
    if (batch_codec(&batch) == BATCH_ZSTD && r->version < PRODUCE_ZSTD_SINCE) {
        *out_why = "Produce requests of this version are not allowed to use ZStandard "
                   "compression";
        return ERR_UNSUPPORTED_COMPRESSION_TYPE;
    }
    return 0;
}

// What refuses the whole request, in the terms that clients take as final.
static int produce_refused(const struct kafka_produce_request *q)
{
    if (q->acks < -1 || q->acks > 1)
        return ERR_INVALID_REQUIRED_ACKS;
    return q->transactional_id.data != NULL ? ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED : 0;
}

// Parts come last first. False: no room, the request has failed.
static bool produce_replaced(struct kafka_request *r, struct kafka_names *seen,
                             const struct topic *topic, int32_t index, uint32_t at)
{
    struct produce_state *s = r->state;
    if (topic == NULL || s->produce.parts_count == 1)
        return true;
    uint8_t *name = s->names[at];
    memcpy(name, topic->id.bytes, 16);
    be32_put(name + 16, (uint32_t)index);
    const struct kafka_name *n = kafka_names_add(seen, r, slice_of(name, PRODUCE_NAME_BYTES));
    if (n == NULL)
        return false;
    s->replaced[at] = n->count > 1;
    return true;
}

static void produce_part_fill(struct kafka_request *r, const struct topic *topic, int err,
                              const struct kafka_produce_request_partition *p, uint32_t at)
{
    struct produce_state *s = r->state;
    struct produce_part *part = &s->parts[at];
    struct slice records = p->records.bytes;
    if (s->replaced[at]) {
        (void)kafka_part(NULL, p->index, -1, &part->part);
        return;
    }
    if (err == 0)
        err = kafka_part(topic, p->index, -1, &part->part);
    if (err == 0)
        err = produce_records(r, records, &s->whys[at]);
    s->errs[at] = err;
    if (err != 0) {
        (void)kafka_part(NULL, p->index, -1, &part->part);
        return;
    }
    ASSERT(records.data >= r->frame->data);
    ASSERT(records.data + records.len <= r->frame->data + r->frame_len);
    part->records =
        (struct blob_piece){r->frame, (size_t)(records.data - r->frame->data), records.len};
}

static uint32_t produce_count(const struct kafka_produce_request *q)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < q->topic_data_count; i++)
        count += q->topic_data[i].partition_data_count;
    return count;
}

static bool produce_room(struct kafka_request *r, uint32_t count)
{
    struct produce_state *s = r->state;
    s->produce.parts_count = count;
    s->parts = kafka_alloc(r, count, sizeof *s->parts);
    s->errs = s->parts == NULL ? NULL : kafka_alloc(r, count, sizeof *s->errs);
    s->whys = s->errs == NULL ? NULL : kafka_alloc(r, count, sizeof *s->whys);
    s->replaced = s->whys == NULL ? NULL : kafka_alloc(r, count, sizeof *s->replaced);
    s->names = s->replaced == NULL ? NULL : kafka_alloc(r, count, sizeof *s->names);
    return s->names != NULL;
}

// Last first: so that what is seen again has been replaced. False: no room.
static bool produce_fill_topic(struct kafka_request *r, struct kafka_names *seen,
                               const struct kafka_produce_request_topic *t, int refused,
                               uint32_t *at)
{
    const struct topic *topic = NULL;
    int err = refused;
    if (err == 0)
        err = kafka_topic(r, r->version >= PRODUCE_IDS_SINCE, t->name, &t->topic_id, &topic);
    // The request counts as the class of the topic with the highest claim in it.
    bool first = *at == ((struct produce_state *)r->state)->produce.parts_count;
    if (topic != NULL && (first || topic->config.service_class > r->context.service_class))
        r->context.service_class = topic->config.service_class;
    for (uint32_t j = t->partition_data_count; j-- > 0;) {
        const struct kafka_produce_request_partition *p = &t->partition_data[j];
        --*at;
        if (!produce_replaced(r, seen, topic, p->index, *at))
            return false;
        produce_part_fill(r, topic, err, p, *at);
    }
    return true;
}

static bool produce_fill(struct kafka_request *r)
{
    const struct kafka_produce_request *q = r->message;
    uint32_t at = produce_count(q);
    if (!produce_room(r, at))
        return false;
    int refused = produce_refused(q);
    struct kafka_names seen;
    kafka_names_init(&seen, r);
    bool room = true;
    for (uint32_t i = q->topic_data_count; i-- > 0 && room;)
        room = produce_fill_topic(r, &seen, &q->topic_data[i], refused, &at);
    kafka_names_fini(&seen);
    ASSERT(!room || at == 0);
    return room;
}

// ---- the answer

// KIP-467: which records of the batch were refused.
static bool produce_rejected(struct kafka_request *r, const struct produce_part *part,
                             struct kafka_produce_response_partition *out)
{
    const struct wire_struct *type = &kafka_produce_response_record_error_type;
    out->record_errors = kafka_alloc_default(r, type, part->rejected_count);
    if (out->record_errors == NULL)
        return false;
    out->record_errors_count = part->rejected_count;
    for (uint32_t i = 0; i < part->rejected_count; i++) {
        out->record_errors[i].batch_index = part->rejected[i];
        out->record_errors[i].batch_index_error_message = slice_cstr(part->rejected_why);
    }
    return true;
}

static bool produce_part_answer(struct kafka_request *r, uint32_t at, int32_t index,
                                struct kafka_produce_response_partition *out)
{
    const struct produce_state *s = r->state;
    ASSERT(at < s->produce.parts_count);
    const struct produce_part *part = &s->parts[at];
    int16_t code = kafka_part_error(s->errs[at], &part->part, r->version >= PRODUCE_IDS_SINCE);
    out->index = index;
    out->error_code = code;
    out->base_offset = -1;
    out->log_append_time_ms = -1;
    out->log_start_offset = -1;
    if (code != 0) {
        out->error_message = kafka_text(r, s->errs[at] != 0 ? s->whys[at] : part->why);
        return part->rejected_count == 0 || produce_rejected(r, part, out);
    }
    ASSERT(part->base_offset >= 0); // no error: appended, now or before
    out->base_offset = part->base_offset;
    out->log_append_time_ms = part->append_time_ms;
    out->log_start_offset = part->part.log_start_offset;
    return true;
}

static bool produce_answer_topic(struct kafka_request *r,
                                 const struct kafka_produce_request_topic *t, uint32_t *at,
                                 struct kafka_produce_response_topic *out)
{
    const struct wire_struct *type = &kafka_produce_response_partition_type;
    out->name = t->name;
    out->topic_id = t->topic_id;
    out->partition_responses = kafka_alloc_default(r, type, t->partition_data_count);
    if (out->partition_responses == NULL)
        return false;
    const struct produce_state *s = r->state;
    for (uint32_t j = 0; j < t->partition_data_count; j++, (*at)++) {
        if (s->replaced[*at])
            continue;
        if (!produce_part_answer(r, *at, t->partition_data[j].index,
                                 &out->partition_responses[out->partition_responses_count]))
            return false;
        out->partition_responses_count++;
    }
    return true;
}

// "If acks is 0 the server sends no response"; an error is told by closing the connection, since
// the client has no other way to notice it.
static void produce_unanswered(struct kafka_request *r)
{
    const struct produce_state *s = r->state;
    for (uint32_t i = 0; i < s->produce.parts_count; i++)
        if (!s->replaced[i] && (s->errs[i] != 0 || s->parts[i].part.err != 0))
            r->close_after = true;
    kafka_answer_nothing(r);
}

static void produce_done(struct produce *produce)
{
    struct kafka_request *r = CONTAINER_OF(produce, struct produce_state, produce)->r;
    const struct kafka_produce_request *q = r->message;
    if (q->acks == 0) {
        produce_unanswered(r);
        return;
    }
    struct kafka_produce_response answer;
    wire_default(&kafka_produce_response_type, &answer);
    const struct wire_struct *type = &kafka_produce_response_topic_type;
    answer.responses = kafka_alloc_default(r, type, q->topic_data_count);
    if (answer.responses == NULL)
        return;
    uint32_t at = 0;
    for (uint32_t i = 0; i < q->topic_data_count; i++) {
        struct kafka_produce_response_topic *out = &answer.responses[answer.responses_count];
        if (!produce_answer_topic(r, &q->topic_data[i], &at, out))
            return;
        // One of which all partitions come once more is answered there.
        bool replaced =
            out->partition_responses_count == 0 && q->topic_data[i].partition_data_count > 0;
        answer.responses_count += !replaced;
    }
    int64_t took_ns = io_now_ns(r->door->io) - r->began_ns;
    struct shard_counters *counters = shard_counters(kafka_shard(r));
    histogram_add(&counters->classes[r->context.service_class].produce_ns, (uint64_t)took_ns);
    kafka_answer(r, &answer);
}

void kafka_produce_handle(struct kafka_request *r)
{
    const struct kafka_produce_request *q = r->message;
    struct produce_state *s = kafka_alloc(r, 1, sizeof *s);
    if (s == NULL)
        return;
    r->state = s;
    if (!produce_fill(r))
        return;
    s->r = r;
    s->produce.parts = s->parts;
    s->produce.acks = q->acks;
    s->produce.timeout_ms = q->timeout_ms;
    s->produce.context = &r->context;
    s->produce.done = produce_done;
    produce_start(kafka_shard(r), &s->produce);
}

void kafka_produce_fini(struct kafka_request *r)
{
    struct produce_state *s = r->state;
    if (s != NULL)
        produce_drop(&s->produce);
}
