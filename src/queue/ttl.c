// SPDX-License-Identifier: Apache-2.0
//
// Time to live, as RabbitMQ's classic queues have it: a message expires when it is at the head of
// its level and its time is over, whether or not anybody reads. So only heads are looked at, and a
// timer is set for the earliest of them. Time is the wall clock's.
#include "queue/queue_int.h"

int64_t message_deadline(const struct queue *queue, const struct message *m)
{
    int64_t deadline = m->expires_ms >= 0 ? m->expires_ms : INT64_MAX;
    int64_t ttl = queue->settings.message_ttl_ms;
    // A stranger's record may have no time, or one beyond reason: then it has no age either.
    if (ttl < 0 || m->published_ms < 0 || m->published_ms > INT64_MAX - ttl)
        return deadline;
    return m->published_ms + ttl < deadline ? m->published_ms + ttl : deadline;
}

// "Setting the TTL to 0 causes messages to be expired upon reaching a queue unless they can be
// delivered to a consumer immediately": `taker`, and nobody has seen it before.
bool head_expired(const struct head *head, int64_t now_ms, bool taker)
{
    const struct message *m = &head->window->message;
    int64_t deadline = message_deadline(head->level->queue, m);
    if (deadline > now_ms)
        return false;
    bool at_once = deadline <= m->published_ms && head->offset >= head->level->seen;
    return !(at_once && taker);
}

bool queue_expire_head(struct queue *q, const struct head *head)
{
    struct level *level = head->level;
    int64_t end = level_end(level);
    if (!q->settings.dead_letter) {
        level_settled(level, lease_skip(&level->set, end, head->offset + 1));
        q->counts.expired++;
        return true;
    }
    ASSERT(head->offset < end);
    if (letters_full(q))
        return false; // letter_done will make the queue active
    if (lease_acquire(&level->set, end, HOLDER_LETTERS) != 0) {
        queue_retry_at(q, queues_now_ns(q->queues) + QUEUE_SHORT_NS);
        return false;
    }
    letter_make(head, DEATH_EXPIRED);
    q->counts.expired++;
    return true;
}

static uint32_t level_expire(struct level *level, int64_t now_ms, uint32_t most)
{
    struct queue *q = level->queue;
    struct head head;
    int found = 0;
    uint32_t work = 0;
    for (; work < most; work++) {
        found = level_head(level, &head);
        if (found <= 0 || !head_expired(&head, now_ms, false))
            break;
        if (!queue_expire_head(q, &head))
            break;
    }
    level->head = found > 0 ? head.offset : -1;
    ASSERT(found <= 0 || head.level == level);
    if (found > 0) {
        level->head_published_ms = head.window->message.published_ms;
        level->head_expires_ms = message_deadline(q, &head.window->message);
    }
    // Behind one that waits nothing is delivered at once; what could not be looked at yet may be.
    level->seen = found > 0 ? INT64_MAX : found < 0 ? level->set.next : level_end(level);
    if (found == 0) {
        window_rest(level->fresh);
        window_rest(level->again);
    }
    level_await(level);
    return work;
}

// After a round: what is left at the heads was not taken. Unless it is known already and its time
// has not come.
uint32_t queue_expire_all(struct queue *q, int64_t now_ms)
{
    uint32_t work = 0;
    for (uint32_t i = 0; i < q->levels_count && work < QUEUE_ROUND_MAX; i++) {
        struct level *level = &q->levels[i];
        uint32_t deliveries;
        int64_t offset = lease_head(&level->set, level_end(level), &deliveries);
        bool known = offset >= 0 && offset == level->head;
        if (!known || level->head_expires_ms <= now_ms)
            work += level_expire(level, now_ms, QUEUE_ROUND_MAX - work);
    }
    if (work == QUEUE_ROUND_MAX)
        queue_activate(q);
    return work;
}
