// SPDX-License-Identifier: Apache-2.0
//
// Intrusive hash map that iterates in insertion order, so that nothing in the program depends on
// addresses or on the hash seed (the simulation's determinism rests on it). The caller embeds a
// map_node and owns its memory.
#ifndef WEIR_BASE_MAP_H
#define WEIR_BASE_MAP_H

#include "base/list.h"
#include "base/slice.h"

struct map_node {
    struct list order;
    struct map_node *chain;
    uint64_t hash;
};

// True when the node's key equals `key` (the type is the caller's affair).
typedef bool map_eq_fn(const struct map_node *node, const void *key);

struct map {
    struct map_node **slots;
    size_t slots_count; // power of two, or 0 before the first insertion
    size_t count;
    map_eq_fn *eq;
    uint64_t seed; // for map_hash; from io_random, 0 in tests
    struct list order;
};

void map_init(struct map *m, map_eq_fn *eq, uint64_t seed);
void map_fini(struct map *m); // frees the slots; nodes are the caller's
uint64_t map_hash(const struct map *m, struct slice key);
uint64_t map_hash_u64(const struct map *m, uint64_t key);
struct map_node *map_find(const struct map *m, uint64_t hash, const void *key); // NULL when absent
void map_insert(struct map *m, struct map_node *node, uint64_t hash); // the key must be absent
void map_remove(struct map *m, struct map_node *node);
#define MAP_FOR_SAFE(it, m) LIST_FOR_SAFE (it, &(m)->order) // `it` is the node's `order`

#endif
