// SPDX-License-Identifier: Apache-2.0
//
// What the load generators have in common: figures as lines of two tab-separated columns, latencies
// and their quantiles, and the server's processor time and memory around the measured part.
#ifndef WEIR_BENCH_FIGURES_H
#define WEIR_BENCH_FIGURES_H

#include <stddef.h>
#include <stdint.h>

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
int64_t now_ns(void); // monotonic
void figure(const char *name, double value);

struct server_use {
    int pid; // 0: no server to look at, and no figures of it
    double cpu_s;
    int64_t start_ns;
};
struct server_use use_begin(int pid);
// bytes: of values, for the figure per gigabyte; 0: without.
void use_end(struct server_use use, int64_t bytes);

struct latencies {
    int64_t *ns;
    size_t count, max; // beyond max none are kept
};
void latencies_init(struct latencies *l, size_t max);
static inline void latency_add(struct latencies *l, int64_t ns)
{
    if (l->count < l->max)
        l->ns[l->count++] = ns;
}
void latency_figures(struct latencies *l); // and frees them

#endif
