// SPDX-License-Identifier: Apache-2.0
//
// Settings: every preset passes its own check; overrides win in the right order; what is wrong is
// refused with a sentence.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <string.h>

#include "base/err.h"
#include "node/config.h"
#include "node/node_int.h"

static int set(struct config_overrides *o, enum config_scope scope, enum config_op op,
               const char *name, const char *value, char *why, size_t why_size)
{
    const struct config_change c = {op, slice_cstr(name),
                                    value != NULL ? slice_cstr(value) : SLICE_NULL};
    return config_override_change(o, scope, &c, why, why_size);
}

static void test_presets_are_legal(void **state)
{
    (void)state;
    char why[256];
    for (size_t i = 0; i < config_defs_count; i++) {
        const struct config_def *d = &config_defs[i];
        assert_ptr_equal(config_find(d->scope, slice_cstr(d->name)), d); // names are unique
        if (d->preset != NULL && config_check_value(d, slice_cstr(d->preset), why, sizeof why) != 0)
            fail_msg("%s: %s", d->name, why);
        if (d->broker_name != NULL)
            assert_non_null(config_find(CONFIG_BROKER, slice_cstr(d->broker_name)));
    }
}

static void test_topic_inherits_and_overrides(void **state)
{
    (void)state;
    char why[256];
    struct config_overrides topic, broker;
    struct topic_config c;
    config_overrides_init(&topic);
    config_overrides_init(&broker);
    config_topic_effective(&topic, &broker, &c);
    assert_int_equal(c.retention_ms, 604800000);
    assert_false(c.relaxed);
    assert_int_equal(
        set(&broker, CONFIG_BROKER, CONFIG_SET, "log.retention.ms", "5", why, sizeof why), 0);
    config_topic_effective(&topic, &broker, &c);
    assert_int_equal(c.retention_ms, 5);
    assert_int_equal(set(&topic, CONFIG_TOPIC, CONFIG_SET, "retention.ms", "7", why, sizeof why),
                     0);
    assert_int_equal(set(&topic, CONFIG_TOPIC, CONFIG_SET, "flush.messages", "1", why, sizeof why),
                     0);
    config_topic_effective(&topic, &broker, &c);
    assert_int_equal(c.retention_ms, 7);
    assert_true(c.relaxed);
    enum config_source source;
    const struct config_def *def = config_find(CONFIG_TOPIC, slice_cstr("retention.ms"));
    assert_string_equal(config_effective_text(def, &topic, &broker, &source), "7");
    assert_int_equal(source, CONFIG_FROM_OWN);
    assert_int_equal(
        set(&topic, CONFIG_TOPIC, CONFIG_DELETE, "retention.ms", NULL, why, sizeof why), 0);
    assert_string_equal(config_effective_text(def, &topic, &broker, &source), "5");
    assert_int_equal(source, CONFIG_FROM_BROKER);
    config_overrides_fini(&topic);
    config_overrides_fini(&broker);
}

static void test_bad_values(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
    } bad[] = {{"retention.ms", "-2"},
               {"retention.ms", "abc"},
               {"retention.ms", ""},
               {"retention.ms", "99999999999999999999"},
               {"cleanup.policy", "compress"},
               {"cleanup.policy", "delete,,compact"},
               {"preallocate", "yes"},
               {"segment.bytes", "10"},
               {"no.such.setting", "1"},
               {"retention.ms", "5 "},
               {"message.timestamp.type", "createtime"}};
    char why[256];
    struct config_overrides o;
    config_overrides_init(&o);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        why[0] = '\0';
        int err = set(&o, CONFIG_TOPIC, CONFIG_SET, bad[i].name, bad[i].value, why, sizeof why);
        if (err != ERR_INVALID_CONFIG)
            fail_msg("%s=%s was accepted", bad[i].name, bad[i].value);
        assert_true(why[0] != '\0');
    }
    assert_int_equal(o.count, 0);
    config_overrides_fini(&o);
}

static void test_lists(void **state)
{
    (void)state;
    char why[256];
    struct config_overrides o;
    config_overrides_init(&o);
    assert_int_equal(
        set(&o, CONFIG_TOPIC, CONFIG_APPEND, "cleanup.policy", "compact", why, sizeof why), 0);
    assert_string_equal(config_override_get(&o, "cleanup.policy"), "delete,compact");
    assert_int_equal(
        set(&o, CONFIG_TOPIC, CONFIG_SUBTRACT, "cleanup.policy", "delete", why, sizeof why), 0);
    assert_string_equal(config_override_get(&o, "cleanup.policy"), "compact");
    assert_int_equal(set(&o, CONFIG_TOPIC, CONFIG_APPEND, "retention.ms", "1", why, sizeof why),
                     ERR_INVALID_CONFIG);
    config_overrides_fini(&o);
}

static void test_topic_record(void **state)
{
    (void)state;
    char why[256];
    struct topic t = {.name = slice_cstr("plays"), .partitions_count = 12, .created_ms = 1234};
    struct topic back = {0};
    struct buf b;
    buf_init(&b, 4096);
    assert_int_equal(
        set(&t.overrides, CONFIG_TOPIC, CONFIG_SET, "retention.ms", "-1", why, sizeof why), 0);
    topic_record_put(&t, &b);
    assert_int_equal(topic_record_get(buf_slice(&b), &back), 0);
    assert_true(slice_eq(back.name, t.name));
    assert_int_equal(back.partitions_count, 12);
    assert_int_equal(back.created_ms, 1234);
    assert_string_equal(config_override_get(&back.overrides, "retention.ms"), "-1");
    slice_free(back.name);
    config_overrides_fini(&back.overrides);
    for (size_t len = 1; len < b.len; len++) // cut anywhere: refused, nothing leaks
        assert_int_equal(topic_record_get(slice_of(b.data, len), &back), ERR_CORRUPT);
    b.data[0] = 9;
    assert_int_equal(topic_record_get(buf_slice(&b), &back), ERR_FORMAT_VERSION);
    config_overrides_fini(&t.overrides);
    buf_fini(&b);
}

// Kafka's largest LONG is a legal timeout, and none that overflows when it becomes nanoseconds.
static void test_longest_timeouts(void **state)
{
    (void)state;
    static const char *const names[] = {"connections.max.idle.ms",
                                        "log.retention.check.interval.ms",
                                        "weir.checkpoint.min.interval.ms"};
    struct config_overrides o;
    struct broker_config c;
    char why[256];
    config_overrides_init(&o);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(
            set(&o, CONFIG_BROKER, CONFIG_SET, names[i], "9223372036854775807", why, sizeof why),
            0);
    config_broker_effective(&o, &c);
    int64_t most_ms = INT64_MAX / 1000000 / 2;
    assert_in_range(c.connections_max_idle_ms, 1, most_ms);
    assert_in_range(c.retention_check_ms, 1, most_ms);
    assert_in_range(c.checkpoint_min_interval_ms, 1, most_ms);
    config_overrides_fini(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_presets_are_legal),
        cmocka_unit_test(test_topic_inherits_and_overrides),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_topic_record),
        cmocka_unit_test(test_longest_timeouts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
