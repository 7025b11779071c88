// SPDX-License-Identifier: Apache-2.0
//
// The checkpoint's files, byte by byte, and how they are read and written. Everything is
// little-endian. Private to the room; checkpoint.h is what others see.
//
// FILE DATA/CHECKPOINT: two slots of IO_BLOCK. A new checkpoint overwrites the older one with one
// durable write, so a torn write leaves the other. The first ever goes to slot 0.
// SLOT
//   OFFSET SIZE  FIELD
//   0      8     magic "weir.ckp"
//   8      4     format version (1)
//   12     4     CRC-32C of bytes 16 to 40 + 24 n - 1
//   16     8     sequence: the higher of two whole slots counts
//   24     8     replay LSN
//   32     4     n: snapshot files in the chain, base first
//   36     4     zero
//   40     24 n  of each file: its number (8), its size in bytes (8), its CRC (4), zero (4)
//
// FILE DATA/snapshot/%016x.snap (the number, in hex)
//   0      8     magic "weir.snp"
//   8      4     format version (1)
//   12     4     1: complete, 0: what changed since the file before it in the chain
//   16     8     number
//   24     8     replay LSN of the checkpoint it was made for
//   32     8     length of the records in bytes
//   40     …     records (state.h)
//   40+r   4     CRC-32C of all before
#ifndef WEIR_JOURNAL_SNAPSHOT_H
#define WEIR_JOURNAL_SNAPSHOT_H

#include "journal/checkpoint.h"

#define CHECKPOINT_VERSION     1
#define CHECKPOINT_SLOTS       2
#define CHECKPOINT_SLOT_HEADER 40
#define CHECKPOINT_SLOT_ENTRY  24
#define SNAPSHOT_VERSION       1
#define SNAPSHOT_HEADER        40
#define SNAPSHOT_TRAILER       4
#define SNAPSHOT_PATH_SIZE     64

enum { // bytes of the largest slot
    CHECKPOINT_SLOT_MAX = CHECKPOINT_SLOT_HEADER + CHECKPOINT_SLOT_ENTRY * CHECKPOINT_CHAIN_MAX
};
_Static_assert(CHECKPOINT_SLOT_MAX <= IO_BLOCK, "a slot names a whole chain");

struct checkpoint_slot {
    uint64_t sequence;
    uint64_t replay_lsn;
    struct checkpoint_chain chain;
};

void slot_put(uint8_t block[IO_BLOCK], const struct checkpoint_slot *slot);
// ERR_NOT_FOUND (blank), ERR_CORRUPT (torn or damaged), ERR_FORMAT_VERSION.
int slot_get(const uint8_t block[IO_BLOCK], struct checkpoint_slot *out, uint32_t *out_version);
// Writes the slot at `index` durably; makes the file when it is not there.
int slot_write(struct io *io, unsigned index, const struct checkpoint_slot *slot);

// Room for both slots, and the snapshots' directory, before the disk is full.
int checkpoint_reserve(struct io *io);

void snapshot_path(uint64_t number, const char *suffix, char out[SNAPSHOT_PATH_SIZE]);

struct snapshot_parts { // the records, in pieces
    const struct slice *pieces;
    size_t count;
};
// Temporary name, write, sync, rename, sync of the directory. What lies under the temporary name
// already is taken for it.
int snapshot_write(struct io *io, uint64_t number, uint64_t replay_lsn, bool full,
                   const struct snapshot_parts *records, struct checkpoint_chain_file *out);
// Checks the whole file before the first record goes to apply.
int snapshot_read(struct io *io, const struct checkpoint_chain_file *file,
                  int (*apply)(void *arg, const struct state_record *record), void *arg,
                  uint64_t *records, char *damage, size_t damage_size);
// The largest number that a snapshot file, whole or begun, has; 0: there is none.
int snapshot_numbers(struct io *io, uint64_t *out_last);
// Removes what the chain does not name.
int snapshot_clean(struct io *io, const struct checkpoint_chain *chain);

#endif
