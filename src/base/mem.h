// SPDX-License-Identifier: Apache-2.0
//
// The only place that calls the allocator. Small requests of our own abort when memory is exhausted
// (there is nothing sensible left to do); sizes that a stranger controls go through mem_try_alloc,
// after a budget (base/budget.h).
#ifndef WEIR_BASE_MEM_H
#define WEIR_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t size);              // uninitialised, aborts when out of memory
void *mem_zalloc(size_t size);             // zeroed
void *mem_realloc(void *ptr, size_t size); // aborts when out of memory
void *mem_try_alloc(size_t size); // NULL when out of memory, or when the test countdown says so
void *mem_try_realloc(void *ptr, size_t size); // likewise; ptr stays valid on failure
void *mem_alloc_aligned(size_t align,
                        size_t size); // zeroed; for O_DIRECT buffers; free with mem_free
void *mem_dup(const void *data, size_t size);
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t len);
void mem_free(void *ptr); // accepts NULL
// Gives free pages back to the system: what a burst needed would stay resident otherwise. Walks all
// of the allocator's pools; takes milliseconds after a burst of some hundred megabytes.
void mem_trim(void);

// Tests: the n-th mem_try_… from now on fails (0 = the next), once; -1 switches it off.
void mem_fail_after(int64_t n);

#endif
