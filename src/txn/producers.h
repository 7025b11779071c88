// SPDX-License-Identifier: Apache-2.0
//
// Idempotent producers of one partition (KIP-98, KIP-360): per producer id the epoch and the last
// five batches, so that a batch that is sent again is recognised and answered with its first
// offset. The table is a function of the log's batches plus a snapshot (STATE_PRODUCERS record, one
// per partition), so it survives restarts.
//
// Below the doors this knows no protocol; errors are Kafka's since the rules are.
#ifndef WEIR_TXN_PRODUCERS_H
#define WEIR_TXN_PRODUCERS_H

#include "log/log.h"

#define PRODUCERS_BATCHES \
    5 // kept per producer (ProducerStateManager.NUM_BATCHES_TO_RETAIN of Kafka)

struct producers;

struct producers *producers_create(uint64_t hash_seed);
void producers_destroy(struct producers *p); // accepts NULL

struct producers_verdict {
    bool duplicate;
    int64_t base_offset, last_offset; // of the first append, when duplicate
    int64_t timestamp_ms;
};
// May this batch be appended? 0; ERR_INVALID_PRODUCER_EPOCH (older than the known one);
// ERR_OUT_OF_ORDER_SEQUENCE_NUMBER: a gap, a repetition that is older than the five kept, or a new
// epoch that does not begin at 0. A producer that is not known (any more) may begin anywhere
// (KIP-360). A batch without producer id is always new. Sequences wrap at 2^31 - 1 to 0.
int producers_check(const struct producers *p, const struct batch *batch,
                    struct producers_verdict *out);
// Records an appended batch (also at replay: a batch at or below the last one known is ignored).
void producers_append(struct producers *p, const struct batch *batch, int64_t now_ms);
// Forgets producers without a batch since before_ms (producer.id.expiration.ms). True when
// something changed.
bool producers_expire(struct producers *p, int64_t before_ms);
uint32_t producers_count(const struct producers *p);
bool producers_dirty(const struct producers *p); // changed since the last producers_snapshot

struct producer_info { // for DescribeProducers and `weir topic describe`
    int64_t producer_id;
    int16_t epoch;
    int32_t last_sequence;
    int64_t last_timestamp_ms, last_offset;
};
void producers_each(const struct producers *p,
                    void (*fn)(void *arg, const struct producer_info *info), void *arg);

// Value of the STATE_PRODUCERS record (key as STATE_LOG's). Clears the dirty mark. The layout is a
// table in producers.c's header.
void producers_snapshot(struct producers *p, struct buf *out);
int producers_restore(struct producers *p, struct slice value); // ERR_CORRUPT, ERR_FORMAT_VERSION

// ---- producer ids: handed out from blocks that are journalled before the first id of a block is
// used, so that no id is ever given twice.

struct producer_ids {    // one per server, on shard 0
    int64_t next, end;   // of the block in hand
    int64_t durable_end; // ids below are covered by a durable block record
};
#define PRODUCER_IDS_BLOCK 1000
// 0 and an id; ERR_AGAIN: a new block must be journalled first (producer_ids_grant, when durable).
int producer_ids_take(struct producer_ids *ids, int64_t *out);
void producer_ids_grant(struct producer_ids *ids, int64_t block_end);

#endif
