// SPDX-License-Identifier: Apache-2.0
//
// Messages into records and out again; what strangers put in our headers; deaths.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "queue/message.h"

static struct buf out, scratch, door, deaths;
static struct batch_builder bb;

static int setup(void **state)
{
    (void)state;
    buf_init(&out, 1 << 20);
    buf_init(&scratch, 1 << 20);
    buf_init(&door, 1 << 20);
    buf_init(&deaths, 1 << 20);
    batch_build_begin(&bb, &out, BATCH_NONE, 1000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_fini(&out);
    buf_fini(&scratch);
    buf_fini(&door);
    buf_fini(&deaths);
    return 0;
}

// The record that was built, as a reader finds it.
static struct message built(struct record *record)
{
    struct batch b;
    struct message m;
    assert_int_equal(batch_build_end(&bb), 0);
    assert_int_equal(batch_check_from_client(buf_slice(&out), &b), 0);
    struct cursor in =
        cursor_of(slice_of(out.data + BATCH_HEADER_BYTES, out.len - BATCH_HEADER_BYTES));
    assert_int_equal(record_next(&in, &b, record), 0);
    message_get(record, &m);
    return m;
}

static struct message put_and_get(const struct message *m)
{
    struct record record;
    message_put(&bb, &scratch, m);
    return built(&record);
}

static void expect_slice(struct slice got, struct slice want)
{
    assert_true(slice_eq(got, want));
}

static void test_all_there(void **state)
{
    (void)state;
    message_header_put(&door, slice_cstr("amqp.properties"), slice_cstr("props"));
    message_header_put(&door, slice_cstr("null"), SLICE_NULL);
    const struct message m = {
        .exchange = slice_cstr("ex"),
        .routing_key = slice_cstr("key"),
        .cc = slice_cstr("\1a\2bc"),
        .body = slice_cstr("body"),
        .deaths = slice_of("\1\0", 2),
        .published_ms = 1234,
        .expires_ms = 5678,
        .priority = 9,
        .headers = buf_slice(&door),
        .headers_count = 2,
    };
    struct record record;
    message_put(&bb, &scratch, &m);
    struct message got = built(&record);
    assert_null(record.key.data);
    assert_int_equal(record.headers_count, 8);
    assert_true(message_size(&m) >= record.value.len + record.headers.len);
    expect_slice(got.exchange, m.exchange);
    expect_slice(got.routing_key, m.routing_key);
    expect_slice(got.cc, m.cc);
    expect_slice(got.body, m.body);
    expect_slice(got.deaths, m.deaths);
    assert_int_equal(got.published_ms, 1234);
    assert_int_equal(got.expires_ms, 5678);
    assert_int_equal(got.priority, 9);
    expect_slice(got.headers, m.headers);
    assert_int_equal(got.headers_count, 2);
    expect_slice(message_header(&got, "amqp.properties"), slice_cstr("props"));
    assert_null(message_header(&got, "null").data);
    assert_null(message_header(&got, "other").data);
}

static void test_nothing_there(void **state)
{
    (void)state;
    const struct message m = {.published_ms = 1000, .expires_ms = -1};
    struct record record;
    message_put(&bb, &scratch, &m);
    struct message got = built(&record);
    assert_int_equal(record.headers_count, 0);
    assert_non_null(record.value.data); // empty, not null
    assert_int_equal(got.body.len, 0);
    assert_non_null(got.body.data);
    assert_null(got.routing_key.data); // the queue's own
    assert_int_equal(got.exchange.len, 0);
    assert_int_equal(got.expires_ms, -1);
    assert_int_equal(got.priority, 0);
    assert_int_equal(got.headers_count, 0);
}

static void test_empty_key_behind_an_exchange(void **state)
{
    (void)state;
    const struct message m = {
        .exchange = slice_cstr("logs"), .published_ms = 1000, .expires_ms = -1};
    struct message got = put_and_get(&m);
    assert_non_null(got.routing_key.data);
    assert_int_equal(got.routing_key.len, 0);
}

static void put_raw(struct slice value, uint32_t count)
{
    struct buf headers;
    buf_init(&headers, 1 << 20);
    buf_put_varint(&headers, count);
    buf_put_slice(&headers, buf_slice(&door));
    batch_build_record(&bb, 1000, slice_cstr("k"), value, buf_slice(&headers), count);
    buf_fini(&headers);
}

static void test_of_a_stranger(void **state)
{
    (void)state;
    struct record record;
    message_header_put(&door, slice_cstr("trace"), slice_cstr("x"));
    message_header_put(&door, slice_cstr("weir.expires"), slice_cstr("12345678"));
    put_raw(SLICE_NULL, 2);
    struct message got = built(&record);
    assert_int_equal(got.body.len, 0);
    assert_int_equal(got.expires_ms, -1); // ours come first, or they are not ours
    assert_int_equal(got.headers_count, 2);
    expect_slice(message_header(&got, "trace"), slice_cstr("x"));
}

static void test_malformed(void **state)
{
    (void)state;
    char long_name[MESSAGE_NAME_MAX + 2];
    struct record record;
    memset(long_name, 'x', sizeof long_name);
    message_header_put(&door, slice_cstr("weir.exchange"), slice_of(long_name, 256));
    message_header_put(&door, slice_cstr("weir.routing.key"), SLICE_NULL);
    message_header_put(&door, slice_cstr("weir.cc"), slice_cstr("\5ab"));
    message_header_put(&door, slice_cstr("weir.expires"), slice_of("\xff\0\0\0\0\0\0\0", 8));
    message_header_put(&door, slice_cstr("weir.expires"), slice_cstr("1"));
    message_header_put(&door, slice_cstr("weir.deaths"), slice_cstr("\2\1"));
    message_header_put(&door, slice_cstr("mine"), slice_cstr("1"));
    put_raw(slice_cstr("v"), 7);
    struct message got = built(&record);
    assert_int_equal(got.exchange.len, 0);
    assert_null(got.routing_key.data);
    assert_null(got.cc.data);
    assert_int_equal(got.expires_ms, -1);
    assert_null(got.deaths.data);
    assert_int_equal(got.headers_count, 1);
    expect_slice(message_header(&got, "mine"), slice_cstr("1"));
}

// ---- deaths

static struct message_death death(enum message_death_reason reason, const char *queue)
{
    struct message_death d = {.reason = reason,
                              .queue = slice_cstr(queue),
                              .exchange = slice_cstr("ex"),
                              .times = 1,
                              .time_ms = 77,
                              .original_ttl_ms = -1};
    d.keys[0] = slice_cstr("k1");
    d.keys[1] = slice_cstr("");
    d.keys_count = 2;
    return d;
}

static void die(struct message *m, enum message_death_reason reason, const char *queue)
{
    const struct message_death d = death(reason, queue);
    struct buf next;
    buf_init(&next, 1 << 20);
    assert_int_equal(message_deaths_add(m, &d, &next), 0);
    buf_clear(&deaths);
    buf_put_slice(&deaths, buf_slice(&next));
    m->deaths = buf_slice(&deaths);
    buf_fini(&next);
}

static void expect_deaths(const struct message *m, const char *want)
{
    struct cursor in = message_deaths(m);
    struct message_death d;
    char text[512] = "";
    size_t len = 0;
    while (message_death_next(&in, &d)) {
        char queue[16];
        slice_to_cstr(d.queue, queue, sizeof queue);
        len += (size_t)snprintf(text + len, sizeof text - len, "%s:%s*%u ", queue,
                                message_death_reason_name(d.reason), d.times);
        expect_slice(d.exchange, slice_cstr("ex"));
        assert_int_equal(d.keys_count, 2);
        expect_slice(d.keys[0], slice_cstr("k1"));
        assert_int_equal(d.keys[1].len, 0);
        assert_int_equal(d.original_ttl_ms, -1);
        assert_int_equal(d.time_ms, 77);
    }
    assert_int_equal(in.err, 0);
    assert_string_equal(text, want);
}

static void test_deaths(void **state)
{
    (void)state;
    struct message m = {.expires_ms = -1};
    expect_deaths(&m, "");
    die(&m, DEATH_REJECTED, "a");
    expect_deaths(&m, "a:rejected*1 ");
    die(&m, DEATH_EXPIRED, "b");
    expect_deaths(&m, "b:expired*1 a:rejected*1 ");
    die(&m, DEATH_EXPIRED, "a");
    die(&m, DEATH_REJECTED, "a");
    expect_deaths(&m, "a:rejected*2 a:expired*1 b:expired*1 ");
    die(&m, DEATH_EXPIRED, "b");
    expect_deaths(&m, "b:expired*2 a:rejected*2 a:expired*1 ");
    m.body = slice_cstr("x");
    struct message got = put_and_get(&m);
    expect_deaths(&got, "b:expired*2 a:rejected*2 a:expired*1 ");
}

static void test_deaths_full(void **state)
{
    (void)state;
    struct message m = {.expires_ms = -1};
    char queue[16];
    for (int i = 0; i < MESSAGE_DEATHS_MAX + 3; i++) {
        (void)snprintf(queue, sizeof queue, "q%d", i);
        die(&m, DEATH_EXPIRED, queue);
    }
    struct cursor in = message_deaths(&m);
    struct message_death d;
    int count = 0;
    while (message_death_next(&in, &d))
        count++;
    assert_int_equal(count, MESSAGE_DEATHS_MAX);
    expect_slice(d.queue, slice_cstr("q0")); // the oldest counts what did not fit
    assert_int_equal(d.times, 4);
    die(&m, DEATH_EXPIRED, "q5"); // a known one still moves to the front
    in = message_deaths(&m);
    assert_true(message_death_next(&in, &d));
    expect_slice(d.queue, slice_cstr("q5"));
    assert_int_equal(d.times, 2);
}

static void test_deaths_cut(void **state)
{
    (void)state;
    struct message m = {.expires_ms = -1};
    die(&m, DEATH_EXPIRED, "a");
    die(&m, DEATH_REJECTED, "b");
    struct slice whole = m.deaths;
    for (size_t len = 0; len < whole.len; len++) {
        struct message_death d;
        m.deaths = slice_of(whole.data, len);
        struct cursor in = message_deaths(&m);
        int count = 0;
        while (message_death_next(&in, &d))
            count++;
        assert_true(count <= 1);
    }
    struct buf small;
    const struct message_death d = death(DEATH_EXPIRED, "c");
    buf_init(&small, 40);
    m.deaths = whole;
    assert_int_equal(message_deaths_add(&m, &d, &small), ERR_LIMIT);
    buf_fini(&small);
}

static void test_circle(void **state)
{
    (void)state;
    struct message m = {.expires_ms = -1};
    assert_false(message_deaths_circle(&m, slice_cstr("a")));
    die(&m, DEATH_EXPIRED, "a");
    assert_true(message_deaths_circle(&m, slice_cstr("a")));
    assert_false(message_deaths_circle(&m, slice_cstr("b")));
    die(&m, DEATH_DELIVERY_LIMIT, "b");
    assert_true(message_deaths_circle(&m, slice_cstr("a")));
    die(&m, DEATH_REJECTED, "c");
    assert_false(message_deaths_circle(&m, slice_cstr("a")));
    die(&m, DEATH_EXPIRED, "a");
    assert_true(message_deaths_circle(&m, slice_cstr("a")));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_all_there),     TEST(test_nothing_there), TEST(test_empty_key_behind_an_exchange),
        TEST(test_of_a_stranger), TEST(test_malformed),     TEST(test_deaths),
        TEST(test_deaths_full),   TEST(test_deaths_cut),    TEST(test_circle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
