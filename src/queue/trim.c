// SPDX-License-Identifier: Apache-2.0
//
// Giving back what is settled: the log's start follows the lease set's. In memory at once; on disk
// when it is worth a frame, since files go by whole segments anyway, and at every tick; with
// retention after acknowledgement when its time is over, which marks (time, start) tell. Marks are
// not on disk: after a restart what is settled is kept anew for that long.
//
// One message that nobody acknowledges must not keep everything that came after it: what is settled
// above the start goes by whole segments as well, at ticks. Not while Kafka's readers may still
// want it: there are no marks for holes.
#include <string.h>

#include "queue/queue_int.h"

#define WORTH_BYTES ((uint64_t)1 << 20)

void level_moved(struct level *level)
{
    list_remove(&level->trimming);
    list_push_back(&level->queue->queues->moved, &level->trimming);
}

static int64_t behind(const struct level *level)
{
    return level->set.start - log_start_offset(level->log);
}

static void await_tick(struct level *level)
{
    list_push_back(&level->queue->queues->behind, &level->trimming);
}

static void give_back(struct level *level, int64_t start)
{
    ASSERT(start <= level->set.start); // what is not settled stays
    ASSERT(list_empty(&level->trimming));
    int err = log_set_start(level->log, start);
    ASSERT(err == 0 || err == ERR_UNKNOWN_TOPIC_OR_PARTITION); // it is being deleted
    if (err == 0 && behind(level) > 0)
        await_tick(level);
}

void level_give_back(struct level *level)
{
    bool keeps = level->queue->settings.retention_after_ack_ms > 0;
    if (behind(level) <= 0)
        return;
    if (!level->queue->durable ||
        (!keeps && (uint64_t)behind(level) >= WORTH_BYTES * 16 / (level->average_bytes + 1)))
        give_back(level, level->set.start);
    else
        await_tick(level);
}

// ---- retention after acknowledgement

static void mark_add(struct level *level, int64_t now_ms)
{
    int64_t retention_ms = level->queue->settings.retention_after_ack_ms;
    uint32_t n = level->marks_count;
    ASSERT(n <= TIME_MARKS_MAX);
    const struct time_mark *last = n == 0 ? NULL : &level->marks[n - 1];
    // So far apart that a full table spans the retention.
    bool due = last == NULL || now_ms - last->time_ms >= retention_ms / (TIME_MARKS_MAX - 1);
    if (!due || n == TIME_MARKS_MAX || (last != NULL && last->start >= level->set.start))
        return;
    if (level->marks == NULL)
        level->marks = mem_zalloc(TIME_MARKS_MAX * sizeof *level->marks);
    level->marks[level->marks_count++] = (struct time_mark){now_ms, level->set.start};
}

// The wall clock has gone back: what it marked ahead counts from now.
static void marks_rewind(struct level *level, int64_t now_ms)
{
    for (uint32_t i = level->marks_count; i-- > 0 && level->marks[i].time_ms > now_ms;)
        level->marks[i].time_ms = now_ms;
}

// Up to where the retention is over.
static int64_t marks_expire(struct level *level, int64_t now_ms)
{
    int64_t retention_ms = level->queue->settings.retention_after_ack_ms;
    int64_t start = log_start_offset(level->log);
    uint32_t old = 0;
    while (old < level->marks_count && now_ms - level->marks[old].time_ms >= retention_ms)
        start = level->marks[old++].start;
    if (old == 0)
        return start;
    level->marks_count -= old;
    memmove(level->marks, level->marks + old, level->marks_count * sizeof *level->marks);
    return start;
}

void level_tick(struct level *level, int64_t now_ms)
{
    if (behind(level) <= 0)
        return;
    if (level->queue->settings.retention_after_ack_ms == 0 || !level->queue->durable) {
        level->marks_count = 0;
        give_back(level, level->set.start);
        return;
    }
    marks_rewind(level, now_ms);
    mark_add(level, now_ms);
    give_back(level, marks_expire(level, now_ms));
}

static bool hole_give_back(void *arg, struct lease_range range)
{
    const struct level *level = arg;
    return log_drop_segments(level->log, range.from, range.to) >= 0;
}

void level_give_back_holes(struct level *level)
{
    if (level->queue->durable && level->queue->settings.retention_after_ack_ms == 0 &&
        level->set.start < level->set.next)
        lease_settled_each(&level->set, hole_give_back, level);
}
