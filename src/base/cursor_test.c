// SPDX-License-Identifier: Apache-2.0
//
// The reading cursor: every short read, the sticky error, and the edges of variable-length
// integers.
#include "base/cursor.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define CURSOR(...) \
    cursor_of(slice_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})))

static void reads_in_order(void **state)
{
    (void)state;
    struct cursor c = CURSOR(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19);
    assert_int_equal(cursor_u8(&c), 1);
    assert_int_equal(cursor_be16(&c), 0x0203);
    assert_int_equal(cursor_le16(&c), 0x0504);
    assert_int_equal(cursor_be32(&c), 0x06070809);
    assert_int_equal(cursor_le32(&c), 0x0d0c0b0a);
    assert_int_equal(cursor_left(&c), 6);
    struct slice s = cursor_bytes(&c, 2);
    assert_int_equal(s.len, 2);
    assert_int_equal(s.data[0], 14);
    cursor_skip(&c, 4);
    assert_int_equal(c.err, 0);
    assert_int_equal(cursor_left(&c), 0);
}

static void sticks_after_a_short_read(void **state)
{
    (void)state;
    struct cursor c = CURSOR(1, 2, 3);
    assert_int_equal(cursor_be32(&c), 0);
    assert_int_equal(c.err, ERR_TRUNCATED);
    // Three bytes were there, yet nothing more is handed out.
    assert_int_equal(cursor_u8(&c), 0);
    assert_int_equal(cursor_be64(&c), 0);
    assert_null(cursor_bytes(&c, 0).data);
    assert_int_equal(cursor_left(&c), 0);
    cursor_fail(&c, ERR_MALFORMED);
    assert_int_equal(c.err, ERR_TRUNCATED); // the first stays
}

static void lengths_beyond_the_end(void **state)
{
    (void)state;
    struct cursor c = CURSOR(1, 2, 3);
    assert_null(cursor_bytes(&c, SIZE_MAX).data);
    assert_int_equal(c.err, ERR_TRUNCATED);
    c = CURSOR(1, 2, 3);
    cursor_skip(&c, 4);
    assert_int_equal(c.err, ERR_TRUNCATED);
    c = CURSOR(1, 2, 3);
    assert_int_equal(cursor_bytes(&c, 3).len, 3);
    assert_non_null(cursor_bytes(&c, 0).data); // empty at the end is no error, and not null
    assert_int_equal(c.err, 0);
}

static void null_is_empty(void **state)
{
    (void)state;
    struct cursor c = cursor_of(SLICE_NULL);
    assert_int_equal(cursor_left(&c), 0);
    assert_int_equal(cursor_u8(&c), 0);
    assert_int_equal(c.err, ERR_TRUNCATED);
}

static void edges_of_32_bits(void **state)
{
    (void)state;
    struct cursor c = CURSOR(0xff, 0xff, 0xff, 0xff, 0x0f);
    assert_int_equal(cursor_uvarint32(&c), UINT32_MAX);
    assert_int_equal(c.err, 0);
    c = CURSOR(0xff, 0xff, 0xff, 0xff, 0x1f); // bit 32
    assert_int_equal(cursor_uvarint32(&c), 0);
    assert_int_equal(c.err, ERR_MALFORMED);
    c = CURSOR(0x80, 0x80, 0x80, 0x80, 0x80, 0x00); // six bytes
    cursor_uvarint32(&c);
    assert_int_equal(c.err, ERR_MALFORMED);
    c = CURSOR(0x80, 0x80, 0x80, 0x80, 0x00); // zero, padded: Kafka reads it as well
    assert_int_equal(cursor_uvarint32(&c), 0);
    assert_int_equal(c.err, 0);
    c = CURSOR(0xff, 0xff); // ends within
    cursor_uvarint32(&c);
    assert_int_equal(c.err, ERR_TRUNCATED);
}

static void edges_of_64_bits(void **state)
{
    (void)state;
    struct cursor c = CURSOR(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01);
    assert_true(cursor_uvarint64(&c) == UINT64_MAX);
    assert_int_equal(c.err, 0);
    c = CURSOR(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02);
    cursor_uvarint64(&c);
    assert_int_equal(c.err, ERR_MALFORMED);
    c = CURSOR(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00);
    cursor_uvarint64(&c);
    assert_int_equal(c.err, ERR_MALFORMED);
}

static void zigzag(void **state)
{
    (void)state;
    struct cursor c = CURSOR(0, 1, 2, 3, 0x7f, 0x80, 0x01);
    assert_int_equal(cursor_varint32(&c), 0);
    assert_int_equal(cursor_varint32(&c), -1);
    assert_int_equal(cursor_varint32(&c), 1);
    assert_int_equal(cursor_varint32(&c), -2);
    assert_int_equal(cursor_varint32(&c), -64);
    assert_int_equal(cursor_varint32(&c), 64);
    c = CURSOR(0xff, 0xff, 0xff, 0xff, 0x0f);
    assert_int_equal(cursor_varint32(&c), INT32_MIN);
    c = CURSOR(0xfe, 0xff, 0xff, 0xff, 0x0f);
    assert_int_equal(cursor_varint32(&c), INT32_MAX);
    c = CURSOR(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01);
    assert_true(cursor_varint64(&c) == INT64_MIN);
    assert_int_equal(c.err, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_in_order),
        cmocka_unit_test(sticks_after_a_short_read),
        cmocka_unit_test(lengths_beyond_the_end),
        cmocka_unit_test(null_is_empty),
        cmocka_unit_test(edges_of_32_bits),
        cmocka_unit_test(edges_of_64_bits),
        cmocka_unit_test(zigzag),
    };
    return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
