// SPDX-License-Identifier: Apache-2.0
//
// Batches: what another implementation wrote is read, what we write is read back in every codec,
// and what a hostile client may send is refused with Kafka's word for it and without memory.
#include "log/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/prng.h"
#include "log/batch_vectors.h"
#include "log/codec.h"

#define LIMIT (1U << 20)

static void fix_crc(uint8_t *batch, size_t len)
{
    be32_put(batch + 17, crc32c(0, batch + 21, len - 21));
}

static struct slice build(struct buf *out, enum batch_codec codec, int records, size_t value_len)
{
    buf_init(out, 64U << 20);
    struct batch_builder bb;
    batch_build_begin(&bb, out, codec, 1000);
    struct buf v;
    buf_init(&v, 64U << 20);
    buf_put_zero(&v, value_len);
    for (int i = 0; i < records; i++)
        batch_build_record(&bb, 1000 + i, slice_cstr("key"), buf_slice(&v), SLICE_NULL, 0);
    buf_fini(&v);
    assert_int_equal(batch_build_end(&bb), 0);
    return buf_slice(out);
}

static void expect_vector_records(struct slice bytes)
{
    struct batch b;
    assert_int_equal(batch_check_from_client(bytes, &b), 0);
    assert_int_equal(b.size_bytes, bytes.len);
    assert_int_equal(b.producer_id, 4711);
    assert_int_equal(b.producer_epoch, 3);
    assert_int_equal(b.base_sequence, 100);
    assert_int_equal(b.records_count, 3);
    assert_int_equal(b.max_timestamp_ms, 1700000000456);
    struct arena arena;
    arena_init(&arena, LIMIT);
    struct slice plain;
    assert_int_equal(batch_records(bytes, &arena, LIMIT, &plain), 0);
    struct cursor in = cursor_of(plain);
    struct record r;
    assert_int_equal(record_next(&in, &b, &r), 0);
    assert_true(slice_eq_cstr(r.key, "k0"));
    assert_int_equal(r.value.len, 440);
    assert_memory_equal(r.value.data, "value zero value zero ", 22);
    assert_int_equal(r.headers_count, 2);
    assert_int_equal(r.timestamp_ms, 1700000000123);
    assert_int_equal(record_next(&in, &b, &r), 0);
    assert_null(r.key.data);
    assert_non_null(r.value.data);
    assert_int_equal(r.value.len, 0);
    assert_int_equal(r.offset, 1);
    assert_int_equal(record_next(&in, &b, &r), 0);
    assert_true(slice_eq_cstr(r.key, "k2"));
    assert_null(r.value.data);
    assert_int_equal(r.timestamp_ms, 1700000000001);
    assert_int_equal(cursor_left(&in), 0);
    assert_int_equal(record_next(&in, &b, &r), ERR_CORRUPT_MESSAGE);
    arena_fini(&arena);
}

static void test_vectors(void **state)
{
    (void)state;
    expect_vector_records(slice_of(vector_gzip, sizeof vector_gzip));
    expect_vector_records(slice_of(vector_snappy, sizeof vector_snappy));
    expect_vector_records(slice_of(vector_lz4, sizeof vector_lz4));
    expect_vector_records(slice_of(vector_zstd, sizeof vector_zstd));
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int codec = 0; codec < BATCH_CODECS; codec++) {
        struct buf out;
        struct slice bytes = build(&out, (enum batch_codec)codec, 50, 3000);
        struct batch b;
        assert_int_equal(batch_check_from_client(bytes, &b), 0);
        assert_int_equal(batch_codec(&b), codec);
        assert_int_equal(b.records_count, 50);
        assert_int_equal(b.max_timestamp_ms, 1049);
        batch_set_offset(out.data, 7000, 5);
        assert_true(batch_crc_ok(bytes)); // offset and epoch are not covered
        assert_int_equal(batch_peek(bytes, &b), 0);
        assert_int_equal(b.leader_epoch, 5);
        assert_int_equal(batch_last_offset(&b), 7049);
        struct arena arena;
        arena_init(&arena, LIMIT);
        struct slice plain;
        assert_int_equal(batch_records(bytes, &arena, LIMIT, &plain), 0);
        struct cursor in = cursor_of(plain);
        for (int i = 0; i < 50; i++) {
            struct record r;
            assert_int_equal(record_next(&in, &b, &r), 0);
            assert_int_equal(r.offset, 7000 + i);
            assert_int_equal(r.timestamp_ms, 1000 + i);
            assert_int_equal(r.value.len, 3000);
        }
        assert_int_equal(cursor_left(&in), 0);
        arena_fini(&arena);
        buf_fini(&out);
    }
}

static void test_append_time(void **state)
{
    (void)state;
    struct buf out;
    struct slice bytes = build(&out, BATCH_NONE, 2, 10);
    batch_set_append_time(out.data, out.len, 99999);
    struct batch b;
    assert_int_equal(batch_peek(bytes, &b), 0);
    assert_true(batch_crc_ok(bytes));
    assert_true(batch_log_append_time(&b));
    assert_int_equal(b.max_timestamp_ms, 99999);
    struct cursor in = cursor_of(slice_of(bytes.data + BATCH_HEADER_BYTES, bytes.len - 61));
    struct record r;
    assert_int_equal(record_next(&in, &b, &r), 0);
    assert_int_equal(r.timestamp_ms, 99999);
    buf_fini(&out);
}

// One row per way to break a header; the CRC is right unless the row is about it.
struct hostile {
    const char *what;
    size_t at, len;
    uint64_t value;
    int err;
};

static void test_hostile_headers(void **state)
{
    (void)state;
    static const struct hostile rows[] = {
        {"base offset", 0, 8, 5, ERR_INVALID_RECORD},
        {"length 0", 8, 4, 0, ERR_CORRUPT_MESSAGE},
        {"length 48", 8, 4, 48, ERR_CORRUPT_MESSAGE},
        {"length beyond", 8, 4, 100000, ERR_CORRUPT_MESSAGE},
        {"length negative", 8, 4, 0xffffffff, ERR_CORRUPT_MESSAGE},
        {"length max", 8, 4, 0x7fffffff, ERR_CORRUPT_MESSAGE},
        {"magic 0", 16, 1, 0, ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT},
        {"magic 1", 16, 1, 1, ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT},
        {"magic 3", 16, 1, 3, ERR_CORRUPT_MESSAGE},
        {"codec 5", 21, 2, 5, ERR_UNSUPPORTED_COMPRESSION_TYPE},
        {"codec 7", 21, 2, 7, ERR_UNSUPPORTED_COMPRESSION_TYPE},
        {"append time", 21, 2, 8, ERR_INVALID_TIMESTAMP},
        {"control", 21, 2, 32, ERR_INVALID_RECORD},
        {"delta negative", 23, 4, 0xffffffff, ERR_INVALID_RECORD},
        {"delta too large", 23, 4, 3, ERR_INVALID_RECORD},
        {"delta too small", 23, 4, 1, ERR_INVALID_RECORD},
        {"count 0", 57, 4, 0, ERR_INVALID_RECORD},
        {"count negative", 57, 4, 0xffffffff, ERR_INVALID_RECORD},
        {"count huge", 57, 4, 0x7fffffff, ERR_INVALID_RECORD},
        {"producer without sequence", 43, 8, 9, ERR_INVALID_RECORD},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        struct slice bytes = build(&out, BATCH_NONE, 3, 10);
        for (size_t k = 0; k < rows[i].len; k++)
            out.data[rows[i].at + k] = (uint8_t)(rows[i].value >> (8 * (rows[i].len - 1 - k)));
        fix_crc(out.data, out.len);
        struct batch b = {.size_bytes = 12345};
        int err = batch_check_from_client(bytes, &b);
        if (err != rows[i].err)
            print_error("row: %s\n", rows[i].what);
        assert_int_equal(err, rows[i].err);
        assert_int_equal(b.size_bytes, 12345); // untouched on failure
        buf_fini(&out);
    }
}

static void test_count_beyond_bytes(void **state)
{
    (void)state;
    struct buf out;
    struct slice bytes = build(&out, BATCH_NONE, 3, 10);
    be32_put(out.data + 57, 1000); // agrees with the delta, but 1,000 records cannot fit
    be32_put(out.data + 23, 999);
    fix_crc(out.data, out.len);
    struct batch b;
    assert_int_equal(batch_check_from_client(bytes, &b), ERR_INVALID_RECORD);
    assert_int_equal(batch_peek(bytes, &b), ERR_CORRUPT_MESSAGE);
    buf_fini(&out);
}

static void test_flipped_bits(void **state)
{
    (void)state;
    struct buf out;
    struct slice bytes = build(&out, BATCH_LZ4, 3, 100);
    struct batch b;
    for (size_t at = 21; at < out.len; at++) {
        out.data[at] ^= 0x10;
        assert_int_equal(batch_check_from_client(bytes, &b), ERR_CORRUPT_MESSAGE);
        out.data[at] ^= 0x10;
    }
    for (size_t len = 0; len < out.len; len++) {
        assert_int_equal(batch_check_from_client(slice_of(out.data, len), &b), ERR_CORRUPT_MESSAGE);
        assert_int_equal(batch_peek(slice_of(out.data, len), &b), ERR_TRUNCATED);
    }
    buf_fini(&out);
}

// 40 MB of zeroes: small when packed, refused at the cap.
static void test_bombs(void **state)
{
    (void)state;
    for (int codec = BATCH_GZIP; codec < BATCH_CODECS; codec++) {
        struct buf out;
        struct slice bytes = build(&out, (enum batch_codec)codec, 1, 40U << 20);
        assert_true(bytes.len < 3U << 20);
        struct arena arena;
        arena_init(&arena, LIMIT);
        struct slice plain = SLICE_NULL;
        assert_int_equal(batch_records(bytes, &arena, LIMIT, &plain), ERR_LIMIT);
        assert_null(plain.data);
        arena_fini(&arena);
        buf_fini(&out);
    }
}

// A limit that is met exactly is no error, one byte less is.
static void test_exact_limit(void **state)
{
    (void)state;
    static uint8_t text[100000];
    memset(text, 'a', sizeof text);
    for (int codec = 0; codec < BATCH_CODECS; codec++) {
        struct buf packed;
        buf_init(&packed, LIMIT);
        struct slice in = slice_of(text, sizeof text);
        assert_int_equal(codec_compress((enum batch_codec)codec, in, &packed), 0);
        struct buf plain;
        buf_init(&plain, sizeof text);
        assert_int_equal(codec_decompress((enum batch_codec)codec, buf_slice(&packed), &plain), 0);
        assert_int_equal(plain.len, sizeof text);
        assert_memory_equal(plain.data, text, sizeof text);
        buf_fini(&plain);
        buf_init(&plain, sizeof text - 1);
        assert_int_equal(codec_decompress((enum batch_codec)codec, buf_slice(&packed), &plain),
                         ERR_LIMIT);
        buf_fini(&plain);
        buf_fini(&packed);
    }
}

static void test_cut_streams(void **state)
{
    (void)state;
    uint8_t text[5000];
    struct prng prng;
    prng_seed(&prng, 1);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)('a' + prng_below(&prng, 4));
    for (int codec = BATCH_GZIP; codec < BATCH_CODECS; codec++) {
        struct buf packed;
        buf_init(&packed, LIMIT);
        enum batch_codec which = (enum batch_codec)codec;
        assert_int_equal(codec_compress(which, slice_of(text, sizeof text), &packed), 0);
        for (size_t len = 1; len < packed.len; len += 7) {
            struct buf plain;
            buf_init(&plain, LIMIT);
            assert_int_equal(codec_decompress(which, slice_of(packed.data, len), &plain),
                             ERR_CORRUPT_MESSAGE);
            buf_fini(&plain);
        }
        buf_fini(&packed);
    }
    struct buf plain;
    buf_init(&plain, LIMIT);
    assert_int_equal(codec_decompress((enum batch_codec)6, slice_cstr("x"), &plain),
                     ERR_UNSUPPORTED_COMPRESSION_TYPE);
    buf_fini(&plain);
}

static void test_xerial(void **state)
{
    (void)state;
    struct buf raw, framed, plain;
    buf_init(&raw, LIMIT);
    buf_init(&framed, LIMIT);
    assert_int_equal(codec_compress(BATCH_SNAPPY, slice_cstr("hello hello hello"), &raw), 0);
    buf_put(&framed, "\x82SNAPPY\0\0\0\0\1\0\0\0\1", 16);
    for (int i = 0; i < 2; i++) {
        buf_put_be32(&framed, (uint32_t)raw.len);
        buf_put_slice(&framed, buf_slice(&raw));
    }
    buf_init(&plain, LIMIT);
    assert_int_equal(codec_decompress(BATCH_SNAPPY, buf_slice(&framed), &plain), 0);
    assert_int_equal(plain.len, 34);
    assert_memory_equal(plain.data, "hello hello hellohello hello hello", 34);
    buf_clear(&plain);
    buf_set_be32(&framed, 16, 0xffffffff); // a block longer than the rest
    assert_int_equal(codec_decompress(BATCH_SNAPPY, buf_slice(&framed), &plain),
                     ERR_CORRUPT_MESSAGE);
    buf_clear(&plain);
    // A claim of 4 GiB in six bytes is refused before anything is allocated.
    assert_int_equal(
        codec_decompress(BATCH_SNAPPY, slice_of("\xff\xff\xff\xff\x0f\x00", 6), &plain),
        ERR_CORRUPT_MESSAGE);
    buf_fini(&plain);
    buf_fini(&framed);
    buf_fini(&raw);
}

// Every truncation of a record's bytes is an error, and no length inside leads outside.
static void test_hostile_records(void **state)
{
    (void)state;
    struct buf out;
    struct slice bytes = build(&out, BATCH_NONE, 1, 20);
    struct batch b;
    assert_int_equal(batch_peek(bytes, &b), 0);
    struct slice plain = slice_of(bytes.data + BATCH_HEADER_BYTES, bytes.len - BATCH_HEADER_BYTES);
    struct record r;
    for (size_t len = 0; len < plain.len; len++) {
        struct cursor in = cursor_of(slice_of(plain.data, len));
        assert_int_equal(record_next(&in, &b, &r), ERR_CORRUPT_MESSAGE);
    }
    static const char *const bad[] = {
        "\x0e\0\0\0\1\1\2",  // one header announced, no byte left
        "\x0e\0\0\0\3\1\0",  // key length -2
        "\x0e\0\0\2\1\1\0",  // offset delta beyond the batch's last
        "\x0e\0\0\1\1\1\0",  // offset delta negative
        "\x10\0\0\0\1\1\0x", // a byte too many
        "\1\0\0\0\0\0\0",    // length -1
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cursor in = cursor_of(slice_of(bad[i], 9));
        assert_int_equal(record_next(&in, &b, &r), ERR_CORRUPT_MESSAGE);
    }
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_append_time),
        cmocka_unit_test(test_hostile_headers),
        cmocka_unit_test(test_count_beyond_bytes),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_exact_limit),
        cmocka_unit_test(test_cut_streams),
        cmocka_unit_test(test_xerial),
        cmocka_unit_test(test_hostile_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
