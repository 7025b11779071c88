// SPDX-License-Identifier: Apache-2.0
//
// Log-linear buckets: below 16 one bucket a value, above 16 buckets per power of two, chosen by the
// four bits after the leading one. Adding costs a count of leading zeros and one increment, which
// is why it may stand on the hot path; exact quantiles would need all values kept.
#include "base/histogram.h"

#include "base/assert.h"

#define LINEAR    16 // buckets per power of two
#define LOG2_16   4
#define MAX_VALUE ((UINT64_C(1) << 47) - 1)

static unsigned bucket_of(uint64_t value)
{
    if (value > MAX_VALUE)
        value = MAX_VALUE;
    if (value < LINEAR)
        return (unsigned)value;
    unsigned log2 = 63U - (unsigned)__builtin_clzll(value);
    unsigned step = (unsigned)(value >> (log2 - LOG2_16)) & (LINEAR - 1);
    return (log2 - LOG2_16 + 1) * LINEAR + step;
}

static uint64_t upper_edge(unsigned bucket)
{
    if (bucket < LINEAR)
        return bucket;
    unsigned shift = bucket / LINEAR - 1;
    uint64_t lower = (uint64_t)(LINEAR + bucket % LINEAR) << shift;
    return lower + (UINT64_C(1) << shift) - 1;
}

void histogram_clear(struct histogram *h)
{
    *h = (struct histogram){0};
}

// Counters stop at their maximum instead of beginning again.
static void bump(uint32_t *counter, uint32_t by)
{
    if (__builtin_add_overflow(*counter, by, counter))
        *counter = UINT32_MAX;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    unsigned bucket = bucket_of(value);
    ASSERT(bucket < HISTOGRAM_BUCKETS);
    bump(&h->buckets[bucket], 1);
    h->count++;
    h->sum += value;
    if (value > h->max)
        h->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        bump(&into->buckets[i], from->buckets[i]);
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
    if (h->count == 0)
        return 0;
    double wanted = q * (double)h->count;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (h->buckets[i] > 0 && (double)seen >= wanted) {
            uint64_t edge = upper_edge(i);
            return edge < h->max && i < HISTOGRAM_BUCKETS - 1 ? edge : h->max;
        }
    }
    return h->max;
}
