// SPDX-License-Identifier: Apache-2.0
//
// Unacknowledged deliveries: in order, out of order, many at once, with gaps between tags, against
// a model, and at the end of the budget.
#include "amqp/unacked.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static char place; // any address
#define SOURCE ((struct amqp_source *)(void *)&place)

static int add(struct amqp_unacked *u, uint64_t tag)
{
    const struct amqp_unacked_delivery d = {
        .tag = tag, .offset = (int64_t)tag * 10, .source = SOURCE, .level = (int32_t)(tag % 3)};
    return amqp_unacked_add(u, &d);
}

static void taken_is(struct amqp_unacked *u, uint64_t tag, bool multiple, uint64_t expected)
{
    struct amqp_unacked_delivery d;
    assert_int_equal(amqp_unacked_take(u, tag, multiple, &d), 0);
    assert_int_equal(d.tag, expected);
    assert_int_equal(d.offset, expected * 10);
    assert_int_equal(d.level, expected % 3);
    assert_ptr_equal(d.source, SOURCE);
}

static void one_by_one_and_many_at_once(void **state)
{
    (void)state;
    struct amqp_unacked u;
    struct amqp_unacked_delivery d;
    amqp_unacked_init(&u, NULL);
    assert_int_equal(amqp_unacked_take(&u, 1, false, &d), ERR_NOT_FOUND);
    assert_int_equal(amqp_unacked_take(&u, UINT64_MAX, true, &d), ERR_NOT_FOUND);
    for (uint64_t tag = 1; tag <= 10; tag++)
        assert_int_equal(add(&u, tag), 0);
    taken_is(&u, 1, false, 1);
    taken_is(&u, 5, false, 5);
    assert_false(amqp_unacked_has(&u, 5));
    assert_true(amqp_unacked_has(&u, 6));
    assert_int_equal(amqp_unacked_take(&u, 5, false, &d), ERR_NOT_FOUND); // twice
    assert_int_equal(amqp_unacked_take(&u, 11, false, &d), ERR_NOT_FOUND);
    assert_int_equal(amqp_unacked_take(&u, 0, false, &d), ERR_NOT_FOUND);
    static const uint64_t rest[] = {2, 3, 4, 6, 7};
    for (size_t i = 0; i < 5; i++)
        taken_is(&u, 7, true, rest[i]);
    assert_int_equal(amqp_unacked_take(&u, 7, true, &d), ERR_NOT_FOUND);
    assert_int_equal(u.count, 3);
    amqp_unacked_fini(&u);
}

static void tags_may_have_gaps(void **state)
{
    (void)state;
    struct amqp_unacked u;
    amqp_unacked_init(&u, NULL);
    for (uint64_t tag = 3; tag < 3000; tag += 3) // those between asked for no acknowledgement
        assert_int_equal(add(&u, tag), 0);
    assert_false(amqp_unacked_has(&u, 1));
    assert_false(amqp_unacked_has(&u, 4));
    taken_is(&u, 1500, false, 1500);
    taken_is(&u, 2997, false, 2997);
    taken_is(&u, 3, false, 3);
    assert_int_equal(u.count, 996);
    amqp_unacked_fini(&u);
}

// One delivery is never acknowledged while a hundred thousand others are: the ring stays small.
static void one_that_stays_does_not_hold_the_others(void **state)
{
    (void)state;
    struct amqp_unacked u;
    amqp_unacked_init(&u, NULL);
    assert_int_equal(add(&u, 1), 0);
    for (uint64_t tag = 2; tag < 100000; tag++) {
        assert_int_equal(add(&u, tag), 0);
        if (tag > 8)
            taken_is(&u, tag - 6, false, tag - 6);
    }
    assert_true(u.cap <= 64);
    assert_true(amqp_unacked_has(&u, 1));
    amqp_unacked_fini(&u);
}

#define TAGS 4000

static void against_a_model(void **state)
{
    (void)state;
    static bool there[TAGS + 1];
    struct prng p;
    prng_seed(&p, 11);
    for (int round = 0; round < 30; round++) {
        struct amqp_unacked u;
        struct amqp_unacked_delivery d;
        uint64_t next = 1;
        uint32_t count = 0;
        memset(there, 0, sizeof there);
        amqp_unacked_init(&u, NULL);
        while (next <= TAGS) {
            uint64_t what = prng_below(&p, 100);
            uint64_t tag = 1 + prng_below(&p, next);
            if (what < 55) {
                next += prng_below(&p, 8) == 0 ? 2 : 1;
                if (next > TAGS)
                    break;
                assert_int_equal(add(&u, next), 0);
                there[next] = true;
                count++;
            } else if (what < 98) {
                bool known = tag <= TAGS && there[tag];
                assert_int_equal(amqp_unacked_has(&u, tag), known);
                assert_int_equal(amqp_unacked_take(&u, tag, false, &d), known ? 0 : ERR_NOT_FOUND);
                there[tag] = false;
                count -= known ? 1 : 0;
            } else {
                tag -= tag > 50 ? 50 : 0;
                uint64_t last = 0;
                while (amqp_unacked_take(&u, tag, true, &d) == 0) {
                    assert_true(d.tag > last && d.tag <= tag && there[d.tag]);
                    there[d.tag] = false;
                    last = d.tag;
                    count--;
                }
                for (uint64_t t = 0; t <= tag; t++)
                    assert_false(there[t]);
            }
            assert_int_equal(u.count, count);
        }
        amqp_unacked_fini(&u);
    }
}

static void memory_is_the_budgets(void **state)
{
    (void)state;
    struct budget budget;
    struct amqp_unacked u;
    struct amqp_unacked_delivery d;
    budget_init(&budget, 128 << 10, NULL);
    amqp_unacked_init(&u, &budget);
    uint64_t tag = 1;
    while (add(&u, tag) == 0)
        tag++;
    assert_int_equal(add(&u, tag), ERR_BUDGET);
    assert_int_equal(u.count, tag - 1);
    assert_true(tag > 2000);
    // What is taken makes room again, and all of it is given back.
    taken_is(&u, 1, false, 1);
    assert_int_equal(add(&u, tag), 0);
    while (amqp_unacked_take(&u, UINT64_MAX, true, &d) == 0)
        continue;
    assert_true(budget_used(&budget) < 64 << 10);
    mem_fail_after(0);
    for (int i = 0; i < 40; i++) {
        tag++;
        int err = add(&u, tag);
        assert_true(err == 0 || err == ERR_NOMEM);
        if (err != 0)
            break;
    }
    mem_fail_after(-1);
    amqp_unacked_fini(&u);
    assert_int_equal(budget_used(&budget), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_by_one_and_many_at_once),
        cmocka_unit_test(tags_may_have_gaps),
        cmocka_unit_test(one_that_stays_does_not_hold_the_others),
        cmocka_unit_test(against_a_model),
        cmocka_unit_test(memory_is_the_budgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
