// SPDX-License-Identifier: Apache-2.0
//
// From the tail to the segments, the shard's half: which batches and index entries go out next. One
// job per log is under way at a time and concerns one segment, which makes the order of everything
// that reaches a file plain. A job that meets a full disk is kept as it is and posted again later.
#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/log_int.h"

#define JOB_BYTES_MAX   (4U << 20)
#define JOB_PIECES_MAX  4096U
#define INDEX_BYTES_MAX (64U << 20)
#define RETRY_NS        1000000000

struct write_job {
    struct job job;
    int64_t segment;
    struct write_piece *pieces;
    uint32_t count, cap;
    uint64_t from, to; // numbers of the batches it covers; those written before are left out
    struct buf index, time;
    uint64_t index_at, time_at;
    bool sync;
};

static int write_work(struct job *job)
{
    struct write_job *w = CONTAINER_OF(job, struct write_job, job);
    const struct log_key *key = &job->log->key;
    int err = 0;
    if (w->count > 0)
        err = segment_write(job->files, key, w->segment, w->pieces, w->count);
    // Kafka's tools open .index for .timeindex: they are made together.
    if (err == 0 && w->index.len + w->time.len > 0)
        err = segment_write_index(job->files, key, w->segment, FILE_INDEX, w->index_at,
                                  buf_slice(&w->index));
    if (err == 0 && w->index.len + w->time.len > 0)
        err = segment_write_index(job->files, key, w->segment, FILE_TIME, w->time_at,
                                  buf_slice(&w->time));
    for (int kind = 0; err == 0 && w->sync && kind < FILE_KINDS; kind++) {
        struct file_key file = {
            .log = *key, .base_offset = w->segment, .kind = (enum file_kind)kind};
        err = files_sync_key(job->files, &file);
    }
    return err;
}

static void write_release(struct job *job)
{
    struct write_job *w = CONTAINER_OF(job, struct write_job, job);
    for (uint32_t i = 0; i < w->count; i++)
        blob_unref(w->pieces[i].piece.blob);
    mem_free(w->pieces);
    buf_fini(&w->index);
    buf_fini(&w->time);
    mem_free(w);
}

// A full disk has kept it waiting, and its segment may be gone meanwhile: then it must not make the
// files again.
static void write_again(struct job *job)
{
    struct write_job *w = CONTAINER_OF(job, struct write_job, job);
    if (!job->log->deleted && log_segment_at(job->log, w->segment) != NULL)
        return;
    for (uint32_t i = 0; i < w->count; i++)
        blob_unref(w->pieces[i].piece.blob);
    w->count = 0;
    w->sync = false;
    buf_clear(&w->index);
    buf_clear(&w->time);
}

static void mark_written(struct log *log, const struct write_job *w)
{
    struct log_store *store = log->store;
    ASSERT(w->from <= w->to);
    ASSERT(w->to <= log->tail.end);
    uint64_t n = w->from > log->tail.first ? w->from : log->tail.first;
    for (; n < w->to; n++) {
        struct tail_entry *e = tail_at(&log->tail, n);
        if (e->written)
            continue;
        e->written = true;
        ASSERT(log->unwritten_bytes >= e->piece.len);
        log->unwritten_bytes -= e->piece.len;
        store->stats.unwritten_bytes -= e->piece.len;
        store->stats.written_bytes += e->piece.len;
    }
    while (log->unwritten_from < log->tail.end && tail_at(&log->tail, log->unwritten_from)->written)
        log->unwritten_from++;
}

// Relaxed logs: what is written counts as durable.
static void advance_relaxed(struct log *log)
{
    struct tail *t = &log->tail;
    while (t->durable < t->end && tail_at(t, t->durable)->written) {
        log->readable_bytes += tail_at(t, t->durable)->piece.len;
        log_advance(log, tail_at(t, t->durable)->last_offset + 1);
        t->durable++;
    }
}

static void mark_segment(struct log *log, const struct write_job *w)
{
    struct segment *s = log_segment_at(log, w->segment);
    if (s == NULL)
        return; // trimmed meanwhile
    s->dirty = !w->sync;
    s->index_flushed += (uint32_t)(w->index.len / INDEX_ENTRY_BYTES);
    s->time_flushed += (uint32_t)(w->time.len / TIME_ENTRY_BYTES);
    ASSERT(s->index_flushed <= s->index_count);
    ASSERT(s->time_flushed <= s->time_count);
}

static void disk_full(struct log_store *store, struct job *job)
{
    store->nospace = true;
    job->keep = true;
    job->log->pending++; // the job still holds the log; given back when it is posted again
    list_push_back(&store->retry, &job->link);
    if (!io_timer_running(&store->retry_timer))
        io_timer_start(store->o.shard, &store->retry_timer, io_now_ns(store->o.shard) + RETRY_NS);
}

static void write_answer(struct job *job)
{
    struct write_job *w = CONTAINER_OF(job, struct write_job, job);
    struct log *log = job->log;
    struct log_store *store = log->store;
    ASSERT(log->writing);
    ASSERT(store->writes_active > 0);
    if (job->err == ERR_NOSPACE && !log->deleted) {
        disk_full(store, job);
        if (log->cutting)
            store_cut_failed(store, ERR_NOSPACE);
        return;
    }
    log->writing = false;
    store->writes_active--;
    store->spills_active -= log->options.memory;
    if (log->deleted && (job->err == 0 || job->err == ERR_NOSPACE)) {
        // What filled the disk may be what is being deleted: appends must not wait for another
        // write to succeed, since without appends there is none.
        store->nospace = !list_empty(&store->retry);
        store_cut_step(log);
        return;
    }
    if (job->err != 0) {
        store_fail(store, job->err, "segment");
        store_cut_failed(store, job->err);
        return;
    }
    store->nospace = !list_empty(&store->retry);
    mark_written(log, w);
    mark_segment(log, w);
    if (log->options.relaxed)
        advance_relaxed(log);
    if (log->options.memory)
        spill_shrink(log);
    else
        log_tail_shrink(log, store->short_of_memory ? 0 : store->o.tail_bytes_per_log);
    log_invariant(log);
    if (log->options.memory)
        return; // what else is to be spilled is decided at the turn's end
    if (log->cutting)
        store_cut_step(log);
    else if (log->unwritten_bytes >= store->o.write_min_bytes || log->options.relaxed)
        log_write(log, false);
}

// ---- choosing

static void job_add(struct write_job *w, const struct tail_entry *e)
{
    if (w->count == w->cap) {
        w->cap = w->cap == 0 ? 8 : w->cap * 2;
        w->pieces = mem_realloc(w->pieces, w->cap * sizeof *w->pieces);
    }
    ASSERT(w->count < JOB_PIECES_MAX);
    ASSERT(!e->written);
    blob_ref(e->piece.blob);
    w->pieces[w->count++] = (struct write_piece){
        .piece = e->piece, .bytes = blob_piece_slice(e->piece), .position = e->position};
}

static struct write_job *job_new(struct log *log, int64_t segment, bool sync)
{
    struct write_job *w = mem_zalloc(sizeof *w);
    w->job.log = log;
    w->job.files = log_writer_files(log);
    w->job.work = write_work;
    w->job.answer = write_answer;
    w->job.release = write_release;
    w->job.again = write_again;
    w->segment = segment;
    w->sync = sync;
    buf_init(&w->index, INDEX_BYTES_MAX);
    buf_init(&w->time, INDEX_BYTES_MAX);
    return w;
}

// Index entries follow the data: only those of batches that are in the file once the job is done.
static void job_add_index(struct write_job *w, struct segment *s, uint32_t below)
{
    uint32_t n = segment_pending_below(s, below);
    w->index_at = (uint64_t)s->index_flushed * INDEX_ENTRY_BYTES;
    w->time_at = (uint64_t)s->time_flushed * TIME_ENTRY_BYTES;
    segment_take_pending(s, n, &w->index, &w->time);
}

// The batches of one segment, from the oldest unwritten one on. Returns where in the segment the
// first batch lies that stays out (its size when none does).
static uint32_t job_gather(struct write_job *w, struct log *log, uint64_t limit)
{
    struct segment *s = log_segment_at(log, w->segment);
    ASSERT(s != NULL);
    ASSERT(limit <= log->tail.end);
    uint64_t bytes = 0, n = w->from;
    for (; n < limit && bytes < JOB_BYTES_MAX && w->count < JOB_PIECES_MAX; n++) {
        const struct tail_entry *e = tail_at(&log->tail, n);
        if (e->segment != w->segment)
            break;
        if (e->written)
            continue;
        job_add(w, e);
        bytes += e->piece.len;
    }
    w->to = n;
    if (n == log->tail.end || tail_at(&log->tail, n)->segment != w->segment)
        return s->size_bytes;
    return tail_at(&log->tail, n)->position;
}

// A sealed segment whose batches are all written and whose last index entries are not.
static struct segment *sealed_segment(struct log *log)
{
    int64_t written = log->end_offset;
    if (log->unwritten_from < log->tail.end)
        written = tail_at(&log->tail, log->unwritten_from)->base_offset;
    for (uint32_t i = 0; i < log->segments_count; i++) {
        struct segment *s = &log->segments[i];
        if (s->state == SEGMENT_SEALED && s->pending_count > 0 && s->last_offset < written)
            return s;
    }
    return NULL;
}

// A log whose setting was taken back while it was never quiet: what is acknowledged from now on is
// on disk, though not by way of the journal.
static bool strict_again(const struct log *log)
{
    return log->store->started && log->options.relaxed && !log->wants_relaxed;
}

static struct write_job *choose(struct log *log, bool cut)
{
    struct tail *t = &log->tail;
    bool sync = cut || strict_again(log);
    while (log->unwritten_from < t->end && tail_at(t, log->unwritten_from)->written)
        log->unwritten_from++;
    uint64_t limit = log->options.relaxed ? t->end : t->durable;
    if (cut)
        limit = log->cut_number; // no further, or a busy log would never be through
    if (log->unwritten_from < limit) {
        int64_t segment = tail_at(t, log->unwritten_from)->segment;
        struct write_job *w = job_new(log, segment, sync);
        w->from = log->unwritten_from;
        uint32_t below = job_gather(w, log, limit);
        struct segment *s = log_segment_at(log, segment);
        ASSERT(s != NULL);
        job_add_index(w, s, below);
        if (log->options.memory)
            spill_extend(s, tail_at(t, w->from), below);
        return w;
    }
    struct segment *s = cut ? log_cut_segment(log) : sealed_segment(log);
    if (s == NULL)
        return NULL;
    struct write_job *w = job_new(log, s->base_offset, sync);
    w->from = w->to = log->unwritten_from;
    job_add_index(w, s, cut ? s->cut_bytes : s->size_bytes);
    return w;
}

bool log_write(struct log *log, bool cut)
{
    ASSERT(!log->writing);
    if (log->deleted || !log->tidy)
        return false;
    struct write_job *w = choose(log, cut);
    if (w == NULL)
        return false;
    log->writing = true;
    log->spilled |= log->options.memory;
    log->store->writes_active++;
    log->store->spills_active += log->options.memory;
    job_post(&w->job, log->store->o.writer);
    return true;
}

bool log_write_blocking(struct log *log, struct files *files, int *out_err)
{
    ASSERT(!log->store->started); // the writer has not begun yet
    struct write_job *w = choose(log, false);
    if (w == NULL)
        return false;
    w->job.files = files;
    int err = write_work(&w->job);
    if (err == 0) {
        mark_written(log, w);
        mark_segment(log, w);
    }
    write_release(&w->job);
    *out_err = err;
    return err == 0;
}
