// SPDX-License-Identifier: Apache-2.0
//
// The sequence lock of published.h. The fences follow Boehm, "Can Seqlocks Get Along With
// Programming Language Memory Models?" (MSPC 2012): data accesses are relaxed atomics, the order
// comes from fences beside the two reads and the two writes of the sequence.
#include "journal/published.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

void published_init(struct published *p, size_t size_bytes)
{
    ASSERT(size_bytes > 0);
    ASSERT(size_bytes % sizeof(uint64_t) == 0);
    p->words_count = size_bytes / sizeof(uint64_t);
    p->words = mem_zalloc(p->words_count * sizeof *p->words);
    atomic_init(&p->seq, 0);
}

void published_fini(struct published *p)
{
    mem_free(p->words);
    p->words = NULL;
}

void published_set(struct published *p, const void *from)
{
    uint64_t seq = atomic_load_explicit(&p->seq, memory_order_relaxed);
    ASSERT(seq % 2 == 0); // one writer
    atomic_store_explicit(&p->seq, seq + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    const uint8_t *bytes = from;
    for (size_t i = 0; i < p->words_count; i++) {
        uint64_t word;
        memcpy(&word, bytes + i * sizeof word, sizeof word);
        atomic_store_explicit(&p->words[i], word, memory_order_relaxed);
    }
    atomic_store_explicit(&p->seq, seq + 2, memory_order_release);
}

void published_get(const struct published *p, void *out)
{
    uint8_t *bytes = out;
    uint64_t before, after;
    do {
        before = atomic_load_explicit(&p->seq, memory_order_acquire);
        for (size_t i = 0; i < p->words_count; i++) {
            uint64_t word = atomic_load_explicit(&p->words[i], memory_order_relaxed);
            memcpy(bytes + i * sizeof word, &word, sizeof word);
        }
        atomic_thread_fence(memory_order_acquire);
        after = atomic_load_explicit(&p->seq, memory_order_relaxed);
    } while (before != after || before % 2 != 0);
}
