// SPDX-License-Identifier: Apache-2.0
//
// Steps that several of the log's tests take: a rig per test, many appends, whole reads. Included
// once.
#ifndef WEIR_LOG_RIG_STEPS_TEST_H
#define WEIR_LOG_RIG_STEPS_TEST_H

#include "log/rig_log_test.h"

static struct rig *rig;

RIG int setup(void **state)
{
    (void)state;
    rig = rig_create();
    return 0;
}

RIG int teardown(void **state)
{
    (void)state;
    rig_destroy(rig);
    return 0;
}

// Reads all of a log from its start in steps; the offsets in the batches must be dense.
RIG int64_t read_all(int log, uint32_t step, struct buf *out, int *out_cold)
{
    int64_t offset = log_start_offset(rig->logs[log]);
    int64_t end = log_high_watermark(rig->logs[log]);
    *out_cold = 0;
    while (offset < end) {
        int64_t before = offset;
        bool cold;
        assert_int_equal(rig_read(rig, log, &offset, step, out, &cold), 0);
        assert_true(offset > before); // never nothing when there is data
        *out_cold += cold ? 1 : 0;
    }
    assert_int_equal(offset, end);
    return end;
}

RIG void expect_dense(struct slice all, int64_t offset)
{
    while (all.len > 0) {
        struct batch b;
        assert_int_equal(batch_peek(all, &b), 0);
        assert_true(batch_crc_ok(slice_of(all.data, b.size_bytes)));
        assert_int_equal(b.base_offset, offset);
        offset = batch_last_offset(&b) + 1;
        all = slice_of(all.data + b.size_bytes, all.len - b.size_bytes);
    }
}

RIG void expect_log(int log, struct buf *want, uint32_t step)
{
    struct buf got;
    int cold;
    buf_init(&got, 256U << 20);
    read_all(log, step, &got, &cold);
    assert_int_equal(got.len, want->len);
    assert_memory_equal(got.data, want->data, got.len);
    expect_dense(buf_slice(&got), log_start_offset(rig->logs[log]));
    buf_fini(&got);
}

// Small and large batches; the large ones go direct.
RIG int64_t append_many(int log, int count, int64_t timestamp_ms)
{
    int64_t end = 0;
    for (int i = 0; i < count; i++) {
        size_t len = i % 7 == 6 ? 30000 : (size_t)(i * 37 % 900);
        end = rig_append(rig, log, i % 5 + 1, len, timestamp_ms + i * 10);
    }
    rig_durable(rig, log, end);
    return end;
}

RIG void snapshot_of(struct buf *want)
{
    int cold;
    buf_init(want, 64U << 20);
    read_all(0, 1 << 20, want, &cold);
}

RIG int count_files(const char *ending)
{
    char command[200];
    (void)snprintf(command, sizeof command, "find '%s/log' -name '*%s' 2>/dev/null | wc -l",
                   rig->root, ending);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    int n = -1;
    assert_int_equal(fscanf(f, "%d", &n), 1);
    assert_int_equal(pclose(f), 0);
    return n;
}

#endif
