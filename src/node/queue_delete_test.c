// SPDX-License-Identifier: Apache-2.0
//
// Whether a queue may be deleted, and its deletion, are one step, whoever comes at the same moment:
// declared again it stays, and who consumes either keeps it or finds none.
#include "node/rig_queue_test.h"

enum { EXPIRES_MS = 50 };

static int declare_fleeting(bool durable, bool *out_made)
{
    static struct queue_change change;
    change = (struct queue_change){.kind = QUEUE_DECLARE};
    change.queue = (struct queue_facts){.vhost = VHOST,
                                        .name = slice_cstr("q"),
                                        .durable = durable,
                                        .levels = 1,
                                        .settings = plain};
    change.queue.settings.expires_ms = EXPIRES_MS;
    rig_on_shard(&rig, 1 % rig.shards, change_run, &change);
    *out_made = change.made;
    return change.err;
}

static int bind(void)
{
    static struct queue_change change;
    change = (struct queue_change){.kind = BINDING_ADD};
    change.binding = (struct exchange_binding){.vhost = VHOST,
                                               .source = slice_cstr("amq.direct"),
                                               .destination = slice_cstr("q"),
                                               .key = slice_cstr("k")};
    rig_on_shard(&rig, 2 % rig.shards, change_run, &change);
    return change.err;
}

// Declared again while its time ends: it is there for a whole time more, or it is a new one.
static void test_declared_again(void **state)
{
    (void)state;
    uint32_t found = 0, made_anew = 0;
    for (uint32_t shards = 1; shards <= 3; shards += 2) {
        rig_init(&rig, 70 + shards, shards, NULL);
        for (uint32_t i = 0; i < 400; i++) {
            bool made;
            assert_int_equal(declare_fleeting(i % 2 == 0, &made), 0);
            assert_true(made);
            int64_t at_ns = sim_now_ns(rig.sim) + EXPIRES_MS * INT64_C(1000000) - 4000000;
            (void)sim_run_until(rig.sim, at_ns + i * INT64_C(12500), NULL, NULL);
            assert_int_equal(declare_fleeting(i % 2 == 0, &made), 0);
            found += made ? 0 : 1;
            made_anew += made ? 1 : 0;
            assert_int_equal(bind(), 0);
            idle(EXPIRES_MS / 2);
            assert_non_null(queue_by_name(node_shard(rig.node, 0), VHOST, slice_cstr("q")));
            idle(EXPIRES_MS * 2);
            assert_null(queue_by_name(node_shard(rig.node, 0), VHOST, slice_cstr("q")));
        }
        rig_fini(&rig);
    }
    assert_true(found > 50);
    assert_true(made_anew > 50);
}

// ---- consumed, or looked at, meanwhile

struct meeting { // a deletion if unused, and somebody who comes
    struct queue_change deletion;
    struct taker taker;
    struct queue_ask ask;
    struct publishing publishing;
    bool asks;
    int64_t delay_ns;
    struct io_timer timer;
    uint32_t over;
};

static struct meeting m;

static void meeting_deleted(struct queue_change *change)
{
    (void)change;
    m.over++;
}

static void meeting_attached(void *arg, int err)
{
    taker_attached(arg, err);
    m.over++;
}

static void meeting_asked(struct queue_ask *ask)
{
    (void)ask;
    m.over++;
}

static void somebody_comes(struct io_timer *timer)
{
    struct shard *shard = node_shard(rig.node, 2);
    (void)timer;
    m.taker.at = shard;
    m.taker.holder = node_holder_new(shard);
    const struct queue_subscription_options o = {
        .queue = m.taker.queue,
        .holder = m.taker.holder,
        .arg = &m.taker,
        .attached = meeting_attached,
        .deliver = taker_deliver,
        .cancelled = taker_cancelled,
    };
    if (m.asks)
        queue_ask_start(shard, &m.ask);
    else
        queue_subscribe(shard, &o, &m.taker.sub);
}

static void timer_run(struct rig *r, struct shard *shard, void *arg)
{
    (void)arg;
    io_timer_init(&m.timer, somebody_comes);
    io_timer_start(shard_io(shard), &m.timer, io_now_ns(shard_io(shard)) + m.delay_ns);
    r->done = true;
}

static void deletion_run(struct rig *r, struct shard *shard, void *arg)
{
    (void)arg;
    m.deletion.done = meeting_deleted;
    queue_change_start(shard, &m.deletion);
    r->done = true;
}

static bool both_over(void *arg)
{
    (void)arg;
    return m.over == 2;
}

static void meet(uint32_t number)
{
    struct uuid id;
    m = (struct meeting){.deletion = {.kind = QUEUE_DELETE, .if_unused = true}};
    declare_plain("q", number % 2 == 0, &id);
    m.deletion.queue.vhost = VHOST;
    m.deletion.queue.name = slice_cstr("q");
    m.taker.shard = 2;
    m.taker.queue = id;
    m.asks = number % 3 == 0;
    m.delay_ns = number * INT64_C(1000);
    m.ask = (struct queue_ask){.id = id, .touch = true, .done = meeting_asked};
    rig_on_shard(&rig, 2, timer_run, NULL);
    rig_on_shard(&rig, 1, deletion_run, NULL);
    wait_for(both_over, NULL);
    idle(5);
}

static void test_consumed_meanwhile(void **state)
{
    (void)state;
    uint32_t kept = 0, gone = 0;
    rig_init(&rig, 75, 3, NULL);
    for (uint32_t i = 0; i < 300; i++) {
        meet(i);
        if (!m.asks) {
            assert_int_equal(m.deletion.err, m.taker.err == 0 ? ERR_IN_USE : 0);
            assert_int_equal(m.taker.err, m.deletion.err == 0 ? ERR_NOT_FOUND : 0);
            assert_false(m.taker.cancelled);
            kept += m.deletion.err != 0 ? 1 : 0;
            gone += m.deletion.err == 0 ? 1 : 0;
            taker_stop(&m.taker);
        }
        if (m.deletion.err != 0)
            assert_int_equal(delete_queue("q"), 0);
    }
    rig_fini(&rig);
    assert_true(kept > 20);
    assert_true(gone > 20);
}

// ---- published to meanwhile

static bool confirmed_first; // before the deletion was asked for

static void delete_if_empty(struct io_timer *timer)
{
    (void)timer;
    confirmed_first = m.publishing.over;
    queue_change_start(node_shard(rig.node, 1), &m.deletion);
}

static void time_deletion(struct rig *r, struct shard *shard, void *arg)
{
    (void)arg;
    io_timer_init(&m.timer, delete_if_empty);
    io_timer_start(shard_io(shard), &m.timer, io_now_ns(shard_io(shard)) + m.delay_ns);
    r->done = true;
}

static bool deleted_and_confirmed(void *arg)
{
    (void)arg;
    return m.over == 1 && m.publishing.over;
}

// What was confirmed before is seen; what makes the queue not empty is in it afterwards.
static void test_published_meanwhile(void **state)
{
    (void)state;
    uint32_t seen = 0, gone = 0, sure = 0;
    rig_init(&rig, 76, 3, NULL);
    for (uint32_t i = 0; i < 300; i++) {
        struct uuid id;
        declare_plain("q", i % 2 == 0, &id);
        m = (struct meeting){.deletion = {.kind = QUEUE_DELETE, .if_empty = true}};
        m.deletion.queue.vhost = VHOST;
        m.deletion.queue.name = slice_cstr("q");
        m.deletion.done = meeting_deleted;
        m.publishing = (struct publishing){.key = "q", .prefix = "m", .count = 1};
        m.delay_ns = i * INT64_C(5000);
        rig_on_shard(&rig, 1, time_deletion, NULL);
        assert_int_equal(publish(2, &m.publishing), 0);
        wait_for(deleted_and_confirmed, NULL);
        gone += m.deletion.err == 0 ? 1 : 0;
        sure += confirmed_first ? 1 : 0;
        assert_true(m.deletion.err == 0 || m.deletion.err == ERR_NOT_EMPTY);
        assert_false(confirmed_first && m.deletion.err == 0);
        if (m.deletion.err == 0)
            continue;
        seen++;
        assert_int_equal(stats_of(&id).ready, 1);
        assert_int_equal(delete_queue("q"), 0);
    }
    rig_fini(&rig);
    assert_true(sure > 20);
    assert_true(seen > sure);
    assert_true(gone > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_declared_again),
        cmocka_unit_test(test_consumed_meanwhile),
        cmocka_unit_test(test_published_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
