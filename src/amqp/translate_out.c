// SPDX-License-Identifier: Apache-2.0
//
// From a message to what a consumer is given. A record may have been produced by anybody: what is
// malformed in it is as if it were not there, and never reaches a client as a broken frame.
#include "amqp/deaths.h"
#include "amqp/table.h"
#include "amqp/translate.h"
#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"

#define DELIVERY_COUNT "x-delivery-count"
#define ENTRY_BYTES    6        // of an entry in a table, besides name and value
#define HEADER_BYTES   (12 + 2) // of a content header, besides the properties' own: with the flags
#define FRAME_BYTES    8

// ---- a record that a Kafka client has made

static struct slice next_bytes(struct cursor *in, bool *null)
{
    int32_t len = cursor_varint32(in);
    *null = len < 0;
    return len < 0 ? SLICE_NULL : cursor_bytes(in, (size_t)len);
}

// Its headers are strings to us: those that a field table can name, and as many as a frame has room
// for (a content header is one frame).
static void table_of_record(const struct message *message, size_t max_bytes, struct buf *table)
{
    struct cursor in = cursor_of(message->headers);
    bool null;
    for (uint32_t i = 0; i < message->headers_count && in.err == 0; i++) {
        struct slice name = next_bytes(&in, &null);
        struct slice value = next_bytes(&in, &null);
        if (in.err != 0 || name.len == 0 || name.len > MESSAGE_NAME_MAX ||
            table->len + name.len + value.len + ENTRY_BYTES > max_bytes)
            continue;
        if (null)
            amqp_put_null(table, name);
        else
            amqp_put_text(table, name, value);
    }
}

struct exchange_header *amqp_translate_headers(struct amqp_translator *t,
                                               const struct message *message, struct arena *arena,
                                               uint32_t *out_count)
{
    struct amqp_properties p = {0};
    struct slice raw = message_header(message, AMQP_RECORD_HEADER);
    if (raw.data != NULL && amqp_properties_read(raw, &p) == 0)
        return amqp_headers_canonical(p.headers, arena, out_count);
    buf_clear(&t->table);
    table_of_record(message, t->table.max, &t->table);
    return amqp_headers_canonical(buf_slice(&t->table), arena, out_count);
}

static struct slice write_out(struct amqp_translator *t, struct amqp_properties *p)
{
    if (t->table.len > 0) {
        p->flags |= AMQP_HEADERS;
        p->headers = buf_slice(&t->table);
    }
    buf_clear(&t->properties);
    amqp_properties_write(p, &t->properties);
    ASSERT(t->properties.err == 0);
    return buf_slice(&t->properties);
}

// ---- what the server adds

// A dead letter that was sent on with a key of the queue's has lost its other keys.
static void table_without(const struct message *m, struct slice headers, bool count,
                          struct buf *table)
{
    struct cursor in = cursor_of(headers);
    struct slice name;
    struct amqp_value value;
    bool deaths = m->deaths.len > 0;
    while (amqp_table_next(&in, &name, &value)) {
        bool ours = (deaths && amqp_deaths_name(name)) ||
                    (deaths && m->cc.data == NULL && slice_eq_cstr(name, "CC")) ||
                    (count && slice_eq_cstr(name, DELIVERY_COUNT));
        if (!ours)
            amqp_put_raw(table, name, value.raw);
    }
}

static void put_delivery_count(struct buf *table, uint32_t deliveries)
{
    uint8_t raw[9] = {'l'};
    be64_put(raw + 1, deliveries);
    amqp_put_raw(table, slice_cstr(DELIVERY_COUNT), slice_of(raw, sizeof raw));
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

struct slice amqp_translate_out(struct amqp_translator *t, const struct queue_delivery *delivery,
                                bool count_deliveries, size_t max_bytes)
{
    const struct message *m = &delivery->message;
    struct amqp_properties p = {0};
    struct slice raw = message_header(m, AMQP_RECORD_HEADER);
    // Longer ones no AMQP client can have published.
    bool readable =
        raw.data != NULL && raw.len <= AMQP_PROPERTIES_MAX && amqp_properties_read(raw, &p) == 0;
    bool deaths = m->deaths.len > 0;
    bool count = count_deliveries && delivery->deliveries > 0;
    if (readable && !deaths && !count)
        return raw;
    size_t room = max_bytes - FRAME_BYTES - HEADER_BYTES - sizeof(uint32_t);
    if (readable) // the other properties
        room -= smaller(room, raw.len - p.headers.len);
    buf_clear(&t->table);
    if (readable)
        table_without(m, p.headers, count, &t->table);
    if (count)
        put_delivery_count(&t->table, delivery->deliveries);
    if (deaths)
        amqp_deaths_write(m, room, &t->table);
    if (!readable)
        table_of_record(m, room, &t->table);
    // Its TTL has had its effect. One that a publisher gave it since is still to have it.
    if (deaths && m->expires_ms < 0)
        p.flags = (uint16_t)(p.flags & ~(unsigned)AMQP_EXPIRATION);
    return write_out(t, &p);
}
