// SPDX-License-Identifier: Apache-2.0
//
// Reading: bytes become frames. All connections of a shard read into the door's one scratch buffer
// and frames are handled where they lie; what is left of an unfinished one is kept by the
// connection and put in front of what comes next. The payload of a large body frame is taken as it
// comes, so what is kept is never more than one frame, and a length alone buys no memory.
#include <string.h>

#include "amqp/conn.h"
#include "base/endian.h"
#include "base/mem.h"
#include "node/status.h"

#define READS_PER_EVENT  4
#define STREAM_MIN_BYTES (16U << 10)
#define LISTEN_BYTES     256

bool amqp_conn_may_read(const struct amqp_conn *conn)
{
    if (conn->state == AMQP_CONN_CLOSED || !list_empty(&conn->starved))
        return false;
    if (conn->state >= AMQP_CONN_LEAVING) // what comes is thrown away
        return conn->state != AMQP_CONN_LEAVING;
    if (conn->holds > 0 || conn->out.bytes >= AMQP_UNSENT_MAX)
        return false;
    return !(conn->appended && shard_appends_blocked(conn->door->shard));
}

bool amqp_conn_unfinished(const struct amqp_conn *conn)
{
    return conn->held_len > 0 || conn->streaming || conn->assemblies > 0;
}

// ---- frames

static void frame_handle(struct amqp_conn *conn, uint8_t type, uint16_t number,
                         struct slice payload)
{
    char text[AMQP_FRAME_TEXT_SIZE];
    bool known = type == AMQP_FRAME_METHOD || type == AMQP_FRAME_HEADER || type == AMQP_FRAME_BODY;
    if (type == AMQP_FRAME_BEAT && payload.len == 0) {
        if (number != 0)
            amqp_conn_fail(conn, AMQP_UNEXPECTED_FRAME, 0, "%s",
                           amqp_frame_text(type, payload, text));
        return;
    }
    if (!known || (type == AMQP_FRAME_METHOD && payload.len < 4) ||
        (type == AMQP_FRAME_HEADER && payload.len < 12))
        amqp_conn_fail(conn, AMQP_FRAME_ERROR, 0, "%s: unknown_frame",
                       amqp_frame_text(type, payload, text));
    else if (type == AMQP_FRAME_METHOD)
        amqp_channel_method(conn, number, payload);
    else if (number == 0 || conn->state < AMQP_CONN_OPEN)
        amqp_conn_fail(conn, AMQP_UNEXPECTED_FRAME, 0, "%s", amqp_frame_text(type, payload, text));
    else if (type == AMQP_FRAME_HEADER)
        amqp_content_header(conn, number, payload);
    else if (amqp_content_fits(conn, number, payload.len) &&
             amqp_content_body(conn, number, payload))
        amqp_content_end(conn, number);
}

// Also when nobody wants the payload: it must be passed over.
static void stream_begin(struct amqp_conn *conn, uint16_t number, uint32_t size)
{
    conn->streaming = true;
    conn->stream_channel = number;
    conn->stream_left = size;
    (void)amqp_content_fits(conn, number, size);
}

// The next part of the payload, or the end octet.
static size_t stream_next(struct amqp_conn *conn, const uint8_t *data, size_t len)
{
    if (conn->stream_left > 0) {
        struct slice part = slice_of(data, len < conn->stream_left ? len : conn->stream_left);
        if (!amqp_content_body(conn, conn->stream_channel, part))
            return 0;
        conn->stream_left -= (uint32_t)part.len;
        return part.len;
    }
    conn->streaming = false;
    if (data[0] != AMQP_FRAME_END)
        amqp_conn_fail_deaf(conn, AMQP_FRAME_ERROR, "type 3: {invalid_frame_end_marker,%u}",
                            data[0]);
    else
        amqp_content_end(conn, conn->stream_channel);
    return 1;
}

// Handles one frame at the beginning of the bytes, or as much of one as is there and may be. The
// number of bytes it took; 0: more must come first, or memory.
static size_t frame_next(struct amqp_conn *conn, const uint8_t *data, size_t len)
{
    if (conn->state == AMQP_CONN_GREETING) {
        if (len < 8)
            return 0;
        amqp_connection_greet(conn, data);
        return 8;
    }
    if (conn->streaming)
        return stream_next(conn, data, len);
    if (len < 7)
        return 0;
    uint8_t type = data[0];
    uint16_t number = be16_get(data + 1);
    uint32_t size = be32_get(data + 3);
    // As RabbitMQ, which allows for clients that count the frame's own eight bytes wrongly.
    if (size > conn->frame_max) {
        amqp_conn_fail_deaf(conn, AMQP_FRAME_ERROR,
                            "type %u, all octets = <<>>: {frame_too_large,%u,%u}", type, size,
                            conn->frame_max - AMQP_FRAME_OVERHEAD);
        return len;
    }
    size_t whole = amqp_content_whole(conn, data, len);
    if (whole > 0)
        return whole;
    if (len < (size_t)size + AMQP_FRAME_OVERHEAD) {
        if (type != AMQP_FRAME_BODY || size < STREAM_MIN_BYTES || conn->state < AMQP_CONN_OPEN)
            return 0;
        stream_begin(conn, number, size);
        return 7;
    }
    struct slice payload = slice_of(data + 7, size);
    if (data[7 + size] != AMQP_FRAME_END) {
        char text[AMQP_FRAME_TEXT_SIZE];
        amqp_conn_fail_deaf(conn, AMQP_FRAME_ERROR, "%s: {invalid_frame_end_marker,%u}",
                            amqp_frame_text(type, payload, text), data[7 + size]);
        return len;
    }
    frame_handle(conn, type, number, payload);
    return list_empty(&conn->starved) ? (size_t)size + AMQP_FRAME_OVERHEAD : 0;
}

static size_t conn_feed(struct amqp_conn *conn, const uint8_t *data, size_t len)
{
    size_t at = 0;
    while (at < len && amqp_conn_may_read(conn)) {
        if (conn->state == AMQP_CONN_DEAF)
            return len;
        size_t used = frame_next(conn, data + at, len - at);
        if (used == 0)
            break;
        at += used;
    }
    ASSERT(at <= len);
    return at;
}

// ---- what is held

static void held_resize(struct amqp_conn *conn, size_t len)
{
    struct budget *budget = shard_request_budget(conn->door->shard);
    // The bytes are there already and cannot be refused: at most one scratch buffer of them.
    if (len > conn->held_len)
        budget_force(budget, len - conn->held_len);
    else
        budget_give(budget, conn->held_len - len);
    conn->held_len = len;
    if (len > 0)
        conn->held = mem_realloc(conn->held, len);
    else {
        mem_free(conn->held);
        conn->held = NULL;
    }
}

void amqp_conn_drop_held(struct amqp_conn *conn)
{
    held_resize(conn, 0);
}

static void held_set(struct amqp_conn *conn, const uint8_t *data, size_t len)
{
    ASSERT(len <= AMQP_SCRATCH_BYTES);
    held_resize(conn, len);
    if (len > 0)
        memcpy(conn->held, data, len);
}

void amqp_conn_read_held(struct amqp_conn *conn)
{
    if (conn->held_len == 0)
        return;
    size_t used = conn_feed(conn, conn->held, conn->held_len);
    if (used == 0)
        return;
    memmove(conn->held, conn->held + used, conn->held_len - used);
    held_resize(conn, conn->held_len - used);
}

// ---- the socket

// One read. *out_more is false when the socket is dry. False: the client has gone.
static bool conn_recv(struct amqp_conn *conn, bool *out_more)
{
    uint8_t *scratch = conn->door->scratch;
    size_t held = conn->held_len;
    ASSERT(held + AMQP_READ_BYTES <= AMQP_SCRATCH_BYTES);
    int64_t n = io_recv(conn->sock, scratch + held, AMQP_READ_BYTES);
    *out_more = n == AMQP_READ_BYTES;
    if (n == ERR_AGAIN)
        return true;
    if (n <= 0)
        return false;
    shard_counters(conn->door->shard)->bytes_in += (uint64_t)n;
    conn->bytes_in += (uint64_t)n;
    conn->heard_ns = io_now_ns(conn->door->io);
    if (conn->state > AMQP_CONN_OPEN && conn->bytes_in - conn->marked_bytes > AMQP_DISCARD_BYTES)
        return false;
    if (held > 0)
        memcpy(scratch, conn->held, held);
    size_t len = held + (size_t)n;
    size_t used = conn_feed(conn, scratch, len);
    held_set(conn, scratch + used, len - used);
    return true;
}

void amqp_conn_read(struct amqp_conn *conn, bool *out_open)
{
    bool more = true;
    *out_open = true;
    for (int i = 0; more && *out_open && i < READS_PER_EVENT; i++) {
        // Held back, what was read before comes first.
        if (!amqp_conn_may_read(conn) || conn->held_len > AMQP_FRAME_MAX + AMQP_FRAME_OVERHEAD)
            return;
        *out_open = conn_recv(conn, &more);
    }
}

bool amqp_conn_listen(struct amqp_conn *conn)
{
    uint8_t bytes[LISTEN_BYTES];
    if (conn->held_len + sizeof bytes > AMQP_FRAME_MAX) {
        conn->heard_ns = io_now_ns(conn->door->io); // it has said much, and waits for us
        return true;
    }
    int64_t n = io_recv(conn->sock, bytes, sizeof bytes);
    if (n == ERR_AGAIN)
        return true;
    if (n <= 0)
        return false;
    size_t before = conn->held_len;
    held_resize(conn, before + (size_t)n);
    ASSERT(conn->held != NULL);
    memcpy(conn->held + before, bytes, (size_t)n);
    conn->bytes_in += (uint64_t)n;
    conn->heard_ns = io_now_ns(conn->door->io);
    return true;
}
