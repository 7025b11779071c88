// SPDX-License-Identifier: Apache-2.0
//
// Properties: read, written again to the same bytes, changed, and refused when they are none.
#include "amqp/properties.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "amqp/table.h"
#include "base/err.h"
#include "base/mem.h"

#define BYTES(text) slice_of(text, sizeof text - 1)

static const char all[] = "\xff\xfc"
                          "\12text/plain"
                          "\4gzip"
                          "\0\0\0\3\1hV"
                          "\2"
                          "\7"
                          "\4corr"
                          "\5reply"
                          "\5"
                          "60000"
                          "\2id"
                          "\0\0\0\0\x65\0\0\0"
                          "\4type"
                          "\5guest"
                          "\3app"
                          "\7cluster";

static void test_all(void **state)
{
    (void)state;
    struct amqp_properties p;
    struct buf out;
    assert_int_equal(amqp_properties_read(BYTES(all), &p), 0);
    assert_true(slice_eq_cstr(p.content_type, "text/plain"));
    assert_true(slice_eq_cstr(p.content_encoding, "gzip"));
    assert_int_equal(p.headers.len, 3);
    assert_int_equal(p.delivery_mode, 2);
    assert_int_equal(p.priority, 7);
    assert_true(slice_eq_cstr(p.correlation_id, "corr"));
    assert_true(slice_eq_cstr(p.reply_to, "reply"));
    assert_true(slice_eq_cstr(p.expiration, "60000"));
    assert_true(slice_eq_cstr(p.message_id, "id"));
    assert_int_equal(p.timestamp, 0x65000000);
    assert_true(slice_eq_cstr(p.type, "type"));
    assert_true(slice_eq_cstr(p.user_id, "guest"));
    assert_true(slice_eq_cstr(p.app_id, "app"));
    assert_true(slice_eq_cstr(p.cluster_id, "cluster"));
    buf_init(&out, 4096);
    amqp_properties_write(&p, &out);
    assert_true(slice_eq(buf_slice(&out), BYTES(all)));
    buf_fini(&out);
}

// Every set of flags, there and back.
static void test_every_set(void **state)
{
    (void)state;
    struct amqp_properties whole;
    struct amqp_properties read;
    struct buf out;
    assert_int_equal(amqp_properties_read(BYTES(all), &whole), 0);
    buf_init(&out, 4096);
    for (uint32_t flags = 0; flags <= UINT16_MAX; flags += 4) {
        whole.flags = (uint16_t)flags;
        buf_clear(&out);
        amqp_properties_write(&whole, &out);
        assert_int_equal(amqp_properties_read(buf_slice(&out), &read), 0);
        assert_int_equal(read.flags, flags);
        bool there = (flags & AMQP_TYPE) != 0;
        assert_true(there ? slice_eq_cstr(read.type, "type") : read.type.data == NULL);
        assert_int_equal(read.priority, (flags & AMQP_PRIORITY) != 0 ? 7 : 0);
    }
    buf_fini(&out);
}

static void test_refused(void **state)
{
    (void)state;
    struct amqp_properties p = {.flags = 0x1234};
    size_t whole = sizeof all - 1;
    for (size_t len = 0; len < whole; len++) {
        uint8_t *exact = mem_dup(all, len + 1); // for the sanitizers to guard
        assert_int_equal(amqp_properties_read(slice_of(exact, len), &p), ERR_MALFORMED);
        mem_free(exact);
    }
    assert_int_equal(amqp_properties_read(slice_of(all, sizeof all), &p), ERR_MALFORMED); // a byte
    assert_int_equal(amqp_properties_read(BYTES("\0\1"), &p), ERR_MALFORMED); // more flags follow
    assert_int_equal(amqp_properties_read(BYTES("\0\2"), &p), ERR_MALFORMED);
    assert_int_equal(amqp_properties_read(BYTES("\x20\0\0\0\0\3\1hZ"), &p), ERR_MALFORMED);
    assert_int_equal(amqp_properties_read(BYTES("\x20\0\xff\xff\xff\xff"), &p), ERR_MALFORMED);
    assert_int_equal(amqp_properties_read(SLICE_NULL, &p), ERR_MALFORMED);
    assert_int_equal(p.flags, 0x1234); // untouched
    assert_int_equal(amqp_properties_read(BYTES("\0\0"), &p), 0);
    assert_int_equal(p.flags, 0);
}

static void test_too_deep(void **state)
{
    (void)state;
    struct buf raw;
    struct amqp_properties p;
    size_t opened[AMQP_TABLE_DEPTH_MAX];
    buf_init(&raw, 1 << 16);
    buf_put_be16(&raw, AMQP_HEADERS);
    buf_put_be32(&raw, 0);
    for (int i = 0; i < AMQP_TABLE_DEPTH_MAX; i++)
        opened[i] = amqp_open_table(&raw, slice_cstr("n"));
    for (int i = AMQP_TABLE_DEPTH_MAX; i-- > 0;)
        amqp_close(&raw, opened[i]);
    amqp_close(&raw, 2);
    assert_int_equal(amqp_properties_read(buf_slice(&raw), &p), ERR_LIMIT);
    buf_fini(&raw);
}

// What the door does to a dead letter: other headers, no expiration, another reply-to.
static void test_changed(void **state)
{
    (void)state;
    struct amqp_properties p;
    struct buf out;
    struct amqp_value v;
    assert_int_equal(amqp_properties_read(BYTES(all), &p), 0);
    p.flags &= (uint16_t)~AMQP_EXPIRATION;
    p.headers = BYTES("\6reasonS\0\0\0\7expired");
    p.reply_to = slice_cstr("amq.rabbitmq.reply-to.g1");
    buf_init(&out, 4096);
    amqp_properties_write(&p, &out);
    assert_int_equal(amqp_properties_read(buf_slice(&out), &p), 0);
    assert_null(p.expiration.data);
    assert_true(slice_eq_cstr(p.reply_to, "amq.rabbitmq.reply-to.g1"));
    assert_int_equal(amqp_table_get(p.headers, "reason", &v), 0);
    assert_true(slice_eq_cstr(v.bytes, "expired"));
    assert_true(slice_eq_cstr(p.message_id, "id"));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),     cmocka_unit_test(test_every_set),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_too_deep),
        cmocka_unit_test(test_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
