// SPDX-License-Identifier: Apache-2.0
//
// Offsets by timestamp (ListOffsets; KIP-79, KIP-734 for the largest). The shard names the batch or
// the segment that must hold the answer; the reader opens it, since unpacking a batch does not
// belong on a shard.
#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/read_int.h"

static void step(struct log *log, struct log_lookup *lookup, int64_t from_offset);

static void find_release(struct job *job)
{
    struct find_job *f = CONTAINER_OF(job, struct find_job, job);
    blob_unref(f->piece.blob);
    mem_free(f);
}

static void finish(struct log *log, struct log_lookup *lookup)
{
    list_push_back(&log->store->ready_lookups, &lookup->link);
    store_wake(log->store);
}

static void find_answer(struct job *job)
{
    struct find_job *f = CONTAINER_OF(job, struct find_job, job);
    struct log_lookup *lookup = f->lookup;
    struct log *log = job->log;
    if (job->err != 0 || log->deleted) {
        lookup->done(lookup, log->deleted ? ERR_UNKNOWN_TOPIC_OR_PARTITION : job->err);
        return;
    }
    if (f->found && f->found_offset < log->high_watermark) {
        lookup->found_offset = f->found_offset;
        lookup->found_timestamp_ms = f->found_timestamp_ms;
        lookup->found_epoch = log_epoch_at(log, f->found_offset);
    } else if (!f->found && f->piece.blob == NULL && lookup->timestamp_ms != LOG_LOOKUP_MAX) {
        // Not in the part of the segment that had left memory when it was asked: on behind that.
        step(log, lookup, f->next_offset);
        return;
    }
    lookup->done(lookup, 0);
}

static struct find_job *find_new(struct log *log, struct log_lookup *lookup, int64_t timestamp_ms)
{
    struct find_job *f = mem_zalloc(sizeof *f);
    f->job.log = log;
    f->job.files = log_reader_files(log);
    f->job.work = find_work;
    f->job.answer = find_answer;
    f->job.release = find_release;
    f->lookup = lookup;
    f->timestamp_ms = timestamp_ms;
    return f;
}

static void find_piece(struct log *log, struct log_lookup *lookup, const struct tail_entry *e,
                       int64_t from_offset, int64_t timestamp_ms)
{
    struct find_job *f = find_new(log, lookup, timestamp_ms);
    f->from_offset = from_offset;
    f->piece = e->piece;
    blob_ref(f->piece.blob);
    job_post(&f->job, log->store->o.reader);
}

static void find_cold(struct log *log, struct log_lookup *lookup, const struct segment *s,
                      int64_t from_offset, int64_t timestamp_ms)
{
    struct find_job *f = find_new(log, lookup, timestamp_ms);
    f->from_offset = from_offset > s->base_offset ? from_offset : s->base_offset;
    f->part = log_cold_part(log, s, f->from_offset);
    f->next_offset = s->last_offset + 1;
    if (f->part.end_bytes < s->size_bytes)
        f->next_offset = tail_at(&log->tail, log->tail.first)->base_offset;
    ASSERT(f->next_offset > f->from_offset);
    job_post(&f->job, log->store->o.reader);
}

// The first place from `from_offset` on that may hold a record of at least that time.
static void step(struct log *log, struct log_lookup *lookup, int64_t from_offset)
{
    int64_t ts = lookup->timestamp_ms;
    uint32_t i = log->segments_count > 0 ? log_segment_index(log, from_offset) : 0;
    for (; i < log->segments_count; i++) {
        const struct segment *s = &log->segments[i];
        if (log_cold_end(log, s) == 0)
            break;
        int64_t tail = tail_empty(&log->tail) ? log->end_offset
                                              : tail_at(&log->tail, log->tail.first)->base_offset;
        if (from_offset >= tail)
            break;
        if (s->last_offset >= from_offset && s->max_timestamp_ms >= ts) {
            find_cold(log, lookup, s, from_offset, ts);
            return;
        }
    }
    for (uint64_t n = tail_find(&log->tail, from_offset); n < log->tail.durable; n++) {
        const struct tail_entry *e = tail_at(&log->tail, n);
        if (e->max_timestamp_ms >= ts) {
            find_piece(log, lookup, e, from_offset, ts);
            return;
        }
    }
    finish(log, lookup);
}

// The largest timestamp among what is durable. A segment whose largest lies in the part that is not
// durable yet, or was deleted, is left to the batches in memory.
static void find_max(struct log *log, struct log_lookup *lookup)
{
    const struct segment *best = NULL;
    const struct tail_entry *best_entry = NULL;
    int64_t best_ms = INT64_MIN;
    for (uint32_t i = 0; i < log->segments_count; i++) {
        const struct segment *s = &log->segments[i];
        bool inside = s->max_timestamp_offset >= log->start_offset &&
                      s->max_timestamp_offset < log->high_watermark;
        if (s->size_bytes > 0 && inside && s->max_timestamp_ms > best_ms) {
            best = s;
            best_ms = s->max_timestamp_ms;
        }
    }
    for (uint64_t n = log->tail.first; n < log->tail.durable; n++) {
        const struct tail_entry *e = tail_at(&log->tail, n);
        bool same = best != NULL && e->last_offset == best->max_timestamp_offset;
        if (e->last_offset >= log->start_offset && (e->max_timestamp_ms > best_ms || same)) {
            best_entry = e;
            best_ms = e->max_timestamp_ms;
        }
    }
    if (best_entry != NULL)
        find_piece(log, lookup, best_entry, log->start_offset, best_ms);
    else if (best != NULL)
        find_cold(log, lookup, best, log->start_offset, best_ms);
    else
        finish(log, lookup);
}

void log_lookup(struct log *log, struct log_lookup *lookup)
{
    ASSERT(!log->deleted);
    lookup->log = log;
    lookup->found_offset = -1;
    lookup->found_timestamp_ms = -1;
    lookup->found_epoch = -1;
    list_init(&lookup->link);
    if (lookup->timestamp_ms == LOG_LOOKUP_MAX)
        find_max(log, lookup);
    else
        step(log, lookup, log->start_offset);
}
