// SPDX-License-Identifier: Apache-2.0
//
// Logs in memory (log_options.memory): never journalled, never synced, gone at a restart. While the
// budget allows they meet no file; when three quarters of it are used, the largest of them are
// written to files in a directory of their own, oldest batches first, and these leave memory: a
// backlog costs disk. The files are segments like any others, so all that reads, trims and removes
// segments works on them as it does elsewhere; a start wipes the directory.
//
// Segments are small here: a file that was spilled goes when its last record is trimmed, and what
// is kept for its index until then is little.
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/log_int.h"

#define SPILL_SEGMENT_BYTES (16U << 20)
#define SPILL_INDEX_BYTES   (64U << 10)

void spill_options(struct log_options *options)
{
    if (options->segment_bytes == 0 || options->segment_bytes > SPILL_SEGMENT_BYTES)
        options->segment_bytes = SPILL_SEGMENT_BYTES;
    if (options->index_interval_bytes < SPILL_INDEX_BYTES)
        options->index_interval_bytes = SPILL_INDEX_BYTES;
    options->segment_ms = -1;
    options->relaxed = false;
}

// What is in memory, and what lies in files only.
uint64_t spill_size(const struct log *log)
{
    uint64_t size = log->tail.bytes;
    for (uint32_t i = 0; i < log->segments_count && log->spilled; i++) {
        uint32_t cold = log_cold_end(log, &log->segments[i]);
        if (cold == 0)
            break;
        size += cold;
    }
    return size;
}

void spill_extend(struct segment *s, const struct tail_entry *first, uint32_t end)
{
    ASSERT(first->segment == s->base_offset);
    ASSERT(end > first->position);
    if (!s->spilled || first->position != s->spilled_end) {
        s->spilled_position = first->position;
        s->spilled_offset = first->base_offset;
    }
    s->spilled = true;
    s->spilled_end = end;
}

// ---- under pressure

void spill_shrink(struct log *log)
{
    ASSERT(log->options.memory);
    while (log_tail_droppable(log) && budget_tight(log_budget(log)))
        log_tail_pop(log);
}

static bool worth_it(const struct log *log, uint64_t least_bytes)
{
    return log->options.memory && !log->writing && log->unwritten_bytes >= least_bytes;
}

static bool spill_some(struct log_store *store, uint64_t least_bytes)
{
    bool any = false;
    LIST_FOR (it, &store->resident) {
        struct log *log = CONTAINER_OF(it, struct log, tail_link);
        if (worth_it(log, least_bytes))
            any |= log_write(log, false);
    }
    return any;
}

void spill_under_pressure(struct log_store *store)
{
    const struct log_store_options *o = &store->o;
    const struct budget *budget = o->memory_budget != NULL ? o->memory_budget : o->tail_budget;
    if (!budget_tight(budget) && !store->short_of_spill)
        return;
    LIST_FOR_SAFE (it, &store->resident) {
        struct log *log = CONTAINER_OF(it, struct log, tail_link);
        if (log->options.memory)
            spill_shrink(log);
    }
    if (store->spills_active > 0 || (!budget_tight(budget) && !store->short_of_spill))
        return;
    store->short_of_spill = false;
    if (!spill_some(store, o->write_min_bytes)) // small ones only when there is nothing else
        (void)spill_some(store, 1);
}

// ---- trimming

void spill_trim(struct log *log)
{
    ASSERT(log->options.memory);
    while (!tail_empty(&log->tail) && log->tail.first < log->tail.durable &&
           tail_at(&log->tail, log->tail.first)->last_offset < log->start_offset)
        log_tail_pop(log);
    struct segment *active = log_active(log);
    // A backlog that was worked off leaves no file behind.
    if (active != NULL && active->spilled && log->start_offset == log->end_offset)
        log_roll(log, log->end_offset);
    log_doom(log, true);
}

// ---- a start

static int wipe(struct io *io, const char *dir, int depth);

struct wipe_walk {
    struct io *io;
    const char *dir;
    int depth;
};

static int wipe_entry(void *arg, const char *name)
{
    const struct wipe_walk *walk = arg;
    char path[2 * FILES_PATH_SIZE];
    struct buf b;
    buf_init(&b, sizeof path);
    buf_printf(&b, "%s/%s", walk->dir, name);
    int err = b.err;
    slice_to_cstr(buf_slice(&b), path, sizeof path);
    buf_fini(&b);
    if (err == 0)
        err = walk->depth > 0 ? wipe(walk->io, path, walk->depth - 1) : io_remove(walk->io, path);
    return err == ERR_NOT_FOUND ? 0 : err;
}

static int wipe(struct io *io, const char *dir, int depth)
{
    struct wipe_walk walk = {io, dir, depth};
    int err = io_list(io, dir, wipe_entry, &walk);
    return err != 0 ? err : io_remove(io, dir);
}

int log_spill_wipe(struct io *io)
{
    int err = wipe(io, FILES_SPILL, 2); // spill/<topic>/<partition>/<file>
    return err == ERR_NOT_FOUND ? 0 : err;
}
