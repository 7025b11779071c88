// SPDX-License-Identifier: Apache-2.0
//
// Bytes made by Kafka's own Java classes (kafka-clients 4.3.1): read, written again to the byte,
// and some of them looked into field by field, since a codec that only agrees with itself proves
// little.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "wire/gen/kafka_api_versions.h"
#include "wire/gen/kafka_describe_topic_partitions.h"
#include "wire/gen/kafka_fetch.h"
#include "wire/gen/kafka_header.h"
#include "wire/gen/kafka_join_group.h"
#include "wire/gen/kafka_metadata.h"
#include "wire/gen/kafka_offset_fetch.h"
#include "wire/gen/kafka_produce.h"
#include "wire/wire_kafka.h"

struct vector {
    const struct wire_msg *msg;
    int version;
    const char *hex;
};

static const struct vector vectors[] = {
    {&kafka_api_versions_request_msg, 0, ""},
    {&kafka_api_versions_response_msg, 0, "00000000000200000000000d000100040012"},
    {&kafka_api_versions_request_msg, 1, ""},
    {&kafka_api_versions_response_msg, 1, "00000000000200000000000d00010004001200000007"},
    {&kafka_api_versions_request_msg, 2, ""},
    {&kafka_api_versions_response_msg, 2, "00000000000200000000000d00010004001200000007"},
    {&kafka_api_versions_request_msg, 3, "057765697204312e3000"},
    {&kafka_api_versions_response_msg, 3,
     "00000300000000000d000001000400120000000007030014020e67726f75702e76657273696f"
     "6e0000000100010800000000000000030214020e67726f75702e76657273696f6e0001000100"},
    {&kafka_api_versions_request_msg, 4, "057765697204312e3000"},
    {&kafka_api_versions_response_msg, 4,
     "00000300000000000d000001000400120000000007030014020e67726f75702e76657273696f"
     "6e0000000100010800000000000000030214020e67726f75702e76657273696f6e0001000100"},
    {&kafka_metadata_request_msg, 12, "00000000"},
    {&kafka_metadata_request_msg, 12,
     "030000000000000000000000000000000006706c617973000102030405060708090a0b0c0d0e"
     "0f100000010000"},
    {&kafka_metadata_response_msg, 12,
     "0000000002000000010a6c6f63616c686f737400002384000005776569720000000102000006"
     "706c6179730102030405060708090a0b0c0d0e0f100002000000000000000000010000000402"
     "0000000102000000010100800000000000"},
    {&kafka_metadata_response_msg, 4,
     "00000000000000010000000100096c6f63616c686f737400002384ffff000477656972000000"
     "010000000100000005706c617973000000000100000000000000000001000000010000000100"
     "00000100000001"},
    {&kafka_produce_request_msg, 9,
     "00ffff000075300206706c6179730300000002060102030405000000000300000000"},
    {&kafka_produce_request_msg, 7,
     "ffffffff00007530000000010005706c61797300000002000000020000000501020304050000"
     "0003ffffffff"},
    {&kafka_produce_response_msg, 10,
     "0206706c61797302000000020006ffffffffffffffffffffffffffffffffffffffffffffffff"
     "0100010009000000010000000900000000000001000d02000000010268000023840000"},
    {&kafka_fetch_request_msg, 12,
     "ffffffff000001f400000001032000000100000000000000000206706c617973020000000500"
     "000003000000000000004d00000002ffffffffffffffff0010000000000103723100"},
    {&kafka_fetch_request_msg, 17,
     "000001f40000000103200000010000000000000000020102030405060708090a0b0c0d0e0f10"
     "020000000500000003000000000000004d00000002ffffffffffffffff001000000100100102"
     "030405060708090a0b0c0d0e0f1000020102030405060708090a0b0c0d0e0f10030000000100"
     "0000020003723100"},
    {&kafka_fetch_response_msg, 12,
     "000000000000000000090206706c617973030000000500000000000000000064000000000000"
     "0063000000000000000100ffffffff03cafe00000000060006ffffffffffffffffffffffffff"
     "ffffffffffffffffffffff020000000000000004000000000000000800ffffffff0101000d00"
     "0000020000000000000032000000"},
    {&kafka_join_group_request_msg, 9,
     "02670000afc8000493e00104692d3109636f6e73756d6572020672616e676504000102000673"
     "7461727400"},
    {&kafka_join_group_response_msg, 9,
     "0000000000000000000309636f6e73756d65720672616e6765046d2d3101046d2d3102046d2d"
     "310002090000"},
    {&kafka_offset_fetch_request_msg, 8, "030267000002680206706c61797303000000000000000100000100"},
    {&kafka_offset_fetch_response_msg, 8,
     "000000000202670206706c6179730200000000000000000000002affffffff00000000000000"
     "0000"},
    {&kafka_describe_topic_partitions_request_msg, 0, "01000007d00106706c617973000000030000"},
    {&kafka_describe_topic_partitions_request_msg, 0, "01000007d0ff00"},
    {&kafka_request_header_msg, 2, "0001000c0000006300016300"},
    {&kafka_request_header_msg, 1, "0001000b00000063ffff"},
    {&kafka_response_header_msg, 1, "0000006300"},
};

#define VECTORS_COUNT (sizeof vectors / sizeof vectors[0])

static struct arena arena;
static union {
    uint8_t bytes[512];
    max_align_t align;
} root; // of the message decoded last

static uint8_t nibble(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static struct slice hex_bytes(const char *hex)
{
    size_t len = strlen(hex) / 2;
    uint8_t *bytes = arena_alloc(&arena, len + 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    return slice_of(bytes, len);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

// Decodes the n-th vector of this message and version into root.
static void *decoded(const struct wire_msg *msg, int version, int n)
{
    for (size_t i = 0; i < VECTORS_COUNT; i++)
        if (vectors[i].msg == msg && vectors[i].version == version && n-- == 0) {
            struct cursor in = cursor_of(hex_bytes(vectors[i].hex));
            assert_int_equal(wire_decode(msg, version, &in, &arena, &root), 0);
            assert_int_equal(cursor_left(&in), 0);
            return &root;
        }
    fail_msg("no such vector");
    return NULL;
}

static void test_read_and_written_to_the_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTORS_COUNT; i++) {
        const struct vector *v = &vectors[i];
        struct slice bytes = hex_bytes(v->hex);
        struct cursor in = cursor_of(bytes);
        struct wire_out out;
        wire_out_init(&out, 1 << 16);
        assert_int_equal(wire_decode(v->msg, v->version, &in, &arena, &root), 0);
        assert_int_equal(cursor_left(&in), 0);
        assert_int_equal(wire_encode(v->msg, v->version, &root, &out), 0);
        assert_int_equal(out.buf.len, bytes.len);
        if (bytes.len > 0)
            assert_memory_equal(out.buf.data, bytes.data, bytes.len);
        wire_out_fini(&out);
    }
}

static void test_api_versions(void **state)
{
    (void)state;
    struct kafka_api_versions_response *r = decoded(&kafka_api_versions_response_msg, 4, 0);
    assert_int_equal(r->api_keys_count, 2);
    assert_int_equal(r->api_keys[1].api_key, 1);
    assert_int_equal(r->api_keys[1].max_version, 18);
    assert_int_equal(r->throttle_time_ms, 7);
    assert_int_equal(r->finalized_features_epoch, 3);
    assert_int_equal(r->finalized_features_count, 1);
    assert_true(slice_eq_cstr(r->finalized_features[0].name, "group.version"));
    r = decoded(&kafka_api_versions_response_msg, 0, 0);
    assert_int_equal(r->finalized_features_epoch, -1); // the default of what version 0 lacks
}

static void test_metadata(void **state)
{
    (void)state;
    struct kafka_metadata_request *q = decoded(&kafka_metadata_request_msg, 12, 0);
    assert_true(q->topics_null);
    assert_int_equal(q->topics_count, 0);
    assert_false(q->allow_auto_topic_creation);
    q = decoded(&kafka_metadata_request_msg, 12, 1);
    assert_false(q->topics_null);
    assert_int_equal(q->topics_count, 2);
    assert_true(slice_eq_cstr(q->topics[0].name, "plays"));
    assert_null(q->topics[1].name.data);
    assert_int_equal(q->topics[1].topic_id.bytes[15], 16);
    struct kafka_metadata_response *r = decoded(&kafka_metadata_response_msg, 12, 0);
    assert_true(slice_eq_cstr(r->cluster_id, "weir"));
    assert_int_equal(r->brokers[0].port, 9092);
    assert_null(r->brokers[0].rack.data);
    assert_int_equal(r->topics[0].partitions[0].leader_epoch, 4);
    assert_int_equal(r->topics[0].partitions[0].isr_nodes[0], 1);
    assert_int_equal(r->topics[0].topic_authorized_operations, INT32_MIN);
}

static void test_produce(void **state)
{
    (void)state;
    struct kafka_produce_request *q = decoded(&kafka_produce_request_msg, 9, 0);
    assert_null(q->transactional_id.data);
    assert_int_equal(q->acks, -1);
    assert_int_equal(q->topic_data[0].partition_data_count, 2);
    assert_int_equal(q->topic_data[0].partition_data[0].records.bytes.len, 5);
    assert_int_equal(q->topic_data[0].partition_data[0].records.bytes.data[4], 5);
    assert_null(q->topic_data[0].partition_data[1].records.bytes.data);
    struct kafka_produce_response *r = decoded(&kafka_produce_response_msg, 10, 0);
    assert_int_equal(r->responses[0].partition_responses[0].current_leader.leader_epoch, 9);
    assert_int_equal(r->node_endpoints_count, 1);
    assert_int_equal(r->node_endpoints[0].port, 9092);
}

static void test_fetch(void **state)
{
    (void)state;
    struct kafka_fetch_request *q = decoded(&kafka_fetch_request_msg, 12, 0);
    assert_int_equal(q->replica_id, -1);
    assert_int_equal(q->topics[0].partitions[0].fetch_offset, 77);
    assert_int_equal(q->topics[0].partitions[0].last_fetched_epoch, 2);
    assert_true(slice_eq_cstr(q->rack_id, "r1"));
    assert_null(q->cluster_id.data);
    q = decoded(&kafka_fetch_request_msg, 17, 0);
    assert_int_equal(q->topics[0].partitions[0].replica_directory_id.bytes[0], 1);
    assert_int_equal(q->topics[0].partitions[0].high_watermark, INT64_MAX);
    assert_int_equal(q->forgotten_topics_data[0].partitions[1], 2);
    struct kafka_fetch_response *r = decoded(&kafka_fetch_response_msg, 12, 0);
    struct kafka_fetch_response_partition *p = r->responses[0].partitions;
    assert_true(p[0].aborted_transactions_null);
    assert_int_equal(p[0].records.bytes.len, 2);
    assert_int_equal(p[0].diverging_epoch.end_offset, -1);
    assert_int_equal(p[1].diverging_epoch.end_offset, 50);
    assert_int_equal(p[1].aborted_transactions[0].first_offset, 8);
    assert_non_null(p[1].records.bytes.data); // empty, not null
}

static void test_groups(void **state)
{
    (void)state;
    struct kafka_join_group_request *j = decoded(&kafka_join_group_request_msg, 9, 0);
    assert_int_equal(j->rebalance_timeout_ms, 300000);
    assert_true(slice_eq_cstr(j->protocols[0].name, "range"));
    assert_true(slice_eq_cstr(j->reason, "start"));
    struct kafka_offset_fetch_request *q = decoded(&kafka_offset_fetch_request_msg, 8, 0);
    assert_true(q->groups[0].topics_null);
    assert_int_equal(q->groups[1].topics[0].partition_indexes_count, 2);
    assert_true(q->require_stable);
    struct kafka_describe_topic_partitions_request *d =
        decoded(&kafka_describe_topic_partitions_request_msg, 0, 0);
    assert_false(d->cursor_null);
    assert_int_equal(d->cursor.partition_index, 3);
    d = decoded(&kafka_describe_topic_partitions_request_msg, 0, 1);
    assert_true(d->cursor_null);
    struct kafka_request_header *h = decoded(&kafka_request_header_msg, 2, 0);
    assert_true(slice_eq_cstr(h->client_id, "c")); // a two-byte length in a flexible version
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read_and_written_to_the_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_api_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metadata, setup, teardown),
        cmocka_unit_test_setup_teardown(test_produce, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
