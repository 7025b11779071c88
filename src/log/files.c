// SPDX-License-Identifier: Apache-2.0
//
// The LRU of open files. Keys are the numbers that make the path, not the path: the text is only
// built when a file is really opened.
#include "log/files.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

struct files_entry {
    struct map_node node;
    struct list lru;
    struct file_key key;
    struct io_file *file;
    bool write;
    bool dirty;   // written since the last sync
    bool created; // its directories must be synced too
};

static bool key_eq(const struct file_key *a, const struct file_key *b)
{
    return a->base_offset == b->base_offset && a->kind == b->kind &&
           a->log.partition == b->log.partition && uuid_eq(&a->log.topic, &b->log.topic);
}

static bool entry_eq(const struct map_node *node, const void *key)
{
    return key_eq(&CONTAINER_OF(node, struct files_entry, node)->key, key);
}

static uint64_t key_hash(const struct files *f, const struct file_key *key)
{
    uint8_t bytes[32];
    memcpy(bytes, key->log.topic.bytes, 16);
    memcpy(bytes + 16, &key->log.partition, 4);
    uint32_t kind = (uint32_t)key->kind;
    memcpy(bytes + 20, &kind, 4);
    memcpy(bytes + 24, &key->base_offset, 8);
    return map_hash(&f->map, slice_of(bytes, sizeof bytes));
}

void files_dir(const char *root, const struct log_key *key, char out[FILES_PATH_SIZE])
{
    char hex[UUID_HEX_SIZE];
    uuid_to_hex(&key->topic, hex);
    int n = snprintf(out, FILES_PATH_SIZE, "%s/%s/%d", root, hex, (int)key->partition);
    ASSERT(n > 0);
    ASSERT(n < FILES_PATH_SIZE);
}

void files_path(const char *root, const struct file_key *key, char out[FILES_PATH_SIZE])
{
    static const char *const endings[FILE_KINDS] = {"log", "index", "timeindex"};
    char dir[FILES_PATH_SIZE];
    files_dir(root, &key->log, dir);
    int n = snprintf(out, FILES_PATH_SIZE, "%.80s/%020lld.%s", dir, (long long)key->base_offset,
                     endings[key->kind]);
    ASSERT(n > 0);
    ASSERT(n < FILES_PATH_SIZE);
}

void files_init(struct files *f, struct io *io, uint32_t max)
{
    ASSERT(max >= FILE_KINDS);
    *f = (struct files){.io = io, .root = FILES_ROOT, .max = max};
    map_init(&f->map, entry_eq, 0);
    list_init(&f->lru);
}

void files_init_spill(struct files *f, struct io *io, uint32_t max)
{
    files_init(f, io, max);
    f->root = FILES_SPILL;
    f->unsynced = true;
}

static void entry_drop(struct files *f, struct files_entry *e)
{
    ASSERT(f->count > 0);
    ASSERT(e->file != NULL);
    map_remove(&f->map, &e->node);
    list_remove(&e->lru);
    io_file_close(e->file);
    mem_free(e);
    f->count--;
}

void files_close_all(struct files *f)
{
    struct list *it;
    while ((it = list_first(&f->lru)) != NULL)
        entry_drop(f, CONTAINER_OF(it, struct files_entry, lru));
}

void files_fini(struct files *f)
{
    struct list *it;
    while ((it = list_pop_front(&f->lru)) != NULL)
        mem_free(CONTAINER_OF(it, struct files_entry, lru));
    f->count = 0;
    map_fini(&f->map);
}

// A new file is only found after a crash when every directory above it was synced.
int files_sync_dirs(struct files *f, const struct log_key *key)
{
    char path[FILES_PATH_SIZE];
    files_dir(f->root, key, path);
    for (;;) {
        int err = io_sync_dir(f->io, path);
        if (err != 0)
            return err;
        char *slash = strrchr(path, '/');
        if (slash == NULL)
            return io_sync_dir(f->io, ".");
        *slash = '\0';
    }
}

int files_sync(struct files *f, struct files_entry *e)
{
    if (f->unsynced)
        return 0;
    if (e->dirty) {
        int err = io_sync(e->file);
        if (err != 0)
            return err;
    }
    e->dirty = false;
    if (e->created) {
        int err = files_sync_dirs(f, &e->key.log);
        if (err != 0)
            return err;
    }
    e->created = false;
    return 0;
}

int files_sync_all(struct files *f)
{
    LIST_FOR (it, &f->lru) {
        int err = files_sync(f, CONTAINER_OF(it, struct files_entry, lru));
        if (err != 0)
            return err;
    }
    return 0;
}

static int make_dirs(struct files *f, const struct log_key *key)
{
    char path[FILES_PATH_SIZE];
    files_dir(f->root, key, path);
    for (char *p = path; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        int err = io_mkdir(f->io, path);
        *p = '/';
        if (err != 0)
            return err;
    }
    return io_mkdir(f->io, path);
}

static int open_file(struct files *f, const struct file_key *key, bool write, struct io_file **out,
                     bool *out_created)
{
    char path[FILES_PATH_SIZE];
    files_path(f->root, key, path);
    int flags = !write ? 0 : key->kind == FILE_LOG ? IO_WRITE | IO_BULK : IO_WRITE;
    int err = io_open(f->io, path, flags, out);
    *out_created = false;
    if (err != ERR_NOT_FOUND || !write)
        return err;
    err = make_dirs(f, &key->log);
    if (err != 0)
        return err;
    *out_created = true;
    return io_open(f->io, path, flags | IO_CREATE, out);
}

static struct files_entry *find(const struct files *f, const struct file_key *key)
{
    struct map_node *node = map_find(&f->map, key_hash(f, key), key);
    return node == NULL ? NULL : CONTAINER_OF(node, struct files_entry, node);
}

static int make_room(struct files *f)
{
    while (f->count >= f->max) {
        ASSERT(!list_empty(&f->lru));
        struct files_entry *oldest = CONTAINER_OF(f->lru.prev, struct files_entry, lru);
        int err = files_sync(f, oldest);
        if (err != 0)
            return err;
        entry_drop(f, oldest);
    }
    return 0;
}

int files_open(struct files *f, const struct file_key *key, bool write, struct files_entry **out)
{
    struct files_entry *e = find(f, key);
    if (e != NULL && (e->write || !write)) {
        list_remove(&e->lru);
        list_push_front(&f->lru, &e->lru);
        *out = e;
        return 0;
    }
    if (e != NULL)
        entry_drop(f, e); // open for reading, wanted for writing
    int err = make_room(f);
    if (err != 0)
        return err;
    struct io_file *file;
    bool created;
    err = open_file(f, key, write, &file, &created);
    if (err != 0)
        return err;
    e = mem_zalloc(sizeof *e);
    e->key = *key;
    e->file = file;
    e->write = write;
    e->created = created;
    map_insert(&f->map, &e->node, key_hash(f, key));
    list_push_front(&f->lru, &e->lru);
    f->count++;
    ASSERT(f->count <= f->max);
    *out = e;
    return 0;
}

struct io_file *files_file(struct files_entry *e)
{
    return e->file;
}

int files_write(struct files_entry *e, uint64_t offset, const struct iovec *iov, int iov_count)
{
    ASSERT(e->write);
    e->dirty = true;
    return io_write(e->file, offset, iov, iov_count);
}

void files_mark(struct files_entry *e)
{
    ASSERT(e->write);
    e->dirty = true;
    e->created = true;
}

int files_truncate(struct files_entry *e, uint64_t size_bytes)
{
    ASSERT(e->write);
    e->dirty = true;
    return io_truncate(e->file, size_bytes);
}

int files_sync_key(struct files *f, const struct file_key *key)
{
    struct files_entry *e = find(f, key);
    return e == NULL ? 0 : files_sync(f, e);
}

void files_close(struct files *f, const struct file_key *key)
{
    struct files_entry *e = find(f, key);
    if (e != NULL)
        entry_drop(f, e);
}

void files_close_log(struct files *f, const struct log_key *key)
{
    LIST_FOR_SAFE (it, &f->lru) {
        struct files_entry *e = CONTAINER_OF(it, struct files_entry, lru);
        if (e->key.log.partition == key->partition && uuid_eq(&e->key.log.topic, &key->topic))
            entry_drop(f, e);
    }
}
