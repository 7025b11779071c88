// SPDX-License-Identifier: Apache-2.0
//
// Budgets and the blobs that are paid from them: exact limits, chains, and many threads at once.
#include "base/budget.h"

#include "base/blob.h"
#include "base/err.h"
#include "base/mem.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void takes_up_to_the_limit(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 100, NULL);
    assert_int_equal(budget_take(&b, 60), 0);
    assert_int_equal(budget_take(&b, 41), ERR_BUDGET);
    assert_int_equal(budget_take(&b, 40), 0);
    assert_int_equal(budget_take(&b, 1), ERR_BUDGET);
    assert_int_equal(budget_take(&b, 0), 0);
    assert_int_equal(budget_take(&b, SIZE_MAX), ERR_BUDGET);
    assert_int_equal(budget_used(&b), 100);
    budget_give(&b, 100);
    assert_int_equal(budget_used(&b), 0);
}

static void a_parent_that_is_full_leaves_no_trace(void **state)
{
    (void)state;
    struct budget process;
    struct budget shard;
    struct budget request;
    budget_init(&process, 100, NULL);
    budget_init(&shard, 1000, &process);
    budget_init(&request, 1000, &shard);
    assert_int_equal(budget_take(&request, 80), 0);
    assert_int_equal(budget_take(&request, 30), ERR_BUDGET);
    assert_int_equal(budget_used(&request), 80);
    assert_int_equal(budget_used(&shard), 80);
    assert_int_equal(budget_used(&process), 80);
    budget_force(&request, 30); // what must not fail goes beyond
    assert_int_equal(budget_used(&process), 110);
    assert_int_equal(budget_take(&request, 0), ERR_BUDGET);
    budget_give(&request, 110);
    assert_int_equal(budget_used(&process), 0);
}

#define THREADS 4
#define ROUNDS  20000

static struct budget shared_parent;
static struct budget shared_child[THREADS];
static _Atomic(int64_t) seen_beyond;

static void *take_and_give(void *arg)
{
    struct budget *b = arg;
    for (int i = 0; i < ROUNDS; i++) {
        size_t bytes = (size_t)i % 40 + 1;
        if (budget_take(b, bytes) < 0)
            continue;
        if (budget_used(&shared_parent) > 100)
            atomic_fetch_add(&seen_beyond, 1);
        budget_give(b, bytes);
    }
    return NULL;
}

static void many_threads_never_pass_the_limit(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    budget_init(&shared_parent, 100, NULL);
    for (int i = 0; i < THREADS; i++) {
        budget_init(&shared_child[i], 1000, &shared_parent);
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &shared_child[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(seen_beyond, 0);
    assert_int_equal(budget_used(&shared_parent), 0);
}

static void a_buffer_becomes_a_blob(void **state)
{
    (void)state;
    struct budget b;
    struct buf out;
    budget_init(&b, 100, NULL);
    for (size_t len = 0; len < 5000; len += 37) {
        blob_build_begin(&out, 1U << 20);
        for (size_t i = 0; i < len; i++)
            buf_put_u8(&out, (uint8_t)i);
        assert_int_equal(out.err, 0);
        struct blob *blob = blob_build_end(&out, &b);
        assert_true(blob->size >= len);
        assert_true(blob->size - len <= (sizeof *blob + len) / 2 + 64); // not much to spare
        assert_int_equal(budget_used(&b), sizeof *blob + blob->size);   // beyond the limit
        for (size_t i = 0; i < len; i++)
            assert_int_equal(blob->data[i], (uint8_t)i);
        blob_unref(blob);
        assert_int_equal(budget_used(&b), 0);
    }
    blob_build_begin(&out, BLOB_BUILD_AT + 1);
    buf_put_be16(&out, 1);
    assert_int_equal(out.err, ERR_LIMIT);
    buf_fini(&out);
}

static void blobs_pay_for_their_header_too(void **state)
{
    (void)state;
    struct budget b;
    struct blob *blob = NULL;
    budget_init(&b, 1000, NULL);
    assert_int_equal(blob_create(1000, &b, &blob), ERR_BUDGET);
    assert_null(blob);
    assert_int_equal(blob_create(100, &b, &blob), 0);
    assert_int_equal(budget_used(&b), 100 + (int64_t)sizeof(struct blob));
    assert_ptr_equal(blob_ref(blob), blob);
    blob_unref(blob);
    memset(blob->data, 1, 100);
    struct slice s = blob_piece_slice((struct blob_piece){blob, 90, 10});
    assert_int_equal(s.len, 10);
    assert_null(blob_piece_slice((struct blob_piece){NULL, 0, 0}).data);
    blob_unref(blob);
    assert_int_equal(budget_used(&b), 0);
    blob_unref(NULL);
}

static void memory_that_fails_gives_the_budget_back(void **state)
{
    (void)state;
    struct budget b;
    struct blob *blob = NULL;
    budget_init(&b, 1000, NULL);
    mem_fail_after(0);
    assert_int_equal(blob_create(10, &b, &blob), ERR_NOMEM);
    assert_int_equal(budget_used(&b), 0);
    assert_int_equal(blob_create(SIZE_MAX, NULL, &blob), ERR_NOMEM);
    assert_int_equal(blob_create(SIZE_MAX - 8, NULL, &blob), ERR_NOMEM);
    assert_null(blob);
}

static void *drop(void *arg)
{
    for (int i = 0; i < ROUNDS; i++)
        blob_unref(blob_ref(arg));
    blob_unref(arg);
    return NULL;
}

static void the_last_of_many_threads_frees(void **state)
{
    (void)state;
    struct budget b;
    struct blob *blob = NULL;
    pthread_t threads[THREADS];
    budget_init(&b, 1000, NULL);
    assert_int_equal(blob_create(64, &b, &blob), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, drop, blob_ref(blob)), 0);
    blob_unref(blob);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(budget_used(&b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_up_to_the_limit),
        cmocka_unit_test(a_parent_that_is_full_leaves_no_trace),
        cmocka_unit_test(many_threads_never_pass_the_limit),
        cmocka_unit_test(a_buffer_becomes_a_blob),
        cmocka_unit_test(blobs_pay_for_their_header_too),
        cmocka_unit_test(memory_that_fails_gives_the_budget_back),
        cmocka_unit_test(the_last_of_many_threads_frees),
    };
    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
