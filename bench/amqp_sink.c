// SPDX-License-Identifier: Apache-2.0
//
// See amqp_sink.h.
#include "amqp_sink.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "figures.h"

struct sink {
    struct link link;
    pthread_t thread;
    _Atomic bool stop;
    struct sink_options options;
    uint64_t published, delivered, acked;
    struct bytes delivery;
};

static void loopback(int *client, int *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    *client = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&address, &size) ||
        connect(*client, (struct sockaddr *)&address, size))
        die("no loopback connection");
    *server = accept(listener, NULL, NULL);
    setsockopt(*client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(*server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    close(listener);
}

// A message as it is published is header and body as they are delivered: only the method differs.
static struct bytes delivery_make(struct link *l, size_t size_bytes)
{
    static const uint8_t method[] = {1, 0,   1,   0,   0,   0,   22, 0, 60, 0, 60, // basic.deliver
                                     5, 'b', 'e', 'n', 'c', 'h', // the consumer's tag
                                     0, 0,   0,   0,   0,   0,   0,  0, 0,  0, 1,  'q', 0xce};
    static_assert(sizeof method == 22 + 8);
    struct bytes m = link_message(l, "q", size_bytes, true),
                 d = {malloc(m.end + 64), 0, 0, m.end + 64};
    uint32_t size;
    memcpy(&size, m.at + 3, sizeof size);
    size_t skip = ntohl(size) + 8;
    memcpy(d.at, method, sizeof method);
    memcpy(d.at + sizeof method, m.at + skip, m.end - skip);
    d.end = sizeof method + m.end - skip;
    free(m.at);
    return d;
}

static void sink_deliver(struct sink *s)
{
    while (s->delivered - s->acked < s->options.prefetch &&
           link_out_room(&s->link) >= s->delivery.end) {
        uint64_t tag = __builtin_bswap64(++s->delivered);
        memcpy(s->delivery.at + 17, &tag, sizeof tag);
        link_put(&s->link, s->delivery.at, s->delivery.end);
    }
}

static void sink_confirm(struct sink *s, uint64_t before)
{
    if (!s->options.confirm || s->published == before || link_out_room(&s->link) < 64)
        return;
    link_put_ack(&s->link, s->published);
    s->link.out.at[s->link.out.end - 2] = 1; // multiple
}

static void *sink_run(void *arg)
{
    struct sink *s = arg;
    struct frame f;
    while (!s->stop) {
        uint64_t before = s->published;
        if (s->options.prefetch)
            sink_deliver(s);
        link_move(&s->link, now_ns() + 50000000);
        while (link_next(&s->link, &f)) {
            s->published += f.method == AMQP_BASIC_PUBLISH_METHOD;
            s->acked += f.method == AMQP_BASIC_ACK_METHOD;
        }
        sink_confirm(s, before);
    }
    return NULL;
}

struct sink *sink_start(struct link *l, const struct sink_options *options)
{
    struct sink *s = calloc(1, sizeof *s);
    int client, server;
    if (!s)
        die("no memory");
    loopback(&client, &server);
    *l = (struct link){.fd = client};
    s->link = (struct link){.fd = server};
    s->options = *options;
    if (options->prefetch)
        s->delivery = delivery_make(l, options->deliver_bytes);
    link_raw(&s->link);
    if (pthread_create(&s->thread, NULL, sink_run, s))
        die("no thread");
    if (options->cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(options->cpu, &set);
        pthread_setaffinity_np(s->thread, sizeof set, &set);
    }
    return s;
}

void sink_stop(struct sink *s, struct link *l)
{
    s->stop = true;
    pthread_join(s->thread, NULL);
    close(l->fd);
    close(s->link.fd);
    link_close(l);
    link_close(&s->link);
    free(s->delivery.at);
    free(s);
}
