// SPDX-License-Identifier: Apache-2.0
//
// The client: frames go out of one buffer and come into one; a content is put together per channel.
// It answers the handshake, connection.close and channel.close by itself and sends heartbeats.
#include "amqp/client.h"

#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"

#define BODY_MAX_DEFAULT (128U << 20)
#define OUT_MAX          (256U << 20)
#define ARENA_MAX        (16U << 20)
#define FRAME_OVERHEAD   8U // type, channel, size; end
#define FRAME_END        0xCE
#define FRAME_FIRST_MAX  4096U // until tune

enum { FRAME_METHOD = 1, FRAME_HEADER = 2, FRAME_BODY = 3, FRAME_HEARTBEAT = 8 };
enum client_state { CLIENT_CONNECTING, CLIENT_OPENING, CLIENT_OPEN, CLIENT_LOST };

struct client_channel {
    struct list calls;
    uint32_t method; // whose content is coming; 0: none
    struct arena arena;
    void *args;
    struct buf content; // properties, then body
    size_t properties_len;
    uint64_t body_left;
};

struct amqp_client {
    struct amqp_client_options options;
    struct io_sock *sock;
    enum client_state state;
    bool busy, closed; // closed in a callback: freed when that is over
    uint32_t frame_max;
    struct io_timer beat;
    struct buf login; // SASL PLAIN response
    char vhost[256];
    size_t vhost_len;
    struct buf out, in;
    size_t out_sent, in_taken;
    struct client_channel channels[AMQP_CLIENT_CHANNELS + 1];
    uint16_t close_code; // the server's word
    char close_text[256];
    size_t close_text_len;
};

static void content_clear(struct client_channel *ch)
{
    ch->method = 0;
    buf_fini(&ch->content);
    buf_init(&ch->content, SIZE_MAX / 2);
    arena_reset(&ch->arena);
}

static void client_free(struct amqp_client *client)
{
    for (uint32_t i = 0; i <= AMQP_CLIENT_CHANNELS; i++) {
        buf_fini(&client->channels[i].content);
        arena_fini(&client->channels[i].arena);
    }
    buf_fini(&client->login);
    buf_fini(&client->out);
    buf_fini(&client->in);
    mem_free(client);
}

// ---- ending

static void calls_fail(struct amqp_client *client, struct client_channel *ch, int err)
{
    struct list *it;
    while (!client->closed && (it = list_pop_front(&ch->calls)) != NULL) {
        struct amqp_call *call = CONTAINER_OF(it, struct amqp_call, link);
        call->err = err;
        call->done(call);
    }
}

static void client_lose(struct amqp_client *client, int err)
{
    ASSERT(client->state != CLIENT_LOST);
    client->state = CLIENT_LOST;
    io_timer_stop(client->options.io, &client->beat);
    io_close(client->sock);
    client->sock = NULL;
    for (uint32_t i = 0; i <= AMQP_CLIENT_CHANNELS; i++)
        calls_fail(client, &client->channels[i], err);
    struct slice text =
        client->close_code != 0 ? slice_of(client->close_text, client->close_text_len) : SLICE_NULL;
    if (!client->closed && client->options.lost != NULL)
        client->options.lost(client->options.arg, err, client->close_code, text);
}

// ---- sending

static size_t frame_begin(struct buf *out, uint8_t type, uint16_t channel)
{
    buf_put_u8(out, type);
    buf_put_be16(out, channel);
    size_t at = out->len;
    buf_put_be32(out, 0);
    return at;
}

static void frame_end(struct buf *out, size_t at)
{
    if (out->err != 0)
        return;
    buf_set_be32(out, at, (uint32_t)(out->len - at - 4));
    buf_put_u8(out, FRAME_END);
}

static int method_put(struct buf *out, uint16_t channel, uint32_t id, const void *args)
{
    const struct wire_method *method = wire_amqp_method(id);
    struct wire_out encoded;
    ASSERT(method != NULL);
    wire_out_init(&encoded, OUT_MAX);
    int err = wire_encode(method->msg, 0, args, &encoded);
    size_t at = frame_begin(out, FRAME_METHOD, channel);
    buf_put_be16(out, (uint16_t)(id >> 16));
    buf_put_be16(out, (uint16_t)id);
    buf_put_slice(out, buf_slice(&encoded.buf));
    frame_end(out, at);
    wire_out_fini(&encoded);
    return err != 0 ? err : out->err;
}

static int client_flush(struct amqp_client *client)
{
    while (client->out_sent < client->out.len) {
        struct iovec iov = {client->out.data + client->out_sent,
                            client->out.len - client->out_sent};
        int64_t n = io_send(client->sock, &iov, 1);
        if (n == ERR_AGAIN)
            return 0;
        if (n < 0)
            return (int)n;
        client->out_sent += (size_t)n;
    }
    buf_clear(&client->out);
    client->out_sent = 0;
    return 0;
}

static void client_watch(struct amqp_client *client)
{
    if (client->state == CLIENT_LOST)
        return;
    io_watch(client->sock, client->out.len > 0 ? IO_READABLE | IO_WRITABLE : IO_READABLE);
}

static int client_put(struct amqp_client *client, uint16_t channel, uint32_t id, const void *args)
{
    int err = method_put(&client->out, channel, id, args);
    client_watch(client);
    return err;
}

static void client_beat(struct io_timer *timer)
{
    struct amqp_client *client = CONTAINER_OF(timer, struct amqp_client, beat);
    struct io *io = client->options.io;
    frame_end(&client->out, frame_begin(&client->out, FRAME_HEARTBEAT, 0));
    client_watch(client);
    io_timer_start(io, timer,
                   io_now_ns(io) + client->options.heartbeat_s * INT64_C(1000000000) / 2);
}

// ---- the handshake

static int start_answer(struct amqp_client *client)
{
    // connection.blocked, basic.cancel, … for a client that says it understands them
    static const char *const can[] = {"publisher_confirms", "basic.nack", "consumer_cancel_notify",
                                      "connection.blocked", "authentication_failure_close"};
    struct buf capabilities;
    struct buf properties;
    buf_init(&capabilities, 4096);
    buf_init(&properties, 4096);
    for (size_t i = 0; i < sizeof can / sizeof can[0]; i++) {
        buf_put_u8(&capabilities, (uint8_t)strlen(can[i]));
        buf_put_slice(&capabilities, slice_cstr(can[i]));
        buf_put(&capabilities, "t\1", 2);
    }
    buf_put(&properties, "\7productS\0\0\0\4weir", 17);
    buf_put(&properties, "\14capabilitiesF", 14);
    buf_put_be32(&properties, (uint32_t)capabilities.len);
    buf_put_slice(&properties, buf_slice(&capabilities));
    const struct amqp_connection_start_ok ok = {
        .client_properties = buf_slice(&properties),
        .mechanism = slice_cstr("PLAIN"),
        .response = buf_slice(&client->login),
        .locale = slice_cstr("en_US"),
    };
    int err = client_put(client, 0, AMQP_CONNECTION_START_OK, &ok);
    buf_fini(&capabilities);
    buf_fini(&properties);
    client->state = CLIENT_OPENING;
    return err;
}

static int tune_answer(struct amqp_client *client, const struct amqp_connection_tune *tune)
{
    uint32_t frame_max = tune->frame_max;
    if (client->options.frame_max != 0 && (frame_max == 0 || client->options.frame_max < frame_max))
        frame_max = client->options.frame_max;
    const struct amqp_connection_tune_ok ok = {
        .channel_max = tune->channel_max < AMQP_CLIENT_CHANNELS && tune->channel_max != 0
                           ? tune->channel_max
                           : AMQP_CLIENT_CHANNELS,
        .frame_max = frame_max,
        .heartbeat = client->options.heartbeat_s,
    };
    const struct amqp_connection_open open = {
        .virtual_host = slice_of(client->vhost, client->vhost_len),
    };
    client->frame_max = frame_max != 0 ? frame_max : UINT32_MAX;
    int err = client_put(client, 0, AMQP_CONNECTION_TUNE_OK, &ok);
    if (err == 0)
        err = client_put(client, 0, AMQP_CONNECTION_OPEN, &open);
    if (err == 0 && client->options.heartbeat_s != 0)
        client_beat(&client->beat);
    return err;
}

static int closed_by_server(struct amqp_client *client, const struct amqp_connection_close *close)
{
    const struct amqp_connection_close_ok ok = {0};
    client->close_code = close->reply_code;
    client->close_text_len = close->reply_text.len < sizeof client->close_text
                                 ? close->reply_text.len
                                 : sizeof client->close_text;
    memcpy(client->close_text, close->reply_text.data, client->close_text_len);
    (void)client_put(client, 0, AMQP_CONNECTION_CLOSE_OK, &ok);
    (void)client_flush(client);
    return ERR_REFUSED;
}

// Channel 0. ERR_*: the connection is over.
static int connection_method(struct amqp_client *client, uint32_t id, const void *args)
{
    const struct amqp_event event = {.method = id, .args = args};
    switch (id) {
    case AMQP_CONNECTION_START:
        return client->state == CLIENT_CONNECTING ? start_answer(client) : ERR_MALFORMED;
    case AMQP_CONNECTION_TUNE:
        return client->state == CLIENT_OPENING ? tune_answer(client, args) : ERR_MALFORMED;
    case AMQP_CONNECTION_OPEN_OK:
        if (client->state != CLIENT_OPENING)
            return ERR_MALFORMED;
        client->state = CLIENT_OPEN;
        if (client->options.opened != NULL)
            client->options.opened(client->options.arg);
        return 0;
    case AMQP_CONNECTION_CLOSE:
        return closed_by_server(client, args);
    case AMQP_CONNECTION_BLOCKED:
    case AMQP_CONNECTION_UNBLOCKED:
        if (client->options.event != NULL)
            client->options.event(client->options.arg, &event);
        return 0;
    default:
        return ERR_MALFORMED;
    }
}

// ---- methods of a channel

static bool by_itself(uint32_t id)
{
    return id == AMQP_BASIC_DELIVER || id == AMQP_BASIC_RETURN || id == AMQP_BASIC_ACK ||
           id == AMQP_BASIC_NACK || id == AMQP_BASIC_CANCEL;
}

static int channel_closed(struct amqp_client *client, uint16_t number,
                          const struct amqp_channel_close *close)
{
    const struct amqp_channel_close_ok ok = {0};
    struct client_channel *ch = &client->channels[number];
    int err = client_put(client, number, AMQP_CHANNEL_CLOSE_OK, &ok);
    calls_fail(client, ch, ERR_REFUSED);
    if (!client->closed && client->options.channel_closed != NULL)
        client->options.channel_closed(client->options.arg, number, close->reply_code,
                                       close->reply_text);
    return err;
}

// A method with its content, if it has one, is whole.
static int channel_method(struct amqp_client *client, uint16_t number, const struct amqp_event *e)
{
    struct client_channel *ch = &client->channels[number];
    if (e->method == AMQP_CHANNEL_CLOSE)
        return channel_closed(client, number, e->args);
    if (e->method == AMQP_CHANNEL_FLOW) {
        const struct amqp_channel_flow *flow = e->args;
        const struct amqp_channel_flow_ok ok = {.active = flow->active};
        return client_put(client, number, AMQP_CHANNEL_FLOW_OK, &ok);
    }
    if (by_itself(e->method)) {
        if (client->options.event != NULL)
            client->options.event(client->options.arg, e);
        return 0;
    }
    struct list *it = list_pop_front(&ch->calls);
    if (it == NULL)
        return ERR_MALFORMED; // an answer to nothing
    struct amqp_call *call = CONTAINER_OF(it, struct amqp_call, link);
    call->err = 0;
    call->method = e->method;
    call->args = e->args;
    call->properties = e->properties;
    call->body = e->body;
    call->done(call);
    return 0;
}

static int method_whole(struct amqp_client *client, uint16_t number)
{
    struct client_channel *ch = &client->channels[number];
    struct slice content = buf_slice(&ch->content);
    const size_t split = ch->properties_len;
    const struct amqp_event event = {
        .channel = number,
        .method = ch->method,
        .args = ch->args,
        .properties = slice_of(content.data, split),
        .body = split > 0 ? slice_of(content.data + split, content.len - split) : SLICE_NULL,
    };
    int err = number == 0 ? connection_method(client, event.method, event.args)
                          : channel_method(client, number, &event);
    if (!client->closed)
        content_clear(ch);
    return err;
}

// ---- frames

static int frame_method(struct amqp_client *client, uint16_t number, struct slice payload)
{
    struct client_channel *ch = &client->channels[number];
    struct cursor in = cursor_of(payload);
    uint32_t id = cursor_be32(&in);
    const struct wire_method *method = wire_amqp_method(id);
    if (ch->method != 0 || in.err != 0 || method == NULL || (method->sent_by & WIRE_BY_SERVER) == 0)
        return ERR_MALFORMED;
    ch->args = arena_zalloc(&ch->arena, method->msg->root->size);
    if (ch->args == NULL)
        return ERR_LIMIT;
    int err = wire_decode(method->msg, 0, &in, &ch->arena, ch->args);
    if (err == 0 && cursor_left(&in) != 0)
        err = ERR_MALFORMED;
    if (err != 0)
        return err;
    ch->method = id;
    ch->properties_len = 0;
    if (!method->content)
        return method_whole(client, number);
    // Strings point into the frame, which will be gone: decode again from a copy.
    uint8_t *copy = arena_alloc(&ch->arena, payload.len);
    if (copy == NULL)
        return ERR_LIMIT;
    memcpy(copy, payload.data, payload.len);
    in = cursor_of(slice_of(copy + 4, payload.len - 4));
    return wire_decode(method->msg, 0, &in, &ch->arena, ch->args);
}

static int frame_header(struct amqp_client *client, uint16_t number, struct slice payload)
{
    struct client_channel *ch = &client->channels[number];
    struct cursor in = cursor_of(payload);
    cursor_skip(&in, 4); // class, weight
    uint64_t size = cursor_be64(&in);
    if (in.err != 0 || ch->method == 0 || ch->properties_len != 0 ||
        size > client->options.body_max_bytes)
        return ERR_MALFORMED;
    buf_put(&ch->content, in.pos, cursor_left(&in));
    ch->properties_len = ch->content.len;
    ch->body_left = size;
    return size == 0 ? method_whole(client, number) : ch->content.err;
}

static int frame_body(struct amqp_client *client, uint16_t number, struct slice payload)
{
    struct client_channel *ch = &client->channels[number];
    if (ch->method == 0 || ch->properties_len == 0 || payload.len > ch->body_left)
        return ERR_MALFORMED;
    buf_put_slice(&ch->content, payload);
    ch->body_left -= payload.len;
    return ch->body_left == 0 ? method_whole(client, number) : ch->content.err;
}

static int frame_take(struct amqp_client *client, uint8_t type, uint16_t number,
                      struct slice payload)
{
    if (number > AMQP_CLIENT_CHANNELS)
        return ERR_MALFORMED;
    switch (type) {
    case FRAME_METHOD:
        return frame_method(client, number, payload);
    case FRAME_HEADER:
        return frame_header(client, number, payload);
    case FRAME_BODY:
        return frame_body(client, number, payload);
    case FRAME_HEARTBEAT:
        return 0;
    default:
        return ERR_MALFORMED;
    }
}

static int frames_take(struct amqp_client *client)
{
    int err = 0;
    while (err == 0 && !client->closed && client->in.len - client->in_taken >= FRAME_OVERHEAD) {
        const uint8_t *frame = client->in.data + client->in_taken;
        if (memcmp(frame, "AMQP", 4) == 0)
            return ERR_UNSUPPORTED_VERSION; // the server speaks another version
        uint32_t size = be32_get(frame + 3);
        if (size > client->frame_max)
            return ERR_MALFORMED;
        if (client->in.len - client->in_taken < (size_t)size + FRAME_OVERHEAD)
            break;
        if (frame[7 + size] != FRAME_END)
            return ERR_MALFORMED;
        client->in_taken += (size_t)size + FRAME_OVERHEAD;
        err = frame_take(client, frame[0], be16_get(frame + 1), slice_of(frame + 7, size));
    }
    if (err == 0 && !client->closed) {
        size_t left = client->in.len - client->in_taken;
        memmove(client->in.data, client->in.data + client->in_taken, left);
        client->in.len = left;
        client->in_taken = 0;
    }
    return err;
}

static int client_recv(struct amqp_client *client)
{
    uint8_t chunk[8192];
    int64_t n = io_recv(client->sock, chunk, sizeof chunk);
    if (n <= 0)
        return n == 0 ? ERR_EOF : (int)n;
    buf_put(&client->in, chunk, (size_t)n);
    return client->in.err != 0 ? client->in.err : frames_take(client);
}

static void client_ready(void *owner, int mask)
{
    struct amqp_client *client = owner;
    client->busy = true;
    int err = (mask & IO_WRITABLE) != 0 ? client_flush(client) : 0;
    while (err == 0 && !client->closed && (mask & IO_READABLE) != 0)
        err = client_recv(client);
    if (!client->closed && err != 0 && err != ERR_AGAIN)
        client_lose(client, err);
    else if (!client->closed)
        client_watch(client);
    client->busy = false;
    if (client->closed)
        client_free(client);
}

static const struct io_sock_events client_events = {.ready = client_ready};

// ---- the interface

int amqp_client_open(const struct amqp_client_options *options, struct amqp_client **out)
{
    struct io_sock *sock;
    if (options->vhost.len > 255)
        return ERR_INVALID;
    int err = io_connect(options->io, &options->addr, &sock);
    if (err != 0)
        return err;
    struct amqp_client *client = mem_zalloc(sizeof *client);
    client->options = *options;
    if (client->options.body_max_bytes == 0)
        client->options.body_max_bytes = BODY_MAX_DEFAULT;
    client->sock = sock;
    client->frame_max = FRAME_FIRST_MAX;
    io_timer_init(&client->beat, client_beat);
    buf_init(&client->login, 4096);
    buf_init(&client->out, OUT_MAX);
    buf_init(&client->in, OUT_MAX);
    buf_put_u8(&client->login, 0);
    buf_put_slice(&client->login, options->user);
    buf_put_u8(&client->login, 0);
    buf_put_slice(&client->login, options->password);
    client->vhost_len = options->vhost.len;
    memcpy(client->vhost, options->vhost.data, options->vhost.len);
    for (uint32_t i = 0; i <= AMQP_CLIENT_CHANNELS; i++) {
        list_init(&client->channels[i].calls);
        arena_init(&client->channels[i].arena, ARENA_MAX);
        buf_init(&client->channels[i].content, SIZE_MAX / 2);
    }
    buf_put(&client->out, "AMQP\0\0\11\1", 8);
    io_sock_own(sock, &client_events, client);
    client_watch(client);
    *out = client;
    return 0;
}

void amqp_client_close(struct amqp_client *client)
{
    if (client == NULL || client->closed)
        return;
    io_timer_stop(client->options.io, &client->beat);
    io_close(client->sock);
    client->sock = NULL;
    client->closed = true;
    client->state = CLIENT_LOST;
    if (!client->busy)
        client_free(client);
}

bool amqp_client_ready(const struct amqp_client *client)
{
    return client->state == CLIENT_OPEN;
}

int amqp_client_send(struct amqp_client *client, uint16_t channel, uint32_t method,
                     const void *args)
{
    ASSERT(channel <= AMQP_CLIENT_CHANNELS);
    return client->state == CLIENT_OPEN ? client_put(client, channel, method, args) : ERR_RESET;
}

int amqp_client_call(struct amqp_client *client, uint16_t channel, uint32_t method,
                     const void *args, struct amqp_call *call)
{
    ASSERT(call->done != NULL);
    int err = amqp_client_send(client, channel, method, args);
    if (err != 0)
        return err;
    call->channel = channel;
    call->asked = method;
    list_push_back(&client->channels[channel].calls, &call->link);
    return 0;
}

int amqp_client_publish(struct amqp_client *client, uint16_t channel,
                        const struct amqp_basic_publish *publish, struct slice properties,
                        struct slice body)
{
    int err = amqp_client_send(client, channel, AMQP_BASIC_PUBLISH, publish);
    if (err != 0)
        return err;
    struct buf *out = &client->out;
    size_t at = frame_begin(out, FRAME_HEADER, channel);
    buf_put_be16(out, AMQP_BASIC_PUBLISH >> 16);
    buf_put_be16(out, 0);
    buf_put_be64(out, body.len);
    if (properties.len > 0)
        buf_put_slice(out, properties);
    else
        buf_put_be16(out, 0); // no property
    frame_end(out, at);
    size_t part_max = client->frame_max - FRAME_OVERHEAD;
    for (size_t sent = 0; sent < body.len;) {
        size_t part = body.len - sent < part_max ? body.len - sent : part_max;
        at = frame_begin(out, FRAME_BODY, channel);
        buf_put(out, body.data + sent, part);
        frame_end(out, at);
        sent += part;
    }
    return out->err;
}

size_t amqp_client_unsent(const struct amqp_client *client)
{
    return client->out.len - client->out_sent;
}
