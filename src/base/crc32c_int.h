// SPDX-License-Identifier: Apache-2.0
//
// The two ways crc32c() chooses between, apart, so that tests and measurements can compare them.
// The register is passed in and out without the inversions at both ends.
#ifndef WEIR_BASE_CRC32C_INT_H
#define WEIR_BASE_CRC32C_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool crc32c_has_hardware(void);
uint32_t crc32c_by_table(uint32_t reg, const uint8_t *data, size_t len);
uint32_t crc32c_by_hardware(uint32_t reg, const uint8_t *data, size_t len); // has_hardware only

#endif
