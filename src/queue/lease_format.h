// SPDX-License-Identifier: Apache-2.0
//
// What of a queue is on disk: which records of a log are settled. Frames say what was settled since
// the frame before, snapshots everything. Varints are LEB128; both layouts begin with a version.
//
// LAYOUT
// KEY, of both: the head of a JOURNAL_LEASE frame, and the key of a STATE_LEASES record
//   OFFSET SIZE FIELD
//   0      16   topic id
//   16     4    partition, little-endian
//
// BODY of a JOURNAL_LEASE frame
//   0      1    format version (1)
//   1      …    ranges, in no order, to the end of the body: zigzag varint, first offset less the
//               end of the range before (of the first: less 0); varint, how many, at least 1
//
// VALUE of a STATE_LEASES record; a tombstone: the queue is gone
//   0      1    format version (1)
//   1      1    1: nothing was acquired after this was written, since the server was stopping; else
//   0 2      2    zero 4      4    ranges count, little-endian 8      8    start: everything below
//   is settled 16     8    next: nothing from here on was ever acquired 24     …    ranges between
//   start and next, ascending, not touching: varint, unsettled records
//               since the end of the range before (of the first: since start), at least 1; varint,
//               how many, at least 1
#ifndef WEIR_QUEUE_LEASE_FORMAT_H
#define WEIR_QUEUE_LEASE_FORMAT_H

#include "base/buf.h"
#include "base/cursor.h"
#include "log/log.h"

#define LEASE_FORMAT_VERSION 1
#define LEASE_KEY_BYTES      20
#define LEASE_STATE_BYTES    24 // of a value before its ranges
#define LEASE_RANGE_BYTES    20 // the most that one range takes
_Static_assert(LEASE_KEY_BYTES == sizeof(struct uuid) + sizeof(int32_t), "a log's key");

struct lease_range { // offsets from … to - 1
    int64_t from, to;
};

void lease_key_put(const struct log_key *key, uint8_t out[LEASE_KEY_BYTES]);
int lease_key_get(struct slice bytes, struct log_key *out); // ERR_CORRUPT

// ---- frames

void lease_frame_begin(struct buf *out);
// `last` is what the caller keeps from range to range: 0 at first.
void lease_frame_put(struct buf *out, int64_t *last, struct lease_range range);
// Checks the whole body and reads range after range. ERR_CORRUPT, ERR_FORMAT_VERSION.
int lease_frame_open(struct slice body, struct cursor *out);
bool lease_frame_next(struct cursor *in, int64_t *last, struct lease_range *out);

// ---- snapshots

struct lease_state {
    int64_t start, next;
    uint32_t ranges_count;
    bool final;
};
void lease_state_put(struct buf *out, const struct lease_state *state);
void lease_state_put_range(struct buf *out, int64_t *last,
                           struct lease_range range); // first: start
// As above; `last` begins as out->start.
int lease_state_open(struct slice value, struct lease_state *out, struct cursor *ranges);
bool lease_state_next(struct cursor *in, int64_t *last, struct lease_range *out);

#endif
