// SPDX-License-Identifier: Apache-2.0
//
// Whole conversations with the door, each run against a new node with three shards in the simulated
// world, so that an input does the same wherever it stands among others. The first byte says how
// far the connection has come before: 255 sends the rest as it is, from the protocol header on.
// Otherwise the input is a series of steps of four bytes and some content:
//
//   OFFSET SIZE FIELD: 0 1 kind; 1 1 channel; 2 2 length, big-endian; 4 - content
//
//   kind 0..63 that method of methods[] with the content as its fields, from 192 on those that come
//   after; 64 a content header, 65 a body frame, 66 a heartbeat; 67 bytes as they are; 68 time
//   passes; 69 a publish whose body the content is; 70 the shards' memory for requests is taken by
//   others but for as many bytes as the content's first two say, or given back if there is none
//
// so that what is tried is what frames say, and not only whether they are frames. After it the
// connection may be open or not, but nothing is left of it once it is closed, and the node stops.
//
// covers: src/amqp/conn_read.c src/amqp/channel.c src/amqp/content.c src/amqp/connection.c
#define RIG_PLAIN
#include "amqp/rig_amqp_test.h"

#define CHANNELS      3
#define METHODS_COUNT (sizeof methods / sizeof methods[0])
#define METHODS_FIRST 64 // kinds before those of steps of other sorts

// What a corpus says must not change with the schema: what is new there comes at the end here.
// clang-format off
static const uint32_t methods[] = {
    AMQP_CONNECTION_START, AMQP_CONNECTION_START_OK, AMQP_CONNECTION_SECURE,
    AMQP_CONNECTION_SECURE_OK, AMQP_CONNECTION_TUNE, AMQP_CONNECTION_TUNE_OK, AMQP_CONNECTION_OPEN,
    AMQP_CONNECTION_OPEN_OK, AMQP_CONNECTION_CLOSE, AMQP_CONNECTION_CLOSE_OK,
    AMQP_CONNECTION_BLOCKED, AMQP_CONNECTION_UNBLOCKED, AMQP_CONNECTION_UPDATE_SECRET,
    AMQP_CONNECTION_UPDATE_SECRET_OK,
    AMQP_CHANNEL_OPEN, AMQP_CHANNEL_OPEN_OK, AMQP_CHANNEL_FLOW, AMQP_CHANNEL_FLOW_OK,
    AMQP_CHANNEL_CLOSE, AMQP_CHANNEL_CLOSE_OK,
    AMQP_EXCHANGE_DECLARE, AMQP_EXCHANGE_DECLARE_OK, AMQP_EXCHANGE_DELETE, AMQP_EXCHANGE_DELETE_OK,
    AMQP_EXCHANGE_BIND, AMQP_EXCHANGE_BIND_OK, AMQP_EXCHANGE_UNBIND, AMQP_EXCHANGE_UNBIND_OK,
    AMQP_QUEUE_DECLARE, AMQP_QUEUE_DECLARE_OK, AMQP_QUEUE_BIND, AMQP_QUEUE_BIND_OK,
    AMQP_QUEUE_PURGE, AMQP_QUEUE_PURGE_OK, AMQP_QUEUE_DELETE, AMQP_QUEUE_DELETE_OK,
    AMQP_QUEUE_UNBIND, AMQP_QUEUE_UNBIND_OK,
    AMQP_BASIC_QOS, AMQP_BASIC_QOS_OK, AMQP_BASIC_CONSUME, AMQP_BASIC_CONSUME_OK, AMQP_BASIC_CANCEL,
    AMQP_BASIC_CANCEL_OK, AMQP_BASIC_PUBLISH, AMQP_BASIC_RETURN, AMQP_BASIC_DELIVER, AMQP_BASIC_GET,
    AMQP_BASIC_GET_OK, AMQP_BASIC_GET_EMPTY, AMQP_BASIC_ACK, AMQP_BASIC_REJECT,
    AMQP_BASIC_RECOVER_ASYNC, AMQP_BASIC_RECOVER, AMQP_BASIC_RECOVER_OK, AMQP_BASIC_NACK,
    AMQP_CONFIRM_SELECT, AMQP_CONFIRM_SELECT_OK,
    AMQP_TX_SELECT, AMQP_TX_SELECT_OK, AMQP_TX_COMMIT, AMQP_TX_COMMIT_OK, AMQP_TX_ROLLBACK,
    AMQP_TX_ROLLBACK_OK,
    AMQP_ACCESS_REQUEST, AMQP_ACCESS_REQUEST_OK,
};
// clang-format on

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig rig;
static size_t taken[RIG_SHARDS]; // of the memory for requests

static void memory_give_back(void)
{
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        budget_give(shard_request_budget(node_shard(rig.node, i)), taken[i]);
        taken[i] = 0;
    }
}

static void memory_leave(int64_t left)
{
    memory_give_back();
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        struct budget *budget = shard_request_budget(node_shard(rig.node, i));
        int64_t unused = budget->limit_bytes - budget_used(budget);
        taken[i] = unused > left ? (size_t)(unused - left) : 0;
        budget_force(budget, taken[i]);
    }
}

static void step_memory(struct peer *peer, struct slice content)
{
    peer_flush(peer, MILLIS(50)); // what was said before is heard before
    if (content.len < 2)
        memory_give_back();
    else
        memory_leave(be16_get(content.data));
}

static void step_method(struct buf *out, uint16_t channel, uint8_t kind, struct slice content)
{
    size_t later = METHODS_FIRST + (kind - 192U) % (METHODS_COUNT - METHODS_FIRST);
    uint8_t *payload = mem_alloc(4 + content.len);
    be32_put(payload, methods[kind < 192 ? kind % METHODS_FIRST : later]);
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
    case 70:
        step_memory(peer, content);
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
    ASSERT(METHODS_COUNT == wire_amqp_methods_count);
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
    memory_give_back();
    peer_flush(&peer, SECONDS(2));
    peer_close(&peer);
    rig_run(&rig, SECONDS(5));
    ASSERT(rig_connections(&rig) == 0);
    ASSERT(rig_request_bytes(&rig) < 16 << 20); // queues keep something of their messages
    rig_fini(&rig);
    return 0;
}
