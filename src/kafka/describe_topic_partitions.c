// SPDX-License-Identifier: Apache-2.0
//
// DescribeTopicPartitions (KIP-966): topics in order of name, page by page; the cursor names the
// partition at which the next page begins.
#include "kafka/resolve.h"
#include "wire/gen/kafka_describe_topic_partitions.h"

#include <stdlib.h>

#define PAGE_MAX 2000 // Kafka's max.request.partition.size.limit

struct page {
    struct kafka_request *r;
    struct slice *names; // sorted, each once
    uint32_t names_count;
    uint32_t left; // partitions that still fit
    int32_t *self;
    struct kafka_describe_topic_partitions_response answer;
};

static int name_cmp(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static bool name_note(void *arg, const struct topic *topic)
{
    struct page *page = arg;
    page->names[page->names_count++] = arena_slice(&page->r->arena, topic->name);
    return true;
}

static bool page_names(struct page *page)
{
    struct kafka_request *r = page->r;
    const struct kafka_describe_topic_partitions_request *q = r->message;
    bool all = q->topics_count == 0;
    size_t count = all ? topic_count(kafka_shard(r)) : q->topics_count;
    page->names = kafka_alloc(r, count, sizeof *page->names);
    if (page->names == NULL)
        return false;
    if (all)
        topic_each(kafka_shard(r), name_note, page);
    for (uint32_t i = 0; i < q->topics_count; i++)
        page->names[page->names_count++] = q->topics[i].name;
    qsort(page->names, page->names_count, sizeof page->names[0], name_cmp);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < page->names_count; i++)
        if (kept == 0 || !slice_eq(page->names[kept - 1], page->names[i]))
            page->names[kept++] = page->names[i];
    page->names_count = kept;
    return true;
}

static void page_partition(const struct page *page, uint32_t number,
                           struct kafka_describe_topic_partitions_response_partition *p)
{
    p->partition_index = (int32_t)number;
    p->leader_id = *page->self;
    p->leader_epoch = node_epoch(shard_node(kafka_shard(page->r)));
    p->replica_nodes = page->self;
    p->replica_nodes_count = 1;
    p->isr_nodes = page->self;
    p->isr_nodes_count = 1;
    p->eligible_leader_replicas_null = false;
    p->last_known_elr_null = false;
}

// One topic from partition `from`; sets the cursor when the page is full.
static bool page_topic(struct page *page, struct slice name, uint32_t from,
                       struct kafka_describe_topic_partitions_response_topic *out)
{
    struct kafka_request *r = page->r;
    const struct topic *topic = NULL;
    out->name = name;
    out->topic_authorized_operations = KAFKA_OPERATIONS_TOPIC;
    int err = topic_name_check(name);
    if (err == 0)
        err = kafka_topic(r, false, name, NULL, &topic);
    out->error_code = err_kafka(err);
    if (err != 0)
        return true;
    out->topic_id = topic->id;
    out->is_internal = topic->internal;
    uint32_t there = from < topic->partitions_count ? topic->partitions_count - from : 0;
    uint32_t count = there < page->left ? there : page->left;
    out->partitions =
        kafka_alloc_default(r, &kafka_describe_topic_partitions_response_partition_type, count);
    if (out->partitions == NULL)
        return false;
    out->partitions_count = count;
    for (uint32_t i = 0; i < count; i++)
        page_partition(page, from + i, &out->partitions[i]);
    page->left -= count;
    if (count < there) {
        page->answer.next_cursor_null = false;
        page->answer.next_cursor.topic_name = name;
        page->answer.next_cursor.partition_index = (int32_t)(from + count);
    }
    return true;
}

static bool page_fill(struct page *page)
{
    const struct kafka_describe_topic_partitions_request *q = page->r->message;
    for (uint32_t i = 0; i < page->names_count && page->answer.next_cursor_null; i++) {
        struct slice name = page->names[i];
        int order = q->cursor_null ? 1 : slice_cmp(name, q->cursor.topic_name);
        if (order < 0)
            continue;
        if (page->left == 0) {
            page->answer.next_cursor_null = false;
            page->answer.next_cursor.topic_name = name;
            page->answer.next_cursor.partition_index = 0;
            return true;
        }
        int32_t from = order == 0 && q->cursor.partition_index > 0 ? q->cursor.partition_index : 0;
        struct kafka_describe_topic_partitions_response_topic *out =
            &page->answer.topics[page->answer.topics_count++];
        if (!page_topic(page, name, (uint32_t)from, out))
            return false;
    }
    return true;
}

void kafka_describe_topic_partitions_handle(struct kafka_request *r)
{
    const struct kafka_describe_topic_partitions_request *q = r->message;
    struct page page = {.r = r, .left = PAGE_MAX};
    if (q->response_partition_limit < PAGE_MAX) // Kafka: at least one, whatever was asked for
        page.left = q->response_partition_limit > 1 ? (uint32_t)q->response_partition_limit : 1;
    wire_default(&kafka_describe_topic_partitions_response_type, &page.answer);
    page.self = kafka_alloc(r, 1, sizeof *page.self);
    if (page.self == NULL || !page_names(&page))
        return;
    *page.self = node_id(shard_node(kafka_shard(r)));
    page.answer.topics = kafka_alloc_default(
        r, &kafka_describe_topic_partitions_response_topic_type, page.names_count);
    if (page.answer.topics != NULL && page_fill(&page))
        kafka_answer(r, &page.answer);
}
