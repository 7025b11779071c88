// SPDX-License-Identifier: Apache-2.0
//
// Refcounted bytes. The header and the bytes are one allocation, and both are paid from the budget:
// a stranger who sends a million tiny batches must pay for the headers too.
#include "base/blob.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

int blob_create(size_t size, struct budget *budget, struct blob **out)
{
    size_t bytes;
    if (__builtin_add_overflow(size, sizeof(struct blob), &bytes))
        return ERR_NOMEM;
    if (budget != NULL && budget_take(budget, bytes) < 0)
        return ERR_BUDGET;
    struct blob *b = mem_try_alloc(bytes);
    if (b == NULL) {
        if (budget != NULL)
            budget_give(budget, bytes);
        return ERR_NOMEM;
    }
    atomic_init(&b->refs, 1);
    b->budget = budget;
    b->size = size;
    *out = b;
    return 0;
}

void blob_build_begin(struct buf *out, size_t max)
{
    buf_init(out, max);
    buf_put_zero(out, BLOB_BUILD_AT);
}

struct blob *blob_build_end(struct buf *out, struct budget *budget)
{
    ASSERT(out->err == 0);
    ASSERT(out->len >= BLOB_BUILD_AT);
    size_t bytes = out->cap;
    size_t used = out->len;
    struct blob *b = (void *)buf_detach(out, &used);
    if (bytes - used > bytes / 4) { // a growing buffer has up to as much again to spare
        struct blob *less = mem_try_realloc(b, used);
        b = less != NULL ? less : b;
        bytes = less != NULL ? used : bytes;
    }
    atomic_init(&b->refs, 1);
    b->budget = budget;
    b->size = bytes - sizeof *b;
    if (budget != NULL)
        budget_force(budget, bytes);
    return b;
}

struct blob *blob_create_forced(size_t size, struct budget *budget)
{
    struct blob *b = mem_alloc(sizeof *b + size);
    budget_force(budget, sizeof *b + size);
    atomic_init(&b->refs, 1);
    b->budget = budget;
    b->size = size;
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    // Relaxed: who takes a reference holds one already, so the blob cannot vanish meanwhile.
    uint32_t before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    ASSERT(before > 0);
    ASSERT(before < UINT32_MAX);
    return b;
}

void blob_unref(struct blob *b)
{
    if (b == NULL)
        return;
    // Release what this thread did with the bytes, acquire what the others did before the free.
    uint32_t before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1)
        return;
    if (b->budget != NULL)
        budget_give(b->budget, sizeof *b + b->size);
    mem_free(b);
}

struct slice blob_piece_slice(struct blob_piece p)
{
    if (p.blob == NULL)
        return SLICE_NULL;
    ASSERT(p.off <= p.blob->size);
    ASSERT(p.len <= p.blob->size - p.off);
    return slice_of(p.blob->data + p.off, p.len);
}
