// SPDX-License-Identifier: Apache-2.0
//
// The error table: stable numbers, Kafka's codes there and back, defaults for what is not listed.
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

// These numbers are on disk in traces and in people's notes: a change is a mistake.
static void numbers_are_stable(void **state)
{
    (void)state;
    assert_int_equal(ERR_IO, -1);
    assert_int_equal(ERR_CORRUPT, -5);
    assert_int_equal(ERR_MALFORMED, -16);
    assert_int_equal(ERR_SYNC, -19);
    assert_int_equal(ERR_FULL, -25);
    assert_int_equal(ERR_UNKNOWN_SERVER, -100);
    assert_int_equal(ERR_CORRUPT_MESSAGE, -102);
    assert_int_equal(ERR_SHARE_SESSION_LIMIT_REACHED, -233);
}

static void every_kafka_code_there_and_back(void **state)
{
    (void)state;
    for (int16_t code = -1; code <= 133; code++) {
        int err = err_from_kafka(code);
        assert_int_equal(err_kafka(err), code);
        assert_int_equal(err == 0, code == 0);
    }
    assert_int_equal(err_from_kafka(3), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(err_from_kafka(59), ERR_UNKNOWN_PRODUCER_ID);
    assert_int_equal(err_from_kafka(100), ERR_UNKNOWN_TOPIC_ID);
    assert_int_equal(err_from_kafka(-1), ERR_UNKNOWN_SERVER);
}

static void codes_nobody_knows(void **state)
{
    (void)state;
    assert_int_equal(err_from_kafka(134), ERR_UNKNOWN_SERVER);
    assert_int_equal(err_from_kafka(INT16_MAX), ERR_UNKNOWN_SERVER);
    assert_int_equal(err_from_kafka(INT16_MIN), ERR_UNKNOWN_SERVER);
    static const int unlisted[] = {1, -30, -99, -234, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof unlisted / sizeof unlisted[0]; i++) {
        assert_string_equal(err_name(unlisted[i]), "ERR_UNLISTED");
        assert_int_equal(err_kafka(unlisted[i]), -1);
        assert_int_equal(err_amqp(unlisted[i]), 541);
        assert_int_equal(err_http(unlisted[i]), 500);
    }
}

static void all_rows_are_whole(void **state)
{
    (void)state;
    for (int err = -233; err < 0; err++) {
        if (err < ERR_FULL && err > ERR_UNKNOWN_SERVER)
            continue;
        assert_memory_equal(err_name(err), "ERR_", 4);
        size_t len = strlen(err_text(err));
        assert_true(len > 0);
        assert_int_not_equal(err_text(err)[len - 1], '.');
        assert_in_range(err_http(err), 400, 599);
        assert_in_range(err_amqp(err), 311, 541);
        assert_in_range(err_kafka(err) + 1, 0, 134);
    }
}

static void ours_in_other_words(void **state)
{
    (void)state;
    assert_string_equal(err_name(0), "OK");
    assert_int_equal(err_kafka(0), 0);
    assert_int_equal(err_http(0), 200);
    assert_string_equal(err_name(ERR_ADDRESS_IN_USE), "ERR_ADDRESS_IN_USE");
    assert_int_equal(err_kafka(ERR_CORRUPT), 2);
    assert_int_equal(err_kafka(ERR_SYNC), 56);
    assert_int_equal(err_kafka(ERR_NOMEM), -1);
    assert_int_equal(err_amqp(ERR_NOT_FOUND), 404);
    assert_int_equal(err_http(ERR_BUDGET), 503);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_stable),  cmocka_unit_test(every_kafka_code_there_and_back),
        cmocka_unit_test(codes_nobody_knows),  cmocka_unit_test(all_rows_are_whole),
        cmocka_unit_test(ours_in_other_words),
    };
    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
