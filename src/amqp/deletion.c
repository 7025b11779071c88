// SPDX-License-Identifier: Apache-2.0
//
// Deleting a queue in somebody's name.
#include "amqp/deletion.h"

#include <string.h>

#include "base/mem.h"

struct deletion {
    struct queue_change change;
    struct amqp_wait wait;
    struct shard *shard;
    void (*done)(void *arg);
    void *arg;
    size_t bytes;
    uint8_t text[]; // virtual host, name
};

static void deletion_free(struct deletion *d)
{
    budget_give(shard_request_budget(d->shard), d->bytes);
    mem_free(d);
}

static void deletion_drop(struct amqp_wait *wait)
{
    deletion_free(CONTAINER_OF(wait, struct deletion, wait));
}

static void deletion_done(struct queue_change *change)
{
    struct deletion *d = CONTAINER_OF(change, struct deletion, change);
    amqp_wait_end(&d->wait);
    if (d->done != NULL)
        d->done(d->arg);
    deletion_free(d);
}

void amqp_delete_queue(struct amqp_conn *conn, const struct uuid *id, struct slice name,
                       bool if_unused, void (*done)(void *arg), void *arg)
{
    struct slice vhost = amqp_conn_vhost(conn);
    size_t bytes = sizeof(struct deletion) + vhost.len + name.len;
    struct deletion *d = mem_zalloc(bytes);
    d->shard = amqp_conn_door(conn)->shard;
    d->done = done;
    d->arg = arg;
    d->bytes = bytes;
    budget_force(shard_request_budget(d->shard), bytes); // it gives memory back in the end
    memcpy(d->text, vhost.data, vhost.len);
    memcpy(d->text + vhost.len, name.data, name.len);
    d->change.kind = QUEUE_DELETE;
    d->change.owner = amqp_conn_id(conn);
    d->change.queue.id = *id;
    d->change.queue.vhost = slice_of(d->text, vhost.len);
    d->change.queue.name = slice_of(d->text + vhost.len, name.len);
    d->change.by_id = true;
    d->change.if_unused = if_unused;
    d->change.done = deletion_done;
    amqp_wait_begin(conn, NULL, &d->wait, true, deletion_drop);
    queue_change_start(d->shard, &d->change);
}
