// SPDX-License-Identifier: Apache-2.0
//
// Queues on the node rig: declared, published to and consumed from, request by request, on whatever
// shard the test likes. One rig per process: callbacks have no argument of their own.
#ifndef WEIR_NODE_RIG_QUEUE_TEST_H
#define WEIR_NODE_RIG_QUEUE_TEST_H

#include "node/queues.h"
#include "node/rig_node_test.h"

RIG struct rig rig;
#define VHOST slice_cstr("/")

RIG void idle(int64_t ms)
{
    (void)sim_run_until(rig.sim, sim_now_ns(rig.sim) + ms * 1000000, NULL, NULL);
}

RIG void wait_for(bool (*fn)(void *arg), void *arg)
{
    int64_t limit = sim_now_ns(rig.sim) + 60 * INT64_C(1000000000);
    if (!fn(arg))
        (void)sim_run_until(rig.sim, limit, fn, arg);
    assert_true(fn(arg));
}

// ---- the catalogue

RIG void change_done(struct queue_change *change)
{
    (void)change;
    rig.done = true;
}

RIG void change_run(struct rig *r, struct shard *shard, void *arg)
{
    struct queue_change *change = arg;
    (void)r;
    change->done = change_done;
    queue_change_start(shard, change);
}

static const struct queue_settings plain = {
    .message_ttl_ms = -1, .expires_ms = -1, .max_length = -1, .max_length_bytes = -1};

RIG int declare(struct queue_facts facts, struct uuid *out_id)
{
    static struct queue_change change;
    change = (struct queue_change){.kind = QUEUE_DECLARE, .queue = facts, .owner = facts.owner};
    change.queue.vhost = VHOST;
    change.queue.levels = facts.levels == 0 ? 1 : facts.levels;
    rig_on_shard(&rig, 1, change_run, &change);
    if (change.err == 0 && out_id != NULL)
        *out_id = queue_by_name(node_shard(rig.node, 0), VHOST, facts.name)->id;
    return change.err;
}

RIG void declare_plain(const char *name, bool durable, struct uuid *out_id)
{
    const struct queue_facts facts = {
        .name = slice_cstr(name), .durable = durable, .settings = plain};
    assert_int_equal(declare(facts, out_id), 0);
}

RIG int delete_queue(const char *name)
{
    static struct queue_change change;
    change = (struct queue_change){.kind = QUEUE_DELETE};
    change.queue.vhost = VHOST;
    change.queue.name = slice_cstr(name);
    rig_on_shard(&rig, 2 % rig.shards, change_run, &change);
    return change.err;
}

// ---- publishing: `count` messages "PREFIX0", "PREFIX1", … in one turn, and a receipt for all

struct publishing {
    const char *exchange, *key, *prefix;
    uint32_t count, size; // size: at least so many bytes each
    uint8_t priority;
    bool transient, no_receipt;
    int64_t ttl_ms; // 0: none
    int64_t delay_ms;
    int err;
    uint32_t queues; // of the last one
    struct publish_receipt receipt;
    bool over;
};

RIG void receipt_done(struct publish_receipt *receipt)
{
    CONTAINER_OF(receipt, struct publishing, receipt)->over = true;
    rig.done = true;
}

RIG int publish_one(struct shard *shard, struct publishing *p, uint32_t number)
{
    char *text = mem_zalloc(32 + p->size);
    (void)snprintf(text, 32, "%s%u", p->prefix, number);
    size_t len = strlen(text) < p->size ? p->size : strlen(text);
    int64_t now_ms = io_wall_ms(shard_io(shard));
    const struct publish publish = {
        .vhost = VHOST,
        .message = {.exchange = slice_cstr(p->exchange != NULL ? p->exchange : ""),
                    .routing_key = slice_cstr(p->key),
                    .body = slice_of(text, len),
                    .published_ms = now_ms,
                    .expires_ms = p->ttl_ms > 0 ? now_ms + p->ttl_ms : -1},
        .priority = p->priority,
        .persistent = !p->transient,
        .delay_ms = p->delay_ms,
    };
    int err = publish_add(shard, &publish, p->no_receipt ? NULL : &p->receipt, &p->queues);
    mem_free(text);
    return err;
}

RIG void publish_run(struct rig *r, struct shard *shard, void *arg)
{
    struct publishing *p = arg;
    p->receipt = (struct publish_receipt){.done = receipt_done};
    p->err = 0;
    p->over = false;
    for (uint32_t i = 0; i < p->count && p->err == 0; i++)
        p->err = publish_one(shard, p, i);
    if (p->receipt.flights > 0)
        return;
    p->over = true;
    r->done = true;
}

// Until all is confirmed; the first error of any.
RIG int publish(uint32_t shard, struct publishing *p)
{
    rig_on_shard(&rig, shard, publish_run, p);
    return p->err != 0 ? p->err : p->receipt.err;
}

RIG void publish_texts(uint32_t shard, const char *queue, const char *prefix, uint32_t count)
{
    struct publishing p = {.key = queue, .prefix = prefix, .count = count};
    assert_int_equal(publish(shard, &p), 0);
    assert_int_equal(p.queues, 1);
}

// ---- consuming

struct got {
    char text[24], key[24], exchange[24];
    struct uuid queue;
    int32_t level;
    int64_t offset;
    bool redelivered;
    uint32_t deaths, headers;
};

#define GOT_MAX 512
struct taker {
    // in
    uint32_t shard, credit;
    struct uuid queue;
    uint64_t holder, owner;
    bool ack, no_ack, gated, exclusive;
    uint32_t grant; // what it answers `ready` with
    // out
    struct queue_subscription *sub;
    struct shard *at;
    int err;
    bool attached, cancelled, left;
    uint32_t unused;
    struct got got[GOT_MAX];
    uint32_t count, wanted;
};

RIG void got_note(struct got *got, const struct uuid *queue, const struct queue_delivery *d)
{
    const struct message *m = &d->message;
    struct cursor deaths = message_deaths(m);
    struct message_death death;
    *got = (struct got){.queue = *queue,
                        .level = d->level,
                        .offset = d->offset,
                        .redelivered = d->redelivered,
                        .headers = m->headers_count};
    (void)snprintf(got->text, sizeof got->text, "%.*s", (int)m->body.len,
                   (const char *)m->body.data);
    (void)snprintf(got->key, sizeof got->key, "%.*s", (int)m->routing_key.len,
                   (const char *)m->routing_key.data);
    (void)snprintf(got->exchange, sizeof got->exchange, "%.*s", (int)m->exchange.len,
                   (const char *)m->exchange.data);
    while (message_death_next(&deaths, &death))
        got->deaths++;
}

RIG void taker_attached(void *arg, int err)
{
    struct taker *t = arg;
    t->attached = true;
    t->err = err;
    rig.done = true;
}

RIG void taker_deliver(void *arg, const struct queue_delivery *deliveries, uint32_t count)
{
    struct taker *t = arg;
    assert_true(t->attached);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(t->count < GOT_MAX);
        got_note(&t->got[t->count++], &t->queue, &deliveries[i]);
        if (!t->ack)
            continue;
        queue_settle_at(t->at, &t->queue, t->holder, deliveries[i].level, deliveries[i].offset,
                        QUEUE_ACKNOWLEDGE);
    }
    if (t->ack)
        queue_subscription_set_credit(t->sub, t->credit);
}

RIG void taker_ready(void *arg)
{
    struct taker *t = arg;
    queue_subscription_grant(t->sub, t->grant);
}

RIG void taker_unused(void *arg, uint32_t credit)
{
    ((struct taker *)arg)->unused += credit;
}

RIG void taker_cancelled(void *arg)
{
    ((struct taker *)arg)->cancelled = true;
}

RIG void taker_left(void *arg)
{
    ((struct taker *)arg)->left = true;
    rig.done = true;
}

RIG void taker_run(struct rig *r, struct shard *shard, void *arg)
{
    struct taker *t = arg;
    (void)r;
    t->at = shard;
    if (t->holder == 0)
        t->holder = node_holder_new(shard);
    const struct queue_subscription_options o = {
        .queue = t->queue,
        .holder = t->holder,
        .owner = t->owner,
        .exclusive = t->exclusive,
        .no_ack = t->no_ack,
        .gated = t->gated,
        .credit = t->credit,
        .arg = t,
        .attached = taker_attached,
        .deliver = taker_deliver,
        .ready = taker_ready,
        .unused = taker_unused,
        .cancelled = taker_cancelled,
    };
    queue_subscribe(shard, &o, &t->sub);
}

RIG int taker_start(struct taker *t)
{
    rig_on_shard(&rig, t->shard, taker_run, t);
    return t->err;
}

RIG void taker_stop_run(struct rig *r, struct shard *shard, void *arg)
{
    struct taker *t = arg;
    (void)r;
    (void)shard;
    queue_unsubscribe(t->sub, taker_left, t);
}

RIG void taker_stop(struct taker *t)
{
    rig_on_shard(&rig, t->shard, taker_stop_run, t);
    assert_true(t->left);
}

RIG bool taker_has(void *arg)
{
    const struct taker *t = arg;
    return t->count >= t->wanted;
}

RIG void taker_wait(struct taker *t, uint32_t wanted)
{
    t->wanted = wanted;
    wait_for(taker_has, t);
    assert_int_equal(t->count, wanted);
}

// ---- settling what a taker has got: numbers from..to, the last one not included

struct settling {
    struct taker *taker;
    uint32_t from, to;
    enum queue_outcome outcome;
};

RIG void settle_run(struct rig *r, struct shard *shard, void *arg)
{
    const struct settling *s = arg;
    for (uint32_t i = s->from; i < s->to; i++) {
        const struct got *g = &s->taker->got[i];
        queue_settle_at(shard, &g->queue, s->taker->holder, g->level, g->offset, s->outcome);
    }
    r->done = true;
}

RIG void settle(struct taker *t, uint32_t from, uint32_t to, enum queue_outcome outcome)
{
    struct settling s = {t, from, to, outcome};
    rig_on_shard(&rig, t->shard, settle_run, &s);
}

// ---- asking

RIG void ask_done(struct queue_ask *ask)
{
    (void)ask;
    rig.done = true;
}

RIG void ask_run(struct rig *r, struct shard *shard, void *arg)
{
    struct queue_ask *ask = arg;
    (void)r;
    ask->done = ask_done;
    queue_ask_start(shard, ask);
}

RIG struct queue_stats stats_of(const struct uuid *id)
{
    static struct queue_ask ask;
    idle(20); // what other shards have said arrives
    ask = (struct queue_ask){.id = *id};
    rig_on_shard(&rig, 1, ask_run, &ask);
    assert_int_equal(ask.err, 0);
    return ask.stats;
}

RIG void expect_counts(const struct uuid *id, uint64_t ready, uint64_t leased)
{
    struct queue_stats stats = stats_of(id);
    assert_int_equal(stats.ready, ready);
    assert_int_equal(stats.leased, leased);
}

RIG void expect_texts(const struct taker *t, uint32_t from, const char *prefix, uint32_t first,
                      uint32_t count)
{
    char text[24];
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(text, sizeof text, "%s%u", prefix, first + i);
        assert_string_equal(t->got[from + i].text, text);
    }
}

#endif
