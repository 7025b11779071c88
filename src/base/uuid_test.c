// SPDX-License-Identifier: Apache-2.0
//
// UUIDs: both texts there and back, what is refused, and that no text begins with a dash.
#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/prng.h"

static void texts_as_kafka_prints_them(void **state)
{
    (void)state;
    char text[UUID_TEXT_SIZE];
    struct uuid u = {{0}};
    assert_true(uuid_is_zero(&u));
    uuid_to_text(&u, text);
    assert_string_equal(text, "AAAAAAAAAAAAAAAAAAAAAA");
    u.bytes[15] = 1; // Kafka's METADATA_TOPIC_ID
    uuid_to_text(&u, text);
    assert_string_equal(text, "AAAAAAAAAAAAAAAAAAAAAQ");
    assert_false(uuid_is_zero(&u));
    memset(u.bytes, 0xff, sizeof u.bytes);
    uuid_to_text(&u, text);
    assert_string_equal(text, "_____________________w");
}

static void there_and_back(void **state)
{
    (void)state;
    struct prng p;
    prng_seed(&p, 11);
    for (int i = 0; i < 2000; i++) {
        struct uuid u;
        struct uuid back = {{0}};
        uint8_t random[16];
        char text[UUID_TEXT_SIZE];
        char hex[UUID_HEX_SIZE];
        for (int k = 0; k < 16; k++)
            random[k] = (uint8_t)prng_next(&p);
        uuid_from_random(random, &u);
        assert_int_equal(u.bytes[6] >> 4, 4);
        assert_int_equal(u.bytes[8] >> 6, 2);
        uuid_to_text(&u, text);
        assert_int_not_equal(text[0], '-');
        assert_int_equal(uuid_from_text(slice_cstr(text), &back), 0);
        assert_true(uuid_eq(&u, &back));
        uuid_to_hex(&u, hex);
        memset(&back, 0, sizeof back);
        assert_int_equal(uuid_from_hex(slice_cstr(hex), &back), 0);
        assert_true(uuid_eq(&u, &back));
    }
}

static void a_dash_is_never_first(void **state)
{
    (void)state;
    uint8_t random[16] = {0};
    for (int first = 0; first < 256; first++) {
        struct uuid u;
        char text[UUID_TEXT_SIZE];
        random[0] = (uint8_t)first;
        uuid_from_random(random, &u);
        uuid_to_text(&u, text);
        assert_int_not_equal(text[0], '-');
    }
}

static void refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "AAAAAAAAAAAAAAAAAAAAA",
                                        "AAAAAAAAAAAAAAAAAAAAAAA",
                                        "AAAAAAAAAAAAAAAAAAAAA=",
                                        "AAAA+AAAAAAAAAAAAAAAAA",
                                        "AAAAAAAAAAAAAAAAAAAAAB"}; // a second text of the zero UUID
    static const char *const hexes[] = {"", "0000000000000000000000000000000",
                                        "0000000000000000000000000000000g",
                                        "0000000000000000000000000000000A"};
    struct uuid u;
    struct uuid before;
    memset(&u, 0x5a, sizeof u);
    before = u;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(uuid_from_text(slice_cstr(texts[i]), &u), ERR_MALFORMED);
    for (size_t i = 0; i < sizeof hexes / sizeof hexes[0]; i++)
        assert_int_equal(uuid_from_hex(slice_cstr(hexes[i]), &u), ERR_MALFORMED);
    assert_true(uuid_eq(&u, &before)); // untouched on failure
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_as_kafka_prints_them),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(a_dash_is_never_first),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests_name("uuid", tests, NULL, NULL);
}
