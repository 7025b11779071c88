// SPDX-License-Identifier: Apache-2.0
//
// Idempotent producers: each rule by name, the snapshot, and a random run against a model that
// keeps every batch ever appended instead of five.
#include "txn/producers.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/bugs.h"
#include "base/err.h"
#include "base/prng.h"

static struct batch batch_of(int64_t id, int16_t epoch, int32_t sequence, int32_t records,
                             int64_t offset)
{
    return (struct batch){.base_offset = offset,
                          .last_offset_delta = records - 1,
                          .max_timestamp_ms = offset * 10,
                          .producer_id = id,
                          .producer_epoch = epoch,
                          .base_sequence = sequence,
                          .records_count = records,
                          .size_bytes = 100};
}

static int check(struct producers *p, struct batch b, struct producers_verdict *out)
{
    struct producers_verdict ignored;
    return producers_check(p, &b, out != NULL ? out : &ignored);
}

static void append(struct producers *p, struct batch b)
{
    assert_int_equal(check(p, b, NULL), 0);
    producers_append(p, &b, 1000);
}

static void test_duplicates(void **state)
{
    (void)state;
    struct producers *p = producers_create(0);
    struct producers_verdict v;
    for (int i = 0; i < 7; i++)
        append(p, batch_of(7, 0, i * 3, 3, i * 3));
    for (int i = 2; i < 7; i++) { // the last five, whatever offset the repetition would get
        assert_int_equal(check(p, batch_of(7, 0, i * 3, 3, 99), &v), 0);
        assert_true(v.duplicate);
        assert_int_equal(v.base_offset, i * 3);
        assert_int_equal(v.last_offset, i * 3 + 2);
        assert_int_equal(v.timestamp_ms, i * 30);
    }
    assert_int_equal(check(p, batch_of(7, 0, 3, 3, 99), &v), ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    // same first sequence, another length: not the same batch
    assert_int_equal(check(p, batch_of(7, 0, 6, 2, 99), &v), ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_int_equal(check(p, batch_of(7, 0, 21, 1, 99), &v), 0);
    assert_false(v.duplicate);
    bug_planted = BUG_DUP_SEQUENCE;
    assert_int_equal(check(p, batch_of(7, 0, 18, 3, 99), &v), 0);
    assert_false(v.duplicate);
    bug_planted = BUG_NONE;
    producers_destroy(p);
}

static void test_gaps_and_epochs(void **state)
{
    (void)state;
    struct producers *p = producers_create(0);
    append(p, batch_of(1, 5, 40, 2, 0)); // unknown: any sequence
    assert_int_equal(check(p, batch_of(1, 5, 43, 1, 2), NULL), ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_int_equal(check(p, batch_of(1, 4, 42, 1, 2), NULL), ERR_INVALID_PRODUCER_EPOCH);
    assert_int_equal(check(p, batch_of(1, 6, 42, 1, 2), NULL), ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    append(p, batch_of(1, 6, 0, 1, 2));
    assert_int_equal(check(p, batch_of(1, 5, 40, 2, 3), NULL), ERR_INVALID_PRODUCER_EPOCH);
    assert_int_equal(check(p, batch_of(1, 6, -1, 1, 3), NULL), ERR_INVALID_RECORD);
    append(p, batch_of(-1, -1, -1, 1, 3)); // no producer: always new, never known
    assert_int_equal(producers_count(p), 1);
    producers_destroy(p);
}

static void test_wrap(void **state)
{
    (void)state;
    struct producers *p = producers_create(0);
    struct producers_verdict v;
    append(p, batch_of(1, 0, INT32_MAX - 1, 2, 0)); // ends with the last number there is
    append(p, batch_of(1, 0, 0, 1, 2));
    append(p, batch_of(2, 0, INT32_MAX - 1, 4, 3)); // wraps inside: 2^31 - 2, 2^31 - 1, 0, 1
    assert_int_equal(check(p, batch_of(2, 0, 3, 1, 9), NULL), ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_int_equal(check(p, batch_of(2, 0, INT32_MAX - 1, 4, 9), &v), 0);
    assert_true(v.duplicate);
    assert_int_equal(v.base_offset, 3);
    append(p, batch_of(2, 0, 2, 1, 7));
    producers_destroy(p);
}

static void test_expiry(void **state)
{
    (void)state;
    struct producers *p = producers_create(0);
    for (int i = 0; i < 4; i++) {
        struct batch b = batch_of(i, 0, 0, 1, i);
        producers_append(p, &b, 100 * i);
    }
    assert_false(producers_expire(p, 0));
    assert_true(producers_expire(p, 200));
    assert_int_equal(producers_count(p), 2);
    assert_int_equal(check(p, batch_of(0, 0, 77, 1, 9), NULL), 0);
    assert_int_equal(check(p, batch_of(2, 0, 77, 1, 9), NULL), ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    producers_destroy(p);
}

static void test_limit(void **state)
{
    (void)state;
    struct producers *p = producers_create(1);
    for (int i = 0; i < 20000; i++) {
        struct batch b = batch_of(i, 0, 0, 1, i);
        producers_append(p, &b, 0);
    }
    assert_int_equal(producers_count(p), 16384);
    assert_int_equal(check(p, batch_of(0, 0, 5, 1, 9), NULL), 0); // the oldest was forgotten
    assert_int_equal(check(p, batch_of(19999, 0, 5, 1, 9), NULL), ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    producers_destroy(p);
}

static void count_info(void *arg, const struct producer_info *info)
{
    int64_t *sum = arg;
    *sum += info->last_sequence + info->epoch * 1000 + info->last_offset * 100000;
}

static void test_snapshot(void **state)
{
    (void)state;
    struct producers *p = producers_create(0), *q = producers_create(9);
    assert_false(producers_dirty(p));
    for (int i = 0; i < 20; i++)
        append(p, batch_of(i % 3, (int16_t)(i % 3), i / 3, 1, i));
    assert_true(producers_dirty(p));
    struct buf value, again;
    buf_init(&value, 1 << 20);
    buf_init(&again, 1 << 20);
    producers_snapshot(p, &value);
    assert_false(producers_dirty(p));
    assert_int_equal(producers_restore(q, buf_slice(&value)), 0);
    producers_snapshot(q, &again);
    assert_true(slice_eq(buf_slice(&value), buf_slice(&again)));
    int64_t sum_p = 0, sum_q = 0;
    producers_each(p, count_info, &sum_p);
    producers_each(q, count_info, &sum_q);
    assert_int_equal(sum_p, sum_q);
    // replay of batches that the snapshot has changes nothing
    for (int i = 0; i < 20; i++) {
        struct batch b = batch_of(i % 3, (int16_t)(i % 3), i / 3, 1, i);
        producers_append(q, &b, 5);
    }
    assert_false(producers_dirty(q));
    for (size_t len = 0; len < value.len; len++) // every cut is refused, and leaves it usable
        assert_int_equal(producers_restore(q, slice_of(value.data, len)), ERR_CORRUPT);
    value.data[0] = 2;
    assert_int_equal(producers_restore(q, buf_slice(&value)), ERR_FORMAT_VERSION);
    buf_fini(&value);
    buf_fini(&again);
    producers_destroy(p);
    producers_destroy(q);
}

static void test_ids(void **state)
{
    (void)state;
    struct producer_ids ids = {0, 0, 0};
    int64_t id = -1;
    assert_int_equal(producer_ids_take(&ids, &id), ERR_AGAIN);
    assert_int_equal(id, -1);
    producer_ids_grant(&ids, 3000);
    for (int64_t want = 2000; want < 3000; want++) {
        assert_int_equal(producer_ids_take(&ids, &id), 0);
        assert_int_equal(id, want);
    }
    assert_int_equal(producer_ids_take(&ids, &id), ERR_AGAIN);
}

// ---- the model: all batches, newest last

#define MODEL_BATCHES   4000
#define MODEL_PRODUCERS 4
struct model {
    struct batch all[MODEL_BATCHES];
    int count;
};

// What should come of it, from the rules' words: 1 duplicate, 0 new, else the error.
static int model_check(const struct model *m, const struct batch *b, int64_t *base)
{
    int kept = 0, epoch = -1;
    const struct batch *last = NULL;
    for (int i = m->count - 1; i >= 0; i--) {
        const struct batch *old = &m->all[i];
        if (old->producer_id != b->producer_id)
            continue;
        if (last == NULL) {
            last = old;
            epoch = old->producer_epoch;
        }
        if (old->producer_epoch != epoch || kept == 5)
            break;
        kept++;
        if (epoch == b->producer_epoch && old->base_sequence == b->base_sequence &&
            old->last_offset_delta == b->last_offset_delta) {
            *base = old->base_offset;
            return 1;
        }
    }
    if (last == NULL)
        return 0;
    if (b->producer_epoch < epoch)
        return ERR_INVALID_PRODUCER_EPOCH;
    int64_t next = 0;
    if (b->producer_epoch == epoch)
        next = ((int64_t)last->base_sequence + last->last_offset_delta + 1) % (1LL << 31);
    return b->base_sequence == next ? 0 : ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

static struct batch model_propose(const struct model *m, struct prng *r, int64_t offset)
{
    int64_t id = (int64_t)prng_below(r, MODEL_PRODUCERS);
    if (m->count > 0 && prng_chance(r, 1, 3)) { // send an old one again, recent ones rather
        uint64_t back = prng_below(r, prng_chance(r, 1, 2) ? 12 : (uint64_t)m->count);
        if (back < (uint64_t)m->count) {
            struct batch b = m->all[(uint64_t)m->count - 1 - back];
            b.base_offset = offset;
            return b;
        }
    }
    const struct batch *last = NULL;
    for (int i = m->count - 1; i >= 0 && last == NULL; i--)
        if (m->all[i].producer_id == id)
            last = &m->all[i];
    int32_t next = last == NULL ? INT32_MAX - 20 : 0;
    int16_t epoch = last == NULL ? 0 : last->producer_epoch;
    if (last != NULL)
        next = (int32_t)(((int64_t)last->base_sequence + last->last_offset_delta + 1) & INT32_MAX);
    if (prng_chance(r, 1, 30)) {
        epoch = (int16_t)(epoch + 1);
        next = prng_chance(r, 3, 4) ? 0 : 5;
    } else if (prng_chance(r, 1, 15)) {
        next = (int32_t)((next + (int64_t)prng_below(r, 3)) & INT32_MAX);
    } else if (prng_chance(r, 1, 30) && epoch > 0) {
        epoch = (int16_t)(epoch - 1);
    }
    return batch_of(id, epoch, next, (int32_t)prng_range(r, 1, 4), offset);
}

static void model_run(uint64_t seed, struct model *m)
{
    struct prng r;
    prng_seed(&r, seed);
    m->count = 0;
    struct producers *p = producers_create(seed);
    int64_t offset = 0;
    int seen[4] = {0};
    for (int step = 0; step < 3000; step++) {
        struct batch b = model_propose(m, &r, offset);
        struct producers_verdict v = {0};
        int64_t base = -1;
        int want = model_check(m, &b, &base), got = producers_check(p, &b, &v);
        assert_int_equal(got, want == 1 ? 0 : want);
        seen[want == 1 ? 1 : want == 0 ? 0 : want == ERR_INVALID_PRODUCER_EPOCH ? 2 : 3]++;
        if (want == 1) {
            assert_true(v.duplicate);
            assert_int_equal(v.base_offset, base);
        } else if (want == 0) {
            assert_false(v.duplicate);
            producers_append(p, &b, step);
            m->all[m->count++] = b;
            offset = batch_last_offset(&b) + 1;
        }
        if (prng_chance(&r, 1, 100)) { // a restart: snapshot, restore, replay of the newest
            struct buf value;
            buf_init(&value, 1 << 20);
            producers_snapshot(p, &value);
            producers_destroy(p);
            p = producers_create(seed + 1);
            assert_int_equal(producers_restore(p, buf_slice(&value)), 0);
            for (int i = m->count > 8 ? m->count - 8 : 0; i < m->count; i++)
                producers_append(p, &m->all[i], step);
            buf_fini(&value);
        }
    }
    for (int i = 0; i < 4; i++)
        assert_true(seen[i] > 0); // the run met every outcome
    producers_destroy(p);
}

static void test_model(void **state)
{
    (void)state;
    static struct model m;
    for (uint64_t seed = 1; seed <= 20; seed++)
        model_run(seed, &m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duplicates), cmocka_unit_test(test_gaps_and_epochs),
        cmocka_unit_test(test_wrap),       cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_limit),      cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_ids),        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
