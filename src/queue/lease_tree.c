// SPDX-License-Identifier: Apache-2.0
//
// Treaps of lease nodes. Every function is a loop: a tree of ten million leases must not be walked
// by recursion.
#include "queue/lease_tree.h"

#include "base/assert.h"

void tree_split(struct lease_node *tree, int64_t offset, struct lease_node **below,
                struct lease_node **rest)
{
    while (tree != NULL) {
        if (tree->from < offset) {
            *below = tree;
            below = &tree->right;
            tree = tree->right;
        } else {
            *rest = tree;
            rest = &tree->left;
            tree = tree->left;
        }
    }
    *below = NULL;
    *rest = NULL;
}

// All of `low` is below all of `high`.
static struct lease_node *tree_merge(struct lease_node *low, struct lease_node *high)
{
    struct lease_node *tree = NULL, **at = &tree;
    while (low != NULL && high != NULL) {
        if (low->priority > high->priority) {
            *at = low;
            at = &low->right;
            low = low->right;
        } else {
            *at = high;
            at = &high->left;
            high = high->left;
        }
    }
    *at = low != NULL ? low : high;
    return tree;
}

void tree_insert(struct lease_node **at, struct lease_node *node)
{
    while (*at != NULL && (*at)->priority >= node->priority) {
        ASSERT((*at)->from != node->from);
        at = node->from < (*at)->from ? &(*at)->left : &(*at)->right;
    }
    tree_split(*at, node->from, &node->left, &node->right);
    *at = node;
}

struct lease_node **tree_slot(struct lease_node **at, int64_t offset)
{
    while (*at != NULL && (*at)->from != offset)
        at = offset < (*at)->from ? &(*at)->left : &(*at)->right;
    return at;
}

struct lease_node *tree_cut(struct lease_node **slot)
{
    struct lease_node *node = *slot;
    *slot = tree_merge(node->left, node->right);
    node->left = node->right = NULL;
    return node;
}

struct lease_node *tree_first(struct lease_node *tree)
{
    while (tree != NULL && tree->left != NULL)
        tree = tree->left;
    return tree;
}

struct lease_node *tree_floor(struct lease_node *tree, int64_t offset)
{
    struct lease_node *found = NULL;
    while (tree != NULL) {
        if (tree->from <= offset)
            found = tree;
        tree = tree->from <= offset ? tree->right : tree->left;
    }
    return found;
}

struct lease_node *tree_unravel(struct lease_node **tree)
{
    struct lease_node *node = *tree;
    while (node != NULL && node->left != NULL) {
        struct lease_node *left = node->left;
        node->left = left->right;
        left->right = node;
        node = left;
    }
    *tree = node == NULL ? NULL : node->right;
    return node;
}

void tree_walk_down(struct tree_walk *walk, struct lease_node *tree)
{
    for (; tree != NULL; tree = tree->left) {
        ASSERT(walk->depth < TREE_DEPTH_MAX);
        walk->stack[walk->depth++] = tree;
    }
}

struct lease_node *tree_walk_at(const struct tree_walk *walk)
{
    return walk->depth == 0 ? NULL : walk->stack[walk->depth - 1];
}

void tree_walk_on(struct tree_walk *walk)
{
    ASSERT(walk->depth > 0);
    struct lease_node *node = walk->stack[--walk->depth];
    tree_walk_down(walk, node->right);
}
