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
// Plain records of one batch that a lookup unpacks, and the least room in which it tries.
#define FIND_BYTES_MAX (64U << 20)
#define FIND_BYTES_MIN (64U << 10)

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

static struct scan_place beginning(const struct cold_part *part)
{
    return (struct scan_place){.position = part->first_position, .base_offset = part->first_offset};
}

// Where to begin to look for `offset`. The indexes have no checksums, so they only shorten the
// search: an entry that names no batch that ends at its offset is not believed.
static struct scan_place search_from(struct files *files, const struct log_key *key,
                                     const struct cold_part *part, struct scan *log, int64_t offset)
{
    ASSERT(offset >= part->segment);
    struct scan_place place = beginning(part);
    struct scan index;
    struct scan_index_entry entry;
    struct batch b;
    uint64_t bytes = (uint64_t)part->index_entries * INDEX_ENTRY_BYTES;
    if (part->index_entries == 0 ||
        open_scan(files, key, part->segment, FILE_INDEX, bytes, &index) != 0)
        return place;
    if (!scan_index(&index, part->index_entries, offset - part->segment, &entry))
        return place;
    int err = scan_header(log, entry.position, &b);
    bool believed =
        err == 0 && b.base_offset == part->segment + entry.relative_offset - b.last_offset_delta;
    if (believed || bug(BUG_TRUST_INDEX))
        place = (struct scan_place){entry.position, err == 0 ? b.base_offset : offset};
    return place;
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
    struct scan_place from = {.base_offset = r->offset};
    // Stays open beside the index: the LRU holds a file of each kind at least.
    int err = open_scan(files, key, r->part.segment, FILE_LOG, r->part.end_bytes, scan);
    if (err != 0)
        return err;
    if (!remembered(positions, key, r->part.segment, r->offset, &from.position))
        from = search_from(files, key, &r->part, scan, r->offset);
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
    const struct scan_order order = {first.base_offset, r->part.epoch, r->part.epoch_end};
    int64_t next = first.base_offset;
    struct slice bytes = slice_of(blob->data, (size_t)len);
    size_t whole = err == 0 ? scan_whole(bytes, &order, &next) : 0;
    // The header that led here was seen in another read: that the batch is the one proves this one.
    struct batch is;
    if (err == 0 &&
        (whole == 0 || batch_peek(bytes, &is) != 0 || batch_last_offset(&is) < r->offset))
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

// How much a batch may become when it is unpacked: what is allowed at all, or as much of it as the
// budget has room for twice, since it is unpacked and then copied. 0: there is no room.
static size_t unpack_take(struct budget *budget)
{
    size_t limit = FIND_BYTES_MAX;
    while (limit >= FIND_BYTES_MIN && budget != NULL && budget_take(budget, 2 * limit) != 0)
        limit /= 2;
    return limit >= FIND_BYTES_MIN ? limit : 0;
}

static void unpack_give(struct budget *budget, size_t limit)
{
    if (budget != NULL)
        budget_give(budget, 2 * limit);
}

static void find_records(struct find_job *f, struct slice bytes, const struct batch *b,
                         struct arena *arena, size_t limit_bytes)
{
    struct slice records;
    struct record r;
    if (batch_records(bytes, arena, limit_bytes, &records) != 0)
        return;
    struct cursor in = cursor_of(records);
    while (cursor_left(&in) > 0 && record_next(&in, b, &r) == 0) {
        if (r.timestamp_ms < f->timestamp_ms || r.offset < f->from_offset)
            continue;
        f->found_offset = r.offset;
        f->found_timestamp_ms = r.timestamp_ms;
        return;
    }
}

// The first record in the batch that is young enough. When the records cannot be unpacked, for
// what they are or for want of memory, the batch's own beginning answers: a consumer then starts a
// little early.
static void find_in_batch(struct find_job *f, struct slice bytes)
{
    struct budget *budget = f->job.log->store->o.read_budget;
    struct batch b;
    if (batch_peek(bytes, &b) != 0)
        return;
    f->found = true;
    f->found_offset = b.base_offset > f->from_offset ? b.base_offset : f->from_offset;
    f->found_timestamp_ms = b.max_timestamp_ms;
    bool packed = batch_codec(&b) != BATCH_NONE;
    size_t limit = packed ? unpack_take(budget) : 0;
    struct arena arena;
    arena_init(&arena, limit + 64);
    find_records(f, bytes, &b, &arena, packed ? limit : bytes.len);
    arena_fini(&arena);
    unpack_give(budget, limit);
}

// Where a lookup by time begins: behind what the time index says is too old, if the batch that its
// entry names bears that out.
static struct scan_place time_from(struct find_job *f, struct scan *log)
{
    const struct log_key *key = &f->job.log->key;
    const struct cold_part *part = &f->part;
    struct scan_place from = search_from(f->job.files, key, part, log, f->from_offset);
    struct scan times;
    struct scan_time_entry entry;
    uint64_t bytes = (uint64_t)part->time_entries * TIME_ENTRY_BYTES, at;
    struct batch b;
    if (part->time_entries == 0 ||
        open_scan(f->job.files, key, part->segment, FILE_TIME, bytes, &times) != 0 ||
        !scan_time_index(&times, part->time_entries, f->timestamp_ms, &entry))
        return from;
    int64_t offset = part->segment + entry.relative_offset;
    if (offset <= f->from_offset)
        return from;
    struct scan_place near = search_from(f->job.files, key, part, log, offset);
    if (scan_offset(log, near, offset, &at, &b) != 0 || batch_last_offset(&b) != offset ||
        b.max_timestamp_ms != entry.timestamp_ms)
        return from;
    return (struct scan_place){at, b.base_offset};
}

// Reads the batch and looks into it.
static int find_at(struct find_job *f, struct scan *scan, uint64_t at, const struct batch *b)
{
    struct budget *budget = f->job.log->store->o.read_budget;
    struct blob *blob;
    int err = blob_create(b->size_bytes, budget, &blob);
    if (err == ERR_BUDGET && budget_used(budget) == 0)
        err = blob_create_beyond(budget, b->size_bytes, &blob);
    if (err != 0)
        return err;
    struct slice bytes = slice_of(blob->data, b->size_bytes);
    const struct scan_order order = {b->base_offset, -1, INT64_MAX}; // the shard knows the epoch
    int64_t next;
    err = scan_read(scan, at, blob->data, b->size_bytes);
    if (err == 0 && scan_whole(bytes, &order, &next) != bytes.len)
        err = ERR_CORRUPT_MESSAGE; // the walk has seen its header only, in another read
    if (err == 0)
        find_in_batch(f, bytes);
    blob_unref(blob);
    return err;
}

int find_work(struct job *job)
{
    struct find_job *f = CONTAINER_OF(job, struct find_job, job);
    if (f->piece.blob != NULL) {
        find_in_batch(f, blob_piece_slice(f->piece));
        return 0;
    }
    struct scan scan;
    int err =
        open_scan(job->files, &job->log->key, f->part.segment, FILE_LOG, f->part.end_bytes, &scan);
    if (err != 0)
        return err == ERR_NOT_FOUND ? 0 : err;
    uint64_t at;
    struct batch b;
    err = scan_time(&scan, time_from(f, &scan), f->from_offset, f->timestamp_ms, &at, &b);
    if (err == ERR_EOF)
        return 0;
    return missing(err != 0 ? err : find_at(f, &scan, at, &b));
}
