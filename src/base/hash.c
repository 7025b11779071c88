// SPDX-License-Identifier: Apache-2.0
//
// XXH3 for maps (its 64 bits need no further mixing, and the seed keeps strangers from choosing
// collisions), MurmurHash2 as Kafka's clients place keyed records with it.
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/endian.h"

uint64_t hash64(const void *data, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

// Appleby's 32-bit MurmurHash2 with Kafka's seed 0x9747b28c; the partition of a key is
// (hash & 0x7fffffff) % partitions.
uint32_t hash_murmur2(const void *data, size_t len)
{
    const uint32_t m = 0x5bd1e995U;
    const uint8_t *at = data;
    uint32_t h = 0x9747b28cU ^ (uint32_t)len;
    for (; len >= 4; len -= 4, at += 4) {
        uint32_t k = le32_get(at) * m;
        k ^= k >> 24;
        h = (h * m) ^ (k * m);
    }
    uint32_t tail = 0;
    for (size_t i = 0; i < len; i++)
        tail |= (uint32_t)at[i] << (8 * i);
    if (len > 0)
        h = (h ^ tail) * m;
    h ^= h >> 13;
    h *= m;
    return h ^ (h >> 15);
}
