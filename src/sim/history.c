// SPDX-License-Identifier: Apache-2.0
//
// A ring of lines. See history.h.
#include "sim/history.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void history_note(struct history *history, const char *who, const char *format, ...)
{
    char *line = history->lines[history->count++ % HISTORY_LINES];
    int64_t now_ns = history->sim != NULL ? sim_now_ns(history->sim) : 0;
    int n = snprintf(line, HISTORY_WIDTH, "%10.6f %-12s ", (double)now_ns / 1e9, who);
    ASSERT(n > 0);
    va_list args;
    va_start(args, format);
    if (n < HISTORY_WIDTH)
        (void)vsnprintf(line + n, (size_t)(HISTORY_WIDTH - n), format, args);
    va_end(args);
    if (history->sim != NULL)
        sim_trace(history->sim, line, strlen(line));
    if (history->line != NULL)
        history->line(history->arg, line);
}

void history_tail(const struct history *history, uint32_t lines,
                  void (*line)(void *arg, const char *text), void *arg)
{
    uint64_t kept = history->count < HISTORY_LINES ? history->count : HISTORY_LINES;
    uint64_t n = lines < kept ? lines : kept;
    for (uint64_t i = history->count - n; i < history->count; i++)
        line(arg, history->lines[i % HISTORY_LINES]);
}
