// SPDX-License-Identifier: Apache-2.0
//
// xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2018), its
// state filled by splitmix64, so that neighbouring seeds give unrelated runs.
#include "base/prng.h"

#include "base/assert.h"

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t v, unsigned by)
{
    return (v << by) | (v >> (64 - by));
}

void prng_seed(struct prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        p->s[i] = splitmix64(&seed);
}

uint64_t prng_next(struct prng *p)
{
    uint64_t *s = p->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t prng_below(struct prng *p, uint64_t n)
{
    ASSERT(n > 0);
    // Values below 2^64 mod n would favour the small remainders; they are drawn again.
    uint64_t floor = (UINT64_C(0) - n) % n;
    uint64_t v;
    do
        v = prng_next(p);
    while (v < floor);
    return v % n;
}

int64_t prng_range(struct prng *p, int64_t min, int64_t max)
{
    ASSERT(min <= max);
    uint64_t span = (uint64_t)max - (uint64_t)min;
    uint64_t off = span == UINT64_MAX ? prng_next(p) : prng_below(p, span + 1);
    return (int64_t)((uint64_t)min + off);
}

bool prng_chance(struct prng *p, uint32_t num, uint32_t den)
{
    return prng_below(p, den) < num;
}

double prng_unit(struct prng *p)
{
    // 53 bits are what a double holds exactly.
    return (double)(prng_next(p) >> 11) * 0x1.0p-53;
}
