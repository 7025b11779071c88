// SPDX-License-Identifier: Apache-2.0
//
// Reading, on the shard: from the tail at once, without copying; what is older goes to the reader.
// The tail is a suffix of the log without holes, so one comparison decides. Lookups by time go
// through the segments' largest timestamps first, so that the reader opens at most the one that has
// the answer.
#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/read_int.h"

uint32_t log_cold_end(const struct log *log, const struct segment *segment)
{
    if (tail_empty(&log->tail))
        return segment->size_bytes;
    const struct tail_entry *first = tail_at(&log->tail, log->tail.first);
    if (first->segment == segment->base_offset)
        return first->position;
    return first->segment < segment->base_offset ? 0 : segment->size_bytes;
}

struct cold_part log_cold_part(const struct log *log, const struct segment *segment, int64_t offset)
{
    struct cold_part part = {
        .segment = segment->base_offset,
        .end_bytes = log_cold_end(log, segment),
        .first_position = segment->spilled ? segment->spilled_position : 0,
        .first_offset = segment->spilled ? segment->spilled_offset : segment->base_offset,
        .index_entries = segment->index_flushed,
        .time_entries = segment->time_flushed,
        .epoch = log_epoch_at(log, offset),
        .epoch_end = INT64_MAX,
    };
    for (uint32_t i = log->epochs_count; i-- > 0 && log->epochs[i].start_offset > offset;)
        part.epoch_end = log->epochs[i].start_offset;
    return part;
}

// What readers may see.
static int64_t visible_end(const struct log *log)
{
    return bug(BUG_READ_AHEAD) ? log->end_offset : log->high_watermark;
}

static void piece_push(struct log_read *read, struct blob_piece piece)
{
    if (read->pieces_count == read->pieces_cap) {
        read->pieces_cap = read->pieces_cap == 0 ? 4 : read->pieces_cap * 2;
        read->pieces = mem_realloc(read->pieces, read->pieces_cap * sizeof piece);
    }
    ASSERT(read->pieces_count < LOG_READ_PIECES_MAX);
    read->pieces[read->pieces_count++] = piece;
}

static void piece_add(struct log_read *read, struct blob_piece piece)
{
    if (read->pieces_count > 0) {
        struct blob_piece *last = &read->pieces[read->pieces_count - 1];
        if (last->blob == piece.blob && last->off + last->len == piece.off) {
            last->len += piece.len; // neighbours of one request leave together
            return;
        }
    }
    blob_ref(piece.blob);
    piece_push(read, piece);
}

static void read_tail(struct log *log, struct log_read *read)
{
    int64_t end = visible_end(log);
    for (uint64_t n = tail_find(&log->tail, read->next_offset); n < log->tail.end; n++) {
        const struct tail_entry *e = tail_at(&log->tail, n);
        if (e->base_offset >= end || read->pieces_count == LOG_READ_PIECES_MAX)
            break;
        bool fits = e->piece.len <= read->max_bytes - read->bytes;
        if (!fits && !(read->bytes == 0 && read->at_least_one))
            break;
        piece_add(read, e->piece);
        ASSERT(e->last_offset >= read->next_offset);
        read->bytes += (uint32_t)e->piece.len;
        read->next_offset = e->last_offset + 1;
        if (read->bytes >= read->max_bytes)
            break;
    }
    log->store->stats.tail_reads++;
    log->store->stats.tail_read_bytes += read->bytes;
}

static void read_release(struct job *job)
{
    struct read_job *r = CONTAINER_OF(job, struct read_job, job);
    blob_unref(r->piece.blob);
    mem_free(r);
}

static int read_there(struct log *log, struct log_read *read);

static void read_answer(struct job *job)
{
    struct read_job *r = CONTAINER_OF(job, struct read_job, job);
    struct log_read *read = r->read;
    struct log_store *store = job->log->store;
    int err = job->log->deleted ? ERR_UNKNOWN_TOPIC_OR_PARTITION : job->err;
    if (err == 0 && read->offset < job->log->start_offset)
        err = ERR_OFFSET_OUT_OF_RANGE; // trimmed meanwhile
    bool dropped = err == ERR_OFFSET_OUT_OF_RANGE && read->offset >= job->log->start_offset &&
                   log_segment_at(job->log, r->part.segment) == NULL;
    if (dropped) { // what the reader looked for has become a hole
        err = read_there(job->log, read);
        if (err != ERR_AGAIN)
            read->done(read, err);
        return;
    }
    if (err == ERR_CORRUPT_MESSAGE)
        store->stats.crc_errors++;
    if (err == 0) {
        ASSERT(r->next_offset <= visible_end(job->log));
        if (r->piece.len > 0)
            piece_push(read, r->piece);
        r->piece.blob = r->piece.len > 0 ? NULL : r->piece.blob; // its reference moved
        read->bytes = (uint32_t)r->piece.len;
        read->next_offset = r->piece.len > 0 ? r->next_offset : r->offset;
        store->stats.cold_read_bytes += read->bytes;
    }
    store->stats.cold_reads++;
    read->done(read, err);
}

static void read_cold(struct log *log, struct log_read *read, int64_t offset)
{
    const struct segment *s = &log->segments[log_segment_index(log, offset)];
    ASSERT(s->base_offset <= offset);
    ASSERT(s->last_offset >= offset);
    struct read_job *r = mem_zalloc(sizeof *r);
    r->job.log = log;
    r->job.files = log_reader_files(log);
    r->job.work = read_work;
    r->job.answer = read_answer;
    r->job.release = read_release;
    r->read = read;
    r->part = log_cold_part(log, s, offset);
    ASSERT(r->part.end_bytes > 0);
    r->offset = offset;
    r->max_bytes = read->max_bytes;
    r->at_least_one = read->at_least_one;
    job_post(&r->job, log->store->o.reader);
}

static bool tail_holds(const struct log *log, int64_t offset)
{
    return !tail_empty(&log->tail) && tail_at(&log->tail, log->tail.first)->base_offset <= offset;
}

// From the offset, or from where the hole ends in which it lies.
static int read_there(struct log *log, struct log_read *read)
{
    int64_t offset = read->offset;
    if (!tail_holds(log, offset))
        offset = log_offset_there(log, offset);
    read->next_offset = offset;
    if (offset >= visible_end(log))
        return 0;
    if (tail_holds(log, offset)) {
        read_tail(log, read);
        return 0;
    }
    read_cold(log, read, offset);
    return ERR_AGAIN;
}

int log_read(struct log *log, struct log_read *read)
{
    read->log = log;
    read->pieces_count = 0;
    read->bytes = 0;
    read->next_offset = read->offset;
    list_init(&read->link);
    if (log->deleted)
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    // Kafka: beyond the log's end is out of range; between high watermark and end there is nothing
    // yet.
    if (read->offset < log->start_offset || read->offset > log->end_offset)
        return ERR_OFFSET_OUT_OF_RANGE;
    return read_there(log, read);
}

void log_read_release(struct log_read *read)
{
    for (uint32_t i = 0; i < read->pieces_count; i++)
        blob_unref(read->pieces[i].blob);
    mem_free(read->pieces);
    read->pieces = NULL;
    read->pieces_count = 0;
    read->pieces_cap = 0;
    read->bytes = 0;
}
