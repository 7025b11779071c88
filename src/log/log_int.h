// SPDX-License-Identifier: Apache-2.0
//
// What the files of this room share: the log and its store on the shard's side, and jobs, the
// messages that carry work to the writer and the reader and come back with an answer.
//
// Who touches what: everything here belongs to the shard's thread, except log.key, log.store and
// log_store.writer_files / reader_files, which are fixed before the workers see them. The files
// themselves belong to their worker. A log lives until nothing is under way for it (log.pending).
#ifndef WEIR_LOG_LOG_INT_H
#define WEIR_LOG_LOG_INT_H

#include "base/bugs.h"
#include "log/files.h"
#include "log/log.h"
#include "log/segment.h"
#include "log/tail.h"

struct epoch {
    int32_t epoch;
    int64_t start_offset;
};

struct log {
    struct list link;       // store->logs or store->leaving
    struct list write_link; // store->to_write
    struct list moved_link; // store->moved: the high watermark passed a waiter
    struct list tail_link;  // store->resident: the tail is not empty
    struct list dirty_link; // store->dirty: changed since the last cut
    struct list cut_link;   // store->cut_logs: part of the cut that is not settled yet
    struct list work_link;  // store->cut_work or store->tidying: waits for its turn at the writer
    struct list waiters;    // by offset, then in order of coming
    struct journal_target target;
    struct log_store *store;
    struct log_key key;
    struct log_options options;
    int64_t start_offset, high_watermark, end_offset;
    uint64_t size_bytes;
    uint64_t readable_bytes; // that passed the high watermark since the start; only grows
    struct tail tail;
    uint64_t unwritten_from;  // number: every batch below is written
    uint64_t unwritten_bytes; // durable or not
    struct segment *segments; // live, by offset; the last one is ACTIVE
    uint32_t segments_count, segments_cap;
    struct segment *doomed; // DOOMED or GONE
    uint32_t doomed_count, doomed_cap;
    struct epoch *epochs;
    uint32_t epochs_count, epochs_cap;
    uint64_t pending;    // frames in the journal and jobs with workers
    uint64_t cut_number; // the cut under way wants every batch below this written
    bool cutting;
    bool writing; // a write or tidy job is with the writer; one at a time
    bool tidy;    // its files hold nothing that is not known (see README, "after a crash")
    bool deleted;
    bool gone_told; // see log_tell_gone
    bool removed;   // the job that removes its files is under way or done
    uint64_t leaving_seq;
    // options.relaxed is what holds; a change waits until nothing is under way, and back until a
    // checkpoint names what was never journalled (log_relax).
    bool wants_relaxed, was_relaxed, unjournalled;
    int64_t cut_end_offset; // of the newest cut
    bool spilled;           // a log in memory that has files
    bool touched;           // by replay
    bool gap; // replay met what does not continue it: damage, unless its topic turns out deleted
    int64_t replayed_start; // by replay, of a log whose end is found by log_recover only; or 0
};

struct log_store {
    struct log_store_options o;
    struct list logs, leaving;
    struct list to_write, moved, resident, dirty;
    struct list ready; // waiters to fire at the turn's end
    struct list ready_lookups;
    struct list jobs;  // with a worker or on their way back
    struct list retry; // write jobs that met a full disk
    struct list cut_logs, cut_work, tidying;
    struct log_cut *cut;
    uint32_t cut_active, tidy_active; // jobs of the cut, of the tidying, with the writer
    uint64_t leaving_seq, cut_leaving_seq;
    struct files writer_files, reader_files, recovery_files;
    struct files spill_writer_files, spill_reader_files; // of logs in memory
    struct positions *positions;                         // the reader's memory of where it stopped
    struct io_timer retry_timer;
    struct io_msg wake, start;
    bool wake_posted;
    bool cut_begins;
    bool started, failed, nospace, short_of_memory, short_of_spill;
    uint32_t writes_active, spills_active; // spills: of logs in memory
    struct log_store_stats stats;
};

// ---- store.c

struct job {
    struct io_msg msg;
    struct list link;
    struct log *log;
    struct files *files;
    int (*work)(struct job *job);     // on the worker
    void (*answer)(struct job *job);  // on the shard
    void (*release)(struct job *job); // frees what the job owns, and the job
    void (*again)(struct job *job);   // on the shard: it met a full disk and is tried once more
    bool keep;                        // answer has put the job elsewhere: not to be released
    int err;
};
void job_post(struct job *job, struct io *worker);
void store_wake(struct log_store *store); // makes sure that another turn comes
void store_fail(struct log_store *store, int err, const char *what);
struct budget *log_budget(const struct log *log); // of its tail
int log_take(struct log *log, size_t bytes);      // of its budget; reclaims. ERR_AGAIN, ERR_NOSPACE
bool budget_tight(const struct budget *budget);   // three quarters full
struct files *log_writer_files(struct log *log);
struct files *log_reader_files(struct log *log);
void log_settle(struct log *log); // a deleted log ends when nothing is under way for it
void log_mark_dirty(struct log *log);

// ---- spill.c: logs in memory

void spill_options(struct log_options *options);
uint64_t spill_size(const struct log *log);
void spill_under_pressure(struct log_store *store);
void spill_shrink(struct log *log); // drops what is written, as far as memory is short
void spill_trim(struct log *log);   // below the start offset
// To be written: from this batch up to that position.
void spill_extend(struct segment *s, const struct tail_entry *first, uint32_t end);

// ---- invariant.c

void log_invariant(const struct log *log);

// ---- append.c

struct segment *log_active(struct log *log); // NULL: none yet
struct segment *log_roll(struct log *log, int64_t base_offset);
struct segment *segments_insert(struct segment **array, uint32_t *count, uint32_t *cap,
                                const struct segment *segment); // by base offset
void segments_remove(struct segment *array, uint32_t *count, uint32_t index);
uint32_t log_segment_index(const struct log *log, int64_t offset); // the last with base <= offset
struct segment *log_segment_at(const struct log *log, int64_t base_offset); // exact; NULL
bool log_must_roll(const struct log *log, const struct batch *batch);
void log_place(struct log *log, const struct frame_batch *frame); // segment, epochs, marks
void log_tail_add(struct log *log, const struct frame_batch *frame, struct blob_piece piece);
void log_tail_pop(struct log *log);
bool log_tail_droppable(const struct log *log);
void log_tail_shrink(struct log *log, uint64_t keep_bytes);
void log_advance(struct log *log, int64_t high_watermark);
void log_epoch_add(struct log *log, int32_t epoch, int64_t offset);
void log_epochs_trim(struct log *log);

void log_relax(struct log *log);

// ---- write.c (shard) and writer.c (worker)

struct write_piece {
    struct blob_piece piece; // a reference, when blob != NULL
    struct slice bytes;
    uint32_t position;
};
// Writes what is due for the log, if anything: `cut` also what is not durable yet, what is few, and
// syncs. False: nothing to do.
bool log_write(struct log *log, bool cut);
bool log_write_blocking(struct log *log, struct files *files, int *out_err); // recovery
int segment_write(struct files *files, const struct log_key *key, int64_t segment,
                  const struct write_piece *pieces, size_t count);
int segment_write_index(struct files *files, const struct log_key *key, int64_t segment,
                        enum file_kind kind, uint64_t at, struct slice bytes);
int log_target_write(struct journal_target *target, struct journal_frame **frames, size_t count);
int log_target_sync(struct journal_target *target, struct journal_frame **frames, size_t count);

// ---- retain.c

void log_doom(struct log *log, bool durable); // whole segments below the start offset
void log_doom_segment(struct log *log, uint32_t index, bool dropped);
void log_remove_doomed(struct log *log, int64_t start);
void log_remove_segment(struct log *log, struct segment *segment); // a doomed one's files
void log_doomed_gone(struct log *log, int64_t base_offset);
int segment_remove_files(struct files *files, const struct log_key *key, int64_t base_offset);
void log_tell_gone(struct log *log);
void log_post_delete(struct log *log);

// ---- drop.c

int log_drop_live(struct log *log, int64_t from, int64_t to, int64_t *out_from, int64_t *out_to);
// The first offset from `offset` on that is there, holes left aside.
int64_t log_offset_there(const struct log *log, int64_t offset);

// ---- recover.c: after a crash, files may hold more than what is known

struct known_segment { // what a file may hold
    int64_t base_offset;
    uint32_t size_bytes, index_bytes, time_bytes;
    bool final; // installed in a snapshot: nothing was written to it since
};
int log_tidy_files(struct files *files, const struct log_key *key,
                   const struct known_segment *known, size_t count);
void log_tidy(struct log *log, bool background); // posts it
// "%020d.log" and so on; false: not one of ours
bool log_name_parse(const char *name, int64_t *out_base, enum file_kind *out_kind);
// relaxed.c: reads on behind what is known
int log_relaxed_recover(struct log *log, void (*found)(void *arg, const struct batch *batch),
                        void *arg);
void store_tidy_next(struct log_store *store);

// ---- cut.c

void store_cut_step(struct log *log); // the writer answered: what next for the cut
void store_cut_next(struct log_store *store);
struct segment *log_cut_segment(struct log *log); // what the cut still wants done; NULL: nothing
void store_cut_failed(struct log_store *store, int err);

// ---- read.c, reader.c

struct positions *positions_create(void);
void positions_destroy(struct positions *positions);
// Where the part of the segment ends that must be read from its file: the rest is in the tail.
uint32_t log_cold_end(const struct log *log, const struct segment *segment);

#endif
