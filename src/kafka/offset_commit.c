// SPDX-License-Identifier: Apache-2.0
//
// OffsetCommit: positions of a group, durable before they are acknowledged. Topics that do not
// exist are refused here, one by one; the group decides about the rest. What is kept is the topic's
// name, also when the client has said its id (v10).
#include "kafka/group_call.h"
#include "wire/gen/kafka_offset_commit.h"

#define COMMIT_IDS_SINCE 10

static void commit_run(struct groups *groups, struct kafka_group_call *call)
{
    groups_commit(groups, &call->u.commit);
}

static void commit_answer(struct kafka_request *r)
{
    const struct kafka_offset_commit_request *q = r->message;
    const struct group_commit *commit = &kafka_group_only(r)->u.commit;
    struct kafka_offset_commit_response answer;
    wire_default(&kafka_offset_commit_response_type, &answer);
    answer.topics =
        kafka_alloc_default(r, &kafka_offset_commit_response_topic_type, q->topics_count);
    if (answer.topics == NULL)
        return;
    answer.topics_count = q->topics_count;
    for (uint32_t i = 0; i < q->topics_count; i++) {
        const struct group_topic *t = &commit->topics[i];
        struct kafka_offset_commit_response_topic *out = &answer.topics[i];
        out->name = q->topics[i].name;
        out->topic_id = q->topics[i].topic_id;
        out->partitions_count = t->partitions_count;
        out->partitions = kafka_alloc_default(r, &kafka_offset_commit_response_partition_type,
                                              t->partitions_count);
        if (out->partitions == NULL)
            return;
        for (uint32_t j = 0; j < t->partitions_count; j++) {
            int own = t->partitions[j].err;
            out->partitions[j].partition_index = t->partitions[j].partition;
            out->partitions[j].error_code = err_kafka(own != 0 ? own : commit->r.err);
        }
    }
    kafka_answer(r, &answer);
}

static bool commit_topic(struct kafka_request *r, const struct kafka_offset_commit_request_topic *t,
                         struct group_topic *out)
{
    const struct topic *topic = NULL;
    bool by_id = r->version >= COMMIT_IDS_SINCE;
    int err = kafka_topic(r, by_id, t->name, &t->topic_id, &topic);
    // The request may outlive the turn, the topic may not.
    out->name = by_id && topic != NULL ? arena_slice(&r->arena, topic->name) : t->name;
    out->partitions = kafka_alloc(r, t->partitions_count, sizeof *out->partitions);
    if (out->partitions == NULL)
        return false;
    out->partitions_count = t->partitions_count;
    for (uint32_t j = 0; j < t->partitions_count; j++) {
        const struct kafka_offset_commit_request_partition *p = &t->partitions[j];
        struct part part;
        int none = kafka_part(topic, p->partition_index, -1, &part);
        out->partitions[j] = (struct group_offset){
            .partition = p->partition_index,
            .leader_epoch = p->committed_leader_epoch,
            .offset = p->committed_offset,
            .metadata = p->committed_metadata,
            .err = err != 0 ? err : none,
        };
    }
    return true;
}

void kafka_offset_commit_handle(struct kafka_request *r)
{
    const struct kafka_offset_commit_request *q = r->message;
    struct kafka_group_call *call = kafka_group_calls_new(r, 1, commit_run, commit_answer);
    if (call == NULL)
        return;
    struct group_commit *commit = &call->u.commit;
    commit->topics = kafka_alloc(r, q->topics_count, sizeof *commit->topics);
    if (commit->topics == NULL)
        return;
    commit->topics_count = q->topics_count;
    for (uint32_t i = 0; i < q->topics_count; i++)
        if (!commit_topic(r, &q->topics[i], &commit->topics[i]))
            return;
    commit->group_id = q->group_id;
    commit->member_id = q->member_id;
    commit->instance_id = q->group_instance_id;
    commit->generation = q->generation_id_or_member_epoch;
    commit->group_id_not_found_known = r->version >= 9;
    commit->retention_ms = q->retention_time_ms;
    kafka_group_call_start(call, q->group_id);
}
