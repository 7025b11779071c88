// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints: what lets the journal be short. A checkpoint asks every part (shard) for a cut,
// which is: the state records that changed since the part's last cut, with everything they name
// synced in the segments. The cuts become one snapshot file; the two-slot CHECKPOINT file names it;
// only then are the journal's earlier files recycled.
//
//   1  L = the journal's durable LSN + 1 (replay will start at L)
//   2  every part: waits until what it had added is durable and applied;
//      emits its records (state as added, durable or not);
//      writes and syncs its dirty segments and their directories;
//      waits until what it has added by then is durable; answers
//   3  snapshot file: temporary name, write, sync, rename, sync of the directory
//   4  CHECKPOINT slot (the older of the two), durable
//   5  journal_recycle(L); snapshot files that are no longer named are removed
//
// Replay from L over the snapshot is idempotent: records are last-wins, batches below a log's
// snapshot end are skipped. Snapshot files form a chain, base first; when the deltas outweigh the
// base the next cut is full and starts a new chain.
//
// Files: DATA/CHECKPOINT, DATA/snapshot/%016x.snap; layouts in journal/snapshot.h.
#ifndef WEIR_JOURNAL_CHECKPOINT_H
#define WEIR_JOURNAL_CHECKPOINT_H

#include "journal/state.h"

struct checkpointer;

#define CHECKPOINT_CHAIN_MAX 17 // a base and 16 deltas

struct checkpoint_chain_file {
    uint64_t number, size_bytes;
    uint32_t crc;
};
struct checkpoint_chain { // the snapshot files that together are the state, base first
    struct checkpoint_chain_file files[CHECKPOINT_CHAIN_MAX];
    uint32_t count;
};

struct checkpoint_cut { // one per part and checkpoint
    struct io_msg msg;
    bool full;          // emit everything, not only what changed
    struct buf records; // state_put by the part
    uint32_t part;
    struct checkpointer *checkpointer;
};
// On the part's actor, when its cut is done (err != 0: the checkpoint is abandoned and nothing is
// recycled; the part must then treat what it emitted as still dirty, see `abandon`).
void checkpoint_cut_done(struct checkpoint_cut *cut, int err);

struct checkpoint_part {
    struct io *io;
    void (*cut)(void *arg,
                struct checkpoint_cut *cut);    // on io: start a cut; ends with checkpoint_cut_done
    void (*settled)(void *arg, bool installed); // on io: the checkpoint was installed or abandoned
    void *arg;
};

struct checkpoint_options {
    struct io *actor; // a worker
    struct journal *journal;
    const struct checkpoint_part *parts; // copied
    uint32_t parts_count;
    int64_t min_interval_ms; // bound on the rate while the journal is below three quarters
    // On the actor: a sync failed; nothing may be assumed any more, the process stops. May be NULL.
    void (*fatal)(void *arg, int err, const char *what);
    void *arg;
};

// What recovery needs; read before journal_open.
struct checkpoint_found {
    uint64_t sequence; // 0: none yet (a new store)
    uint64_t replay_lsn;
    uint64_t snapshot_files, records;
    unsigned slot;        // which of the two holds it
    uint64_t last_number; // the largest that a checkpoint or a snapshot file has, named or not
    struct checkpoint_chain chain;
    char damage[256]; // in words, when ERR_CORRUPT or ERR_FORMAT_VERSION is returned
};
// Loads CHECKPOINT and its snapshot chain on the calling worker; each record goes to apply, oldest
// first. ERR_CORRUPT, ERR_FORMAT_VERSION. Leftovers (temporary and unnamed snapshot files) are
// removed unless read_only.
int checkpoint_load(struct io *io, int (*apply)(void *arg, const struct state_record *record),
                    void *arg, bool read_only, struct checkpoint_found *out);

int checkpointer_create(const struct checkpoint_options *options,
                        const struct checkpoint_found *found, struct checkpointer **out);
// Before the actors are stopped: no further checkpoint begins, and `done` is posted to reply_to
// when the one under way is over.
void checkpointer_quiesce(struct checkpointer *checkpointer, struct io *reply_to,
                          struct io_msg *done);
void checkpointer_destroy(struct checkpointer *checkpointer); // after its actor has stopped
// From any actor: run one soon (urgent: now). `done` (may be NULL) runs on `reply_to` when the next
// whole checkpoint that starts after this call is installed or has failed.
struct checkpoint_request {
    struct io_msg msg;
    struct list link;
    struct checkpointer *checkpointer; // set by checkpoint_request
    struct io *reply_to;
    bool urgent;
    int err;
    void (*done)(struct checkpoint_request *request);
};
void checkpoint_request(struct checkpointer *checkpointer, struct checkpoint_request *request);

struct checkpoint_stats {
    uint64_t checkpoints, abandoned, snapshot_bytes, snapshot_files;
    struct histogram duration_ns;
};
void checkpoint_stats(struct checkpointer *checkpointer,
                      struct checkpoint_stats *out); // any thread

#endif
