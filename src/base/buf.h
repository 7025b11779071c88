// SPDX-License-Identifier: Apache-2.0
//
// A growing output buffer with a hard maximum and a sticky error: write everything, check once.
// Numbers are written big-endian (be) or little-endian (le) as named.
#ifndef WEIR_BASE_BUF_H
#define WEIR_BASE_BUF_H

#include "base/slice.h"

struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max; // bytes; growing past it sets err = ERR_LIMIT and drops the write
    int err;    // 0, or the first error
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
void buf_clear(struct buf *b); // len = 0, err = 0, memory kept
// Room for n more bytes; NULL (and err) when that passes max. The caller then advances b->len
// itself.
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_put(struct buf *b, const void *data, size_t len);
void buf_put_slice(struct buf *b, struct slice s);
void buf_put_zero(struct buf *b, size_t len);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_be16(struct buf *b, uint16_t v);
void buf_put_be32(struct buf *b, uint32_t v);
void buf_put_be64(struct buf *b, uint64_t v);
void buf_put_le16(struct buf *b, uint16_t v);
void buf_put_le32(struct buf *b, uint32_t v);
void buf_put_le64(struct buf *b, uint64_t v);
void buf_put_uvarint(struct buf *b, uint64_t v);         // LEB128
void buf_put_varint(struct buf *b, int64_t v);           // zigzag LEB128, as in Kafka's records
void buf_set_be32(struct buf *b, size_t at, uint32_t v); // overwrite; at + 4 <= len
void buf_printf(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3))); // no NUL counted
struct slice buf_slice(const struct buf *b);
uint8_t *buf_detach(struct buf *b,
                    size_t *out_len); // ownership moves to the caller (mem_free); b is empty

#endif
