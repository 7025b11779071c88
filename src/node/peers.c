// SPDX-License-Identifier: Apache-2.0
//
// Counting connections by address. The port does not count, and an IPv4 address is the same however
// it came in (io_addr maps it).
#include "node/peers.h"

#include "base/assert.h"
#include "base/hash.h"

bool peers_enter(struct peers *peers, const struct io_addr *addr, uint64_t seed, uint32_t max,
                 uint32_t *out_place)
{
    uint32_t place = (uint32_t)(hash64(addr->ip, sizeof addr->ip, seed) % PEERS_COUNTERS);
    uint32_t before = atomic_fetch_add(&peers->counts[place], 1);
    if (before >= max) {
        peers_leave(peers, place);
        return false;
    }
    *out_place = place;
    return true;
}

void peers_leave(struct peers *peers, uint32_t place)
{
    ASSERT(place < PEERS_COUNTERS);
    uint32_t before = atomic_fetch_sub(&peers->counts[place], 1);
    ASSERT(before > 0);
}
