// SPDX-License-Identifier: Apache-2.0
//
// Binary heap of pointers to intrusive nodes. A pairing heap would spare the array, but this one is
// faster on the small sizes that timers have, and its order is plain to see: (key, seq).
#include "base/heap.h"

#include "base/assert.h"
#include "base/mem.h"

#define FIRST_CAP 16

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_fini(struct heap *h)
{
    // The nodes belong to others, who may ask heap_contains later.
    for (size_t i = 0; i < h->count; i++)
        h->nodes[i]->place = 0;
    mem_free(h->nodes);
    *h = (struct heap){0};
}

static bool before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

static void put(struct heap *h, size_t index, struct heap_node *node)
{
    h->nodes[index] = node;
    node->place = index + 1;
}

static void sift_up(struct heap *h, size_t index, struct heap_node *node)
{
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (!before(node, h->nodes[parent]))
            break;
        put(h, index, h->nodes[parent]);
        index = parent;
    }
    put(h, index, node);
}

static void sift_down(struct heap *h, size_t index, struct heap_node *node)
{
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && before(h->nodes[child + 1], h->nodes[child]))
            child++;
        if (!before(h->nodes[child], node))
            break;
        put(h, index, h->nodes[child]);
        index = child;
    }
    put(h, index, node);
}

void heap_push(struct heap *h, struct heap_node *node, int64_t key)
{
    ASSERT(node->place == 0);
    if (h->count == h->cap) {
        h->cap = h->cap == 0 ? FIRST_CAP : h->cap * 2;
        h->nodes = mem_realloc(h->nodes, h->cap * sizeof(struct heap_node *));
    }
    node->key = key;
    node->seq = h->next_seq++;
    h->count++;
    sift_up(h, h->count - 1, node);
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    if (node->place == 0)
        return;
    size_t index = node->place - 1;
    ASSERT(index < h->count);
    ASSERT(h->nodes[index] == node);
    node->place = 0;
    h->count--;
    struct heap_node *last = h->nodes[h->count];
    if (last == node)
        return;
    // The last node takes the free place; it may belong above or below it.
    if (before(last, node))
        sift_up(h, index, last);
    else
        sift_down(h, index, last);
}

struct heap_node *heap_min(const struct heap *h)
{
    return h->count == 0 ? NULL : h->nodes[0];
}

bool heap_contains(const struct heap_node *node)
{
    return node->place != 0;
}
