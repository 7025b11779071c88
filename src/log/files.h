// SPDX-License-Identifier: Apache-2.0
//
// The open files of one worker: an LRU with a limit. Files and their directories are made when they
// are first written; who makes one owes a sync of the directories, which the next files_sync pays.
// A file that was written leaves the LRU synced, so "is it synced" never depends on what is open;
// but those of logs in memory (see spill.c), which live in a directory of their own, never are.
#ifndef WEIR_LOG_FILES_H
#define WEIR_LOG_FILES_H

#include "io/io.h"
#include "log/log.h"

#define FILES_PATH_SIZE 128

enum file_kind { FILE_LOG, FILE_INDEX, FILE_TIME, FILE_KINDS };

struct file_key {
    struct log_key log;
    int64_t base_offset;
    enum file_kind kind;
};

struct files {
    struct io *io;
    const char *root; // FILES_ROOT or FILES_SPILL
    struct map map;
    struct list lru; // most recently used first
    uint32_t count, max;
    bool unsynced; // nothing is ever synced
};
#define FILES_ROOT  "log"
#define FILES_SPILL "spill"

struct files_entry;

void files_init(struct files *f, struct io *io, uint32_t max);
void files_init_spill(struct files *f, struct io *io, uint32_t max);
void files_fini(struct files *f); // after the actor has stopped, which closed its files
// write: made when it is not there. The entry is valid until the next call that opens.
// ERR_NOT_FOUND, ERR_IO …
int files_open(struct files *f, const struct file_key *key, bool write, struct files_entry **out);
struct io_file *files_file(struct files_entry *e);
int files_write(struct files_entry *e, uint64_t offset, const struct iovec *iov, int iov_count);
int files_sync(struct files *f, struct files_entry *e); // nothing when it was not written
// The next sync must cover file and directories whatever is known of them: after a restart they may
// stand there by the kernel's grace alone.
void files_mark(struct files_entry *e);
int files_sync_dirs(struct files *f, const struct log_key *key);
int files_sync_all(struct files *f);
// Syncs the file if it is open and written; 0 when it is not open.
int files_sync_key(struct files *f, const struct file_key *key);
void files_close(struct files *f, const struct file_key *key); // no-op when it is not open
int files_truncate(struct files_entry *e, uint64_t size_bytes);
void files_close_all(struct files *f);
void files_close_log(struct files *f, const struct log_key *key);

void files_path(const char *root, const struct file_key *key, char out[FILES_PATH_SIZE]);
void files_dir(const char *root, const struct log_key *key, char out[FILES_PATH_SIZE]);

#endif
