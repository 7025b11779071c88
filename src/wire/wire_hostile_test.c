// SPDX-License-Identifier: Apache-2.0
//
// Bytes that no honest client sends: counts of two billion, negative lengths, tags out of order,
// messages cut at every byte and with bits turned. The decoder answers with an error, never reads
// past the end (every input has a heap block of exactly its size, for the sanitizers to guard), and
// never takes more memory than a small multiple of the input.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "wire/gen/kafka_delete_topics.h"
#include "wire/gen/kafka_describe_topic_partitions.h"
#include "wire/gen/kafka_fetch.h"
#include "wire/gen/kafka_heartbeat.h"
#include "wire/gen/kafka_list_groups.h"
#include "wire/gen/kafka_metadata.h"
#include "wire/gen/kafka_produce.h"
#include "wire/wire_kafka.h"

#define ARENA_MAX  (64 << 20)
#define AMPLIFY    32    // bytes of arena per byte of input, at most
#define ARENA_BASE 65536 // an arena's block, and the root

union root {
    uint8_t bytes[512];
    max_align_t align;
};

static int decode_within(const struct wire_msg *msg, int version, struct slice bytes,
                         size_t arena_max, union root *out)
{
    struct arena arena;
    uint8_t *exact = mem_dup(bytes.data, bytes.len > 0 ? bytes.len : 1);
    struct cursor in = cursor_of(slice_of(exact, bytes.len));
    arena_init(&arena, arena_max);
    int err = wire_decode(msg, version, &in, &arena, out);
    assert_true(arena.used_bytes <= ARENA_BASE + AMPLIFY * bytes.len);
    assert_true(err == 0 || err == ERR_TRUNCATED || err == ERR_MALFORMED || err == ERR_LIMIT);
    arena_fini(&arena);
    mem_free(exact);
    return err;
}

static int decode(const struct wire_msg *msg, int version, const void *bytes, size_t len)
{
    union root out;
    return decode_within(msg, version, slice_of(bytes, len), ARENA_MAX, &out);
}

#define DECODE(msg, version, text) decode(msg, version, text, sizeof text - 1)

static void test_counts(void **state)
{
    (void)state;
    const struct wire_msg *metadata = &kafka_metadata_request_msg;
    assert_int_equal(DECODE(metadata, 1, "\x7f\xff\xff\xff"), ERR_TRUNCATED);
    assert_int_equal(DECODE(metadata, 1, "\x00\x00\x00\x02\x00\x00"), ERR_TRUNCATED);
    assert_int_equal(DECODE(metadata, 1, "\x80\x00\x00\x00"), ERR_MALFORMED);
    assert_int_equal(DECODE(metadata, 1, "\xff\xff\xff\xfe"), ERR_MALFORMED);
    assert_int_equal(DECODE(metadata, 1, "\xff\xff\xff\xff"), 0); // null: all topics
    assert_int_equal(DECODE(metadata, 0, "\xff\xff\xff\xff"),
                     ERR_MALFORMED); // no null in version 0
    assert_int_equal(DECODE(metadata, 9, "\xff\xff\xff\xff\x0f\x01\x01\x01"), ERR_TRUNCATED);
    assert_int_equal(DECODE(metadata, 9, "\xff\xff\xff\xff\x1f"), ERR_MALFORMED); // 33 bits
    assert_int_equal(DECODE(metadata, 9, "\x80\x80\x80\x80\x80\x00"), ERR_MALFORMED);
}

static void test_lengths(void **state)
{
    (void)state;
    const struct wire_msg *heartbeat = &kafka_heartbeat_request_msg;
    assert_int_equal(DECODE(heartbeat, 0, "\xff\xff"), ERR_MALFORMED); // null group
    assert_int_equal(DECODE(heartbeat, 0, "\x80\x00"), ERR_MALFORMED);
    assert_int_equal(DECODE(heartbeat, 0, "\x7f\xff"), ERR_TRUNCATED);
    assert_int_equal(DECODE(heartbeat, 4, "\x00"), ERR_MALFORMED);
    assert_int_equal(DECODE(heartbeat, 4, "\x81\x80\x02 and 32768 bytes"), ERR_MALFORMED);
    assert_int_equal(DECODE(heartbeat, 4, "\x05gro"), ERR_TRUNCATED);
    assert_int_equal(DECODE(heartbeat, 3, "\0\1g\0\0\0\1\0\1m\xff\xff"), 0);
    assert_int_equal(DECODE(heartbeat, 3, "\0\1g\0\0\0\1\0\1m\xff\xfe"), ERR_MALFORMED);
    const struct wire_msg *produce = &kafka_produce_request_msg;
    assert_int_equal(
        DECODE(produce, 3, "\xff\xff\0\1\0\0\0\0\0\0\0\1\0\1t\0\0\0\1\0\0\0\0\x7f\xff\xff\xff"),
        ERR_TRUNCATED);
    assert_int_equal(
        DECODE(produce, 3, "\xff\xff\0\1\0\0\0\0\0\0\0\1\0\1t\0\0\0\1\0\0\0\0\x80\0\0\0"),
        ERR_MALFORMED);
}

static void test_nullable_struct(void **state)
{
    (void)state;
    const struct wire_msg *describe = &kafka_describe_topic_partitions_request_msg;
    assert_int_equal(DECODE(describe, 0, "\x01\0\0\0\1\xff\0"), 0);
    assert_int_equal(DECODE(describe, 0, "\x01\0\0\0\1\1\2t\0\0\0\3\0\0"), 0);
    assert_int_equal(DECODE(describe, 0, "\x01\0\0\0\1\2\2t\0\0\0\3\0\0"), ERR_MALFORMED);
    assert_int_equal(DECODE(describe, 0, "\x01\0\0\0\1"), ERR_TRUNCATED);
}

static void test_tags(void **state)
{
    (void)state;
    const struct wire_msg *list = &kafka_list_groups_request_msg; // version 3 is only tags
    assert_int_equal(DECODE(list, 3, "\0"), 0);
    assert_int_equal(DECODE(list, 3, "\2\0\1x\5\2yz"), 0);            // unknown ones are skipped
    assert_int_equal(DECODE(list, 3, "\2\5\1x\5\1y"), ERR_MALFORMED); // twice
    assert_int_equal(DECODE(list, 3, "\2\5\1x\4\1y"), ERR_MALFORMED); // falling
    assert_int_equal(DECODE(list, 3, "\1\0\x05x"), ERR_TRUNCATED);
    assert_int_equal(DECODE(list, 3, "\xff\xff\xff\xff\x0f\0\0\1\0"), ERR_TRUNCATED);
    assert_int_equal(DECODE(list, 3, "\1\xff\xff\xff\xff\x1f\0"), ERR_MALFORMED);
    // Fetch 12, tag 0 is the cluster's id: a string of 4 in 5 bytes, then in 6, then in 4
    static const char head[] = "\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\1\1";
    static const struct {
        const char *tags;
        size_t len;
        int err;
    } cases[] = {{"\1\0\5\5weir", 8, 0},
                 {"\1\0\6\5weir ", 9, ERR_MALFORMED},
                 {"\1\0\4\5weir", 8, ERR_TRUNCATED},
                 {"\1\0\1\0", 4, 0},
                 {"\1\1\5\5weir", 8, 0}}; // tag 1 belongs to version 15: unknown here
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[64];
        size_t len = sizeof head - 1;
        memcpy(bytes, head, len);
        memcpy(bytes + len, cases[i].tags, cases[i].len);
        assert_int_equal(decode(&kafka_fetch_request_msg, 12, bytes, len + cases[i].len),
                         cases[i].err);
    }
}

// DeleteTopics 5 with so many empty names: one byte of input each, sixteen of memory.
static int decode_names(uint32_t count, size_t arena_max)
{
    struct buf bytes;
    union root out;
    buf_init(&bytes, 16 << 20);
    buf_put_uvarint(&bytes, (uint64_t)count + 1);
    memset(buf_reserve(&bytes, count), 1, count);
    bytes.len += count;
    buf_put_be32(&bytes, 0);
    buf_put_u8(&bytes, 0);
    assert_int_equal(bytes.err, 0);
    const struct wire_msg *msg = &kafka_delete_topics_request_msg;
    int err = decode_within(msg, 5, buf_slice(&bytes), arena_max, &out);
    buf_fini(&bytes);
    return err;
}

static void test_many_small_elements(void **state)
{
    (void)state;
    assert_int_equal(decode_names(WIRE_ELEMENTS_MAX, ARENA_MAX), 0);
    assert_int_equal(decode_names(WIRE_ELEMENTS_MAX + 1, ARENA_MAX), ERR_LIMIT);
    assert_int_equal(decode_names(WIRE_ELEMENTS_MAX, 1 << 20), ERR_LIMIT); // the arena's
}

// The largest struct in memory for a byte of input, in all tables: what AMPLIFY has to cover.
static size_t amplification(const struct wire_struct *type, int version)
{
    size_t most = 0;
    for (uint32_t i = 0; i < type->fields_count; i++) {
        const struct wire_field *f = &type->fields[i];
        if (f->of == NULL || version < f->since || version > f->until)
            continue;
        size_t inner = amplification(f->of, version);
        most = inner > most ? inner : most;
        assert_true(f->of->min_bytes[version] > 0);
        size_t here = f->of->size / f->of->min_bytes[version];
        if (f->type == WIRE_ARRAY)
            most = here > most ? here : most;
    }
    return most;
}

static void test_amplification_is_small(void **state)
{
    (void)state;
    size_t most = 0;
    for (uint32_t i = 0; i < wire_kafka_messages_count; i++) {
        const struct wire_msg *msg = wire_kafka_messages[i];
        for (int version = msg->min_version; version <= msg->max_version; version++) {
            size_t here = amplification(msg->root, version);
            most = here > most ? here : most;
        }
    }
    print_message("at most %zu bytes of memory for a byte of input\n", most);
    assert_true(most < AMPLIFY);
}

static void test_elements_are_limited_in_total(void **state)
{
    (void)state;
    const uint32_t inner = 100000;
    const struct wire_msg *msg = &kafka_fetch_request_msg; // version 7: forgotten partitions
    struct buf bytes;
    union root out;
    buf_init(&bytes, 16 << 20);
    buf_put_zero(&bytes, 4 + 4 + 4 + 4 + 1 + 4 + 4);
    buf_put_be32(&bytes, 0);
    buf_put_be32(&bytes, 11);
    for (uint32_t i = 0; i < 11; i++) {
        buf_put_be16(&bytes, 0);
        buf_put_be32(&bytes, inner);
        buf_put_zero(&bytes, inner * 4);
    }
    assert_int_equal(bytes.err, 0);
    assert_int_equal(decode_within(msg, 7, buf_slice(&bytes), ARENA_MAX, &out), ERR_LIMIT);
    bytes.data[4 + 4 + 4 + 4 + 1 + 4 + 4 + 4 + 3] = 9; // nine of them are fine
    assert_int_equal(decode_within(msg, 7, buf_slice(&bytes), ARENA_MAX, &out), 0);
    buf_fini(&bytes);
}

static void test_out_is_untouched_on_failure(void **state)
{
    (void)state;
    union root out;
    union root before;
    memset(&out, 0xa5, sizeof out);
    before = out;
    assert_int_equal(
        decode_within(&kafka_heartbeat_request_msg, 0, slice_of("\0\1g\0\0", 5), ARENA_MAX, &out),
        ERR_TRUNCATED);
    assert_memory_equal(&out, &before, sizeof out);
    struct cursor in = cursor_of(slice_of("", 0));
    struct arena arena;
    arena_init(&arena, 1024);
    assert_int_equal(wire_decode(&kafka_heartbeat_request_msg, 5, &in, &arena, &out),
                     ERR_UNSUPPORTED_VERSION);
    assert_int_equal(wire_decode(&kafka_produce_request_msg, 2, &in, &arena, &out),
                     ERR_UNSUPPORTED_VERSION);
    assert_int_equal(wire_decode(&kafka_produce_request_msg, -1, &in, &arena, &out),
                     ERR_UNSUPPORTED_VERSION);
    assert_memory_equal(&out, &before, sizeof out);
    arena_fini(&arena);
}

// Every prefix of a valid message is an error, and any turned bit is an answer within bounds.
static void mutilate(const struct wire_msg *msg, int version, struct prng *prng)
{
    struct arena arena;
    struct wire_out bytes;
    union root in;
    union root out;
    arena_init(&arena, ARENA_MAX);
    wire_out_init(&bytes, 1 << 20);
    assert_int_equal(wire_generate(msg, version, prng, &arena, &in), 0);
    assert_int_equal(wire_encode(msg, version, &in, &bytes), 0);
    struct slice whole = buf_slice(&bytes.buf);
    size_t step = whole.len / 300 + 1;
    for (size_t len = 0; len < whole.len; len += step) {
        int err = decode_within(msg, version, slice_of(whole.data, len), ARENA_MAX, &out);
        assert_true(err == ERR_TRUNCATED || err == ERR_MALFORMED);
    }
    for (int i = 0; i < 40 && whole.len > 0; i++) {
        uint64_t bit = prng_below(prng, whole.len * 8);
        bytes.buf.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        decode_within(msg, version, whole, ARENA_MAX, &out);
    }
    wire_out_fini(&bytes);
    arena_fini(&arena);
}

static void test_cut_and_turned(void **state)
{
    (void)state;
    struct prng prng;
    prng_seed(&prng, 4711);
    for (uint32_t i = 0; i < wire_kafka_messages_count; i++) {
        const struct wire_msg *msg = wire_kafka_messages[i];
        for (int version = msg->min_version; version <= msg->max_version; version++)
            for (int round = 0; round < 3; round++)
                mutilate(msg, version, &prng);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_nullable_struct),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_many_small_elements),
        cmocka_unit_test(test_amplification_is_small),
        cmocka_unit_test(test_elements_are_limited_in_total),
        cmocka_unit_test(test_out_is_untouched_on_failure),
        cmocka_unit_test(test_cut_and_turned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
