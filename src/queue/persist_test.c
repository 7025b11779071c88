// SPDX-License-Identifier: Apache-2.0
//
// What survives: checkpoints that are installed or abandoned, deletions, clean and unclean stops,
// and what is given back.
#include "queue/rig_readers_test.h"

static struct rig_reader a;

static void test_abandoned_cut(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 1, 100);
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 10);
    rig_settle(0, 1, 3, 3, QUEUE_ACKNOWLEDGE);
    struct buf lost;
    buf_init(&lost, 1 << 20);
    queues_cut(rig->queues, false, &lost);
    assert_true(lost.len > 0);
    rig_settle(0, 1, 5, 5, QUEUE_ACKNOWLEDGE);
    queues_settled(rig->queues, false);
    buf_clear(&lost);
    queues_cut(rig->queues, false, &lost); // all of it once more
    struct cursor in = cursor_of(buf_slice(&lost));
    struct state_record r;
    struct lease_state set;
    assert_int_equal(state_get(&in, &r), 0);
    assert_int_equal(r.kind, STATE_LEASES);
    assert_int_equal(lease_state_open(r.value, &set, &in), 0);
    assert_int_equal(set.next, 10);
    assert_int_equal(set.ranges_count, 2);
    queues_settled(rig->queues, true);
    buf_clear(&lost);
    queues_cut(rig->queues, false, &lost); // nothing has changed since
    assert_int_equal(lost.len, 0);
    queues_settled(rig->queues, true);
    queues_cut(rig->queues, true, &lost);
    assert_true(lost.len > 0);
    queues_settled(rig->queues, true);
    buf_fini(&lost);
}

static int64_t stored_sets(void)
{
    int64_t sets = 0;
    for (size_t i = 0; i < rig->cuts_count; i++) {
        struct cursor in = cursor_of(buf_slice(&rig->cuts[i]));
        struct state_record r;
        while (cursor_left(&in) > 0) {
            assert_int_equal(state_get(&in, &r), 0);
            if (r.kind == STATE_LEASES)
                sets += r.value.data != NULL ? 1 : -1;
        }
    }
    return sets;
}

static void test_tombstone(void **state)
{
    (void)state;
    rig_declare(0, false, 3, &rig_plain);
    rig_reader_init(&a, 1, 100);
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 3);
    rig_publish(0, 2, "m", 3);
    rig_cut(rig);
    assert_int_equal(stored_sets(), 2); // the one that was never touched needs none
    rig_delete(0);
    rig_cut(rig);
    assert_int_equal(stored_sets(), -1); // three tombstones
    rig_restart(rig, SIM_POWER_LOSS);
    rig_declare(1, false, 1, &rig_plain);
    rig_cut(rig);
}

static void test_every_level(void **state)
{
    (void)state;
    rig_declare(0, false, 3, &rig_plain);
    rig_reader_init(&a, 1, 100);
    rig_attach(0, &a);
    for (uint32_t level = 0; level < 3; level++)
        rig_publish(0, level, "m", 4);
    struct rig_settle s = {0, 1, 2, 1, 2, QUEUE_ACKNOWLEDGE};
    assert_true(rig_on(rig, rig_settle_run, &s));
    s = (struct rig_settle){0, 1, 1, 0, 3, QUEUE_REJECT};
    assert_true(rig_on(rig, rig_settle_run, &s));
    rig_run_ms(rig, 20);
    for (int round = 0; round < 3; round++) {
        rig_restart(rig, round == 0 ? SIM_POWER_LOSS : SIM_KILL);
        assert_int_equal(rig_stats(0).ready, 6); // 0 and 3 of level 2, all of level 0
        rig_cut(rig);
    }
}

static void purge_run(struct rig *r, void *arg)
{
    (void)arg;
    assert_int_equal(queue_purge(r->slots[0].queue), 9);
    assert_int_equal(queue_purge(r->slots[0].queue), 0);
}

static void test_purge_survives(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 1, 2);
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 10);
    rig_settle(0, 1, 0, 0, QUEUE_RELEASE);
    assert_true(rig_on(rig, purge_run, NULL));
    rig_run_ms(rig, 20);
    assert_int_equal(rig_stats(0).ready, 0);
    assert_int_equal(rig_stats(0).leased, 1);
    rig_publish(0, 0, "n", 1);
    rig_restart(rig, SIM_POWER_LOSS);
    assert_int_equal(rig_stats(0).ready, 2); // the one that was held, and n
}

static void test_counts_after_clean_stops(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_publish(0, 0, "m", 5);
    rig_restart_clean(rig);
    rig_restart_clean(rig);
    rig_reader_init(&a, 1, 2);
    rig_attach(0, &a);
    assert_false(a.seen[0].redelivered);
    rig_settle(0, 1, 1, 1, QUEUE_RELEASE);
    rig_restart_clean(rig);
    rig_reader_init(&a, 2, 5);
    rig_attach(0, &a);
    assert_true(a.seen[0].redelivered);
    assert_true(a.seen[1].redelivered);
    assert_false(a.seen[2].redelivered);
}

// Nothing is journalled behind the checkpoint, and yet it was not a stop's.
static void test_delivered_behind_a_checkpoint(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_publish(0, 0, "m", 5);
    rig_reader_init(&a, 1, 1);
    rig_attach(0, &a);
    rig_cut(rig);
    rig_credit(&a, 2);
    assert_int_equal(a.count, 3);
    rig_restart(rig, SIM_KILL);
    assert_int_equal(rig->recovery.frames, 0);
    rig_reader_init(&a, 2, 5);
    rig_attach(0, &a);
    for (int i = 0; i < 3; i++)
        assert_true(a.seen[i].redelivered);
}

static void test_given_back(void **state)
{
    (void)state;
    rig->segment_bytes = 100000;
    rig_restart(rig, SIM_KILL);
    rig_declare(0, false, 1, &rig_plain);
    struct log *log = rig->slots[0].logs[0];
    rig_reader_init(&a, 1, 100);
    a.ack = true;
    rig_attach(0, &a);
    struct rig_publish p = {.slot = 0, .text = "m", .count = 10, .pad = 1000, .ttl_ms = -1};
    for (int i = 0; i < 50; i++)
        rig_publish_as(&p);
    assert_int_equal(a.count, 500);
    assert_int_equal(log_start_offset(log), 0); // not for half a mebibyte
    for (int i = 0; i < 80; i++)
        rig_publish_as(&p);
    assert_true(log_start_offset(log) > 900);
    assert_true(rig_stats(0).size_bytes < 500000);
    queues_tick(rig->queues, 0);
    assert_int_equal(log_start_offset(log), 1300);
    queues_tick(rig->queues, 0);
}

// One message that nobody acknowledges keeps its own segment, not those that came after it.
static void test_given_back_around_one(void **state)
{
    (void)state;
    rig->segment_bytes = 100000;
    rig_restart(rig, SIM_KILL);
    rig_declare(0, false, 1, &rig_plain);
    struct log *log = rig->slots[0].logs[0];
    struct rig_reader b;
    rig_reader_init(&a, 1, 1);
    rig_attach(0, &a);
    rig_publish(0, 0, "stuck", 1);
    assert_int_equal(a.count, 1);
    rig_reader_init(&b, 2, 100);
    b.ack = true;
    rig_attach(0, &b);
    struct rig_publish p = {.slot = 0, .text = "m", .count = 10, .pad = 1000, .ttl_ms = -1};
    for (int i = 0; i < 130; i++)
        rig_publish_as(&p);
    assert_int_equal(b.count, 1300);
    uint64_t before = rig_stats(0).size_bytes;
    queues_tick(rig->queues, 0);
    assert_int_equal(log_start_offset(log), 0);
    assert_true(rig_stats(0).size_bytes < before / 3);
    rig_restart(rig, SIM_POWER_LOSS);
    rig_reader_init(&a, 3, 10);
    rig_attach(0, &a);
    rig_publish(0, 0, "next", 1);
    assert_int_equal(a.count, 2); // over the hole
    assert_true(a.seen[0].redelivered);
    assert_int_equal(a.seen[0].offset, 0);
    assert_int_equal(a.seen[1].offset, 1301);
}

static void test_kept_after_ack(void **state)
{
    (void)state;
    struct queue_settings s = rig_plain;
    s.retention_after_ack_ms = 3600000;
    rig_declare(0, false, 1, &s);
    struct log *log = rig->slots[0].logs[0];
    rig_reader_init(&a, 1, 100);
    a.ack = true;
    rig_attach(0, &a);
    const int64_t minute = 60000, t = 1000000000000;
    for (int i = 0; i < 120; i++) { // two hours
        rig_publish(0, 0, "m", 10);
        queues_tick(rig->queues, t + i * minute);
        int64_t kept = log_end_offset(log) - log_start_offset(log);
        assert_true(kept >= (i < 60 ? i * 10 : 600));
        assert_true(kept <= 640);
    }
    assert_true(log_start_offset(log) >= 500);
    queue_set_retention(rig->slots[0].queue, 0);
    queues_tick(rig->queues, t);
    assert_int_equal(log_start_offset(log), 1200);
}

// A clock that was years ahead does not keep everything until then.
static void test_kept_by_a_wrong_clock(void **state)
{
    (void)state;
    struct queue_settings s = rig_plain;
    s.retention_after_ack_ms = 3600000;
    rig_declare(0, false, 1, &s);
    struct log *log = rig->slots[0].logs[0];
    rig_reader_init(&a, 1, 100);
    a.ack = true;
    rig_attach(0, &a);
    const int64_t hour = 3600000, t = 1000000000000, years = 100000000000;
    rig_publish(0, 0, "m", 10);
    queues_tick(rig->queues, t + years);
    rig_publish(0, 0, "m", 10);
    queues_tick(rig->queues, t);
    assert_int_equal(log_start_offset(log), 0);
    queues_tick(rig->queues, t + hour);
    assert_int_equal(log_start_offset(log), 10);
    queues_tick(rig->queues, t + 2 * hour);
    assert_int_equal(log_start_offset(log), 20);
}

static void test_nothing_of_memory(void **state)
{
    (void)state;
    rig_declare(0, true, 1, &rig_plain);
    rig_reader_init(&a, 1, 5);
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 10);
    rig_settle(0, 1, 1, 1, QUEUE_ACKNOWLEDGE);
    rig_cut(rig);
    assert_int_equal(stored_sets(), 0);
    rig_delete(0);
    rig_cut(rig);
    assert_int_equal(stored_sets(), 0);
    rig_restart(rig, SIM_KILL);
    assert_int_equal(rig->recovery.frames, 0);
}

static void deliver_and_forget(struct queue_consumer *consumer, struct queue_delivery *deliveries,
                               uint32_t count)
{
    (void)consumer;
    for (uint32_t i = 0; i < count; i++)
        blob_unref(deliveries[i].blob);
}

static void settle_every_other_run(struct rig *r, void *arg)
{
    for (int64_t i = 0; i < *(int64_t *)arg; i += 2)
        queue_settle(r->slots[0].queue, 1, 0, i, QUEUE_ACKNOWLEDGE);
}

// More ranges in a turn than a frame takes.
static void test_many_ranges(void **state)
{
    (void)state;
    int64_t records = 3 * QUEUE_RANGES_MAX;
    rig_declare(0, false, 1, &rig_plain);
    rig_reader_init(&a, 1, UINT32_MAX);
    a.c.deliver = deliver_and_forget;
    rig_attach(0, &a);
    for (int i = 0; i < 3; i++)
        rig_publish(0, 0, "m", QUEUE_RANGES_MAX);
    rig_run_ms(rig, 100);
    assert_int_equal(rig_stats(0).leased, records);
    assert_true(rig_on(rig, settle_every_other_run, &records));
    rig_run_ms(rig, 20);
    rig_restart(rig, SIM_POWER_LOSS);
    assert_int_equal(rig_stats(0).ready, records / 2);
    rig_cut(rig);
    rig_restart(rig, SIM_POWER_LOSS);
    assert_int_equal(rig_stats(0).ready, records / 2);
}

static void settle_too_much_run(struct rig *r, void *arg)
{
    (void)arg;
    const struct log_key key = rig_key(0, 0);
    uint8_t head[LEASE_KEY_BYTES];
    struct blob *body;
    lease_key_put(&key, head);
    assert_int_equal(blob_create(4, NULL, &body), 0);
    memcpy(body->data, "\1\4\x90\3", 4); // from 2 on, 400
    const struct journal_write w = {
        .kind = JOURNAL_LEASE, .head = slice_of(head, sizeof head), .body = {body, 0, 4}};
    journal_add(r->port, &w);
    blob_unref(body);
}

// A log with relaxed flushing may lose in a crash what was already acknowledged. What then gets the
// same offsets is new, also after another crash.
static void test_log_lost_its_end(void **state)
{
    (void)state;
    rig_declare(0, false, 1, &rig_plain);
    rig_publish(0, 0, "m", 5);
    assert_true(rig_on(rig, settle_too_much_run, NULL));
    rig_run_ms(rig, 50);
    rig_restart(rig, SIM_KILL);
    assert_int_equal(rig_stats(0).ready, 2);
    rig_publish(0, 0, "n", 3);
    assert_int_equal(rig_stats(0).ready, 5);
    rig_restart(rig, SIM_POWER_LOSS);
    assert_int_equal(rig_stats(0).ready, 5);
    rig_reader_init(&a, 1, 10);
    rig_attach(0, &a);
    expect_texts(&a, 2, "n", 0, 3);
}

static void bad_records_run(struct rig *r, void *arg)
{
    (void)arg;
    const struct queues_options o = {.hash_seed = 1};
    struct queues *qs = queues_create(&o);
    struct log_key key = rig_key(0, 0);
    uint8_t bytes[LEASE_KEY_BYTES];
    lease_key_put(&key, bytes);
    const struct slice good = slice_of(bytes, sizeof bytes);
    struct state_record record = {STATE_LEASES, slice_of(bytes, 7), slice_cstr("")};
    assert_int_equal(queues_restore_record(qs, &record), ERR_CORRUPT);
    record = (struct state_record){STATE_LEASES, good, slice_cstr("\1\0")};
    assert_int_equal(queues_restore_record(qs, &record), ERR_CORRUPT);
    record.value = slice_cstr("\7");
    assert_int_equal(queues_restore_record(qs, &record), ERR_FORMAT_VERSION);
    record.kind = STATE_LOG;
    assert_int_equal(queues_restore_record(qs, &record), ERR_NOT_FOUND);
    struct journal_replayed frame = {.kind = JOURNAL_LEASE, .head = good};
    frame.body = slice_cstr("\1\2");
    assert_int_equal(queues_replay(qs, &frame), ERR_CORRUPT);
    frame.body = slice_of("\1\2\1", 3);
    assert_int_equal(queues_replay(qs, &frame), 0);
    assert_int_equal(queues_frame_key(&frame, &key), 0);
    frame.head = slice_cstr("short");
    assert_int_equal(queues_replay(qs, &frame), ERR_CORRUPT);
    queues_start(qs, r->shard, r->port, true); // a set that no queue asked for is forgotten
    queues_destroy(qs);
}

static void test_bad_records(void **state)
{
    (void)state;
    assert_true(rig_on(rig, bad_records_run, NULL));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_abandoned_cut),
        TEST(test_tombstone),
        TEST(test_every_level),
        TEST(test_purge_survives),
        TEST(test_counts_after_clean_stops),
        TEST(test_delivered_behind_a_checkpoint),
        TEST(test_given_back),
        TEST(test_given_back_around_one),
        TEST(test_kept_after_ack),
        TEST(test_kept_by_a_wrong_clock),
        TEST(test_nothing_of_memory),
        TEST(test_many_ranges),
        TEST(test_log_lost_its_end),
        TEST(test_bad_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
