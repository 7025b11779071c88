// SPDX-License-Identifier: Apache-2.0
//
// The names on a simulated disk. Two maps: with every change made so far, and with those that a
// power loss cannot undo. Between them stand the changes in order; a sync of a directory makes
// durable what happened in it. At a power loss each other change survives or not by itself, as far
// as it still makes sense (a rename whose file was never there is nothing).
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/sim_int.h"

// Beyond this many, the oldest become durable as if the kernel had written them back.
#define NAME_OPS_MAX 256

static bool entry_eq(const struct map_node *node, const void *key)
{
    return strcmp(CONTAINER_OF(node, const struct sim_entry, node)->path, key) == 0;
}

static struct sim_entry *entry_of(struct list *order)
{
    struct map_node *node = CONTAINER_OF(order, struct map_node, order);
    return CONTAINER_OF(node, struct sim_entry, node);
}

struct sim_entry *sim_names_find(struct map *names, const char *path)
{
    struct map_node *node = map_find(names, map_hash(names, slice_cstr(path)), path);
    return node == NULL ? NULL : CONTAINER_OF(node, struct sim_entry, node);
}

static void entry_add(struct map *names, const char *path, struct sim_inode *inode)
{
    size_t size = strlen(path) + 1;
    struct sim_entry *entry = mem_zalloc(sizeof *entry + size);
    memcpy(entry->path, path, size);
    entry->inode = sim_inode_ref(inode);
    map_insert(names, &entry->node, map_hash(names, slice_cstr(path)));
}

static void entry_drop(struct map *names, struct sim_entry *entry)
{
    map_remove(names, &entry->node);
    sim_inode_unref(entry->inode);
    mem_free(entry);
}

static void names_clear(struct map *names)
{
    MAP_FOR_SAFE (it, names)
        entry_drop(names, entry_of(it));
}

static void names_copy(struct map *to, struct map *from)
{
    LIST_FOR (it, &from->order)
        entry_add(to, entry_of(it)->path, entry_of(it)->inode);
}

// ---- paths

bool sim_path_in(const char *path, const char *dir)
{
    size_t len = strcmp(dir, ".") == 0 ? 0 : strlen(dir);
    if (len > 0 && (strncmp(path, dir, len) != 0 || path[len++] != '/'))
        return false;
    return strchr(path + len, '/') == NULL;
}

static bool path_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && path[len] == '/';
}

static bool parent_in(struct map *names, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return true;
    char *parent = mem_strndup(path, (size_t)(slash - path));
    const struct sim_entry *entry = sim_names_find(names, parent);
    mem_free(parent);
    return entry != NULL && entry->inode == NULL;
}

bool sim_names_parent_ok(struct sim_disk *disk, const char *path)
{
    return parent_in(&disk->now, path);
}

bool sim_names_empty(struct sim_disk *disk, const char *path)
{
    LIST_FOR (it, &disk->now.order) {
        if (path_below(entry_of(it)->path, path))
            return false;
    }
    return true;
}

// ---- changes

static void put(struct map *names, const char *path, struct sim_inode *inode)
{
    struct sim_entry *old = sim_names_find(names, path);
    if (old == NULL) {
        entry_add(names, path, inode);
        return;
    }
    (void)sim_inode_ref(inode);
    sim_inode_unref(old->inode);
    old->inode = inode;
}

static void take(struct map *names, const char *path)
{
    struct sim_entry *entry = sim_names_find(names, path);
    if (entry != NULL)
        entry_drop(names, entry);
}

static void move_below(struct map *names, const char *from, const char *to)
{
    size_t from_len = strlen(from), to_len = strlen(to);
    size_t left = names->count; // what is moved goes to the end: do not meet it again
    MAP_FOR_SAFE (it, names) {
        struct sim_entry *entry = entry_of(it);
        if (left-- == 0)
            return;
        if (!path_below(entry->path, from))
            continue;
        size_t size = to_len + strlen(entry->path) - from_len + 1;
        char *path = mem_alloc(size);
        (void)snprintf(path, size, "%s%s", to, entry->path + from_len);
        put(names, path, entry->inode);
        entry_drop(names, entry);
        mem_free(path);
    }
}

// A directory that is gone had been emptied before: that is on disk then, too.
static void take_below(struct map *names, const char *path)
{
    MAP_FOR_SAFE (it, names) {
        struct sim_entry *entry = entry_of(it);
        if (path_below(entry->path, path))
            entry_drop(names, entry);
    }
}

// Onto a map in which other changes may be missing.
static void change_apply(struct map *names, const struct sim_name_op *op)
{
    const char *target = op->kind == NAME_RENAME ? op->to : op->path;
    if (op->kind == NAME_REMOVE) {
        if (op->inode == NULL)
            take_below(names, op->path);
        take(names, op->path);
        return;
    }
    if (!parent_in(names, target))
        return;
    if (op->kind == NAME_RENAME) {
        const struct sim_entry *entry = sim_names_find(names, op->path);
        if (entry == NULL || entry->inode != op->inode)
            return;
        if (op->inode == NULL)
            move_below(names, op->path, op->to);
    }
    put(names, target, op->inode);
    if (op->kind == NAME_RENAME)
        take(names, op->path);
}

static void change_drop(struct sim_disk *disk, struct sim_name_op *op)
{
    disk->name_ops_count--;
    list_remove(&op->link);
    sim_inode_unref(op->inode);
    sim_inode_unref(op->replaced);
    mem_free(op->path);
    mem_free(op->to);
    mem_free(op);
}

void sim_names_settle(struct sim_disk *disk)
{
    LIST_FOR_SAFE (it, &disk->name_ops) {
        struct sim_name_op *op = CONTAINER_OF(it, struct sim_name_op, link);
        bool written_back = disk->name_ops_count > NAME_OPS_MAX && op->end_ns <= disk->sim->now_ns;
        if (op->durable_ns > disk->sim->now_ns && !written_back)
            return;
        change_apply(&disk->durable, op);
        change_drop(disk, op);
    }
}

void sim_names_commit(struct sim_disk *disk)
{
    int64_t now_ns = disk->sim->now_ns;
    LIST_FOR (it, &disk->name_ops) {
        struct sim_name_op *op = CONTAINER_OF(it, struct sim_name_op, link);
        if (op->end_ns > now_ns)
            break;
        if (op->durable_ns > now_ns)
            op->durable_ns = now_ns;
    }
    sim_names_settle(disk);
}

struct sim_name_op *sim_names_change(struct sim_disk *disk, enum sim_name_kind kind,
                                     const char *path, const char *to, struct sim_inode *inode)
{
    sim_names_settle(disk);
    struct sim_name_op *op = mem_zalloc(sizeof *op);
    op->kind = kind;
    op->path = mem_strdup(path);
    op->to = to == NULL ? NULL : mem_strdup(to);
    op->inode = sim_inode_ref(inode);
    op->durable_ns = INT64_MAX;
    const struct sim_entry *old = to == NULL ? NULL : sim_names_find(&disk->now, to);
    if (old != NULL) {
        op->replaces = true;
        op->replaced = sim_inode_ref(old->inode);
    }
    list_push_back(&disk->name_ops, &op->link);
    disk->name_ops_count++;
    change_apply(&disk->now, op);
    return op;
}

static void mark_durable(struct sim_disk *disk, struct sim_name_op *last, int64_t end_ns)
{
    if (last->durable_ns > end_ns)
        last->durable_ns = end_ns;
    // A rename that is on disk brings the name it took with it.
    if (last->kind != NAME_RENAME)
        return;
    for (struct list *it = last->link.prev; it != &disk->name_ops; it = it->prev) {
        struct sim_name_op *op = CONTAINER_OF(it, struct sim_name_op, link);
        const char *target = op->kind == NAME_RENAME ? op->to : op->path;
        if (strcmp(target, last->path) == 0 && op->durable_ns > end_ns)
            op->durable_ns = end_ns;
    }
}

void sim_names_sync(struct sim_disk *disk, const char *dir, uint64_t actor, int64_t start_ns,
                    int64_t end_ns)
{
    for (struct list *it = disk->name_ops.prev; it != &disk->name_ops; it = it->prev) {
        struct sim_name_op *op = CONTAINER_OF(it, struct sim_name_op, link);
        const char *target = op->kind == NAME_RENAME ? op->to : op->path;
        if ((op->end_ns <= start_ns || op->actor == actor) && sim_path_in(target, dir))
            mark_durable(disk, op, end_ns);
    }
}

// The oldest change that this reader may not see yet and that touches the path says what was there
// before it.
int sim_names_lookup(struct sim_disk *disk, const char *path, uint64_t actor, int64_t at_ns,
                     struct sim_inode **out)
{
    sim_names_settle(disk);
    LIST_FOR (it, &disk->name_ops) {
        const struct sim_name_op *op = CONTAINER_OF(it, struct sim_name_op, link);
        bool source = strcmp(op->path, path) == 0;
        bool target = op->to != NULL && strcmp(op->to, path) == 0;
        if (op->end_ns <= at_ns || op->actor == actor || (!source && !target))
            continue;
        if (source && op->kind == NAME_LINK)
            return ERR_NOT_FOUND;
        if (target && !op->replaces)
            return ERR_NOT_FOUND;
        *out = source ? op->inode : op->replaced;
        return 0;
    }
    const struct sim_entry *entry = sim_names_find(&disk->now, path);
    if (entry == NULL)
        return ERR_NOT_FOUND;
    *out = entry->inode;
    return 0;
}

// ---- the disk as a whole

struct sim_disk *sim_disk_create(struct sim *sim, uint64_t capacity_bytes)
{
    struct sim_disk *disk = mem_zalloc(sizeof *disk);
    disk->sim = sim;
    disk->capacity_bytes = capacity_bytes;
    map_init(&disk->now, entry_eq, 0);
    map_init(&disk->durable, entry_eq, 0);
    list_init(&disk->name_ops);
    return disk;
}

void sim_disk_destroy(struct sim_disk *disk)
{
    if (disk == NULL)
        return;
    LIST_FOR_SAFE (it, &disk->name_ops)
        change_drop(disk, CONTAINER_OF(it, struct sim_name_op, link));
    names_clear(&disk->now);
    names_clear(&disk->durable);
    map_fini(&disk->now);
    map_fini(&disk->durable);
    ASSERT(disk->used_bytes == 0);
    mem_free(disk);
}

static bool change_survives(struct sim *sim, const struct sim_name_op *op, bool power)
{
    if (op->start_ns > sim->now_ns)
        return false;
    if (op->durable_ns <= sim->now_ns || (!power && op->end_ns <= sim->now_ns))
        return true;
    if (sim_random(sim, 2) == 0)
        return true;
    sim_count(sim, SIM_FAULT_LOST_NAME);
    return false;
}

void sim_disk_crash(struct sim_disk *disk, bool power)
{
    struct sim *sim = disk->sim;
    LIST_FOR_SAFE (it, &disk->name_ops) {
        struct sim_name_op *op = CONTAINER_OF(it, struct sim_name_op, link);
        bool survives = change_survives(sim, op, power);
        if (survives && !power) { // still only in the kernel's memory
            op->actor = 0;
            op->end_ns = op->end_ns < sim->now_ns ? op->end_ns : sim->now_ns;
            op->durable_ns = op->durable_ns <= sim->now_ns ? op->durable_ns : INT64_MAX;
            continue;
        }
        if (survives)
            change_apply(&disk->durable, op);
        change_drop(disk, op);
    }
    names_clear(&disk->now);
    names_copy(&disk->now, &disk->durable);
    LIST_FOR (it, &disk->name_ops)
        change_apply(&disk->now, CONTAINER_OF(it, struct sim_name_op, link));
    LIST_FOR (it, &disk->now.order) {
        if (entry_of(it)->inode != NULL)
            sim_inode_crash(entry_of(it)->inode, power);
    }
    disk->full_until_ns = 0;
}
