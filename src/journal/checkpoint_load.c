// SPDX-License-Identifier: Apache-2.0
//
// Reading the newest whole checkpoint. A torn slot is an ordinary crash: the other one counts. Two
// slots that cannot be read while both had been written is damage, since a write touches only one.
#include <stdio.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "journal/snapshot.h"

struct slots {
    struct checkpoint_slot slot[CHECKPOINT_SLOTS];
    int err[CHECKPOINT_SLOTS];
    uint32_t version;
};

static int slots_read(struct io *io, struct slots *out)
{
    struct io_file *file = NULL;
    for (unsigned i = 0; i < CHECKPOINT_SLOTS; i++)
        out->err[i] = ERR_NOT_FOUND;
    int err = io_open(io, "CHECKPOINT", 0, &file);
    if (err == ERR_NOT_FOUND)
        return 0;
    if (err != 0)
        return err;
    uint8_t *blocks = mem_alloc_aligned(IO_BLOCK, CHECKPOINT_SLOTS * IO_BLOCK);
    int64_t got = io_read(file, 0, blocks, CHECKPOINT_SLOTS * IO_BLOCK);
    io_file_close(file);
    for (unsigned i = 0; i < CHECKPOINT_SLOTS && got >= 0; i++)
        out->err[i] = slot_get(blocks + (size_t)i * IO_BLOCK, &out->slot[i], &out->version);
    mem_free(blocks);
    return got < 0 ? (int)got : 0;
}

static int slots_choose(const struct slots *slots, struct checkpoint_found *found)
{
    unsigned best = CHECKPOINT_SLOTS;
    for (unsigned i = 0; i < CHECKPOINT_SLOTS; i++) {
        if (slots->err[i] == ERR_FORMAT_VERSION) {
            (void)snprintf(found->damage, sizeof found->damage,
                           "CHECKPOINT is in format %u; this program knows format %u. Use the "
                           "version of weir that wrote it, or a newer one.",
                           slots->version, CHECKPOINT_VERSION);
            return ERR_FORMAT_VERSION;
        }
        if (slots->err[i] != 0)
            continue;
        if (best == CHECKPOINT_SLOTS || slots->slot[i].sequence > slots->slot[best].sequence)
            best = i;
    }
    if (best == CHECKPOINT_SLOTS) {
        // The very first write goes to slot 0: torn, it leaves slot 1 blank.
        if (slots->err[1] == ERR_NOT_FOUND)
            return 0;
        (void)snprintf(found->damage, sizeof found->damage,
                       "CHECKPOINT is damaged: neither of its two slots can be read. Restore a "
                       "backup of the whole directory.");
        return ERR_CORRUPT;
    }
    found->sequence = slots->slot[best].sequence;
    found->replay_lsn = slots->slot[best].replay_lsn;
    found->chain = slots->slot[best].chain;
    found->slot = best;
    return 0;
}

// A killed process may have left a slot that only the kernel knows of. Journal files are recycled
// by it from here on, so it must be on disk first: else a power loss finds neither it nor them.
static int slots_keep(struct io *io)
{
    struct io_file *file = NULL;
    int err = io_open(io, "CHECKPOINT", IO_WRITE, &file);
    if (err == ERR_NOT_FOUND)
        return 0;
    if (err == 0)
        err = io_sync(file);
    io_file_close(file);
    return err != 0 ? err : io_sync_dir(io, ".");
}

int checkpoint_load(struct io *io, int (*apply)(void *arg, const struct state_record *record),
                    void *arg, bool read_only, struct checkpoint_found *out)
{
    struct slots slots = {.version = 0};
    *out = (struct checkpoint_found){.slot = CHECKPOINT_SLOTS - 1}; // so that 0 is written first
    int err = read_only ? 0 : slots_keep(io);
    if (err == 0)
        err = slots_read(io, &slots);
    if (err == 0)
        err = slots_choose(&slots, out);
    for (uint32_t i = 0; i < out->chain.count && err == 0; i++) {
        err = snapshot_read(io, &out->chain.files[i], apply, arg, &out->records, out->damage,
                            sizeof out->damage);
        out->snapshot_files++;
    }
    if (err == 0 && !read_only)
        err = snapshot_clean(io, &out->chain);
    return err;
}
