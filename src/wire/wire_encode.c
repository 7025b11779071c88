// SPDX-License-Identifier: Apache-2.0
//
// Structs to bytes. The size of a tagged field stands before it, so an encoder must be able to
// measure; rather than have a second walk that could disagree with the first, the same walk counts
// when it has no buffer. Record pieces are never copied: they become gaps.
#include "base/endian.h"
#include "base/mem.h"
#include "wire/wire_int.h"

struct encode {
    struct wire_out *out; // NULL: only count
    size_t bytes;
    int version;
    bool flexible;
};

static void encode_struct(struct encode *e, const struct wire_struct *type, const void *in);

static void fail(struct encode *e, int err)
{
    if (e->out != NULL && e->out->buf.err == 0)
        e->out->buf.err = err;
}

// Room for n more bytes, taken; NULL when only counting or at the limit. What is already there is
// taken here: a call for each small field would cost more than the field.
static inline uint8_t *take(struct encode *e, size_t n)
{
    e->bytes += n;
    if (e->out == NULL)
        return NULL;
    struct buf *b = &e->out->buf;
    uint8_t *at = NULL;
    if (LIKELY(b->err == 0 && b->cap - b->len >= n))
        at = b->data + b->len;
    else
        at = buf_reserve(b, n);
    b->len += at == NULL ? 0 : n;
    return at;
}

static inline void put_int(struct encode *e, int64_t value, size_t width)
{
    uint8_t *at = take(e, width);
    if (UNLIKELY(at == NULL))
        return;
    switch (width) {
    case 1:
        *at = (uint8_t)value;
        break;
    case 2:
        be16_put(at, (uint16_t)value);
        break;
    case 4:
        be32_put(at, (uint32_t)value);
        break;
    default:
        ASSERT(width == 8);
        be64_put(at, (uint64_t)value);
    }
}

static void put_uvarint(struct encode *e, uint64_t value)
{
    while (value >= 0x80) {
        put_int(e, (int64_t)(value | 0x80), 1);
        value >>= 7;
    }
    put_int(e, (int64_t)value, 1);
}

static void put(struct encode *e, const void *data, size_t len)
{
    ASSERT(data != NULL || len == 0);
    uint8_t *at = len == 0 ? NULL : take(e, len);
    if (at != NULL)
        memcpy(at, data, len);
}

// A length or count; null is -1, compact: 0.
static void put_length(struct encode *e, bool compact, size_t width, bool null, size_t len)
{
    if (!null && len > (width == 2 ? (size_t)WIRE_STR_MAX : (size_t)INT32_MAX - 1)) {
        fail(e, ERR_LIMIT);
        len = 0;
    }
    if (compact)
        put_uvarint(e, null ? 0 : (uint64_t)len + 1);
    else
        put_int(e, null ? -1 : (int64_t)len, width);
}

static void put_slice(struct encode *e, bool compact, bool str, bool nullable, struct slice s)
{
    bool null = s.data == NULL && nullable;
    put_length(e, compact, str ? 2 : 4, null, s.len);
    put(e, s.data, s.len);
}

static void gap_add(struct encode *e, const struct wire_records *r, size_t bytes)
{
    struct wire_out *out = e->out;
    e->bytes += bytes;
    if (out == NULL || out->buf.err != 0)
        return;
    if (out->gaps_count == WIRE_GAPS_MAX || out->gaps_bytes + bytes > INT32_MAX) {
        fail(e, ERR_LIMIT);
        return;
    }
    if (out->gaps_count == out->gaps_cap) {
        out->gaps_cap = out->gaps_cap == 0 ? 8 : out->gaps_cap * 2;
        out->gaps = mem_realloc(out->gaps, out->gaps_cap * sizeof *out->gaps);
    }
    out->gaps[out->gaps_count++] = (struct wire_gap){out->buf.len, r->pieces, r->pieces_count};
    out->gaps_bytes += bytes;
}

static void put_records(struct encode *e, bool compact, bool nullable, const struct wire_records *r)
{
    if (r->pieces_count == 0) {
        put_slice(e, compact, false, nullable, r->bytes);
        return;
    }
    size_t bytes = wire_records_bytes(r);
    put_length(e, compact, 4, false, bytes);
    gap_add(e, r, bytes);
}

static inline void put_scalar(struct encode *e, enum wire_type type, const void *at)
{
    switch ((int)type) {
    case WIRE_BOOL:
        put_int(e, *(const bool *)at ? 1 : 0, 1);
        break;
    case WIRE_I8:
        put_int(e, *(const int8_t *)at, 1);
        break;
    case WIRE_I16:
        put_int(e, *(const int16_t *)at, 2);
        break;
    case WIRE_I32:
        put_int(e, *(const int32_t *)at, 4);
        break;
    case WIRE_I64:
        put_int(e, *(const int64_t *)at, 8);
        break;
    default:
        ASSERT(type == WIRE_UUID);
        put(e, at, sizeof(struct uuid));
    }
}

static void put_bit(struct encode *e, const struct wire_field *f, bool set)
{
    if (f->bit == 0)
        put_int(e, set ? 1 : 0, 1);
    else if (set && e->out != NULL && e->out->buf.err == 0)
        e->out->buf.data[e->out->buf.len - 1] |= (uint8_t)(1U << f->bit);
}

static void put_short_str(struct encode *e, struct slice s)
{
    if (s.len > WIRE_SHORT_STR_MAX) {
        fail(e, ERR_LIMIT);
        s.len = 0;
    }
    put_int(e, (int64_t)s.len, 1);
    put(e, s.data, s.len);
}

static void encode_array(struct encode *e, const struct wire_field *f, const void *base)
{
    bool compact = e->flexible && !f->plain;
    bool null = wire_null_flag(f, base);
    uint32_t count = null ? 0 : wire_count(f, base);
    const uint8_t *elements = wire_elements(f, base);
    size_t size = wire_elem_size(f);
    ASSERT(count == 0 || elements != NULL);
    put_length(e, compact, 4, null && wire_may_be_null(f, e->version), count);
    for (uint32_t i = 0; i < count; i++) {
        const void *at = elements + i * size;
        if (f->elem == WIRE_STRUCT)
            encode_struct(e, f->of, at);
        else if (f->elem == WIRE_STR)
            put_slice(e, compact, true, false, wire_slice(at));
        else
            put_scalar(e, f->elem, at);
    }
}

static void encode_nested(struct encode *e, const struct wire_field *f, const void *base)
{
    if (wire_may_be_null(f, e->version)) {
        bool null = wire_null_flag(f, base);
        put_int(e, null ? -1 : 1, 1);
        if (null)
            return;
    }
    encode_struct(e, f->of, wire_cmember(base, f->offset));
}

static void encode_other(struct encode *e, const struct wire_field *f, const void *base)
{
    bool compact = e->flexible && !f->plain;
    bool nullable = wire_may_be_null(f, e->version);
    const void *at = wire_cmember(base, f->offset);
    switch (f->type) {
    case WIRE_STR:
        put_slice(e, compact, true, nullable, wire_slice(at));
        break;
    case WIRE_BYTES:
        put_slice(e, compact, false, nullable, wire_slice(at));
        break;
    case WIRE_RECORDS:
        put_records(e, compact, nullable, at);
        break;
    case WIRE_STRUCT:
        encode_nested(e, f, base);
        break;
    case WIRE_BIT:
        put_bit(e, f, *(const bool *)at);
        break;
    case WIRE_SHORT_STR:
        put_short_str(e, wire_slice(at));
        break;
    default:
        ASSERT(f->type == WIRE_ARRAY);
        encode_array(e, f, base);
    }
}

static inline void encode_field(struct encode *e, const struct wire_field *f, const void *base)
{
    if (LIKELY(f->type <= WIRE_UUID))
        put_scalar(e, f->type, wire_cmember(base, f->offset));
    else
        encode_other(e, f, base);
}

static bool struct_is_default(const struct wire_struct *type, int version, const void *in);

// Whether a tagged field says nothing: then it is left out, and its count with it.
static bool field_is_default(const struct wire_field *f, int version, const void *base)
{
    static const struct uuid none;
    const void *at = wire_cmember(base, f->offset);
    bool null_is_default = f->default_null;
    struct slice s;
    switch (f->type) {
    case WIRE_UUID:
        return memcmp(at, &none, sizeof none) == 0;
    case WIRE_STR:
    case WIRE_BYTES:
    case WIRE_RECORDS: // its bytes come first, and tagged records have no pieces
        s = wire_slice(at);
        if (s.data == NULL && wire_may_be_null(f, version))
            return null_is_default;
        return s.len == 0 && !null_is_default;
    case WIRE_STRUCT:
        if (wire_null_flag(f, base))
            return null_is_default;
        return !null_is_default && struct_is_default(f->of, version, at);
    case WIRE_ARRAY:
        if (wire_null_flag(f, base))
            return null_is_default;
        return !null_is_default && wire_count(f, base) == 0;
    default:
        return wire_int_get(f->type, at) == f->dflt;
    }
}

static bool struct_is_default(const struct wire_struct *type, int version, const void *in)
{
    for (uint32_t i = 0; i < type->fields_count; i++)
        if (wire_has(&type->fields[i], version) && !field_is_default(&type->fields[i], version, in))
            return false;
    return true;
}

static void encode_tagged(struct encode *e, const struct wire_field *f, const void *base)
{
    struct encode measure = {.version = e->version, .flexible = e->flexible};
    encode_field(&measure, f, base);
    put_uvarint(e, f->tag);
    put_uvarint(e, measure.bytes);
    encode_field(e, f, base);
}

static void encode_tags(struct encode *e, const struct wire_struct *type, const void *in)
{
    uint32_t first = type->untagged_count;
    uint64_t speaks = 0; // bit i: the tagged row first + i is sent
    uint64_t count = 0;
    ASSERT(type->fields_count - first <= 64);
    for (uint32_t i = first; i < type->fields_count; i++) {
        const struct wire_field *f = &type->fields[i];
        if (!wire_has(f, e->version) || field_is_default(f, e->version, in))
            continue;
        speaks |= UINT64_C(1) << (i - first);
        count++;
    }
    put_uvarint(e, count);
    for (uint32_t i = first; i < type->fields_count; i++)
        if ((speaks >> (i - first) & 1) != 0)
            encode_tagged(e, &type->fields[i], in);
}

static void encode_struct(struct encode *e, const struct wire_struct *type, const void *in)
{
    for (uint32_t i = 0; i < type->untagged_count; i++)
        if (wire_has(&type->fields[i], e->version))
            encode_field(e, &type->fields[i], in);
    if (e->flexible)
        encode_tags(e, type, in);
}

int wire_encode(const struct wire_msg *msg, int version, const void *in, struct wire_out *out)
{
    struct encode e = {.out = out, .version = version, .flexible = wire_flexible(msg, version)};
    if (wire_supports(msg, version))
        encode_struct(&e, msg->root, in);
    else
        fail(&e, ERR_UNSUPPORTED_VERSION);
    return out->buf.err;
}

size_t wire_size(const struct wire_msg *msg, int version, const void *in)
{
    struct encode e = {.version = version, .flexible = wire_flexible(msg, version)};
    ASSERT(wire_supports(msg, version));
    encode_struct(&e, msg->root, in);
    return e.bytes;
}
