// SPDX-License-Identifier: Apache-2.0
//
// Reading bytes that came from outside: a cursor with a sticky error. After the first short or
// malformed read every further read returns zero, so a decoder reads everything and checks err
// once.
#ifndef WEIR_BASE_CURSOR_H
#define WEIR_BASE_CURSOR_H

#include "base/slice.h"

struct cursor {
    const uint8_t *pos;
    const uint8_t *end;
    int err; // 0, ERR_TRUNCATED or ERR_MALFORMED
};

struct cursor cursor_of(struct slice s);
size_t cursor_left(const struct cursor *c);
void cursor_fail(struct cursor *c, int err); // keeps the first error
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_be16(struct cursor *c);
uint32_t cursor_be32(struct cursor *c);
uint64_t cursor_be64(struct cursor *c);
uint16_t cursor_le16(struct cursor *c);
uint32_t cursor_le32(struct cursor *c);
uint64_t cursor_le64(struct cursor *c);
uint32_t cursor_uvarint32(struct cursor *c); // at most 5 bytes, ERR_MALFORMED beyond 32 bits
uint64_t cursor_uvarint64(struct cursor *c); // at most 10 bytes
int32_t cursor_varint32(struct cursor *c);   // zigzag
int64_t cursor_varint64(struct cursor *c);
struct slice cursor_bytes(struct cursor *c, size_t len); // SLICE_NULL and ERR_TRUNCATED when short
void cursor_skip(struct cursor *c, size_t len);

#endif
