// SPDX-License-Identifier: Apache-2.0
//
// Appending, and what follows when the journal answers. Everything about a batch (offset, segment,
// position, index entry) is decided here, on the shard, before anything is written anywhere: the
// writer and recovery only carry it out, and both may do so twice.
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/log_int.h"

// ---- segments

struct segment *segments_insert(struct segment **array, uint32_t *count, uint32_t *cap,
                                const struct segment *segment)
{
    if (*count == *cap) {
        *cap = *cap == 0 ? 1 : *cap * 2;
        *array = mem_realloc(*array, *cap * sizeof **array);
    }
    uint32_t at = *count;
    while (at > 0 && (*array)[at - 1].base_offset > segment->base_offset)
        at--;
    memmove(*array + at + 1, *array + at, (*count - at) * sizeof **array);
    (*array)[at] = *segment;
    (*count)++;
    return *array + at;
}

void segments_remove(struct segment *array, uint32_t *count, uint32_t index)
{
    ASSERT(index < *count);
    segment_fini(&array[index]);
    memmove(array + index, array + index + 1, (*count - index - 1) * sizeof *array);
    (*count)--;
}

struct segment *log_active(struct log *log)
{
    if (log->segments_count == 0)
        return NULL;
    struct segment *s = &log->segments[log->segments_count - 1];
    return s->state == SEGMENT_ACTIVE ? s : NULL;
}

uint32_t log_segment_index(const struct log *log, int64_t offset)
{
    uint32_t low = 0, high = log->segments_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (log->segments[mid].base_offset <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low == 0 ? 0 : low - 1;
}

struct segment *log_segment_at(const struct log *log, int64_t base_offset)
{
    if (log->segments_count == 0)
        return NULL;
    struct segment *s = &log->segments[log_segment_index(log, base_offset)];
    return s->base_offset == base_offset ? s : NULL;
}

struct segment *log_roll(struct log *log, int64_t base_offset)
{
    struct segment *active = log_active(log);
    if (active != NULL) {
        ASSERT(base_offset > active->last_offset);
        segment_seal(active);
    }
    ASSERT(base_offset >= log->end_offset);
    struct segment fresh;
    segment_init(&fresh, base_offset);
    log_mark_dirty(log);
    return segments_insert(&log->segments, &log->segments_count, &log->segments_cap, &fresh);
}

bool log_must_roll(const struct log *log, const struct batch *batch)
{
    if (log->segments_count == 0)
        return true;
    const struct segment *s = &log->segments[log->segments_count - 1];
    if (s->state != SEGMENT_ACTIVE)
        return true;
    if (s->size_bytes == 0)
        return false;
    if (s->size_bytes + (uint64_t)batch->size_bytes > log->options.segment_bytes)
        return true;
    if (log->end_offset + batch->last_offset_delta - s->base_offset > INT32_MAX)
        return true;
    // Kafka's rule: by the distance of this batch's time from that of the segment's first batch.
    return log->options.segment_ms > 0 && s->first_timestamp_ms >= 0 &&
           batch->max_timestamp_ms - s->first_timestamp_ms > log->options.segment_ms;
}

// ---- epochs

void log_epoch_add(struct log *log, int32_t epoch, int64_t offset)
{
    if (epoch < 0)
        return;
    if (log->epochs_count > 0 && log->epochs[log->epochs_count - 1].epoch >= epoch)
        return;
    if (log->epochs_count == log->epochs_cap) {
        log->epochs_cap = log->epochs_cap == 0 ? 2 : log->epochs_cap * 2;
        log->epochs = mem_realloc(log->epochs, log->epochs_cap * sizeof *log->epochs);
    }
    ASSERT(log->epochs_count == 0 || log->epochs[log->epochs_count - 1].start_offset <= offset);
    log->epochs[log->epochs_count++] = (struct epoch){.epoch = epoch, .start_offset = offset};
}

// Below the start offset only the epoch that reaches over it is kept, as if it began there.
void log_epochs_trim(struct log *log)
{
    uint32_t drop = 0;
    while (drop + 1 < log->epochs_count && log->epochs[drop + 1].start_offset <= log->start_offset)
        drop++;
    ASSERT(drop == 0 || drop < log->epochs_count);
    log->epochs_count -= drop;
    if (drop > 0)
        memmove(log->epochs, log->epochs + drop, log->epochs_count * sizeof *log->epochs);
    if (log->epochs_count > 0 && log->epochs[0].start_offset < log->start_offset)
        log->epochs[0].start_offset = log->start_offset;
}

void log_epoch_end(const struct log *log, int32_t epoch, int32_t *out_epoch,
                   int64_t *out_end_offset)
{
    *out_epoch = -1;
    *out_end_offset = -1;
    for (uint32_t i = log->epochs_count; i-- > 0;) {
        if (log->epochs[i].epoch > epoch)
            continue;
        *out_epoch = log->epochs[i].epoch;
        *out_end_offset =
            i + 1 < log->epochs_count ? log->epochs[i + 1].start_offset : log->end_offset;
        return;
    }
}

int32_t log_epoch_at(const struct log *log, int64_t offset)
{
    if (offset >= log->end_offset)
        return -1;
    for (uint32_t i = log->epochs_count; i-- > 0;) {
        if (log->epochs[i].start_offset <= offset)
            return log->epochs[i].epoch;
    }
    return -1;
}

// ---- the tail

bool log_tail_droppable(const struct log *log)
{
    if (tail_empty(&log->tail))
        return false;
    return log->tail.first < log->tail.durable && tail_at(&log->tail, log->tail.first)->written;
}

void log_tail_pop(struct log *log)
{
    struct log_store *store = log->store;
    const struct tail_entry *e = tail_at(&log->tail, log->tail.first);
    size_t bytes = e->piece.len;
    ASSERT(store->stats.tail_bytes >= bytes);
    ASSERT(log->tail.first < log->tail.durable); // the only copy is not dropped
    if (!e->written) {
        ASSERT(log->unwritten_bytes >= bytes);
        log->unwritten_bytes -= bytes;
        store->stats.unwritten_bytes -= bytes;
    }
    tail_pop(&log->tail);
    if (log->unwritten_from < log->tail.first)
        log->unwritten_from = log->tail.first;
    budget_give(log_budget(log), bytes);
    store->stats.tail_bytes -= bytes;
    if (tail_empty(&log->tail))
        list_remove(&log->tail_link);
}

void log_tail_shrink(struct log *log, uint64_t keep_bytes)
{
    while (log->tail.bytes > keep_bytes && log_tail_droppable(log))
        log_tail_pop(log);
}

void log_tail_add(struct log *log, const struct frame_batch *f, struct blob_piece piece)
{
    struct log_store *store = log->store;
    ASSERT(piece.len > 0);
    ASSERT(piece.off + piece.len <= piece.blob->size);
    if (tail_empty(&log->tail))
        list_push_back(&store->resident, &log->tail_link);
    ASSERT(tail_empty(&log->tail) ||
           tail_at(&log->tail, log->tail.end - 1)->last_offset + 1 == f->base_offset);
    blob_ref(piece.blob);
    *tail_push(&log->tail) = (struct tail_entry){
        .piece = piece,
        .base_offset = f->base_offset,
        .last_offset = f->last_offset,
        .segment = f->segment,
        .max_timestamp_ms = f->max_timestamp_ms,
        .position = f->position,
        .leader_epoch = f->leader_epoch,
        .written = false,
    };
    log->tail.bytes += piece.len;
    store->stats.tail_bytes += piece.len;
    log->unwritten_bytes += piece.len;
    store->stats.unwritten_bytes += piece.len;
}

// ---- marks and waiters

void log_advance(struct log *log, int64_t high_watermark)
{
    ASSERT(high_watermark >= log->high_watermark);
    ASSERT(high_watermark <= log->end_offset);
    log->high_watermark = high_watermark;
    struct list *first = list_first(&log->waiters);
    if (first == NULL || !list_empty(&log->moved_link))
        return;
    if (CONTAINER_OF(first, struct log_waiter, link)->offset <= high_watermark)
        list_push_back(&log->store->moved, &log->moved_link);
}

void log_wait(struct log *log, struct log_waiter *waiter, int64_t offset)
{
    ASSERT(!log->deleted);
    waiter->offset = offset;
    list_init(&waiter->link);
    // Appends wait for ever higher offsets, so the place is nearly always the end.
    struct list *at = &log->waiters;
    while (at->prev != &log->waiters &&
           CONTAINER_OF(at->prev, struct log_waiter, link)->offset > offset)
        at = at->prev;
    list_insert_before(at, &waiter->link);
    if (offset <= log->high_watermark && list_empty(&log->moved_link)) {
        list_push_back(&log->store->moved, &log->moved_link);
        store_wake(log->store);
    }
}

void log_wait_cancel(struct log_waiter *waiter)
{
    list_remove(&waiter->link);
}

// ---- appending

// Frames of one log come home in the order of its tail, and replay knows no holes: so the way to
// durability changes only between batches, and from relaxed to journalled only when a checkpoint
// names all that was appended before.
void log_relax(struct log *log)
{
    bool under_way = log->store->started && log->tail.durable != log->tail.end;
    if (log->options.relaxed == log->wants_relaxed || under_way)
        return;
    if (log->unjournalled && !log->wants_relaxed)
        return;
    log->options.relaxed = log->wants_relaxed;
}

void log_place(struct log *log, const struct frame_batch *f)
{
    struct segment *s = log_active(log);
    ASSERT(s != NULL);
    segment_add(s, f, log->options.index_interval_bytes);
    segment_invariant(s);
    log->size_bytes += f->size_bytes;
    log_epoch_add(log, f->leader_epoch, f->base_offset);
    ASSERT(f->base_offset >= log->end_offset);
    log->end_offset = f->last_offset + 1;
    log_mark_dirty(log);
}

static void schedule_write(struct log *log)
{
    if (log->unwritten_bytes >= log->store->o.write_min_bytes || log->options.relaxed) {
        if (list_empty(&log->write_link))
            list_push_back(&log->store->to_write, &log->write_link);
    }
}

static void batch_done(void *arg, const struct journal_frame *frame, int err)
{
    struct log *log = arg;
    ASSERT(log->pending > 0);
    log->pending--;
    if (err != 0)
        store_fail(log->store, err, "journal");
    if (err == 0 && !log->deleted) {
        struct tail_entry *e = tail_at(&log->tail, log->tail.durable);
        ASSERT(frame->w.target_pos == e->position);
        ASSERT(frame->w.target_file == (uint64_t)e->segment);
        ASSERT(e->last_offset < log->end_offset);
        log->tail.durable++;
        log->readable_bytes += e->piece.len;
        if (frame->direct) {
            log->store->stats.direct_bytes += e->piece.len;
            if (!e->written) {
                e->written = true;
                log->unwritten_bytes -= e->piece.len;
                log->store->stats.unwritten_bytes -= e->piece.len;
            }
        }
        log_advance(log, e->last_offset + 1);
        log_tail_shrink(log, log->store->o.tail_bytes_per_log);
        schedule_write(log);
        log_invariant(log);
    }
    log_settle(log);
}

static void journal_batch(struct log *log, const struct frame_batch *f, struct blob_piece piece)
{
    uint8_t head[FRAME_BATCH_BYTES];
    frame_batch_put(head, f);
    struct journal_write w = {
        .kind = JOURNAL_BATCH,
        .head = slice_of(head, sizeof head),
        .body = piece,
        .target = log->tidy ? &log->target : NULL, // else the tidying might cut it off
        .target_pos = f->position,
        .target_file = (uint64_t)f->segment,
        .ref_len = BATCH_HEADER_BYTES,
        .done = batch_done,
        .arg = log,
    };
    log->pending++;
    journal_add(log->store->o.port, &w);
}

// Durable is what the turn has left behind: see log_store_turn_end.
static void append_memory(struct log *log)
{
    if (list_empty(&log->write_link))
        list_push_back(&log->store->to_write, &log->write_link);
}

// Batches stay in the tail where they came in, without a copy. But one that is a small part of what
// it came in would keep all of that in memory for as long, and the tails' budget counts only its
// own bytes: a request that names a thousand quiet partitions would be held a thousand times over.
// So what would waste more than a third of itself gets a blob of its own. A reference for the
// caller.
static struct blob_piece tail_piece(struct blob_piece piece)
{
    struct blob *own;
    if (piece.len < piece.blob->size / 4 * 3 && blob_create(piece.len, NULL, &own) == 0) {
        memcpy(own->data, piece.blob->data + piece.off, piece.len);
        return (struct blob_piece){own, 0, piece.len};
    }
    blob_ref(piece.blob);
    return piece;
}

int log_append(struct log *log, struct blob_piece piece, const struct batch *batch,
               int32_t leader_epoch, struct log_appended *out)
{
    struct log_store *store = log->store;
    ASSERT(piece.len == batch->size_bytes);
    ASSERT(batch->last_offset_delta >= 0);
    ASSERT(store->started);
    if (log->deleted)
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (store->failed)
        return ERR_STOPPED;
    // While segments cannot be written no checkpoint ends and the journal's room is all there is:
    // it is kept for deletions, which make room, and for what is too small to wait.
    if (!log->options.memory && (store->nospace || journal_starved(store->o.port)))
        return ERR_NOSPACE;
    bool memory = log->options.memory;
    int err = log_take(log, piece.len);
    if (err != 0)
        return err;
    log_relax(log);
    log->unjournalled |= log->options.relaxed;
    struct segment *s = log_active(log);
    if (log_must_roll(log, batch))
        s = log_roll(log, log->end_offset);
    ASSERT(s != NULL);
    struct frame_batch f = {
        .key = log->key,
        .leader_epoch = leader_epoch,
        .base_offset = log->end_offset,
        .last_offset = log->end_offset + batch->last_offset_delta,
        .segment = s->base_offset,
        .position = s->size_bytes,
        .size_bytes = batch->size_bytes,
        .max_timestamp_ms = batch->max_timestamp_ms,
    };
    ASSERT(f.last_offset < INT64_MAX);
    piece = tail_piece(piece);
    batch_set_offset(piece.blob->data + piece.off, f.base_offset, leader_epoch);
    log_tail_add(log, &f, piece);
    log_place(log, &f);
    if (memory)
        append_memory(log);
    else if (log->options.relaxed)
        schedule_write(log);
    else
        journal_batch(log, &f, piece);
    blob_unref(piece.blob); // the tail and the journal have theirs
    store->stats.appended_batches++;
    store->stats.appended_bytes += piece.len;
    log_invariant(log);
    *out = (struct log_appended){
        .base_offset = f.base_offset,
        .last_offset = f.last_offset,
        .append_time_ms = batch_log_append_time(batch) ? batch->max_timestamp_ms : -1,
    };
    return 0;
}
