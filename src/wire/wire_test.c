// SPDX-License-Identifier: Apache-2.0
//
// The interpreter against itself: every message in every version, with random content, there and
// back. Bytes made by other implementations are in wire_vectors_test.c, hostile ones in
// wire_hostile_test.c.
#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "wire/gen/kafka_fetch.h"
#include "wire/gen/kafka_metadata.h"
#include "wire/gen/kafka_produce.h"
#include "wire/wire_kafka.h"

#define ROUNDS   60
#define ROOT_MAX 512 // bytes of the largest root struct

union root {
    uint8_t bytes[ROOT_MAX];
    max_align_t align;
};

// One random message of this version: encoded, measured, decoded, compared, encoded again.
static void round_trip(const struct wire_msg *msg, int version, struct prng *prng)
{
    struct arena arena;
    struct wire_out out;
    struct wire_out again;
    union root in;
    union root back;
    assert_true(msg->root->size <= ROOT_MAX);
    arena_init(&arena, 1 << 24);
    wire_out_init(&out, 1 << 24);
    wire_out_init(&again, 1 << 24);

    assert_int_equal(wire_generate(msg, version, prng, &arena, &in), 0);
    assert_int_equal(wire_encode(msg, version, &in, &out), 0);
    assert_int_equal(wire_size(msg, version, &in), out.buf.len);
    struct cursor cursor = cursor_of(buf_slice(&out.buf));
    assert_int_equal(wire_decode(msg, version, &cursor, &arena, &back), 0);
    assert_int_equal(cursor_left(&cursor), 0);
    assert_true(wire_equal(msg, version, &in, &back));
    assert_int_equal(wire_encode(msg, version, &back, &again), 0);
    assert_true(slice_eq(buf_slice(&out.buf), buf_slice(&again.buf)));

    wire_out_fini(&again);
    wire_out_fini(&out);
    arena_fini(&arena);
}

static void test_round_trip_every_message_and_version(void **state)
{
    (void)state;
    struct prng prng;
    uint32_t versions = 0;
    prng_seed(&prng, 42);
    for (uint32_t i = 0; i < wire_kafka_messages_count; i++) {
        const struct wire_msg *msg = wire_kafka_messages[i];
        for (int version = msg->min_version; version <= msg->max_version; version++) {
            versions++;
            for (int round = 0; round < ROUNDS; round++)
                round_trip(msg, version, &prng);
        }
    }
    print_message("%u messages, %u versions\n", wire_kafka_messages_count, versions);
    assert_int_equal(wire_kafka_messages_count, 2 * wire_kafka_apis_count + 4);
    assert_true(versions > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_every_message_and_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
