// SPDX-License-Identifier: Apache-2.0
//
// A group at the end of the chain that is not whole was torn when the machine stopped, and is cut;
// or it was durable, and has changed since. Nothing behind it tells which. But a torn write leaves
// whole sectors as they were before, so a group that is sound but for a single bit was never torn:
// that is what memory, cables and cells do to a block. It is told as damage. (What changes more
// than one bit of the newest group is still taken for a torn write.)
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "journal/wal_dir.h"

// Of a longer frame that was torn chance would say too often that it is one bit off: as often as it
// has bits, in 2^32. So it is taken for torn.
#define FRAME_BYTES_MAX (16U << 10)

static bool continues(const uint8_t *bytes, size_t len, const struct wal_group *expected,
                      struct wal_group *out)
{
    return wal_group_get(bytes, out) == 0 && out->salt == expected->salt &&
           out->position == expected->position && out->first_lsn == expected->first_lsn &&
           out->prev_crc == expected->prev_crc && out->len_bytes <= len;
}

static bool whole(const uint8_t *bytes, const struct wal_group *group)
{
    uint32_t crc;
    return wal_group_check(slice_of(bytes, group->len_bytes), group, JOURNAL_COMMIT, &crc) == 0;
}

static void flip(uint8_t *bytes, size_t bit)
{
    bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
}

// Tries every bit of the header.
static bool header_one_bit(uint8_t *bytes, size_t len, const struct wal_group *expected)
{
    struct wal_group group;
    bool found = false;
    for (size_t bit = 0; bit < 8 * WAL_GROUP_HEADER && !found; bit++) {
        flip(bytes, bit);
        found = continues(bytes, len, expected, &group) && whole(bytes, &group);
        flip(bytes, bit);
    }
    return found;
}

// The bad frame's header, or a whole commit frame: tries every bit of it.
static bool frame_header_one_bit(uint8_t *bytes, const struct wal_group *group, size_t at)
{
    bool commit = at + WAL_COMMIT_BYTES == group->len_bytes;
    size_t end = at + (commit ? WAL_COMMIT_BYTES : WAL_FRAME_HEADER);
    bool found = false;
    for (size_t bit = 8 * at; bit < 8 * end && !found; bit++) {
        flip(bytes, bit);
        found = whole(bytes, group);
        flip(bytes, bit);
    }
    return found;
}

// The bad frame's content: its checksum says which bit it would be.
static bool frame_content_one_bit(uint8_t *bytes, const struct wal_group *group, size_t at)
{
    const uint8_t *frame = bytes + at;
    size_t left = group->len_bytes - at - WAL_FRAME_HEADER, len = le32_get(frame);
    if (len > left || len > FRAME_BYTES_MAX)
        return false;
    uint32_t crc = crc32c(0, frame + 8, WAL_FRAME_HEADER - 8 + len);
    int64_t bit = crc32c_one_bit(le32_get(frame + 4) ^ crc, len);
    if (bit < 0)
        return false;
    size_t place = 8 * (at + WAL_FRAME_HEADER) + (size_t)bit;
    flip(bytes, place);
    bool found = whole(bytes, group);
    flip(bytes, place);
    return found;
}

// Where the first frame that is not sound begins; len_bytes when there is none.
static size_t first_bad(const uint8_t *bytes, const struct wal_group *group)
{
    struct slice rest = slice_of(bytes + WAL_GROUP_HEADER, group->len_bytes - WAL_GROUP_HEADER);
    struct wal_frame frame;
    while (rest.len > 0 && wal_frame_get(&rest, &frame) == 0)
        continue;
    return group->len_bytes - rest.len;
}

bool wal_one_bit_off(uint8_t *bytes, size_t len, const struct wal_group *expected)
{
    struct wal_group group;
    ASSERT(len >= WAL_GROUP_HEADER);
    if (!continues(bytes, len, expected, &group))
        return header_one_bit(bytes, len, expected);
    ASSERT(!whole(bytes, &group));
    size_t at = first_bad(bytes, &group);
    if (at + WAL_FRAME_HEADER > group.len_bytes)
        return false;
    return frame_header_one_bit(bytes, &group, at) || frame_content_one_bit(bytes, &group, at);
}
