// SPDX-License-Identifier: Apache-2.0
//
// The model is shown histories: right ones, which it must accept, and wrong ones of every kind,
// each of which it must name.
#include "sim/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "log/batch.h"

struct rig {
    struct history history;
    struct model m;
    struct model_topic *t;
    struct model_partition *p;
};

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof rig);
    model_init(&rig.m, &rig.history);
    model_server_begins(&rig.m);
    rig.t = topic_model_create(&rig.m, "t", 2);
    rig.p = rig.t->partitions[0];
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    model_fini(&rig.m);
    return 0;
}

static void assert_violation(const char *part)
{
    assert_true(rig.m.violated);
    assert_non_null(strstr(rig.m.violation, part));
}

// ---- batches

static void batch_make(struct buf *out, int64_t producer, int32_t sequence, uint32_t records,
                       const char *text)
{
    struct batch_builder bb;
    buf_init(out, 1U << 16);
    batch_build_begin(&bb, out, BATCH_NONE, 1000);
    if (producer >= 0)
        batch_build_producer(&bb, producer, 0, sequence);
    for (uint32_t i = 0; i < records; i++)
        batch_build_record(&bb, 1000 + i, SLICE_NULL, slice_cstr(text), SLICE_NULL, 0);
    assert_int_equal(batch_build_end(&bb), 0);
}

static struct model_sent *sent(struct buf *bytes)
{
    struct model_sent *s = model_produce(&rig.m, rig.p, buf_slice(bytes), 1);
    s->attempts = 1;
    return s;
}

static int64_t fetch(int64_t offset, int64_t high_watermark, struct slice records)
{
    struct model_read read = model_read_begin(&rig.m, rig.p);
    const struct model_fetched f = {
        .offset = offset, .high_watermark = high_watermark, .records = records, .alone = true};
    return model_fetched(&rig.m, rig.p, &read, &f);
}

static void test_right_history(void **state)
{
    (void)state;
    struct buf a, b;
    batch_make(&a, 7, 0, 2, "a");
    batch_make(&b, 7, 2, 3, "b");
    struct model_sent *sa = sent(&a), *sb = sent(&b);
    model_acknowledged(&rig.m, sa, 0);
    model_acknowledged(&rig.m, sb, 2);
    model_acknowledged(&rig.m, sb, 2); // a repetition, recognised
    batch_set_offset(a.data, 0, 3);
    batch_set_offset(b.data, 2, 3);
    assert_int_equal(fetch(1, 5, buf_slice(&a)), 2);
    assert_int_equal(fetch(2, 5, buf_slice(&b)), 5);
    model_partition_final(&rig.m, rig.p);
    assert_false(rig.m.violated);
    buf_fini(&a);
    buf_fini(&b);
}

static void test_acknowledged_record_is_lost(void **state)
{
    (void)state;
    struct buf a;
    batch_make(&a, -1, -1, 2, "a");
    model_acknowledged(&rig.m, sent(&a), 0);
    (void)fetch(0, 0, slice_of("", 0));
    assert_violation("high watermark went back");
    buf_fini(&a);
}

static void test_reader_gets_nothing(void **state)
{
    (void)state;
    struct buf a;
    batch_make(&a, -1, -1, 2, "a");
    model_acknowledged(&rig.m, sent(&a), 0);
    (void)fetch(0, 2, slice_of("", 0));
    assert_violation("nothing at 0");
    buf_fini(&a);
}

static void test_another_batch_in_its_place(void **state)
{
    (void)state;
    struct buf a, b;
    batch_make(&a, -1, -1, 1, "a");
    batch_make(&b, -1, -1, 1, "b");
    model_acknowledged(&rig.m, sent(&a), 0);
    (void)sent(&b);
    batch_set_offset(b.data, 0, 0);
    (void)fetch(0, 1, buf_slice(&b));
    assert_violation("another batch");
    buf_fini(&a);
    buf_fini(&b);
}

static void test_twice(void **state)
{
    (void)state;
    struct buf a;
    batch_make(&a, 7, 0, 1, "a");
    struct model_sent *s = sent(&a);
    s->attempts = 2;
    batch_set_offset(a.data, 0, 0);
    (void)fetch(0, 2, buf_slice(&a));
    assert_false(rig.m.violated);
    batch_set_offset(a.data, 1, 0);
    (void)fetch(1, 2, buf_slice(&a));
    assert_violation("is also at 0");
    buf_fini(&a);
}

static void test_plain_batch_as_often_as_sent(void **state)
{
    (void)state;
    struct buf a;
    batch_make(&a, -1, -1, 1, "a");
    struct model_sent *s = sent(&a);
    s->attempts = 2;
    for (int64_t at = 0; at < 3; at++) {
        assert_false(rig.m.violated);
        batch_set_offset(a.data, at, 0);
        (void)fetch(at, 3, buf_slice(&a));
    }
    assert_violation("3 times, but was sent 2 times");
    buf_fini(&a);
}

static void test_refused_batch_appears(void **state)
{
    (void)state;
    struct buf a;
    batch_make(&a, -1, -1, 1, "a");
    model_refused(&rig.m, sent(&a));
    batch_set_offset(a.data, 0, 0);
    (void)fetch(0, 1, buf_slice(&a));
    assert_violation("refused");
    buf_fini(&a);
}

static void test_order_of_a_producer(void **state)
{
    (void)state;
    struct buf a, b;
    batch_make(&a, 7, 0, 1, "a");
    batch_make(&b, 7, 1, 1, "b");
    struct model_sent *sa = sent(&a), *sb = sent(&b);
    model_acknowledged(&rig.m, sb, 0);
    model_acknowledged(&rig.m, sa, 1);
    assert_violation("stands behind");
    buf_fini(&a);
    buf_fini(&b);
}

static void test_bytes_nobody_sent_and_bytes_hurt(void **state)
{
    (void)state;
    struct buf a;
    batch_make(&a, -1, -1, 1, "a");
    batch_set_offset(a.data, 0, 0);
    (void)fetch(0, 1, buf_slice(&a));
    assert_violation("nobody sent");
    rig.m.violated = false;
    a.data[a.len - 1] ^= 1;
    (void)fetch(0, 1, buf_slice(&a));
    assert_violation("damaged batch");
    buf_fini(&a);
}

static void test_beyond_the_high_watermark(void **state)
{
    (void)state;
    struct buf a;
    batch_make(&a, -1, -1, 2, "a");
    (void)sent(&a);
    batch_set_offset(a.data, 0, 0);
    (void)fetch(0, 1, buf_slice(&a));
    assert_violation("high watermark is 1");
    buf_fini(&a);
}

static void test_log_start(void **state)
{
    (void)state;
    struct model_read read = model_read_begin(&rig.m, rig.p);
    model_deleting(&rig.m, rig.p, 5);
    model_deleted(&rig.m, rig.p, &read, 5);
    assert_false(rig.m.violated);
    read = model_read_begin(&rig.m, rig.p);
    model_listed_start(&rig.m, rig.p, &read, 4);
    assert_violation("log start went back");
    rig.m.violated = false;
    model_listed_start(&rig.m, rig.p, &read, 6);
    assert_violation("nothing was deleted beyond 5");
}

static void test_lookup_by_time(void **state)
{
    (void)state;
    struct buf a;
    batch_make(&a, -1, -1, 3, "a");
    model_acknowledged(&rig.m, sent(&a), 0);
    struct model_read read = model_read_begin(&rig.m, rig.p);
    model_listed_time(&rig.m, rig.p, &read, 1001, 1, 1001);
    assert_false(rig.m.violated);
    model_listed_time(&rig.m, rig.p, &read, 1001, 2, 1002);
    assert_violation("but 1 comes first");
    buf_fini(&a);
}

// ---- registers

static void test_register(void **state)
{
    (void)state;
    struct model_register *r = register_create(&rig.m, 0, "%s", "r");
    register_written(&rig.m, r, register_write(&rig.m, r, 1), MODEL_OK);
    register_seen(&rig.m, r, model_now(&rig.m), 1);
    uint32_t open = register_write(&rig.m, r, 2);
    register_written(&rig.m, r, open, MODEL_UNKNOWN);
    register_seen(&rig.m, r, model_now(&rig.m), 1); // not yet
    register_seen(&rig.m, r, model_now(&rig.m), 2); // now
    assert_false(rig.m.violated);
    register_seen(&rig.m, r, model_now(&rig.m), 1); // and never back
    assert_violation("a read said 1");
}

static void test_register_that_spreads(void **state)
{
    (void)state;
    struct model_register *r = register_create(&rig.m, 0, "%s", "r");
    r->spreads = true;
    register_written(&rig.m, r, register_write(&rig.m, r, 1), MODEL_OK);
    register_written(&rig.m, r, register_write(&rig.m, r, 2), MODEL_UNKNOWN);
    register_seen(&rig.m, r, model_now(&rig.m), 2);
    register_seen(&rig.m, r, model_now(&rig.m), 1); // another shard, which it has not reached yet
    assert_false(rig.m.violated);
    model_server_gone(&rig.m);
    register_seen(&rig.m, r, model_now(&rig.m), 2); // it was durable, then
    assert_false(rig.m.violated);
    register_seen(&rig.m, r, model_now(&rig.m), 1);
    assert_violation("a read said 1");
}

static void test_register_after_a_crash(void **state)
{
    (void)state;
    struct model_register *r = register_create(&rig.m, 0, "%s", "r");
    register_written(&rig.m, r, register_write(&rig.m, r, 1), MODEL_UNKNOWN);
    model_server_gone(&rig.m);
    register_written(&rig.m, r, register_write(&rig.m, r, 2), MODEL_OK);
    register_seen(&rig.m, r, model_now(&rig.m), 2);
    assert_false(rig.m.violated);
    register_seen(&rig.m, r, model_now(&rig.m), 1); // its server is gone: it can come no more
    assert_violation("a read said 1");
}

static void test_register_lost_write(void **state)
{
    (void)state;
    struct model_register *r = register_create(&rig.m, 0, "%s", "r");
    register_written(&rig.m, r, register_write(&rig.m, r, 1), MODEL_OK);
    register_seen(&rig.m, r, model_now(&rig.m), 0);
    assert_violation("a read said 0");
}

// ---- the rest

static void test_epochs_and_producer_ids(void **state)
{
    (void)state;
    model_epoch(&rig.m, 1, 0);
    model_epoch(&rig.m, 2, 1);
    model_producer_id(&rig.m, 1);
    model_producer_id(&rig.m, 2);
    assert_false(rig.m.violated);
    model_epoch(&rig.m, 3, 1);
    assert_violation("leader epoch 1 of start 3");
    rig.m.violated = false;
    model_producer_id(&rig.m, 1);
    assert_violation("given twice");
}

static void test_bundles(void **state)
{
    (void)state;
    struct buf a;
    batch_make(&a, -1, -1, 1, "a");
    struct model_sent *s = sent(&a);
    s->bundled = true;
    s->bundle_step = 1;
    model_bundles_final(&rig.m, 0);
    assert_false(rig.m.violated);
    model_bundles_final(&rig.m, 1);
    assert_violation("is missing");
    rig.m.violated = false;
    model_acknowledged(&rig.m, s, 0);
    model_bundles_final(&rig.m, 0);
    assert_violation("not committed");
    buf_fini(&a);
}

static void test_groups(void **state)
{
    (void)state;
    struct model_group *g = group_model(&rig.m, "g");
    group_model_joined(&rig.m, g, 1, -1, 3, "a");
    group_model_assigned(&rig.m, g, 1, 3, "a", "t", 0);
    group_model_assigned(&rig.m, g, 1, 3, "b", "t", 1);
    assert_false(rig.m.violated);
    group_model_assigned(&rig.m, g, 1, 3, "b", "t", 0);
    assert_violation("gave t-0 to a and to b");
    rig.m.violated = false;
    group_model_joined(&rig.m, g, 1, 3, 2, "a");
    assert_violation("went back");
    rig.m.violated = false;
    group_model_joined(&rig.m, g, 1, 3, 3, "b");
    assert_violation("two leaders");
}

static void test_group_reads(void **state)
{
    (void)state;
    struct model_topic *t = topic_model_create(&rig.m, "followed", 1);
    struct model_group *g = group_model(&rig.m, "readers");
    group_model_follow(&rig.m, g, t->partitions[0]);
    struct model_progress *progress = &g->progress[0];
    t->partitions[0]->end = 9;
    group_model_read(&rig.m, g, progress, 0, 5);
    group_model_read(&rig.m, g, progress, 3, 7); // again is fine
    assert_false(groups_model_done(&rig.m));
    assert_false(rig.m.violated);
    group_model_read(&rig.m, g, progress, 8, 9);
    assert_violation("nobody was given 7");
    rig.m.violated = false;
    assert_true(groups_model_done(&rig.m));
    t->partitions[0]->start_high = 20; // what was deleted may be passed over
    group_model_read(&rig.m, g, progress, 15, 20);
    assert_false(rig.m.violated);
}

static void test_commit_of_an_older_generation(void **state)
{
    (void)state;
    struct model_topic *t = topic_model_create(&rig.m, "followed", 1);
    struct model_group *g = group_model(&rig.m, "readers");
    group_model_follow(&rig.m, g, t->partitions[0]);
    struct model_register *r = g->progress[0].committed;
    uint32_t lost = register_write(&rig.m, r, 5);
    r->writes[lost].generation = 1;
    register_written(&rig.m, r, lost, MODEL_UNKNOWN);
    register_seen(&rig.m, r, model_now(&rig.m), (uint64_t)INT64_C(-1)); // not yet
    group_model_synced(&rig.m, g, rig.m.start, 2);
    assert_int_equal(group_model_least(g), 2);
    uint32_t next = register_write(&rig.m, r, 7);
    r->writes[next].generation = 2;
    register_written(&rig.m, r, next, MODEL_OK);
    register_seen(&rig.m, r, model_now(&rig.m), 7);
    assert_false(rig.m.violated);
    register_seen(&rig.m, r, model_now(&rig.m), 5); // late, and no longer allowed
    assert_violation("said 5");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_right_history),
        TEST(test_acknowledged_record_is_lost),
        TEST(test_reader_gets_nothing),
        TEST(test_another_batch_in_its_place),
        TEST(test_twice),
        TEST(test_plain_batch_as_often_as_sent),
        TEST(test_refused_batch_appears),
        TEST(test_order_of_a_producer),
        TEST(test_bytes_nobody_sent_and_bytes_hurt),
        TEST(test_beyond_the_high_watermark),
        TEST(test_log_start),
        TEST(test_lookup_by_time),
        TEST(test_register),
        TEST(test_register_that_spreads),
        TEST(test_register_after_a_crash),
        TEST(test_register_lost_write),
        TEST(test_epochs_and_producer_ids),
        TEST(test_bundles),
        TEST(test_groups),
        TEST(test_group_reads),
        TEST(test_commit_of_an_older_generation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
