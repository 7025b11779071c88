// SPDX-License-Identifier: Apache-2.0
//
// The catalogue of queues over three shards: declared, found equal, refused, deleted; together with
// Kafka's changes of the same topics; virtual hosts.
#include "node/rig_changes_test.h"

// ---- queues

static void test_declare(void **state)
{
    (void)state;
    start(1);
    assert_int_equal(declare("orders"), 0);
    assert_true(change.made);
    assert_true(queue_there("orders"));
    const struct uuid id = change.queue.id;
    assert_int_equal(uuid_version(&id), QUEUE_UUID_VERSION);
    assert_int_equal(declare("orders"), 0);
    assert_false(change.made);
    assert_true(uuid_eq(&change.queue.id, &id));
    assert_int_equal(change.messages, 0);
    assert_int_equal(change.consumers, 0);
    // It is a topic, and that topic knows.
    const struct topic *t = topic_there("orders");
    assert_non_null(t);
    assert_true(t->queue && uuid_eq(&t->id, &id));
    const struct queue_facts *f = queue_of_topic(node_shard(rig.node, 2), slice_cstr("orders"));
    assert_non_null(f);
    assert_ptr_equal(f, queue_facts_by_id(node_shard(rig.node, 2), &id));
    // Not equal: whatever differs.
    struct queue_facts other = queue_named("orders");
    other.durable = false;
    assert_int_equal(declare_facts(other, 1), ERR_EXISTS);
    other = queue_named("orders");
    other.auto_delete = true;
    assert_int_equal(declare_facts(other, 1), ERR_EXISTS);
    other = queue_named("orders");
    other.exclusive = true;
    assert_int_equal(declare_facts(other, 1), ERR_EXISTS);
    other = queue_named("orders");
    other.arguments = slice_cstr("x-message-ttl");
    assert_int_equal(declare_facts(other, 1), ERR_EXISTS);
    assert_string_equal(change.why, "");
    // What cannot be.
    assert_int_equal(declare(""), ERR_INVALID);
    other = queue_named("q");
    other.levels = QUEUE_LEVELS_MAX + 1;
    assert_int_equal(declare_facts(other, 1), ERR_INVALID);
    other = queue_named("q");
    other.vhost = slice_cstr("elsewhere");
    assert_int_equal(declare_facts(other, 1), ERR_NOT_FOUND);
    assert_int_equal(queue_facts_count(node_shard(rig.node, 0)), 1);

    assert_int_equal(delete_queue("orders"), 0);
    assert_int_equal(delete_queue("orders"), ERR_NOT_FOUND);
    assert_false(queue_there("orders"));
    assert_null(topic_there("orders"));
    assert_int_equal(declare("orders"), 0);
    assert_false(uuid_eq(&change.queue.id, &id));
    const struct uuid now = change.queue.id;
    change = (struct queue_change){.kind = QUEUE_DELETE, .owner = 1, .by_id = true};
    change.queue = queue_named("orders");
    change.queue.id = id; // another one by now
    assert_int_equal(run_change(0), ERR_NOT_FOUND);
    change.queue.id = now;
    assert_int_equal(run_change(0), 0);
    rig_fini(&rig);
}

static void test_exclusive(void **state)
{
    (void)state;
    start(2);
    struct queue_facts mine = queue_named("mine");
    mine.exclusive = true;
    mine.durable = false;
    assert_int_equal(declare_facts(mine, 7), 0);
    assert_int_equal(queue_by_name(node_shard(rig.node, 1), VHOST, mine.name)->owner, 7);
    assert_null(topic_there("mine"));
    assert_int_equal(declare_facts(mine, 7), 0);
    assert_int_equal(declare_facts(mine, 8), ERR_RESOURCE_LOCKED);
    mine.auto_delete = true; // first whose it is, then what differs
    assert_int_equal(declare_facts(mine, 8), ERR_RESOURCE_LOCKED);
    assert_int_equal(declare_facts(mine, 7), ERR_EXISTS);
    assert_int_equal(delete_queue("mine"), ERR_RESOURCE_LOCKED);
    assert_int_equal(bind("amq.direct", "mine", "k"), ERR_RESOURCE_LOCKED);
    change.owner = 7;
    assert_int_equal(run_change(0), 0);
    assert_int_equal(unbind("amq.direct", "mine", "k"), ERR_RESOURCE_LOCKED);
    assert_int_equal(routed("amq.direct", "k"), 1);
    change = (struct queue_change){.kind = QUEUE_DELETE, .owner = 7};
    change.queue = mine;
    assert_int_equal(run_change(0), 0);
    assert_false(queue_there("mine"));
    assert_int_equal(routed("amq.direct", "k"), 0);
    // A topic of that name has nothing to do with it.
    assert_int_equal(create_topic("mine", 3), 0);
    assert_int_equal(declare_facts(mine, 7), 0);
    assert_int_equal(delete_topic("mine"), 0);
    assert_true(queue_there("mine"));
    rig_fini(&rig);
}

// All levels on one shard, whatever the number of shards.
static void test_levels_live_together(void **state)
{
    (void)state;
    start(3);
    struct queue_facts f = queue_named("priority");
    f.levels = 10;
    assert_int_equal(declare_facts(f, 1), 0);
    const struct uuid id = change.queue.id;
    assert_int_equal(topic_there("priority")->partitions_count, 10);
    for (uint32_t shards = 1; shards < 6; shards++) {
        restart(shards % 2 == 0, shards);
        uint32_t owner = node_shard_of_partition(rig.node, &id, 0);
        for (int32_t i = 1; i < 10; i++)
            assert_int_equal(node_shard_of_partition(rig.node, &id, i), owner);
        assert_int_equal(declare_facts(f, 1), 0);
        assert_false(change.made);
    }
    rig_fini(&rig);
}

// ---- Kafka beside

static void test_kafka_beside(void **state)
{
    (void)state;
    start(4);
    assert_int_equal(create_topic("plain", 1), 0);
    assert_int_equal(create_topic("wide", 3), 0);
    assert_int_equal(declare("plain"), ERR_EXISTS);
    assert_string_not_equal(change.why, "");
    assert_int_equal(declare("wide"), ERR_EXISTS);
    change.take_topic = true;
    assert_int_equal(run_change(0), ERR_EXISTS);
    assert_non_null(strstr(change.why, "partitions"));
    struct uuid id = topic_there("plain")->id;
    change.queue = queue_named("plain");
    assert_int_equal(run_change(0), 0);
    assert_true(uuid_eq(&change.queue.id, &id));
    assert_true(queue_there("plain"));
    assert_true(topic_there("plain")->queue);
    // Names that only differ in '.' and '_' are for queues two names.
    assert_int_equal(declare("a.b"), 0);
    assert_int_equal(declare("a_b"), 0);
    assert_int_equal(create_topic("a.b", 1), ERR_TOPIC_ALREADY_EXISTS);
    // Its partitions are its levels.
    struct topic_grow grow = {.name = slice_cstr("a.b"), .partitions_count = 4};
    rig_on_shard(&rig, 0, topic_grow_run, &grow);
    assert_int_equal(grow.err, ERR_INVALID_PARTITIONS);
    // Deleting the topic deletes the queue, with its bindings and what those kept alive.
    assert_int_equal(exchange("auto", EXCHANGE_FANOUT, true, true), 0);
    assert_int_equal(bind("auto", "plain", ""), 0);
    assert_int_equal(bind("amq.topic", "plain", "#"), 0);
    assert_int_equal(routed("amq.topic", "x"), 1);
    assert_int_equal(delete_topic("plain"), 0);
    assert_false(queue_there("plain"));
    assert_null(exchange_there("auto"));
    assert_int_equal(routed("amq.topic", "x"), 0);
    restart(true, 3);
    assert_false(queue_there("plain"));
    assert_null(exchange_there("auto"));
    assert_true(queue_there("a.b"));
    assert_null(topic_there("plain"));
    rig_fini(&rig);
}

// A queue's records never expire, and stay its own affair when the server's defaults change.
static void test_retention_is_the_queues(void **state)
{
    static const char *const config[] = {"log.retention.ms=1000", "log.cleanup.policy=compact",
                                         NULL};
    (void)state;
    rig_init(&rig, 5, 3, config);
    struct queue_facts f = queue_named("q");
    f.settings.retention_after_ack_ms = 5000;
    assert_int_equal(declare_facts(f, 1), 0);
    assert_int_equal(create_topic("t", 1), 0);
    for (int round = 0; round < 2; round++) {
        const struct topic_config *q = &topic_there("q")->config;
        assert_int_equal(q->retention_ms, -1);
        assert_int_equal(q->retention_bytes, -1);
        assert_false(q->cleanup_compact);
        assert_int_equal(q->retention_after_ack_ms, 5000);
        assert_int_equal(topic_there("t")->config.retention_ms, 1000);
        restart(true, 2);
    }
    change.take_topic = true;
    change.queue = queue_named("t");
    assert_int_equal(run_change(0), ERR_EXISTS); // compacted
    rig_fini(&rig);
}

// ---- virtual hosts, holders, limits

static void test_vhosts(void **state)
{
    static const char *const listed[] = {"weir.amqp.vhosts=/, staging", NULL};
    static const char *const any[] = {"weir.amqp.vhosts=*", NULL};
    (void)state;
    rig_init(&rig, 20, 3, listed);
    struct shard *shard = node_shard(rig.node, 1);
    assert_true(vhost_known(shard, VHOST));
    assert_true(vhost_known(shard, slice_cstr("staging")));
    assert_false(vhost_known(shard, slice_cstr("other")));
    assert_false(vhost_known(shard, slice_cstr("")));
    assert_non_null(
        exchange_find(shard_exchanges(shard), slice_cstr("staging"), slice_cstr("amq.topic")));
    struct queue_facts f = queue_named("orders");
    f.vhost = slice_cstr("staging");
    assert_int_equal(declare_facts(f, 1), 0);
    assert_int_equal(declare("orders"), 0);
    assert_non_null(topic_there("staging_v.orders"));
    assert_true(
        slice_eq_cstr(queue_of_topic(shard, slice_cstr("staging_v.orders"))->vhost, "staging"));
    rig_stop(&rig);
    rig.config = any;
    assert_int_equal(rig_start(&rig), 0);
    shard = node_shard(rig.node, 1);
    char name[16];
    uint32_t known = 0;
    for (uint32_t i = 0; i < VHOSTS_MAX + 10; i++) {
        (void)snprintf(name, sizeof name, "v%u", i);
        known += vhost_known(shard, slice_cstr(name));
    }
    assert_int_equal(known, VHOSTS_MAX);
    assert_true(vhost_known(shard, slice_cstr("v0")));
    assert_true(vhost_known(shard, slice_cstr("staging"))); // there because of its queue
    uint64_t one = node_holder_new(shard);
    assert_int_not_equal(one, node_holder_new(shard));
    assert_int_equal(node_holder_shard(one), 1);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_declare),
        cmocka_unit_test(test_exclusive),
        cmocka_unit_test(test_levels_live_together),
        cmocka_unit_test(test_kafka_beside),
        cmocka_unit_test(test_retention_is_the_queues),
        cmocka_unit_test(test_vhosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
