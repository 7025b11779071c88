// SPDX-License-Identifier: Apache-2.0
//
// The journal: group commit, the one place that makes things durable. Shards add frames during a
// turn and hand them over at its end; the journal's own actor (a worker) forms a group of all that
// has come, writes it with one durable write into a recycled file, and sends each shard's
// submission home, where the frames' `done` run in the order they were added. One write is in
// flight; the next group forms meanwhile.
//
// A big body (see journal_options.direct_min_bytes) is not copied into the journal: its target's
// writer writes and syncs it to its segment at the same time, and the journal carries a reference;
// the answer follows both.
//
// Files (all integers little-endian; journal/format.h has the layouts): DATA/journal/%016x.wal
//
// Errors: a failed write or sync is final: every later done gets ERR_SYNC and `fatal` is called
// once; the process stops.
#ifndef WEIR_JOURNAL_JOURNAL_H
#define WEIR_JOURNAL_JOURNAL_H

#include "base/blob.h"
#include "base/histogram.h"
#include "base/list.h"
#include "io/io.h"

struct journal;
struct journal_port; // a shard's end of the journal
struct journal_frame;

// What a frame says. Numbers are on disk: never reused. Kinds from JOURNAL_STATE on are state
// records (see state.h): key and value, the last one wins; their apply is the same at replay and
// from a snapshot.
enum journal_kind {
    JOURNAL_BATCH = 1, // head: log/frames.h; body: one record batch
    JOURNAL_REFERENCE =
        2, // head as BATCH; body: the first ref_len bytes; the rest lies in the segment
    JOURNAL_LOG_START = 3, // a log's new start offset
    JOURNAL_EPOCH = 4,     // a start of the server raised the epoch
    JOURNAL_STATE = 5,     // u8 state kind, key, value
    JOURNAL_LEASE = 6,     // queue: what was settled of a partition
    JOURNAL_TXN = 7,       // reserved: transactions
    JOURNAL_QUERY = 8,     // reserved: streaming queries
    JOURNAL_LOG_DROP = 9,  // segments of a log that were given back, wherever they lay
    JOURNAL_COMMIT = 15    // ends a group
};

// ---- targets of direct writes

struct journal_target {
    struct io *writer; // the worker that writes and syncs it
    // On the writer: writes the frames' bodies at their positions, in one or more files; and syncs
    // those files. All targets of a group are written before the first is synced. 0 or ERR_*.
    int (*write)(struct journal_target *target, struct journal_frame **frames, size_t count);
    int (*sync)(struct journal_target *target, struct journal_frame **frames, size_t count);
    uint64_t group_mark;  // journal only: which group counted the bytes below
    uint64_t group_bytes; // journal only
};

// ---- writing (on a shard)

struct journal_write {
    uint8_t kind;
    struct slice head;             // copied
    struct blob_piece body;        // a reference is taken; blob == NULL: none
    struct journal_target *target; // NULL: never direct. Must outlive done.
    uint64_t target_pos;  // where in the target the body belongs (the target's own meaning)
    uint64_t target_file; // which file of the target (a segment's base offset)
    uint32_t ref_len;     // how much of the body a reference repeats (the batch's header)
    bool lazy; // nobody waits for it: handed over with the port's next frame that somebody waits
               // for, at most JOURNAL_LAZY_NS after the flush that would have taken it
    // On the shard, in order of adding; err 0: durable. lsn and direct tell where it went. May be
    // NULL.
    void (*done)(void *arg, const struct journal_frame *frame, int err);
    void *arg;
};

struct journal_frame { // owned by the port; valid until its done has returned
    struct list link;
    struct journal_write w; // w.head points into the submission's own memory
    uint64_t lsn;
    bool direct;
};

#define JOURNAL_LAZY_NS (5LL * 1000 * 1000)

void journal_add(struct journal_port *port, const struct journal_write *write);
// The longest body (with a head below 3 KiB) that a file of this size surely takes, whatever else
// its shard adds: even a body that would go direct may have to go into the journal, when its target
// cannot be written now. Who adds a longer one outside a bundle may get ERR_LIMIT from its done.
uint64_t journal_body_max(uint64_t file_bytes);
// The most that a bundle may hold, all its parts together, each frame counted as its head and body
// and JOURNAL_FRAME_BYTES: half a file, so that it finds room beside what lies before it. What is
// larger than a file is refused with ERR_LIMIT, and nothing of it written.
#define JOURNAL_FRAME_BYTES 24
uint64_t journal_bundle_max(uint64_t file_bytes);
// Frames added between begin and end belong to bundle `id`, of which `parts` shards bring one part
// each: the group waits until all parts have come and writes them together; what was added later on
// the same shards stays behind it.
void journal_bundle_begin(struct journal_port *port, uint64_t id, uint32_t parts);
void journal_bundle_end(struct journal_port *port);
// Hands over what was added, unless all of it is lazy and not yet due; the shard calls it at its
// turn's end.
void journal_flush(struct journal_port *port);
// Runs fn on the shard when everything added before is durable (at once, but never from inside,
// when nothing is open). It waits for lazy frames too, so the next flush takes them.
struct journal_barrier {
    struct list link;
    uint64_t seq;
    void (*fn)(struct journal_barrier *barrier, int err);
};
void journal_barrier(struct journal_port *port, struct journal_barrier *barrier);
uint64_t journal_port_bytes(
    const struct journal_port *port); // added and not yet done: what back-pressure looks at
// The disk is too full for the journal's next file. What is large should not be added then: what
// room there is, in the file in use and in the reserve, is for what makes room.
// When that is over each port's shard has a turn, at whose end it can try again.
bool journal_starved(const struct journal_port *port);

// ---- life

struct journal_options {
    const char *dir;           // "journal"
    uint64_t file_bytes;       // 64 MiB; at least 4 MiB, multiple of IO_BLOCK
    uint64_t first_file_bytes; // 1 MiB: so that the first start is quick
    uint32_t files_max;        // 4
    uint64_t direct_min_bytes; // a target with at least this much in a group goes direct
    uint64_t
        group_max_bytes; // a group takes no more (but at least one submission, and whole bundles)
    struct io *actor;    // the journal's own worker
    struct io *checkpointer; // the worker that makes new files in the background
    uint32_t ports_count;    // shards
    // On the journal's actor, once, when nothing can be made durable any more.
    void (*fatal)(void *arg, int err, const char *what);
    // On the journal's actor: the journal is half full (again): run a checkpoint. `urgent` above
    // three quarters.
    void (*want_checkpoint)(void *arg, bool urgent);
    void *arg;
};

// What recovery finds, in order of LSN, by whole groups. Non-zero stops with that error.
struct journal_replayed {
    uint64_t lsn;
    uint8_t kind;
    struct slice head;
    struct slice body; // of a REFERENCE: its first ref_len bytes
    bool last_group; // of the newest durable group: its references may lack their data (see verify)
};
struct journal_replay {
    int (*frame)(void *arg, const struct journal_replayed *frame);
    // 1 when the data behind a REFERENCE frame is whole on disk. Asked for the newest group only:
    // earlier groups were followed by another, so their data was synced. 0: the group never became
    // durable and is cut. ERR_*: nobody can tell, which stops the recovery.
    int (*verify)(void *arg, const struct journal_replayed *frame);
    void *arg;
};

struct journal_recovery {         // what was found: for the log, `weir check` and tests
    uint64_t first_lsn, last_lsn; // replayed; last_lsn 0: nothing
    uint64_t groups, frames, bytes;
    bool cut;         // a torn group was dropped at the end
    char damage[256]; // what is hurt and what the choices are, when ERR_CORRUPT is returned
};

// On the calling worker (not yet on the journal's actor; no other actor runs). Reads DATA/journal
// from LSN `from_lsn` on. An empty directory is initialised. ERR_CORRUPT (damage before the end),
// ERR_FORMAT_VERSION, ERR_IO.
int journal_open(struct io *io, const struct journal_options *options, uint64_t from_lsn,
                 const struct journal_replay *replay, struct journal_recovery *out_recovery,
                 struct journal **out);
// Reads only: for `weir check`. `damage` tells the first fault.
int journal_scan(struct io *io, const char *dir, uint64_t from_lsn,
                 const struct journal_replay *replay, struct journal_recovery *out_recovery);
void journal_start(struct journal *journal); // the actor begins to take submissions
// On any thread, before the journal starts.
struct journal_port *journal_port_create(struct journal *journal, uint32_t index, struct io *shard);
// What is still open is dropped and its done never runs: after a crash or a fatal error.
void journal_port_destroy(struct journal_port *port);
// Before the actors are stopped: no more files are made or recycled, and `done` is posted to
// reply_to when journal and checkpointer owe each other no answer. They may then be stopped in any
// order (what an actor still posts to a stopped one would reach freed memory).
void journal_quiesce(struct journal *journal, struct io *reply_to, struct io_msg *done);
void journal_destroy(struct journal *journal); // after its actor has stopped

// ---- for the checkpointer (checkpoint.h)

uint64_t journal_durable_lsn(const struct journal *journal); // any thread (atomic)
// The same by message, from any actor: `answer` runs on reply_to with `lsn` filled in. The
// checkpointer asks this way, since in the simulator an actor's clock runs ahead of the others': an
// atomic may show what has not happened yet, mail never does.
struct journal_lsn_query {
    struct io_msg msg;
    struct journal *journal;
    struct io *reply_to;
    uint64_t lsn;
    void (*answer)(struct journal_lsn_query *query);
};
void journal_ask_durable_lsn(struct journal *journal, struct journal_lsn_query *query);
// Files that hold only LSNs below `lsn` may be used again. From any actor; runs on the journal's.
void journal_recycle(struct journal *journal, uint64_t lsn);

// While it is on (a checkpoint is under way), a group that finds the journal full gets a file
// beyond files_max: the checkpoint waits for what stands in the queue, so it must not wait for the
// checkpoint. How many is bounded by what shards may have undurable; recycling gives them back.
void journal_overflow(struct journal *journal, bool on); // any actor

// Beside the journal lies a file of reserved blocks, for a full disk: a group that finds no room
// takes them as its next file, a checkpoint for its snapshot. True: they lie at `path` and have
// room for so many bytes. On the checkpointer's actor.
bool journal_reserve_take(const struct journal *journal, struct io *io, uint64_t bytes,
                          const char *path);
// The same for a replay that has to write: gives them back to the file system. Nobody else wants
// any then. True: there were some.
bool journal_reserve_give(struct io *io, const char *dir);

struct journal_stats {
    uint64_t groups, frames, bytes_written, direct_bytes, direct_groups, syncs, direct_syncs;
    struct histogram group_bytes; // bytes
    struct histogram sync_ns;     // one durable write
};
void journal_stats(struct journal *journal,
                   struct journal_stats *out); // any thread; a consistent copy

#endif
