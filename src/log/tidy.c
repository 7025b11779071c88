// SPDX-License-Identifier: Apache-2.0
//
// After a start: a crash may have left bytes behind the known end of a segment (direct writes whose
// group was cut) and files of segments that never came to be. They are harmless until something is
// written beside them, so they are removed in the background, log by log, and until then a log's
// batches go through the journal. Doing it before the doors open was rejected: it opens a directory
// per partition, and a start must not cost more the more partitions there are.
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/log_int.h"

#define TIDY_AT_ONCE 4

struct tidy_job {
    struct job job;
    struct known_segment *known;
    size_t count;
    bool background;
};

struct tidy_walk {
    struct files *files;
    const struct log_key *key;
    const struct known_segment *known;
    size_t count;
};

static const char *const endings[FILE_KINDS] = {".log", ".index", ".timeindex"};

bool log_name_parse(const char *name, int64_t *out_base, enum file_kind *out_kind)
{
    uint64_t base = 0;
    for (int i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9' || base > INT64_MAX / 10)
            return false;
        base = base * 10 + (uint64_t)(name[i] - '0');
    }
    for (int kind = 0; kind < FILE_KINDS; kind++) {
        if (strcmp(name + 20, endings[kind]) == 0 && base <= INT64_MAX) {
            *out_base = (int64_t)base;
            *out_kind = (enum file_kind)kind;
            return true;
        }
    }
    return false;
}

static int cut_file(struct files *files, const struct file_key *key, uint64_t size)
{
    struct files_entry *e;
    int err = files_open(files, key, true, &e);
    if (err != 0)
        return err;
    int64_t now = io_file_size(files_file(e));
    if (now < 0)
        return (int)now;
    if ((uint64_t)now <= size)
        return 0;
    // Synced here: no segment is dirty for it, so a cut that finds nothing to write would install a
    // snapshot that calls the file final, and a power loss would bring back what was cut off.
    err = files_truncate(e, size);
    return err != 0 ? err : files_sync(files, e);
}

static int tidy_entry(void *arg, const char *name)
{
    const struct tidy_walk *walk = arg;
    struct file_key key = {.log = *walk->key};
    if (!log_name_parse(name, &key.base_offset, &key.kind))
        return 0; // not ours
    for (size_t i = 0; i < walk->count; i++) {
        const struct known_segment *k = &walk->known[i];
        if (k->base_offset != key.base_offset)
            continue;
        uint64_t sizes[FILE_KINDS] = {k->size_bytes, k->index_bytes, k->time_bytes};
        return k->final ? 0 : cut_file(walk->files, &key, sizes[key.kind]);
    }
    char path[FILES_PATH_SIZE];
    files_path(walk->files->root, &key, path);
    files_close(walk->files, &key);
    return io_remove(walk->files->io, path);
}

int log_tidy_files(struct files *files, const struct log_key *key,
                   const struct known_segment *known, size_t count)
{
    struct tidy_walk walk = {.files = files, .key = key, .known = known, .count = count};
    char dir[FILES_PATH_SIZE];
    files_dir(files->root, key, dir);
    int err = io_list(files->io, dir, tidy_entry, &walk);
    if (err == ERR_NOT_FOUND)
        return 0;
    // Names that a crash left may not be durable yet, and who finds a file no longer asks.
    return err != 0 ? err : files_sync_dirs(files, key);
}

static int tidy_work(struct job *job)
{
    struct tidy_job *t = CONTAINER_OF(job, struct tidy_job, job);
    return log_tidy_files(job->files, &job->log->key, t->known, t->count);
}

static void tidy_answer(struct job *job)
{
    struct tidy_job *t = CONTAINER_OF(job, struct tidy_job, job);
    struct log *log = job->log;
    struct log_store *store = log->store;
    ASSERT(log->writing);
    log->writing = false;
    if (t->background)
        store->tidy_active--;
    if (job->err != 0) {
        store_fail(store, job->err, "tidy");
        store_cut_failed(store, job->err);
        return;
    }
    log->tidy = true;
    for (uint32_t i = log->doomed_count; i-- > 0;)
        if (log->doomed[i].tidying) // its files were not among the known ones
            log_doomed_gone(log, log->doomed[i].base_offset);
    store_cut_step(log);
    if (!log->writing && !log->deleted)
        log_write(log, false);
    store_tidy_next(store);
}

static void tidy_release(struct job *job)
{
    struct tidy_job *t = CONTAINER_OF(job, struct tidy_job, job);
    mem_free(t->known);
    mem_free(t);
}

// What is to stay: the live segments, cut to what is known of them, and those that have been
// condemned since the start by what may not be durable yet.
static struct known_segment *known_of(const struct log *log, size_t *out_count)
{
    size_t count = 0;
    struct known_segment *known =
        mem_zalloc((log->segments_count + log->doomed_count + 1) * sizeof *known);
    for (uint32_t i = 0; i < log->segments_count; i++) {
        const struct segment *s = &log->segments[i];
        known[count++] = (struct known_segment){
            .base_offset = s->base_offset,
            .size_bytes = s->size_bytes,
            .index_bytes = s->index_flushed * INDEX_ENTRY_BYTES,
            .time_bytes = s->time_flushed * TIME_ENTRY_BYTES,
            .final = s->state == SEGMENT_CLEAN,
        };
    }
    for (uint32_t i = 0; i < log->doomed_count; i++)
        if (!log->doomed[i].stale && log->doomed[i].state == SEGMENT_DOOMED)
            known[count++] =
                (struct known_segment){.base_offset = log->doomed[i].base_offset, .final = true};
    *out_count = count;
    return known;
}

void log_tidy(struct log *log, bool background)
{
    ASSERT(!log->tidy);
    ASSERT(!log->writing);
    struct tidy_job *t = mem_zalloc(sizeof *t);
    t->job.log = log;
    t->job.files = log_writer_files(log);
    t->job.work = tidy_work;
    t->job.answer = tidy_answer;
    t->job.release = tidy_release;
    t->known = known_of(log, &t->count);
    t->background = background;
    for (uint32_t i = 0; i < log->doomed_count; i++) {
        struct segment *s = &log->doomed[i];
        s->tidying = s->state == SEGMENT_DOOMED && s->stale && !s->removing;
        s->removing |= s->tidying;
    }
    if (background)
        log->store->tidy_active++;
    log->writing = true;
    job_post(&t->job, log->store->o.writer);
}

void store_tidy_next(struct log_store *store)
{
    while (store->tidy_active < TIDY_AT_ONCE) {
        struct list *it = list_pop_front(&store->tidying);
        if (it == NULL)
            return;
        struct log *log = CONTAINER_OF(it, struct log, work_link);
        if (!log->tidy && !log->writing && !log->options.memory)
            log_tidy(log, true);
    }
}
