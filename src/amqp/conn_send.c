// SPDX-License-Identifier: Apache-2.0
//
// Sending: frames are written one after the other into blocks, and leave at the end of the event or
// turn, many in one call. A small body is copied, since the next frame's head goes beside it; a
// large one is sent from the blob that holds it, unless that blob is much larger still: a client
// that does not read would pin all of it.
#include <string.h>

#include "amqp/conn.h"
#include "base/endian.h"
#include "base/mem.h"
#include "node/status.h"

#define SEND_RUNS     64
#define BLOCK_MIN     (2U << 10)
#define BLOCK_MAX     (64U << 10)
#define PIN_MIN_BYTES (16U << 10) // bodies from here on are not copied,
#define PIN_TIMES_MAX 8U          // if their blob is at most so many times larger

// ---- the queue

static void run_push(struct amqp_out *out, struct blob *blob, const uint8_t *data, size_t len)
{
    ASSERT(out->cap == 0 || out->runs != NULL);
    if (out->count == out->cap) {
        uint32_t cap = out->cap == 0 ? 4 : out->cap * 2;
        struct amqp_run *runs = mem_alloc(cap * sizeof *runs);
        for (uint32_t i = 0; i < out->count; i++)
            runs[i] = out->runs[(out->first + i) & (out->cap - 1)];
        mem_free(out->runs);
        out->runs = runs;
        out->first = 0;
        out->cap = cap;
    }
    ASSERT(out->runs != NULL);
    out->runs[(out->first + out->count++) & (out->cap - 1)] =
        (struct amqp_run){blob_ref(blob), data, len};
}

static void out_grew(struct amqp_conn *conn, size_t len)
{
    conn->out.bytes += len;
    conn->full = conn->full || conn->out.bytes >= AMQP_UNSENT_MAX;
}

// Room for len bytes in one piece; they count as written.
static uint8_t *out_take(struct amqp_conn *conn, size_t len)
{
    struct amqp_out *out = &conn->out;
    if (out->block == NULL || out->block->size - out->block_len < len) {
        size_t size = out->bytes < BLOCK_MIN ? BLOCK_MIN : BLOCK_MAX;
        blob_unref(out->block);
        out->block =
            blob_create_forced(size < len ? len : size, shard_request_budget(conn->door->shard));
        out->block_len = 0;
    }
    uint8_t *at = out->block->data + out->block_len;
    struct amqp_run *last =
        out->count > 0 ? &out->runs[(out->first + out->count - 1) & (out->cap - 1)] : NULL;
    if (last != NULL && last->blob == out->block)
        last->len += len;
    else
        run_push(out, out->block, at, len);
    out->block_len += len;
    out_grew(conn, len);
    return at;
}

void amqp_out_fini(struct amqp_out *out)
{
    for (uint32_t i = 0; i < out->count; i++)
        blob_unref(out->runs[(out->first + i) & (out->cap - 1)].blob);
    blob_unref(out->block);
    mem_free(out->runs);
    *out = (struct amqp_out){0};
}

// ---- frames

static uint8_t *frame_head(uint8_t *at, uint8_t type, uint16_t number, size_t size)
{
    at[0] = type;
    be16_put(at + 1, number);
    be32_put(at + 3, (uint32_t)size);
    return at + 7;
}

void amqp_conn_put(struct amqp_conn *conn, const void *bytes, size_t len)
{
    memcpy(out_take(conn, len), bytes, len);
    amqp_conn_mark(conn);
}

void amqp_conn_put_beat(struct amqp_conn *conn)
{
    uint8_t *at = frame_head(out_take(conn, AMQP_FRAME_OVERHEAD), AMQP_FRAME_BEAT, 0, 0);
    *at = AMQP_FRAME_END;
    amqp_conn_mark(conn);
}

void amqp_conn_put_method(struct amqp_conn *conn, uint16_t number, uint32_t method,
                          const void *args)
{
    struct wire_out *encoded = &conn->door->encoded;
    const struct wire_method *m = wire_amqp_method(method);
    ASSERT(m != NULL);
    ASSERT((m->sent_by & WIRE_BY_SERVER) != 0);
    wire_out_clear(encoded);
    int err = wire_encode(m->msg, 0, args, encoded);
    ASSERT(err == 0);
    size_t size = 4 + encoded->buf.len;
    uint8_t *at = out_take(conn, AMQP_FRAME_OVERHEAD + size);
    at = frame_head(at, AMQP_FRAME_METHOD, number, size);
    be32_put(at, method);
    if (encoded->buf.len > 0)
        memcpy(at + 4, encoded->buf.data, encoded->buf.len);
    at[size] = AMQP_FRAME_END;
    amqp_conn_mark(conn);
}

// Content header, OFFSET SIZE FIELD: 0 2 class; 2 2 weight, 0; 4 8 size of the body; 12 - raw
// properties.
static void put_header(struct amqp_conn *conn, uint16_t number, uint32_t method,
                       struct slice properties, size_t body)
{
    size_t size = 12 + properties.len;
    uint8_t *at = out_take(conn, AMQP_FRAME_OVERHEAD + size);
    at = frame_head(at, AMQP_FRAME_HEADER, number, size);
    be16_put(at, (uint16_t)(method >> 16));
    be16_put(at + 2, 0);
    be64_put(at + 4, body);
    memcpy(at + 12, properties.data, properties.len);
    at[size] = AMQP_FRAME_END;
}

static void put_body_copied(struct amqp_conn *conn, uint16_t number, struct slice part)
{
    uint8_t *at = out_take(conn, AMQP_FRAME_OVERHEAD + part.len);
    at = frame_head(at, AMQP_FRAME_BODY, number, part.len);
    memcpy(at, part.data, part.len);
    at[part.len] = AMQP_FRAME_END;
}

static void put_body_pinned(struct amqp_conn *conn, uint16_t number, struct slice part,
                            struct blob *blob)
{
    (void)frame_head(out_take(conn, 7), AMQP_FRAME_BODY, number, part.len);
    run_push(&conn->out, blob, part.data, part.len);
    out_grew(conn, part.len);
    *out_take(conn, 1) = AMQP_FRAME_END;
}

// ---- for the upper half

void amqp_send(struct amqp_channel *ch, uint32_t method, const void *args)
{
    ASSERT(ch->state == AMQP_CHANNEL_IS_OPEN);
    amqp_conn_put_method(ch->conn, ch->number, method, args);
}

void amqp_send_content(struct amqp_channel *ch, uint32_t method, const void *args,
                       struct slice properties, struct slice body, struct blob *blob)
{
    struct amqp_conn *conn = ch->conn;
    size_t most = conn->frame_max - AMQP_FRAME_OVERHEAD;
    bool pin = blob != NULL && body.len >= PIN_MIN_BYTES && body.len >= blob->size / PIN_TIMES_MAX;
    ASSERT(ch->state == AMQP_CHANNEL_IS_OPEN);
    ASSERT(properties.len >= 2); // the flags at least
    ASSERT(blob == NULL || body.len == 0 ||
           (body.data >= blob->data && body.data + body.len <= blob->data + blob->size));
    amqp_conn_put_method(conn, ch->number, method, args);
    put_header(conn, ch->number, method, properties, body.len);
    for (size_t at = 0; at < body.len; at += most) {
        struct slice part = slice_of(body.data + at, body.len - at < most ? body.len - at : most);
        if (pin)
            put_body_pinned(conn, ch->number, part, blob);
        else
            put_body_copied(conn, ch->number, part);
    }
}

size_t amqp_conn_room(const struct amqp_conn *conn)
{
    return conn->out.bytes < AMQP_UNSENT_MAX ? AMQP_UNSENT_MAX - conn->out.bytes : 0;
}

// ---- leaving

static void out_sent(struct amqp_out *out, size_t len)
{
    ASSERT(len <= out->bytes);
    out->bytes -= len;
    while (len > 0) {
        struct amqp_run *run = &out->runs[out->first];
        if (run->len > len) {
            run->data += len;
            run->len -= len;
            return;
        }
        len -= run->len;
        blob_unref(run->blob);
        out->first = (out->first + 1) & (out->cap - 1);
        out->count--;
    }
    if (out->count == 0) // at rest, a connection holds no buffer
        amqp_out_fini(out);
}

bool amqp_conn_send(struct amqp_conn *conn)
{
    struct amqp_out *out = &conn->out;
    while (out->count > 0) {
        struct iovec iov[SEND_RUNS];
        int count = 0;
        for (; count < SEND_RUNS && (uint32_t)count < out->count; count++) {
            const struct amqp_run *run =
                &out->runs[(out->first + (uint32_t)count) & (out->cap - 1)];
            iov[count] = (struct iovec){(void *)(uintptr_t)run->data, run->len};
        }
        int64_t n = io_send(conn->sock, iov, count);
        if (n == ERR_AGAIN)
            return true;
        if (n < 0)
            return false;
        out_sent(out, (size_t)n);
        conn->spoke_ns = io_now_ns(conn->door->io);
        shard_counters(conn->door->shard)->bytes_out += (uint64_t)n;
    }
    return true;
}
