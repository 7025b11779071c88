// SPDX-License-Identifier: Apache-2.0
//
// A small fast deterministic generator (xoshiro256**, seeded by splitmix64; Blackman and Vigna
// 2018) for the simulator, generators and tests. Not for secrets.
#ifndef WEIR_BASE_PRNG_H
#define WEIR_BASE_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct prng {
    uint64_t s[4];
};

void prng_seed(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
uint64_t prng_below(struct prng *p, uint64_t n);              // 0 .. n-1, unbiased; n > 0
int64_t prng_range(struct prng *p, int64_t min, int64_t max); // both included
bool prng_chance(struct prng *p, uint32_t num, uint32_t den); // true with probability num/den
double prng_unit(struct prng *p);                             // [0, 1)

#endif
