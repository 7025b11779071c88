// SPDX-License-Identifier: Apache-2.0
//
// Fuzzing what a queue finds on disk: first byte even, the body of a frame; odd, the value of a
// snapshot. What is accepted is applied to a lease set, whose invariant must hold, and what the set
// then writes must bring back the same set. Offsets are kept small, so that ranges meet.
//
// covers: src/queue/lease_format.c
#include "base/assert.h"
#include "base/mem.h"
#include "queue/lease.h"

#define RANGES_MAX 512 // more of them find nothing more, only later

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

// Written and read again, it is the same.
static void expect_restored(const struct lease_set *set)
{
    struct buf first, second;
    struct lease_set again;
    buf_init(&first, 1 << 20);
    buf_init(&second, 1 << 20);
    lease_encode(set, set->final, &first);
    lease_set_init(&again, set->pool, 0);
    ASSERT(lease_restore(&again, buf_slice(&first)) == 0);
    lease_check(&again);
    lease_encode(&again, again.final, &second);
    ASSERT(slice_eq(buf_slice(&first), buf_slice(&second)));
    lease_set_fini(&again);
    buf_fini(&first);
    buf_fini(&second);
}

static void key(struct slice bytes)
{
    struct log_key k;
    uint8_t again[LEASE_KEY_BYTES];
    if (lease_key_get(bytes, &k) != 0)
        return;
    lease_key_put(&k, again);
    ASSERT(slice_eq(slice_of(again, sizeof again), bytes));
}

// Applied; and written again, it reads the same.
static void frame(struct lease_set *set, struct slice body)
{
    struct cursor in, again;
    struct lease_range range, same;
    int64_t last = 0, put = 0, got = 0;
    struct buf out;
    if (lease_frame_open(body, &in) != 0)
        return;
    buf_init(&out, 1 << 20);
    lease_frame_begin(&out);
    for (int i = 0; i < RANGES_MAX && lease_frame_next(&in, &last, &range); i++) {
        ASSERT(range.from >= 0);
        ASSERT(range.from < range.to);
        lease_restore_settled(set, range);
        ASSERT(lease_is_settled(set, range.from));
        ASSERT(lease_is_settled(set, range.to - 1));
        lease_frame_put(&out, &put, range);
    }
    ASSERT(lease_frame_open(buf_slice(&out), &again) == 0);
    while (lease_frame_next(&again, &got, &same))
        continue;
    ASSERT(got == put);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct lease_pool pool;
    struct lease_set set;
    if (len == 0)
        return 0;
    lease_pool_init(&pool, NULL, 1);
    lease_set_init(&set, &pool, 0);
    struct slice bytes = slice_of(data + 1, len - 1);
    key(bytes);
    if ((data[0] & 1) == 0)
        frame(&set, bytes);
    else
        (void)lease_restore(&set, bytes);
    lease_check(&set);
    expect_restored(&set);
    lease_set_fini(&set);
    lease_pool_fini(&pool);
    return 0;
}
