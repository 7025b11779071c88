// SPDX-License-Identifier: Apache-2.0
//
// Publishing to a queue that has no room left: it is refused, the receipt and the counter say so,
// and room that comes free is used.
#include "node/rig_queue_test.h"

static void status_seen(struct status_request *request)
{
    (void)request;
    rig.done = true;
}

static void status_run(struct rig *r, struct shard *shard, void *arg)
{
    (void)r;
    struct status_request *request = arg;
    request->done = status_seen;
    status_start(shard, request);
}

static void test_a_full_memory_refuses(void **state)
{
    (void)state;
    static struct status_request status;
    rig_init(&rig, 14, 3, NULL);
    declare_plain("memory", false, NULL);
    uint64_t taken = 0, refused = 0;
    for (int turn = 0; turn < 20; turn++) {
        struct publishing p = {.key = "memory", .prefix = "m", .count = 10, .size = 100000};
        int err = publish(0, &p);
        assert_true(err == 0 || err == ERR_AGAIN);
        *(err == 0 ? &taken : &refused) += 10;
    }
    assert_in_range(taken, 10, 190);
    status = (struct status_request){0};
    rig_on_shard(&rig, 1, status_run, &status);
    // A flight of several batches hears of its first error.
    assert_in_range(status.status.queues.refused, 1, refused);
    assert_true(status.status.queues.ready >= taken);
    assert_int_equal(status.status.queues.ready + status.status.queues.refused, 200);
    status_drop(&status);
    assert_int_equal(delete_queue("memory"), 0);
    declare_plain("memory", false, NULL);
    struct publishing again = {.key = "memory", .prefix = "m", .count = 10, .size = 100000};
    assert_int_equal(publish(0, &again), 0);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_memory_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
