// SPDX-License-Identifier: Apache-2.0
//
// See figures.h.
#include "figures.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proc.h"

void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void figure(const char *name, double value)
{
    printf("%s\t%.6g\n", name, value);
}

struct server_use use_begin(int pid)
{
    return (struct server_use){pid, proc_cpu_s(pid), now_ns()};
}

void use_end(struct server_use use, int64_t bytes)
{
    if (!use.pid)
        return;
    double cpu_s = proc_cpu_s(use.pid) - use.cpu_s,
           wall_s = (double)(now_ns() - use.start_ns) / 1e9;
    figure("server_cpu_s", cpu_s);
    figure("server_cores", cpu_s / wall_s);
    if (bytes)
        figure("server_cpu_s_per_gb", cpu_s / ((double)bytes / 1e9));
    figure("server_rss_mb", (double)proc_status_kb(use.pid, "VmRSS:") / 1024);
    figure("server_peak_mb", (double)proc_status_kb(use.pid, "VmHWM:") / 1024);
}

void latencies_init(struct latencies *l, size_t max)
{
    l->ns = malloc(max * sizeof *l->ns);
    l->count = 0;
    l->max = max;
    if (!l->ns)
        die("no memory for %zu latencies", max);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double quantile_ms(const struct latencies *l, double q)
{
    if (!l->count)
        return 0;
    size_t i = (size_t)(q * (double)l->count);
    return (double)l->ns[i < l->count ? i : l->count - 1] / 1e6;
}

void latency_figures(struct latencies *l)
{
    qsort(l->ns, l->count, sizeof *l->ns, by_size);
    figure("samples", (double)l->count);
    figure("p50_ms", quantile_ms(l, 0.5));
    figure("p99_ms", quantile_ms(l, 0.99));
    figure("p999_ms", quantile_ms(l, 0.999));
    figure("max_ms", quantile_ms(l, 1));
    free(l->ns);
}
