// SPDX-License-Identifier: Apache-2.0
//
// On the reader: records that are no longer in memory. The place is found by the index and a walk
// over headers; whole batches are then read at once and every checksum is verified before a byte
// leaves. Where the last read of a log stopped is remembered, so a consumer that reads on costs no
// search. sendfile was rejected: what user space never sees is never checked.
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/read_int.h"
#include "log/scan.h"

#define POSITIONS_COUNT 256U
#define FIND_BYTES_MAX  (64U << 20) // plain records of one batch that a lookup unpacks

struct position {
    struct log_key key;
    int64_t segment, next_offset;
    uint64_t at;
    bool used;
};
struct positions {
    struct position slots[POSITIONS_COUNT];
};

struct positions *positions_create(void)
{
    return mem_zalloc(sizeof(struct positions));
}

void positions_destroy(struct positions *positions)
{
    mem_free(positions);
}

// Ids are random, so their bytes are hash enough; two logs in one slot only cost a search.
static struct position *slot_of(struct positions *p, const struct log_key *key)
{
    uint32_t h;
    memcpy(&h, key->topic.bytes, 4);
    return &p->slots[(h + (uint32_t)key->partition) % POSITIONS_COUNT];
}

static bool remembered(struct positions *p, const struct log_key *key, int64_t segment,
                       int64_t offset, uint64_t *out_at)
{
    const struct position *slot = slot_of(p, key);
    if (!slot->used || slot->segment != segment || slot->next_offset != offset)
        return false;
    if (slot->key.partition != key->partition || !uuid_eq(&slot->key.topic, &key->topic))
        return false;
    *out_at = slot->at;
    return true;
}

static void remember(struct positions *p, const struct log_key *key, int64_t segment,
                     int64_t next_offset, uint64_t at)
{
    *slot_of(p, key) = (struct position){
        .key = *key, .segment = segment, .next_offset = next_offset, .at = at, .used = true};
}

static int open_scan(struct files *files, const struct log_key *key, int64_t segment,
                     enum file_kind kind, uint64_t end, struct scan *out)
{
    struct file_key file = {.log = *key, .base_offset = segment, .kind = kind};
    struct files_entry *e;
    int err = files_open(files, &file, false, &e);
    if (err == 0)
        scan_init(out, files_file(e), end);
    return err;
}

// Where to begin to look for `offset`. The indexes only shorten the search: an entry that leads
// nowhere is not an error.
static uint64_t search_from(struct files *files, const struct log_key *key,
                            const struct cold_part *part, int64_t offset)
{
    ASSERT(offset >= part->segment);
    if (part->index_entries == 0)
        return 0;
    struct scan index;
    uint64_t bytes = (uint64_t)part->index_entries * INDEX_ENTRY_BYTES;
    if (open_scan(files, key, part->segment, FILE_INDEX, bytes, &index) != 0)
        return 0;
    uint64_t at = scan_index(&index, part->index_entries, offset - part->segment);
    return at < part->end_bytes ? at : 0;
}

static int missing(int err)
{
    if (err == ERR_NOT_FOUND)
        return ERR_OFFSET_OUT_OF_RANGE; // removed since the shard looked
    // The shard knows that the data is there: an end that comes too soon is damage.
    if (err == ERR_EOF || err == ERR_TRUNCATED)
        return ERR_CORRUPT_MESSAGE;
    return err;
}

static int locate(struct read_job *r, struct scan *scan, uint64_t *out_at, struct batch *out)
{
    struct files *files = r->job.files;
    const struct log_key *key = &r->job.log->key;
    struct positions *positions = r->job.log->store->positions;
    uint64_t from;
    if (!remembered(positions, key, r->part.segment, r->offset, &from))
        from = search_from(files, key, &r->part, r->offset);
    int err = open_scan(files, key, r->part.segment, FILE_LOG, r->part.end_bytes, scan);
    if (err != 0)
        return err;
    return scan_offset(scan, from, r->offset, out_at, out);
}

// A batch larger than the whole budget: it must pass somehow, alone.
static int blob_create_beyond(struct budget *budget, size_t len, struct blob **out)
{
    int err = blob_create(len, NULL, out);
    if (err == 0) {
        (*out)->budget = budget;
        budget_force(budget, sizeof **out + len);
    }
    return err;
}

int read_work(struct job *job)
{
    struct read_job *r = CONTAINER_OF(job, struct read_job, job);
    struct scan scan;
    struct batch first;
    uint64_t at;
    int err = locate(r, &scan, &at, &first);
    if (err != 0)
        return missing(err);
    ASSERT(at < r->part.end_bytes);
    ASSERT(first.size_bytes <= r->part.end_bytes - at);
    uint64_t len = r->part.end_bytes - at;
    if (len > r->max_bytes)
        len = r->max_bytes;
    if (len < first.size_bytes && r->at_least_one)
        len = first.size_bytes;
    r->next_offset = first.base_offset;
    if (len < first.size_bytes)
        return 0; // nothing fits, and nothing was promised
    struct blob *blob;
    struct budget *budget = job->log->store->o.read_budget;
    err = blob_create((size_t)len, budget, &blob);
    if (err == ERR_BUDGET && len > first.size_bytes) { // one batch is better than none
        len = first.size_bytes;
        err = blob_create((size_t)len, budget, &blob);
    }
    if (err == ERR_BUDGET && budget_used(budget) == 0)
        err = blob_create_beyond(budget, (size_t)len, &blob);
    if (err == ERR_BUDGET)
        return 0; // held back: answers on their way must leave first
    if (err != 0)
        return err;
    err = scan_read(&scan, at, blob->data, (size_t)len);
    int64_t next = first.base_offset;
    size_t whole = err == 0 ? scan_whole(slice_of(blob->data, (size_t)len), next, &next) : 0;
    if (err == 0 && whole == 0)
        err = ERR_CORRUPT_MESSAGE;
    if (err != 0) {
        blob_unref(blob);
        return missing(err);
    }
    ASSERT(next > r->offset);
    ASSERT(whole <= len);
    r->piece = (struct blob_piece){.blob = blob, .off = 0, .len = whole};
    r->next_offset = next;
    remember(job->log->store->positions, &job->log->key, r->part.segment, next, at + whole);
    return 0;
}

// ---- lookups

// The first record in the batch that is young enough. When the records cannot be unpacked the
// batch's own beginning answers: a consumer then starts a little early.
static void find_in_batch(struct find_job *f, struct slice bytes)
{
    struct batch b;
    if (batch_peek(bytes, &b) != 0)
        return;
    f->found = true;
    f->found_offset = b.base_offset > f->from_offset ? b.base_offset : f->from_offset;
    f->found_timestamp_ms = b.max_timestamp_ms;
    f->found_epoch = b.leader_epoch;
    struct arena arena;
    arena_init(&arena, FIND_BYTES_MAX);
    struct slice records;
    if (batch_records(bytes, &arena, FIND_BYTES_MAX, &records) == 0) {
        struct cursor in = cursor_of(records);
        struct record r;
        while (cursor_left(&in) > 0 && record_next(&in, &b, &r) == 0) {
            if (r.timestamp_ms < f->timestamp_ms || r.offset < f->from_offset)
                continue;
            f->found_offset = r.offset;
            f->found_timestamp_ms = r.timestamp_ms;
            break;
        }
    }
    arena_fini(&arena);
}

static uint64_t time_from(struct find_job *f)
{
    const struct log_key *key = &f->job.log->key;
    int64_t offset = f->from_offset;
    struct scan times;
    uint64_t bytes = (uint64_t)f->part.time_entries * TIME_ENTRY_BYTES;
    if (f->part.time_entries > 0 &&
        open_scan(f->job.files, key, f->part.segment, FILE_TIME, bytes, &times) == 0) {
        int64_t relative = scan_time_index(&times, f->part.time_entries, f->timestamp_ms);
        if (f->part.segment + relative > offset)
            offset = f->part.segment + relative;
    }
    return search_from(f->job.files, key, &f->part, offset);
}

int find_work(struct job *job)
{
    struct find_job *f = CONTAINER_OF(job, struct find_job, job);
    if (f->piece.blob != NULL) {
        find_in_batch(f, blob_piece_slice(f->piece));
        return 0;
    }
    uint64_t at = time_from(f);
    struct scan scan;
    int err =
        open_scan(job->files, &job->log->key, f->part.segment, FILE_LOG, f->part.end_bytes, &scan);
    if (err != 0)
        return err == ERR_NOT_FOUND ? 0 : err;
    struct batch b;
    err = scan_time(&scan, at, f->from_offset, f->timestamp_ms, &at, &b);
    if (err == ERR_EOF)
        return 0;
    if (err != 0)
        return missing(err);
    uint8_t *bytes = mem_try_alloc(b.size_bytes);
    if (bytes == NULL)
        return ERR_NOMEM;
    err = scan_read(&scan, at, bytes, b.size_bytes);
    if (err == 0 && !batch_crc_ok(slice_of(bytes, b.size_bytes)))
        err = ERR_CORRUPT_MESSAGE;
    if (err == 0)
        find_in_batch(f, slice_of(bytes, b.size_bytes));
    mem_free(bytes);
    return missing(err);
}
