// SPDX-License-Identifier: Apache-2.0
//
// Reading a segment's files as they are on disk, trusting nothing in them: one place for the
// reader, recovery, `weir check` and the fuzzer.
#ifndef WEIR_LOG_SCAN_H
#define WEIR_LOG_SCAN_H

#include "io/io.h"
#include "log/batch.h"

// A view of a segment's file through a small window, so that headers that lie close together cost
// one read.
#define SCAN_WINDOW_BYTES 4096
struct scan {
    struct io_file *file; // NULL: `bytes` is the file (tests, fuzzing)
    struct slice bytes;
    uint64_t end; // nothing behind it is looked at
    uint64_t window_at;
    size_t window_len;
    uint8_t window[SCAN_WINDOW_BYTES];
};
void scan_init(struct scan *s, struct io_file *file, uint64_t end);
void scan_init_bytes(struct scan *s, struct slice bytes);
// The header of the batch at `position`. ERR_EOF at the end; ERR_TRUNCATED when the batch reaches
// beyond it; ERR_CORRUPT_MESSAGE; ERR_IO.
int scan_header(struct scan *s, uint64_t position, struct batch *out);
// Reads all of [position, position + len). ERR_TRUNCATED, ERR_IO.
int scan_read(struct scan *s, uint64_t position, void *out, size_t len);
// The first batch from `position` on whose last offset is >= offset, or whose max timestamp is >=
// timestamp_ms, whichever is asked for. ERR_EOF: none.
int scan_offset(struct scan *s, uint64_t position, int64_t offset, uint64_t *out_position,
                struct batch *out);
int scan_time(struct scan *s, uint64_t position, int64_t offset, int64_t timestamp_ms,
              uint64_t *out_position, struct batch *out);

// The position to search from for `relative_offset`: that of the last of the `entries` entries of
// an .index file that is not above it; 0 when there is none or the file is unusable (then the
// search is only longer).
uint64_t scan_index(struct scan *index, uint32_t entries, int64_t relative_offset);
// The relative offset up to which a .timeindex file says everything is older than timestamp_ms; -1:
// it says nothing.
int64_t scan_time_index(struct scan *index, uint32_t entries, int64_t timestamp_ms);
// How many of the leading bytes are whole batches with right checksums and rising offsets from
// `base` on; each is reported.
uint64_t scan_valid(struct scan *s, uint64_t position, int64_t offset,
                    void (*found)(void *arg, uint64_t position, const struct batch *b), void *arg);

// Walks the plain batches in `bytes`: how many bytes of it are whole batches, each with a right
// checksum and offsets that rise from `offset` on.
size_t scan_whole(struct slice bytes, int64_t offset, int64_t *out_next_offset);

#endif
