// SPDX-License-Identifier: Apache-2.0
//
// Claims: who may go at once and who waits, in what order, that nobody is forgotten, and that a
// long row of holders that end at once is no deep stack.
#include "node/claims.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"

struct one {
    struct claim_holder holder;
    bool told;
    uint64_t order;
};

static struct claims claims;
static uint64_t told;

static void granted(struct claim_holder *holder)
{
    struct one *o = CONTAINER_OF(holder, struct one, holder);
    assert_true(holder->held);
    assert_false(o->told);
    o->told = true;
    o->order = ++told;
}

static bool take(struct one *o, uint64_t a, bool a_shared, uint64_t b, bool b_shared)
{
    *o = (struct one){.holder.granted = granted};
    claim_add(&o->holder, a, a_shared);
    if (b != 0)
        claim_add(&o->holder, b, b_shared);
    return claims_take(&claims, &o->holder);
}

static int setup(void **state)
{
    (void)state;
    told = 0;
    claims_init(&claims, 3);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(claims.names.count, 0);
    claims_fini(&claims);
    return 0;
}

static void test_alone_and_shared(void **state)
{
    (void)state;
    struct one a, b, c, d;
    assert_true(take(&a, 1, true, 2, true));
    assert_true(take(&b, 1, true, 3, false));
    assert_false(take(&c, 1, false, 0, false)); // both of them are in the way
    assert_false(take(&d, 1, true, 0, false));  // behind c, or c might never come
    claims_give(&claims, &a.holder);
    assert_false(c.told);
    claims_give(&claims, &b.holder);
    assert_true(c.told);
    assert_false(d.told);
    claims_give(&claims, &c.holder);
    assert_true(d.told);
    claims_give(&claims, &d.holder);
}

static void test_all_or_none(void **state)
{
    (void)state;
    struct one a, b, c, d;
    assert_true(take(&a, 1, false, 0, false));
    assert_true(take(&b, 2, false, 0, false));
    assert_false(take(&c, 1, false, 2, false));
    assert_true(take(&d, 3, false, 0, false));
    claims_give(&claims, &a.holder);
    assert_false(c.told); // waits for 2 by now, and holds nothing
    claims_give(&claims, &d.holder);
    assert_true(take(&a, 1, false, 0, false));
    claims_give(&claims, &b.holder);
    assert_false(c.told);
    claims_give(&claims, &a.holder);
    assert_true(c.told);
    claims_give(&claims, &c.holder);
}

static void test_one_name_twice(void **state)
{
    (void)state;
    struct one a, b;
    assert_true(take(&a, 1, true, 1, false));
    assert_int_equal(a.holder.count, 1);
    assert_false(take(&b, 1, true, 1, true));
    claims_give(&claims, &a.holder);
    assert_true(b.told);
    claims_give(&claims, &b.holder);
}

#define ROW 100000

static void ends_at_once(struct claim_holder *holder)
{
    struct one *o = CONTAINER_OF(holder, struct one, holder);
    o->order = ++told;
    claims_give(&claims, holder);
}

static void test_long_row(void **state)
{
    (void)state;
    struct one *row = mem_zalloc(ROW * sizeof *row);
    for (uint64_t i = 0; i < ROW; i++) {
        row[i].holder.granted = ends_at_once;
        claim_add(&row[i].holder, 1, false);
        assert_int_equal(claims_take(&claims, &row[i].holder), i == 0);
    }
    claims_give(&claims, &row[0].holder);
    for (uint64_t i = 1; i < ROW; i++)
        assert_int_equal(row[i].order, i);
    mem_free(row);
}

// Any mixture: no two hold what excludes each other, and in the end everybody has had its turn.
#define MIX 200

static bool excludes(const struct claim_holder *a, const struct claim_holder *b)
{
    for (uint32_t i = 0; i < a->count; i++)
        for (uint32_t k = 0; k < b->count; k++)
            if (a->claims[i].name == b->claims[k].name &&
                !(a->claims[i].shared && b->claims[k].shared))
                return true;
    return false;
}

static void mix_check(const struct one *mix)
{
    for (uint32_t i = 0; i < MIX; i++)
        for (uint32_t k = i + 1; k < MIX; k++)
            assert_false(mix[i].holder.held && mix[k].holder.held &&
                         excludes(&mix[i].holder, &mix[k].holder));
}

static void test_mixture(void **state)
{
    (void)state;
    static struct one mix[MIX];
    struct prng p;
    prng_seed(&p, 5);
    for (uint32_t i = 0; i < MIX; i++) {
        uint64_t b = prng_below(&p, 8);
        mix[i].told =
            take(&mix[i], 1 + prng_below(&p, 7), prng_chance(&p, 1, 2), b, prng_chance(&p, 1, 2));
    }
    for (uint32_t ended = 0; ended < MIX; ended++) {
        mix_check(mix);
        uint32_t i = (uint32_t)prng_below(&p, MIX);
        for (uint32_t n = 0; n < MIX && !mix[i].holder.held; n++)
            i = (i + 1) % MIX;
        assert_true(mix[i].holder.held); // somebody can always go on
        claims_give(&claims, &mix[i].holder);
    }
    for (uint32_t i = 0; i < MIX; i++)
        assert_true(mix[i].told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_alone_and_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_or_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_name_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_row, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mixture, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
