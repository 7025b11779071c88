// SPDX-License-Identifier: Apache-2.0
//
// Connections under strangers: lengths that lie, other protocols, requests that are no requests,
// clients that do not read, that stop, that send a byte a minute. What must hold in each case: the
// connection ends, memory does not grow, others notice nothing.
#include "kafka/conn.h"

#include <stdio.h>

#include "base/endian.h"
#include "kafka/rig_kafka_test.h"
#include "wire/gen/kafka_api_versions.h"
#include "wire/gen/kafka_create_topics.h"
#include "wire/gen/kafka_describe_configs.h"
#include "wire/gen/kafka_metadata.h"

static void others_notice_nothing(struct rig *rig)
{
    struct rig_call c;
    const struct kafka_api_versions_request q = {0};
    const struct kafka_api_versions_response *a = rig_ask(rig, &c, KAFKA_API_API_VERSIONS, 0, &q);
    assert_int_equal(a->error_code, 0);
    kafka_call_fini(&c.call);
}

static void expect_closed(struct rig *rig, const void *bytes, size_t len, const char *what)
{
    struct rig_raw raw;
    int64_t memory = rig_request_bytes(rig);
    rig_raw_open(rig, &raw);
    rig_raw_send(&raw, bytes, len);
    rig_run(rig, SECONDS(2));
    if (!raw.ended)
        fail_msg("%s: the connection is still open", what);
    assert_int_equal(raw.in.len, 0);
    assert_int_equal(rig_request_bytes(rig), memory);
    rig_raw_close(&raw);
    rig_run(rig, SECONDS(1));
}

static void test_lengths_that_lie(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        uint8_t bytes[4];
    } cases[] = {
        {"the largest length", {0x7f, 0xff, 0xff, 0xff}},
        {"a negative length", {0xff, 0xff, 0xff, 0xff}},
        {"the most negative length", {0x80, 0x00, 0x00, 0x00}},
        {"no length", {0, 0, 0, 0}},
        {"a TLS hello", {0x16, 0x03, 0x01, 0x00}},
        {"HTTP", {'G', 'E', 'T', ' '}},
        {"one more than socket.request.max.bytes", {0x06, 0x40, 0x00, 0x01}},
    };
    struct rig rig;
    rig_init(&rig);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_closed(&rig, cases[i].bytes, sizeof cases[i].bytes, cases[i].what);
    others_notice_nothing(&rig);
    rig_fini(&rig);
}

// A frame of a request header v1 and a body.
static size_t frame(uint8_t *out, int16_t key, int16_t version, const void *body, size_t len)
{
    be32_put(out, (uint32_t)(10 + len));
    be16_put(out + 4, (uint16_t)key);
    be16_put(out + 6, (uint16_t)version);
    be32_put(out + 8, 77);
    be16_put(out + 12, 0xffff); // no client id
    if (len > 0)
        memcpy(out + 14, body, len);
    return 14 + len;
}

static void test_requests_that_are_none(void **state)
{
    (void)state;
    uint8_t bytes[256];
    struct rig rig;
    rig_init(&rig);
    uint64_t errors = rig_request_errors(&rig);
    expect_closed(&rig, "\0\0\0\1\0", 5, "half a key");
    expect_closed(&rig, bytes, frame(bytes, 999, 0, "", 0), "an unknown API");
    expect_closed(&rig, bytes, frame(bytes, KAFKA_API_METADATA, 99, "", 0), "an unknown version");
    expect_closed(&rig, bytes, frame(bytes, KAFKA_API_PRODUCE, 2, "", 0), "a version of old");
    expect_closed(&rig, bytes, frame(bytes, KAFKA_API_METADATA, -1, "", 0), "a negative version");
    expect_closed(&rig, bytes, frame(bytes, KAFKA_API_METADATA, 1, "\x7f\xff\xff\xff", 4),
                  "two billion topics");
    expect_closed(&rig, bytes, frame(bytes, KAFKA_API_METADATA, 1, "\0\0\0\2\0\1a", 7),
                  "a body that ends early");
    expect_closed(&rig, bytes, frame(bytes, KAFKA_API_METADATA, 1, "\0\0\0\1\xff\xf0", 6),
                  "a string of negative length");
    assert_true(rig_request_errors(&rig) >= errors + 7);
    others_notice_nothing(&rig);
    rig_fini(&rig);
}

static void test_unknown_version_of_api_versions(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct rig rig;
    struct rig_raw raw;
    rig_init(&rig);
    rig_raw_open(&rig, &raw);
    rig_raw_send(&raw, bytes, frame(bytes, KAFKA_API_API_VERSIONS, 77, "\0", 1));
    rig_run(&rig, SECONDS(2));
    assert_false(raw.ended);
    // Version 0: length, correlation id, error code, keys.
    assert_true(raw.in.len > 14);
    assert_int_equal(be32_get(raw.in.data), raw.in.len - 4);
    assert_int_equal(be32_get(raw.in.data + 4), 77);
    assert_int_equal(be16_get(raw.in.data + 8), 35);
    assert_true(be32_get(raw.in.data + 10) >= 29);
    assert_true(be32_get(raw.in.data + 10) <= kafka_handlers_count); // some are not advertised
    rig_raw_close(&raw);
    rig_fini(&rig);
}

// KIP-511: a client's software has a name and a version of letters, digits, '-' and '.'.
static void test_name_of_the_software(void **state)
{
    (void)state;
    static const struct {
        const char *name, *version;
        int16_t code;
    } cases[] = {
        {"librdkafka", "v2.3.0", 0},
        {"a", "1", 0},
        {"", "1", 42},
        {"a", "", 42},
        {"a b", "1", 42},
        {"-a", "1", 42},
        {"a", "1.0.", 42},
        {"a\n", "1", 42},
    };
    struct rig rig;
    rig_init(&rig);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig_call c;
        struct kafka_api_versions_request q;
        wire_default(&kafka_api_versions_request_type, &q);
        q.client_software_name = slice_cstr(cases[i].name);
        q.client_software_version = slice_cstr(cases[i].version);
        const struct kafka_api_versions_response *a =
            rig_ask(&rig, &c, KAFKA_API_API_VERSIONS, 3, &q);
        assert_int_equal(a->error_code, cases[i].code);
        assert_int_equal(a->api_keys_count > 0, cases[i].code == 0);
        kafka_call_fini(&c.call);
    }
    rig_fini(&rig);
}

// Many requests in one go, cut at every place: answers in order, none lost.
static void test_pipelined_and_cut(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    static uint8_t bytes[COUNT * 14];
    struct rig rig;
    rig_init(&rig);
    for (uint32_t i = 0; i < COUNT; i++) {
        (void)frame(bytes + i * 14, KAFKA_API_API_VERSIONS, 0, "", 0);
        be32_put(bytes + i * 14 + 8, i);
    }
    for (size_t piece = 1; piece < 64; piece += 21) {
        struct rig_raw raw;
        rig_raw_open(&rig, &raw);
        for (size_t at = 0; at < sizeof bytes; at += piece) {
            size_t left = sizeof bytes - at;
            rig_raw_send(&raw, bytes + at, left < piece ? left : piece);
            rig_run(&rig, 5000000);
        }
        rig_run(&rig, SECONDS(5));
        size_t at = 0;
        for (uint32_t i = 0; i < COUNT; i++) {
            assert_true(at + 8 <= raw.in.len);
            assert_int_equal(be32_get(raw.in.data + at + 4), i);
            at += 4 + be32_get(raw.in.data + at);
        }
        assert_int_equal(at, raw.in.len);
        rig_raw_close(&raw);
    }
    rig_fini(&rig);
}

static void test_silence_is_ended(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_raw silent, slow;
    uint8_t bytes[64];
    rig_init(&rig);
    rig_raw_open(&rig, &silent);
    rig_raw_open(&rig, &slow);
    size_t len = frame(bytes, KAFKA_API_METADATA, 1, "\0\0\0\0", 4);
    rig_run(&rig, SECONDS(1));
    assert_int_equal(rig_connections(&rig), 2);
    for (size_t i = 0; i < len && !slow.ended; i++) { // one byte every five seconds
        rig_raw_send(&slow, bytes + i, 1);
        rig_run(&rig, SECONDS(5));
    }
    assert_true(silent.ended);
    assert_true(slow.ended);
    assert_int_equal(rig_connections(&rig), 0);
    rig_raw_close(&silent);
    rig_raw_close(&slow);
    rig_fini(&rig);
}

static void test_idle_and_slow_frames_are_ended(void **state)
{
    (void)state;
    static const char *const config[] = {"weir.journal.file.bytes=4194304",
                                         "connections.max.idle.ms=300000", NULL};
    struct rig rig;
    struct rig_raw idle, slow;
    uint8_t bytes[64];
    rig_init_with(&rig, config);
    size_t len = frame(bytes, KAFKA_API_METADATA, 1, "\0\0\0\0", 4);
    rig_raw_open(&rig, &idle);
    rig_raw_open(&rig, &slow);
    rig_raw_send(&idle, bytes, len);
    rig_raw_send(&slow, bytes, len);
    rig_run(&rig, SECONDS(20));
    assert_false(idle.ended);
    assert_true(idle.in.len > 0);
    for (size_t i = 0; i < 5 && !slow.ended; i++) { // a byte a minute
        rig_raw_send(&slow, bytes + i, 1);
        rig_run(&rig, SECONDS(60));
    }
    assert_true(slow.ended);
    assert_true(idle.ended || rig_connections(&rig) == 1);
    rig_run(&rig, SECONDS(120));
    assert_true(idle.ended);
    rig_raw_close(&idle);
    rig_raw_close(&slow);
    rig_fini(&rig);
}

static void test_answers_never_read(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct rig rig;
    struct rig_raw deaf;
    rig_init(&rig);
    uint8_t *bytes = mem_alloc(COUNT * 14);
    for (uint32_t i = 0; i < COUNT; i++)
        (void)frame(bytes + i * 14, KAFKA_API_API_VERSIONS, 0, "", 0);
    rig_raw_open(&rig, &deaf);
    deaf.deaf = true;
    rig_raw_send(&deaf, bytes, COUNT * 14);
    int64_t most = 0;
    for (int i = 0; i < 120; i++) {
        rig_run(&rig, SECONDS(1));
        if (rig_request_bytes(&rig) > most)
            most = rig_request_bytes(&rig);
    }
    assert_true(most < 4 << 20);
    assert_int_equal(rig_connections(&rig), 0); // cut: nothing was read for a minute
    assert_int_equal(rig_request_bytes(&rig), 0);
    others_notice_nothing(&rig);
    rig_raw_close(&deaf);
    mem_free(bytes);
    rig_fini(&rig);
}

static void make_topic(struct rig *rig, const char *name, int32_t partitions)
{
    struct rig_call c;
    struct kafka_create_topics_request_topic topic;
    struct kafka_create_topics_request q;
    wire_default(&kafka_create_topics_request_type, &q);
    wire_default(&kafka_create_topics_request_topic_type, &topic);
    topic.name = slice_cstr(name);
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    q.topics = &topic;
    q.topics_count = 1;
    const struct kafka_create_topics_response *a = rig_ask(rig, &c, KAFKA_API_CREATE_TOPICS, 4, &q);
    assert_int_equal(a->topics[0].error_code, 0);
    kafka_call_fini(&c.call);
}

// A fetch that waits two minutes for more of partition 0 of "t" (version 4), and behind it a
// produce to a topic that is not there (version 3), which is answered at once.
static size_t fetch_then_produce(uint8_t *out)
{
    static const uint8_t fetch[] = {0xff, 0xff, 0xff, 0xff, 0, 1, 0xd4, 0xc0, 0,   0, 0, 1, 0, 1, 0,
                                    0,    0,    0,    0,    0, 1, 0,    1,    't', 0, 0, 0, 1, 0, 0,
                                    0,    0,    0,    0,    0, 0, 0,    0,    0,   0, 0, 1, 0, 0};
    static const uint8_t produce[] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 100, 0, 0, 0, 1, 0, 1,
                                      'n',  0,    0,    0,    1, 0, 0, 0,   0, 0, 0, 0, 0};
    size_t len = frame(out, KAFKA_API_FETCH, 4, fetch, sizeof fetch);
    return len + frame(out + len, KAFKA_API_PRODUCE, 3, produce, sizeof produce);
}

// What waits behind a request that waits is not the client's fault: neither is the connection cut
// for not reading, nor is the socket's being writable of any interest.
static void test_answer_behind_one_that_waits(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_raw raw;
    uint8_t bytes[256];
    rig_init(&rig);
    make_topic(&rig, "t", 1);
    kafka_client_close(rig.client);
    rig.client = NULL;
    rig_raw_open(&rig, &raw);
    rig_raw_send(&raw, bytes, fetch_then_produce(bytes));
    rig_run(&rig, SECONDS(10));
    uint64_t before = sim_report(rig.sim)->events;
    rig_run(&rig, SECONDS(100));
    assert_true(sim_report(rig.sim)->events - before < 10000);
    assert_false(raw.ended);
    assert_int_equal(raw.in.len, 0);
    rig_run(&rig, SECONDS(20));
    assert_false(raw.ended);
    size_t first = 4 + be32_get(raw.in.data);
    assert_true(raw.in.len > first + 4);
    assert_int_equal(raw.in.len, first + 4 + be32_get(raw.in.data + first));
    rig_raw_close(&raw);
    rig_fini(&rig);
}

// A client that never reads and asks for much by little: what is answered at once is bounded too.
static void test_large_answers_never_read(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    struct rig rig;
    struct rig_raw deaf;
    uint8_t bytes[COUNT * 18];
    rig_init(&rig);
    make_topic(&rig, "large", 2000);
    for (size_t i = 0; i < COUNT; i++)
        (void)frame(bytes + i * 18, KAFKA_API_METADATA, 1, "\xff\xff\xff\xff", 4);
    rig_raw_open(&rig, &deaf);
    deaf.deaf = true;
    rig_raw_send(&deaf, bytes, sizeof bytes);
    int64_t most = 0;
    for (int i = 0; i < 40; i++) {
        rig_run(&rig, SECONDS(1) / 10);
        if (rig_request_bytes(&rig) > most)
            most = rig_request_bytes(&rig);
    }
    assert_true(most < 8 << 20);
    assert_int_equal(rig_connections(&rig), 2); // held back, not cut for what it has used
    rig_raw_close(&deaf);
    rig_run(&rig, SECONDS(1));
    assert_int_equal(rig_request_bytes(&rig), 0);
    rig_fini(&rig);
}

// An answer that grows piece by piece is paid for while it grows: what the budget does not hold is
// not made.
static void test_many_small_make_no_large(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct rig rig;
    struct rig_call c;
    struct kafka_describe_configs_request q;
    char(*names)[8] = mem_alloc(COUNT * sizeof names[0]);
    struct kafka_describe_configs_request_resource *resources =
        mem_alloc(COUNT * sizeof resources[0]);
    rig_init(&rig);
    wire_default(&kafka_describe_configs_request_type, &q);
    for (int i = 0; i < COUNT; i++) {
        wire_default(&kafka_describe_configs_request_resource_type, &resources[i]);
        (void)snprintf(names[i], sizeof names[i], "g%d", i);
        resources[i].resource_type = 32; // a group, which need not exist
        resources[i].resource_name = slice_cstr(names[i]);
        resources[i].configuration_keys_null = true;
    }
    q.resources = resources;
    q.resources_count = COUNT;
    q.include_synonyms = true;
    struct kafka_client *client = rig_connect(&rig);
    rig_begin(&rig, client, &c, KAFKA_API_DESCRIBE_CONFIGS, 4, &q);
    rig_wait(&rig, &c.done);
    assert_int_not_equal(c.call.err, 0); // the connection was closed
    kafka_call_fini(&c.call);
    kafka_client_close(client);
    rig_run(&rig, SECONDS(1));
    assert_int_equal(rig_request_bytes(&rig), 0);
    others_notice_nothing(&rig);
    mem_free(names);
    mem_free(resources);
    rig_fini(&rig);
}

// A frame that becomes ten times as much when it is decoded is refused before that is made.
static void test_small_bytes_make_no_large_message(void **state)
{
    (void)state;
    enum { COUNT = 1500000 };
    struct rig rig;
    struct rig_call c;
    struct kafka_metadata_request q;
    struct kafka_metadata_request_topic *topics = mem_zalloc(COUNT * sizeof topics[0]);
    rig_init(&rig);
    wire_default(&kafka_metadata_request_type, &q);
    for (int i = 0; i < COUNT; i++)
        topics[i].name = slice_cstr("t");
    q.topics = topics;
    q.topics_count = COUNT;
    q.topics_null = false;
    struct kafka_client *client = rig_connect(&rig);
    rig_begin(&rig, client, &c, KAFKA_API_METADATA, 1, &q);
    rig_wait(&rig, &c.done);
    assert_int_not_equal(c.call.err, 0); // the connection was closed
    kafka_call_fini(&c.call);
    kafka_client_close(client);
    rig_run(&rig, SECONDS(1));
    assert_int_equal(rig_request_bytes(&rig), 0);
    others_notice_nothing(&rig);
    mem_free(topics);
    rig_fini(&rig);
}

// Lengths that promise much and bodies that stop: what is held follows what was sent, and not for
// long, however much that was.
static void test_frames_that_stop(void **state)
{
    (void)state;
    enum { COUNT = 200, SENT = 600 << 10 };
    static const uint8_t begun[5] = {0x06, 0x40, 0, 0, 0}; // of 100 MiB
    struct rig rig;
    struct rig_raw raw[COUNT];
    uint8_t hello[64];
    uint8_t *much = mem_zalloc(SENT);
    rig_init(&rig);
    size_t len = frame(hello, KAFKA_API_API_VERSIONS, 0, "", 0);
    for (int i = 0; i < COUNT; i++) {
        rig_raw_open(&rig, &raw[i]);
        rig_raw_send(&raw[i], hello, len);
    }
    rig_run(&rig, SECONDS(1));
    for (int i = 0; i < COUNT; i++)
        rig_raw_send(&raw[i], begun, sizeof begun);
    rig_run(&rig, SECONDS(1));
    assert_true(rig_request_bytes(&rig) < COUNT * 8 << 10);
    memcpy(much, begun, 4);
    rig_raw_send(&raw[0], much, SENT); // brings enough for one mark, then nothing
    rig_run(&rig, SECONDS(70));
    for (int i = 0; i < COUNT; i++)
        assert_true(raw[i].ended);
    assert_int_equal(rig_request_bytes(&rig), 0);
    others_notice_nothing(&rig);
    for (int i = 0; i < COUNT; i++)
        rig_raw_close(&raw[i]);
    mem_free(much);
    rig_fini(&rig);
}

static void test_limit_of_connections(void **state)
{
    (void)state;
    static const char *const config[] = {"weir.journal.file.bytes=4194304", "max.connections=6",
                                         NULL};
    struct rig rig;
    struct rig_raw raw[40];
    rig_init_with(&rig, config);
    for (int i = 0; i < 40; i++)
        rig_raw_open(&rig, &raw[i]);
    rig_run(&rig, SECONDS(1));
    uint32_t open = rig_connections(&rig);
    assert_true(open > 0);
    assert_true(open <= 6);
    for (int i = 0; i < 40; i++)
        rig_raw_close(&raw[i]);
    rig_run(&rig, SECONDS(1));
    assert_int_equal(rig_connections(&rig), 0);
    rig_fini(&rig);
}

static void test_limit_per_address(void **state)
{
    (void)state;
    static const char *const config[] = {"weir.journal.file.bytes=4194304",
                                         "max.connections.per.ip=5", NULL};
    struct rig rig;
    struct rig_raw raw[12];
    rig_init_with(&rig, config);
    for (int round = 0; round < 2; round++) { // those that left have left their places
        for (int i = 0; i < 12; i++)
            rig_raw_open(&rig, &raw[i]);
        rig_run(&rig, SECONDS(1));
        assert_int_equal(rig_connections(&rig), 5); // whichever shards they came to
        for (int i = 0; i < 12; i++)
            rig_raw_close(&raw[i]);
        rig_run(&rig, SECONDS(1));
        assert_int_equal(rig_connections(&rig), 0);
    }
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths_that_lie),
        cmocka_unit_test(test_requests_that_are_none),
        cmocka_unit_test(test_unknown_version_of_api_versions),
        cmocka_unit_test(test_name_of_the_software),
        cmocka_unit_test(test_pipelined_and_cut),
        cmocka_unit_test(test_silence_is_ended),
        cmocka_unit_test(test_idle_and_slow_frames_are_ended),
        cmocka_unit_test(test_answers_never_read),
        cmocka_unit_test(test_answer_behind_one_that_waits),
        cmocka_unit_test(test_large_answers_never_read),
        cmocka_unit_test(test_many_small_make_no_large),
        cmocka_unit_test(test_small_bytes_make_no_large_message),
        cmocka_unit_test(test_frames_that_stop),
        cmocka_unit_test(test_limit_of_connections),
        cmocka_unit_test(test_limit_per_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
