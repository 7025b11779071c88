// SPDX-License-Identifier: Apache-2.0
//
// Bump allocation in blocks. Blocks double from 4 KiB to 64 KiB, so that a small request costs one
// allocation and a large one few; what is larger than the next block gets a block of its own,
// behind the head, so that the room left in the head is not lost. Blocks come from mem_try_alloc:
// sizes may be a stranger's within the limit, and then NULL is the answer, not the end of the
// process.
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/budget.h"
#include "base/mem.h"

#define ALIGN_BYTES       16
#define FIRST_BLOCK_BYTES 4096
#define MAX_BLOCK_BYTES   65536

struct arena_block {
    _Alignas(ALIGN_BYTES) struct arena_block *next;
    size_t size; // of data, bytes
    size_t used;
    _Alignas(ALIGN_BYTES) uint8_t data[];
};
_Static_assert(sizeof(struct arena_block) % ALIGN_BYTES == 0, "data is aligned");

void arena_init(struct arena *a, size_t limit_bytes)
{
    *a = (struct arena){.limit_bytes = limit_bytes};
}

void arena_pay_from(struct arena *a, struct budget *budget)
{
    ASSERT(a->head == NULL);
    a->budget = budget;
}

static bool pay(struct arena *a, size_t bytes)
{
    if (a->budget == NULL)
        return true;
    if (a->paid_bytes + bytes <= ARENA_SMALL_BYTES)
        budget_force(a->budget, bytes);
    else if (budget_take(a->budget, bytes) != 0)
        return false;
    a->paid_bytes += bytes;
    return true;
}

static void pay_back(struct arena *a, size_t bytes)
{
    if (a->budget == NULL)
        return;
    ASSERT(a->paid_bytes >= bytes);
    budget_give(a->budget, bytes);
    a->paid_bytes -= bytes;
}

static void free_block(struct arena *a, struct arena_block *block)
{
    pay_back(a, sizeof *block + block->size);
    mem_free(block);
}

static void free_blocks(struct arena *a, struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *next = block->next;
        free_block(a, block);
        block = next;
    }
}

void arena_fini(struct arena *a)
{
    free_blocks(a, a->head);
    ASSERT(a->paid_bytes == 0);
    a->head = NULL;
    a->used_bytes = 0;
}

void arena_reset(struct arena *a)
{
    struct arena_block *kept = a->head;
    a->used_bytes = 0;
    if (kept == NULL)
        return;
    free_blocks(a, kept->next);
    kept->next = NULL;
    kept->used = 0;
    // One request's giant is not a reason to hold its memory for all that follow.
    if (kept->size > MAX_BLOCK_BYTES) {
        free_block(a, kept);
        a->head = NULL;
    }
}

static struct arena_block *add_block(struct arena *a, size_t need)
{
    size_t next = FIRST_BLOCK_BYTES - sizeof(struct arena_block);
    if (a->head != NULL)
        next = a->head->size >= MAX_BLOCK_BYTES / 2 ? MAX_BLOCK_BYTES - sizeof(struct arena_block)
                                                    : a->head->size * 2;
    size_t size = need > next ? need : next;
    if (!pay(a, sizeof(struct arena_block) + size))
        return NULL;
    struct arena_block *block = mem_try_alloc(sizeof *block + size);
    if (block == NULL) {
        pay_back(a, sizeof *block + size);
        return NULL;
    }
    *block = (struct arena_block){.size = size};
    if (a->head != NULL && size > next) {
        block->next = a->head->next;
        a->head->next = block;
    } else {
        block->next = a->head;
        a->head = block;
    }
    return block;
}

void *arena_alloc(struct arena *a, size_t size)
{
    ASSERT(a->used_bytes <= a->limit_bytes);
    size_t left = a->limit_bytes - a->used_bytes;
    if (size == 0)
        size = 1;
    if (size > left)
        return NULL;
    size_t padded = (size + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
    if (padded < size || padded > left)
        return NULL;
    struct arena_block *block = a->head;
    if (block == NULL || padded > block->size - block->used)
        block = add_block(a, padded);
    if (block == NULL)
        return NULL;
    void *ptr = block->data + block->used;
    block->used += padded;
    a->used_bytes += padded;
    ASSERT(block->used <= block->size);
    return ptr;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *ptr = arena_alloc(a, size);
    if (ptr != NULL)
        memset(ptr, 0, size);
    return ptr;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return arena_alloc(a, bytes);
}

char *arena_strdup(struct arena *a, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = arena_alloc(a, size);
    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

struct slice arena_slice(struct arena *a, struct slice s)
{
    if (s.data == NULL)
        return SLICE_NULL;
    uint8_t *copy = arena_alloc(a, s.len);
    if (copy == NULL)
        return SLICE_NULL;
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    return slice_of(copy, s.len);
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(len >= 0);
    char *text = arena_alloc(a, (size_t)len + 1);
    if (text == NULL)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return text;
}
