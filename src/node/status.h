// SPDX-License-Identifier: Apache-2.0
//
// Counters of the running server, gathered from every shard: for `weir status`, and later /metrics.
// Names are a table (schema/metrics.tab comes with the HTTP door).
#ifndef WEIR_NODE_STATUS_H
#define WEIR_NODE_STATUS_H

#include "node/shard.h"

struct status_class {
    struct histogram produce_ns; // request read to durable answer ready
};
struct status_queues {
    uint64_t queues, ready, unacked, consumers; // now
    uint64_t delivered, redelivered, acked, requeued, rejected, expired, dead_lettered;
    uint64_t published, unroutable;    // messages
    uint64_t copies, batches, flights; // of messages in queues, and what they left in
};
struct status {
    int64_t uptime_ms;
    uint64_t connections, requests, request_errors, bytes_in,
        bytes_out; // doors add theirs (shard_count)
    uint64_t topics, partitions, groups;
    struct log_store_stats logs;
    struct journal_stats journal;
    struct checkpoint_stats checkpoints;
    int64_t memory_used, memory_limit;
    struct status_class classes[3];
    struct status_queues queues;
};
struct shard_status;
struct status_request {
    struct status status;
    void (*done)(struct status_request *request);
    struct shard_status *shards; // node's, as the next
    struct node_broadcast broadcast;
};
void status_start(struct shard *shard, struct status_request *request);
void status_drop(struct status_request *request); // as produce_drop

struct status_metric {
    const char *name, *unit, *doc; // of the table
    int64_t value;
};
#define STATUS_METRICS_MAX 128
// Fills at most `max`; returns how many there are.
uint32_t status_metrics(const struct status *s, struct status_metric *out, uint32_t max);

// Doors count here; a shard's own memory, no atomics.
struct shard_counters {
    uint64_t connections, requests, request_errors, bytes_in, bytes_out;
    struct status_class classes[3];
};
struct shard_counters *shard_counters(struct shard *shard);

#endif
