// SPDX-License-Identifier: Apache-2.0
//
// The life of a queue and of its levels.
#include "queue/queue.h"

#include "queue/queue_int.h"

// ---- life

static void settings_copy(struct queue *q, const struct queue_settings *settings)
{
    q->settings = *settings;
    q->settings.dead_exchange = slice_dup(settings->dead_exchange);
    q->settings.dead_key = slice_dup(settings->dead_key);
    if (q->queues->o.dead_letter == NULL)
        q->settings.dead_letter = false;
}

static void waiter_fired(struct log_waiter *waiter, int err)
{
    struct level *level = CONTAINER_OF(waiter, struct level, waiter);
    ASSERT(level->waiting);
    level->waiting = false;
    if (err != 0)
        return; // the log is being deleted: its queue goes as well
    queue_activate(level->queue);
    queues_wake(level->queue->queues); // this turn's end may be over for queues
}

static void level_init(struct level *level, struct queue *queue, struct log *log, uint32_t number)
{
    level->queue = queue;
    level->log = log;
    level->number = (int32_t)number;
    level->head = -1;
    level->head_expires_ms = INT64_MAX;
    level->waiter.fire = waiter_fired;
    level->dirty.kind = DIRTY_LEVEL;
    level->average_bytes = (uint64_t)16 * 256;
    struct list *links[] = {&level->waiter.link, &level->dirty.link, &level->settling,
                            &level->trimming};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        list_init(links[i]);
    lease_set_init(&level->set, &queue->queues->pool, log_start_offset(log));
}

static void timer_fired(struct io_timer *timer)
{
    struct queue *q = CONTAINER_OF(timer, struct queue, timer);
    q->timer_ns = INT64_MAX;
    queue_activate(q);
}

static void queue_init(struct queue *q)
{
    struct list *links[] = {&q->active_link, &q->starved,      &q->unused_link,
                            &q->ready,       &q->idle,         &q->gets,
                            &q->letters_due, &q->letters_sent, &q->letters_failed};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        list_init(links[i]);
    io_timer_init(&q->timer, timer_fired);
    q->timer_ns = q->retry_ns = INT64_MAX;
}

int queue_open(struct queues *queues, const struct uuid *id, struct slice name,
               const struct queue_settings *settings, struct log *const *logs, uint32_t levels,
               struct queue **out)
{
    ASSERT(levels > 0);
    ASSERT(levels <= QUEUE_LEVELS_MAX);
    if (queue_by_id(queues, id) != NULL)
        return ERR_EXISTS;
    struct queue *q = mem_zalloc(sizeof *q);
    queue_init(q);
    q->queues = queues;
    q->id = *id;
    q->name = slice_dup(name);
    settings_copy(q, settings);
    q->durable = !log_in_memory(logs[0]);
    q->levels = mem_zalloc(levels * sizeof *q->levels);
    q->levels_count = levels;
    for (uint32_t i = 0; i < levels; i++) {
        ASSERT(log_in_memory(logs[i]) != q->durable);
        level_init(&q->levels[i], q, logs[i], i);
        if (!queues->started)
            stored_take(&q->levels[i]);
    }
    map_insert(&queues->by_id, &q->node,
               map_hash(&queues->by_id, slice_of(id->bytes, sizeof id->bytes)));
    if (queues->started)
        queue_begin(q);
    *out = q;
    return 0;
}

void queue_begin(struct queue *q)
{
    q->used_ns = queues_now_ns(q->queues);
    q->idle_since_ms = queues_now_ms(q->queues);
    queue_activate(q);
}

static void level_free(struct level *level)
{
    window_release(level->fresh);
    window_release(level->again);
    lease_set_fini(&level->set);
    list_remove(&level->dirty.link);
    list_remove(&level->settling);
    list_remove(&level->trimming);
    mem_free(level->ranges);
    mem_free(level->marks);
}

void queue_free(struct queue *q)
{
    struct list *links[] = {&q->active_link, &q->starved, &q->unused_link};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        list_remove(links[i]);
    letters_drop(q);
    for (uint32_t i = 0; i < q->levels_count; i++)
        level_free(&q->levels[i]);
    ASSERT(list_empty(&q->letters_due));
    ASSERT(list_empty(&q->letters_sent));
    map_remove(&q->queues->by_id, &q->node);
    mem_free(q->levels);
    slice_free(q->settings.dead_exchange);
    slice_free(q->settings.dead_key);
    slice_free(q->name);
    mem_free(q);
}

void queue_destroy(struct queue *queue)
{
    struct queues *qs = queue->queues;
    ASSERT(!queue->running);
    consumers_cancel(queue);
    LIST_FOR (it, &queue->gets)
        CONTAINER_OF(it, struct queue_get, link)->queue = NULL;
    list_splice_back(&qs->void_gets, &queue->gets);
    if (qs->started) {
        io_timer_stop(qs->shard, &queue->timer);
        queues_wake(qs);
    }
    for (uint32_t i = 0; i < queue->levels_count; i++) {
        log_wait_cancel(&queue->levels[i].waiter);
        if (queue->durable)
            dirty_gone(qs, log_key(queue->levels[i].log));
    }
    queue_free(queue);
}

// ---- facts

const struct uuid *queue_id(const struct queue *queue)
{
    return &queue->id;
}

struct slice queue_name(const struct queue *queue)
{
    return queue->name;
}

const struct queue_settings *queue_settings(const struct queue *queue)
{
    return &queue->settings;
}

static int64_t head_published(const struct queue *q)
{
    int64_t oldest = -1;
    for (uint32_t i = 0; i < q->levels_count; i++) {
        const struct level *level = &q->levels[i];
        uint32_t deliveries;
        int64_t head = lease_head(&level->set, level_end(level), &deliveries);
        if (head < 0 || head != level->head || level->head_published_ms < 0)
            continue;
        if (oldest < 0 || level->head_published_ms < oldest)
            oldest = level->head_published_ms;
    }
    return oldest;
}

void queue_stats(const struct queue *queue, struct queue_stats *out)
{
    *out = queue->counts;
    for (uint32_t i = 0; i < queue->levels_count; i++) {
        const struct level *level = &queue->levels[i];
        out->ready += lease_ready(&level->set, level_end(level));
        out->leased += level->set.counts[LEASE_LEASED] + level->set.counts[LEASE_CONDEMNED];
        out->size_bytes += log_size_bytes(level->log);
    }
    out->consumers = queue->consumers;
    out->idle_since_ms = queue->consumers > 0 ? -1 : queue->idle_since_ms;
    out->head_ms = head_published(queue);
}

void queue_set_retention(struct queue *queue, int64_t retention_after_ack_ms)
{
    ASSERT(retention_after_ack_ms >= 0);
    queue->settings.retention_after_ack_ms = retention_after_ack_ms;
    for (uint32_t i = 0; i < queue->levels_count; i++)
        level_moved(&queue->levels[i]);
}

void queue_touch(struct queue *queue)
{
    queue->used_ns = queues_now_ns(queue->queues);
    queue->expired = false;
}

// A touch does not keep what goes with its last consumer.
bool queue_unused(const struct queue *queue)
{
    const struct queue_settings *s = &queue->settings;
    bool bereft = s->auto_delete && !queue_lingers(s) && queue->left;
    return queue->consumers == 0 && (queue->expired || bereft);
}

void queue_doom(struct queue *queue)
{
    queue->doomed = true;
}

bool queue_doomed(const struct queue *queue)
{
    return queue->doomed;
}

void queue_log_moved(struct queue *queue)
{
    for (uint32_t i = 0; i < queue->levels_count; i++)
        level_follow_log(&queue->levels[i]);
    queue_activate(queue);
}

static void purged(void *arg, struct lease_range range)
{
    level_settled(arg, range);
}

uint64_t queue_purge(struct queue *queue)
{
    uint64_t records = 0;
    for (uint32_t i = 0; i < queue->levels_count; i++) {
        struct level *level = &queue->levels[i];
        level_follow_log(level);
        records += lease_purge(&level->set, level_end(level), purged, level);
    }
    queue->counts.settled += records;
    queue_activate(queue); // waits for what comes next
    return records;
}

// ---- what is to be done

void queue_activate(struct queue *queue)
{
    struct queues *qs = queue->queues;
    if (list_empty(&queue->active_link) && qs->started)
        list_push_back(&qs->active, &queue->active_link);
}

void queue_retry_at(struct queue *queue, int64_t at_ns)
{
    if (at_ns < queue->retry_ns)
        queue->retry_ns = at_ns;
}

void queue_tell_unused(struct queue *queue)
{
    list_remove(&queue->unused_link);
    list_push_back(&queue->queues->unused, &queue->unused_link);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t queue_unused_ms(const struct queue *queue)
{
    const struct queue_settings *s = &queue->settings;
    return queue->left && queue_lingers(s) ? QUEUE_LINGER_MS : s->expires_ms;
}

// While nothing can expire, for want of memory or of letters that come home, no clock helps.
static int64_t expiry_deadline(const struct queue *q, int64_t now_ns)
{
    if (letters_full(q) || q->retry_ns != INT64_MAX)
        return INT64_MAX;
    int64_t expires_ms = INT64_MAX, now_ms = queues_now_ms(q->queues);
    for (uint32_t i = 0; i < q->levels_count; i++) {
        if (q->levels[i].head >= 0)
            expires_ms = earlier(expires_ms, q->levels[i].head_expires_ms);
    }
    if (expires_ms == INT64_MAX)
        return INT64_MAX;
    int64_t delay_ms = expires_ms > now_ms ? expires_ms - now_ms : 1;
    bool far = delay_ms > QUEUE_LOOK_NS / NS_PER_MS;
    return now_ns + (far ? QUEUE_LOOK_NS : delay_ms * NS_PER_MS);
}

void queue_timer_set(struct queue *queue, int64_t now_ns)
{
    int64_t at = earlier(queue->retry_ns, expiry_deadline(queue, now_ns));
    at = earlier(at, letters_deadline(queue));
    if (queue->settings.expires_ms >= 0 && queue->consumers == 0)
        at = earlier(at, queue->used_ns + queue_unused_ms(queue) * NS_PER_MS);
    if (at >= queue->timer_ns)
        return; // it looks again when it fires
    ASSERT(!queue->queues->stopped);
    queue->timer_ns = at;
    io_timer_start(queue->queues->shard, &queue->timer, at);
}

// ---- levels

int64_t level_end(const struct level *level)
{
    return log_high_watermark(level->log);
}

void level_start(struct level *level, bool clean)
{
    level_follow_log(level);
    if (level->queue->durable) {
        if (level->set.next > log_end_offset(level->log)) {
            lease_clamp(&level->set, log_end_offset(level->log));
            level_save(level); // frames that named what is gone must not come back
        }
        // A checkpoint that was the last thing before a crash looks clean: deliveries leave no
        // trace. So the set must say as well that there were none.
        if (!clean || !level->set.final)
            lease_suspect(&level->set, log_end_offset(level->log));
        if (level_known(level))
            dirty_mark(level->queue->queues, &level->dirty);
    }
    lease_check(&level->set);
    level->seen = level->set.next;
    level_moved(level);
}

void level_follow_log(struct level *level)
{
    int64_t start = log_start_offset(level->log);
    ASSERT(start >= 0);
    if (start <= level->set.start)
        return;
    lease_trim(&level->set, start);
    dirty_mark(level->queue->queues, &level->dirty);
}

void level_await(struct level *level)
{
    if (level->waiting || level->set.next < level_end(level))
        return;
    level->waiting = true;
    log_wait(level->log, &level->waiter, level->set.next + 1);
}

void level_settled(struct level *level, struct lease_range range)
{
    struct queues *qs = level->queue->queues;
    ASSERT(range.from < range.to);
    level_moved(level);
    if (!level->queue->durable)
        return;
    dirty_mark(qs, &level->dirty);
    uint32_t n = level->ranges_count;
    if (n > 0 && level->ranges[n - 1].to == range.from) {
        level->ranges[n - 1].to = range.to;
        return;
    }
    if (n == level->ranges_cap) {
        level->ranges_cap = n == 0 ? 8 : n * 2;
        level->ranges = mem_realloc(level->ranges, level->ranges_cap * sizeof *level->ranges);
    }
    level->ranges[level->ranges_count++] = range;
    if (list_empty(&level->settling))
        list_push_back(&qs->settling, &level->settling);
    if (level->ranges_count == QUEUE_RANGES_MAX)
        level_journal(level);
}
