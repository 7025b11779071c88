// SPDX-License-Identifier: Apache-2.0
//
// Recovery under way: where the walk along the chain of groups is, for the files that walk
// (recover.c) and that make the journal ready to be written again (ready.c). Private to the room.
#ifndef WEIR_JOURNAL_WALK_H
#define WEIR_JOURNAL_WALK_H

#include "journal/wal_dir.h"

#define NO_ENTRY SIZE_MAX

struct walk_group {
    uint8_t *data;
    size_t cap;
    struct wal_group group;
    size_t entry;
};

struct walk {
    struct io *io;
    struct wal_dir dir;
    struct wal_window window;
    const struct journal_replay *replay;
    struct journal_recovery *recovery;
    uint64_t from_lsn;
    size_t start, at; // entries; NO_ENTRY: no file was ever opened
    uint64_t pos, next_lsn;
    uint32_t prev_crc;
    bool torn; // a group begins at pos, and it is not whole
    struct walk_group groups[2];
    const struct walk_group *newest; // was replayed, and nothing proves that it is on the disk
};

// ready.c: leftovers go, what was torn is cut for good, what is kept is made durable, and an empty
// directory gets its first file.
int walk_ready(struct walk *w, uint64_t first_file_bytes, struct wal_tail *tail);

#endif
