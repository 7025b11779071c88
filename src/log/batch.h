// SPDX-License-Identifier: Apache-2.0
//
// Record batches, format v2 (Kafka protocol guide, "Record Batch"; KIP-98). A batch stays opaque on
// its way: only its header is read, its CRC checked, and base offset and leader epoch written into
// it (the CRC does not cover them).
//
// LAYOUT (big-endian)
//   OFFSET SIZE FIELD
//   0      8    base offset
//   8      4    batch length: bytes after this field
//   12     4    partition leader epoch
//   16     1    magic = 2
//   17     4    CRC-32C of everything from offset 21 on
//   21     2    attributes: bits 0-2 codec, 3 timestamp type,
//               4 transactional, 5 control, 6 delete horizon
//   23     4    last offset delta
//   27     8    base timestamp, ms
//   35     8    max timestamp, ms
//   43     8    producer id, -1: none
//   51     2    producer epoch
//   53     4    base sequence
//   57     4    records count
//   61     …    records
#ifndef WEIR_LOG_BATCH_H
#define WEIR_LOG_BATCH_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/cursor.h"

#define BATCH_HEADER_BYTES 61
// A larger batch that is one bit off is taken for torn: chance would say it too often.
#define BATCH_ONE_BIT_MAX (16U << 10)

enum batch_codec { BATCH_NONE, BATCH_GZIP, BATCH_SNAPPY, BATCH_LZ4, BATCH_ZSTD, BATCH_CODECS };

struct batch {
    int64_t base_offset;
    int32_t leader_epoch;
    int32_t last_offset_delta;
    int64_t base_timestamp_ms, max_timestamp_ms;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t records_count;
    uint16_t attributes;
    uint32_t crc;
    uint32_t size_bytes; // of the whole batch, header included
};

static inline enum batch_codec batch_codec(const struct batch *b)
{
    return (enum batch_codec)(b->attributes & 7U);
}
static inline bool batch_log_append_time(const struct batch *b)
{
    return (b->attributes & 8U) != 0;
}
static inline bool batch_transactional(const struct batch *b)
{
    return (b->attributes & 16U) != 0;
}
static inline bool batch_control(const struct batch *b)
{
    return (b->attributes & 32U) != 0;
}
static inline int64_t batch_last_offset(const struct batch *b)
{
    return b->base_offset + b->last_offset_delta;
}

// Reads the header of the batch that `bytes` begins with and checks that it is whole, magic 2 and
// its counts possible. ERR_TRUNCATED (not whole yet), ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT (another
// magic), ERR_CORRUPT_MESSAGE.
int batch_peek(struct slice bytes, struct batch *out);
bool batch_crc_ok(struct slice batch);

// What a client may send (Kafka's LogValidator): magic 2, CRC, lastOffsetDelta = count - 1, count >
// 0, no control batch, a known codec, sequence present when a producer id is. Not the records
// inside. ERR_CORRUPT_MESSAGE, ERR_INVALID_RECORD, ERR_UNSUPPORTED_COMPRESSION_TYPE,
// ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT.
int batch_check_from_client(struct slice bytes, struct batch *out);

// In place. With log append time the timestamps are ours and the CRC is computed anew.
void batch_set_offset(uint8_t *batch, int64_t base_offset, int32_t leader_epoch);
void batch_set_append_time(uint8_t *batch, size_t len, int64_t now_ms);

// ---- records inside, for checks, tools and tests (never on the produce path of a plain topic)

struct record {
    int64_t offset, timestamp_ms;
    struct slice key, value; // null where null
    struct slice
        headers; // still encoded: varint count, then (varint length, key, varint length, value)…
    uint32_t headers_count;
};
// The records' bytes, decompressed when needed into the arena, never more than `limit_bytes`. Raw
// and xerial-framed snappy are both accepted. ERR_LIMIT, ERR_CORRUPT_MESSAGE,
// ERR_UNSUPPORTED_COMPRESSION_TYPE.
int batch_records(struct slice batch, struct arena *arena, size_t limit_bytes, struct slice *out);
// One record; `b` gives offset and timestamp bases. ERR_CORRUPT_MESSAGE.
int record_next(struct cursor *in, const struct batch *b, struct record *out);

// ---- building (queues, tools, simulated clients, later SQL)

struct batch_builder {
    struct buf *out; // the batch's alone from begin to end; sticky errors show at the end
    size_t start;
    struct batch header;
    enum batch_codec codec;
    struct buf records; // of a batch that is compressed at the end
};
void batch_build_begin(struct batch_builder *bb, struct buf *out, enum batch_codec codec,
                       int64_t base_timestamp_ms);
void batch_build_producer(struct batch_builder *bb, int64_t producer_id, int16_t epoch,
                          int32_t base_sequence);
void batch_build_record(struct batch_builder *bb, int64_t timestamp_ms, struct slice key,
                        struct slice value, struct slice headers, uint32_t headers_count);
int batch_build_end(struct batch_builder *bb); // compresses, writes header and CRC; ERR_LIMIT

#endif
