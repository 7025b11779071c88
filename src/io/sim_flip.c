// SPDX-License-Identifier: Apache-2.0
//
// Bits that change at rest. Each is remembered until something is written over it, so that a disk
// can be mended: who finds its store hurt is given the backup, as it were, and must lose nothing.
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/sim_int.h"

#define TRIES 16 // to hit a sector that is not all zeros

void sim_flips_heal(struct sim_inode *inode, uint64_t offset, uint64_t len)
{
    for (size_t i = inode->flips_count; i-- > 0;) {
        uint64_t at = inode->flips[i].offset;
        if (at >= offset && at - offset < len)
            inode->flips[i] = inode->flips[--inode->flips_count];
    }
}

static void flip(struct sim_inode *inode, uint64_t offset, uint8_t bits)
{
    ASSERT(bits != 0);
    sim_inode_flip(inode, offset, bits);
    size_t i = 0;
    while (i < inode->flips_count && inode->flips[i].offset != offset)
        i++;
    if (i == inode->flips_count) {
        inode->flips = mem_realloc(inode->flips, (i + 1) * sizeof inode->flips[0]);
        inode->flips[inode->flips_count++] = (struct sim_flip){.offset = offset};
    }
    inode->flips[i].bits ^= bits;
    if (inode->flips[i].bits == 0)
        inode->flips[i] = inode->flips[--inode->flips_count];
}

int sim_disk_flip(struct sim_machine *machine, const char *path, uint64_t offset, uint8_t bits)
{
    struct sim_inode *inode = sim_inode_at(machine, path);
    if (inode == NULL)
        return ERR_NOT_FOUND;
    sim_inode_settle(inode);
    if (offset >= inode->size)
        return ERR_INVALID;
    flip(inode, offset, bits);
    return 0;
}

// ---- by chance

static struct sim_entry *entry_of(struct list *it)
{
    struct map_node *node = CONTAINER_OF(it, struct map_node, order);
    return CONTAINER_OF(node, struct sim_entry, node);
}

static bool holds_something(const struct sim_entry *entry)
{
    return entry->inode != NULL && entry->inode->size > 0;
}

static const char *ending(const struct sim_entry *entry)
{
    const char *dot = strrchr(entry->path, '.');
    return dot == NULL ? "" : dot;
}

static bool same_kind(const struct sim_entry *a, const struct sim_entry *b)
{
    return strcmp(ending(a), ending(b)) == 0;
}

static bool first_of_kind(struct sim_disk *disk, struct sim_entry *entry)
{
    for (struct list *it = entry->node.order.prev; it != &disk->now.order; it = it->prev)
        if (holds_something(entry_of(it)) && same_kind(entry_of(it), entry))
            return false;
    return true;
}

static bool of_kind(struct sim_disk *disk, struct sim_entry *entry, struct sim_entry *kind)
{
    return kind == NULL ? first_of_kind(disk, entry) : same_kind(entry, kind);
}

// One of the files of that kind; of one each of all kinds when that is NULL. NULL: there is none.
static struct sim_entry *choose_of(struct sim_disk *disk, struct sim_entry *kind)
{
    uint64_t count = 0;
    LIST_FOR (it, &disk->now.order)
        count += holds_something(entry_of(it)) && of_kind(disk, entry_of(it), kind);
    uint64_t at = count == 0 ? 0 : sim_random(disk->sim, count);
    LIST_FOR (it, &disk->now.order)
        if (holds_something(entry_of(it)) && of_kind(disk, entry_of(it), kind) && at-- == 0)
            return entry_of(it);
    return NULL;
}

// Each kind of file, by the ending of its name, is as likely as the others, however few or small.
static struct sim_entry *choose(struct sim_disk *disk)
{
    struct sim_entry *kind = choose_of(disk, NULL);
    return kind == NULL ? NULL : choose_of(disk, kind);
}

static bool blank(struct sim_inode *inode, uint64_t offset)
{
    uint8_t sector[SIM_SECTOR];
    size_t len =
        sim_inode_read(inode, 0, INT64_MAX, offset - offset % SIM_SECTOR, sector, sizeof sector);
    for (size_t i = 0; i < len; i++)
        if (sector[i] != 0)
            return false;
    return true;
}

// Half of the flips are in what was written last: what the machine needs most, and where no later
// write can tell that it was whole.
static struct sim_entry *last_written(struct sim_disk *disk, uint64_t *out_from, uint64_t *out_len)
{
    const struct sim_last_write *last = &disk->last_writes[sim_random(disk->sim, SIM_LAST_WRITES)];
    LIST_FOR (it, &disk->now.order) {
        struct sim_entry *entry = entry_of(it);
        if (holds_something(entry) && entry->inode->uid == last->uid) {
            *out_from = last->offset;
            *out_len = last->len;
            return entry;
        }
    }
    return NULL; // removed since
}

// A place in from..from + len, rather one where something stands.
static uint64_t place(struct sim *sim, struct sim_inode *inode, uint64_t from, uint64_t len)
{
    uint64_t offset = from + sim_random(sim, len);
    for (int i = 0; i < TRIES && blank(inode, offset); i++)
        offset = from + sim_random(sim, len);
    return offset;
}

void sim_flip_at_rest(struct sim_machine *machine)
{
    struct sim *sim = machine->sim;
    uint64_t from = 0, len = UINT64_MAX;
    struct sim_entry *entry =
        sim_random(sim, 2) == 0 ? last_written(machine->disk, &from, &len) : NULL;
    if (entry == NULL)
        entry = choose(machine->disk);
    if (entry == NULL)
        return;
    struct sim_inode *inode = entry->inode;
    sim_inode_settle(inode); // looking at it does, and may find it cut to nothing
    if (from >= inode->size)
        return;
    uint64_t left = inode->size - from;
    uint64_t offset = place(sim, inode, from, len < left ? len : left);
    flip(inode, offset, (uint8_t)(1U << sim_random(sim, 8)));
    if (sim->options.flipped != NULL)
        sim->options.flipped(sim->options.arg, machine, entry->path, offset);
}

// ---- mending

uint64_t sim_disk_flips(struct sim_machine *machine)
{
    uint64_t count = 0;
    LIST_FOR (it, &machine->disk->now.order)
        count += entry_of(it)->inode != NULL ? entry_of(it)->inode->flips_count : 0;
    return count;
}

void sim_disk_mend(struct sim_machine *machine)
{
    LIST_FOR (it, &machine->disk->now.order) {
        struct sim_inode *inode = entry_of(it)->inode;
        if (inode == NULL)
            continue;
        // Writes that are over by now and durable count first: they may have healed it.
        sim_inode_settle(inode);
        for (size_t i = 0; i < inode->flips_count; i++)
            sim_inode_flip(inode, inode->flips[i].offset, inode->flips[i].bits);
        inode->flips_count = 0;
    }
}
