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
// Where a walk over batches begins. Within a segment offsets are dense, so the offset of the batch
// that stands there is known before it is read. Every walk holds that against the headers: their
// first 16 bytes (offset, length, epoch) are covered by no checksum.
struct scan_place {
    uint64_t position;
    int64_t base_offset;
};
// The first batch from there on whose last offset is >= offset. ERR_EOF: none;
// ERR_CORRUPT_MESSAGE: the headers on the way do not follow one another.
int scan_offset(struct scan *s, struct scan_place from, int64_t offset, uint64_t *out_position,
                struct batch *out);
// The same, whose largest timestamp is >= timestamp_ms besides. What is looked at is read whole
// and its checksum verified, since its timestamps decide.
int scan_time(struct scan *s, struct scan_place from, int64_t offset, int64_t timestamp_ms,
              uint64_t *out_position, struct batch *out);

// Entries of the index files, which have no checksums: the last of the first `entries` that is not
// above what is looked for. False: there is none, or the file is unusable. What an entry says must
// be held against the batch that it names before it is believed.
struct scan_index_entry {
    int64_t relative_offset; // of the batch's last record
    uint64_t position;
};
bool scan_index(struct scan *index, uint32_t entries, int64_t relative_offset,
                struct scan_index_entry *out);
struct scan_time_entry {
    int64_t timestamp_ms;    // everything up to that offset is as old or older
    int64_t relative_offset; // of the last record of the batch that has it
};
bool scan_time_index(struct scan *index, uint32_t entries, int64_t timestamp_ms,
                     struct scan_time_entry *out); // the last one older than timestamp_ms

// How many of the leading bytes are whole batches with right checksums and dense offsets; each is
// reported. What does not read right is read once more before the walk ends there.
uint64_t scan_valid(struct scan *s, struct scan_place from,
                    void (*found)(void *arg, uint64_t position, const struct batch *b), void *arg);

// What batches that follow one another must say of themselves.
struct scan_order {
    int64_t offset; // of the first one
    int32_t epoch;  // of all below epoch_end, where the walk ends; -1: not known
    int64_t epoch_end;
};
// Walks the plain batches in `bytes`: how many bytes of it are whole batches in that order, each
// with a right checksum.
size_t scan_whole(struct slice bytes, const struct scan_order *order, int64_t *out_next_offset);

#endif
