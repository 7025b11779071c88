// SPDX-License-Identifier: Apache-2.0
//
// OffsetForLeaderEpoch: where an epoch ends (KIP-101, KIP-320). A consumer that comes back after
// the server was restarted asks this to see whether what it has read is still there.
#include "kafka/scatter.h"
#include "wire/gen/kafka_offset_for_leader_epoch.h"

static void epoch_answer_part(const struct kafka_scatter *s, uint32_t at, int32_t index,
                              struct kafka_offset_for_leader_epoch_response_partition *out)
{
    const struct epoch_part *part = (const struct epoch_part *)s->parts + at;
    out->partition = index;
    out->error_code = kafka_part_error(s->errs[at], &part->part, false);
    if (out->error_code != 0)
        return;
    out->leader_epoch = part->end_epoch;
    out->end_offset = part->end_offset;
}

static void epoch_answer(struct kafka_request *r)
{
    const struct kafka_offset_for_leader_epoch_request *q = r->message;
    struct kafka_offset_for_leader_epoch_response answer;
    wire_default(&kafka_offset_for_leader_epoch_response_type, &answer);
    const struct wire_struct *topic_type = &kafka_offset_for_leader_epoch_response_topic_type;
    answer.topics = kafka_alloc_default(r, topic_type, q->topics_count);
    if (answer.topics == NULL)
        return;
    answer.topics_count = q->topics_count;
    uint32_t at = 0;
    for (uint32_t i = 0; i < q->topics_count; i++) {
        const struct kafka_offset_for_leader_epoch_request_topic *t = &q->topics[i];
        struct kafka_offset_for_leader_epoch_response_topic *out = &answer.topics[i];
        const struct wire_struct *type = &kafka_offset_for_leader_epoch_response_partition_type;
        out->topic = t->topic;
        out->partitions_count = t->partitions_count;
        out->partitions = kafka_alloc_default(r, type, t->partitions_count);
        if (out->partitions == NULL)
            return;
        for (uint32_t j = 0; j < t->partitions_count; j++)
            epoch_answer_part(r->state, at++, t->partitions[j].partition, &out->partitions[j]);
    }
    kafka_answer(r, &answer);
}

void kafka_offset_for_leader_epoch_handle(struct kafka_request *r)
{
    const struct kafka_offset_for_leader_epoch_request *q = r->message;
    size_t count = 0;
    for (uint32_t i = 0; i < q->topics_count; i++)
        count += q->topics[i].partitions_count;
    if (!kafka_scatter_new(r, SCATTER_EPOCH, count, sizeof(struct epoch_part), epoch_answer))
        return;
    struct kafka_scatter *s = r->state;
    struct epoch_part *part = s->parts;
    int *err = s->errs;
    for (uint32_t i = 0; i < q->topics_count; i++) {
        const struct kafka_offset_for_leader_epoch_request_topic *t = &q->topics[i];
        const struct topic *topic = NULL;
        (void)kafka_topic(r, false, t->topic, NULL, &topic);
        for (uint32_t j = 0; j < t->partitions_count; j++, part++) {
            *err++ = kafka_part(topic, t->partitions[j].partition,
                                t->partitions[j].current_leader_epoch, &part->part);
            part->epoch = t->partitions[j].leader_epoch;
        }
    }
    kafka_scatter_start(r);
}
