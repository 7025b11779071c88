// SPDX-License-Identifier: Apache-2.0
//
// Recovery: a log from its records, then from the journal's frames, which carry every decision that
// was made at append; so nothing is measured, guessed or scanned, and replaying twice changes
// nothing. Replayed batches stay in the tail (the journal still holds them) until the budget is
// used up; then they are written at once.
#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/batch_int.h"
#include "log/log_int.h"

#define STATE_LOG_BYTES   24
#define STATE_EPOCH_BYTES 12

// ---- records

static void count_size(struct log *log)
{
    log->size_bytes = 0;
    for (uint32_t i = 0; i < log->segments_count; i++)
        log->size_bytes += log->segments[i].size_bytes;
}

static void restore_put(struct log *log, struct segment *fresh)
{
    struct segment *old = log_segment_at(log, fresh->base_offset);
    if (old != NULL) {
        segment_fini(old);
        *old = *fresh;
    } else {
        segments_insert(&log->segments, &log->segments_count, &log->segments_cap, fresh);
    }
}

static void restore_drop(struct log *log, int64_t base_offset)
{
    for (uint32_t i = 0; i < log->segments_count; i++) {
        if (log->segments[i].base_offset == base_offset) {
            segments_remove(log->segments, &log->segments_count, i);
            return;
        }
    }
}

static int restore_segment(struct log *log, const struct state_record *record)
{
    int64_t base = (int64_t)le64_get(record->key.data + 20);
    if (record->value.data == NULL) {
        restore_drop(log, base);
        count_size(log);
        return 0;
    }
    struct slice v = record->value;
    if (v.len != 4 + SEGMENT_RECORD_BYTES)
        return ERR_CORRUPT;
    if (le32_get(v.data) != 1)
        return ERR_FORMAT_VERSION;
    struct segment s;
    int err = segment_get(slice_of(v.data + 4, v.len - 4), &s);
    if (err != 0)
        return err;
    if (s.base_offset != base || s.size_bytes == 0)
        return ERR_CORRUPT;
    s.state = SEGMENT_CLEAN; // what an installed snapshot names is written and synced
    restore_put(log, &s);
    count_size(log);
    return 0;
}

static int restore_epochs(struct log *log, struct slice in, uint32_t count)
{
    if (in.len != (size_t)count * STATE_EPOCH_BYTES)
        return ERR_CORRUPT;
    log->epochs_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *p = in.data + (size_t)i * STATE_EPOCH_BYTES;
        int64_t start = (int64_t)le64_get(p + 4);
        if (log->epochs_count > 0 && log->epochs[log->epochs_count - 1].start_offset > start)
            return ERR_CORRUPT;
        log_epoch_add(log, (int32_t)le32_get(p), start);
    }
    return 0;
}

static int restore_active(struct log *log, struct slice *v, bool present)
{
    // The one that was active before need not be the last any more: a sealed one behind it may have
    // come first, and it may itself be gone for good.
    for (uint32_t i = log->segments_count; i-- > 0;) {
        if (log->segments[i].state == SEGMENT_ACTIVE)
            segments_remove(log->segments, &log->segments_count, i);
    }
    if (!present)
        return 0;
    struct segment s;
    if (v->len < SEGMENT_RECORD_BYTES)
        return ERR_CORRUPT;
    int err = segment_get(slice_of(v->data, SEGMENT_RECORD_BYTES), &s);
    if (err != 0)
        return err;
    s.state = SEGMENT_ACTIVE;
    restore_put(log, &s);
    *v = slice_of(v->data + SEGMENT_RECORD_BYTES, v->len - SEGMENT_RECORD_BYTES);
    // Nothing may lie behind the active segment.
    return log->segments[log->segments_count - 1].state == SEGMENT_ACTIVE ? 0 : ERR_CORRUPT;
}

static int restore_log(struct log *log, struct slice v)
{
    if (v.len < STATE_LOG_BYTES)
        return ERR_CORRUPT;
    if (le16_get(v.data) != 1)
        return ERR_FORMAT_VERSION;
    bool active = (le16_get(v.data + 2) & 1U) != 0;
    log->was_relaxed = (le16_get(v.data + 2) & 2U) != 0;
    uint32_t epochs = le32_get(v.data + 4);
    int64_t start = (int64_t)le64_get(v.data + 8);
    int64_t end = (int64_t)le64_get(v.data + 16);
    if (start < 0 || end < start)
        return ERR_CORRUPT;
    struct slice rest = slice_of(v.data + STATE_LOG_BYTES, v.len - STATE_LOG_BYTES);
    int err = restore_active(log, &rest, active);
    if (err == 0)
        err = restore_epochs(log, rest, epochs);
    if (err != 0)
        return err;
    log->start_offset = start;
    log->end_offset = end;
    log->high_watermark = end;
    count_size(log);
    return 0;
}

int log_restore_record(struct log *log, const struct state_record *record)
{
    struct log_key key;
    int err = log_record_key(record, &key);
    if (err != 0)
        return err;
    if (record->kind == STATE_LOG && record->value.data == NULL)
        return 0;                   // its topic was deleted, which is the catalogue's affair
    ASSERT(tail_empty(&log->tail)); // records come before frames
    return record->kind == STATE_SEGMENT ? restore_segment(log, record)
                                         : restore_log(log, record->value);
}

int log_record_settled(const struct state_record *record, struct log_settled *out)
{
    struct log_settled settled = {0};
    struct segment s;
    struct slice v = record->value;
    int err = log_record_key(record, &settled.key);
    if (err != 0 || record->kind != STATE_LOG || v.data == NULL || v.len < STATE_LOG_BYTES)
        return ERR_NOT_FOUND;
    if (le16_get(v.data) != 1)
        return ERR_FORMAT_VERSION;
    settled.end_offset = (int64_t)le64_get(v.data + 16);
    settled.base_offset = settled.end_offset; // without an active segment
    if ((le16_get(v.data + 2) & 1U) != 0) {
        if (v.len < STATE_LOG_BYTES + SEGMENT_RECORD_BYTES)
            return ERR_CORRUPT;
        err = segment_get(slice_of(v.data + STATE_LOG_BYTES, SEGMENT_RECORD_BYTES), &s);
        if (err != 0)
            return err;
        settled.base_offset = s.base_offset;
        settled.size_bytes = s.size_bytes;
    }
    *out = settled;
    return 0;
}

void log_dir(const struct log_key *key, char out[LOG_DIR_SIZE])
{
    _Static_assert(FILES_PATH_SIZE == LOG_DIR_SIZE, "one size for both");
    files_dir(FILES_ROOT, key, out);
}

// ---- frames

static int spill(struct log *log)
{
    const char *journal_dir = log->store->o.journal_dir;
    struct files *files = &log->store->recovery_files;
    int err = 0;
    while (log_write_blocking(log, files, &err))
        continue;
    if (err == ERR_NOSPACE && journal_dir != NULL && journal_reserve_give(files->io, journal_dir))
        return spill(log); // once: it is gone then
    if (err == 0)
        log_tail_shrink(log, 0);
    ASSERT(err != 0 || tail_empty(&log->tail)); // all of it was durable, and now is written
    return err;
}

static int replay_room(struct log *log, size_t bytes)
{
    struct log_store *store = log->store;
    if (budget_take(store->o.tail_budget, bytes) == 0)
        return 0;
    int err = 0;
    LIST_FOR_SAFE (it, &store->resident) {
        err = spill(CONTAINER_OF(it, struct log, tail_link));
        if (err != 0)
            return err;
    }
    // One batch may be larger than the whole budget: it must be read all the same.
    budget_force(store->o.tail_budget, bytes);
    return 0;
}

static int replay_body(struct log *log, const struct frame_batch *f, struct slice body)
{
    int err = replay_room(log, body.len);
    if (err != 0)
        return err;
    struct blob *blob;
    err = blob_create(body.len, NULL, &blob);
    if (err != 0) {
        budget_give(log->store->o.tail_budget, body.len);
        return err;
    }
    memcpy(blob->data, body.data, body.len);
    ASSERT(body.len == f->size_bytes);
    log_tail_add(log, f, (struct blob_piece){.blob = blob, .off = 0, .len = body.len});
    blob_unref(blob);
    log->tail.durable = log->tail.end;
    return 0;
}

static int replay_place(struct log *log, const struct frame_batch *f)
{
    struct segment *active = log_active(log);
    if (active == NULL || active->base_offset != f->segment) {
        if (f->position != 0 || f->segment != f->base_offset)
            return ERR_CORRUPT;
        if (active != NULL && active->size_bytes == 0)
            restore_drop(log, active->base_offset);
        active = log_roll(log, f->segment);
    }
    if (active->size_bytes != f->position || active->last_offset >= f->base_offset)
        return ERR_CORRUPT;
    log_place(log, f);
    ASSERT(log->end_offset == f->last_offset + 1);
    log->high_watermark = log->end_offset;
    return 0;
}

// Reads what a reference refers to. 1: it is whole, 0: it is not, ERR_*. `bytes` holds
// f->size_bytes.
static int reference_read(struct io_file *file, const struct frame_batch *f, struct slice header,
                          uint8_t *bytes)
{
    int64_t n = io_read(file, f->position, bytes, f->size_bytes);
    if (n < 0 && n != ERR_EOF)
        return (int)n;
    return n == (int64_t)f->size_bytes && memcmp(bytes, header.data, BATCH_HEADER_BYTES) == 0 &&
           batch_crc_ok(slice_of(bytes, f->size_bytes));
}

// The data behind the newest group's references may have been written and not synced when the
// crash came. They are written once more before they are synced: after a sync that failed the
// kernel holds pages as clean that the disk never got, and the next sync would say that all is
// well. What is written is what was verified, in these very bytes.
static int keep_reference(struct log *log, const struct frame_batch *f, struct slice header)
{
    struct file_key key = {.log = log->key, .base_offset = f->segment, .kind = FILE_LOG};
    struct files_entry *e;
    uint8_t *bytes = mem_try_alloc(f->size_bytes);
    if (bytes == NULL)
        return ERR_NOMEM;
    int err = files_open(&log->store->recovery_files, &key, true, &e);
    int whole = err == 0 ? reference_read(files_file(e), f, header, bytes) : err;
    if (whole == 0) // a read may go wrong for once
        whole = reference_read(files_file(e), f, header, bytes);
    if (whole >= 0)
        err = whole == 1 ? 0 : ERR_CORRUPT; // it was there when it was verified
    else
        err = whole;
    if (err == 0) {
        struct iovec iov = {.iov_base = bytes, .iov_len = f->size_bytes};
        err = files_write(e, f->position, &iov, 1);
    }
    if (err == 0)
        files_mark(e); // log_recover syncs it, and the file's name, which may be as new
    mem_free(bytes);
    return err;
}

static int replay_batch(struct log *log, const struct journal_replayed *frame,
                        struct batch *out_batch, bool *out_applied)
{
    struct frame_batch f;
    struct batch b;
    int err = frame_batch_get(frame->head, &f);
    if (err == 0)
        err = batch_peek_header(frame->body, &b);
    if (err != 0)
        return ERR_CORRUPT;
    if (b.base_offset != f.base_offset || b.size_bytes != f.size_bytes)
        return ERR_CORRUPT;
    bool reference = frame->kind == JOURNAL_REFERENCE;
    if (!reference && frame->body.len != f.size_bytes)
        return ERR_CORRUPT;
    *out_applied = false;
    *out_batch = b;
    if (f.base_offset < log->end_offset)
        return 0;
    // A log that was deleted while a checkpoint was made is missing from its snapshot, and the
    // frames of its last days lie behind: whether this is damage is known when all is replayed.
    if (log->gap || (f.base_offset > log->end_offset && !log->options.relaxed)) {
        log->gap = true;
        return 0;
    }
    log->touched = true;
    if (reference)
        err = spill(log); // the tail has no holes: what is older must be in the file as well
    if (err == 0)
        err = replay_place(log, &f);
    if (err != 0)
        return err;
    if (!reference)
        err = replay_body(log, &f, frame->body);
    else if (frame->last_group)
        err = keep_reference(log, &f, frame->body);
    *out_applied = err == 0;
    return err;
}

static int replay_start(struct log *log, const struct journal_replayed *frame, bool *out_applied)
{
    struct log_key key;
    int64_t start;
    int err = frame_start_get(frame->head, &key, &start);
    if (err != 0)
        return err;
    *out_applied = false;
    if (start <= log->start_offset || bug(BUG_LOG_START_BACK))
        return 0;
    if (start > log->end_offset) { // a relaxed log's end is not in the journal: see log_recover
        if (start > log->replayed_start)
            log->replayed_start = start;
        return 0;
    }
    log->start_offset = start;
    log->touched = true;
    log_doom(log, false);
    *out_applied = true;
    return 0;
}

static int replay_drop(struct log *log, const struct journal_replayed *frame, bool *out_applied)
{
    struct log_key key;
    int64_t from, to, first, end;
    int err = frame_drop_get(frame->head, &key, &from, &to);
    if (err != 0)
        return err;
    *out_applied = log_drop_live(log, from, to, &first, &end) > 0;
    log->touched |= *out_applied;
    return 0;
}

int log_replay(struct log *log, const struct journal_replayed *frame, struct batch *out_batch,
               bool *out_applied)
{
    if (frame->kind == JOURNAL_LOG_DROP)
        return replay_drop(log, frame, out_applied);
    if (frame->kind == JOURNAL_LOG_START)
        return replay_start(log, frame, out_applied);
    if (frame->kind != JOURNAL_BATCH && frame->kind != JOURNAL_REFERENCE)
        return ERR_INVALID;
    return replay_batch(log, frame, out_batch, out_applied);
}

// Sound but for one bit, of the header or of the records: a write that was torn is never that. The
// header's bytes are made right.
static bool one_bit_off(uint8_t *bytes, size_t len, struct slice header)
{
    unsigned bits = 0;
    for (size_t i = 0; i < BATCH_HEADER_BYTES; i++)
        bits += (unsigned)__builtin_popcount((unsigned)(bytes[i] ^ header.data[i]));
    memcpy(bytes, header.data, BATCH_HEADER_BYTES);
    struct slice batch = slice_of(bytes, len);
    return bits == 0 ? batch_one_bit_off(batch) : bits == 1 && batch_crc_ok(batch);
}

// What is not whole is cut, so it is read several times: a read may go wrong, and may hide that all
// but one bit is there.
static int reference_whole(struct io_file *file, const struct frame_batch *f, struct slice header)
{
    uint8_t *bytes = mem_try_alloc(f->size_bytes);
    if (bytes == NULL)
        return ERR_NOMEM;
    bool damaged = false;
    int whole = 0;
    for (int i = 0; i < 3 && whole == 0; i++) {
        memset(bytes, 0, f->size_bytes);
        whole = reference_read(file, f, header, bytes);
        damaged |= whole == 0 && one_bit_off(bytes, f->size_bytes, header);
    }
    mem_free(bytes);
    return whole == 0 && damaged ? ERR_CORRUPT : whole;
}

int log_reference_verify(struct io *io, const struct journal_replayed *frame)
{
    struct frame_batch f;
    if (frame_batch_get(frame->head, &f) != 0 || frame->body.len < BATCH_HEADER_BYTES ||
        f.size_bytes < BATCH_HEADER_BYTES)
        return 0;
    struct file_key key = {.log = f.key, .base_offset = f.segment, .kind = FILE_LOG};
    char path[FILES_PATH_SIZE];
    files_path(FILES_ROOT, &key, path);
    struct io_file *file;
    int err = io_open(io, path, 0, &file);
    if (err != 0)
        return err == ERR_NOT_FOUND ? 0 : err;
    int whole = reference_whole(file, &f, frame->body);
    io_file_close(file);
    return whole;
}

int log_recover(struct log *log, struct io *io, void (*found)(void *arg, const struct batch *batch),
                void *arg)
{
    struct files *files = &log->store->recovery_files;
    ASSERT(!log->store->started);
    if (files->io == NULL)
        files->io = io;
    ASSERT(files->io == io);
    bool relaxed = log->options.relaxed || log->options.was_relaxed || log->was_relaxed;
    if (log->gap || (log->replayed_start > log->end_offset && !relaxed))
        return ERR_CORRUPT;
    int err = 0;
    if (relaxed) {
        int64_t named = log->end_offset;
        log->options.relaxed = true;
        err = spill(log);
        if (err == 0)
            err = log_relaxed_recover(log, found, arg);
        log->unjournalled = log->end_offset != named;
        log_relax(log);
    }
    if (err == 0 && files->count > 0)
        err = files_sync_all(files);
    files_close_all(files);
    if (err != 0)
        return err;
    // Each record was checked alone; together they must make sense as well.
    if (log->segments_count > 0 &&
        log->segments[log->segments_count - 1].last_offset >= log->end_offset)
        return ERR_CORRUPT;
    // What lies below the start was condemned before the crash, or while it was restored.
    log_doom(log, false);
    ASSERT(log->high_watermark == log->end_offset);
    ASSERT(log->tail.durable == log->tail.end);
    log_invariant(log);
    return 0;
}
