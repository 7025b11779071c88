// SPDX-License-Identifier: Apache-2.0
//
// Fuzzing a batch as a client might send it: the bytes as they are, and, since a fuzzer never
// guesses a CRC, once more with the header mended so that the records and codecs behind it are
// reached.
//
// covers: src/log/batch.c src/log/record.c src/log/codec.c
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/mem.h"
#include "log/batch.h"

#define LIMIT (1U << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void walk(struct slice bytes, const struct batch *b)
{
    struct arena arena;
    arena_init(&arena, LIMIT);
    struct slice plain;
    if (batch_records(bytes, &arena, LIMIT, &plain) == 0) {
        struct cursor in = cursor_of(plain);
        struct record r;
        while (cursor_left(&in) > 0 && record_next(&in, b, &r) == 0)
            continue;
    }
    arena_fini(&arena);
}

// What we write of these bytes, in any codec, a client check accepts and a reader gets back.
static void rebuild(struct slice bytes, enum batch_codec codec)
{
    struct buf out;
    struct batch_builder bb;
    struct batch b;
    buf_init(&out, 4 * LIMIT);
    batch_build_begin(&bb, &out, codec, 1000);
    batch_build_producer(&bb, 1, 0, 0);
    batch_build_record(&bb, 1001, SLICE_NULL, bytes, SLICE_NULL, 0);
    batch_build_record(&bb, 999, slice_of(bytes.data, bytes.len / 2), SLICE_NULL,
                       slice_of("\2\2k\1", 4), 1);
    if (batch_build_end(&bb) == 0) {
        ASSERT(batch_check_from_client(buf_slice(&out), &b) == 0);
        walk(buf_slice(&out), &b);
        batch_set_offset(out.data, 77, 3);
        batch_set_append_time(out.data, out.len, 5);
        ASSERT(batch_crc_ok(buf_slice(&out)));
        ASSERT(batch_peek(buf_slice(&out), &b) == 0);
    }
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct batch b;
    if (batch_check_from_client(slice_of(data, len), &b) == 0)
        walk(slice_of(data, b.size_bytes), &b);
    if (len < BATCH_HEADER_BYTES || len > LIMIT)
        return 0;
    rebuild(slice_of(data, len), (enum batch_codec)(data[0] % (BATCH_CODECS + 1)));
    rebuild(slice_of(data, len), (enum batch_codec)(data[len - 1] % BATCH_CODECS));
    uint8_t *copy = mem_dup(data, len);
    be64_put(copy, 0);
    be32_put(copy + 8, (uint32_t)len - 12);
    copy[16] = 2;
    be32_put(copy + 17, crc32c(0, copy + 21, len - 21));
    if (batch_check_from_client(slice_of(copy, len), &b) == 0 ||
        batch_peek(slice_of(copy, len), &b) == 0)
        walk(slice_of(copy, len), &b);
    mem_free(copy);
    return 0;
}
