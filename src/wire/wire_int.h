// SPDX-License-Identifier: Apache-2.0
//
// What the interpreter's files share: questions to a row, and access to a member by its offset.
// Private to wire/.
#ifndef WEIR_WIRE_WIRE_INT_H
#define WEIR_WIRE_WIRE_INT_H

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "wire/wire.h"

static inline bool wire_has(const struct wire_field *f, int version)
{
    return version >= f->since && version <= f->until;
}

static inline bool wire_may_be_null(const struct wire_field *f, int version)
{
    return f->nullable && version >= f->null_since && version <= f->null_until;
}

static inline bool wire_flexible(const struct wire_msg *msg, int version)
{
    return version >= msg->flexible_since;
}

static inline void *wire_member(void *base, size_t offset)
{
    return (uint8_t *)base + offset;
}

static inline const void *wire_cmember(const void *base, size_t offset)
{
    return (const uint8_t *)base + offset;
}

static inline uint32_t wire_count(const struct wire_field *f, const void *base)
{
    uint32_t count;
    memcpy(&count, wire_cmember(base, f->count_offset), sizeof count);
    return count;
}

static inline const uint8_t *wire_elements(const struct wire_field *f, const void *base)
{
    const uint8_t *elements;
    memcpy(&elements, wire_cmember(base, f->offset), sizeof elements);
    return elements;
}

// Of arrays and structs: whether f_null is there and set.
static inline bool wire_null_flag(const struct wire_field *f, const void *base)
{
    bool null = false;
    if (f->nullable)
        memcpy(&null, wire_cmember(base, f->null_offset), sizeof null);
    return null;
}

static inline struct slice wire_slice(const void *at)
{
    struct slice s;
    memcpy(&s, at, sizeof s);
    return s;
}

static inline bool wire_supports(const struct wire_msg *msg, int version)
{
    return version >= msg->min_version && version <= msg->max_version;
}

// Of scalars and str only, and of structs: the size of an element in memory.
size_t wire_elem_size(const struct wire_field *f);
int64_t wire_int_get(enum wire_type type, const void *at); // bool and integers
void wire_int_set(enum wire_type type, void *at, int64_t value);
void wire_default_field(const struct wire_field *f, void *base);
size_t wire_records_bytes(const struct wire_records *r);

#endif
