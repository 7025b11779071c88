// SPDX-License-Identifier: Apache-2.0
//
// Integers at unaligned addresses in a stated byte order. Inline: these are the innermost loops of
// every door.
#ifndef WEIR_BASE_ENDIAN_H
#define WEIR_BASE_ENDIAN_H

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ || __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__,
               "byte order");

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ENDIAN_BE(bits, v) __builtin_bswap##bits(v)
#define ENDIAN_LE(bits, v) (v)
#else
#define ENDIAN_BE(bits, v) (v)
#define ENDIAN_LE(bits, v) __builtin_bswap##bits(v)
#endif

#define ENDIAN_PAIR(order, ORDER, bits)                             \
    static inline uint##bits##_t order##bits##_get(const void *p)   \
    {                                                               \
        uint##bits##_t v;                                           \
        memcpy(&v, p, sizeof v);                                    \
        return ENDIAN_##ORDER(bits, v);                             \
    }                                                               \
    static inline void order##bits##_put(void *p, uint##bits##_t v) \
    {                                                               \
        v = ENDIAN_##ORDER(bits, v);                                \
        memcpy(p, &v, sizeof v);                                    \
    }

ENDIAN_PAIR(be, BE, 16)
ENDIAN_PAIR(be, BE, 32)
ENDIAN_PAIR(be, BE, 64)
ENDIAN_PAIR(le, LE, 16)
ENDIAN_PAIR(le, LE, 32)
ENDIAN_PAIR(le, LE, 64)

#endif
