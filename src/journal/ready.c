// SPDX-License-Identifier: Apache-2.0
//
// Recovery's end: the journal's files are made ready to be written again. Everything that was kept
// must be on the disk from here on, whatever the last process left in the kernel's memory only.
#include <string.h>

#include "base/assert.h"
#include "base/bugs.h"
#include "base/err.h"
#include "base/mem.h"
#include "journal/walk.h"

// Writes blocks again as they are. A process that was killed after a durable write had failed may
// have left them in the page cache, where they look whole and are marked clean: a sync alone would
// not write them.
static int blocks_again(struct io_file *file, uint64_t at, const uint8_t *bytes, size_t len)
{
    uint64_t padded = wal_padded(len);
    uint8_t *blocks = mem_alloc_aligned(IO_BLOCK, padded);
    memcpy(blocks, bytes, len);
    memset(blocks + len, 0, padded - len);
    struct iovec iov = {.iov_base = blocks, .iov_len = padded};
    int err = io_write(file, at, &iov, 1);
    mem_free(blocks);
    return err;
}

static int opening_again(struct io_file *file, const struct wal_entry *entry)
{
    uint8_t block[IO_BLOCK];
    wal_opening_put(block, &entry->opening);
    return blocks_again(file, WAL_OPENING_AT, block, sizeof block);
}

// The file where writing goes on. One write was in flight when the machine stopped: the newest
// group, or the opening of this file. What is behind the end is blotted out, so that no later start
// sees it again.
static int last_file(struct walk *w)
{
    static const uint8_t zero = 0;
    const struct wal_entry *entry = &w->dir.entries[w->at];
    const struct walk_group *newest = w->newest;
    char path[JOURNAL_PATH_SIZE];
    wal_number_path(w->dir.path, entry->number, ".wal", path);
    struct io_file *file = NULL;
    int err = io_open(w->io, path, IO_WRITE, &file);
    if (err == 0 && newest != NULL && !bug(BUG_TAIL_UNWRITTEN))
        err = blocks_again(file, newest->group.position, newest->data, newest->group.len_bytes);
    else if (err == 0)
        err = opening_again(file, entry);
    if (err == 0 && w->torn)
        err = blocks_again(file, w->pos, &zero, 1);
    if (err == 0) // also what was kept: it may have been on its way when the machine stopped
        err = io_sync(file);
    io_file_close(file);
    return err;
}

static uint64_t random_u64(struct io *io)
{
    uint64_t value;
    do {
        io_random(io, &value, sizeof value);
    } while (value == 0);
    return value;
}

static void tail_add(struct list *list, struct wal_tail *tail, const struct wal_header *header,
                     uint64_t first_lsn)
{
    struct wal_file *file = mem_zalloc(sizeof *file);
    file->number = header->number;
    file->salt = header->salt;
    file->size_bytes = header->size_bytes;
    file->first_lsn = first_lsn;
    list_push_back(list, &file->link);
    tail->count++;
}

static void tail_free(struct wal_tail *tail)
{
    list_splice_back(&tail->used, &tail->spares);
    for (struct list *it; (it = list_pop_front(&tail->used)) != NULL;)
        mem_free(CONTAINER_OF(it, struct wal_file, link));
}

// What a killed process left in the page cache is read like what is on disk, and a power loss takes
// it back; headers and openings that are gone by then would take with them what was written behind
// them. A file that is clean costs next to nothing.
static int kept_sync(struct walk *w, const struct wal_entry *entry)
{
    char path[JOURNAL_PATH_SIZE];
    wal_number_path(w->dir.path, entry->number, ".wal", path);
    struct io_file *file = NULL;
    int err = io_open(w->io, path, IO_WRITE, &file);
    if (err == 0)
        err = io_sync(file);
    io_file_close(file);
    return err;
}

static int tail_entries(struct walk *w, struct wal_tail *tail)
{
    for (size_t i = 0; i < w->dir.count; i++) {
        const struct wal_entry *entry = &w->dir.entries[i];
        bool behind = w->at == NO_ENTRY || i > w->at;
        bool kept = behind || entry->state == WAL_ENTRY_OPENED;
        int err = kept && i != w->at ? kept_sync(w, entry) : 0; // that one is: see last_file
        if (err != 0)
            return err;
        if (entry->state == WAL_ENTRY_OPENED && !behind) {
            tail_add(&tail->used, tail, &entry->header, entry->opening.first_lsn);
        } else if (behind) {
            ASSERT(entry->state == WAL_ENTRY_SPARE || entry->state == WAL_ENTRY_UNSURE);
            tail_add(&tail->spares, tail, &entry->header, 0);
        } else { // older than what is needed, and not readable as what it was
            char path[JOURNAL_PATH_SIZE];
            wal_number_path(w->dir.path, entry->number, ".wal", path);
            err = io_remove(w->io, path);
            if (err != 0)
                return err;
        }
    }
    return 0;
}

static int tail_leftovers(struct walk *w, struct wal_tail *tail)
{
    char path[JOURNAL_PATH_SIZE];
    int err = 0;
    for (size_t i = 0; i < w->dir.new_count && err == 0; i++) {
        wal_number_path(w->dir.path, w->dir.new[i], ".new", path);
        err = io_remove(w->io, path);
    }
    for (size_t i = 0; i < w->dir.old_count && err == 0; i++) {
        // Its blocks are our reserve on a full disk: it becomes a spare file.
        char name[WAL_NAME_SIZE];
        wal_name(w->dir.old[i], ".old", name);
        wal_path(w->dir.path, name, path);
        struct io_file *file = NULL;
        err = io_open(w->io, path, 0, &file);
        int64_t size = err == 0 ? io_file_size(file) : 0;
        io_file_close(file);
        if (err != 0)
            break;
        struct wal_header header = {.store = tail->store,
                                    .number = tail->next_number++,
                                    .salt = random_u64(w->io),
                                    .size_bytes = size > 0 ? (uint64_t)size : 0};
        if (size <= WAL_GROUPS_AT || size % IO_BLOCK != 0) {
            err = io_remove(w->io, path);
            continue;
        }
        err = wal_recycle(w->io, w->dir.path, name, &header);
        if (err == 0)
            tail_add(&tail->spares, tail, &header, 0);
    }
    return err;
}

int walk_ready(struct walk *w, uint64_t first_file_bytes, struct wal_tail *tail)
{
    list_init(&tail->used);
    list_init(&tail->spares);
    tail->count = 0;
    tail->pos = w->pos;
    tail->next_lsn = w->next_lsn;
    tail->prev_crc = w->prev_crc;
    tail->next_number = w->dir.max_number + 1;
    tail->store =
        w->dir.count > 0 ? w->dir.entries[w->dir.count - 1].header.store : random_u64(w->io);
    int err = w->at == NO_ENTRY ? 0 : last_file(w);
    if (err == 0)
        err = tail_entries(w, tail);
    if (err == 0)
        err = tail_leftovers(w, tail);
    if (err == 0 && tail->count == 0) {
        struct wal_header header = {.store = tail->store,
                                    .number = tail->next_number++,
                                    .salt = random_u64(w->io),
                                    .size_bytes = first_file_bytes};
        err = wal_make(w->io, w->dir.path, &header);
        if (err == 0)
            tail_add(&tail->spares, tail, &header, 0);
    }
    if (err != 0)
        tail_free(tail);
    return err;
}
