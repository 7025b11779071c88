// SPDX-License-Identifier: Apache-2.0
//
// What a shard knows of a segment without touching its files: extent, timestamps, and the index
// entries that are not in the index files yet. Index entries are made on the shard, at append, from
// the batch's head alone; so the worker that writes them keeps no state, and replay makes the same
// entries again instead of scanning a gigabyte.
//
// STATES
//            roll           all written, synced,
//                           recorded and installed
//   ACTIVE ---------> SEALED ---------------------> CLEAN
//      |                 |                            |
//      +--(replaced)     +------> DOOMED <------------+        below the start offset
//                                   |  files removed
//                                   v
//                                  GONE                        until its tombstone is installed
//
// LAYOUT of a segment in STATE_SEGMENT's value and inside STATE_LOG's (little-endian)
//   OFFSET SIZE FIELD
//   0      8    base offset
//   8      4    size of the .log file, bytes
//   12     4    entries of .index
//   16     4    entries of .timeindex
//   20     4    bytes since the last index entry
//   24     8    last offset (base - 1 when empty)
//   32     8    max timestamp of the first batch
//   40     8    largest timestamp
//   48     8    last offset of the batch that has it
//   56     8    timestamp of the last .timeindex entry (INT64_MIN: none)
#ifndef WEIR_LOG_SEGMENT_H
#define WEIR_LOG_SEGMENT_H

#include "base/buf.h"
#include "log/frames.h"

#define SEGMENT_RECORD_BYTES 64
#define INDEX_ENTRY_BYTES    8
#define TIME_ENTRY_BYTES     12

enum segment_state {
    SEGMENT_ACTIVE,
    SEGMENT_SEALED,
    SEGMENT_CLEAN,
    SEGMENT_DOOMED,
    SEGMENT_GONE,
    SEGMENT_STATES
};

struct index_entry {
    uint32_t position;       // where the batch starts
    int32_t relative_offset; // its last offset - base
    int64_t timestamp_ms;    // with has_time: the largest so far …
    int32_t time_relative;   // … and the last offset of its batch - base
    bool has_offset, has_time;
};

struct segment {
    int64_t base_offset, last_offset;
    uint32_t size_bytes;
    uint32_t since_index_bytes;
    uint32_t index_count, time_count;     // entries, those pending included
    uint32_t index_flushed, time_flushed; // entries that stand in the files
    int64_t first_timestamp_ms, max_timestamp_ms, max_timestamp_offset;
    int64_t last_time_ms;
    struct index_entry *pending; // not yet given to the writer, oldest first
    uint32_t pending_count, pending_cap;
    enum segment_state state;
    uint32_t cut_bytes; // its size when the cut under way named it
    bool dirty;         // written since it was last synced
    // Of logs in memory: whether the writer has been given some of it, the beginning and end of the
    // last part without a hole, and the offset with which it begins. What was trimmed before it was
    // written is not in the file.
    bool spilled;
    uint32_t spilled_position, spilled_end;
    int64_t spilled_offset;
    bool removing; // its files are on their way out
    bool stale;    // doomed by recovery: what condemns it is durable, and the tidying removes it
    bool tidying;  // by the job that tidies the log
    bool dropped;  // doomed by log_drop_segments, not by the start offset
    bool buried;   // and a snapshot that is installed knows that it is gone
    bool emitted;  // the cut under way names it, as active or by a record of its own
    bool recorded; // by a record of its own
};

void segment_init(struct segment *s, int64_t base_offset);
void segment_fini(struct segment *s);
bool segment_may_become(enum segment_state from, enum segment_state to);
void segment_become(struct segment *s, enum segment_state to); // asserts the edge
void segment_invariant(const struct segment *s);

// Takes a batch that starts at the segment's end.
void segment_add(struct segment *s, const struct frame_batch *f, uint32_t index_interval_bytes);
void segment_seal(struct segment *s); // adds the last time index entry, as Kafka does when it rolls
// How many pending entries name batches that start before `position`.
uint32_t segment_pending_below(const struct segment *s, uint32_t position);
// Encodes the first n pending entries as they stand in the files, and forgets them.
void segment_take_pending(struct segment *s, uint32_t n, struct buf *index, struct buf *time);

void segment_put(struct buf *out, const struct segment *s);
int segment_get(struct slice in, struct segment *out); // ERR_CORRUPT; state is SEALED

#endif
