// SPDX-License-Identifier: Apache-2.0
//
// Hostile journal bytes. The first byte says what the rest is:
//   0  a file's first blocks and a group, as they are
//   1  the same with its checksums made right, so that what lies behind them is reached
//   2  a group of ours with some bytes changed: every change must be noticed
//   3  a slot of CHECKPOINT, its checksum made right
//   4  state records
//
// covers: src/journal/format.c src/journal/state.c
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/mem.h"
#include "journal/snapshot.h"

#include "journal/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What was read whole is written the same again.
static void header_again(const uint8_t *block, const struct wal_header *header)
{
    uint8_t again[IO_BLOCK];
    if (header->salt == 0)
        return; // ours never has it
    wal_header_put(again, header);
    ASSERT(memcmp(again, block, WAL_HEADER_BYTES) == 0);
}

static void opening_again(const uint8_t *block, const struct wal_opening *opening)
{
    uint8_t again[IO_BLOCK];
    if (opening->salt == 0)
        return;
    wal_opening_put(again, opening);
    ASSERT(memcmp(again, block, WAL_OPENING_SIZE) == 0);
}

// A name that is taken for a file's is the one that its number makes.
static void name(const uint8_t *data, size_t size)
{
    char text[WAL_NAME_SIZE] = "";
    char again[WAL_NAME_SIZE];
    uint64_t number = 0;
    memcpy(text, data, size < sizeof text ? size : sizeof text - 1);
    if (!wal_name_parse(text, ".wal", &number))
        return;
    wal_name(number, ".wal", again);
    ASSERT(strcmp(text, again) == 0);
}

static void blocks(const uint8_t *data, size_t size, bool repair)
{
    uint8_t block[IO_BLOCK] = {0};
    memcpy(block, data, size < IO_BLOCK ? size : IO_BLOCK);
    struct wal_header header;
    struct wal_opening opening;
    uint32_t version = 0;
    if (repair)
        le32_put(block + 12, crc32c(0, block + 16, WAL_HEADER_BYTES - 16));
    if (wal_header_get(block, &header, &version) == 0) {
        ASSERT(version == WAL_VERSION);
        header_again(block, &header);
    }
    if (repair)
        le32_put(block + 8, crc32c(0, block + 12, WAL_OPENING_SIZE - 12));
    if (wal_opening_get(block, le64_get(block + 16), &opening) == 0)
        opening_again(block, &opening);
}

// Makes the checksums of a group and of its frames right, as far as its lengths allow.
static void group_repair(uint8_t *bytes, size_t size)
{
    le32_put(bytes + 4, crc32c(0, bytes + 8, WAL_GROUP_HEADER - 8));
    uint32_t crc = crc32c(0, bytes, WAL_GROUP_HEADER);
    for (size_t at = WAL_GROUP_HEADER; at + WAL_FRAME_HEADER <= size;) {
        uint8_t *frame = bytes + at;
        size_t len = le32_get(frame);
        if (len > size - at - WAL_FRAME_HEADER)
            return;
        if (frame[16] == JOURNAL_COMMIT && len == 4)
            le32_put(frame + WAL_FRAME_HEADER, crc);
        le32_put(frame + 4, crc32c(0, frame + 8, WAL_FRAME_HEADER - 8 + len));
        crc = crc32c(crc, frame, WAL_FRAME_HEADER);
        at += WAL_FRAME_HEADER + len;
    }
}

static void group(const uint8_t *data, size_t size, bool repair)
{
    struct wal_group group;
    if (size < WAL_GROUP_HEADER)
        return;
    uint8_t *bytes = mem_dup(data, size); // exactly as large, so that the sanitizer sees the end
    if (repair)
        group_repair(bytes, size);
    if (wal_group_get(bytes, &group) == 0 && group.len_bytes <= size) {
        uint32_t crc;
        if (wal_group_check(slice_of(bytes, group.len_bytes), &group, JOURNAL_COMMIT, &crc) == 0)
            ASSERT(group.frames >= 1);
    }
    mem_free(bytes);
}

enum { OURS_MAX = 4 * IO_BLOCK };

static uint32_t ours(const uint8_t *data, size_t size, uint8_t *out)
{
    size_t count = size / 16 + 1;
    struct wal_group group = {.salt = 77,
                              .first_lsn = 5,
                              .position = WAL_GROUPS_AT,
                              .frames = (uint32_t)count + 1,
                              .prev_crc = 9};
    group.len_bytes =
        (uint32_t)(WAL_GROUP_HEADER + WAL_COMMIT_BYTES + count * WAL_FRAME_HEADER + size);
    struct wal_writer w;
    wal_group_begin(&w, out, &group);
    for (size_t i = 0; i < count; i++) {
        size_t len = i + 1 < count ? 16 : size % 16;
        struct wal_frame frame = {.lsn = group.first_lsn + i,
                                  .kind = JOURNAL_BATCH,
                                  .body_bytes = (uint32_t)len,
                                  .body = slice_of(data + 16 * i, len)};
        wal_frame_put(&w, &frame);
    }
    (void)wal_group_end(&w, JOURNAL_COMMIT);
    return group.len_bytes;
}

static void changed(const uint8_t *data, size_t size)
{
    if (size < 4 || size > 4096)
        return;
    uint8_t *bytes = mem_zalloc(OURS_MAX);
    uint32_t len = ours(data + 3, size - 3, bytes);
    ASSERT(wal_padded(len) <= OURS_MAX);
    struct wal_group group;
    uint32_t crc, again;
    ASSERT(wal_group_get(bytes, &group) == 0);
    ASSERT(wal_group_check(slice_of(bytes, len), &group, JOURNAL_COMMIT, &crc) == 0);
    if (data[2] != 0) {
        bytes[le16_get(data) % len] ^= data[2];
        bool noticed = wal_group_get(bytes, &group) != 0 || group.len_bytes != len ||
                       wal_group_check(slice_of(bytes, len), &group, JOURNAL_COMMIT, &again) != 0;
        ASSERT(noticed);
    }
    mem_free(bytes);
}

static void slot(const uint8_t *data, size_t size)
{
    uint8_t block[IO_BLOCK] = {0};
    memcpy(block, data, size < IO_BLOCK ? size : IO_BLOCK);
    uint32_t count = le32_get(block + 32), version = 0;
    if (count <= CHECKPOINT_CHAIN_MAX) {
        size_t end = CHECKPOINT_SLOT_HEADER + CHECKPOINT_SLOT_ENTRY * (size_t)count;
        le32_put(block + 12, crc32c(0, block + 16, end - 16));
    }
    struct checkpoint_slot out;
    if (slot_get(block, &out, &version) == 0) {
        ASSERT(out.chain.count >= 1);
        ASSERT(out.chain.count <= CHECKPOINT_CHAIN_MAX);
        uint8_t again[IO_BLOCK];
        slot_put(again, &out);
        struct checkpoint_slot same;
        ASSERT(slot_get(again, &same, &version) == 0);
        ASSERT(same.sequence == out.sequence);
    }
}

static void records(const uint8_t *data, size_t size)
{
    uint8_t *bytes = mem_dup(data, size);
    struct cursor in = cursor_of(slice_of(bytes, size));
    struct buf again;
    buf_init(&again, 2 * size + 64);
    struct state_record record;
    while (cursor_left(&in) > 0 && state_get(&in, &record) == 0)
        state_put(&again, &record);
    ASSERT(again.len <= size);
    ASSERT(again.len == 0 || memcmp(again.data, bytes, again.len) == 0);
    buf_fini(&again);
    mem_free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const uint8_t *rest = data + 1;
    size--;
    switch (data[0] % 5) {
    case 0:
    case 1:
        blocks(rest, size, data[0] % 5 == 1);
        group(rest, size, data[0] % 5 == 1);
        name(rest, size);
        break;
    case 2:
        changed(rest, size);
        break;
    case 3:
        slot(rest, size);
        break;
    default:
        records(rest, size);
        break;
    }
    return 0;
}
