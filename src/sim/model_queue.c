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
        if (msg->suspect == ch || msg->suspect_other == ch)
            msg->suspect = msg->suspect_other = NULL;
        if (msg->acked_by == ch)
            msg->acked_by = NULL;
        if (msg->again == ch)
            msg->again = NULL;
    }
    list_remove(&ch->link);
    mem_free(ch);
}

void queues_model_server_gone(struct model_queues *mq)
{
    MAP_FOR_SAFE (it, &mq->messages) {
        struct model_message *msg = message_of(it);
        msg->holder = NULL;
        msg->suspect = msg->suspect_other = NULL;
        msg->again = NULL;
    }
}

// What this channel's being alive at that stamp says about a message.
static void message_prove(struct model_queues *mq, struct model_message *msg,
                          struct model_queue_channel *ch, uint64_t sent)
{
    if (msg->acked_by == ch && msg->acked < sent)
        msg->acked_handled = true;
    if (msg->again == ch && msg->again_stamp < sent) {
        if (msg->acked < msg->again_stamp)
            msg->acked = 0;
        msg->again = NULL;
    }
    if (msg->suspect == NULL || msg->suspect_stamp >= sent)
        return;
    msg->suspect_alive |= msg->suspect == ch;
    msg->suspect_other_alive |= msg->suspect_other == ch;
    if (msg->suspect_alive && msg->suspect_other_alive)
        model_fail(mq->model,
                   "queue %s: message %llu was given to another channel while %s held it",
                   msg->queue->name, (unsigned long long)msg->id, msg->suspect->name);
}

void queue_channel_answered(struct model_queues *mq, struct model_queue_channel *ch, uint64_t sent)
{
    if (ch->start != mq->model->start || sent <= ch->alive)
        return;
    ch->alive = sent;
    mq->model->checks++;
    if (ch->doubt_stamp != 0 && ch->doubt_stamp < sent)
        model_fail(mq->model, "%s", ch->doubt);
    MAP_FOR_SAFE (it, &mq->messages)
        message_prove(mq, message_of(it), ch, sent);
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

// Why a message should not have come; NULL: it may.
static const char *again_why(const struct model_queues *mq, const struct model_message *msg)
{
    if (msg->acked_durable)
        return "came again after its acknowledgement was durable";
    if (msg->acked_handled && msg->acked_start == mq->model->start)
        return "came again after it was acknowledged";
    return NULL;
}

// A delivery of what somebody has or had. True: it is in doubt, and nothing else is learned from
// it.
static bool doubt(struct model_queues *mq, struct model_queue_channel *ch,
                  struct model_message *msg, bool redelivered)
{
    const char *why = again_why(mq, msg);
    if (why == NULL && msg->delivered && !redelivered)
        why = "came a second time without the flag";
    if (why != NULL && ch->doubt_stamp == 0) {
        ch->doubt_stamp = model_now(mq->model);
        (void)snprintf(ch->doubt, sizeof ch->doubt, "queue %s: message %llu %s", msg->queue->name,
                       (unsigned long long)msg->id, why);
    }
    if (why != NULL)
        return true;
    if (msg->holder != NULL && msg->holder != ch && msg->holder->start == mq->model->start) {
        msg->suspect = msg->holder;
        msg->suspect_other = ch;
        msg->suspect_alive = msg->suspect_other_alive = false;
        msg->suspect_stamp = model_now(mq->model);
    }
    return false;
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
    msg->queue->delivered++;
    if (msg->queue == q && !msg->rejected) {
        if (doubt(mq, ch, msg, redelivered))
            return;
        if (!redelivered && ch->consumes == q)
            order_check(mq, ch, msg);
    }
    msg->delivered = true;
    msg->from = q;
    msg->holder = ch;
    msg->again = msg->acked != 0 ? ch : NULL;
    msg->again_stamp = model_now(mq->model);
    msg->acked_by = NULL;
    msg->acked_handled = false;
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
    const char *why = msg->rejected ? NULL : again_why(mq, msg);
    if (why != NULL)
        model_fail(mq->model, "queue %s: message %llu %s", msg->queue->name, (unsigned long long)id,
                   why);
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
