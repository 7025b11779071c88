// SPDX-License-Identifier: Apache-2.0
//
// AMQP's methods: the table, every method there and back with random content, bytes as the
// specification has them, and what no honest client sends. The interpreter is the one that the
// other tests of the room try; here are the types that only AMQP has.
#include "wire/wire_amqp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

#define ARENA_MAX (1 << 20)

union root {
    uint8_t bytes[512];
    max_align_t align;
};

static int decode(const struct wire_msg *msg, const void *bytes, size_t len, union root *out)
{
    struct arena arena;
    uint8_t *exact = mem_dup(bytes, len > 0 ? len : 1); // for the sanitizers to guard
    struct cursor in = cursor_of(slice_of(exact, len));
    arena_init(&arena, ARENA_MAX);
    int err = wire_decode(msg, 0, &in, &arena, out);
    if (err == 0 && cursor_left(&in) > 0)
        err = ERR_EXISTS; // bytes were left over
    arena_fini(&arena);
    mem_free(exact);
    return err;
}

static void test_table(void **state)
{
    (void)state;
    assert_int_equal(wire_amqp_methods_count, 66);
    for (uint32_t i = 0; i < wire_amqp_methods_count; i++) {
        const struct wire_method *m = &wire_amqp_methods[i];
        assert_ptr_equal(wire_amqp_method(m->id), m);
        assert_true(i == 0 || m->id > m[-1].id);
        assert_true(m->sent_by >= WIRE_BY_CLIENT &&
                    m->sent_by <= (WIRE_BY_CLIENT | WIRE_BY_SERVER));
        assert_non_null(strchr(m->msg->name, '.'));
        assert_true(m->msg->root->size <= sizeof(union root));
    }
    assert_null(wire_amqp_method(0));
    assert_null(wire_amqp_method(60 << 16 | 41));
    assert_null(wire_amqp_method(UINT32_MAX));
    assert_string_equal(wire_amqp_method(AMQP_EXCHANGE_UNBIND_OK)->msg->name, "exchange.unbind_ok");
    assert_int_equal(AMQP_EXCHANGE_UNBIND_OK, 40 << 16 | 51);
    assert_true(wire_amqp_method(AMQP_BASIC_DELIVER)->content);
    assert_false(wire_amqp_method(AMQP_BASIC_ACK)->content);
    assert_int_equal(wire_amqp_method(AMQP_BASIC_ACK)->sent_by, WIRE_BY_CLIENT | WIRE_BY_SERVER);
    assert_int_equal(wire_amqp_method(AMQP_BASIC_PUBLISH)->sent_by, WIRE_BY_CLIENT);
}

static void there_and_back(const struct wire_msg *msg, struct prng *prng)
{
    struct arena arena;
    struct wire_out bytes;
    union root in = {0};
    union root out;
    arena_init(&arena, ARENA_MAX);
    wire_out_init(&bytes, ARENA_MAX);
    assert_int_equal(wire_generate(msg, 0, prng, &arena, &in), 0);
    assert_int_equal(wire_encode(msg, 0, &in, &bytes), 0);
    assert_int_equal(bytes.buf.len, wire_size(msg, 0, &in));
    assert_true(bytes.buf.len >= msg->root->min_bytes[0]);
    struct cursor cursor = cursor_of(buf_slice(&bytes.buf));
    assert_int_equal(wire_decode(msg, 0, &cursor, &arena, &out), 0);
    assert_int_equal(cursor_left(&cursor), 0);
    assert_true(wire_equal(msg, 0, &in, &out));
    for (size_t len = 0; len < bytes.buf.len; len += 1 + bytes.buf.len / 100)
        assert_int_equal(decode(msg, bytes.buf.data, len, &out), ERR_TRUNCATED);
    for (int i = 0; i < 20 && bytes.buf.len > 0; i++) {
        uint64_t bit = prng_below(prng, bytes.buf.len * 8);
        bytes.buf.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        int err = decode(msg, bytes.buf.data, bytes.buf.len, &out);
        assert_true(err == 0 || err == ERR_TRUNCATED || err == ERR_MALFORMED || err == ERR_EXISTS);
    }
    wire_out_fini(&bytes);
    arena_fini(&arena);
}

static void test_every_method(void **state)
{
    (void)state;
    struct prng prng;
    prng_seed(&prng, 91);
    for (uint32_t i = 0; i < wire_amqp_methods_count; i++)
        for (int round = 0; round < 50; round++)
            there_and_back(wire_amqp_methods[i].msg, &prng);
}

static void assert_encodes(const struct wire_msg *msg, const void *in, const void *bytes,
                           size_t len)
{
    struct wire_out out;
    wire_out_init(&out, 4096);
    assert_int_equal(wire_encode(msg, 0, in, &out), 0);
    assert_int_equal(out.buf.len, len);
    if (len > 0)
        assert_memory_equal(out.buf.data, bytes, len);
    wire_out_fini(&out);
}

#define ENCODES(msg, in, text) assert_encodes(msg, in, text, sizeof text - 1)

static void test_bytes(void **state)
{
    (void)state;
    const struct amqp_queue_declare declare = {.queue = slice_cstr("q"),
                                               .durable = true,
                                               .auto_delete = true,
                                               .arguments = slice_of("\1nV", 3)};
    ENCODES(&amqp_queue_declare_msg, &declare, "\0\0\1q\x0a\0\0\0\3\1nV");
    const struct amqp_basic_deliver deliver = {.consumer_tag = slice_cstr("ctag"),
                                               .delivery_tag = UINT64_MAX,
                                               .redelivered = true,
                                               .routing_key = slice_cstr("k")};
    ENCODES(&amqp_basic_deliver_msg, &deliver, "\4ctag\xff\xff\xff\xff\xff\xff\xff\xff\1\0\1k");
    const struct amqp_connection_tune tune = {2047, 131072, 60};
    ENCODES(&amqp_connection_tune_msg, &tune, "\x07\xff\0\2\0\0\0\x3c");
    const struct amqp_basic_nack nack = {.delivery_tag = 1, .multiple = false, .requeue = true};
    ENCODES(&amqp_basic_nack_msg, &nack, "\0\0\0\0\0\0\0\1\2");
    ENCODES(&amqp_tx_commit_msg, &(struct amqp_tx_commit){0}, "");
    // bits that nobody has defined are passed over
    union root root;
    assert_int_equal(decode(&amqp_channel_flow_msg, "\xfe", 1, &root), 0);
    assert_false(((struct amqp_channel_flow *)&root)->active);
    assert_int_equal(decode(&amqp_exchange_declare_msg, "\0\0\0\0\xff\0\0\0\0", 9, &root), 0);
    assert_true(((struct amqp_exchange_declare *)&root)->no_wait);
}

static void test_what_does_not_fit(void **state)
{
    (void)state;
    union root root;
    char long_name[300];
    memset(long_name, 'x', sizeof long_name);
    struct wire_out out;
    wire_out_init(&out, 4096);
    struct amqp_basic_cancel cancel = {.consumer_tag = slice_of(long_name, 255)};
    assert_int_equal(wire_encode(&amqp_basic_cancel_msg, 0, &cancel, &out), 0);
    cancel.consumer_tag.len = 256;
    assert_int_equal(wire_encode(&amqp_basic_cancel_msg, 0, &cancel, &out), ERR_LIMIT);
    wire_out_fini(&out);
    // a table of 2 GiB and more, one byte more than there are, and nothing at all
    assert_int_equal(decode(&amqp_connection_secure_msg, "\x80\0\0\0", 4, &root), ERR_MALFORMED);
    assert_int_equal(decode(&amqp_connection_secure_msg, "\xff\xff\xff\xff", 4, &root),
                     ERR_MALFORMED);
    assert_int_equal(decode(&amqp_connection_secure_msg, "\x7f\xff\xff\xff", 4, &root),
                     ERR_TRUNCATED);
    assert_int_equal(decode(&amqp_connection_secure_msg, "\0\0\0\2x", 5, &root), ERR_TRUNCATED);
    assert_int_equal(decode(&amqp_connection_secure_msg, "", 0, &root), ERR_TRUNCATED);
    assert_int_equal(decode(&amqp_connection_blocked_msg, "\xffxyz", 4, &root), ERR_TRUNCATED);
    assert_int_equal(decode(&amqp_connection_blocked_msg, "\3xyz", 4, &root), 0);
}

static void test_print(void **state)
{
    (void)state;
    const struct amqp_basic_consume consume = {.queue = slice_cstr("a\n"),
                                               .consumer_tag = slice_cstr("t"),
                                               .no_ack = true,
                                               .arguments = slice_of("\1nV", 3)};
    const struct amqp_basic_qos qos = {.prefetch_size = UINT32_MAX, .prefetch_count = 65535};
    struct buf text;
    buf_init(&text, 4096);
    wire_print(&amqp_basic_consume_msg, 0, &consume, &text);
    wire_print(&amqp_basic_qos_msg, 0, &qos, &text);
    wire_print(&amqp_tx_select_msg, 0, &(struct amqp_tx_select){0}, &text);
    buf_put_u8(&text, 0);
    assert_string_equal(
        (char *)text.data,
        "{\"reserved_1\":0,\"queue\":\"a\\u000a\",\"consumer_tag\":\"t\",\"no_local\":false,"
        "\"no_ack\":true,\"exclusive\":false,\"no_wait\":false,\"arguments\":{\"bytes\":3}}"
        "{\"prefetch_size\":4294967295,\"prefetch_count\":65535,\"global\":false}{}");
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table), cmocka_unit_test(test_every_method),
        cmocka_unit_test(test_bytes), cmocka_unit_test(test_what_does_not_fit),
        cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
