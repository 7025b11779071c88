// SPDX-License-Identifier: Apache-2.0
//
// A log: one partition's records in order. It lives on one shard; its newest part is in memory (the
// tail), its older part in segments that are Kafka's own files (%020d.log .index .timeindex),
// written by the shard's writer and read by its reader, two workers. A partition meets the file
// system only when its data outgrows the tail or a checkpoint needs it.
//
//   append: offset and epoch are set, segment and position are fixed, the batch enters the tail and
//   the journal done:   its group is durable: the high watermark moves, waiters wake write:  tail
//   batches go to their segment, unsynced (or went there already, direct), and may leave memory
//   read:   below the high watermark: from the tail at once, else by the reader, CRC checked
//
// Three marks: start_offset <= high_watermark <= end_offset. With flush settings relaxed (topic's
// flush.messages or flush.ms) the high watermark follows what was written to the segment; see
// README.
//
// An in-memory log (log_options.memory) has the same interface and never meets the journal. It
// meets files only when the memory budget is short: then its oldest part is spilled, unsynced, to
// DATA/spill, which a start wipes.
//
// Files: DATA/log/<topic uuid, 32 hex digits>/<partition>/
#ifndef WEIR_LOG_LOG_H
#define WEIR_LOG_LOG_H

#include "base/map.h"
#include "base/uuid.h"
#include "journal/checkpoint.h"
#include "log/batch.h"

struct log;
struct log_store; // a shard's logs: workers, files, budgets

struct log_key {
    struct uuid topic;
    int32_t partition;
};

// ---- the store of a shard

struct log_store_options {
    struct io *shard;
    struct io *recovery;        // the worker that recovery runs on; NULL: no recovery
    struct io *writer, *reader; // workers
    struct journal_port *port;
    struct budget *tail_budget;   // memory of all tails; above it, tails are written and dropped
    struct budget *memory_budget; // of logs in memory; above it, they spill; NULL: tail_budget
    struct budget *read_budget;   // blobs of cold reads, which find nothing beyond it; NULL: not
                                  // accounted
    uint64_t tail_bytes_per_log;  // kept in memory for readers, if the budget allows
    uint64_t write_min_bytes;     // a log with that much unwritten is written
    uint32_t files_max;           // open files per worker
    const char *journal_dir;      // whose reserve a replay may have on a full disk; NULL: none
    // On the shard: a worker's write or sync failed for good (not "disk full", which is waited
    // out): the process stops.
    void (*fatal)(void *arg, int err, const char *what);
    void *arg;
};
// For recovery shard, writer, reader and port may be NULL; log_store_start then brings them.
int log_store_create(const struct log_store_options *options, struct log_store **out);
// With a port the store is ready at once. Without one it is made for recovery: shard, writer and
// reader must be known already, but nothing is posted to them before the port comes.
int log_store_create(const struct log_store_options *options, struct log_store **out);
// After recovery, from the thread that recovered, before the shard's first message: the journal is
// open.
void log_store_set_port(struct log_store *store, struct journal_port *port);
void log_store_destroy(
    struct log_store *store); // after its workers have stopped; logs are destroyed too
void log_store_turn_end(struct log_store *store); // schedules writes; before journal_flush
// A cut of all logs that changed (or all): emits STATE_LOG and STATE_SEGMENT records to `out` at
// once, then writes and syncs what they name; done runs on the shard after that. One at a time.
struct log_cut {
    bool full;
    struct buf *out;
    void (*done)(struct log_cut *cut, int err);
    void *arg;
};
void log_store_cut(struct log_store *store, struct log_cut *cut);
void log_store_settled(struct log_store *store, bool installed);

struct log_store_stats {
    uint64_t logs, tail_bytes, unwritten_bytes, segments;
    uint64_t appended_batches, appended_bytes, written_bytes, direct_bytes;
    uint64_t tail_reads, tail_read_bytes, cold_reads, cold_read_bytes, crc_errors;
};
void log_store_stats(const struct log_store *store, struct log_store_stats *out);

// ---- a log

struct log_options {               // follows the topic's configuration
    uint64_t segment_bytes;        // segment.bytes
    int64_t segment_ms;            // segment.ms
    uint32_t index_interval_bytes; // index.interval.bytes
    int64_t retention_bytes;       // retention.bytes, -1: none
    int64_t retention_ms;          // retention.ms, -1: none
    bool cleanup_delete;           // cleanup.policy contains delete
    // flush.messages or flush.ms set: high watermark = written. Taken back, it is written and
    // synced until a checkpoint has named what was never journalled, which may find it only when
    // appends pause; then the journal is used again.
    bool relaxed;
    bool was_relaxed; // recovery: it may have been, since the last checkpoint
    bool memory;
};

int log_create(struct log_store *store, const struct log_key *key,
               const struct log_options *options, struct log **out);
// Forgets the log and removes its files in the background. Waiters get
// ERR_UNKNOWN_TOPIC_OR_PARTITION. The caller has journalled the deletion of the topic.
void log_delete(struct log *log);
void log_set_options(struct log *log, const struct log_options *options);

int64_t log_start_offset(const struct log *log);
int64_t log_high_watermark(const struct log *log);
int64_t log_end_offset(const struct log *log);
uint64_t log_size_bytes(const struct log *log); // in segments and tail
bool log_in_memory(const struct log *log);
// Bytes that passed the high watermark since the server started. Only grows: who waits for so many
// compares two of these, since the size counts what is not readable yet and shrinks by retention.
uint64_t log_readable_bytes(const struct log *log);
const struct log_key *log_key(const struct log *log);

struct log_appended {
    int64_t base_offset, last_offset;
    int64_t append_time_ms; // -1 with create time
};
// Appends one checked batch (batch_check_from_client, or our own). `piece` lies in a blob that
// nobody else writes: offset and epoch are set in place and the blob is immutable from then on; a
// reference is taken. ERR_NOSPACE, ERR_AGAIN (the journal's or tail's cap: try later), ERR_STOPPED.
// Durable later: see log_wait.
int log_append(struct log *log, struct blob_piece piece, const struct batch *batch,
               int32_t leader_epoch, struct log_appended *out);

// A waiter fires once, on the shard, never from inside the call: when high_watermark >= offset (err
// 0), or the log is deleted or the server stops. Embedded by the caller; log_wait_cancel is safe at
// any time.
struct log_waiter {
    struct list link;
    int64_t offset;
    void (*fire)(struct log_waiter *waiter, int err);
};
void log_wait(struct log *log, struct log_waiter *waiter, int64_t offset);
void log_wait_cancel(struct log_waiter *waiter);

#define LOG_READ_PIECES_MAX 1024 // so many batches that are not neighbours end a read early
struct log_read {
    // in
    int64_t offset;
    uint32_t max_bytes;
    bool at_least_one; // a first batch larger than max_bytes is returned all the same (KIP-74)
    // out: whole batches, the first one contains `offset`; each piece holds a reference
    struct blob_piece *pieces; // the log's memory; zeroed before the first read
    uint32_t pieces_count, pieces_cap;
    uint32_t bytes;
    int64_t next_offset;                          // after the last batch returned
    void (*done)(struct log_read *read, int err); // only after ERR_AGAIN
    struct log *log;
    struct list link; // store's, while pending
};
// 0: done, from the tail (or nothing at the high watermark: bytes 0). ERR_AGAIN: the reader is at
// it, `done` will run on the shard. ERR_OFFSET_OUT_OF_RANGE. A batch whose CRC is wrong on disk is
// ERR_CORRUPT_MESSAGE.
int log_read(struct log *log, struct log_read *read);
void log_read_release(struct log_read *read); // drops the references

// The first batch whose max timestamp >= ts, then the first such record in it (Kafka's
// ListOffsets). done always runs later, on the shard.
struct log_lookup {
    int64_t timestamp_ms; // LOG_LOOKUP_MAX: the record with the largest timestamp (KIP-734)
    int64_t found_offset, found_timestamp_ms; // -1, -1: none
    int32_t found_epoch;
    void (*done)(struct log_lookup *lookup, int err);
    struct log *log;
    struct list link;
};
#define LOG_LOOKUP_MAX (-3)
void log_lookup(struct log *log, struct log_lookup *lookup);

// KIP-320 / KIP-101: the largest epoch <= `epoch` that the log has, and its end offset (= the start
// of the next epoch, or the end of the log). Epoch and offset -1 when there is none.
void log_epoch_end(const struct log *log, int32_t epoch, int32_t *out_epoch,
                   int64_t *out_end_offset);
int32_t log_epoch_at(const struct log *log,
                     int64_t offset); // epoch of the record at offset; -1 unknown

// DeleteRecords and retention: journals the new start; files go when that is durable.
// ERR_OFFSET_OUT_OF_RANGE.
int log_set_start(struct log *log, int64_t offset);
// Gives back whole sealed segments all of whose offsets lie in from..to (`to` not included) and
// below the high watermark, although older ones stay: what nobody wants any more in the middle need
// not wait for what somebody still wants below it. Journalled; the files go when that is durable.
// The hole stays: a read or a lookup at an offset in it goes on at the next segment, start and end
// do not change, and a log's size counts what is there. Returns how many went (0: nothing to do; or
// the log is relaxed, whose recovery cannot tell a hole from an end), or
// ERR_UNKNOWN_TOPIC_OR_PARTITION.
int log_drop_segments(struct log *log, int64_t from, int64_t to);
// Applies retention.ms, retention.bytes and segment.ms. Cheap when there is nothing to do.
void log_retain(struct log *log, int64_t now_ms);

// Removes what logs in memory have left on disk; on a worker, before any of them is made.
int log_spill_wipe(struct io *io);

// ---- recovery (before the shards run; the store's shard, workers and port may still be NULL)

// Applied to whatever store owns the key. STATE_LOG or STATE_SEGMENT records, from snapshots.
int log_restore_record(struct log *log, const struct state_record *record);
int log_record_key(const struct state_record *record, struct log_key *out);
// What a STATE_LOG record vouches for: of the active segment its first bytes, of segments with
// larger bases nothing, of those below everything. What lies behind is settled by the journal at a
// start. ERR_NOT_FOUND: the record is of another kind, or of a log that is gone.
struct log_settled {
    struct log_key key;
    int64_t base_offset;
    uint64_t size_bytes;
    int64_t end_offset; // of the log
};
int log_record_settled(const struct state_record *record, struct log_settled *out);
// A log's directory: log/<topic>/<partition>.
#define LOG_DIR_SIZE 128
void log_dir(const struct log_key *key, char out[LOG_DIR_SIZE]);
// JOURNAL_BATCH, REFERENCE, LOG_START, LOG_DROP frames. `out_applied` false: below the
// snapshot's end, skipped. For a batch or reference *out_batch is its header (for the producers'
// state).
int log_replay(struct log *log, const struct journal_replayed *frame, struct batch *out_batch,
               bool *out_applied);
int log_frame_key(const struct journal_replayed *frame, struct log_key *out);
// For journal_replay.verify: reads the segment bytes behind a reference and checks each batch's
// CRC. 1: whole, 0: not there, ERR_*: it cannot be read, or (ERR_CORRUPT) it was there, and one bit
// of it has changed.
int log_reference_verify(struct io *io, const struct journal_replayed *frame);
// After replay, once per log, on the worker of options.recovery, with blocking calls: cuts the
// segments to what is known (relaxed logs: scans on for whole batches, reports each by found),
// rebuilds the active index.
int log_recover(struct log *log, struct io *io, void (*found)(void *arg, const struct batch *batch),
                void *arg);

// ---- verification of a store at rest (`weir check`), on a worker

struct log_check {
    uint64_t segments, batches, records, bytes;
    int64_t start_offset, end_offset;
    uint64_t errors;
    void (*report)(void *arg, const char *path, uint64_t position, const char *what); // each fault
    void *arg;
};
// `dir` is one partition's: log/<topic>/<partition>. ERR_NOT_FOUND; faults are reported and
// counted.
int log_check_dir(struct io *io, const char *dir, bool deep, struct log_check *check);

#endif
