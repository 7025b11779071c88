// SPDX-License-Identifier: Apache-2.0
//
// Hashes that are not checksums: xxHash for maps and the simulation's trace, murmur2 as Kafka's
// default partitioner defines it (needed by tools and simulated clients).
#ifndef WEIR_BASE_HASH_H
#define WEIR_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *data, size_t len, uint64_t seed);
uint32_t hash_murmur2(const void *data, size_t len);

#endif
