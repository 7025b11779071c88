// SPDX-License-Identifier: Apache-2.0
//
// Idempotent producers of one partition: a map by producer id, and the same entries in order of
// their last batch, so that expiry and the limit take the oldest first. The rules are those of
// Kafka's ProducerAppendInfo and ProducerStateEntry for batches that come from clients. An entry
// holds five batches in place: a heap of its own per batch would cost more than it saves. A
// partition without producers costs this struct and nothing else; there may be ten thousand.
//
// Kafka expires by the batches' own timestamps, so a producer that replays last year's events is
// forgotten between two batches; here the time of the append counts.
//
// LAYOUT of the STATE_PRODUCERS value (little-endian); oldest producer first
//   OFFSET SIZE FIELD
//   0      1    format version = 1
//   1      3    zero
//   4      4    producers n
//   8      …    n times:
//     0    8      producer id
//     8    2      producer epoch
//     10   1      batches kept b (1 to 5)
//     11   5      zero
//     16   8      time of the last append, ms
//     24   24 b   oldest first: i32 last sequence, i32 offset delta, i64 last offset,
//                 i64 max timestamp, ms
#include "txn/producers.h"

#include <string.h>

#include "base/assert.h"
#include "base/bugs.h"
#include "base/err.h"
#include "base/mem.h"

#define PRODUCERS_FORMAT      1
#define PRODUCERS_MAX         16384 // per partition; beyond it the one silent longest is forgotten
#define PRODUCERS_ENTRY_BYTES 24
#define PRODUCERS_BATCH_BYTES 24

struct producer_batch {
    int32_t last_sequence, offset_delta;
    int64_t last_offset, timestamp_ms;
};
_Static_assert(sizeof(struct producer_batch) == PRODUCERS_BATCH_BYTES, "as on disk");

struct producer {
    struct map_node node;
    struct list recent;
    int64_t id, last_append_ms;
    int16_t epoch;
    uint8_t batches_count;
    struct producer_batch batches[PRODUCERS_BATCHES]; // oldest first
};

struct producers {
    struct map by_id;
    struct list recent; // the longest silent first
    bool dirty;
};

static bool producer_eq(const struct map_node *node, const void *key)
{
    return CONTAINER_OF(node, struct producer, node)->id == *(const int64_t *)key;
}

struct producers *producers_create(uint64_t hash_seed)
{
    struct producers *p = mem_zalloc(sizeof *p);
    map_init(&p->by_id, producer_eq, hash_seed);
    list_init(&p->recent);
    return p;
}

static void producer_remove(struct producers *p, struct producer *e)
{
    ASSERT(p->by_id.count > 0);
    map_remove(&p->by_id, &e->node);
    list_remove(&e->recent);
    mem_free(e);
    p->dirty = true;
}

static void producers_clear(struct producers *p)
{
    LIST_FOR_SAFE (it, &p->recent)
        producer_remove(p, CONTAINER_OF(it, struct producer, recent));
    ASSERT(p->by_id.count == 0);
}

void producers_destroy(struct producers *p)
{
    if (p == NULL)
        return;
    producers_clear(p);
    map_fini(&p->by_id);
    mem_free(p);
}

static struct producer *producer_find(const struct producers *p, int64_t id)
{
    struct map_node *node = map_find(&p->by_id, map_hash_u64(&p->by_id, (uint64_t)id), &id);
    return node == NULL ? NULL : CONTAINER_OF(node, struct producer, node);
}

static struct producer *producer_add(struct producers *p, int64_t id)
{
    ASSERT(id >= 0);
    if (p->by_id.count >= PRODUCERS_MAX)
        producer_remove(p, CONTAINER_OF(list_first(&p->recent), struct producer, recent));
    struct producer *e = mem_zalloc(sizeof *e);
    e->id = id;
    e->epoch = -1;
    map_insert(&p->by_id, &e->node, map_hash_u64(&p->by_id, (uint64_t)id));
    list_push_back(&p->recent, &e->recent);
    return e;
}

// ---- sequences: 31 bits that wrap to 0

static int32_t sequence_add(int32_t sequence, int32_t delta)
{
    ASSERT(sequence >= 0);
    ASSERT(delta >= 0);
    return (int32_t)(((uint32_t)sequence + (uint32_t)delta) & INT32_MAX);
}

static int32_t sequence_sub(int32_t sequence, int32_t delta)
{
    ASSERT(sequence >= 0);
    ASSERT(delta >= 0);
    return (int32_t)(((uint32_t)sequence - (uint32_t)delta) & INT32_MAX);
}

static const struct producer_batch *producer_duplicate(const struct producer *e,
                                                       const struct batch *batch)
{
    int32_t last = sequence_add(batch->base_sequence, batch->last_offset_delta);
    for (uint32_t i = 0; i < e->batches_count; i++) {
        const struct producer_batch *b = &e->batches[i];
        if (b->last_sequence == last &&
            sequence_sub(b->last_sequence, b->offset_delta) == batch->base_sequence)
            return b;
    }
    return NULL;
}

static const struct producer_batch *producer_last(const struct producer *e)
{
    ASSERT(e->batches_count > 0);
    ASSERT(e->batches_count <= PRODUCERS_BATCHES);
    return &e->batches[e->batches_count - 1];
}

// KIP-360: a producer that the partition does not know, because its records were deleted or it was
// silent too long, may begin with any sequence. A new epoch of a known one begins at 0.
static int producer_check_order(const struct producer *e, const struct batch *batch)
{
    if (e == NULL)
        return 0;
    if (batch->producer_epoch < e->epoch)
        return ERR_INVALID_PRODUCER_EPOCH;
    int32_t expected = 0;
    if (batch->producer_epoch == e->epoch)
        expected = sequence_add(producer_last(e)->last_sequence, 1);
    return batch->base_sequence == expected ? 0 : ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

int producers_check(const struct producers *p, const struct batch *batch,
                    struct producers_verdict *out)
{
    struct producers_verdict verdict = {.base_offset = -1, .last_offset = -1, .timestamp_ms = -1};
    if (batch->producer_id >= 0) {
        if (batch->base_sequence < 0 || batch->last_offset_delta < 0)
            return ERR_INVALID_RECORD; // a caller checks this before; nothing below may rest on it
        const struct producer *e = producer_find(p, batch->producer_id);
        const struct producer_batch *first = NULL;
        if (e != NULL && e->epoch == batch->producer_epoch)
            first = producer_duplicate(e, batch);
        if (first != NULL && !bug(BUG_DUP_SEQUENCE)) {
            verdict.duplicate = true;
            verdict.last_offset = first->last_offset;
            verdict.base_offset = first->last_offset - first->offset_delta;
            verdict.timestamp_ms = first->timestamp_ms;
        } else if (first == NULL) {
            int err = producer_check_order(e, batch);
            if (err != 0)
                return err;
        }
    }
    *out = verdict;
    return 0;
}

void producers_append(struct producers *p, const struct batch *batch, int64_t now_ms)
{
    if (batch->producer_id < 0 || batch_control(batch) || batch->base_sequence < 0)
        return; // batches of ours and markers have no sequence
    ASSERT(batch->last_offset_delta >= 0);
    struct producer *e = producer_find(p, batch->producer_id);
    if (e != NULL && batch_last_offset(batch) <= producer_last(e)->last_offset)
        return; // replay over a snapshot that has it
    if (e == NULL)
        e = producer_add(p, batch->producer_id);
    if (e->epoch != batch->producer_epoch) {
        e->epoch = batch->producer_epoch;
        e->batches_count = 0; // an older epoch's batches can no longer come
    }
    if (e->batches_count == PRODUCERS_BATCHES) {
        memmove(&e->batches[0], &e->batches[1],
                (PRODUCERS_BATCHES - 1) * sizeof(struct producer_batch));
        e->batches_count--;
    }
    e->batches[e->batches_count++] = (struct producer_batch){
        .last_sequence = sequence_add(batch->base_sequence, batch->last_offset_delta),
        .offset_delta = batch->last_offset_delta,
        .last_offset = batch_last_offset(batch),
        .timestamp_ms = batch->max_timestamp_ms,
    };
    e->last_append_ms = now_ms;
    list_remove(&e->recent);
    list_push_back(&p->recent, &e->recent);
    p->dirty = true;
    ASSERT(p->by_id.count <= PRODUCERS_MAX);
}

bool producers_expire(struct producers *p, int64_t before_ms)
{
    bool changed = false;
    for (struct list *it = list_first(&p->recent); it != NULL; it = list_first(&p->recent)) {
        struct producer *e = CONTAINER_OF(it, struct producer, recent);
        if (e->last_append_ms >= before_ms)
            break;
        producer_remove(p, e);
        changed = true;
    }
    return changed;
}

uint32_t producers_count(const struct producers *p)
{
    return (uint32_t)p->by_id.count;
}

bool producers_dirty(const struct producers *p)
{
    return p->dirty;
}

void producers_each(const struct producers *p,
                    void (*fn)(void *arg, const struct producer_info *info), void *arg)
{
    LIST_FOR (it, &p->recent) {
        const struct producer *e = CONTAINER_OF(it, struct producer, recent);
        const struct producer_batch *last = producer_last(e);
        fn(arg, &(struct producer_info){.producer_id = e->id,
                                        .epoch = e->epoch,
                                        .last_sequence = last->last_sequence,
                                        .last_timestamp_ms = last->timestamp_ms,
                                        .last_offset = last->last_offset});
    }
}

// ---- snapshot

static void producer_put(const struct producer *e, struct buf *out)
{
    buf_put_le64(out, (uint64_t)e->id);
    buf_put_le16(out, (uint16_t)e->epoch);
    buf_put_u8(out, e->batches_count);
    buf_put_zero(out, 5);
    buf_put_le64(out, (uint64_t)e->last_append_ms);
    for (uint32_t i = 0; i < e->batches_count; i++) {
        const struct producer_batch *b = &e->batches[i];
        buf_put_le32(out, (uint32_t)b->last_sequence);
        buf_put_le32(out, (uint32_t)b->offset_delta);
        buf_put_le64(out, (uint64_t)b->last_offset);
        buf_put_le64(out, (uint64_t)b->timestamp_ms);
    }
}

void producers_snapshot(struct producers *p, struct buf *out)
{
    uint32_t count = (uint32_t)p->by_id.count;
    buf_put_u8(out, PRODUCERS_FORMAT);
    buf_put_zero(out, 3);
    buf_put_le32(out, count);
    LIST_FOR (it, &p->recent) {
        ASSERT(count > 0);
        count--;
        producer_put(CONTAINER_OF(it, struct producer, recent), out);
    }
    ASSERT(count == 0);
    p->dirty = false;
}

static int producer_get(struct producers *p, struct cursor *in)
{
    int64_t id = (int64_t)cursor_le64(in);
    int16_t epoch = (int16_t)cursor_le16(in);
    uint8_t count = cursor_u8(in);
    cursor_skip(in, 5);
    int64_t last_append_ms = (int64_t)cursor_le64(in);
    if (in->err != 0 || id < 0 || epoch < 0 || count == 0 || count > PRODUCERS_BATCHES ||
        producer_find(p, id) != NULL)
        return ERR_CORRUPT;
    struct producer *e = producer_add(p, id);
    e->epoch = epoch;
    e->batches_count = count;
    e->last_append_ms = last_append_ms;
    for (uint32_t i = 0; i < count; i++) {
        struct producer_batch *b = &e->batches[i];
        b->last_sequence = (int32_t)cursor_le32(in);
        b->offset_delta = (int32_t)cursor_le32(in);
        b->last_offset = (int64_t)cursor_le64(in);
        b->timestamp_ms = (int64_t)cursor_le64(in);
        if (b->last_sequence < 0 || b->offset_delta < 0 || b->last_offset < b->offset_delta)
            return ERR_CORRUPT;
    }
    return in->err != 0 ? ERR_CORRUPT : 0;
}

int producers_restore(struct producers *p, struct slice value)
{
    struct cursor in = cursor_of(value);
    uint8_t version = cursor_u8(&in);
    cursor_skip(&in, 3);
    uint32_t count = cursor_le32(&in);
    if (in.err != 0)
        return ERR_CORRUPT;
    if (version != PRODUCERS_FORMAT)
        return ERR_FORMAT_VERSION;
    if (count > PRODUCERS_MAX)
        return ERR_CORRUPT;
    producers_clear(p);
    for (uint32_t i = 0; i < count; i++) {
        int err = producer_get(p, &in);
        if (err != 0) {
            producers_clear(p);
            return err;
        }
    }
    p->dirty = false;
    return cursor_left(&in) == 0 ? 0 : ERR_CORRUPT;
}

// ---- producer ids

int producer_ids_take(struct producer_ids *ids, int64_t *out)
{
    ASSERT(ids->next >= 0);
    ASSERT(ids->next <= ids->end);
    if (ids->next == ids->end || ids->next >= ids->durable_end)
        return ERR_AGAIN;
    *out = ids->next++;
    return 0;
}

void producer_ids_grant(struct producer_ids *ids, int64_t block_end)
{
    ASSERT(block_end >= ids->durable_end);
    ASSERT(block_end >= PRODUCER_IDS_BLOCK);
    if (ids->next == ids->end) // an unused rest stays in hand when two grants cross
        ids->next = block_end - PRODUCER_IDS_BLOCK;
    ids->end = block_end;
    ids->durable_end = block_end;
}
