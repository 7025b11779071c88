// SPDX-License-Identifier: Apache-2.0
//
// Consumers. A queue has two lists of them: those that would take a record now, by priority and
// then by whose turn it is, and the others. Who is served goes behind its equals.
#include "queue/queue_int.h"

static bool takes(const struct queue_consumer *c)
{
    const struct queue *q = c->queue;
    if (q->settings.single_active && q->single != c)
        return false;
    // A gated one takes the question whether it has credit.
    return c->gated ? c->granted > 0 || !c->asked : c->credit > 0;
}

void consumer_place(struct queue_consumer *c)
{
    struct queue *q = c->queue;
    ASSERT(q != NULL);
    ASSERT(c->granted == 0 || c->gated);
    list_remove(&c->link);
    if (!takes(c)) {
        list_push_back(&q->idle, &c->link);
        return;
    }
    struct list *at = &q->ready;
    while (at->prev != &q->ready &&
           CONTAINER_OF(at->prev, struct queue_consumer, link)->priority < c->priority)
        at = at->prev;
    list_insert_before(at, &c->link);
}

// Something about it has changed: those that take something keep their turn.
static void consumer_changed(struct queue_consumer *c, bool took)
{
    if (takes(c) != took)
        consumer_place(c);
    if (takes(c) || c->granted > 0)
        queue_activate(c->queue);
}

// The oldest of the highest priority.
static struct queue_consumer *single_choose(const struct queue *q)
{
    struct queue_consumer *best = NULL;
    LIST_FOR (it, &q->idle) {
        struct queue_consumer *c = CONTAINER_OF(it, struct queue_consumer, link);
        if (best == NULL || c->priority > best->priority ||
            (c->priority == best->priority && c->seq < best->seq))
            best = c;
    }
    return best;
}

int queue_consumer_attach(struct queue *queue, struct queue_consumer *c)
{
    ASSERT(c->holder != HOLDER_LETTERS);
    ASSERT(c->deliver != NULL);
    ASSERT(c->queue == NULL);
    ASSERT(!c->gated || (c->ready != NULL && c->unused != NULL));
    if (queue->consumers > 0 && (c->exclusive || queue->exclusive))
        return ERR_ACCESS_REFUSED;
    list_init(&c->link);
    c->queue = queue;
    c->seq = queue->consumers_seq++;
    c->asked = false;
    c->granted = c->back = 0;
    c->place = 0;
    queue->consumers++;
    queue->expired = false;
    queue->exclusive = c->exclusive;
    if (queue->settings.single_active && queue->single == NULL)
        queue->single = c;
    consumer_place(c);
    queue_activate(queue);
    return 0;
}

static bool lent(const struct queue_consumer *c)
{
    return c->granted > 0 || c->back > 0;
}

static void unlink_consumer(struct queue_consumer *c)
{
    struct queue *q = c->queue;
    ASSERT(q->consumers > 0);
    ASSERT(!lent(c) || q->grants > 0);
    q->grants -= lent(c) ? 1 : 0;
    c->granted = c->back = 0;
    round_forget(q->queues, c);
    list_remove(&c->link);
    c->queue = NULL;
    q->consumers--;
}

void queue_consumer_detach(struct queue_consumer *c)
{
    struct queue *q = c->queue;
    if (q == NULL) {
        if (c->link.next != NULL) // not attached ever: not even a list
            list_remove(&c->link);
        return;
    }
    unlink_consumer(c);
    ASSERT(c->place == 0 || q->running);
    if (q->single == c) {
        q->single = single_choose(q);
        if (q->single != NULL)
            consumer_place(q->single);
    }
    if (q->consumers == 0) {
        q->exclusive = false;
        q->used_ns = queues_now_ns(q->queues);
        q->idle_since_ms = queues_now_ms(q->queues);
        q->left = true;
        if (q->settings.auto_delete && !queue_lingers(&q->settings))
            queue_tell_unused(q);
    }
    queue_activate(q);
}

void queue_consumer_credit(struct queue_consumer *c, uint32_t more)
{
    if (c->queue == NULL)
        return;
    bool took = takes(c);
    c->credit = c->credit > UINT32_MAX - more ? UINT32_MAX : c->credit + more;
    consumer_changed(c, took);
}

void queue_consumer_set_credit(struct queue_consumer *c, uint32_t credit)
{
    if (c->queue == NULL)
        return;
    bool took = takes(c);
    ASSERT(!c->gated);
    c->queue->grants -= lent(c) ? 1 : 0;
    c->back = 0; // what it has is said now
    c->credit = credit;
    consumer_changed(c, took);
}

static void give_back_later(struct queue_consumer *c, uint32_t credit)
{
    if (credit > 0 && !lent(c))
        c->queue->grants++;
    c->back += credit;
    queue_activate(c->queue);
}

void queue_consumer_grant(struct queue_consumer *c, uint32_t credit)
{
    if (c->queue == NULL || credit == 0)
        return;
    if (!c->gated) { // it was asked before it had credit of its own
        give_back_later(c, credit);
        return;
    }
    bool took = takes(c);
    if (!lent(c))
        c->queue->grants++;
    c->granted = c->granted > UINT32_MAX - credit ? UINT32_MAX : c->granted + credit;
    consumer_changed(c, took);
}

void queue_consumer_set_gated(struct queue_consumer *c, bool gated)
{
    if (c->queue == NULL || c->gated == gated)
        return;
    ASSERT(c->ready != NULL);
    ASSERT(c->unused != NULL);
    give_back_later(c, gated ? c->credit : c->granted);
    c->credit = c->granted = 0;
    c->asked = false;
    c->gated = gated;
    consumer_place(c);
}

static struct queue_consumer *lent_first(const struct queue *q)
{
    const struct list *lists[] = {&q->ready, &q->idle};
    for (size_t i = 0; i < 2; i++) {
        LIST_FOR (it, lists[i]) {
            struct queue_consumer *c = CONTAINER_OF(it, struct queue_consumer, link);
            if (lent(c))
                return c;
        }
    }
    return NULL;
}

// What was lent for this turn goes back.
void consumers_return_grants(struct queue *q)
{
    while (q->grants > 0) {
        struct queue_consumer *c = lent_first(q);
        ASSERT(c != NULL);
        ASSERT(c->queue == q);
        uint32_t left = c->granted + c->back;
        if (c->granted > 0)
            c->asked = false;
        c->granted = c->back = 0;
        q->grants--;
        consumer_place(c);
        c->unused(c, left);
    }
}

// ---- the queue goes

void consumers_cancel(struct queue *q)
{
    struct list *lists[] = {&q->ready, &q->idle};
    for (size_t i = 0; i < 2; i++) {
        struct list *it;
        while ((it = list_first(lists[i])) != NULL) {
            struct queue_consumer *c = CONTAINER_OF(it, struct queue_consumer, link);
            unlink_consumer(c);
            list_push_back(&q->queues->cancelled, &c->link);
        }
    }
    ASSERT(q->consumers == 0);
    ASSERT(q->grants == 0);
    q->single = NULL;
}

void consumers_tell_cancelled(struct queues *queues)
{
    struct list now;
    list_init(&now);
    list_splice_back(&now, &queues->cancelled);
    struct list *it;
    while ((it = list_pop_front(&now)) != NULL) {
        struct queue_consumer *c = CONTAINER_OF(it, struct queue_consumer, link);
        if (c->cancelled != NULL)
            c->cancelled(c);
    }
}
