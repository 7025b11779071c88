// SPDX-License-Identifier: Apache-2.0
//
// A shard's store: its life, the jobs that travel to the workers and back, the memory budget of the
// tails, and the turn's end, where everything that was put off during the turn is done: waiters
// fire, writes are posted. Waiters fire there and nowhere else, so that no callback ever runs
// inside a call.
#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/log_int.h"

#define RETRY_NS 1000000000 // a full disk is looked at again once a second

static void wake_run(struct io_msg *msg)
{
    CONTAINER_OF(msg, struct log_store, wake)->wake_posted = false;
}

void store_wake(struct log_store *store)
{
    if (store->wake_posted || !store->started)
        return;
    store->wake_posted = true;
    io_post(store->o.shard, &store->wake);
}

static void retry_fire(struct io_timer *timer)
{
    struct log_store *store = CONTAINER_OF(timer, struct log_store, retry_timer);
    struct list again;
    list_init(&again);
    list_splice_back(&again, &store->retry);
    struct list *it;
    while ((it = list_pop_front(&again)) != NULL) {
        struct job *job = CONTAINER_OF(it, struct job, link);
        ASSERT(job->log->pending > 0);
        job->log->pending--; // disk_full kept the log; job_post does from here
        job->again(job);
        job_post(job, store->o.writer);
    }
}

int log_store_create(const struct log_store_options *options, struct log_store **out)
{
    if (options->files_max < FILE_KINDS || options->tail_budget == NULL)
        return ERR_INVALID;
    ASSERT(options->shard != NULL);
    ASSERT(options->writer != NULL);
    ASSERT(options->reader != NULL);
    struct log_store *s = mem_zalloc(sizeof *s);
    s->o = *options;
    struct list *heads[] = {&s->logs,     &s->leaving,  &s->to_write,      &s->moved, &s->resident,
                            &s->dirty,    &s->ready,    &s->ready_lookups, &s->jobs,  &s->retry,
                            &s->cut_logs, &s->cut_work, &s->tidying};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        list_init(heads[i]);
    s->wake.run = wake_run;
    io_timer_init(&s->retry_timer, retry_fire);
    s->started = options->port != NULL;
    s->positions = positions_create();
    files_init(&s->writer_files, options->writer, options->files_max);
    files_init(&s->reader_files, options->reader, options->files_max);
    files_init_spill(&s->spill_writer_files, options->writer, options->files_max);
    files_init_spill(&s->spill_reader_files, options->reader, options->files_max);
    files_init(&s->recovery_files, options->recovery, options->files_max);
    *out = s;
    return 0;
}

// The rest of the start, on the shard: what a crash left behind is tidied in the background.
static void start_run(struct io_msg *msg)
{
    struct log_store *s = CONTAINER_OF(msg, struct log_store, start);
    LIST_FOR_SAFE (it, &s->leaving)
        log_settle(CONTAINER_OF(it, struct log, link));
    store_tidy_next(s);
}

void log_store_set_port(struct log_store *s, struct journal_port *port)
{
    ASSERT(!s->started);
    ASSERT(port != NULL);
    ASSERT(s->recovery_files.count == 0); // log_recover closed and synced them
    s->o.port = port;
    s->started = true;
    LIST_FOR (it, &s->logs) {
        struct log *log = CONTAINER_OF(it, struct log, link);
        if (!log->tidy)
            list_push_back(&s->tidying, &log->work_link);
    }
    s->start.run = start_run;
    io_post(s->o.shard, &s->start);
}

struct files *log_writer_files(struct log *log)
{
    return log->options.memory ? &log->store->spill_writer_files : &log->store->writer_files;
}

struct files *log_reader_files(struct log *log)
{
    return log->options.memory ? &log->store->spill_reader_files : &log->store->reader_files;
}

struct budget *log_budget(const struct log *log)
{
    const struct log_store_options *o = &log->store->o;
    return log->options.memory && o->memory_budget != NULL ? o->memory_budget : o->tail_budget;
}

static void log_free(struct log *log)
{
    struct log_store *store = log->store;
    ASSERT(store->stats.logs > 0);
    ASSERT(store->stats.tail_bytes >= log->tail.bytes);
    ASSERT(store->stats.unwritten_bytes >= log->unwritten_bytes);
    struct list *links[] = {&log->link,       &log->write_link, &log->moved_link, &log->tail_link,
                            &log->dirty_link, &log->cut_link,   &log->work_link};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        list_remove(links[i]);
    budget_give(log_budget(log), log->tail.bytes);
    store->stats.tail_bytes -= log->tail.bytes;
    store->stats.unwritten_bytes -= log->unwritten_bytes;
    store->stats.logs--;
    tail_fini(&log->tail);
    for (uint32_t i = 0; i < log->segments_count; i++)
        segment_fini(&log->segments[i]);
    for (uint32_t i = 0; i < log->doomed_count; i++)
        segment_fini(&log->doomed[i]);
    mem_free(log->segments);
    mem_free(log->doomed);
    mem_free(log->epochs);
    mem_free(log);
}

static void free_jobs(struct list *jobs)
{
    struct list *it;
    while ((it = list_pop_front(jobs)) != NULL) {
        struct job *job = CONTAINER_OF(it, struct job, link);
        job->release(job);
    }
}

void log_store_destroy(struct log_store *s)
{
    if (s == NULL)
        return;
    free_jobs(&s->jobs);
    free_jobs(&s->retry);
    LIST_FOR_SAFE (it, &s->logs)
        log_free(CONTAINER_OF(it, struct log, link));
    LIST_FOR_SAFE (it, &s->leaving)
        log_free(CONTAINER_OF(it, struct log, link));
    files_fini(&s->writer_files);
    files_fini(&s->reader_files);
    files_fini(&s->spill_writer_files);
    files_fini(&s->spill_reader_files);
    files_fini(&s->recovery_files);
    positions_destroy(s->positions);
    mem_free(s);
}

// ---- jobs

static void job_answered(struct io_msg *msg)
{
    struct job *job = CONTAINER_OF(msg, struct job, msg);
    struct log *log = job->log;
    ASSERT(log->pending > 0);
    list_remove(&job->link);
    log->pending--;
    job->keep = false;
    job->answer(job);
    if (!job->keep)
        job->release(job);
    log_settle(log);
}

static void job_run(struct io_msg *msg)
{
    struct job *job = CONTAINER_OF(msg, struct job, msg);
    struct io *shard = job->log->store->o.shard;
    job->err = job->work(job);
    job->msg.run = job_answered;
    io_post(shard, &job->msg);
}

void job_post(struct job *job, struct io *worker)
{
    struct log_store *store = job->log->store;
    ASSERT(store->started);
    ASSERT(job->work != NULL);
    ASSERT(job->answer != NULL);
    ASSERT(job->release != NULL);
    job->log->pending++;
    job->msg.run = job_run;
    list_init(&job->link);
    list_push_back(&store->jobs, &job->link);
    io_post(worker, &job->msg);
}

void store_fail(struct log_store *store, int err, const char *what)
{
    if (store->failed)
        return;
    store->failed = true;
    if (store->o.fatal != NULL)
        store->o.fatal(store->o.arg, err, what);
}

// ---- logs

int log_create(struct log_store *store, const struct log_key *key,
               const struct log_options *options, struct log **out)
{
    if ((options->segment_bytes == 0 && !options->memory) || key->partition < 0)
        return ERR_INVALID;
    struct log *log = mem_zalloc(sizeof *log);
    struct list *links[] = {&log->write_link, &log->moved_link, &log->tail_link, &log->dirty_link,
                            &log->cut_link,   &log->work_link,  &log->waiters};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        list_init(links[i]);
    log->store = store;
    log->key = *key;
    log->target.writer = store->o.writer;
    log->target.write = log_target_write;
    log->target.sync = log_target_sync;
    log->tidy = store->started; // a topic made now has an id that no crash has seen
    tail_init(&log->tail);
    log_set_options(log, options);
    list_push_back(&store->logs, &log->link);
    store->stats.logs++;
    log_invariant(log);
    *out = log;
    return 0;
}

void log_set_options(struct log *log, const struct log_options *options)
{
    ASSERT(log->end_offset == 0 || log->options.memory == options->memory);
    bool before = log->options.relaxed;
    log->options = *options;
    log->wants_relaxed = options->relaxed;
    if (log->store->started)
        log->options.relaxed = before;
    log_relax(log);
    if (log->options.segment_bytes > INT32_MAX) // positions in Kafka's index have 31 bits
        log->options.segment_bytes = INT32_MAX;
    if (log->options.memory)
        spill_options(&log->options);
}

int64_t log_start_offset(const struct log *log)
{
    return log->start_offset;
}

int64_t log_high_watermark(const struct log *log)
{
    return log->high_watermark;
}

int64_t log_end_offset(const struct log *log)
{
    return log->end_offset;
}

uint64_t log_size_bytes(const struct log *log)
{
    return log->options.memory ? spill_size(log) : log->size_bytes;
}

bool log_in_memory(const struct log *log)
{
    return log->options.memory;
}

uint64_t log_readable_bytes(const struct log *log)
{
    return log->readable_bytes;
}

const struct log_key *log_key(const struct log *log)
{
    return &log->key;
}

void log_mark_dirty(struct log *log)
{
    // A deleted log leaves no record; the catalogue's says that it is gone.
    if (list_empty(&log->dirty_link) && !log->options.memory && !log->deleted)
        list_push_back(&log->store->dirty, &log->dirty_link);
}

void log_delete(struct log *log)
{
    struct log_store *store = log->store;
    ASSERT(!log->deleted);
    log->deleted = true;
    struct list *it;
    while ((it = list_pop_front(&log->waiters)) != NULL) {
        CONTAINER_OF(it, struct log_waiter, link)->offset = INT64_MIN; // see fire_ready
        list_push_back(&store->ready, it);
    }
    store_wake(store);
    if (!list_empty(&log->work_link))
        log->cutting = false; // its turn in the cut had not come
    struct list *links[] = {&log->link, &log->write_link, &log->moved_link, &log->dirty_link,
                            &log->work_link};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        list_remove(links[i]);
    list_push_back(&store->leaving, &log->link);
    log->leaving_seq = ++store->leaving_seq;
    ASSERT(list_empty(&log->waiters));
    log_settle(log);
}

void log_settle(struct log *log)
{
    struct log_store *store = log->store;
    // In recovery the files wait for the writer: log_store_set_port's message comes here again.
    if (!log->deleted || log->pending > 0 || !store->started)
        return;
    if (!log->removed && !log->gone_told && !log->options.memory) {
        log_tell_gone(log);
        return;
    }
    if (!log->removed && (!log->options.memory || log->spilled)) {
        log->removed = true;
        log_post_delete(log);
        return;
    }
    log_free(log);
    store_cut_next(store);
}

// ---- memory

// Drops what is written of logs that live on this budget.
static void reclaim(struct log_store *store, const struct budget *budget, uint64_t want)
{
    uint64_t before = store->stats.tail_bytes;
    LIST_FOR_SAFE (it, &store->resident) {
        struct log *log = CONTAINER_OF(it, struct log, tail_link);
        if (log_budget(log) == budget)
            log_tail_shrink(log, 0);
        if (before - store->stats.tail_bytes >= want)
            return;
    }
}

int log_take(struct log *log, size_t bytes)
{
    struct log_store *store = log->store;
    struct budget *budget = log_budget(log);
    if (budget_take(budget, bytes) == 0)
        return 0;
    *(log->options.memory ? &store->short_of_spill : &store->short_of_memory) = true;
    reclaim(store, budget, bytes);
    if (budget_take(budget, bytes) == 0)
        return 0;
    return store->nospace ? ERR_NOSPACE : ERR_AGAIN; // clients send it again
}

bool budget_tight(const struct budget *budget)
{
    return budget_used(budget) >= budget->limit_bytes / 4 * 3;
}

// Three quarters full: what is durable is written although it is little, so that there is room
// before an append has to be refused.
static void write_under_pressure(struct log_store *store)
{
    if (!budget_tight(store->o.tail_budget) && !store->short_of_memory)
        return;
    if (store->writes_active > 0)
        return;
    store->short_of_memory = false;
    LIST_FOR (it, &store->resident) {
        struct log *log = CONTAINER_OF(it, struct log, tail_link);
        if (log->unwritten_bytes > 0 && list_empty(&log->write_link) && !log->options.memory)
            list_push_back(&store->to_write, &log->write_link);
    }
}

// ---- the turn's end

static void collect_moved(struct log_store *store)
{
    struct list *it;
    while ((it = list_pop_front(&store->moved)) != NULL) {
        struct log *log = CONTAINER_OF(it, struct log, moved_link);
        struct list *w;
        while ((w = list_first(&log->waiters)) != NULL) {
            if (CONTAINER_OF(w, struct log_waiter, link)->offset > log->high_watermark)
                break;
            ASSERT(!log->deleted); // log_delete has taken its waiters
            list_remove(w);
            list_push_back(&store->ready, w);
        }
    }
}

// One round only: what the callbacks make ready waits for the next turn, so that a waiter that
// comes back at once cannot hold the shard.
static void fire_ready(struct log_store *store)
{
    struct list waiters, lookups;
    list_init(&waiters);
    list_init(&lookups);
    list_splice_back(&waiters, &store->ready);
    list_splice_back(&lookups, &store->ready_lookups);
    struct list *it;
    while ((it = list_pop_front(&waiters)) != NULL) {
        struct log_waiter *w = CONTAINER_OF(it, struct log_waiter, link);
        // A deleted log has no offset to wait for; its waiters carry the mark log_delete gave them.
        w->fire(w, w->offset == INT64_MIN ? ERR_UNKNOWN_TOPIC_OR_PARTITION : 0);
    }
    while ((it = list_pop_front(&lookups)) != NULL) {
        struct log_lookup *l = CONTAINER_OF(it, struct log_lookup, link);
        l->done(l, 0);
    }
}

void log_store_turn_end(struct log_store *store)
{
    LIST_FOR_SAFE (it, &store->to_write) {
        struct log *log = CONTAINER_OF(it, struct log, write_link);
        if (log->options.memory) { // durable is what the turn has left behind
            list_remove(it);
            while (log->tail.durable < log->tail.end)
                log->readable_bytes += tail_at(&log->tail, log->tail.durable++)->piece.len;
            log_advance(log, log->end_offset);
        }
    }
    collect_moved(store);
    fire_ready(store);
    write_under_pressure(store);
    spill_under_pressure(store);
    if (store->cut_begins) {
        store->cut_begins = false;
        store_cut_next(store);
    }
    struct list again;
    list_init(&again);
    list_splice_back(&again, &store->to_write);
    struct list *it;
    while ((it = list_pop_front(&again)) != NULL) {
        struct log *log = CONTAINER_OF(it, struct log, write_link);
        if (log->options.memory)
            list_push_back(&store->to_write, it);
        else if (!log->writing)
            log_write(log, false);
    }
    if (!list_empty(&store->ready) || !list_empty(&store->moved) || !list_empty(&store->to_write) ||
        !list_empty(&store->ready_lookups))
        store_wake(store);
}

void log_store_stats(const struct log_store *store, struct log_store_stats *out)
{
    *out = store->stats;
    LIST_FOR (it, &store->logs)
        out->segments += CONTAINER_OF(it, struct log, link)->segments_count;
}
