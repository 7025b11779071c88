// SPDX-License-Identifier: Apache-2.0
//
// What a change to queues, exchanges and bindings does on every shard. Shard 0's own part also
// keeps the master's counts of what goes with what is deleted.
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "node/queue_work.h"

void queue_memory_give(struct shard *shard, size_t cost)
{
    budget_give(&shard->catalogue.queue_memory, cost * shard->node->options.shards_count);
}

static void bare_note(struct queue_work *w, const struct exchange *x)
{
    struct bare *b = mem_zalloc(sizeof *b + x->vhost.len + x->name.len);
    uint8_t *bytes = (uint8_t *)(b + 1);
    memcpy(bytes, x->vhost.data, x->vhost.len);
    memcpy(bytes + x->vhost.len, x->name.data, x->name.len);
    b->id = x->id;
    b->vhost = slice_of(bytes, x->vhost.len);
    b->name = slice_of(bytes + x->vhost.len, x->name.len);
    list_push_back(&w->bare, &b->link);
}

// On shard 0, before the binding goes.
static void binding_goes(void *arg, const struct exchange_binding *binding)
{
    struct queue_work *w = arg;
    struct catalogue *c = &w->shard->catalogue;
    const struct exchange *x =
        exchange_find(w->shard->replica.exchanges, binding->vhost, binding->source);
    ASSERT(x != NULL);
    ASSERT(c->totals.bindings > 0);
    c->totals.bindings--;
    queue_memory_give(w->shard, binding_cost(binding));
    if (x->auto_delete && x->bindings_out == 1)
        bare_note(w, x);
}

static void apply_queue(struct shard *shard, const struct queue_work *w)
{
    const struct queue_facts *f = &w->queue;
    uint32_t owner = queue_owner(shard->node, &f->id);
    if (w->topic_made) {
        topic_make(shard, &w->topic);
    } else if (queue_is_topic(f)) { // taken: its log options change
        struct topic_entry *topic = topic_entry_by_id(shard, &f->id);
        ASSERT(topic != NULL);
        topic->topic.queue = true;
    } else if (owner == shard->index) {
        const struct log_options options = {
            .retention_ms = -1, .retention_bytes = -1, .memory = true};
        for (uint32_t i = 0; i < f->levels; i++) {
            const struct log_key key = {f->id, (int32_t)i};
            struct partition *p = NULL;
            int err = partition_make(shard, &key, &options, &p);
            ASSERT(err == 0);
        }
    }
    const struct queue_entry *e = queue_entry_add(shard, f);
    if (owner == shard->index) {
        int err = queue_host_open(shard, &e->facts);
        ASSERT(err == 0);
    }
    if (queue_is_topic(f))
        topic_refresh(shard, topic_entry_by_id(shard, &f->id));
}

static void apply_queue_gone(struct shard *shard, struct queue_work *w)
{
    struct queue_entry *e = queue_entry_by_id(shard, &w->queue.id);
    ASSERT(e != NULL);
    bool topic = queue_is_topic(&e->facts);
    if (queue_owner(shard->node, &e->facts.id) == shard->index) {
        queue_host_close(shard, &e->facts.id);
        if (!topic)
            partitions_drop(shard, &e->facts.id, e->facts.levels);
    }
    if (topic)
        topic_drop(shard, &e->facts.id);
    queue_entry_remove(shard, e, shard->index == 0 ? binding_goes : NULL, w);
}

static void apply_exchange(struct shard *shard, const struct queue_work *w)
{
    exchanges_vhost_add(shard->replica.exchanges, w->exchange.vhost);
    int err = exchange_add(shard->replica.exchanges, &w->exchange);
    ASSERT(err == 0);
}

static void apply_exchange_gone(struct shard *shard, struct queue_work *w)
{
    exchange_remove(shard->replica.exchanges, w->exchange.vhost, w->exchange.name,
                    shard->index == 0 ? binding_goes : NULL, w);
}

static void apply_binding(struct shard *shard, const struct queue_work *w)
{
    exchanges_vhost_add(shard->replica.exchanges, w->binding.vhost);
    int err = exchange_bind(shard->replica.exchanges, &w->binding);
    ASSERT(err == 0);
}

static void apply_binding_gone(struct shard *shard, struct queue_work *w)
{
    const struct exchange_binding *there = exchange_bound(shard->replica.exchanges, &w->binding);
    ASSERT(there != NULL);
    if (shard->index == 0)
        binding_goes(w, there);
    int err = exchange_unbind(shard->replica.exchanges, &w->binding);
    ASSERT(err == 0);
}

void work_apply(struct shard *shard, struct queue_work *w)
{
    switch (w->kind) {
    case QUEUE_DECLARE:
        apply_queue(shard, w);
        break;
    case QUEUE_DELETE:
        apply_queue_gone(shard, w);
        break;
    case EXCHANGE_DECLARE:
        apply_exchange(shard, w);
        break;
    case EXCHANGE_DELETE:
        apply_exchange_gone(shard, w);
        break;
    case BINDING_ADD:
        apply_binding(shard, w);
        break;
    case BINDING_REMOVE:
        apply_binding_gone(shard, w);
        break;
    }
}
