// SPDX-License-Identifier: Apache-2.0
//
// Changes of the catalogue on the node rig: queues, exchanges, bindings and topics, one after the
// other; and what every shard then knows.
#ifndef WEIR_NODE_RIG_CHANGES_TEST_H
#define WEIR_NODE_RIG_CHANGES_TEST_H

#include "base/prng.h"
#include "node/queues.h"
#include "node/rig_node_test.h"

RIG struct rig rig;
RIG struct queue_change change; // the last one

#define VHOST slice_cstr("/")

RIG void change_done(struct queue_change *c)
{
    (void)c;
    rig.done = true;
}

RIG void change_run(struct rig *r, struct shard *shard, void *arg)
{
    struct queue_change *c = arg;
    (void)r;
    c->done = change_done;
    queue_change_start(shard, c);
}

RIG int run_change(uint32_t shard)
{
    rig_on_shard(&rig, shard % rig.shards, change_run, &change);
    return change.err;
}

RIG struct queue_facts queue_named(const char *name)
{
    return (struct queue_facts){
        .vhost = VHOST,
        .name = slice_cstr(name),
        .durable = true,
        .levels = 1,
        .arguments = slice_cstr(""),
        .settings = {.message_ttl_ms = -1,
                     .expires_ms = -1,
                     .max_length = -1,
                     .max_length_bytes = -1},
    };
}

RIG int declare_facts(struct queue_facts facts, uint64_t owner)
{
    change = (struct queue_change){.kind = QUEUE_DECLARE, .owner = owner, .queue = facts};
    return run_change(1);
}

RIG int declare(const char *name)
{
    return declare_facts(queue_named(name), 1);
}

RIG int delete_queue(const char *name)
{
    change = (struct queue_change){.kind = QUEUE_DELETE, .owner = 1};
    change.queue.vhost = VHOST;
    change.queue.name = slice_cstr(name);
    return run_change(2);
}

RIG int exchange(const char *name, enum exchange_type type, bool durable, bool auto_delete)
{
    change = (struct queue_change){.kind = EXCHANGE_DECLARE};
    change.exchange = (struct exchange){.vhost = VHOST,
                                        .name = slice_cstr(name),
                                        .type = type,
                                        .durable = durable,
                                        .auto_delete = auto_delete,
                                        .arguments = slice_cstr("")};
    return run_change(0);
}

RIG int delete_exchange(const char *name, bool if_unused)
{
    change = (struct queue_change){.kind = EXCHANGE_DELETE, .if_unused = if_unused};
    change.exchange = (struct exchange){.vhost = VHOST, .name = slice_cstr(name)};
    return run_change(1);
}

RIG int binding(enum queue_change_kind kind, const char *source, const char *destination,
                const char *key, bool to_exchange)
{
    change = (struct queue_change){.kind = kind, .owner = 1};
    change.binding = (struct exchange_binding){.vhost = VHOST,
                                               .source = slice_cstr(source),
                                               .destination = slice_cstr(destination),
                                               .key = slice_cstr(key),
                                               .arguments = slice_cstr(""),
                                               .to_exchange = to_exchange};
    return run_change(2);
}

RIG int bind(const char *source, const char *queue, const char *key)
{
    return binding(BINDING_ADD, source, queue, key, false);
}

RIG int unbind(const char *source, const char *queue, const char *key)
{
    return binding(BINDING_REMOVE, source, queue, key, false);
}

// ---- what every shard knows

RIG bool queue_there(const char *name)
{
    bool there = queue_by_name(node_shard(rig.node, 0), VHOST, slice_cstr(name)) != NULL;
    for (uint32_t i = 1; i < rig.shards; i++) {
        const struct queue_facts *f =
            queue_by_name(node_shard(rig.node, i), VHOST, slice_cstr(name));
        assert_int_equal(f != NULL, there);
    }
    return there;
}

RIG const struct exchange *exchange_there(const char *name)
{
    const struct exchange *first =
        exchange_find(shard_exchanges(node_shard(rig.node, 0)), VHOST, slice_cstr(name));
    for (uint32_t i = 1; i < rig.shards; i++) {
        const struct exchange *x =
            exchange_find(shard_exchanges(node_shard(rig.node, i)), VHOST, slice_cstr(name));
        assert_int_equal(x != NULL, first != NULL);
        if (x != NULL)
            assert_int_equal(x->bindings_out, first->bindings_out);
    }
    return first;
}

// How many queues a message reaches, the same by every shard's replica.
RIG uint32_t routed(const char *name, const char *key)
{
    uint32_t count = UINT32_MAX;
    for (uint32_t i = 0; i < rig.shards; i++) {
        struct route route = {0};
        struct exchanges *all = shard_exchanges(node_shard(rig.node, i));
        const struct slice keys[] = {slice_cstr(key)};
        assert_int_equal(exchange_route(all, &route, VHOST, slice_cstr(name), keys, 1, NULL, 0), 0);
        assert_true(i == 0 || route.count == count);
        count = route.count;
        route_fini(&route);
    }
    return count;
}

RIG const struct topic *topic_there(const char *name)
{
    return topic_by_name(node_shard(rig.node, rig.shards - 1), slice_cstr(name));
}

RIG void start(uint64_t seed)
{
    rig_init(&rig, seed, 3, NULL);
}

RIG void restart(bool crash, uint32_t shards)
{
    if (crash)
        rig_crash(&rig);
    else
        rig_stop(&rig);
    rig.shards = shards;
    assert_int_equal(rig_start(&rig), 0);
}

// ---- Kafka's changes of the same catalogue

RIG void topic_created(struct topic_create *r)
{
    (void)r;
    rig.done = true;
}

RIG void topic_create_run(struct rig *r, struct shard *shard, void *arg)
{
    (void)r;
    ((struct topic_create *)arg)->done = topic_created;
    topic_create_start(shard, arg);
}

RIG int create_topic(const char *name, int32_t partitions)
{
    struct topic_create r = {
        .name = slice_cstr(name), .partitions_count = partitions, .replication_factor = 1};
    rig_on_shard(&rig, 2, topic_create_run, &r);
    return r.err;
}

RIG void topic_deleted(struct topic_delete *r)
{
    (void)r;
    rig.done = true;
}

RIG void topic_delete_run(struct rig *r, struct shard *shard, void *arg)
{
    (void)r;
    ((struct topic_delete *)arg)->done = topic_deleted;
    topic_delete_start(shard, arg);
}

RIG int delete_topic(const char *name)
{
    struct topic_delete r = {.name = slice_cstr(name)};
    rig_on_shard(&rig, 1, topic_delete_run, &r);
    return r.err;
}

RIG void topic_grown(struct topic_grow *r)
{
    (void)r;
    rig.done = true;
}

RIG void topic_grow_run(struct rig *r, struct shard *shard, void *arg)
{
    (void)r;
    ((struct topic_grow *)arg)->done = topic_grown;
    topic_grow_start(shard, arg);
}

#endif
