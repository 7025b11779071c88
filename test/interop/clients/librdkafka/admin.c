// SPDX-License-Identifier: Apache-2.0
//
// librdkafka's admin API: topics with configurations, partitions, records deleted from the front,
// groups listed and deleted. What an answer promises is looked for in the metadata afterwards, with
// patience, since a broker may answer before its own cache knows.
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static rd_kafka_event_t *answer(rd_kafka_queue_t *queue, const char *what)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    if (!event)
        die("%s: no answer in 30 s", what);
    if (rd_kafka_event_error(event))
        die("%s: %s", what, rd_kafka_event_error_string(event));
    return event;
}

static rd_kafka_resp_err_t topic_create(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *topic,
                                        int partitions)
{
    char text[256];
    rd_kafka_NewTopic_t *new = rd_kafka_NewTopic_new(topic, partitions, -1, text, sizeof text);
    if (!new)
        die("%s", text);
    rd_kafka_NewTopic_set_config(new, "retention.ms", "86400123");
    rd_kafka_CreateTopics(rk, &new, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue, "CreateTopics");
    size_t n;
    const rd_kafka_topic_result_t **result =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n);
    rd_kafka_resp_err_t err =
        n == 1 ? rd_kafka_topic_result_error(result[0]) : RD_KAFKA_RESP_ERR_UNKNOWN;
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(new);
    return err;
}

static int partitions_seen(rd_kafka_t *rk, const char *topic)
{
    const struct rd_kafka_metadata *md;
    int n = 0;
    must(rd_kafka_metadata(rk, 1, NULL, &md, 20000), "metadata");
    for (int i = 0; i < md->topic_cnt; i++)
        if (strcmp(md->topics[i].topic, topic) == 0)
            n = md->topics[i].partition_cnt;
    rd_kafka_metadata_destroy(md);
    return n;
}

// The catalogue may reach a broker's cache a moment after the answer: real Kafka needs that
// patience.
static void await_partitions(rd_kafka_t *rk, const char *topic, int want)
{
    int n = -1;
    for (int i = 0; i < 50; i++) {
        n = partitions_seen(rk, topic);
        if (n == want)
            return;
        nanosleep(&(struct timespec){0, 100000000}, NULL);
    }
    die("%s has %d partitions in the metadata, %d expected", topic, n, want);
}

static void config_compare(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *topic,
                           const char *name, const char *want)
{
    rd_kafka_ConfigResource_t *res = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_DescribeConfigs(rk, &res, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue, "DescribeConfigs");
    size_t n, entries, found = 0;
    const rd_kafka_ConfigResource_t **got =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &n);
    must(rd_kafka_ConfigResource_error(got[0]), "DescribeConfigs");
    const rd_kafka_ConfigEntry_t **entry = rd_kafka_ConfigResource_configs(got[0], &entries);
    for (size_t i = 0; i < entries; i++)
        if (strcmp(rd_kafka_ConfigEntry_name(entry[i]), name) == 0) {
            found++;
            if (strcmp(rd_kafka_ConfigEntry_value(entry[i]), want) != 0)
                die("%s is %s, not %s", name, rd_kafka_ConfigEntry_value(entry[i]), want);
        }
    if (!found)
        die("%s is not among %zu entries", name, entries);
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(res);
}

static void partitions_create(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *topic,
                              size_t total)
{
    char text[256];
    rd_kafka_NewPartitions_t *parts = rd_kafka_NewPartitions_new(topic, total, text, sizeof text);
    rd_kafka_CreatePartitions(rk, &parts, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue, "CreatePartitions");
    size_t n;
    const rd_kafka_topic_result_t **result =
        rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event), &n);
    must(rd_kafka_topic_result_error(result[0]), "CreatePartitions");
    rd_kafka_event_destroy(event);
    rd_kafka_NewPartitions_destroy(parts);
}

static void records_delete(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *topic,
                           int64_t before)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = before;
    rd_kafka_DeleteRecords_t *del = rd_kafka_DeleteRecords_new(list);
    rd_kafka_DeleteRecords(rk, &del, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue, "DeleteRecords");
    const rd_kafka_topic_partition_list_t *got =
        rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
    must(got->elems[0].err, "DeleteRecords");
    if (got->elems[0].offset != before)
        die("low watermark %lld after the delete", (long long)got->elems[0].offset);
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteRecords_destroy(del);
    rd_kafka_topic_partition_list_destroy(list);
    int64_t low, high;
    must(rd_kafka_query_watermark_offsets(rk, topic, 0, &low, &high, 20000), "watermarks");
    if (low != before)
        die("the log starts at %lld, not %lld", (long long)low, (long long)before);
}

static void topic_delete(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *topic)
{
    rd_kafka_DeleteTopic_t *del = rd_kafka_DeleteTopic_new(topic);
    rd_kafka_DeleteTopics(rk, &del, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue, "DeleteTopics");
    size_t n;
    const rd_kafka_topic_result_t **result =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &n);
    must(rd_kafka_topic_result_error(result[0]), "DeleteTopics");
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteTopic_destroy(del);
}

void check_admin(const char *topic)
{
    rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    must(topic_create(rk, queue, topic, 2), "CreateTopics");
    if (topic_create(rk, queue, topic, 2) != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        die("a second topic of that name was not refused");
    await_partitions(rk, topic, 2);
    config_compare(rk, queue, topic, "retention.ms", "86400123");
    partitions_create(rk, queue, topic, 5);
    await_partitions(rk, topic, 5);
    payloads_fill();
    for (int i = 0; i < 5; i++)
        record_produce(rk, topic, 0, i);
    flush(rk, 5);
    records_delete(rk, queue, topic, 3);
    topic_delete(rk, queue, topic);
    await_partitions(rk, topic, 0);
    char *id = rd_kafka_clusterid(rk, 5000);
    if (!id || !*id)
        die("no cluster id");
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

void check_groups(const char *group)
{
    const struct rd_kafka_group_list *list;
    rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, NULL);
    must(rd_kafka_list_groups(rk, group, &list, 20000), "list groups");
    if (list->group_cnt != 1 || strcmp(list->groups[0].protocol_type, "consumer") != 0)
        die("%d groups named %s", list->group_cnt, group);
    rd_kafka_group_list_destroy(list);

    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteGroup_t *del = rd_kafka_DeleteGroup_new(group);
    rd_kafka_DeleteGroups(rk, &del, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue, "DeleteGroups");
    size_t n;
    const rd_kafka_group_result_t **result =
        rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), &n);
    if (rd_kafka_group_result_error(result[0]))
        die("DeleteGroups: %s", rd_kafka_error_string(rd_kafka_group_result_error(result[0])));
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteGroup_destroy(del);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

void topic_make(const char *topic, int partitions)
{
    rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    must(topic_create(rk, queue, topic, partitions), "CreateTopics");
    await_partitions(rk, topic, partitions);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}
