// SPDX-License-Identifier: Apache-2.0
//
// `weir check`: a partition's directory at rest, read as a stranger would read it, with nothing but
// the file formats: batches back to back with right checksums and rising offsets, index entries
// that name what is there. Deep also unpacks every record. It reports and never repairs.
#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/scan.h"
#include "log/segment.h"

#define RECORDS_BYTES_MAX (64U << 20)
#define PATH_SIZE         256
#define SEGMENTS_MAX      (1U << 20)

struct checking {
    struct io *io;
    struct log_check *check;
    bool deep;
    const char *dir;
    int64_t *bases; // of .log files, in order
    uint32_t count, cap;
    char path[PATH_SIZE];
    int64_t next_offset; // the last segment's end
};

static void fault(struct checking *c, uint64_t position, const char *what)
{
    c->check->errors++;
    if (c->check->report != NULL)
        c->check->report(c->check->arg, c->path, position, what);
}

static void set_path(struct checking *c, int64_t base, const char *ending)
{
    struct buf b;
    buf_init(&b, PATH_SIZE);
    buf_printf(&b, "%s/%020lld%s", c->dir, (long long)base, ending);
    slice_to_cstr(buf_slice(&b), c->path, sizeof c->path);
    buf_fini(&b);
}

static int note_segment(void *arg, const char *name)
{
    struct checking *c = arg;
    size_t len = strlen(name);
    if (len != 24 || strcmp(name + 20, ".log") != 0)
        return 0;
    int64_t base = 0;
    for (int i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9' || base > (INT64_MAX - 9) / 10)
            return 0;
        base = base * 10 + (name[i] - '0');
    }
    if (c->count == SEGMENTS_MAX)
        return ERR_LIMIT;
    if (c->count == c->cap) {
        c->cap = c->cap == 0 ? 16 : c->cap * 2;
        c->bases = mem_realloc(c->bases, c->cap * sizeof *c->bases);
    }
    c->bases[c->count++] = base;
    return 0;
}

static void check_records(struct checking *c, uint64_t position, struct slice bytes,
                          const struct batch *b)
{
    struct arena arena;
    struct slice records;
    arena_init(&arena, RECORDS_BYTES_MAX + 4096);
    int err = batch_records(bytes, &arena, RECORDS_BYTES_MAX, &records);
    int32_t count = 0;
    if (err == 0) {
        struct cursor in = cursor_of(records);
        struct record r;
        while (cursor_left(&in) > 0 && (err = record_next(&in, b, &r)) == 0)
            count++;
    }
    arena_fini(&arena);
    // A client may have sent records that nobody can unpack; they are kept as they came, and said.
    if (err != 0)
        fault(c, position, "the records of a batch cannot be read");
    else if (count != b->records_count)
        fault(c, position, "a batch holds another number of records than it says");
}

static bool check_batch(struct checking *c, struct scan *scan, uint64_t position,
                        const struct batch *b)
{
    uint8_t *bytes = mem_try_alloc(b->size_bytes);
    if (bytes == NULL) {
        fault(c, position, "not enough memory for the batch");
        return false;
    }
    struct slice all = slice_of(bytes, b->size_bytes);
    bool good = scan_read(scan, position, bytes, b->size_bytes) == 0;
    if (!good)
        fault(c, position, "the batch cannot be read");
    else if (!batch_crc_ok(all))
        fault(c, position, "the batch's checksum does not match");
    else if (c->deep)
        check_records(c, position, all, b);
    mem_free(bytes);
    return good;
}

static const char *header_text(int err)
{
    if (err == ERR_TRUNCATED)
        return "the last batch is cut off";
    return err == ERR_CORRUPT_MESSAGE ? "this is no batch" : "the file cannot be read";
}

static void check_log(struct checking *c, struct io_file *file, int64_t base, uint64_t size)
{
    struct scan scan;
    struct batch b;
    scan_init(&scan, file, size);
    int64_t offset = base;
    uint64_t position = 0;
    int err;
    while ((err = scan_header(&scan, position, &b)) == 0) {
        if (b.base_offset < offset)
            fault(c, position, "the batch's offset is not above the one before");
        if (!check_batch(c, &scan, position, &b))
            break;
        offset = batch_last_offset(&b) + 1;
        position += b.size_bytes;
        c->check->batches++;
        c->check->records += (uint64_t)b.records_count;
    }
    if (err != 0 && err != ERR_EOF)
        fault(c, position, header_text(err));
    c->check->bytes += position;
    c->next_offset = offset;
}

// Opens one of a segment's files. An index that is not there is no fault: small segments have none.
static bool open_part(struct checking *c, int64_t base, const char *ending, struct io_file **out,
                      uint64_t *out_size)
{
    set_path(c, base, ending);
    int err = io_open(c->io, c->path, 0, out);
    if (err != 0) {
        if (err != ERR_NOT_FOUND)
            fault(c, 0, "the file cannot be opened");
        return false;
    }
    int64_t size = io_file_size(*out);
    if (size < 0)
        fault(c, 0, "the file's size cannot be read");
    *out_size = size > 0 ? (uint64_t)size : 0;
    return true;
}

// Every entry must name a batch that begins at its position and ends at its offset.
static void check_index(struct checking *c, int64_t base, struct io_file *log, uint64_t log_size)
{
    struct io_file *file;
    uint64_t size;
    if (!open_part(c, base, ".index", &file, &size))
        return;
    struct scan index, scan;
    scan_init(&index, file, size);
    scan_init(&scan, log, log_size);
    if (size % INDEX_ENTRY_BYTES != 0)
        fault(c, size, "the file ends within an entry");
    int64_t last = -1;
    for (uint64_t at = 0; at + INDEX_ENTRY_BYTES <= size; at += INDEX_ENTRY_BYTES) {
        uint8_t entry[INDEX_ENTRY_BYTES];
        struct batch b;
        if (scan_read(&index, at, entry, sizeof entry) != 0)
            break;
        int64_t relative = (int32_t)be32_get(entry);
        if (relative <= last)
            fault(c, at, "the entry's offset is not above the one before");
        last = relative;
        if (scan_header(&scan, be32_get(entry + 4), &b) != 0)
            fault(c, at, "the entry names a position where no batch begins");
        else if (batch_last_offset(&b) != base + relative)
            fault(c, at, "the entry's offset is not the last one of the batch it names");
    }
    io_file_close(file);
}

static void check_times(struct checking *c, int64_t base)
{
    struct io_file *file;
    uint64_t size;
    if (!open_part(c, base, ".timeindex", &file, &size))
        return;
    struct scan times;
    scan_init(&times, file, size);
    if (size % TIME_ENTRY_BYTES != 0)
        fault(c, size, "the file ends within an entry");
    int64_t last_ms = INT64_MIN, last = -1;
    for (uint64_t at = 0; at + TIME_ENTRY_BYTES <= size; at += TIME_ENTRY_BYTES) {
        uint8_t entry[TIME_ENTRY_BYTES];
        if (scan_read(&times, at, entry, sizeof entry) != 0)
            break;
        int64_t ms = (int64_t)be64_get(entry), relative = (int32_t)be32_get(entry + 8);
        if (ms <= last_ms || relative <= last)
            fault(c, at, "the entries do not rise");
        if (base + relative >= c->next_offset)
            fault(c, at, "the entry names an offset behind the segment's end");
        last_ms = ms;
        last = relative;
    }
    io_file_close(file);
}

static void check_segment(struct checking *c, int64_t base)
{
    struct io_file *log;
    uint64_t size;
    if (!open_part(c, base, ".log", &log, &size))
        return;
    if (base < c->next_offset)
        fault(c, 0, "the segment begins below the end of the one before");
    c->check->segments++;
    check_log(c, log, base, size);
    check_index(c, base, log, size);
    check_times(c, base);
    io_file_close(log);
}

int log_check_dir(struct io *io, const char *dir, bool deep, struct log_check *check)
{
    struct checking c = {.io = io, .check = check, .deep = deep, .dir = dir};
    ASSERT(strlen(dir) < PATH_SIZE - 40);
    int err = io_list(io, dir, note_segment, &c);
    check->start_offset = c.count > 0 ? c.bases[0] : 0;
    for (uint32_t i = 0; err == 0 && i < c.count; i++)
        check_segment(&c, c.bases[i]);
    check->end_offset = c.next_offset;
    mem_free(c.bases);
    return err;
}
