// SPDX-License-Identifier: Apache-2.0
//
// Planted bugs: off unless planted, and every name leads back to its bug.
#include "base/bugs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void none_is_planted(void **state)
{
    (void)state;
    assert_int_equal(bug_planted, BUG_NONE);
    for (int i = 1; i < BUG_COUNT; i++)
        assert_false(bug((enum bug)i));
}

static void one_at_a_time(void **state)
{
    (void)state;
    bug_planted = BUG_EARLY_ACK;
    for (int i = 0; i < BUG_COUNT; i++)
        assert_int_equal(bug((enum bug)i), i == BUG_EARLY_ACK);
    bug_planted = BUG_NONE;
}

static void names_lead_back(void **state)
{
    (void)state;
    assert_true(BUG_COUNT > 10); // the promise is ten
    for (int i = 1; i < BUG_COUNT; i++) {
        assert_int_equal(bug_by_name(bug_name((enum bug)i)), i);
        assert_true(strlen(bug_text((enum bug)i)) > 10);
    }
    assert_int_equal(bug_by_name("no-such-bug"), BUG_NONE);
    assert_int_equal(bug_by_name("none"), BUG_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_is_planted),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(names_lead_back),
    };
    return cmocka_run_group_tests_name("bugs", tests, NULL, NULL);
}
