// SPDX-License-Identifier: Apache-2.0
//
// Claims. A holder waits in the list of the first name that it could not have; whenever something
// is given back, the lists of those names are tried again from the front.
#include "node/claims.h"

#include "base/assert.h"
#include "base/mem.h"

struct claimed {
    struct map_node node;
    uint64_t name;
    uint32_t shared; // holders
    bool alone;
    struct list waiting; // struct claim_holder
};

static bool name_eq(const struct map_node *node, const void *key)
{
    return CONTAINER_OF(node, struct claimed, node)->name == *(const uint64_t *)key;
}

void claims_init(struct claims *claims, uint64_t hash_seed)
{
    map_init(&claims->names, name_eq, hash_seed);
    list_init(&claims->ready);
    claims->telling = false;
}

void claims_fini(struct claims *claims)
{
    MAP_FOR_SAFE (it, &claims->names) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        mem_free(CONTAINER_OF(node, struct claimed, node));
    }
    map_fini(&claims->names);
}

void claim_add(struct claim_holder *holder, uint64_t name, bool shared)
{
    for (uint32_t i = 0; i < holder->count; i++) {
        if (holder->claims[i].name != name)
            continue;
        holder->claims[i].shared = holder->claims[i].shared && shared;
        return;
    }
    ASSERT(holder->count < CLAIMS_MAX);
    ASSERT(!holder->held);
    holder->claims[holder->count++] = (struct claim){name, shared};
}

static struct claimed *name_find(struct claims *claims, uint64_t name)
{
    struct map_node *node = map_find(&claims->names, map_hash_u64(&claims->names, name), &name);
    return node != NULL ? CONTAINER_OF(node, struct claimed, node) : NULL;
}

static struct claimed *name_of(struct claims *claims, uint64_t name)
{
    struct claimed *n = name_find(claims, name);
    if (n != NULL)
        return n;
    n = mem_zalloc(sizeof *n);
    n->name = name;
    list_init(&n->waiting);
    map_insert(&claims->names, &n->node, map_hash_u64(&claims->names, name));
    return n;
}

static void name_release(struct claims *claims, struct claimed *n)
{
    if (n->alone || n->shared > 0 || !list_empty(&n->waiting))
        return;
    map_remove(&claims->names, &n->node);
    mem_free(n);
}

// The first name that it cannot have, NULL if there is none. `first`: the name at the front of
// whose list it stood.
static struct claimed *obstacle(struct claims *claims, const struct claim_holder *holder,
                                const struct claimed *first)
{
    for (uint32_t i = 0; i < holder->count; i++) {
        struct claimed *n = name_find(claims, holder->claims[i].name);
        if (n == NULL)
            continue;
        bool behind = n != first && !list_empty(&n->waiting);
        if (n->alone || behind || (n->shared > 0 && !holder->claims[i].shared))
            return n;
    }
    return NULL;
}

static void hold(struct claims *claims, struct claim_holder *holder)
{
    ASSERT(!holder->held);
    holder->held = true;
    for (uint32_t i = 0; i < holder->count; i++) {
        struct claimed *n = name_of(claims, holder->claims[i].name);
        ASSERT(!n->alone);
        ASSERT(holder->claims[i].shared || n->shared == 0);
        if (holder->claims[i].shared)
            n->shared++;
        else
            n->alone = true;
    }
}

bool claims_take(struct claims *claims, struct claim_holder *holder)
{
    list_init(&holder->link);
    struct claimed *n = obstacle(claims, holder, NULL);
    if (n != NULL) {
        list_push_back(&n->waiting, &holder->link);
        return false;
    }
    hold(claims, holder);
    return true;
}

// Lets those in who wait for this name, from the front, until the first who cannot have it.
static void name_serve(struct claims *claims, struct claimed *n)
{
    for (struct list *it = list_pop_front(&n->waiting); it != NULL;
         it = list_pop_front(&n->waiting)) {
        struct claim_holder *h = CONTAINER_OF(it, struct claim_holder, link);
        struct claimed *in_the_way = obstacle(claims, h, n);
        if (in_the_way == n) {
            list_push_front(&n->waiting, it);
            return;
        }
        if (in_the_way != NULL) {
            list_push_back(&in_the_way->waiting, it);
            continue;
        }
        hold(claims, h);
        list_push_back(&claims->ready, it);
    }
}

void claims_give(struct claims *claims, struct claim_holder *holder)
{
    ASSERT(holder->held);
    holder->held = false;
    for (uint32_t i = 0; i < holder->count; i++) {
        struct claimed *n = name_find(claims, holder->claims[i].name);
        ASSERT(n != NULL);
        ASSERT(holder->claims[i].shared ? n->shared > 0 : n->alone);
        if (holder->claims[i].shared)
            n->shared--;
        else
            n->alone = false;
    }
    for (uint32_t i = 0; i < holder->count; i++) {
        struct claimed *n = name_find(claims, holder->claims[i].name);
        ASSERT(n != NULL);
        name_serve(claims, n);
        name_release(claims, n);
    }
    holder->count = 0;
    if (claims->telling)
        return; // whoever tells comes to them: a long row of changes must not be a deep stack
    claims->telling = true;
    for (struct list *it = list_pop_front(&claims->ready); it != NULL;
         it = list_pop_front(&claims->ready)) {
        struct claim_holder *h = CONTAINER_OF(it, struct claim_holder, link);
        h->granted(h);
    }
    claims->telling = false;
}
