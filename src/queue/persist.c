// SPDX-License-Identifier: Apache-2.0
//
// What survives of queues: one frame per partition and turn with what was settled, and a whole set
// per partition that changed in every checkpoint. Restoring comes before there are queues: the sets
// wait by the log's key until queue_open asks for them.
//
// A cut moves the list of changes aside; when the checkpoint is installed they are done with, when
// it is abandoned they go back to the front. The tombstone of a deleted queue stays until then,
// because an earlier snapshot of the chain may still hold its set.
#include <string.h>

#include "queue/queue_int.h"

#define STATE_VALUE_MAX ((size_t)1 << 30)

// ---- restoring

struct stored { // a set without a queue
    struct map_node node;
    struct log_key key;
    struct lease_set set;
};

static bool stored_eq(const struct map_node *node, const void *key)
{
    const struct log_key *a = &CONTAINER_OF(node, struct stored, node)->key, *b = key;
    return a->partition == b->partition && uuid_eq(&a->topic, &b->topic);
}

void stored_init(struct queues *queues)
{
    map_init(&queues->stored, stored_eq, queues->o.hash_seed);
}

static uint64_t stored_hash(const struct queues *queues, const struct log_key *key)
{
    uint8_t bytes[LEASE_KEY_BYTES];
    lease_key_put(key, bytes);
    return map_hash(&queues->stored, slice_of(bytes, sizeof bytes));
}

static struct stored *stored_find(struct queues *queues, const struct log_key *key)
{
    struct map_node *node = map_find(&queues->stored, stored_hash(queues, key), key);
    return node == NULL ? NULL : CONTAINER_OF(node, struct stored, node);
}

static struct stored *stored_make(struct queues *queues, const struct log_key *key)
{
    struct stored *s = stored_find(queues, key);
    if (s != NULL)
        return s;
    s = mem_zalloc(sizeof *s);
    s->key = *key;
    lease_set_init(&s->set, &queues->pool, 0);
    map_insert(&queues->stored, &s->node, stored_hash(queues, key));
    return s;
}

static void stored_drop(struct queues *queues, struct stored *s)
{
    lease_set_fini(&s->set);
    map_remove(&queues->stored, &s->node);
    mem_free(s);
}

void stored_free(struct queues *queues)
{
    MAP_FOR_SAFE (it, &queues->stored)
        stored_drop(queues, CONTAINER_OF(it, struct stored, node.order));
    map_fini(&queues->stored);
}

void stored_take(struct level *level)
{
    struct queues *qs = level->queue->queues;
    struct stored *s = stored_find(qs, log_key(level->log));
    if (s == NULL)
        return;
    ASSERT(lease_set_empty(&level->set)); // it is new
    level->set = s->set;
    lease_set_init(&s->set, &qs->pool, 0);
    stored_drop(qs, s);
}

int queues_record_key(const struct state_record *record, struct log_key *out)
{
    return record->kind == STATE_LEASES ? lease_key_get(record->key, out) : ERR_NOT_FOUND;
}

int queues_frame_key(const struct journal_replayed *frame, struct log_key *out)
{
    return frame->kind == JOURNAL_LEASE ? lease_key_get(frame->head, out) : ERR_NOT_FOUND;
}

int queues_restore_record(struct queues *queues, const struct state_record *record)
{
    struct log_key key;
    ASSERT(!queues->started);
    int err = queues_record_key(record, &key);
    if (err != 0)
        return err;
    struct stored *s = stored_find(queues, &key);
    if (record->value.data == NULL) {
        if (s != NULL)
            stored_drop(queues, s);
        return 0;
    }
    struct lease_set set;
    lease_set_init(&set, &queues->pool, 0);
    err = lease_restore(&set, record->value);
    if (err != 0)
        return err;
    s = stored_make(queues, &key);
    lease_set_fini(&s->set);
    s->set = set;
    return 0;
}

int queues_replay(struct queues *queues, const struct journal_replayed *frame)
{
    struct log_key key;
    struct cursor ranges;
    ASSERT(!queues->started);
    int err = queues_frame_key(frame, &key);
    if (err == 0)
        err = lease_frame_open(frame->body, &ranges);
    if (err != 0)
        return err;
    struct stored *s = stored_make(queues, &key);
    struct lease_range range;
    int64_t last = 0;
    while (lease_frame_next(&ranges, &last, &range))
        lease_restore_settled(&s->set, range);
    return 0;
}

// ---- journalling

void level_journal(struct level *level)
{
    struct queues *qs = level->queue->queues;
    uint8_t head[LEASE_KEY_BYTES];
    int64_t last = 0;
    ASSERT(level->queue->durable);
    ASSERT(level->ranges_count > 0);
    ASSERT(level->ranges_count <= QUEUE_RANGES_MAX);
    list_remove(&level->settling);
    buf_clear(&qs->frame);
    lease_frame_begin(&qs->frame);
    for (uint32_t i = 0; i < level->ranges_count; i++)
        lease_frame_put(&qs->frame, &last, level->ranges[i]);
    level->ranges_count = 0;
    ASSERT(qs->frame.err == 0);
    lease_key_put(log_key(level->log), head);
    struct blob *body;
    int err = blob_create(qs->frame.len, NULL, &body);
    ASSERT(err == 0); // small, and our own
    memcpy(body->data, qs->frame.data, qs->frame.len);
    const struct journal_write write = {
        .kind = JOURNAL_LEASE,
        .head = slice_of(head, sizeof head),
        .body = {.blob = body, .off = 0, .len = qs->frame.len},
        .lazy = true, // an acknowledgement is not answered
    };
    if (!bug(BUG_ACK_LOST))
        journal_add(qs->port, &write);
    blob_unref(body);
}

void queues_journal(struct queues *queues)
{
    struct list *it;
    while ((it = list_first(&queues->settling)) != NULL)
        level_journal(CONTAINER_OF(it, struct level, settling));
}

void level_save(struct level *level)
{
    struct queues *qs = level->queue->queues;
    uint8_t key[LEASE_KEY_BYTES];
    lease_key_put(log_key(level->log), key);
    struct buf value;
    buf_init(&value, STATE_VALUE_MAX);
    lease_encode(&level->set, false, &value);
    ASSERT(value.err == 0);
    const struct state_record record = {STATE_LEASES, slice_of(key, sizeof key), buf_slice(&value)};
    state_write(qs->port, &record, NULL, NULL);
    buf_fini(&value);
}

// ---- cuts

void dirty_mark(struct queues *queues, struct dirty *dirty)
{
    ASSERT(dirty->kind == DIRTY_LEVEL || list_empty(&dirty->link));
    list_remove(&dirty->link); // also out of the cut under way, which has the older state
    list_push_back(&queues->dirty, &dirty->link);
}

void dirty_gone(struct queues *queues, const struct log_key *key)
{
    struct gone *gone = mem_zalloc(sizeof *gone);
    gone->dirty.kind = DIRTY_GONE;
    gone->key = *key;
    list_init(&gone->dirty.link);
    dirty_mark(queues, &gone->dirty);
}

static void cut_level(struct queues *queues, const struct level *level, struct buf *out)
{
    uint8_t key[LEASE_KEY_BYTES];
    lease_key_put(log_key(level->log), key);
    buf_clear(&queues->frame);
    lease_encode(&level->set, queues->stopped, &queues->frame);
    ASSERT(queues->frame.err == 0);
    state_put(out, &(struct state_record){STATE_LEASES, slice_of(key, sizeof key),
                                          buf_slice(&queues->frame)});
}

static void cut_gone(const struct gone *gone, struct buf *out)
{
    uint8_t key[LEASE_KEY_BYTES];
    lease_key_put(&gone->key, key);
    state_put(out, &(struct state_record){STATE_LEASES, slice_of(key, sizeof key), SLICE_NULL});
}

// Else it is as a new one is. That nobody had anything of it yet must be said as well: it is what
// stands when the server stops, and no longer when it has started again.
bool level_known(const struct level *level)
{
    return log_end_offset(level->log) > 0;
}

static void cut_all(struct queues *queues, struct buf *out)
{
    LIST_FOR (it, &queues->by_id.order) {
        const struct queue *q = CONTAINER_OF(it, struct queue, node.order);
        for (uint32_t i = 0; i < q->levels_count && q->durable; i++) {
            if (level_known(&q->levels[i]))
                cut_level(queues, &q->levels[i], out);
        }
    }
}

// What is emitted must be in the journal before the cut counts: what this turn has settled so far
// is added first.
void queues_cut(struct queues *queues, bool full, struct buf *out)
{
    ASSERT(list_empty(&queues->cutting)); // one at a time: the last was settled
    queues_journal(queues);
    list_splice_back(&queues->cutting, &queues->dirty);
    if (full) {
        cut_all(queues, out);
        return;
    }
    LIST_FOR (d, &queues->cutting) {
        struct dirty *dirty = CONTAINER_OF(d, struct dirty, link);
        if (dirty->kind == DIRTY_GONE)
            cut_gone(CONTAINER_OF(dirty, struct gone, dirty), out);
        else
            cut_level(queues, CONTAINER_OF(dirty, struct level, dirty), out);
    }
}

static void dirty_drop(struct list *list)
{
    struct list *it;
    while ((it = list_pop_front(list)) != NULL) {
        struct dirty *dirty = CONTAINER_OF(it, struct dirty, link);
        if (dirty->kind == DIRTY_GONE)
            mem_free(CONTAINER_OF(dirty, struct gone, dirty));
    }
}

void queues_settled(struct queues *queues, bool installed)
{
    if (installed) {
        dirty_drop(&queues->cutting);
        return;
    }
    list_splice_back(&queues->cutting, &queues->dirty); // what changed since then is newer
    list_splice_back(&queues->dirty, &queues->cutting);
}

void dirty_free(struct queues *queues)
{
    dirty_drop(&queues->dirty);
    dirty_drop(&queues->cutting);
}
