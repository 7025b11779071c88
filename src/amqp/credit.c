// SPDX-License-Identifier: Apache-2.0
//
// How much a consumer may be given, and basic.qos (AMQP 0-9-1 section 1.8.3.1).
//
// Two limits may hold, both on what is not acknowledged: one of each consumer (basic.qos), one of
// all consumers of the channel together (basic.qos with global). Both take effect also for
// consumers that are there: clients raise their prefetch while they work, and RabbitMQ's rule that
// the first touches only later consumers has no use that anybody relies on. Consumers without
// acknowledgement know no limit but the WINDOW, which keeps what is on its way to a slow client
// bounded: about a megabyte, and nothing more once the connection's output is full.
//
// A consumer's CREDIT is what its queue may still send it. As long as one consumer alone shares the
// channel's limit, the limit is simply a part of its credit. Where several share it, none of them
// can be lent credit without taking it from the others: they are GATED, say when there is something
// for them, and are then granted what the channel still allows; what is not used comes back.
#include "amqp/consumer.h"

static uint32_t less(uint32_t limit, uint32_t used)
{
    return limit > used ? limit - used : 0;
}

// What its limits leave, whatever it has been given before.
static uint32_t allowed(const struct amqp_consumer *c)
{
    const struct amqp_session *s = c->source.session;
    uint32_t n = UINT32_MAX;
    if (c->no_ack) // counts for no limit, but is given nothing while the channel is at its own
        return s->prefetch_all > 0 && s->held >= s->prefetch_all ? 0 : n;
    if (s->prefetch > 0)
        n = less(s->prefetch, c->source.unacked);
    if (s->prefetch_all > 0 && !c->gated && less(s->prefetch_all, s->held) < n)
        n = less(s->prefetch_all, s->held);
    return n;
}

// What may be on its way.
static uint32_t window(const struct amqp_consumer *c)
{
    const struct amqp_session *s = c->source.session;
    if (!list_empty(&s->starved) || amqp_conn_room(s->ch->conn) == 0)
        return 0;
    uint32_t n = AMQP_WINDOW_BYTES / (c->size + 1);
    return n < 1 ? 1 : n < AMQP_WINDOW_MESSAGES ? n : AMQP_WINDOW_MESSAGES;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

// ---- gated consumers

static void grant_to(struct amqp_consumer *c, uint32_t n)
{
    ASSERT(c->gated);
    list_remove(&c->asking);
    c->credit += n;
    c->source.session->lent += n;
    queue_subscription_grant(c->sub, n);
}

// In the order in which they asked, as far as the channel's limit goes.
static void grant_all(struct amqp_session *s)
{
    LIST_FOR_SAFE (it, &s->asking) {
        struct amqp_consumer *c = CONTAINER_OF(it, struct amqp_consumer, asking);
        uint32_t left = less(s->prefetch_all, s->held + s->lent);
        uint32_t n = smaller(left, smaller(allowed(c), window(c)));
        if (left == 0)
            break;
        if (n > 0)
            grant_to(c, n);
    }
}

void amqp_credit_ready(struct amqp_consumer *c)
{
    struct amqp_session *s = c->source.session;
    if (!c->gated)
        return; // it was when its queue asked
    if (list_empty(&c->asking))
        list_push_back(&s->asking, &c->asking);
    grant_all(s);
}

void amqp_credit_unused(struct amqp_consumer *c, uint32_t credit)
{
    struct amqp_session *s = c->source.session;
    uint32_t back = smaller(credit, c->credit); // less, when it was set while this was on its way
    c->credit -= back;
    if (c->gated) {
        ASSERT(back <= s->lent);
        s->lent -= back;
        grant_all(s);
    } else {
        amqp_credit_update(c);
    }
}

static bool wants_gate(const struct amqp_consumer *c)
{
    const struct amqp_session *s = c->source.session;
    return s->prefetch_all > 0 && s->limited > 1 && !c->no_ack;
}

// What it has been given counts as lent while it is gated; what it does not use comes back in
// either direction.
static void regate(struct amqp_consumer *c)
{
    struct amqp_session *s = c->source.session;
    bool gated = wants_gate(c);
    if (gated == c->gated || c->state != CONSUMER_OPEN)
        return;
    c->gated = gated;
    if (gated)
        s->lent += c->credit;
    else
        s->lent -= c->credit;
    list_remove(&c->asking);
    queue_subscription_set_gated(c->sub, gated);
}

// ---- others

uint32_t amqp_credit_first(struct amqp_consumer *c)
{
    c->gated = wants_gate(c);
    c->credit = c->gated ? 0 : smaller(allowed(c), window(c));
    return c->credit;
}

static void stop(struct amqp_consumer *c)
{
    if (c->state != CONSUMER_OPEN || c->gated || c->credit == 0)
        return;
    queue_subscription_set_credit(c->sub, 0);
    c->credit = 0;
}

// Small credits are topped up one by one, those that only the window bounds by halves. Without room
// what is lent is taken back: of many consumers each may have been lent a window while there was
// nothing for it.
void amqp_credit_update(struct amqp_consumer *c)
{
    if (c->state != CONSUMER_OPEN)
        return;
    if (c->gated) {
        if (!list_empty(&c->asking))
            grant_all(c->source.session);
        return;
    }
    uint32_t may = allowed(c), room = window(c);
    uint32_t target = smaller(may, room);
    if (room == 0)
        stop(c);
    if (target <= c->credit || (room < may && c->credit > room / 2))
        return;
    queue_subscription_set_credit(c->sub, target);
    c->credit = target;
}

// It is attached: what has changed meanwhile counts.
void amqp_credit_attached(struct amqp_consumer *c)
{
    regate(c);
    amqp_credit_update(c);
}

// Limits were lowered, maybe.
static void reset(struct amqp_consumer *c)
{
    uint32_t may = allowed(c);
    if (c->state != CONSUMER_OPEN)
        return;
    if (!c->gated && may < c->credit) {
        queue_subscription_set_credit(c->sub, may);
        c->credit = may;
    }
    amqp_credit_update(c);
}

static void each(struct amqp_session *s, void (*fn)(struct amqp_consumer *c))
{
    MAP_FOR_SAFE (it, &s->consumers)
        fn(CONTAINER_OF(it, struct amqp_consumer, node.order));
}

void amqp_credit_update_all(struct amqp_session *s)
{
    each(s, amqp_credit_update);
}

void amqp_credit_reset_all(struct amqp_session *s)
{
    each(s, regate);
    each(s, reset);
}

void amqp_credit_starve(struct amqp_session *s)
{
    amqp_session_starve(s);
    each(s, stop);
}

void amqp_credit_used(struct amqp_consumer *c, uint32_t count, size_t bytes)
{
    struct amqp_session *s = c->source.session;
    uint32_t used = smaller(count, c->credit);
    c->credit -= used;
    if (c->gated)
        s->lent -= smaller(used, s->lent);
    if (count > 0) {
        size_t mean = bytes / count;
        c->size = (uint32_t)(((uint64_t)c->size * 7 + (mean < UINT32_MAX ? mean : UINT32_MAX)) / 8);
    }
    amqp_credit_update(c);
}

// A consumer ends, and takes its credit along.
void amqp_credit_forget(struct amqp_consumer *c)
{
    struct amqp_session *s = c->source.session;
    list_remove(&c->asking);
    if (c->gated)
        s->lent -= c->credit;
    c->credit = 0;
    c->gated = false;
}

// Deliveries have been settled: their consumers may have more, and those that share the channel's
// limit with them.
void amqp_credit_settled(struct amqp_session *s)
{
    struct list *it;
    while ((it = list_pop_front(&s->touched)) != NULL)
        amqp_credit_update(CONTAINER_OF(it, struct amqp_consumer, touched));
    if (s->prefetch_all > 0 && s->limited > 1)
        grant_all(s);
    if (s->prefetch_all > 0 && (s->limited <= 1 || s->consumers.count > s->limited))
        amqp_credit_update_all(s);
}

// ---- basic.qos
//
// A lower limit holds at once. A higher one holds QOS_RAISE_NS after qos-ok. Celery raises its
// prefetch with every task that it parks, and its event loop (kombu's hub, all releases), if what
// the raise brings is there by the time it has read qos-ok, goes to sleep for up to two seconds
// with its window full before it raises again. In RabbitMQ limiter, queue and channel are processes
// and take longer than that, most of the time; a few milliseconds cost nobody anything.
#define QOS_RAISE_NS (5 * INT64_C(1000000))

static bool looser(uint16_t a, uint16_t b) // 0: no limit
{
    return b != 0 && (a == 0 || a > b);
}

void amqp_credit_widen(struct io_timer *timer)
{
    struct amqp_session *s = CONTAINER_OF(timer, struct amqp_session, widen);
    s->prefetch = s->asked;
    s->prefetch_all = s->asked_all;
    amqp_credit_reset_all(s);
}

void amqp_basic_qos_handle(struct amqp_channel *ch, const struct amqp_basic_qos *m)
{
    struct amqp_session *s = ch->session;
    struct io *io = s->lobby->door->io;
    if (m->prefetch_size != 0) {
        amqp_fail(ch, AMQP_NOT_IMPLEMENTED, AMQP_BASIC_QOS, "prefetch_size!=0 (%u)",
                  m->prefetch_size);
        return;
    }
    *(m->global ? &s->asked_all : &s->asked) = m->prefetch_count;
    bool raised = looser(s->asked, s->prefetch) || looser(s->asked_all, s->prefetch_all);
    if (looser(s->prefetch, s->asked) || s->consumers.count == 0)
        s->prefetch = s->asked;
    if (looser(s->prefetch_all, s->asked_all) || s->consumers.count == 0)
        s->prefetch_all = s->asked_all;
    amqp_credit_reset_all(s);
    if (raised && s->consumers.count > 0)
        io_timer_start(io, &s->widen, io_now_ns(io) + QOS_RAISE_NS);
    amqp_send(ch, AMQP_BASIC_QOS_OK, &(struct amqp_basic_qos_ok){0});
}
