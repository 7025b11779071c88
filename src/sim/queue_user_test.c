// SPDX-License-Identifier: Apache-2.0
//
// A simulated message is known by its body alone: what was cut, mixed up or made up is nobody's.
// The rest of a queue's user is tested by whole runs (world_test.c).
#include "sim/queue_user.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/endian.h"

static void body_make(uint8_t *body, size_t len, uint64_t id)
{
    le64_put(body, id);
    for (size_t i = 8; i < len; i++)
        body[i] = (uint8_t)(id * 31 + i);
}

static void test_bodies(void **state)
{
    uint8_t body[100];
    (void)state;
    body_make(body, sizeof body, 77);
    assert_int_equal(queue_user_id(slice_of(body, sizeof body)), 77);
    assert_int_equal(queue_user_id(slice_of(body, 8)), 77);
    assert_int_equal(queue_user_id(slice_of(body, 7)), 0);
    assert_int_equal(queue_user_id(SLICE_NULL), 0);
    for (size_t i = 8; i < sizeof body; i++) {
        body[i] ^= 1;
        assert_int_equal(queue_user_id(slice_of(body, sizeof body)), 0);
        body[i] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bodies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
