// SPDX-License-Identifier: Apache-2.0
//
// The exclusive queues of a connection, and their end.
#include "amqp/owned.h"

#include "base/mem.h"

struct owned {
    struct list link; // of the connection
    struct shard *shard;
    struct queue_change change;
    struct amqp_wait wait;
    struct uuid id;
    size_t bytes;
    struct slice vhost, name; // in `text`
    uint8_t text[];
};

static void owned_free(struct owned *o)
{
    list_remove(&o->link);
    budget_give(shard_request_budget(o->shard), o->bytes);
    mem_free(o);
}

// Queues that went otherwise, by their own expiry or somebody else's hand, are forgotten: whoever
// adds one looks after two of the oldest.
static void sweep(struct list *owned)
{
    for (int i = 0; i < 2 && !list_empty(owned); i++) {
        struct owned *o = CONTAINER_OF(list_first(owned), struct owned, link);
        if (queue_facts_by_id(o->shard, &o->id) == NULL) {
            owned_free(o);
        } else {
            list_remove(&o->link);
            list_push_back(owned, &o->link);
        }
    }
}

void amqp_owned_add(struct amqp_conn *conn, const struct queue_facts *queue)
{
    struct list *owned = amqp_conn_owned(conn);
    struct shard *shard = amqp_conn_door(conn)->shard;
    size_t bytes = sizeof(struct owned) + queue->vhost.len + queue->name.len;
    sweep(owned);
    struct owned *o = mem_zalloc(bytes);
    budget_force(shard_request_budget(shard), bytes); // the queue is there: it must be remembered
    o->shard = shard;
    o->bytes = bytes;
    o->id = queue->id;
    for (size_t i = 0; i < queue->vhost.len; i++)
        o->text[i] = queue->vhost.data[i];
    for (size_t i = 0; i < queue->name.len; i++)
        o->text[queue->vhost.len + i] = queue->name.data[i];
    o->vhost = slice_of(o->text, queue->vhost.len);
    o->name = slice_of(o->text + queue->vhost.len, queue->name.len);
    list_push_back(owned, &o->link);
}

static void owned_done(struct queue_change *change)
{
    struct owned *o = CONTAINER_OF(change, struct owned, change);
    amqp_wait_end(&o->wait);
    owned_free(o);
}

static void owned_drop(struct amqp_wait *wait)
{
    owned_free(CONTAINER_OF(wait, struct owned, wait));
}

void amqp_owned_close(struct amqp_conn *conn)
{
    struct list *it, *owned = amqp_conn_owned(conn);
    while ((it = list_pop_front(owned)) != NULL) {
        struct owned *o = CONTAINER_OF(it, struct owned, link);
        o->change.kind = QUEUE_DELETE;
        o->change.owner = amqp_conn_id(conn);
        o->change.queue.id = o->id;
        o->change.queue.vhost = o->vhost;
        o->change.queue.name = o->name;
        o->change.by_id = true;
        o->change.done = owned_done;
        amqp_wait_begin(conn, NULL, &o->wait, true, owned_drop);
        queue_change_start(o->shard, &o->change);
    }
}

void amqp_owned_forget(struct amqp_conn *conn)
{
    struct list *it, *owned = amqp_conn_owned(conn);
    while ((it = list_first(owned)) != NULL)
        owned_free(CONTAINER_OF(it, struct owned, link));
}
