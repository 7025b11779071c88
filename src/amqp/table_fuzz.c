// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a field table, and as the properties of a message. What passes the check can be
// walked to its end; its canonical form is one, stays what it is when made again, and holds for
// each name what a lookup of the last entry finds; properties are written as they were read.
//
// covers: src/amqp/table.c src/amqp/properties.c
#include "amqp/properties.h"
#include "amqp/table.h"
#include "base/assert.h"
#include "base/err.h"

#define OUT_MAX (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Returns how many entries there are, at all depths.
static uint32_t walk(struct slice content, bool named, int depth)
{
    struct cursor in = cursor_of(content);
    struct slice name;
    struct amqp_value v;
    uint32_t count = 0;
    ASSERT(depth <= AMQP_TABLE_DEPTH_MAX);
    while (named ? amqp_table_next(&in, &name, &v) : amqp_array_next(&in, &v)) {
        ASSERT(v.raw.len > 0);
        ASSERT(v.raw.data >= content.data);
        ASSERT(v.raw.data + v.raw.len <= content.data + content.len);
        count++;
        if (v.kind == AMQP_TABLE || v.kind == AMQP_ARRAY)
            count += walk(v.bytes, v.kind == AMQP_TABLE, depth + 1);
    }
    ASSERT(in.err == 0);
    return count;
}

static void one_table(struct slice table)
{
    struct buf canonical;
    struct buf again;
    buf_init(&canonical, OUT_MAX);
    buf_init(&again, OUT_MAX);
    int err = amqp_table_check(table);
    ASSERT(err == 0 || err == ERR_MALFORMED || err == ERR_LIMIT);
    // What is wrong may be in an entry that a later one of the same name hides.
    int canonical_err = amqp_table_canonical(table, &canonical);
    ASSERT(canonical_err == 0 ||
           (err != 0 && (canonical_err == ERR_MALFORMED || canonical_err == ERR_LIMIT)));
    if (err == 0) {
        struct slice made = buf_slice(&canonical);
        ASSERT(amqp_table_check(made) == 0);
        ASSERT(walk(made, true, 1) <= walk(table, true, 1));
        err = amqp_table_canonical(made, &again);
        ASSERT(err == 0);
        ASSERT(made.len == again.len);
        ASSERT(made.len == 0 || slice_eq(made, buf_slice(&again)));
    }
    buf_fini(&again);
    buf_fini(&canonical);
}

static void some_properties(struct slice raw)
{
    struct amqp_properties p;
    struct buf out;
    int err = amqp_properties_read(raw, &p);
    ASSERT(err == 0 || err == ERR_MALFORMED || err == ERR_LIMIT);
    if (err != 0)
        return;
    buf_init(&out, OUT_MAX);
    amqp_properties_write(&p, &out);
    ASSERT(slice_eq(raw, buf_slice(&out)));
    buf_fini(&out);
    one_table(p.headers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > OUT_MAX / 8)
        return 0;
    struct slice rest = slice_of(data + 1, size - 1);
    if (data[0] % 2 == 0)
        one_table(rest);
    else
        some_properties(rest);
    return 0;
}
