// SPDX-License-Identifier: Apache-2.0
//
// A queue's part of a turn's end: what is available goes to whoever waits for it, record by record,
// the highest level first, to the consumers of the highest priority in turn. What a consumer is
// given in a turn is one parcel. The work is bounded; what is left has the next turn.
#include "queue/queue_int.h"

#define GAPS_MAX 64 // batches without a record for us, one after the other, in a turn

// ---- the head of a level

struct window *level_window(struct level *level, int64_t offset)
{
    struct window **w = offset >= level->set.next ? &level->fresh : &level->again;
    if (*w == NULL)
        *w = window_create(level);
    return *w;
}

int level_head(struct level *level, struct head *out)
{
    int64_t end = level_end(level), to;
    for (int gaps = 0; gaps < GAPS_MAX; gaps++) {
        struct head head = {.level = level};
        head.offset = lease_head(&level->set, end, &head.deliveries);
        if (head.offset < 0)
            return 0;
        head.window = level_window(level, head.offset);
        switch (window_find(head.window, head.offset, &to)) {
        case WINDOW_RECORD:
            *out = head;
            return 1;
        case WINDOW_GAP:
            level_settled(level, lease_skip(&level->set, end, to));
            break;
        case WINDOW_WAIT:
            return ERR_AGAIN;
        }
    }
    queue_activate(level->queue);
    return ERR_AGAIN;
}

static int queue_head(struct queue *q, struct head *out)
{
    for (uint32_t i = q->levels_count; i-- > 0;) {
        int found = level_head(&q->levels[i], out);
        if (found != 0)
            return found;
    }
    return 0;
}

// ---- giving

// The record becomes the holder's, or is settled at once. False: no memory for a lease.
static bool take(const struct head *head, uint64_t holder, bool no_ack)
{
    struct level *level = head->level;
    struct queue *q = level->queue;
    int64_t end = level_end(level);
    if (no_ack) {
        level_settled(level, lease_skip(&level->set, end, head->offset + 1));
        return true;
    }
    if (lease_acquire(&level->set, end, holder) != 0) {
        queue_retry_at(q, queues_now_ns(q->queues) + QUEUE_SHORT_NS);
        return false;
    }
    if (q->durable)
        dirty_mark(q->queues, &level->dirty);
    return true;
}

static void delivery_make(const struct head *head, struct queue_delivery *out)
{
    const struct level *level = head->level;
    struct queue_stats *counts = &level->queue->counts;
    ASSERT(head->window->blob != NULL);
    ASSERT(head->offset < level_end(level)); // nobody reads what is not durable
    *out = (struct queue_delivery){
        .blob = blob_ref(head->window->blob),
        .message = head->window->message,
        .level = level->number,
        .offset = head->offset,
        .deliveries = head->deliveries,
        .redelivered = head->deliveries > 0,
    };
    // The queue may be gone when the receiver looks; it knows whom it has asked.
    if (out->message.routing_key.data == level->queue->name.data)
        out->message.routing_key = SLICE_NULL;
    counts->delivered++;
    counts->redelivered += out->redelivered ? 1 : 0;
}

static struct queue_delivery *round_add(struct round *round, struct queue_consumer *c)
{
    ASSERT(round->count < QUEUE_ROUND_MAX);
    if (c->place == 0) {
        round->served[round->served_count++] =
            (struct served){.consumer = c, .holder = c->holder, .no_ack = c->no_ack};
        c->place = round->served_count;
    }
    uint32_t who = c->place - 1;
    ASSERT(round->served[who].consumer == c);
    round->served[who].count++;
    round->who[round->count] = who;
    return &round->picked[round->count++];
}

// A planted bug: the record goes to the next one in turn as well.
static void give_twice(struct queue *q, const struct queue_consumer *c)
{
    struct round *round = &q->queues->round;
    struct list *next = list_first(&q->ready);
    struct queue_consumer *other =
        next == NULL ? NULL : CONTAINER_OF(next, struct queue_consumer, link);
    if (other == NULL || other == c || other->gated || round->count == QUEUE_ROUND_MAX)
        return;
    struct queue_delivery *twice = round_add(round, other);
    *twice = twice[-1];
    blob_ref(twice->blob);
    other->credit--;
    consumer_place(other);
}

static bool give(struct queue *q, struct queue_consumer *c, const struct head *head)
{
    struct round *round = &q->queues->round;
    ASSERT(c->queue == q);
    ASSERT(!q->settings.single_active || q->single == c);
    if (!take(head, c->holder, c->no_ack))
        return false;
    delivery_make(head, round_add(round, c));
    if (c->gated) {
        ASSERT(c->granted > 0);
        c->granted--;
        c->asked = c->granted > 0;
        q->grants -= c->granted == 0 && c->back == 0 ? 1 : 0;
    } else {
        ASSERT(c->credit > 0);
        c->credit--;
    }
    consumer_place(c);
    if (bug(BUG_LEASE_TWICE))
        give_twice(q, c);
    return true;
}

// What a consumer would have been given that left before it was told.
static void take_back(struct queue *q, const struct served *s, struct queue_delivery *deliveries)
{
    ASSERT(s->count > 0);
    for (uint32_t i = 0; i < s->count; i++) {
        struct level *level = &q->levels[deliveries[i].level];
        if (!s->no_ack)
            (void)lease_release(&level->set, deliveries[i].offset, s->holder);
        blob_unref(deliveries[i].blob);
    }
    queue_activate(q);
}

static void round_deliver(struct queue *q)
{
    struct round *round = &q->queues->round;
    uint32_t at = 0;
    for (uint32_t i = 0; i < round->served_count; i++) {
        round->served[i].at = at;
        at += round->served[i].count;
        round->served[i].count = 0;
    }
    ASSERT(at == round->count);
    for (uint32_t i = 0; i < round->count; i++) { // in order, each into its parcel
        struct served *s = &round->served[round->who[i]];
        round->parcel[s->at + s->count++] = round->picked[i];
    }
    for (uint32_t i = 0; i < round->served_count; i++) {
        struct served *s = &round->served[i];
        if (s->consumer == NULL) {
            take_back(q, s, &round->parcel[s->at]);
            continue;
        }
        s->consumer->place = 0;
        s->consumer->deliver(s->consumer, &round->parcel[s->at], s->count);
        s->consumer = NULL;
    }
    round->count = round->served_count = 0;
}

void round_forget(struct queues *queues, const struct queue_consumer *c)
{
    if (c->place == 0)
        return;
    ASSERT(c->place <= queues->round.served_count);
    ASSERT(queues->round.served[c->place - 1].consumer == c);
    queues->round.served[c->place - 1].consumer = NULL;
}

static bool serve_get(struct queue *q, const struct head *head)
{
    struct queue_get *get = CONTAINER_OF(list_first(&q->gets), struct queue_get, link);
    if (!take(head, get->holder, get->no_ack))
        return false;
    delivery_make(head, &get->delivery);
    get->ready_left = 0;
    for (uint32_t i = 0; i < q->levels_count; i++)
        get->ready_left += lease_ready(&q->levels[i].set, level_end(&q->levels[i]));
    list_remove(&get->link);
    get->queue = NULL;
    get->done(get, 0);
    return true;
}

static void fail_gets(struct queue *q, int err)
{
    struct list gets;
    list_init(&gets);
    list_splice_back(&gets, &q->gets);
    struct list *it;
    while ((it = list_pop_front(&gets)) != NULL) {
        struct queue_get *get = CONTAINER_OF(it, struct queue_get, link);
        ASSERT(get->queue == q);
        get->queue = NULL;
        get->ready_left = 0;
        get->done(get, err);
    }
}

// ---- a round

enum step {
    STEP_MORE,  // something was done
    STEP_EMPTY, // nothing is available
    STEP_FULL,  // nobody takes anything
    STEP_WAIT   // for the disk, memory or dead letters
};

static enum step step(struct queue *q, int64_t now_ms)
{
    struct head head;
    int found = queue_head(q, &head);
    if (found <= 0)
        return found == 0 ? STEP_EMPTY : STEP_WAIT;
    struct list *first = list_first(&q->ready);
    if (head_expired(&head, now_ms, first != NULL))
        return queue_expire_head(q, &head) ? STEP_MORE : STEP_WAIT;
    if (first == NULL)
        return STEP_FULL;
    struct queue_consumer *c = CONTAINER_OF(first, struct queue_consumer, link);
    if (c->gated && c->granted == 0) {
        c->asked = true;
        consumer_place(c);
        c->ready(c);
        return STEP_MORE;
    }
    return give(q, c, &head) ? STEP_MORE : STEP_WAIT;
}

// One message at a time comes behind those who wait for all of them: a get finds what consumers
// have left, as in RabbitMQ. It does not wait until they are full: it follows each round.
static enum step step_get(struct queue *q, int64_t now_ms)
{
    struct head head;
    int found = queue_head(q, &head);
    if (found <= 0)
        return found == 0 ? STEP_EMPTY : STEP_WAIT;
    if (head_expired(&head, now_ms, false))
        return queue_expire_head(q, &head) ? STEP_MORE : STEP_WAIT;
    return serve_get(q, &head) ? STEP_MORE : STEP_WAIT;
}

// Time for what was put off.
static bool retry_due(struct queue *q, int64_t now_ns)
{
    if (q->retry_ns == INT64_MAX)
        return true;
    if (now_ns < q->retry_ns)
        return false;
    q->retry_ns = INT64_MAX;
    q->read_err = 0;
    return true;
}

static uint32_t queue_rounds(struct queue *q)
{
    struct round *round = &q->queues->round;
    int64_t now_ms = queues_now_ms(q->queues);
    enum step last = STEP_MORE;
    uint32_t steps = 0;
    for (; steps < QUEUE_ROUND_MAX && last == STEP_MORE; steps++) {
        if (round->count == QUEUE_ROUND_MAX)
            break;
        last = step(q, now_ms);
    }
    enum step get = STEP_MORE;
    for (uint32_t i = 0; i < QUEUE_ROUND_MAX && get == STEP_MORE && !list_empty(&q->gets); i++) {
        get = step_get(q, now_ms);
        steps++;
    }
    round_deliver(q);
    if (last == STEP_MORE || (get == STEP_MORE && !list_empty(&q->gets)))
        queue_activate(q);
    else
        steps += queue_expire_all(q, now_ms);
    if (last == STEP_EMPTY || get == STEP_EMPTY)
        fail_gets(q, ERR_NOT_FOUND);
    else if (q->read_err != 0)
        fail_gets(q, q->read_err);
    return steps;
}

uint32_t queue_run(struct queue *q)
{
    int64_t now_ns = queues_now_ns(q->queues);
    uint32_t work = 1;
    ASSERT(q->queues->ending);
    ASSERT(!q->running);
    ASSERT(q->queues->round.count == 0);
    q->running = true;
    for (uint32_t i = 0; i < q->levels_count; i++)
        level_follow_log(&q->levels[i]);
    if (retry_due(q, now_ns)) {
        work += queue_bury(q);
        work += queue_rounds(q);
    } else if (q->read_err != 0) {
        fail_gets(q, q->read_err);
    }
    consumers_return_grants(q);
    letters_send(q, now_ns);
    if (q->settings.expires_ms >= 0 && q->consumers == 0 &&
        now_ns >= q->used_ns + queue_unused_ms(q) * NS_PER_MS) {
        q->used_ns = now_ns; // asked again, should nobody delete it
        q->expired = true;
        queue_tell_unused(q);
    }
    queue_timer_set(q, now_ns);
    ASSERT(q->grants == 0);
    ASSERT(q->queues->round.count == 0);
    q->running = false;
    return work;
}

// ---- one message at a time

void queue_get(struct queue *queue, struct queue_get *get)
{
    ASSERT(get->done != NULL);
    ASSERT(get->no_ack || get->holder != HOLDER_LETTERS);
    get->queue = queue;
    list_init(&get->link);
    list_push_back(&queue->gets, &get->link);
    if (queue->read_err != 0) // who asks now is not told of an error of a second ago
        queue_retry_at(queue, queues_now_ns(queue->queues));
    queue_touch(queue);
    queue_activate(queue);
}

void queue_get_cancel(struct queue_get *get)
{
    list_remove(&get->link);
    get->queue = NULL;
}
