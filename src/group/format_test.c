// SPDX-License-Identifier: Apache-2.0
//
// The two records on disk: there and back, and damage of every kind at every byte, which is refused
// and never believed.
#include "group/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/prng.h"
#include "group/group.h"

static struct state_record offset_record(struct buf *key, struct buf *value)
{
    const struct group_offset_key k = {slice_cstr("g"), slice_cstr("plays"), 7};
    const struct group_offset_value v = {42, 1000, -1, 3, slice_cstr("meta")};
    buf_init(key, 1000);
    buf_init(value, 1000);
    format_put_offset_key(key, &k);
    format_put_offset_value(value, &v);
    return (struct state_record){STATE_OFFSET, buf_slice(key), buf_slice(value)};
}

static void put_member(struct buf *out, const char *id)
{
    const struct group_stored_member m = {.id = slice_cstr(id),
                                          .instance_id = SLICE_NULL,
                                          .client_id = slice_cstr("app"),
                                          .client_host = slice_cstr("/::1"),
                                          .session_timeout_ms = 10000,
                                          .rebalance_timeout_ms = 20000,
                                          .protocols_count = 1};
    format_put_member_head(out, &m);
    format_put_string(out, slice_cstr("range"));
    format_put_string(out, slice_cstr("subscription"));
    format_put_string(out, slice_cstr("assignment"));
}

static struct state_record group_record(struct buf *value, const char *second)
{
    const struct group_head head = {.generation = 5,
                                    .since_ms = 99,
                                    .protocol_type = slice_cstr("consumer"),
                                    .protocol = slice_cstr("range"),
                                    .leader = slice_cstr("one"),
                                    .members_count = 2};
    buf_init(value, 10000);
    format_put_head(value, &head);
    put_member(value, "one");
    put_member(value, second);
    return (struct state_record){STATE_GROUP, slice_cstr("g"), buf_slice(value)};
}

static int restore(const struct state_record *record, struct buf *out)
{
    struct groups_options options;
    groups_options_default(&options);
    struct groups *groups = groups_create(&options);
    int err = groups_restore_record(groups, record);
    if (out != NULL)
        groups_cut(groups, true, out);
    groups_destroy(groups);
    return err;
}

static void there_and_back(const struct state_record *record)
{
    struct buf once, cut;
    buf_init(&once, 10000);
    buf_init(&cut, 10000);
    state_put(&once, record);
    assert_int_equal(restore(record, &cut), 0);
    assert_true(slice_eq(buf_slice(&once), buf_slice(&cut)));
    buf_fini(&once);
    buf_fini(&cut);
}

// Every cut is refused; any other damage is refused or makes another sane record.
static void damage(struct state_record record, uint8_t *value)
{
    struct slice whole = record.value;
    for (size_t len = 0; len < whole.len; len++) {
        record.value = slice_of(value, len);
        int err = restore(&record, NULL);
        if (record.kind == STATE_GROUP || len < GROUP_OFFSET_VALUE_BYTES)
            assert_int_equal(err, ERR_CORRUPT);
    }
    record.value = whole;
    struct prng r;
    prng_seed(&r, 1);
    for (int i = 0; i < 20000; i++) {
        size_t at = 1 + prng_below(&r, whole.len - 1);
        uint8_t before = value[at];
        value[at] = (uint8_t)prng_next(&r);
        int err = restore(&record, NULL);
        assert_true(err == 0 || err == ERR_CORRUPT);
        value[at] = before;
    }
    value[0] = 2;
    assert_int_equal(restore(&record, NULL), ERR_FORMAT_VERSION);
}

static void test_offset(void **state)
{
    (void)state;
    struct buf key, value;
    struct state_record record = offset_record(&key, &value);
    struct slice group;
    there_and_back(&record);
    assert_int_equal(groups_record_group(&record, &group), 0);
    assert_true(slice_eq_cstr(group, "g"));
    damage(record, value.data);
    record.key.len = 6;
    assert_int_equal(groups_record_group(&record, &group), ERR_CORRUPT);
    assert_int_equal(restore(&record, NULL), ERR_CORRUPT);
    buf_fini(&key);
    buf_fini(&value);
}

static void test_group(void **state)
{
    (void)state;
    struct buf value;
    struct state_record record = group_record(&value, "two");
    there_and_back(&record);
    damage(record, value.data);
    buf_fini(&value);
    record = group_record(&value, "one"); // the same member twice
    assert_int_equal(restore(&record, NULL), ERR_CORRUPT);
    buf_fini(&value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_offset), cmocka_unit_test(test_group)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
