// SPDX-License-Identifier: Apache-2.0
//
// All queues of a shard: their life, and the turn's end, where everything happens that a queue
// does: records are handed out, frames are journalled, logs give back. Calls from outside only note
// what is to be done, so no callback runs inside one.

#include "queue/queue_int.h"

static bool queue_eq(const struct map_node *node, const void *key)
{
    return uuid_eq(&CONTAINER_OF(node, struct queue, node)->id, key);
}

int64_t queues_now_ns(const struct queues *queues)
{
    return io_now_ns(queues->shard);
}

int64_t queues_now_ms(const struct queues *queues)
{
    return io_wall_ms(queues->shard);
}

static void wake_run(struct io_msg *msg)
{
    CONTAINER_OF(msg, struct queues, wake)->wake_posted = false;
}

void queues_wake(struct queues *queues)
{
    if (queues->wake_posted || queues->shard == NULL)
        return;
    queues->wake_posted = true;
    io_post(queues->shard, &queues->wake);
}

// A small part of all memory, since every shard has as much.
static size_t windows_max(const struct budget *budget)
{
    int64_t part = budget == NULL ? QUEUE_WINDOWS_MAX : budget->limit_bytes / 128;
    if (part < QUEUE_WINDOWS_MIN)
        return QUEUE_WINDOWS_MIN;
    return part > QUEUE_WINDOWS_MAX ? QUEUE_WINDOWS_MAX : (size_t)part;
}

struct queues *queues_create(const struct queues_options *options)
{
    struct queues *qs = mem_zalloc(sizeof *qs);
    qs->o = *options;
    map_init(&qs->by_id, queue_eq, options->hash_seed);
    stored_init(qs);
    lease_pool_init(&qs->pool, options->budget, options->hash_seed);
    struct list *heads[] = {&qs->active,  &qs->unused,    &qs->settling,  &qs->moved,
                            &qs->behind,  &qs->cancelled, &qs->void_gets, &qs->dirty,
                            &qs->cutting, &qs->windows,   &qs->reads,     &qs->starved,
                            &qs->letters};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        list_init(heads[i]);
    qs->windows_max = windows_max(options->budget);
    buf_init(&qs->frame, (size_t)1 << 30); // a set of ten million exceptions takes 40 MB
    qs->wake.run = wake_run;
    return qs;
}

void queues_start(struct queues *queues, struct io *shard, struct journal_port *port, bool clean)
{
    ASSERT(!queues->started);
    ASSERT(port != NULL);
    queues->shard = shard;
    queues->port = port;
    queues->started = true;
    LIST_FOR (it, &queues->by_id.order) {
        struct queue *q = CONTAINER_OF(it, struct queue, node.order);
        for (uint32_t i = 0; i < q->levels_count; i++)
            level_start(&q->levels[i], clean);
        queue_begin(q);
    }
    stored_free(queues);
    if (!list_empty(&queues->active))
        queues_wake(queues);
}

void queues_stop(struct queues *queues)
{
    ASSERT(queues->started);
    ASSERT(!queues->ending);
    queues->stopped = true;
    LIST_FOR (it, &queues->by_id.order) {
        struct queue *q = CONTAINER_OF(it, struct queue, node.order);
        io_timer_stop(queues->shard, &q->timer);
        for (uint32_t i = 0; i < q->levels_count; i++) {
            struct level *level = &q->levels[i];
            log_wait_cancel(&level->waiter);
            level->waiting = false;
            if (q->durable && level_known(level))
                dirty_mark(queues, &level->dirty); // the last cut says that it is the last
        }
    }
}

void queues_destroy(struct queues *queues)
{
    if (queues == NULL)
        return;
    queues->shard = NULL;
    while (list_pop_front(&queues->cancelled) != NULL)
        ; // they were not told in time
    while (list_pop_front(&queues->void_gets) != NULL)
        ;
    MAP_FOR_SAFE (it, &queues->by_id)
        queue_free(CONTAINER_OF(it, struct queue, node.order));
    windows_free(queues);
    letters_free(queues);
    ASSERT(list_empty(&queues->settling));
    ASSERT(list_empty(&queues->moved));
    ASSERT(list_empty(&queues->behind));
    stored_free(queues);
    dirty_free(queues);
    ASSERT(queues->windows_bytes == 0);
    ASSERT(list_empty(&queues->windows));
    lease_pool_fini(&queues->pool);
    map_fini(&queues->by_id);
    buf_fini(&queues->frame);
    mem_free(queues);
}

struct queue *queue_by_id(struct queues *queues, const struct uuid *id)
{
    uint64_t hash = map_hash(&queues->by_id, slice_of(id->bytes, sizeof id->bytes));
    struct map_node *node = map_find(&queues->by_id, hash, id);
    return node == NULL ? NULL : CONTAINER_OF(node, struct queue, node);
}

// ---- the turn's end

static void tell_void_gets(struct queues *queues)
{
    struct list gets;
    list_init(&gets);
    list_splice_back(&gets, &queues->void_gets);
    struct list *it;
    while ((it = list_pop_front(&gets)) != NULL) {
        struct queue_get *get = CONTAINER_OF(it, struct queue_get, link);
        get->ready_left = 0;
        get->done(get, ERR_NOT_FOUND);
    }
}

// Those that are active now, each once: what becomes active meanwhile has the next turn.
static void run_active(struct queues *queues)
{
    struct list now;
    uint32_t work = 0;
    list_init(&now);
    list_splice_back(&now, &queues->active);
    struct list *it;
    while (work < QUEUE_TURN_MAX && (it = list_pop_front(&now)) != NULL)
        work += queue_run(CONTAINER_OF(it, struct queue, active_link));
    // Who had no turn comes first in the next one.
    list_splice_back(&now, &queues->active);
    list_splice_back(&queues->active, &now);
}

static void tell_unused(struct queues *queues)
{
    struct list now;
    list_init(&now);
    list_splice_back(&now, &queues->unused);
    struct list *it;
    while ((it = list_pop_front(&now)) != NULL) {
        struct queue *q = CONTAINER_OF(it, struct queue, unused_link);
        if (q->consumers == 0 && queues->o.unused != NULL)
            queues->o.unused(queues->o.arg, q);
    }
}

static void journal_and_trim(struct queues *queues)
{
    queues_journal(queues);
    struct list *it;
    while ((it = list_pop_front(&queues->moved)) != NULL)
        level_give_back(CONTAINER_OF(it, struct level, trimming));
}

void queues_turn_end(struct queues *queues)
{
    ASSERT(queues->started);
    ASSERT(!queues->ending);
    queues->ending = true;
    if (!queues->stopped) {
        consumers_tell_cancelled(queues);
        tell_void_gets(queues);
        run_active(queues);
        windows_feed(queues);
        tell_unused(queues);
    }
    journal_and_trim(queues);
    queues->ending = false;
    bool more = !list_empty(&queues->active) || !list_empty(&queues->unused) ||
                !list_empty(&queues->cancelled) || !list_empty(&queues->void_gets);
    if (more && !queues->stopped)
        queues_wake(queues);
}

void queues_tick(struct queues *queues, int64_t now_ms)
{
    ASSERT(queues->started);
    struct list now;
    list_init(&now);
    list_splice_back(&now, &queues->behind);
    list_splice_back(&now, &queues->moved);
    struct list *it;
    while ((it = list_pop_front(&now)) != NULL)
        level_tick(CONTAINER_OF(it, struct level, trimming), now_ms);
    queues_journal(queues); // what is settled is known before it is gone
    LIST_FOR (q, &queues->by_id.order) {
        struct queue *queue = CONTAINER_OF(q, struct queue, node.order);
        for (uint32_t i = 0; i < queue->levels_count; i++)
            level_give_back_holes(&queue->levels[i]);
    }
}
