// SPDX-License-Identifier: Apache-2.0
//
// The index of a direct exchange: for each key that was ever asked for, the bindings that ask for
// it.
#include "base/assert.h"
#include "base/mem.h"
#include "queue/exchange_int.h"

struct direct_key {
    struct map_node node;
    struct slice key; // of its bindings' first, which may go: see direct_remove
    struct list bindings;
};

static bool key_eq(const struct map_node *node, const void *key)
{
    return slice_same(CONTAINER_OF(node, struct direct_key, node)->key, *(const struct slice *)key);
}

void direct_init(struct map *keys, uint64_t seed)
{
    map_init(keys, key_eq, seed);
}

static struct direct_key *key_find(const struct map *keys, struct slice key)
{
    struct map_node *node = map_find(keys, map_hash(keys, key), &key);
    return node != NULL ? CONTAINER_OF(node, struct direct_key, node) : NULL;
}

void direct_add(struct map *keys, struct binding *binding)
{
    struct direct_key *k = key_find(keys, binding->facts.key);
    if (k == NULL) {
        k = mem_zalloc(sizeof *k);
        k->key = binding->facts.key;
        list_init(&k->bindings);
        map_insert(keys, &k->node, map_hash(keys, k->key));
    }
    list_push_back(&k->bindings, &binding->at);
    binding->place = k;
}

void direct_remove(struct map *keys, struct binding *binding)
{
    struct direct_key *k = binding->place;
    ASSERT(slice_same(k->key, binding->facts.key));
    list_remove(&binding->at);
    struct list *first = list_first(&k->bindings);
    if (first != NULL) { // the key's bytes are the binding's, which goes
        k->key = CONTAINER_OF(first, struct binding, at)->facts.key;
        return;
    }
    map_remove(keys, &k->node);
    mem_free(k);
}

void direct_route(const struct map *keys, struct routing *r)
{
    const struct direct_key *k = key_find(keys, r->key);
    if (k == NULL)
        return;
    ASSERT(!list_empty(&k->bindings));
    LIST_FOR (it, &k->bindings)
        routing_reach(r, CONTAINER_OF(it, struct binding, at));
}
