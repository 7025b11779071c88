// SPDX-License-Identifier: Apache-2.0
//
// Segments that are given back wherever they lie, and the holes they leave. A queue needs it: one
// message that nobody takes must not keep all that came behind it.
//
// A hole is nothing but the absence of a segment: the table of segments says what is there, reads
// look into it, and what is in it still (a batch in memory) may be read until it goes. The
// journal's frame names the range exactly, so replay drops what was dropped and nothing that came
// later. The tombstone of a dropped segment goes into the next snapshot at once, without waiting
// for its files to be gone as that of one below the start does: the start offset, which the
// snapshot has, condemns the latter again at every start, and nothing would condemn the former.
#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/log_int.h"

// What is dropped need not be written any more.
static void tail_give_up(struct log *log, const struct segment *s)
{
    struct tail *t = &log->tail;
    for (uint64_t n = tail_find(t, s->base_offset); n < t->durable; n++) {
        struct tail_entry *e = tail_at(t, n);
        if (e->segment != s->base_offset)
            break;
        if (e->written)
            continue;
        e->written = true;
        ASSERT(log->unwritten_bytes >= e->piece.len);
        log->unwritten_bytes -= e->piece.len;
        log->store->stats.unwritten_bytes -= e->piece.len;
    }
}

static bool droppable(const struct log *log, const struct segment *s, int64_t from, int64_t to)
{
    return s->state != SEGMENT_ACTIVE && s->base_offset >= from && s->last_offset < to &&
           s->last_offset < log->high_watermark;
}

int log_drop_live(struct log *log, int64_t from, int64_t to, int64_t *out_from, int64_t *out_to)
{
    int count = 0;
    uint32_t i = log->segments_count == 0 ? 0 : log_segment_index(log, from);
    while (i < log->segments_count && log->segments[i].base_offset < to) {
        const struct segment *s = &log->segments[i];
        if (!droppable(log, s, from, to)) {
            i++;
            continue;
        }
        if (count++ == 0)
            *out_from = s->base_offset;
        *out_to = s->last_offset + 1;
        tail_give_up(log, s);
        log_doom_segment(log, i, true);
    }
    if (count > 0)
        log_mark_dirty(log); // the tombstones
    return count;
}

static void remove_dropped(struct log *log, int64_t from, int64_t to)
{
    for (uint32_t i = 0; i < log->doomed_count; i++) {
        struct segment *s = &log->doomed[i];
        if (s->state == SEGMENT_DOOMED && s->base_offset >= from && s->last_offset < to)
            log_remove_segment(log, s);
    }
}

static void drop_done(void *arg, const struct journal_frame *frame, int err)
{
    struct log *log = arg;
    ASSERT(log->pending > 0);
    log->pending--;
    struct log_key key;
    int64_t from, to;
    int bad = frame_drop_get(frame->w.head, &key, &from, &to);
    ASSERT(bad == 0);
    if (err != 0)
        store_fail(log->store, err, "journal");
    else if (!log->deleted)
        remove_dropped(log, from, to);
    log_settle(log);
}

int log_drop_segments(struct log *log, int64_t from, int64_t to)
{
    int64_t first = 0, end = 0;
    ASSERT(from >= 0);
    if (log->deleted)
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (log->options.relaxed || log->unjournalled)
        return 0;
    int count = log_drop_live(log, from, to, &first, &end);
    log_invariant(log);
    if (count == 0)
        return 0;
    if (log->options.memory) {
        remove_dropped(log, first, end);
        return count;
    }
    uint8_t head[FRAME_DROP_BYTES];
    frame_drop_put(head, &log->key, first, end);
    struct journal_write w = {
        .kind = JOURNAL_LOG_DROP,
        .head = slice_of(head, sizeof head),
        .done = drop_done,
        .arg = log,
    };
    log->pending++;
    journal_add(log->store->o.port, &w);
    store_wake(log->store); // so that the frame leaves although nothing else may happen
    return count;
}

int64_t log_offset_there(const struct log *log, int64_t offset)
{
    ASSERT(offset <= log->end_offset);
    if (log->segments_count == 0)
        return log->end_offset;
    uint32_t i = log_segment_index(log, offset);
    if (offset < log->segments[i].base_offset)
        return log->segments[i].base_offset; // a hole at the beginning
    if (offset <= log->segments[i].last_offset)
        return offset;
    return i + 1 < log->segments_count ? log->segments[i + 1].base_offset : log->end_offset;
}
