// SPDX-License-Identifier: Apache-2.0
//
// A log's newest batches in memory: a ring in order of offset, without holes. Every batch has a
// number that never changes (`first` is the number of the oldest one held), so workers' answers can
// name ranges although the front moves meanwhile. A ring and not a list, so that a batch costs no
// allocation and an offset is found by halving.
#ifndef WEIR_LOG_TAIL_H
#define WEIR_LOG_TAIL_H

#include "base/blob.h"

struct tail_entry {
    struct blob_piece piece; // holds a reference
    int64_t base_offset, last_offset;
    int64_t segment;
    int64_t max_timestamp_ms;
    uint32_t position;
    int32_t leader_epoch;
    bool written; // stands in the segment's file
};

struct tail {
    struct tail_entry *slots;
    uint32_t cap;        // power of two, or 0
    uint64_t first, end; // numbers: [first, end) is held
    uint64_t durable;    // numbers below are durable
    uint64_t bytes;
};

void tail_init(struct tail *t);
void tail_fini(struct tail *t);               // drops the references
struct tail_entry *tail_push(struct tail *t); // not initialised; counting bytes is the caller's
struct tail_entry *tail_at(const struct tail *t, uint64_t number);
void tail_pop(struct tail *t); // drops the oldest and its reference
static inline bool tail_empty(const struct tail *t)
{
    return t->first == t->end;
}
// The number of the first batch whose last offset is >= offset; t->end when there is none.
uint64_t tail_find(const struct tail *t, int64_t offset);

#endif
