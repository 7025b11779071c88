// SPDX-License-Identifier: Apache-2.0
//
// The two records of a queue: what they look like, byte by byte, and what is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "queue/lease_format.h"

static struct buf out;

static int setup(void **state)
{
    (void)state;
    buf_init(&out, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_fini(&out);
    return 0;
}

static void test_key(void **state)
{
    (void)state;
    struct log_key key = {.partition = 0x01020304}, got;
    for (int i = 0; i < 16; i++)
        key.topic.bytes[i] = (uint8_t)i;
    uint8_t bytes[LEASE_KEY_BYTES];
    lease_key_put(&key, bytes);
    assert_int_equal(bytes[15], 15);
    assert_int_equal(bytes[16], 4);
    assert_int_equal(lease_key_get(slice_of(bytes, sizeof bytes), &got), 0);
    assert_true(uuid_eq(&got.topic, &key.topic));
    assert_int_equal(got.partition, key.partition);
    assert_int_equal(lease_key_get(slice_of(bytes, 19), &got), ERR_CORRUPT);
    bytes[19] = 0x80; // a negative partition
    assert_int_equal(lease_key_get(slice_of(bytes, sizeof bytes), &got), ERR_CORRUPT);
}

static void test_frame(void **state)
{
    (void)state;
    const struct lease_range ranges[] = {
        {5, 6}, {0, 3}, {1000, 100000}, {INT64_MAX - 2, INT64_MAX}};
    int64_t last = 0;
    lease_frame_begin(&out);
    for (size_t i = 0; i < 4; i++)
        lease_frame_put(&out, &last, ranges[i]);
    const uint8_t want[] = {1, 10, 1, 11, 3}; // version; 5 - 0, 1; 0 - 6, 3
    assert_memory_equal(out.data, want, sizeof want);
    struct cursor in;
    struct lease_range r;
    assert_int_equal(lease_frame_open(buf_slice(&out), &in), 0);
    last = 0;
    for (size_t i = 0; i < 4; i++) {
        assert_true(lease_frame_next(&in, &last, &r));
        assert_int_equal(r.from, ranges[i].from);
        assert_int_equal(r.to, ranges[i].to);
    }
    assert_false(lease_frame_next(&in, &last, &r));
}

static int open_frame(const char *bytes, size_t len)
{
    struct cursor in;
    return lease_frame_open(slice_of(bytes, len), &in);
}

static void test_bad_frames(void **state)
{
    (void)state;
    assert_int_equal(open_frame("", 0), ERR_CORRUPT);
    assert_int_equal(open_frame("\2\0\1", 3), ERR_FORMAT_VERSION);
    assert_int_equal(open_frame("\1", 1), 0);
    assert_int_equal(open_frame("\1\2", 2), ERR_CORRUPT);   // half a range
    assert_int_equal(open_frame("\1\2\0", 3), ERR_CORRUPT); // of nothing
    assert_int_equal(open_frame("\1\1\1", 3), ERR_CORRUPT); // from -1
    assert_int_equal(open_frame("\1\x80", 2), ERR_CORRUPT); // half a number
    assert_int_equal(open_frame("\1\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 12), ERR_CORRUPT);
    assert_int_equal(open_frame("\1\2\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11), ERR_CORRUPT);
}

static void put_state(int64_t start, int64_t next, const struct lease_range *ranges, uint32_t count)
{
    const struct lease_state state = {start, next, count, true};
    int64_t last = start;
    buf_clear(&out);
    lease_state_put(&out, &state);
    assert_int_equal(out.len, LEASE_STATE_BYTES);
    for (uint32_t i = 0; i < count; i++)
        lease_state_put_range(&out, &last, ranges[i]);
}

static void test_state(void **state)
{
    (void)state;
    const struct lease_range ranges[] = {{12, 13}, {20, 400}};
    put_state(10, 401, ranges, 2);
    struct lease_state got;
    struct cursor in;
    struct lease_range r;
    assert_int_equal(lease_state_open(buf_slice(&out), &got, &in), 0);
    assert_int_equal(got.start, 10);
    assert_int_equal(got.next, 401);
    assert_true(got.final);
    int64_t last = got.start;
    for (size_t i = 0; i < 2; i++) {
        assert_true(lease_state_next(&in, &last, &r));
        assert_int_equal(r.from, ranges[i].from);
        assert_int_equal(r.to, ranges[i].to);
    }
    assert_false(lease_state_next(&in, &last, &r));
}

static void test_bad_states(void **state)
{
    (void)state;
    const struct lease_range ranges[] = {{12, 13}, {20, 400}};
    struct lease_state got;
    struct cursor in;
    put_state(10, 401, ranges, 2);
    for (size_t len = 0; len < out.len; len++)
        assert_int_equal(lease_state_open(slice_of(out.data, len), &got, &in), ERR_CORRUPT);
    out.data[4] = 3; // more ranges than there are
    assert_int_equal(lease_state_open(buf_slice(&out), &got, &in), ERR_CORRUPT);
    out.data[4] = 2;
    out.data[16] = 0x8f; // next before the last range's end
    assert_int_equal(lease_state_open(buf_slice(&out), &got, &in), ERR_CORRUPT);
    out.data[16] = 0x91;
    out.data[24] = 0; // ranges that touch
    assert_int_equal(lease_state_open(buf_slice(&out), &got, &in), ERR_CORRUPT);
    out.data[24] = 2;
    out.data[1] = 2;
    assert_int_equal(lease_state_open(buf_slice(&out), &got, &in), ERR_CORRUPT);
    out.data[1] = 0;
    assert_int_equal(lease_state_open(buf_slice(&out), &got, &in), 0);
    assert_false(got.final);
    out.data[0] = 9;
    assert_int_equal(lease_state_open(buf_slice(&out), &got, &in), ERR_FORMAT_VERSION);
    put_state(10, 401, NULL, 0);
    out.data[8 + 7] = 0x80; // a negative start
    assert_int_equal(lease_state_open(buf_slice(&out), &got, &in), ERR_CORRUPT);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_key), TEST(test_frame), TEST(test_bad_frames),
                                       TEST(test_state), TEST(test_bad_states)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
