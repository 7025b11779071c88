// SPDX-License-Identifier: Apache-2.0
//
// A store that has changed at rest: a flipped bit anywhere in a segment's file is an error where it
// was and no wrong record anywhere; one in an index costs time and nothing else.
#include <fcntl.h>

#include "log/rig_steps_test.h"

enum { BATCHES = 60, VALUE = 150, FIRST_MS = 1000 };

static void file_path(const char *ending, char out[256])
{
    char dir[LOG_DIR_SIZE];
    struct log_key key = rig_key(0);
    log_dir(&key, dir);
    (void)snprintf(out, 256, "%s/%s/%020d.%s", rig->root, dir, 0, ending);
}

static void file_flip(const char *ending, off_t at, uint8_t bits)
{
    char path[256];
    uint8_t byte;
    file_path(ending, path);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= bits;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void drop_tail(struct rig *r, void *arg)
{
    (void)arg;
    log_tail_shrink(r->logs[0], 0);
}

// One segment, all of it on disk and none of it in memory; batch i is at i * the returned size, has
// two records and a larger timestamp than the one before.
static off_t store_make(void)
{
    rig->options[0].index_interval_bytes = 1000;
    rig_open(rig);
    for (int i = 0; i < BATCHES; i++)
        rig_append(rig, 0, 2, VALUE, FIRST_MS + i * 10);
    rig_durable(rig, 0, 2 * BATCHES);
    rig_cut(rig, true, true);
    rig_on(rig, rig->shard, drop_tail, NULL);
    return (off_t)(log_size_bytes(rig->logs[0]) / BATCHES);
}

static int read_at(int64_t offset, struct batch *out)
{
    struct buf got;
    bool cold = false;
    int64_t next = offset;
    buf_init(&got, 1 << 20);
    int err = rig_read(rig, 0, &next, 1, &got, &cold);
    assert_true(cold);
    if (err == 0) {
        assert_int_equal(batch_peek(buf_slice(&got), out), 0);
        assert_true(batch_crc_ok(buf_slice(&got)));
    }
    buf_fini(&got);
    return err;
}

static void expect_right(int64_t offset)
{
    struct batch b;
    assert_int_equal(read_at(offset, &b), 0);
    assert_int_equal(b.base_offset, offset / 2 * 2);
    assert_int_equal(b.leader_epoch, 7);
    assert_int_equal(b.base_timestamp_ms, FIRST_MS + offset / 2 * 10);
}

static void test_every_byte_of_a_batch(void **state)
{
    (void)state;
    off_t size = store_make();
    struct batch b;
    const int64_t hurt = 30;
    for (off_t at = 0; at < size; at++) {
        off_t place = hurt / 2 * size + at;
        uint8_t bit = (uint8_t)(1U << (at % 8));
        file_flip("log", place, bit);
        assert_int_equal(read_at(hurt, &b), ERR_CORRUPT_MESSAGE);
        assert_int_equal(read_at(hurt + 1, &b), ERR_CORRUPT_MESSAGE);
        expect_right(hurt - 1);
        expect_right(2 * BATCHES - 1); // by way of the index
        file_flip("log", place, bit);
        expect_right(hurt);
    }
    struct log_store_stats stats;
    log_store_stats(rig->store, &stats);
    assert_int_equal(stats.crc_errors, 2 * size);
    rig_close(rig);
}

static void test_every_bit_of_an_index(void **state)
{
    (void)state;
    (void)store_make();
    for (off_t bit = 0; bit < 8 * 3 * INDEX_ENTRY_BYTES; bit++) {
        file_flip("index", bit / 8, (uint8_t)(1U << (bit % 8)));
        for (int64_t offset = 1; offset < 40; offset += 3)
            expect_right(offset);
        file_flip("index", bit / 8, (uint8_t)(1U << (bit % 8)));
    }
    for (off_t bit = 0; bit < 8 * 3 * TIME_ENTRY_BYTES; bit++) {
        file_flip("timeindex", bit / 8, (uint8_t)(1U << (bit % 8)));
        for (int i = 1; i < 20; i += 3) {
            int64_t found_ms;
            assert_int_equal(rig_lookup(rig, 0, FIRST_MS + i * 10 - 5, &found_ms), 2 * i);
            assert_int_equal(found_ms, FIRST_MS + i * 10);
        }
        file_flip("timeindex", bit / 8, (uint8_t)(1U << (bit % 8)));
    }
    rig_close(rig);
}

static void lookup_run(struct rig *r, void *arg)
{
    struct rig_lookup *l = arg;
    l->lookup.done = rig_lookup_done;
    log_lookup(r->logs[0], &l->lookup);
}

static void test_a_lookup_by_time_passes_over_nothing_unseen(void **state)
{
    (void)state;
    off_t size = store_make();
    // Batch 1 says that it is older than it is: the lookup must not go by.
    const off_t max_timestamp_at = 35;
    file_flip("log", size + max_timestamp_at + 7, 0x02);
    struct rig_lookup l = {.lookup.timestamp_ms = FIRST_MS + 11};
    sem_init(&l.done, 0, 0);
    rig_on(rig, rig->shard, lookup_run, &l);
    rig_wait(&l.done);
    assert_int_equal(l.err, ERR_CORRUPT_MESSAGE);
    sem_destroy(&l.done);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_byte_of_a_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_bit_of_an_index, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lookup_by_time_passes_over_nothing_unseen, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
