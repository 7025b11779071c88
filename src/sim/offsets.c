// SPDX-License-Identifier: Apache-2.0
//
// Committed offsets of one partition: committing and asking, for clients of several kinds.
#include "base/err.h"
#include "sim/client.h"
#include "wire/gen/kafka_offset_commit.h"
#include "wire/gen/kafka_offset_fetch.h"

#define GROUPS_SINCE 8 // version of OffsetFetch that asks for several groups

void client_commit(struct client *c, const struct client_commit *commit, client_answered *answered)
{
    struct kafka_offset_commit_request q;
    struct kafka_offset_commit_request_topic topic;
    struct kafka_offset_commit_request_partition part;
    wire_default(&kafka_offset_commit_request_type, &q);
    wire_default(&kafka_offset_commit_request_topic_type, &topic);
    wire_default(&kafka_offset_commit_request_partition_type, &part);
    part.partition_index = commit->partition->index;
    part.committed_offset = commit->offset;
    part.committed_leader_epoch = -1;
    part.committed_metadata = slice_cstr("by weir sim");
    topic.name = slice_cstr(commit->partition->topic->name);
    topic.topic_id = commit->partition->topic->id;
    topic.partitions = &part;
    topic.partitions_count = 1;
    q.group_id = slice_cstr(commit->group);
    q.member_id = slice_cstr(commit->member);
    q.generation_id_or_member_epoch = commit->generation;
    q.group_instance_id = commit->instance != NULL ? slice_cstr(commit->instance) : SLICE_NULL;
    q.retention_time_ms = -1;
    q.topics = &topic;
    q.topics_count = 1;
    client_call(c, KAFKA_API_OFFSET_COMMIT, &q, answered);
}

int client_commit_code(const struct client *c, int err, const void *response)
{
    const struct kafka_offset_commit_response *r = response;
    (void)c;
    if (err != 0)
        return err;
    if (r->topics_count != 1 || r->topics[0].partitions_count != 1)
        return ERR_TIMEOUT;
    return err_from_kafka(r->topics[0].partitions[0].error_code);
}

void client_ask_committed(struct client *c, const char *group,
                          const struct model_partition *partition, client_answered *answered)
{
    struct kafka_offset_fetch_request q;
    struct kafka_offset_fetch_request_topic topic;
    struct kafka_offset_fetch_request_group groups;
    struct kafka_offset_fetch_request_group_topic group_topic;
    int32_t index = partition->index;
    wire_default(&kafka_offset_fetch_request_type, &q);
    wire_default(&kafka_offset_fetch_request_topic_type, &topic);
    wire_default(&kafka_offset_fetch_request_group_type, &groups);
    wire_default(&kafka_offset_fetch_request_group_topic_type, &group_topic);
    topic.name = slice_cstr(partition->topic->name);
    topic.partition_indexes = &index;
    topic.partition_indexes_count = 1;
    group_topic.name = topic.name;
    group_topic.topic_id = partition->topic->id;
    group_topic.partition_indexes = &index;
    group_topic.partition_indexes_count = 1;
    groups.group_id = slice_cstr(group);
    groups.member_id = SLICE_NULL;
    groups.member_epoch = -1;
    groups.topics = &group_topic;
    groups.topics_count = 1;
    groups.topics_null = false;
    q.group_id = groups.group_id;
    q.topics = &topic;
    q.topics_count = 1;
    q.topics_null = false;
    q.groups = &groups;
    q.groups_count = 1;
    q.require_stable = client_chance(c, 30);
    client_call(c, KAFKA_API_OFFSET_FETCH, &q, answered);
}

int client_committed_offset(const struct client *c, int err, const void *response,
                            int64_t *out_offset)
{
    const struct kafka_offset_fetch_response *r = response;
    if (err != 0)
        return err;
    if (c->call.version < GROUPS_SINCE) {
        if (r->error_code != 0)
            return err_from_kafka(r->error_code);
        if (r->topics_count != 1 || r->topics[0].partitions_count != 1)
            return ERR_TIMEOUT;
        *out_offset = r->topics[0].partitions[0].committed_offset;
        return err_from_kafka(r->topics[0].partitions[0].error_code);
    }
    if (r->groups_count != 1)
        return ERR_TIMEOUT;
    const struct kafka_offset_fetch_response_group *g = &r->groups[0];
    if (g->error_code != 0)
        return err_from_kafka(g->error_code);
    if (g->topics_count != 1 || g->topics[0].partitions_count != 1)
        return ERR_TIMEOUT;
    *out_offset = g->topics[0].partitions[0].committed_offset;
    return err_from_kafka(g->topics[0].partitions[0].error_code);
}
