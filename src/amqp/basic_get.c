// SPDX-License-Identifier: Apache-2.0
//
// basic.get (AMQP 0-9-1 section 1.8.3.10): one message, asked from the queue's shard; the
// connection waits, as the client does.
#include "amqp/arguments.h"
#include "amqp/consumer.h"

#include "base/mem.h"

#define METHOD AMQP_BASIC_GET

struct get {
    struct queue_fetch fetch;
    struct amqp_wait wait;
    struct shard *shard;
    bool quorum;
    struct slice queue_name; // in `text`
    uint8_t text[MESSAGE_NAME_MAX];
};

static void get_free(struct get *g)
{
    blob_unref(g->fetch.delivery.blob);
    budget_give(shard_request_budget(g->shard), sizeof *g);
    mem_free(g);
}

static void get_drop(struct amqp_wait *wait)
{
    get_free(CONTAINER_OF(wait, struct get, wait));
}

static void give_back(const struct get *g)
{
    const struct queue_delivery *d = &g->fetch.delivery;
    if (!g->fetch.no_ack)
        queue_settle_at(g->shard, &g->fetch.queue, g->fetch.holder, d->level, d->offset,
                        QUEUE_RELEASE);
}

static void get_ok(struct amqp_channel *ch, struct get *g)
{
    struct amqp_session *s = ch->session;
    const struct queue_delivery *d = &g->fetch.delivery;
    struct amqp_source *source = NULL;
    if (!g->fetch.no_ack) {
        source = amqp_source_of_queue(s, &g->fetch.queue);
        if (source == NULL || !amqp_delivery_keep(s, source, d)) {
            give_back(g);
            amqp_fail_err(ch, METHOD, ERR_BUDGET, "");
            return;
        }
    } else {
        s->last_tag++;
    }
    const struct amqp_basic_get_ok ok = {
        .delivery_tag = s->last_tag,
        .redelivered = d->redelivered,
        .exchange = d->message.exchange,
        .routing_key = d->message.routing_key.data != NULL ? d->message.routing_key : g->queue_name,
        .message_count = amqp_count(g->fetch.ready_left),
    };
    struct slice properties =
        amqp_translate_out(&s->lobby->translator, d, g->quorum, amqp_conn_frame_max(ch->conn));
    amqp_send_content(ch, AMQP_BASIC_GET_OK, &ok, properties, d->message.body, d->blob);
}

static void get_done(struct queue_fetch *fetch)
{
    struct get *g = CONTAINER_OF(fetch, struct get, fetch);
    amqp_wait_end(&g->wait);
    struct amqp_channel *ch = g->wait.channel;
    bool full = fetch->err == 0 && !fetch->empty;
    if (ch == NULL && full)
        give_back(g);
    else if (ch == NULL)
        ; // nobody listens
    else if (full)
        get_ok(ch, g);
    else if (fetch->err == 0)
        amqp_send(ch, AMQP_BASIC_GET_EMPTY, &(struct amqp_basic_get_empty){0});
    else if (fetch->err == ERR_NOT_FOUND)
        amqp_fail_no_queue(ch, METHOD, g->queue_name);
    else if (fetch->err == ERR_RESOURCE_LOCKED)
        amqp_fail_locked(ch, METHOD, g->queue_name);
    else
        amqp_fail_err(ch, METHOD, fetch->err, "");
    get_free(g);
}

void amqp_basic_get_handle(struct amqp_channel *ch, const struct amqp_basic_get *m)
{
    struct amqp_session *s = ch->session;
    struct slice name;
    if (!amqp_queue_name(ch, METHOD, m->queue, &name))
        return;
    const struct queue_facts *queue = amqp_queue_for(ch, METHOD, name);
    if (queue == NULL)
        return;
    if (budget_take(shard_request_budget(s->shard), sizeof(struct get)) != 0) {
        amqp_fail_err(ch, METHOD, ERR_BUDGET, "");
        return;
    }
    struct get *g = mem_zalloc(sizeof *g);
    g->shard = s->shard;
    g->quorum = amqp_queue_tells_count(queue);
    g->queue_name = slice_of(g->text, name.len);
    for (size_t i = 0; i < name.len; i++)
        g->text[i] = name.data[i];
    g->fetch = (struct queue_fetch){
        .queue = queue->id,
        .holder = s->holder,
        .owner = amqp_conn_id(ch->conn),
        .no_ack = m->no_ack,
        .done = get_done,
    };
    amqp_wait_begin(ch->conn, ch, &g->wait, true, get_drop);
    queue_fetch_start(s->shard, &g->fetch);
}
