// SPDX-License-Identifier: Apache-2.0
//
// The ring. It grows by doubling and gives its memory back when it runs empty, so that ten thousand
// idle partitions cost nothing for having been written to once.
#include "log/tail.h"

#include "base/assert.h"
#include "base/mem.h"

#define TAIL_CAP_FIRST 8U
#define TAIL_CAP_MAX   (1U << 28)

void tail_init(struct tail *t)
{
    *t = (struct tail){0};
}

void tail_fini(struct tail *t)
{
    while (!tail_empty(t))
        tail_pop(t);
    mem_free(t->slots);
    t->slots = NULL;
    t->cap = 0;
}

static void tail_grow(struct tail *t)
{
    uint32_t cap = t->cap == 0 ? TAIL_CAP_FIRST : t->cap * 2;
    ASSERT(cap <= TAIL_CAP_MAX);
    ASSERT((cap & (cap - 1)) == 0); // numbers find their slot by a mask
    struct tail_entry *slots = mem_alloc(cap * sizeof *slots);
    for (uint64_t n = t->first; n != t->end; n++)
        slots[n & (cap - 1)] = t->slots[n & (t->cap - 1)];
    mem_free(t->slots);
    t->slots = slots;
    t->cap = cap;
}

struct tail_entry *tail_push(struct tail *t)
{
    if (t->end - t->first == t->cap)
        tail_grow(t);
    struct tail_entry *e = &t->slots[t->end & (t->cap - 1)];
    t->end++;
    ASSERT(t->end - t->first <= t->cap);
    return e;
}

struct tail_entry *tail_at(const struct tail *t, uint64_t number)
{
    ASSERT(number >= t->first);
    ASSERT(number < t->end);
    return &t->slots[number & (t->cap - 1)];
}

void tail_pop(struct tail *t)
{
    struct tail_entry *e = tail_at(t, t->first);
    ASSERT(e->piece.blob != NULL);
    ASSERT(t->bytes >= e->piece.len);
    t->bytes -= e->piece.len;
    blob_unref(e->piece.blob);
    t->first++;
    if (t->durable < t->first)
        t->durable = t->first;
    if (tail_empty(t)) {
        mem_free(t->slots);
        t->slots = NULL;
        t->cap = 0;
    }
}

uint64_t tail_find(const struct tail *t, int64_t offset)
{
    uint64_t low = t->first, high = t->end;
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (tail_at(t, mid)->last_offset < offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}
