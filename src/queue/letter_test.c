// SPDX-License-Identifier: Apache-2.0
//
// Dead letters: what they say, how many are on their way, what fails, what a crash does. Which end
// of a lease makes one is settle_test.c's.
#include "queue/rig_readers_test.h"

static struct rig_reader a;

static void declare_dead(struct slice key, int64_t ttl_ms)
{
    struct queue_settings s = rig_plain;
    s.dead_letter = true;
    s.dead_exchange = slice_cstr("dlx");
    s.dead_key = key;
    s.message_ttl_ms = ttl_ms;
    rig_declare(0, false, 1, &s);
    rig_reader_init(&a, 1, 1000);
    rig->letters_by_hand = true;
}

struct done {
    uint32_t from, to;
    int err;
};

static void done_run(struct rig *r, void *arg)
{
    const struct done *d = arg;
    for (uint32_t i = d->from; i < d->to; i++) {
        queue_letter_done(r->letters[i], d->err);
        r->letters[i] = NULL;
    }
}

static void letters_done(uint32_t from, uint32_t to, int err)
{
    struct done d = {from, to, err};
    assert_true(rig_on(rig, done_run, &d));
    rig_run_ms(rig, 20);
}

static void test_says(void **state)
{
    (void)state;
    declare_dead(SLICE_NULL, -1);
    struct rig_publish p = {.slot = 0, .text = "m", .count = 1, .ttl_ms = 60000};
    rig_attach(0, &a);
    rig_publish_as(&p);
    rig_settle(0, 1, 0, 0, QUEUE_REJECT);
    assert_int_equal(rig->letters_count, 1);
    const struct queue_letter *l = rig->letters[0];
    assert_true(slice_eq_cstr(l->exchange, "dlx"));
    assert_int_equal(l->keys_count, 1);
    assert_true(slice_eq_cstr(l->keys[0], "key"));
    assert_true(slice_eq_cstr(l->message.exchange, "dlx"));
    assert_true(slice_eq_cstr(l->message.routing_key, "key"));
    assert_memory_equal(l->message.body.data, "m0", 2);
    assert_int_equal(l->message.expires_ms, -1);
    struct cursor in = message_deaths(&l->message);
    struct message_death d;
    assert_true(message_death_next(&in, &d));
    assert_int_equal(d.reason, DEATH_REJECTED);
    assert_true(slice_eq_cstr(d.queue, "q0"));
    assert_true(slice_eq_cstr(d.exchange, "ex"));
    assert_int_equal(d.keys_count, 1);
    assert_true(slice_eq_cstr(d.keys[0], "key"));
    assert_int_equal(d.times, 1);
    assert_int_equal(d.original_ttl_ms, 60000);
    assert_false(message_death_next(&in, &d));
    letters_done(0, 1, 0);
    assert_int_equal(rig_stats(0).leased, 0);
    assert_int_equal(rig_stats(0).dead_lettered, 1);
    rig_restart(rig, SIM_POWER_LOSS);
    assert_int_equal(rig_stats(0).ready, 0);
}

static void publish_message(struct rig *r, void *arg)
{
    const struct message *m = arg;
    struct buf out, scratch;
    struct batch_builder bb;
    struct batch batch;
    struct log_appended at;
    struct blob *blob;
    buf_init(&out, 1 << 20);
    buf_init(&scratch, 1 << 20);
    batch_build_begin(&bb, &out, BATCH_NONE, m->published_ms);
    message_put(&bb, &scratch, m);
    assert_int_equal(batch_build_end(&bb), 0);
    assert_int_equal(blob_create(out.len, NULL, &blob), 0);
    memcpy(blob->data, out.data, out.len);
    assert_int_equal(batch_check_from_client(buf_slice(&out), &batch), 0);
    assert_int_equal(
        log_append(r->slots[0].logs[0], (struct blob_piece){blob, 0, out.len}, &batch, 1, &at), 0);
    blob_unref(blob);
    buf_fini(&out);
    buf_fini(&scratch);
}

static void publish_with_cc(void)
{
    struct message m = {.routing_key = SLICE_NULL,
                        .cc = slice_cstr("\2c1\2c2"),
                        .body = slice_cstr("x"),
                        .published_ms = 1000,
                        .expires_ms = -1};
    assert_true(rig_on(rig, publish_message, &m));
    rig_run_ms(rig, 20);
}

// Letters on their way have their share of all memory, and go on one by one without it.
static void test_memory(void **state)
{
    (void)state;
    declare_dead(SLICE_NULL, 10);
    rig->memory.limit_bytes = 40 * (int64_t)sizeof(struct letter);
    rig_publish(0, 0, "m", 100);
    rig_run_ms(rig, 100);
    assert_in_range(rig->letters_count, 10, 40);
    uint32_t first = rig->letters_count;
    assert_true(budget_used(&rig->memory) > first * (int64_t)sizeof(struct letter));
    budget_force(&rig->memory, 1 << 20); // others have it now
    letters_done(0, first, 0);
    assert_int_equal(rig->letters_count, first + 1);
    for (uint32_t i = first; i < 60; i++) {
        letters_done(i, i + 1, 0);
        assert_int_equal(rig->letters_count, i + 2);
    }
    budget_give(&rig->memory, 1 << 20);
    while (rig_stats(0).dead_lettered < 100)
        letters_done((uint32_t)rig_stats(0).dead_lettered, rig->letters_count, 0);
}

// A stranger's record has whatever times it likes.
static void test_times_beyond_reason(void **state)
{
    (void)state;
    declare_dead(SLICE_NULL, -1);
    rig_attach(0, &a);
    struct message m = {
        .body = slice_cstr("x"), .published_ms = INT64_MIN + 1, .expires_ms = INT64_MAX};
    assert_true(rig_on(rig, publish_message, &m));
    rig_run_ms(rig, 20);
    rig_settle(0, 1, 0, 0, QUEUE_REJECT);
    struct cursor in = message_deaths(&rig->letters[0]->message);
    struct message_death d;
    assert_true(message_death_next(&in, &d));
    assert_int_equal(d.original_ttl_ms, -1);
    letters_done(0, 1, 0);
}

static void test_keys(void **state)
{
    (void)state;
    declare_dead(SLICE_NULL, -1);
    rig_attach(0, &a);
    publish_with_cc();
    rig_settle(0, 1, 0, 0, QUEUE_REJECT);
    const struct queue_letter *l = rig->letters[0];
    assert_int_equal(l->keys_count, 3);
    assert_true(slice_eq_cstr(l->keys[0], "q0")); // it had come by the queue's own name
    assert_true(slice_eq_cstr(l->keys[1], "c1"));
    assert_true(slice_eq_cstr(l->keys[2], "c2"));
    assert_true(slice_eq_cstr(l->message.cc, "\2c1\2c2"));
    letters_done(0, 1, 0);
}

static void test_key_given(void **state)
{
    (void)state;
    declare_dead(slice_cstr("grave"), -1);
    rig_attach(0, &a);
    publish_with_cc();
    rig_settle(0, 1, 0, 0, QUEUE_REJECT);
    const struct queue_letter *l = rig->letters[0];
    assert_int_equal(l->keys_count, 1);
    assert_true(slice_eq_cstr(l->keys[0], "grave"));
    assert_null(l->message.cc.data);
    struct cursor in = message_deaths(&l->message);
    struct message_death d;
    assert_true(message_death_next(&in, &d));
    assert_int_equal(d.keys_count, 3); // the keys it had
    rig_delete(0);                     // the letter stays until it is done
    assert_null(l->queue);
    assert_true(slice_eq_cstr(l->exchange, "dlx"));
    letters_done(0, 1, 0);
}

static void test_expired(void **state)
{
    (void)state;
    declare_dead(SLICE_NULL, 100);
    rig_publish(0, 0, "m", 1000);
    rig_run_ms(rig, 200);
    assert_int_equal(rig->letters_count, QUEUE_LETTERS_MAX); // no more at a time
    assert_int_equal(rig_stats(0).leased, QUEUE_LETTERS_MAX);
    rig_attach(0, &a);
    assert_int_equal(a.count, 0); // what is over its time is not delivered
    for (uint32_t done = 0; done < 1000;) {
        uint32_t count = rig->letters_count;
        assert_true(count > done);
        letters_done(done, count, 0);
        done = count;
    }
    assert_int_equal(rig->letters_count, 1000);
    assert_int_equal(rig_stats(0).dead_lettered, 1000);
    assert_int_equal(rig_stats(0).ready, 0);
    assert_int_equal(rig_stats(0).leased, 0);
}

static void test_many_rejected(void **state)
{
    (void)state;
    declare_dead(SLICE_NULL, -1);
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 600);
    rig_settle(0, 1, 0, 599, QUEUE_REJECT);
    assert_int_equal(rig->letters_count, QUEUE_LETTERS_MAX);
    assert_int_equal(rig_stats(0).leased, 600);
    rig_publish(0, 0, "n", 1); // the others go on
    assert_int_equal(a.count, 601);
    letters_done(0, QUEUE_LETTERS_MAX, 0);
    letters_done(QUEUE_LETTERS_MAX, rig->letters_count, 0);
    letters_done(2 * QUEUE_LETTERS_MAX, 600, 0);
    assert_int_equal(rig_stats(0).dead_lettered, 600);
    assert_int_equal(rig_stats(0).leased, 1);
}

static void test_fails(void **state)
{
    (void)state;
    declare_dead(SLICE_NULL, -1);
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 2);
    rig_settle(0, 1, 0, 1, QUEUE_REJECT);
    const struct queue_letter *l = rig->letters[0];
    letters_done(0, 2, ERR_BUDGET);
    rig_run_ms(rig, 500);
    assert_int_equal(rig->letters_count, 2);
    rig_run_ms(rig, 600); // again, a second later
    assert_int_equal(rig->letters_count, 4);
    assert_ptr_equal(rig->letters[2], l);
    letters_done(2, 3, 0);
    letters_done(3, 4, ERR_BUDGET);
    rig_restart(rig, SIM_POWER_LOSS); // the other one was not durable anywhere
    assert_int_equal(rig_stats(0).ready, 1);
    rig_reader_init(&a, 2, 10);
    rig_attach(0, &a);
    assert_string_equal(a.seen[0].text, "m1");
    assert_true(a.seen[0].redelivered);
}

static void test_done_at_once(void **state)
{
    (void)state;
    declare_dead(SLICE_NULL, -1);
    rig->letters_by_hand = false; // from inside dead_letter
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 700);
    rig_settle(0, 1, 0, 699, QUEUE_REJECT);
    rig_run_ms(rig, 20);
    assert_int_equal(rig_stats(0).dead_lettered, 700);
    rig->letters_err = ERR_BUDGET;
    rig_publish(0, 0, "m", 1);
    rig_settle(0, 1, 700, 700, QUEUE_REJECT);
    rig_run_ms(rig, 3000);
    rig->letters_err = 0;
    rig_run_ms(rig, 1100);
    assert_int_equal(rig_stats(0).dead_lettered, 701);
}

static void test_queue_goes(void **state)
{
    (void)state;
    declare_dead(SLICE_NULL, -1);
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 300);
    rig_settle(0, 1, 0, 299, QUEUE_REJECT);
    letters_done(0, 1, ERR_BUDGET); // one failed, some sent, some never made
    rig_delete(0);
    letters_done(1, 2, 0);
    letters_done(2, 3, ERR_BUDGET);
    rig_run_ms(rig, 2000); // the rest ends with the machine
}

// What is overdue and cannot die waits for letters to come home, or for memory; not for a clock.
static void test_waits_quietly(void **state)
{
    (void)state;
    declare_dead(SLICE_NULL, 10);
    rig->memory.limit_bytes = 0;
    rig_publish(0, 0, "m", 400);
    uint64_t turns = rig->turns;
    rig_run_ms(rig, 10000);
    assert_in_range(rig->turns - turns, 100, 600); // one in 20 ms
    assert_int_equal(rig->letters_count, 0);
    rig->memory.limit_bytes = 64 << 20;
    rig_run_ms(rig, 100);
    assert_int_equal(rig->letters_count, QUEUE_LETTERS_MAX);
    turns = rig->turns;
    rig_run_ms(rig, 10000);
    assert_in_range(rig->turns - turns, 0, 10);
    letters_done(0, QUEUE_LETTERS_MAX, 0);
    assert_int_equal(rig->letters_count, 400);
    letters_done(QUEUE_LETTERS_MAX, 400, 0);
    assert_int_equal(rig_stats(0).expired, 400);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_says),
        TEST(test_keys),
        TEST(test_key_given),
        TEST(test_expired),
        TEST(test_fails),
        TEST(test_many_rejected),
        TEST(test_done_at_once),
        TEST(test_queue_goes),
        cmocka_unit_test_setup_teardown(test_waits_quietly, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_times_beyond_reason, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
