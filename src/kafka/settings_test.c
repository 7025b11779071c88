// SPDX-License-Identifier: Apache-2.0
//
// What settings change at the door: a compacted topic names the records it refuses; names that
// collide; what is said of a setting's source; settings of groups, over a kill as well;
// what a broker falls back to.
#include "kafka/config_entry.h"
#include "kafka/rig_kafka_test.h"
#include "wire/gen/kafka_alter_configs.h"
#include "wire/gen/kafka_create_topics.h"
#include "wire/gen/kafka_describe_configs.h"
#include "wire/gen/kafka_incremental_alter_configs.h"
#include "wire/gen/kafka_produce.h"

static int16_t topic_make(struct rig *rig, const char *name, const char *policy)
{
    struct rig_call c;
    struct kafka_create_topics_request_config config = {.name = slice_cstr("cleanup.policy"),
                                                        .value = slice_cstr(policy)};
    struct kafka_create_topics_request_topic t = {.name = slice_cstr(name),
                                                  .num_partitions = 1,
                                                  .replication_factor = 1,
                                                  .configs = &config,
                                                  .configs_count = 1};
    const struct kafka_create_topics_request q = {.topics = &t, .topics_count = 1};
    const struct kafka_create_topics_response *a = rig_ask(rig, &c, KAFKA_API_CREATE_TOPICS, 7, &q);
    assert_int_equal(a->topics_count, 1);
    int16_t code = a->topics[0].error_code;
    kafka_call_fini(&c.call);
    return code;
}

// ---- compacted topics

// Ten records; one in `keyless_every` has no key (0: all have one). `out` is the partition's
// answer.
static void produce_ten(struct rig *rig, struct rig_call *c, enum batch_codec codec,
                        int keyless_every, const struct kafka_produce_response_partition **out)
{
    struct buf bytes;
    struct batch_builder bb;
    buf_init(&bytes, 1 << 20);
    batch_build_begin(&bb, &bytes, codec, 1000);
    for (int i = 0; i < 10; i++) {
        bool keyless = keyless_every != 0 && i % keyless_every == 0;
        batch_build_record(&bb, 1000, keyless ? SLICE_NULL : slice_cstr(""), slice_cstr("value"),
                           SLICE_NULL, 0);
    }
    assert_int_equal(batch_build_end(&bb), 0);
    struct kafka_produce_request_partition p = {.records.bytes = buf_slice(&bytes)};
    struct kafka_produce_request_topic t = {
        .name = slice_cstr("kept"), .partition_data = &p, .partition_data_count = 1};
    const struct kafka_produce_request q = {
        .acks = -1, .timeout_ms = 1000, .topic_data = &t, .topic_data_count = 1};
    const struct kafka_produce_response *a = rig_ask(rig, c, KAFKA_API_PRODUCE, 9, &q);
    *out = &a->responses[0].partition_responses[0];
    buf_fini(&bytes);
}

static void test_a_compacted_topic_wants_keys(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_call c;
    const struct kafka_produce_response_partition *p;
    rig_init(&rig);
    assert_int_equal(topic_make(&rig, "kept", "compact,delete"), 0);
    static const enum batch_codec codecs[] = {BATCH_NONE, BATCH_GZIP, BATCH_ZSTD};
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        rig_run(&rig, SECONDS(1));
        int64_t before = rig_request_bytes(&rig); // what tails hold
        produce_ten(&rig, &c, codecs[i], 4, &p);
        assert_int_equal(p->error_code, 87); // INVALID_RECORD
        assert_int_equal(p->base_offset, -1);
        assert_int_equal(p->record_errors_count, 3);
        for (int32_t j = 0; j < 3; j++)
            assert_int_equal(p->record_errors[j].batch_index, 4 * j);
        kafka_call_fini(&c.call);
        rig_run(&rig, SECONDS(1));
        assert_int_equal(rig_request_bytes(&rig), before);
        produce_ten(&rig, &c, codecs[i], 0, &p); // an empty key is a key
        assert_int_equal(p->error_code, 0);
        assert_int_equal(p->base_offset, 10 * (int64_t)i);
        assert_int_equal(p->record_errors_count, 0);
        kafka_call_fini(&c.call);
    }
    rig_fini(&rig);
}

static void test_names_collide(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    assert_int_equal(topic_make(&rig, "a.b_c", "delete"), 0);
    assert_int_equal(topic_make(&rig, "a_b.c", "delete"), 17); // INVALID_TOPIC_EXCEPTION
    assert_int_equal(topic_make(&rig, "a-b-c", "delete"), 0);
    assert_int_equal(topic_make(&rig, "a.b_cc", "delete"), 0);
    assert_int_equal(topic_make(&rig, "a.b_c", "delete"), 36); // TOPIC_ALREADY_EXISTS
    rig_fini(&rig);
}

// ---- settings

// Operations: 0 set, 1 delete, 2 append, 3 subtract.
static int16_t alter_by(struct rig *rig, int8_t type, const char *resource, const char *name,
                        const char *value, int8_t operation)
{
    struct rig_call c;
    struct kafka_incremental_alter_configs_request_config config = {
        .name = slice_cstr(name), .value = value != NULL ? slice_cstr(value) : SLICE_NULL};
    config.config_operation = operation;
    struct kafka_incremental_alter_configs_request_resource t = {.resource_type = type,
                                                                 .resource_name =
                                                                     slice_cstr(resource),
                                                                 .configs = &config,
                                                                 .configs_count = 1};
    const struct kafka_incremental_alter_configs_request q = {.resources = &t,
                                                              .resources_count = 1};
    const struct kafka_incremental_alter_configs_response *a =
        rig_ask(rig, &c, KAFKA_API_INCREMENTAL_ALTER_CONFIGS, 1, &q);
    assert_int_equal(a->responses_count, 1);
    int16_t code = a->responses[0].error_code;
    kafka_call_fini(&c.call);
    return code;
}

static int16_t alter(struct rig *rig, int8_t type, const char *resource, const char *name,
                     const char *value)
{
    return alter_by(rig, type, resource, name, value, value != NULL ? 0 : 1);
}

// One setting's value and source; -1 where it is not described.
static int source_of(struct rig *rig, int8_t type, const char *resource, const char *name,
                     const char *value)
{
    struct rig_call c;
    struct slice key = slice_cstr(name);
    struct kafka_describe_configs_request_resource t = {.resource_type = type,
                                                        .resource_name = slice_cstr(resource),
                                                        .configuration_keys = &key,
                                                        .configuration_keys_count = 1};
    const struct kafka_describe_configs_request q = {
        .resources = &t, .resources_count = 1, .include_synonyms = true};
    const struct kafka_describe_configs_response *a =
        rig_ask(rig, &c, KAFKA_API_DESCRIBE_CONFIGS, 4, &q);
    assert_int_equal(a->results[0].error_code, 0);
    int source = -1;
    if (a->results[0].configs_count > 0) {
        source = a->results[0].configs[0].config_source;
        if (!slice_eq_cstr(a->results[0].configs[0].value, value))
            fail_msg("%s is not %s", name, value);
    }
    kafka_call_fini(&c.call);
    return source;
}

static void test_sources(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig); // which gives two settings
    const char *delay = "group.initial.rebalance.delay.ms";
    assert_int_equal(source_of(&rig, RESOURCE_BROKER, "1", delay, "0"), SOURCE_STATIC_BROKER);
    assert_int_equal(source_of(&rig, RESOURCE_BROKER, "", delay, "0"), -1);
    assert_int_equal(source_of(&rig, RESOURCE_BROKER, "1", "num.partitions", "1"), SOURCE_DEFAULT);
    assert_int_equal(alter(&rig, RESOURCE_BROKER, "", "num.partitions", "5"), 0);
    assert_int_equal(source_of(&rig, RESOURCE_BROKER, "1", "num.partitions", "5"),
                     SOURCE_DYNAMIC_BROKER);
    assert_int_equal(source_of(&rig, RESOURCE_BROKER, "", "num.partitions", "5"),
                     SOURCE_DYNAMIC_DEFAULT_BROKER);
    assert_int_equal(
        source_of(&rig, RESOURCE_BROKER, "1", "advertised.listeners", "PLAINTEXT://127.0.0.1:9092"),
        SOURCE_STATIC_BROKER);
    rig_fini(&rig);
}

static void test_lists(void **state)
{
    (void)state;
    struct rig rig;
    const char *policy = "cleanup.policy";
    rig_init(&rig);
    assert_int_equal(topic_make(&rig, "t", "delete"), 0);
    for (int i = 0; i < 2; i++) { // what is there is not added again
        assert_int_equal(alter_by(&rig, RESOURCE_TOPIC, "t", policy, "compact", 2), 0);
        assert_int_equal(source_of(&rig, RESOURCE_TOPIC, "t", policy, "delete,compact"),
                         SOURCE_TOPIC);
    }
    assert_int_equal(alter_by(&rig, RESOURCE_TOPIC, "t", policy, "delete", 3), 0);
    assert_int_equal(source_of(&rig, RESOURCE_TOPIC, "t", policy, "compact"), SOURCE_TOPIC);
    assert_int_equal(alter_by(&rig, RESOURCE_TOPIC, "t", policy, "zip", 2), 40); // INVALID_CONFIG
    assert_int_equal(alter_by(&rig, RESOURCE_TOPIC, "t", "retention.ms", "1", 2), 40);
    assert_int_equal(alter_by(&rig, RESOURCE_TOPIC, "no/good", policy, "delete", 0), 17);
    rig_fini(&rig);
}

// After a loss of power, or a stop.
static void start_again(struct rig *rig, bool killed, const char *const *config)
{
    kafka_client_close(rig->client);
    rig->client = NULL;
    if (killed) {
        sim_crash(rig->server, SIM_POWER_LOSS);
    } else {
        node_stop(rig->node, rig_stopped, rig);
        rig_wait(rig, &rig->stopped);
    }
    node_destroy(rig->node);
    sim_world_free(rig->server_world);
    rig->stopped = false;
    rig_start(rig, config);
}

// Without a name: by nothing.
static int16_t replace(struct rig *rig, const char *name, const char *value)
{
    struct rig_call c;
    struct kafka_alter_configs_request_config config = {.name = slice_cstr(name),
                                                        .value = slice_cstr(value)};
    struct kafka_alter_configs_request_resource t = {.resource_type = RESOURCE_BROKER,
                                                     .resource_name = slice_cstr("1"),
                                                     .configs = &config,
                                                     .configs_count = name[0] != '\0' ? 1 : 0};
    const struct kafka_alter_configs_request q = {.resources = &t, .resources_count = 1};
    const struct kafka_alter_configs_response *a = rig_ask(rig, &c, KAFKA_API_ALTER_CONFIGS, 2, &q);
    int16_t code = a->responses[0].error_code;
    kafka_call_fini(&c.call);
    return code;
}

static void expect_broker(struct rig *rig, const char *partitions, int partitions_source,
                          const char *retention, int retention_source)
{
    assert_int_equal(source_of(rig, RESOURCE_BROKER, "1", "num.partitions", partitions),
                     partitions_source);
    assert_int_equal(source_of(rig, RESOURCE_BROKER, "1", "log.retention.ms", retention),
                     retention_source);
}

// What is taken back, singly or because AlterConfigs does not name it, is as given at the start
// again, now and after the next one.
static void test_the_broker_falls_back_to_what_it_was_given(void **state)
{
    (void)state;
    static const char *const config[] = {"weir.journal.file.bytes=4194304", "num.partitions=4",
                                         NULL};
    for (int round = 0; round < 4; round++) {
        struct rig rig;
        rig_init_with(&rig, config);
        expect_broker(&rig, "4", SOURCE_STATIC_BROKER, "604800000", SOURCE_DEFAULT);
        assert_int_equal(alter(&rig, RESOURCE_BROKER, "1", "num.partitions", "5"), 0);
        assert_int_equal(alter(&rig, RESOURCE_BROKER, "1", "log.retention.ms", "7000"), 0);
        expect_broker(&rig, "5", SOURCE_DYNAMIC_BROKER, "7000", SOURCE_DYNAMIC_BROKER);
        if (round % 2 == 0) {
            assert_int_equal(alter(&rig, RESOURCE_BROKER, "1", "num.partitions", NULL), 0);
            expect_broker(&rig, "4", SOURCE_STATIC_BROKER, "7000", SOURCE_DYNAMIC_BROKER);
            assert_int_equal(replace(&rig, "", ""), 0);
            expect_broker(&rig, "4", SOURCE_STATIC_BROKER, "604800000", SOURCE_DEFAULT);
            assert_int_equal(alter(&rig, RESOURCE_BROKER, "1", "log.retention.ms", "8000"), 0);
        } else {
            assert_int_equal(replace(&rig, "log.retention.ms", "8000"), 0);
        }
        expect_broker(&rig, "4", SOURCE_STATIC_BROKER, "8000", SOURCE_DYNAMIC_BROKER);
        start_again(&rig, round / 2 == 0, config);
        expect_broker(&rig, "4", SOURCE_STATIC_BROKER, "8000", SOURCE_DYNAMIC_BROKER);
        rig_fini(&rig);
    }
}

static void test_groups_keep_settings(void **state)
{
    (void)state;
    struct rig rig;
    const char *name = "consumer.session.timeout.ms";
    rig_init(&rig);
    assert_int_equal(source_of(&rig, RESOURCE_GROUP, "g", name, "45000"), SOURCE_DEFAULT);
    assert_int_equal(alter(&rig, RESOURCE_GROUP, "g", name, "50000"), 0);
    assert_int_equal(alter(&rig, RESOURCE_GROUP, "h", name, "55000"), 0);
    assert_int_equal(alter(&rig, RESOURCE_GROUP, "h", name, NULL), 0);
    assert_int_equal(alter(&rig, RESOURCE_GROUP, "g", name, "5"), 40); // INVALID_CONFIG
    assert_int_equal(alter(&rig, RESOURCE_GROUP, "g", "retention.ms", "5"), 40);
    assert_int_equal(alter(&rig, RESOURCE_GROUP, "", name, "50000"), 42); // INVALID_REQUEST
    assert_int_equal(source_of(&rig, RESOURCE_GROUP, "g", name, "50000"), SOURCE_GROUP);
    // From the journal after a kill, and from the snapshot after a stop.
    for (int round = 0; round < 2; round++) {
        start_again(&rig, round == 0, NULL);
        assert_int_equal(source_of(&rig, RESOURCE_GROUP, "g", name, "50000"), SOURCE_GROUP);
        assert_int_equal(source_of(&rig, RESOURCE_GROUP, "h", name, "45000"), SOURCE_DEFAULT);
    }
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_compacted_topic_wants_keys),
        cmocka_unit_test(test_names_collide),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_the_broker_falls_back_to_what_it_was_given),
        cmocka_unit_test(test_groups_keep_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
