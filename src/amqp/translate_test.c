// SPDX-License-Identifier: Apache-2.0
//
// Contents as messages and back: what is stored, what Kafka's consumers can read of it, what comes
// out unchanged, and what the server adds.
#include "amqp/translate.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <string.h>

#include "amqp/deaths.h"
#include "amqp/table.h"
#include "base/err.h"

static struct amqp_translator t;
static struct buf raw, table;

static int setup(void **state)
{
    (void)state;
    amqp_translator_init(&t);
    buf_init(&raw, 1 << 20);
    buf_init(&table, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    amqp_translator_fini(&t);
    buf_fini(&raw);
    buf_fini(&table);
    return 0;
}

// A record's message with these headers, as it comes out of a log.
static struct message message_of(const struct amqp_incoming *in)
{
    return (struct message){
        .headers = in->headers,
        .headers_count = in->headers_count,
        .cc = in->cc,
        .deaths = in->deaths,
        .expires_ms = -1,
    };
}

static int translate(const struct amqp_properties *p, struct slice reply_to,
                     struct amqp_incoming *in, char why[AMQP_WHY_MAX])
{
    struct amqp_properties read;
    buf_clear(&raw);
    amqp_properties_write(p, &raw);
    assert_int_equal(amqp_properties_read(buf_slice(&raw), &read), 0);
    return amqp_translate_in(&t, buf_slice(&raw), &read, reply_to, in, why);
}

static void header_is(const struct message *m, const char *name, const char *value)
{
    struct slice s = message_header(m, name);
    if (!slice_eq_cstr(s, value))
        fail_msg("%s is '%.*s', not '%s'", name, (int)s.len, (const char *)s.data, value);
}

static void what_is_scalar_or_a_text_is_readable(void **state)
{
    (void)state;
    struct amqp_incoming in;
    char why[AMQP_WHY_MAX];
    amqp_put_text(&table, slice_cstr("task"), slice_cstr("proj.add"));
    amqp_put_int(&table, slice_cstr("retries"), 3);
    amqp_put_text(&table, slice_cstr("weir.exchange"), slice_cstr("forged"));
    amqp_put_text(&table, slice_cstr("amqp.properties"), slice_cstr("forged"));
    amqp_put_null(&table, slice_cstr("eta"));
    const struct amqp_properties p = {
        .flags = AMQP_CONTENT_TYPE | AMQP_HEADERS | AMQP_DELIVERY_MODE | AMQP_PRIORITY |
                 AMQP_CORRELATION_ID | AMQP_TIMESTAMP,
        .content_type = slice_cstr("application/json"),
        .headers = buf_slice(&table),
        .delivery_mode = 2,
        .priority = 7,
        .correlation_id = slice_cstr("c0ffee"),
        .timestamp = UINT64_MAX,
    };
    assert_int_equal(translate(&p, SLICE_NULL, &in, why), 0);
    const struct message m = message_of(&in);
    assert_true(slice_eq(message_header(&m, AMQP_RECORD_HEADER), buf_slice(&raw)));
    header_is(&m, "amqp.content_type", "application/json");
    header_is(&m, "amqp.delivery_mode", "2");
    header_is(&m, "amqp.priority", "7");
    header_is(&m, "amqp.correlation_id", "c0ffee");
    header_is(&m, "amqp.timestamp", "18446744073709551615");
    header_is(&m, "task", "proj.add");
    assert_null(message_header(&m, "retries").data);
    assert_null(message_header(&m, "weir.exchange").data);
    assert_int_equal(in.headers_count, 7);
    // It goes out as it came in, the very bytes.
    const struct queue_delivery d = {.message = m};
    assert_true(slice_eq(amqp_translate_out(&t, &d, true, 131072), buf_slice(&raw)));
}

static void keys_are_taken_out(void **state)
{
    (void)state;
    struct amqp_incoming in;
    struct amqp_properties out;
    struct amqp_value value;
    char why[AMQP_WHY_MAX];
    size_t cc = amqp_open_array(&table, slice_cstr("CC"));
    amqp_put_text(&table, SLICE_NULL, slice_cstr("one"));
    amqp_put_int(&table, SLICE_NULL, 5); // is no key
    amqp_put_text(&table, SLICE_NULL, slice_cstr("two"));
    amqp_close(&table, cc);
    size_t bcc = amqp_open_array(&table, slice_cstr("BCC"));
    amqp_put_text(&table, SLICE_NULL, slice_cstr("three"));
    amqp_close(&table, bcc);
    amqp_put_int(&table, slice_cstr("x-delay"), 5000);
    const struct amqp_properties p = {.flags = AMQP_HEADERS, .headers = buf_slice(&table)};
    assert_int_equal(translate(&p, SLICE_NULL, &in, why), 0);
    assert_int_equal(in.keys_count, 3);
    assert_true(slice_eq_cstr(in.keys[1], "two"));
    assert_true(slice_eq_cstr(in.keys[2], "three"));
    assert_true(slice_eq_cstr(in.cc, "\3one\3two"));
    assert_int_equal(in.delay_ms, 5000);
    // Nobody else sees BCC.
    assert_int_equal(amqp_properties_read(in.properties, &out), 0);
    assert_int_equal(amqp_table_get(out.headers, "CC", &value), 0);
    assert_int_equal(amqp_table_get(out.headers, "BCC", &value), ERR_NOT_FOUND);
}

static void keys_that_are_none(void **state)
{
    (void)state;
    struct amqp_incoming in;
    char why[AMQP_WHY_MAX];
    amqp_put_text(&table, slice_cstr("CC"), slice_cstr("one"));
    struct amqp_properties p = {.flags = AMQP_HEADERS, .headers = buf_slice(&table)};
    assert_int_equal(translate(&p, SLICE_NULL, &in, why), ERR_INVALID);
    assert_string_equal(why, "invalid message: {unacceptable_type_in_header,\"CC\",longstr}");
    buf_clear(&table);
    amqp_put_int(&table, slice_cstr("BCC"), 5);
    p.headers = buf_slice(&table);
    assert_int_equal(translate(&p, SLICE_NULL, &in, why), ERR_INVALID);
    assert_string_equal(why, "invalid message: {unacceptable_type_in_header,\"BCC\",signedint}");
    buf_clear(&table);
    size_t cc = amqp_open_array(&table, slice_cstr("CC"));
    for (int i = 0; i < MESSAGE_KEYS_MAX - 1; i++)
        amqp_put_text(&table, SLICE_NULL, slice_cstr("k"));
    amqp_close(&table, cc);
    p.headers = buf_slice(&table);
    assert_int_equal(translate(&p, SLICE_NULL, &in, why), 0);
    amqp_put_text(&table, SLICE_NULL, slice_cstr("k"));
    amqp_close(&table, cc);
    p.headers = buf_slice(&table);
    assert_int_equal(translate(&p, SLICE_NULL, &in, why), ERR_INVALID);
}

static void reply_to_is_replaced(void **state)
{
    (void)state;
    struct amqp_incoming in;
    struct amqp_properties out;
    char why[AMQP_WHY_MAX];
    const struct amqp_properties p = {.flags = AMQP_REPLY_TO | AMQP_DELIVERY_MODE,
                                      .delivery_mode = 1,
                                      .reply_to = slice_cstr("amq.rabbitmq.reply-to")};
    assert_int_equal(translate(&p, slice_cstr("amq.rabbitmq.reply-to.xyz"), &in, why), 0);
    assert_int_equal(amqp_properties_read(in.properties, &out), 0);
    assert_true(slice_eq_cstr(out.reply_to, "amq.rabbitmq.reply-to.xyz"));
    assert_int_equal(out.delivery_mode, 1);
}

static void expirations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
        const char *why;
    } cases[] = {
        {"0", 0, NULL},
        {"1000", 1000, NULL},
        {"+5", 5, NULL},
        {"315360000000", 315360000000, NULL},
        {"", 0, "invalid expiration '': no_integer"},
        {"a", 0, "invalid expiration 'a': no_integer"},
        {" 5", 0, "invalid expiration ' 5': no_integer"},
        {"5a", 0, "invalid expiration '5a': {leftover_string,\"a\"}"},
        {"5.5", 0, "invalid expiration '5.5': {leftover_string,\".5\"}"},
        {"-1", 0, "invalid expiration '-1': {value_negative,-1}"},
        {"99999999999999", 0,
         "invalid expiration '99999999999999': "
         "{value_too_large,99999999999999}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char why[AMQP_WHY_MAX] = "";
        int64_t ms = -1;
        int err = amqp_expiration(slice_cstr(cases[i].text), &ms, why);
        assert_int_equal(err, cases[i].why == NULL ? 0 : ERR_INVALID);
        if (err == 0)
            assert_int_equal(ms, cases[i].ms);
        else
            assert_string_equal(why, cases[i].why);
    }
}

// ---- deaths

static void death_add(struct buf *deaths, const char *queue, enum message_death_reason reason,
                      int64_t time_ms, int64_t ttl)
{
    struct buf next;
    const struct message so_far = {.deaths = deaths->len > 0 ? buf_slice(deaths) : SLICE_NULL};
    const struct message_death d = {
        .reason = reason,
        .queue = slice_cstr(queue),
        .exchange = slice_cstr("x"),
        .keys = {slice_cstr("k1"), slice_cstr("k2")},
        .keys_count = 2,
        .times = 1,
        .time_ms = time_ms,
        .original_ttl_ms = ttl,
    };
    buf_init(&next, 1 << 20);
    assert_int_equal(message_deaths_add(&so_far, &d, &next), 0);
    buf_clear(deaths);
    buf_put_slice(deaths, buf_slice(&next));
    buf_fini(&next);
}

static void text_is(struct slice headers, const char *name, const char *value)
{
    struct amqp_value v;
    assert_int_equal(amqp_table_get(headers, name, &v), 0);
    assert_int_equal(v.kind, AMQP_TEXT);
    if (!slice_eq_cstr(v.bytes, value))
        fail_msg("%s is '%.*s'", name, (int)v.bytes.len, (const char *)v.bytes.data);
}

static void deaths_are_told(void **state)
{
    (void)state;
    struct amqp_incoming in;
    struct amqp_properties out;
    struct amqp_value v, entry;
    struct buf deaths;
    char why[AMQP_WHY_MAX];
    buf_init(&deaths, 1 << 20);
    death_add(&deaths, "q1", DEATH_EXPIRED, 1000000, 50);
    death_add(&deaths, "q2", DEATH_REJECTED, 2000000, -1);
    death_add(&deaths, "q1", DEATH_EXPIRED, 3000000, -1);
    size_t cc = amqp_open_array(&table, slice_cstr("CC"));
    amqp_put_text(&table, SLICE_NULL, slice_cstr("k2"));
    amqp_close(&table, cc);
    amqp_put_text(&table, slice_cstr("x-death"), slice_cstr("forged"));
    amqp_put_int(&table, slice_cstr("a"), 1);
    const struct amqp_properties p = {.flags = AMQP_HEADERS | AMQP_EXPIRATION,
                                      .headers = buf_slice(&table),
                                      .expiration = slice_cstr("50")};
    assert_int_equal(translate(&p, SLICE_NULL, &in, why), 0);
    struct queue_delivery d = {.message = message_of(&in)};
    d.message.deaths = buf_slice(&deaths);
    d.message.cc = SLICE_NULL; // the queue's own key took its place
    assert_int_equal(amqp_properties_read(amqp_translate_out(&t, &d, false, 131072), &out), 0);
    assert_int_equal(out.flags, AMQP_HEADERS); // its TTL has had its effect
    assert_int_equal(amqp_table_get(out.headers, "a", &v), 0);
    assert_int_equal(amqp_table_get(out.headers, "CC", &v), ERR_NOT_FOUND);
    text_is(out.headers, "x-first-death-queue", "q1");
    text_is(out.headers, "x-first-death-reason", "expired");
    text_is(out.headers, "x-last-death-queue", "q1");
    text_is(out.headers, "x-last-death-exchange", "x");
    assert_int_equal(amqp_table_get(out.headers, "x-death", &v), 0);
    assert_int_equal(v.kind, AMQP_ARRAY);
    struct cursor array = cursor_of(v.bytes);
    assert_true(amqp_array_next(&array, &entry));
    text_is(entry.bytes, "queue", "q1");
    text_is(entry.bytes, "original-expiration", "50");
    assert_int_equal(amqp_table_get(entry.bytes, "count", &v), 0);
    assert_int_equal(v.number, 2);
    assert_int_equal(v.type, 'l'); // Java's clients see a Long
    assert_int_equal(amqp_table_get(entry.bytes, "time", &v), 0);
    assert_int_equal(v.number, 1000); // of its first time
    assert_true(amqp_array_next(&array, &entry));
    text_is(entry.bytes, "reason", "rejected");
    assert_false(amqp_array_next(&array, &entry));
    // Published again by who has consumed it, it goes on counting.
    const struct amqp_properties again = {.flags = AMQP_HEADERS, .headers = out.headers};
    struct amqp_translator other;
    struct buf bytes;
    amqp_translator_init(&other);
    buf_init(&bytes, 1 << 20);
    amqp_properties_write(&again, &bytes);
    assert_int_equal(amqp_translate_in(&other, buf_slice(&bytes), &again, SLICE_NULL, &in, why), 0);
    assert_true(slice_eq(in.deaths, buf_slice(&deaths)));
    // A TTL that it was given then is still to have its effect.
    d.message = message_of(&in);
    d.message.expires_ms = 5000000;
    amqp_translator_fini(&other);
    buf_fini(&bytes);
    buf_fini(&deaths);
}

static void what_is_no_death_is_ignored(void **state)
{
    (void)state;
    struct buf deaths;
    buf_init(&deaths, 1 << 20);
    size_t entry = amqp_open_table(&table, SLICE_NULL);
    amqp_put_text(&table, slice_cstr("queue"), slice_cstr("q"));
    amqp_put_text(&table, slice_cstr("reason"), slice_cstr("boredom"));
    amqp_close(&table, entry);
    amqp_put_text(&table, SLICE_NULL, slice_cstr("no table"));
    amqp_deaths_read(buf_slice(&table), &deaths);
    assert_int_equal(deaths.len, 0);
    amqp_deaths_read(SLICE_NULL, &deaths);
    assert_int_equal(deaths.len, 0);
    buf_fini(&deaths);
}

static void deliveries_are_counted(void **state)
{
    (void)state;
    struct amqp_incoming in;
    struct amqp_properties out;
    struct amqp_value v;
    char why[AMQP_WHY_MAX];
    assert_int_equal(translate(&(struct amqp_properties){0}, SLICE_NULL, &in, why), 0);
    struct queue_delivery d = {.message = message_of(&in)};
    assert_int_equal(amqp_properties_read(amqp_translate_out(&t, &d, true, 131072), &out), 0);
    assert_int_equal(out.flags, 0); // not the first time
    d.deliveries = 3;
    assert_int_equal(amqp_properties_read(amqp_translate_out(&t, &d, true, 131072), &out), 0);
    assert_int_equal(amqp_table_get(out.headers, "x-delivery-count", &v), 0);
    assert_int_equal(v.number, 3);
    assert_int_equal(amqp_properties_read(amqp_translate_out(&t, &d, false, 131072), &out), 0);
    assert_int_equal(out.flags, 0);
}

// ---- records of Kafka clients

static void records_of_kafka_clients(void **state)
{
    (void)state;
    struct buf headers;
    struct amqp_properties out;
    struct amqp_value v;
    char long_name[300], long_value[3000];
    memset(long_name, 'n', sizeof long_name);
    memset(long_value, 'v', sizeof long_value);
    buf_init(&headers, 1 << 20);
    message_header_put(&headers, slice_cstr("trace"), slice_cstr("abc"));
    message_header_put(&headers, slice_cstr("empty"), slice_of("", 0));
    message_header_put(&headers, slice_cstr("null"), SLICE_NULL);
    message_header_put(&headers, slice_of(long_name, sizeof long_name), slice_cstr("x"));
    message_header_put(&headers, slice_cstr("long"), slice_of(long_value, sizeof long_value));
    message_header_put(&headers, slice_cstr("last"), slice_cstr("z"));
    struct queue_delivery d = {
        .message = {.headers = buf_slice(&headers), .headers_count = 6, .expires_ms = -1}};
    assert_int_equal(amqp_properties_read(amqp_translate_out(&t, &d, true, 2000), &out), 0);
    assert_int_equal(out.flags, AMQP_HEADERS);
    text_is(out.headers, "trace", "abc");
    text_is(out.headers, "empty", "");
    text_is(out.headers, "last", "z");
    assert_int_equal(amqp_table_get(out.headers, "null", &v), 0);
    assert_int_equal(v.kind, AMQP_NULL);
    assert_int_equal(amqp_table_get(out.headers, "long", &v), ERR_NOT_FOUND); // no room in a frame
    // One without headers has no properties.
    d.message = (struct message){.expires_ms = -1};
    assert_int_equal(amqp_properties_read(amqp_translate_out(&t, &d, true, 2000), &out), 0);
    assert_int_equal(out.flags, 0);
    // One whose amqp.properties are none never reaches a client as a broken frame.
    buf_clear(&headers);
    message_header_put(&headers, slice_cstr(AMQP_RECORD_HEADER), slice_cstr("\xff\xff garbage"));
    d.message =
        (struct message){.headers = buf_slice(&headers), .headers_count = 1, .expires_ms = -1};
    assert_int_equal(amqp_properties_read(amqp_translate_out(&t, &d, true, 2000), &out), 0);
    text_is(out.headers, AMQP_RECORD_HEADER, "\xff\xff garbage");
    buf_fini(&headers);
}

// A content header is one frame, and strict clients end where it is larger than was agreed.
static void properties_fit_a_frame(void **state)
{
    (void)state;
    enum { FRAME = 4096, MOST = FRAME - 8 - 12, BIG = 9 << 20 };
    struct amqp_properties out;
    struct amqp_value v;
    struct buf headers, deaths, big;
    char queue[200];
    memset(queue, 'q', sizeof queue);
    queue[sizeof queue - 1] = '\0';
    buf_init(&headers, 1 << 20);
    buf_init(&deaths, 1 << 20);
    buf_init(&big, BIG + 100);
    for (int i = 0; i < 1000; i++)
        message_header_put(&headers, slice_cstr("k"), slice_cstr("v"));
    struct queue_delivery d = {
        .deliveries = 1,
        .message = {.headers = buf_slice(&headers), .headers_count = 1000, .expires_ms = -1}};
    assert_true(amqp_translate_out(&t, &d, false, FRAME).len <= MOST);
    assert_true(amqp_translate_out(&t, &d, true, FRAME).len <= MOST);
    for (int i = 0; i < 30; i++) {
        queue[0] = (char)('a' + i);
        death_add(&deaths, queue, DEATH_EXPIRED, 1000, -1);
    }
    d.message.deaths = buf_slice(&deaths);
    struct slice fits = amqp_translate_out(&t, &d, true, FRAME);
    assert_true(fits.len <= MOST);
    assert_int_equal(amqp_properties_read(fits, &out), 0);
    text_is(out.headers, "x-last-death-queue", queue);
    assert_int_equal(amqp_table_get(out.headers, "x-death", &v), 0);
    assert_true(v.bytes.len > 200);
    // A record of a stranger's, with more properties than any AMQP client can have published.
    buf_put_be16(&big, AMQP_HEADERS);
    size_t at = big.len;
    buf_put_be32(&big, 0);
    buf_put_u8(&big, 1);
    buf_put_u8(&big, 'k');
    buf_put_u8(&big, 'S');
    buf_put_be32(&big, (uint32_t)BIG - 100);
    buf_put_zero(&big, BIG - 100);
    amqp_close(&big, at);
    struct buf stranger;
    buf_init(&stranger, BIG * 2);
    message_header_put(&stranger, slice_cstr(AMQP_RECORD_HEADER), buf_slice(&big));
    d.message.headers = buf_slice(&stranger);
    d.message.headers_count = 1;
    assert_true(amqp_translate_out(&t, &d, true, FRAME).len <= MOST);
    buf_fini(&stranger);
    buf_fini(&big);
    buf_fini(&deaths);
    buf_fini(&headers);
}

static void headers_are_compared_by_value(void **state)
{
    (void)state;
    struct arena arena;
    uint32_t count = 0;
    arena_init(&arena, 1 << 16);
    static const uint8_t byte_5[] = {'b', 5}, long_5[] = {'l', 0, 0, 0, 0, 0, 0, 0, 5};
    amqp_put_raw(&table, slice_cstr("a"), slice_of(byte_5, sizeof byte_5));
    amqp_put_raw(&table, slice_cstr("b"), slice_of(long_5, sizeof long_5));
    amqp_put_text(&table, slice_cstr("c"), slice_cstr("5"));
    const struct exchange_header *h = amqp_headers_canonical(buf_slice(&table), &arena, &count);
    assert_int_equal(count, 3);
    assert_true(slice_eq(h[0].value, h[1].value));
    assert_false(slice_eq(h[0].value, h[2].value));
    assert_null(amqp_headers_canonical(SLICE_NULL, &arena, &count));
    assert_int_equal(count, 0);
    arena_fini(&arena);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_scalar_or_a_text_is_readable),
        TEST(keys_are_taken_out),
        TEST(keys_that_are_none),
        TEST(reply_to_is_replaced),
        TEST(expirations),
        TEST(deaths_are_told),
        TEST(what_is_no_death_is_ignored),
        TEST(deliveries_are_counted),
        TEST(records_of_kafka_clients),
        TEST(headers_are_compared_by_value),
        TEST(properties_fit_a_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
