// SPDX-License-Identifier: Apache-2.0
//
// Recovery of queues, exchanges and bindings. Their records are only kept, by key, the last one
// wins, until snapshot and journal are read; then every shard's replica is built from what is left.
// So the order in which records come does not matter, and replay may begin before the snapshot.
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/node_int.h"

int queue_restore_record(struct node *node, const struct state_record *record)
{
    if (record->key.len == 0)
        return ERR_CORRUPT;
    if (node->restore == NULL) {
        node->restore = mem_alloc(sizeof *node->restore);
        kept_init(node->restore, node->shards[0].hash_seed);
    }
    kept_put(node->restore, record);
    return 0;
}

void queue_restore_free(struct node *node)
{
    if (node->restore == NULL)
        return;
    kept_fini(node->restore);
    mem_free(node->restore);
    node->restore = NULL;
}

// ---- building

static void memory_force(struct node *node, size_t cost)
{
    budget_force(&node->shards[0].catalogue.queue_memory, cost * node->options.shards_count);
}

static int exchange_build(void *arg, const struct kept_record *k)
{
    struct node *node = arg;
    struct exchange x;
    int err = exchange_record_get(k->key, k->value, &x);
    for (uint32_t i = 0; i < node->options.shards_count && err == 0; i++) {
        struct exchanges *all = node->shards[i].replica.exchanges;
        exchanges_vhost_add(all, x.vhost);
        if (exchange_find(all, x.vhost, x.name) != NULL)
            return ERR_CORRUPT; // two of one name: each is deleted before the next is made
        err = exchange_add(all, &x);
    }
    if (err != 0)
        return err;
    node->shards[0].catalogue.totals.exchanges++;
    memory_force(node, exchange_cost(&x));
    return 0;
}

static int queue_build(void *arg, const struct kept_record *k)
{
    struct node *node = arg;
    struct queue_facts f;
    int err = queue_record_get(k->key, k->value, &f);
    for (uint32_t i = 0; i < node->options.shards_count && err == 0; i++) {
        struct shard *shard = &node->shards[i];
        struct topic_entry *topic = topic_entry_by_id(shard, &f.id);
        // Its topic is written and deleted with it.
        if (topic == NULL || topic->topic.partitions_count != f.levels ||
            queue_by_name(shard, f.vhost, f.name) != NULL)
            return ERR_CORRUPT;
        topic->topic.internal = queue_entry_add(shard, &f)->facts.hidden;
        topic->topic.queue = true;
    }
    if (err != 0)
        return err;
    node->shards[0].catalogue.totals.queues++;
    memory_force(node, queue_cost(&f));
    return 0;
}

// One whose ends are gone, or others of the same name, went with them.
static int binding_build(void *arg, const struct kept_record *k)
{
    struct node *node = arg;
    struct exchange_binding b;
    struct binding_ends ends, now;
    int err = binding_record_get(k->key, k->value, &b, &ends);
    if (err != 0)
        return err;
    for (uint32_t i = 0; i < node->options.shards_count; i++) // its ends may both be preset
        exchanges_vhost_add(node->shards[i].replica.exchanges, b.vhost);
    bool there = binding_ends_of(&node->shards[0], &b, &now) &&
                 uuid_eq(&now.source, &ends.source) && uuid_eq(&now.destination, &ends.destination);
    for (uint32_t i = 0; i < node->options.shards_count && there && err == 0; i++)
        err = exchange_bind(node->shards[i].replica.exchanges, &b);
    if (there && err == 0) {
        node->shards[0].catalogue.totals.bindings++;
        memory_force(node, binding_cost(&b));
    }
    mem_free((void *)(uintptr_t)b.headers);
    return err == 0 ? 0 : ERR_CORRUPT;
}

int queue_restore_build(struct node *node)
{
    if (node->restore == NULL)
        return 0;
    int err = kept_each(node->restore, STATE_EXCHANGE, exchange_build, node);
    if (err == 0)
        err = kept_each(node->restore, STATE_QUEUE, queue_build, node);
    if (err == 0)
        err = kept_each(node->restore, STATE_BINDING, binding_build, node);
    queue_restore_free(node);
    return err;
}

struct open_walk {
    struct node *node;
    int err;
};

static bool queue_open_one(void *arg, const struct queue_facts *facts)
{
    struct open_walk *walk = arg;
    struct shard *shard = &walk->node->shards[queue_owner(walk->node, &facts->id)];
    const struct topic *topic = topic_by_id(shard, &facts->id);
    ASSERT(topic != NULL);
    ASSERT(topic->queue);
    walk->err = queue_host_open(shard, queue_facts_by_id(shard, &facts->id));
    if (walk->err == 0)
        queue_host_retention(shard, &facts->id, topic->config.retention_after_ack_ms);
    return walk->err == 0;
}

int queue_restore_open(struct node *node)
{
    struct open_walk walk = {node, 0};
    queue_entries_each(&node->shards[0], true, queue_open_one, &walk);
    return walk.err;
}
