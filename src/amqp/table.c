// SPDX-License-Identifier: Apache-2.0
//
// Reading and building field tables. One function reads a value of any type, and everything else
// walks with it: the check, lookups, the canonical form. For the last one the places of a table's
// entries are sorted, and each is then read again and written.
#include "amqp/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"

// ---- reading

static struct slice long_bytes(struct cursor *in)
{
    return cursor_bytes(in, cursor_be32(in));
}

static double real_of(uint64_t bits)
{
    double real;
    memcpy(&real, &bits, sizeof real);
    return real;
}

static double real_of_float(uint32_t bits)
{
    float real;
    memcpy(&real, &bits, sizeof real);
    return (double)real;
}

static void integer(struct amqp_value *v, int64_t number)
{
    v->kind = AMQP_INT;
    v->number = number;
}

static void run(struct amqp_value *v, enum amqp_kind kind, struct slice bytes)
{
    v->kind = kind;
    v->bytes = bytes;
}

static void real(struct amqp_value *v, double number)
{
    v->kind = AMQP_DOUBLE;
    v->real = number;
}

static void decimal(struct amqp_value *v, struct cursor *in)
{
    v->kind = AMQP_DECIMAL;
    v->scale = cursor_u8(in);
    v->number = (int32_t)cursor_be32(in);
}

static void value_of_type(struct cursor *in, struct amqp_value *v)
{
    switch (v->type) {
    case 't':
        v->kind = AMQP_BOOL;
        v->number = cursor_u8(in) != 0;
        break;
    case 'b':
        integer(v, (int8_t)cursor_u8(in));
        break;
    case 'B':
        integer(v, cursor_u8(in));
        break;
    case 's':
        integer(v, (int16_t)cursor_be16(in));
        break;
    case 'u':
        integer(v, cursor_be16(in));
        break;
    case 'I':
        integer(v, (int32_t)cursor_be32(in));
        break;
    case 'i':
        integer(v, cursor_be32(in));
        break;
    case 'l':
    case 'L':
        integer(v, (int64_t)cursor_be64(in));
        break;
    case 'f':
        real(v, real_of_float(cursor_be32(in)));
        break;
    case 'd':
        real(v, real_of(cursor_be64(in)));
        break;
    case 'D':
        decimal(v, in);
        break;
    case 'S':
        run(v, AMQP_TEXT, long_bytes(in));
        break;
    case 'x':
        run(v, AMQP_BYTES, long_bytes(in));
        break;
    case 'T':
        v->kind = AMQP_TIME;
        v->number = (int64_t)cursor_be64(in);
        break;
    case 'A':
        run(v, AMQP_ARRAY, long_bytes(in));
        break;
    case 'F':
        run(v, AMQP_TABLE, long_bytes(in));
        break;
    case 'V':
        v->kind = AMQP_NULL;
        break;
    default:
        cursor_fail(in, ERR_MALFORMED);
    }
}

bool amqp_array_next(struct cursor *in, struct amqp_value *out)
{
    if (in->err != 0 || cursor_left(in) == 0)
        return false;
    const uint8_t *begin = in->pos;
    struct amqp_value v = {.type = cursor_u8(in)};
    value_of_type(in, &v);
    if (in->err != 0)
        return false;
    v.raw = slice_of(begin, (size_t)(in->pos - begin));
    *out = v;
    return true;
}

bool amqp_table_next(struct cursor *in, struct slice *out_name, struct amqp_value *out)
{
    if (in->err != 0 || cursor_left(in) == 0)
        return false;
    struct slice name = cursor_bytes(in, cursor_u8(in));
    if (in->err == 0 && cursor_left(in) == 0)
        cursor_fail(in, ERR_TRUNCATED);
    if (!amqp_array_next(in, out))
        return false;
    *out_name = name;
    return true;
}

int amqp_table_get(struct slice table, const char *name, struct amqp_value *out)
{
    struct cursor in = cursor_of(table);
    struct slice found;
    struct amqp_value v;
    while (amqp_table_next(&in, &found, &v)) {
        if (!slice_eq_cstr(found, name))
            continue;
        *out = v;
        return 0;
    }
    return ERR_NOT_FOUND;
}

// ---- the check: the same walk into what lies within, with a stack instead of recursion

int amqp_table_check(struct slice table)
{
    struct {
        struct cursor in;
        bool named;
    } stack[AMQP_TABLE_DEPTH_MAX];
    uint32_t depth = 0;
    stack[0].in = cursor_of(table);
    stack[0].named = true;
    for (;;) {
        struct cursor *in = &stack[depth].in;
        struct slice name;
        struct amqp_value v;
        bool more = stack[depth].named ? amqp_table_next(in, &name, &v) : amqp_array_next(in, &v);
        if (in->err != 0)
            return ERR_MALFORMED;
        if (!more && depth == 0)
            return 0;
        if (!more) {
            depth--;
        } else if (v.kind == AMQP_ARRAY || v.kind == AMQP_TABLE) {
            if (++depth == AMQP_TABLE_DEPTH_MAX)
                return ERR_LIMIT;
            stack[depth].in = cursor_of(v.bytes);
            stack[depth].named = v.kind == AMQP_TABLE;
        }
    }
}

// ---- building

static void put_head(struct buf *out, struct slice name, uint8_t type)
{
    if (name.data != NULL) {
        ASSERT(name.len <= UINT8_MAX);
        buf_put_u8(out, (uint8_t)name.len);
        buf_put_slice(out, name);
    }
    buf_put_u8(out, type);
}

static void put_long(struct buf *out, struct slice bytes)
{
    if (bytes.len > UINT32_MAX && out->err == 0)
        out->err = ERR_LIMIT;
    buf_put_be32(out, (uint32_t)bytes.len);
    buf_put_slice(out, bytes);
}

void amqp_put_null(struct buf *out, struct slice name)
{
    put_head(out, name, 'V');
}

void amqp_put_bool(struct buf *out, struct slice name, bool value)
{
    put_head(out, name, 't');
    buf_put_u8(out, value ? 1 : 0);
}

void amqp_put_int(struct buf *out, struct slice name, int64_t value)
{
    if (value >= INT32_MIN && value <= INT32_MAX) {
        put_head(out, name, 'I');
        buf_put_be32(out, (uint32_t)(int32_t)value);
    } else {
        put_head(out, name, 'l');
        buf_put_be64(out, (uint64_t)value);
    }
}

void amqp_put_time(struct buf *out, struct slice name, uint64_t seconds)
{
    put_head(out, name, 'T');
    buf_put_be64(out, seconds);
}

void amqp_put_text(struct buf *out, struct slice name, struct slice value)
{
    put_head(out, name, 'S');
    put_long(out, value);
}

void amqp_put_raw(struct buf *out, struct slice name, struct slice raw)
{
    ASSERT(raw.len > 0);
    put_head(out, name, raw.data[0]);
    buf_put(out, raw.data + 1, raw.len - 1);
}

static size_t open_of_type(struct buf *out, struct slice name, uint8_t type)
{
    put_head(out, name, type);
    size_t at = out->len;
    buf_put_be32(out, 0);
    return at;
}

size_t amqp_open_table(struct buf *out, struct slice name)
{
    return open_of_type(out, name, 'F');
}

size_t amqp_open_array(struct buf *out, struct slice name)
{
    return open_of_type(out, name, 'A');
}

void amqp_close(struct buf *out, size_t opened)
{
    if (out->err == 0)
        buf_set_be32(out, opened, (uint32_t)(out->len - opened - 4));
}

// ---- the canonical form

// An entry is known by where it begins: the length of its name, the name.
static struct slice entry_name(const uint8_t *entry)
{
    return slice_of(entry + 1, entry[0]);
}

// By name, then the last one first.
static int entry_cmp(const void *a, const void *b)
{
    const uint8_t *const *x = a;
    const uint8_t *const *y = b;
    int order = slice_cmp(entry_name(*x), entry_name(*y));
    if (order != 0)
        return order;
    return *x > *y ? -1 : 1;
}

static void value_put(const struct amqp_value *v, struct slice name, struct buf *out, int depth);

static void array_put(struct slice array, struct buf *out, int depth)
{
    struct cursor in = cursor_of(array);
    struct amqp_value v;
    while (amqp_array_next(&in, &v))
        value_put(&v, SLICE_NULL, out, depth);
    if (in.err != 0 && out->err == 0)
        out->err = ERR_MALFORMED;
}

// Where the entries begin, if out is not NULL; how many there are.
static int entries(struct slice table, const uint8_t **out, uint32_t *out_count)
{
    struct cursor in = cursor_of(table);
    struct slice name;
    struct amqp_value v;
    uint32_t count = 0;
    const uint8_t *at = in.pos;
    for (; amqp_table_next(&in, &name, &v); at = in.pos) {
        if (out != NULL)
            out[count] = at;
        count++;
    }
    *out_count = count;
    return in.err != 0 ? ERR_MALFORMED : 0;
}

static void entry_put(const uint8_t *entry, struct slice table, struct buf *out, int depth)
{
    struct cursor in = cursor_of(slice_of(entry, table.len - (size_t)(entry - table.data)));
    struct slice name;
    struct amqp_value v;
    bool there = amqp_table_next(&in, &name, &v);
    ASSERT(there);
    value_put(&v, name, out, depth);
}

static void table_put(struct slice table, struct buf *out, int depth)
{
    uint32_t count;
    int err = entries(table, NULL, &count);
    if (err == 0 && count > 0) {
        const uint8_t **sorted = mem_try_alloc(count * sizeof *sorted);
        err = sorted != NULL ? entries(table, sorted, &count) : ERR_NOMEM;
        if (err == 0)
            qsort(sorted, count, sizeof *sorted, entry_cmp);
        for (uint32_t i = 0; i < count && err == 0; i++)
            if (i == 0 || !slice_eq(entry_name(sorted[i]), entry_name(sorted[i - 1])))
                entry_put(sorted[i], table, out, depth);
        mem_free(sorted);
    }
    if (err != 0 && out->err == 0)
        out->err = err;
}

static void value_put(const struct amqp_value *v, struct slice name, struct buf *out, int depth)
{
    uint64_t bits;
    size_t opened;
    bool holds = v->kind == AMQP_ARRAY || v->kind == AMQP_TABLE;
    if (holds && depth == AMQP_TABLE_DEPTH_MAX && out->err == 0)
        out->err = ERR_LIMIT;
    if (out->err != 0)
        return;
    switch (v->kind) {
    case AMQP_BOOL:
        amqp_put_bool(out, name, v->number != 0);
        break;
    case AMQP_INT:
        amqp_put_int(out, name, v->number);
        break;
    case AMQP_DOUBLE:
        put_head(out, name, 'd');
        memcpy(&bits, &v->real, sizeof bits);
        buf_put_be64(out, bits);
        break;
    case AMQP_ARRAY:
        opened = amqp_open_array(out, name);
        array_put(v->bytes, out, depth + 1);
        amqp_close(out, opened);
        break;
    case AMQP_TABLE:
        opened = amqp_open_table(out, name);
        table_put(v->bytes, out, depth + 1);
        amqp_close(out, opened);
        break;
    case AMQP_NULL:
    case AMQP_DECIMAL:
    case AMQP_TEXT:
    case AMQP_BYTES:
    case AMQP_TIME:
        amqp_put_raw(out, name, v->raw);
        break;
    }
}

int amqp_table_canonical(struct slice table, struct buf *out)
{
    table_put(table, out, 1);
    return out->err;
}

int amqp_value_canonical(const struct amqp_value *value, struct buf *out)
{
    value_put(value, SLICE_NULL, out, 1);
    return out->err;
}
