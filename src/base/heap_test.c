// SPDX-License-Identifier: Apache-2.0
//
// Heaps: order by key and arrival, removal from anywhere, against a sorted model.
#include "base/heap.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void equal_keys_leave_as_they_came(void **state)
{
    (void)state;
    struct heap h;
    struct heap_node nodes[1000] = {{0}};
    heap_init(&h);
    for (int i = 0; i < 1000; i++)
        heap_push(&h, &nodes[i], i % 7);
    for (int key = 0; key < 7; key++) {
        for (int i = key; i < 1000; i += 7) {
            assert_ptr_equal(heap_min(&h), &nodes[i]);
            heap_remove(&h, &nodes[i]);
        }
    }
    assert_null(heap_min(&h));
    heap_fini(&h);
}

static void keys_of_both_ends(void **state)
{
    (void)state;
    struct heap h;
    struct heap_node nodes[3] = {{0}};
    heap_init(&h);
    heap_push(&h, &nodes[0], INT64_MAX);
    heap_push(&h, &nodes[1], INT64_MIN);
    heap_push(&h, &nodes[2], 0);
    assert_ptr_equal(heap_min(&h), &nodes[1]);
    heap_remove(&h, &nodes[1]);
    assert_ptr_equal(heap_min(&h), &nodes[2]);
    heap_fini(&h);
}

static void removing_twice_and_fini(void **state)
{
    (void)state;
    struct heap h;
    struct heap_node nodes[2] = {{0}};
    heap_init(&h);
    heap_remove(&h, &nodes[0]); // in no heap
    heap_push(&h, &nodes[0], 1);
    heap_push(&h, &nodes[1], 2);
    assert_true(heap_contains(&nodes[0]));
    heap_remove(&h, &nodes[0]);
    heap_remove(&h, &nodes[0]);
    assert_false(heap_contains(&nodes[0]));
    assert_int_equal(h.count, 1);
    heap_fini(&h);
    assert_false(heap_contains(&nodes[1]));
}

#define COUNT 300

// The least node that is in the model: smallest key, then smallest seq.
static struct heap_node *model_min(struct heap_node *nodes)
{
    struct heap_node *min = NULL;
    for (int i = 0; i < COUNT; i++) {
        struct heap_node *n = &nodes[i];
        if (!heap_contains(n))
            continue;
        if (min == NULL || n->key < min->key || (n->key == min->key && n->seq < min->seq))
            min = n;
    }
    return min;
}

static void against_a_model(void **state)
{
    (void)state;
    struct heap h;
    static struct heap_node nodes[COUNT];
    struct prng p;
    heap_init(&h);
    prng_seed(&p, 1);
    for (int step = 0; step < 20000; step++) {
        struct heap_node *n = &nodes[prng_below(&p, COUNT)];
        if (heap_contains(n))
            heap_remove(&h, n);
        else
            heap_push(&h, n, prng_range(&p, -20, 20));
        assert_ptr_equal(heap_min(&h), model_min(nodes));
    }
    heap_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_keys_leave_as_they_came),
        cmocka_unit_test(keys_of_both_ends),
        cmocka_unit_test(removing_twice_and_fini),
        cmocka_unit_test(against_a_model),
    };
    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
