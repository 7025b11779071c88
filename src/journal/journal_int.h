// SPDX-License-Identifier: Apache-2.0
//
// What the journal's files share among themselves: the objects, and which actor each part of them
// belongs to. Nobody outside this room includes it.
//
//   port        shard     adds frames, keeps them until their done has run     port.c
//   submission  travels   a run of frames: to the journal and home again       port.c, group.c
//   lane        journal   a port's submissions waiting for a group             bundle.c
//   bundle      journal   parts of several lanes that share one group          bundle.c
//   group       journal   what is being written now                            group.c, direct.c
//   files       journal   the files in use, the spare ones                     files.c
//   maker       checkpointer's actor: makes and recycles files                 maker.c
#ifndef WEIR_JOURNAL_JOURNAL_INT_H
#define WEIR_JOURNAL_JOURNAL_INT_H

#include <stdatomic.h>

#include "base/map.h"
#include "journal/format.h"
#include "journal/journal.h"
#include "journal/published.h"

#define JOURNAL_PATH_SIZE 256

// ---- submissions

struct journal_submission {
    struct io_msg
        msg; // of the first one of a parcel: all that a port flushes at once, or gets back
    struct list parcel; // of the first one: the others
    struct list link;   // in a parcel, a lane, a group
    struct list owned;  // the port's list of everything under way: shard only
    struct journal_port *port;
    struct list frames;
    uint32_t frames_count;
    uint64_t bytes; // as frames in the journal, bodies whole
    uint64_t bundle_id;
    uint32_t bundle_parts; // 0: not part of a bundle
    struct journal_bundle *bundle;
    struct journal_submission *bundle_next;
    uint64_t seq; // place in its lane
    int err;
    bool answered;           // planted bug early-ack: the frames' done have run
    struct io_msg early_msg; // planted bug early-ack
};

struct journal_port {
    struct journal *journal;
    struct io *shard;
    uint32_t index;
    struct journal_submission *open; // being filled
    bool in_bundle;
    bool awaited;         // somebody waits for what was added since the last hand-over
    struct list ready;    // closed, not handed over yet
    struct io_timer lazy; // the oldest lazy frame is due
    struct list owned;    // everything that is not home
    struct list barriers;
    struct io_msg barrier_msg;
    bool barrier_posted;
    uint64_t added, finished; // frames
    uint64_t bytes;
    int failed;
};

void submission_home(struct io_msg *msg); // on the shard
void submission_early(struct io_msg *msg);

// ---- lanes and bundles (journal's actor)

struct journal_lane {
    struct list pending;
    struct list home;   // on their way back, while a group is taken apart
    uint64_t next_seq;  // of the next submission that arrives
    uint64_t limit_seq; // what lies below may be taken now
    uint64_t want_seq;  // what lies below is wanted by the choice under way
    struct list *scan;  // the first one the choice under way has not looked at
    struct io *shard;   // of its port
    struct io_msg room_msg;
    _Atomic(bool) room_posted;
};

struct journal_bundle {
    struct map_node node;
    uint64_t id;
    uint32_t parts, arrived, left; // left: not yet in a group
    struct journal_submission *first;
};

void bundles_init(struct journal *journal);
void bundles_free(struct journal *journal);
void lane_arrive(struct journal *journal, struct journal_submission *submission);
void lanes_limit(struct journal *journal);
// Moves what the next group takes into group.submissions; false when there is nothing to take.
bool lanes_take(struct journal *journal);

// ---- files

struct wal_file {
    struct list link;
    uint64_t number, salt;
    uint64_t first_lsn; // 0: spare
    uint64_t size_bytes;
    bool of_reserve;
    struct io_file *file; // the journal's actor opens it when it is needed
};

enum wal_job_kind { WAL_MAKE, WAL_RECYCLE, WAL_REMOVE, WAL_RESERVE };

// The reserve, and the file that it becomes at need.
#define WAL_RESERVE_NAME  "reserve"
#define WAL_RESERVE_BYTES (UINT64_C(8) << 20)

struct wal_job { // journal -> checkpointer's actor -> journal
    struct io_msg msg;
    struct list link; // journal->files.jobs, so that nothing is lost in a crash
    struct journal *journal;
    enum wal_job_kind kind;
    uint64_t number, old_number, salt, size_bytes;
    uint64_t least_bytes; // WAL_MAKE: what will do where size_bytes has no room
    bool last_resort;     // WAL_MAKE: on a full disk, of the reserve
    bool of_reserve;      // that is what it came to
    int err;
};

// On any worker that may touch the directory. Each leaves a file that is there under its final name
// or not at all.
int wal_make(struct io *io, const char *dir, const struct wal_header *header);
// The same of the reserve's blocks; ERR_NOSPACE when there are none.
int wal_make_of_reserve(struct io *io, const char *dir, const struct wal_header *header);
int wal_reserve(struct io *io, const char *dir, uint64_t size_bytes); // unless it is there
int wal_recycle(struct io *io, const char *dir, const char *from_name,
                const struct wal_header *header);
void wal_path(const char *dir, const char *name, char out[JOURNAL_PATH_SIZE]);
void wal_number_path(const char *dir, uint64_t number, const char *suffix,
                     char out[JOURNAL_PATH_SIZE]);
void wal_job_post(struct journal *journal, enum wal_job_kind kind, const struct wal_job *what);

struct journal_files {
    struct list used;   // oldest first, the last one is being written
    struct list spares; // by number
    struct list jobs;
    uint64_t pos; // in the last used one
    uint64_t next_number;
    uint32_t count;      // used, spare and being recycled
    uint32_t making;     // new ones under way
    bool waiting;        // a group waits for room
    uint64_t need_bytes; // how large a file it needs
    int level;           // 0, 1: half full was told, 2: three quarters was told
    bool quiet;          // stopping: no more jobs
    struct io *quiet_reply;
    struct io_msg *quiet_msg, quiesce_msg;
    struct io_timer retry;
    bool reserving; // an order to make the reserve is under way
};

void files_begin(struct journal *journal);
int files_start(struct journal *journal);
// Room for a group: the file at the end of `used` and files.pos. ERR_AGAIN: none now; ERR_* fatal.
int files_room(struct journal *journal, uint64_t len_bytes);
void files_written(struct journal *journal, uint64_t len_bytes);
void files_job_done(struct journal *journal, struct wal_job *job);
void files_recycle(struct journal *journal, uint64_t lsn);
void files_overflow(struct journal *journal); // it was switched on
void files_quiesce(struct journal *journal);
void files_free(struct journal *journal);

// ---- the group under way

struct direct_job { // journal -> the target's writer -> journal
    struct io_msg msg;
    struct list link;
    struct direct_job *next; // of the same writer: goes in one message with it
    bool gathered;           // behind another one
    struct journal *journal;
    struct journal_target *target;
    struct journal_frame **frames;
    size_t count, cap;
    int err;
};

// STATE      what holds                                          goes to
// STARTING   journal_start has not run on the actor              IDLE, FAILED
// IDLE       no group is formed                                  FORMED, FAILED
// FORMED     a group is chosen, it has no room yet               WRITING, IDLE (refused), FAILED
// WRITING    it is being written, or direct writers are at work  IDLE, FORMED (taken back), FAILED
// FAILED     nothing is durable any more; all is sent home       -
enum journal_state {
    JOURNAL_STARTING,
    JOURNAL_IDLE,
    JOURNAL_FORMED,
    JOURNAL_WRITING,
    JOURNAL_FAILED,
    JOURNAL_STATES
};

struct journal_group {
    struct list submissions;
    uint64_t seq;
    uint32_t frames;
    uint64_t taken_bytes;  // bodies whole: what group_max_bytes bounds
    uint64_t inline_bytes; // what the journal itself writes, headers included
    uint64_t direct_bytes;
    struct list jobs;
    uint32_t jobs_left;
    uint64_t at; // where it was written, and what it continued: to take it back
    uint32_t prev_crc;
    bool no_space; // a direct writer met a full disk
    int err;
};

struct journal {
    struct journal_options options;
    char dir[JOURNAL_PATH_SIZE];
    uint64_t store;
    enum journal_state state;
    int failed;
    struct journal_lane *lanes;
    uint32_t lane_first; // takes turns
    struct map bundles;
    struct journal_group group;
    uint8_t *buffer;
    size_t buffer_bytes;
    uint64_t buffer_groups; // groups when the timer was started
    struct io_timer idle;
    struct journal_files files;
    uint64_t next_lsn;
    uint32_t prev_crc;
    _Atomic(uint64_t) durable_lsn;
    // One order to recycle is under way at a time, for the highest LSN asked for.
    _Atomic(uint64_t) recycle_lsn;
    _Atomic(bool) recycle_posted;
    struct io_msg recycle_msg;
    _Atomic(bool) overflow, overflow_posted;
    _Atomic(bool) starved; // see journal_starved
    struct io_msg overflow_msg;
    struct io_msg start_msg, again_msg;
    bool again_posted;
    struct journal_stats stats;
    struct published published;
};

void journal_state_set(struct journal *journal, enum journal_state state);
void journal_fail(struct journal *journal, int err, const char *what);

void group_try(struct journal *journal); // forms and writes as far as it can now
void group_finish_if_done(struct journal *journal);
void group_send_home(struct journal *journal, struct list *submissions, int err);
void group_choose_direct(struct journal *journal);
void direct_start(struct journal *journal);
void direct_free(struct journal *journal);

// ---- recovery

struct wal_tail { // where writing goes on
    struct list used, spares;
    uint64_t store, next_number, pos, next_lsn;
    uint32_t prev_crc, count;
};

// Reads the directory. With `tail` the store is made ready to be written: leftovers go, a torn
// group is cut for good, and an empty directory gets its first file of `first_file_bytes`. Without,
// nothing on disk is touched.
int wal_recover(struct io *io, const char *dir, uint64_t first_file_bytes, uint64_t from_lsn,
                const struct journal_replay *replay, struct journal_recovery *recovery,
                struct wal_tail *tail);

#endif
