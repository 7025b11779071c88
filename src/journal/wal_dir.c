// SPDX-License-Identifier: Apache-2.0
//
// Listing and classifying the journal's files, and reading them through a window of a megabyte, so
// that recovery reads the device in large pieces whatever the size of the groups.
#include "journal/wal_dir.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

#define WINDOW_BYTES ((size_t)1024 * 1024)

// ---- the window

int wal_window_open(struct wal_window *w, struct io *io, const char *dir,
                    const struct wal_entry *entry)
{
    wal_window_close(w);
    char path[JOURNAL_PATH_SIZE];
    wal_number_path(dir, entry->number, ".wal", path);
    w->io = io;
    w->file_bytes = entry->file_bytes;
    return io_open(io, path, 0, &w->file);
}

void wal_window_close(struct wal_window *w)
{
    io_file_close(w->file);
    w->file = NULL;
    w->len = 0;
}

void wal_window_free(struct wal_window *w)
{
    wal_window_close(w);
    mem_free(w->data);
    w->data = NULL;
    w->cap = 0;
}

void wal_window_forget(struct wal_window *w)
{
    w->len = 0;
}

static int window_grow(struct wal_window *w, size_t need)
{
    size_t cap = need > WINDOW_BYTES ? need : WINDOW_BYTES;
    if (w->cap >= cap)
        return 0;
    uint8_t *data = mem_try_alloc(cap); // at most a file: a length was held against it before
    if (data == NULL)
        return ERR_NOMEM;
    mem_free(w->data);
    w->data = data;
    w->cap = cap;
    return 0;
}

int wal_window_get(struct wal_window *w, uint64_t at, size_t len, const uint8_t **out)
{
    ASSERT(w->file != NULL);
    if (at > w->file_bytes || len > w->file_bytes - at)
        return ERR_EOF;
    if (w->len > 0 && at >= w->at && at + len <= w->at + w->len) {
        *out = w->data + (at - w->at);
        return 0;
    }
    int err = window_grow(w, len);
    if (err != 0)
        return err;
    w->len = 0;
    int64_t got = io_read(w->file, at, w->data, w->cap);
    if (got < 0)
        return (int)got;
    if ((uint64_t)got < len)
        return ERR_EOF;
    w->at = at;
    w->len = (size_t)got;
    *out = w->data;
    return 0;
}

// ---- the directory

static int number_add(uint64_t **numbers, size_t *count, uint64_t number)
{
    if (*count >= WAL_ENTRIES_MAX)
        return ERR_LIMIT;
    *numbers = mem_realloc(*numbers, (*count + 1) * sizeof **numbers);
    (*numbers)[(*count)++] = number;
    return 0;
}

static int entry_add(struct wal_dir *dir, uint64_t number)
{
    if (dir->count >= WAL_ENTRIES_MAX)
        return ERR_LIMIT;
    if (dir->count == dir->cap) {
        dir->cap = dir->cap == 0 ? 8 : dir->cap * 2;
        dir->entries = mem_realloc(dir->entries, dir->cap * sizeof *dir->entries);
    }
    // io_list sorts by name, and the name is the number in hex: the entries are in order.
    ASSERT(dir->count == 0 || dir->entries[dir->count - 1].number < number);
    dir->entries[dir->count++] = (struct wal_entry){.number = number};
    return 0;
}

static int name_take(void *arg, const char *name)
{
    struct wal_dir *dir = arg;
    uint64_t number;
    int err = 0;
    if (wal_name_parse(name, ".wal", &number))
        err = entry_add(dir, number);
    else if (wal_name_parse(name, ".old", &number))
        err = number_add(&dir->old, &dir->old_count, number);
    else if (wal_name_parse(name, ".new", &number))
        err = number_add(&dir->new, &dir->new_count, number);
    else
        return 0; // not ours
    if (err == 0 && number > dir->max_number)
        dir->max_number = number;
    return err;
}

static int entry_version(const struct wal_dir *dir, const struct wal_entry *entry, uint32_t version,
                         char *damage, size_t damage_size)
{
    (void)snprintf(damage, damage_size,
                   "%s/%016llx.wal is in journal format %u; this program knows format %u. Use the "
                   "version of weir that wrote it, or a newer one.",
                   dir->path, (unsigned long long)entry->number, version, WAL_VERSION);
    return ERR_FORMAT_VERSION;
}

static int entry_read(struct io *io, struct wal_dir *dir, struct wal_entry *entry, char *damage,
                      size_t damage_size)
{
    char path[JOURNAL_PATH_SIZE];
    wal_number_path(dir->path, entry->number, ".wal", path);
    struct io_file *file = NULL;
    int err = io_open(io, path, 0, &file);
    if (err != 0)
        return err;
    uint8_t *blocks = mem_alloc_aligned(IO_BLOCK, WAL_GROUPS_AT);
    int64_t size = io_file_size(file);
    int64_t got = size < 0 ? size : io_read(file, 0, blocks, WAL_GROUPS_AT);
    io_file_close(file);
    entry->file_bytes = size > 0 ? (uint64_t)size : 0;

    uint32_t version = 0;
    entry->state = WAL_ENTRY_DAMAGED;
    if (got < 0) {
        err = (int)got;
    } else if (got == WAL_GROUPS_AT) {
        int header_err = wal_header_get(blocks, &entry->header, &version);
        if (header_err == ERR_FORMAT_VERSION) {
            err = entry_version(dir, entry, version, damage, damage_size);
        } else if (header_err == 0 && entry->header.number == entry->number) {
            int opening_err =
                wal_opening_get(blocks + WAL_OPENING_AT, entry->header.salt, &entry->opening);
            entry->state = opening_err == 0               ? WAL_ENTRY_OPENED
                           : opening_err == ERR_NOT_FOUND ? WAL_ENTRY_SPARE
                                                          : WAL_ENTRY_UNSURE;
        }
    }
    mem_free(blocks);
    return err;
}

int wal_dir_read(struct io *io, const char *path, struct wal_dir *out, char *damage,
                 size_t damage_size)
{
    *out = (struct wal_dir){.path = path};
    int err = io_list(io, path, name_take, out);
    for (size_t i = 0; i < out->count && err == 0; i++)
        err = entry_read(io, out, &out->entries[i], damage, damage_size);
    if (err != 0)
        wal_dir_free(out);
    return err;
}

void wal_dir_free(struct wal_dir *dir)
{
    mem_free(dir->entries);
    mem_free(dir->old);
    mem_free(dir->new);
    *dir = (struct wal_dir){0};
}
