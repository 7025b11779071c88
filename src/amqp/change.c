// SPDX-License-Identifier: Apache-2.0
//
// Changes to the catalogue, from a method's arguments to its answer.
#include "amqp/change.h"

#include "base/mem.h"

#define FIXED_BYTES 4096U // of a change, besides the copies

struct amqp_change *amqp_change_new(struct amqp_channel *ch, uint32_t method, bool no_wait,
                                    enum queue_change_kind kind, size_t bytes)
{
    struct amqp_session *s = ch->session;
    size_t charged = sizeof(struct amqp_change) + FIXED_BYTES + bytes;
    if (budget_take(shard_request_budget(s->shard), charged) != 0) {
        amqp_fail_err(ch, method, ERR_BUDGET, "");
        return NULL;
    }
    struct amqp_change *c = mem_zalloc(sizeof *c);
    c->shard = s->shard;
    c->method = method;
    c->no_wait = no_wait;
    c->charged_bytes = charged;
    c->change.kind = kind;
    c->change.owner = amqp_conn_id(ch->conn);
    arena_init(&c->arena, FIXED_BYTES + bytes * 2);
    return c;
}

struct slice amqp_change_copy(struct amqp_change *c, struct slice s)
{
    struct slice copy = arena_slice(&c->arena, s);
    ASSERT(copy.data != NULL || s.data == NULL); // its size was told
    return copy;
}

void amqp_change_free(struct amqp_change *c)
{
    budget_give(shard_request_budget(c->shard), c->charged_bytes);
    arena_fini(&c->arena);
    mem_free(c);
}

// An exclusive queue that was made for a connection that has gone meanwhile belongs to nobody: it
// goes as well. True: that has begun, and the wait goes on.
static bool change_undo(struct amqp_change *c)
{
    struct queue_change *change = &c->change;
    if (c->wait.channel != NULL || change->kind != QUEUE_DECLARE || change->err != 0 ||
        !change->made || !change->queue.exclusive)
        return false;
    const struct queue_facts *queue =
        queue_by_name(c->shard, change->queue.vhost, change->queue.name);
    if (queue == NULL || queue->owner != change->owner)
        return false;
    change->kind = QUEUE_DELETE;
    change->queue.id = queue->id;
    change->by_id = true;
    queue_change_start(c->shard, change);
    return true;
}

static void change_done(struct queue_change *change)
{
    struct amqp_change *c = CONTAINER_OF(change, struct amqp_change, change);
    if (change_undo(c))
        return;
    amqp_wait_end(&c->wait);
    if (c->wait.channel != NULL)
        c->answer(c, c->wait.channel);
    amqp_change_free(c);
}

static void change_drop(struct amqp_wait *wait)
{
    amqp_change_free(CONTAINER_OF(wait, struct amqp_change, wait));
}

void amqp_change_start(struct amqp_change *c, struct amqp_channel *ch,
                       void (*answer)(struct amqp_change *c, struct amqp_channel *ch))
{
    c->answer = answer;
    c->change.done = change_done;
    amqp_wait_begin(ch->conn, ch, &c->wait, true, change_drop);
    queue_change_start(c->shard, &c->change);
}

void amqp_change_ok(struct amqp_change *c, struct amqp_channel *ch, uint32_t ok)
{
    static const uint8_t nothing[8];
    if (c->change.err != 0)
        amqp_fail_err(ch, c->method, c->change.err, c->change.why);
    else if (!c->no_wait)
        amqp_send(ch, ok, nothing);
}
