// SPDX-License-Identifier: Apache-2.0
//
// Publishers that bring more in one turn than there is memory for are told to pause in the middle
// of it, before anything is refused, and may go on afterwards.
#include "node/rig_queue_test.h"

static void publish_until_blocked(struct rig *r, struct shard *shard, void *arg)
{
    struct publishing *p = arg;
    (void)r;
    p->receipt = (struct publish_receipt){.done = receipt_done};
    while (p->err == 0 && !shard_appends_blocked(shard))
        p->err = publish_one(shard, p, p->count++);
}

static bool unblocked(void *arg)
{
    return !shard_appends_blocked(arg);
}

static void pause_and_go_on(bool durable)
{
    rig_init(&rig, 81, 3, NULL);
    declare_plain("q", durable, NULL);
    for (uint32_t round = 0; round < 3; round++) {
        struct publishing flood = {.key = "q", .prefix = "f", .size = 100000};
        rig_on_shard(&rig, 1, publish_until_blocked, &flood);
        assert_int_equal(flood.err, 0);
        assert_int_equal(flood.receipt.err, 0);
        assert_true(flood.count > 10);
        wait_for(unblocked, node_shard(rig.node, 1));
    }
    rig_fini(&rig);
}

static void test_on_disk(void **state)
{
    (void)state;
    pause_and_go_on(true);
}

static void test_in_memory(void **state)
{
    (void)state;
    pause_and_go_on(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_disk),
        cmocka_unit_test(test_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
