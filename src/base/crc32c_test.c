// SPDX-License-Identifier: Apache-2.0
//
// CRC-32C against the published vectors, and the two implementations against each other at every
// length around the borders of the interleaved streams.
#include "base/crc32c.h"

#include "base/crc32c_int.h"
#include "base/mem.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

// RFC 3720 appendix B.4, "CRC Examples".
static void rfc_vectors(void **state)
{
    (void)state;
    uint8_t data[32];
    memset(data, 0, sizeof data);
    assert_int_equal(crc32c(0, data, 32), 0x8a9136aa);
    memset(data, 0xff, sizeof data);
    assert_int_equal(crc32c(0, data, 32), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        data[i] = i;
    assert_int_equal(crc32c(0, data, 32), 0x46dd794e);
    for (uint8_t i = 0; i < 32; i++)
        data[i] = (uint8_t)(31 - i);
    assert_int_equal(crc32c(0, data, 32), 0x113fdb5c);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, NULL, 0), 0);
}

static void read_command_vector(void **state)
{
    (void)state;
    // "An iSCSI - SCSI Read (10) Command PDU" of the same appendix.
    static const uint8_t pdu[48] = {0x01, 0xc0, 0, 0,    0,    0, 0, 0,    0,    0, 0,    0,
                                    0,    0,    0, 0,    0x14, 0, 0, 0,    0,    0, 0x04, 0,
                                    0,    0,    0, 0x14, 0,    0, 0, 0x18, 0x28, 0, 0,    0,
                                    0,    0,    0, 0,    0x02, 0, 0, 0,    0,    0, 0,    0};
    assert_int_equal(crc32c(0, pdu, sizeof pdu), 0xd9963a56);
}

#define LARGE_BYTES 20000

static uint8_t *random_bytes(size_t len)
{
    struct prng p;
    prng_seed(&p, 7);
    uint8_t *data = mem_alloc(len);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)prng_next(&p);
    return data;
}

static void hardware_equals_table(void **state)
{
    (void)state;
    if (!crc32c_has_hardware())
        skip();
    uint8_t *data = random_bytes(LARGE_BYTES);
    for (size_t len = 0; len < 1600; len++)
        for (size_t off = 0; off < 9; off += 4)
            assert_int_equal(crc32c_by_hardware(~0U, data + off, len),
                             crc32c_by_table(~0U, data + off, len));
    for (size_t len = 6100; len < LARGE_BYTES; len += 37)
        assert_int_equal(crc32c_by_hardware(5, data, len), crc32c_by_table(5, data, len));
    mem_free(data);
}

static void continues(void **state)
{
    (void)state;
    uint8_t *data = random_bytes(LARGE_BYTES);
    uint32_t whole = crc32c(0, data, LARGE_BYTES);
    for (size_t cut = 0; cut <= LARGE_BYTES; cut += 1111) {
        uint32_t first = crc32c(0, data, cut);
        assert_int_equal(crc32c(first, data + cut, LARGE_BYTES - cut), whole);
    }
    mem_free(data);
}

static void finds_every_flipped_bit(void **state)
{
    (void)state;
    uint8_t *data = random_bytes(1000);
    uint32_t good = crc32c(0, data, 1000);
    for (size_t bit = 0; bit < 8000; bit++) {
        data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_not_equal(crc32c(0, data, 1000), good);
        data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    mem_free(data);
}

static void tells_one_bit_from_more(void **state)
{
    (void)state;
    uint8_t data[300];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 31 + 7);
    uint32_t right = crc32c(0, data, sizeof data);
    assert_int_equal(crc32c_one_bit(0, sizeof data), -1);
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        uint32_t diff = right ^ crc32c(0, data, sizeof data);
        assert_int_equal(crc32c_one_bit(diff, sizeof data), bit);
        assert_int_equal(crc32c_one_bit(diff, sizeof data - bit / 8), bit % 8);
        assert_int_equal(crc32c_one_bit(diff, sizeof data - bit / 8 - 1), -1); // it lies before
        size_t second = (bit + 777) % (8 * sizeof data);
        data[second / 8] ^= (uint8_t)(1U << (second % 8));
        diff = right ^ crc32c(0, data, sizeof data);
        assert_int_equal(crc32c_one_bit(diff, sizeof data), -1);
        data[second / 8] ^= (uint8_t)(1U << (second % 8));
        data[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_vectors),
        cmocka_unit_test(read_command_vector),
        cmocka_unit_test(hardware_equals_table),
        cmocka_unit_test(continues),
        cmocka_unit_test(finds_every_flipped_bit),
        cmocka_unit_test(tells_one_bit_from_more),
    };
    return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}
