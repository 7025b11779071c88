// SPDX-License-Identifier: Apache-2.0
//
// What of queues, exchanges and bindings is written down comes back, whatever is cut off or turned
// round in it is refused; and no two queues have the same topic.
#include "node/node_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/prng.h"

// ---- names

static void expect_topic(const char *vhost, const char *name, const char *topic)
{
    char out[QUEUE_TOPIC_NAME_SIZE];
    queue_topic_name(slice_cstr(vhost), slice_cstr(name), out);
    assert_string_equal(out, topic);
    assert_int_equal(topic_name_check(slice_cstr(out)), 0);
}

static void test_topic_names(void **state)
{
    (void)state;
    expect_topic("/", "celery", "celery");
    expect_topic("/", "orders.new-v2_final", "orders.new-v2_final");
    expect_topic("/", "celery@host.celery.pidbox", "celery_x40host.celery.pidbox");
    expect_topic("/", "a b/c", "a_x20b_x2Fc");
    expect_topic("/", "\xff", "_xFF");
    expect_topic("/", "a_x", "a_x5Fx");
    expect_topic("/", "a__v.b", "a__x5Fv.b");
    expect_topic("/", ".", "_x2E");
    expect_topic("/", "..", "_x2E_x2E");
    expect_topic("/", "...", "...");
    expect_topic("staging", "orders", "staging_v.orders");
    expect_topic("staging", ".", "staging_v..");
    expect_topic("", "q", "_v.q");
    expect_topic("a_", "q", "a__v.q");
    expect_topic("_v", "q", "_x5Fv_v.q");
    char longest[TOPIC_NAME_MAX + 2];
    memset(longest, 'q', sizeof longest);
    longest[TOPIC_NAME_MAX] = '\0';
    expect_topic("/", longest, longest);
    char out[QUEUE_TOPIC_NAME_SIZE];
    longest[TOPIC_NAME_MAX] = 'q';
    queue_topic_name(slice_cstr("/"), slice_of(longest, TOPIC_NAME_MAX + 1), out);
    assert_int_equal(strlen(out), TOPIC_NAME_MAX);
    assert_memory_equal(out + TOPIC_NAME_MAX - 18, "_h", 2);
}

#define NAMES 20000

struct named {
    uint8_t bytes[24];
    size_t vhost_len, len;
    char topic[QUEUE_TOPIC_NAME_SIZE];
};

static int named_cmp(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->topic, ((const struct named *)b)->topic);
}

static bool named_same(const struct named *a, const struct named *b)
{
    return a->vhost_len == b->vhost_len && a->len == b->len &&
           memcmp(a->bytes, b->bytes, a->len) == 0;
}

// Short names of those characters that the escapes are made of.
static void test_topic_names_differ(void **state)
{
    (void)state;
    static struct named all[NAMES];
    static const char letters[] = "_xvh.5F2E/\xff";
    struct prng p;
    prng_seed(&p, 11);
    for (size_t i = 0; i < NAMES; i++) {
        struct named *n = &all[i];
        n->len = (size_t)prng_below(&p, 6) + 1;
        for (size_t k = 0; k < n->len; k++)
            n->bytes[k] = (uint8_t)letters[prng_below(&p, sizeof letters - 1)];
        n->vhost_len = (size_t)prng_below(&p, n->len);
        struct slice vhost = slice_of(n->bytes, n->vhost_len);
        if (slice_eq_cstr(vhost, "/"))
            n->vhost_len = 0;
        bool root = n->vhost_len == 0 && prng_chance(&p, 1, 2);
        if (root)
            n->vhost_len = SIZE_MAX;
        queue_topic_name(
            root ? slice_cstr("/") : slice_of(n->bytes, n->vhost_len),
            slice_of(n->bytes + (root ? 0 : n->vhost_len), n->len - (root ? 0 : n->vhost_len)),
            n->topic);
        assert_int_equal(topic_name_check(slice_cstr(n->topic)), 0);
    }
    qsort(all, NAMES, sizeof all[0], named_cmp);
    for (size_t i = 1; i < NAMES; i++)
        if (strcmp(all[i - 1].topic, all[i].topic) == 0)
            assert_true(named_same(&all[i - 1], &all[i]));
}

static void test_long_names_differ(void **state)
{
    (void)state;
    char a[QUEUE_TOPIC_NAME_SIZE], b[QUEUE_TOPIC_NAME_SIZE];
    char name[MESSAGE_NAME_MAX];
    memset(name, '@', sizeof name);
    queue_topic_name(slice_cstr("/"), slice_of(name, sizeof name), a);
    name[sizeof name - 1] = '!';
    queue_topic_name(slice_cstr("/"), slice_of(name, sizeof name), b);
    assert_string_not_equal(a, b);
    queue_topic_name(slice_cstr("v"), slice_of(name, sizeof name), a);
    assert_string_not_equal(a, b);
    assert_int_equal(topic_name_check(slice_cstr(a)), 0);
}

// ---- records

static const uint8_t id_bytes[16] = {1, 2, 3, 4, 5, 6, 0x87, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static struct queue_facts some_queue(void)
{
    struct queue_facts f = {
        .vhost = slice_cstr("/"),
        .name = slice_cstr("orders"),
        .durable = true,
        .auto_delete = true,
        .levels = 11,
        .arguments = slice_cstr("canonical"),
        .created_ms = 1700000000123,
        .settings = {.message_ttl_ms = 60000,
                     .expires_ms = -1,
                     .dead_letter = true,
                     .dead_exchange = slice_cstr(""),
                     .dead_key = slice_cstr("dead"),
                     .delivery_limit = 20,
                     .single_active = true,
                     .auto_delete = true,
                     .max_length = -1,
                     .max_length_bytes = 1 << 20},
    };
    memcpy(f.id.bytes, id_bytes, 16);
    return f;
}

static void test_queue_record(void **state)
{
    (void)state;
    struct buf out;
    struct queue_facts got;
    const struct slice key = slice_of(id_bytes, 16);
    buf_init(&out, 4096);
    const struct queue_facts f = some_queue();
    queue_record_put(&f, &out);
    assert_int_equal(queue_record_get(key, buf_slice(&out), &got), 0);
    assert_true(uuid_eq(&got.id, &f.id));
    assert_true(slice_eq(got.name, f.name) && slice_eq(got.vhost, f.vhost));
    assert_true(slice_eq(got.arguments, f.arguments));
    assert_true(got.durable && got.auto_delete && !got.exclusive);
    assert_int_equal(got.levels, 11);
    assert_int_equal(got.created_ms, f.created_ms);
    const struct queue_settings *s = &got.settings;
    assert_int_equal(s->message_ttl_ms, 60000);
    assert_int_equal(s->expires_ms, -1);
    assert_int_equal(s->max_length, -1);
    assert_int_equal(s->max_length_bytes, 1 << 20);
    assert_int_equal(s->delivery_limit, 20);
    assert_true(s->dead_letter && s->single_active && s->auto_delete);
    assert_true(slice_eq_cstr(s->dead_exchange, "") && slice_eq_cstr(s->dead_key, "dead"));
    for (size_t len = 0; len < out.len; len++)
        assert_int_equal(queue_record_get(key, slice_of(out.data, len), &got), ERR_CORRUPT);
    assert_int_equal(queue_record_get(slice_of(id_bytes, 15), buf_slice(&out), &got), ERR_CORRUPT);
    buf_put_u8(&out, 0);
    assert_int_equal(queue_record_get(key, buf_slice(&out), &got), ERR_CORRUPT);
    out.data[0] = 2;
    assert_int_equal(queue_record_get(key, buf_slice(&out), &got), ERR_FORMAT_VERSION);
    buf_fini(&out);
}

static void test_exchange_record(void **state)
{
    (void)state;
    struct buf out;
    struct exchange got;
    const struct slice key = slice_of(id_bytes, 16);
    buf_init(&out, 4096);
    for (unsigned type = 0; type < EXCHANGE_TYPES_COUNT; type++) {
        const struct exchange x = {
            .vhost = slice_cstr("v"),
            .name = slice_cstr("celery"),
            .type = (enum exchange_type)type,
            .durable = true,
            .internal = true,
            .delayed = type == EXCHANGE_TOPIC,
            .arguments = slice_cstr("args"),
        };
        buf_clear(&out);
        exchange_record_put(&x, &out);
        assert_int_equal(exchange_record_get(key, buf_slice(&out), &got), 0);
        assert_int_equal(got.type, type);
        assert_true(got.internal && got.durable && !got.auto_delete && !got.preset);
        assert_int_equal(got.delayed, x.delayed);
        assert_true(slice_eq(got.name, x.name) && slice_eq(got.vhost, x.vhost));
        assert_true(slice_eq(got.arguments, x.arguments));
        assert_memory_equal(got.id.bytes, id_bytes, 16);
    }
    for (size_t len = 0; len < out.len; len++)
        assert_int_equal(exchange_record_get(key, slice_of(out.data, len), &got), ERR_CORRUPT);
    out.data[1] = 5; // no such type
    assert_int_equal(exchange_record_get(key, buf_slice(&out), &got), ERR_CORRUPT);
    buf_fini(&out);
}

static void test_binding_record(void **state)
{
    (void)state;
    struct buf key, value;
    struct exchange_binding got;
    struct binding_ends ends = {{{1}}, {{2}}}, got_ends;
    const struct exchange_header headers[] = {{slice_cstr("kind"), slice_cstr("report")},
                                              {slice_cstr("x-any"), SLICE_NULL},
                                              {slice_cstr("empty"), slice_cstr("")}};
    const struct exchange_binding b = {
        .vhost = slice_cstr("/"),
        .source = slice_cstr("amq.match"),
        .destination = slice_cstr("q"),
        .key = slice_cstr("k"),
        .arguments = slice_cstr("canonical"),
        .match = MATCH_ANY_WITH_X,
        .headers = headers,
        .headers_count = 3,
        .durable = true,
    };
    buf_init(&key, 4096);
    buf_init(&value, 4096);
    binding_record_key(&b, &ends, &key);
    binding_record_put(&b, &value);
    assert_int_equal(binding_record_get(buf_slice(&key), buf_slice(&value), &got, &got_ends), 0);
    assert_true(uuid_eq(&got_ends.source, &ends.source));
    assert_true(uuid_eq(&got_ends.destination, &ends.destination));
    assert_true(slice_eq(got.source, b.source) && slice_eq(got.destination, b.destination));
    assert_true(slice_eq(got.key, b.key) && slice_eq(got.arguments, b.arguments));
    assert_true(got.durable && !got.to_exchange);
    assert_int_equal(got.match, MATCH_ANY_WITH_X);
    assert_int_equal(got.headers_count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(slice_eq(got.headers[i].name, headers[i].name) &&
                    slice_eq(got.headers[i].value, headers[i].value));
    mem_free((void *)(uintptr_t)got.headers);
    for (size_t len = 0; len < value.len; len++)
        assert_int_equal(
            binding_record_get(buf_slice(&key), slice_of(value.data, len), &got, &got_ends),
            ERR_CORRUPT);
    for (size_t len = 0; len < 37; len++)
        assert_int_equal(
            binding_record_get(slice_of(key.data, len), buf_slice(&value), &got, &got_ends),
            ERR_CORRUPT);
    value.data[2] = value.data[3] = 0xff; // more headers than there are bytes
    assert_int_equal(binding_record_get(buf_slice(&key), buf_slice(&value), &got, &got_ends),
                     ERR_CORRUPT);
    buf_fini(&key);
    buf_fini(&value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topic_names),       cmocka_unit_test(test_topic_names_differ),
        cmocka_unit_test(test_long_names_differ), cmocka_unit_test(test_queue_record),
        cmocka_unit_test(test_exchange_record),   cmocka_unit_test(test_binding_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
