// SPDX-License-Identifier: Apache-2.0
//
// A segment's metadata and the making of its index entries, which follow Kafka's rule to the
// byte: before a batch is added, an entry is due when more than index.interval.bytes came since the
// last one; it names the batch's last offset and the batch's start; a time entry goes with it when
// the largest timestamp has grown.
#include "log/segment.h"

#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"

#define PENDING_MAX (1U << 22)

static const bool edges[SEGMENT_STATES][SEGMENT_STATES] = {
    [SEGMENT_ACTIVE] = {[SEGMENT_SEALED] = true},
    [SEGMENT_SEALED] = {[SEGMENT_CLEAN] = true, [SEGMENT_DOOMED] = true},
    [SEGMENT_CLEAN] = {[SEGMENT_DOOMED] = true},
    [SEGMENT_DOOMED] = {[SEGMENT_GONE] = true},
};

void segment_init(struct segment *s, int64_t base_offset)
{
    ASSERT(base_offset >= 0);
    *s = (struct segment){
        .base_offset = base_offset,
        .last_offset = base_offset - 1,
        .first_timestamp_ms = -1,
        .max_timestamp_ms = -1,
        .max_timestamp_offset = base_offset - 1,
        .last_time_ms = INT64_MIN,
        .state = SEGMENT_ACTIVE,
    };
}

void segment_fini(struct segment *s)
{
    mem_free(s->pending);
    s->pending = NULL;
    s->pending_count = s->pending_cap = 0;
}

bool segment_may_become(enum segment_state from, enum segment_state to)
{
    return edges[from][to];
}

void segment_invariant(const struct segment *s)
{
    ASSERT(s->last_offset >= s->base_offset - 1);
    ASSERT(s->last_offset - s->base_offset <= INT32_MAX);
    ASSERT((s->size_bytes == 0) == (s->last_offset < s->base_offset));
    ASSERT(s->pending_count <= s->index_count + s->time_count);
    ASSERT(s->max_timestamp_offset <= s->last_offset);
    ASSERT(s->state != SEGMENT_CLEAN || s->pending_count == 0);
    ASSERT(s->state != SEGMENT_CLEAN || !s->dirty);
}

void segment_become(struct segment *s, enum segment_state to)
{
    ASSERT(segment_may_become(s->state, to));
    s->state = to;
    segment_invariant(s);
}

static struct index_entry *pending_push(struct segment *s)
{
    if (s->pending_count == s->pending_cap) {
        ASSERT(s->pending_cap < PENDING_MAX);
        s->pending_cap = s->pending_cap == 0 ? 8 : s->pending_cap * 2;
        s->pending = mem_realloc(s->pending, s->pending_cap * sizeof *s->pending);
    }
    struct index_entry *e = &s->pending[s->pending_count++];
    *e = (struct index_entry){0};
    return e;
}

// "strictly rising": an entry that says nothing new is left out.
static bool time_due(const struct segment *s)
{
    return s->max_timestamp_ms > s->last_time_ms && s->max_timestamp_ms >= 0;
}

static void entry_time(struct segment *s, struct index_entry *e)
{
    e->has_time = true;
    e->timestamp_ms = s->max_timestamp_ms;
    e->time_relative = (int32_t)(s->max_timestamp_offset - s->base_offset);
    s->last_time_ms = s->max_timestamp_ms;
    s->time_count++;
}

void segment_add(struct segment *s, const struct frame_batch *f, uint32_t index_interval_bytes)
{
    ASSERT(s->state == SEGMENT_ACTIVE);
    ASSERT(f->segment == s->base_offset);
    ASSERT(f->position == s->size_bytes);
    ASSERT(f->base_offset > s->last_offset);
    ASSERT(f->size_bytes <= INT32_MAX - s->size_bytes);
    if (s->size_bytes == 0)
        s->first_timestamp_ms = f->max_timestamp_ms;
    s->last_offset = f->last_offset;
    if (f->max_timestamp_ms > s->max_timestamp_ms) {
        s->max_timestamp_ms = f->max_timestamp_ms;
        s->max_timestamp_offset = f->last_offset;
    }
    if (s->since_index_bytes > index_interval_bytes) {
        struct index_entry *e = pending_push(s);
        e->has_offset = true;
        e->position = f->position;
        e->relative_offset = (int32_t)(f->last_offset - s->base_offset);
        s->index_count++;
        if (time_due(s))
            entry_time(s, e);
        s->since_index_bytes = 0;
    }
    s->since_index_bytes += f->size_bytes;
    s->size_bytes += f->size_bytes;
}

void segment_seal(struct segment *s)
{
    ASSERT(s->size_bytes > 0);
    if (time_due(s)) {
        struct index_entry *e = pending_push(s);
        e->position = s->size_bytes - 1; // written with the last of the data
        entry_time(s, e);
    }
    segment_become(s, SEGMENT_SEALED);
}

uint32_t segment_pending_below(const struct segment *s, uint32_t position)
{
    uint32_t n = 0;
    while (n < s->pending_count && s->pending[n].position < position)
        n++;
    return n;
}

void segment_take_pending(struct segment *s, uint32_t n, struct buf *index, struct buf *time)
{
    ASSERT(n <= s->pending_count);
    for (uint32_t i = 0; i < n; i++) {
        const struct index_entry *e = &s->pending[i];
        if (e->has_offset) {
            buf_put_be32(index, (uint32_t)e->relative_offset);
            buf_put_be32(index, e->position);
        }
        if (e->has_time) {
            buf_put_be64(time, (uint64_t)e->timestamp_ms);
            buf_put_be32(time, (uint32_t)e->time_relative);
        }
    }
    if (n == 0)
        return;
    s->pending_count -= n;
    memmove(s->pending, s->pending + n, s->pending_count * sizeof *s->pending);
    if (s->pending_count == 0)
        segment_fini(s);
}

void segment_put(struct buf *out, const struct segment *s)
{
    size_t at = out->len;
    buf_put_le64(out, (uint64_t)s->base_offset);
    buf_put_le32(out, s->size_bytes);
    buf_put_le32(out, s->index_count);
    buf_put_le32(out, s->time_count);
    buf_put_le32(out, s->since_index_bytes);
    buf_put_le64(out, (uint64_t)s->last_offset);
    buf_put_le64(out, (uint64_t)s->first_timestamp_ms);
    buf_put_le64(out, (uint64_t)s->max_timestamp_ms);
    buf_put_le64(out, (uint64_t)s->max_timestamp_offset);
    buf_put_le64(out, (uint64_t)s->last_time_ms);
    ASSERT(out->err != 0 || out->len - at == SEGMENT_RECORD_BYTES);
}

int segment_get(struct slice in, struct segment *out)
{
    if (in.len != SEGMENT_RECORD_BYTES)
        return ERR_CORRUPT;
    const uint8_t *p = in.data;
    struct segment s = {
        .base_offset = (int64_t)le64_get(p),
        .size_bytes = le32_get(p + 8),
        .index_count = le32_get(p + 12),
        .time_count = le32_get(p + 16),
        .since_index_bytes = le32_get(p + 20),
        .last_offset = (int64_t)le64_get(p + 24),
        .first_timestamp_ms = (int64_t)le64_get(p + 32),
        .max_timestamp_ms = (int64_t)le64_get(p + 40),
        .max_timestamp_offset = (int64_t)le64_get(p + 48),
        .last_time_ms = (int64_t)le64_get(p + 56),
        .state = SEGMENT_SEALED,
    };
    if (s.base_offset < 0 || s.last_offset < s.base_offset - 1)
        return ERR_CORRUPT;
    if (s.last_offset - s.base_offset > INT32_MAX || s.size_bytes > INT32_MAX)
        return ERR_CORRUPT;
    if ((s.size_bytes == 0) != (s.last_offset < s.base_offset))
        return ERR_CORRUPT;
    if (s.max_timestamp_offset > s.last_offset || s.index_count > s.size_bytes ||
        s.time_count > s.index_count + 1)
        return ERR_CORRUPT;
    s.index_flushed = s.index_count; // a cut writes and syncs the index with the data
    s.time_flushed = s.time_count;
    *out = s;
    return 0;
}
