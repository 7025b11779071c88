// SPDX-License-Identifier: Apache-2.0
//
// The records inside a batch (KIP-98): iterating and building. Lengths inside come from strangers;
// each record is read through a cursor that ends where the record says it ends, and must be used up
// exactly, as Kafka demands.
#include "base/assert.h"
#include "base/err.h"
#include "log/batch_int.h"
#include "log/codec.h"

#define BUILD_RECORDS_BYTES_MAX (256U << 20)

int batch_records(struct slice batch, struct arena *arena, size_t limit_bytes, struct slice *out)
{
    struct batch b;
    int err = batch_peek(batch, &b);
    if (err != 0)
        return ERR_CORRUPT_MESSAGE;
    struct slice packed =
        slice_of(batch.data + BATCH_HEADER_BYTES, b.size_bytes - BATCH_HEADER_BYTES);
    if (batch_codec(&b) == BATCH_NONE) {
        if (packed.len > limit_bytes)
            return ERR_LIMIT;
        *out = packed;
        return 0;
    }
    struct buf plain;
    buf_init(&plain, limit_bytes);
    err = codec_decompress(batch_codec(&b), packed, &plain);
    if (err == 0) {
        struct slice copy = arena_slice(arena, slice_of(plain.data, plain.len));
        if (copy.data != NULL || plain.len == 0)
            *out = copy;
        else
            err = ERR_LIMIT;
    }
    buf_fini(&plain);
    return err;
}

// A length of -1 is null.
static struct slice nullable(struct cursor *c)
{
    int32_t len = cursor_varint32(c);
    if (len == -1)
        return SLICE_NULL;
    if (len < 0) {
        cursor_fail(c, ERR_MALFORMED);
        return SLICE_NULL;
    }
    struct slice s = cursor_bytes(c, (size_t)len);
    // An empty slice must not look like null.
    return s.data == NULL && c->err == 0 ? slice_of(c->pos, 0) : s;
}

static void headers_skip(struct cursor *c, uint32_t count)
{
    for (uint32_t i = 0; i < count && c->err == 0; i++) {
        struct slice key = nullable(c);
        if (key.data == NULL)
            cursor_fail(c, ERR_MALFORMED); // a header's key is never null
        nullable(c);
    }
}

int record_next(struct cursor *in, const struct batch *b, struct record *out)
{
    int32_t len = cursor_varint32(in);
    if (in->err != 0 || len < 0)
        return ERR_CORRUPT_MESSAGE;
    struct slice body = cursor_bytes(in, (size_t)len);
    if (in->err != 0)
        return ERR_CORRUPT_MESSAGE;
    struct cursor c = cursor_of(body);
    struct record r;
    cursor_u8(&c); // attributes: unused in this format
    int64_t timestamp_delta = cursor_varint64(&c);
    int32_t offset_delta = cursor_varint32(&c);
    r.key = nullable(&c);
    r.value = nullable(&c);
    const uint8_t *headers = c.pos;
    int32_t count = cursor_varint32(&c);
    if (count < 0 || (size_t)count > cursor_left(&c) / 2) // a header takes two bytes at least
        cursor_fail(&c, ERR_MALFORMED);
    r.headers_count = c.err == 0 ? (uint32_t)count : 0;
    headers_skip(&c, r.headers_count);
    if (c.err != 0 || cursor_left(&c) != 0)
        return ERR_CORRUPT_MESSAGE;
    if (offset_delta < 0 || offset_delta > b->last_offset_delta)
        return ERR_CORRUPT_MESSAGE;
    r.headers = slice_of(headers, (size_t)(c.pos - headers));
    r.offset = b->base_offset + offset_delta;
    // Unsigned: a stranger's delta may overflow, which must not be undefined.
    r.timestamp_ms = batch_log_append_time(b)
                         ? b->max_timestamp_ms
                         : (int64_t)((uint64_t)b->base_timestamp_ms + (uint64_t)timestamp_delta);
    *out = r;
    return 0;
}

void batch_build_begin(struct batch_builder *bb, struct buf *out, enum batch_codec codec,
                       int64_t base_timestamp_ms)
{
    *bb = (struct batch_builder){
        .out = out,
        .start = out->len,
        .codec = codec,
        .header = {.leader_epoch = -1,
                   .base_timestamp_ms = base_timestamp_ms,
                   .max_timestamp_ms = base_timestamp_ms,
                   .producer_id = -1,
                   .producer_epoch = -1,
                   .base_sequence = -1,
                   .attributes = (uint16_t)codec},
    };
    buf_init(&bb->records, BUILD_RECORDS_BYTES_MAX);
    if (codec == BATCH_NONE)
        buf_put_zero(out, BATCH_HEADER_BYTES);
}

// What is not compressed is written where it will lie.
static struct buf *build_records(struct batch_builder *bb)
{
    return bb->codec == BATCH_NONE ? bb->out : &bb->records;
}

void batch_build_producer(struct batch_builder *bb, int64_t producer_id, int16_t epoch,
                          int32_t base_sequence)
{
    bb->header.producer_id = producer_id;
    bb->header.producer_epoch = epoch;
    bb->header.base_sequence = base_sequence;
}

static size_t varint_len(int64_t v)
{
    uint64_t z = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
    size_t n = 1;
    while (z >= 128) {
        z >>= 7;
        n++;
    }
    return n;
}

static size_t nullable_len(struct slice s)
{
    return s.data == NULL ? 1 : varint_len((int64_t)s.len) + s.len;
}

static void put_nullable(struct buf *out, struct slice s)
{
    buf_put_varint(out, s.data == NULL ? -1 : (int64_t)s.len);
    buf_put_slice(out, s);
}

// `headers` is as record_next gives it: it begins with the count. Null: no headers.
void batch_build_record(struct batch_builder *bb, int64_t timestamp_ms, struct slice key,
                        struct slice value, struct slice headers, uint32_t headers_count)
{
    struct buf *out = build_records(bb);
    struct batch *h = &bb->header;
    ASSERT(headers.data != NULL || headers_count == 0);
    int64_t delta = timestamp_ms - h->base_timestamp_ms;
    size_t headers_len = headers.data == NULL ? 1 : headers.len;
    size_t len = 1 + varint_len(delta) + varint_len(h->records_count) + nullable_len(key) +
                 nullable_len(value) + headers_len;
    buf_put_varint(out, (int64_t)len);
    buf_put_u8(out, 0);
    buf_put_varint(out, delta);
    buf_put_varint(out, h->records_count);
    put_nullable(out, key);
    put_nullable(out, value);
    if (headers.data == NULL)
        buf_put_varint(out, 0);
    else
        buf_put_slice(out, headers);
    h->records_count++;
    if (timestamp_ms > h->max_timestamp_ms || h->records_count == 1)
        h->max_timestamp_ms = timestamp_ms;
}

int batch_build_end(struct batch_builder *bb)
{
    struct buf *out = bb->out;
    int err = bb->records.err;
    if (bb->codec != BATCH_NONE) {
        ASSERT(out->len == bb->start);
        buf_put_zero(out, BATCH_HEADER_BYTES);
    }
    if (err == 0)
        err = out->err;
    if (err == 0 && bb->codec != BATCH_NONE)
        err = codec_compress(bb->codec, slice_of(bb->records.data, bb->records.len), out);
    buf_fini(&bb->records);
    size_t size = out->len - bb->start;
    if (err == 0 && size > INT32_MAX)
        err = ERR_LIMIT;
    if (err != 0) {
        out->len = bb->start;
        return err;
    }
    ASSERT(size >= BATCH_HEADER_BYTES);
    ASSERT(bb->header.records_count > 0);
    bb->header.size_bytes = (uint32_t)size;
    bb->header.last_offset_delta = bb->header.records_count - 1;
    batch_write_header(out->data + bb->start, &bb->header);
    return 0;
}
