// SPDX-License-Identifier: Apache-2.0
//
// Who is served: turns, priorities, exclusive and single active consumers, gates, and how consumers
// and queues come to an end.
#include "queue/rig_readers_test.h"

static struct rig_reader a, b, c;

static void declare_plain(void)
{
    rig_declare(0, true, 1, &rig_plain);
    rig_reader_init(&a, 1, 1000);
    rig_reader_init(&b, 2, 1000);
    rig_reader_init(&c, 3, 1000);
}

static void test_turns(void **state)
{
    (void)state;
    declare_plain();
    rig_attach(0, &a);
    rig_attach(0, &b);
    rig_attach(0, &c);
    rig_publish(0, 0, "m", 1);
    rig_publish(0, 0, "m", 1);
    rig_publish(0, 0, "m", 1);
    assert_int_equal(a.count, 1);
    assert_int_equal(b.count, 1);
    assert_int_equal(c.count, 1);
    rig_publish(0, 0, "n", 9);
    assert_int_equal(a.count, 4);
    assert_string_equal(a.seen[1].text, "n0");
    assert_string_equal(a.seen[2].text, "n3");
    assert_string_equal(b.seen[1].text, "n1");
    assert_int_equal(a.parcels, 2); // one per turn
    rig_detach(&b);
    rig_publish(0, 0, "o", 4);
    assert_int_equal(a.count, 6);
    assert_int_equal(c.count, 6);
    assert_int_equal(b.count, 4);
}

static void test_fair_with_little_credit(void **state)
{
    (void)state;
    declare_plain();
    a.c.credit = 2;
    b.c.credit = 5;
    rig_attach(0, &a);
    rig_attach(0, &b);
    rig_publish(0, 0, "m", 10);
    assert_int_equal(a.count, 2);
    assert_int_equal(b.count, 5);
    rig_credit(&a, 3);
    assert_int_equal(a.count, 5);
    assert_string_equal(a.seen[2].text, "m7");
}

static void set_credit_run(struct rig *r, void *arg)
{
    const struct rig_pair *p = arg;
    (void)r;
    queue_consumer_set_credit(&p->reader->c, p->number);
}

static void test_credit_is_set(void **state)
{
    (void)state;
    declare_plain();
    a.c.credit = 5;
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 2);
    struct rig_pair p = {0, &a, 1};
    assert_true(rig_on(rig, set_credit_run, &p)); // it had three left
    rig_publish(0, 0, "n", 5);
    assert_int_equal(a.count, 3);
    p.number = 2;
    assert_true(rig_on(rig, set_credit_run, &p));
    rig_run_ms(rig, 20);
    assert_int_equal(a.count, 5);
    rig_detach(&a);
    assert_true(rig_on(rig, set_credit_run, &p)); // of nobody's: nothing
}

static void test_priorities(void **state)
{
    (void)state;
    declare_plain();
    a.c.priority = 10;
    a.c.credit = 3;
    b.c.priority = 10;
    b.c.credit = 2;
    c.c.priority = -1;
    rig_attach(0, &c);
    rig_attach(0, &a);
    rig_attach(0, &b);
    rig_publish(0, 0, "m", 4);
    assert_int_equal(a.count, 2);
    assert_int_equal(b.count, 2);
    assert_int_equal(c.count, 0);
    rig_publish(0, 0, "n", 4);
    assert_int_equal(a.count, 3);
    assert_int_equal(c.count, 3); // only what the others had no credit for
    rig_credit(&b, 10);
    rig_publish(0, 0, "o", 2);
    assert_int_equal(b.count, 4);
}

static void test_levels_first(void **state)
{
    (void)state;
    rig_declare(0, false, 3, &rig_plain);
    rig_reader_init(&a, 1, 0);
    rig_attach(0, &a);
    rig_publish(0, 0, "low", 2);
    rig_publish(0, 2, "high", 2);
    rig_publish(0, 1, "mid", 2);
    assert_int_equal(rig_stats(0).ready, 6);
    rig_credit(&a, 5);
    expect_texts(&a, 0, "high", 0, 2);
    expect_texts(&a, 2, "mid", 0, 2);
    expect_texts(&a, 4, "low", 0, 1);
    assert_int_equal(a.seen[2].level, 1);
}

static void test_exclusive(void **state)
{
    (void)state;
    declare_plain();
    a.c.exclusive = true;
    assert_int_equal(rig_attach(0, &a), 0);
    assert_int_equal(rig_attach(0, &b), ERR_ACCESS_REFUSED);
    rig_detach(&a);
    assert_int_equal(rig_attach(0, &b), 0);
    assert_int_equal(rig_attach(0, &a), ERR_ACCESS_REFUSED);
    assert_int_equal(rig_attach(0, &c), 0);
}

static void test_single_active(void **state)
{
    (void)state;
    struct queue_settings s = rig_plain;
    s.single_active = true;
    declare_plain();
    rig_declare(1, true, 1, &s);
    a.c.credit = 2;
    c.c.priority = 5;
    rig_attach(1, &a);
    rig_attach(1, &b);
    rig_attach(1, &c);
    rig_publish(1, 0, "m", 3);
    assert_int_equal(a.count, 2); // alone, although it has no more credit
    assert_int_equal(b.count, 0);
    rig_detach(&a);
    assert_int_equal(c.count, 1); // the highest priority takes over
    rig_detach(&c);
    rig_publish(1, 0, "n", 1);
    assert_int_equal(b.count, 1);
    rig_detach(&b);
}

static void test_gated(void **state)
{
    (void)state;
    declare_plain();
    a.c.gated = true;
    b.c.gated = true;
    a.c.credit = b.c.credit = 0;
    rig_attach(0, &a);
    rig_attach(0, &b);
    assert_int_equal(a.asked, 0); // there is nothing for them
    rig_publish(0, 0, "m", 1);
    assert_int_equal(a.asked, 1);
    assert_int_equal(b.asked, 1);
    rig_run_ms(rig, 50);
    assert_int_equal(a.asked, 1); // asked once, until it answers
    b.grant = 0;
    struct rig_pair p = {0, &b, 2};
    assert_true(rig_on(rig, rig_grant_run, &p));
    rig_run_ms(rig, 20);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.unused, 1);
    p.reader = &a;
    assert_true(rig_on(rig, rig_grant_run, &p)); // too late
    rig_run_ms(rig, 20);
    assert_int_equal(a.count, 0);
    assert_int_equal(a.unused, 2);
}

static void test_gated_at_once(void **state)
{
    (void)state;
    declare_plain();
    a.c.gated = true;
    a.grant = 3; // from inside `ready`
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 10);
    assert_int_equal(a.count, 10);
    assert_int_equal(a.asked, 4);
    assert_int_equal(a.unused, 2);
    rig_detach(&a);
}

static void gate_run(struct rig *r, void *arg)
{
    (void)r;
    struct rig_pair *p = arg;
    queue_consumer_set_gated(&p->reader->c, p->number != 0);
}

static void test_becomes_gated(void **state)
{
    (void)state;
    declare_plain();
    a.c.credit = 5;
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 2);
    struct rig_pair p = {0, &a, 1};
    assert_true(rig_on(rig, gate_run, &p));
    rig_run_ms(rig, 20);
    assert_int_equal(a.unused, 3); // what it still had
    rig_publish(0, 0, "n", 1);
    assert_int_equal(a.asked, 1);
    assert_int_equal(a.count, 2);
    p.number = 0;
    assert_true(rig_on(rig, gate_run, &p));
    p.number = 4;
    assert_true(rig_on(rig, rig_grant_run, &p)); // the answer to a question of before
    rig_run_ms(rig, 20);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.unused, 7);
    rig_credit(&a, 1);
    assert_int_equal(a.count, 3);
}

static void test_auto_delete(void **state)
{
    (void)state;
    struct queue_settings s = rig_plain;
    s.auto_delete = true;
    declare_plain();
    rig_declare(1, true, 1, &s);
    rig_run_ms(rig, 1000);
    assert_int_equal(rig->unused_count, 0); // never had a consumer
    rig_attach(1, &a);
    rig_attach(1, &b);
    rig_detach(&a);
    assert_int_equal(rig->unused_count, 0);
    rig_detach(&b);
    assert_int_equal(rig->unused_count, 1);
    assert_true(rig->slots[1].unused_told);
    rig_attach(0, &a);
    rig_detach(&a);
    assert_int_equal(rig->unused_count, 1);
}

static void attach_and_leave_run(struct rig *r, void *arg)
{
    (void)arg;
    queue_consumer_detach(&a.c);
    assert_int_equal(queue_consumer_attach(r->slots[1].queue, &b.c), 0);
}

static void test_auto_delete_used_again(void **state)
{
    (void)state;
    struct queue_settings s = rig_plain;
    s.auto_delete = true;
    declare_plain();
    rig_declare(1, true, 1, &s);
    rig_attach(1, &a);
    assert_true(rig_on(rig, attach_and_leave_run, NULL));
    rig_run_ms(rig, 100);
    assert_int_equal(rig->unused_count, 0); // somebody came in the same turn
    rig_detach(&b);
    assert_int_equal(rig->unused_count, 1);
}

static void test_auto_delete_with_expires_lingers(void **state)
{
    (void)state;
    struct queue_settings s = rig_plain;
    s.auto_delete = true;
    s.expires_ms = 2 * QUEUE_LINGER_FROM_MS;
    declare_plain();
    rig_declare(1, true, 1, &s);
    rig_run_ms(rig, 2000);
    assert_int_equal(rig->unused_count, 0); // never had a consumer: x-expires alone counts
    rig_attach(1, &a);
    rig_detach(&a);
    rig_run_ms(rig, 500);
    assert_int_equal(rig->unused_count, 0);
    rig_attach(1, &a); // its owner is back, and finds what came meanwhile
    rig_run_ms(rig, 2000);
    assert_int_equal(rig->unused_count, 0);
    rig_detach(&a);
    rig_run_ms(rig, 1100);
    assert_int_equal(rig->unused_count, 1);
}

static void test_queue_deleted(void **state)
{
    (void)state;
    declare_plain();
    rig_attach(0, &a);
    rig_attach(0, &b);
    rig_publish(0, 0, "m", 2);
    rig_delete(0);
    rig_run_ms(rig, 20);
    assert_true(a.cancelled);
    assert_true(b.cancelled);
    rig_detach(&a); // safe
    rig_credit(&b, 1);
}

static struct rig_reader *victim;

static void deliver_and_detach(struct queue_consumer *consumer, struct queue_delivery *deliveries,
                               uint32_t count)
{
    rig_deliver(consumer, deliveries, count);
    if (victim != NULL)
        queue_consumer_detach(&victim->c);
    victim = NULL;
}

// Its connection dies while another consumer is told of its deliveries.
static void test_leaves_in_a_round(void **state)
{
    (void)state;
    declare_plain();
    victim = &b;
    a.c.deliver = deliver_and_detach;
    rig_attach(0, &a);
    rig_attach(0, &b);
    rig_publish(0, 0, "m", 4);
    assert_int_equal(b.count, 0);
    assert_int_equal(a.count, 4); // what was meant for b came back
    assert_true(a.seen[2].redelivered);
    assert_string_equal(a.seen[2].text, "m1");
    assert_int_equal(rig_stats(0).leased, 4);
}

static void test_get_before_consumers(void **state)
{
    (void)state;
    declare_plain();
    struct rig_get get;
    a.c.credit = 0;
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 2);
    assert_int_equal(rig_get(0, &get, 9, true), 0);
    assert_string_equal(get.seen.text, "m0");
    rig_credit(&a, 5);
    assert_int_equal(a.count, 1);
    rig_detach(&a);
}

static void get_and_delete_run(struct rig *r, void *arg)
{
    queue_get(r->slots[0].queue, arg);
    int slot = 0;
    rig_delete_run(r, &slot);
}

static void get_and_cancel_run(struct rig *r, void *arg)
{
    queue_get(r->slots[1].queue, arg);
    queue_get_cancel(arg);
}

static void test_get_without_queue(void **state)
{
    (void)state;
    declare_plain();
    rig_declare(1, true, 1, &rig_plain);
    struct rig_get get = {.g = {.holder = 4, .done = rig_got}};
    assert_true(rig_on(rig, get_and_delete_run, &get.g));
    rig_run_ms(rig, 20);
    assert_true(get.done);
    assert_int_equal(get.err, ERR_NOT_FOUND);
    get.done = false;
    assert_true(rig_on(rig, get_and_cancel_run, &get.g));
    rig_run_ms(rig, 20);
    assert_false(get.done);
}

// One queue does not hold up the others: a turn is bounded.
static void test_two_busy_queues(void **state)
{
    (void)state;
    declare_plain();
    rig_declare(1, true, 1, &rig_plain);
    rig_attach(0, &a);
    rig_attach(1, &b);
    a.c.no_ack = b.c.no_ack = true;
    struct rig_publish p = {.slot = 0, .text = "m", .count = 1000, .ttl_ms = -1};
    struct rig_publish q = {.slot = 1, .text = "n", .count = 3, .ttl_ms = -1};
    assert_true(rig_on(rig, rig_publish_run, &p));
    assert_true(rig_on(rig, rig_publish_run, &q));
    rig_run_ms(rig, 20);
    assert_int_equal(b.count, 3);
    assert_int_equal(a.count, 1000);
    assert_true(a.parcels >= 4);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_turns),
        TEST(test_fair_with_little_credit),
        TEST(test_credit_is_set),
        TEST(test_priorities),
        TEST(test_levels_first),
        TEST(test_exclusive),
        TEST(test_single_active),
        TEST(test_gated),
        TEST(test_gated_at_once),
        TEST(test_becomes_gated),
        TEST(test_auto_delete),
        TEST(test_auto_delete_used_again),
        TEST(test_auto_delete_with_expires_lingers),
        TEST(test_queue_deleted),
        TEST(test_leaves_in_a_round),
        TEST(test_get_before_consumers),
        TEST(test_get_without_queue),
        TEST(test_two_busy_queues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
