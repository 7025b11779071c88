// SPDX-License-Identifier: Apache-2.0
//
// The node: what a request meets behind every door. It owns the journal, the checkpointer and the
// shards, recovers the store, opens the doors, and stops in order. One process has one node; the
// simulator has one per simulated machine.
//
//   node_create  recovery on the calling worker-less thread's own worker, then shards start, then
//   `open_doors` on each node_stop    doors close, what was handed over becomes durable, a last
//   checkpoint, shards end
//
// A shard is an actor with its own partitions, groups, topics' replica and connections
// (node/shard.h). Everything here that takes a struct shard is called on that shard and answers on
// that shard.
#ifndef WEIR_NODE_NODE_H
#define WEIR_NODE_NODE_H

#include "group/group.h"
#include "log/log.h"
#include "txn/producers.h"

struct node;
struct shard;

// Sizes below what the settings allow, so that a simulated node rolls, recycles and checkpoints
// within a second. 0: by the settings.
struct node_scale {
    uint64_t journal_file_bytes, journal_first_bytes, journal_direct_min_bytes;
    uint64_t write_min_bytes; // a log with that much unwritten is written
    uint32_t files_max;       // open files per worker
};

struct node_options {
    struct io_world *world;
    struct node_scale scale;
    uint32_t shards_count;
    int64_t memory_bytes;      // the process's budget for records and requests in flight
    const char *const *config; // "key=value" of broker settings (node/config.h); NULL-terminated
    // On each shard after recovery; 0 or an ERR_* that stops the start.
    int (*open_doors)(void *arg, struct shard *shard);
    void (*close_doors)(void *arg, struct shard *shard); // stop accepting, close connections
    // In node_destroy, when no actor runs any more and before its memory goes: what a door still
    // has, requests that nobody will answer included (produce_drop, fetch_drop, scatter_drop). May
    // be NULL.
    void (*destroy_doors)(void *arg, struct shard *shard);
    // On the shard: appends may go on again (see shard_appends_blocked).
    void (*appends_unblocked)(void *arg, struct shard *shard);
    // Any thread: the node is up (err 0), could not start, or has failed for good (what tells why).
    void (*started)(void *arg, int err, const char *what);
    void (*failed)(void *arg, int err, const char *what);
    void *arg;
};

// Begins the start; `started` tells the end of it. ERR_CONFIG with a text in *out_why (mem_free).
int node_create(const struct node_options *options, struct node **out, char **out_why);
// Begins an orderly stop: `stopped` runs on any thread when all is durable and checkpointed. Then
// node_destroy.
void node_stop(struct node *node, void (*stopped)(void *arg), void *arg);
// Joins the actors and frees all; also after a failure or a simulated crash (then nothing more is
// written).
void node_destroy(struct node *node);

// ---- facts that never change while it runs

int32_t node_id(const struct node *node);
const char *node_cluster_id(const struct node *node); // 22 characters, as Kafka's
int32_t node_epoch(const struct node *node); // leader epoch of all partitions; +1 at every start
uint32_t node_shards_count(const struct node *node);
struct shard *node_shard(const struct node *node, uint32_t index);
uint32_t node_shard_of_partition(const struct node *node, const struct uuid *topic,
                                 int32_t partition);
uint32_t node_shard_of_group(const struct node *node, struct slice group_id);

// ---- what happened, for people: goes to standard error through the hook that cli sets; the
// simulator drops it

enum node_level { NODE_DEBUG, NODE_INFO, NODE_WARN, NODE_ERROR };
typedef void node_log_fn(void *arg, enum node_level level, const char *text);
void node_on_log(node_log_fn *fn, void *arg); // process-wide; before node_create
void node_say(struct node *node, enum node_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
