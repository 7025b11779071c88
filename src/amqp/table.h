// SPDX-License-Identifier: Apache-2.0
//
// Field tables and arrays (AMQP 0-9-1 section 4.2.5.5): read, checked, made canonical, built. A
// slice "table" here is a table's content without its u32 length, as wire_decode gives it.
//
//   table   (short string name, value)…       array   value…       value   u8 type, bytes
//
//   TYPE         BYTES                                        KIND
//   t            u8                                           bool
//   b B s u I i  8, 8, 16, 16, 32, 32 bits, signed and not    int
//   l L          64 bits, both signed                         int
//   f d          IEEE 754                                     double
//   D            u8 scale, i32                                decimal
//   S x          u32 length, bytes                            text, bytes
//   T            u64 seconds                                  time
//   A F          u32 length in bytes, content                 array, table
//   V            -                                            null
//
// These are the types as RabbitMQ reads them. What py-amqp or others mean by b, B, s and l where
// they differ has the same size in all cases but s (py-amqp reads a short string there and never
// writes one), so a table that came from anybody can be walked, and is passed on as it came. What
// we build uses only types on which all agree: S I t d T F A V, and l for what I does not hold.
//
// Every byte may come from a stranger: amqp_table_check first, then reading cannot fail. Nothing
// here allocates but the canonical form, whose memory follows the number of entries.
#ifndef WEIR_AMQP_TABLE_H
#define WEIR_AMQP_TABLE_H

#include "base/buf.h"
#include "base/cursor.h"

#define AMQP_TABLE_DEPTH_MAX 32 // tables and arrays within each other

enum amqp_kind {
    AMQP_NULL,
    AMQP_BOOL,
    AMQP_INT,
    AMQP_DOUBLE,
    AMQP_DECIMAL,
    AMQP_TEXT,
    AMQP_BYTES,
    AMQP_TIME,
    AMQP_ARRAY,
    AMQP_TABLE
};

struct amqp_value {
    enum amqp_kind kind;
    uint8_t type;       // as it came
    uint8_t scale;      // decimal: number / 10^scale
    int64_t number;     // bool, int, decimal, time (seconds)
    double real;        // double
    struct slice bytes; // text, bytes; array, table: their content
    struct slice raw;   // type and bytes, to be passed on
};

// The whole structure: types known, lengths within each other, not too deep. 0, ERR_MALFORMED (also
// for what is cut), ERR_LIMIT: too deep.
int amqp_table_check(struct slice table);

// Walks: false at the end, or at what is malformed (then in->err). `struct cursor in =
// cursor_of(table)`.
bool amqp_table_next(struct cursor *in, struct slice *out_name, struct amqp_value *out);
bool amqp_array_next(struct cursor *in, struct amqp_value *out);
// The first entry of that name. ERR_NOT_FOUND.
int amqp_table_get(struct slice table, const char *name, struct amqp_value *out);

// Equal tables have equal bytes: entries by name (the last of equal names counts), integers as I or
// l, f as d, B and others as their kind; times, decimals, text, bytes, null as they are; arrays
// keep their order. Appends content without length. ERR_MALFORMED, ERR_LIMIT,
// ERR_NOMEM; also as out->err.
int amqp_table_canonical(struct slice table, struct buf *out);
int amqp_value_canonical(const struct amqp_value *value, struct buf *out); // with its type

// ---- building, into a buffer; errors stick in out->err. A null name: an element of an array.

void amqp_put_null(struct buf *out, struct slice name);
void amqp_put_bool(struct buf *out, struct slice name, bool value);
void amqp_put_int(struct buf *out, struct slice name, int64_t value);
void amqp_put_time(struct buf *out, struct slice name, uint64_t seconds);
void amqp_put_text(struct buf *out, struct slice name, struct slice value);
void amqp_put_raw(struct buf *out, struct slice name, struct slice raw); // amqp_value.raw
// Opens one within; what is put until amqp_close belongs to it.
size_t amqp_open_table(struct buf *out, struct slice name);
size_t amqp_open_array(struct buf *out, struct slice name);
void amqp_close(struct buf *out, size_t opened);

#endif
