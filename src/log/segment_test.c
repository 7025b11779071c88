// SPDX-License-Identifier: Apache-2.0
//
// The parts without a disk: a segment's states, its index entries by Kafka's rule, its record; the
// journal's frame heads; the ring of the tail; scanning and searching bytes.
#include "log/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/endian.h"
#include "base/err.h"
#include "log/files.h"
#include "log/frames.h"
#include "log/scan.h"
#include "log/tail.h"

static struct frame_batch frame_of(const struct segment *s, int32_t records, uint32_t size,
                                   int64_t timestamp_ms)
{
    return (struct frame_batch){
        .base_offset = s->last_offset + 1,
        .last_offset = s->last_offset + records,
        .segment = s->base_offset,
        .position = s->size_bytes,
        .size_bytes = size,
        .max_timestamp_ms = timestamp_ms,
    };
}

static void add(struct segment *s, int32_t records, uint32_t size, int64_t timestamp_ms)
{
    struct frame_batch f = frame_of(s, records, size, timestamp_ms);
    segment_add(s, &f, 100);
    segment_invariant(s);
}

static void test_index_entries(void **state)
{
    (void)state;
    struct segment s;
    segment_init(&s, 1000);
    add(&s, 2, 101, 5); // offsets 1000-1001, no entry: nothing came before
    add(&s, 3, 70, 9);  // 1002-1004 at 101: an entry
    add(&s, 1, 30, 8);  // 70 bytes since the last one: none
    add(&s, 1, 80, 7);  // 1006 at 201: 100 is not more than 100
    add(&s, 1, 80, 4);  // 1007 at 281: an entry, but no new largest time
    assert_int_equal(s.index_count, 2);
    assert_int_equal(s.time_count, 1);
    assert_int_equal(segment_pending_below(&s, 281), 1);
    add(&s, 1, 70, 50);
    segment_seal(&s);
    assert_int_equal(s.time_count, 2);
    struct buf index, time;
    buf_init(&index, 1000);
    buf_init(&time, 1000);
    segment_take_pending(&s, s.pending_count, &index, &time);
    static const uint8_t want[] = {0, 0, 0, 4, 0, 0, 0, 101, 0, 0, 0, 7, 0, 0, 1, 25};
    static const uint8_t want_time[] = {0, 0, 0, 0, 0, 0, 0, 9,  0, 0, 0, 4,
                                        0, 0, 0, 0, 0, 0, 0, 50, 0, 0, 0, 8};
    assert_int_equal(index.len, sizeof want);
    assert_memory_equal(index.data, want, sizeof want);
    assert_int_equal(time.len, sizeof want_time);
    assert_memory_equal(time.data, want_time, sizeof want_time);
    struct scan scan;
    scan_init_bytes(&scan, buf_slice(&index));
    struct scan_index_entry entry;
    struct scan_time_entry time_entry;
    assert_false(scan_index(&scan, 2, 3, &entry));
    assert_true(scan_index(&scan, 2, 4, &entry));
    assert_int_equal(entry.relative_offset, 4);
    assert_int_equal(entry.position, 101);
    assert_true(scan_index(&scan, 2, 900, &entry));
    assert_int_equal(entry.position, 281);
    assert_false(scan_index(&scan, 9, 900, &entry)); // entries that are not there
    scan_init_bytes(&scan, buf_slice(&time));
    assert_false(scan_time_index(&scan, 2, 9, &time_entry));
    assert_true(scan_time_index(&scan, 2, 10, &time_entry));
    assert_int_equal(time_entry.relative_offset, 4);
    assert_true(scan_time_index(&scan, 2, 51, &time_entry));
    assert_int_equal(time_entry.relative_offset, 8);
    buf_fini(&index);
    buf_fini(&time);
    segment_fini(&s);
}

static void test_states(void **state)
{
    (void)state;
    int edges = 0;
    for (int from = 0; from < SEGMENT_STATES; from++) {
        for (int to = 0; to < SEGMENT_STATES; to++)
            edges += segment_may_become((enum segment_state)from, (enum segment_state)to) ? 1 : 0;
    }
    assert_int_equal(edges, 5);
    assert_false(segment_may_become(SEGMENT_ACTIVE, SEGMENT_DOOMED)); // it is rolled first
    assert_false(segment_may_become(SEGMENT_GONE, SEGMENT_ACTIVE));
}

static void test_records(void **state)
{
    (void)state;
    struct segment s, back;
    segment_init(&s, 7);
    add(&s, 5, 500, 1234);
    struct buf b;
    buf_init(&b, 1000);
    segment_put(&b, &s);
    assert_int_equal(segment_get(buf_slice(&b), &back), 0);
    assert_int_equal(back.last_offset, 11);
    assert_int_equal(back.size_bytes, 500);
    assert_int_equal(back.max_timestamp_ms, 1234);
    assert_int_equal(segment_get(slice_of(b.data, 63), &back), ERR_CORRUPT);
    le64_put(b.data + 24, 3); // ends before it begins
    assert_int_equal(segment_get(buf_slice(&b), &back), ERR_CORRUPT);
    buf_fini(&b);
}

static void test_frames(void **state)
{
    (void)state;
    struct frame_batch f = {.key = {.partition = 3},
                            .leader_epoch = 4,
                            .base_offset = 100,
                            .last_offset = 109,
                            .segment = 90,
                            .position = 777,
                            .size_bytes = 61,
                            .max_timestamp_ms = -1};
    struct frame_batch back;
    uint8_t head[FRAME_BATCH_BYTES];
    frame_batch_put(head, &f);
    assert_int_equal(frame_batch_get(slice_of(head, sizeof head), &back), 0);
    assert_int_equal(back.key.partition, 3);
    assert_int_equal(back.last_offset, 109);
    assert_int_equal(back.max_timestamp_ms, -1);
    assert_int_equal(frame_batch_get(slice_of(head, 63), &back), ERR_CORRUPT);
    le32_put(head + 52, 60); // smaller than a header
    assert_int_equal(frame_batch_get(slice_of(head, sizeof head), &back), ERR_CORRUPT);
    struct log_key key;
    int64_t start;
    frame_start_put(head, &f.key, 55);
    assert_int_equal(frame_start_get(slice_of(head, FRAME_START_BYTES), &key, &start), 0);
    assert_int_equal(start, 55);
    assert_int_equal(key.partition, 3);
    le64_put(head + 24, UINT64_MAX);
    assert_int_equal(frame_start_get(slice_of(head, FRAME_START_BYTES), &key, &start), ERR_CORRUPT);
}

static void test_tail(void **state)
{
    (void)state;
    struct tail t;
    tail_init(&t);
    for (int64_t i = 0; i < 100; i++) {
        struct blob *blob;
        assert_int_equal(blob_create(10, NULL, &blob), 0);
        *tail_push(&t) = (struct tail_entry){
            .piece = {blob, 0, 10}, .base_offset = i * 3, .last_offset = i * 3 + 2};
        t.bytes += 10;
        if (i % 3 == 2)
            tail_pop(&t);
    }
    assert_int_equal(t.end - t.first, 67);
    for (int64_t offset = 99; offset < 300; offset++)
        assert_int_equal(tail_at(&t, tail_find(&t, offset))->base_offset, offset / 3 * 3);
    assert_int_equal(tail_find(&t, 0), t.first);
    assert_int_equal(tail_find(&t, 300), t.end);
    tail_fini(&t);
    assert_int_equal(t.bytes, 0);
}

static void test_paths(void **state)
{
    (void)state;
    struct file_key key = {.log = {.partition = 12}, .base_offset = 345, .kind = FILE_TIME};
    char path[FILES_PATH_SIZE];
    files_path(FILES_ROOT, &key, path);
    assert_string_equal(path, "log/00000000000000000000000000000000/12/"
                              "00000000000000000345.timeindex");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_entries), cmocka_unit_test(test_states),
        cmocka_unit_test(test_records),       cmocka_unit_test(test_frames),
        cmocka_unit_test(test_tail),          cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
