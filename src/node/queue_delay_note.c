// SPDX-License-Identifier: Apache-2.0
//
// What a message that waits carries with it: when it is due, and what publishing it then needs.
#include "base/assert.h"
#include "base/cursor.h"
#include "base/err.h"
#include "node/queue_delay.h"

#define NOTE_VERSION 1

enum { NOTE_PERSISTENT = 1, NOTE_INTERNAL = 2 };

static void short_put(struct buf *out, struct slice s)
{
    ASSERT(s.len <= MESSAGE_NAME_MAX);
    buf_put_u8(out, (uint8_t)s.len);
    buf_put_slice(out, s);
}

static struct slice short_get(struct cursor *in)
{
    return cursor_bytes(in, cursor_u8(in));
}

void delay_note_put(const struct publish *publish, int64_t due_ms, struct buf *out)
{
    const struct message *m = &publish->message;
    int64_t ttl_ms = -1;
    if (m->expires_ms >= 0)
        ttl_ms = m->expires_ms > m->published_ms ? m->expires_ms - m->published_ms : 0;
    ASSERT(publish->extra_keys_count <= MESSAGE_KEYS_MAX);
    ASSERT(publish->headers_count <= UINT16_MAX);
    buf_put_u8(out, NOTE_VERSION);
    buf_put_u8(out, (uint8_t)((publish->persistent ? NOTE_PERSISTENT : 0) |
                              (publish->internal ? NOTE_INTERNAL : 0)));
    buf_put_u8(out, publish->priority);
    buf_put_be64(out, (uint64_t)due_ms);
    buf_put_be64(out, (uint64_t)ttl_ms);
    short_put(out, publish->vhost);
    buf_put_u8(out, (uint8_t)publish->extra_keys_count);
    for (uint32_t i = 0; i < publish->extra_keys_count; i++)
        short_put(out, publish->extra_keys[i]);
    buf_put_be16(out, (uint16_t)publish->headers_count);
    for (uint32_t i = 0; i < publish->headers_count; i++) {
        const struct exchange_header *h = &publish->headers[i];
        ASSERT(h->name.len <= UINT8_MAX);
        buf_put_u8(out, (uint8_t)h->name.len);
        buf_put_be32(out, (uint32_t)h->value.len);
        buf_put_slice(out, h->name);
        buf_put_slice(out, h->value);
    }
}

static void header_get(struct cursor *in, struct exchange_header *out)
{
    uint8_t name = cursor_u8(in);
    uint32_t value = cursor_be32(in);
    out->name = cursor_bytes(in, name);
    out->value = cursor_bytes(in, value);
}

int delay_note_get(struct slice value, struct delay_note *out)
{
    struct cursor in = cursor_of(value);
    struct delay_note n;
    struct exchange_header h;
    bool known = cursor_u8(&in) == NOTE_VERSION;
    uint8_t flags = cursor_u8(&in);
    n.persistent = (flags & NOTE_PERSISTENT) != 0;
    n.internal = (flags & NOTE_INTERNAL) != 0;
    n.priority = cursor_u8(&in);
    n.due_ms = (int64_t)cursor_be64(&in);
    n.ttl_ms = (int64_t)cursor_be64(&in);
    n.vhost = short_get(&in);
    n.keys_count = cursor_u8(&in);
    if (!known || n.due_ms < 0 || n.ttl_ms < -1 || n.keys_count > MESSAGE_KEYS_MAX)
        return ERR_MALFORMED;
    for (uint32_t i = 0; i < n.keys_count; i++)
        n.keys[i] = short_get(&in);
    n.headers_count = cursor_be16(&in);
    n.headers = slice_of(in.pos, cursor_left(&in));
    for (uint32_t i = 0; i < n.headers_count && in.err == 0; i++)
        header_get(&in, &h);
    if (in.err != 0 || cursor_left(&in) != 0)
        return ERR_MALFORMED;
    *out = n;
    return 0;
}

void delay_note_headers(const struct delay_note *note, struct exchange_header *out)
{
    struct cursor in = cursor_of(note->headers);
    for (uint32_t i = 0; i < note->headers_count; i++)
        header_get(&in, &out[i]);
    ASSERT(in.err == 0);
}

uint32_t delay_rung(int64_t left_ms)
{
    uint32_t rung = 0;
    for (int64_t s = left_ms / 1000; s >= DELAY_LEAST_S && rung + 1 < DELAY_RUNGS; s >>= 1)
        rung++;
    return rung;
}
