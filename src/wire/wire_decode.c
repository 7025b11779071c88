// SPDX-License-Identifier: Apache-2.0
//
// Bytes to structs. Every byte may come from a stranger: a count is held against the bytes that are
// left before anything is allocated, what all counts of a message may add up to is limited, and the
// depth is the schema's, which is finite. Strings, bytes and records are not copied, and invalid
// UTF-8 is passed through: whoever gives a name a meaning checks it.
#include "base/endian.h"
#include "wire/wire_int.h"

struct decode {
    struct cursor *in;
    struct arena *arena;
    int version;
    bool flexible;
    uint8_t octet; // the last one of bits
    uint32_t elements_left;
};

static int decode_struct(struct decode *d, const struct wire_struct *type, void *out, int depth);

static int fail(struct decode *d, int err)
{
    ASSERT(d->in->err == 0); // whoever calls has looked at it
    cursor_fail(d->in, err);
    return err;
}

// The next n bytes; NULL (and the cursor's error) when there are fewer.
static inline const uint8_t *take(struct decode *d, size_t n)
{
    const uint8_t *at = d->in->pos;
    if (UNLIKELY((size_t)(d->in->end - at) < n)) {
        cursor_fail(d->in, ERR_TRUNCATED);
        return NULL;
    }
    d->in->pos = at + n;
    return at;
}

static inline int decode_scalar(struct decode *d, enum wire_type type, void *out)
{
    static const uint8_t widths[] = {[WIRE_BOOL] = 1, [WIRE_I8] = 1,  [WIRE_I16] = 2,
                                     [WIRE_I32] = 4,  [WIRE_I64] = 8, [WIRE_UUID] = 16};
    ASSERT(type <= WIRE_UUID);
    const uint8_t *at = take(d, widths[type]);
    if (UNLIKELY(at == NULL))
        return d->in->err;
    if (type == WIRE_I32)
        *(int32_t *)out = (int32_t)be32_get(at);
    else if (type == WIRE_I64)
        *(int64_t *)out = (int64_t)be64_get(at);
    else if (type == WIRE_I16)
        *(int16_t *)out = (int16_t)be16_get(at);
    else if (type == WIRE_UUID)
        memcpy(out, at, sizeof(struct uuid));
    else if (type == WIRE_BOOL)
        *(bool *)out = *at != 0;
    else
        *(int8_t *)out = (int8_t)*at;
    return 0;
}

// Nearly all lengths, counts and tags fit one byte.
static inline uint32_t uvarint(struct decode *d)
{
    if (LIKELY(d->in->pos < d->in->end && *d->in->pos < 0x80))
        return *d->in->pos++;
    return cursor_uvarint32(d->in);
}

// A length or count; -1 is null. KIP-482: "compact" ones are unsigned varints of N + 1, 0 is null.
static int decode_length(struct decode *d, bool compact, bool two_bytes, bool nullable,
                         int64_t *out)
{
    int64_t len;
    if (compact)
        len = (int64_t)uvarint(d) - 1;
    else if (two_bytes)
        len = (int16_t)cursor_be16(d->in);
    else
        len = (int32_t)cursor_be32(d->in);
    if (UNLIKELY(d->in->err != 0))
        return d->in->err;
    if (UNLIKELY(len < -1 || (len == -1 && !nullable)))
        return fail(d, ERR_MALFORMED);
    *out = len;
    return 0;
}

static int decode_slice(struct decode *d, bool compact, bool str, bool nullable, struct slice *out)
{
    int64_t len;
    int err = decode_length(d, compact, str, nullable, &len);
    if (UNLIKELY(err != 0))
        return err;
    if (len < 0) {
        *out = SLICE_NULL;
        return 0;
    }
    if (UNLIKELY(str && len > WIRE_STR_MAX))
        return fail(d, ERR_MALFORMED);
    const uint8_t *at = take(d, (size_t)len);
    if (UNLIKELY(at == NULL))
        return d->in->err;
    *out = (struct slice){at, (size_t)len};
    return 0;
}

// The least bytes that an element of this array takes.
static size_t least_bytes(const struct decode *d, const struct wire_field *f, bool compact)
{
    if (f->elem == WIRE_STRUCT)
        return f->of->min_bytes[d->version];
    if (f->elem == WIRE_STR)
        return compact ? 1 : 2;
    return f->elem == WIRE_BOOL ? 1 : wire_elem_size(f);
}

static int decode_elements(struct decode *d, const struct wire_field *f, bool compact,
                           uint8_t *elements, size_t count, int depth)
{
    size_t size = wire_elem_size(f);
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        void *at = elements + i * size;
        if (f->elem == WIRE_STRUCT)
            err = decode_struct(d, f->of, at, depth + 1);
        else if (f->elem == WIRE_STR)
            err = decode_slice(d, compact, true, false, at);
        else
            err = decode_scalar(d, f->elem, at);
    }
    return err;
}

static int decode_array(struct decode *d, const struct wire_field *f, void *base, int depth)
{
    bool compact = d->flexible && !f->plain;
    int64_t count;
    int err = decode_length(d, compact, false, wire_may_be_null(f, d->version), &count);
    if (UNLIKELY(err != 0))
        return err;
    wire_default_field(f, base);
    if (f->nullable)
        *(bool *)wire_member(base, f->null_offset) = count < 0;
    if (count <= 0)
        return 0;
    size_t least = least_bytes(d, f, compact);
    ASSERT(least > 0);
    if (UNLIKELY((uint64_t)count > cursor_left(d->in) / least))
        return fail(d, ERR_TRUNCATED);
    if (UNLIKELY(count > d->elements_left))
        return fail(d, ERR_LIMIT);
    d->elements_left -= (uint32_t)count;
    uint8_t *elements = arena_array(d->arena, (size_t)count, wire_elem_size(f));
    if (UNLIKELY(elements == NULL))
        return fail(d, ERR_LIMIT);
    uint32_t stored = (uint32_t)count;
    memcpy(wire_member(base, f->offset), &elements, sizeof elements);
    memcpy(wire_member(base, f->count_offset), &stored, sizeof stored);
    return decode_elements(d, f, compact, elements, stored, depth);
}

// KIP-893: a nullable struct is preceded by a byte, -1 if it is null, 1 if it follows.
static int decode_nested(struct decode *d, const struct wire_field *f, void *base, int depth)
{
    if (f->nullable) {
        int8_t mark = 1;
        wire_default_field(f, base);
        if (wire_may_be_null(f, d->version))
            mark = (int8_t)cursor_u8(d->in);
        if (UNLIKELY(d->in->err != 0))
            return d->in->err;
        if (UNLIKELY(mark != 1 && mark != -1))
            return fail(d, ERR_MALFORMED);
        *(bool *)wire_member(base, f->null_offset) = mark < 0;
        if (mark < 0)
            return 0;
    }
    return decode_struct(d, f->of, wire_member(base, f->offset), depth + 1);
}

// AMQP 4.2.5.2: bits are packed into octets, beginning with the low one.
static int decode_bit(struct decode *d, const struct wire_field *f, void *out)
{
    if (f->bit == 0)
        d->octet = cursor_u8(d->in);
    *(bool *)out = (d->octet >> f->bit & 1) != 0;
    return d->in->err;
}

static int decode_short_str(struct decode *d, struct slice *out)
{
    size_t len = cursor_u8(d->in);
    const uint8_t *at = take(d, len);
    if (UNLIKELY(d->in->err != 0))
        return d->in->err;
    *out = (struct slice){at, len};
    return 0;
}

static int decode_other(struct decode *d, const struct wire_field *f, void *base, int depth)
{
    bool compact = d->flexible && !f->plain;
    void *at = wire_member(base, f->offset);
    switch (f->type) {
    case WIRE_STR:
        return decode_slice(d, compact, true, wire_may_be_null(f, d->version), at);
    case WIRE_BYTES:
        return decode_slice(d, compact, false, wire_may_be_null(f, d->version), at);
    case WIRE_RECORDS:
        wire_default_field(f, base);
        return decode_slice(d, compact, false, wire_may_be_null(f, d->version),
                            &((struct wire_records *)at)->bytes);
    case WIRE_STRUCT:
        return decode_nested(d, f, base, depth);
    case WIRE_BIT:
        return decode_bit(d, f, at);
    case WIRE_SHORT_STR:
        return decode_short_str(d, at);
    default:
        ASSERT(f->type == WIRE_ARRAY);
        return decode_array(d, f, base, depth);
    }
}

static inline int decode_field(struct decode *d, const struct wire_field *f, void *base, int depth)
{
    if (LIKELY(f->type <= WIRE_UUID))
        return decode_scalar(d, f->type, wire_member(base, f->offset));
    return decode_other(d, f, base, depth);
}

static const struct wire_field *tagged_find(const struct decode *d, const struct wire_struct *type,
                                            uint32_t tag)
{
    for (uint32_t i = type->untagged_count; i < type->fields_count; i++)
        if (type->fields[i].tag == tag && wire_has(&type->fields[i], d->version))
            return &type->fields[i];
    return NULL;
}

// The field's bytes are decoded as if they were all there is, and must be used up.
static int decode_tagged(struct decode *d, const struct wire_field *f, size_t size, void *base,
                         int depth)
{
    const uint8_t *outer_end = d->in->end;
    const uint8_t *end = d->in->pos + size;
    d->in->end = end;
    int err = decode_field(d, f, base, depth);
    if (err == 0 && d->in->pos != end)
        err = fail(d, ERR_MALFORMED);
    d->in->end = outer_end;
    return err;
}

// KIP-482: a count, then "tag, size, data" by rising tag. Tags that this version does not know are
// skipped, so that a newer client may say more than we understand.
static int decode_tags(struct decode *d, const struct wire_struct *type, void *base, int depth)
{
    uint32_t count = uvarint(d);
    if (LIKELY(count == 0))
        return d->in->err;
    if (count > cursor_left(d->in) / 2)
        return fail(d, ERR_TRUNCATED);
    if (count > d->elements_left)
        return fail(d, ERR_LIMIT);
    d->elements_left -= count;
    int64_t last = -1;
    int err = 0;
    for (uint32_t i = 0; i < count && err == 0; i++) {
        uint32_t tag = uvarint(d);
        uint32_t size = uvarint(d);
        if (d->in->err != 0)
            return d->in->err;
        if (tag <= last)
            return fail(d, ERR_MALFORMED);
        if (size > cursor_left(d->in))
            return fail(d, ERR_TRUNCATED);
        last = tag;
        const struct wire_field *f = tagged_find(d, type, tag);
        if (f == NULL)
            cursor_skip(d->in, size);
        else
            err = decode_tagged(d, f, size, base, depth);
    }
    return err;
}

static int decode_struct(struct decode *d, const struct wire_struct *type, void *out, int depth)
{
    ASSERT(depth < WIRE_DEPTH_MAX + 1);
    for (uint32_t i = 0; i < type->untagged_count; i++) {
        const struct wire_field *f = &type->fields[i];
        int err = 0;
        if (wire_has(f, d->version))
            err = decode_field(d, f, out, depth);
        else
            wire_default_field(f, out);
        if (UNLIKELY(err != 0))
            return err;
    }
    for (uint32_t i = type->untagged_count; i < type->fields_count; i++)
        wire_default_field(&type->fields[i], out);
    return d->flexible ? decode_tags(d, type, out, depth) : 0;
}

int wire_decode(const struct wire_msg *msg, int version, struct cursor *in, struct arena *arena,
                void *out)
{
    struct decode d = {.in = in,
                       .arena = arena,
                       .version = version,
                       .flexible = wire_flexible(msg, version),
                       .elements_left = WIRE_ELEMENTS_MAX};
    if (in->err != 0)
        return in->err;
    if (!wire_supports(msg, version))
        return ERR_UNSUPPORTED_VERSION;
    void *root = arena_zalloc(arena, msg->root->size);
    if (root == NULL)
        return fail(&d, ERR_LIMIT);
    int err = decode_struct(&d, msg->root, root, 0);
    if (err == 0)
        memcpy(out, root, msg->root->size);
    return err;
}
