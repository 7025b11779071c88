// SPDX-License-Identifier: Apache-2.0
//
// Groups and settings over the door: a member joins, commits, is listed and described; positions
// come back in every version; settings are changed, refused and described.
#include "kafka/alter_configs.h"
#include "kafka/config_entry.h"
#include "kafka/group_call.h"
#include "kafka/rig_kafka_test.h"
#include "wire/gen/kafka_describe_configs.h"
#include "wire/gen/kafka_incremental_alter_configs.h"
#include "wire/gen/kafka_join_group.h"
#include "wire/gen/kafka_list_groups.h"
#include "wire/gen/kafka_metadata.h"
#include "wire/gen/kafka_offset_commit.h"
#include "wire/gen/kafka_offset_fetch.h"

static void topic_make(struct rig *rig)
{
    struct rig_call c;
    struct kafka_metadata_request_topic t = {.name = slice_cstr("plays")};
    const struct kafka_metadata_request q = {.topics = &t, .topics_count = 1};
    const struct kafka_metadata_response *a = rig_ask(rig, &c, KAFKA_API_METADATA, 1, &q);
    assert_int_equal(a->topics[0].error_code, 0);
    kafka_call_fini(&c.call);
}

static void commit(struct rig *rig, int32_t partition, int16_t want)
{
    struct rig_call c;
    struct kafka_offset_commit_request_partition p = {.partition_index = partition,
                                                      .committed_offset = 7,
                                                      .committed_leader_epoch = -1,
                                                      .committed_metadata = slice_cstr("m")};
    struct kafka_offset_commit_request_topic t = {
        .name = slice_cstr("plays"), .partitions = &p, .partitions_count = 1};
    const struct kafka_offset_commit_request q = {.group_id = slice_cstr("g"),
                                                  .generation_id_or_member_epoch = -1,
                                                  .retention_time_ms = -1,
                                                  .member_id = slice_cstr(""),
                                                  .topics = &t,
                                                  .topics_count = 1};
    const struct kafka_offset_commit_response *a = rig_ask(rig, &c, KAFKA_API_OFFSET_COMMIT, 8, &q);
    assert_int_equal(a->topics[0].partitions[0].error_code, want);
    kafka_call_fini(&c.call);
}

static void test_offsets_in_every_shape(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_call c;
    rig_init(&rig);
    topic_make(&rig);
    commit(&rig, 0, 0);
    commit(&rig, 5, 3); // no such partition
    int32_t partitions[] = {0, 1};
    struct kafka_offset_fetch_request_topic old = {
        .name = slice_cstr("plays"), .partition_indexes = partitions, .partition_indexes_count = 2};
    struct kafka_offset_fetch_request q = {
        .group_id = slice_cstr("g"), .topics = &old, .topics_count = 1};
    for (int version = 1; version < 8; version++) {
        const struct kafka_offset_fetch_response *a =
            rig_ask(&rig, &c, KAFKA_API_OFFSET_FETCH, version, &q);
        assert_int_equal(a->error_code, 0);
        assert_int_equal(a->topics[0].partitions_count, 2);
        assert_int_equal(a->topics[0].partitions[0].committed_offset, 7);
        assert_true(slice_eq_cstr(a->topics[0].partitions[0].metadata, "m"));
        assert_int_equal(a->topics[0].partitions[1].committed_offset, -1);
        assert_int_equal(a->topics[0].partitions[1].error_code, 0);
        kafka_call_fini(&c.call);
    }
    struct kafka_offset_fetch_request_group groups[2] = {
        {.group_id = slice_cstr("g"), .topics_null = true, .member_epoch = -1},
        {.group_id = slice_cstr("none"), .topics_null = true, .member_epoch = -1}};
    q = (struct kafka_offset_fetch_request){.groups = groups, .groups_count = 2};
    for (int version = 8; version <= 10; version++) {
        const struct kafka_offset_fetch_response *a =
            rig_ask(&rig, &c, KAFKA_API_OFFSET_FETCH, version, &q);
        assert_int_equal(a->groups_count, 2);
        assert_int_equal(a->groups[0].topics_count, 1);
        assert_int_equal(a->groups[0].topics[0].partitions[0].committed_offset, 7);
        assert_true((version < 10) == uuid_is_zero(&a->groups[0].topics[0].topic_id));
        assert_int_equal(a->groups[1].topics_count, 0);
        assert_int_equal(a->groups[1].error_code, 0);
        kafka_call_fini(&c.call);
    }
    rig_fini(&rig);
}

static void test_a_member_joins(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_call c;
    rig_init(&rig);
    struct kafka_join_group_request_protocol p = {.name = slice_cstr("range"),
                                                  .metadata = slice_cstr("meta")};
    struct kafka_join_group_request q = {.group_id = slice_cstr("g"),
                                         .session_timeout_ms = 10000,
                                         .rebalance_timeout_ms = 10000,
                                         .member_id = slice_cstr(""),
                                         .protocol_type = slice_cstr("consumer"),
                                         .protocols = &p,
                                         .protocols_count = 1};
    const struct kafka_join_group_response *a = rig_ask(&rig, &c, KAFKA_API_JOIN_GROUP, 4, &q);
    assert_int_equal(a->error_code, 79); // KIP-394: take the member id first
    char id[128];
    slice_to_cstr(a->member_id, id, sizeof id);
    assert_true(id[0] != '\0');
    kafka_call_fini(&c.call);
    q.member_id = slice_cstr(id);
    a = rig_ask(&rig, &c, KAFKA_API_JOIN_GROUP, 9, &q);
    assert_int_equal(a->error_code, 0);
    assert_int_equal(a->generation_id, 1);
    assert_int_equal(a->members_count, 1);
    assert_true(slice_eq(a->leader, a->member_id));
    kafka_call_fini(&c.call);
    const struct kafka_list_groups_request all = {0};
    const struct kafka_list_groups_response *l = rig_ask(&rig, &c, KAFKA_API_LIST_GROUPS, 5, &all);
    assert_int_equal(l->groups_count, 1);
    assert_true(slice_eq_cstr(l->groups[0].group_state, "CompletingRebalance"));
    kafka_call_fini(&c.call);
    struct slice none = slice_cstr("NoSuchState");
    const struct kafka_list_groups_request few = {.states_filter = &none, .states_filter_count = 1};
    l = rig_ask(&rig, &c, KAFKA_API_LIST_GROUPS, 5, &few);
    assert_int_equal(l->groups_count, 0);
    kafka_call_fini(&c.call);
    rig_fini(&rig);
}

static int16_t alter(struct rig *rig, int8_t op, const char *name, const char *value, int twice)
{
    struct rig_call c;
    struct kafka_incremental_alter_configs_request_config e = {
        .name = slice_cstr(name),
        .config_operation = op,
        .value = value != NULL ? slice_cstr(value) : SLICE_NULL};
    struct kafka_incremental_alter_configs_request_resource r[2];
    r[0] = (struct kafka_incremental_alter_configs_request_resource){
        .resource_type = RESOURCE_TOPIC,
        .resource_name = slice_cstr("plays"),
        .configs = &e,
        .configs_count = 1};
    r[1] = r[0];
    const struct kafka_incremental_alter_configs_request q = {.resources = r,
                                                              .resources_count = twice ? 2 : 1};
    const struct kafka_incremental_alter_configs_response *a =
        rig_ask(rig, &c, KAFKA_API_INCREMENTAL_ALTER_CONFIGS, 1, &q);
    int16_t code = a->responses[0].error_code;
    assert_true((code == 0) == (a->responses[0].error_message.data == NULL));
    kafka_call_fini(&c.call);
    return code;
}

static void test_settings(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_call c;
    rig_init(&rig);
    topic_make(&rig);
    assert_int_equal(alter(&rig, CONFIG_SET, "retention.ms", "12345", false), 0);
    assert_int_equal(alter(&rig, CONFIG_SET, "retention.ms", "abc", false), 40);
    assert_int_equal(alter(&rig, CONFIG_SET, "no.such.setting", "1", false), 40);
    assert_int_equal(alter(&rig, CONFIG_SET, "retention.ms", NULL, false), 42);
    assert_int_equal(alter(&rig, 9, "retention.ms", "1", false), 42);
    assert_int_equal(alter(&rig, CONFIG_SET, "retention.ms", "1", true), 42); // named twice
    struct slice key = slice_cstr("retention.ms");
    struct kafka_describe_configs_request_resource r = {.resource_type = RESOURCE_TOPIC,
                                                        .resource_name = slice_cstr("plays"),
                                                        .configuration_keys = &key,
                                                        .configuration_keys_count = 1};
    const struct kafka_describe_configs_request q = {
        .resources = &r, .resources_count = 1, .include_synonyms = true};
    const struct kafka_describe_configs_response *a =
        rig_ask(&rig, &c, KAFKA_API_DESCRIBE_CONFIGS, 4, &q);
    assert_int_equal(a->results[0].error_code, 0);
    assert_int_equal(a->results[0].configs_count, 1);
    assert_true(slice_eq_cstr(a->results[0].configs[0].value, "12345"));
    assert_int_equal(a->results[0].configs[0].config_source, SOURCE_TOPIC);
    assert_int_equal(a->results[0].configs[0].synonyms_count, 2); // its own and the preset
    kafka_call_fini(&c.call);
    r.resource_name = slice_cstr("other");
    a = rig_ask(&rig, &c, KAFKA_API_DESCRIBE_CONFIGS, 4, &q);
    assert_int_equal(a->results[0].error_code, 3);
    kafka_call_fini(&c.call);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets_in_every_shape),
        cmocka_unit_test(test_a_member_joins),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
