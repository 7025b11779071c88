// SPDX-License-Identifier: Apache-2.0
//
// The growing output buffer. It doubles, so that writing n bytes costs O(n) copies, but never past
// its maximum; whether it fits is decided before memory is touched. A write that does not fit is
// dropped whole, and every later one as well, so that what is there is always a clean prefix.
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"

#define FIRST_CAP_BYTES 256

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->err = 0;
}

static int grow(struct buf *b, size_t n)
{
    if (n > b->max - b->len)
        return ERR_LIMIT;
    size_t need = b->len + n;
    size_t cap = b->cap < FIRST_CAP_BYTES ? FIRST_CAP_BYTES : b->cap;
    while (cap < need)
        cap = cap > b->max / 2 ? need : cap * 2;
    if (cap > b->max)
        cap = b->max;
    uint8_t *data = mem_try_realloc(b->data, cap);
    if (data == NULL)
        return ERR_NOMEM;
    b->data = data;
    b->cap = cap;
    return 0;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
    ASSERT(b->len <= b->cap);
    if (b->err != 0)
        return NULL;
    // A buffer that holds nothing yet still has to return an address for n == 0.
    if (n > b->cap - b->len || b->data == NULL) {
        b->err = grow(b, n);
        if (b->err != 0)
            return NULL;
    }
    return b->data + b->len;
}

void buf_put(struct buf *b, const void *data, size_t len)
{
    uint8_t *at = buf_reserve(b, len);
    if (at == NULL || len == 0)
        return;
    memcpy(at, data, len);
    b->len += len;
}

void buf_put_slice(struct buf *b, struct slice s)
{
    buf_put(b, s.data, s.len);
}

void buf_put_zero(struct buf *b, size_t len)
{
    uint8_t *at = buf_reserve(b, len);
    if (at == NULL)
        return;
    memset(at, 0, len);
    b->len += len;
}

void buf_put_u8(struct buf *b, uint8_t v)
{
    buf_put(b, &v, sizeof v);
}

#define PUT_INTEGER(order, bits)                                \
    void buf_put_##order##bits(struct buf *b, uint##bits##_t v) \
    {                                                           \
        uint8_t *at = buf_reserve(b, sizeof v);                 \
        if (at == NULL)                                         \
            return;                                             \
        order##bits##_put(at, v);                               \
        b->len += sizeof v;                                     \
    }
PUT_INTEGER(be, 16)
PUT_INTEGER(be, 32)
PUT_INTEGER(be, 64)
PUT_INTEGER(le, 16)
PUT_INTEGER(le, 32)
PUT_INTEGER(le, 64)

void buf_put_uvarint(struct buf *b, uint64_t v)
{
    uint8_t bytes[10];
    size_t len = 0;
    while (v >= 0x80) {
        bytes[len++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    bytes[len++] = (uint8_t)v;
    buf_put(b, bytes, len);
}

void buf_put_varint(struct buf *b, int64_t v)
{
    // Zigzag: the sign moves to the lowest bit, so that small numbers of either sign stay short.
    uint64_t sign = v < 0 ? UINT64_MAX : 0;
    buf_put_uvarint(b, ((uint64_t)v << 1) ^ sign);
}

void buf_set_be32(struct buf *b, size_t at, uint32_t v)
{
    // After a dropped write the place may not exist; the error is told by b->err already.
    if (b->err != 0)
        return;
    ASSERT(b->len >= sizeof v);
    ASSERT(at <= b->len - sizeof v);
    be32_put(b->data + at, v);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(len >= 0);
    // vsnprintf insists on its NUL; the room for it is taken and not counted.
    uint8_t *at = buf_reserve(b, (size_t)len + 1);
    if (at == NULL)
        return;
    va_start(args, format);
    vsnprintf((char *)at, (size_t)len + 1, format, args);
    va_end(args);
    b->len += (size_t)len;
}

struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->data, b->len);
}

uint8_t *buf_detach(struct buf *b, size_t *out_len)
{
    uint8_t *data = b->data;
    *out_len = b->len;
    *b = (struct buf){.max = b->max};
    return data;
}
