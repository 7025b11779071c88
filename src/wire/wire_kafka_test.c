// SPDX-License-Identifier: Apache-2.0
//
// Frames and headers: which header version goes with what, and that a frame says its own length,
// gaps included.
#include "wire/wire_kafka.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "wire/gen/kafka_api_versions.h"
#include "wire/gen/kafka_fetch.h"
#include "wire/gen/kafka_heartbeat.h"

static void test_apis(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < wire_kafka_apis_count; i++) {
        const struct wire_api *api = &wire_kafka_apis[i];
        assert_ptr_equal(wire_kafka_api(api->key), api);
        assert_true(i == 0 || api->key > api[-1].key);
        assert_int_equal(api->request->api_key, api->key);
        assert_int_equal(api->response->api_key, api->key);
        assert_false(wire_kafka_api_has(api, api->min_version - 1));
        assert_true(wire_kafka_api_has(api, api->min_version));
        assert_true(wire_kafka_api_has(api, api->max_version));
        assert_false(wire_kafka_api_has(api, api->max_version + 1));
    }
    assert_int_equal(wire_kafka_apis_count, 31);
    assert_null(wire_kafka_api(-1));
    assert_null(wire_kafka_api(4));
    assert_null(wire_kafka_api(INT16_MAX));
    assert_string_equal(wire_kafka_api(KAFKA_API_OFFSET_FOR_LEADER_EPOCH)->name,
                        "OffsetForLeaderEpoch");
}

static void test_header_versions(void **state)
{
    (void)state;
    const struct wire_api *fetch = wire_kafka_api(KAFKA_API_FETCH);
    const struct wire_api *versions = wire_kafka_api(KAFKA_API_API_VERSIONS);
    const struct wire_api *offset_delete = wire_kafka_api(KAFKA_API_OFFSET_DELETE);
    assert_int_equal(wire_request_header_version(fetch, 11), 1);
    assert_int_equal(wire_request_header_version(fetch, 12), 2);
    assert_int_equal(wire_response_header_version(fetch, 11), 0);
    assert_int_equal(wire_response_header_version(fetch, 12), 1);
    assert_int_equal(wire_request_header_version(versions, 2), 1);
    assert_int_equal(wire_request_header_version(versions, 4), 2);
    assert_int_equal(wire_request_header_version(versions, 99), 2);
    for (int version = 0; version < 99; version++)
        assert_int_equal(wire_response_header_version(versions, version), 0);
    assert_int_equal(wire_request_header_version(offset_delete, 0), 1);
    assert_int_equal(wire_response_header_version(offset_delete, 0), 0);
}

static void test_request_frame(void **state)
{
    (void)state;
    struct kafka_heartbeat_request q = {.group_id = slice_cstr("g"),
                                        .generation_id = 2,
                                        .member_id = slice_cstr("m"),
                                        .group_instance_id = SLICE_NULL};
    struct wire_out out;
    wire_out_init(&out, 1024);
    buf_put_zero(&out.buf, 3); // a frame that does not begin the buffer
    const struct wire_api *api = wire_kafka_api(KAFKA_API_HEARTBEAT);
    assert_int_equal(wire_request_frame(api, 4, 77, slice_cstr("c"), &q, &out), 0);
    static const uint8_t expected[] = {0, 0,   0, 22, 0,   12, 0, 4, 0, 0, 0,   77, 0,
                                       1, 'c', 0, 2,  'g', 0,  0, 0, 2, 2, 'm', 0,  0};
    assert_int_equal(out.buf.len, 3 + sizeof expected);
    assert_memory_equal(out.buf.data + 3, expected, sizeof expected);

    struct cursor in = cursor_of(slice_of(expected + 4, sizeof expected - 4));
    struct arena arena;
    const struct wire_api *found;
    struct kafka_request_header head;
    arena_init(&arena, 4096);
    assert_int_equal(wire_request_header_decode(&in, &arena, &found, &head), 0);
    assert_ptr_equal(found, api);
    assert_int_equal(head.request_api_version, 4);
    assert_int_equal(head.correlation_id, 77);
    assert_true(slice_eq_cstr(head.client_id, "c"));
    assert_int_equal(cursor_left(&in), 10);
    arena_fini(&arena);
    wire_out_fini(&out);
}

static int header_of(const char *bytes, size_t len, const struct wire_api **api,
                     struct kafka_request_header *head)
{
    struct arena arena;
    struct cursor in = cursor_of(slice_of(bytes, len));
    arena_init(&arena, 4096);
    int err = wire_request_header_decode(&in, &arena, api, head);
    arena_fini(&arena);
    return err;
}

static void test_header_of_what_is_unknown(void **state)
{
    (void)state;
    const struct wire_api *api = NULL;
    struct kafka_request_header head = {.correlation_id = -5};
    assert_int_equal(header_of("\x03\xe7\0\1\0\0\0\x09", 8, &api, &head), 0);
    assert_null(api);
    assert_int_equal(head.request_api_key, 999);
    assert_int_equal(head.correlation_id, 9);
    // ApiVersions 60: unknown, but its header must be read to be answered
    assert_int_equal(header_of("\0\x12\0\x3c\0\0\0\x0a\xff\xff\0", 11, &api, &head), 0);
    assert_int_equal(api->key, KAFKA_API_API_VERSIONS);
    assert_int_equal(head.request_api_version, 60);
    assert_null(head.client_id.data);
    for (size_t len = 0; len < 11; len++)
        assert_int_equal(header_of("\0\x12\0\x3c\0\0\0\x0a\xff\xff\0", len, &api, &head),
                         ERR_TRUNCATED);
    assert_int_equal(header_of("\0\x12\0\x3c\0\0\0\x0a\xff\xfe\0", 11, &api, &head), ERR_MALFORMED);
    assert_int_equal(head.correlation_id, 10); // untouched on failure
}

static void test_response_frame_counts_its_gaps(void **state)
{
    (void)state;
    struct blob *blob;
    assert_int_equal(blob_create(100, NULL, &blob), 0);
    memset(blob->data, 'x', 100);
    const struct blob_piece piece = {blob, 10, 90};
    struct kafka_fetch_response_partition p[2];
    struct kafka_fetch_response_topic topic = {.partitions = p, .partitions_count = 2};
    struct kafka_fetch_response r = {.responses = &topic, .responses_count = 1};
    struct wire_out out;
    for (int i = 0; i < 2; i++) {
        wire_default(&kafka_fetch_response_partition_type, &p[i]);
        p[i].records.pieces = &piece;
        p[i].records.pieces_count = 1;
    }
    wire_out_init(&out, 1024);
    const struct wire_api *api = wire_kafka_api(KAFKA_API_FETCH);
    assert_int_equal(wire_response_frame(api, 12, 5, &r, &out), 0);
    assert_int_equal(out.gaps_count, 2);
    struct cursor in = cursor_of(buf_slice(&out.buf));
    assert_int_equal(cursor_be32(&in), wire_out_bytes(&out) - 4);
    assert_int_equal(cursor_be32(&in), 5);
    assert_int_equal(cursor_u8(&in), 0); // header version 1: tagged fields
    size_t first = wire_out_bytes(&out);
    assert_int_equal(wire_response_frame(api, 11, 6, &r, &out), 0); // behind it, its own length
    in = cursor_of(slice_of(out.buf.data + first - 180, 8));
    assert_int_equal(cursor_be32(&in), wire_out_bytes(&out) - first - 4);
    assert_int_equal(cursor_be32(&in), 6);
    assert_int_equal(out.gaps_count, 4);
    assert_true(out.gaps[2].at > out.gaps[1].at);
    wire_out_fini(&out);
    blob_unref(blob);
}

static void test_api_versions_has_the_old_header(void **state)
{
    (void)state;
    struct kafka_api_versions_response r;
    struct wire_out out;
    wire_default(&kafka_api_versions_response_type, &r);
    wire_out_init(&out, 1024);
    const struct wire_api *api = wire_kafka_api(KAFKA_API_API_VERSIONS);
    assert_int_equal(wire_response_frame(api, 3, 1, &r, &out), 0);
    static const uint8_t expected[] = {0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0};
    assert_int_equal(out.buf.len, sizeof expected);
    assert_memory_equal(out.buf.data, expected, sizeof expected);
    wire_out_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apis),
        cmocka_unit_test(test_header_versions),
        cmocka_unit_test(test_request_frame),
        cmocka_unit_test(test_header_of_what_is_unknown),
        cmocka_unit_test(test_response_frame_counts_its_gaps),
        cmocka_unit_test(test_api_versions_has_the_old_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
