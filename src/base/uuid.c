// SPDX-License-Identifier: Apache-2.0
//
// UUIDs as Kafka shows them: 16 bytes in base64url (RFC 4648 section 5) without padding, which
// makes 22 characters; in hexadecimal where file systems that ignore case could mix two of them up.
#include "base/uuid.h"

#include <string.h>

#include "base/err.h"

#define TEXT_LEN (UUID_TEXT_SIZE - 1)
#define HEX_LEN  (UUID_HEX_SIZE - 1)

static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char digits16[] = "0123456789abcdef";

bool uuid_is_zero(const struct uuid *u)
{
    static const struct uuid zero;
    return uuid_eq(u, &zero);
}

bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

unsigned uuid_version(const struct uuid *u)
{
    return u->bytes[6] >> 4;
}

void uuid_set_version(struct uuid *u, unsigned version)
{
    u->bytes[6] = (uint8_t)((u->bytes[6] & 0x0f) | (version << 4));
}

void uuid_from_random(const uint8_t random[16], struct uuid *out)
{
    memcpy(out->bytes, random, sizeof out->bytes);
    uuid_set_version(out, 4);
    out->bytes[8] = (uint8_t)((out->bytes[8] & 0x3f) | 0x80); // variant 10
    // A text that begins with '-' (digit 62) would be taken for an option by command lines.
    if (out->bytes[0] >> 2 == 62)
        out->bytes[0] &= 0x7f;
}

void uuid_to_text(const struct uuid *u, char out[UUID_TEXT_SIZE])
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t at = 0;
    for (size_t i = 0; i < sizeof u->bytes; i++) {
        bits = bits << 8 | u->bytes[i];
        for (have += 8; have >= 6; have -= 6)
            out[at++] = digits64[(bits >> (have - 6)) & 63];
    }
    out[at++] = digits64[(bits << (6 - have)) & 63]; // 128 = 21 * 6 + 2
    out[at] = '\0';
}

// The digit's value, or -1.
static int digit_value(const char *digits, int base, uint8_t c)
{
    for (int i = 0; i < base; i++)
        if ((uint8_t)digits[i] == c)
            return i;
    return -1;
}

int uuid_from_text(struct slice text, struct uuid *out)
{
    struct uuid u = {0};
    uint32_t bits = 0;
    unsigned have = 0;
    size_t at = 0;
    if (text.len != TEXT_LEN)
        return ERR_MALFORMED;
    for (size_t i = 0; i < text.len; i++) {
        int value = digit_value(digits64, 64, text.data[i]);
        if (value < 0)
            return ERR_MALFORMED;
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            u.bytes[at++] = (uint8_t)(bits >> have);
        }
    }
    // The last four bits belong to no byte; if they could be set, one UUID had sixteen texts.
    if ((bits & 15) != 0)
        return ERR_MALFORMED;
    *out = u;
    return 0;
}

void uuid_to_hex(const struct uuid *u, char out[UUID_HEX_SIZE])
{
    for (size_t i = 0; i < sizeof u->bytes; i++) {
        out[2 * i] = digits16[u->bytes[i] >> 4];
        out[2 * i + 1] = digits16[u->bytes[i] & 15];
    }
    out[HEX_LEN] = '\0';
}

int uuid_from_hex(struct slice hex, struct uuid *out)
{
    struct uuid u = {0};
    if (hex.len != HEX_LEN)
        return ERR_MALFORMED;
    for (size_t i = 0; i < sizeof u.bytes; i++) {
        int high = digit_value(digits16, 16, hex.data[2 * i]);
        int low = digit_value(digits16, 16, hex.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return ERR_MALFORMED;
        u.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *out = u;
    return 0;
}
