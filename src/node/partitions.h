// SPDX-License-Identifier: Apache-2.0
//
// Reading and writing partitions, wherever they live. A request names topic ids and partitions; it
// is split by owning shard, run there, and gathered. All arrays belong to the caller and live until
// done, which runs on the asking shard, never from inside the call. Owners write only into their
// own parts.
#ifndef WEIR_NODE_PARTITIONS_H
#define WEIR_NODE_PARTITIONS_H

#include "node/legs.h"
#include "node/topics.h"

struct partition; // a log with its producers, on its shard
struct produce_leg;
struct fetch_state;

// Part of every request: which partition, and what came of it.
struct part {
    struct uuid topic;
    int32_t partition;
    int32_t current_leader_epoch; // -1: the client did not say. ERR_FENCED_LEADER_EPOCH,
                                  // ERR_UNKNOWN_LEADER_EPOCH
    int err;
    int64_t log_start_offset; // -1 on errors
    int64_t high_watermark;
    struct leg *leg; // node's
};

// ---- produce. Acknowledged when durable (see the contract in the README).

struct produce_part {
    struct part part;
    struct blob_piece
        records; // the caller's reference is kept until done; offset and epoch are written in place
    // out
    int64_t base_offset;
    int64_t append_time_ms; // -1 with create time
    const char *why;        // a constant text on some errors, or NULL
    int32_t *rejected;      // which records of the batch were refused, by position, and why one is;
    uint32_t rejected_count; // freed by produce_drop
    const char *rejected_why;
    int64_t last_offset;
    struct log_waiter waiter; // node's, as the rest below
    struct list stalled_link;
    bool waiting;
    struct produce_leg *leg;
};
struct produce {
    struct produce_part *parts;
    uint32_t parts_count;
    int16_t acks; // 0: done as soon as it is appended; 1, -1: when durable
    // Parts that are not durable by then are answered with ERR_REQUEST_TIMED_OUT; they may become
    // durable all the same. 0: however long it takes.
    int64_t timeout_ms;
    // The node's own batches, for queues: neither checked nor bounded by the topic's settings; the
    // log of a queue in memory has no topic at all. Where there is no room on the disk or in
    // memory they wait, since nobody would send them again, and what would have gone to a queue
    // that is gone is no error.
    bool internal;
    struct request_context *context;
    // When all parts are appended or refused: what needs no disk need not wait for it. err: the
    // first of any. Before done; may be NULL.
    void (*appended)(struct produce *request, int err);
    void (*done)(struct produce *request);
    struct legs legs; // node's, as the rest below
    uint32_t stops_left, appends_left;
    int append_err;
    struct io_timer timer;
};
void produce_start(struct shard *shard, struct produce *request);
// Frees what the node holds for a request: the lists of rejected records when it is done and read,
// and the rest of one that will not be done, since its actors have ended.
void produce_drop(struct produce *request);
#define PRODUCE_REJECTED_MAX 10000 // longer lists are cut; the batch is refused all the same

// ---- fetch: waits up to max_wait for min_bytes

struct fetch_part {
    struct part part;
    int64_t offset;
    uint32_t max_bytes;
    int32_t last_fetched_epoch; // -1; else ERR 0 with diverging_epoch set when the log has diverged
                                // (KIP-595)
    // out
    struct log_read read;    // read.pieces, pieces_count, bytes
    int32_t diverging_epoch; // -1: none
    int64_t diverging_end_offset;
    uint64_t readable_seen; // node's: log_readable_bytes when the last round read
};
struct fetch {
    struct fetch_part *parts;
    uint32_t parts_count;
    uint32_t max_bytes, min_bytes;
    int64_t max_wait_ms;
    struct request_context *context;
    void (*done)(struct fetch *request); // then fetch_release when the answer has been sent
    struct fetch_state *state;           // the node's
};
void fetch_start(struct shard *shard, struct fetch *request);
void fetch_release(struct fetch *request); // gives back the pieces
// The connection is gone: done runs soon with whatever there is.
void fetch_cancel(struct fetch *request);
void fetch_drop(struct fetch *request); // as produce_drop

// ---- the rest: one generic scatter, one struct per job

struct lookup_part { // ListOffsets
    struct part part;
    int64_t timestamp_ms; // >= 0, or LOOKUP_*
    int64_t found_offset, found_timestamp_ms;
    int32_t found_epoch;
    struct log_lookup lookup;
};
enum {
    LOOKUP_LATEST = -1,
    LOOKUP_EARLIEST = -2,
    LOOKUP_MAX_TIMESTAMP = -3,
    LOOKUP_EARLIEST_LOCAL = -4,
    LOOKUP_LATEST_TIERED = -5
};
struct epoch_part { // OffsetForLeaderEpoch
    struct part part;
    int32_t epoch;
    int32_t end_epoch;
    int64_t end_offset;
};
struct trim_part { // DeleteRecords; -1: up to the high watermark
    struct part part;
    int64_t offset;
    int64_t low_watermark;
    struct journal_barrier barrier; // node's
};
struct size_part { // DescribeLogDirs and `weir topic describe`
    struct part part;
    uint64_t size_bytes;
    int64_t end_offset;
    uint32_t producers_count;
};
struct producers_part { // DescribeProducers
    struct part part;
    struct producer_info *infos; // mem; scatter_producers_free
    uint32_t infos_count;
};
void scatter_producers_free(struct producers_part *part);

enum scatter_job { SCATTER_LOOKUP, SCATTER_EPOCH, SCATTER_TRIM, SCATTER_SIZE, SCATTER_PRODUCERS };
struct scatter {
    enum scatter_job job;
    void *parts; // array of the job's struct; each begins with struct part
    uint32_t parts_count;
    struct request_context *context;
    void (*done)(struct scatter *request);
    struct legs legs; // node's
};
void scatter_start(struct shard *shard, struct scatter *request);
void scatter_drop(struct scatter *request); // as produce_drop

#endif
