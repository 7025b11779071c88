// SPDX-License-Identifier: Apache-2.0
//
// Time to live of messages and of queues.
#define RIG_SLOTS 40
#include "queue/rig_readers_test.h"

static struct rig_reader a;

static void declare_ttl(int64_t ttl_ms, uint32_t levels)
{
    struct queue_settings s = rig_plain;
    s.message_ttl_ms = ttl_ms;
    rig_declare(0, false, levels, &s);
    rig_reader_init(&a, 1, 0);
}

static int64_t publish_ttl(uint32_t level, const char *text, int64_t ttl_ms)
{
    struct rig_publish p = {.slot = 0, .level = level, .text = text, .count = 1, .ttl_ms = ttl_ms};
    return rig_publish_as(&p);
}

static void test_queue_ttl(void **state)
{
    (void)state;
    declare_ttl(1000, 1);
    rig_publish(0, 0, "m", 3);
    rig_run_ms(rig, 900);
    assert_int_equal(rig_stats(0).ready, 3);
    rig_run_ms(rig, 100); // nobody reads
    struct queue_stats s = rig_stats(0);
    assert_int_equal(s.ready, 0);
    assert_int_equal(s.expired, 3);
    rig_attach(0, &a);
    rig_credit(&a, 10);
    assert_int_equal(a.count, 0);
    rig_publish(0, 0, "n", 1);
    assert_int_equal(a.count, 1);
    rig_restart(rig, SIM_POWER_LOSS);
    assert_int_equal(rig_stats(0).ready, 1); // expiry is settled for good
}

static void test_message_ttl(void **state)
{
    (void)state;
    declare_ttl(-1, 1);
    publish_ttl(0, "a", 500);
    publish_ttl(0, "b", 5000);
    publish_ttl(0, "c", 100);
    rig_run_ms(rig, 600);
    assert_int_equal(rig_stats(0).ready, 2); // c is not at the head
    rig_attach(0, &a);
    rig_credit(&a, 1);
    assert_int_equal(a.count, 1);
    assert_string_equal(a.seen[0].text, "b0");
    rig_credit(&a, 1); // c comes to the head, and dies
    assert_int_equal(a.count, 1);
    assert_int_equal(rig_stats(0).expired, 2);
    rig_settle(0, 1, a.seen[0].offset, a.seen[0].offset, QUEUE_RELEASE);
    assert_int_equal(a.count, 2);
    a.c.credit = 0;
    rig_run_ms(rig, 5000);
    rig_settle(0, 1, a.seen[0].offset, a.seen[0].offset, QUEUE_RELEASE); // its time was over
    assert_int_equal(rig_stats(0).expired, 3);
    assert_int_equal(rig_stats(0).ready, 0);
    assert_int_equal(rig_stats(0).leased, 0);
}

static void test_shorter_counts(void **state)
{
    (void)state;
    declare_ttl(300, 1);
    publish_ttl(0, "a", 5000);
    rig_run_ms(rig, 200);
    assert_int_equal(rig_stats(0).ready, 1);
    rig_run_ms(rig, 200);
    assert_int_equal(rig_stats(0).ready, 0);
}

static void test_each_level(void **state)
{
    (void)state;
    declare_ttl(-1, 3);
    publish_ttl(2, "high", 5000);
    publish_ttl(0, "low", 200);
    publish_ttl(1, "mid", 300);
    rig_run_ms(rig, 250);
    assert_int_equal(rig_stats(0).ready, 2);
    rig_run_ms(rig, 100);
    assert_int_equal(rig_stats(0).ready, 1);
    assert_true(rig_stats(0).head_ms > 0);
}

static void test_zero(void **state)
{
    (void)state;
    declare_ttl(0, 1);
    rig_publish(0, 0, "m", 2);
    assert_int_equal(rig_stats(0).expired, 2); // nobody was there
    rig_attach(0, &a);
    rig_credit(&a, 2);
    rig_publish(0, 0, "n", 3);
    assert_int_equal(a.count, 2); // delivered at once, or not at all
    assert_int_equal(rig_stats(0).expired, 3);
    rig_credit(&a, 5);
    assert_int_equal(a.count, 2);
    rig_settle(0, 1, a.seen[0].offset, a.seen[0].offset, QUEUE_RELEASE);
    assert_int_equal(a.count, 2); // it is not new
    assert_int_equal(rig_stats(0).expired, 4);
}

static void test_zero_behind_others(void **state)
{
    (void)state;
    declare_ttl(-1, 1);
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 2);
    publish_ttl(0, "n", 0);
    rig_credit(&a, 10);
    assert_int_equal(a.count, 2); // n could not be delivered when it came
    assert_int_equal(rig_stats(0).expired, 1);
}

static void test_many_expire(void **state)
{
    (void)state;
    declare_ttl(500, 1);
    rig_publish(0, 0, "m", 2000);
    rig_run_ms(rig, 600);
    assert_int_equal(rig_stats(0).ready, 0);
    assert_int_equal(rig_stats(0).expired, 2000);
}

static void test_no_memory_to_expire(void **state)
{
    (void)state;
    struct queue_settings s = rig_plain;
    s.message_ttl_ms = 100;
    s.dead_letter = true;
    rig_declare(0, false, 1, &s);
    rig_publish(0, 0, "m", 5);
    budget_force(&rig->memory, 64 << 20); // others have it all
    rig_run_ms(rig, 1000);
    assert_int_equal(rig_stats(0).ready, 5);
    budget_give(&rig->memory, 64 << 20);
    rig_run_ms(rig, 100);
    assert_int_equal(rig_stats(0).ready, 0);
    assert_int_equal(rig_stats(0).dead_lettered, 5);
}

static void test_clock_forward(void **state)
{
    (void)state;
    declare_ttl(3600000, 1);
    rig_publish(0, 0, "m", 1);
    sim_wall_jump(rig->machine, 3600000); // the laptop slept
    rig_run_ms(rig, 61000);
    assert_int_equal(rig_stats(0).ready, 0);
}

static void test_after_a_restart(void **state)
{
    (void)state;
    declare_ttl(3000, 1);
    rig_publish(0, 0, "m", 1);
    rig_restart(rig, SIM_POWER_LOSS);
    rig_run_ms(rig, 1000);
    assert_int_equal(rig_stats(0).ready, 1);
    rig_run_ms(rig, 2500);
    assert_int_equal(rig_stats(0).ready, 0);
}

// ---- queues

static void test_unused_queue(void **state)
{
    (void)state;
    struct queue_settings s = rig_plain;
    s.expires_ms = 2000;
    rig_declare(0, false, 1, &s);
    rig_reader_init(&a, 1, 0);
    rig_run_ms(rig, 1500);
    struct rig_get get;
    assert_int_equal(rig_get(0, &get, 1, true), ERR_NOT_FOUND); // that is using it
    rig_run_ms(rig, 1500);
    assert_int_equal(rig->unused_count, 0);
    assert_true(rig_stats(0).idle_since_ms > 0);
    rig_attach(0, &a);
    assert_int_equal(rig_stats(0).idle_since_ms, -1);
    rig_run_ms(rig, 5000);
    assert_int_equal(rig->unused_count, 0);
    rig_detach(&a);
    rig_run_ms(rig, 1900);
    assert_int_equal(rig->unused_count, 0);
    rig_run_ms(rig, 200);
    assert_int_equal(rig->unused_count, 1);
    rig_run_ms(rig, 2100); // nobody deleted it: said again
    assert_int_equal(rig->unused_count, 2);
    rig_delete(0);
    rig_run_ms(rig, 5000);
    assert_int_equal(rig->unused_count, 2);
}

static void touch_run(struct rig *r, void *arg)
{
    (void)arg;
    queue_touch(r->slots[0].queue);
}

// What was said of an unused queue holds until somebody comes to it.
static void test_used_after_all(void **state)
{
    (void)state;
    struct queue_settings s = rig_plain;
    s.expires_ms = 2000;
    rig_declare(0, false, 1, &s);
    rig_reader_init(&a, 1, 0);
    assert_false(queue_unused(rig->slots[0].queue));
    for (uint32_t said = 1; said <= 3; said++) {
        rig_run_ms(rig, 2050);
        assert_int_equal(rig->unused_count, said);
        assert_true(queue_unused(rig->slots[0].queue));
        if (said == 3)
            break;
        if (said == 1)
            assert_true(rig_on(rig, touch_run, NULL));
        else
            rig_attach(0, &a);
        assert_false(queue_unused(rig->slots[0].queue));
        rig_detach(&a);
        assert_false(queue_unused(rig->slots[0].queue));
    }
    s.expires_ms = -1;
    s.auto_delete = true;
    rig_declare(1, false, 1, &s);
    assert_false(queue_unused(rig->slots[1].queue));
    rig_attach(1, &a);
    assert_false(queue_unused(rig->slots[1].queue));
    rig_detach(&a);
    queue_touch(rig->slots[1].queue);
    assert_true(queue_unused(rig->slots[1].queue)); // a look at it does not keep it
}

static uint64_t expired, most;

static void turn_end_counted(void *arg)
{
    struct rig *r = arg;
    uint64_t now = 0;
    rig_turn_end(r);
    for (int slot = 0; slot < RIG_SLOTS; slot++)
        now += r->slots[slot].queue->counts.expired;
    if (now - expired > most)
        most = now - expired;
    expired = now;
}

static void look_at_all(struct rig *r, void *arg)
{
    (void)arg;
    expired = most = 0;
    io_on_turn_end(r->shard, turn_end_counted, r);
    for (int slot = 0; slot < RIG_SLOTS; slot++)
        queue_log_moved(r->slots[slot].queue);
}

// However many expire at once, below what waits, others' turns come in between.
static void test_many_at_once(void **state)
{
    (void)state;
    for (int slot = 0; slot < RIG_SLOTS; slot++) {
        rig_declare(slot, false, 2, &rig_plain);
        rig_publish(slot, 1, "m", 1);
        struct rig_publish p = {.slot = slot, .text = "n", .count = 300, .ttl_ms = 9000};
        rig_publish_as(&p);
    }
    sim_wall_jump(rig->machine, 10000);
    assert_true(rig_on(rig, look_at_all, NULL));
    rig_run_ms(rig, 1000);
    assert_int_equal(expired, 300 * RIG_SLOTS);
    assert_in_range(most, 1, QUEUE_TURN_MAX + QUEUE_ROUND_MAX);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_queue_ttl),       TEST(test_message_ttl),   TEST(test_shorter_counts),
        TEST(test_each_level),      TEST(test_zero),          TEST(test_zero_behind_others),
        TEST(test_many_expire),     TEST(test_clock_forward), TEST(test_no_memory_to_expire),
        TEST(test_after_a_restart), TEST(test_unused_queue),  TEST(test_used_after_all),
        TEST(test_many_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
