// SPDX-License-Identifier: Apache-2.0
//
// A group's life on the journal's actor: chosen from the lanes (bundle.c), given room in a file
// (files.c), its big bodies sent to their writers (direct.c), the rest copied into one aligned
// buffer and written with one durable write, then sent home. Copying is deliberate: O_DIRECT wants
// whole aligned blocks, and a memcpy costs a tenth of what the device does.
#include "base/assert.h"
#include "base/bugs.h"
#include "base/err.h"
#include "base/mem.h"
#include "journal/journal_int.h"

#define BUFFER_MIN_BYTES ((size_t)64 * 1024)
#define BUFFER_IDLE_NS   (10LL * 1000 * 1000 * 1000)

// Sums up what the journal itself will write. A direct frame leaves head and ref_len bytes here.
static void group_measure(struct journal *journal)
{
    struct journal_group *group = &journal->group;
    group->inline_bytes = WAL_GROUP_HEADER + WAL_COMMIT_BYTES;
    group->direct_bytes = 0;
    LIST_FOR (sit, &group->submissions) {
        struct journal_submission *s = CONTAINER_OF(sit, struct journal_submission, link);
        LIST_FOR (it, &s->frames) {
            struct journal_frame *frame = CONTAINER_OF(it, struct journal_frame, link);
            const struct journal_write *w = &frame->w;
            size_t body_len = frame->direct ? w->ref_len : w->body.len;
            group->inline_bytes += wal_frame_bytes(w->head.len, body_len);
            if (frame->direct)
                group->direct_bytes += w->body.len;
        }
    }
}

static void group_form(struct journal *journal)
{
    struct journal_group *group = &journal->group;
    lanes_limit(journal);
    if (!lanes_take(journal))
        return;
    group->seq++;
    group_choose_direct(journal);
    group_measure(journal);
    journal_state_set(journal, JOURNAL_FORMED);
}

static void group_clear(struct journal *journal)
{
    struct journal_group *group = &journal->group;
    ASSERT(list_empty(&group->submissions));
    ASSERT(list_empty(&group->jobs));
    ASSERT(group->jobs_left == 0);
    group->frames = 0;
    group->taken_bytes = 0;
    group->inline_bytes = 0;
    group->direct_bytes = 0;
    group->no_space = false;
    group->err = 0;
}

void group_send_home(struct journal *journal, struct list *submissions, int err)
{
    for (struct list *it; (it = list_pop_front(submissions)) != NULL;) {
        struct journal_submission *s = CONTAINER_OF(it, struct journal_submission, link);
        s->err = err;
        list_push_back(&journal->lanes[s->port->index].home, it);
    }
    for (uint32_t i = 0; i < journal->options.ports_count; i++) {
        struct list *it = list_pop_front(&journal->lanes[i].home);
        if (it == NULL)
            continue;
        struct journal_submission *first = CONTAINER_OF(it, struct journal_submission, link);
        ASSERT(list_empty(&first->parcel));
        list_splice_back(&first->parcel, &journal->lanes[i].home);
        first->msg.run = submission_home;
        io_post(first->port->shard, &first->msg);
    }
}

// Too much for any file: nothing is written, and those who added it are told.
static void group_refuse(struct journal *journal)
{
    ASSERT(journal->group.jobs_left == 0);
    direct_free(journal);
    group_send_home(journal, &journal->group.submissions, ERR_LIMIT);
    group_clear(journal);
    journal_state_set(journal, JOURNAL_IDLE);
}

// ---- the buffer: an idle server is small, a busy one does not allocate

static void buffer_idle(struct io_timer *timer)
{
    struct journal *journal = CONTAINER_OF(timer, struct journal, idle);
    if (journal->stats.groups == journal->buffer_groups) {
        mem_free(journal->buffer);
        journal->buffer = NULL;
        journal->buffer_bytes = 0;
        return;
    }
    journal->buffer_groups = journal->stats.groups;
    struct io *io = journal->options.actor;
    io_timer_start(io, timer, io_now_ns(io) + BUFFER_IDLE_NS);
}

static void buffer_grow(struct journal *journal, size_t need_bytes)
{
    if (journal->buffer_bytes >= need_bytes)
        return;
    size_t size = journal->buffer_bytes > 0 ? journal->buffer_bytes : BUFFER_MIN_BYTES;
    while (size < need_bytes)
        size *= 2;
    mem_free(journal->buffer);
    journal->buffer = mem_alloc_aligned(IO_BLOCK, size);
    journal->buffer_bytes = size;
    if (size <= BUFFER_MIN_BYTES || io_timer_running(&journal->idle))
        return;
    struct io *io = journal->options.actor;
    journal->buffer_groups = journal->stats.groups;
    io_timer_init(&journal->idle, buffer_idle);
    io_timer_start(io, &journal->idle, io_now_ns(io) + BUFFER_IDLE_NS);
}

// ---- writing

static void frame_encode(struct wal_writer *w, struct journal_frame *frame, uint64_t lsn)
{
    struct slice body = SLICE_NULL;
    if (frame->w.body.blob != NULL)
        body = blob_piece_slice(frame->w.body);
    struct wal_frame out = {.lsn = lsn,
                            .kind = frame->w.kind,
                            .body_bytes = (uint32_t)body.len,
                            .head = frame->w.head,
                            .body = body};
    if (frame->direct) {
        out.kind = JOURNAL_REFERENCE;
        out.body.len = frame->w.ref_len;
    }
    frame->lsn = lsn;
    wal_frame_put(w, &out);
}

static uint32_t group_encode(struct journal *journal, const struct wal_file *file)
{
    struct journal_group *group = &journal->group;
    struct wal_group header = {.salt = file->salt,
                               .first_lsn = journal->next_lsn,
                               .position = journal->files.pos,
                               .frames = group->frames + 1,
                               .len_bytes = (uint32_t)group->inline_bytes,
                               .prev_crc = journal->prev_crc};
    struct wal_writer w;
    wal_group_begin(&w, journal->buffer, &header);
    uint64_t lsn = journal->next_lsn;
    LIST_FOR (sit, &group->submissions) {
        struct journal_submission *s = CONTAINER_OF(sit, struct journal_submission, link);
        LIST_FOR (it, &s->frames)
            frame_encode(&w, CONTAINER_OF(it, struct journal_frame, link), lsn++);
    }
    ASSERT(lsn == journal->next_lsn + group->frames);
    return wal_group_end(&w, JOURNAL_COMMIT);
}

static void group_count(struct journal *journal, uint64_t padded, int64_t took_ns)
{
    struct journal_group *group = &journal->group;
    struct journal_stats *stats = &journal->stats;
    stats->groups++;
    stats->frames += group->frames;
    stats->bytes_written += padded;
    stats->syncs++;
    stats->direct_bytes += group->direct_bytes;
    if (group->jobs_left > 0)
        stats->direct_groups++;
    histogram_add(&stats->group_bytes, group->inline_bytes + group->direct_bytes);
    histogram_add(&stats->sync_ns, took_ns > 0 ? (uint64_t)took_ns : 0);
}

static void group_write(struct journal *journal)
{
    struct journal_group *group = &journal->group;
    struct io *io = journal->options.actor;
    uint64_t padded = wal_padded(group->inline_bytes);
    struct list *last = journal->files.used.prev;
    ASSERT(last != &journal->files.used);
    struct wal_file *file = CONTAINER_OF(last, struct wal_file, link);
    ASSERT(journal->files.pos + padded <= file->size_bytes);

    journal_state_set(journal, JOURNAL_WRITING);
    group->at = journal->files.pos;
    group->prev_crc = journal->prev_crc;
    buffer_grow(journal, padded);
    uint32_t crc = group_encode(journal, file);
    direct_start(journal); // their syncs run beside ours
    int64_t start_ns = io_now_ns(io);
    struct iovec iov = {.iov_base = journal->buffer, .iov_len = padded};
    int err = io_write(file->file, journal->files.pos, &iov, 1);
    err = bug(BUG_WRITE_IGNORED) ? 0 : err;
    group_count(journal, padded, io_now_ns(io) - start_ns);
    if (err != 0) {
        group->err = ERR_SYNC;
        journal_fail(journal, err, "the journal could not be written");
        return;
    }
    journal->next_lsn += group->frames + 1;
    journal->prev_crc = crc;
    files_written(journal, padded);
}

static int zero_block(struct journal *journal, uint64_t at)
{
    struct wal_file *file = CONTAINER_OF(journal->files.used.prev, struct wal_file, link);
    uint8_t *block = mem_alloc_aligned(IO_BLOCK, IO_BLOCK); // zeros
    struct iovec iov = {.iov_base = block, .iov_len = IO_BLOCK};
    int err = io_write(file->file, at, &iov, 1);
    mem_free(block);
    return err;
}

// The references are on disk, and for want of room what they refer to is not. Nobody was answered
// yet, so the group is taken back and formed again with all bodies in the journal, whose files have
// their blocks. Its beginning is blotted out first: it must never be found whole beside the other.
static void group_take_back(struct journal *journal)
{
    struct journal_group *group = &journal->group;
    ASSERT(group->jobs_left == 0);
    ASSERT(journal->next_lsn > group->frames + 1);
    int err = zero_block(journal, group->at);
    if (err != 0) {
        journal_fail(journal, err, "a group could not be taken back on a full disk");
        return;
    }
    direct_free(journal);
    LIST_FOR (sit, &group->submissions) {
        struct journal_submission *s = CONTAINER_OF(sit, struct journal_submission, link);
        LIST_FOR (it, &s->frames)
            CONTAINER_OF(it, struct journal_frame, link)->direct = false;
    }
    journal->files.pos = group->at;
    journal->next_lsn -= group->frames + 1;
    journal->prev_crc = group->prev_crc;
    group->no_space = false;
    group_measure(journal);
    journal_state_set(journal, JOURNAL_FORMED); // the turn's end goes on with it
}

void group_finish_if_done(struct journal *journal)
{
    struct journal_group *group = &journal->group;
    if (list_empty(&group->submissions) || group->jobs_left > 0)
        return;
    if (journal->state == JOURNAL_WRITING && group->no_space)
        group_take_back(journal);
    if (journal->state == JOURNAL_FAILED) {
        direct_free(journal);
        group_send_home(journal, &group->submissions, ERR_SYNC);
        group_clear(journal);
        return;
    }
    if (journal->state != JOURNAL_WRITING)
        return;
    ASSERT(group->err == 0);
    direct_free(journal);
    atomic_store_explicit(&journal->durable_lsn, journal->next_lsn - 1, memory_order_release);
    group_send_home(journal, &group->submissions, 0);
    group_clear(journal);
    journal_state_set(journal, JOURNAL_IDLE);
    published_set(&journal->published, &journal->stats);
}

void group_try(struct journal *journal)
{
    struct journal_group *group = &journal->group;
    if (journal->state == JOURNAL_IDLE)
        group_form(journal);
    if (journal->state != JOURNAL_FORMED)
        return;
    if (group->frames == 0) { // bundles without frames: nothing to make durable
        journal_state_set(journal, JOURNAL_WRITING);
    } else {
        if (wal_padded(group->inline_bytes) > journal->options.file_bytes - WAL_GROUPS_AT) {
            group_refuse(journal);
            return;
        }
        int err = files_room(journal, wal_padded(group->inline_bytes));
        if (err == ERR_AGAIN)
            return;
        if (err != 0)
            journal_fail(journal, err, "the journal could not go on in its next file");
        else
            group_write(journal);
    }
    group_finish_if_done(journal);
}
