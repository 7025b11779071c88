// SPDX-License-Identifier: Apache-2.0
//
// Class queue (AMQP 0-9-1 section 1.7; arguments as in RabbitMQ): bind, unbind, purge, delete.
// queue_declare.c has the rest.
#include "amqp/ask.h"
#include "amqp/binding.h"
#include "amqp/change.h"

// ---- bind, unbind

// Without a queue and without a key, the key is the queue declared last.
static bool names(struct amqp_channel *ch, struct amqp_binding *b)
{
    bool both = b->destination.len == 0 && b->key.len == 0;
    if (!amqp_queue_name(ch, b->method, b->destination, &b->destination))
        return false;
    if (both)
        b->key = b->destination;
    return true;
}

void amqp_queue_bind_handle(struct amqp_channel *ch, const struct amqp_queue_bind *m)
{
    struct amqp_binding binding = {
        .method = AMQP_QUEUE_BIND,
        .answer = AMQP_QUEUE_BIND_OK,
        .no_wait = m->no_wait,
        .source = m->exchange,
        .destination = m->queue,
        .key = m->routing_key,
        .arguments = m->arguments,
    };
    if (names(ch, &binding))
        amqp_bind(ch, &binding);
}

void amqp_queue_unbind_handle(struct amqp_channel *ch, const struct amqp_queue_unbind *m)
{
    struct amqp_binding binding = {
        .method = AMQP_QUEUE_UNBIND,
        .answer = AMQP_QUEUE_UNBIND_OK,
        .remove = true,
        .source = m->exchange,
        .destination = m->queue,
        .key = m->routing_key,
        .arguments = m->arguments,
    };
    if (names(ch, &binding))
        amqp_bind(ch, &binding);
}

// ---- purge

static void purge_answer(struct amqp_ask *a, struct amqp_channel *ch)
{
    if (a->ask.err == ERR_NOT_FOUND)
        amqp_fail_no_queue(ch, AMQP_QUEUE_PURGE, a->name);
    else if (a->ask.err != 0)
        amqp_fail_err(ch, AMQP_QUEUE_PURGE, a->ask.err, "");
    else if (!a->no_wait)
        amqp_send(ch, AMQP_QUEUE_PURGE_OK,
                  &(struct amqp_queue_purge_ok){.message_count = amqp_count(a->ask.purged)});
}

void amqp_queue_purge_handle(struct amqp_channel *ch, const struct amqp_queue_purge *m)
{
    struct slice name;
    if (!amqp_queue_name(ch, AMQP_QUEUE_PURGE, m->queue, &name))
        return;
    const struct queue_facts *queue = amqp_queue_for(ch, AMQP_QUEUE_PURGE, name);
    if (queue == NULL)
        return;
    const struct queue_ask ask = {.purge = true};
    amqp_ask(ch, AMQP_QUEUE_PURGE, queue, m->no_wait, &ask, purge_answer);
}

// ---- delete: what is not there is deleted

static void delete_ok(struct amqp_channel *ch, bool no_wait, uint64_t messages)
{
    if (!no_wait)
        amqp_send(ch, AMQP_QUEUE_DELETE_OK,
                  &(struct amqp_queue_delete_ok){.message_count = amqp_count(messages)});
}

static void delete_answer(struct amqp_change *c, struct amqp_channel *ch)
{
    const struct queue_facts *queue = &c->change.queue;
    int err = c->change.err;
    if (err == 0 || err == ERR_NOT_FOUND)
        delete_ok(ch, c->no_wait, err == 0 ? c->change.messages : 0);
    else if (err == ERR_RESOURCE_LOCKED)
        amqp_fail_locked(ch, c->method, queue->name);
    else if (err == ERR_IN_USE || err == ERR_NOT_EMPTY)
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, c->method, "queue '%.*s' in vhost '%.*s' %s",
                  AMQP_SHOW(queue->name), AMQP_SHOW(queue->vhost),
                  err == ERR_IN_USE ? "in use" : "not empty");
    else
        amqp_fail_err(ch, c->method, err, c->change.why);
}

void amqp_queue_delete_handle(struct amqp_channel *ch, const struct amqp_queue_delete *m)
{
    struct slice name, vhost = amqp_vhost(ch);
    if (!amqp_queue_name(ch, AMQP_QUEUE_DELETE, m->queue, &name))
        return;
    name = amqp_without_newlines(ch, name);
    const struct queue_facts *queue = queue_by_name(ch->session->shard, vhost, name);
    if (queue != NULL && !amqp_queue_may(ch, queue)) {
        amqp_fail_locked(ch, AMQP_QUEUE_DELETE, name);
        return;
    }
    if (queue == NULL) {
        delete_ok(ch, m->no_wait, 0);
        return;
    }
    struct amqp_change *c =
        amqp_change_new(ch, AMQP_QUEUE_DELETE, m->no_wait, QUEUE_DELETE, name.len + vhost.len);
    if (c == NULL)
        return;
    c->change.queue.vhost = amqp_change_copy(c, vhost);
    c->change.queue.name = amqp_change_copy(c, name);
    c->change.if_unused = m->if_unused;
    c->change.if_empty = m->if_empty;
    amqp_change_start(c, ch, delete_answer);
}
