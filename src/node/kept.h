// SPDX-License-Identifier: Apache-2.0
//
// State records by kind and key, the last one wins: for readers of a store that can make sense of a
// record only when all have come (recovery of queues, `weir check`).
#ifndef WEIR_NODE_KEPT_H
#define WEIR_NODE_KEPT_H

#include "base/map.h"
#include "journal/state.h"

struct kept_record {
    struct map_node node;
    uint8_t kind;
    struct slice key, value; // owned
};

struct kept_records { // in the order in which keys came first
    struct map records;
};

void kept_init(struct kept_records *kept, uint64_t hash_seed);
void kept_fini(struct kept_records *kept);
void kept_put(struct kept_records *kept, const struct state_record *record); // null value: forgets
const struct kept_record *kept_find(const struct kept_records *kept, uint8_t kind,
                                    struct slice key); // NULL
// Those of a kind. fn returns non-zero to stop, which is returned.
int kept_each(const struct kept_records *kept, uint8_t kind,
              int (*fn)(void *arg, const struct kept_record *record), void *arg);

#endif
