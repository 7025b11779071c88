// SPDX-License-Identifier: Apache-2.0
//
// ListOffsets: the offset for a timestamp, or one of the marks that negative timestamps name. There
// are no transactions yet, so "latest" is the high watermark whatever the isolation level.
#include "kafka/scatter.h"
#include "wire/gen/kafka_list_offsets.h"

#define EARLIEST_PENDING_UPLOAD (-6) // KIP-1023: of tiered storage, which is not here

// Which special timestamps a version knows; Kafka answers the others with UNSUPPORTED_VERSION.
static int timestamp_check(int version, int64_t timestamp)
{
    static const int since[] = {
        [-LOOKUP_LATEST] = 0,         [-LOOKUP_EARLIEST] = 0,      [-LOOKUP_MAX_TIMESTAMP] = 7,
        [-LOOKUP_EARLIEST_LOCAL] = 8, [-LOOKUP_LATEST_TIERED] = 9, [-EARLIEST_PENDING_UPLOAD] = 11,
    };
    if (timestamp >= 0)
        return 0;
    if (timestamp < EARLIEST_PENDING_UPLOAD)
        return ERR_UNSUPPORTED_VERSION;
    return version >= since[-timestamp] ? 0 : ERR_UNSUPPORTED_VERSION;
}

// Topic and number of a part stand side by side: 20 bytes that name it.
static struct slice part_name(const struct lookup_part *part)
{
    _Static_assert(offsetof(struct part, partition) == 16, "no gap");
    return slice_of(&part->part, 20);
}

// "Partitions that occur twice are answered with INVALID_REQUEST", both times.
static bool refuse_duplicates(struct kafka_request *r)
{
    struct kafka_scatter *s = r->state;
    struct lookup_part *parts = s->parts;
    struct kafka_names names;
    bool ok = true;
    kafka_names_init(&names, r);
    for (uint32_t i = 0; ok && i < s->scatter.parts_count; i++)
        ok = s->errs[i] != 0 || kafka_names_add(&names, r, part_name(&parts[i])) != NULL;
    for (uint32_t i = 0; ok && i < s->scatter.parts_count; i++) {
        if (s->errs[i] != 0)
            continue;
        const struct kafka_name *name = kafka_names_find(&names, part_name(&parts[i]));
        ASSERT(name != NULL);
        if (name->count > 1)
            s->errs[i] = ERR_INVALID_REQUEST;
    }
    kafka_names_fini(&names);
    return ok;
}

static void list_offsets_answer_part(const struct kafka_scatter *s, uint32_t at, int32_t index,
                                     struct kafka_list_offsets_response_partition *out)
{
    ASSERT(at < s->scatter.parts_count);
    const struct lookup_part *part = (const struct lookup_part *)s->parts + at;
    out->partition_index = index;
    out->error_code = kafka_part_error(s->errs[at], &part->part, false);
    if (out->error_code != 0)
        return;
    out->timestamp = part->found_timestamp_ms;
    out->offset = part->found_offset;
    out->leader_epoch = part->found_epoch;
}

static void list_offsets_answer(struct kafka_request *r)
{
    const struct kafka_list_offsets_request *q = r->message;
    struct kafka_list_offsets_response answer;
    wire_default(&kafka_list_offsets_response_type, &answer);
    answer.topics =
        kafka_alloc_default(r, &kafka_list_offsets_response_topic_type, q->topics_count);
    if (answer.topics == NULL)
        return;
    answer.topics_count = q->topics_count;
    uint32_t at = 0;
    for (uint32_t i = 0; i < q->topics_count; i++) {
        const struct kafka_list_offsets_request_topic *t = &q->topics[i];
        struct kafka_list_offsets_response_topic *out = &answer.topics[i];
        out->name = t->name;
        out->partitions_count = t->partitions_count;
        out->partitions = kafka_alloc_default(r, &kafka_list_offsets_response_partition_type,
                                              t->partitions_count);
        if (out->partitions == NULL)
            return;
        for (uint32_t j = 0; j < t->partitions_count; j++)
            list_offsets_answer_part(r->state, at++, t->partitions[j].partition_index,
                                     &out->partitions[j]);
    }
    kafka_answer(r, &answer);
}

static void list_offsets_fill(struct kafka_request *r,
                              const struct kafka_list_offsets_request_topic *t, uint32_t *at)
{
    struct kafka_scatter *s = r->state;
    const struct topic *topic = NULL;
    int unknown = kafka_topic(r, false, t->name, NULL, &topic);
    for (uint32_t j = 0; j < t->partitions_count; j++, (*at)++) {
        const struct kafka_list_offsets_request_partition *p = &t->partitions[j];
        struct lookup_part *part = (struct lookup_part *)s->parts + *at;
        int err = timestamp_check(r->version, p->timestamp);
        if (err == 0)
            err = unknown;
        int none = kafka_part(err == 0 ? topic : NULL, p->partition_index, p->current_leader_epoch,
                              &part->part);
        s->errs[*at] = err != 0 ? err : none;
        part->timestamp_ms =
            p->timestamp == EARLIEST_PENDING_UPLOAD ? LOOKUP_LATEST_TIERED : p->timestamp;
    }
}

void kafka_list_offsets_handle(struct kafka_request *r)
{
    const struct kafka_list_offsets_request *q = r->message;
    size_t count = 0;
    for (uint32_t i = 0; i < q->topics_count; i++)
        count += q->topics[i].partitions_count;
    if (!kafka_scatter_new(r, SCATTER_LOOKUP, count, sizeof(struct lookup_part),
                           list_offsets_answer))
        return;
    uint32_t at = 0;
    for (uint32_t i = 0; i < q->topics_count; i++)
        list_offsets_fill(r, &q->topics[i], &at);
    ASSERT(at == count);
    if (refuse_duplicates(r))
        kafka_scatter_start(r);
}
