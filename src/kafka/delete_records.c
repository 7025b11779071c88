// SPDX-License-Identifier: Apache-2.0
//
// DeleteRecords (KIP-107): moves the start of logs forward; answered when that is durable.
#include "kafka/scatter.h"
#include "wire/gen/kafka_delete_records.h"

static void delete_records_answer(struct kafka_request *r)
{
    const struct kafka_delete_records_request *q = r->message;
    const struct kafka_scatter *s = r->state;
    struct kafka_delete_records_response answer;
    wire_default(&kafka_delete_records_response_type, &answer);
    answer.topics =
        kafka_alloc_default(r, &kafka_delete_records_response_topic_type, q->topics_count);
    if (answer.topics == NULL)
        return;
    answer.topics_count = q->topics_count;
    const struct trim_part *part = s->parts;
    const int *err = s->errs;
    for (uint32_t i = 0; i < q->topics_count; i++) {
        const struct kafka_delete_records_request_topic *t = &q->topics[i];
        struct kafka_delete_records_response_topic *out = &answer.topics[i];
        out->name = t->name;
        out->partitions_count = t->partitions_count;
        out->partitions = kafka_alloc_default(r, &kafka_delete_records_response_partition_type,
                                              t->partitions_count);
        if (out->partitions == NULL)
            return;
        for (uint32_t j = 0; j < t->partitions_count; j++, part++) {
            struct kafka_delete_records_response_partition *p = &out->partitions[j];
            p->partition_index = t->partitions[j].partition_index;
            p->error_code = kafka_part_error(*err++, &part->part, false);
            p->low_watermark = p->error_code == 0 ? part->low_watermark : -1;
        }
    }
    kafka_answer(r, &answer);
}

void kafka_delete_records_handle(struct kafka_request *r)
{
    const struct kafka_delete_records_request *q = r->message;
    size_t count = 0;
    for (uint32_t i = 0; i < q->topics_count; i++)
        count += q->topics[i].partitions_count;
    if (!kafka_scatter_new(r, SCATTER_TRIM, count, sizeof(struct trim_part), delete_records_answer))
        return;
    struct kafka_scatter *s = r->state;
    struct trim_part *part = s->parts;
    int *err = s->errs;
    for (uint32_t i = 0; i < q->topics_count; i++) {
        const struct kafka_delete_records_request_topic *t = &q->topics[i];
        const struct topic *topic = NULL;
        (void)kafka_topic(r, false, t->name, NULL, &topic);
        for (uint32_t j = 0; j < t->partitions_count; j++, part++) {
            *err = kafka_part(topic, t->partitions[j].partition_index, -1, &part->part);
            // What is only compacted has no start that could move: Kafka calls it a policy.
            if (*err == 0 && !topic->config.cleanup_delete)
                *err = ERR_POLICY_VIOLATION;
            err++;
            part->offset = t->partitions[j].offset;
        }
    }
    kafka_scatter_start(r);
}
