// SPDX-License-Identifier: Apache-2.0
//
// The catalogue's master for queues, exchanges and bindings, on shard 0. A change's way:
//
//   CLAIM ──> CHECK ──(a queue that is there: ASK its shard)──> JOURNAL ──> SPREAD ──┐
//    │          └──(refused, or nothing to do)──────────────────────────────> ANSWER  │
//    └──<── an auto-delete exchange has lost its last binding: delete that too ──<────┘
//
// What is not durable skips the journal. What an exchange or a queue takes with it needs no record
// of its own: a binding's record names the ids of its ends. An auto-delete exchange goes as a
// change of its own, with its own claim, before the change that bared it is answered; a crash
// between the two leaves it, without bindings, until it is bound and unbound again or deleted.
//
// Whether a queue may be deleted (if_empty, if_unused, still_unused) is decided on its shard when
// that is asked, and there in the same step the queue is doomed: who comes before is seen, who
// comes after finds no queue, and what is published after goes with it.
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "node/queue_work.h"

// ---- ends

static void work_free(struct queue_work *w)
{
    list_remove(&w->link);
    for (struct list *it = list_pop_front(&w->bare); it != NULL; it = list_pop_front(&w->bare))
        mem_free(CONTAINER_OF(it, struct bare, link));
    mem_free(w->baring);
    slice_free(w->topic.name);
    config_overrides_fini(&w->topic.overrides);
    mem_free(w->broadcast.calls);
    mem_free(w);
}

static void work_answer(struct queue_work *w)
{
    struct queue_change *r = w->request;
    void (*done)(void *arg, int err) = w->done;
    void *arg = w->arg;
    int err = w->err;
    ASSERT(!w->claim.held);
    if (r != NULL) {
        r->err = err;
        node_call_reply(&r->call);
    }
    work_free(w);
    if (done != NULL)
        done(arg, err);
}

static void work_next(struct queue_work *w);

static void work_release(struct queue_work *w)
{
    if (w->claim.held)
        claims_give(&w->shard->catalogue.claims, &w->claim);
}

void work_end(struct queue_work *w, int err)
{
    w->err = err;
    work_release(w);
    work_next(w);
}

void work_refuse(struct queue_work *w, int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (w->request != NULL)
        (void)vsnprintf(w->request->why, TOPIC_WHY_MAX, format, args);
    va_end(args);
    work_end(w, err);
}

// ---- the way on

static void spread_run(struct node_broadcast *broadcast, struct node_call *call)
{
    work_apply(call->to, CONTAINER_OF(broadcast, struct queue_work, broadcast));
    node_call_reply(call);
}

static void spread_done(struct node_broadcast *broadcast)
{
    struct queue_work *w = CONTAINER_OF(broadcast, struct queue_work, broadcast);
    work_end(w, w->err);
}

void work_spread(struct queue_work *w)
{
    w->broadcast.run = spread_run;
    w->broadcast.done = spread_done;
    node_broadcast_start(&w->broadcast, w->shard);
}

static void work_durable(void *arg, const struct journal_frame *frame, int err)
{
    struct queue_work *w = arg;
    (void)frame;
    if (err == 0)
        work_spread(w);
    else
        work_refuse(w, err, "The change could not be made durable");
}

void work_write(struct queue_work *w, uint8_t kind, struct slice key, const struct buf *value)
{
    ASSERT(value == NULL || value->err == 0);
    const struct state_record record = {kind, key, value != NULL ? buf_slice(value) : SLICE_NULL};
    catalogue_write(w->shard, &record, work_durable, w);
}

// ---- a queue's shard is asked for counts

static int queue_may_go(const struct queue *queue, const struct queue_change *r,
                        const struct queue_stats *stats)
{
    if ((r->if_unused && stats->consumers > 0) || (r->still_unused && !queue_unused(queue)))
        return ERR_IN_USE;
    return r->if_empty && stats->ready + stats->leased > 0 ? ERR_NOT_EMPTY : 0;
}

static void ask_run(struct node_call *call)
{
    struct queue_work *w = CONTAINER_OF(call, struct queue_work, ask);
    struct queue *queue = queue_by_id(shard_queues(call->to), &w->queue.id);
    ASSERT(queue != NULL); // it cannot go while its name is claimed
    queue_stats(queue, &w->stats);
    if (w->kind == QUEUE_DECLARE)
        queue_touch(queue); // declared again is used
    else
        w->asked_err = queue_may_go(queue, w->request, &w->stats);
    if (w->kind == QUEUE_DELETE && w->asked_err == 0)
        queue_doom(queue);
    node_call_reply(call);
}

static void ask_done(struct node_call *call)
{
    queue_check_asked(CONTAINER_OF(call, struct queue_work, ask));
}

void work_ask(struct queue_work *w)
{
    w->ask.run = ask_run;
    w->ask.done = ask_done;
    node_call_start(&w->ask, w->shard, queue_owner(w->shard->node, &w->queue.id));
}

// ---- what comes after: auto-delete exchanges

static void bare_begin(struct queue_work *w)
{
    const struct exchange *x =
        exchange_find(w->shard->replica.exchanges, w->baring->vhost, w->baring->name);
    if (x != NULL && uuid_eq(&x->id, &w->baring->id) && x->bindings_out == 0)
        exchange_tombstone(w, x);
    else
        work_end(w, w->err);
}

static void bare_granted(struct claim_holder *holder)
{
    bare_begin(CONTAINER_OF(holder, struct queue_work, claim));
}

static void work_next(struct queue_work *w)
{
    struct list *it = list_pop_front(&w->bare);
    mem_free(w->baring);
    w->baring = NULL;
    if (it == NULL) {
        work_answer(w);
        return;
    }
    w->baring = CONTAINER_OF(it, struct bare, link);
    w->claim.granted = bare_granted;
    claim_add(&w->claim, claim_exchange(w->baring->vhost, w->baring->name), false);
    if (claims_take(&w->shard->catalogue.claims, &w->claim))
        bare_begin(w);
}

// ---- the way in

static void work_granted(struct claim_holder *holder)
{
    work_check(CONTAINER_OF(holder, struct queue_work, claim));
}

static uint64_t claim_binding(const struct exchange_binding *b)
{
    const struct slice parts[] = {b->vhost, b->source, b->destination, b->key, b->arguments};
    uint64_t h = b->to_exchange ? 'e' : 'q';
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        h = hash64(parts[i].data, parts[i].len, h);
    return h;
}

static void work_claim(struct queue_work *w)
{
    const struct queue_change *r = w->request;
    const struct exchange_binding *b = &r->binding;
    struct claim_holder *claim = &w->claim;
    switch (w->kind) {
    case QUEUE_DECLARE:
    case QUEUE_DELETE:
        claim_add(claim, claim_queue(r->queue.vhost, r->queue.name), false);
        break;
    case EXCHANGE_DECLARE:
    case EXCHANGE_DELETE:
        claim_add(claim, claim_exchange(r->exchange.vhost, r->exchange.name), false);
        break;
    case BINDING_ADD:
    case BINDING_REMOVE:
        claim_add(claim, claim_exchange(b->vhost, b->source), true);
        claim_add(claim,
                  b->to_exchange ? claim_exchange(b->vhost, b->destination)
                                 : claim_queue(b->vhost, b->destination),
                  true);
        claim_add(claim, claim_binding(b), false);
        break;
    }
}

static struct queue_work *work_new(struct shard *shard, enum queue_change_kind kind)
{
    struct queue_work *w = mem_zalloc(sizeof *w);
    ASSERT(shard->index == 0);
    w->shard = shard;
    w->kind = kind;
    list_init(&w->bare);
    list_push_back(&shard->catalogue.queue_pending, &w->link);
    return w;
}

static void change_run(struct node_call *call)
{
    struct queue_change *r = CONTAINER_OF(call, struct queue_change, call);
    struct queue_work *w = work_new(call->to, r->kind);
    w->request = r;
    r->err = 0;
    r->why[0] = '\0';
    r->made = false;
    r->messages = 0;
    r->consumers = 0;
    w->claim.granted = work_granted;
    work_claim(w);
    if (claims_take(&call->to->catalogue.claims, &w->claim))
        work_check(w);
}

static void change_done(struct node_call *call)
{
    struct queue_change *r = CONTAINER_OF(call, struct queue_change, call);
    r->done(r);
}

static void change_send(struct publish_receipt *published)
{
    struct queue_change *change = CONTAINER_OF(published, struct queue_change, published);
    node_call_start(&change->call, change->call.from, 0);
}

void queue_change_start(struct shard *shard, struct queue_change *change)
{
    const struct queue_facts *there = NULL;
    // A deletion that does not ask how full it is does not wait: it may be what makes room.
    if (change->kind == QUEUE_DECLARE || (change->kind == QUEUE_DELETE && change->if_empty))
        there = queue_by_name(shard, change->queue.vhost, change->queue.name);
    change->call.run = change_run;
    change->call.done = change_done;
    change->call.from = shard;
    change->published = (struct publish_receipt){.done = change_send};
    if (there != NULL)
        publish_follow(shard, &there->id, &change->published);
    if (change->published.flights == 0)
        change_send(&change->published);
}

void queue_change_of_topic(struct shard *shard, const struct uuid *id,
                           void (*done)(void *arg, int err), void *arg)
{
    const struct queue_facts *there = queue_facts_by_id(shard, id);
    struct queue_work *w = work_new(shard, QUEUE_DELETE);
    ASSERT(there != NULL);
    w->done = done;
    w->arg = arg;
    w->queue = *there;
    queue_tombstone(w);
}

void queue_changes_fini(struct shard *shard)
{
    LIST_FOR_SAFE (it, &shard->catalogue.queue_pending)
        work_free(CONTAINER_OF(it, struct queue_work, link));
}
