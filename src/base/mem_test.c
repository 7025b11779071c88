// SPDX-License-Identifier: Apache-2.0
//
// Memory: the planned failure and its countdown, zeroing, alignment, copies.
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void the_countdown_fails_once(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 5; n++) {
        mem_fail_after(n);
        for (int64_t i = 0; i < 10; i++) {
            void *ptr = mem_try_alloc(8);
            assert_int_equal(ptr == NULL, i == n);
            mem_free(ptr);
        }
    }
    mem_fail_after(0);
    mem_fail_after(-1); // taken back
    void *ptr = mem_try_alloc(8);
    assert_non_null(ptr);
    mem_free(ptr);
}

static void the_countdown_spares_what_aborts(void **state)
{
    (void)state;
    mem_fail_after(0);
    void *ptr = mem_alloc(8);
    assert_non_null(ptr);
    assert_null(mem_try_realloc(ptr, 16));
    ptr = mem_try_realloc(ptr, 16);
    assert_non_null(ptr);
    mem_free(ptr);
}

static void sizes_nobody_can_have(void **state)
{
    (void)state;
    assert_null(mem_try_alloc(SIZE_MAX));
    assert_null(mem_try_alloc((size_t)PTRDIFF_MAX + 1));
    void *ptr = mem_alloc(4);
    memcpy(ptr, "kept", 4);
    assert_null(mem_try_realloc(ptr, SIZE_MAX));
    assert_memory_equal(ptr, "kept", 4);
    mem_free(ptr);
}

static void nothing_is_something(void **state)
{
    (void)state;
    void *ptrs[] = {mem_alloc(0),         mem_zalloc(0),    mem_try_alloc(0),
                    mem_realloc(NULL, 0), mem_dup(NULL, 0), mem_strdup("")};
    for (size_t i = 0; i < sizeof ptrs / sizeof ptrs[0]; i++) {
        assert_non_null(ptrs[i]);
        mem_free(ptrs[i]);
    }
    mem_free(NULL);
}

static void aligned_and_zeroed(void **state)
{
    (void)state;
    for (size_t align = 16; align <= 65536; align *= 2) {
        uint8_t *ptr = mem_alloc_aligned(align, 5000);
        assert_int_equal((uintptr_t)ptr % align, 0);
        for (size_t i = 0; i < 5000; i++)
            assert_int_equal(ptr[i], 0);
        mem_free(ptr);
    }
}

static void copies(void **state)
{
    (void)state;
    char *cut = mem_strndup("partition", 4);
    assert_string_equal(cut, "part");
    char *whole = mem_strndup("log", 100); // ends before the length
    assert_string_equal(whole, "log");
    char *dup = mem_strdup(whole);
    assert_string_equal(dup, "log");
    void *bytes = mem_dup("a\0b", 3);
    assert_memory_equal(bytes, "a\0b", 3);
    mem_free(cut);
    mem_free(whole);
    mem_free(dup);
    mem_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_countdown_fails_once),
        cmocka_unit_test(the_countdown_spares_what_aborts),
        cmocka_unit_test(sizes_nobody_can_have),
        cmocka_unit_test(nothing_is_something),
        cmocka_unit_test(aligned_and_zeroed),
        cmocka_unit_test(copies),
    };
    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
