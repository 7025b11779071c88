// SPDX-License-Identifier: Apache-2.0
//
// DescribeProducers (KIP-664): the idempotent producers that partitions remember.
#include "kafka/scatter.h"
#include "wire/gen/kafka_describe_producers.h"

static bool producers_answer_part(struct kafka_request *r, const struct producers_part *part,
                                  struct kafka_describe_producers_response_partition *out)
{
    out->active_producers =
        kafka_alloc_default(r, &kafka_describe_producers_response_producer_type, part->infos_count);
    if (out->active_producers == NULL)
        return false;
    out->active_producers_count = part->infos_count;
    for (uint32_t i = 0; i < part->infos_count; i++) {
        const struct producer_info *info = &part->infos[i];
        struct kafka_describe_producers_response_producer *p = &out->active_producers[i];
        p->producer_id = info->producer_id;
        p->producer_epoch = info->epoch;
        p->last_sequence = info->last_sequence;
        p->last_timestamp = info->last_timestamp_ms;
        p->coordinator_epoch = 0;
        p->current_txn_start_offset = -1;
    }
    return true;
}

static bool producers_answer_topic(struct kafka_request *r,
                                   const struct kafka_describe_producers_request_topic *t,
                                   uint32_t *at,
                                   struct kafka_describe_producers_response_topic *out)
{
    const struct kafka_scatter *s = r->state;
    out->name = t->name;
    out->partitions_count = t->partition_indexes_count;
    out->partitions = kafka_alloc_default(r, &kafka_describe_producers_response_partition_type,
                                          t->partition_indexes_count);
    if (out->partitions == NULL)
        return false;
    for (uint32_t j = 0; j < t->partition_indexes_count; j++, (*at)++) {
        const struct producers_part *part = (const struct producers_part *)s->parts + *at;
        struct kafka_describe_producers_response_partition *p = &out->partitions[j];
        p->partition_index = t->partition_indexes[j];
        p->error_code = kafka_part_error(s->errs[*at], &part->part, false);
        if (p->error_code == 0 && !producers_answer_part(r, part, p))
            return false;
    }
    return true;
}

static void producers_answer(struct kafka_request *r)
{
    const struct kafka_describe_producers_request *q = r->message;
    struct kafka_describe_producers_response answer;
    wire_default(&kafka_describe_producers_response_type, &answer);
    answer.topics =
        kafka_alloc_default(r, &kafka_describe_producers_response_topic_type, q->topics_count);
    if (answer.topics == NULL)
        return;
    answer.topics_count = q->topics_count;
    uint32_t at = 0;
    for (uint32_t i = 0; i < q->topics_count; i++)
        if (!producers_answer_topic(r, &q->topics[i], &at, &answer.topics[i]))
            return;
    kafka_answer(r, &answer);
}

void kafka_describe_producers_handle(struct kafka_request *r)
{
    const struct kafka_describe_producers_request *q = r->message;
    size_t count = 0;
    for (uint32_t i = 0; i < q->topics_count; i++)
        count += q->topics[i].partition_indexes_count;
    if (!kafka_scatter_new(r, SCATTER_PRODUCERS, count, sizeof(struct producers_part),
                           producers_answer))
        return;
    struct kafka_scatter *s = r->state;
    struct producers_part *part = s->parts;
    int *err = s->errs;
    for (uint32_t i = 0; i < q->topics_count; i++) {
        const struct kafka_describe_producers_request_topic *t = &q->topics[i];
        const struct topic *topic = NULL;
        (void)kafka_topic(r, false, t->name, NULL, &topic);
        for (uint32_t j = 0; j < t->partition_indexes_count; j++, part++)
            *err++ = kafka_part(topic, t->partition_indexes[j], -1, &part->part);
    }
    kafka_scatter_start(r);
}

void kafka_describe_producers_fini(struct kafka_request *r)
{
    struct kafka_scatter *s = r->state;
    kafka_scatter_fini(r);
    for (uint32_t i = 0; s != NULL && s->errs != NULL && i < s->scatter.parts_count; i++)
        scatter_producers_free((struct producers_part *)s->parts + i);
}
