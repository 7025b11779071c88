// SPDX-License-Identifier: Apache-2.0
//
// See amqp_link.h.
#include "amqp_link.h"

#include <amqp_tcp_socket.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "figures.h"

#define CHANNEL   1
#define OUT_MAX   (1 << 20)
#define IN_MAX    (1 << 20)
#define FRAME_MAX 131072
#define FRAME_END 0xce

// ---- by the library

static void expect(amqp_rpc_reply_t reply, const char *what)
{
    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        return;
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        die("%s: %s", what, amqp_error_string2(reply.library_error));
    const amqp_channel_close_t *close = reply.reply.decoded; // a connection's begins alike
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && close)
        die("%s: %u %.*s", what, close->reply_code, (int)close->reply_text.len,
            (const char *)close->reply_text.bytes);
    die("%s: no answer", what);
}

static struct bytes bytes_new(size_t max)
{
    struct bytes b = {malloc(max), 0, 0, max};
    if (!b.at)
        die("no memory");
    return b;
}

void link_open(struct link *l, const char *host_port, const char *user, const char *vhost)
{
    char host[256];
    snprintf(host, sizeof host, "%s", host_port);
    char *colon = strrchr(host, ':');
    if (!colon)
        die("%s: HOST:PORT is wanted", host_port);
    *colon = 0;
    l->library = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(l->library);
    if (!socket || amqp_socket_open(socket, host, atoi(colon + 1)))
        die("%s: no connection", host_port);
    expect(amqp_login(l->library, vhost, 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, user, user),
           "login");
    amqp_channel_open(l->library, CHANNEL);
    expect(amqp_get_rpc_reply(l->library), "channel.open");
    l->fd = amqp_get_sockfd(l->library);
}

void link_close(struct link *l)
{
    if (l->library) {
        amqp_connection_close(l->library, AMQP_REPLY_SUCCESS);
        amqp_destroy_connection(l->library);
    }
    free(l->out.at);
    free(l->in.at);
}

void link_declare(struct link *l, const char *queue, bool durable)
{
    amqp_queue_declare(l->library, CHANNEL, amqp_cstring_bytes(queue), 0, durable, 0, 0,
                       amqp_empty_table);
    expect(amqp_get_rpc_reply(l->library), "queue.declare");
}

uint32_t link_count(struct link *l, const char *queue)
{
    const amqp_queue_declare_ok_t *ok = amqp_queue_declare(
        l->library, CHANNEL, amqp_cstring_bytes(queue), 1, 0, 0, 0, amqp_empty_table);
    expect(amqp_get_rpc_reply(l->library), "queue.declare, passive");
    uint32_t count = ok->message_count;
    amqp_maybe_release_buffers(l->library);
    return count;
}

void link_delete(struct link *l, const char *queue)
{
    amqp_queue_delete(l->library, CHANNEL, amqp_cstring_bytes(queue), 0, 0);
    expect(amqp_get_rpc_reply(l->library), "queue.delete");
}

void link_confirm(struct link *l)
{
    amqp_confirm_select(l->library, CHANNEL);
    expect(amqp_get_rpc_reply(l->library), "confirm.select");
}

void link_prefetch(struct link *l, uint16_t count)
{
    amqp_basic_qos(l->library, CHANNEL, 0, count, 0);
    expect(amqp_get_rpc_reply(l->library), "basic.qos");
}

// ---- past it

static void non_blocking(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

void link_raw(struct link *l)
{
    if (l->library && (amqp_data_in_buffer(l->library) || amqp_frames_enqueued(l->library)))
        die("the server said something unasked");
    non_blocking(l->fd, true);
    if (!l->out.at) {
        l->out = bytes_new(OUT_MAX);
        l->in = bytes_new(IN_MAX);
    }
}

void link_library(struct link *l)
{
    if (l->in.start != l->in.end || !link_sent(l))
        die("something is still on its way");
    non_blocking(l->fd, false);
}

static void put_u32(uint8_t *at, uint32_t value)
{
    value = htonl(value);
    memcpy(at, &value, sizeof value);
}

static uint8_t *frame_begin(struct bytes *b, uint8_t type)
{
    uint8_t *at = b->at + b->end;
    at[0] = type;
    at[1] = 0;
    at[2] = CHANNEL;
    return at + 7;
}

static void frame_end(struct bytes *b, size_t size)
{
    put_u32(b->at + b->end + 3, (uint32_t)size);
    b->at[b->end + 7 + size] = FRAME_END;
    b->end += size + 8;
}

static void put_method(struct bytes *b, uint32_t method, void *fields)
{
    uint8_t *at = frame_begin(b, AMQP_FRAME_METHOD);
    put_u32(at, method);
    int size = amqp_encode_method(method, fields, (amqp_bytes_t){b->max - b->end - 12, at + 4});
    if (size < 0)
        die("method %#x cannot be encoded", method);
    frame_end(b, (size_t)size + 4);
}

static void put_header(struct bytes *b, size_t size_bytes, bool persistent)
{
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                          .delivery_mode = persistent ? 2 : 1};
    uint8_t *at = frame_begin(b, AMQP_FRAME_HEADER);
    put_u32(at, AMQP_BASIC_CLASS << 16); // class, weight
    put_u32(at + 4, 0);
    put_u32(at + 8, (uint32_t)size_bytes);
    int size = amqp_encode_properties(AMQP_BASIC_CLASS, &properties, (amqp_bytes_t){64, at + 12});
    frame_end(b, (size_t)size + 12);
}

struct bytes link_message(struct link *l, const char *queue, size_t size_bytes, bool persistent)
{
    size_t piece = (l->library ? (size_t)amqp_get_frame_max(l->library) : FRAME_MAX) - 8;
    struct bytes b = bytes_new(1024 + size_bytes + 8 * (size_bytes / piece + 1));
    amqp_basic_publish_t publish = {.routing_key = amqp_cstring_bytes(queue)};
    put_method(&b, AMQP_BASIC_PUBLISH_METHOD, &publish);
    put_header(&b, size_bytes, persistent);
    for (size_t done = 0, n; done < size_bytes; done += n) {
        n = size_bytes - done < piece ? size_bytes - done : piece;
        uint8_t *at = frame_begin(&b, AMQP_FRAME_BODY);
        for (size_t i = 0; i < n; i++)
            at[i] = (uint8_t)('a' + (done + i) * 7 % 26);
        frame_end(&b, n);
    }
    return b;
}

void link_put(struct link *l, const void *bytes, size_t size)
{
    memcpy(l->out.at + l->out.end, bytes, size);
    l->out.end += size;
}

void link_put_consume(struct link *l, const char *queue, bool no_ack)
{
    amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes(queue),
                                    .consumer_tag = amqp_cstring_bytes("bench"),
                                    .no_ack = no_ack,
                                    .nowait = 1};
    put_method(&l->out, AMQP_BASIC_CONSUME_METHOD, &consume);
}

void link_put_ack(struct link *l, uint64_t tag)
{
    uint8_t ack[] = {
        AMQP_FRAME_METHOD, 0, CHANNEL, 0, 0, 0, 13, 0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        FRAME_END};
    tag = __builtin_bswap64(tag);
    memcpy(ack + 11, &tag, sizeof tag);
    link_put(l, ack, sizeof ack);
}

static bool out_move(struct link *l)
{
    struct bytes *b = &l->out;
    if (link_sent(l))
        return false;
    ssize_t n = send(l->fd, b->at + b->start, b->end - b->start, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        die("send: %s", strerror(errno));
    if (n <= 0)
        return false;
    b->start += (size_t)n;
    if (b->start == b->end)
        b->start = b->end = 0;
    return true;
}

bool link_flush(struct link *l)
{
    out_move(l);
    return link_sent(l);
}

static bool in_move(struct link *l)
{
    struct bytes *b = &l->in;
    memmove(b->at, b->at + b->start, b->end - b->start);
    b->end -= b->start;
    b->start = 0;
    ssize_t n = recv(l->fd, b->at + b->end, b->max - b->end, 0);
    if (n == 0)
        die("the server closed the connection");
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        die("recv: %s", strerror(errno));
    b->end += n > 0 ? (size_t)n : 0;
    return n > 0;
}

void link_move(struct link *l, int64_t until_ns)
{
    bool wrote = out_move(l);
    if (in_move(l) || wrote || until_ns == 0)
        return;
    short events = link_sent(l) ? POLLIN : POLLIN | POLLOUT;
    struct pollfd p = {.fd = l->fd, .events = events};
    int64_t left_ns = until_ns < 0 ? 60000000000 : until_ns - now_ns();
    struct timespec t = {left_ns / 1000000000, left_ns % 1000000000};
    if (left_ns > 0 && ppoll(&p, 1, &t, NULL) == 0 && until_ns < 0)
        die("nothing was heard for 60 s");
}

bool link_next(struct link *l, struct frame *out)
{
    struct bytes *b = &l->in;
    const uint8_t *at = b->at + b->start;
    uint32_t size;
    if (b->end - b->start < 8)
        return false;
    memcpy(&size, at + 3, sizeof size);
    size = ntohl(size);
    if (size > b->max - 8)
        die("a frame of %u bytes", size);
    if (b->end - b->start < (size_t)size + 8)
        return false;
    if (at[7 + size] != FRAME_END)
        die("a frame without its end");
    *out = (struct frame){at[0], size, at + 7, 0};
    if (at[0] == AMQP_FRAME_METHOD && size >= 4)
        out->method = (uint32_t)at[7] << 24 | (uint32_t)at[8] << 16 | (uint32_t)at[9] << 8 | at[10];
    b->start += (size_t)size + 8;
    return true;
}

void link_other(const struct frame *f)
{
    bool close =
        f->method == AMQP_CHANNEL_CLOSE_METHOD || f->method == AMQP_CONNECTION_CLOSE_METHOD;
    if (close && f->size >= 7)
        die("the server closed: %u %.*s", (unsigned)f->payload[4] << 8 | f->payload[5],
            (int)f->payload[6], (const char *)f->payload + 7);
}
