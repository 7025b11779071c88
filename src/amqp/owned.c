// SPDX-License-Identifier: Apache-2.0
//
// The exclusive queues of a connection, and their end.
#include "amqp/owned.h"

#include <string.h>

#include "amqp/deletion.h"
#include "base/mem.h"

struct owned {
    struct list link; // of the connection
    struct shard *shard;
    struct uuid id;
    size_t bytes;
    struct slice name; // in `text`
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
    size_t bytes = sizeof(struct owned) + queue->name.len;
    sweep(owned);
    struct owned *o = mem_zalloc(bytes);
    budget_force(shard_request_budget(shard), bytes); // the queue is there: it must be remembered
    o->shard = shard;
    o->bytes = bytes;
    o->id = queue->id;
    memcpy(o->text, queue->name.data, queue->name.len);
    o->name = slice_of(o->text, queue->name.len);
    list_push_back(owned, &o->link);
}

void amqp_owned_close(struct amqp_conn *conn)
{
    struct list *it, *owned = amqp_conn_owned(conn);
    while ((it = list_first(owned)) != NULL) {
        struct owned *o = CONTAINER_OF(it, struct owned, link);
        amqp_delete_queue(conn, &o->id, o->name, false, NULL, NULL);
        owned_free(o);
    }
}

void amqp_owned_forget(struct amqp_conn *conn)
{
    struct list *it, *owned = amqp_conn_owned(conn);
    while ((it = list_first(owned)) != NULL)
        owned_free(CONTAINER_OF(it, struct owned, link));
}
