// SPDX-License-Identifier: Apache-2.0
//
// Making journal files. A new one is written with zeros and synced, so that its blocks are
// allocated and initialised and a later durable write changes nothing but data; that is what makes
// it half as dear. Both making and recycling work under another suffix (.new, .old) and give the
// file its final name last: a name ending in .wal always has a whole header, whenever the machine
// stopped.
//
// The reserve is a file of blocks that belong to nobody. A disk that is full when the journal needs
// its next file, without which nothing can be deleted either, does not stop it: the reserve becomes
// that file.
//
// Runs on the checkpointer's actor while the journal writes, and on the opening worker at the
// start.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "journal/journal_int.h"
#include "journal/snapshot.h"

#define ZERO_CHUNK_SMALL ((size_t)256 * 1024)
#define ZERO_CHUNK_LARGE ((size_t)1024 * 1024)

void wal_path(const char *dir, const char *name, char out[JOURNAL_PATH_SIZE])
{
    int len = snprintf(out, JOURNAL_PATH_SIZE, "%s/%s", dir, name);
    ASSERT(len > 0);
    ASSERT(len < JOURNAL_PATH_SIZE);
}

void wal_number_path(const char *dir, uint64_t number, const char *suffix,
                     char out[JOURNAL_PATH_SIZE])
{
    char name[WAL_NAME_SIZE];
    wal_name(number, suffix, name);
    wal_path(dir, name, out);
}

// Large files in chunks that pass the page cache by: the journal's own writes go in between, where
// one sync of 64 MB would keep them waiting. The first file of all is small, and needed at once.
static int fill(struct io_file *file, const struct wal_header *header)
{
    bool large = header->size_bytes >= 4 * ZERO_CHUNK_LARGE;
    size_t chunk_bytes = large ? ZERO_CHUNK_LARGE : ZERO_CHUNK_SMALL;
    uint8_t *chunk = mem_alloc_aligned(IO_BLOCK, chunk_bytes);
    wal_header_put(chunk, header);
    int err = 0;
    for (uint64_t at = 0; at < header->size_bytes && err == 0; at += chunk_bytes) {
        uint64_t left = header->size_bytes - at;
        struct iovec iov = {.iov_base = chunk, .iov_len = left < chunk_bytes ? left : chunk_bytes};
        err = io_write(file, at, &iov, 1);
        if (at == 0)
            memset(chunk, 0, IO_BLOCK);
    }
    mem_free(chunk);
    return err;
}

// What lies under its temporary name already is taken for it.
int wal_make(struct io *io, const char *dir, const struct wal_header *header)
{
    ASSERT(header->size_bytes % IO_BLOCK == 0);
    ASSERT(header->size_bytes > WAL_GROUPS_AT);
    char temporary[JOURNAL_PATH_SIZE], final[JOURNAL_PATH_SIZE];
    wal_number_path(dir, header->number, ".new", temporary);
    wal_number_path(dir, header->number, ".wal", final);

    struct io_file *file = NULL;
    int err = io_open(io, temporary, IO_CREATE | IO_WRITE | IO_BULK, &file);
    if (err == 0)
        err = io_reserve(file, 0, header->size_bytes); // a full disk says so before we fill it
    if (err == 0)
        err = fill(file, header);
    if (err == 0)
        err = io_sync(file);
    io_file_close(file);
    if (err == 0)
        err = io_rename(io, temporary, final);
    if (err == 0)
        err = io_sync_dir(io, dir);
    else
        (void)io_remove(io, temporary); // at the latest the next start does it
    return err;
}

int wal_make_of_reserve(struct io *io, const char *dir, const struct wal_header *header)
{
    char reserve[JOURNAL_PATH_SIZE], temporary[JOURNAL_PATH_SIZE];
    wal_path(dir, WAL_RESERVE_NAME, reserve);
    wal_number_path(dir, header->number, ".new", temporary);
    int err = io_rename(io, reserve, temporary);
    if (err != 0)
        return err == ERR_NOT_FOUND ? ERR_NOSPACE : err;
    return wal_make(io, dir, header);
}

int wal_reserve(struct io *io, const char *dir, uint64_t size_bytes)
{
    char path[JOURNAL_PATH_SIZE];
    wal_path(dir, WAL_RESERVE_NAME, path);
    struct io_file *file = NULL;
    int err = io_open(io, path, IO_CREATE | IO_WRITE, &file);
    if (err == 0)
        err = io_reserve(file, 0, size_bytes);
    io_file_close(file);
    if (err != 0)
        (void)io_remove(io, path); // half a reserve is none
    return err;
}

static int rewrite_header(struct io *io, const char *path, const struct wal_header *header)
{
    struct io_file *file = NULL;
    int err = io_open(io, path, IO_WRITE | IO_DURABLE, &file);
    if (err != 0)
        return err;
    uint8_t *blocks = mem_alloc_aligned(IO_BLOCK, WAL_GROUPS_AT);
    wal_header_put(blocks, header); // the opening block stays zero: a spare file
    struct iovec iov = {.iov_base = blocks, .iov_len = WAL_GROUPS_AT};
    err = io_write(file, 0, &iov, 1);
    mem_free(blocks);
    io_file_close(file);
    return err;
}

int wal_recycle(struct io *io, const char *dir, const char *from_name,
                const struct wal_header *header)
{
    char from[JOURNAL_PATH_SIZE], temporary[JOURNAL_PATH_SIZE], final[JOURNAL_PATH_SIZE];
    wal_path(dir, from_name, from);
    wal_number_path(dir, header->number, ".old", temporary);
    wal_number_path(dir, header->number, ".wal", final);
    int err = io_rename(io, from, temporary);
    if (err == 0) // its old name is gone before its header is
        err = io_sync_dir(io, dir);
    if (err == 0)
        err = rewrite_header(io, temporary, header);
    if (err == 0)
        err = io_rename(io, temporary, final);
    if (err == 0)
        err = io_sync_dir(io, dir);
    return err;
}

static int wal_remove(struct io *io, const char *dir, uint64_t number)
{
    char path[JOURNAL_PATH_SIZE];
    wal_number_path(dir, number, ".wal", path);
    int err = io_remove(io, path);
    return err != 0 ? err : io_sync_dir(io, dir);
}

static void job_done(struct io_msg *msg) // on the journal's actor
{
    struct wal_job *job = CONTAINER_OF(msg, struct wal_job, msg);
    files_job_done(job->journal, job);
}

static uint64_t reserve_bytes(const struct journal *journal)
{
    uint64_t file_bytes = journal->options.file_bytes;
    return file_bytes < WAL_RESERVE_BYTES ? file_bytes : WAL_RESERVE_BYTES;
}

// By another name, not by giving the blocks back: others wait for blocks too.
bool journal_reserve_take(const struct journal *journal, struct io *io, uint64_t bytes,
                          const char *path)
{
    char reserve[JOURNAL_PATH_SIZE];
    wal_path(journal->dir, WAL_RESERVE_NAME, reserve);
    return bytes <= reserve_bytes(journal) && io_rename(io, reserve, path) == 0;
}

bool journal_reserve_give(struct io *io, const char *dir)
{
    char path[JOURNAL_PATH_SIZE];
    wal_path(dir, WAL_RESERVE_NAME, path);
    return io_remove(io, path) == 0 && io_sync_dir(io, dir) == 0;
}

static void make_run(struct io *io, struct wal_job *job, struct wal_header *header)
{
    const char *dir = job->journal->dir;
    job->err = wal_make(io, dir, header);
    if (job->err == ERR_NOSPACE && job->least_bytes < header->size_bytes) {
        header->size_bytes = job->least_bytes;
        job->err = wal_make(io, dir, header);
    }
    if (job->err == ERR_NOSPACE && job->last_resort) {
        header->size_bytes = reserve_bytes(job->journal);
        job->err = wal_make_of_reserve(io, dir, header);
        job->of_reserve = job->err == 0;
    }
    job->size_bytes = header->size_bytes;
}

static void job_run(struct io_msg *msg) // on the checkpointer's actor
{
    struct wal_job *job = CONTAINER_OF(msg, struct wal_job, msg);
    struct journal *journal = job->journal;
    struct io *io = journal->options.checkpointer;
    do {
        io_random(io, &job->salt, sizeof job->salt);
    } while (job->salt == 0);
    struct wal_header header = {.store = journal->store,
                                .number = job->number,
                                .salt = job->salt,
                                .size_bytes = job->size_bytes};
    char name[WAL_NAME_SIZE];
    wal_name(job->old_number, ".wal", name);
    switch (job->kind) {
    case WAL_MAKE:
        make_run(io, job, &header);
        break;
    case WAL_RESERVE:
        job->err = checkpoint_reserve(io);
        if (job->err == 0)
            job->err = wal_reserve(io, journal->dir, reserve_bytes(journal));
        break;
    case WAL_RECYCLE:
        job->err = wal_recycle(io, journal->dir, name, &header);
        break;
    case WAL_REMOVE:
        job->err = wal_remove(io, journal->dir, job->old_number);
        break;
    }
    job->msg.run = job_done;
    io_post(journal->options.actor, &job->msg);
}

void wal_job_post(struct journal *journal, enum wal_job_kind kind, const struct wal_job *what)
{
    struct wal_job *job = mem_alloc(sizeof *job);
    *job = *what;
    job->kind = kind;
    job->journal = journal;
    job->msg.run = job_run;
    list_push_back(&journal->files.jobs, &job->link);
    io_post(journal->options.checkpointer, &job->msg);
}
