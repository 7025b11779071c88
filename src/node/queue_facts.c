// SPDX-License-Identifier: Apache-2.0
//
// A shard's replica of what queues and exchanges there are. Changes come from queue_changes.c
// (while running) and queue_restore.c (before).

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "node/queue_delay.h"

struct queue_name {
    struct slice vhost, name;
};

static bool name_eq(const struct map_node *node, const void *key)
{
    const struct queue_facts *f = &CONTAINER_OF(node, struct queue_entry, by_name)->facts;
    const struct queue_name *k = key;
    return slice_eq(f->name, k->name) && slice_eq(f->vhost, k->vhost);
}

static bool id_eq(const struct map_node *node, const void *key)
{
    return uuid_eq(&CONTAINER_OF(node, struct queue_entry, by_id)->facts.id, key);
}

static uint64_t name_hash(const struct queue_replica *r, struct slice vhost, struct slice name)
{
    return hash64(name.data, name.len, hash64(vhost.data, vhost.len, r->by_name.seed));
}

void queue_replica_init(struct shard *shard)
{
    struct queue_replica *r = &shard->replica;
    map_init(&r->by_name, name_eq, shard->hash_seed);
    map_init(&r->by_id, id_eq, shard->hash_seed);
    r->exchanges = exchanges_create(shard->hash_seed);
    vhosts_listed_add(shard);
}

void queue_replica_fini(struct shard *shard)
{
    struct queue_replica *r = &shard->replica;
    MAP_FOR_SAFE (it, &r->by_id) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        queue_entry_remove(shard, CONTAINER_OF(node, struct queue_entry, by_id), NULL, NULL);
    }
    map_fini(&r->by_name);
    map_fini(&r->by_id);
    exchanges_destroy(r->exchanges);
}

// ---- lookups

bool queue_is_topic(const struct queue_facts *facts)
{
    return facts->durable && !facts->exclusive;
}

uint32_t queue_owner(const struct node *node, const struct uuid *id)
{
    return node_shard_of_partition(node, id, 0);
}

struct queue_entry *queue_entry_by_name(struct shard *shard, struct slice vhost, struct slice name)
{
    const struct queue_replica *r = &shard->replica;
    const struct queue_name key = {vhost, name};
    struct map_node *node = map_find(&r->by_name, name_hash(r, vhost, name), &key);
    return node != NULL ? CONTAINER_OF(node, struct queue_entry, by_name) : NULL;
}

struct queue_entry *queue_entry_by_id(struct shard *shard, const struct uuid *id)
{
    const struct map *m = &shard->replica.by_id;
    struct map_node *node = map_find(m, map_hash(m, slice_of(id->bytes, sizeof id->bytes)), id);
    return node != NULL ? CONTAINER_OF(node, struct queue_entry, by_id) : NULL;
}

const struct queue_facts *queue_by_name(struct shard *shard, struct slice vhost, struct slice name)
{
    const struct queue_entry *e = queue_entry_by_name(shard, vhost, name);
    return e != NULL ? &e->facts : NULL;
}

const struct queue_facts *queue_facts_by_id(struct shard *shard, const struct uuid *id)
{
    const struct queue_entry *e = queue_entry_by_id(shard, id);
    return e != NULL ? &e->facts : NULL;
}

const struct queue_facts *queue_of_topic(struct shard *shard, struct slice topic)
{
    const struct topic *t = topic_by_name(shard, topic);
    return t != NULL && t->queue ? queue_facts_by_id(shard, &t->id) : NULL;
}

void queue_entries_each(struct shard *shard, bool hidden,
                        bool (*fn)(void *arg, const struct queue_facts *facts), void *arg)
{
    MAP_FOR_SAFE (it, &shard->replica.by_id) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        const struct queue_facts *facts = &CONTAINER_OF(node, struct queue_entry, by_id)->facts;
        if ((hidden || !facts->hidden) && !fn(arg, facts))
            return;
    }
}

void queue_facts_each(struct shard *shard, bool (*fn)(void *arg, const struct queue_facts *facts),
                      void *arg)
{
    queue_entries_each(shard, false, fn, arg);
}

size_t queue_facts_count(struct shard *shard)
{
    return shard->replica.by_id.count - shard->replica.hidden;
}

struct exchanges *shard_exchanges(struct shard *shard)
{
    return shard->replica.exchanges;
}

bool binding_ends_of(struct shard *shard, const struct exchange_binding *binding,
                     struct binding_ends *out)
{
    const struct exchanges *all = shard->replica.exchanges;
    const struct exchange *source = exchange_find(all, binding->vhost, binding->source);
    if (source == NULL)
        return false;
    if (binding->to_exchange) {
        const struct exchange *x = exchange_find(all, binding->vhost, binding->destination);
        if (x != NULL)
            *out = (struct binding_ends){source->id, x->id};
        return x != NULL;
    }
    const struct queue_facts *q = queue_by_name(shard, binding->vhost, binding->destination);
    if (q != NULL)
        *out = (struct binding_ends){source->id, q->id};
    return q != NULL;
}

// ---- what it takes

size_t queue_cost(const struct queue_facts *facts)
{
    return 2 * sizeof(struct queue_entry) + facts->name.len * 3 + facts->arguments.len +
           facts->settings.dead_exchange.len + facts->settings.dead_key.len;
}

size_t exchange_cost(const struct exchange *exchange)
{
    return 512 + exchange->name.len + exchange->arguments.len;
}

size_t binding_cost(const struct exchange_binding *binding)
{
    size_t cost = 512 + binding->key.len * 2 + binding->arguments.len;
    for (uint32_t i = 0; i < binding->headers_count; i++)
        cost += 192 + binding->headers[i].name.len * 2 + binding->headers[i].value.len * 2;
    return cost;
}

// ---- entries

static void facts_free(struct queue_facts *f)
{
    const struct slice owned[] = {f->vhost, f->name, f->arguments, f->settings.dead_exchange,
                                  f->settings.dead_key};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        slice_free(owned[i]);
}

struct queue_entry *queue_entry_add(struct shard *shard, const struct queue_facts *facts)
{
    struct queue_replica *r = &shard->replica;
    ASSERT(queue_entry_by_name(shard, facts->vhost, facts->name) == NULL);
    ASSERT(queue_entry_by_id(shard, &facts->id) == NULL);
    ASSERT(facts->levels > 0);
    ASSERT(facts->levels <= QUEUE_LEVELS_MAX);
    struct queue_entry *e = mem_zalloc(sizeof *e);
    e->facts = *facts;
    e->facts.hidden = slice_eq_cstr(facts->vhost, DELAY_VHOST);
    r->hidden += e->facts.hidden;
    e->facts.vhost = slice_dup(facts->vhost);
    e->facts.name = slice_dup(facts->name);
    e->facts.arguments = slice_dup(facts->arguments);
    e->facts.settings.dead_exchange = slice_dup(facts->settings.dead_exchange);
    e->facts.settings.dead_key = slice_dup(facts->settings.dead_key);
    map_insert(&r->by_name, &e->by_name, name_hash(r, e->facts.vhost, e->facts.name));
    map_insert(&r->by_id, &e->by_id, map_hash(&r->by_id, slice_of(e->facts.id.bytes, 16)));
    ASSERT(r->by_id.count == r->by_name.count);
    exchanges_vhost_add(r->exchanges, e->facts.vhost);
    exchanges_queue_add(r->exchanges, e->facts.vhost, e->facts.name, &e->facts.id,
                        queue_is_topic(&e->facts));
    return e;
}

void queue_entry_remove(struct shard *shard, struct queue_entry *entry,
                        void (*dropped)(void *arg, const struct exchange_binding *binding),
                        void *arg)
{
    struct queue_replica *r = &shard->replica;
    exchanges_queue_remove(r->exchanges, entry->facts.vhost, entry->facts.name, dropped, arg);
    ASSERT(!entry->facts.hidden || r->hidden > 0);
    r->hidden -= entry->facts.hidden;
    map_remove(&r->by_name, &entry->by_name);
    map_remove(&r->by_id, &entry->by_id);
    facts_free(&entry->facts);
    mem_free(entry);
}
