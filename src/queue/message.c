// SPDX-License-Identifier: Apache-2.0
//
// Messages as records. What comes out of a log may have been put there by anybody, so everything
// is read through cursors and what is malformed is as if it were not there.
#include "queue/message.h"

#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"

#define HEADER_EXCHANGE    "weir.exchange"
#define HEADER_ROUTING_KEY "weir.routing.key"
#define HEADER_CC          "weir.cc"
#define HEADER_EXPIRES     "weir.expires"
#define HEADER_PRIORITY    "weir.priority"
#define HEADER_DEATHS      "weir.deaths"
#define RECORD_OVERHEAD    128 // of a record: lengths, and the names of the queue's headers
#define DEATHS_VERSION     1

// ---- headers

void message_header_put(struct buf *out, struct slice name, struct slice value)
{
    ASSERT(name.data != NULL);
    buf_put_varint(out, (int64_t)name.len);
    buf_put_slice(out, name);
    buf_put_varint(out, value.data == NULL ? -1 : (int64_t)value.len);
    buf_put_slice(out, value);
}

// The next of headers encoded one after the other; record_next has checked those of a record.
static bool header_next(struct cursor *in, struct slice *name, struct slice *value)
{
    if (cursor_left(in) == 0)
        return false;
    int32_t len = cursor_varint32(in);
    *name = len < 0 ? SLICE_NULL : cursor_bytes(in, (size_t)len);
    len = cursor_varint32(in);
    *value = len < 0 ? SLICE_NULL : cursor_bytes(in, (size_t)len);
    return in->err == 0 && name->data != NULL;
}

struct slice message_header(const struct message *message, const char *name)
{
    struct cursor in = cursor_of(message->headers);
    struct slice key, value;
    while (header_next(&in, &key, &value)) {
        if (slice_eq_cstr(key, name))
            return value;
    }
    return SLICE_NULL;
}

// ---- out

size_t message_size(const struct message *message)
{
    return RECORD_OVERHEAD + message->body.len + message->headers.len + message->exchange.len +
           message->routing_key.len + message->cc.len + message->deaths.len;
}

// A null key is the queue's own, which only the default exchange leads to; behind any other
// exchange an empty key is one like others.
static bool key_is_own(const struct message *m)
{
    return m->routing_key.data == NULL && m->exchange.len == 0;
}

static uint32_t own_headers(const struct message *m)
{
    return (m->exchange.len > 0 ? 1U : 0U) + (key_is_own(m) ? 0U : 1U) +
           (m->cc.data != NULL ? 1U : 0U) + (m->expires_ms >= 0 ? 1U : 0U) +
           (m->priority > 0 ? 1U : 0U) + (m->deaths.data != NULL ? 1U : 0U);
}

void message_put(struct batch_builder *bb, struct buf *scratch, const struct message *m)
{
    ASSERT(m->body.data != NULL || m->body.len == 0);
    uint32_t count = own_headers(m) + m->headers_count;
    static const uint8_t nothing[1];
    buf_clear(scratch);
    buf_put_varint(scratch, count);
    if (m->exchange.len > 0)
        message_header_put(scratch, slice_cstr(HEADER_EXCHANGE), m->exchange);
    if (!key_is_own(m))
        message_header_put(scratch, slice_cstr(HEADER_ROUTING_KEY),
                           m->routing_key.len > 0 ? m->routing_key : slice_of(nothing, 0));
    if (m->cc.data != NULL)
        message_header_put(scratch, slice_cstr(HEADER_CC), m->cc);
    if (m->expires_ms >= 0) {
        uint8_t ms[8];
        be64_put(ms, (uint64_t)m->expires_ms);
        message_header_put(scratch, slice_cstr(HEADER_EXPIRES), slice_of(ms, sizeof ms));
    }
    if (m->priority > 0)
        message_header_put(scratch, slice_cstr(HEADER_PRIORITY), slice_of(&m->priority, 1));
    if (m->deaths.data != NULL)
        message_header_put(scratch, slice_cstr(HEADER_DEATHS), m->deaths);
    buf_put_slice(scratch, m->headers);
    batch_build_record(bb, m->published_ms, SLICE_NULL,
                       m->body.len > 0 ? m->body : slice_of(nothing, 0), buf_slice(scratch), count);
}

// ---- in

// A list of names: u8 length, bytes… Not more than `max` of them.
static bool names_whole(struct slice names, uint32_t max)
{
    struct cursor in = cursor_of(names);
    uint32_t count = 0;
    while (cursor_left(&in) > 0 && in.err == 0) {
        cursor_skip(&in, cursor_u8(&in));
        count++;
    }
    return in.err == 0 && count <= max;
}

// One of the queue's own headers; false: it is not one. Malformed ones change nothing.
static bool own_header(struct message *m, struct slice name, struct slice value)
{
    if (slice_eq_cstr(name, HEADER_EXCHANGE)) {
        if (value.data != NULL && value.len <= MESSAGE_NAME_MAX)
            m->exchange = value;
    } else if (slice_eq_cstr(name, HEADER_ROUTING_KEY)) {
        if (value.data != NULL && value.len <= MESSAGE_NAME_MAX)
            m->routing_key = value;
    } else if (slice_eq_cstr(name, HEADER_CC)) {
        if (value.data != NULL && names_whole(value, MESSAGE_KEYS_MAX))
            m->cc = value;
    } else if (slice_eq_cstr(name, HEADER_EXPIRES)) {
        if (value.len == 8 && be64_get(value.data) <= INT64_MAX)
            m->expires_ms = (int64_t)be64_get(value.data);
    } else if (slice_eq_cstr(name, HEADER_PRIORITY)) {
        if (value.len == 1)
            m->priority = value.data[0];
    } else if (slice_eq_cstr(name, HEADER_DEATHS)) {
        if (value.len >= 2 && value.data[0] == DEATHS_VERSION)
            m->deaths = value;
    } else {
        return false;
    }
    return true;
}

void message_get(const struct record *record, struct message *out)
{
    struct message m = {
        .body = record->value.data != NULL ? record->value : slice_cstr(""),
        .published_ms = record->timestamp_ms,
        .expires_ms = -1,
    };
    struct cursor in = cursor_of(record->headers);
    if (cursor_left(&in) > 0)
        (void)cursor_varint32(&in); // the count
    const uint8_t *door = in.pos;
    uint32_t own = 0;
    struct slice name, value;
    while (header_next(&in, &name, &value) && own_header(&m, name, value)) {
        own++;
        door = in.pos;
    }
    ASSERT(own <= record->headers_count);
    m.headers_count = record->headers_count - own;
    if (m.headers_count > 0)
        m.headers = slice_of(door, (size_t)(record->headers.data + record->headers.len - door));
    *out = m;
}

// ---- deaths

static const char *const reason_names[DEATH_REASONS_COUNT] = {
#define MESSAGE_DEATH_NAME(id, name) [DEATH_##id] = name,
    MESSAGE_DEATH_REASONS(MESSAGE_DEATH_NAME)
#undef MESSAGE_DEATH_NAME
};

const char *message_death_reason_name(enum message_death_reason reason)
{
    ASSERT((unsigned)reason < DEATH_REASONS_COUNT);
    return reason_names[reason];
}

struct cursor message_deaths(const struct message *message)
{
    struct slice s = message->deaths;
    return s.len < 2 ? cursor_of(SLICE_NULL) : cursor_of(slice_of(s.data + 2, s.len - 2));
}

static struct slice short_get(struct cursor *in)
{
    return cursor_bytes(in, cursor_u8(in));
}

bool message_death_next(struct cursor *in, struct message_death *out)
{
    if (cursor_left(in) == 0)
        return false;
    unsigned reason = cursor_u8(in);
    out->times = cursor_be32(in);
    out->time_ms = (int64_t)cursor_be64(in);
    out->original_ttl_ms = (int64_t)cursor_be64(in);
    out->queue = short_get(in);
    out->exchange = short_get(in);
    uint32_t keys = cursor_u8(in);
    if (reason >= DEATH_REASONS_COUNT || keys > MESSAGE_KEYS_MAX)
        cursor_fail(in, ERR_MALFORMED);
    for (uint32_t i = 0; i < keys && in->err == 0; i++)
        out->keys[i] = short_get(in);
    if (in->err != 0)
        return false;
    out->keys_count = keys;
    out->reason = (enum message_death_reason)reason;
    return true;
}

static void short_put(struct buf *out, struct slice s)
{
    ASSERT(s.len <= MESSAGE_NAME_MAX);
    buf_put_u8(out, (uint8_t)s.len);
    buf_put_slice(out, s);
}

static void death_put(struct buf *out, const struct message_death *d)
{
    ASSERT((unsigned)d->reason < DEATH_REASONS_COUNT);
    ASSERT(d->keys_count <= MESSAGE_KEYS_MAX);
    buf_put_u8(out, (uint8_t)d->reason);
    buf_put_be32(out, d->times);
    buf_put_be64(out, (uint64_t)d->time_ms);
    buf_put_be64(out, (uint64_t)d->original_ttl_ms);
    short_put(out, d->queue);
    short_put(out, d->exchange);
    buf_put_u8(out, (uint8_t)d->keys_count);
    for (uint32_t i = 0; i < d->keys_count; i++)
        short_put(out, d->keys[i]);
}

static bool same_cause(const struct message_death *a, const struct message_death *b)
{
    return a->reason == b->reason && slice_eq(a->queue, b->queue);
}

static uint32_t times_add(uint32_t times, uint32_t more)
{
    return times > UINT32_MAX - more ? UINT32_MAX : times + more;
}

// How many others there are besides those of the cause; *same is the newest of these, if any.
static uint32_t deaths_of_others(const struct message *message, const struct message_death *cause,
                                 struct message_death *same, bool *known)
{
    struct cursor in = message_deaths(message);
    struct message_death d;
    uint32_t others = 0;
    *known = false;
    while (others < MESSAGE_DEATHS_MAX && message_death_next(&in, &d)) {
        others += same_cause(&d, cause) ? 0 : 1;
        if (same_cause(&d, cause) && !*known) {
            *same = d;
            *known = true;
        }
    }
    return others;
}

// RabbitMQ keeps one entry per queue and reason: counted up, moved to the front, otherwise as it
// was the first time.
int message_deaths_add(const struct message *message, const struct message_death *death,
                       struct buf *out)
{
    struct message_death first = *death, d;
    ASSERT(death->times > 0);
    bool known;
    uint32_t others = deaths_of_others(message, death, &first, &known);
    if (known)
        first.times = times_add(first.times, death->times);
    bool full = others == MESSAGE_DEATHS_MAX;
    buf_put_u8(out, DEATHS_VERSION);
    buf_put_u8(out, (uint8_t)(full ? others : others + 1));
    if (!full)
        death_put(out, &first);
    struct cursor in = message_deaths(message);
    for (uint32_t i = 0; i < others && message_death_next(&in, &d);) {
        if (same_cause(&d, death))
            continue;
        i++;
        if (full && i == others)
            d.times = times_add(d.times, death->times);
        death_put(out, &d);
    }
    return out->err == 0 ? 0 : ERR_LIMIT;
}

bool message_deaths_circle(const struct message *message, struct slice queue)
{
    struct cursor in = message_deaths(message);
    struct message_death d;
    while (message_death_next(&in, &d)) {
        if (d.reason == DEATH_REJECTED)
            return false; // somebody took it out of the circle
        if (slice_eq(d.queue, queue))
            return true;
    }
    return false;
}
