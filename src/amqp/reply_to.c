// SPDX-License-Identifier: Apache-2.0
//
// Direct reply-to (RabbitMQ, "Direct Reply-to"): a client consumes from a pseudo queue, publishes
// with that as reply_to, and gets the answers without having declared anything. Here the pseudo
// queue is a hidden one: exclusive, in memory, gone with its consumer; what is published with the
// pseudo queue as reply_to names the hidden one instead, and whoever answers publishes to it by the
// default exchange as to any queue.
#include "amqp/arguments.h"
#include "amqp/change.h"
#include "amqp/consumer.h"
#include "amqp/owned.h"

static void declared(struct amqp_change *change, struct amqp_channel *ch)
{
    const struct queue_facts *asked = &change->change.queue;
    const struct queue_facts *queue = queue_by_name(ch->session->shard, asked->vhost, asked->name);
    if (change->change.err != 0 || queue == NULL) {
        amqp_fail_err(ch, change->method,
                      change->change.err != 0 ? change->change.err : ERR_NOT_FOUND,
                      change->change.why);
        return;
    }
    amqp_owned_add(ch->conn, queue);
    const struct amqp_consume consume = {
        .tag = change->tag,
        .queue = queue,
        .no_ack = true,
        .no_wait = change->no_wait,
        .replies = true,
    };
    amqp_consumer_start(ch, &consume);
}

void amqp_replies_start(struct amqp_channel *ch, const struct amqp_consume *consume)
{
    char made[AMQP_NAME_SIZE];
    struct slice vhost = amqp_vhost(ch);
    const char *why = NULL;
    if (!consume->no_ack)
        why = "reply consumer cannot acknowledge";
    else if (ch->session->replies != NULL)
        why = "reply consumer already set";
    if (why != NULL) {
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, AMQP_BASIC_CONSUME, "%s", why);
        return;
    }
    struct slice name = amqp_name_new(ch->session, AMQP_REPLIES ".", made);
    struct amqp_change *c = amqp_change_new(ch, AMQP_BASIC_CONSUME, consume->no_wait, QUEUE_DECLARE,
                                            vhost.len + name.len + consume->tag.len);
    if (c == NULL)
        return;
    c->tag = amqp_change_copy(c, consume->tag);
    c->change.queue = (struct queue_facts){
        .vhost = amqp_change_copy(c, vhost),
        .name = amqp_change_copy(c, name),
        .exclusive = true,
        .auto_delete = true,
        .owner = c->change.owner,
        .settings = {.message_ttl_ms = -1,
                     .expires_ms = -1,
                     .auto_delete = true,
                     .max_length = -1,
                     .max_length_bytes = -1},
        .levels = 1,
    };
    amqp_change_start(c, ch, declared);
}
