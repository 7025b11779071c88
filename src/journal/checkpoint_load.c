// SPDX-License-Identifier: Apache-2.0
//
// Reading the newest whole checkpoint. A torn slot is an ordinary crash: the other one counts. Two
// slots that cannot be read while both had been written is damage, since a write touches only one;
// and so is a slot of which one bit is wrong, which no torn write leaves: that checkpoint was
// installed, and what has been done since may not fit the one before.
#include <stdio.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "journal/snapshot.h"

struct slots {
    struct checkpoint_slot slot[CHECKPOINT_SLOTS];
    int err[CHECKPOINT_SLOTS];
    bool one_bit[CHECKPOINT_SLOTS];
    uint32_t version;
};

static bool one_bit_off(uint8_t block[IO_BLOCK])
{
    struct checkpoint_slot slot;
    uint32_t version;
    bool found = false;
    for (size_t bit = 0; bit < 8 * CHECKPOINT_SLOT_MAX && !found; bit++) {
        block[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        found = slot_get(block, &slot, &version) == 0;
        block[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
    return found;
}

static int slots_read_once(struct io_file *file, struct slots *out)
{
    uint8_t *blocks = mem_alloc_aligned(IO_BLOCK, CHECKPOINT_SLOTS * IO_BLOCK);
    int64_t got = io_read(file, 0, blocks, CHECKPOINT_SLOTS * IO_BLOCK);
    for (unsigned i = 0; i < CHECKPOINT_SLOTS && got >= 0; i++) {
        uint8_t *block = blocks + (size_t)i * IO_BLOCK;
        out->err[i] = slot_get(block, &out->slot[i], &out->version);
        out->one_bit[i] = out->err[i] == ERR_CORRUPT && one_bit_off(block);
    }
    mem_free(blocks);
    return got < 0 ? (int)got : 0;
}

static bool slots_whole(const struct slots *slots)
{
    for (unsigned i = 0; i < CHECKPOINT_SLOTS; i++)
        if (slots->err[i] != 0 && slots->err[i] != ERR_NOT_FOUND)
            return false;
    return true;
}

static int slots_read(struct io *io, struct slots *out)
{
    struct io_file *file = NULL;
    for (unsigned i = 0; i < CHECKPOINT_SLOTS; i++)
        out->err[i] = ERR_NOT_FOUND;
    int err = io_open(io, "CHECKPOINT", 0, &file);
    if (err == ERR_NOT_FOUND)
        return 0;
    if (err == 0)
        err = slots_read_once(file, out);
    // A read may go wrong for once, and a slot that cannot be read is written over.
    if (err == 0 && !slots_whole(out))
        err = slots_read_once(file, out);
    io_file_close(file);
    return err;
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
        if (slots->one_bit[i]) {
            (void)snprintf(found->damage, sizeof found->damage,
                           "CHECKPOINT: one bit of slot %u has changed since it was written. "
                           "Restore a backup; or go on from the checkpoint before it: fill the "
                           "4096 bytes from %u on with zeros.",
                           i, i * IO_BLOCK);
            return ERR_CORRUPT;
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

// A killed process may have left a slot that only the kernel knows of, or one whose write had
// failed and which no sync would save. Journal files are recycled by it from here on, so it is
// written again first: else a power loss finds neither it nor them.
static int slot_keep(struct io *io, const struct slots *slots, const struct checkpoint_found *found)
{
    return found->sequence == 0 ? 0 : slot_write(io, found->slot, &slots->slot[found->slot]);
}

int checkpoint_load(struct io *io, int (*apply)(void *arg, const struct state_record *record),
                    void *arg, bool read_only, struct checkpoint_found *out)
{
    struct slots slots = {.version = 0};
    *out = (struct checkpoint_found){.slot = CHECKPOINT_SLOTS - 1}; // so that 0 is written first
    int err = slots_read(io, &slots);
    if (err == 0)
        err = slots_choose(&slots, out);
    if (err == 0 && !read_only)
        err = slot_keep(io, &slots, out);
    for (uint32_t i = 0; i < out->chain.count && err == 0; i++) {
        err = snapshot_read(io, &out->chain.files[i], apply, arg, &out->records, out->damage,
                            sizeof out->damage);
        out->snapshot_files++;
    }
    if (err == 0)
        err = snapshot_numbers(io, &out->last_number);
    if (err == 0 && out->last_number < out->sequence)
        out->last_number = out->sequence;
    return err;
}
