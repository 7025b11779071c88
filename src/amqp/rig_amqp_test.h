// SPDX-License-Identifier: Apache-2.0
//
// For the tests of the room: a whole node with its AMQP doors on a simulated machine, and on
// another machine peers that say frame by frame what a test wants said. Everything is in the header
// since each test is a program of its own; each uses a part of it.
#ifndef WEIR_AMQP_RIG_AMQP_TEST_H
#define WEIR_AMQP_RIG_AMQP_TEST_H

#include <stdio.h>

#include "amqp/conn.h"
#include "base/endian.h"
#include "base/mem.h"
#include "node/rig_door_test.h"
#include "node/status.h"

static int rig_door_open(struct shard *shard, const struct io_addr *addr, void **out)
{
    struct amqp_door_options options = {.listen = addr, .listen_count = 1};
    struct amqp_door *door;
    int err = amqp_door_open(shard, &options, &door);
    if (err == 0)
        *out = door;
    return err;
}

static void rig_door_close(void *door)
{
    amqp_door_close(door);
}

static void rig_door_destroy(void *door)
{
    amqp_door_destroy(door);
}

static void rig_door_unblocked(void *door)
{
    amqp_door_unblocked(door);
}

static uint32_t rig_door_connections(const void *door)
{
    return ((const struct amqp_door *)door)->conns_count;
}

static const struct rig_door_kind rig_kind = {
    .addr = "127.0.0.1:5672",
    .open = rig_door_open,
    .close = rig_door_close,
    .destroy = rig_door_destroy,
    .unblocked = rig_door_unblocked,
    .connections = rig_door_connections,
};

RIG void rig_init(struct rig *rig)
{
    static const char *const config[] = {"weir.journal.file.bytes=4194304", NULL};
    rig_init_with(rig, config);
}

RIG void rig_fini(struct rig *rig)
{
    rig_stop_and_free(rig);
}

// ---- a peer

struct peer {
    struct rig *rig;
    struct rig_raw raw;
    struct buf out; // said, not sent yet
    size_t seen;    // bytes of raw.in
    struct arena arena;
    // the last frame seen
    uint8_t type;
    uint16_t number;
    struct slice payload;
    uint32_t method; // of a method frame
    const void *args;
};

RIG void peer_connect(struct rig *rig, struct peer *peer)
{
    *peer = (struct peer){.rig = rig};
    buf_init(&peer->out, 256 << 20);
    arena_init(&peer->arena, 1 << 20);
    assert_int_equal(rig_raw_connect(rig->io, &rig->addr, &peer->raw), 0);
}

RIG void peer_close(struct peer *peer)
{
    rig_raw_close(&peer->raw);
    buf_fini(&peer->out);
    arena_fini(&peer->arena);
}

RIG void put_frame(struct buf *out, uint8_t type, uint16_t number, const void *payload, size_t len)
{
    buf_put_u8(out, type);
    buf_put_be16(out, number);
    buf_put_be32(out, (uint32_t)len);
    buf_put(out, payload, len);
    buf_put_u8(out, AMQP_FRAME_END);
}

RIG void put_method(struct buf *out, uint16_t number, uint32_t method, const void *args)
{
    struct wire_out fields;
    struct buf payload;
    wire_out_init(&fields, 1 << 20);
    buf_init(&payload, 1 << 20);
    assert_int_equal(wire_encode(wire_amqp_method(method)->msg, 0, args, &fields), 0);
    buf_put_be32(&payload, method);
    buf_put_slice(&payload, buf_slice(&fields.buf));
    put_frame(out, AMQP_FRAME_METHOD, number, payload.data, payload.len);
    buf_fini(&payload);
    wire_out_fini(&fields);
}

RIG void put_header(struct buf *out, uint16_t number, uint64_t size)
{
    uint8_t payload[14] = {0, 60};
    be64_put(payload + 4, size);
    put_frame(out, AMQP_FRAME_HEADER, number, payload, sizeof payload);
}

RIG void put_publish(struct buf *out, uint16_t number, const char *key)
{
    const struct amqp_basic_publish publish = {.routing_key = slice_cstr(key)};
    put_method(out, number, AMQP_BASIC_PUBLISH, &publish);
}

// Sends what was said and lets the world go on for a while.
RIG void peer_flush(struct peer *peer, int64_t ns)
{
    rig_raw_send(&peer->raw, peer->out.data, peer->out.len);
    rig_run(peer->rig, ns);
    if (peer->raw.out_at == peer->raw.out_len)
        buf_clear(&peer->out);
}

RIG bool peer_has_frame(const struct peer *peer)
{
    size_t left = peer->raw.in.len - peer->seen;
    return left >= 8 && left - 8 >= be32_get(peer->raw.in.data + peer->seen + 3);
}

// Sends, and takes the next frame that has come or comes soon. False: there is none.
RIG bool peer_next(struct peer *peer)
{
    if (peer->out.len > 0)
        peer_flush(peer, MILLIS(200));
    else if (!peer_has_frame(peer))
        rig_run(peer->rig, MILLIS(200));
    if (!peer_has_frame(peer))
        return false;
    const uint8_t *at = peer->raw.in.data + peer->seen;
    peer->type = at[0];
    peer->number = be16_get(at + 1);
    peer->payload = slice_of(at + 7, be32_get(at + 3));
    assert_int_equal(at[7 + peer->payload.len], AMQP_FRAME_END);
    peer->seen += peer->payload.len + 8;
    peer->method = 0;
    if (peer->type != AMQP_FRAME_METHOD)
        return true;
    struct cursor in = cursor_of(peer->payload);
    peer->method = cursor_be32(&in);
    const struct wire_method *method = wire_amqp_method(peer->method);
    assert_non_null(method);
    assert_true((method->sent_by & WIRE_BY_SERVER) != 0);
    arena_reset(&peer->arena);
    void *args = arena_alloc(&peer->arena, method->msg->root->size);
    assert_int_equal(wire_decode(method->msg, 0, &in, &peer->arena, args), 0);
    assert_int_equal(cursor_left(&in), 0);
    peer->args = args;
    return true;
}

// The next frame is this method: its arguments.
RIG const void *peer_expect(struct peer *peer, uint16_t number, uint32_t method)
{
    if (!peer_next(peer))
        fail_msg("nothing came instead of %s", wire_amqp_method(method)->msg->name);
    assert_int_equal(peer->type, AMQP_FRAME_METHOD);
    assert_int_equal(peer->number, number);
    assert_int_equal(peer->method, method);
    return peer->args;
}

#define PROTOCOL_HEADER "AMQP\0\0\x09\x01"

RIG void put_login(struct buf *out, const char *user, const char *password, bool may_fail)
{
    char response[256];
    struct buf properties;
    int len = snprintf(response, sizeof response, "%c%s%c%s", 0, user, 0, password);
    buf_init(&properties, 4096);
    size_t opened = amqp_open_table(&properties, slice_cstr("capabilities"));
    amqp_put_bool(&properties, slice_cstr("authentication_failure_close"), may_fail);
    amqp_put_bool(&properties, slice_cstr("connection.blocked"), true);
    amqp_put_bool(&properties, slice_cstr("consumer_cancel_notify"), true);
    amqp_close(&properties, opened);
    const struct amqp_connection_start_ok start_ok = {
        .client_properties = buf_slice(&properties),
        .mechanism = slice_cstr("PLAIN"),
        .response = slice_of(response, (size_t)len),
        .locale = slice_cstr("en_US"),
    };
    put_method(out, 0, AMQP_CONNECTION_START_OK, &start_ok);
    buf_fini(&properties);
}

RIG void put_tune_ok(struct buf *out, uint32_t frame_max, uint16_t channel_max, uint16_t heartbeat)
{
    const struct amqp_connection_tune_ok tune_ok = {channel_max, frame_max, heartbeat};
    put_method(out, 0, AMQP_CONNECTION_TUNE_OK, &tune_ok);
}

RIG void put_open(struct buf *out, const char *vhost)
{
    put_method(out, 0, AMQP_CONNECTION_OPEN,
               &(struct amqp_connection_open){.virtual_host = slice_cstr(vhost)});
}

// As far as a state of the connection.
RIG void peer_to_state(struct rig *rig, struct peer *peer, enum amqp_conn_state state,
                       uint16_t heartbeat)
{
    peer_connect(rig, peer);
    if (state >= AMQP_CONN_STARTING) {
        buf_put(&peer->out, PROTOCOL_HEADER, 8);
        (void)peer_expect(peer, 0, AMQP_CONNECTION_START);
    }
    if (state >= AMQP_CONN_TUNING) {
        put_login(&peer->out, "guest", "guest", true);
        (void)peer_expect(peer, 0, AMQP_CONNECTION_TUNE);
    }
    if (state >= AMQP_CONN_OPENING) {
        put_tune_ok(&peer->out, AMQP_FRAME_MAX, AMQP_CHANNEL_MAX, heartbeat);
        peer_flush(peer, MILLIS(200));
    }
    if (state >= AMQP_CONN_OPEN) {
        put_open(&peer->out, "/");
        (void)peer_expect(peer, 0, AMQP_CONNECTION_OPEN_OK);
    }
}

RIG void peer_open(struct rig *rig, struct peer *peer, uint16_t channels)
{
    peer_to_state(rig, peer, AMQP_CONN_OPEN, 0);
    for (uint16_t i = 1; i <= channels; i++) {
        put_method(&peer->out, i, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0});
        (void)peer_expect(peer, i, AMQP_CHANNEL_OPEN_OK);
    }
}

// The next frame ends the connection (number 0) or a channel with this code and text.
RIG void peer_expect_close(struct peer *peer, uint16_t number, uint16_t code, const char *text)
{
    const struct amqp_connection_close *m =
        peer_expect(peer, number, number == 0 ? AMQP_CONNECTION_CLOSE : AMQP_CHANNEL_CLOSE);
    assert_int_equal(m->reply_code, code);
    if (!slice_eq_cstr(m->reply_text, text))
        fail_msg("'%.*s' instead of '%s'", (int)m->reply_text.len, m->reply_text.data, text);
}

#endif
