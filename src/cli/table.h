// SPDX-License-Identifier: Apache-2.0
//
// What commands print: aligned columns with a heading on a terminal, TSV with a heading line into a
// pipe.
#ifndef WEIR_CLI_TABLE_H
#define WEIR_CLI_TABLE_H

#include "base/arena.h"

#define TABLE_COLUMNS_MAX 16

struct table {
    const char *const *columns; // NULL-terminated; a name beginning with '>' is aligned right
    uint32_t columns_count;
    char **cells; // rows after each other
    size_t cells_count, cells_cap;
};

void table_init(struct table *t, const char *const *columns);
void table_cell(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_print(struct table *t); // to standard output; frees
// "1.5 MB" on a terminal, the plain number in a pipe.
void table_bytes(struct table *t, int64_t bytes);

#endif
