// SPDX-License-Identifier: Apache-2.0
//
// Batch headers: reading, the checks Kafka makes of what a client sends, and the few fields the
// broker writes. One function decodes, so that there is one place where bytes become numbers; the
// two callers differ in what they refuse. A reader of our own files (batch_peek) wants to know "is
// this a batch"; a producer gets Kafka's verdicts in Kafka's order, since clients act on them.
#include "log/batch.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/err.h"
#include "log/batch_int.h"

enum {
    AT_BASE_OFFSET = 0,
    AT_LENGTH = 8,
    AT_EPOCH = 12,
    AT_MAGIC = 16,
    AT_CRC = 17,
    AT_ATTRIBUTES = 21,
    AT_LAST_DELTA = 23,
    AT_BASE_TIMESTAMP = 27,
    AT_MAX_TIMESTAMP = 35,
    AT_PRODUCER_ID = 43,
    AT_PRODUCER_EPOCH = 51,
    AT_BASE_SEQUENCE = 53,
    AT_COUNT = 57,
    LENGTH_COVERS_FROM = 12, // "batch length" counts the bytes after itself
    ATTRIBUTE_APPEND_TIME = 8
};
_Static_assert(AT_COUNT + 4 == BATCH_HEADER_BYTES, "the header ends with the count");

#define RECORD_BYTES_MIN 7 // length, attributes, two deltas, key, value, headers: one byte each

static int header_decode(struct slice bytes, struct batch *out)
{
    if (bytes.len < AT_CRC)
        return ERR_TRUNCATED;
    const uint8_t *p = bytes.data;
    if (p[AT_MAGIC] != 2)
        return p[AT_MAGIC] < 2 ? ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT : ERR_CORRUPT_MESSAGE;
    uint32_t length = be32_get(p + AT_LENGTH);
    if (length < BATCH_HEADER_BYTES - LENGTH_COVERS_FROM || length > INT32_MAX - LENGTH_COVERS_FROM)
        return ERR_CORRUPT_MESSAGE;
    if (bytes.len < BATCH_HEADER_BYTES)
        return ERR_TRUNCATED;
    *out = (struct batch){
        .base_offset = (int64_t)be64_get(p + AT_BASE_OFFSET),
        .leader_epoch = (int32_t)be32_get(p + AT_EPOCH),
        .last_offset_delta = (int32_t)be32_get(p + AT_LAST_DELTA),
        .base_timestamp_ms = (int64_t)be64_get(p + AT_BASE_TIMESTAMP),
        .max_timestamp_ms = (int64_t)be64_get(p + AT_MAX_TIMESTAMP),
        .producer_id = (int64_t)be64_get(p + AT_PRODUCER_ID),
        .producer_epoch = (int16_t)be16_get(p + AT_PRODUCER_EPOCH),
        .base_sequence = (int32_t)be32_get(p + AT_BASE_SEQUENCE),
        .records_count = (int32_t)be32_get(p + AT_COUNT),
        .attributes = be16_get(p + AT_ATTRIBUTES),
        .crc = be32_get(p + AT_CRC),
        .size_bytes = length + LENGTH_COVERS_FROM,
    };
    return 0;
}

// Counts that no batch can have, whoever wrote it. Compaction may leave fewer records than offsets,
// and none at all.
static bool counts_possible(const struct batch *b)
{
    if (b->last_offset_delta < 0 || b->records_count < 0)
        return false;
    if ((int64_t)b->records_count > (int64_t)b->last_offset_delta + 1)
        return false;
    if (b->base_offset < 0 || b->base_offset > INT64_MAX - INT32_MAX)
        return false;
    int64_t room = (int64_t)b->size_bytes - BATCH_HEADER_BYTES;
    return batch_codec(b) != BATCH_NONE || (int64_t)b->records_count * RECORD_BYTES_MIN <= room;
}

int batch_peek_header(struct slice bytes, struct batch *out)
{
    struct batch b;
    int err = header_decode(bytes, &b);
    if (err != 0)
        return err;
    if (!counts_possible(&b))
        return ERR_CORRUPT_MESSAGE;
    *out = b;
    return 0;
}

int batch_peek(struct slice bytes, struct batch *out)
{
    struct batch b;
    int err = batch_peek_header(bytes, &b);
    if (err != 0)
        return err;
    if (b.size_bytes > bytes.len)
        return ERR_TRUNCATED;
    *out = b;
    return 0;
}

bool batch_crc_ok(struct slice batch)
{
    ASSERT(batch.len >= BATCH_HEADER_BYTES);
    uint32_t crc = crc32c(0, batch.data + AT_ATTRIBUTES, batch.len - AT_ATTRIBUTES);
    return crc == be32_get(batch.data + AT_CRC);
}

bool batch_one_bit_off(struct slice batch)
{
    ASSERT(batch.len >= BATCH_HEADER_BYTES);
    size_t len = batch.len - AT_ATTRIBUTES;
    uint32_t crc = crc32c(0, batch.data + AT_ATTRIBUTES, len);
    return batch.len <= BATCH_ONE_BIT_MAX &&
           crc32c_one_bit(crc ^ be32_get(batch.data + AT_CRC), len) >= 0;
}

// The rules of LogValidator and of the append's analysis, in Kafka's order of refusal.
static int client_rules(const struct batch *b)
{
    if (b->base_offset != 0)
        return ERR_INVALID_RECORD; // "the baseOffset of the record batch … should be 0"
    if (batch_codec(b) >= BATCH_CODECS)
        return ERR_UNSUPPORTED_COMPRESSION_TYPE;
    if (b->last_offset_delta < 0 || b->records_count <= 0)
        return ERR_INVALID_RECORD;
    if ((int64_t)b->last_offset_delta + 1 != b->records_count)
        return ERR_INVALID_RECORD;
    if (batch_control(b))
        return ERR_INVALID_RECORD; // "clients are not allowed to write control records"
    if (b->producer_id >= 0 && b->base_sequence < 0)
        return ERR_INVALID_RECORD;
    if (batch_log_append_time(b))
        return ERR_INVALID_TIMESTAMP; // "producer should not set timestamp type to LogAppendTime"
    return 0;
}

int batch_check_from_client(struct slice bytes, struct batch *out)
{
    struct batch b;
    int err = header_decode(bytes, &b);
    if (err == ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT)
        return err;
    // Kafka reads what is cut off as damage; to a client "not whole yet" means nothing.
    if (err != 0 || b.size_bytes > bytes.len)
        return ERR_CORRUPT_MESSAGE;
    if (!batch_crc_ok(slice_of(bytes.data, b.size_bytes)))
        return ERR_CORRUPT_MESSAGE;
    err = client_rules(&b);
    if (err != 0)
        return err;
    if (!counts_possible(&b))
        return ERR_INVALID_RECORD;
    *out = b;
    return 0;
}

void batch_set_offset(uint8_t *batch, int64_t base_offset, int32_t leader_epoch)
{
    ASSERT(base_offset >= 0);
    ASSERT(batch[AT_MAGIC] == 2);
    be64_put(batch + AT_BASE_OFFSET, (uint64_t)base_offset);
    be32_put(batch + AT_EPOCH, (uint32_t)leader_epoch);
}

void batch_set_append_time(uint8_t *batch, size_t len, int64_t now_ms)
{
    ASSERT(len >= BATCH_HEADER_BYTES);
    ASSERT(batch[AT_MAGIC] == 2);
    uint16_t attributes = be16_get(batch + AT_ATTRIBUTES);
    be16_put(batch + AT_ATTRIBUTES, (uint16_t)(attributes | ATTRIBUTE_APPEND_TIME));
    // As Kafka does: the maximum alone says when; the base stays, since the records' deltas refer
    // to it.
    be64_put(batch + AT_MAX_TIMESTAMP, (uint64_t)now_ms);
    be32_put(batch + AT_CRC, crc32c(0, batch + AT_ATTRIBUTES, len - AT_ATTRIBUTES));
}

void batch_write_header(uint8_t *out, const struct batch *b)
{
    ASSERT(b->size_bytes >= BATCH_HEADER_BYTES);
    be64_put(out + AT_BASE_OFFSET, (uint64_t)b->base_offset);
    be32_put(out + AT_LENGTH, b->size_bytes - LENGTH_COVERS_FROM);
    be32_put(out + AT_EPOCH, (uint32_t)b->leader_epoch);
    out[AT_MAGIC] = 2;
    be16_put(out + AT_ATTRIBUTES, b->attributes);
    be32_put(out + AT_LAST_DELTA, (uint32_t)b->last_offset_delta);
    be64_put(out + AT_BASE_TIMESTAMP, (uint64_t)b->base_timestamp_ms);
    be64_put(out + AT_MAX_TIMESTAMP, (uint64_t)b->max_timestamp_ms);
    be64_put(out + AT_PRODUCER_ID, (uint64_t)b->producer_id);
    be16_put(out + AT_PRODUCER_EPOCH, (uint16_t)b->producer_epoch);
    be32_put(out + AT_BASE_SEQUENCE, (uint32_t)b->base_sequence);
    be32_put(out + AT_COUNT, (uint32_t)b->records_count);
    be32_put(out + AT_CRC, crc32c(0, out + AT_ATTRIBUTES, b->size_bytes - AT_ATTRIBUTES));
}
