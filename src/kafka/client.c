// SPDX-License-Identifier: Apache-2.0
//
// The client: requests go out of one buffer, responses come into one frame at a time and are
// matched by order, which the correlation id must confirm.
#include "kafka/client.h"

#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"

#define FRAME_MAX_DEFAULT (128U << 20)
#define ARENA_MAX_DEFAULT (256U << 20)
#define OUT_MAX           (256U << 20) // encoded and not sent yet
#define GROWS_FROM        (64U << 10)

struct kafka_client {
    struct kafka_client_options options;
    struct io_sock *sock;
    struct list calls; // in the order of their answers
    uint32_t calls_count;
    struct list unanswered; // sent into the void; done is due
    struct io_msg due;
    bool due_posted;
    bool busy, closed; // closed in a callback: freed when that is over
    int lost_err;      // the connection has ended
    int32_t next_correlation_id;
    struct buf out;
    size_t out_sent;
    uint8_t length[4];
    size_t length_have, frame_len, frame_have, frame_cap;
    uint8_t *frame;
};

static void client_free(struct kafka_client *client)
{
    buf_fini(&client->out);
    mem_free(client->frame);
    slice_free(client->options.client_id);
    mem_free(client);
}

// ---- ending

static void call_finish(struct kafka_call *call, int err)
{
    list_remove(&call->link);
    call->err = err;
    call->done(call);
}

static void client_lose(struct kafka_client *client, int err)
{
    client->lost_err = err;
    io_close(client->sock);
    client->sock = NULL;
    struct list *it;
    while (!client->closed && (it = list_first(&client->calls)) != NULL) {
        client->calls_count--;
        call_finish(CONTAINER_OF(it, struct kafka_call, link), err);
    }
    if (!client->closed && client->options.lost != NULL)
        client->options.lost(client->options.arg, err);
}

// ---- sending

static int client_send(struct kafka_client *client)
{
    while (client->out_sent < client->out.len) {
        struct iovec iov = {client->out.data + client->out_sent,
                            client->out.len - client->out_sent};
        int64_t n = io_send(client->sock, &iov, 1);
        if (n == ERR_AGAIN)
            break;
        if (n < 0)
            return (int)n;
        client->out_sent += (size_t)n;
        ASSERT(client->out_sent <= client->out.len);
    }
    if (client->out_sent == client->out.len) {
        buf_fini(&client->out); // a client at rest holds no buffer
        buf_init(&client->out, OUT_MAX);
        client->out_sent = 0;
    }
    return 0;
}

static void client_watch(struct kafka_client *client)
{
    io_watch(client->sock, client->out.len > 0 ? IO_READABLE | IO_WRITABLE : IO_READABLE);
}

// ---- receiving

static int client_answer(struct kafka_client *client)
{
    struct list *it = list_first(&client->calls);
    if (it == NULL)
        return ERR_MALFORMED; // an answer to nothing
    struct kafka_call *call = CONTAINER_OF(it, struct kafka_call, link);
    call->frame = client->frame;
    client->frame = NULL;
    client->length_have = 0;
    struct cursor in = cursor_of(slice_of(call->frame, client->frame_len));
    struct kafka_response_header header = {0};
    int header_version = wire_response_header_version(call->api, call->version);
    int err = wire_decode(&kafka_response_header_msg, header_version, &in, &call->arena, &header);
    if (err == 0 && header.correlation_id != call->correlation_id)
        err = ERR_MALFORMED;
    void *response = arena_zalloc(&call->arena, call->api->response->root->size);
    if (err == 0 && response == NULL)
        err = ERR_LIMIT;
    if (err == 0)
        err = wire_decode(call->api->response, call->version, &in, &call->arena, response);
    if (err != 0)
        return err;
    call->response = response;
    ASSERT(client->calls_count > 0);
    client->calls_count--;
    call_finish(call, 0);
    return 0;
}

static int client_begin_frame(struct kafka_client *client)
{
    int32_t len = (int32_t)be32_get(client->length);
    if (len < 4 || (size_t)len > client->options.frame_max_bytes)
        return ERR_MALFORMED;
    client->frame_len = (size_t)len;
    client->frame_have = 0;
    client->frame_cap = client->frame_len < GROWS_FROM ? client->frame_len : GROWS_FROM;
    client->frame = mem_alloc(client->frame_cap);
    return 0;
}

static int client_grow_frame(struct kafka_client *client)
{
    size_t cap = client->frame_cap * 4;
    if (cap > client->frame_len)
        cap = client->frame_len;
    uint8_t *frame = mem_try_alloc(cap);
    if (frame == NULL)
        return ERR_NOMEM;
    memcpy(frame, client->frame, client->frame_have);
    mem_free(client->frame);
    client->frame = frame;
    client->frame_cap = cap;
    return 0;
}

// One read. 0, ERR_AGAIN, or why the connection is over.
static int client_recv(struct kafka_client *client)
{
    bool body = client->length_have == sizeof client->length;
    int err = 0;
    if (body && client->frame_have == client->frame_cap)
        err = client_grow_frame(client);
    if (err != 0)
        return err;
    void *into = body ? client->frame + client->frame_have : client->length + client->length_have;
    size_t room =
        body ? client->frame_cap - client->frame_have : sizeof client->length - client->length_have;
    int64_t n = io_recv(client->sock, into, room);
    if (n <= 0)
        return n == 0 ? ERR_EOF : (int)n;
    if (!body) {
        client->length_have += (size_t)n;
        return client->length_have == sizeof client->length ? client_begin_frame(client) : 0;
    }
    client->frame_have += (size_t)n;
    ASSERT(client->frame_have <= client->frame_cap);
    ASSERT(client->frame_cap <= client->frame_len);
    return client->frame_have == client->frame_len ? client_answer(client) : 0;
}

static void client_ready(void *owner, int mask)
{
    struct kafka_client *client = owner;
    client->busy = true;
    int err = (mask & IO_WRITABLE) != 0 ? client_send(client) : 0;
    while (err == 0 && !client->closed && (mask & IO_READABLE) != 0)
        err = client_recv(client);
    if (!client->closed && err != 0 && err != ERR_AGAIN)
        client_lose(client, err);
    else if (!client->closed)
        client_watch(client);
    client->busy = false;
    if (client->closed && !client->due_posted)
        client_free(client);
}

static const struct io_sock_events client_events = {.ready = client_ready};

// ---- calls without an answer

static void client_due(struct io_msg *msg)
{
    struct kafka_client *client = CONTAINER_OF(msg, struct kafka_client, due);
    ASSERT(!client->busy);
    client->due_posted = false;
    client->busy = true;
    struct list *it;
    while (!client->closed && (it = list_first(&client->unanswered)) != NULL)
        call_finish(CONTAINER_OF(it, struct kafka_call, link), client->lost_err);
    client->busy = false;
    if (client->closed)
        client_free(client);
}

// ---- the interface

int kafka_client_open(const struct kafka_client_options *options, struct kafka_client **out)
{
    struct io_sock *sock;
    int err = io_connect(options->io, &options->addr, &sock);
    if (err != 0)
        return err;
    struct kafka_client *client = mem_zalloc(sizeof *client);
    client->options = *options;
    if (client->options.frame_max_bytes == 0)
        client->options.frame_max_bytes = FRAME_MAX_DEFAULT;
    if (client->options.arena_max_bytes == 0)
        client->options.arena_max_bytes = ARENA_MAX_DEFAULT;
    client->options.client_id = slice_dup(options->client_id);
    client->sock = sock;
    client->due.run = client_due;
    list_init(&client->calls);
    list_init(&client->unanswered);
    buf_init(&client->out, OUT_MAX);
    io_sock_own(sock, &client_events, client);
    client_watch(client);
    *out = client;
    return 0;
}

void kafka_client_close(struct kafka_client *client)
{
    if (client == NULL)
        return;
    ASSERT(!client->closed);
    client->closed = true;
    io_close(client->sock);
    LIST_FOR_SAFE (it, &client->calls)
        list_remove(it);
    LIST_FOR_SAFE (it, &client->unanswered)
        list_remove(it);
    if (!client->busy && !client->due_posted)
        client_free(client);
}

// A request with pieces of records is one run of bytes here: whoever builds requests has the
// records in memory of its own.
static int client_put(struct kafka_client *client, const struct wire_out *frame)
{
    size_t at = 0;
    for (uint32_t i = 0; i < frame->gaps_count; i++) {
        const struct wire_gap *gap = &frame->gaps[i];
        buf_put(&client->out, frame->buf.data + at, gap->at - at);
        at = gap->at;
        for (uint32_t p = 0; p < gap->pieces_count; p++)
            buf_put_slice(&client->out, blob_piece_slice(gap->pieces[p]));
    }
    buf_put(&client->out, frame->buf.data + at, frame->buf.len - at);
    return client->out.err;
}

static int client_encode(struct kafka_client *client, const struct kafka_call *call,
                         const void *request)
{
    struct wire_out frame;
    size_t before = client->out.len;
    wire_out_init(&frame, OUT_MAX);
    int err = wire_request_frame(call->api, call->version, call->correlation_id,
                                 client->options.client_id, request, &frame);
    if (err == 0)
        err = client_put(client, &frame);
    wire_out_fini(&frame);
    if (err != 0) {
        client->out.len = before;
        client->out.err = 0;
    }
    return err;
}

int kafka_client_call(struct kafka_client *client, struct kafka_call *call, int16_t api_key,
                      int version, const void *request)
{
    ASSERT(!client->closed);
    if (client->lost_err != 0)
        return ERR_RESET;
    call->api = wire_kafka_api(api_key);
    if (call->api == NULL || !wire_kafka_api_has(call->api, version))
        return ERR_UNSUPPORTED_VERSION;
    call->version = (int16_t)version;
    call->correlation_id = client->next_correlation_id;
    int err = client_encode(client, call, request);
    if (err != 0)
        return err;
    client->next_correlation_id = (int32_t)((uint32_t)client->next_correlation_id + 1U);
    call->err = 0;
    call->response = NULL;
    call->frame = NULL;
    arena_init(&call->arena, client->options.arena_max_bytes);
    if (call->unanswered) {
        list_push_back(&client->unanswered, &call->link);
        if (!client->due_posted)
            io_post(client->options.io, &client->due);
        client->due_posted = true;
    } else {
        list_push_back(&client->calls, &call->link);
        client->calls_count++;
    }
    // A send that fails shows as readable, and is told from there.
    (void)client_send(client);
    client_watch(client);
    return 0;
}

void kafka_call_fini(struct kafka_call *call)
{
    arena_fini(&call->arena);
    mem_free(call->frame);
    call->frame = NULL;
    call->response = NULL;
}

uint32_t kafka_client_open_calls(const struct kafka_client *client)
{
    return client->calls_count;
}
