// SPDX-License-Identifier: Apache-2.0
//
// Histograms: the stated error bound over the whole range, quantiles, merging, saturation.
#include "base/histogram.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void within_the_stated_error(void **state)
{
    (void)state;
    static struct histogram h;
    struct prng p;
    prng_seed(&p, 5);
    // The last bucket of bit 46 also takes what is beyond the range; it answers with the maximum.
    for (unsigned bits = 0; bits < 46; bits++) {
        for (int i = 0; i < 200; i++) {
            uint64_t value = (UINT64_C(1) << bits) + prng_below(&p, UINT64_C(1) << bits);
            histogram_clear(&h);
            histogram_add(&h, value);
            histogram_add(&h, UINT64_C(1) << 60); // so that max does not hide the bucket's edge
            uint64_t q = histogram_quantile(&h, 0.5);
            assert_true(q >= value);
            assert_true((double)(q - value) <= 0.0625 * (double)value);
        }
    }
}

static void small_values_are_exact(void **state)
{
    (void)state;
    static struct histogram h;
    for (uint64_t v = 0; v < 16; v++) {
        histogram_clear(&h);
        histogram_add(&h, v);
        histogram_add(&h, 1000);
        assert_int_equal(histogram_quantile(&h, 0.5), v);
    }
}

static void quantiles_of_a_known_spread(void **state)
{
    (void)state;
    static struct histogram h;
    histogram_clear(&h);
    for (uint64_t v = 1; v <= 10000; v++)
        histogram_add(&h, v);
    assert_int_equal(h.count, 10000);
    assert_int_equal(h.sum, 50005000);
    assert_int_equal(h.max, 10000);
    assert_in_range(histogram_quantile(&h, 0.5), 5000, 5312);
    assert_in_range(histogram_quantile(&h, 0.99), 9900, 10000);
    assert_int_equal(histogram_quantile(&h, 1.0), 10000);
    assert_int_equal(histogram_quantile(&h, 0.0), 1);
}

static void empty_and_beyond_the_range(void **state)
{
    (void)state;
    static struct histogram h;
    histogram_clear(&h);
    assert_int_equal(histogram_quantile(&h, 0.5), 0);
    histogram_add(&h, UINT64_MAX);
    assert_true(h.max == UINT64_MAX);
    assert_true(histogram_quantile(&h, 0.5) == UINT64_MAX);
}

static void merged_equals_added(void **state)
{
    (void)state;
    static struct histogram a;
    static struct histogram b;
    static struct histogram both;
    struct prng p;
    prng_seed(&p, 6);
    histogram_clear(&a);
    histogram_clear(&b);
    histogram_clear(&both);
    for (int i = 0; i < 5000; i++) {
        uint64_t v = prng_below(&p, 1000000);
        histogram_add(i % 3 == 0 ? &a : &b, v);
        histogram_add(&both, v);
    }
    histogram_merge(&a, &b);
    assert_memory_equal(&a, &both, sizeof a);
}

static void counters_do_not_wrap(void **state)
{
    (void)state;
    static struct histogram h;
    histogram_clear(&h);
    h.buckets[3] = UINT32_MAX;
    h.count = UINT32_MAX;
    histogram_add(&h, 3);
    assert_true(h.buckets[3] == UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(within_the_stated_error),     cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(quantiles_of_a_known_spread), cmocka_unit_test(empty_and_beyond_the_range),
        cmocka_unit_test(merged_equals_added),         cmocka_unit_test(counters_do_not_wrap),
    };
    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
