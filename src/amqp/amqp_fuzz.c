// SPDX-License-Identifier: Apache-2.0
//
// Whole conversations with the door, run against a node with three shards in the simulated world.
// The first byte says how far the connection has come before: 255 sends the rest as it is, from the
// protocol header on. Otherwise the input is a series of steps of four bytes and some content:
//
//   OFFSET SIZE FIELD: 0 1 kind; 1 1 channel; 2 2 length, big-endian; 4 - content
//
//   kind 0..63 that method with the content as its fields; 64 a content header, 65 a body frame,
//   66 a heartbeat; 67 bytes as they are; 68 time passes; 69 a publish whose body the content is
//
// so that what is tried is what frames say, and not only whether they are frames. After it the
// connection may be open or not, but nothing is left of it once it is closed, and the node serves
// on.
//
// covers: src/amqp/conn_read.c src/amqp/channel.c src/amqp/content.c src/amqp/connection.c
#define RIG_PLAIN
#include "amqp/rig_amqp_test.h"

#define ROUNDS_PER_NODE 64 // what inputs leave behind (queues, exchanges) goes with the node
#define CHANNELS        3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig rig;
static int rounds;

static void step_method(struct buf *out, uint16_t channel, uint32_t index, struct slice content)
{
    const struct wire_method *method = &wire_amqp_methods[index % wire_amqp_methods_count];
    uint8_t *payload = mem_alloc(4 + content.len);
    be32_put(payload, method->id);
    memcpy(payload + 4, content.data, content.len);
    put_frame(out, AMQP_FRAME_METHOD, channel, payload, 4 + content.len);
    mem_free(payload);
}

static void step(struct peer *peer, uint8_t kind, uint16_t channel, struct slice content)
{
    struct buf *out = &peer->out;
    switch (kind) {
    case 64:
        put_frame(out, AMQP_FRAME_HEADER, channel, content.data, content.len);
        break;
    case 65:
        put_frame(out, AMQP_FRAME_BODY, channel, content.data, content.len);
        break;
    case 66:
        put_frame(out, AMQP_FRAME_BEAT, channel, content.data, content.len);
        break;
    case 67:
        buf_put_slice(out, content);
        break;
    case 68:
        peer_flush(peer, MILLIS(50) * (content.len % 100));
        break;
    case 69:
        put_publish(out, channel, content.len > 0 && content.data[0] % 2 == 0 ? "q" : "p");
        put_header(out, channel, content.len);
        put_frame(out, AMQP_FRAME_BODY, channel, content.data, content.len);
        break;
    default:
        step_method(out, channel, kind, content);
    }
}

static void converse(struct peer *peer, struct cursor *in)
{
    while (cursor_left(in) >= 4 && !peer->raw.ended) {
        uint8_t kind = cursor_u8(in);
        uint8_t channel = cursor_u8(in);
        size_t len = cursor_be16(in);
        len = len < cursor_left(in) ? len : cursor_left(in);
        step(peer, kind, channel % (CHANNELS + 2), cursor_bytes(in, len));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16)
        return 0;
    if (rounds == 0)
        rig_init(&rig);
    struct peer peer;
    struct cursor in = cursor_of(slice_of(data + 1, size - 1));
    if (data[0] == 255) {
        peer_connect(&rig, &peer);
        buf_put(&peer.out, data + 1, size - 1);
    } else if (data[0] < AMQP_CONN_OPEN) {
        peer_to_state(&rig, &peer, (enum amqp_conn_state)data[0], 10);
        converse(&peer, &in);
    } else {
        peer_open(&rig, &peer, CHANNELS);
        converse(&peer, &in);
    }
    peer_flush(&peer, SECONDS(2));
    peer_close(&peer);
    rig_run(&rig, SECONDS(5));
    ASSERT(rig_connections(&rig) == 0);
    ASSERT(rig_request_bytes(&rig) < 16 << 20); // queues keep something of their messages
    if (++rounds == ROUNDS_PER_NODE) {
        rig_fini(&rig);
        rounds = 0;
    }
    return 0;
}
