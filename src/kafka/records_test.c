// SPDX-License-Identifier: Apache-2.0
//
// Records in and out: what Produce accepts and refuses, what Fetch answers with and without a
// session, what the marks of a partition are afterwards.
#include "kafka/resolve.h"
#include "kafka/rig_kafka_test.h"
#include "kafka/scatter.h"
#include "wire/gen/kafka_create_topics.h"
#include "wire/gen/kafka_delete_records.h"
#include "wire/gen/kafka_fetch.h"
#include "wire/gen/kafka_init_producer_id.h"
#include "wire/gen/kafka_list_offsets.h"
#include "wire/gen/kafka_metadata.h"
#include "wire/gen/kafka_produce.h"

static void topic_make(struct rig *rig, const char *name, int32_t partitions)
{
    struct rig_call c;
    struct kafka_create_topics_request_topic t = {
        .name = slice_cstr(name), .num_partitions = partitions, .replication_factor = 3};
    const struct kafka_create_topics_request q = {.topics = &t, .topics_count = 1};
    const struct kafka_create_topics_response *a = rig_ask(rig, &c, KAFKA_API_CREATE_TOPICS, 7, &q);
    assert_int_equal(a->topics_count, 1);
    assert_int_equal(a->topics[0].error_code, 0);
    assert_int_equal(a->topics[0].num_partitions, partitions);
    assert_int_equal(a->topics[0].replication_factor, 1); // accepted as 3, described as it is
    assert_true(a->topics[0].configs_count > 10);
    kafka_call_fini(&c.call);
}

static void batch_of(struct buf *out, int records, const char *value)
{
    struct batch_builder bb;
    buf_clear(out);
    batch_build_begin(&bb, out, BATCH_NONE, 1000);
    for (int i = 0; i < records; i++)
        batch_build_record(&bb, 1000 + i, SLICE_NULL, slice_cstr(value), SLICE_NULL, 0);
    assert_int_equal(batch_build_end(&bb), 0);
}

// Produces the bytes and returns the error code; *out_offset is the base offset.
static int16_t produce(struct rig *rig, int version, int16_t acks, const char *topic,
                       int32_t partition, struct slice bytes, int64_t *out_offset)
{
    struct rig_call c;
    struct kafka_produce_request_partition p = {.index = partition, .records.bytes = bytes};
    struct kafka_produce_request_topic t = {
        .name = slice_cstr(topic), .partition_data = &p, .partition_data_count = 1};
    const struct kafka_produce_request q = {
        .acks = acks, .timeout_ms = 1000, .topic_data = &t, .topic_data_count = 1};
    const struct kafka_produce_response *a = rig_ask(rig, &c, KAFKA_API_PRODUCE, version, &q);
    assert_int_equal(a->responses_count, 1);
    assert_int_equal(a->responses[0].partition_responses_count, 1);
    int16_t code = a->responses[0].partition_responses[0].error_code;
    *out_offset = a->responses[0].partition_responses[0].base_offset;
    kafka_call_fini(&c.call);
    return code;
}

static void test_what_produce_refuses(void **state)
{
    (void)state;
    struct rig rig;
    struct buf b;
    int64_t at;
    rig_init(&rig);
    topic_make(&rig, "plays", 2);
    buf_init(&b, 1 << 20);
    batch_of(&b, 3, "x");
    struct slice good = buf_slice(&b);
    assert_int_equal(produce(&rig, 9, -1, "plays", 0, good, &at), 0);
    assert_int_equal(at, 0);
    assert_int_equal(produce(&rig, 3, 1, "plays", 0, good, &at), 0);
    assert_int_equal(at, 3);
    assert_int_equal(produce(&rig, 9, -1, "plays", 2, good, &at), 3); // no such partition
    assert_int_equal(at, -1);
    assert_int_equal(produce(&rig, 9, -1, "plays", -1, good, &at), 3);
    assert_int_equal(produce(&rig, 9, -1, "other", 0, good, &at), 3);
    assert_int_equal(produce(&rig, 13, -1, "plays", 0, good, &at), 100); // an id of nothing
    assert_int_equal(produce(&rig, 9, 2, "plays", 0, good, &at), 21);    // acks
    assert_int_equal(produce(&rig, 9, -1, "plays", 0, slice_of("", 0), &at), 87);
    assert_int_equal(produce(&rig, 9, -1, "plays", 0, slice_of(good.data, good.len - 1), &at), 87);
    buf_put(&b, b.data, good.len); // two batches
    assert_int_equal(produce(&rig, 9, -1, "plays", 0, buf_slice(&b), &at), 87);
    batch_of(&b, 3, "x");
    b.data[b.len - 1] ^= 1; // the checksum no longer fits
    assert_int_equal(produce(&rig, 9, -1, "plays", 0, buf_slice(&b), &at), 2);
    assert_int_equal(rig_request_errors(&rig), 0); // all of it in the protocol's terms
    buf_fini(&b);
    rig_fini(&rig);
}

// As in Kafka (tried with 4.3): the last one counts, whatever is wrong with the others, and is
// answered once.
static void test_a_partition_named_twice(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_call c;
    struct buf one, two, bad;
    int64_t at;
    rig_init(&rig);
    topic_make(&rig, "plays", 2);
    buf_init(&one, 1 << 20);
    buf_init(&two, 1 << 20);
    buf_init(&bad, 1 << 20);
    batch_of(&one, 1, "x");
    batch_of(&two, 2, "y");
    batch_of(&bad, 3, "z");
    bad.data[bad.len - 1] ^= 1;
    struct kafka_produce_request_partition p[] = {
        {.index = 0, .records.bytes = buf_slice(&bad)},
        {.index = 0, .records.bytes = buf_slice(&two)},
        {.index = 1, .records.bytes = buf_slice(&one)},
        {.index = 1, .records.bytes = buf_slice(&bad)},
        {.index = 0, .records.bytes = buf_slice(&one)},
    };
    struct kafka_produce_request_topic t[] = {
        {.name = slice_cstr("plays"), .partition_data = p, .partition_data_count = 2},
        {.name = slice_cstr("plays"), .partition_data = p + 2, .partition_data_count = 2},
        {.name = slice_cstr("plays"), .partition_data = p + 4, .partition_data_count = 1},
    };
    const struct kafka_produce_request q = {
        .acks = -1, .timeout_ms = 1000, .topic_data = t, .topic_data_count = 3};
    const struct kafka_produce_response *a = rig_ask(&rig, &c, KAFKA_API_PRODUCE, 9, &q);
    assert_int_equal(a->responses_count, 2); // of the first entry nothing is left
    assert_int_equal(a->responses[0].partition_responses_count, 1);
    assert_int_equal(a->responses[0].partition_responses[0].index, 1);
    assert_int_equal(a->responses[0].partition_responses[0].error_code, 2);
    assert_int_equal(a->responses[1].partition_responses_count, 1);
    assert_int_equal(a->responses[1].partition_responses[0].index, 0);
    assert_int_equal(a->responses[1].partition_responses[0].error_code, 0);
    assert_int_equal(a->responses[1].partition_responses[0].base_offset, 0);
    kafka_call_fini(&c.call);
    assert_int_equal(produce(&rig, 9, -1, "plays", 0, buf_slice(&two), &at), 0);
    assert_int_equal(at, 1); // one record is there: only the last batch was appended
    buf_fini(&one);
    buf_fini(&two);
    buf_fini(&bad);
    rig_fini(&rig);
}

static struct kafka_fetch_response *fetch(struct rig *rig, struct rig_call *c, int32_t session,
                                          int32_t epoch, int64_t offset, uint32_t partitions,
                                          int32_t max_wait_ms)
{
    struct kafka_fetch_request_partition p[2];
    struct kafka_fetch_request_topic t = {
        .topic = slice_cstr("plays"), .partitions = p, .partitions_count = partitions};
    struct kafka_fetch_request q;
    wire_default(&kafka_fetch_request_type, &q);
    for (int i = 0; i < 2; i++) {
        wire_default(&kafka_fetch_request_partition_type, &p[i]);
        p[i].partition = i;
        p[i].fetch_offset = i == 0 ? offset : 0;
        p[i].partition_max_bytes = 1 << 20;
    }
    q.max_wait_ms = max_wait_ms;
    q.min_bytes = 1;
    q.max_bytes = 1 << 20;
    q.session_id = session;
    q.session_epoch = epoch;
    q.topics = &t;
    q.topics_count = partitions > 0;
    return rig_ask(rig, c, KAFKA_API_FETCH, 12, &q);
}

static void test_sessions(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_call c;
    struct buf b;
    int64_t at;
    rig_init(&rig);
    topic_make(&rig, "plays", 2);
    buf_init(&b, 1 << 20);
    batch_of(&b, 3, "x");
    assert_int_equal(produce(&rig, 9, -1, "plays", 0, buf_slice(&b), &at), 0);
    // A full fetch opens a session and names both partitions.
    struct kafka_fetch_response *a = fetch(&rig, &c, 0, 0, 0, 2, 100);
    int32_t session = a->session_id;
    assert_true(session > 0);
    assert_int_equal(a->responses_count, 1);
    assert_int_equal(a->responses[0].partitions_count, 2);
    assert_int_equal(a->responses[0].partitions[0].high_watermark, 3);
    assert_int_equal(a->responses[0].partitions[0].records.bytes.len, b.len);
    assert_int_equal(a->responses[0].partitions[1].records.bytes.len, 0);
    kafka_call_fini(&c.call);
    // Nothing new: nothing named, after the wait.
    int64_t before = sim_now_ns(rig.sim);
    a = fetch(&rig, &c, session, 1, 3, 1, 500);
    assert_int_equal(a->error_code, 0);
    assert_int_equal(a->responses_count, 0);
    assert_true(sim_now_ns(rig.sim) - before >= 500 * 1000000);
    kafka_call_fini(&c.call);
    // News of the other partition, which this request does not even name.
    assert_int_equal(produce(&rig, 9, -1, "plays", 1, buf_slice(&b), &at), 0);
    a = fetch(&rig, &c, session, 2, 3, 0, 500);
    assert_int_equal(a->responses_count, 1);
    assert_int_equal(a->responses[0].partitions_count, 1);
    assert_int_equal(a->responses[0].partitions[0].partition_index, 1);
    assert_int_equal(a->responses[0].partitions[0].records.bytes.len, b.len);
    kafka_call_fini(&c.call);
    // Wrong epoch, unknown session, end of the session.
    a = fetch(&rig, &c, session, 2, 3, 0, 0);
    assert_int_equal(a->error_code, 71);
    kafka_call_fini(&c.call);
    a = fetch(&rig, &c, session + 1, 3, 3, 0, 0);
    assert_int_equal(a->error_code, 70);
    kafka_call_fini(&c.call);
    a = fetch(&rig, &c, session, -1, 3, 1, 0);
    assert_int_equal(a->session_id, 0);
    kafka_call_fini(&c.call);
    a = fetch(&rig, &c, session, 3, 3, 0, 0);
    assert_int_equal(a->error_code, 70);
    kafka_call_fini(&c.call);
    buf_fini(&b);
    rig_fini(&rig);
}

// KIP-227: a session whose last partition is forgotten ends, and the answer says so.
static void test_a_session_with_nothing_left(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_call c;
    int32_t zero = 0;
    rig_init(&rig);
    topic_make(&rig, "plays", 1);
    struct kafka_fetch_response *a = fetch(&rig, &c, 0, 0, 0, 1, 0);
    int32_t session = a->session_id;
    assert_true(session > 0);
    kafka_call_fini(&c.call);
    a = fetch(&rig, &c, session, -7, 0, 0, 0); // neither full nor the next
    assert_int_equal(a->error_code, 71);
    kafka_call_fini(&c.call);
    struct kafka_fetch_request_forgotten_topic forgotten = {
        .topic = slice_cstr("plays"), .partitions = &zero, .partitions_count = 1};
    struct kafka_fetch_request q;
    wire_default(&kafka_fetch_request_type, &q);
    q.max_bytes = 1 << 20;
    q.session_id = session;
    q.session_epoch = 1;
    q.forgotten_topics_data = &forgotten;
    q.forgotten_topics_data_count = 1;
    a = rig_ask(&rig, &c, KAFKA_API_FETCH, 12, &q);
    assert_int_equal(a->error_code, 0);
    assert_int_equal(a->session_id, 0);
    assert_int_equal(a->responses_count, 0);
    kafka_call_fini(&c.call);
    a = fetch(&rig, &c, session, 2, 0, 0, 0);
    assert_int_equal(a->error_code, 70);
    kafka_call_fini(&c.call);
    rig_fini(&rig);
}

static void test_a_waiting_fetch_is_woken(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_call waiting;
    struct buf b;
    int64_t at;
    rig_init(&rig);
    topic_make(&rig, "plays", 2);
    buf_init(&b, 1 << 20);
    batch_of(&b, 1, "x");
    struct kafka_client *reader = rig_connect(&rig);
    struct kafka_fetch_request_partition p;
    wire_default(&kafka_fetch_request_partition_type, &p);
    p.partition_max_bytes = 1000;
    struct kafka_fetch_request_topic t = {
        .topic = slice_cstr("plays"), .partitions = &p, .partitions_count = 1};
    struct kafka_fetch_request q;
    wire_default(&kafka_fetch_request_type, &q);
    q.max_wait_ms = 60000;
    q.min_bytes = 1;
    q.max_bytes = 1000;
    q.topics = &t;
    q.topics_count = 1;
    rig_begin(&rig, reader, &waiting, KAFKA_API_FETCH, 4, &q);
    rig_run(&rig, SECONDS(5));
    assert_false(waiting.done);
    int64_t before = sim_now_ns(rig.sim);
    assert_int_equal(produce(&rig, 9, -1, "plays", 0, buf_slice(&b), &at), 0);
    rig_wait(&rig, &waiting.done);
    assert_true(sim_now_ns(rig.sim) - before < SECONDS(1));
    const struct kafka_fetch_response *a = waiting.call.response;
    assert_int_equal(a->responses[0].partitions[0].records.bytes.len, b.len);
    kafka_call_fini(&waiting.call);
    kafka_client_close(reader);
    buf_fini(&b);
    rig_fini(&rig);
}

static int64_t offset_at(struct rig *rig, int version, int64_t timestamp, int16_t want)
{
    struct rig_call c;
    struct kafka_list_offsets_request_partition p[2] = {
        {.partition_index = 0, .current_leader_epoch = -1, .timestamp = timestamp}};
    p[1] = p[0];
    struct kafka_list_offsets_request_topic t = {
        .name = slice_cstr("plays"), .partitions = p, .partitions_count = want == 42 ? 2 : 1};
    const struct kafka_list_offsets_request q = {.replica_id = -1, .topics = &t, .topics_count = 1};
    const struct kafka_list_offsets_response *a =
        rig_ask(rig, &c, KAFKA_API_LIST_OFFSETS, version, &q);
    assert_int_equal(a->topics[0].partitions[0].error_code, want);
    int64_t offset = a->topics[0].partitions[0].offset;
    kafka_call_fini(&c.call);
    return offset;
}

static void test_marks(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_call c;
    struct buf b;
    int64_t at;
    rig_init(&rig);
    topic_make(&rig, "plays", 1);
    buf_init(&b, 1 << 20);
    batch_of(&b, 10, "x"); // timestamps 1000 to 1009
    assert_int_equal(produce(&rig, 9, -1, "plays", 0, buf_slice(&b), &at), 0);
    assert_int_equal(offset_at(&rig, 1, -1, 0), 10);
    assert_int_equal(offset_at(&rig, 1, -2, 0), 0);
    assert_int_equal(offset_at(&rig, 4, 1004, 0), 4);
    assert_int_equal(offset_at(&rig, 4, 5000, 0), -1);
    assert_int_equal(offset_at(&rig, 7, -3, 0), 9);
    (void)offset_at(&rig, 6, -3, 35); // that version does not know it
    (void)offset_at(&rig, 11, -99, 35);
    (void)offset_at(&rig, 4, -1, 42); // named twice
    struct kafka_delete_records_request_partition p = {.offset = 6};
    struct kafka_delete_records_request_topic t = {
        .name = slice_cstr("plays"), .partitions = &p, .partitions_count = 1};
    const struct kafka_delete_records_request q = {.topics = &t, .topics_count = 1};
    const struct kafka_delete_records_response *a =
        rig_ask(&rig, &c, KAFKA_API_DELETE_RECORDS, 2, &q);
    assert_int_equal(a->topics[0].partitions[0].error_code, 0);
    assert_int_equal(a->topics[0].partitions[0].low_watermark, 6);
    kafka_call_fini(&c.call);
    assert_int_equal(offset_at(&rig, 1, -2, 0), 6);
    p.offset = 11;
    a = rig_ask(&rig, &c, KAFKA_API_DELETE_RECORDS, 2, &q);
    assert_int_equal(a->topics[0].partitions[0].error_code, 1);
    assert_int_equal(a->topics[0].partitions[0].low_watermark, -1);
    kafka_call_fini(&c.call);
    buf_fini(&b);
    rig_fini(&rig);
}

static void test_producer_ids(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_call c;
    struct kafka_init_producer_id_request q = {.producer_id = -1, .producer_epoch = -1};
    int64_t last = -1;
    rig_init(&rig);
    for (int i = 0; i < 5; i++) {
        const struct kafka_init_producer_id_response *a =
            rig_ask(&rig, &c, KAFKA_API_INIT_PRODUCER_ID, 5, &q);
        assert_int_equal(a->error_code, 0);
        assert_int_equal(a->producer_epoch, 0);
        assert_true(a->producer_id > last);
        last = a->producer_id;
        kafka_call_fini(&c.call);
    }
    q.transactional_id = slice_cstr("mine");
    const struct kafka_init_producer_id_response *a =
        rig_ask(&rig, &c, KAFKA_API_INIT_PRODUCER_ID, 5, &q);
    assert_int_equal(a->error_code, 53); // clients take this as final
    assert_int_equal(a->producer_id, -1);
    kafka_call_fini(&c.call);
    rig_fini(&rig);
}

static void test_metadata(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_call c;
    rig_init(&rig);
    topic_make(&rig, "plays", 4);
    // Named twice, answered once; a new one is made; a bad name is refused.
    struct kafka_metadata_request_topic t[4] = {{.name = slice_cstr("plays")},
                                                {.name = slice_cstr("plays")},
                                                {.name = slice_cstr("new")},
                                                {.name = slice_cstr("no/good")}};
    struct kafka_metadata_request q = {
        .topics = t, .topics_count = 4, .allow_auto_topic_creation = true};
    const struct kafka_metadata_response *a = rig_ask(&rig, &c, KAFKA_API_METADATA, 12, &q);
    assert_int_equal(a->brokers_count, 1);
    assert_int_equal(a->brokers[0].port, 9092);
    assert_true(slice_eq_cstr(a->brokers[0].host, "127.0.0.1"));
    assert_int_equal(a->topics_count, 3);
    assert_int_equal(a->topics[0].partitions_count, 4);
    assert_int_equal(a->topics[1].error_code, 0);
    assert_int_equal(a->topics[1].partitions_count, 1);
    assert_int_equal(a->topics[2].error_code, 17);
    t[0] = (struct kafka_metadata_request_topic){.topic_id = a->topics[0].topic_id};
    t[1] = (struct kafka_metadata_request_topic){.topic_id.bytes = {1}};
    kafka_call_fini(&c.call);
    q.topics_count = 2;
    a = rig_ask(&rig, &c, KAFKA_API_METADATA, 12, &q);
    assert_int_equal(a->topics_count, 2);
    assert_true(slice_eq_cstr(a->topics[0].name, "plays"));
    assert_int_equal(a->topics[1].error_code, 100);
    kafka_call_fini(&c.call);
    q = (struct kafka_metadata_request){.topics_count = 0}; // none, and not all
    a = rig_ask(&rig, &c, KAFKA_API_METADATA, 12, &q);
    assert_int_equal(a->topics_count, 0);
    kafka_call_fini(&c.call);
    a = rig_ask(&rig, &c, KAFKA_API_METADATA, 0, &q); // of old, an empty list is all
    assert_int_equal(a->topics_count, 2);
    kafka_call_fini(&c.call);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_produce_refuses),
        cmocka_unit_test(test_a_partition_named_twice),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_a_session_with_nothing_left),
        cmocka_unit_test(test_a_waiting_fetch_is_woken),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_producer_ids),
        cmocka_unit_test(test_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
