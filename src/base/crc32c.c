// SPDX-License-Identifier: Apache-2.0
//
// CRC-32C in two ways. The processor's crc32 instruction has a latency of three cycles and takes
// one a cycle, so three independent streams run side by side; their registers are joined by
// carry-less multiplication (Gopal et al., "Fast CRC computation for iSCSI polynomial using CRC32
// instruction", Intel 2011). Elsewhere the table of eight bytes at a time (Kounavis and Berry,
// 2005). Folding whole vectors with AVX-512 was rejected: few machines have it, and the 28 GB/s
// measured without it on a core of 4 GHz are far from being what limits a broker.
#include "base/crc32c.h"

#include "base/assert.h"
#include "base/crc32c_int.h"
#include "base/endian.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define POLY_REFLECTED UINT32_C(0x82f63b78) // x^32 + x^28 + x^27 + … + 1, RFC 3720 section 12.1

static uint32_t table[8][256];

// Built before main runs, so that no call has to look whether it is there.
__attribute__((constructor)) static void build_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t reg = i;
        for (int bit = 0; bit < 8; bit++)
            reg = (reg >> 1) ^ ((reg & 1) != 0 ? POLY_REFLECTED : 0);
        table[0][i] = reg;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 255];
}

uint32_t crc32c_by_table(uint32_t reg, const uint8_t *data, size_t len)
{
    for (; len >= 8; len -= 8, data += 8) {
        uint64_t v = le64_get(data) ^ reg;
        reg = 0;
        for (unsigned k = 0; k < 8; k++)
            reg ^= table[7 - k][(v >> (8 * k)) & 255];
    }
    for (; len > 0; len--)
        reg = (reg >> 8) ^ table[0][(reg ^ *data++) & 255];
    return reg;
}

#if defined(__x86_64__)

// The streams' lengths: long ones for large batches, short ones for what is left. The constants are
// x^(8 * length - 33) mod P, bit-reflected, for one and for two stream lengths; 33 is what the
// multiplication and the reduction add by themselves.
#define LONG_BYTES   2048
#define LONG_ONE     UINT32_C(0xa51b6135)
#define LONG_TWO     UINT32_C(0x82f89c77)
#define SHORT_BYTES  256
#define SHORT_ONE    UINT32_C(0xb9e02b86)
#define SHORT_TWO    UINT32_C(0xdd7e3b0c)
#define HAS_HARDWARE __attribute__((target("sse4.2,pclmul")))

bool crc32c_has_hardware(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

// The register after as many zero bytes as the constant stands for.
HAS_HARDWARE static inline uint64_t shift(uint64_t reg, uint32_t constant)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)reg),
                                           _mm_cvtsi32_si128((int)constant), 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

HAS_HARDWARE static inline uint64_t three_streams(uint64_t reg, const uint8_t *data, size_t each,
                                                  uint32_t one, uint32_t two)
{
    uint64_t a = reg;
    uint64_t b = 0;
    uint64_t c = 0;
    for (size_t i = 0; i < each; i += 8) {
        a = _mm_crc32_u64(a, le64_get(data + i));
        b = _mm_crc32_u64(b, le64_get(data + each + i));
        c = _mm_crc32_u64(c, le64_get(data + 2 * each + i));
    }
    return shift(a, two) ^ shift(b, one) ^ c;
}

HAS_HARDWARE uint32_t crc32c_by_hardware(uint32_t reg, const uint8_t *data, size_t len)
{
    const size_t large = (size_t)3 * LONG_BYTES;
    const size_t small = (size_t)3 * SHORT_BYTES;
    uint64_t r = reg;
    for (; len >= large; len -= large, data += large)
        r = three_streams(r, data, LONG_BYTES, LONG_ONE, LONG_TWO);
    for (; len >= small; len -= small, data += small)
        r = three_streams(r, data, SHORT_BYTES, SHORT_ONE, SHORT_TWO);
    for (; len >= 8; len -= 8, data += 8)
        r = _mm_crc32_u64(r, le64_get(data));
    uint32_t narrow = (uint32_t)r;
    for (; len > 0; len--)
        narrow = _mm_crc32_u8(narrow, *data++);
    return narrow;
}

#else

bool crc32c_has_hardware(void)
{
    return false;
}

uint32_t crc32c_by_hardware(uint32_t reg, const uint8_t *data, size_t len)
{
    ASSERT(crc32c_has_hardware());
    return crc32c_by_table(reg, data, len);
}

#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    if (LIKELY(crc32c_has_hardware()))
        return ~crc32c_by_hardware(~crc, data, len);
    return ~crc32c_by_table(~crc, data, len);
}

// A flipped bit of the last byte changes the register by table[0][bit]; each byte behind it
// multiplies that by x^8. So the difference is divided by x^8, byte by byte from the end, until it
// is one of those eight. Division is possible since the table's top bytes are all different.
int64_t crc32c_one_bit(uint32_t diff, size_t len)
{
    uint8_t by_top[256];
    for (unsigned i = 0; i < 256; i++)
        by_top[table[0][i] >> 24] = (uint8_t)i;
    for (; len > 0 && diff != 0; len--) {
        for (unsigned bit = 0; bit < 8; bit++)
            if (diff == table[0][1U << bit])
                return (int64_t)(8 * (len - 1) + bit);
        uint8_t low = by_top[diff >> 24];
        diff = (diff ^ table[0][low]) << 8 | low;
    }
    return -1;
}
