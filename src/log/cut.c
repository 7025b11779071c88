// SPDX-License-Identifier: Apache-2.0
//
// Cuts: a log's part in a checkpoint. The records say where every changed log ends now; the logs
// are then written up to there and synced, one segment at a time and a few logs at once, so that
// direct writes still find the writer free in between.
//
// LAYOUT of STATE_LOG (little-endian; key: topic uuid 16, partition 4)
//   OFFSET SIZE FIELD
//   0      2    version = 1
//   2      2    flags: 1 an active segment follows, 2 it was relaxed
//   4      4    epochs count n
//   8      8    start offset
//   16     8    end offset
//   24     64   the active segment (log/segment.h), when flag 1
//   …      12n  epoch u32, its start offset u64
//
// STATE_SEGMENT: key as above and the base offset, 8; value: version u32 = 1, then log/segment.h.
#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/log_int.h"

#define CUT_LOGS_AT_ONCE 4
#define VALUE_BYTES_MAX  (1U << 20)

// ---- records

static void key_put(struct buf *out, const struct log_key *key)
{
    buf_put(out, key->topic.bytes, 16);
    buf_put_le32(out, (uint32_t)key->partition);
}

int log_record_key(const struct state_record *record, struct log_key *out)
{
    size_t len = record->kind == STATE_SEGMENT ? 28 : 20;
    if (record->kind != STATE_LOG && record->kind != STATE_SEGMENT)
        return ERR_INVALID;
    if (record->key.len != len)
        return ERR_CORRUPT;
    memcpy(out->topic.bytes, record->key.data, 16);
    out->partition = (int32_t)le32_get(record->key.data + 16);
    return 0;
}

static void emit(struct buf *out, uint8_t kind, struct buf *key, struct buf *value)
{
    struct state_record r = {
        .kind = kind,
        .key = buf_slice(key),
        .value = value == NULL ? SLICE_NULL : buf_slice(value),
    };
    state_put(out, &r);
    buf_clear(key);
    if (value != NULL)
        buf_clear(value);
}

static void emit_segment(struct log *log, struct segment *s, struct buf *out, struct buf *key,
                         struct buf *value)
{
    ASSERT(s->state != SEGMENT_ACTIVE); // that one is part of the log's own record
    key_put(key, &log->key);
    buf_put_le64(key, (uint64_t)s->base_offset);
    if (s->state == SEGMENT_GONE || s->dropped) {
        emit(out, STATE_SEGMENT, key, NULL);
    } else {
        buf_put_le32(value, 1);
        segment_put(value, s);
        emit(out, STATE_SEGMENT, key, value);
    }
    s->emitted = true;
    s->recorded = true;
}

static void emit_log(struct log *log, struct buf *out, struct buf *key, struct buf *value)
{
    const struct segment *active = log_active(log);
    int64_t start = log->start_offset;
    if (bug(BUG_LOG_START_BACK) && log->segments_count > 0)
        start = log->segments[0].base_offset;
    buf_put_le16(value, 1);
    buf_put_le16(value, (uint16_t)((active != NULL ? 1 : 0) | (log->options.relaxed ? 2 : 0)));
    buf_put_le32(value, log->epochs_count);
    buf_put_le64(value, (uint64_t)start);
    buf_put_le64(value, (uint64_t)log->end_offset);
    if (active != NULL)
        segment_put(value, active);
    for (uint32_t i = 0; i < log->epochs_count; i++) {
        buf_put_le32(value, (uint32_t)log->epochs[i].epoch);
        buf_put_le64(value, (uint64_t)log->epochs[i].start_offset);
    }
    key_put(key, &log->key);
    emit(out, STATE_LOG, key, value);
}

static void emit_all(struct log *log, bool full, struct buf *out)
{
    struct buf key, value;
    buf_init(&key, 64);
    buf_init(&value, VALUE_BYTES_MAX);
    // Sealed segments first: when the log's record names a new active one, the old is known.
    for (uint32_t i = 0; i < log->segments_count; i++) {
        struct segment *s = &log->segments[i];
        if (s->state == SEGMENT_SEALED || (full && s->state == SEGMENT_CLEAN))
            emit_segment(log, s, out, &key, &value);
    }
    for (uint32_t i = 0; i < log->doomed_count; i++) {
        struct segment *s = &log->doomed[i];
        if (s->state == SEGMENT_GONE || (s->dropped && !s->buried))
            emit_segment(log, s, out, &key, &value);
    }
    emit_log(log, out, &key, &value);
    ASSERT(key.err == 0);
    if (value.err != 0)
        out->err = value.err;
    buf_fini(&key);
    buf_fini(&value);
}

// ---- the work

static void cut_finish(struct log_store *store, int err)
{
    struct log_cut *cut = store->cut;
    ASSERT(cut != NULL);
    store->cut = NULL;
    LIST_FOR (it, &store->cut_logs)
        CONTAINER_OF(it, struct log, cut_link)->cutting = false;
    LIST_FOR_SAFE (it, &store->cut_work)
        list_remove(it);
    store->cut_active = 0;
    cut->done(cut, err);
}

void store_cut_failed(struct log_store *store, int err)
{
    if (store->cut != NULL)
        cut_finish(store, err);
}

static bool leaving_left(const struct log_store *store)
{
    const struct list *first = list_first(&store->leaving);
    return first != NULL &&
           CONTAINER_OF(first, struct log, link)->leaving_seq <= store->cut_leaving_seq;
}

void store_cut_next(struct log_store *store)
{
    while (store->cut != NULL && store->cut_active < CUT_LOGS_AT_ONCE) {
        struct list *it = list_pop_front(&store->cut_work);
        if (it == NULL)
            break;
        store->cut_active++;
        struct log *log = CONTAINER_OF(it, struct log, work_link);
        if (!log->writing)
            store_cut_step(log);
    }
    if (store->cut == NULL || store->cut_active > 0 || !list_empty(&store->cut_work))
        return;
    if (!leaving_left(store)) // deleted logs leave no files behind a checkpoint
        cut_finish(store, 0);
}

// A segment whose batches are written as far as the cut goes, but whose index or sync is missing.
struct segment *log_cut_segment(struct log *log)
{
    for (uint32_t i = 0; i < log->segments_count; i++) {
        struct segment *s = &log->segments[i];
        if (s->emitted && (s->dirty || segment_pending_below(s, s->cut_bytes) > 0))
            return s;
    }
    return NULL;
}

void store_cut_step(struct log *log)
{
    struct log_store *store = log->store;
    // Not in the cut, or its turn has not come.
    if (!log->cutting || store->cut == NULL || !list_empty(&log->work_link))
        return;
    ASSERT(!log->writing);
    if (!log->deleted && !log->tidy) {
        log_tidy(log, false);
        return;
    }
    if (!log->deleted && log_write(log, true))
        return;
    ASSERT(log->deleted || log->unwritten_from >= log->cut_number);
    log->cutting = false;
    ASSERT(store->cut_active > 0);
    store->cut_active--;
    store_cut_next(store);
}

static void cut_take(struct log_store *store, struct log *log, const struct log_cut *cut)
{
    struct segment *active = log_active(log);
    emit_all(log, cut->full, cut->out);
    if (active != NULL)
        active->emitted = true; // named inside STATE_LOG: to be synced with this cut
    for (uint32_t i = 0; i < log->segments_count; i++)
        log->segments[i].cut_bytes = log->segments[i].size_bytes;
    ASSERT(!log->deleted);
    ASSERT(!log->cutting);
    list_remove(&log->dirty_link);
    list_remove(&log->cut_link);
    list_push_back(&store->cut_logs, &log->cut_link);
    log->cut_number = log->tail.end;
    log->cut_end_offset = log->end_offset;
    log->cutting = true;
    list_remove(&log->work_link);
    list_push_back(&store->cut_work, &log->work_link);
}

void log_store_cut(struct log_store *store, struct log_cut *cut)
{
    ASSERT(store->cut == NULL);
    ASSERT(store->started);
    ASSERT(list_empty(&store->cut_logs));
    store->cut = cut;
    store->cut_active = 0;
    store->cut_leaving_seq = store->leaving_seq;
    struct list *from = cut->full ? &store->logs : &store->dirty;
    LIST_FOR_SAFE (it, from) {
        struct log *log = cut->full ? CONTAINER_OF(it, struct log, link)
                                    : CONTAINER_OF(it, struct log, dirty_link);
        if (!log->options.memory)
            cut_take(store, log, cut);
    }
    store->cut_begins = true; // at the turn's end, so that done never runs inside this call
    store_wake(store);
}

// ---- the outcome

static void settle_segments(struct log *log, bool installed)
{
    for (uint32_t i = 0; i < log->segments_count; i++) {
        struct segment *s = &log->segments[i];
        // Emitted while active and rolled since: its record comes with the next cut.
        bool whole = s->emitted && s->state == SEGMENT_SEALED && s->recorded;
        if (installed && whole && !s->dirty && s->pending_count == 0)
            segment_become(s, SEGMENT_CLEAN);
        s->emitted = s->recorded = false;
    }
    for (uint32_t i = log->doomed_count; i-- > 0;) {
        struct segment *s = &log->doomed[i];
        bool named = installed && s->emitted;
        s->emitted = false;
        if (named && s->state == SEGMENT_GONE)
            segments_remove(log->doomed, &log->doomed_count, i);
        else if (named)
            s->buried = true;
    }
}

void log_store_settled(struct log_store *store, bool installed)
{
    struct list *it;
    ASSERT(store->cut == NULL); // its done has run
    while ((it = list_pop_front(&store->cut_logs)) != NULL) {
        struct log *log = CONTAINER_OF(it, struct log, cut_link);
        log->cutting = false;
        settle_segments(log, installed);
        if (installed && log->end_offset == log->cut_end_offset) {
            log->unjournalled = false;
            log_relax(log);
        }
        if (!installed)
            log_mark_dirty(log);
    }
}
