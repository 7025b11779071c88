// SPDX-License-Identifier: Apache-2.0
//
// Channels: opened by number, closed by either side, and the way of a method to its handler. A
// channel that has failed is closing: what the client still sends on it is thrown away until its
// close-ok (AMQP 0-9-1 section 1.5.2.5), and a channel of that number is a new one from then on.
#include <string.h>

#include "amqp/conn.h"
#include "base/mem.h"
#include "node/status.h"

#define CHANNELS_FIRST 8U // places

// open -> closing -> freed, or freed at once: a session exists while it is open, and only then.
static void channel_invariant(const struct amqp_channel *ch)
{
    ASSERT(ch->state < AMQP_CHANNEL_STATES);
    ASSERT((ch->session != NULL) == (ch->state == AMQP_CHANNEL_IS_OPEN));
    ASSERT(ch->assembly == NULL || ch->state == AMQP_CHANNEL_IS_OPEN);
    ASSERT(ch->conn->channels[ch->number] == ch);
}

struct amqp_channel *amqp_channel_find(const struct amqp_conn *conn, uint16_t number)
{
    return number < conn->channels_cap ? conn->channels[number] : NULL;
}

// ---- life

static void table_grow(struct amqp_conn *conn, uint16_t number)
{
    uint32_t cap = conn->channels_cap == 0 ? CHANNELS_FIRST : conn->channels_cap;
    while (cap <= number)
        cap *= 2;
    if (cap == conn->channels_cap)
        return;
    conn->channels = mem_realloc(conn->channels, cap * sizeof(struct amqp_channel *));
    for (uint32_t i = conn->channels_cap; i < cap; i++)
        conn->channels[i] = NULL;
    conn->channels_cap = cap;
}

static void channel_open(struct amqp_conn *conn, uint16_t number)
{
    if (conn->channels_count >= conn->channel_max) { // RabbitMQ's words
        amqp_conn_fail(conn, AMQP_NOT_ALLOWED, 0,
                       "number of channels opened (%u) has reached the negotiated channel_max (%u)",
                       conn->channels_count, conn->channel_max);
        return;
    }
    if (number > conn->channel_max) {
        amqp_conn_fail(conn, AMQP_NOT_ALLOWED, 0,
                       "channel number %u is above the negotiated channel_max (%u)", number,
                       conn->channel_max);
        return;
    }
    table_grow(conn, number);
    struct amqp_channel *ch = mem_zalloc(sizeof *ch);
    ch->conn = conn;
    ch->number = number;
    ch->state = AMQP_CHANNEL_IS_OPEN;
    if (!amqp_session_open(ch)) { // the method is handled again when there is memory
        mem_free(ch);
        amqp_door_starved(conn->door, conn);
        return;
    }
    conn->channels[number] = ch;
    conn->channels_count++;
    channel_invariant(ch);
    amqp_send(ch, AMQP_CHANNEL_OPEN_OK,
              &(struct amqp_channel_open_ok){.reserved_1 = slice_cstr("")});
}

static void channel_end(struct amqp_channel *ch, bool gone)
{
    if (ch->state != AMQP_CHANNEL_IS_OPEN)
        return;
    amqp_content_drop(ch);
    amqp_session_close(ch, gone);
    ASSERT(ch->session == NULL);
    amqp_waits_leave(ch->conn, ch);
    ch->state = AMQP_CHANNEL_IS_CLOSING;
}

void amqp_channel_free(struct amqp_channel *ch, bool gone)
{
    struct amqp_conn *conn = ch->conn;
    channel_end(ch, gone);
    channel_invariant(ch);
    ASSERT(conn->channels_count > 0);
    conn->channels[ch->number] = NULL;
    conn->channels_count--;
    mem_free(ch);
}

void amqp_channel_fail(struct amqp_channel *ch, uint16_t code, const char *text, uint32_t method)
{
    const struct amqp_channel_close close = {
        .reply_code = code,
        .reply_text = slice_cstr(text),
        .class_id = (uint16_t)(method >> 16),
        .method_id = (uint16_t)method,
    };
    channel_end(ch, false);
    amqp_conn_put_method(ch->conn, ch->number, AMQP_CHANNEL_CLOSE, &close);
    channel_invariant(ch);
}

// ---- decoding

// RFC 3629, as RabbitMQ demands it of short strings in methods.
static bool utf8_ok(struct slice s)
{
    for (size_t i = 0; i < s.len;) {
        uint8_t c = s.data[i++];
        if (c < 0x80)
            continue;
        uint32_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        uint32_t code = c & (0x3fU >> more);
        if (c < 0xc2 || c > 0xf4 || s.len - i < more)
            return false;
        for (uint32_t j = 0; j < more; j++, i++) {
            if ((s.data[i] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (s.data[i] & 0x3fU);
        }
        bool short_enough = more == 1 || (more == 2 && code >= 0x800) || code >= 0x10000;
        if (!short_enough || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff)
            return false;
    }
    return true;
}

static bool fields_check(struct amqp_conn *conn, const struct wire_method *method, const void *args)
{
    const struct wire_struct *type = method->msg->root;
    for (uint32_t i = 0; i < type->fields_count; i++) {
        const struct wire_field *f = &type->fields[i];
        struct slice s;
        if (f->type != WIRE_SHORT_STR && !f->table)
            continue;
        memcpy(&s, (const uint8_t *)args + f->offset, sizeof s);
        if (f->table && amqp_table_check(s) != 0) {
            amqp_conn_fail(conn, AMQP_SYNTAX_ERROR, method->id, "the table %s of %s is malformed",
                           f->name, method->msg->name);
            return false;
        }
        if (!f->table && !utf8_ok(s)) {
            amqp_conn_fail(conn, AMQP_FRAME_ERROR, method->id, "Malformed UTF-8 in shortstr");
            return false;
        }
    }
    return true;
}

void *amqp_method_decode(struct amqp_conn *conn, const struct wire_method *method,
                         struct slice fields)
{
    struct arena *arena = &conn->door->arena;
    arena_reset(arena);
    struct cursor in = cursor_of(fields);
    void *args = arena_alloc(arena, method->msg->root->size);
    int err = wire_decode(method->msg, 0, &in, arena, args);
    if (err != 0 || cursor_left(&in) > 0) {
        amqp_conn_fail_undecodable(conn, method->id, fields);
        return NULL;
    }
    return fields_check(conn, method, args) ? args : NULL;
}

// ---- dispatch

// RabbitMQ refuses to stop deliveries, and clients' tests count on it.
static void flow(struct amqp_channel *ch, const struct amqp_channel_flow *m)
{
    if (m->active)
        amqp_send(ch, AMQP_CHANNEL_FLOW_OK, &(struct amqp_channel_flow_ok){.active = true});
    else
        amqp_fail(ch, AMQP_NOT_IMPLEMENTED, AMQP_CHANNEL_FLOW, "active=false");
}

// AMQP 0-8's tickets: gone in 0-9-1, but RabbitMQ still gives one, always the same, and asks for it
// nowhere.
static void access_request(struct amqp_channel *ch)
{
    amqp_send(ch, AMQP_ACCESS_REQUEST_OK, &(struct amqp_access_request_ok){.ticket = 1});
}

void amqp_channel_left(struct amqp_channel *ch)
{
    struct amqp_conn *conn = ch->conn;
    uint16_t number = ch->number;
    amqp_channel_free(ch, false);
    amqp_conn_put_method(conn, number, AMQP_CHANNEL_CLOSE_OK, &(struct amqp_channel_close_ok){0});
}

static void handle(struct amqp_channel *ch, uint32_t method, const void *m)
{
    switch (method) {
#define HANDLE(name, NAME)           \
    case AMQP_##NAME:                \
        amqp_##name##_handle(ch, m); \
        break;
        AMQP_HANDLERS(HANDLE)
#undef HANDLE
    case AMQP_BASIC_PUBLISH:
        amqp_content_begin(ch, m);
        break;
    case AMQP_CHANNEL_FLOW:
        flow(ch, m);
        break;
    case AMQP_ACCESS_REQUEST:
        access_request(ch);
        break;
    case AMQP_CHANNEL_CLOSE:
        if (!amqp_leave(ch->conn, ch))
            amqp_channel_left(ch);
        break;
    case AMQP_CHANNEL_OPEN:
        amqp_fail(ch, AMQP_CHANNEL_ERROR, method, "second 'channel.open' seen");
        break;
    case AMQP_TX_SELECT:
    case AMQP_TX_COMMIT:
    case AMQP_TX_ROLLBACK:
        amqp_fail(ch, AMQP_NOT_IMPLEMENTED, method, "transactions are not supported");
        break;
    default:
        amqp_fail(ch, AMQP_COMMAND_INVALID, method, "unimplemented method");
    }
}

// Of a channel that we have closed.
static void handle_closing(struct amqp_channel *ch, uint32_t method)
{
    if (method == AMQP_CHANNEL_CLOSE_OK)
        amqp_channel_free(ch, false);
    else if (method == AMQP_CHANNEL_CLOSE) // both at once
        amqp_conn_put_method(ch->conn, ch->number, AMQP_CHANNEL_CLOSE_OK,
                             &(struct amqp_channel_close_ok){0});
}

static void channel_method(struct amqp_conn *conn, uint16_t number,
                           const struct wire_method *method, struct slice fields)
{
    struct amqp_channel *ch = amqp_channel_find(conn, number);
    if (ch != NULL && ch->state == AMQP_CHANNEL_IS_CLOSING) {
        handle_closing(ch, method->id);
        return;
    }
    if (ch == NULL && method->id != AMQP_CHANNEL_OPEN) {
        amqp_conn_fail(conn, AMQP_CHANNEL_ERROR, method->id, "expected 'channel.open'");
        return;
    }
    if (ch != NULL && ch->assembly != NULL) {
        amqp_content_unexpected(ch);
        return;
    }
    const void *args = amqp_method_decode(conn, method, fields);
    if (args == NULL)
        return;
    conn->appended = false;
    if (ch == NULL)
        channel_open(conn, number);
    else
        handle(ch, method->id, args);
}

void amqp_channel_method(struct amqp_conn *conn, uint16_t number, struct slice payload)
{
    struct cursor in = cursor_of(payload);
    uint32_t id = cursor_be32(&in);
    const struct wire_method *method = wire_amqp_method(id);
    struct slice fields = slice_of(in.pos, cursor_left(&in));
    shard_counters(conn->door->shard)->requests++;
    if (method == NULL) {
        amqp_conn_fail(conn, AMQP_COMMAND_INVALID, id, "unknown method %u.%u", id >> 16,
                       id & 0xffff);
    } else if (number != 0 && conn->state == AMQP_CONN_OPEN) {
        channel_method(conn, number, method, fields);
    } else if (number != 0) {
        char text[AMQP_FRAME_TEXT_SIZE];
        amqp_conn_fail(conn, AMQP_UNEXPECTED_FRAME, 0, "%s",
                       amqp_frame_text(AMQP_FRAME_METHOD, payload, text));
    } else {
        const void *args = amqp_method_decode(conn, method, fields);
        if (args != NULL)
            amqp_connection_method(conn, id, args);
    }
}
