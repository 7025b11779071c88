// SPDX-License-Identifier: Apache-2.0
//
// The output buffer: limits, the sticky error, byte orders, failing memory, detaching.
#include "base/buf.h"

#include "base/cursor.h"
#include "base/err.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void stops_at_its_maximum(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    buf_put(&b, "12345678", 8);
    assert_int_equal(b.err, 0);
    buf_put_be32(&b, 1); // 12 bytes: does not fit, is dropped whole
    assert_int_equal(b.err, ERR_LIMIT);
    assert_int_equal(b.len, 8);
    buf_put_u8(&b, 9); // would fit, but the error sticks
    assert_int_equal(b.len, 8);
    assert_null(buf_reserve(&b, 0));
    assert_true(slice_eq_cstr(buf_slice(&b), "12345678"));
    buf_clear(&b);
    buf_put(&b, "0123456789", 10); // exactly the maximum
    assert_int_equal(b.err, 0);
    assert_int_equal(b.len, 10);
    assert_true(b.cap <= 10);
    buf_put(&b, NULL, 0);
    assert_int_equal(b.err, 0);
    buf_fini(&b);
}

static void huge_lengths_do_not_wrap(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    buf_put_u8(&b, 1);
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_int_equal(b.err, ERR_LIMIT);
    buf_fini(&b);
    buf_init(&b, 0);
    buf_put_u8(&b, 1);
    assert_int_equal(b.err, ERR_LIMIT);
    buf_fini(&b);
}

static void byte_orders(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    buf_put_be16(&b, 0x0102);
    buf_put_le16(&b, 0x0102);
    buf_put_be32(&b, 0x03040506);
    buf_put_le32(&b, 0x03040506);
    buf_put_be64(&b, 0x0708090a0b0c0d0e);
    buf_put_le64(&b, 0x0708090a0b0c0d0e);
    static const uint8_t expected[] = {1, 2,  2,  1,  3,  4,  5,  6,  6,  5,  4,  3, 7, 8,
                                       9, 10, 11, 12, 13, 14, 14, 13, 12, 11, 10, 9, 8, 7};
    assert_int_equal(b.len, sizeof expected);
    assert_memory_equal(b.data, expected, sizeof expected);
    buf_set_be32(&b, 24, 0xaabbccdd);
    assert_int_equal(b.data[24], 0xaa);
    assert_int_equal(b.data[27], 0xdd);
    buf_fini(&b);
}

static void varints_come_back(void **state)
{
    (void)state;
    static const int64_t values[] = {0,   -1,        1,         63,        64,       -64,
                                     -65, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    struct buf b;
    buf_init(&b, 1000);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        buf_put_varint(&b, values[i]);
        buf_put_uvarint(&b, (uint64_t)values[i]);
    }
    struct cursor c = cursor_of(buf_slice(&b));
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        assert_true(cursor_varint64(&c) == values[i]);
        assert_true(cursor_uvarint64(&c) == (uint64_t)values[i]);
    }
    assert_int_equal(c.err, 0);
    assert_int_equal(cursor_left(&c), 0);
    buf_clear(&b);
    buf_put_varint(&b, -64); // the last that fits a byte
    assert_int_equal(b.len, 1);
    buf_put_varint(&b, INT64_MIN);
    assert_int_equal(b.len, 11);
    buf_fini(&b);
}

static void prints_without_the_nul(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4000);
    for (int i = 0; i < 300; i++)
        buf_printf(&b, "%d,", i);
    assert_int_equal(b.err, 0);
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 200 * 4);
    assert_memory_equal(b.data, "0,1,2,3,", 8);
    assert_memory_equal(b.data + b.len - 4, "299,", 4);
    buf_printf(&b, "%5000d", 1);
    assert_int_equal(b.err, ERR_LIMIT);
    buf_fini(&b);
}

static void memory_that_fails(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_put(&b, "kept", 4);
    mem_fail_after(0);
    buf_put_zero(&b, 100000);
    assert_int_equal(b.err, ERR_NOMEM);
    assert_true(slice_eq_cstr(buf_slice(&b), "kept"));
    buf_clear(&b);
    buf_put_zero(&b, 100000); // the failure was planned once
    assert_int_equal(b.err, 0);
    assert_int_equal(b.len, 100000);
    buf_fini(&b);
}

static void detached(void **state)
{
    (void)state;
    struct buf b;
    size_t len = 0;
    buf_init(&b, 100);
    buf_put_slice(&b, slice_cstr("mine now"));
    uint8_t *data = buf_detach(&b, &len);
    assert_int_equal(len, 8);
    assert_memory_equal(data, "mine now", 8);
    assert_null(b.data);
    buf_put_u8(&b, 1); // usable again
    assert_int_equal(b.len, 1);
    mem_free(data);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_at_its_maximum),
        cmocka_unit_test(huge_lengths_do_not_wrap),
        cmocka_unit_test(byte_orders),
        cmocka_unit_test(varints_come_back),
        cmocka_unit_test(prints_without_the_nul),
        cmocka_unit_test(memory_that_fails),
        cmocka_unit_test(detached),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
