// SPDX-License-Identifier: Apache-2.0
//
// How many connections each address has, over all shards and doors: the limit of
// max.connections.per.ip. Shards share nothing but these counters, which are atomic. Addresses find
// their counter by hash; two that share one share the limit, which costs a stranger nothing that
// another address could not have cost him.
#ifndef WEIR_NODE_PEERS_H
#define WEIR_NODE_PEERS_H

#include <stdatomic.h>

#include "io/io.h"

#define PEERS_COUNTERS 4096

struct peers { // zeroed
    _Atomic(uint32_t) counts[PEERS_COUNTERS];
};

// False: the address has `max` connections already. Else *out_place is for peers_leave.
bool peers_enter(struct peers *peers, const struct io_addr *addr, uint64_t seed, uint32_t max,
                 uint32_t *out_place);
void peers_leave(struct peers *peers, uint32_t place);

#endif
