// SPDX-License-Identifier: Apache-2.0
//
// Lease sets: each operation once, the budget, and ten thousand random operations at a time against
// a model that keeps every record in an array.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "queue/lease.h"
#include "queue/lease_tree.h"

static struct budget budget;
static struct lease_pool pool;
static struct lease_set set;

static int setup(void **state)
{
    (void)state;
    budget_init(&budget, 1 << 20, NULL);
    lease_pool_init(&pool, &budget, 1);
    lease_set_init(&set, &pool, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lease_check(&set);
    lease_set_fini(&set);
    assert_int_equal(pool.nodes, 0);
    lease_pool_fini(&pool);
    assert_int_equal(budget_used(&budget), 0);
    return 0;
}

static int64_t head(int64_t end)
{
    uint32_t deliveries;
    return lease_head(&set, end, &deliveries);
}

static uint32_t head_deliveries(int64_t end)
{
    uint32_t deliveries = 99;
    (void)lease_head(&set, end, &deliveries);
    return deliveries;
}

static void acquire(int64_t end, uint64_t holder, int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(lease_acquire(&set, end, holder), 0);
}

static void test_in_order(void **state)
{
    (void)state;
    assert_true(lease_set_empty(&set));
    assert_int_equal(head(0), -1);
    acquire(3, 1, 3);
    assert_int_equal(head(3), -1);
    assert_int_equal(lease_ready(&set, 5), 2);
    assert_true(lease_settle(&set, 0, 1));
    assert_int_equal(set.start, 1);
    assert_true(lease_settle(&set, 2, 1));
    assert_int_equal(set.start, 1);
    assert_true(lease_is_settled(&set, 2));
    assert_true(lease_settle(&set, 1, 1));
    assert_int_equal(set.start, 3);
    assert_true(lease_set_empty(&set));
}

static void test_only_the_holder(void **state)
{
    (void)state;
    acquire(2, 1, 2);
    assert_false(lease_settle(&set, 0, 2));
    assert_false(lease_release(&set, 0, 2));
    assert_false(lease_condemn(&set, 0, 2, 0));
    assert_false(lease_settle(&set, 7, 1));
    assert_int_equal(lease_deliveries(&set, 0, 2), 0);
    assert_int_equal(lease_deliveries(&set, 0, 1), 1);
    assert_true(lease_settle(&set, 0, 1));
    assert_false(lease_settle(&set, 0, 1)); // once
    assert_int_equal(set.counts[LEASE_LEASED], 1);
}

static void test_released_in_old_place(void **state)
{
    (void)state;
    acquire(6, 1, 6);
    assert_true(lease_release(&set, 4, 1));
    assert_true(lease_release(&set, 1, 1));
    assert_true(lease_release(&set, 3, 1)); // joins the run behind it
    assert_true(lease_release(&set, 2, 1)); // joins both
    assert_int_equal(pool.nodes, 3);        // leases 0 and 5, one run
    assert_int_equal(lease_ready(&set, 6), 4);
    assert_int_equal(head(6), 1);
    assert_int_equal(head_deliveries(6), 1);
    acquire(6, 2, 1);
    assert_int_equal(lease_deliveries(&set, 1, 2), 2);
    assert_true(lease_release(&set, 1, 2)); // delivered more often: a run of its own
    assert_int_equal(head(6), 1);
    assert_int_equal(head_deliveries(6), 2);
    acquire(6, 3, 4);
    assert_int_equal(head(6), -1);
    assert_int_equal(lease_deliveries(&set, 4, 3), 2);
}

static void test_skip(void **state)
{
    (void)state;
    struct lease_range r = lease_skip(&set, 5, 3);
    assert_int_equal(r.from, 0);
    assert_int_equal(r.to, 3);
    assert_int_equal(set.start, 3);
    assert_int_equal(pool.nodes, 0); // settled in order: nothing is kept
    acquire(9, 1, 4);                // 3 4 5 6
    assert_true(lease_release(&set, 4, 1));
    assert_true(lease_release(&set, 5, 1));
    r = lease_skip(&set, 9, 100); // one run at the most
    assert_int_equal(r.from, 4);
    assert_int_equal(r.to, 6);
    r = lease_skip(&set, 9, 100);
    assert_int_equal(r.from, 7);
    assert_int_equal(r.to, 9);
    assert_int_equal(set.start, 3);
    assert_int_equal(set.next, 9);
}

static void sum(void *arg, struct lease_range range)
{
    *(int64_t *)arg += range.to - range.from;
}

static void test_purge(void **state)
{
    (void)state;
    int64_t told = 0;
    acquire(20, 1, 6);
    assert_true(lease_release(&set, 0, 1));
    assert_true(lease_release(&set, 2, 1));
    assert_int_equal(lease_purge(&set, 20, sum, &told), 16);
    assert_int_equal(told, 16);
    assert_int_equal(set.start, 1);
    assert_int_equal(head(20), -1);
    assert_int_equal(head(21), 20);
    assert_int_equal(lease_purge(&set, 20, sum, &told), 0);
    assert_true(lease_settle(&set, 1, 1)); // leases stay
}

static void test_condemned(void **state)
{
    (void)state;
    uint64_t reason = 0;
    acquire(3, 1, 3);
    assert_int_equal(lease_condemned(&set, &reason), -1);
    assert_true(lease_condemn(&set, 2, 1, 3));
    assert_true(lease_condemn(&set, 0, 1, 1));
    assert_int_equal(lease_condemned(&set, &reason), 0);
    assert_int_equal(reason, 1);
    assert_int_equal(head(3), -1);
    assert_int_equal(set.start, 0);
    lease_exhume(&set, 0, 9);
    assert_int_equal(lease_condemned(&set, &reason), 2);
    assert_true(lease_settle(&set, 0, 9));
    assert_int_equal(set.start, 1);
}

static void test_budget(void **state)
{
    (void)state;
    int64_t got = 0;
    while (lease_acquire(&set, INT64_MAX, 1) == 0)
        got++;
    assert_int_equal(got, (1 << 20) / (int)sizeof(struct lease_node));
    lease_check(&set);
    assert_int_equal(head(INT64_MAX), got); // it is still there
    for (int64_t i = 0; i < got; i += 2)
        assert_true(lease_release(&set, i, 1));             // needs no memory
    assert_int_equal(lease_acquire(&set, INT64_MAX, 2), 0); // nor does a run of one
    assert_true(lease_settle(&set, 1, 1));
    lease_check(&set);
}

static void test_trim_and_clamp(void **state)
{
    (void)state;
    acquire(20, 1, 10);
    for (int64_t i = 2; i < 8; i++)
        assert_true(lease_release(&set, i, 1));
    lease_trim(&set, 5); // leases 0 and 1 are gone, the run begins at 5
    assert_int_equal(set.start, 5);
    assert_int_equal(head(20), 5);
    assert_int_equal(set.counts[LEASE_LEASED], 2);
    lease_check(&set);
    lease_clamp(&set, 7);
    assert_int_equal(set.next, 7);
    assert_int_equal(set.counts[LEASE_LEASED], 0);
    assert_int_equal(lease_ready(&set, 7), 2);
    lease_check(&set);
    lease_trim(&set, 100);
    assert_int_equal(set.start, 100);
    assert_true(lease_set_empty(&set));
    lease_clamp(&set, 50);
    assert_int_equal(set.start, 50);
}

static void expect_restored(void)
{
    struct buf value;
    buf_init(&value, 1 << 20);
    lease_encode(&set, true, &value);
    assert_int_equal(value.err, 0);
    struct lease_set again;
    lease_set_init(&again, &pool, 0);
    assert_int_equal(lease_restore(&again, buf_slice(&value)), 0);
    lease_check(&again);
    assert_true(again.final);
    assert_int_equal(again.start, set.start);
    assert_int_equal(again.next, set.next);
    for (int64_t i = 0; i < set.next; i++)
        assert_int_equal(lease_is_settled(&again, i), lease_is_settled(&set, i));
    lease_set_fini(&again);
    buf_fini(&value);
}

static void test_survives(void **state)
{
    (void)state;
    expect_restored();
    acquire(30, 1, 20);
    for (int64_t i = 0; i < 20; i += 3)
        assert_true(lease_settle(&set, i, 1));
    expect_restored();
    assert_true(lease_release(&set, 4, 1));
    assert_true(lease_condemn(&set, 5, 1, 0));
    expect_restored();
}

static void test_replay(void **state)
{
    (void)state;
    const struct lease_range frames[] = {{3, 5}, {10, 12}, {0, 2}, {4, 11}, {0, 2}, {2, 3}};
    for (size_t i = 0; i < 4; i++)
        lease_restore_settled(&set, frames[i]);
    lease_check(&set);
    assert_int_equal(set.start, 2);
    assert_int_equal(set.next, 12);
    assert_int_equal(head(20), 2);
    assert_int_equal(head_deliveries(20), 1);
    lease_restore_settled(&set, frames[4]); // again
    lease_restore_settled(&set, frames[5]);
    assert_int_equal(set.start, 12);
    assert_true(lease_set_empty(&set));
    lease_restore_settled(&set, frames[1]);
    assert_int_equal(set.start, 12);
}

static void test_suspect(void **state)
{
    (void)state;
    lease_restore_settled(&set, (struct lease_range){2, 4});
    lease_suspect(&set, 3); // it is behind that already
    assert_int_equal(set.next, 4);
    lease_suspect(&set, 1000000);
    assert_int_equal(pool.nodes, 2); // whatever the backlog
    assert_int_equal(lease_ready(&set, 1000000), 999998);
    assert_int_equal(head_deliveries(1000000), 1);
    assert_int_equal(head(2000000), 0);
    (void)lease_skip(&set, 1000000, 5);
    (void)lease_skip(&set, 1000000, 1000000);
    assert_true(lease_set_empty(&set));
    expect_restored();
}

static void test_a_hundred_thousand(void **state)
{
    (void)state;
    budget_init(&budget, 64 << 20, NULL);
    enum { MANY = 300000 };
    acquire(MANY, 1, MANY);
    for (int64_t i = 1; i < MANY; i += 2)
        assert_true(lease_settle(&set, i, 1));
    assert_int_equal(set.start, 0);
    lease_check(&set);
    assert_true(budget_used(&budget) <= MANY * (int64_t)sizeof(struct lease_node));
    expect_restored();
    for (int64_t i = MANY - 2; i >= 0; i -= 2)
        assert_true(lease_release(&set, i, 1));
    assert_int_equal(lease_ready(&set, MANY), MANY / 2);
    for (int64_t i = 0; i < MANY; i += 2)
        (void)lease_skip(&set, MANY, MANY);
    assert_int_equal(set.start, MANY);
}

// ---- against a model

enum { RECORDS = 400, HOLDERS = 4 };
enum place { NEW, FREE, HELD, DEAD, DONE };
struct model {
    enum place place[RECORDS];
    uint64_t holder[RECORDS], reason[RECORDS];
    uint32_t deliveries[RECORDS];
    int64_t end;
};
static struct model model;
static struct prng prng;

static int64_t model_head(void)
{
    for (int64_t i = 0; i < model.end; i++)
        if (model.place[i] == FREE || model.place[i] == NEW)
            return i;
    return -1;
}

static int64_t model_dead(void)
{
    for (int64_t i = 0; i < model.end; i++)
        if (model.place[i] == DEAD)
            return i;
    return -1;
}

static void compare(void)
{
    int64_t start = 0, next = 0;
    uint64_t ready = 0;
    for (int64_t i = 0; i < model.end; i++) {
        if (model.place[i] != NEW)
            next = i + 1;
        if (model.place[i] == NEW || model.place[i] == FREE)
            ready++;
        assert_int_equal(lease_is_settled(&set, i), model.place[i] == DONE);
    }
    while (start < next && model.place[start] == DONE)
        start++;
    assert_int_equal(set.next, next);
    assert_int_equal(set.start, start);
    assert_int_equal(lease_ready(&set, model.end), ready);
    assert_int_equal(head(model.end), model_head());
    if (model_head() >= 0)
        assert_int_equal(head_deliveries(model.end), model.deliveries[model_head()]);
    uint64_t reason = 0;
    assert_int_equal(lease_condemned(&set, &reason), model_dead());
    if (model_dead() >= 0)
        assert_int_equal(reason, model.reason[model_dead()]);
    lease_check(&set);
}

static void model_purged(void *arg, struct lease_range range)
{
    (void)arg;
    for (int64_t i = range.from; i < range.to; i++) {
        assert_true(model.place[i] == NEW || model.place[i] == FREE);
        model.place[i] = DONE;
    }
}

static void random_end_of_lease(void)
{
    int64_t i = (int64_t)prng_below(&prng, (uint64_t)model.end);
    uint64_t holder = prng_below(&prng, HOLDERS) + 1;
    bool held = model.place[i] == HELD && model.holder[i] == holder;
    switch (prng_below(&prng, 4)) {
    case 0:
    case 1:
        assert_int_equal(lease_settle(&set, i, holder), held);
        model.place[i] = held ? DONE : model.place[i];
        break;
    case 2:
        assert_int_equal(lease_release(&set, i, holder), held);
        model.place[i] = held ? FREE : model.place[i];
        break;
    default:
        model.reason[i] = held ? holder + 1 : model.reason[i];
        assert_int_equal(lease_condemn(&set, i, holder, holder + 1), held);
        model.place[i] = held ? DEAD : model.place[i];
    }
}

static void random_take(void)
{
    int64_t i = model_head();
    if (i < 0)
        return;
    if (prng_chance(&prng, 1, 5)) {
        struct lease_range r = lease_skip(&set, model.end, i + 1 + (int64_t)prng_below(&prng, 3));
        assert_int_equal(r.from, i);
        model_purged(NULL, r);
        return;
    }
    model.holder[i] = prng_below(&prng, HOLDERS) + 1;
    assert_int_equal(lease_acquire(&set, model.end, model.holder[i]), 0);
    model.place[i] = HELD;
    model.deliveries[i]++;
    assert_int_equal(lease_deliveries(&set, i, model.holder[i]), model.deliveries[i]);
}

// As a restart does it: what was settled by then in a snapshot, in order, then some of it again.
static void random_restart(void)
{
    struct buf value;
    buf_init(&value, 1 << 20);
    lease_encode(&set, false, &value);
    int64_t next = set.next;
    lease_set_fini(&set);
    lease_set_init(&set, &pool, 0);
    assert_int_equal(lease_restore(&set, buf_slice(&value)), 0);
    buf_fini(&value);
    for (int64_t i = 0; i < next; i++) {
        if (model.place[i] != DONE) {
            model.place[i] = FREE;
            model.deliveries[i] = 1;
        }
    }
    for (int64_t i = next - 1; i >= 0; i--) {
        bool more = model.place[i] != DONE && prng_chance(&prng, 1, 10);
        if (more || (model.place[i] == DONE && prng_chance(&prng, 1, 2)))
            lease_restore_settled(&set, (struct lease_range){i, i + 1});
        model.place[i] = more ? DONE : model.place[i];
    }
}

static void random_step(void)
{
    uint64_t dice = prng_below(&prng, 1000);
    if (dice < 150 && model.end < RECORDS)
        model.end += (int64_t)prng_below(&prng, 3);
    else if (dice < 450)
        random_take();
    else if (dice < 970 && model.end > 0)
        random_end_of_lease();
    else if (dice < 985 && model_dead() >= 0) {
        int64_t i = model_dead();
        lease_exhume(&set, i, 1);
        model.place[i] = HELD;
        model.holder[i] = 1;
    } else if (dice < 990) {
        (void)lease_purge(&set, model.end, model_purged, NULL);
    } else if (dice < 993) {
        random_restart();
    }
}

static void test_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        prng_seed(&prng, seed);
        model = (struct model){.end = 0};
        lease_set_fini(&set);
        lease_set_init(&set, &pool, 0);
        for (int i = 0; i < 1500; i++) {
            random_step();
            if (model.end > RECORDS)
                model.end = RECORDS;
            compare();
        }
    }
}

static void test_trees(void **state)
{
    (void)state;
    struct lease_node nodes[64], *tree = NULL, *below, *rest;
    prng_seed(&prng, 3);
    for (int i = 0; i < 64; i++) {
        nodes[i] = (struct lease_node){.from = (i * 37) % 64,
                                       .priority = (uint32_t)prng_below(&prng, 8)}; // with equals
        tree_insert(&tree, &nodes[i]);
    }
    struct tree_walk walk = {.depth = 0};
    int64_t at = 0;
    tree_walk_down(&walk, tree);
    for (; tree_walk_at(&walk) != NULL; tree_walk_on(&walk))
        assert_int_equal(tree_walk_at(&walk)->from, at++);
    assert_int_equal(at, 64);
    assert_int_equal(tree_floor(tree, 40)->from, 40);
    assert_int_equal(tree_cut(tree_slot(&tree, 40))->from, 40);
    assert_int_equal(tree_floor(tree, 40)->from, 39);
    assert_null(*tree_slot(&tree, 40));
    assert_null(tree_floor(tree, -1));
    tree_split(tree, 10, &below, &rest);
    assert_int_equal(tree_first(rest)->from, 10);
    for (at = 0; (tree = tree_unravel(&below)) != NULL; at++)
        assert_int_equal(tree->from, at);
    assert_int_equal(at, 10);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_in_order), TEST(test_only_the_holder), TEST(test_released_in_old_place),
        TEST(test_skip),     TEST(test_purge),           TEST(test_condemned),
        TEST(test_budget),   TEST(test_trim_and_clamp),  TEST(test_survives),
        TEST(test_replay),   TEST(test_suspect),         TEST(test_a_hundred_thousand),
        TEST(test_model),    TEST(test_trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
