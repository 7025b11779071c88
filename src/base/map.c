// SPDX-License-Identifier: Apache-2.0
//
// Chained hash map with a list through all nodes in the order they came. Open addressing would be
// denser, but its nodes move, and intrusive nodes cannot. Growth doubles at one node per slot; the
// hash is kept in the node, so that growing never asks the caller for keys.
#include "base/map.h"

#include "base/assert.h"
#include "base/endian.h"
#include "base/hash.h"
#include "base/mem.h"

#define FIRST_SLOTS 16

void map_init(struct map *m, map_eq_fn *eq, uint64_t seed)
{
    *m = (struct map){.eq = eq, .seed = seed};
    list_init(&m->order);
}

void map_fini(struct map *m)
{
    mem_free(m->slots);
    map_init(m, m->eq, m->seed);
}

uint64_t map_hash(const struct map *m, struct slice key)
{
    return hash64(key.data, key.len, m->seed);
}

uint64_t map_hash_u64(const struct map *m, uint64_t key)
{
    uint8_t bytes[8];
    le64_put(bytes, key);
    return hash64(bytes, sizeof bytes, m->seed);
}

static struct map_node **slot_of(const struct map *m, uint64_t hash)
{
    return &m->slots[hash & (m->slots_count - 1)];
}

struct map_node *map_find(const struct map *m, uint64_t hash, const void *key)
{
    if (m->slots_count == 0)
        return NULL;
    for (struct map_node *node = *slot_of(m, hash); node != NULL; node = node->chain)
        if (node->hash == hash && m->eq(node, key))
            return node;
    return NULL;
}

static void grow(struct map *m)
{
    mem_free(m->slots);
    m->slots_count = m->slots_count == 0 ? FIRST_SLOTS : m->slots_count * 2;
    m->slots = mem_zalloc(m->slots_count * sizeof(struct map_node *));
    LIST_FOR (it, &m->order) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        struct map_node **slot = slot_of(m, node->hash);
        node->chain = *slot;
        *slot = node;
    }
}

void map_insert(struct map *m, struct map_node *node, uint64_t hash)
{
    if (m->count == m->slots_count)
        grow(m);
    struct map_node **slot = slot_of(m, hash);
    node->hash = hash;
    node->chain = *slot;
    *slot = node;
    list_push_back(&m->order, &node->order);
    m->count++;
}

void map_remove(struct map *m, struct map_node *node)
{
    ASSERT(m->count > 0);
    struct map_node **at = slot_of(m, node->hash);
    while (*at != node) {
        ASSERT(*at != NULL);
        at = &(*at)->chain;
    }
    *at = node->chain;
    node->chain = NULL;
    list_remove(&node->order);
    m->count--;
}
