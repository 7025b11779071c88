// SPDX-License-Identifier: Apache-2.0
//
// Publishers, consumers and their books; see queues.h. One thread and one connection each.
#include "queues.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <amqp.h>
#include <amqp_tcp_socket.h>

#define WINDOW     50 // unconfirmed messages of a publisher
#define PREFETCH   20
#define ACK_EVERY  10
#define BODY_MAX   4000
#define PUBLISHING 1 // channels
#define MARKING    2

enum { MSG_CONFIRMED = 1, MSG_DELIVERED = 2, MSG_ACKED = 4, MSG_SETTLED = 8 };

static const char *const names[QUEUES] = {"crash-work", "crash-bulk", "crash-priority"};

struct sender { // its messages, by their number
    uint8_t *marks;
    uint32_t sent, capacity;
};
static struct {
    pthread_mutex_t lock;
    struct sender senders[QUEUE_SENDERS];
    struct queue_totals totals;
} books = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct run *run;
static _Atomic(bool) publishers_end, consumers_end;
static pthread_t publishers[QUEUE_PUBLISHERS], consumers[QUEUE_CONSUMERS];

// ---- the books

static uint32_t book_send(uint32_t sender)
{
    pthread_mutex_lock(&books.lock);
    struct sender *s = &books.senders[sender];
    if (s->sent == s->capacity) {
        uint32_t capacity = s->capacity == 0 ? 4096 : s->capacity * 2;
        s->marks = realloc(s->marks, capacity);
        if (s->marks == NULL)
            fail("out of memory");
        memset(s->marks + s->capacity, 0, capacity - s->capacity);
        s->capacity = capacity;
    }
    uint32_t number = s->sent++;
    books.totals.sent++;
    pthread_mutex_unlock(&books.lock);
    return number;
}

static void book_mark(uint32_t sender, uint32_t number, uint8_t mark)
{
    pthread_mutex_lock(&books.lock);
    books.senders[sender].marks[number] |= mark;
    books.totals.confirmed += mark == MSG_CONFIRMED;
    books.totals.durable_acks += mark == MSG_SETTLED;
    pthread_mutex_unlock(&books.lock);
}

static void book_nacked(void)
{
    pthread_mutex_lock(&books.lock);
    books.totals.nacked++;
    pthread_mutex_unlock(&books.lock);
}

static bool book_delivered(uint32_t sender, uint32_t number, bool redelivered)
{
    struct queue_totals *t = &books.totals;
    pthread_mutex_lock(&books.lock);
    bool known = sender < QUEUE_SENDERS && number < books.senders[sender].sent;
    if (known) {
        uint8_t *marks = &books.senders[sender].marks[number];
        t->delivered++;
        t->back += (*marks & MSG_SETTLED) != 0;
        t->again += (*marks & MSG_DELIVERED) != 0;
        t->unflagged += (*marks & MSG_DELIVERED) != 0 && !redelivered;
        *marks |= MSG_DELIVERED;
    } else {
        t->alien++;
    }
    pthread_mutex_unlock(&books.lock);
    return known;
}

bool queues_drained(void)
{
    bool all = true;
    pthread_mutex_lock(&books.lock);
    for (uint32_t i = 0; i < QUEUE_SENDERS && all; i++)
        for (uint32_t n = 0; n < books.senders[i].sent && all; n++)
            all = (books.senders[i].marks[n] & (MSG_CONFIRMED | MSG_DELIVERED)) != MSG_CONFIRMED;
    pthread_mutex_unlock(&books.lock);
    return all;
}

// ---- a connection

static bool answered(amqp_connection_state_t c)
{
    return amqp_get_rpc_reply(c).reply_type == AMQP_RESPONSE_NORMAL;
}

static bool declare(amqp_connection_state_t c)
{
    amqp_table_entry_t levels = {.key = amqp_cstring_bytes("x-max-priority"),
                                 .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 4}};
    for (uint32_t i = 0; i < QUEUES; i++) {
        amqp_table_t arguments = {i == QUEUES - 1, &levels};
        (void)amqp_queue_declare(c, PUBLISHING, amqp_cstring_bytes(names[i]), 0, 1, 0, 0,
                                 arguments);
        if (!answered(c))
            return false;
    }
    return true;
}

static void hang_up(amqp_connection_state_t c)
{
    (void)amqp_destroy_connection(c);
}

// NULL: the server is not there (yet), or went away again.
static amqp_connection_state_t connect_once(void)
{
    struct timeval limit = {.tv_sec = 5};
    char host[64];
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(c);
    (void)snprintf(host, sizeof host, "%s", run->amqp);
    char *colon = strrchr(host, ':');
    if (colon == NULL)
        fail("no AMQP address: '%s'", host);
    *colon = '\0';
    bool up =
        amqp_socket_open_noblock(socket, host, atoi(colon + 1), &limit) == AMQP_STATUS_OK &&
        amqp_login(c, "/", 0, AMQP_DEFAULT_FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest")
                .reply_type == AMQP_RESPONSE_NORMAL;
    for (amqp_channel_t ch = PUBLISHING; up && ch <= MARKING; ch++) {
        (void)amqp_channel_open(c, ch);
        up = answered(c) && amqp_confirm_select(c, ch) != NULL;
    }
    if (up && declare(c))
        return c;
    hang_up(c);
    (void)usleep(20000);
    return NULL;
}

static bool publish(amqp_connection_state_t c, amqp_channel_t channel, uint32_t queue,
                    uint32_t sender, uint32_t number, uint32_t len)
{
    uint8_t body[BODY_MAX];
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG |
                                                    AMQP_BASIC_PRIORITY_FLAG,
                                          .delivery_mode = 2,
                                          .priority = (uint8_t)(number % 5)};
    value_fill(body, len, sender, number);
    return amqp_basic_publish(c, channel, amqp_empty_bytes, amqp_cstring_bytes(names[queue]), 0, 0,
                              &properties, (amqp_bytes_t){len, body}) == AMQP_STATUS_OK;
}

// ---- publishers

struct publisher {
    uint32_t index;
    uint64_t random;
    uint32_t window[WINDOW]; // numbers, by delivery tag
    uint64_t next_tag, confirmed_tag;
    bool open[WINDOW];
};

static void confirm_one(struct publisher *p, uint64_t tag, bool ack)
{
    uint32_t at = (uint32_t)(tag % WINDOW);
    if (!p->open[at])
        return;
    p->open[at] = false;
    if (ack)
        book_mark(p->index, p->window[at], MSG_CONFIRMED);
    else
        book_nacked();
}

// Every tag up to this one when `multiple`; then the oldest one still open moves on.
static void confirm(struct publisher *p, uint64_t tag, bool multiple, bool ack)
{
    if (tag >= p->next_tag || tag < p->confirmed_tag)
        return;
    for (uint64_t t = multiple ? p->confirmed_tag : tag; t <= tag; t++)
        confirm_one(p, t, ack);
    while (p->confirmed_tag < p->next_tag && !p->open[p->confirmed_tag % WINDOW])
        p->confirmed_tag++;
}

static bool confirms_read(struct publisher *p, amqp_connection_state_t c)
{
    struct timeval patience = {.tv_usec = 100000};
    amqp_frame_t frame;
    amqp_maybe_release_buffers(c);
    int status = amqp_simple_wait_frame_noblock(c, &frame, &patience);
    if (status == AMQP_STATUS_TIMEOUT)
        return true;
    if (status != AMQP_STATUS_OK || frame.frame_type != AMQP_FRAME_METHOD)
        return false;
    if (frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
        amqp_basic_ack_t *m = frame.payload.method.decoded;
        confirm(p, m->delivery_tag, m->multiple, true);
    } else if (frame.payload.method.id == AMQP_BASIC_NACK_METHOD) {
        amqp_basic_nack_t *m = frame.payload.method.decoded;
        confirm(p, m->delivery_tag, m->multiple, false);
    } else {
        return false;
    }
    return true;
}

static void publisher_run(struct publisher *p, amqp_connection_state_t c)
{
    memset(p->open, 0, sizeof p->open);
    p->next_tag = 1;
    p->confirmed_tag = 1;
    for (;;) {
        while (!publishers_end && p->next_tag - p->confirmed_tag < WINDOW) {
            uint32_t at = (uint32_t)(p->next_tag % WINDOW);
            uint64_t x = next_random(&p->random);
            uint32_t number = book_send(p->index);
            p->window[at] = number;
            p->open[at] = true;
            p->next_tag++;
            uint32_t len = 16 + (uint32_t)(x % (BODY_MAX - 16));
            if (!publish(c, PUBLISHING, p->index % QUEUES, p->index, number, len))
                return;
        }
        if (publishers_end && p->next_tag == p->confirmed_tag)
            return;
        if (!confirms_read(p, c))
            return;
    }
}

static void *publisher_main(void *arg)
{
    struct publisher *p = arg;
    while (!publishers_end) {
        amqp_connection_state_t c = connect_once();
        if (c == NULL)
            continue;
        publisher_run(p, c);
        hang_up(c);
    }
    free(p);
    return NULL;
}

// ---- consumers

struct delivery {
    uint64_t tag;
    uint32_t sender, number;
};
// The client library has no way to wait for one channel's frame while another's deliveries come, so
// these are put together here.
struct consumer {
    uint32_t queue, sender;
    struct delivery held[2 * PREFETCH + 1]; // not surely acknowledged, in order
    uint32_t held_count;
    bool settling;   // its marker is not confirmed yet: what was acknowledged before it is
    uint32_t marker; // held[0..settled_count)
    uint32_t settled_count;
    uint64_t tag; // of the delivery that is coming in
    bool redelivered;
    uint8_t body[BODY_MAX];
    size_t body_len, body_have;
};

static void take(struct consumer *s)
{
    struct delivery d = {.tag = s->tag};
    if (!value_right(s->body, s->body_len, &d.sender, &d.number) ||
        !book_delivered(d.sender, d.number, s->redelivered))
        fail("queue %s: a message of %zu bytes that nobody sent", names[s->queue], s->body_len);
    if (s->held_count - (s->settling ? s->settled_count : 0) == PREFETCH)
        fail("queue %s: more messages than the prefetch allows", names[s->queue]);
    s->held[s->held_count++] = d;
}

static bool take_method(struct consumer *s, const amqp_frame_t *frame)
{
    const amqp_method_t *m = &frame->payload.method;
    if (m->id == AMQP_BASIC_DELIVER_METHOD) {
        const amqp_basic_deliver_t *deliver = m->decoded;
        s->tag = deliver->delivery_tag;
        s->redelivered = deliver->redelivered != 0;
        return true;
    }
    if (frame->channel != MARKING || m->id != AMQP_BASIC_ACK_METHOD || !s->settling)
        return false;
    book_mark(s->sender, s->marker, MSG_CONFIRMED);
    for (uint32_t i = 0; i < s->settled_count; i++)
        book_mark(s->held[i].sender, s->held[i].number, MSG_SETTLED);
    s->held_count -= s->settled_count;
    memmove(s->held, s->held + s->settled_count, s->held_count * sizeof s->held[0]);
    s->settling = false;
    return true;
}

static bool take_frame(struct consumer *s, const amqp_frame_t *frame)
{
    if (frame->frame_type == AMQP_FRAME_METHOD)
        return take_method(s, frame);
    if (frame->frame_type == AMQP_FRAME_HEADER) {
        s->body_len = (size_t)frame->payload.properties.body_size;
        s->body_have = 0;
        return s->body_len > 0 && s->body_len <= sizeof s->body;
    }
    const amqp_bytes_t *part = &frame->payload.body_fragment;
    if (frame->frame_type != AMQP_FRAME_BODY || part->len > s->body_len - s->body_have)
        return false;
    memcpy(s->body + s->body_have, part->bytes, part->len);
    s->body_have += part->len;
    if (s->body_have == s->body_len)
        take(s);
    return true;
}

// What is acknowledged now is durable when a message to the same queue is, which comes behind it on
// the same connection.
static bool settle(struct consumer *s, amqp_connection_state_t c)
{
    s->settled_count = s->held_count;
    if (amqp_basic_ack(c, PUBLISHING, s->held[s->held_count - 1].tag, 1) != AMQP_STATUS_OK)
        return false;
    s->marker = book_send(s->sender);
    s->settling = true;
    return publish(c, MARKING, s->queue, s->sender, s->marker, 16);
}

static bool consumer_read(struct consumer *s, amqp_connection_state_t c)
{
    struct timeval patience = {.tv_usec = 100000};
    amqp_frame_t frame;
    amqp_maybe_release_buffers(c);
    int status = amqp_simple_wait_frame_noblock(c, &frame, &patience);
    if (status == AMQP_STATUS_TIMEOUT)
        return true;
    if (status != AMQP_STATUS_OK || !take_frame(s, &frame))
        return false;
    return s->settling || s->held_count < ACK_EVERY || settle(s, c);
}

static void consumer_run(struct consumer *s, amqp_connection_state_t c)
{
    s->held_count = 0;
    s->settling = false;
    (void)amqp_basic_qos(c, PUBLISHING, 0, PREFETCH, 0);
    if (!answered(c))
        return;
    (void)amqp_basic_consume(c, PUBLISHING, amqp_cstring_bytes(names[s->queue]), amqp_empty_bytes,
                             0, 0, 0, amqp_empty_table);
    for (bool up = answered(c); up && !consumers_end;)
        up = consumer_read(s, c);
}

static void *consumer_main(void *arg)
{
    struct consumer *s = arg;
    while (!consumers_end) {
        amqp_connection_state_t c = connect_once();
        if (c == NULL)
            continue;
        consumer_run(s, c);
        hang_up(c);
    }
    free(s);
    return NULL;
}

// ---- life

void queues_start(struct run *r)
{
    run = r;
    (void)signal(SIGPIPE, SIG_IGN); // the server dies on purpose
    for (uint32_t i = 0; i < QUEUE_PUBLISHERS; i++) {
        struct publisher *p = calloc(1, sizeof *p);
        p->index = i;
        p->random = r->seed * 37 + i + 1;
        pthread_create(&publishers[i], NULL, publisher_main, p);
    }
    for (uint32_t i = 0; i < QUEUE_CONSUMERS; i++) {
        struct consumer *s = calloc(1, sizeof *s);
        s->queue = i;
        s->sender = QUEUE_PUBLISHERS + i;
        pthread_create(&consumers[i], NULL, consumer_main, s);
    }
}

void queues_publish_end(void)
{
    publishers_end = true;
    for (uint32_t i = 0; i < QUEUE_PUBLISHERS; i++)
        pthread_join(publishers[i], NULL);
}

void queues_end(void)
{
    consumers_end = true;
    for (uint32_t i = 0; i < QUEUE_CONSUMERS; i++)
        pthread_join(consumers[i], NULL);
    for (uint32_t i = 0; i < QUEUE_SENDERS; i++)
        for (uint32_t n = 0; n < books.senders[i].sent; n++)
            books.totals.lost +=
                (books.senders[i].marks[n] & (MSG_CONFIRMED | MSG_DELIVERED)) == MSG_CONFIRMED;
}

struct queue_totals queues_totals(void)
{
    return books.totals;
}
