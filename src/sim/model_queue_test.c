// SPDX-License-Identifier: Apache-2.0
//
// The model of queues is given histories that no correct server could cause, and must say so; and
// the right ones beside them, about which it must be silent.
#include "sim/model_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct rig {
    struct model model;
    struct model_queues queues;
    struct model_queue *q, *dead;
    struct model_queue_channel *a, *b;
};

static int setup(void **state)
{
    static struct rig rig;
    rig = (struct rig){0};
    model_init(&rig.model, NULL);
    queues_model_init(&rig.queues, &rig.model);
    model_server_begins(&rig.model);
    rig.q = queue_model_create(&rig.queues, "q", true);
    rig.dead = queue_model_create(&rig.queues, "dead", true);
    rig.q->dead = rig.dead;
    rig.a = queue_channel_open(&rig.queues, "a");
    rig.b = queue_channel_open(&rig.queues, "b");
    queue_channel_consumes(rig.a, rig.q);
    queue_channel_consumes(rig.b, rig.q);
    for (uint64_t id = 1; id <= 3; id++) {
        queue_published(&rig.queues, rig.q, 0, id, id);
        queue_publish_ended(&rig.queues, id, MODEL_OK);
    }
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    queues_model_fini(&rig->queues);
    model_fini(&rig->model);
    return 0;
}

static void expect(struct rig *rig, const char *words)
{
    if (words == NULL) {
        assert_false(rig->model.violated);
        return;
    }
    assert_true(rig->model.violated);
    assert_non_null(strstr(rig->model.violation, words));
}

static void crash(struct rig *rig)
{
    queue_channel_gone(&rig->queues, rig->a);
    queue_channel_gone(&rig->queues, rig->b);
    queues_model_server_gone(&rig->queues);
    model_server_gone(&rig->model);
    model_server_begins(&rig->model);
    rig->a = queue_channel_open(&rig->queues, "a2");
    rig->b = queue_channel_open(&rig->queues, "b2");
}

static void test_two_holders(void **state)
{
    struct rig *rig = *state;
    queue_delivered(&rig->queues, rig->a, rig->q, 1, false);
    queue_delivered(&rig->queues, rig->b, rig->q, 1, true);
    expect(rig, NULL); // a's connection may have broken
    queue_channel_answered(&rig->queues, rig->a, model_now(&rig->model));
    expect(rig, NULL); // or b's, and it has read an old delivery
    queue_channel_answered(&rig->queues, rig->b, model_now(&rig->model));
    expect(rig, "while a held it");
}

// What was on its way when a's connection broke says nothing, whenever a reads it.
static void test_an_old_delivery(void **state)
{
    struct rig *rig = *state;
    queue_delivered(&rig->queues, rig->b, rig->q, 1, true);
    queue_ack_sent(&rig->queues, rig->b, 1);
    queue_channel_answered(&rig->queues, rig->b, model_now(&rig->model));
    queue_acks_durable(&rig->queues, rig->b, rig->q, model_now(&rig->model));
    queue_delivered(&rig->queues, rig->b, rig->q, 2, true);
    queue_ack_sent(&rig->queues, rig->b, 2);
    uint64_t asked = model_now(&rig->model);
    queue_delivered(&rig->queues, rig->a, rig->q, 1, false);
    queue_delivered(&rig->queues, rig->a, rig->q, 2, true);
    queue_channel_answered(&rig->queues, rig->a, asked);
    queue_channel_gone(&rig->queues, rig->a);
    rig->a = queue_channel_open(&rig->queues, "a2");
    queue_drained(&rig->queues, rig->q, 3);
    queues_model_final(&rig->queues);
    expect(rig, NULL);
}

static void test_a_holder_that_is_gone(void **state)
{
    struct rig *rig = *state;
    queue_delivered(&rig->queues, rig->a, rig->q, 1, false);
    uint64_t asked = model_now(&rig->model);
    queue_delivered(&rig->queues, rig->b, rig->q, 1, true);
    queue_channel_answered(&rig->queues, rig->a, asked); // asked before: proves nothing
    queue_channel_gone(&rig->queues, rig->a);
    rig->a = queue_channel_open(&rig->queues, "a2");
    queue_channel_answered(&rig->queues, rig->a, model_now(&rig->model));
    expect(rig, NULL);
}

static void test_release_and_again(void **state)
{
    struct rig *rig = *state;
    queue_delivered(&rig->queues, rig->a, rig->q, 1, false);
    queue_release_sent(&rig->queues, rig->a, 1);
    queue_delivered(&rig->queues, rig->b, rig->q, 1, true);
    queue_channel_answered(&rig->queues, rig->a, model_now(&rig->model));
    expect(rig, NULL);
    queue_release_sent(&rig->queues, rig->b, 1);
    queue_delivered(&rig->queues, rig->a, rig->q, 1, false);
    expect(rig, NULL);
    queue_channel_answered(&rig->queues, rig->a, model_now(&rig->model));
    expect(rig, "without the flag");
}

static void test_acknowledged_comes_again(void **state)
{
    struct rig *rig = *state;
    queue_delivered(&rig->queues, rig->a, rig->q, 1, false);
    queue_ack_sent(&rig->queues, rig->a, 1);
    queue_channel_answered(&rig->queues, rig->a, model_now(&rig->model));
    expect(rig, NULL);
    queue_delivered(&rig->queues, rig->b, rig->q, 1, true);
    queue_channel_answered(&rig->queues, rig->b, model_now(&rig->model));
    expect(rig, "after it was acknowledged");
}

static void test_an_acknowledgement_that_a_crash_took(void **state)
{
    struct rig *rig = *state;
    queue_delivered(&rig->queues, rig->a, rig->q, 1, false);
    queue_ack_sent(&rig->queues, rig->a, 1);
    queue_channel_answered(&rig->queues, rig->a, model_now(&rig->model));
    crash(rig);
    queue_delivered(&rig->queues, rig->b, rig->q, 1, true);
    expect(rig, NULL); // it was handled, but never known to be durable
}

static void test_a_durable_acknowledgement(void **state)
{
    struct rig *rig = *state;
    queue_delivered(&rig->queues, rig->a, rig->q, 1, false);
    queue_ack_sent(&rig->queues, rig->a, 1);
    queue_acks_durable(&rig->queues, rig->a, rig->q, model_now(&rig->model));
    crash(rig);
    queue_drained(&rig->queues, rig->q, 1);
    expect(rig, "was durable");
}

static void test_order(void **state)
{
    struct rig *rig = *state;
    queue_delivered(&rig->queues, rig->a, rig->q, 2, false);
    queue_delivered(&rig->queues, rig->b, rig->q, 1, false); // another consumer
    queue_delivered(&rig->queues, rig->a, rig->q, 3, false);
    expect(rig, NULL);
    queue_published(&rig->queues, rig->q, 0, 4, 4);
    queue_published(&rig->queues, rig->q, 0, 5, 5);
    queue_delivered(&rig->queues, rig->b, rig->q, 5, false);
    queue_delivered(&rig->queues, rig->b, rig->q, 4, false);
    expect(rig, "after its message 5");
}

static void test_lost(void **state)
{
    struct rig *rig = *state;
    queue_drained(&rig->queues, rig->q, 1);
    queue_delivered(&rig->queues, rig->a, rig->q, 2, false);
    queue_ack_sent(&rig->queues, rig->a, 2);
    queues_model_final(&rig->queues);
    expect(rig, "message 3 was confirmed, nobody took it, and it is gone");
}

static void test_twice_in_it(void **state)
{
    struct rig *rig = *state;
    queue_drained(&rig->queues, rig->q, 1);
    queue_drained(&rig->queues, rig->q, 1);
    expect(rig, "is in it twice");
}

static void test_dead_letters(void **state)
{
    struct rig *rig = *state;
    queue_delivered(&rig->queues, rig->a, rig->q, 1, false);
    queue_reject_sent(&rig->queues, rig->a, 1);
    queue_delivered(&rig->queues, rig->b, rig->dead, 1, false);
    queue_drained(&rig->queues, rig->q, 1); // a crash between the copy and the settling
    expect(rig, NULL);
    queue_drained(&rig->queues, rig->dead, 2); // nobody rejected that
    expect(rig, "which nobody has sent there");
}

static void test_a_dead_letter_is_lost(void **state)
{
    struct rig *rig = *state;
    for (uint64_t id = 2; id <= 3; id++)
        queue_drained(&rig->queues, rig->q, id);
    queue_delivered(&rig->queues, rig->a, rig->q, 1, false);
    queue_reject_sent(&rig->queues, rig->a, 1);
    queues_model_final(&rig->queues);
    expect(rig, "message 1 was confirmed");
}

static void test_out_of_nowhere(void **state)
{
    struct rig *rig = *state;
    queue_delivered(&rig->queues, rig->a, rig->q, 99, false);
    expect(rig, "nobody has sent");
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_two_holders),
        CASE(test_an_old_delivery),
        CASE(test_a_holder_that_is_gone),
        CASE(test_release_and_again),
        CASE(test_acknowledged_comes_again),
        CASE(test_an_acknowledgement_that_a_crash_took),
        CASE(test_a_durable_acknowledgement),
        CASE(test_order),
        CASE(test_lost),
        CASE(test_twice_in_it),
        CASE(test_dead_letters),
        CASE(test_a_dead_letter_is_lost),
        CASE(test_out_of_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
