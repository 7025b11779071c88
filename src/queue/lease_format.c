// SPDX-License-Identifier: Apache-2.0
//
// The two records of a queue. They come from our own disk, behind checksums, and are distrusted all
// the same: a version that is not known is refused by name, and nothing is applied of what is not
// whole.
#include "queue/lease_format.h"

#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"

void lease_key_put(const struct log_key *key, uint8_t out[LEASE_KEY_BYTES])
{
    ASSERT(key->partition >= 0);
    memcpy(out, key->topic.bytes, sizeof key->topic.bytes);
    le32_put(out + sizeof key->topic.bytes, (uint32_t)key->partition);
}

int lease_key_get(struct slice bytes, struct log_key *out)
{
    if (bytes.len != LEASE_KEY_BYTES)
        return ERR_CORRUPT;
    uint32_t partition = le32_get(bytes.data + sizeof out->topic.bytes);
    if (partition > INT32_MAX)
        return ERR_CORRUPT;
    memcpy(out->topic.bytes, bytes.data, sizeof out->topic.bytes);
    out->partition = (int32_t)partition;
    return 0;
}

// ---- frames

void lease_frame_begin(struct buf *out)
{
    buf_put_u8(out, LEASE_FORMAT_VERSION);
}

void lease_frame_put(struct buf *out, int64_t *last, struct lease_range range)
{
    ASSERT(range.from >= 0);
    ASSERT(range.from < range.to);
    ASSERT(*last >= 0);
    buf_put_varint(out, range.from - *last);
    buf_put_uvarint(out, (uint64_t)(range.to - range.from));
    *last = range.to;
}

bool lease_frame_next(struct cursor *in, int64_t *last, struct lease_range *out)
{
    if (in->err != 0 || cursor_left(in) == 0)
        return false;
    // Unsigned: what is on disk may be anything, and must not overflow.
    uint64_t from = (uint64_t)*last + (uint64_t)cursor_varint64(in);
    uint64_t len = cursor_uvarint64(in);
    if (from >= INT64_MAX || len == 0 || len > INT64_MAX - from)
        cursor_fail(in, ERR_MALFORMED);
    if (in->err != 0)
        return false;
    *out = (struct lease_range){(int64_t)from, (int64_t)(from + len)};
    *last = out->to;
    return true;
}

static int version_check(struct cursor *in)
{
    uint8_t version = cursor_u8(in);
    if (in->err != 0)
        return ERR_CORRUPT;
    return version == LEASE_FORMAT_VERSION ? 0 : ERR_FORMAT_VERSION;
}

int lease_frame_open(struct slice body, struct cursor *out)
{
    struct cursor in = cursor_of(body);
    int err = version_check(&in);
    if (err != 0)
        return err;
    struct cursor check = in;
    struct lease_range range;
    int64_t last = 0;
    while (lease_frame_next(&check, &last, &range))
        ;
    if (check.err != 0)
        return ERR_CORRUPT;
    *out = in;
    return 0;
}

// ---- snapshots

void lease_state_put(struct buf *out, const struct lease_state *state)
{
    ASSERT(state->start >= 0);
    ASSERT(state->start <= state->next);
    buf_put_u8(out, LEASE_FORMAT_VERSION);
    buf_put_u8(out, state->final ? 1 : 0);
    buf_put_zero(out, 2);
    buf_put_le32(out, state->ranges_count);
    buf_put_le64(out, (uint64_t)state->start);
    buf_put_le64(out, (uint64_t)state->next);
}

void lease_state_put_range(struct buf *out, int64_t *last, struct lease_range range)
{
    ASSERT(range.from > *last);
    ASSERT(range.from < range.to);
    buf_put_uvarint(out, (uint64_t)(range.from - *last));
    buf_put_uvarint(out, (uint64_t)(range.to - range.from));
    *last = range.to;
}

bool lease_state_next(struct cursor *in, int64_t *last, struct lease_range *out)
{
    if (in->err != 0 || cursor_left(in) == 0)
        return false;
    uint64_t gap = cursor_uvarint64(in);
    uint64_t len = cursor_uvarint64(in);
    uint64_t left = INT64_MAX - (uint64_t)*last;
    if (gap == 0 || len == 0 || gap > left || len > left - gap)
        cursor_fail(in, ERR_MALFORMED);
    if (in->err != 0)
        return false;
    out->from = *last + (int64_t)gap;
    out->to = out->from + (int64_t)len;
    *last = out->to;
    return true;
}

static int state_head(struct cursor *in, struct lease_state *out)
{
    int err = version_check(in);
    if (err != 0)
        return err;
    uint8_t final = cursor_u8(in);
    cursor_skip(in, 2);
    uint32_t count = cursor_le32(in);
    uint64_t start = cursor_le64(in), next = cursor_le64(in);
    if (in->err != 0 || start > next || next > INT64_MAX || final > 1)
        return ERR_CORRUPT;
    *out = (struct lease_state){(int64_t)start, (int64_t)next, count, final == 1};
    return 0;
}

int lease_state_open(struct slice value, struct lease_state *out, struct cursor *ranges)
{
    struct cursor in = cursor_of(value);
    struct lease_state state;
    int err = state_head(&in, &state);
    if (err != 0)
        return err;
    struct cursor check = in;
    struct lease_range range;
    int64_t last = state.start;
    uint32_t count = 0;
    while (lease_state_next(&check, &last, &range))
        count++;
    if (check.err != 0 || count != state.ranges_count || last > state.next)
        return ERR_CORRUPT;
    *out = state;
    *ranges = in;
    return 0;
}
