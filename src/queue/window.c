// SPDX-License-Identifier: Apache-2.0
//
// A window onto a log: a few batches, opened one after the other, records read when they are asked
// for. A queue reads forward through what is new, and, in a second window, once more what was
// released. Windows hold references to the log's own blobs while the tail has them; else what the
// reader brought. They are dropped when they have been read, and the least recently used ones when
// those of all queues hold too much: a backlog costs no memory, nor do ten thousand of them.
//
// A stranger may have produced what lies there: what cannot be read as records is a gap.
#include <string.h>

#include "log/codec.h"
#include "queue/queue_int.h"

// ---- memory

static void hold(struct window *w, size_t bytes)
{
    w->held_bytes += bytes;
    w->queues->windows_bytes += bytes;
}

static void let_go(struct window *w, size_t bytes)
{
    ASSERT(w->held_bytes >= bytes);
    ASSERT(w->queues->windows_bytes >= bytes);
    w->held_bytes -= bytes;
    w->queues->windows_bytes -= bytes;
}

static void batch_close(struct window *w)
{
    if (!w->open)
        return;
    if (batch_codec(&w->batch) != BATCH_NONE && w->blob != NULL)
        let_go(w, w->blob->size);
    blob_unref(w->blob);
    w->blob = NULL;
    w->open = false;
}

static void piece_drop(struct window *w)
{
    ASSERT(w->piece < w->read.pieces_count);
    struct blob_piece *p = &w->read.pieces[w->piece++];
    let_go(w, p->len);
    blob_unref(p->blob);
    p->blob = NULL;
    w->at = 0;
}

static void window_clear(struct window *w)
{
    ASSERT(!w->pending);
    batch_close(w);
    while (w->piece < w->read.pieces_count)
        piece_drop(w);
    w->read.pieces_count = 0;
    w->piece = 0;
    ASSERT(w->held_bytes == 0);
    list_remove(&w->link);
}

static void window_touch(struct window *w)
{
    struct queues *qs = w->queues;
    list_remove(&w->link);
    list_push_back(&qs->windows, &w->link);
    while (qs->windows_bytes > qs->windows_max) {
        struct window *oldest = CONTAINER_OF(list_first(&qs->windows), struct window, link);
        if (oldest == w)
            return;
        window_clear(oldest);
    }
}

static void window_free(struct window *w)
{
    window_clear(w);
    log_read_release(&w->read);
    mem_free(w);
}

struct window *window_create(struct level *level)
{
    struct window *w = mem_zalloc(sizeof *w);
    w->queues = level->queue->queues;
    w->level = level;
    w->want_bytes = QUEUE_READ_MIN;
    list_init(&w->link);
    return w;
}

void window_rest(struct window *w)
{
    if (w != NULL && !w->pending)
        window_clear(w);
}

void window_release(struct window *w)
{
    if (w == NULL)
        return;
    w->level = NULL;
    if (!w->pending)
        window_free(w);
}

void windows_free(struct queues *queues)
{
    struct list *it;
    while ((it = list_pop_front(&queues->reads)) != NULL) {
        struct window *w = CONTAINER_OF(it, struct window, link);
        w->pending = false;
        window_free(w);
    }
}

// ---- reading

static void reading_ended(struct window *w)
{
    struct queues *qs = w->queues;
    ASSERT(w->pending);
    ASSERT(qs->reads_open > 0);
    w->pending = false;
    qs->reads_open--;
    list_remove(&w->link);
}

// At the turn's end, not when a read ends: who is let in may have nothing to read any more, and
// then it is the next one's turn.
void windows_feed(struct queues *queues)
{
    for (uint32_t open = queues->reads_open; open < QUEUE_READS_MAX; open++) {
        struct list *next = list_pop_front(&queues->starved);
        if (next == NULL)
            return;
        queue_activate(CONTAINER_OF(next, struct queue, starved));
    }
}

static void failed(struct window *w, int err)
{
    struct queue *q = w->level->queue;
    window_clear(w);
    q->read_err = err;
    queue_retry_at(q, queues_now_ns(q->queues) + QUEUE_RETRY_NS);
}

// What was read ahead is read again.
static void windows_drop(struct queues *queues)
{
    struct list *it;
    while ((it = list_first(&queues->windows)) != NULL)
        window_clear(CONTAINER_OF(it, struct window, link));
}

// False: nothing came, and the queue will try again.
static bool loaded(struct window *w)
{
    if (w->read.bytes == 0) { // the readers' memory is used up: answers must leave first
        windows_drop(w->queues);
        queue_retry_at(w->level->queue, queues_now_ns(w->queues) + QUEUE_SHORT_NS);
        return false;
    }
    hold(w, w->read.bytes);
    window_touch(w);
    return true;
}

static void window_done(struct log_read *read, int err)
{
    struct window *w = CONTAINER_OF(read, struct window, read);
    reading_ended(w);
    if (w->level == NULL) {
        log_read_release(&w->read);
        mem_free(w);
        return;
    }
    queue_activate(w->level->queue);
    if (err == 0)
        (void)loaded(w);
    else
        failed(w, err);
}

static bool window_read(struct window *w, int64_t offset)
{
    struct queues *qs = w->queues;
    struct queue *q = w->level->queue;
    bool goes_on = offset == w->read.next_offset;
    ASSERT(offset < level_end(w->level));
    window_clear(w);
    if (qs->reads_open >= QUEUE_READS_MAX) {
        list_remove(&q->starved);
        list_push_back(&qs->starved, &q->starved);
        return false;
    }
    w->want_bytes = goes_on ? w->want_bytes * 2 : QUEUE_READ_MIN;
    if (w->want_bytes > QUEUE_READ_MAX)
        w->want_bytes = QUEUE_READ_MAX;
    w->from = offset;
    w->read.offset = offset;
    w->read.max_bytes = w->want_bytes;
    w->read.at_least_one = true;
    w->read.done = window_done;
    int err = log_read(w->level->log, &w->read);
    if (err == 0)
        return loaded(w);
    if (err != ERR_AGAIN) {
        failed(w, err);
        return false;
    }
    w->pending = true;
    qs->reads_open++;
    list_push_back(&qs->reads, &w->link);
    return false;
}

// ---- batches

// A batch for which there was no room is not unpacked again to find that out once more.
static bool hopeless(const struct window *w)
{
    struct budget *budget = w->queues->o.budget;
    if (w->big_bytes == 0 || w->big_offset != w->batch.base_offset)
        return false;
    if (budget_take(budget, w->big_bytes) != 0)
        return true;
    budget_give(budget, w->big_bytes);
    return false;
}

static int unpack(struct window *w, struct slice batch)
{
    struct buf plain;
    if (hopeless(w))
        return ERR_BUDGET;
    buf_init(&plain, QUEUE_UNPACKED_MAX);
    struct slice packed = slice_of(batch.data + BATCH_HEADER_BYTES, batch.len - BATCH_HEADER_BYTES);
    int err = codec_decompress(batch_codec(&w->batch), packed, &plain);
    struct blob *blob = NULL;
    if (err == 0)
        err = blob_create(plain.len, w->queues->o.budget, &blob);
    w->big_offset = w->batch.base_offset;
    w->big_bytes = err == ERR_BUDGET ? plain.len : 0;
    if (err == 0) {
        ASSERT(blob != NULL);
        if (plain.len > 0)
            memcpy(blob->data, plain.data, plain.len);
        w->blob = blob;
        w->first = cursor_of(slice_of(blob->data, blob->size));
        hold(w, blob->size);
    }
    buf_fini(&plain);
    return err;
}

static void batch_rewind(struct window *w)
{
    w->rest = w->first;
    w->upto = w->batch.base_offset - 1; // as if there were a record before the first
    w->after = w->batch.base_offset;
    w->record_there = false;
}

// The batch at the window's place. False: no memory for it now.
static bool batch_open(struct window *w)
{
    ASSERT(!w->open);
    struct blob_piece *p = &w->read.pieces[w->piece];
    ASSERT(w->at < p->len);
    struct slice bytes = slice_of(p->blob->data + p->off + w->at, p->len - w->at);
    int err = batch_peek(bytes, &w->batch);
    ASSERT(err == 0); // the log gives whole batches
    bytes.len = w->batch.size_bytes;
    w->open = true;
    w->blob = NULL;
    w->first = cursor_of(SLICE_NULL);
    bool control = batch_control(&w->batch); // a transaction's end: no message
    if (!control && batch_codec(&w->batch) == BATCH_NONE) {
        w->blob = blob_ref(p->blob);
        w->first =
            cursor_of(slice_of(bytes.data + BATCH_HEADER_BYTES, bytes.len - BATCH_HEADER_BYTES));
    } else if (!control) {
        err = unpack(w, bytes);
    }
    batch_rewind(w);
    if (err != ERR_BUDGET && err != ERR_NOMEM)
        return true; // what cannot be unpacked has no records
    batch_close(w);
    queue_retry_at(w->level->queue, queues_now_ns(w->queues) + QUEUE_SHORT_NS);
    return false;
}

static void batch_pass(struct window *w)
{
    ASSERT(w->open);
    w->from = batch_last_offset(&w->batch) + 1;
    w->at += w->batch.size_bytes;
    batch_close(w);
    ASSERT(w->at <= w->read.pieces[w->piece].len);
    if (w->at == w->read.pieces[w->piece].len)
        piece_drop(w);
}

// ---- records

// The offset of the next record, without looking at the rest of it. -1: there is none.
static int64_t record_skim(struct cursor *in, const struct batch *b)
{
    if (cursor_left(in) == 0)
        return -1;
    int32_t len = cursor_varint32(in);
    struct slice body = len < 0 ? SLICE_NULL : cursor_bytes(in, (size_t)len);
    struct cursor c = cursor_of(body);
    cursor_u8(&c);
    (void)cursor_varint64(&c);
    int32_t delta = cursor_varint32(&c);
    if (in->err != 0 || c.err != 0 || delta < 0 || delta > b->last_offset_delta)
        return -1;
    return b->base_offset + delta;
}

static void record_learn(struct window *w, const struct record *record)
{
    struct level *level = w->level;
    message_get(record, &w->message);
    if (w->message.routing_key.data == NULL)
        w->message.routing_key = level->queue->name;
    uint64_t bytes = 16 + record->value.len + record->headers.len;
    level->average_bytes = level->average_bytes - level->average_bytes / 16 + bytes;
}

// The first record at or behind the offset becomes the window's.
static void record_seek(struct window *w, int64_t offset)
{
    while (w->upto < offset) {
        struct cursor before = w->rest;
        w->after = w->upto + 1;
        int64_t at = record_skim(&w->rest, &w->batch);
        if (at >= offset) { // worth a closer look
            struct record record;
            w->rest = before;
            if (record_next(&w->rest, &w->batch, &record) == 0)
                record_learn(w, &record);
            else
                at = -1;
        }
        w->record_there = at >= w->after; // out of order is as bad as malformed
        w->upto = w->record_there ? at : batch_last_offset(&w->batch) + 1;
    }
}

static enum window_answer batch_find(struct window *w, int64_t offset, int64_t *out_to)
{
    if (offset < w->after)
        batch_rewind(w);
    record_seek(w, offset);
    ASSERT(w->upto >= offset);
    *out_to = w->upto;
    return w->record_there && w->upto == offset ? WINDOW_RECORD : WINDOW_GAP;
}

enum window_answer window_find(struct window *w, int64_t offset, int64_t *out_to)
{
    ASSERT(w->level != NULL);
    if (w->pending)
        return WINDOW_WAIT;
    if (offset < w->from)
        window_clear(w);
    for (;;) {
        if (w->piece == w->read.pieces_count) {
            if (!window_read(w, offset))
                return WINDOW_WAIT;
        }
        if (!w->open && !batch_open(w))
            return WINDOW_WAIT;
        if (offset < w->batch.base_offset) { // a hole in the log
            *out_to = w->batch.base_offset;
            return WINDOW_GAP;
        }
        if (offset <= batch_last_offset(&w->batch))
            return batch_find(w, offset, out_to);
        batch_pass(w);
    }
}
