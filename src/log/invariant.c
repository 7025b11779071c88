// SPDX-License-Identifier: Apache-2.0
//
// What must hold of a log whenever a call has returned. Checked after everything that moves a mark:
// it costs a dozen comparisons, so it stays on in release, and looks at the ends of tables only,
// never at all of them.
#include "base/assert.h"
#include "log/log_int.h"

static void tail_invariant(const struct log *log)
{
    const struct tail *t = &log->tail;
    ASSERT(t->first <= t->durable);
    ASSERT(t->durable <= t->end);
    ASSERT((t->bytes == 0) == tail_empty(t));
    ASSERT(log->unwritten_bytes <= t->bytes);
    ASSERT(log->unwritten_from <= t->end);
    if (tail_empty(t)) {
        ASSERT(log->high_watermark == log->end_offset); // what is not durable is never dropped
        return;
    }
    // The tail is a suffix of the log without holes.
    ASSERT(tail_at(t, t->end - 1)->last_offset + 1 == log->end_offset);
    ASSERT(tail_at(t, t->first)->base_offset <= log->high_watermark);
    if (t->durable < t->end)
        ASSERT(tail_at(t, t->durable)->base_offset >= log->high_watermark);
}

static void segments_invariant(const struct log *log)
{
    if (log->segments_count == 0)
        return;
    const struct segment *first = &log->segments[0];
    const struct segment *last = &log->segments[log->segments_count - 1];
    ASSERT(log->segments_count <= log->segments_cap);
    ASSERT(first->base_offset <= last->base_offset);
    ASSERT(last->base_offset <= log->end_offset);
    ASSERT(last->last_offset < log->end_offset);
    ASSERT(log->size_bytes >= last->size_bytes);
    segment_invariant(last);
}

void log_invariant(const struct log *log)
{
    ASSERT(log->start_offset >= 0);
    ASSERT(log->start_offset <= log->high_watermark);
    ASSERT(log->high_watermark <= log->end_offset);
    ASSERT(log->removed <= log->deleted);
    ASSERT(log->doomed_count <= log->doomed_cap);
    tail_invariant(log);
    if (log->epochs_count > 0) {
        ASSERT(log->epochs[0].start_offset <= log->end_offset);
        ASSERT(log->epochs[log->epochs_count - 1].start_offset <= log->end_offset);
    }
    ASSERT(!log->options.memory || log->high_watermark == log->end_offset ||
           !tail_empty(&log->tail));
    segments_invariant(log);
}
