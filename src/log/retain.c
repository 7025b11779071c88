// SPDX-License-Identifier: Apache-2.0
//
// The start offset and what falls below it. The new start is journalled; only when that is durable
// are files removed, so a crash never finds a start that promises records which are gone. Only
// whole segments go, and never the active one: when it has expired it is rolled first.
#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/log_int.h"

// ---- removing files

static int remove_file(struct files *files, const struct file_key *key)
{
    char path[FILES_PATH_SIZE];
    files_path(files->root, key, path);
    files_close(files, key);
    int err = io_remove(files->io, path);
    return err == ERR_NOT_FOUND ? 0 : err;
}

int segment_remove_files(struct files *files, const struct log_key *key, int64_t base_offset)
{
    // .log last: what has none is no segment.
    for (int kind = FILE_KINDS; kind-- > 0;) {
        struct file_key file = {
            .log = *key, .base_offset = base_offset, .kind = (enum file_kind)kind};
        int err = remove_file(files, &file);
        if (err != 0)
            return err;
    }
    return 0;
}

struct remove_job {
    struct job job;
    int64_t base_offset;
};

// The reader may still hold them open, and what is open takes room.
static int close_work(struct job *job)
{
    struct remove_job *r = CONTAINER_OF(job, struct remove_job, job);
    for (int kind = 0; kind < FILE_KINDS; kind++) {
        struct file_key file = {
            .log = job->log->key, .base_offset = r->base_offset, .kind = (enum file_kind)kind};
        files_close(job->files, &file);
    }
    return 0;
}

static int remove_work(struct job *job)
{
    struct remove_job *r = CONTAINER_OF(job, struct remove_job, job);
    return segment_remove_files(job->files, &job->log->key, r->base_offset);
}

static void close_answer(struct job *job);
static void post_one(struct log *log, int64_t base_offset, int (*work)(struct job *job),
                     void (*answer)(struct job *job), bool writer);

static void remove_answer(struct job *job)
{
    struct remove_job *r = CONTAINER_OF(job, struct remove_job, job);
    struct log *log = job->log;
    if (job->err != 0) {
        store_fail(log->store, job->err, "remove segment");
        return;
    }
    log_doomed_gone(log, r->base_offset);
    if (!log->deleted)
        post_one(log, r->base_offset, close_work, close_answer, false);
}

static void remove_release(struct job *job)
{
    mem_free(CONTAINER_OF(job, struct remove_job, job));
}

static void close_answer(struct job *job)
{
    (void)job;
}

static void post_one(struct log *log, int64_t base_offset, int (*work)(struct job *job),
                     void (*answer)(struct job *job), bool writer)
{
    struct log_store *store = log->store;
    struct remove_job *r = mem_zalloc(sizeof *r);
    r->job.log = log;
    r->job.files = writer ? log_writer_files(log) : log_reader_files(log);
    r->job.work = work;
    r->job.answer = answer;
    r->job.release = remove_release;
    r->base_offset = base_offset;
    job_post(&r->job, writer ? store->o.writer : store->o.reader);
}

// A write job may still be on its way to the writer; it comes first, so the removal has the last
// word.
void log_remove_segment(struct log *log, struct segment *s)
{
    ASSERT(s->state == SEGMENT_DOOMED);
    if (s->removing)
        return;
    ASSERT(log_segment_at(log, s->base_offset) == NULL); // no reader finds it any more
    s->removing = true;
    post_one(log, s->base_offset, remove_work, remove_answer, true);
}

// The start is durable up to `start`: files of what lies below may go.
void log_remove_doomed(struct log *log, int64_t start)
{
    for (uint32_t i = 0; i < log->doomed_count; i++) {
        struct segment *s = &log->doomed[i];
        if (s->state == SEGMENT_DOOMED && s->last_offset < start)
            log_remove_segment(log, s);
    }
}

// Its files are removed. What a snapshot may still name needs a tombstone in the next one.
void log_doomed_gone(struct log *log, int64_t base_offset)
{
    for (uint32_t i = 0; i < log->doomed_count; i++) {
        if (log->doomed[i].base_offset != base_offset)
            continue;
        segment_become(&log->doomed[i], SEGMENT_GONE);
        if (log->doomed[i].buried)
            segments_remove(log->doomed, &log->doomed_count, i);
        break;
    }
    log_mark_dirty(log);
}

// ---- the start offset

// What is deleted need not be written. Only whole segments: a file must have no hole.
static void drop_doomed_tail(struct log *log)
{
    int64_t first_live = log->segments_count > 0 ? log->segments[0].base_offset : INT64_MAX;
    while (!tail_empty(&log->tail) && log->tail.first < log->tail.durable &&
           tail_at(&log->tail, log->tail.first)->segment < first_live)
        log_tail_pop(log);
}

void log_doom_segment(struct log *log, uint32_t index, bool dropped)
{
    struct segment *s = &log->segments[index];
    ASSERT(s->state != SEGMENT_ACTIVE);
    ASSERT(s->last_offset < log->high_watermark);
    segment_become(s, SEGMENT_DOOMED);
    s->emitted = false;
    s->dropped = dropped;
    ASSERT(log->size_bytes >= s->size_bytes);
    log->size_bytes -= s->size_bytes;
    struct segment doomed = *s;
    doomed.pending = NULL;
    doomed.pending_count = doomed.pending_cap = 0;
    doomed.stale = !log->store->started;
    doomed.buried = log->options.memory; // no snapshot has ever heard of it
    bool file = !log->options.memory || s->spilled;
    if (file)
        segments_insert(&log->doomed, &log->doomed_count, &log->doomed_cap, &doomed);
    segments_remove(log->segments, &log->segments_count, index);
}

void log_doom(struct log *log, bool durable)
{
    while (log->segments_count > 1 && log->segments[0].last_offset < log->start_offset)
        log_doom_segment(log, 0, false);
    drop_doomed_tail(log);
    log_epochs_trim(log);
    log_mark_dirty(log);
    if (durable)
        log_remove_doomed(log, log->start_offset);
}

static void start_done(void *arg, const struct journal_frame *frame, int err)
{
    struct log *log = arg;
    ASSERT(log->pending > 0);
    log->pending--;
    struct log_key key;
    int64_t start;
    int bad = frame_start_get(frame->w.head, &key, &start);
    ASSERT(bad == 0);
    ASSERT(start <= log->start_offset); // it never goes back
    if (err != 0)
        store_fail(log->store, err, "journal");
    else if (!log->deleted)
        log_remove_doomed(log, start);
    log_settle(log);
}

int log_set_start(struct log *log, int64_t offset)
{
    if (log->deleted)
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (offset < 0 || offset > log->high_watermark)
        return ERR_OFFSET_OUT_OF_RANGE;
    if (offset <= log->start_offset)
        return 0; // Kafka: the low watermark never goes back, and asking for less is no error
    log->start_offset = offset;
    if (log->options.memory) {
        spill_trim(log);
        log_invariant(log);
        return 0;
    }
    log_doom(log, false);
    log_invariant(log);
    uint8_t head[FRAME_START_BYTES];
    frame_start_put(head, &log->key, offset);
    struct journal_write w = {
        .kind = JOURNAL_LOG_START,
        .head = slice_of(head, sizeof head),
        .done = start_done,
        .arg = log,
    };
    log->pending++;
    journal_add(log->store->o.port, &w);
    store_wake(log->store); // so that the frame leaves although nothing else may happen
    return 0;
}

// ---- retention

static bool expired(const struct log *log, const struct segment *s, int64_t now_ms)
{
    // Without any timestamp there is no age; Kafka takes the file's, which says when it was copied.
    return s->size_bytes > 0 && s->max_timestamp_ms >= 0 &&
           now_ms - s->max_timestamp_ms > log->options.retention_ms;
}

static void roll_when_due(struct log *log, int64_t now_ms)
{
    const struct segment *s = log_active(log);
    if (s == NULL || s->size_bytes == 0)
        return;
    bool old = log->options.segment_ms > 0 && s->first_timestamp_ms >= 0 &&
               now_ms - s->first_timestamp_ms > log->options.segment_ms;
    bool dead =
        log->options.cleanup_delete && log->options.retention_ms >= 0 && expired(log, s, now_ms);
    if (old || dead)
        log_roll(log, log->end_offset);
}

static int64_t start_by_time(const struct log *log, int64_t now_ms, int64_t start)
{
    if (log->options.retention_ms < 0)
        return start;
    for (uint32_t i = 0; i + 1 < log->segments_count; i++) {
        const struct segment *s = &log->segments[i];
        if (!expired(log, s, now_ms) || s->last_offset >= log->high_watermark)
            break;
        if (s->last_offset + 1 > start)
            start = s->last_offset + 1;
    }
    return start;
}

// Kafka: the oldest segment goes while the log without it still holds at least retention.bytes.
static int64_t start_by_size(const struct log *log, int64_t start)
{
    if (log->options.retention_bytes < 0)
        return start;
    uint64_t size = log->size_bytes;
    for (uint32_t i = 0; i + 1 < log->segments_count; i++) {
        const struct segment *s = &log->segments[i];
        if (s->last_offset >= log->high_watermark)
            break;
        if (size - s->size_bytes < (uint64_t)log->options.retention_bytes)
            break;
        size -= s->size_bytes;
        if (s->last_offset + 1 > start)
            start = s->last_offset + 1;
    }
    return start;
}

static int64_t start_in_memory(const struct log *log, int64_t now_ms)
{
    int64_t start = log->start_offset;
    uint64_t bytes = log->tail.bytes;
    for (uint64_t n = log->tail.first; n < log->tail.durable; n++) {
        const struct tail_entry *e = tail_at(&log->tail, n);
        bool old = log->options.retention_ms >= 0 && e->max_timestamp_ms >= 0 &&
                   now_ms - e->max_timestamp_ms > log->options.retention_ms;
        bool many =
            log->options.retention_bytes >= 0 && bytes > (uint64_t)log->options.retention_bytes;
        if (!old && !many)
            break;
        bytes -= e->piece.len;
        start = e->last_offset + 1;
    }
    return start;
}

void log_retain(struct log *log, int64_t now_ms)
{
    if (log->deleted)
        return;
    int64_t start = log->start_offset;
    if (log->options.memory && !log->spilled) {
        if (log->options.cleanup_delete)
            start = start_in_memory(log, now_ms);
    } else {
        roll_when_due(log, now_ms);
        if (log->options.cleanup_delete)
            start = start_by_size(log, start_by_time(log, now_ms, start));
    }
    if (start > log->start_offset) {
        int err = log_set_start(log, start);
        ASSERT(err == 0);
        ASSERT(log->start_offset == start);
    }
}

// ---- deleting a whole log

static void gone_done(void *arg, const struct journal_frame *frame, int err)
{
    struct log *log = arg;
    (void)frame;
    ASSERT(log->pending > 0);
    log->pending--;
    if (err != 0)
        log->removed = true; // the files stay: the next start removes them
    log_settle(log);
}

// Recovery looks for the data behind the newest group's references, to know whether that group ever
// was durable. Were the newest group the one that holds both a direct batch and the deletion of its
// topic, removed files would take a durable group, and all else in it, with them. So another group
// comes between.
void log_tell_gone(struct log *log)
{
    ASSERT(log->deleted);
    ASSERT(!log->gone_told);
    log->gone_told = true;
    log->pending++;
    uint8_t key[20];
    memcpy(key, log->key.topic.bytes, 16);
    le32_put(key + 16, (uint32_t)log->key.partition);
    const struct state_record gone = {STATE_LOG, slice_of(key, sizeof key), SLICE_NULL};
    state_write(log->store->o.port, &gone, gone_done, log);
    store_wake(log->store);
}

struct delete_walk {
    struct io *io;
    const char *dir;
};

static int delete_entry(void *arg, const char *name)
{
    const struct delete_walk *walk = arg;
    char path[FILES_PATH_SIZE * 2];
    struct buf b;
    buf_init(&b, sizeof path);
    buf_printf(&b, "%s/%s", walk->dir, name);
    slice_to_cstr(buf_slice(&b), path, sizeof path);
    buf_fini(&b);
    int err = io_remove(walk->io, path);
    return err == ERR_NOT_FOUND ? 0 : err;
}

static int delete_work(struct job *job)
{
    struct files *files = job->files;
    char dir[FILES_PATH_SIZE];
    files_dir(files->root, &job->log->key, dir);
    files_close_log(files, &job->log->key);
    struct delete_walk walk = {files->io, dir};
    int err = io_list(files->io, dir, delete_entry, &walk);
    if (err == ERR_NOT_FOUND)
        return 0;
    if (err == 0)
        err = io_remove(files->io, dir);
    if (err != 0)
        return err;
    *strrchr(dir, '/') = '\0';
    (void)io_remove(files->io, dir); // the topic's, when this was its last partition
    return 0;
}

static void delete_answer(struct job *job)
{
    (void)job; // left-over files are only waste; the next start removes nothing it does not know
}

static void delete_release(struct job *job)
{
    mem_free(job);
}

static int forget_work(struct job *job)
{
    files_close_log(job->files, &job->log->key);
    return 0;
}

static void log_post_one(struct log *log, int (*work)(struct job *job), struct io *worker,
                         struct files *files)
{
    struct job *job = mem_zalloc(sizeof *job);
    job->log = log;
    job->files = files;
    job->work = work;
    job->answer = delete_answer;
    job->release = delete_release;
    job_post(job, worker);
}

void log_post_delete(struct log *log)
{
    struct log_store *store = log->store;
    ASSERT(log->deleted);
    ASSERT(log->pending == 0);
    log_post_one(log, forget_work, store->o.reader, log_reader_files(log));
    log_post_one(log, delete_work, store->o.writer, log_writer_files(log));
}
