// SPDX-License-Identifier: Apache-2.0
//
// What a person sees: progress while it goes, and one page at the end.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
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

static void queue_as_topic(const struct tasks *t)
{
    row("the queue as a Kafka topic", "%llu records in %d partitions, one per priority",
        (unsigned long long)t->records, t->levels);
    row("", "acknowledged, and kept for an hour (weir.retention.after.ack.ms)");
    for (size_t i = 0; i < t->samples_count; i++)
        printf("    %s\n", t->samples[i]);
}

static void tasks_rows(const struct tasks *t)
{
#define FIGURE(name) tasks_figure(t, name)
    row("tasks sent, publishes confirmed", "%s", FIGURE("sent"));
    row("done", "%s, in %s s: %s thumbnails, %s orders in SQLite, %s mails", FIGURE("done"),
        FIGURE("seconds"), FIGURE("pictures"), FIGURE("orders"), FIGURE("mails"));
    row("retried", "%s, after the bank or the mail server said: later", FIGURE("retried"));
    row("median from asking to done", "%s s for a password, %s s for an order, %s s for a picture",
        FIGURE("wait_reset_password_s"), FIGURE("wait_fulfil_s"), FIGURE("wait_resize_s"));
    row("the worker killed with -9", "after %s tasks", FIGURE("worker_killed_at"));
    row("the server killed with -9", "after %s tasks; started again in %.0f ms",
        FIGURE("server_killed_at"), t->restart_ms);
    printf("\n");
    row("lost", "%s", FIGURE("lost"));
    row("done again after the kills", "%s; the stock is %s", FIGURE("again"),
        tasks_number(t, "stock_right") ? "right" : "WRONG");
#undef FIGURE
}

static bool tasks_page(const struct tasks *t)
{
    printf("\n  weir: a shop on Celery and its own worker, on the same server\n\n");
    if (t->python[0] == '\0') {
        printf("  Left out: Celery could not be installed here; what was said is above.\n\n");
        return true;
    }
    tasks_rows(t);
    if (strcmp(tasks_figure(t, "error"), "-") != 0)
        row("the sender gave up", "%s", tasks_figure(t, "error"));
    printf("\n");
    queue_as_topic(t);
    printf("\n");
    return tasks_number(t, "sent") > 0 && tasks_number(t, "sent") == tasks_number(t, "done") &&
           t->records >= tasks_number(t, "sent") && tasks_number(t, "stock_right") &&
           strcmp(tasks_figure(t, "error"), "-") == 0;
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
    bool tasks_right = tasks_page(&s->tasks);
    return tasks_right && s->lost_in_log == 0 && s->lost_by_group == 0 && s->audit.again == 0 &&
           s->audit.reordered == 0 && s->failed == 0;
}
