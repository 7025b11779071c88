// SPDX-License-Identifier: Apache-2.0
//
// Reading: from disk, compressed batches, what is no record, a log that is trimmed under the queue,
// memory that is short, failing disks.
#include "base/crc32c.h"
#include "base/endian.h"
#define RIG_SLOTS 72
#include "queue/rig_readers_test.h"

static struct rig_reader a, b;

static int64_t publish_padded(const char *text, int count, size_t pad)
{
    struct rig_publish p = {.slot = 0, .text = text, .count = count, .pad = pad, .ttl_ms = -1};
    return rig_publish_as(&p);
}

static uint64_t cold_reads(void)
{
    struct log_store_stats s;
    log_store_stats(rig->store, &s);
    return s.cold_reads;
}

// A small tail: what is older is on disk only.
static void declare_cold(void)
{
    rig->tail_bytes_per_log = 4000;
    rig_restart(rig, SIM_KILL);
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 1, 0);
}

static void test_cold(void **state)
{
    (void)state;
    declare_cold();
    for (int i = 0; i < 40; i++)
        publish_padded("m", 10, 900);
    rig_attach(0, &a);
    a.ack = true;
    uint64_t before = cold_reads();
    rig_credit(&a, 8);
    rig_run_ms(rig, 3000);
    assert_int_equal(a.count, 400);
    assert_true(cold_reads() > before);
    assert_true(cold_reads() < before + 40); // it reads ahead, more and more
    for (uint32_t i = 0; i < 400; i++)
        assert_int_equal(a.seen[i].offset, i);
    assert_int_equal(rig_stats(0).leased, 0);
    assert_true(rig->queues->windows_bytes <= 300000);
}

static void test_cold_get(void **state)
{
    (void)state;
    declare_cold();
    for (int i = 0; i < 20; i++)
        publish_padded("m", 10, 900);
    struct rig_get get;
    assert_int_equal(rig_get(0, &get, 3, false), 0);
    assert_string_equal(get.seen.text, "m0");
    assert_int_equal(get.ready_left, 199);
}

static void test_released_is_read_again(void **state)
{
    (void)state;
    declare_cold();
    for (int i = 0; i < 20; i++)
        publish_padded("m", 10, 900);
    rig_attach(0, &a);
    rig_credit(&a, 100);
    rig_run_ms(rig, 1000);
    assert_int_equal(a.count, 100);
    rig_settle(0, 1, 0, 49, QUEUE_ACKNOWLEDGE);
    rig_settle(0, 1, 70, 70, QUEUE_RELEASE);
    rig_settle(0, 1, 55, 55, QUEUE_RELEASE);
    rig_settle(0, 1, 54, 54, QUEUE_RELEASE);
    rig_reader_init(&b, 2, 5);
    rig_attach(0, &b);
    rig_run_ms(rig, 500);
    assert_int_equal(b.count, 5);
    assert_int_equal(b.seen[0].offset, 54);
    assert_int_equal(b.seen[1].offset, 55);
    assert_int_equal(b.seen[2].offset, 70);
    assert_int_equal(b.seen[3].offset, 100);
    assert_int_equal(b.seen[4].offset, 101);
    assert_string_equal(b.seen[2].text, "m0");
    rig_credit(&b, 2); // a batch once more, backwards
    assert_int_equal(b.count, 7);
    rig_settle(0, 1, 78, 78, QUEUE_RELEASE);
    rig_credit(&b, 1);
    rig_settle(0, 1, 71, 71, QUEUE_RELEASE);
    rig_credit(&b, 1);
    rig_run_ms(rig, 100);
    assert_int_equal(b.seen[7].offset, 78);
    assert_int_equal(b.seen[8].offset, 71);
    assert_string_equal(b.seen[8].text, "m1");
}

static struct queue_delivery kept;

static void deliver_and_keep(struct queue_consumer *consumer, struct queue_delivery *deliveries,
                             uint32_t count)
{
    if (kept.blob == NULL) {
        kept = deliveries[0];
        blob_ref(kept.blob);
    }
    rig_deliver(consumer, deliveries, count);
}

static void test_delivery_holds_its_bytes(void **state)
{
    (void)state;
    declare_cold();
    for (int i = 0; i < 20; i++)
        publish_padded("m", 10, 900);
    rig_reader_init(&a, 1, 200);
    a.c.no_ack = true;
    a.c.deliver = deliver_and_keep;
    kept.blob = NULL;
    rig_attach(0, &a);
    rig_run_ms(rig, 1000);
    assert_int_equal(a.count, 200);
    rig_delete(0);
    rig_run_ms(rig, 100);
    assert_memory_equal(kept.message.body.data, "m0", 2);
    assert_true(slice_eq_cstr(kept.message.routing_key, "key"));
    blob_unref(kept.blob);
}

// ---- compressed

static void test_codecs(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 1, 1000);
    rig_attach(0, &a);
    static const enum batch_codec codecs[] = {BATCH_GZIP, BATCH_SNAPPY, BATCH_LZ4, BATCH_ZSTD};
    for (size_t i = 0; i < 4; i++) {
        struct rig_publish p = {
            .slot = 0, .text = "c", .count = 50, .pad = 500, .codec = codecs[i], .ttl_ms = -1};
        rig_publish_as(&p);
        assert_int_equal(a.count, (i + 1) * 50);
        expect_texts(&a, (uint32_t)i * 50, "c", 0, 50);
    }
    assert_int_equal(rig->queues->windows_bytes, 0); // all is read
    rig_settle(0, 1, 60, 60, QUEUE_RELEASE);         // in the middle of one
    rig_settle(0, 1, 20, 20, QUEUE_RELEASE);
    assert_int_equal(a.count, 202);
    assert_string_equal(a.seen[200].text, "c10");
    assert_string_equal(a.seen[201].text, "c20");
}

static void test_no_memory_to_unpack(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 1, 1000);
    rig_attach(0, &a);
    budget_force(&rig->memory, 64 << 20); // others have it all
    struct rig_publish p = {
        .slot = 0, .text = "c", .count = 50, .pad = 500, .codec = BATCH_LZ4, .ttl_ms = -1};
    rig_publish_as(&p);
    rig_run_ms(rig, 200);
    assert_int_equal(a.count, 0);
    assert_int_equal(rig_stats(0).ready, 50);
    budget_give(&rig->memory, 64 << 20);
    rig_run_ms(rig, 100);
    assert_int_equal(a.count, 50);
}

// What grows a thousandfold is not unpacked again and again where there is no room for it.
static void test_no_memory_for_a_bomb(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 1, 1000);
    rig_attach(0, &a);
    budget_force(&rig->memory, 60 << 20); // what is left does not do
    struct rig_publish p = {
        .slot = 0, .text = "c", .count = 4, .pad = 12 << 20, .codec = BATCH_ZSTD, .ttl_ms = -1};
    rig_publish_as(&p);
    rig_run_ms(rig, 10000);
    assert_int_equal(a.count, 0);
    budget_give(&rig->memory, 60 << 20);
    rig_run_ms(rig, 2000);
    assert_int_equal(a.count, 4);
}

static void test_no_memory_for_leases(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 1, 1000);
    rig_attach(0, &a);
    int64_t room = 10 * (int64_t)sizeof(struct lease_node);
    budget_force(&rig->memory, (size_t)((64 << 20) - room));
    rig_publish(0, 0, "m", 50);
    rig_run_ms(rig, 200);
    assert_int_equal(a.count, 10);
    rig_settle(0, 1, 0, 2, QUEUE_ACKNOWLEDGE);
    rig_run_ms(rig, 100);
    assert_int_equal(a.count, 13);
    budget_give(&rig->memory, (size_t)((64 << 20) - room));
    rig_run_ms(rig, 100);
    assert_int_equal(a.count, 50);
}

// ---- what is no record

struct raw {
    void (*spoil)(uint8_t *batch, size_t len);
    int count;
};

static void publish_raw_run(struct rig *r, void *arg)
{
    const struct raw *raw = arg;
    struct buf out;
    struct batch_builder bb;
    struct batch batch;
    struct log_appended at;
    struct blob *blob;
    buf_init(&out, 1 << 20);
    batch_build_begin(&bb, &out, BATCH_NONE, 1000);
    for (int i = 0; i < raw->count; i++)
        batch_build_record(&bb, 1000, slice_cstr("key"), slice_cstr("raw"), SLICE_NULL, 0);
    assert_int_equal(batch_build_end(&bb), 0);
    assert_int_equal(blob_create(out.len, NULL, &blob), 0);
    memcpy(blob->data, out.data, out.len);
    if (raw->spoil != NULL)
        raw->spoil(blob->data, out.len);
    be32_put(blob->data + 17, crc32c(0, blob->data + 21, out.len - 21));
    assert_int_equal(batch_peek(slice_of(blob->data, out.len), &batch), 0);
    assert_int_equal(
        log_append(r->slots[0].logs[0], (struct blob_piece){blob, 0, out.len}, &batch, 1, &at), 0);
    blob_unref(blob);
    buf_fini(&out);
}

static void publish_raw(int count, void (*spoil)(uint8_t *batch, size_t len))
{
    struct raw raw = {spoil, count};
    assert_true(rig_on(rig, publish_raw_run, &raw));
    rig_run_ms(rig, 20);
}

static void spoil_second_record(uint8_t *batch, size_t len)
{
    size_t record = (len - BATCH_HEADER_BYTES) / 4; // all of four are equally long
    batch[BATCH_HEADER_BYTES + record + 4] = 0xff;  // the key's length
}

static void spoil_first_length(uint8_t *batch, size_t len)
{
    (void)len;
    batch[BATCH_HEADER_BYTES] = 0x7f;
}

static void spoil_order(uint8_t *batch, size_t len)
{
    size_t record = (len - BATCH_HEADER_BYTES) / 4;
    batch[BATCH_HEADER_BYTES + 2 * record + 3] = 0; // the third says that it is the first
}

static void say_compressed(uint8_t *batch, size_t len)
{
    (void)len;
    batch[22] = BATCH_ZSTD;
}

static void say_control(uint8_t *batch, size_t len)
{
    (void)len;
    batch[22] = 32 | 16;
}

// A record is gone, as compaction does it: fewer records than offsets.
static void say_hole(uint8_t *batch, size_t len)
{
    size_t record = (len - BATCH_HEADER_BYTES) / 4;
    be32_put(batch + 23, 9);                         // last offset delta
    batch[BATCH_HEADER_BYTES + 3 * record + 3] = 14; // the last one's is 7
}

static void expect_after(void (*spoil)(uint8_t *batch, size_t len), uint32_t good)
{
    uint32_t before = a.count;
    publish_raw(4, spoil);
    rig_publish(0, 0, "ok", 1);
    assert_int_equal(a.count, before + good + 1);
    assert_string_equal(a.seen[a.count - 1].text, "ok0");
    assert_int_equal(rig_stats(0).ready, 0);
}

static void test_no_records(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 1, 1000);
    rig_attach(0, &a);
    expect_after(NULL, 4);
    expect_after(spoil_second_record, 1);
    expect_after(spoil_first_length, 0);
    expect_after(spoil_order, 2);
    expect_after(say_compressed, 0);
    expect_after(say_control, 0);
    expect_after(say_hole, 4);
    for (uint32_t i = 0; i < a.count; i++)
        rig_settle(0, 1, a.seen[i].offset, a.seen[i].offset, QUEUE_ACKNOWLEDGE);
    assert_int_equal(rig_stats(0).leased, 0);
    int64_t end = log_end_offset(rig->slots[0].logs[0]);
    assert_int_equal(rig->slots[0].queue->levels[0].set.start, end); // nothing is left behind
    rig_restart(rig, SIM_POWER_LOSS);
    assert_int_equal(rig_stats(0).ready, 0);
}

static void test_of_a_kafka_client(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 1, 1000);
    a.c.deliver = deliver_and_keep;
    kept.blob = NULL;
    rig_attach(0, &a);
    publish_raw(1, NULL);
    assert_null(kept.message.routing_key.data); // the queue's name
    assert_int_equal(kept.message.exchange.len, 0);
    assert_true(slice_eq_cstr(kept.message.body, "raw"));
    blob_unref(kept.blob);
}

// ---- the log's start moves

static void trim_run(struct rig *r, void *arg)
{
    assert_int_equal(log_set_start(r->slots[0].logs[0], *(int64_t *)arg), 0);
}

static void test_records_deleted(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 1, 5);
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 20);
    rig_settle(0, 1, 3, 3, QUEUE_RELEASE);
    int64_t to = 10; // a Kafka client's DeleteRecords
    assert_true(rig_on(rig, trim_run, &to));
    rig_settle(0, 1, 0, 4, QUEUE_ACKNOWLEDGE); // of what is gone: nothing
    rig_credit(&a, 2);
    assert_string_equal(a.seen[5].text, "m10");
    assert_int_equal(rig_stats(0).ready, 8);
    rig_restart(rig, SIM_POWER_LOSS);
    assert_int_equal(rig_stats(0).ready, 10);
}

// ---- the disk fails

static void test_read_fails(void **state)
{
    (void)state;
    declare_cold();
    for (int i = 0; i < 20; i++)
        publish_padded("m", 10, 900);
    rig_attach(0, &a);
    sim_set_fault(rig->sim, SIM_FAULT_READ_FAIL, 1000000);
    struct rig_get get;
    int gets = 0, err;
    while ((err = rig_get(0, &get, 3, true)) == 0)
        gets++; // what had been read already
    assert_int_equal(err, ERR_IO);
    assert_true(gets < 100);
    rig_credit(&a, 10);
    rig_run_ms(rig, 3000);
    assert_int_equal(a.count, 0);
    sim_set_fault(rig->sim, SIM_FAULT_READ_FAIL, 0);
    rig_run_ms(rig, 1500); // tried again
    assert_int_equal(a.count, 10);
}

static void test_get_after_a_failed_read(void **state)
{
    (void)state;
    declare_cold();
    for (int i = 0; i < 20; i++)
        publish_padded("m", 10, 900);
    struct rig_get get;
    sim_set_fault(rig->sim, SIM_FAULT_READ_FAIL, 1000000);
    while (rig_get(0, &get, 3, true) == 0) {
    } // what had been read already
    assert_int_equal(get.err, ERR_IO);
    sim_set_fault(rig->sim, SIM_FAULT_READ_FAIL, 0);
    assert_int_equal(rig_get(0, &get, 3, true), 0); // at once, not a second later
}

// Many queues: what their windows hold is bounded, whatever is asked of them.
static void test_windows_are_bounded(void **state)
{
    (void)state;
    rig->tail_bytes_per_log = 4000;
    rig_restart(rig, SIM_KILL);
    for (int slot = 0; slot < 4; slot++) {
        rig_declare(slot, false, 1, &rig_plain);
        for (int i = 0; i < 6; i++) {
            struct rig_publish p = {
                .slot = slot, .text = "m", .count = 2, .pad = 3 << 20, .ttl_ms = -1};
            rig_publish_as(&p);
        }
    }
    rig_reader_init(&a, 1, 12);
    rig_reader_init(&b, 2, 12);
    rig_attach(0, &a);
    rig_attach(1, &b);
    rig_run_ms(rig, 3000);
    assert_int_equal(a.count, 12);
    assert_int_equal(b.count, 12);
    assert_true(rig->queues->windows_bytes <= rig->queues->windows_max);
}

// Others' windows have the readers' memory, and nobody reads: they give it up.
static void test_readers_memory(void **state)
{
    (void)state;
    rig->tail_bytes_per_log = 4000;
    rig->reads_limit = 20000;
    rig_restart(rig, SIM_KILL);
    for (int slot = 0; slot < 4; slot++) {
        rig_declare(slot, false, 1, &rig_plain);
        for (int i = 0; i < 10; i++) {
            struct rig_publish p = {
                .slot = slot, .text = "m", .count = 10, .pad = 900, .ttl_ms = -1};
            rig_publish_as(&p);
        }
    }
    rig_cut(rig);
    rig_restart(rig, SIM_KILL); // every queue looks at its head
    rig_run_ms(rig, 500);
    struct rig_get get;
    for (int slot = 0; slot < 4; slot++) {
        for (int i = 0; i < 100; i++)
            assert_int_equal(rig_get(slot, &get, 3, true), 0);
    }
}

// More levels than reads at a time: some wait until others are read.
static void test_many_cold_heads(void **state)
{
    (void)state;
    rig->tail_bytes_per_log = 4000;
    rig_restart(rig, SIM_KILL);
    for (int slot = 0; slot < 2; slot++) {
        rig_declare(slot, false, RIG_LEVELS, &rig_plain);
        for (uint32_t level = 0; level < RIG_LEVELS; level++) {
            struct rig_publish p = {
                .slot = slot, .level = level, .text = "m", .count = 4, .pad = 3000, .ttl_ms = -1};
            rig_publish_as(&p);
            rig_publish_as(&p);
        }
    }
    rig_cut(rig);
    rig_restart(rig, SIM_KILL);
    rig_run_ms(rig, 2000);
    assert_int_equal(rig->queues->reads_open, 0);
    assert_true(list_empty(&rig->queues->starved));
    for (int slot = 0; slot < 2; slot++) {
        for (uint32_t level = 0; level < RIG_LEVELS; level++)
            assert_int_equal(rig->slots[slot].queue->levels[level].head, 0);
    }
    rig_reader_init(&a, 1, 1000);
    rig_attach(1, &a);
    rig_run_ms(rig, 2000);
    assert_int_equal(a.count, RIG_LEVELS * 8);
    assert_int_equal(a.seen[0].level, RIG_LEVELS - 1);
}

static void purge_some(struct rig *r, void *arg)
{
    (void)arg;
    for (int slot = 1; slot <= (int)QUEUE_READS_MAX; slot++)
        assert_int_equal(queue_purge(r->slots[slot].queue), 1);
}

// Whose turn to read comes may have nothing to read any more: then it is the next one's.
static void test_turn_not_needed(void **state)
{
    (void)state;
    rig->tail_bytes_per_log = 4000;
    rig_restart(rig, SIM_KILL);
    for (int slot = 0; slot < RIG_SLOTS; slot++) {
        uint32_t levels = slot == 0 ? QUEUE_READS_MAX : 1;
        rig_declare(slot, false, levels, &rig_plain);
        for (uint32_t level = 0; level < levels; level++) {
            struct rig_publish p = {
                .slot = slot, .level = level, .text = "m", .count = 1, .pad = 9000, .ttl_ms = -1};
            rig_publish_as(&p);
        }
    }
    rig_cut(rig);
    sim_set_fault(rig->sim, SIM_FAULT_DELAY, 1000000); // no read comes home before the purges
    rig_restart(rig, SIM_KILL);
    assert_int_equal(rig->queues->reads_open, QUEUE_READS_MAX);
    assert_true(rig_on(rig, purge_some, NULL));
    assert_int_equal(rig->queues->reads_open, QUEUE_READS_MAX);
    sim_set_fault(rig->sim, SIM_FAULT_DELAY, 0);
    rig_run_ms(rig, QUEUE_READS_MAX * 500 + 2000); // each may have been held up for half a second
    assert_true(list_empty(&rig->queues->starved));
    for (int slot = QUEUE_READS_MAX + 1; slot < RIG_SLOTS; slot++)
        assert_int_equal(rig->slots[slot].queue->levels[0].head, 0);
}

static void test_many_gaps(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 1, 10);
    rig_publish(0, 0, "ok", 1); // the head, for now
    for (int i = 0; i < 200; i++)
        publish_raw(1, say_control);
    rig_publish(0, 0, "ok", 1);
    rig_attach(0, &a);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.seen[1].offset, 201);
}

static void test_gone_while_reading(void **state)
{
    (void)state;
    declare_cold();
    for (int i = 0; i < 20; i++)
        publish_padded("m", 10, 900);
    sim_set_fault(rig->sim, SIM_FAULT_DELAY, 1000000);
    struct rig_pair p = {0, &a, 0};
    a.c.credit = 10;
    assert_true(rig_on(rig, rig_attach_run, &p));
    rig_delete(0);
    sim_set_fault(rig->sim, SIM_FAULT_DELAY, 0);
    rig_run_ms(rig, 5000);
    assert_true(a.cancelled);
    assert_int_equal(rig->queues->reads_open, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_cold),
        TEST(test_cold_get),
        TEST(test_released_is_read_again),
        TEST(test_delivery_holds_its_bytes),
        TEST(test_codecs),
        TEST(test_no_memory_to_unpack),
        TEST(test_no_memory_for_a_bomb),
        TEST(test_no_memory_for_leases),
        TEST(test_no_records),
        TEST(test_of_a_kafka_client),
        TEST(test_records_deleted),
        TEST(test_read_fails),
        TEST(test_get_after_a_failed_read),
        TEST(test_windows_are_bounded),
        TEST(test_readers_memory),
        TEST(test_many_cold_heads),
        TEST(test_turn_not_needed),
        TEST(test_many_gaps),
        TEST(test_gone_while_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
