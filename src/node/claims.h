// SPDX-License-Identifier: Apache-2.0
//
// What changes of the catalogue wait for. A change claims the names it depends on, from its check
// until every shard has applied it: alone what it makes, alters or deletes, shared what must only
// stay as it is (both ends of a binding). It gets all of its claims at once or none, so nobody
// waits for anybody in a circle; those of one name are served in the order they came.
//
// A name is a hash: two that collide make changes wait that need not, and nothing else.
#ifndef WEIR_NODE_CLAIMS_H
#define WEIR_NODE_CLAIMS_H

#include "base/map.h"

#define CLAIMS_MAX 4 // of one holder

struct claim {
    uint64_t name;
    bool shared;
};

struct claim_holder { // embedded by the caller; zeroed, then claim_add
    struct claim claims[CLAIMS_MAX];
    uint32_t count;
    struct list link; // waiting
    bool held;
    // Runs from the claims_give of another holder, once, only if claims_take said that it waits.
    void (*granted)(struct claim_holder *holder);
};

struct claims {
    struct map names;
    struct list ready; // hold their claims and are not told yet
    bool telling;
};

void claims_init(struct claims *claims, uint64_t hash_seed);
void claims_fini(struct claims *claims); // holders are the caller's
// One name twice is one claim, alone if either is.
void claim_add(struct claim_holder *holder, uint64_t name, bool shared);
bool claims_take(struct claims *claims, struct claim_holder *holder); // false: it waits
void claims_give(struct claims *claims, struct claim_holder *holder); // what it holds

#endif
