// SPDX-License-Identifier: Apache-2.0
//
// Reading bytes from outside. After an error the cursor stands at its end, so that every later read
// fails by the one comparison that it makes anyway.
#include "base/cursor.h"

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"

struct cursor cursor_of(struct slice s)
{
    // An empty slice of no address still gets one, so that pos and end may be compared and copied.
    static const uint8_t nothing[1];
    const uint8_t *data = s.data == NULL ? nothing : s.data;
    ASSERT(s.data != NULL || s.len == 0);
    return (struct cursor){.pos = data, .end = data + s.len, .err = 0};
}

size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->pos);
}

void cursor_fail(struct cursor *c, int err)
{
    ASSERT(err < 0);
    if (c->err == 0)
        c->err = err;
    c->pos = c->end;
}

// Takes len bytes; NULL when there are fewer.
static const uint8_t *take(struct cursor *c, size_t len)
{
    if (UNLIKELY(len > cursor_left(c)) || UNLIKELY(c->err != 0)) {
        cursor_fail(c, ERR_TRUNCATED);
        return NULL;
    }
    const uint8_t *at = c->pos;
    c->pos += len;
    return at;
}

uint8_t cursor_u8(struct cursor *c)
{
    const uint8_t *at = take(c, 1);
    return at == NULL ? 0 : *at;
}

#define GET_INTEGER(order, bits)                          \
    uint##bits##_t cursor_##order##bits(struct cursor *c) \
    {                                                     \
        const uint8_t *at = take(c, bits / 8);            \
        return at == NULL ? 0 : order##bits##_get(at);    \
    }
GET_INTEGER(be, 16)
GET_INTEGER(be, 32)
GET_INTEGER(be, 64)
GET_INTEGER(le, 16)
GET_INTEGER(le, 32)
GET_INTEGER(le, 64)

// LEB128 of at most `bits` bits. Padding with zero groups is let through while it stays within the
// length, as Kafka's own readers do; a bit beyond the width is malformed, never cut off.
static uint64_t uvarint(struct cursor *c, unsigned bits)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < bits; shift += 7) {
        uint8_t byte = cursor_u8(c);
        if (c->err != 0)
            return 0;
        uint64_t group = byte & 0x7f;
        if (bits - shift < 7 && group >> (bits - shift) != 0)
            break;
        v |= group << shift;
        if (byte < 0x80)
            return v;
    }
    cursor_fail(c, ERR_MALFORMED);
    return 0;
}

uint32_t cursor_uvarint32(struct cursor *c)
{
    return (uint32_t)uvarint(c, 32);
}

uint64_t cursor_uvarint64(struct cursor *c)
{
    return uvarint(c, 64);
}

int32_t cursor_varint32(struct cursor *c)
{
    uint32_t v = cursor_uvarint32(c);
    return (int32_t)((v >> 1) ^ (0U - (v & 1)));
}

int64_t cursor_varint64(struct cursor *c)
{
    uint64_t v = cursor_uvarint64(c);
    return (int64_t)((v >> 1) ^ (UINT64_C(0) - (v & 1)));
}

struct slice cursor_bytes(struct cursor *c, size_t len)
{
    const uint8_t *at = take(c, len);
    return at == NULL ? SLICE_NULL : slice_of(at, len);
}

void cursor_skip(struct cursor *c, size_t len)
{
    (void)take(c, len);
}
