// SPDX-License-Identifier: Apache-2.0
//
// Latency histogram: log-linear buckets (16 per power of two, so within 6.25 %), fixed memory,
// mergeable. Values are in whatever unit the owner states, here nanoseconds unless said otherwise.
#ifndef WEIR_BASE_HISTOGRAM_H
#define WEIR_BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS 704 // covers 0 .. 2^47

struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t max;
    uint32_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_clear(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
uint64_t histogram_quantile(const struct histogram *h,
                            double q); // upper edge of the bucket; 0 when empty

#endif
