// SPDX-License-Identifier: Apache-2.0
//
// The rules of model_queue.h. A message that was rejected may exist twice after a crash (the copy
// was durable, the original not settled), so what holds for one copy is not asked of the other.
#include "sim/model_queue.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"

static bool message_eq(const struct map_node *node, const void *key)
{
    return CONTAINER_OF(node, const struct model_message, node)->id == *(const uint64_t *)key;
}

static struct model_message *message_of(struct list *it)
{
    return CONTAINER_OF(CONTAINER_OF(it, struct map_node, order), struct model_message, node);
}

static struct model_message *message_find(struct model_queues *mq, uint64_t id)
{
    struct map_node *node = map_find(&mq->messages, map_hash_u64(&mq->messages, id), &id);
    return node != NULL ? CONTAINER_OF(node, struct model_message, node) : NULL;
}

void queues_model_init(struct model_queues *mq, struct model *m)
{
    *mq = (struct model_queues){.model = m};
    list_init(&mq->queues);
    list_init(&mq->channels);
    map_init(&mq->messages, message_eq, 0);
}

void queues_model_fini(struct model_queues *mq)
{
    MAP_FOR_SAFE (it, &mq->messages)
        mem_free(message_of(it));
    map_fini(&mq->messages);
    LIST_FOR_SAFE (it, &mq->channels)
        mem_free(CONTAINER_OF(it, struct model_queue_channel, link));
    LIST_FOR_SAFE (it, &mq->queues)
        mem_free(CONTAINER_OF(it, struct model_queue, link));
}

struct model_queue *queue_model_create(struct model_queues *mq, const char *name, bool durable)
{
    struct model_queue *q = mem_zalloc(sizeof *q);
    (void)snprintf(q->name, sizeof q->name, "%s", name);
    q->durable = durable;
    list_push_back(&mq->queues, &q->link);
    return q;
}

// ---- channels

struct model_queue_channel *queue_channel_open(struct model_queues *mq, const char *name)
{
    struct model_queue_channel *ch = mem_zalloc(sizeof *ch);
    (void)snprintf(ch->name, sizeof ch->name, "%s", name);
    ch->start = mq->model->start;
    ch->alive = model_now(mq->model);
    list_push_back(&mq->channels, &ch->link);
    return ch;
}

void queue_channel_gone(struct model_queues *mq, struct model_queue_channel *ch)
{
    MAP_FOR_SAFE (it, &mq->messages) {
        struct model_message *msg = message_of(it);
        if (msg->holder == ch)
            msg->holder = NULL;
        if (msg->suspect == ch)
            msg->suspect = NULL;
        if (msg->acked_by == ch)
            msg->acked_by = NULL;
    }
    list_remove(&ch->link);
    mem_free(ch);
}

void queues_model_server_gone(struct model_queues *mq)
{
    MAP_FOR_SAFE (it, &mq->messages) {
        struct model_message *msg = message_of(it);
        msg->holder = NULL;
        msg->suspect = NULL;
    }
}

void queue_channel_answered(struct model_queues *mq, struct model_queue_channel *ch, uint64_t sent)
{
    if (ch->start != mq->model->start || sent <= ch->alive)
        return;
    ch->alive = sent;
    mq->model->checks++;
    MAP_FOR_SAFE (it, &mq->messages) {
        struct model_message *msg = message_of(it);
        if (msg->acked_by == ch && msg->acked < sent)
            msg->acked_handled = true;
        if (msg->suspect == ch && msg->suspect_stamp < sent)
            model_fail(mq->model,
                       "queue %s: message %llu was given to another channel while %s held it",
                       msg->queue->name, (unsigned long long)msg->id, ch->name);
    }
}

void queue_channel_consumes(struct model_queue_channel *ch, const struct model_queue *q)
{
    ch->consumes = q;
    ch->seen_count = 0;
}

// ---- publishing

void queue_published(struct model_queues *mq, struct model_queue *q, uint32_t publisher,
                     uint64_t sequence, uint64_t id)
{
    ASSERT(sequence > 0);
    ASSERT(message_find(mq, id) == NULL);
    struct model_message *msg = mem_zalloc(sizeof *msg);
    msg->id = id;
    msg->queue = q;
    msg->publisher = publisher;
    msg->sequence = sequence;
    msg->outcome = MODEL_OPEN;
    q->published++;
    map_insert(&mq->messages, &msg->node, map_hash_u64(&mq->messages, id));
}

void queue_publish_ended(struct model_queues *mq, uint64_t id, enum model_outcome outcome)
{
    struct model_message *msg = message_find(mq, id);
    ASSERT(msg != NULL);
    ASSERT(msg->outcome == MODEL_OPEN);
    msg->outcome = outcome;
}

void queue_acks_durable(struct model_queues *mq, struct model_queue_channel *ch,
                        const struct model_queue *q, uint64_t sent)
{
    MAP_FOR_SAFE (it, &mq->messages) {
        struct model_message *msg = message_of(it);
        if (msg->acked_by == ch && msg->queue == q && !msg->rejected && msg->acked < sent &&
            q->durable)
            msg->acked_durable = true;
    }
}

// ---- consuming

static bool may_come_from(const struct model_message *msg, const struct model_queue *q)
{
    return msg->queue == q || (msg->rejected && msg->queue->dead == q);
}

// The newest that the consumer saw of this publisher; what has fallen out of the table is no check
// lost but for its first message.
static struct model_queue_seen *seen_of(struct model_queue_channel *ch, uint32_t publisher)
{
    uint32_t known = ch->seen_count < MODEL_QUEUE_SEEN ? ch->seen_count : MODEL_QUEUE_SEEN;
    for (uint32_t i = 0; i < known; i++)
        if (ch->seen[i].publisher == publisher)
            return &ch->seen[i];
    struct model_queue_seen *fresh = &ch->seen[ch->seen_count++ % MODEL_QUEUE_SEEN];
    *fresh = (struct model_queue_seen){.publisher = publisher};
    return fresh;
}

static void order_check(struct model_queues *mq, struct model_queue_channel *ch,
                        const struct model_message *msg)
{
    struct model_queue_seen *seen = seen_of(ch, msg->publisher);
    if (msg->sequence <= seen->sequence)
        model_fail(mq->model,
                   "queue %s: %s was given message %llu of publisher %u after its message %llu, "
                   "neither flagged redelivered",
                   msg->queue->name, ch->name, (unsigned long long)msg->sequence, msg->publisher,
                   (unsigned long long)seen->sequence);
    else
        seen->sequence = msg->sequence;
}

static void again_check(struct model_queues *mq, const struct model_message *msg)
{
    struct model *m = mq->model;
    unsigned long long id = msg->id;
    if (msg->acked_durable)
        model_fail(m, "queue %s: message %llu came again after its acknowledgement was durable",
                   msg->queue->name, id);
    else if (msg->acked_handled && msg->acked_start == m->start)
        model_fail(m, "queue %s: message %llu came again after it was acknowledged",
                   msg->queue->name, id);
}

void queue_delivered(struct model_queues *mq, struct model_queue_channel *ch,
                     const struct model_queue *q, uint64_t id, bool redelivered)
{
    struct model_message *msg = message_find(mq, id);
    mq->model->checks++;
    if (msg == NULL || !may_come_from(msg, q)) {
        model_fail(mq->model, "queue %s: message %llu came, which nobody has sent there", q->name,
                   (unsigned long long)id);
        return;
    }
    if (ch->start != mq->model->start)
        return; // it was on its way when the server died
    if (msg->queue == q && !msg->rejected) {
        again_check(mq, msg);
        if (msg->delivered && !redelivered)
            model_fail(mq->model, "queue %s: message %llu came a second time without the flag",
                       q->name, (unsigned long long)id);
        if (!redelivered && ch->consumes == q)
            order_check(mq, ch, msg);
        if (msg->holder != NULL && msg->holder != ch && msg->holder->start == mq->model->start) {
            msg->suspect = msg->holder;
            msg->suspect_stamp = model_now(mq->model);
        }
    }
    msg->delivered = true;
    msg->from = q;
    msg->holder = ch;
    msg->acked = 0;
    msg->acked_by = NULL;
    msg->acked_handled = false;
    msg->queue->delivered++;
}

static struct model_message *held(struct model_queues *mq, struct model_queue_channel *ch,
                                  uint64_t id)
{
    struct model_message *msg = message_find(mq, id);
    ASSERT(msg != NULL);
    if (msg->suspect == ch) // it lets go of what it should not have held alone
        msg->suspect = NULL;
    if (msg->holder != ch)
        return NULL;
    msg->holder = NULL;
    return msg;
}

// What is sent to a server that is gone settles nothing.
static bool of_another_start(const struct model_queues *mq, const struct model_queue_channel *ch)
{
    return ch->start != mq->model->start;
}

void queue_ack_sent(struct model_queues *mq, struct model_queue_channel *ch, uint64_t id)
{
    if (of_another_start(mq, ch))
        return;
    struct model_message *msg = held(mq, ch, id);
    if (msg == NULL)
        msg = message_find(mq, id); // whoever holds it now: this may settle it all the same
    msg->acked = model_now(mq->model);
    msg->acked_by = ch;
    msg->acked_start = mq->model->start;
}

void queue_release_sent(struct model_queues *mq, struct model_queue_channel *ch, uint64_t id)
{
    (void)held(mq, ch, id);
}

void queue_reject_sent(struct model_queues *mq, struct model_queue_channel *ch, uint64_t id)
{
    struct model_message *msg = message_find(mq, id);
    if (of_another_start(mq, ch))
        return;
    (void)held(mq, ch, id);
    if (msg->from->dead != NULL)
        msg->rejected = true;
    else
        msg->acked = model_now(mq->model); // dropped: as good as acknowledged
}

// ---- the end

void queue_drained(struct model_queues *mq, const struct model_queue *q, uint64_t id)
{
    struct model_message *msg = message_find(mq, id);
    mq->model->checks++;
    if (msg == NULL || !may_come_from(msg, q)) {
        model_fail(mq->model, "queue %s: message %llu is in it, which nobody has sent there",
                   q->name, (unsigned long long)id);
        return;
    }
    if (msg->drained && !msg->rejected)
        model_fail(mq->model, "queue %s: message %llu is in it twice", q->name,
                   (unsigned long long)id);
    if (!msg->rejected)
        again_check(mq, msg);
    msg->drained = true;
    msg->queue->drained++;
}

void queues_model_final(struct model_queues *mq)
{
    MAP_FOR_SAFE (it, &mq->messages) {
        const struct model_message *msg = message_of(it);
        mq->model->checks++;
        if (msg->queue->durable && msg->outcome == MODEL_OK && msg->acked == 0 && !msg->drained)
            model_fail(mq->model,
                       "queue %s: message %llu was confirmed, nobody took it, and it is gone",
                       msg->queue->name, (unsigned long long)msg->id);
    }
}
