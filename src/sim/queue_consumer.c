// SPDX-License-Identifier: Apache-2.0
//
// A simulated AMQP client that consumes from one queue and does with a message whatever a client
// may: acknowledges it, alone or with all before it, releases it, rejects it, holds on to it. Now
// and then it asks something, so that the server shows that the channel is alive, and publishes
// behind its acknowledgements, so that their being durable becomes known.
#include "sim/queue_user.h"

#include "base/assert.h"

#define PREFETCH_MAX 8

struct delivery {
    uint64_t tag, id;
};
struct consumer {
    struct queue_user u;
    struct model_queue *queue;
    uint16_t prefetch;
    struct delivery held[PREFETCH_MAX]; // by rising tag
    uint32_t held_count;
};

static void held_drop(struct consumer *c, uint32_t at)
{
    ASSERT(at < c->held_count);
    for (uint32_t i = at; i + 1 < c->held_count; i++)
        c->held[i] = c->held[i + 1];
    c->held_count--;
}

// ---- getting ready

static void nothing_more(struct queue_user *u, const struct amqp_call *call)
{
    (void)u;
    (void)call;
}

static void consume(struct queue_user *u, const struct amqp_call *call)
{
    struct consumer *c = CONTAINER_OF(u, struct consumer, u);
    const struct amqp_basic_consume consume = {.queue = slice_cstr(c->queue->name)};
    (void)call;
    queue_channel_consumes(u->channel, c->queue);
    queue_user_call(u, AMQP_BASIC_CONSUME, &consume, nothing_more);
}

static void consumer_ready(struct queue_user *u)
{
    struct consumer *c = CONTAINER_OF(u, struct consumer, u);
    c->queue = world_queue(u->world, queue_user_dice(u, WORLD_QUEUES));
    c->prefetch = (uint16_t)(1 + queue_user_dice(u, PREFETCH_MAX));
    c->held_count = 0;
    const struct amqp_basic_qos qos = {.prefetch_count = c->prefetch,
                                       .global = queue_user_dice(u, 2) == 0};
    queue_user_note(u, "consumes from %s, prefetch %u", c->queue->name, c->prefetch);
    queue_user_call(u, AMQP_BASIC_QOS, &qos, consume);
}

// ---- deliveries

static void consumer_event(struct queue_user *u, const struct amqp_event *event)
{
    struct consumer *c = CONTAINER_OF(u, struct consumer, u);
    const struct amqp_basic_deliver *d = event->args;
    struct world *w = u->world;
    if (event->method != AMQP_BASIC_DELIVER) {
        model_fail(&w->model, "%s: method %u came by itself", u->name, event->method);
        return;
    }
    uint64_t id = queue_user_id(event->body);
    queue_user_note(u, "is given message %llu%s, tag %llu", (unsigned long long)id,
                    d->redelivered ? " again" : "", (unsigned long long)d->delivery_tag);
    if (c->held_count == c->prefetch) {
        model_fail(&w->model, "%s: more than the %u messages of its prefetch", u->name,
                   c->prefetch);
        return;
    }
    w->report->deliveries++;
    w->report->dead_letters += c->queue == world_queue(w, WORLD_QUEUES - 1);
    queue_delivered(&w->queues, u->channel, c->queue, id, d->redelivered);
    c->held[c->held_count++] = (struct delivery){d->delivery_tag, id};
}

static void acknowledge(struct consumer *c, uint32_t at, bool multiple)
{
    struct queue_user *u = &c->u;
    const struct amqp_basic_ack ack = {.delivery_tag = c->held[at].tag, .multiple = multiple};
    queue_user_note(u, "acknowledges message %llu%s", (unsigned long long)c->held[at].id,
                    multiple ? " and all before" : "");
    for (uint32_t i = multiple ? 0 : at; i <= at; i++)
        queue_ack_sent(&u->world->queues, u->channel, c->held[i].id);
    (void)amqp_client_send(u->amqp, QUEUE_USER_CH, AMQP_BASIC_ACK, &ack);
    for (uint32_t n = multiple ? at + 1 : 1; n > 0; n--)
        held_drop(c, multiple ? 0 : at);
}

static void let_go(struct consumer *c, uint32_t at, bool requeue)
{
    struct queue_user *u = &c->u;
    const struct amqp_basic_nack nack = {.delivery_tag = c->held[at].tag, .requeue = requeue};
    queue_user_note(u, "%s message %llu", requeue ? "releases" : "rejects",
                    (unsigned long long)c->held[at].id);
    if (requeue)
        queue_release_sent(&u->world->queues, u->channel, c->held[at].id);
    else
        queue_reject_sent(&u->world->queues, u->channel, c->held[at].id);
    (void)amqp_client_send(u->amqp, QUEUE_USER_CH, AMQP_BASIC_NACK, &nack);
    held_drop(c, at);
}

static void consumer_step(struct queue_user *u)
{
    struct consumer *c = CONTAINER_OF(u, struct consumer, u);
    uint32_t dice = queue_user_dice(u, 100);
    uint32_t at = c->held_count > 0 ? queue_user_dice(u, c->held_count) : 0;
    if (dice < 12 && !u->calling) {
        const struct amqp_basic_qos qos = {.prefetch_count = c->prefetch};
        queue_user_call(u, AMQP_BASIC_QOS, &qos, nothing_more);
    } else if (dice < 24) {
        // Not behind dead letters: nobody publishes there.
        if (c->queue->dead != NULL || c->queue->durable)
            if (c->queue != world_queue(u->world, WORLD_QUEUES - 1))
                (void)queue_user_publish(u, c->queue, true);
    } else if (c->held_count == 0) {
        return;
    } else if (dice < 70) {
        acknowledge(c, at, queue_user_dice(u, 4) == 0);
    } else if (dice < 80) {
        let_go(c, at, true);
    } else if (dice < 88) {
        let_go(c, at, false);
    }
}

static void consumer_lost(struct queue_user *u)
{
    struct consumer *c = CONTAINER_OF(u, struct consumer, u);
    c->held_count = 0;
}

const struct queue_user_kind queue_user_consumer = {
    .name = "qcon",
    .size = sizeof(struct consumer),
    .phase = PHASE_RUN,
    .ready = consumer_ready,
    .step = consumer_step,
    .event = consumer_event,
    .lost = consumer_lost,
};
