// SPDX-License-Identifier: Apache-2.0
//
// Jobs of the reader: what read.c and lookup.c ask and reader.c answers.
#ifndef WEIR_LOG_READ_INT_H
#define WEIR_LOG_READ_INT_H

#include "log/log_int.h"

// The part of a segment a job may look at, as the shard knew it when it asked.
struct cold_part {
    int64_t segment;
    uint32_t end_bytes;      // of .log
    uint32_t first_position; // what the file begins with: 0 and the segment's base, but for what
    int64_t first_offset;    // was spilled
    uint32_t index_entries, time_entries;
    int32_t epoch; // of the batches from the offset asked for up to epoch_end; -1: not known
    int64_t epoch_end;
};
struct cold_part log_cold_part(const struct log *log, const struct segment *segment,
                               int64_t offset);

struct read_job {
    struct job job;
    struct log_read *read;
    struct cold_part part;
    int64_t offset;
    uint32_t max_bytes;
    bool at_least_one;
    struct blob_piece piece; // out; a reference
    int64_t next_offset;     // out
};
int read_work(struct job *job);

struct find_job {
    struct job job;
    struct log_lookup *lookup;
    struct blob_piece piece; // of the tail, a reference; blob == NULL: search the cold part
    struct cold_part part;
    int64_t from_offset; // nothing below counts
    int64_t next_offset; // where what was not cold begins
    int64_t timestamp_ms;
    bool found; // out, as the rest
    int64_t found_offset, found_timestamp_ms;
};
int find_work(struct job *job);

#endif
