// SPDX-License-Identifier: Apache-2.0
//
// The ladder at work. Each rung has one reader, on its own shard: a consumer whose credit keeps
// what it holds within bounds, a heap of what it holds by the time of the next look, and those that
// are on their way to the next rung or to their exchange. A reader goes on in a turn of its own,
// posted or by timer, never from inside the room's.
#include "node/queue_delay.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/queues_int.h"

#define HEADER_DELAY   "weir.delay"
#define LOOK_MS        10000 // the wall clock may have jumped meanwhile
#define RETRY_MS       100
#define ROUND_MAX      256U
#define MOVING_MAX     1024U  // of a reader
#define NEAR_MAX       50000U // messages that rung 0 holds
#define NEAR_BYTES_MAX (8U << 20)
#define FAR_MAX        1024U // and those that the others hold
#define FAR_BYTES_MAX  (1U << 20)
#define LARGE_BYTES    (64U << 10) // a message, before one is known

struct delayed {           // a message that a reader holds
    struct heap_node look; // reader.waiting
    struct list link;      // reader.moving
    struct delay_reader *reader;
    struct blob *blob;
    struct message message;
    int64_t offset;
    bool broken; // nothing of ours
    struct publish_receipt receipt;
};

struct delay_reader {
    struct queue_consumer consumer;
    struct delays *delays;
    uint32_t rung;
    char name[12];
    struct heap waiting;
    struct list moving;
    uint32_t moving_count, count;
    size_t held_bytes, largest; // of the messages; the largest since it was idle
    struct io_timer timer;
    struct io_msg wake_msg;
    bool wake_posted;
};

struct ladder { // being made
    struct list link;
    uint32_t left;
    int err;
    void (*done)(void *arg, int err);
    void *arg;
    struct rung_making {
        struct ladder *ladder;
        char name[12];
        struct queue_change change;
    } rungs[DELAY_RUNGS];
};

static const struct queue_facts *rung_facts(struct shard *shard, uint32_t rung)
{
    char name[12];
    (void)snprintf(name, sizeof name, "%u", rung);
    return queue_by_name(shard, slice_cstr(DELAY_VHOST), slice_cstr(name));
}

// ---- onto the ladder

// The message as it waits: what publishing needs in a header of its own, no TTL, no delay.
static int waiting_make(struct delays *d, const struct publish *publish, int64_t due_ms,
                        struct message *out)
{
    const struct message *m = &publish->message;
    buf_clear(&d->note);
    buf_clear(&d->headers);
    delay_note_put(publish, due_ms, &d->note);
    message_header_put(&d->headers, slice_cstr(HEADER_DELAY), buf_slice(&d->note));
    buf_put_slice(&d->headers, m->headers);
    if (d->note.err != 0 || d->headers.err != 0)
        return ERR_MESSAGE_TOO_LARGE;
    *out = *m;
    out->expires_ms = -1;
    out->headers = buf_slice(&d->headers);
    out->headers_count = m->headers_count + 1;
    return 0;
}

int delay_add(struct shard *shard, const struct publish *publish, struct publish_receipt *receipt)
{
    const struct message *m = &publish->message;
    const struct exchange *x = exchange_find(shard_exchanges(shard), publish->vhost, m->exchange);
    if (x == NULL)
        return ERR_NOT_FOUND;
    if (x->internal && !publish->internal)
        return ERR_ACCESS_REFUSED;
    const struct queue_facts *rung = rung_facts(shard, delay_rung(publish->delay_ms));
    if (rung == NULL)
        return ERR_UNSUPPORTED;
    struct publish waiting = {.persistent = publish->persistent};
    int err = waiting_make(&shard->queues->delays, publish, m->published_ms + publish->delay_ms,
                           &waiting.message);
    return err != 0 ? err : publish_to(shard, &waiting, rung, receipt);
}

// ---- what a reader holds

static void reader_wake(struct delay_reader *r)
{
    if (r->wake_posted || r->delays->stopped)
        return;
    r->wake_posted = true;
    io_post(r->delays->shard->io, &r->wake_msg);
}

static size_t delayed_bytes(const struct delayed *d)
{
    return message_size(&d->message);
}

static void delayed_free(struct delayed *d)
{
    struct delay_reader *r = d->reader;
    ASSERT(r->count > 0);
    ASSERT(r->held_bytes >= delayed_bytes(d));
    r->count--;
    r->held_bytes -= delayed_bytes(d);
    if (r->count == 0)
        r->largest = 0;
    blob_unref(d->blob);
    mem_free(d);
}

static void delayed_settle(struct delayed *d)
{
    struct queue_consumer *c = &d->reader->consumer;
    if (c->queue != NULL)
        queue_settle(c->queue, c->holder, 0, d->offset, QUEUE_ACKNOWLEDGE);
    delayed_free(d);
}

static void look_at(struct delayed *d, int64_t at_ms)
{
    heap_push(&d->reader->waiting, &d->look, at_ms);
}

// The note of a message that waits; its own headers are what follows.
static int delayed_note(struct message *m, struct delay_note *out)
{
    struct cursor in = cursor_of(m->headers);
    int32_t len = cursor_varint32(&in);
    struct slice name = cursor_bytes(&in, len > 0 ? (size_t)len : 0);
    len = cursor_varint32(&in);
    struct slice value = cursor_bytes(&in, len > 0 ? (size_t)len : 0);
    if (in.err != 0 || !slice_eq_cstr(name, HEADER_DELAY) || m->headers_count == 0)
        return ERR_MALFORMED;
    m->headers = slice_of(in.pos, cursor_left(&in));
    m->headers_count--;
    return delay_note_get(value, out);
}

static int64_t first_look(const struct delay_reader *r, const struct delayed *d)
{
    struct message m = d->message;
    struct delay_note note;
    if (delayed_note(&m, &note) != 0)
        return 0;
    if (r->rung == 0)
        return note.due_ms;
    int64_t wait_ms = INT64_C(1000) << (r->rung - 1);
    int64_t look_ms = m.published_ms < INT64_MAX - wait_ms ? m.published_ms + wait_ms : 0;
    return look_ms < note.due_ms ? look_ms : note.due_ms;
}

static void reader_deliver(struct queue_consumer *consumer, struct queue_delivery *deliveries,
                           uint32_t count)
{
    struct delay_reader *r = CONTAINER_OF(consumer, struct delay_reader, consumer);
    for (uint32_t i = 0; i < count; i++) {
        struct delayed *d = mem_zalloc(sizeof *d);
        d->reader = r;
        d->blob = deliveries[i].blob;
        d->message = deliveries[i].message;
        d->offset = deliveries[i].offset;
        if (d->message.routing_key.data == NULL) // left out: it is the rung's own name
            d->message.routing_key = slice_cstr(r->name);
        r->count++;
        r->held_bytes += delayed_bytes(d);
        r->largest = r->largest > delayed_bytes(d) ? r->largest : delayed_bytes(d);
        look_at(d, first_look(r, d));
    }
    reader_wake(r);
}

// ---- on its way

static void moved(struct publish_receipt *receipt)
{
    struct delayed *d = CONTAINER_OF(receipt, struct delayed, receipt);
    struct delay_reader *r = d->reader;
    ASSERT(r->moving_count > 0);
    list_remove(&d->link);
    r->moving_count--;
    if (receipt->err == 0)
        delayed_settle(d);
    else
        look_at(d, io_wall_ms(r->delays->shard->io) + RETRY_MS);
    reader_wake(r);
}

static int climb(struct delayed *d, int64_t left_ms, int64_t now_ms)
{
    struct shard *shard = d->reader->delays->shard;
    const struct queue_facts *rung = rung_facts(shard, delay_rung(left_ms));
    struct publish p = {.message = d->message, .persistent = true};
    p.message.published_ms = now_ms; // the wait on the new rung begins
    return rung == NULL ? ERR_AGAIN : publish_to(shard, &p, rung, &d->receipt);
}

static int arrive(struct delayed *d, const struct delay_note *note, const struct message *message,
                  int64_t now_ms)
{
    struct exchange_header *headers = mem_alloc((note->headers_count + 1U) * sizeof headers[0]);
    delay_note_headers(note, headers);
    struct publish p = {
        .vhost = note->vhost,
        .message = *message,
        .priority = note->priority,
        .persistent = note->persistent,
        .internal = note->internal,
        .headers = note->headers_count > 0 ? headers : NULL,
        .headers_count = note->headers_count,
        .extra_keys = note->keys,
        .extra_keys_count = note->keys_count,
    };
    p.message.published_ms = now_ms;
    if (note->ttl_ms >= 0)
        p.message.expires_ms = note->ttl_ms < INT64_MAX - now_ms ? now_ms + note->ttl_ms : -1;
    uint32_t queues = 0;
    int err = publish_add(d->reader->delays->shard, &p, &d->receipt, &queues);
    mem_free(headers);
    return err;
}

// Its look has come. Nobody hears of a message whose exchange is gone, or that no queue takes.
static void delayed_move(struct delayed *d, int64_t now_ms)
{
    struct delay_reader *r = d->reader;
    struct message m = d->message;
    struct delay_note note;
    d->receipt = (struct publish_receipt){.done = moved};
    if (delayed_note(&m, &note) != 0) {
        delayed_settle(d);
        return;
    }
    int err = note.due_ms > now_ms ? climb(d, note.due_ms - now_ms, now_ms)
                                   : arrive(d, &note, &m, now_ms);
    if (d->receipt.flights > 0) {
        d->receipt.err = err; // of some copies; it is tried again, and some have it twice
        list_push_back(&r->moving, &d->link);
        r->moving_count++;
    } else if (err == 0 || err == ERR_NOT_FOUND || err == ERR_ACCESS_REFUSED) {
        delayed_settle(d);
    } else {
        look_at(d, now_ms + RETRY_MS);
    }
}

// ---- a reader goes on

static void credit_set(struct delay_reader *r)
{
    size_t bytes = r->rung == 0 ? NEAR_BYTES_MAX : FAR_BYTES_MAX;
    uint32_t most = r->rung == 0 ? NEAR_MAX : FAR_MAX;
    uint32_t credit = 0;
    if (r->held_bytes < bytes && r->count < most) {
        size_t fit = (bytes - r->held_bytes) / (r->largest > 0 ? r->largest : LARGE_BYTES);
        uint32_t left = most - r->count < ROUND_MAX ? most - r->count : ROUND_MAX;
        credit = fit == 0 ? 1 : fit < left ? (uint32_t)fit : left;
    }
    queue_consumer_set_credit(&r->consumer, credit);
}

static void timer_set(struct delay_reader *r, int64_t now_ms)
{
    struct io *io = r->delays->shard->io;
    const struct heap_node *first = heap_min(&r->waiting);
    io_timer_stop(io, &r->timer);
    if (first == NULL || r->delays->stopped)
        return;
    int64_t wait_ms = first->key > now_ms ? first->key - now_ms : 0;
    if (wait_ms > LOOK_MS)
        wait_ms = LOOK_MS;
    io_timer_start(io, &r->timer, io_now_ns(io) + wait_ms * 1000000);
}

static void reader_go(struct delay_reader *r)
{
    int64_t now_ms = io_wall_ms(r->delays->shard->io);
    if (r->delays->stopped)
        return;
    for (uint32_t i = 0; i < ROUND_MAX && r->moving_count < MOVING_MAX; i++) {
        struct heap_node *first = heap_min(&r->waiting);
        if (first == NULL || first->key > now_ms)
            break;
        heap_remove(&r->waiting, first);
        delayed_move(CONTAINER_OF(first, struct delayed, look), now_ms);
    }
    credit_set(r);
    if (r->moving_count < MOVING_MAX) // else what comes home goes on
        timer_set(r, now_ms);
}

static void reader_woken(struct io_msg *msg)
{
    struct delay_reader *r = CONTAINER_OF(msg, struct delay_reader, wake_msg);
    r->wake_posted = false;
    reader_go(r);
}

static void reader_timer(struct io_timer *timer)
{
    reader_go(CONTAINER_OF(timer, struct delay_reader, timer));
}

// ---- life

static void reader_clear(struct delay_reader *r)
{
    for (struct heap_node *n; (n = heap_min(&r->waiting)) != NULL;) {
        heap_remove(&r->waiting, n);
        delayed_free(CONTAINER_OF(n, struct delayed, look));
    }
}

// Deleted: nothing deletes a rung but the end of the room.
static void reader_cancelled(struct queue_consumer *consumer)
{
    reader_clear(CONTAINER_OF(consumer, struct delay_reader, consumer));
}

static struct delay_reader *reader_create(struct delays *delays, uint32_t rung)
{
    struct delay_reader *r = mem_zalloc(sizeof *r);
    r->delays = delays;
    r->rung = rung;
    (void)snprintf(r->name, sizeof r->name, "%u", rung);
    heap_init(&r->waiting);
    list_init(&r->moving);
    io_timer_init(&r->timer, reader_timer);
    r->wake_msg.run = reader_woken;
    r->consumer.holder = node_holder_new(delays->shard);
    r->consumer.exclusive = true;
    r->consumer.deliver = reader_deliver;
    r->consumer.cancelled = reader_cancelled;
    return r;
}

void delays_opened(struct delays *d, const struct queue_facts *facts)
{
    if (!facts->hidden)
        return;
    struct queue *queue = queue_by_id(d->shard->queues->room, &facts->id);
    ASSERT(queue != NULL);
    for (uint32_t i = 0; i < DELAY_RUNGS; i++) {
        const struct queue_facts *rung = rung_facts(d->shard, i);
        if (rung == NULL || !uuid_eq(&rung->id, &facts->id))
            continue;
        ASSERT(d->readers[i] == NULL);
        d->readers[i] = reader_create(d, i);
        int err = queue_consumer_attach(queue, &d->readers[i]->consumer);
        ASSERT(err == 0);
        credit_set(d->readers[i]);
    }
}

void delays_init(struct delays *d, struct shard *shard)
{
    d->shard = shard;
    list_init(&d->preparing);
    buf_init(&d->note, 1U << 20);
    buf_init(&d->headers, 2U << 20);
}

void delays_start(struct delays *d)
{
    for (uint32_t i = 0; i < DELAY_RUNGS; i++) {
        const struct queue_facts *facts = rung_facts(d->shard, i);
        if (facts != NULL && queue_owner(d->shard->node, &facts->id) == d->shard->index)
            delays_opened(d, facts);
    }
}

void delays_stop(struct delays *d)
{
    d->stopped = true;
    for (uint32_t i = 0; i < DELAY_RUNGS; i++)
        if (d->readers[i] != NULL)
            io_timer_stop(d->shard->io, &d->readers[i]->timer);
}

void delays_fini(struct delays *d)
{
    for (uint32_t i = 0; i < DELAY_RUNGS; i++) {
        struct delay_reader *r = d->readers[i];
        if (r == NULL)
            continue;
        reader_clear(r);
        LIST_FOR_SAFE (it, &r->moving)
            delayed_free(CONTAINER_OF(it, struct delayed, link));
        ASSERT(r->count == 0);
        heap_fini(&r->waiting);
        mem_free(r);
    }
    LIST_FOR_SAFE (it, &d->preparing)
        mem_free(CONTAINER_OF(it, struct ladder, link));
    buf_fini(&d->note);
    buf_fini(&d->headers);
}

// ---- making the ladder

static void rung_made(struct queue_change *change)
{
    struct ladder *l = CONTAINER_OF(change, struct rung_making, change)->ladder;
    if (l->err == 0)
        l->err = change->err;
    if (--l->left > 0)
        return;
    void (*done)(void *arg, int err) = l->done;
    void *arg = l->arg;
    int err = l->err;
    list_remove(&l->link);
    mem_free(l);
    done(arg, err);
}

bool delays_ready(struct shard *shard)
{
    for (uint32_t i = 0; i < DELAY_RUNGS; i++)
        if (rung_facts(shard, i) == NULL)
            return false;
    return true;
}

void delays_prepare(struct shard *shard, void (*done)(void *arg, int err), void *arg)
{
    struct ladder *l = mem_zalloc(sizeof *l);
    ASSERT(shard->index == 0);
    l->left = DELAY_RUNGS;
    l->done = done;
    l->arg = arg;
    list_push_back(&shard->queues->delays.preparing, &l->link);
    for (uint32_t i = 0; i < DELAY_RUNGS; i++) {
        struct rung_making *rung = &l->rungs[i];
        rung->ladder = l;
        (void)snprintf(rung->name, sizeof rung->name, "%u", i);
        rung->change = (struct queue_change){
            .kind = QUEUE_DECLARE,
            .internal = true,
            .queue = {.vhost = slice_cstr(DELAY_VHOST),
                      .name = slice_cstr(rung->name),
                      .durable = true,
                      .levels = 1,
                      .arguments = slice_cstr(""),
                      .settings = {.message_ttl_ms = -1,
                                   .expires_ms = -1,
                                   .max_length = -1,
                                   .max_length_bytes = -1}},
            .done = rung_made,
        };
        queue_change_start(shard, &rung->change);
    }
}
