// SPDX-License-Identifier: Apache-2.0
//
// The table of APIs that the door serves, in order of key. Which versions it serves is the schema's
// to say (schema/kafka/*.msg hold exactly the ranges that are implemented); what a handler needs
// stands here.
#include "kafka/kafka_int.h"

#define PLAIN(KEY, name)                                                              \
    {                                                                                 \
        .key = KAFKA_API_##KEY, .advertised_min = -1, .handle = kafka_##name##_handle \
    }
#define GROUP(KEY, name)                                                               \
    {                                                                                  \
        .key = KAFKA_API_##KEY, .advertised_min = -1, .handle = kafka_##name##_handle, \
        .fini = kafka_group_calls_fini                                                 \
    }

#define SCATTER(KEY, name)                                                             \
    {                                                                                  \
        .key = KAFKA_API_##KEY, .advertised_min = -1, .handle = kafka_##name##_handle, \
        .fini = kafka_scatter_fini                                                     \
    }

const struct kafka_handler kafka_handlers[] = {
    // librdkafka up to 2.8 switches compression off unless Produce is offered from version 0
    // (KAFKA-18659); nobody sends those versions, and they are refused like any other.
    {.key = KAFKA_API_PRODUCE,
     .advertised_min = 0,
     .flags = KAFKA_APPENDS | KAFKA_OVERLAPS,
     .handle = kafka_produce_handle,
     .fini = kafka_produce_fini},
    {.key = KAFKA_API_FETCH,
     .advertised_min = -1,
     .flags = KAFKA_OVERLAPS,
     .handle = kafka_fetch_handle,
     .cancel = kafka_fetch_cancel,
     .fini = kafka_fetch_fini},
    SCATTER(LIST_OFFSETS, list_offsets),
    PLAIN(METADATA, metadata),
    GROUP(OFFSET_COMMIT, offset_commit),
    GROUP(OFFSET_FETCH, offset_fetch),
    PLAIN(FIND_COORDINATOR, find_coordinator),
    GROUP(JOIN_GROUP, join_group),
    GROUP(HEARTBEAT, heartbeat),
    GROUP(LEAVE_GROUP, leave_group),
    GROUP(SYNC_GROUP, sync_group),
    GROUP(DESCRIBE_GROUPS, describe_groups),
    GROUP(LIST_GROUPS, list_groups),
    PLAIN(API_VERSIONS, api_versions),
    PLAIN(CREATE_TOPICS, create_topics),
    PLAIN(DELETE_TOPICS, delete_topics),
    SCATTER(DELETE_RECORDS, delete_records),
    PLAIN(INIT_PRODUCER_ID, init_producer_id),
    SCATTER(OFFSET_FOR_LEADER_EPOCH, offset_for_leader_epoch),
    PLAIN(DESCRIBE_CONFIGS, describe_configs),
    PLAIN(ALTER_CONFIGS, alter_configs),
    SCATTER(DESCRIBE_LOG_DIRS, describe_log_dirs),
    PLAIN(CREATE_PARTITIONS, create_partitions),
    GROUP(DELETE_GROUPS, delete_groups),
    PLAIN(INCREMENTAL_ALTER_CONFIGS, incremental_alter_configs),
    GROUP(OFFSET_DELETE, offset_delete),
    PLAIN(DESCRIBE_CLUSTER, describe_cluster),
    {.key = KAFKA_API_DESCRIBE_PRODUCERS,
     .advertised_min = -1,
     .handle = kafka_describe_producers_handle,
     .fini = kafka_describe_producers_fini},
    PLAIN(DESCRIBE_TOPIC_PARTITIONS, describe_topic_partitions),
    {.key = KAFKA_API_WEIR_STATUS,
     .advertised_min = -1,
     .flags = KAFKA_HIDDEN,
     .handle = kafka_weir_status_handle,
     .fini = kafka_weir_status_fini},
    {.key = KAFKA_API_WEIR_QUEUES,
     .advertised_min = -1,
     .flags = KAFKA_HIDDEN,
     .handle = kafka_weir_queues_handle,
     .fini = kafka_weir_queues_fini},
};
const uint32_t kafka_handlers_count = sizeof kafka_handlers / sizeof kafka_handlers[0];

const struct kafka_handler *kafka_handler_find(int16_t key)
{
    for (uint32_t i = 0; i < kafka_handlers_count; i++)
        if (kafka_handlers[i].key == key)
            return &kafka_handlers[i];
    return NULL;
}
