// SPDX-License-Identifier: Apache-2.0
//
// Arenas: limits, alignment, overflow of counts, blocks that cannot be had, reuse after a reset.
#include "base/arena.h"

#include "base/budget.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void aligned_and_apart(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    uint8_t *last = NULL;
    for (size_t size = 0; size < 300; size++) {
        uint8_t *p = arena_alloc(&a, size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        assert_ptr_not_equal(p, last);
        memset(p, 0xee, size);
        last = p;
    }
    arena_fini(&a);
    assert_int_equal(a.used_bytes, 0);
}

static void the_limit_is_exact(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024);
    assert_non_null(arena_alloc(&a, 1000)); // 1008 with padding
    assert_int_equal(a.used_bytes, 1008);
    assert_null(arena_alloc(&a, 17));
    assert_non_null(arena_alloc(&a, 16));
    assert_int_equal(a.used_bytes, 1024);
    assert_null(arena_alloc(&a, 1));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 7)); // would wrap when padded
    arena_fini(&a);
}

static void an_odd_limit_is_not_passed_by_padding(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1000);
    assert_null(arena_alloc(&a, 1000));
    assert_non_null(arena_alloc(&a, 992));
    arena_fini(&a);
}

static void counts_that_overflow(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, SIZE_MAX);
    assert_null(arena_array(&a, SIZE_MAX / 8, 16));
    assert_null(arena_array(&a, (size_t)1 << 63, 2));
    assert_non_null(arena_array(&a, 0, 16));
    assert_non_null(arena_array(&a, 100, 16));
    arena_fini(&a);
}

static void many_blocks_keep_their_bytes(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 64 << 20);
    static char *texts[2000];
    for (int i = 0; i < 2000; i++) {
        texts[i] = arena_printf(&a, "%d:%0*d", i, i % 500 + 1, 7);
        assert_non_null(texts[i]);
        if (i % 100 == 0)
            assert_non_null(arena_zalloc(&a, 200000)); // a block of its own
    }
    for (int i = 0; i < 2000; i++) {
        char expected[600];
        snprintf(expected, sizeof expected, "%d:%0*d", i, i % 500 + 1, 7);
        assert_string_equal(texts[i], expected);
    }
    arena_reset(&a);
    assert_int_equal(a.used_bytes, 0);
    arena_fini(&a);
}

static void reset_keeps_one_block(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    void *first = arena_alloc(&a, 100);
    arena_reset(&a);
    mem_fail_after(0); // were a new block needed, it could not be had
    assert_ptr_equal(arena_alloc(&a, 100), first);
    mem_fail_after(-1);
    arena_fini(&a);
    arena_fini(&a); // twice is once
}

static void zeroed_copied_null(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 4096);
    memset(arena_alloc(&a, 256), 0xff, 256);
    arena_reset(&a);
    uint8_t *z = arena_zalloc(&a, 256);
    for (int i = 0; i < 256; i++)
        assert_int_equal(z[i], 0);
    assert_string_equal(arena_strdup(&a, "topic"), "topic");
    assert_true(slice_eq_cstr(arena_slice(&a, slice_cstr("key")), "key"));
    struct slice empty = arena_slice(&a, slice_of("", 0));
    assert_non_null(empty.data);
    assert_int_equal(empty.len, 0);
    assert_null(arena_slice(&a, SLICE_NULL).data);
    assert_null(arena_slice(&a, slice_of(z, 4096)).data); // beyond the limit
    assert_null(arena_printf(&a, "%5000d", 1));
    arena_fini(&a);
}

static void every_block_may_fail(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    int refused = 0;
    for (int i = 0; i < 20; i++) {
        mem_fail_after(0);
        if (arena_alloc(&a, 3000) == NULL)
            refused++;
        mem_fail_after(-1);
        assert_non_null(arena_alloc(&a, 3000));
    }
    assert_true(refused > 0);
    arena_fini(&a);
}

static void blocks_are_paid_for_before_they_are_made(void **state)
{
    (void)state;
    struct budget all;
    struct arena a, b;
    budget_init(&all, 200000, NULL);
    arena_init(&a, 1 << 20);
    arena_init(&b, 1 << 20);
    arena_pay_from(&a, &all);
    arena_pay_from(&b, &all);
    assert_null(arena_alloc(&a, 200000)); // with its block's head it is too much
    assert_int_equal(budget_used(&all), 0);
    assert_non_null(arena_alloc(&a, 190000));
    assert_true(budget_used(&all) > 190000);
    assert_true(budget_used(&all) <= 200000);
    for (int i = 0; i < 13; i++) // what is small is never refused
        assert_non_null(arena_alloc(&b, 2000));
    assert_true(budget_used(&all) > 200000);
    void *more = &b;
    for (int i = 0; i < 40 && more != NULL; i++) // and what becomes large is
        more = arena_alloc(&b, 2000);
    assert_null(more);
    mem_fail_after(0);
    assert_null(arena_alloc(&a, 30000));
    mem_fail_after(-1);
    arena_reset(&b);
    arena_fini(&b);
    arena_fini(&a);
    assert_int_equal(budget_used(&all), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligned_and_apart),
        cmocka_unit_test(the_limit_is_exact),
        cmocka_unit_test(an_odd_limit_is_not_passed_by_padding),
        cmocka_unit_test(counts_that_overflow),
        cmocka_unit_test(many_blocks_keep_their_bytes),
        cmocka_unit_test(reset_keeps_one_block),
        cmocka_unit_test(zeroed_copied_null),
        cmocka_unit_test(every_block_may_fail),
        cmocka_unit_test(blocks_are_paid_for_before_they_are_made),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
