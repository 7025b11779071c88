// SPDX-License-Identifier: Apache-2.0
//
// Intrusive binary heap ordered by (key, seq): equal keys leave in the order they came, which
// timers and the simulator need. A node knows its place, so removal from the middle is O(log n).
#ifndef WEIR_BASE_HEAP_H
#define WEIR_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t key;
    uint64_t seq;
    size_t place; // index + 1; 0 = in no heap
};

struct heap {
    struct heap_node **nodes;
    size_t count;
    size_t cap;
    uint64_t next_seq;
};

void heap_init(struct heap *h);
void heap_fini(struct heap *h);
void heap_push(struct heap *h, struct heap_node *node, int64_t key); // node must be in no heap
void heap_remove(struct heap *h, struct heap_node *node);            // no-op when in no heap
struct heap_node *heap_min(const struct heap *h);                    // NULL when empty
bool heap_contains(const struct heap_node *node);

#endif
