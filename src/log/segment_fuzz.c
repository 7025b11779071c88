// SPDX-License-Identifier: Apache-2.0
//
// Fuzzing what is read back from a segment's files: the bytes are taken as a .log, an .index and a
// .timeindex at once, and as a segment's record in a snapshot. Whatever they say, scanning ends,
// stays inside, and searching by an index only ever shortens a search.
//
// covers: src/log/scan.c src/log/frames.c
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "log/scan.h"
#include "log/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void found(void *arg, uint64_t position, const struct batch *b)
{
    const struct scan *s = arg;
    ASSERT(position + b->size_bytes <= s->end);
}

static void scan_all(struct slice bytes)
{
    struct scan s;
    struct batch b;
    uint64_t at = 0;
    scan_init_bytes(&s, bytes);
    const struct scan_place start = {0, 0};
    uint64_t valid = scan_valid(&s, start, found, &s);
    const struct scan_order order = {.offset = 0, .epoch = -1, .epoch_end = INT64_MAX};
    int64_t next;
    size_t whole = scan_whole(bytes, &order, &next);
    ASSERT(valid == whole); // two ways to the same answer
    if (scan_offset(&s, start, 5, &at, &b) == 0)
        ASSERT(batch_last_offset(&b) >= 5);
    if (scan_time(&s, start, 3, 1000, &at, &b) == 0)
        ASSERT(b.max_timestamp_ms >= 1000);
}

static void frame_round_trip(const uint8_t *data)
{
    struct frame_batch f;
    struct log_key key;
    uint8_t again[FRAME_BATCH_BYTES];
    struct journal_replayed frame = {.kind = JOURNAL_BATCH, .head = slice_of(data, sizeof again)};
    if (frame_batch_get(frame.head, &f) != 0)
        return;
    frame_batch_put(again, &f);
    ASSERT(memcmp(again, data, sizeof again) == 0);
    ASSERT(log_frame_key(&frame, &key) == 0);
    frame_start_put(again, &key, f.base_offset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 1U << 20)
        return 0;
    struct slice bytes = slice_of(data, len);
    scan_all(bytes);
    struct scan index;
    scan_init_bytes(&index, bytes);
    // More entries are claimed than there are: a file may be shorter than it should be.
    uint32_t entries = (uint32_t)(len / INDEX_ENTRY_BYTES) + 2;
    struct scan_index_entry entry;
    struct scan_time_entry time_entry;
    for (int64_t relative = 0; relative < 64; relative += 7)
        if (scan_index(&index, entries, relative, &entry))
            ASSERT(entry.relative_offset <= relative);
    for (int64_t ms = 0; ms < 4000; ms += 499)
        if (scan_time_index(&index, entries, ms, &time_entry))
            ASSERT(time_entry.timestamp_ms < ms);
    struct segment s;
    if (len >= SEGMENT_RECORD_BYTES && segment_get(slice_of(data, SEGMENT_RECORD_BYTES), &s) == 0)
        segment_invariant(&s);
    struct log_key key;
    int64_t start;
    if (len >= FRAME_BATCH_BYTES)
        frame_round_trip(data);
    if (len >= FRAME_START_BYTES)
        (void)frame_start_get(slice_of(data, FRAME_START_BYTES), &key, &start);
    return 0;
}
