// SPDX-License-Identifier: Apache-2.0
//
// Recovery of relaxed logs (flush.messages, flush.ms), whose batches are not in the journal: their
// files are read on from the end that is known, through whole batches with right checksums. This is
// the one place where a start lists a directory; what it costs is paid by relaxed logs alone.
//
// A segment counts when it begins where the one before ended. Below the log's start there may be
// holes, since segments there have been removed; so one that begins at or below it counts as well.
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/log_int.h"
#include "log/scan.h"

struct relaxed_scan {
    struct log *log;
    void (*found)(void *arg, const struct batch *batch);
    void *arg;
    int64_t start; // of the log, as far as snapshot and journal know
    int64_t next;  // the smallest base offset that may come next; -1: none
};

static void relaxed_found(void *arg, uint64_t position, const struct batch *b)
{
    struct relaxed_scan *scan = arg;
    struct frame_batch f = {
        .key = scan->log->key,
        .leader_epoch = b->leader_epoch,
        .base_offset = b->base_offset,
        .last_offset = batch_last_offset(b),
        .segment = log_active(scan->log)->base_offset,
        .position = (uint32_t)position,
        .size_bytes = b->size_bytes,
        .max_timestamp_ms = b->max_timestamp_ms,
    };
    log_place(scan->log, &f);
    log_active(scan->log)->dirty = true;
    scan->log->high_watermark = scan->log->end_offset;
    scan->found(scan->arg, b);
}

// Reads on in a segment from `position`; at 0 it is one that the log does not know yet, and its
// first batch must say that it belongs there. ERR_NOT_FOUND, ERR_EOF: there is none.
static int relaxed_segment(struct relaxed_scan *rs, int64_t segment, uint64_t position)
{
    struct log *log = rs->log;
    struct files *files = &log->store->recovery_files;
    struct file_key key = {.log = log->key, .base_offset = segment, .kind = FILE_LOG};
    struct files_entry *e;
    int err = files_open(files, &key, false, &e); // never made: this one looks only
    if (err == 0)
        err = files_open(files, &key, true, &e);
    if (err != 0)
        return err;
    int64_t size = io_file_size(files_file(e));
    if (size < 0)
        return (int)size;
    if (size > INT32_MAX)
        size = INT32_MAX;
    struct scan scan;
    scan_init(&scan, files_file(e), (uint64_t)size);
    struct batch b;
    if (position == 0 && (scan_header(&scan, 0, &b) != 0 || b.base_offset != segment))
        return ERR_EOF;
    const struct segment *active = log_active(log);
    if (position == 0 && (active == NULL || active->base_offset != segment))
        log_roll(log, segment);
    const struct scan_place from = {position, position == 0 ? segment : log->end_offset};
    scan_valid(&scan, from, relaxed_found, rs);
    files_mark(e);
    return 0;
}

static int next_take(void *arg, const char *name)
{
    struct relaxed_scan *rs = arg;
    int64_t base;
    enum file_kind kind;
    if (!log_name_parse(name, &base, &kind) || kind != FILE_LOG)
        return 0;
    bool follows = base == rs->log->end_offset || (base > rs->log->end_offset && base <= rs->start);
    if (follows && (rs->next < 0 || base < rs->next))
        rs->next = base;
    return 0;
}

static int relaxed_next(struct relaxed_scan *rs)
{
    struct log *log = rs->log;
    char dir[FILES_PATH_SIZE];
    files_dir(FILES_ROOT, &log->key, dir);
    rs->next = -1;
    const struct segment *active = log_active(log);
    if (active != NULL && active->base_offset == log->end_offset)
        return ERR_EOF; // it has been read, and is empty
    int err = io_list(log->store->recovery_files.io, dir, next_take, rs);
    if (err == 0)
        err = rs->next < 0 ? ERR_EOF : relaxed_segment(rs, rs->next, 0);
    return err;
}

// The journal may know a later start than the files have an end: a power loss took what was not
// synced. Then the log goes on where it starts, as in Kafka.
static void start_again(struct log *log)
{
    if (log->replayed_start <= log->start_offset)
        return;
    log->start_offset = log->replayed_start;
    log->touched = true;
    if (log->end_offset < log->start_offset) {
        log->end_offset = log->high_watermark = log->start_offset;
        if (log_active(log) != NULL && log_active(log)->size_bytes > 0)
            log_roll(log, log->end_offset);
    }
    log_mark_dirty(log);
}

int log_relaxed_recover(struct log *log, void (*found)(void *arg, const struct batch *batch),
                        void *arg)
{
    int64_t start = log->start_offset;
    if (start < log->replayed_start)
        start = log->replayed_start;
    struct relaxed_scan rs = {.log = log, .found = found, .arg = arg, .start = start};
    const struct segment *active = log_active(log);
    int err = 0;
    if (active != NULL)
        err = relaxed_segment(&rs, active->base_offset, active->size_bytes);
    if (err == ERR_NOT_FOUND || err == ERR_EOF)
        err = 0; // it never came to be, or was removed with what lies below the start
    while (err == 0)
        err = relaxed_next(&rs);
    if (err != ERR_NOT_FOUND && err != ERR_EOF)
        return err;
    start_again(log);
    return 0;
}
