// SPDX-License-Identifier: Apache-2.0
//
// The end of a lease.
//
//   ACKNOWLEDGE   settled
//   RELEASE       available in its old place; delivered delivery_limit times: dies
//   REJECT        dies
//   to die        with dead_letter: condemned, and becomes a letter; else settled
#include "queue/queue_int.h"

static bool die(struct level *level, uint64_t holder, int64_t offset,
                enum message_death_reason reason)
{
    if (level->queue->settings.dead_letter)
        return lease_condemn(&level->set, offset, holder, (uint64_t)reason);
    ASSERT(holder != HOLDER_LETTERS);
    if (!lease_settle(&level->set, offset, holder))
        return false;
    level_settled(level, (struct lease_range){offset, offset + 1});
    return true;
}

static bool give_up(const struct level *level, uint64_t holder, int64_t offset)
{
    uint32_t limit = level->queue->settings.delivery_limit;
    return limit > 0 && lease_deliveries(&level->set, offset, holder) >= limit;
}

static void release(struct level *level, uint64_t holder, int64_t offset)
{
    struct queue *q = level->queue;
    bool done = give_up(level, holder, offset) ? die(level, holder, offset, DEATH_DELIVERY_LIMIT)
                                               : lease_release(&level->set, offset, holder);
    q->counts.released += done ? 1 : 0;
    if (done)
        queue_activate(q);
}

void queue_settle(struct queue *queue, uint64_t holder, int32_t level_number, int64_t offset,
                  enum queue_outcome outcome)
{
    if (level_number < 0 || (uint32_t)level_number >= queue->levels_count ||
        holder == HOLDER_LETTERS)
        return;
    struct level *level = &queue->levels[level_number];
    switch (outcome) {
    case QUEUE_ACKNOWLEDGE:
        if (lease_settle(&level->set, offset, holder)) {
            level_settled(level, (struct lease_range){offset, offset + 1});
            queue->counts.settled++;
        }
        break;
    case QUEUE_RELEASE:
        release(level, holder, offset);
        break;
    case QUEUE_REJECT:
        if (die(level, holder, offset, DEATH_REJECTED)) {
            queue->counts.rejected++;
            queue_activate(queue);
        }
        break;
    }
}
