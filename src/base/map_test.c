// SPDX-License-Identifier: Apache-2.0
//
// Maps: insertion order whatever the seed, colliding hashes, growth, removal while walking.
#include "base/map.h"

#include "base/mem.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct item {
    uint64_t key;
    struct map_node node;
};

static struct item *item_of(const struct map_node *node)
{
    return CONTAINER_OF(node, struct item, node);
}

static bool item_eq(const struct map_node *node, const void *key)
{
    return item_of(node)->key == *(const uint64_t *)key;
}

static struct item *find(const struct map *m, uint64_t key)
{
    struct map_node *node = map_find(m, map_hash_u64(m, key), &key);
    return node == NULL ? NULL : item_of(node);
}

static void insert(struct map *m, struct item *item, uint64_t key)
{
    item->key = key;
    map_insert(m, &item->node, map_hash_u64(m, key));
}

#define COUNT 5000

static void walks_in_insertion_order(void **state)
{
    (void)state;
    static const uint64_t seeds[] = {0, 1, UINT64_C(0xdeadbeefdeadbeef)};
    static struct item items[COUNT];
    for (size_t s = 0; s < 3; s++) {
        struct map m;
        map_init(&m, item_eq, seeds[s]);
        for (uint64_t i = 0; i < COUNT; i++)
            insert(&m, &items[i], i * 7919 % COUNT);
        // Every third goes, and comes back: it now stands at the end.
        for (uint64_t i = 0; i < COUNT; i += 3)
            map_remove(&m, &items[i].node);
        for (uint64_t i = 0; i < COUNT; i += 3)
            insert(&m, &items[i], items[i].key);
        assert_int_equal(m.count, COUNT);
        uint64_t expected = 1;
        LIST_FOR (it, &m.order) {
            struct item *item = CONTAINER_OF(it, struct item, node.order);
            assert_ptr_equal(item, &items[expected]);
            expected += expected % 3 == 2 ? 2 : (expected % 3 == 1 ? 1 : 3);
            if (expected >= COUNT && expected % 3 != 0)
                expected = 0;
        }
        map_fini(&m);
    }
}

static void against_a_model(void **state)
{
    (void)state;
    struct prng p;
    prng_seed(&p, 42);
    static struct item items[512];
    bool there[512] = {false};
    size_t count = 0;
    struct map m;
    map_init(&m, item_eq, 3);
    for (int step = 0; step < 100000; step++) {
        uint64_t key = prng_below(&p, 512);
        struct item *found = find(&m, key);
        assert_int_equal(found != NULL, there[key]);
        if (found != NULL) {
            assert_ptr_equal(found, &items[key]);
            map_remove(&m, &found->node);
            count--;
        } else {
            insert(&m, &items[key], key);
            count++;
        }
        there[key] = !there[key];
        assert_int_equal(m.count, count);
    }
    map_fini(&m);
}

static void equal_hashes_are_told_apart(void **state)
{
    (void)state;
    static struct item items[100];
    struct map m;
    map_init(&m, item_eq, 0);
    for (uint64_t i = 0; i < 100; i++) {
        items[i].key = i;
        map_insert(&m, &items[i].node, 4711);
    }
    for (uint64_t i = 0; i < 100; i++)
        assert_ptr_equal(item_of(map_find(&m, 4711, &i)), &items[i]);
    for (uint64_t i = 0; i < 100; i += 2)
        map_remove(&m, &items[i].node);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(map_find(&m, 4711, &i) != NULL, i % 2 == 1);
    map_fini(&m);
}

static void removal_while_walking(void **state)
{
    (void)state;
    struct map m;
    map_init(&m, item_eq, 0);
    for (uint64_t i = 0; i < 100; i++) {
        struct item *item = mem_zalloc(sizeof *item);
        insert(&m, item, i);
    }
    MAP_FOR_SAFE (it, &m) {
        struct item *item = CONTAINER_OF(it, struct item, node.order);
        map_remove(&m, &item->node);
        mem_free(item);
    }
    assert_int_equal(m.count, 0);
    assert_true(list_empty(&m.order));
    map_fini(&m);
}

static void empty_and_hashes(void **state)
{
    (void)state;
    struct map m;
    map_init(&m, item_eq, 9);
    assert_null(find(&m, 1));
    map_fini(&m);
    struct map other;
    map_init(&other, item_eq, 10);
    struct slice key = slice_cstr("topic-1");
    assert_true(map_hash(&m, key) == map_hash(&m, key));
    assert_true(map_hash(&m, key) != map_hash(&other, key)); // the seed matters
    assert_true(map_hash_u64(&m, 1) != map_hash_u64(&m, 2));
    map_fini(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_in_insertion_order),
        cmocka_unit_test(against_a_model),
        cmocka_unit_test(equal_hashes_are_told_apart),
        cmocka_unit_test(removal_while_walking),
        cmocka_unit_test(empty_and_hashes),
    };
    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
