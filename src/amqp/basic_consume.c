// SPDX-License-Identifier: Apache-2.0
//
// basic.consume, cancel and deliver (AMQP 0-9-1 sections 1.8.3.3, 1.8.3.5, 1.8.3.9; cancellation by
// the server, x-priority as in RabbitMQ). No delivery leaves before consume-ok, since the queue's
// shard attaches first and says so, and none after cancel-ok, since a consumer that was cancelled
// is given nothing more.
#include "amqp/arguments.h"
#include "amqp/consumer.h"
#include "amqp/deletion.h"
#include "amqp/translate.h"
#include "base/mem.h"

static const uint8_t consumer_edges[] = {
    [CONSUMER_ATTACHING] = 1U << CONSUMER_OPEN | 1U << CONSUMER_LEAVING | 1U << CONSUMER_ENDED,
    [CONSUMER_OPEN] = 1U << CONSUMER_LEAVING | 1U << CONSUMER_ENDED,
    [CONSUMER_LEAVING] = 1U << CONSUMER_ENDED,
    [CONSUMER_ENDED] = 0,
};

static void enter(struct amqp_consumer *c, enum amqp_consumer_state state)
{
    ASSERT(((unsigned)consumer_edges[c->state] & 1U << state) != 0);
    c->state = (uint8_t)state;
}

// ---- sources

void amqp_source_free(struct amqp_source *source)
{
    struct shard *shard = source->shard;
    size_t charged = source->charged_bytes;
    ASSERT(source->unacked == 0);
    list_remove(&source->link);
    if (source->consumer != NULL) {
        ASSERT(source->consumer->state == CONSUMER_ENDED);
        mem_free(source->consumer);
    } else {
        mem_free(source);
    }
    budget_give(shard_request_budget(shard), charged);
}

// Only what has ended, or was asked by basic.get, goes with its last acknowledgement.
static void source_rest(struct amqp_source *source)
{
    if (source->unacked == 0 &&
        (source->consumer == NULL || source->consumer->state == CONSUMER_ENDED))
        amqp_source_free(source);
}

void amqp_source_settled(struct amqp_source *source)
{
    struct amqp_session *s = source->session;
    struct amqp_consumer *c = source->consumer;
    ASSERT(source->unacked > 0);
    source->unacked--;
    if (c != NULL) {
        ASSERT(s->held > 0);
        s->held--;
        if (c->state == CONSUMER_OPEN && list_empty(&c->touched))
            list_push_back(&s->touched, &c->touched);
    }
    source_rest(source);
}

struct amqp_source *amqp_source_of_queue(struct amqp_session *s, const struct uuid *queue)
{
    LIST_FOR (it, &s->sources) {
        struct amqp_source *source = CONTAINER_OF(it, struct amqp_source, link);
        if (source->consumer == NULL && uuid_eq(&source->queue, queue))
            return source;
    }
    if (budget_take(shard_request_budget(s->shard), sizeof(struct amqp_source)) != 0)
        return NULL;
    struct amqp_source *source = mem_zalloc(sizeof *source);
    source->session = s;
    source->shard = s->shard;
    source->queue = *queue;
    source->charged_bytes = sizeof *source;
    list_push_front(&s->sources, &source->link);
    return source;
}

bool amqp_delivery_keep(struct amqp_session *s, struct amqp_source *source,
                        const struct queue_delivery *d)
{
    const struct amqp_unacked_delivery unacked = {
        .tag = s->last_tag + 1, .offset = d->offset, .source = source, .level = d->level};
    if (amqp_unacked_add(&s->unacked, &unacked) != 0)
        return false;
    s->last_tag++;
    source->unacked++;
    if (source->consumer != NULL)
        s->held++;
    return true;
}

// ---- deliveries

static void deliver_one(struct amqp_consumer *c, const struct queue_delivery *d)
{
    struct amqp_session *s = c->source.session;
    const struct message *m = &d->message;
    const struct amqp_basic_deliver deliver = {
        .consumer_tag = c->tag,
        .delivery_tag = s->last_tag,
        .redelivered = d->redelivered,
        .exchange = m->exchange,
        .routing_key = m->routing_key.data != NULL ? m->routing_key : c->queue_name,
    };
    struct slice properties = amqp_translate_out(&s->lobby->translator, d, c->source.counts,
                                                 amqp_conn_frame_max(s->ch->conn));
    amqp_send_content(s->ch, AMQP_BASIC_DELIVER, &deliver, properties, m->body, d->blob);
}

// Those for which there is no memory go back, and no more come until there is some.
static void consumer_deliver(void *arg, const struct queue_delivery *deliveries, uint32_t count)
{
    struct amqp_consumer *c = arg;
    struct amqp_session *s = c->source.session;
    size_t bytes = 0;
    uint32_t i = 0;
    ASSERT(c->state == CONSUMER_OPEN);
    for (; i < count; i++) {
        const struct queue_delivery *d = &deliveries[i];
        if (c->no_ack)
            s->last_tag++;
        else if (!amqp_delivery_keep(s, &c->source, d))
            break;
        deliver_one(c, d);
        bytes += d->message.body.len + d->message.headers.len;
    }
    amqp_credit_used(c, count, bytes);
    if (i == count)
        return;
    amqp_credit_starve(s);
    for (; i < count; i++)
        queue_settle_at(s->shard, &c->source.queue, s->holder, deliveries[i].level,
                        deliveries[i].offset, QUEUE_RELEASE);
}

// ---- the end

// It is no consumer of the channel any more: its tag is free.
static void leave_session(struct amqp_consumer *c)
{
    struct amqp_session *s = c->source.session;
    amqp_credit_forget(c);
    map_remove(&s->consumers, &c->node);
    list_remove(&c->touched);
    if (s->replies == c)
        s->replies = NULL;
    if (!c->no_ack) {
        ASSERT(s->limited > 0);
        s->limited--;
    }
}

static void consumer_gone(void *arg)
{
    struct amqp_consumer *c = arg;
    amqp_wait_end(&c->wait);
    enter(c, CONSUMER_ENDED);
    if (c->wait.channel != NULL)
        amqp_send(c->wait.channel, AMQP_BASIC_CANCEL_OK,
                  &(struct amqp_basic_cancel_ok){.consumer_tag = c->tag});
    source_rest(&c->source);
}

// An auto-delete queue is gone when the client hears that its consumer is: people count on it, as
// on RabbitMQ. The queue's shard has seen by itself that it is unused; this waits for the outcome.
static void consumer_left(void *arg)
{
    struct amqp_consumer *c = arg;
    if (c->auto_delete && c->wait.conn != NULL)
        amqp_delete_queue(c->wait.conn, &c->source.queue, c->queue_name, true, consumer_gone, c);
    else
        consumer_gone(c);
}

// Its queue is gone.
static void consumer_cancelled(void *arg)
{
    struct amqp_consumer *c = arg;
    struct amqp_session *s = c->source.session;
    if ((amqp_conn_can(s->ch->conn) & AMQP_CAN_CANCEL_NOTIFY) != 0)
        amqp_send(s->ch, AMQP_BASIC_CANCEL,
                  &(struct amqp_basic_cancel){.consumer_tag = c->tag, .no_wait = true});
    leave_session(c);
    enter(c, CONSUMER_ENDED);
    queue_unsubscribe(c->sub, NULL, NULL);
    source_rest(&c->source);
    amqp_credit_reset_all(s);
}

// ---- the beginning

static void refused(struct amqp_consumer *c, struct amqp_channel *ch, int err)
{
    struct slice name = c->queue_name;
    uint32_t method = AMQP_BASIC_CONSUME;
    if (err == ERR_ACCESS_REFUSED)
        amqp_fail(ch, AMQP_ACCESS_REFUSED, method, "queue '%.*s' in vhost '%.*s' in exclusive use",
                  AMQP_SHOW(name), AMQP_SHOW(amqp_vhost(ch)));
    else if (err == ERR_NOT_FOUND)
        amqp_fail_no_queue(ch, method, name);
    else if (err == ERR_RESOURCE_LOCKED)
        amqp_fail_locked(ch, method, name);
    else
        amqp_fail_err(ch, method, err, "");
}

static void consumer_attached(void *arg, int err)
{
    struct amqp_consumer *c = arg;
    amqp_wait_end(&c->wait);
    struct amqp_channel *ch = c->wait.channel;
    ASSERT(ch != NULL); // else it would have been unsubscribed
    if (err == 0) {
        enter(c, CONSUMER_OPEN);
        if (!c->no_wait)
            amqp_send(ch, AMQP_BASIC_CONSUME_OK,
                      &(struct amqp_basic_consume_ok){.consumer_tag = c->tag});
        amqp_credit_attached(c);
        return;
    }
    leave_session(c);
    enter(c, CONSUMER_ENDED);
    queue_unsubscribe(c->sub, NULL, NULL);
    refused(c, ch, err); // which ends the session, and the consumer with it
}

static void consumer_ready(void *arg)
{
    amqp_credit_ready(arg);
}

static void consumer_unused(void *arg, uint32_t credit)
{
    amqp_credit_unused(arg, credit);
}

// The node has ended, and with it the subscription.
static void consumer_drop(struct amqp_wait *wait)
{
    struct amqp_consumer *c = CONTAINER_OF(wait, struct amqp_consumer, wait);
    if (c->state != CONSUMER_ENDED)
        enter(c, CONSUMER_ENDED);
    source_rest(&c->source);
}

static struct amqp_consumer *consumer_new(struct amqp_session *s, struct slice tag,
                                          struct slice queue_name)
{
    size_t bytes = sizeof(struct amqp_consumer) + tag.len + queue_name.len;
    if (budget_take(shard_request_budget(s->shard), bytes) != 0)
        return NULL;
    struct amqp_consumer *c = mem_zalloc(bytes);
    c->source.session = s;
    c->source.shard = s->shard;
    c->source.consumer = c;
    c->source.charged_bytes = bytes;
    for (size_t i = 0; i < tag.len; i++)
        c->text[i] = tag.data[i];
    for (size_t i = 0; i < queue_name.len; i++)
        c->text[tag.len + i] = queue_name.data[i];
    c->tag = slice_of(c->text, tag.len);
    c->queue_name = slice_of(c->text + tag.len, queue_name.len);
    list_init(&c->asking);
    list_init(&c->touched);
    list_push_back(&s->sources, &c->source.link);
    map_insert(&s->consumers, &c->node, map_hash(&s->consumers, c->tag));
    return c;
}

void amqp_consumer_start(struct amqp_channel *ch, const struct amqp_consume *consume)
{
    struct amqp_session *s = ch->session;
    const struct queue_facts *queue = consume->queue;
    struct amqp_consumer *c = consumer_new(s, consume->tag, queue->name);
    if (c == NULL) {
        amqp_fail_err(ch, AMQP_BASIC_CONSUME, ERR_BUDGET, "");
        return;
    }
    c->source.queue = queue->id;
    c->source.counts = amqp_queue_tells_count(queue);
    c->auto_delete = queue->auto_delete && !queue_lingers(&queue->settings);
    c->no_ack = consume->no_ack;
    c->no_wait = consume->no_wait;
    if (!c->no_ack)
        s->limited++;
    if (consume->replies)
        s->replies = c;
    amqp_credit_reset_all(s); // those that are there may have to share now
    uint32_t credit = amqp_credit_first(c);
    const struct queue_subscription_options options = {
        .queue = queue->id,
        .holder = s->holder,
        .owner = amqp_conn_id(ch->conn),
        .priority = consume->priority,
        .exclusive = consume->exclusive,
        .no_ack = c->no_ack,
        .gated = c->gated,
        .credit = credit,
        .arg = c,
        .attached = consumer_attached,
        .deliver = consumer_deliver,
        .ready = consumer_ready,
        .unused = consumer_unused,
        .cancelled = consumer_cancelled,
    };
    amqp_wait_begin(ch->conn, ch, &c->wait, true, consumer_drop);
    queue_subscribe(s->shard, &options, &c->sub);
}

// ---- the session ends

// One whose answer is still under way outlives the session.
static void consumer_close(struct amqp_consumer *c, bool gone)
{
    struct amqp_conn *conn = c->source.session->ch->conn;
    bool waits = c->state == CONSUMER_ATTACHING;
    leave_session(c);
    if (!waits && !gone && c->auto_delete) {
        amqp_wait_begin(conn, NULL, &c->wait, true, consumer_drop);
        waits = true;
    }
    enter(c, waits ? CONSUMER_LEAVING : CONSUMER_ENDED);
    if (!gone)
        queue_unsubscribe(c->sub, waits ? consumer_left : NULL, c);
}

void amqp_consumers_close(struct amqp_session *s, bool gone)
{
    struct list *it;
    MAP_FOR_SAFE (node, &s->consumers)
        consumer_close(CONTAINER_OF(node, struct amqp_consumer, node.order), gone);
    amqp_unacked_release(s, gone);
    while ((it = list_pop_front(&s->sources)) != NULL) {
        struct amqp_source *source = CONTAINER_OF(it, struct amqp_source, link);
        source->session = NULL;
        source_rest(source);
    }
}

// ---- methods

static bool tag_ok(struct amqp_channel *ch, struct slice tag)
{
    struct amqp_session *s = ch->session;
    if (tag.len > 0 && amqp_consumer_by_tag(s, tag) != NULL)
        amqp_fail(ch, AMQP_NOT_ALLOWED, AMQP_BASIC_CONSUME, "attempt to reuse consumer tag '%.*s'",
                  AMQP_SHOW(tag));
    else if (s->consumers.count >= AMQP_CONSUMERS_MAX)
        amqp_fail(ch, AMQP_NOT_ALLOWED, AMQP_BASIC_CONSUME,
                  "reached maximum (%u) of consumers per channel", AMQP_CONSUMERS_MAX);
    else
        return true;
    return false;
}

struct amqp_consumer *amqp_consumer_by_tag(struct amqp_session *s, struct slice tag)
{
    struct map_node *node = map_find(&s->consumers, map_hash(&s->consumers, tag), &tag);
    return node == NULL ? NULL : CONTAINER_OF(node, struct amqp_consumer, node);
}

void amqp_basic_consume_handle(struct amqp_channel *ch, const struct amqp_basic_consume *m)
{
    struct amqp_consume consume = {
        .tag = m->consumer_tag,
        .no_ack = m->no_ack,
        .exclusive = m->exclusive,
        .no_wait = m->no_wait,
    };
    struct slice name;
    char why[AMQP_TEXT_SIZE], made[AMQP_NAME_SIZE];
    if (!amqp_queue_name(ch, AMQP_BASIC_CONSUME, m->queue, &name) || !tag_ok(ch, consume.tag))
        return;
    if (consume.tag.len == 0)
        consume.tag = amqp_name_new(ch->session, "amq.ctag-", made);
    if (slice_eq_cstr(name, AMQP_REPLIES)) {
        amqp_replies_start(ch, &consume);
        return;
    }
    consume.queue = amqp_queue_for(ch, AMQP_BASIC_CONSUME, name);
    if (consume.queue == NULL)
        return;
    if (amqp_consume_arguments(m->arguments, amqp_vhost(ch), name, &consume.priority, why) != 0)
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, AMQP_BASIC_CONSUME, "%s", why);
    else
        amqp_consumer_start(ch, &consume);
}

static void cancel_ok(struct amqp_channel *ch, const struct amqp_basic_cancel *m)
{
    if (!m->no_wait)
        amqp_send(ch, AMQP_BASIC_CANCEL_OK,
                  &(struct amqp_basic_cancel_ok){.consumer_tag = m->consumer_tag});
}

// An unknown tag is no error (AMQP 0-9-1: "it is no error … simply ignored").
void amqp_basic_cancel_handle(struct amqp_channel *ch, const struct amqp_basic_cancel *m)
{
    struct amqp_session *s = ch->session;
    struct amqp_consumer *c = amqp_consumer_by_tag(s, m->consumer_tag);
    if (c == NULL) {
        cancel_ok(ch, m);
        return;
    }
    ASSERT(c->state == CONSUMER_OPEN); // methods wait until it is
    leave_session(c);
    enter(c, CONSUMER_LEAVING);
    amqp_wait_begin(ch->conn, m->no_wait ? NULL : ch, &c->wait, !m->no_wait || c->auto_delete,
                    consumer_drop);
    queue_unsubscribe(c->sub, consumer_left, c);
    amqp_credit_reset_all(s);
}
