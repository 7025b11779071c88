// SPDX-License-Identifier: Apache-2.0
//
// Hashes: murmur2 must place keys exactly as Kafka's clients do, hash64 must depend on all it gets.
#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

// Kafka's own test of its partitioner's hash (org.apache.kafka.common.utils.UtilsTest) states
// these.
static void murmur2_as_kafka(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int32_t hash;
    } rows[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal((int32_t)hash_murmur2(rows[i].key, strlen(rows[i].key)), rows[i].hash);
}

static void murmur2_reads_no_further_than_told(void **state)
{
    (void)state;
    assert_int_equal(hash_murmur2("abcX", 3), hash_murmur2("abcY", 3));
    assert_int_not_equal(hash_murmur2("abcX", 4), hash_murmur2("abcY", 4));
    assert_int_equal(hash_murmur2(NULL, 0), hash_murmur2("x", 0));
}

static void hash64_depends_on_all(void **state)
{
    (void)state;
    char data[300];
    memset(data, 7, sizeof data);
    for (size_t len = 1; len < sizeof data; len += 13) {
        uint64_t h = hash64(data, len, 1);
        assert_true(h == hash64(data, len, 1));
        assert_true(h != hash64(data, len, 2));
        assert_true(h != hash64(data, len - 1, 1));
        data[len - 1] = 8;
        assert_true(h != hash64(data, len, 1));
        data[len - 1] = 7;
    }
}

// XXH3's published value for the empty input: traces of two builds can be compared.
static void hash64_is_xxh3(void **state)
{
    (void)state;
    assert_true(hash64("", 0, 0) == UINT64_C(0x2d06800538d394c2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(murmur2_as_kafka),
        cmocka_unit_test(murmur2_reads_no_further_than_told),
        cmocka_unit_test(hash64_depends_on_all),
        cmocka_unit_test(hash64_is_xxh3),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
