// SPDX-License-Identifier: Apache-2.0
//
// A struct of numbers that one actor writes and any thread may copy, whole, without a lock (a
// sequence lock). The words are atomics, read and written relaxed, so that the copy is defined
// behaviour and the thread sanitizer agrees; a reader that met a writer tries again.
#ifndef WEIR_JOURNAL_PUBLISHED_H
#define WEIR_JOURNAL_PUBLISHED_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct published {
    _Atomic(uint64_t) seq; // odd while it is being written
    _Atomic(uint64_t) *words;
    size_t words_count;
};

void published_init(struct published *p, size_t size_bytes); // a multiple of 8
void published_fini(struct published *p);
void published_set(struct published *p, const void *from); // by the owner
void published_get(const struct published *p, void *out);  // by anyone

#endif
