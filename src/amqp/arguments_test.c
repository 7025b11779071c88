// SPDX-License-Identifier: Apache-2.0
//
// Arguments of queues: what is refused and how that reads (as RabbitMQ 3.10 was seen to answer),
// what the others mean, and which are compared when a queue is declared again.
#include "amqp/arguments.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <string.h>

#include "base/err.h"

enum form { INT, TEXT, BOOL, DOUBLE };
struct argument {
    const char *name;
    enum form form;
    int64_t number;
    const char *text;
};

static void put(struct buf *out, const struct argument *a)
{
    static const uint8_t one_and_a_half[] = {'d', 0x3f, 0xf8, 0, 0, 0, 0, 0, 0};
    if (a->name == NULL)
        return;
    switch (a->form) {
    case INT:
        amqp_put_int(out, slice_cstr(a->name), a->number);
        break;
    case TEXT:
        amqp_put_text(out, slice_cstr(a->name), slice_cstr(a->text));
        break;
    case BOOL:
        amqp_put_bool(out, slice_cstr(a->name), a->number != 0);
        break;
    case DOUBLE:
        amqp_put_raw(out, slice_cstr(a->name), slice_of(one_and_a_half, sizeof one_and_a_half));
        break;
    }
}

static const struct {
    struct argument a, b;
    const char *why;
} refused[] = {
#define ARG(name) "invalid arg '" name "' for queue 'q' in vhost '/'"
    {{"x-message-ttl", TEXT, 0, "a"},
     {0},
     ARG("x-message-ttl") ": \"expected integer, got "
                          "longstr\""},
    {{"x-message-ttl", DOUBLE, 0, NULL},
     {0},
     ARG("x-message-ttl") ": \"expected integer, got "
                          "double\""},
    {{"x-message-ttl", INT, -1, NULL}, {0}, ARG("x-message-ttl") ": {value_negative,-1}"},
    {{"x-message-ttl", INT, 1LL << 60, NULL},
     {0},
     ARG("x-message-ttl") ": {value_too_large,1152921504606846976}"},
    {{"x-expires", INT, 0, NULL}, {0}, ARG("x-expires") ": {value_zero,0}"},
    {{"x-expires", INT, -1, NULL}, {0}, ARG("x-expires") ": {value_negative,-1}"},
    {{"x-dead-letter-exchange", INT, 5, NULL},
     {0},
     "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"},
    {{"x-dead-letter-routing-key", TEXT, 0, "a"},
     {0},
     ARG("x-dead-letter-routing-key") ": routing_key_but_no_dlx_defined"},
    {{"x-dead-letter-routing-key", INT, 5, NULL},
     {"x-dead-letter-exchange", TEXT, 0, ""},
     ARG("x-dead-letter-routing-key") ": {unacceptable_type,signedint}"},
    {{"x-max-priority", INT, 256, NULL},
     {0},
     ARG("x-max-priority") ": {max_value_exceeded,"
                           "256}"},
    {{"x-max-priority", INT, -1, NULL}, {0}, ARG("x-max-priority") ": {value_negative,-1}"},
    {{"x-single-active-consumer", INT, 1, NULL},
     {0},
     ARG("x-single-active-consumer") ": {unacceptable_type,signedint}"},
    {{"x-queue-type", TEXT, 0, "foo"},
     {0},
     ARG("x-queue-type") ": \"unsupported queue type 'foo'\""},
    {{"x-queue-type", INT, 5, NULL},
     {0},
     ARG("x-queue-type") ": {unacceptable_type,"
                         "signedint}"},
    {{"x-max-length", INT, -1, NULL}, {0}, ARG("x-max-length") ": {value_negative,-1}"},
    {{"x-overflow", TEXT, 0, "a"}, {0}, ARG("x-overflow") ": invalid_overflow"},
    {{"x-overflow", INT, 1, NULL}, {0}, ARG("x-overflow") ": {unacceptable_type,signedint}"},
    {{"x-queue-mode", TEXT, 0, "a"}, {0}, ARG("x-queue-mode") ": \"unsupported queue mode 'a'\""},
    {{"x-queue-version", INT, 3, NULL},
     {0},
     ARG("x-queue-version") ": \"unsupported queue version '3'\""},
    {{"x-delivery-limit", INT, 5, NULL},
     {0},
     ARG("x-delivery-limit") " of queue type rabbit_classic_queue"},
    {{"x-max-age", TEXT, 0, "5D"},
     {0},
     ARG("x-max-age") " of queue type "
                      "rabbit_classic_queue"},
    {{"x-max-priority", INT, 5, NULL},
     {"x-queue-type", TEXT, 0, "quorum"},
     ARG("x-max-priority") " of queue type rabbit_quorum_queue"},
    {{"x-dead-letter-strategy", TEXT, 0, "foo"},
     {"x-queue-type", TEXT, 0, "quorum"},
     ARG("x-dead-letter-strategy") ": invalid_dlx_strategy"},
    {{"x-message-ttl", INT, 5, NULL},
     {"x-queue-type", TEXT, 0, "stream"},
     ARG("x-message-ttl") " of queue type rabbit_stream_queue"},
    {{"x-max-age", TEXT, 0, "5"},
     {"x-queue-type", TEXT, 0, "stream"},
     ARG("x-max-age") ": invalid_max_age"},
};

static void refusals(void **state)
{
    (void)state;
    struct buf table;
    buf_init(&table, 1 << 16);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct amqp_queue_arguments out;
        char why[AMQP_TEXT_SIZE];
        buf_clear(&table);
        put(&table, &refused[i].a);
        put(&table, &refused[i].b);
        int err =
            amqp_queue_arguments(buf_slice(&table), slice_cstr("/"), slice_cstr("q"), &out, why);
        assert_int_equal(err, ERR_INVALID);
        assert_string_equal(why, refused[i].why);
    }
    buf_fini(&table);
}

static void meanings(void **state)
{
    (void)state;
    static const struct argument all[] = {
        {"x-message-ttl", INT, 60000, NULL},
        {"x-expires", INT, 1, NULL},
        {"x-dead-letter-exchange", TEXT, 0, ""},
        {"x-dead-letter-routing-key", TEXT, 0, "dead"},
        {"x-max-length", INT, 10, NULL},
        {"x-max-length-bytes", INT, 1LL << 40, NULL},
        {"x-overflow", TEXT, 0, "reject-publish"},
        {"x-max-priority", INT, 9, NULL},
        {"x-single-active-consumer", BOOL, 1, NULL},
        {"x-queue-mode", TEXT, 0, "lazy"},
        {"x-topic", BOOL, 1, NULL},
        {"nobody", TEXT, 0, "knows it"},
    };
    struct buf table;
    struct amqp_queue_arguments out;
    char why[AMQP_TEXT_SIZE];
    buf_init(&table, 1 << 16);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        put(&table, &all[i]);
    assert_int_equal(
        amqp_queue_arguments(buf_slice(&table), slice_cstr("/"), slice_cstr("q"), &out, why), 0);
    assert_int_equal(out.type, AMQP_QUEUE_CLASSIC);
    assert_int_equal(out.settings.message_ttl_ms, 60000);
    assert_int_equal(out.settings.expires_ms, 1);
    assert_true(out.settings.dead_letter);
    assert_int_equal(out.settings.dead_exchange.len, 0);
    assert_true(slice_eq_cstr(out.settings.dead_key, "dead"));
    assert_int_equal(out.settings.max_length, 10);
    assert_int_equal(out.settings.max_length_bytes, 1LL << 40);
    assert_true(out.settings.single_active);
    assert_int_equal(out.levels, 10);
    assert_true(out.take_topic);
    assert_int_equal(amqp_queue_arguments(SLICE_NULL, slice_cstr("/"), slice_cstr("q"), &out, why),
                     0);
    assert_int_equal(out.settings.message_ttl_ms, -1);
    assert_int_equal(out.settings.expires_ms, -1);
    assert_false(out.settings.dead_letter);
    assert_null(out.settings.dead_key.data);
    assert_int_equal(out.levels, 1);
    assert_false(out.take_topic);
    buf_fini(&table);
}

// What is redelivered more often than that is dead; the queue counts deliveries.
static void delivery_limits(void **state)
{
    (void)state;
    static const struct {
        int64_t given;
        uint32_t limit;
    } cases[] = {{0, 1}, {1, 2}, {20, 21}, {-1, 0}, {1LL << 40, 0}};
    struct buf table;
    struct amqp_queue_arguments out;
    char why[AMQP_TEXT_SIZE];
    buf_init(&table, 1 << 16);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_clear(&table);
        amqp_put_text(&table, slice_cstr("x-queue-type"), slice_cstr("quorum"));
        amqp_put_int(&table, slice_cstr("x-delivery-limit"), cases[i].given);
        assert_int_equal(
            amqp_queue_arguments(buf_slice(&table), slice_cstr("/"), slice_cstr("q"), &out, why),
            0);
        assert_int_equal(out.settings.delivery_limit, cases[i].limit);
    }
    buf_fini(&table);
}

// ---- declared again

static void again_is(const struct argument *received, const struct argument *current,
                     const char *why)
{
    struct buf tables[2];
    struct amqp_again again = {.kind = "queue", .vhost = slice_cstr("/"), .name = slice_cstr("q")};
    for (int i = 0; i < 2; i++) {
        struct buf raw;
        buf_init(&raw, 1 << 16);
        buf_init(&tables[i], 1 << 16);
        put(&raw, i == 0 ? received : current);
        assert_int_equal(amqp_table_canonical(buf_slice(&raw), &tables[i]), 0);
        buf_fini(&raw);
    }
    bool same = amqp_again_queue(&again, buf_slice(&tables[0]), buf_slice(&tables[1]));
    assert_int_equal(same, why == NULL);
    if (why != NULL)
        assert_string_equal(again.why, why);
    buf_fini(&tables[0]);
    buf_fini(&tables[1]);
}

static void comparisons(void **state)
{
    (void)state;
    const struct argument none = {0};
    const struct argument ttl = {"x-message-ttl", INT, 60000, NULL};
    const struct argument longer = {"x-message-ttl", INT, 1LL << 33, NULL};
    const struct argument classic = {"x-queue-type", TEXT, 0, "classic"};
    const struct argument quorum = {"x-queue-type", TEXT, 0, "quorum"};
    const struct argument unknown = {"foo", TEXT, 0, "bar"};
    const struct argument dead = {"x-dead-letter-exchange", TEXT, 0, "dlx"};
#define INEQUIVALENT(name) "inequivalent arg '" name "' for queue 'q' in vhost '/': received "
    again_is(&ttl, &ttl, NULL);
    again_is(&none, &none, NULL);
    again_is(&unknown, &none, NULL);
    again_is(&classic, &none, NULL);
    again_is(&none, &classic, NULL);
    again_is(&none, &ttl,
             INEQUIVALENT("x-message-ttl") "none but current is the value '60000' of "
                                           "type 'signedint'");
    again_is(&longer, &ttl, INEQUIVALENT("x-message-ttl") "'8589934592' but current is '60000'");
    again_is(&dead, &none,
             INEQUIVALENT("x-dead-letter-exchange") "the value 'dlx' of type "
                                                    "'longstr' but current is none");
    again_is(&quorum, &none,
             INEQUIVALENT("x-queue-type") "the value 'quorum' of type 'longstr' "
                                          "but current is none");
    again_is(&none, &quorum,
             INEQUIVALENT("x-queue-type") "none but current is the value 'quorum' "
                                          "of type 'longstr'");
}

static void priorities_of_consumers(void **state)
{
    (void)state;
    struct buf table;
    int32_t priority;
    char why[AMQP_TEXT_SIZE];
    buf_init(&table, 1 << 16);
    assert_int_equal(
        amqp_consume_arguments(SLICE_NULL, slice_cstr("/"), slice_cstr("q"), &priority, why), 0);
    assert_int_equal(priority, 0);
    amqp_put_int(&table, slice_cstr("x-priority"), -5);
    assert_int_equal(
        amqp_consume_arguments(buf_slice(&table), slice_cstr("/"), slice_cstr("q"), &priority, why),
        0);
    assert_int_equal(priority, -5);
    buf_clear(&table);
    amqp_put_int(&table, slice_cstr("x-priority"), INT64_MAX);
    assert_int_equal(
        amqp_consume_arguments(buf_slice(&table), slice_cstr("/"), slice_cstr("q"), &priority, why),
        0);
    assert_int_equal(priority, INT32_MAX);
    buf_clear(&table);
    amqp_put_text(&table, slice_cstr("x-priority"), slice_cstr("a"));
    assert_int_equal(
        amqp_consume_arguments(buf_slice(&table), slice_cstr("/"), slice_cstr("q"), &priority, why),
        ERR_INVALID);
    assert_string_equal(why, "invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected "
                             "integer, got longstr\"");
    buf_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),
        cmocka_unit_test(meanings),
        cmocka_unit_test(delivery_limits),
        cmocka_unit_test(comparisons),
        cmocka_unit_test(priorities_of_consumers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
