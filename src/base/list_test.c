// SPDX-License-Identifier: Apache-2.0
//
// Lists: order, removing twice, removing while walking, splicing.
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct item {
    int value;
    struct list link;
};

static int digits(const struct list *head)
{
    int number = 0;
    for (const struct list *it = head->next; it != head; it = it->next)
        number = number * 10 + CONTAINER_OF(it, const struct item, link)->value;
    return number;
}

static void order(void **state)
{
    (void)state;
    struct list head;
    struct item a = {.value = 1};
    struct item b = {.value = 2};
    struct item c = {.value = 3};
    list_init(&head);
    assert_null(list_first(&head));
    assert_null(list_pop_front(&head));
    list_push_back(&head, &b.link);
    list_push_back(&head, &c.link);
    list_push_front(&head, &a.link);
    assert_int_equal(digits(&head), 123);
    list_remove(&b.link);
    list_remove(&b.link); // twice is once
    assert_int_equal(digits(&head), 13);
    list_insert_before(&c.link, &b.link);
    assert_int_equal(digits(&head), 123);
    assert_ptr_equal(list_pop_front(&head), &a.link);
    assert_true(list_empty(&a.link));
    assert_int_equal(digits(&head), 23);
}

static void walking_and_removing(void **state)
{
    (void)state;
    struct list head;
    struct item items[9];
    list_init(&head);
    for (int i = 0; i < 9; i++) {
        items[i].value = i + 1;
        list_push_back(&head, &items[i].link);
    }
    LIST_FOR_SAFE (it, &head)
        if (CONTAINER_OF(it, struct item, link)->value % 2 == 0)
            list_remove(it);
    assert_int_equal(digits(&head), 13579);
    int seen = 0;
    LIST_FOR (it, &head)
        seen++;
    assert_int_equal(seen, 5);
}

static void splicing(void **state)
{
    (void)state;
    struct list to;
    struct list from;
    struct item items[4] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    list_init(&to);
    list_init(&from);
    list_splice_back(&to, &from); // nothing to nothing
    assert_true(list_empty(&to));
    for (int i = 0; i < 4; i++)
        list_push_back(i < 2 ? &to : &from, &items[i].link);
    list_splice_back(&to, &from);
    assert_int_equal(digits(&to), 1234);
    assert_true(list_empty(&from));
    list_splice_back(&from, &to);
    assert_int_equal(digits(&from), 1234);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order),
        cmocka_unit_test(walking_and_removing),
        cmocka_unit_test(splicing),
    };
    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
