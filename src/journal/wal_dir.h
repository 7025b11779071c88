// SPDX-License-Identifier: Apache-2.0
//
// The journal's directory as recovery finds it: which files there are, what their first two blocks
// say, and a window through which a file is read. Private to the room.
#ifndef WEIR_JOURNAL_WAL_DIR_H
#define WEIR_JOURNAL_WAL_DIR_H

#include "journal/journal_int.h"

enum wal_entry_state {
    WAL_ENTRY_SPARE,   // a whole header and a zero opening
    WAL_ENTRY_OPENED,  // both whole
    WAL_ENTRY_UNSURE,  // a whole header; the opening was torn, or is damaged
    WAL_ENTRY_DAMAGED, // no whole header
};

struct wal_entry {
    uint64_t number; // from the name
    enum wal_entry_state state;
    struct wal_header header;
    struct wal_opening opening;
    uint64_t file_bytes; // what is really there; an operator may have cut it
};

#define WAL_ENTRIES_MAX 4096

struct wal_dir {
    const char *path;
    struct wal_entry *entries; // by number
    size_t count, cap;
    uint64_t *old, *new; // leftovers of recycling and of making, by number
    size_t old_count, new_count;
    uint64_t max_number;
};

// ERR_FORMAT_VERSION and ERR_CORRUPT with words in `damage`; ERR_NOT_FOUND without a directory.
int wal_dir_read(struct io *io, const char *path, struct wal_dir *out, char *damage,
                 size_t damage_size);
void wal_dir_free(struct wal_dir *dir);

// A read-only view of one file, read in large pieces.
struct wal_window {
    struct io *io;
    struct io_file *file;
    uint64_t file_bytes;
    uint8_t *data;
    size_t cap, len;
    uint64_t at;
};

int wal_window_open(struct wal_window *w, struct io *io, const char *dir,
                    const struct wal_entry *entry); // an open one is closed first
void wal_window_close(struct wal_window *w);        // keeps its memory
void wal_window_free(struct wal_window *w);
void wal_window_forget(struct wal_window *w); // what comes next is read from the file
// ERR_EOF past the end of the file; valid until the next call.
int wal_window_get(struct wal_window *w, uint64_t at, size_t len, const uint8_t **out);

// one_bit.c: whether the group that should continue the chain is sound but for one flipped bit.
// `expected` says what its header must; `bytes`, as many as there are, are changed meanwhile.
bool wal_one_bit_off(uint8_t *bytes, size_t len, const struct wal_group *expected);

#endif
