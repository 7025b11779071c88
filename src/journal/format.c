// SPDX-License-Identifier: Apache-2.0
//
// Encoding and decoding of the journal's files (layouts in format.h). Pure functions over bytes, so
// that the writer, recovery, `weir check` and the fuzzer share one reading of the format. Nothing
// read here is trusted: every length is held against the bytes at hand before it is used.
#include "journal/format.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/err.h"

static const uint8_t header_magic[8] = {'w', 'e', 'i', 'r', '.', 'w', 'a', 'l'};
static const uint8_t opening_magic[8] = {'w', 'e', 'i', 'r', '.', 'o', 'p', 'n'};
static const uint8_t group_magic[4] = {'w', 'g', 'r', 'p'};

void wal_header_put(uint8_t block[IO_BLOCK], const struct wal_header *header)
{
    ASSERT(header->salt != 0);
    memset(block, 0, IO_BLOCK);
    memcpy(block, header_magic, sizeof header_magic);
    le32_put(block + 8, WAL_VERSION);
    le64_put(block + 16, header->store);
    le64_put(block + 24, header->number);
    le64_put(block + 32, header->salt);
    le64_put(block + 40, header->size_bytes);
    le32_put(block + 12, crc32c(0, block + 16, WAL_HEADER_BYTES - 16));
}

int wal_header_get(const uint8_t block[IO_BLOCK], struct wal_header *out, uint32_t *out_version)
{
    if (memcmp(block, header_magic, sizeof header_magic) != 0)
        return ERR_MALFORMED;
    // The version before the CRC: another version may keep its CRC elsewhere.
    uint32_t version = le32_get(block + 8);
    if (version != WAL_VERSION) {
        *out_version = version;
        return ERR_FORMAT_VERSION;
    }
    if (le32_get(block + 12) != crc32c(0, block + 16, WAL_HEADER_BYTES - 16))
        return ERR_CORRUPT;
    *out_version = version;
    *out = (struct wal_header){.store = le64_get(block + 16),
                               .number = le64_get(block + 24),
                               .salt = le64_get(block + 32),
                               .size_bytes = le64_get(block + 40)};
    return 0;
}

void wal_opening_put(uint8_t block[IO_BLOCK], const struct wal_opening *opening)
{
    ASSERT(opening->salt != 0);
    ASSERT(opening->first_lsn != 0);
    memset(block, 0, IO_BLOCK);
    memcpy(block, opening_magic, sizeof opening_magic);
    le32_put(block + 12, opening->prev_crc);
    le64_put(block + 16, opening->salt);
    le64_put(block + 24, opening->first_lsn);
    le32_put(block + 8, crc32c(0, block + 12, WAL_OPENING_SIZE - 12));
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

int wal_opening_get(const uint8_t block[IO_BLOCK], uint64_t salt, struct wal_opening *out)
{
    if (all_zero(block, IO_BLOCK))
        return ERR_NOT_FOUND;
    if (memcmp(block, opening_magic, sizeof opening_magic) != 0)
        return ERR_CORRUPT;
    if (le32_get(block + 8) != crc32c(0, block + 12, WAL_OPENING_SIZE - 12))
        return ERR_CORRUPT;
    if (le64_get(block + 16) != salt || le64_get(block + 24) == 0)
        return ERR_CORRUPT;
    *out = (struct wal_opening){
        .salt = salt, .first_lsn = le64_get(block + 24), .prev_crc = le32_get(block + 12)};
    return 0;
}

uint64_t wal_padded(uint64_t len_bytes)
{
    return (len_bytes + IO_BLOCK - 1) / IO_BLOCK * IO_BLOCK;
}

size_t wal_frame_bytes(size_t head_len, size_t body_len)
{
    return WAL_FRAME_HEADER + head_len + body_len;
}

void wal_group_begin(struct wal_writer *w, uint8_t *out, const struct wal_group *group)
{
    ASSERT(group->frames >= 1);
    ASSERT(group->len_bytes >= WAL_GROUP_HEADER + WAL_COMMIT_BYTES);
    ASSERT(group->position >= WAL_GROUPS_AT);
    ASSERT(group->position % IO_BLOCK == 0);
    memcpy(out, group_magic, sizeof group_magic);
    le64_put(out + 8, group->salt);
    le64_put(out + 16, group->first_lsn);
    le64_put(out + 24, group->position);
    le32_put(out + 32, group->frames);
    le32_put(out + 36, group->len_bytes);
    le32_put(out + 40, group->prev_crc);
    le32_put(out + 44, 0);
    le32_put(out + 4, crc32c(0, out + 8, WAL_GROUP_HEADER - 8));
    *w = (struct wal_writer){.start = out,
                             .pos = out + WAL_GROUP_HEADER,
                             .group = *group,
                             .crc = crc32c(0, out, WAL_GROUP_HEADER)};
}

static size_t writer_left(const struct wal_writer *w)
{
    return w->group.len_bytes - (size_t)(w->pos - w->start);
}

void wal_frame_put(struct wal_writer *w, const struct wal_frame *frame)
{
    size_t payload = frame->head.len + frame->body.len;
    ASSERT(frame->head.len <= WAL_HEAD_MAX);
    ASSERT(WAL_FRAME_HEADER + payload <= writer_left(w));
    ASSERT(frame->lsn == w->group.first_lsn + w->frames);
    ASSERT(frame->body.len <= frame->body_bytes);

    uint8_t *p = w->pos;
    le32_put(p, (uint32_t)payload);
    le64_put(p + 8, frame->lsn);
    p[16] = frame->kind;
    p[17] = 0;
    le16_put(p + 18, (uint16_t)frame->head.len);
    le32_put(p + 20, frame->body_bytes);
    uint8_t *data = p + WAL_FRAME_HEADER;
    if (frame->head.len > 0)
        memcpy(data, frame->head.data, frame->head.len);
    if (frame->body.len > 0)
        memcpy(data + frame->head.len, frame->body.data, frame->body.len);
    le32_put(p + 4, crc32c(0, p + 8, WAL_FRAME_HEADER - 8 + payload));

    w->crc = crc32c(w->crc, p, WAL_FRAME_HEADER);
    w->frames++;
    w->pos = data + payload;
}

uint32_t wal_group_end(struct wal_writer *w, uint8_t commit_kind)
{
    uint32_t crc = w->crc; // before the commit frame, which carries it
    uint8_t body[4];
    le32_put(body, crc);
    struct wal_frame commit = {.lsn = w->group.first_lsn + w->frames,
                               .kind = commit_kind,
                               .body_bytes = sizeof body,
                               .body = slice_of(body, sizeof body)};
    wal_frame_put(w, &commit);
    ASSERT(w->frames == w->group.frames);
    ASSERT(writer_left(w) == 0);
    memset(w->pos, 0, wal_padded(w->group.len_bytes) - w->group.len_bytes);
    return crc;
}

int wal_group_get(const uint8_t *bytes, struct wal_group *out)
{
    if (memcmp(bytes, group_magic, sizeof group_magic) != 0)
        return ERR_MALFORMED;
    if (le32_get(bytes + 4) != crc32c(0, bytes + 8, WAL_GROUP_HEADER - 8))
        return ERR_CORRUPT;
    struct wal_group group = {.salt = le64_get(bytes + 8),
                              .first_lsn = le64_get(bytes + 16),
                              .position = le64_get(bytes + 24),
                              .frames = le32_get(bytes + 32),
                              .len_bytes = le32_get(bytes + 36),
                              .prev_crc = le32_get(bytes + 40)};
    if (group.frames == 0 || group.len_bytes < WAL_GROUP_HEADER + WAL_COMMIT_BYTES)
        return ERR_CORRUPT;
    if (group.frames > (group.len_bytes - WAL_GROUP_HEADER) / WAL_FRAME_HEADER)
        return ERR_CORRUPT;
    if (group.first_lsn == 0 || group.first_lsn > UINT64_MAX - group.frames)
        return ERR_CORRUPT;
    *out = group;
    return 0;
}

int wal_frame_get(struct slice *rest, struct wal_frame *out)
{
    if (rest->len < WAL_FRAME_HEADER)
        return ERR_CORRUPT;
    const uint8_t *p = rest->data;
    size_t payload = le32_get(p);
    size_t head_len = le16_get(p + 18);
    if (payload > rest->len - WAL_FRAME_HEADER || head_len > payload)
        return ERR_CORRUPT;
    if (le32_get(p + 4) != crc32c(0, p + 8, WAL_FRAME_HEADER - 8 + payload))
        return ERR_CORRUPT;
    const uint8_t *data = p + WAL_FRAME_HEADER;
    struct wal_frame frame = {.lsn = le64_get(p + 8),
                              .kind = p[16],
                              .body_bytes = le32_get(p + 20),
                              .head = slice_of(data, head_len),
                              .body = slice_of(data + head_len, payload - head_len)};
    if (frame.body.len > frame.body_bytes)
        return ERR_CORRUPT;
    *out = frame;
    *rest = slice_of(data + payload, rest->len - WAL_FRAME_HEADER - payload);
    return 0;
}

int wal_group_check(struct slice bytes, const struct wal_group *group, uint8_t commit_kind,
                    uint32_t *out_crc)
{
    ASSERT(bytes.len == group->len_bytes);
    uint32_t crc = crc32c(0, bytes.data, WAL_GROUP_HEADER);
    struct slice rest = slice_of(bytes.data + WAL_GROUP_HEADER, bytes.len - WAL_GROUP_HEADER);
    for (uint32_t i = 0; i < group->frames; i++) {
        const uint8_t *at = rest.data;
        struct wal_frame frame;
        int err = wal_frame_get(&rest, &frame);
        if (err != 0)
            return err;
        bool commit = i + 1 == group->frames;
        if (frame.lsn != group->first_lsn + i || (frame.kind == commit_kind) != commit)
            return ERR_CORRUPT;
        if (!commit) {
            crc = crc32c(crc, at, WAL_FRAME_HEADER);
            continue;
        }
        if (frame.head.len != 0 || frame.body.len != 4 || le32_get(frame.body.data) != crc)
            return ERR_CORRUPT;
    }
    if (rest.len != 0)
        return ERR_CORRUPT;
    *out_crc = crc;
    return 0;
}

void wal_name(uint64_t number, const char *suffix, char out[WAL_NAME_SIZE])
{
    int len = snprintf(out, WAL_NAME_SIZE, "%016llx%s", (unsigned long long)number, suffix);
    ASSERT(len > 0);
    ASSERT(len < WAL_NAME_SIZE);
}

bool wal_name_parse(const char *name, const char *suffix, uint64_t *out_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < 16; i++) {
        char c = name[i];
        if (c >= '0' && c <= '9')
            number = number << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false; // also at the end of a short name
    }
    if (strcmp(name + 16, suffix) != 0)
        return false;
    *out_number = number;
    return true;
}
