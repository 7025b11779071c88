// SPDX-License-Identifier: Apache-2.0
//
// CRC-32C (Castagnoli, RFC 3720 appendix B.4), the checksum of Kafka's record batches and of every
// file of ours. Uses the processor's instruction where there is one (three interleaved streams), a
// table elsewhere.
#ifndef WEIR_BASE_CRC32C_H
#define WEIR_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

// crc32c(0, data, len) is the checksum; feed it back to go on: crc32c(crc32c(0, a), b) is that of a
// followed by b.
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

// Two runs of `len` bytes whose checksums differ by `diff` (their exclusive or): if they may differ
// in a single bit, which one (8 * its byte + its place in the byte); else -1. The chance that runs
// which differ in more look like it is 8 * len in 2^32.
int64_t crc32c_one_bit(uint32_t diff, size_t len);

#endif
