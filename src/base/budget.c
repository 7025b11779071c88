// SPDX-License-Identifier: Apache-2.0
//
// Budgets: compare and swap rather than add, look and take back. With the latter two threads that
// each fit alone could both see the other's attempt and both be refused.
#include "base/budget.h"

#include <stdbool.h>

#include "base/assert.h"
#include "base/err.h"

void budget_init(struct budget *b, int64_t limit_bytes, struct budget *parent)
{
    ASSERT(limit_bytes >= 0);
    ASSERT(parent != b);
    atomic_init(&b->used_bytes, 0);
    b->limit_bytes = limit_bytes;
    b->parent = parent;
}

static bool take_one(struct budget *b, int64_t bytes)
{
    int64_t used = atomic_load_explicit(&b->used_bytes, memory_order_relaxed);
    do {
        // `used` may stand beyond the limit after budget_force.
        if (used > b->limit_bytes || bytes > b->limit_bytes - used)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&b->used_bytes, &used, used + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void give_one(struct budget *b, int64_t bytes)
{
    int64_t before = atomic_fetch_sub_explicit(&b->used_bytes, bytes, memory_order_relaxed);
    ASSERT(before >= bytes);
}

int budget_take(struct budget *b, size_t bytes)
{
    if (bytes > INT64_MAX)
        return ERR_BUDGET;
    for (struct budget *at = b; at != NULL; at = at->parent) {
        if (take_one(at, (int64_t)bytes))
            continue;
        for (struct budget *back = b; back != at; back = back->parent)
            give_one(back, (int64_t)bytes);
        return ERR_BUDGET;
    }
    return 0;
}

void budget_force(struct budget *b, size_t bytes)
{
    ASSERT(bytes <= INT64_MAX);
    for (; b != NULL; b = b->parent)
        atomic_fetch_add_explicit(&b->used_bytes, (int64_t)bytes, memory_order_relaxed);
}

void budget_give(struct budget *b, size_t bytes)
{
    ASSERT(bytes <= INT64_MAX);
    for (; b != NULL; b = b->parent)
        give_one(b, (int64_t)bytes);
}

int64_t budget_used(const struct budget *b)
{
    return atomic_load_explicit(&b->used_bytes, memory_order_relaxed);
}
