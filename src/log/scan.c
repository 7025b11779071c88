// SPDX-License-Identifier: Apache-2.0
//
// Scanning segments and searching their indexes.
#include "log/scan.h"

#include <string.h>

#include "base/assert.h"
#include "base/bugs.h"
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

// The header of the batch that must follow, `from` being behind the one before.
static int header_next(struct scan *s, struct scan_place from, struct batch *out)
{
    int err = scan_header(s, from.position, out);
    if (err != 0)
        return err;
    return out->base_offset == from.base_offset ? 0 : ERR_CORRUPT_MESSAGE;
}

static struct scan_place behind(struct scan_place at, const struct batch *b)
{
    return (struct scan_place){at.position + b->size_bytes, batch_last_offset(b) + 1};
}

int scan_offset(struct scan *s, struct scan_place from, int64_t offset, uint64_t *out_position,
                struct batch *out)
{
    struct batch b;
    int err;
    while ((err = header_next(s, from, &b)) == 0 && batch_last_offset(&b) < offset)
        from = behind(from, &b);
    if (err != 0)
        return err;
    ASSERT(batch_last_offset(&b) >= offset);
    *out_position = from.position;
    *out = b;
    return 0;
}

// Reads all of the batch and verifies it. *b is then what the verified bytes say: its header alone,
// seen in another read, proves nothing.
static int batch_verify(struct scan *s, uint64_t position, struct batch *b)
{
    uint8_t *bytes = mem_try_alloc(b->size_bytes); // bounded by the file
    if (bytes == NULL)
        return ERR_NOMEM;
    struct slice all = slice_of(bytes, b->size_bytes);
    struct batch whole = {0};
    int err = scan_read(s, position, bytes, b->size_bytes);
    if (err == 0 && (batch_peek(all, &whole) != 0 || whole.size_bytes != b->size_bytes ||
                     whole.base_offset != b->base_offset ||
                     whole.last_offset_delta != b->last_offset_delta || !batch_crc_ok(all)))
        err = ERR_CORRUPT_MESSAGE;
    if (err == 0)
        *b = whole;
    mem_free(bytes);
    return err;
}

int scan_time(struct scan *s, struct scan_place from, int64_t offset, int64_t timestamp_ms,
              uint64_t *out_position, struct batch *out)
{
    for (;;) {
        struct batch b;
        int err = header_next(s, from, &b);
        bool asked = err == 0 && batch_last_offset(&b) >= offset;
        if (asked)
            err = batch_verify(s, from.position, &b);
        if (err != 0)
            return err;
        if (asked && b.max_timestamp_ms >= timestamp_ms) {
            *out_position = from.position;
            *out = b;
            return 0;
        }
        from = behind(from, &b);
    }
}

bool scan_index(struct scan *index, uint32_t entries, int64_t relative_offset,
                struct scan_index_entry *out)
{
    uint32_t low = 0, high = entries;
    bool found = false;
    struct scan_index_entry best = {0};
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        uint8_t entry[INDEX_ENTRY_BYTES];
        if (scan_read(index, (uint64_t)mid * INDEX_ENTRY_BYTES, entry, sizeof entry) != 0)
            return false;
        int64_t relative = (int32_t)be32_get(entry);
        if (relative <= relative_offset) {
            best = (struct scan_index_entry){relative, be32_get(entry + 4)};
            found = true;
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (found)
        *out = best;
    return found;
}

bool scan_time_index(struct scan *index, uint32_t entries, int64_t timestamp_ms,
                     struct scan_time_entry *out)
{
    uint32_t low = 0, high = entries;
    bool found = false;
    struct scan_time_entry best = {0};
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        uint8_t entry[TIME_ENTRY_BYTES];
        if (scan_read(index, (uint64_t)mid * TIME_ENTRY_BYTES, entry, sizeof entry) != 0)
            return false;
        int64_t time_ms = (int64_t)be64_get(entry);
        if (time_ms < timestamp_ms) {
            best = (struct scan_time_entry){time_ms, (int32_t)be32_get(entry + 8)};
            found = true;
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (found)
        *out = best;
    return found;
}

static bool valid_next(struct scan *s, struct scan_place at, struct batch *out)
{
    if (header_next(s, at, out) == 0 && batch_verify(s, at.position, out) == 0)
        return true;
    s->window_len = 0; // a read may go wrong for once, and what ends here is cut off
    return header_next(s, at, out) == 0 && batch_verify(s, at.position, out) == 0;
}

uint64_t scan_valid(struct scan *s, struct scan_place from,
                    void (*found)(void *arg, uint64_t position, const struct batch *b), void *arg)
{
    struct batch b;
    while (valid_next(s, from, &b)) {
        found(arg, from.position, &b);
        from = behind(from, &b);
    }
    return from.position;
}

size_t scan_whole(struct slice bytes, const struct scan_order *order, int64_t *out_next_offset)
{
    size_t at = 0;
    int64_t offset = order->offset;
    struct batch b;
    while (offset < order->epoch_end &&
           batch_peek(slice_of(bytes.data + at, bytes.len - at), &b) == 0) {
        if (!bug(BUG_COLD_UNCHECKED) && !batch_crc_ok(slice_of(bytes.data + at, b.size_bytes)))
            break;
        if (b.base_offset != offset || (order->epoch >= 0 && b.leader_epoch != order->epoch))
            break;
        offset = batch_last_offset(&b) + 1;
        at += b.size_bytes;
    }
    ASSERT(at <= bytes.len);
    *out_next_offset = offset;
    return at;
}
