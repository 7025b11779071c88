// SPDX-License-Identifier: Apache-2.0
//
// Consuming from queues wherever they live. A connection's shard asks (subscribe, credit, settle,
// get, …) by mail, and the queue's shard answers by mail; to its own shard a queue answers at once:
// that comes from a turn's end, or from the catalogue, never from inside a call of the asker's.
//
// A subscription is the connection's shard's, but its `consumer` and `sent` are touched by the
// queue's shard alone, from SUBSCRIBE until it has answered UNSUBSCRIBE:
//
//   ASKED ──(answer)──> ATTACHED ──(unsubscribe)──> LEAVING ──(answer)──> freed
//     └──────────────────(unsubscribe)────────────────^
#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/queues_int.h"

enum subscription_state { SUB_ASKED, SUB_ATTACHED, SUB_LEAVING, SUB_STATES };

static const uint8_t subscription_edges[SUB_STATES] = {
    [SUB_ASKED] = 1U << SUB_ATTACHED | 1U << SUB_LEAVING,
    [SUB_ATTACHED] = 1U << SUB_LEAVING,
    [SUB_LEAVING] = 0,
};

struct queue_subscription {
    struct list link; // node_queues.subscriptions of `from`
    struct shard *from, *to;
    struct queue_subscription_options o;
    enum subscription_state state;
    uint64_t seen; // deliveries, and credit given back, that have arrived
    void (*left)(void *arg);
    void *left_arg;
    // the queue's shard's:
    struct queue_consumer consumer;
    uint64_t sent;
};

static struct shard *queue_shard(const struct shard *shard, const struct uuid *queue)
{
    return &shard->node->shards[node_shard_of_partition(shard->node, queue, 0)];
}

// ---- on the connection's shard: answers

static void subscription_move(struct queue_subscription *sub, enum subscription_state to)
{
    ASSERT((subscription_edges[sub->state] >> to & 1) != 0);
    sub->state = to;
}

static void hear_attached(struct queue_subscription *sub, int err)
{
    if (sub->state == SUB_LEAVING)
        return;
    subscription_move(sub, SUB_ATTACHED);
    sub->o.attached(sub->o.arg, err);
}

// What asks for no acknowledgement is settled when its consumer is given it; on the way to another
// shard it is leased like all others, so that a farewell does not lose it.
static bool settles_here(const struct queue_subscription *sub)
{
    return sub->o.no_ack && sub->from != sub->to;
}

static void deliveries_settle(struct queue_subscription *sub,
                              const struct queue_delivery *deliveries, uint32_t count,
                              enum queue_outcome outcome)
{
    for (uint32_t i = 0; i < count; i++)
        queue_settle_at(sub->from, &sub->o.queue, sub->o.holder, deliveries[i].level,
                        deliveries[i].offset, outcome);
}

static void hear_deliveries(struct queue_subscription *sub, struct queue_delivery *deliveries,
                            uint32_t count)
{
    bool leaving = sub->state == SUB_LEAVING;
    sub->seen += count;
    if (!leaving)
        sub->o.deliver(sub->o.arg, deliveries, count);
    if (leaving && (!sub->o.no_ack || settles_here(sub)))
        deliveries_settle(sub, deliveries, count, QUEUE_RELEASE);
    else if (settles_here(sub))
        deliveries_settle(sub, deliveries, count, QUEUE_ACKNOWLEDGE);
    for (uint32_t i = 0; i < count; i++)
        blob_unref(deliveries[i].blob);
}

static void hear_left(struct queue_subscription *sub)
{
    ASSERT(sub->state == SUB_LEAVING);
    ASSERT(sub->consumer.queue == NULL);
    if (sub->left != NULL)
        sub->left(sub->left_arg);
    list_remove(&sub->link);
    mem_free(sub);
}

static void hear_unused(struct queue_subscription *sub, uint32_t credit)
{
    sub->seen += credit;
    sub->o.unused(sub->o.arg, credit);
}

static void hear_note(const struct mail_item *item)
{
    struct queue_subscription *sub = item->note.sub;
    const struct queue_subscription_options *o = &sub->o;
    if (item->kind == MAIL_ATTACHED)
        hear_attached(sub, item->note.err);
    else if (item->kind == MAIL_LEFT)
        hear_left(sub);
    else if (sub->state == SUB_LEAVING)
        return;
    else if (item->kind == MAIL_READY)
        o->ready(o->arg);
    else if (item->kind == MAIL_UNUSED)
        hear_unused(sub, item->note.amount);
    else if (item->kind == MAIL_CANCELLED)
        o->cancelled(o->arg);
}

// ---- on the queue's shard: requests, and what the room tells

static void answer_note(struct queue_subscription *sub, enum mail_kind kind, uint32_t amount,
                        int err)
{
    const struct mail_item item = {.kind = kind,
                                   .note = {.sub = sub, .amount = amount, .err = err}};
    if (sub->from == sub->to)
        hear_note(&item);
    else
        *mail_to(sub->to, sub->from, kind) = item;
}

static struct queue_subscription *consumer_sub(struct queue_consumer *consumer)
{
    return CONTAINER_OF(consumer, struct queue_subscription, consumer);
}

static void consumer_deliver(struct queue_consumer *consumer, struct queue_delivery *deliveries,
                             uint32_t count)
{
    struct queue_subscription *sub = consumer_sub(consumer);
    sub->sent += count;
    if (sub->from == sub->to) {
        hear_deliveries(sub, deliveries, count);
        return;
    }
    mail_deliver(sub->to, sub->from, sub, deliveries, count);
}

static void consumer_ready(struct queue_consumer *consumer)
{
    answer_note(consumer_sub(consumer), MAIL_READY, 0, 0);
}

static void consumer_unused(struct queue_consumer *consumer, uint32_t credit)
{
    struct queue_subscription *sub = consumer_sub(consumer);
    sub->sent += credit;
    answer_note(sub, MAIL_UNUSED, credit, 0);
}

static void consumer_cancelled(struct queue_consumer *consumer)
{
    answer_note(consumer_sub(consumer), MAIL_CANCELLED, 0, 0);
}

// The queue, if it may be used by that connection.
static int queue_for(struct shard *shard, const struct uuid *id, uint64_t owner, struct queue **out)
{
    struct queue *queue = queue_by_id(shard_queues(shard), id);
    const struct queue_facts *facts = queue_facts_by_id(shard, id);
    if (queue == NULL || facts == NULL || queue_doomed(queue))
        return ERR_NOT_FOUND;
    if (facts->owner != 0 && facts->owner != owner)
        return ERR_RESOURCE_LOCKED;
    *out = queue;
    return 0;
}

static void do_subscribe(struct shard *shard, struct queue_subscription *sub)
{
    struct queue *queue = NULL;
    int err = queue_for(shard, &sub->o.queue, sub->o.owner, &queue);
    if (err == 0)
        err = queue_consumer_attach(queue, &sub->consumer);
    answer_note(sub, MAIL_ATTACHED, 0, err);
}

// What is on its way to the connection comes off what it asks for now.
static void do_set_credit(struct queue_subscription *sub, const struct mail_note *note)
{
    ASSERT(sub->sent >= note->seen);
    uint64_t on_way = sub->sent - note->seen;
    uint32_t credit = note->amount > on_way ? note->amount - (uint32_t)on_way : 0;
    queue_consumer_set_credit(&sub->consumer, credit);
}

static void do_unsubscribe(struct queue_subscription *sub)
{
    queue_consumer_detach(&sub->consumer);
    ASSERT(sub->consumer.queue == NULL);
    answer_note(sub, MAIL_LEFT, 0, 0);
}

static void do_note(struct shard *shard, const struct mail_item *item)
{
    const struct mail_note *note = &item->note;
    struct queue_subscription *sub = note->sub;
    ASSERT(sub->to == shard);
    if (item->kind == MAIL_SUBSCRIBE)
        do_subscribe(shard, sub);
    else if (item->kind == MAIL_UNSUBSCRIBE)
        do_unsubscribe(sub);
    else if (sub->consumer.queue == NULL)
        return; // refused, or the queue is gone
    else if (item->kind == MAIL_SET_CREDIT)
        do_set_credit(sub, note);
    else if (item->kind == MAIL_SET_GATED)
        queue_consumer_set_gated(&sub->consumer, note->amount != 0);
    else if (item->kind == MAIL_GRANT)
        queue_consumer_grant(&sub->consumer, note->amount);
}

static void do_settle(struct shard *shard, const struct mail_settle *s)
{
    struct queue *queue = queue_by_id(shard_queues(shard), &s->queue);
    if (queue != NULL)
        queue_settle(queue, s->holder, s->level, s->offset, s->outcome);
}

static void fetch_answer(struct queue_fetch *fetch, int err)
{
    fetch->err = err;
    if (fetch->from == fetch->to)
        fetch->done(fetch);
    else
        mail_to(fetch->to, fetch->from, MAIL_FETCHED)->fetch = fetch;
}

static void fetch_got(struct queue_get *get, int err)
{
    struct queue_fetch *fetch = CONTAINER_OF(get, struct queue_fetch, get);
    fetch->empty = err == ERR_NOT_FOUND;
    if (err == 0)
        fetch->delivery = get->delivery;
    fetch->ready_left = get->ready_left;
    fetch_answer(fetch, fetch->empty ? 0 : err);
}

static void do_fetch(struct shard *shard, struct queue_fetch *fetch)
{
    struct queue *queue = NULL;
    int err = queue_for(shard, &fetch->queue, fetch->owner, &queue);
    if (err != 0) {
        fetch_answer(fetch, err);
        return;
    }
    fetch->get = (struct queue_get){.holder = fetch->holder, .no_ack = fetch->no_ack};
    fetch->get.done = fetch_got;
    list_init(&fetch->get.link);
    queue_get(queue, &fetch->get);
}

static void do_ask(struct shard *shard, struct queue_ask *ask)
{
    struct queue *queue = queue_by_id(shard_queues(shard), &ask->id);
    ask->err = queue != NULL && !queue_doomed(queue) ? 0 : ERR_NOT_FOUND;
    if (ask->err == 0 && ask->touch)
        queue_touch(queue);
    if (ask->err == 0 && ask->purge)
        ask->purged = queue_purge(queue);
    if (ask->err == 0)
        queue_stats(queue, &ask->stats);
    if (ask->from == ask->to)
        ask->done(ask);
    else
        mail_to(ask->to, ask->from, MAIL_ASKED)->ask = ask;
}

// ---- reading the mail

void mail_read(struct shard *shard, const struct mail_item *item,
               struct queue_delivery **deliveries)
{
    if (item->kind == MAIL_SETTLE) {
        do_settle(shard, &item->settle);
    } else if (item->kind == MAIL_FETCH) {
        do_fetch(shard, item->fetch);
    } else if (item->kind == MAIL_ASK) {
        do_ask(shard, item->ask);
    } else if (item->kind == MAIL_FETCHED) {
        item->fetch->done(item->fetch);
    } else if (item->kind == MAIL_ASKED) {
        item->ask->done(item->ask);
    } else if (item->kind == MAIL_DELIVER) {
        hear_deliveries(item->note.sub, *deliveries, item->note.amount);
        *deliveries += item->note.amount;
    } else if (item->kind < MAIL_ATTACHED) {
        do_note(shard, item);
    } else {
        hear_note(item);
    }
}

// ---- asking

void queue_subscribe(struct shard *shard, const struct queue_subscription_options *options,
                     struct queue_subscription **out)
{
    struct queue_subscription *sub = mem_zalloc(sizeof *sub);
    sub->from = shard;
    sub->to = queue_shard(shard, &options->queue);
    sub->o = *options;
    sub->consumer = (struct queue_consumer){
        .holder = options->holder,
        .priority = options->priority,
        .exclusive = options->exclusive,
        .no_ack = options->no_ack && !settles_here(sub),
        .credit = options->credit,
        .gated = options->gated,
        .deliver = consumer_deliver,
        .ready = consumer_ready,
        .unused = consumer_unused,
        .cancelled = consumer_cancelled,
    };
    list_init(&sub->consumer.link);
    list_push_back(&shard->queues->subscriptions, &sub->link);
    mail_to(shard, sub->to, MAIL_SUBSCRIBE)->note.sub = sub;
    *out = sub;
}

static struct mail_note *subscription_note(struct queue_subscription *sub, enum mail_kind kind)
{
    ASSERT(sub->state != SUB_LEAVING);
    struct mail_note *note = &mail_to(sub->from, sub->to, kind)->note;
    note->sub = sub;
    return note;
}

void queue_subscription_set_credit(struct queue_subscription *sub, uint32_t credit)
{
    struct mail_note *note = subscription_note(sub, MAIL_SET_CREDIT);
    note->amount = credit;
    note->seen = sub->seen;
}

void queue_subscription_grant(struct queue_subscription *sub, uint32_t credit)
{
    subscription_note(sub, MAIL_GRANT)->amount = credit;
}

void queue_subscription_set_gated(struct queue_subscription *sub, bool gated)
{
    subscription_note(sub, MAIL_SET_GATED)->amount = gated;
}

void queue_unsubscribe(struct queue_subscription *sub, void (*done)(void *arg), void *arg)
{
    (void)subscription_note(sub, MAIL_UNSUBSCRIBE);
    subscription_move(sub, SUB_LEAVING);
    sub->left = done;
    sub->left_arg = arg;
}

void queue_settle_at(struct shard *shard, const struct uuid *queue, uint64_t holder, int32_t level,
                     int64_t offset, enum queue_outcome outcome)
{
    mail_to(shard, queue_shard(shard, queue), MAIL_SETTLE)->settle = (struct mail_settle){
        .queue = *queue,
        .holder = holder,
        .offset = offset,
        .level = level,
        .outcome = outcome,
    };
}

static void fetch_send(struct publish_receipt *published)
{
    struct queue_fetch *fetch = CONTAINER_OF(published, struct queue_fetch, published);
    mail_to(fetch->from, fetch->to, MAIL_FETCH)->fetch = fetch;
}

void queue_fetch_start(struct shard *shard, struct queue_fetch *fetch)
{
    fetch->from = shard;
    fetch->to = queue_shard(shard, &fetch->queue);
    fetch->empty = false;
    fetch->delivery = (struct queue_delivery){0};
    fetch->ready_left = 0;
    fetch->published = (struct publish_receipt){.done = fetch_send};
    publish_follow(shard, &fetch->queue, &fetch->published);
    if (fetch->published.flights == 0)
        fetch_send(&fetch->published);
}

static void ask_send(struct publish_receipt *published)
{
    struct queue_ask *ask = CONTAINER_OF(published, struct queue_ask, published);
    mail_to(ask->from, ask->to, MAIL_ASK)->ask = ask;
}

void queue_ask_start(struct shard *shard, struct queue_ask *ask)
{
    ask->from = shard;
    ask->to = queue_shard(shard, &ask->id);
    ask->purged = 0;
    ask->published = (struct publish_receipt){.done = ask_send};
    publish_follow(shard, &ask->id, &ask->published);
    if (ask->published.flights == 0)
        ask_send(&ask->published);
}

// ---- life

void subscriptions_free(struct list *subscriptions)
{
    LIST_FOR_SAFE (it, subscriptions)
        mem_free(CONTAINER_OF(it, struct queue_subscription, link));
}
