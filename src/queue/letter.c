// SPDX-License-Identifier: Apache-2.0
//
// Dead letters. What died is leased by HOLDER_LETTERS until its copy is durable elsewhere, so a
// crash between the two brings it twice and never not at all; whoever rejected it sees it no more.
// How many are on their way is bounded: the others wait in the lease set.
#include <string.h>

#include "queue/queue_int.h"

#define LETTER_MEMORY_MAX (1U << 20) // names and deaths: these are bounded, by less

static bool memory_short(const struct queues *queues)
{
    struct budget *budget = queues->o.budget;
    if (budget == NULL)
        return false;
    if (budget_take(budget, sizeof(struct letter)) != 0)
        return true;
    budget_give(budget, sizeof(struct letter));
    return false;
}

// One at a time goes on without memory as well: it is what the next one waits for.
bool letters_full(const struct queue *queue)
{
    return queue->letters_open >= QUEUE_LETTERS_MAX ||
           (queue->letters_open > 0 && memory_short(queue->queues));
}

// ---- making

static void own_keys(struct queue_letter *l, const struct message *m)
{
    struct cursor cc = cursor_of(m->cc);
    l->keys[l->keys_count++] = m->routing_key;
    while (cursor_left(&cc) > 0 && l->keys_count < MESSAGE_KEYS_MAX)
        l->keys[l->keys_count++] = cursor_bytes(&cc, cursor_u8(&cc));
}

// A stranger's record may have a time beyond reason: then it had no TTL to speak of.
static int64_t original_ttl(const struct message *m)
{
    if (m->expires_ms < 0 || m->published_ms < 0)
        return -1;
    return m->expires_ms > m->published_ms ? m->expires_ms - m->published_ms : 0;
}

static struct message_death death_of(const struct queue *q, const struct queue_letter *l,
                                     const struct message *m, enum message_death_reason reason)
{
    struct message_death death = {
        .reason = reason,
        .queue = q->name,
        .exchange = m->exchange,
        .times = 1,
        .time_ms = queues_now_ms(q->queues),
        .original_ttl_ms = original_ttl(m),
    };
    memcpy(death.keys, l->keys, sizeof death.keys);
    death.keys_count = l->keys_count;
    return death;
}

// The message as it is to be published; names come from the settings, which may be gone by then.
static void letter_fill(struct queue *q, struct queue_letter *l, const struct message *m,
                        enum message_death_reason reason)
{
    struct slice exchange = q->settings.dead_exchange, key = q->settings.dead_key;
    own_keys(l, m);
    const struct message_death death = death_of(q, l, m, reason);
    buf_init(&l->memory, LETTER_MEMORY_MAX);
    buf_put_slice(&l->memory, exchange);
    buf_put_slice(&l->memory, key);
    buf_put_slice(&l->memory, m->routing_key); // may be the queue's name
    size_t deaths = l->memory.len;
    int err = message_deaths_add(m, &death, &l->memory);
    ASSERT(err == 0); // thirty-two deaths of sixty-four keys are half of it
    const uint8_t *at = l->memory.data;
    l->exchange = slice_of(at, exchange.len);
    l->keys[0] = slice_of(at + exchange.len + key.len, m->routing_key.len);
    l->message = *m;
    if (key.data != NULL) {
        l->keys[0] = slice_of(at + exchange.len, key.len);
        l->keys_count = 1;
        l->message.cc = SLICE_NULL;
    }
    l->message.exchange = l->exchange;
    l->message.routing_key = l->keys[0];
    l->message.deaths = slice_of(at + deaths, l->memory.len - deaths);
    l->message.published_ms = queues_now_ms(q->queues);
    l->message.expires_ms = -1; // "the expiration property is removed"
}

void letter_make(const struct head *head, enum message_death_reason reason)
{
    struct queue *q = head->level->queue;
    struct queues *qs = q->queues;
    ASSERT(!letters_full(q));
    ASSERT(q->settings.dead_letter);
    ASSERT(lease_deliveries(&head->level->set, head->offset, HOLDER_LETTERS) > 0);
    struct letter *letter = mem_zalloc(sizeof *letter);
    struct queue_letter *l = &letter->l;
    letter->queues = qs;
    l->queue = q;
    l->blob = blob_ref(head->window->blob);
    l->level = head->level->number;
    l->offset = head->offset;
    letter_fill(q, l, &head->window->message, reason);
    letter->paid_bytes = sizeof *letter + l->memory.cap;
    if (qs->o.budget != NULL)
        budget_force(qs->o.budget, letter->paid_bytes);
    list_push_back(&qs->letters, &letter->link);
    list_push_back(&q->letters_due, &l->link);
    q->letters_open++;
}

static void letter_settle(struct level *level, int64_t offset)
{
    if (lease_settle(&level->set, offset, HOLDER_LETTERS)) // else the log was trimmed meanwhile
        level_settled(level, (struct lease_range){offset, offset + 1});
}

// One condemned record; false: not now, or there is none.
static bool bury_one(struct level *level)
{
    uint64_t reason;
    struct head head = {.level = level};
    head.offset = lease_condemned(&level->set, &reason);
    if (head.offset < 0 || letters_full(level->queue))
        return false;
    ASSERT(reason < DEATH_REASONS_COUNT);
    head.window = level_window(level, head.offset);
    int64_t to;
    enum window_answer answer = window_find(head.window, head.offset, &to);
    if (answer == WINDOW_WAIT)
        return false;
    lease_exhume(&level->set, head.offset, HOLDER_LETTERS);
    if (answer == WINDOW_RECORD)
        letter_make(&head, (enum message_death_reason)reason);
    else
        letter_settle(level, head.offset);
    return true;
}

uint32_t queue_bury(struct queue *queue)
{
    uint32_t work = 0;
    for (uint32_t i = 0; i < queue->levels_count; i++) {
        while (work < QUEUE_ROUND_MAX && bury_one(&queue->levels[i]))
            work++;
    }
    if (work == QUEUE_ROUND_MAX)
        queue_activate(queue);
    return work;
}

// ---- on their way

static void letter_free(struct letter *letter)
{
    list_remove(&letter->link);
    list_remove(&letter->l.link);
    blob_unref(letter->l.blob);
    buf_fini(&letter->l.memory);
    if (letter->queues->o.budget != NULL)
        budget_give(letter->queues->o.budget, letter->paid_bytes);
    mem_free(letter);
}

void letters_send(struct queue *queue, int64_t now_ns)
{
    struct queues *qs = queue->queues;
    LIST_FOR_SAFE (it, &queue->letters_failed) {
        struct letter *letter = CONTAINER_OF(it, struct letter, l.link);
        if (letter->retry_ns > now_ns)
            break; // in order of failing
        list_remove(it);
        list_push_back(&queue->letters_due, it);
    }
    struct list *it;
    ASSERT(queue->running);
    while ((it = list_pop_front(&queue->letters_due)) != NULL) {
        list_push_back(&queue->letters_sent, it);
        qs->o.dead_letter(qs->o.arg, queue, CONTAINER_OF(it, struct queue_letter, link));
    }
}

int64_t letters_deadline(const struct queue *queue)
{
    const struct list *first = list_first(&queue->letters_failed);
    return first == NULL ? INT64_MAX : CONTAINER_OF(first, struct letter, l.link)->retry_ns;
}

void queue_letter_done(struct queue_letter *l, int err)
{
    struct letter *letter = CONTAINER_OF(l, struct letter, l);
    struct queue *q = l->queue;
    if (q == NULL) { // the queue has gone, and what it held with it
        letter_free(letter);
        return;
    }
    ASSERT(!list_empty(&l->link)); // it was sent
    ASSERT(q->letters_open > 0);
    queue_activate(q);
    if (err != 0) {
        letter->retry_ns = queues_now_ns(q->queues) + QUEUE_RETRY_NS;
        list_remove(&l->link);
        list_push_back(&q->letters_failed, &l->link);
        return;
    }
    q->letters_open--;
    q->counts.dead_lettered++;
    letter_settle(&q->levels[l->level], l->offset);
    letter_free(letter);
}

void letters_drop(struct queue *queue)
{
    struct list *mine[] = {&queue->letters_due, &queue->letters_failed};
    for (size_t i = 0; i < 2; i++) {
        struct list *it;
        while ((it = list_first(mine[i])) != NULL)
            letter_free(CONTAINER_OF(it, struct letter, l.link));
    }
    struct list *it;
    while ((it = list_pop_front(&queue->letters_sent)) != NULL)
        CONTAINER_OF(it, struct queue_letter, link)->queue = NULL;
}

void letters_free(struct queues *queues)
{
    struct list *it;
    while ((it = list_first(&queues->letters)) != NULL)
        letter_free(CONTAINER_OF(it, struct letter, link));
}
