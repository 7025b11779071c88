// SPDX-License-Identifier: Apache-2.0
//
// A request's arena: memory that lives exactly as long as one request. Blocks come from base/mem.h;
// everything is freed at once. It has a hard limit in bytes, so that a request made of counts
// cannot outgrow what it was given.
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include "base/slice.h"

struct arena_block;
struct budget;
struct arena {
    struct arena_block *head;
    size_t used_bytes;     // handed out, padding included
    size_t limit_bytes;    // arena_alloc returns NULL beyond
    struct budget *budget; // NULL: not accounted
    size_t paid_bytes;     // of the budget, for blocks
};

void arena_init(struct arena *a, size_t limit_bytes); // allocates nothing yet
// Before the first allocation: blocks are paid from the budget. The first ARENA_SMALL_BYTES are
// taken even beyond its limit, so that what is small is never refused; what is more is, by NULL.
#define ARENA_SMALL_BYTES 65536
void arena_pay_from(struct arena *a, struct budget *budget);
void arena_fini(struct arena *a);  // frees all; the arena may be initialised again
void arena_reset(struct arena *a); // forgets all, keeps one block for the next request
void *arena_alloc(struct arena *a,
                  size_t size); // 16-byte aligned, uninitialised; NULL at the limit
void *arena_zalloc(struct arena *a, size_t size);
// count * size with overflow check; NULL at the limit. count may come from a stranger.
void *arena_array(struct arena *a, size_t count, size_t size);
char *arena_strdup(struct arena *a, const char *text);
struct slice arena_slice(struct arena *a,
                         struct slice s); // copies; SLICE_NULL at the limit (or if s is null)
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
