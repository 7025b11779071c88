// SPDX-License-Identifier: Apache-2.0
//
// What several shards write as one: each brings its part, the journal writes all of it in one group
// (journal/bundle.c), and after any crash it is there as a whole or not at all. A streaming query
// commits its output, its state and its offsets this way.
#ifndef WEIR_NODE_BUNDLE_H
#define WEIR_NODE_BUNDLE_H

#include "base/blob.h"
#include "node/legs.h"

struct node_bundle { // the caller's; lives until done
    uint64_t shards; // a bit per shard that brings a part
    // What all of them bring at the most: records, offsets and state, and NODE_BUNDLE_BESIDE for
    // each batch and each record of state.
    uint64_t bytes;
    // On each of those shards, inside its part: appends and writes what belongs to it. What may
    // fail must be found out before: what other shards have brought cannot be taken back.
    int (*bring)(struct node_bundle *bundle, struct shard *shard);
    // On the asking shard, when all parts are durable; err is the first of a bring or the journal.
    void (*done)(struct node_bundle *bundle, int err);
    // the node's
    uint64_t id;
    struct legs legs;
    int err;
};
#define NODE_BUNDLE_BESIDE 256
// On shard 0, which also begins the stop: its mail reaches each shard in order, so no part comes
// after a shard has closed. ERR_STOPPED: the node stops; ERR_LIMIT: `bytes` is more than half a
// journal file, and the step must be made smaller. done does not run then.
int node_bundle_start(struct shard *from, struct node_bundle *bundle);
void node_bundle_drop(struct node_bundle *bundle); // its actors have ended; as produce_drop
// For `bring`, on the owner: appends one batch. A reference to the blob is taken, base offset and
// epoch are written into it. ERR_UNKNOWN_TOPIC_OR_PARTITION, and log_append's.
int node_bundle_append(struct shard *shard, const struct uuid *topic, int32_t partition,
                       struct blob_piece batch, int64_t *out_base_offset);

#endif
