// SPDX-License-Identifier: Apache-2.0
//
// Scanning segments and searching their indexes.
#include "log/scan.h"

#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/batch_int.h"
#include "log/segment.h"

void scan_init(struct scan *s, struct io_file *file, uint64_t end)
{
    ASSERT(file != NULL);
    s->file = file;
    s->bytes = SLICE_NULL;
    s->end = end;
    s->window_at = 0;
    s->window_len = 0;
}

void scan_init_bytes(struct scan *s, struct slice bytes)
{
    s->file = NULL;
    s->bytes = bytes;
    s->end = bytes.len;
    s->window_at = 0;
    s->window_len = 0;
}

int scan_read(struct scan *s, uint64_t position, void *out, size_t len)
{
    if (position > s->end || len > s->end - position)
        return ERR_TRUNCATED;
    if (s->file == NULL) {
        if (len > 0)
            memcpy(out, s->bytes.data + position, len);
        return 0;
    }
    int64_t got = io_read(s->file, position, out, len);
    if (got < 0)
        return (int)got;
    return (size_t)got == len ? 0 : ERR_TRUNCATED;
}

// Makes [position, position + len) visible in the window, as far as the file goes.
static int window(struct scan *s, uint64_t position, size_t len, struct slice *out)
{
    ASSERT(len <= SCAN_WINDOW_BYTES);
    ASSERT(position <= s->end);
    uint64_t left = s->end - position;
    if (len > left)
        len = (size_t)left;
    if (position < s->window_at || position + len > s->window_at + s->window_len) {
        size_t want = left < SCAN_WINDOW_BYTES ? (size_t)left : SCAN_WINDOW_BYTES;
        s->window_len = 0;
        int err = scan_read(s, position, s->window, want);
        if (err != 0)
            return err;
        s->window_at = position;
        s->window_len = want;
    }
    ASSERT(position >= s->window_at);
    ASSERT(position - s->window_at + len <= s->window_len);
    *out = slice_of(s->window + (position - s->window_at), len);
    return 0;
}

int scan_header(struct scan *s, uint64_t position, struct batch *out)
{
    if (position >= s->end)
        return ERR_EOF;
    struct slice head;
    int err = window(s, position, BATCH_HEADER_BYTES, &head);
    if (err != 0)
        return err;
    struct batch b;
    err = batch_peek_header(head, &b);
    if (err == ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT)
        return ERR_CORRUPT_MESSAGE;
    if (err != 0)
        return err;
    if (b.size_bytes > s->end - position)
        return ERR_TRUNCATED;
    *out = b;
    return 0;
}

int scan_time(struct scan *s, uint64_t position, int64_t offset, int64_t timestamp_ms,
              uint64_t *out_position, struct batch *out)
{
    for (;;) {
        struct batch b;
        int err = scan_header(s, position, &b);
        if (err != 0)
            return err;
        if (batch_last_offset(&b) >= offset && b.max_timestamp_ms >= timestamp_ms) {
            *out_position = position;
            *out = b;
            return 0;
        }
        position += b.size_bytes;
    }
}

int scan_offset(struct scan *s, uint64_t position, int64_t offset, uint64_t *out_position,
                struct batch *out)
{
    return scan_time(s, position, offset, INT64_MIN, out_position, out);
}

uint64_t scan_index(struct scan *index, uint32_t entries, int64_t relative_offset)
{
    uint32_t low = 0, high = entries;
    uint64_t position = 0;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        uint8_t entry[INDEX_ENTRY_BYTES];
        if (scan_read(index, (uint64_t)mid * INDEX_ENTRY_BYTES, entry, sizeof entry) != 0)
            return 0;
        if ((int32_t)be32_get(entry) <= relative_offset) {
            position = be32_get(entry + 4);
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return position;
}

int64_t scan_time_index(struct scan *index, uint32_t entries, int64_t timestamp_ms)
{
    uint32_t low = 0, high = entries;
    int64_t relative = -1;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        uint8_t entry[TIME_ENTRY_BYTES];
        if (scan_read(index, (uint64_t)mid * TIME_ENTRY_BYTES, entry, sizeof entry) != 0)
            return -1;
        if ((int64_t)be64_get(entry) < timestamp_ms) {
            relative = (int32_t)be32_get(entry + 8);
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return relative;
}

uint64_t scan_valid(struct scan *s, uint64_t position, int64_t offset,
                    void (*found)(void *arg, uint64_t position, const struct batch *b), void *arg)
{
    struct batch b;
    while (scan_header(s, position, &b) == 0 && b.base_offset >= offset) {
        // The size is bounded by the file's, so this is no stranger's number any more.
        uint8_t *bytes = mem_try_alloc(b.size_bytes);
        if (bytes == NULL)
            break;
        bool good = scan_read(s, position, bytes, b.size_bytes) == 0 &&
                    batch_crc_ok(slice_of(bytes, b.size_bytes));
        mem_free(bytes);
        if (!good)
            break;
        found(arg, position, &b);
        position += b.size_bytes;
        offset = batch_last_offset(&b) + 1;
    }
    return position;
}

size_t scan_whole(struct slice bytes, int64_t offset, int64_t *out_next_offset)
{
    size_t at = 0;
    struct batch b;
    while (batch_peek(slice_of(bytes.data + at, bytes.len - at), &b) == 0) {
        if (!batch_crc_ok(slice_of(bytes.data + at, b.size_bytes)))
            break;
        if (b.base_offset < offset)
            break;
        offset = batch_last_offset(&b) + 1;
        at += b.size_bytes;
    }
    ASSERT(at <= bytes.len);
    *out_next_offset = offset;
    return at;
}
