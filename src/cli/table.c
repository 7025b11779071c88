// SPDX-License-Identifier: Apache-2.0
//
// Tables for people, TSV for programs: the same calls, decided by where standard output goes.
#include "cli/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"

void table_init(struct table *t, const char *const *columns)
{
    *t = (struct table){.columns = columns};
    while (columns[t->columns_count] != NULL)
        t->columns_count++;
    ASSERT(t->columns_count > 0);
    ASSERT(t->columns_count <= TABLE_COLUMNS_MAX);
}

// Names of groups, clients and members are whatever strangers sent: what would move the cursor of a
// terminal or break a row of a TSV shows as a question mark.
static void harmless(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

void table_cell(struct table *t, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    harmless(text);
    if (t->cells_count == t->cells_cap) {
        t->cells_cap = t->cells_cap == 0 ? 64 : t->cells_cap * 2;
        t->cells = mem_realloc(t->cells, t->cells_cap * sizeof t->cells[0]);
    }
    t->cells[t->cells_count++] = mem_strdup(text);
}

void table_bytes(struct table *t, int64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double v = (double)bytes;
    size_t unit = 0;
    if (isatty(STDOUT_FILENO) == 0 || bytes < 1000) {
        table_cell(t, "%lld", (long long)bytes);
        return;
    }
    // 999,950 would round to "1000.0 kB".
    for (; v >= 999.95 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        v /= 1000;
    table_cell(t, "%.1f %s", v, units[unit]);
}

static const char *heading(const struct table *t, uint32_t column)
{
    return t->columns[column] + (t->columns[column][0] == '>');
}

static void print_tsv(const struct table *t)
{
    ASSERT(t->columns_count > 0);
    for (uint32_t i = 0; i < t->columns_count; i++)
        (void)printf("%s%c", heading(t, i), i + 1 < t->columns_count ? '\t' : '\n');
    for (size_t i = 0; i < t->cells_count; i++)
        (void)printf("%s%c", t->cells[i], (i + 1) % t->columns_count != 0 ? '\t' : '\n');
}

static void print_line(const struct table *t, const int *widths, const char *const *cells)
{
    for (uint32_t i = 0; i < t->columns_count; i++) {
        bool right = t->columns[i][0] == '>';
        bool last = i + 1 == t->columns_count;
        if (right)
            (void)printf("%*s%s", widths[i], cells[i], last ? "\n" : "  ");
        else
            (void)printf("%-*s%s", last ? 0 : widths[i], cells[i], last ? "\n" : "  ");
    }
}

static void print_aligned(const struct table *t)
{
    int widths[TABLE_COLUMNS_MAX] = {0};
    const char *headings[TABLE_COLUMNS_MAX];
    ASSERT(t->columns_count > 0);
    for (uint32_t i = 0; i < t->columns_count; i++) {
        headings[i] = heading(t, i);
        widths[i] = (int)strlen(headings[i]);
    }
    for (size_t i = 0; i < t->cells_count; i++) {
        int len = (int)strlen(t->cells[i]);
        int *width = &widths[i % t->columns_count];
        *width = len > *width ? len : *width;
    }
    print_line(t, widths, headings);
    for (size_t i = 0; i + t->columns_count <= t->cells_count; i += t->columns_count)
        print_line(t, widths, (const char *const *)&t->cells[i]);
}

void table_print(struct table *t)
{
    ASSERT(t->columns_count > 0);
    ASSERT(t->cells_count % t->columns_count == 0); // whole rows
    if (isatty(STDOUT_FILENO) != 0)
        print_aligned(t);
    else
        print_tsv(t);
    for (size_t i = 0; i < t->cells_count; i++)
        mem_free(t->cells[i]);
    mem_free(t->cells);
    t->cells = NULL;
    t->cells_count = 0;
}
