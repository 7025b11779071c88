// SPDX-License-Identifier: Apache-2.0
//
// The allocator's only caller. Returning NULL from every small allocation was rejected: paths that
// are never taken are never right, and a process without memory for a list node has nothing left to
// save. Sizes that come from outside take the other way (mem_try_…), which tests can make fail.
#include "base/mem.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

// Allocations left before the planned failure; negative: none is planned. Atomic since the tests
// of blobs and budgets allocate from several threads.
static _Atomic(int64_t) fail_countdown = -1;

static _Noreturn void out_of_memory(size_t size)
{
    fprintf(stderr, "weir: out of memory (%zu bytes)\n", size);
    abort();
}

// True once, when the countdown passes zero.
static bool planned_failure(void)
{
    if (LIKELY(atomic_load_explicit(&fail_countdown, memory_order_relaxed) < 0))
        return false;
    return atomic_fetch_sub(&fail_countdown, 1) == 0;
}

// malloc(0) may return NULL, which would read as a failure.
static size_t at_least_one(size_t size)
{
    return size == 0 ? 1 : size;
}

void *mem_alloc(size_t size)
{
    void *ptr = malloc(at_least_one(size));
    if (UNLIKELY(ptr == NULL))
        out_of_memory(size);
    return ptr;
}

void *mem_zalloc(size_t size)
{
    void *ptr = calloc(1, at_least_one(size));
    if (UNLIKELY(ptr == NULL))
        out_of_memory(size);
    return ptr;
}

void *mem_realloc(void *ptr, size_t size)
{
    void *moved = realloc(ptr, at_least_one(size));
    if (UNLIKELY(moved == NULL))
        out_of_memory(size);
    return moved;
}

void *mem_try_alloc(size_t size)
{
    // Larger than any object may be; malloc would refuse it as well, but sanitizers stop there.
    if (UNLIKELY(planned_failure()) || UNLIKELY(size > PTRDIFF_MAX))
        return NULL;
    return malloc(at_least_one(size));
}

void *mem_try_realloc(void *ptr, size_t size)
{
    if (UNLIKELY(planned_failure()) || UNLIKELY(size > PTRDIFF_MAX))
        return NULL;
    return realloc(ptr, at_least_one(size));
}

void *mem_alloc_aligned(size_t align, size_t size)
{
    void *ptr = NULL;
    ASSERT(align >= sizeof(void *));
    ASSERT((align & (align - 1)) == 0);
    if (UNLIKELY(posix_memalign(&ptr, align, at_least_one(size)) != 0))
        out_of_memory(size);
    memset(ptr, 0, size);
    return ptr;
}

void *mem_dup(const void *data, size_t size)
{
    void *copy = mem_alloc(size);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

char *mem_strdup(const char *text)
{
    return mem_dup(text, strlen(text) + 1);
}

char *mem_strndup(const char *text, size_t len)
{
    size_t kept = strnlen(text, len);
    char *copy = mem_alloc(kept + 1);
    memcpy(copy, text, kept);
    copy[kept] = '\0';
    return copy;
}

void mem_free(void *ptr)
{
    free(ptr);
}

void mem_trim(void)
{
#if defined(__GLIBC__)
    (void)malloc_trim(0);
#endif
}

void mem_fail_after(int64_t n)
{
    atomic_store(&fail_countdown, n);
}
