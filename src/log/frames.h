// SPDX-License-Identifier: Apache-2.0
//
// Heads of the journal frames that concern a log. Offset, segment and position are decided at
// append and journalled with the batch, so that replay is idempotent: the same bytes at the same
// place.
//
// LAYOUT of JOURNAL_BATCH and JOURNAL_REFERENCE (little-endian)
//   OFFSET SIZE FIELD
//   0      16   topic uuid
//   16     4    partition
//   20     4    leader epoch
//   24     8    base offset
//   32     8    last offset
//   40     8    segment: its base offset
//   48     4    position in the segment
//   52     4    size of the batch
//   56     8    max timestamp, ms
//
// LAYOUT of JOURNAL_LOG_START
//   0      16   topic uuid
//   16     4    partition
//   20     4    zero
//   24     8    start offset
//
// LAYOUT of JOURNAL_LOG_DROP: every sealed segment within the range is gone
//   0      16   topic uuid
//   16     4    partition
//   20     4    zero
//   24     8    offset: from
//   32     8    offset: to, not included
#ifndef WEIR_LOG_FRAMES_H
#define WEIR_LOG_FRAMES_H

#include "log/log.h"

#define FRAME_BATCH_BYTES 64
#define FRAME_START_BYTES 32
#define FRAME_DROP_BYTES  40

struct frame_batch {
    struct log_key key;
    int32_t leader_epoch;
    int64_t base_offset, last_offset;
    int64_t segment;
    uint32_t position, size_bytes;
    int64_t max_timestamp_ms;
};

void frame_batch_put(uint8_t out[FRAME_BATCH_BYTES], const struct frame_batch *frame);
int frame_batch_get(struct slice head, struct frame_batch *out); // ERR_CORRUPT
void frame_start_put(uint8_t out[FRAME_START_BYTES], const struct log_key *key, int64_t start);
int frame_start_get(struct slice head, struct log_key *out_key, int64_t *out_start); // ERR_CORRUPT
void frame_drop_put(uint8_t out[FRAME_DROP_BYTES], const struct log_key *key, int64_t from,
                    int64_t to);
int frame_drop_get(struct slice head, struct log_key *out_key, int64_t *out_from,
                   int64_t *out_to); // ERR_CORRUPT

#endif
