// SPDX-License-Identifier: Apache-2.0
//
// Intrusive doubly linked list with a head node. A node that is in no list points to itself, so
// removing twice is safe.
#ifndef WEIR_BASE_LIST_H
#define WEIR_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct list {
    struct list *prev;
    struct list *next;
};

// By way of an integer, so that it also takes a pointer to const without -Wcast-qual.
#define CONTAINER_OF(ptr, type, member) ((type *)((uintptr_t)(ptr)-offsetof(type, member)))

#define LIST_FOR(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
// Safe against removal of `it` itself.
#define LIST_FOR_SAFE(it, head)                                               \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)

static inline void list_init(struct list *l)
{
    l->prev = l;
    l->next = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_insert_before(struct list *at, struct list *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}
static inline void list_push_back(struct list *head, struct list *node)
{
    list_insert_before(head, node);
}
static inline void list_push_front(struct list *head, struct list *node)
{
    list_insert_before(head->next, node);
}
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
static inline struct list *list_first(const struct list *head)
{
    return head->next == head ? NULL : head->next;
}
static inline struct list *list_pop_front(struct list *head)
{
    struct list *node = list_first(head);
    if (node != NULL)
        list_remove(node);
    return node;
}
// Moves everything from `from` to the end of `to`.
static inline void list_splice_back(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    from->prev->next = to;
    to->prev->next = from->next;
    to->prev = from->prev;
    list_init(from);
}

#endif
