// SPDX-License-Identifier: Apache-2.0
//
// A young store on a full disk, through the door: producers are told so, and go on when there is
// room; deleting makes room, although the journal needs its next file for it and cannot get one; a
// checkpoint finds room for what it writes.
#include <stdio.h>

#include "kafka/rig_kafka_test.h"
#include "log/batch.h"
#include "wire/gen/kafka_create_topics.h"
#include "wire/gen/kafka_delete_topics.h"
#include "wire/gen/kafka_produce.h"

#define STORAGE_ERROR 56

enum { VALUE = 30000 };

static const char *const config[] = {"weir.journal.file.bytes=4194304", "weir.tail.bytes=65536",
                                     NULL};

static void topic_make(struct rig *rig, const char *name)
{
    struct rig_call c;
    struct kafka_create_topics_request_topic t = {
        .name = slice_cstr(name), .num_partitions = 1, .replication_factor = 1};
    const struct kafka_create_topics_request q = {.topics = &t, .topics_count = 1};
    const struct kafka_create_topics_response *a = rig_ask(rig, &c, KAFKA_API_CREATE_TOPICS, 7, &q);
    assert_int_equal(a->topics[0].error_code, 0);
    kafka_call_fini(&c.call);
}

static int16_t topic_delete(struct rig *rig, const char *name)
{
    struct rig_call c;
    struct slice names[] = {slice_cstr(name)};
    const struct kafka_delete_topics_request q = {
        .topic_names = names, .topic_names_count = 1, .timeout_ms = 30000};
    const struct kafka_delete_topics_response *a = rig_ask(rig, &c, KAFKA_API_DELETE_TOPICS, 3, &q);
    int16_t code = a->responses[0].error_code;
    kafka_call_fini(&c.call);
    return code;
}

static int16_t produce(struct rig *rig, const char *topic)
{
    struct rig_call c;
    struct batch_builder bb;
    struct buf b;
    static uint8_t value[VALUE] = {1};
    buf_init(&b, 1 << 20);
    batch_build_begin(&bb, &b, BATCH_NONE, 1000);
    batch_build_record(&bb, 1000, SLICE_NULL, slice_of(value, VALUE), SLICE_NULL, 0);
    assert_int_equal(batch_build_end(&bb), 0);
    struct kafka_produce_request_partition p = {.index = 0, .records.bytes = buf_slice(&b)};
    struct kafka_produce_request_topic t = {
        .name = slice_cstr(topic), .partition_data = &p, .partition_data_count = 1};
    const struct kafka_produce_request q = {
        .acks = -1, .timeout_ms = 30000, .topic_data = &t, .topic_data_count = 1};
    const struct kafka_produce_response *a = rig_ask(rig, &c, KAFKA_API_PRODUCE, 9, &q);
    int16_t code = a->responses[0].partition_responses[0].error_code;
    kafka_call_fini(&c.call);
    buf_fini(&b);
    return code;
}

static void fill_disk(struct rig *rig)
{
    sim_disk_capacity(rig->server, sim_disk_used(rig->server));
}

// Until the server says no. How many went through.
static int fill(struct rig *rig, const char *topic)
{
    int count = 0;
    int16_t code = 0;
    while (count < 1000 && (code = produce(rig, topic)) == 0)
        count++;
    assert_int_equal(code, STORAGE_ERROR);
    return count;
}

static void test_deleting_makes_room(void **state)
{
    (void)state;
    struct rig rig;
    rig_init_with(&rig, config);
    topic_make(&rig, "old");
    topic_make(&rig, "new");
    for (int i = 0; i < 100; i++) // 3 MB, some of them in segments
        assert_int_equal(produce(&rig, "old"), 0);
    rig_run(&rig, SECONDS(3));
    fill_disk(&rig);
    (void)fill(&rig, "new");
    rig_run(&rig, SECONDS(5)); // it does not mend by itself
    assert_int_equal(produce(&rig, "new"), STORAGE_ERROR);
    assert_int_equal(topic_delete(&rig, "old"), 0);
    rig_run(&rig, SECONDS(5));
    for (int i = 0; i < 20; i++)
        assert_int_equal(produce(&rig, "new"), 0);
    rig_fini(&rig); // and it stops in order
}

// The next file of the journal cannot be made from the first record on.
static void test_a_young_store(void **state)
{
    (void)state;
    struct rig rig;
    rig_init_with(&rig, config);
    topic_make(&rig, "t");
    rig_run(&rig, SECONDS(1));
    assert_true(sim_disk_size(rig.server, "journal/reserve") >= 0);
    fill_disk(&rig);
    int count = fill(&rig, "t");
    assert_true(count > 5);         // a quarter of the first file
    for (int i = 0; i < 300; i++) { // what is small goes on, beyond the first file
        char name[16];
        (void)snprintf(name, sizeof name, "topic-%d", i);
        topic_make(&rig, name);
    }
    assert_int_equal(produce(&rig, "t"), STORAGE_ERROR);
    sim_disk_capacity(rig.server, UINT64_C(1) << 30);
    rig_run(&rig, SECONDS(5));
    assert_int_equal(produce(&rig, "t"), 0);
    rig_run(&rig, SECONDS(5));
    assert_true(sim_disk_size(rig.server, "journal/reserve") >= 0);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deleting_makes_room),
        cmocka_unit_test(test_a_young_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
