// SPDX-License-Identifier: Apache-2.0
//
// The interpreter against itself: every message in every version, with random content, there and
// back. Bytes made by other implementations are in wire_vectors_test.c, hostile ones in
// wire_hostile_test.c.
#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

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

// Turning any one field of a message makes it another one, unless the version lacks the field.
static void test_equal_sees_differences(void **state)
{
    (void)state;
    struct kafka_metadata_request a = {.allow_auto_topic_creation = true};
    struct kafka_metadata_request b = a;
    assert_true(wire_equal(&kafka_metadata_request_msg, 12, &a, &b));
    b.allow_auto_topic_creation = false;
    assert_false(wire_equal(&kafka_metadata_request_msg, 12, &a, &b));
    assert_true(wire_equal(&kafka_metadata_request_msg, 3, &a, &b)); // since version 4
    b = a;
    b.topics_null = true;
    assert_false(wire_equal(&kafka_metadata_request_msg, 12, &a, &b));
    assert_true(wire_equal(&kafka_metadata_request_msg, 0, &a, &b)); // no null there
    struct kafka_metadata_request_topic topics[2] = {{.name = slice_cstr("x")},
                                                     {.name = slice_cstr("y")}};
    b = a;
    a.topics = &topics[0];
    b.topics = &topics[1];
    a.topics_count = b.topics_count = 1;
    assert_false(wire_equal(&kafka_metadata_request_msg, 12, &a, &b));
    topics[1].name = topics[0].name;
    assert_true(wire_equal(&kafka_metadata_request_msg, 12, &a, &b));
    topics[1].topic_id.bytes[3] = 1;
    assert_false(wire_equal(&kafka_metadata_request_msg, 12, &a, &b));
    b.topics_count = 0;
    assert_false(wire_equal(&kafka_metadata_request_msg, 12, &a, &b));
}

static void test_defaults(void **state)
{
    (void)state;
    struct kafka_fetch_request q;
    struct arena arena;
    wire_default(&kafka_fetch_request_type, &q);
    assert_null(q.cluster_id.data);
    assert_int_equal(q.replica_id, -1);
    assert_int_equal(q.replica_state.replica_epoch, -1);
    assert_int_equal(q.max_bytes, INT32_MAX);
    assert_non_null(q.rack_id.data);
    assert_int_equal(q.rack_id.len, 0);
    arena_init(&arena, 1 << 16);
    struct kafka_fetch_response_partition *p =
        wire_array_new(&kafka_fetch_response_partition_type, &arena, 3);
    assert_non_null(p);
    assert_int_equal(p[2].preferred_read_replica, -1);
    assert_non_null(p[2].records.bytes.data); // empty, not null
    assert_null(wire_array_new(&kafka_fetch_response_partition_type, &arena, 0));
    assert_null(wire_array_new(&kafka_fetch_response_partition_type, &arena, SIZE_MAX / 2));
    arena_fini(&arena);
}

// Tagged fields that say nothing are not sent, one that does is sent in its version only.
static void test_tagged_defaults_are_left_out(void **state)
{
    (void)state;
    struct kafka_fetch_request q;
    wire_default(&kafka_fetch_request_type, &q);
    size_t plain = wire_size(&kafka_fetch_request_msg, 15, &q);
    q.replica_state.replica_id = 7;
    assert_int_equal(wire_size(&kafka_fetch_request_msg, 15, &q), plain + 2 + 12 + 1);
    wire_default(&kafka_fetch_request_type, &q);
    plain = wire_size(&kafka_fetch_request_msg, 12, &q);
    q.replica_state.replica_id = 7;
    assert_int_equal(wire_size(&kafka_fetch_request_msg, 12, &q), plain);
    q.cluster_id = slice_cstr("weir");
    assert_int_equal(wire_size(&kafka_fetch_request_msg, 12, &q), plain + 2 + 5);
}

// A fetch answer from pieces of two blobs: they become a gap, and with the gap filled the bytes are
// those of an answer whose records are in one run.
static void test_record_pieces_are_gaps(void **state)
{
    (void)state;
    struct blob *blob;
    assert_int_equal(blob_create(8, NULL, &blob), 0);
    memcpy(blob->data, "abcdefgh", 8);
    const struct blob_piece pieces[] = {{blob, 4, 4}, {blob, 0, 2}};
    struct kafka_fetch_response_partition partition;
    struct kafka_fetch_response_topic topic = {.topic = slice_cstr("t")};
    struct kafka_fetch_response r = {.responses = &topic, .responses_count = 1};
    wire_default(&kafka_fetch_response_partition_type, &partition);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    for (int version = 4; version <= 18; version++) {
        struct wire_out gaps;
        struct wire_out flat;
        wire_out_init(&gaps, 1024);
        wire_out_init(&flat, 1024);
        partition.records = (struct wire_records){.pieces = pieces, .pieces_count = 2};
        struct kafka_fetch_response_partition other = partition;
        assert_int_equal(wire_encode(&kafka_fetch_response_msg, version, &r, &gaps), 0);
        assert_int_equal(wire_size(&kafka_fetch_response_msg, version, &r), wire_out_bytes(&gaps));
        partition.records = (struct wire_records){.bytes = slice_cstr("efghab")};
        assert_int_equal(wire_encode(&kafka_fetch_response_msg, version, &r, &flat), 0);
        assert_int_equal(flat.gaps_count, 0);
        assert_int_equal(gaps.gaps_count, 1);
        assert_int_equal(gaps.gaps_bytes, 6);
        assert_int_equal(flat.buf.len, gaps.buf.len + 6);
        size_t at = gaps.gaps[0].at;
        assert_memory_equal(flat.buf.data, gaps.buf.data, at);
        assert_memory_equal(flat.buf.data + at, "efghab", 6);
        assert_memory_equal(flat.buf.data + at + 6, gaps.buf.data + at, gaps.buf.len - at);
        struct kafka_fetch_response_topic twin = {
            .topic = topic.topic, .partitions = &other, .partitions_count = 1};
        struct kafka_fetch_response same = {.responses = &twin, .responses_count = 1};
        assert_true(wire_equal(&kafka_fetch_response_msg, version, &r, &same));
        partition.records.bytes = slice_cstr("efghaB");
        assert_false(wire_equal(&kafka_fetch_response_msg, version, &r, &same));
        wire_out_fini(&flat);
        wire_out_fini(&gaps);
    }
    blob_unref(blob);
}

static void test_encoding_has_limits(void **state)
{
    (void)state;
    char *text = mem_zalloc(WIRE_STR_MAX + 1);
    struct kafka_metadata_request_topic topic = {.name = slice_of(text, WIRE_STR_MAX + 1)};
    struct kafka_metadata_request q = {.topics = &topic, .topics_count = 1};
    struct wire_out out;
    for (int version = 0; version <= 13; version++) {
        wire_out_init(&out, 1 << 20);
        assert_int_equal(wire_encode(&kafka_metadata_request_msg, version, &q, &out), ERR_LIMIT);
        wire_out_fini(&out);
    }
    topic.name.len = WIRE_STR_MAX;
    wire_out_init(&out, 1000);
    assert_int_equal(wire_encode(&kafka_metadata_request_msg, 4, &q, &out), ERR_LIMIT);
    wire_out_clear(&out);
    assert_int_equal(wire_encode(&kafka_metadata_request_msg, 14, &q, &out),
                     ERR_UNSUPPORTED_VERSION);
    wire_out_fini(&out);
    mem_free(text);
}

static void test_generate_has_limits(void **state)
{
    (void)state;
    struct prng prng;
    struct arena arena;
    union root out;
    prng_seed(&prng, 1);
    arena_init(&arena, 16);
    assert_int_equal(wire_generate(&kafka_fetch_request_msg, 12, &prng, &arena, &out), ERR_LIMIT);
    assert_int_equal(wire_generate(&kafka_fetch_request_msg, 3, &prng, &arena, &out),
                     ERR_UNSUPPORTED_VERSION);
    arena_fini(&arena);
}

static void test_print(void **state)
{
    (void)state;
    struct kafka_produce_request_partition partition = {.index = 3,
                                                        .records = {.bytes = slice_cstr("12345")}};
    struct kafka_produce_request_topic topic = {
        .name = slice_cstr("a\"b\n\xc3"), .partition_data = &partition, .partition_data_count = 1};
    struct kafka_produce_request q = {.acks = -1, .topic_data = &topic, .topic_data_count = 1};
    struct buf text;
    buf_init(&text, 1024);
    wire_print(&kafka_produce_request_msg, 9, &q, &text);
    static const char expected[] =
        "{\"transactional_id\":null,\"acks\":-1,\"timeout_ms\":0,\"topic_data\":[{\"name\":"
        "\"a\\\"b\\u000a\\u00c3\",\"partition_data\":[{\"index\":3,\"records\":{\"bytes\":5}}]}]}";
    assert_int_equal(text.len, sizeof expected - 1);
    assert_memory_equal(text.data, expected, text.len);
    buf_clear(&text);
    struct kafka_metadata_request none = {.topics_null = true};
    wire_print(&kafka_metadata_request_msg, 4, &none, &text);
    assert_true(
        slice_eq_cstr(buf_slice(&text), "{\"topics\":null,\"allow_auto_topic_creation\":false}"));
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_every_message_and_version),
        cmocka_unit_test(test_equal_sees_differences),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_tagged_defaults_are_left_out),
        cmocka_unit_test(test_record_pieces_are_gaps),
        cmocka_unit_test(test_encoding_has_limits),
        cmocka_unit_test(test_generate_has_limits),
        cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
