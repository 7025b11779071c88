// SPDX-License-Identifier: Apache-2.0
//
// 16-byte identifiers of topics, as in Kafka (KIP-516). The zero UUID means "none".
#ifndef WEIR_BASE_UUID_H
#define WEIR_BASE_UUID_H

#include <stdbool.h>

#include "base/slice.h"

struct uuid {
    uint8_t bytes[16];
};

#define UUID_TEXT_SIZE \
    23 // 22 characters of base64url without padding, as Kafka prints them, and NUL
#define UUID_HEX_SIZE 33 // 32 hexadecimal digits and NUL, for directory names

bool uuid_is_zero(const struct uuid *u);
bool uuid_eq(const struct uuid *a, const struct uuid *b);
void uuid_from_random(const uint8_t random[16],
                      struct uuid *out); // version 4 bits set; never begins with '-'
// RFC 9562 section 4.2; 4: random, 8: vendor's own.
unsigned uuid_version(const struct uuid *u);
void uuid_set_version(struct uuid *u, unsigned version);
void uuid_to_text(const struct uuid *u, char out[UUID_TEXT_SIZE]);
int uuid_from_text(struct slice text, struct uuid *out); // ERR_MALFORMED
void uuid_to_hex(const struct uuid *u, char out[UUID_HEX_SIZE]);
int uuid_from_hex(struct slice hex, struct uuid *out);

#endif
