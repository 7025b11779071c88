// SPDX-License-Identifier: Apache-2.0
//
// What the interpreter does without a wire: defaults, arrays of them, and the buffer with gaps that
// an encoder fills. Defaults are rows too, so a version that lacks a field and a caller who does
// not care about it mean the same value.
#include "wire/wire.h"

#include "base/mem.h"
#include "wire/wire_int.h"

static const uint8_t nothing[1]; // what an empty slice points to

static const uint8_t scalar_sizes[] = {
    [WIRE_BOOL] = sizeof(bool),        [WIRE_I8] = sizeof(int8_t),
    [WIRE_I16] = sizeof(int16_t),      [WIRE_I32] = sizeof(int32_t),
    [WIRE_I64] = sizeof(int64_t),      [WIRE_UUID] = sizeof(struct uuid),
    [WIRE_STR] = sizeof(struct slice),
};

size_t wire_elem_size(const struct wire_field *f)
{
    ASSERT(f->type == WIRE_ARRAY);
    if (f->elem == WIRE_STRUCT)
        return f->of->size;
    ASSERT(f->elem < sizeof scalar_sizes);
    return scalar_sizes[f->elem];
}

int64_t wire_int_get(enum wire_type type, const void *at)
{
    switch ((int)type) {
    case WIRE_BOOL:
    case WIRE_BIT:
        return *(const bool *)at ? 1 : 0;
    case WIRE_I8:
        return *(const int8_t *)at;
    case WIRE_I16:
        return *(const int16_t *)at;
    case WIRE_I32:
        return *(const int32_t *)at;
    default:
        ASSERT(type == WIRE_I64);
        return *(const int64_t *)at;
    }
}

void wire_int_set(enum wire_type type, void *at, int64_t value)
{
    switch ((int)type) {
    case WIRE_BOOL:
    case WIRE_BIT:
        *(bool *)at = value != 0;
        break;
    case WIRE_I8:
        *(int8_t *)at = (int8_t)value;
        break;
    case WIRE_I16:
        *(int16_t *)at = (int16_t)value;
        break;
    case WIRE_I32:
        *(int32_t *)at = (int32_t)value;
        break;
    default:
        ASSERT(type == WIRE_I64);
        *(int64_t *)at = value;
    }
}

static void default_array(const struct wire_field *f, void *base, bool null)
{
    const void *elements = NULL;
    const uint32_t count = 0;
    memcpy(wire_member(base, f->offset), &elements, sizeof elements);
    memcpy(wire_member(base, f->count_offset), &count, sizeof count);
    if (f->nullable)
        memcpy(wire_member(base, f->null_offset), &null, sizeof null);
}

void wire_default_field(const struct wire_field *f, void *base)
{
    void *at = wire_member(base, f->offset);
    bool null = f->default_null;
    struct slice empty = null ? SLICE_NULL : (struct slice){nothing, 0};
    switch (f->type) {
    case WIRE_UUID:
        memset(at, 0, sizeof(struct uuid));
        break;
    case WIRE_STR:
    case WIRE_SHORT_STR:
    case WIRE_BYTES:
        memcpy(at, &empty, sizeof empty);
        break;
    case WIRE_RECORDS:
        *(struct wire_records *)at = (struct wire_records){.bytes = empty};
        break;
    case WIRE_STRUCT:
        wire_default(f->of, at);
        if (f->nullable)
            memcpy(wire_member(base, f->null_offset), &null, sizeof null);
        break;
    case WIRE_ARRAY:
        default_array(f, base, null);
        break;
    default:
        wire_int_set(f->type, at, f->dflt);
    }
}

void wire_default(const struct wire_struct *type, void *out)
{
    memset(out, 0, type->size); // padding, too
    for (uint32_t i = 0; i < type->fields_count; i++)
        wire_default_field(&type->fields[i], out);
}

void *wire_array_new(const struct wire_struct *type, struct arena *arena, size_t count)
{
    uint8_t *elements = count == 0 ? NULL : arena_array(arena, count, type->size);
    for (size_t i = 0; elements != NULL && i < count; i++)
        wire_default(type, elements + i * type->size);
    return elements;
}

size_t wire_records_bytes(const struct wire_records *r)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < r->pieces_count; i++)
        bytes += r->pieces[i].len;
    return r->pieces_count > 0 ? bytes : r->bytes.len;
}

void wire_out_init(struct wire_out *out, size_t max_bytes)
{
    *out = (struct wire_out){0};
    buf_init(&out->buf, max_bytes);
}

void wire_out_fini(struct wire_out *out)
{
    buf_fini(&out->buf);
    mem_free(out->gaps);
    *out = (struct wire_out){0};
}

void wire_out_clear(struct wire_out *out)
{
    buf_clear(&out->buf);
    out->gaps_count = 0;
    out->gaps_bytes = 0;
}

size_t wire_out_bytes(const struct wire_out *out)
{
    return out->buf.len + out->gaps_bytes;
}
