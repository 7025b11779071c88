// SPDX-License-Identifier: Apache-2.0
//
// What a person sees: progress while it goes, and one page at the end.
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "demo.h"

void progress(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%s", isatty(STDOUT_FILENO) ? "\r\033[K" : "");
    vprintf(format, args);
    printf("%s", isatty(STDOUT_FILENO) ? "" : "\n");
    fflush(stdout);
    va_end(args);
}

static void bar(const char *name, uint64_t value, uint64_t max)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    uint64_t length = max > 0 ? value * 36 * 8 / max : 0;
    printf("  %-26.26s %9llu ", name, (unsigned long long)value);
    for (uint64_t i = 0; i < length / 8; i++)
        printf("█");
    printf("%s\n", eighths[length % 8]);
}

static void top_artists(const struct story *s)
{
    uint64_t below = UINT64_MAX;
    uint64_t max = 0;
    printf("\n  Top artists\n");
    for (int n = 0; n < 8; n++) {
        size_t best = s->audit.artists;
        for (size_t i = 0; i < s->audit.artists; i++)
            if (s->audit.artist_plays[i] < below &&
                (best == s->audit.artists ||
                 s->audit.artist_plays[i] > s->audit.artist_plays[best]))
                best = i;
        if (best == s->audit.artists)
            break;
        below = s->audit.artist_plays[best];
        max = max == 0 ? below : max;
        bar(s->plays.artists[best], below, max);
    }
}

static void plays_by_hour(const struct story *s)
{
    static const char *const levels[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    uint64_t max = 1;
    for (int h = 0; h < 24; h++)
        max = s->audit.hour_plays[h] > max ? s->audit.hour_plays[h] : max;
    printf("\n  Plays by hour (UTC, as the log has them)\n  ");
    for (int h = 0; h < 24; h++) {
        const char *level = levels[s->audit.hour_plays[h] * 8 / max];
        printf("%s%s ", level, level);
    }
    printf("\n  ");
    for (int h = 0; h < 24; h++)
        printf("%02d ", h);
    printf("\n");
}

static void row(const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("  %-34s", name);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

bool page_print(const struct story *s)
{
    const struct ledger *g = &s->group;
    typedef unsigned long long ull;
    progress("%s", "");
    printf("\n  weir: a listening log through one small server, killed on the way\n  %s\n\n",
           s->plays.source);
    row("published and acknowledged", "%llu records, %.0f MB, in %.1f s: %.0f records/s, %.0f MB/s",
        (ull)s->acknowledged, (double)s->bytes_in / 1e6, s->publish_s,
        (double)s->acknowledged / s->publish_s, (double)s->bytes_in / 1e6 / s->publish_s);
    row("read by the group of three", "%llu records, %.0f MB, done after %.1f s", (ull)g->read,
        (double)g->bytes / 1e6, s->all_s);
    row("a consumer killed with -9", "after %llu records", (ull)s->consumer_killed_at);
    row("the server killed with -9", "after %llu records", (ull)s->server_killed_at);
    printf("\n");
    row("lost", "%llu of the log, %llu of the group", (ull)s->lost_in_log, (ull)s->lost_by_group);
    row("duplicated in the log", "%llu", (ull)s->audit.again);
    row("reordered within a key", "%llu", (ull)s->audit.reordered);
    row("read again after the kills", "%llu", (ull)g->again);
    printf("\n");
    row("start on an empty directory", "%.0f ms", s->start_ms);
    row("start after kill -9", "%.0f ms", s->restart_ms);
    row("peak memory", "%.0f MB", (double)s->peak_kib / 1024);
    row("syncs per second", "%s", s->syncs);
    top_artists(s);
    plays_by_hour(s);
    printf("\n");
    return s->lost_in_log == 0 && s->lost_by_group == 0 && s->audit.again == 0 &&
           s->audit.reordered == 0 && s->failed == 0;
}
