// SPDX-License-Identifier: Apache-2.0
//
// Stories of queues on the simulated machine with the real log and journal.
#include "queue/rig_readers_test.h"

static struct rig_reader a, b;

static void test_deliver_ack(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 7, 3);
    assert_int_equal(rig_attach(0, &a), 0);
    assert_int_equal(a.count, 0);
    rig_publish(0, 0, "m", 5);
    assert_int_equal(a.count, 3); // its credit
    expect_texts(&a, 0, "m", 0, 3);
    assert_false(a.seen[0].redelivered);
    assert_int_equal(rig_stats(0).ready, 2);
    assert_int_equal(rig_stats(0).leased, 3);
    rig_settle(0, 7, 0, 1, QUEUE_ACKNOWLEDGE);
    rig_settle(0, 8, 2, 2, QUEUE_ACKNOWLEDGE); // not its lease
    rig_credit(&a, 2);
    assert_int_equal(a.count, 5);
    expect_texts(&a, 3, "m", 3, 2);
    rig_settle(0, 7, 2, 4, QUEUE_ACKNOWLEDGE);
    struct queue_stats s = rig_stats(0);
    assert_int_equal(s.ready, 0);
    assert_int_equal(s.leased, 0);
    assert_int_equal(s.settled, 5);
    assert_int_equal(s.delivered, 5);
    rig_detach(&a);
}

static void test_in_memory(void **state)
{
    (void)state;
    rig_declare(0, true, 1, &rig_plain);
    rig_reader_init(&a, 7, 10);
    a.ack = true;
    assert_int_equal(rig_attach(0, &a), 0);
    rig_publish(0, 0, "m", 50);
    assert_int_equal(a.count, 50);
    expect_texts(&a, 0, "m", 0, 50);
    assert_int_equal(log_start_offset(rig->slots[0].logs[0]), 50); // given back at once
    assert_int_equal(rig_stats(0).size_bytes, 0);
    rig_detach(&a);
}

static void test_no_ack(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 7, 1000);
    a.c.no_ack = true;
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 700);
    assert_int_equal(a.count, 700);
    assert_true(a.parcels >= 3); // the work of a turn is bounded
    expect_texts(&a, 0, "m", 0, 700);
    assert_int_equal(rig_stats(0).leased, 0);
    rig_restart(rig, SIM_POWER_LOSS);
    assert_int_equal(rig_stats(0).ready, 0);
}

static void test_release(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 7, 4);
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 6);
    rig_settle(0, 7, 1, 1, QUEUE_RELEASE);
    rig_settle(0, 7, 2, 2, QUEUE_RELEASE);
    rig_reader_init(&b, 9, 10);
    rig_attach(0, &b);
    assert_int_equal(b.count, 4); // in their old places, before what is new
    expect_texts(&b, 0, "m", 1, 2);
    expect_texts(&b, 2, "m", 4, 2);
    assert_true(b.seen[0].redelivered);
    assert_int_equal(b.seen[0].deliveries, 1);
    assert_false(b.seen[2].redelivered);
    assert_int_equal(rig_stats(0).redelivered, 2);
    rig_detach(&a);
    rig_detach(&b);
}

static void test_crash(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 7, 6);
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 10);
    rig_settle(0, 7, 1, 1, QUEUE_ACKNOWLEDGE);
    rig_settle(0, 7, 4, 5, QUEUE_ACKNOWLEDGE);
    rig_restart(rig, SIM_POWER_LOSS);
    rig_reader_init(&a, 8, 100);
    rig_attach(0, &a);
    assert_int_equal(a.count, 7); // 0 2 3 6 7 8 9
    expect_texts(&a, 0, "m", 0, 1);
    expect_texts(&a, 1, "m", 2, 2);
    expect_texts(&a, 3, "m", 6, 4);
    for (int i = 0; i < 7; i++)
        assert_true(a.seen[i].redelivered);
    rig_publish(0, 0, "n", 1);
    assert_false(a.seen[7].redelivered);
    rig_cut(rig); // now from a snapshot
    rig_settle(0, 8, 0, 0, QUEUE_ACKNOWLEDGE);
    rig_restart(rig, SIM_POWER_LOSS);
    assert_int_equal(rig_stats(0).ready, 7);
}

static void test_clean_stop(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 7, 3);
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 5);
    rig_settle(0, 7, 1, 1, QUEUE_ACKNOWLEDGE);
    rig_restart_clean(rig);
    rig_reader_init(&a, 8, 100);
    rig_attach(0, &a);
    assert_int_equal(a.count, 4); // 0 2 3 4
    assert_true(a.seen[0].redelivered);
    assert_true(a.seen[1].redelivered);
    assert_false(a.seen[2].redelivered); // nobody had it before the stop
    assert_false(a.seen[3].redelivered);
}

static void test_get(void **state)
{
    (void)state;
    struct rig_get get;
    rig_declare(0, false, 1, &rig_plain);
    assert_int_equal(rig_get(0, &get, 3, false), ERR_NOT_FOUND);
    rig_publish(0, 0, "m", 3);
    assert_int_equal(rig_get(0, &get, 3, false), 0);
    assert_string_equal(get.seen.text, "m0");
    assert_int_equal(get.ready_left, 2);
    assert_int_equal(rig_get(0, &get, 3, true), 0);
    assert_string_equal(get.seen.text, "m1");
    assert_int_equal(rig_stats(0).leased, 1);
    rig_settle(0, 3, 0, 0, QUEUE_RELEASE);
    assert_int_equal(rig_get(0, &get, 3, true), 0);
    assert_string_equal(get.seen.text, "m0");
    assert_true(get.seen.redelivered);
}

static void facts_run(struct rig *r, void *arg)
{
    (void)arg;
    const struct slot *s = &r->slots[0];
    struct queue *q = NULL;
    const struct log_key key = rig_key(0, 0);
    assert_true(uuid_eq(queue_id(s->queue), &key.topic));
    assert_true(slice_eq_cstr(queue_name(s->queue), "q0"));
    assert_int_equal(queue_settings(s->queue)->delivery_limit, 3);
    assert_int_equal(queue_open(r->queues, queue_id(s->queue), slice_cstr("other"), &s->settings,
                                s->logs, 1, &q),
                     ERR_EXISTS);
    assert_null(q);
}

static void test_facts(void **state)
{
    (void)state;
    struct queue_settings s = rig_plain;
    s.delivery_limit = 3;
    rig_declare(0, false, 1, &s);
    assert_true(rig_on(rig, facts_run, NULL));
    rig_publish(0, 0, "m", 2);
    struct queue_stats stats = rig_stats(0);
    assert_int_equal(stats.head_ms, rig->slots[0].queue->levels[0].head_published_ms);
    assert_true(stats.size_bytes > 0);
    assert_int_equal(stats.consumers, 0);
    const struct uuid nobody = {{1}};
    assert_null(queue_by_id(rig->queues, &nobody));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_deliver_ack, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_ack, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clean_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_get, setup, teardown),
        cmocka_unit_test_setup_teardown(test_facts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
