// SPDX-License-Identifier: Apache-2.0
//
// Calls of simulated workers on names: opening, renaming, removing, listing, locking. The names
// themselves are sim_names.c's.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/sim_int.h"

static struct sim_disk *disk_of(struct sim_io *io)
{
    return io->world->machine->disk;
}

static int lookup(struct sim_io *io, const char *path, const struct sim_span *span,
                  struct sim_inode **out)
{
    return sim_names_lookup(disk_of(io), path, io->uid, span->start_ns, out);
}

static void change(struct sim_io *io, const struct sim_span *span, enum sim_name_kind kind,
                   const char *path, const char *to, struct sim_inode *inode)
{
    struct sim_name_op *op = sim_names_change(disk_of(io), kind, path, to, inode);
    op->start_ns = span->start_ns;
    op->end_ns = span->end_ns;
    op->actor = io->uid;
}

static int trace(struct sim_io *io, enum sim_fact fact, const char *path, int rc)
{
    sim_fact(io->sim, fact, 0, 0, rc);
    sim_fact_text(io->sim, path);
    return rc;
}

static int begin(struct sim_io *io, bool changes, struct sim_span *out)
{
    return sim_call(io, 5 * SIM_US, 50 * SIM_US, changes, out);
}

static int open_inode(struct sim_io *io, const char *path, int flags, const struct sim_span *span,
                      struct sim_inode **out)
{
    struct sim_inode *inode = NULL;
    int rc = lookup(io, path, span, &inode);
    if (rc == 0) {
        if ((flags & IO_EXCLUSIVE) != 0)
            return ERR_EXISTS;
        *out = inode;
        return inode == NULL ? ERR_INVALID : 0;
    }
    if ((flags & IO_CREATE) == 0 || !sim_names_parent_ok(disk_of(io), path))
        return ERR_NOT_FOUND;
    if (sim_names_find(&disk_of(io)->now, path) != NULL)
        return ERR_EXISTS; // somebody is making it right now
    inode = sim_inode_create(disk_of(io));
    change(io, span, NAME_LINK, path, NULL, inode);
    sim_inode_unref(inode); // the name holds it
    *out = inode;
    return 0;
}

int sim_open(struct io *base, const char *path, int flags, struct io_file **out)
{
    struct sim_io *io = (struct sim_io *)base;
    struct sim_inode *inode = NULL;
    struct sim_span span;
    int rc = begin(io, (flags & IO_CREATE) != 0, &span);
    if (rc != 0)
        return rc;
    if ((flags & IO_DURABLE) != 0)
        flags |= IO_WRITE;
    rc = trace(io, FACT_OPEN, path, open_inode(io, path, flags, &span, &inode));
    if (rc == 0)
        *out = &sim_file_create(io, inode, flags)->base;
    return rc;
}

int sim_rename(struct io *base, const char *from, const char *to)
{
    struct sim_io *io = (struct sim_io *)base;
    struct sim_inode *inode = NULL, *old = NULL;
    struct sim_span span;
    int rc = begin(io, true, &span);
    if (rc != 0)
        return rc;
    rc = lookup(io, from, &span, &inode);
    if (rc == 0 && !sim_names_parent_ok(disk_of(io), to))
        rc = ERR_NOT_FOUND;
    // A directory takes the place of nothing but an empty one, a file that of a file.
    if (rc == 0 && lookup(io, to, &span, &old) == 0 && (inode == NULL) != (old == NULL))
        rc = ERR_INVALID;
    if (rc == 0 && inode == NULL && !sim_names_empty(disk_of(io), to))
        rc = ERR_EXISTS;
    if (rc == 0 && strcmp(from, to) != 0)
        change(io, &span, NAME_RENAME, from, to, inode);
    trace(io, FACT_RENAME, from, rc);
    sim_fact_text(io->sim, to);
    return rc;
}

int sim_remove(struct io *base, const char *path)
{
    struct sim_io *io = (struct sim_io *)base;
    struct sim_inode *inode = NULL;
    struct sim_span span;
    int rc = begin(io, true, &span);
    if (rc != 0)
        return rc;
    rc = lookup(io, path, &span, &inode);
    if (rc == 0 && inode == NULL && !sim_names_empty(disk_of(io), path))
        rc = ERR_EXISTS;
    if (rc == 0)
        change(io, &span, NAME_REMOVE, path, NULL, inode);
    return trace(io, FACT_REMOVE, path, rc);
}

// Another actor is at making it: "it is there" is true only when that is over, as if the two met at
// the parent directory's lock.
static void wait_for_dir(struct sim_io *io, const char *path)
{
    LIST_FOR (it, &disk_of(io)->name_ops) {
        const struct sim_name_op *op = CONTAINER_OF(it, struct sim_name_op, link);
        if (op->kind == NAME_LINK && strcmp(op->path, path) == 0 && op->end_ns > io->clock_ns)
            io->clock_ns = op->end_ns;
    }
}

int sim_mkdir(struct io *base, const char *path)
{
    struct sim_io *io = (struct sim_io *)base;
    struct sim_inode *inode = NULL;
    struct sim_span span;
    int rc = begin(io, true, &span);
    if (rc != 0)
        return rc;
    if (lookup(io, path, &span, &inode) == 0)
        return trace(io, FACT_MKDIR, path, 0);
    rc = sim_names_parent_ok(disk_of(io), path) ? 0 : ERR_NOT_FOUND;
    if (rc == 0 && sim_names_find(&disk_of(io)->now, path) == NULL)
        change(io, &span, NAME_LINK, path, NULL, NULL);
    else if (rc == 0)
        wait_for_dir(io, path);
    return trace(io, FACT_MKDIR, path, rc);
}

static int find_dir(struct sim_io *io, const char *path, const struct sim_span *span)
{
    struct sim_inode *inode = NULL;
    if (path[0] == '\0' || strcmp(path, ".") == 0)
        return 0;
    int rc = lookup(io, path, span, &inode);
    if (rc == 0 && inode != NULL)
        rc = ERR_INVALID;
    return rc;
}

int sim_sync_dir(struct io *base, const char *path)
{
    struct sim_io *io = (struct sim_io *)base;
    struct sim_span span;
    int rc = sim_call(io, 100 * SIM_US, 2000 * SIM_US, true, &span);
    if (rc != 0)
        return rc;
    io->sim->report.syncs++;
    rc = find_dir(io, path, &span);
    if (rc == 0 && sim_fault(io->sim, SIM_FAULT_SYNC_FAIL))
        rc = ERR_SYNC;
    if (rc == 0)
        sim_names_sync(disk_of(io), path, io->uid, span.start_ns, span.end_ns);
    return trace(io, FACT_SYNC_DIR, path, rc);
}

struct names {
    const char **items;
    size_t count;
    size_t cap;
};

static void names_add(struct names *names, const char *path)
{
    if (names->count == names->cap) {
        names->cap = names->cap == 0 ? 32 : names->cap * 2;
        names->items = mem_realloc(names->items, names->cap * sizeof *names->items);
    }
    names->items[names->count++] = path;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Every path that is, or lately was, in the directory; who may see it is asked one by one.
static void collect(struct sim_disk *disk, const char *dir, struct names *out)
{
    LIST_FOR (it, &disk->now.order) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        const struct sim_entry *entry = CONTAINER_OF(node, struct sim_entry, node);
        if (sim_path_in(entry->path, dir))
            names_add(out, entry->path);
    }
    LIST_FOR (it, &disk->name_ops) {
        const struct sim_name_op *op = CONTAINER_OF(it, struct sim_name_op, link);
        if (op->end_ns > disk->sim->now_ns && op->kind != NAME_LINK && sim_path_in(op->path, dir))
            names_add(out, op->path);
    }
    if (out->count > 0)
        qsort(out->items, out->count, sizeof *out->items, by_path);
}

int sim_list(struct io *base, const char *path, int (*fn)(void *arg, const char *name), void *arg)
{
    struct sim_io *io = (struct sim_io *)base;
    struct sim_span span;
    struct names names = {0};
    size_t kept = 0;
    int rc = begin(io, false, &span);
    if (rc != 0)
        return rc;
    rc = trace(io, FACT_LIST, path, find_dir(io, path, &span));
    if (rc != 0)
        return rc;
    collect(disk_of(io), path, &names);
    // Copied first: fn may change the directory.
    for (size_t i = 0; i < names.count; i++) {
        struct sim_inode *inode;
        bool twice = i > 0 && strcmp(names.items[i], names.items[i - 1]) == 0;
        if (!twice && lookup(io, names.items[i], &span, &inode) == 0)
            names.items[kept++] = names.items[i];
    }
    char **copies = mem_alloc((kept + 1) * sizeof *copies);
    for (size_t i = 0; i < kept; i++) {
        const char *slash = strrchr(names.items[i], '/');
        copies[i] = mem_strdup(slash == NULL ? names.items[i] : slash + 1);
    }
    mem_free((void *)names.items);
    for (size_t i = 0; i < kept; i++) {
        sim_fact_text(io->sim, copies[i]);
        if (rc == 0)
            rc = fn(arg, copies[i]);
        mem_free(copies[i]);
    }
    mem_free(copies);
    return rc;
}

int64_t sim_disk_free(struct io *base)
{
    struct sim_io *io = (struct sim_io *)base;
    const struct sim_disk *disk = disk_of(io);
    if (base->dead)
        return ERR_STOPPED;
    if (disk == NULL)
        return ERR_IO;
    uint64_t capacity = disk->capacity_bytes;
    if (io->sim->now_ns < disk->full_until_ns && disk->full_bytes < capacity)
        capacity = disk->full_bytes;
    int64_t left = capacity > disk->used_bytes ? (int64_t)(capacity - disk->used_bytes) : 0;
    sim_fact(io->sim, FACT_FREE, 0, 0, left);
    return left;
}

int sim_lock(struct io *base, const char *path, const char *text, struct io_file **out)
{
    struct sim_io *io = (struct sim_io *)base;
    struct sim_inode *inode = NULL;
    struct sim_span span;
    int rc = begin(io, true, &span);
    if (rc != 0)
        return rc;
    rc = open_inode(io, path, IO_CREATE | IO_WRITE, &span, &inode);
    if (rc == 0 && inode->locked_by != NULL)
        rc = ERR_LOCKED;
    trace(io, FACT_LOCK, path, rc);
    if (rc != 0)
        return rc;
    struct sim_file *file = sim_file_create(io, inode, IO_WRITE);
    file->lock = true;
    inode->locked_by = io->world;
    rc = sim_lock_text(&file->base, text);
    if (rc != 0) {
        sim_file_close(&file->base);
        return rc;
    }
    *out = &file->base;
    return 0;
}

int sim_lock_text(struct io_file *lock, const char *text)
{
    struct iovec iov = {.iov_len = strlen(text)};
    memcpy(&iov.iov_base, &text, sizeof text);
    int rc = iov.iov_len == 0 ? 0 : sim_write(lock, 0, &iov, 1);
    return rc != 0 ? rc : sim_truncate(lock, iov.iov_len);
}
