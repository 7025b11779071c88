// SPDX-License-Identifier: Apache-2.0
//
// OffsetDelete (KIP-496): a group forgets its positions in some partitions.
#include "kafka/group_call.h"
#include "wire/gen/kafka_offset_delete.h"

static void forget_run(struct groups *groups, struct kafka_group_call *call)
{
    groups_forget(groups, &call->u.forget);
}

static void forget_answer(struct kafka_request *r)
{
    const struct group_forget *forget = &kafka_group_only(r)->u.forget;
    struct kafka_offset_delete_response answer;
    wire_default(&kafka_offset_delete_response_type, &answer);
    answer.error_code = err_kafka(forget->r.err);
    // With an error of the whole, the partitions are not named.
    uint32_t count = forget->r.err == 0 ? forget->topics_count : 0;
    answer.topics = kafka_alloc_default(r, &kafka_offset_delete_response_topic_type, count);
    if (answer.topics == NULL)
        return;
    answer.topics_count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct group_topic *t = &forget->topics[i];
        struct kafka_offset_delete_response_topic *out = &answer.topics[i];
        out->name = t->name;
        out->partitions_count = t->partitions_count;
        out->partitions = kafka_alloc_default(r, &kafka_offset_delete_response_partition_type,
                                              t->partitions_count);
        if (out->partitions == NULL)
            return;
        for (uint32_t j = 0; j < t->partitions_count; j++) {
            out->partitions[j].partition_index = t->partitions[j].partition;
            out->partitions[j].error_code = err_kafka(t->partitions[j].err);
        }
    }
    kafka_answer(r, &answer);
}

static bool forget_topic(struct kafka_request *r, const struct kafka_offset_delete_request_topic *t,
                         struct group_topic *out)
{
    const struct topic *topic = NULL;
    (void)kafka_topic(r, false, t->name, NULL, &topic);
    out->name = t->name;
    out->partitions = kafka_alloc(r, t->partitions_count, sizeof *out->partitions);
    if (out->partitions == NULL)
        return false;
    out->partitions_count = t->partitions_count;
    for (uint32_t j = 0; j < t->partitions_count; j++) {
        struct part part;
        int32_t number = t->partitions[j].partition_index;
        out->partitions[j].partition = number;
        out->partitions[j].err = kafka_part(topic, number, -1, &part);
    }
    return true;
}

void kafka_offset_delete_handle(struct kafka_request *r)
{
    const struct kafka_offset_delete_request *q = r->message;
    struct kafka_group_call *call = kafka_group_calls_new(r, 1, forget_run, forget_answer);
    if (call == NULL)
        return;
    struct group_forget *forget = &call->u.forget;
    forget->group_id = q->group_id;
    forget->topics = kafka_alloc(r, q->topics_count, sizeof *forget->topics);
    if (forget->topics == NULL)
        return;
    forget->topics_count = q->topics_count;
    for (uint32_t i = 0; i < q->topics_count; i++)
        if (!forget_topic(r, &q->topics[i], &forget->topics[i]))
            return;
    kafka_group_call_start(call, q->group_id);
}
