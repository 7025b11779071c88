// SPDX-License-Identifier: Apache-2.0
//
// Trees of lease nodes: treaps (Seidel and Aragon 1996), ordered by offset, and heaps by a random
// priority, which keeps them flat however they grow and shrink. Their nodes have no parents and no
// balance to mend, so two short loops, split and merge, are all there is to it. Nothing is
// allocated. Private to the room.
#ifndef WEIR_QUEUE_LEASE_TREE_H
#define WEIR_QUEUE_LEASE_TREE_H

#include "queue/lease.h"

// 10^8 nodes are about 80 deep, and chance decides, not a stranger.
#define TREE_DEPTH_MAX 256

// Into those below the offset and the others.
void tree_split(struct lease_node *tree, int64_t offset, struct lease_node **below,
                struct lease_node **rest);
void tree_insert(struct lease_node **tree, struct lease_node *node);
// Where the node of that offset hangs; what it points to is NULL when there is none.
struct lease_node **tree_slot(struct lease_node **tree, int64_t offset);
struct lease_node *tree_cut(struct lease_node **slot); // takes the node out
struct lease_node *tree_first(struct lease_node *tree);
// The last node that begins at or before the offset.
struct lease_node *tree_floor(struct lease_node *tree, int64_t offset);
// Takes the lowest node out of a tree that is being taken apart, in constant time on average.
struct lease_node *tree_unravel(struct lease_node **tree);

struct tree_walk { // in order; zeroed at first
    struct lease_node *stack[TREE_DEPTH_MAX];
    uint32_t depth;
};
void tree_walk_down(struct tree_walk *walk, struct lease_node *tree);
struct lease_node *tree_walk_at(const struct tree_walk *walk); // NULL: the end
void tree_walk_on(struct tree_walk *walk);

#endif
