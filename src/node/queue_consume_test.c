// SPDX-License-Identifier: Apache-2.0
//
// Credit between a consumer's shard and its queue's: whatever crosses on the way, both mean the
// same by it when all has arrived.
#include "base/prng.h"
#include "node/rig_queue_test.h"

// What a door knows: what its queue may still send.
static struct account {
    struct uuid queue;
    struct shard *at;
    struct queue_subscription *sub;
    bool gated, asked;
    uint32_t credit, delivered;
} door;

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void on_attached(void *arg, int err)
{
    (void)arg;
    assert_int_equal(err, 0);
    rig.done = true;
}

static void on_deliver(void *arg, const struct queue_delivery *deliveries, uint32_t count)
{
    (void)arg;
    (void)deliveries;
    door.delivered += count;
    door.credit -= smaller(count, door.credit);
}

static void on_ready(void *arg)
{
    (void)arg;
    door.asked = door.gated;
}

static void on_unused(void *arg, uint32_t credit)
{
    (void)arg;
    door.credit -= smaller(credit, door.credit);
}

static void on_cancelled(void *arg)
{
    (void)arg;
}

static void open_run(struct rig *r, struct shard *shard, void *arg)
{
    (void)r;
    (void)arg;
    door.at = shard;
    const struct queue_subscription_options o = {
        .queue = door.queue,
        .holder = node_holder_new(shard),
        .attached = on_attached,
        .deliver = on_deliver,
        .ready = on_ready,
        .unused = on_unused,
        .cancelled = on_cancelled,
    };
    queue_subscribe(shard, &o, &door.sub);
}

// It becomes gated at rest only: what is on its way then would not be told from what it is granted.
static void act(struct prng *prng)
{
    uint32_t n = (uint32_t)prng_below(prng, 5);
    if (door.gated && door.asked && prng_chance(prng, 1, 2)) {
        door.asked = false;
        door.credit += n + 1;
        queue_subscription_grant(door.sub, n + 1);
    } else if (door.gated) {
        door.gated = prng_chance(prng, 1, 2);
        if (!door.gated)
            queue_subscription_set_gated(door.sub, false);
    } else {
        door.credit = n;
        queue_subscription_set_credit(door.sub, n);
    }
}

static void act_run(struct rig *r, struct shard *shard, void *arg)
{
    (void)shard;
    for (uint64_t i = prng_below(arg, 3) + 1; i > 0; i--)
        act(arg);
    r->done = true;
}

static void gate_run(struct rig *r, struct shard *shard, void *arg)
{
    (void)shard;
    (void)arg;
    if (!door.gated)
        queue_subscription_set_gated(door.sub, true);
    door.gated = true;
    door.asked = false;
    r->done = true;
}

static void ungate_run(struct rig *r, struct shard *shard, void *arg)
{
    (void)shard;
    (void)arg;
    if (door.gated)
        queue_subscription_set_gated(door.sub, false);
    door.gated = false;
    r->done = true;
}

// The queue gives what the door thinks that it may, and no more; nothing is left then.
static void expect_same_credit(void)
{
    static struct queue_ask ask;
    rig_on_shard(&rig, shard_index(door.at), ungate_run, NULL);
    idle(200);
    uint32_t credit = door.credit, delivered = door.delivered;
    assert_true(credit == 0 || stats_of(&door.queue).ready == 0);
    publish_texts(0, "q", "m", credit + 7);
    idle(200);
    assert_int_equal(door.delivered, delivered + credit);
    assert_int_equal(door.credit, 0);
    ask = (struct queue_ask){.id = door.queue, .purge = true};
    rig_on_shard(&rig, 1, ask_run, &ask);
    assert_int_equal(ask.err, 0);
}

static void test_credit(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 100; seed++) {
        struct prng prng;
        prng_seed(&prng, seed);
        rig_init(&rig, 500 + seed, 2, NULL);
        door = (struct account){0};
        declare_plain("q", false, &door.queue);
        rig_on_shard(&rig, seed % 2, open_run, NULL);
        for (int round = 0; round < 40; round++) {
            publish_texts((uint32_t)prng_below(&prng, 2), "q", "m", 1);
            for (uint64_t i = prng_below(&prng, 3); i > 0; i--)
                rig_on_shard(&rig, seed % 2, act_run, &prng);
            idle(200);
            expect_same_credit();
            rig_on_shard(&rig, seed % 2, gate_run, NULL);
        }
        rig_fini(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_credit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
