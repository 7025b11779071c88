// SPDX-License-Identifier: Apache-2.0
//
// For the tests of the room: a whole node with its AMQP doors on a simulated machine, and on
// another machine peers that say frame by frame what a test wants said. Everything is in the header
// since each test is a program of its own; each uses a part of it.
#ifndef WEIR_AMQP_RIG_AMQP_TEST_H
#define WEIR_AMQP_RIG_AMQP_TEST_H

#ifdef RIG_PLAIN // a fuzz target: the same rig without the test library
#include "base/assert.h"
#define assert_int_equal(a, b) ASSERT((int64_t)(a) == (int64_t)(b))
#define assert_true(a)         ASSERT(a)
#define assert_non_null(a)     ASSERT((a) != NULL)
#define fail_msg(...)          ASSERT(false)
#else
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#endif
#include <stdio.h>
#include <string.h>

#include "amqp/conn.h"
#include "base/endian.h"
#include "base/mem.h"
#include "io/sim.h"
#include "node/rig_raw_test.h"
#include "node/status.h"

#define RIG_SHARDS 3
#define SECONDS(n) ((n)*INT64_C(1000000000))
#define MILLIS(n)  ((n)*INT64_C(1000000))

struct rig {
    struct sim *sim;
    struct sim_machine *server, *outside;
    struct io_world *server_world, *outside_world;
    struct io *io; // of the outside actor
    struct node *node;
    struct amqp_door *doors[RIG_SHARDS];
    struct io_addr addr;
    bool started, stopped;
    int start_err;
};

// ---- the node

RIG int rig_open_doors(void *arg, struct shard *shard)
{
    struct rig *rig = arg;
    uint32_t index = shard_index(shard);
    struct amqp_door_options options = {.listen = &rig->addr, .listen_count = 1};
    return amqp_door_open(shard, &options, &rig->doors[index]);
}

RIG void rig_close_doors(void *arg, struct shard *shard)
{
    amqp_door_close(((struct rig *)arg)->doors[shard_index(shard)]);
}

RIG void rig_destroy_doors(void *arg, struct shard *shard)
{
    struct rig *rig = arg;
    amqp_door_destroy(rig->doors[shard_index(shard)]);
    rig->doors[shard_index(shard)] = NULL;
}

RIG void rig_unblocked(void *arg, struct shard *shard)
{
    amqp_door_unblocked(((struct rig *)arg)->doors[shard_index(shard)]);
}

RIG void rig_started(void *arg, int err, const char *what)
{
    (void)what;
    ((struct rig *)arg)->started = true;
    ((struct rig *)arg)->start_err = err;
}

RIG void rig_failed(void *arg, int err, const char *what)
{
    (void)arg;
    (void)err;
    (void)what;
    fail_msg("the node failed: %d %s", err, what);
}

RIG void rig_stopped(void *arg)
{
    ((struct rig *)arg)->stopped = true;
}

RIG bool rig_flag(void *arg)
{
    return *(bool *)arg;
}

RIG void rig_run(struct rig *rig, int64_t ns)
{
    (void)sim_run_until(rig->sim, sim_now_ns(rig->sim) + ns, NULL, NULL);
}

RIG void rig_wait(struct rig *rig, bool *flag)
{
    if (!sim_run_until(rig->sim, sim_now_ns(rig->sim) + SECONDS(600), rig_flag, flag))
        fail_msg("nothing happened in ten minutes");
}

RIG void rig_start(struct rig *rig, const char *const *config)
{
    char *why = NULL;
    rig->server_world = sim_start(rig->server);
    rig->started = false;
    const struct node_options options = {
        .world = rig->server_world,
        .shards_count = RIG_SHARDS,
        .memory_bytes = 64 << 20,
        .config = config,
        .open_doors = rig_open_doors,
        .close_doors = rig_close_doors,
        .destroy_doors = rig_destroy_doors,
        .appends_unblocked = rig_unblocked,
        .started = rig_started,
        .failed = rig_failed,
        .arg = rig,
    };
    assert_int_equal(node_create(&options, &rig->node, &why), 0);
    rig_wait(rig, &rig->started);
    assert_int_equal(rig->start_err, 0);
}

RIG void rig_init_with(struct rig *rig, const char *const *config)
{
    struct sim_options options;
    const struct io_actor_options outside = {.name = "outside", .kind = IO_LOOP};
    *rig = (struct rig){0};
    sim_options_init(&options, 7);
    assert_int_equal(sim_create(&options, &rig->sim), 0);
    rig->server = sim_machine_create(rig->sim, "server", true);
    rig->outside = sim_machine_create(rig->sim, "outside", false);
    assert_int_equal(io_addr_parse("127.0.0.1:5672", &rig->addr), 0);
    rig->outside_world = sim_start(rig->outside);
    assert_int_equal(io_actor_create(rig->outside_world, &outside, &rig->io), 0);
    rig_start(rig, config);
}

RIG void rig_init(struct rig *rig)
{
    static const char *const config[] = {"weir.journal.file.bytes=4194304", NULL};
    rig_init_with(rig, config);
}

RIG void rig_fini(struct rig *rig)
{
    if (sim_machine_up(rig->server)) {
        node_stop(rig->node, rig_stopped, rig);
        rig_wait(rig, &rig->stopped);
    }
    node_destroy(rig->node);
    sim_world_free(rig->server_world);
    io_actor_stop(rig->io);
    sim_world_free(rig->outside_world);
    sim_destroy(rig->sim);
}

RIG uint32_t rig_connections(struct rig *rig)
{
    uint32_t count = 0;
    for (int i = 0; i < RIG_SHARDS; i++)
        count += rig->doors[i]->conns_count;
    return count;
}

// Memory of requests in flight, on all shards.
RIG int64_t rig_request_bytes(struct rig *rig)
{
    int64_t bytes = 0;
    for (int i = 0; i < RIG_SHARDS; i++)
        bytes += budget_used(shard_request_budget(rig->doors[i]->shard));
    return bytes;
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
