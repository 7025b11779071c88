// SPDX-License-Identifier: Apache-2.0
//
// Slices: null is not empty, order is bytewise, cutting ends in NUL.
#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void null_equals_only_null(void **state)
{
    (void)state;
    assert_true(slice_eq(SLICE_NULL, SLICE_NULL));
    assert_false(slice_eq(SLICE_NULL, slice_cstr("")));
    assert_false(slice_eq(slice_cstr(""), SLICE_NULL));
    assert_true(slice_eq(slice_cstr(""), slice_of("x", 0)));
    assert_false(slice_eq_cstr(SLICE_NULL, ""));
    assert_true(slice_eq_cstr(slice_of("topic!", 5), "topic"));
    assert_false(slice_eq_cstr(slice_of("topic!", 6), "topic"));
    assert_false(slice_eq(slice_cstr("a"), slice_cstr("b")));
}

static void bytewise_shorter_first(void **state)
{
    (void)state;
    assert_true(slice_cmp(slice_cstr("a"), slice_cstr("b")) < 0);
    assert_true(slice_cmp(slice_cstr("ab"), slice_cstr("a")) > 0);
    assert_true(slice_cmp(slice_cstr("a"), slice_cstr("ab")) < 0);
    assert_int_equal(slice_cmp(slice_cstr("ab"), slice_cstr("ab")), 0);
    assert_true(slice_cmp(slice_of("\xff", 1), slice_of("\x01", 1)) > 0); // unsigned
    assert_true(slice_cmp(slice_of("a\0b", 3), slice_of("a\0c", 3)) < 0);
    assert_int_equal(slice_cmp(SLICE_NULL, slice_cstr("")), 0);
}

static void cut_to_fit(void **state)
{
    (void)state;
    char out[5] = "****";
    slice_to_cstr(slice_cstr("partition"), out, sizeof out);
    assert_string_equal(out, "part");
    slice_to_cstr(SLICE_NULL, out, sizeof out);
    assert_string_equal(out, "");
    slice_to_cstr(slice_cstr("x"), out, 1);
    assert_string_equal(out, "");
    slice_to_cstr(slice_cstr("four"), out, sizeof out);
    assert_string_equal(out, "four");
}

static void copies(void **state)
{
    (void)state;
    struct slice text = slice_cstr("text");
    struct slice copy = slice_dup(text), empty = slice_dup(slice_cstr(""));
    assert_true(slice_eq(copy, text));
    assert_ptr_not_equal(copy.data, text.data);
    assert_non_null(empty.data);
    assert_null(slice_dup(SLICE_NULL).data);
    assert_true(slice_same(empty, SLICE_NULL));
    assert_false(slice_same(copy, SLICE_NULL));
    assert_false(slice_same(copy, slice_cstr("text!")));
    slice_free(copy);
    slice_free(empty);
    slice_free(SLICE_NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_equals_only_null),
        cmocka_unit_test(bytewise_shorter_first),
        cmocka_unit_test(cut_to_fit),
        cmocka_unit_test(copies),
    };
    return cmocka_run_group_tests_name("slice", tests, NULL, NULL);
}
