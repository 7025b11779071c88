// SPDX-License-Identifier: Apache-2.0
//
// Gathering the counters: each shard adds its own when the broadcast reaches it; the journal's and
// the checkpointer's are copies that any thread may take.
#include "node/status.h"

#include "base/assert.h"
#include "base/mem.h"
#include "node/queues_int.h"

static void queues_add(struct status_queues *to, const struct status_queues *from)
{
    to->queues += from->queues;
    to->ready += from->ready;
    to->unacked += from->unacked;
    to->consumers += from->consumers;
    to->delivered += from->delivered;
    to->redelivered += from->redelivered;
    to->acked += from->acked;
    to->requeued += from->requeued;
    to->rejected += from->rejected;
    to->expired += from->expired;
    to->dead_lettered += from->dead_lettered;
    to->published += from->published;
    to->unroutable += from->unroutable;
    to->copies += from->copies;
    to->batches += from->batches;
    to->flights += from->flights;
}

static void logs_add(struct log_store_stats *to, const struct log_store_stats *from)
{
    to->logs += from->logs;
    to->tail_bytes += from->tail_bytes;
    to->unwritten_bytes += from->unwritten_bytes;
    to->segments += from->segments;
    to->appended_batches += from->appended_batches;
    to->appended_bytes += from->appended_bytes;
    to->written_bytes += from->written_bytes;
    to->direct_bytes += from->direct_bytes;
    to->tail_reads += from->tail_reads;
    to->tail_read_bytes += from->tail_read_bytes;
    to->cold_reads += from->cold_reads;
    to->cold_read_bytes += from->cold_read_bytes;
    to->crc_errors += from->crc_errors;
}

struct shard_status { // what one shard answers with; its own memory until it is gathered
    struct shard_counters counters;
    struct log_store_stats logs;
    struct status_queues queues;
    uint64_t partitions, groups;
};

static void status_run(struct node_broadcast *broadcast, struct node_call *call)
{
    struct status_request *r = CONTAINER_OF(broadcast, struct status_request, broadcast);
    struct shard *shard = call->to;
    struct shard_status *s = &r->shards[shard->index];
    ASSERT(r->shards != NULL);
    struct groups_stats groups;
    s->counters = shard->counters;
    s->partitions = shard->partitions.count;
    log_store_stats(shard->store, &s->logs);
    groups_stats(shard->groups, &groups);
    s->groups = groups.groups;
    node_queues_status(shard->queues, &s->queues);
    node_call_reply(call);
}

static void counters_add(struct status *to, const struct shard_status *from)
{
    to->connections += from->counters.connections;
    to->requests += from->counters.requests;
    to->request_errors += from->counters.request_errors;
    to->bytes_in += from->counters.bytes_in;
    to->bytes_out += from->counters.bytes_out;
    to->partitions += from->partitions;
    to->groups += from->groups;
    logs_add(&to->logs, &from->logs);
    queues_add(&to->queues, &from->queues);
    for (size_t i = 0; i < sizeof to->classes / sizeof to->classes[0]; i++)
        histogram_merge(&to->classes[i].produce_ns, &from->counters.classes[i].produce_ns);
}

static void status_done(struct node_broadcast *broadcast)
{
    struct status_request *r = CONTAINER_OF(broadcast, struct status_request, broadcast);
    struct shard *shard = broadcast->from;
    struct node *node = shard->node;
    for (uint32_t i = 0; i < node->options.shards_count; i++)
        counters_add(&r->status, &r->shards[i]);
    mem_free(r->shards);
    r->shards = NULL;
    ASSERT(r->shards == NULL);
    r->status.uptime_ms = (io_now_ns(shard->io) - node->started_ns) / 1000000;
    r->status.topics = shard->topics_by_id.count;
    r->status.memory_used = budget_used(&node->memory);
    r->status.memory_limit = node->memory.limit_bytes;
    journal_stats(node->journal, &r->status.journal);
    checkpoint_stats(node->checkpointer, &r->status.checkpoints);
    r->done(r);
}

void status_start(struct shard *shard, struct status_request *request)
{
    request->status = (struct status){0};
    request->shards = mem_zalloc(shard->node->options.shards_count * sizeof(struct shard_status));
    request->broadcast.run = status_run;
    request->broadcast.done = status_done;
    node_broadcast_start(&request->broadcast, shard);
}

void status_drop(struct status_request *request)
{
    mem_free(request->broadcast.calls);
    mem_free(request->shards);
    request->broadcast.calls = NULL;
    request->shards = NULL;
}
