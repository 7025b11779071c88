// SPDX-License-Identifier: Apache-2.0
//
// A memory budget: a limit in bytes, taken before allocating and given back after freeing. Budgets
// form a chain (the request's class under the process's), and are atomic since blobs are freed by
// whichever thread drops them last.
#ifndef WEIR_BASE_BUDGET_H
#define WEIR_BASE_BUDGET_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct budget {
    _Atomic(int64_t) used_bytes;
    int64_t limit_bytes;
    struct budget *parent; // taken from as well; NULL at the top
};

void budget_init(struct budget *b, int64_t limit_bytes, struct budget *parent);
// 0, or ERR_BUDGET and nothing is taken anywhere.
int budget_take(struct budget *b, size_t bytes);
void budget_force(struct budget *b,
                  size_t bytes); // takes even beyond the limit: for what must not fail
void budget_give(struct budget *b, size_t bytes);
int64_t budget_used(const struct budget *b);

#endif
