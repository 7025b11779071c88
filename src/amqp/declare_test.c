// SPDX-License-Identifier: Apache-2.0
//
// Declaring, binding, purging, deleting: what is answered to what is asked twice, differently,
// wrongly, or by somebody else.
#include "amqp/arguments.h"
#include "amqp/ask.h"
#include "amqp/binding.h"
#include "amqp/change.h"
#include "amqp/owned.h"
#include "amqp/rig_classes_test.h"

static void exchanges_are_what_they_were_declared(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    declare_exchange(&peer, "x", "direct");
    declare_exchange(&peer, "x", "direct");
    declare_exchange(&peer, "x\r\n", "direct"); // the same name
    const struct {
        struct amqp_exchange_declare m;
        uint16_t code;
        const char *why;
    } cases[] = {
        {{.exchange = text("x"), .type = text("fanout")},
         406,
         "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received "
         "'fanout' but current is 'direct'"},
        {{.exchange = text("x"), .type = text("direct"), .durable = true},
         406,
         "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'x' in vhost '/': received "
         "'true' but current is 'false'"},
        {{.exchange = text("x"), .type = text("direct"), .auto_delete = true},
         406,
         "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for exchange 'x' in vhost '/': "
         "received 'true' but current is 'false'"},
        {{.exchange = text("x"), .type = text("direct"), .internal = true},
         406,
         "PRECONDITION_FAILED - inequivalent arg 'internal' for exchange 'x' in vhost '/': "
         "received 'true' but current is 'false'"},
        {{.exchange = text("nosuch"), .passive = true},
         404,
         "NOT_FOUND - no exchange 'nosuch' in vhost '/'"},
        {{.exchange = text("amq.foo"), .type = text("direct")},
         403,
         "ACCESS_REFUSED - exchange name 'amq.foo' contains reserved prefix 'amq.*'"},
        {{.exchange = text(""), .type = text("direct")},
         403,
         "ACCESS_REFUSED - operation not permitted on the default exchange"},
        {{.exchange = text("d"), .type = text("x-delayed-message")},
         406,
         "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange "
         "type"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ask_refused(&peer, AMQP_EXCHANGE_DECLARE, &cases[i].m, cases[i].code, cases[i].why);
    ask_fatal(&peer, AMQP_EXCHANGE_DECLARE,
              &(struct amqp_exchange_declare){.exchange = text("y"), .type = text("nosuch")}, 503,
              "COMMAND_INVALID - unknown exchange type 'nosuch'");
    (void)ask(&peer, AMQP_EXCHANGE_DECLARE,
              &(struct amqp_exchange_declare){.exchange = text("x"), .passive = true},
              AMQP_EXCHANGE_DECLARE_OK);
    (void)ask(&peer, AMQP_EXCHANGE_DECLARE,
              &(struct amqp_exchange_declare){
                  .exchange = text("amq.topic"), .type = text("topic"), .durable = true},
              AMQP_EXCHANGE_DECLARE_OK);
    peer_close(&peer);
    rig_fini(&rig);
}

static void exchanges_are_deleted(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    declare_exchange(&peer, "x", "direct");
    declare(&peer, "q");
    bind_queue(&peer, "q", "x", "k");
    struct amqp_exchange_delete m = {.exchange = text("x"), .if_unused = true};
    ask_refused(&peer, AMQP_EXCHANGE_DELETE, &m, 406,
                "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use");
    m.if_unused = false;
    (void)ask(&peer, AMQP_EXCHANGE_DELETE, &m, AMQP_EXCHANGE_DELETE_OK);
    (void)ask(&peer, AMQP_EXCHANGE_DELETE, &m, AMQP_EXCHANGE_DELETE_OK); // is gone already
    m.exchange = text("amq.direct");
    ask_refused(
        &peer, AMQP_EXCHANGE_DELETE, &m, 403,
        "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed");
    m.exchange = text("");
    ask_refused(&peer, AMQP_EXCHANGE_DELETE, &m, 403,
                "ACCESS_REFUSED - operation not permitted on the default exchange");
    peer_close(&peer);
    rig_fini(&rig);
}

// ---- queues

static struct slice table_int(struct buf *out, const char *name, int64_t value)
{
    buf_clear(out);
    amqp_put_int(out, text(name), value);
    return buf_slice(out);
}

static struct slice table_text(struct buf *out, const char *name, const char *value)
{
    buf_clear(out);
    amqp_put_text(out, text(name), text(value));
    return buf_slice(out);
}

static void queues_are_what_they_were_declared(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    struct buf table;
    rig_init(&rig);
    buf_init(&table, 1 << 20);
    peer_open(&rig, &peer, 1);
    struct amqp_queue_declare m = {.queue = text("q"),
                                   .arguments = table_int(&table, "x-message-ttl", 60000)};
    (void)declare_with(&peer, &m);
    (void)declare_with(&peer, &m);
    amqp_put_text(&table, text("x-queue-type"), text("classic")); // says nothing new
    amqp_put_text(&table, text("nobody"), text("knows it"));
    m.arguments = buf_slice(&table);
    (void)declare_with(&peer, &m);
#define INEQUIVALENT "PRECONDITION_FAILED - inequivalent arg "
    ask_refused(&peer, AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){.queue = text("q")}, 406,
                INEQUIVALENT "'x-message-ttl' for queue 'q' in vhost '/': received none but "
                             "current is the value '60000' of type 'signedint'");
    m.arguments = table_int(&table, "x-message-ttl", 60001);
    ask_refused(&peer, AMQP_QUEUE_DECLARE, &m, 406,
                INEQUIVALENT "'x-message-ttl' for queue 'q' in vhost '/': received '60001' but "
                             "current is '60000'");
    m.arguments = table_int(&table, "x-message-ttl", 60000);
    amqp_put_bool(&table, text("x-single-active-consumer"), true);
    m.arguments = buf_slice(&table);
    ask_refused(&peer, AMQP_QUEUE_DECLARE, &m, 406,
                INEQUIVALENT "'x-single-active-consumer' for queue 'q' in vhost '/': received the "
                             "value 'true' of type 'bool' but current is none");
    m.durable = true;
    ask_refused(&peer, AMQP_QUEUE_DECLARE, &m, 406,
                INEQUIVALENT "'durable' for queue 'q' in vhost '/': received 'true' but current "
                             "is 'false'");
    m.exclusive = true; // looked at first
    ask_refused(&peer, AMQP_QUEUE_DECLARE, &m, 405,
                "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost "
                "'/'. It could be originally declared on another connection or the exclusive "
                "property value does not match that of the original declaration.");
    ask_refused(&peer, AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){.queue = text("amq.foo")},
                403, "ACCESS_REFUSED - queue name 'amq.foo' contains reserved prefix 'amq.*'");
    ask_refused(&peer, AMQP_QUEUE_DECLARE,
                &(struct amqp_queue_declare){.queue = text("nosuch"), .passive = true}, 404,
                "NOT_FOUND - no queue 'nosuch' in vhost '/'");
    ask_refused(&peer, AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){.passive = true}, 404,
                "NOT_FOUND - no queue '' in vhost '/'");
    peer_close(&peer);
    buf_fini(&table);
    rig_fini(&rig);
}

static void types_say_what_a_queue_may_be(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    struct buf table;
    rig_init(&rig);
    buf_init(&table, 1 << 20);
    peer_open(&rig, &peer, 1);
    struct amqp_queue_declare m = {.queue = text("q"),
                                   .arguments = table_text(&table, "x-queue-type", "quorum")};
    ask_refused(&peer, AMQP_QUEUE_DECLARE, &m, 406,
                "PRECONDITION_FAILED - invalid property 'non-durable' for queue 'q' in vhost '/'");
    m.durable = true;
    m.auto_delete = true;
    ask_refused(&peer, AMQP_QUEUE_DECLARE, &m, 406,
                "PRECONDITION_FAILED - invalid property 'auto-delete' for queue 'q' in vhost '/'");
    m.exclusive = true;
    ask_refused(
        &peer, AMQP_QUEUE_DECLARE, &m, 406,
        "PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue 'q' in vhost '/'");
    m = (struct amqp_queue_declare){.durable = true, .arguments = m.arguments};
    ask_refused(&peer, AMQP_QUEUE_DECLARE, &m, 406,
                "PRECONDITION_FAILED - Cannot declare a server-named queue for type "
                "rabbit_quorum_queue");
    m.queue = text("q");
    (void)declare_with(&peer, &m);
    m = (struct amqp_queue_declare){.queue = text("s"),
                                    .durable = true,
                                    .arguments = table_text(&table, "x-queue-type", "stream")};
    (void)declare_with(&peer, &m);
    m.queue = text("t");
    m.arguments = table_text(&table, "x-queue-type", "nosuch");
    ask_refused(&peer, AMQP_QUEUE_DECLARE, &m, 406,
                "PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 't' in vhost '/': "
                "\"unsupported queue type 'nosuch'\"");
    peer_close(&peer);
    buf_fini(&table);
    rig_fini(&rig);
}

static void the_empty_name_is_the_last_queue(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    char name[256];
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    ask_refused(&peer, AMQP_QUEUE_PURGE, &(struct amqp_queue_purge){0}, 404,
                "NOT_FOUND - no previously declared queue");
    ask_refused(&peer, AMQP_QUEUE_BIND, &(struct amqp_queue_bind){.exchange = text("amq.direct")},
                404, "NOT_FOUND - no previously declared queue");
    const struct amqp_queue_declare_ok *ok =
        ask(&peer, AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){.auto_delete = true},
            AMQP_QUEUE_DECLARE_OK);
    assert_memory_equal(ok->queue.data, "amq.gen-", 8);
    assert_int_equal(ok->queue.len, 30);
    slice_to_cstr(ok->queue, name, sizeof name);
    // The key is the queue's name as well.
    bind_queue(&peer, "", "amq.direct", "");
    const struct amqp_basic_publish m = {.exchange = text("amq.direct"), .routing_key = text(name)};
    put_content(&peer.out, 1, &m, &(struct amqp_properties){0}, text("body"));
    struct content content;
    (void)get(&peer, "", true, &content);
    assert_string_equal(content.body, "body");
    (void)ask(&peer, AMQP_QUEUE_DELETE, &(struct amqp_queue_delete){0}, AMQP_QUEUE_DELETE_OK);
    peer_close(&peer);
    rig_fini(&rig);
}

static void what_was_published_is_counted_purged_and_deleted(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    declare(&peer, "q");
    for (int i = 0; i < 3; i++)
        publish(&peer, "q", "m");
    assert_int_equal(look(&peer, "q").messages, 3); // all in one read
    ask_refused(&peer, AMQP_QUEUE_DELETE,
                &(struct amqp_queue_delete){.queue = text("q"), .if_empty = true}, 406,
                "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty");
    uint64_t tag = get(&peer, "q", false, NULL);
    publish(&peer, "q", "m");
    const struct amqp_queue_purge_ok *purged =
        ask(&peer, AMQP_QUEUE_PURGE, &(struct amqp_queue_purge){.queue = text("q")},
            AMQP_QUEUE_PURGE_OK);
    assert_int_equal(purged->message_count, 3); // not the one that is out
    nack(&peer, tag, false, true);
    publish(&peer, "q", "m");
    assert_int_equal(look(&peer, "q").messages, 2);
    const struct amqp_queue_delete_ok *deleted =
        ask(&peer, AMQP_QUEUE_DELETE, &(struct amqp_queue_delete){.queue = text("q")},
            AMQP_QUEUE_DELETE_OK);
    assert_int_equal(deleted->message_count, 2);
    deleted = ask(&peer, AMQP_QUEUE_DELETE, &(struct amqp_queue_delete){.queue = text("q")},
                  AMQP_QUEUE_DELETE_OK);
    assert_int_equal(deleted->message_count, 0);
    declare(&peer, "q");
    consume(&peer, "q", "c", true);
    ask_refused(&peer, AMQP_QUEUE_DELETE,
                &(struct amqp_queue_delete){.queue = text("q"), .if_unused = true}, 406,
                "PRECONDITION_FAILED - queue 'q' in vhost '/' in use");
    ask_refused(&peer, AMQP_QUEUE_PURGE, &(struct amqp_queue_purge){.queue = text("nosuch")}, 404,
                "NOT_FOUND - no queue 'nosuch' in vhost '/'");
    peer_close(&peer);
    rig_fini(&rig);
}

// ---- bindings

static void bindings_need_both_ends(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    struct buf table;
    rig_init(&rig);
    buf_init(&table, 1 << 20);
    peer_open(&rig, &peer, 1);
    declare(&peer, "q");
    declare_exchange(&peer, "x", "direct");
    declare_exchange(&peer, "h", "headers");
#define BIND(q, x) &(struct amqp_queue_bind){.queue = text(q), .exchange = text(x)}
#define UNBIND(q, x)                          \
    &(struct amqp_queue_unbind)               \
    {                                         \
        .queue = text(q), .exchange = text(x) \
    }
    ask_refused(&peer, AMQP_QUEUE_BIND, BIND("nosuch", "x"), 404,
                "NOT_FOUND - no queue 'nosuch' in vhost '/'");
    ask_refused(&peer, AMQP_QUEUE_BIND, BIND("q", "nosuch"), 404,
                "NOT_FOUND - no exchange 'nosuch' in vhost '/'");
    ask_refused(&peer, AMQP_QUEUE_BIND, BIND("nosuch", "nosuchx"), 404,
                "NOT_FOUND - no exchange 'nosuchx' in vhost '/'");
    ask_refused(&peer, AMQP_QUEUE_BIND, BIND("q", ""), 403,
                "ACCESS_REFUSED - operation not permitted on the default exchange");
    ask_refused(&peer, AMQP_QUEUE_UNBIND, UNBIND("q", ""), 403,
                "ACCESS_REFUSED - operation not permitted on the default exchange");
    (void)ask(&peer, AMQP_QUEUE_UNBIND, UNBIND("q", "x"), AMQP_QUEUE_UNBIND_OK);
    (void)ask(&peer, AMQP_QUEUE_UNBIND, UNBIND("nosuch", "x"), AMQP_QUEUE_UNBIND_OK);
    (void)ask(&peer, AMQP_QUEUE_UNBIND, UNBIND("q", "nosuch"), AMQP_QUEUE_UNBIND_OK);
    struct amqp_exchange_bind m = {.destination = text("x"), .source = text("nosuch")};
    ask_refused(&peer, AMQP_EXCHANGE_BIND, &m, 404,
                "NOT_FOUND - no exchange 'nosuch' in vhost '/'");
    m = (struct amqp_exchange_bind){.destination = text("nosuch"), .source = text("x")};
    ask_refused(&peer, AMQP_EXCHANGE_BIND, &m, 404,
                "NOT_FOUND - no exchange 'nosuch' in vhost '/'");
    struct amqp_queue_bind headers = {.queue = text("q"),
                                      .exchange = text("h"),
                                      .arguments = table_text(&table, "x-match", "some")};
    ask_refused(&peer, AMQP_QUEUE_BIND, &headers, 406,
                "PRECONDITION_FAILED - Invalid x-match field value <<\"some\">>; expected all, "
                "any, all-with-x, or any-with-x");
    headers.arguments = table_int(&table, "x-match", 5);
    ask_refused(&peer, AMQP_QUEUE_BIND, &headers, 406,
                "PRECONDITION_FAILED - Invalid x-match field type signedint (value 5); expected "
                "longstr");
    peer_close(&peer);
    buf_fini(&table);
    rig_fini(&rig);
}

static void unbound_is_unbound(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    declare(&peer, "q");
    declare_exchange(&peer, "a", "fanout");
    declare_exchange(&peer, "b", "topic");
    bind_queue(&peer, "q", "b", "red.#");
    const struct amqp_exchange_bind m = {
        .destination = text("b"), .source = text("a"), .routing_key = text("")};
    (void)ask(&peer, AMQP_EXCHANGE_BIND, &m, AMQP_EXCHANGE_BIND_OK);
    (void)ask(&peer, AMQP_EXCHANGE_BIND, &m, AMQP_EXCHANGE_BIND_OK); // twice is once
    const struct amqp_basic_publish red = {.exchange = text("a"), .routing_key = text("red.x")};
    put_content(&peer.out, 1, &red, &(struct amqp_properties){0}, text("1"));
    assert_int_equal(look(&peer, "q").messages, 1);
    const struct amqp_exchange_unbind u = {
        .destination = text("b"), .source = text("a"), .routing_key = text("")};
    (void)ask(&peer, AMQP_EXCHANGE_UNBIND, &u, AMQP_EXCHANGE_UNBIND_OK);
    put_content(&peer.out, 1, &red, &(struct amqp_properties){0}, text("2"));
    assert_int_equal(look(&peer, "q").messages, 1);
    peer_close(&peer);
    rig_fini(&rig);
}

// ---- exclusive queues

static void exclusive_queues_are_one_connections(void **state)
{
    (void)state;
    struct rig rig;
    struct peer mine, other;
    char text_405[300];
    rig_init(&rig);
    peer_open(&rig, &mine, 1);
    peer_open(&rig, &other, 1);
    const struct amqp_queue_declare m = {.queue = text("q"), .exclusive = true, .durable = true};
    (void)declare_with(&mine, &m);
    (void)declare_with(&mine, &m);
    (void)snprintf(text_405, sizeof text_405,
                   "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost "
                   "'/'. It could be originally declared on another connection or the exclusive "
                   "property value does not match that of the original declaration.");
    const struct {
        uint32_t method;
        const void *m;
    } asked[] = {
        {AMQP_QUEUE_DECLARE, &m},
        {AMQP_QUEUE_DECLARE, &(struct amqp_queue_declare){.queue = text("q"), .passive = true}},
        {AMQP_QUEUE_BIND, BIND("q", "amq.direct")},
        {AMQP_QUEUE_PURGE, &(struct amqp_queue_purge){.queue = text("q")}},
        {AMQP_QUEUE_DELETE, &(struct amqp_queue_delete){.queue = text("q")}},
        {AMQP_BASIC_CONSUME, &(struct amqp_basic_consume){.queue = text("q")}},
        {AMQP_BASIC_GET, &(struct amqp_basic_get){.queue = text("q")}},
    };
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++)
        ask_refused(&other, asked[i].method, asked[i].m, 405, text_405);
    // Anybody may publish to it.
    publish(&other, "q", "hello");
    assert_int_equal(look(&other, "amq.rabbitmq.reply-to").consumers, 1); // it is behind that
    assert_int_equal(look(&mine, "q").messages, 1);
    // It goes with its connection, before that hears so.
    put_method(&mine.out, 0, AMQP_CONNECTION_CLOSE, &(struct amqp_connection_close){0});
    (void)peer_expect(&mine, 0, AMQP_CONNECTION_CLOSE_OK);
    (void)declare_with(&other, &m);
    peer_close(&mine);
    // … and with one that breaks off.
    peer_close(&other);
    rig_run(&rig, SECONDS(1));
    peer_open(&rig, &mine, 1);
    declare(&mine, "q");
    peer_close(&mine);
    rig_fini(&rig);
}

// A connection that makes and deletes them for hours keeps no memory of those that are gone.
static void owned_queues_are_forgotten(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    int64_t before = 0;
    for (int i = 0; i < 60; i++) {
        (void)declare_with(&peer,
                           &(struct amqp_queue_declare){.queue = text("q"), .exclusive = true});
        (void)ask(&peer, AMQP_QUEUE_DELETE, &(struct amqp_queue_delete){.queue = text("q")},
                  AMQP_QUEUE_DELETE_OK);
        if (i == 10)
            before = rig_request_bytes(&rig);
    }
    assert_true(rig_request_bytes(&rig) <= before);
    peer_close(&peer);
    rig_run(&rig, SECONDS(1));
    assert_int_equal(rig_request_bytes(&rig), 0);
    rig_fini(&rig);
}

// A client that is gone while its declaration is under way.
static void nobody_waits_for_the_answer(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    for (int i = 0; i < 20; i++) {
        peer_open(&rig, &peer, 1);
        put_method(&peer.out, 1, AMQP_QUEUE_DECLARE,
                   &(struct amqp_queue_declare){.queue = text("q"), .exclusive = true});
        put_method(&peer.out, 1, AMQP_BASIC_CONSUME,
                   &(struct amqp_basic_consume){.queue = text("q")});
        put_method(&peer.out, 1, AMQP_BASIC_GET, &(struct amqp_basic_get){.queue = text("q")});
        peer_flush(&peer, i * 100000);
        peer_close(&peer);
    }
    rig_run(&rig, SECONDS(2));
    assert_int_equal(rig_connections(&rig), 0);
    assert_int_equal(rig_request_bytes(&rig), 0);
    peer_open(&rig, &peer, 1);
    declare(&peer, "q"); // none is left
    peer_close(&peer);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exchanges_are_what_they_were_declared),
        cmocka_unit_test(exchanges_are_deleted),
        cmocka_unit_test(queues_are_what_they_were_declared),
        cmocka_unit_test(types_say_what_a_queue_may_be),
        cmocka_unit_test(the_empty_name_is_the_last_queue),
        cmocka_unit_test(what_was_published_is_counted_purged_and_deleted),
        cmocka_unit_test(bindings_need_both_ends),
        cmocka_unit_test(unbound_is_unbound),
        cmocka_unit_test(exclusive_queues_are_one_connections),
        cmocka_unit_test(owned_queues_are_forgotten),
        cmocka_unit_test(nobody_waits_for_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
