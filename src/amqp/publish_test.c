// SPDX-License-Identifier: Apache-2.0
//
// Publishing: what is returned, confirmed, refused, in which order; routing by CC and BCC; and that
// a confirm is worth what it says when the server breaks down.
#include "amqp/confirm.h"
#include "amqp/rig_classes_test.h"

static void select_confirms(struct peer *peer)
{
    (void)ask(peer, AMQP_CONFIRM_SELECT, &(struct amqp_confirm_select){0}, AMQP_CONFIRM_SELECT_OK);
}

// Takes acks until one of `tag` has come; how many methods that took.
static uint32_t confirmed_up_to(struct peer *peer, uint64_t tag)
{
    uint64_t next = 1;
    uint32_t methods = 0;
    while (next <= tag) {
        const struct amqp_basic_ack *m = peer_expect(peer, 1, AMQP_BASIC_ACK);
        assert_true(m->delivery_tag >= next);
        if (!m->multiple)
            assert_int_equal(m->delivery_tag, next);
        next = m->delivery_tag + 1;
        methods++;
    }
    assert_int_equal(next, tag + 1);
    return methods;
}

static void many_are_confirmed_by_few(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    declare(&peer, "q");
    select_confirms(&peer);
    select_confirms(&peer);
    for (int i = 0; i < 500; i++)
        publish(&peer, "q", "m");
    peer_flush(&peer, SECONDS(1));
    uint32_t methods = confirmed_up_to(&peer, 500);
    print_message("500 messages confirmed by %u methods\n", methods);
    assert_true(methods < 50);
    // One at a time, by itself.
    publish(&peer, "q", "m");
    const struct amqp_basic_ack *m = peer_expect(&peer, 1, AMQP_BASIC_ACK);
    assert_int_equal(m->delivery_tag, 501);
    assert_false(m->multiple);
    assert_int_equal(look(&peer, "q").messages, 501);
    peer_close(&peer);
    rig_fini(&rig);
}

// A message that no queue takes comes back before it is confirmed, and between others.
static void unroutable_ones_come_back_first(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    struct content content;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    declare(&peer, "q");
    select_confirms(&peer);
    const struct amqp_properties p = {.flags = AMQP_MESSAGE_ID, .message_id = text("id")};
    struct amqp_basic_publish m = {.routing_key = text("nosuch"), .mandatory = true};
    publish(&peer, "q", "1");
    put_content(&peer.out, 1, &m, &p, text("2"));
    m.mandatory = false;
    put_content(&peer.out, 1, &m, &p, text("3"));
    publish(&peer, "q", "4");
    const struct amqp_basic_return *back = peer_expect(&peer, 1, AMQP_BASIC_RETURN);
    assert_int_equal(back->reply_code, 312);
    assert_true(slice_eq_cstr(back->reply_text, "NO_ROUTE"));
    assert_true(slice_eq_cstr(back->routing_key, "nosuch"));
    take_content(&peer, &content);
    assert_string_equal(content.body, "2");
    assert_true(slice_eq_cstr(content.properties.message_id, "id"));
    (void)confirmed_up_to(&peer, 4);
    nothing_comes(&peer);
    assert_int_equal(look(&peer, "q").messages, 2);
    peer_close(&peer);
    rig_fini(&rig);
}

// Runs end in any order: what is published to queues in memory overtakes what waits for the disk,
// on all shards.
static void every_tag_is_confirmed_once(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct rig rig;
    struct peer peer;
    bool seen[COUNT + 1] = {false};
    uint64_t all = 0; // up to here by `multiple`
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    static const char *const queues[] = {"d1", "d2", "d3", "t1", "t2", "t3", "nosuch"};
    for (int i = 0; i < 6; i++)
        (void)declare_with(&peer, &(struct amqp_queue_declare){.queue = text(queues[i]),
                                                               .durable = queues[i][0] == 'd'});
    select_confirms(&peer);
    for (int i = 0; i < COUNT; i++) {
        publish(&peer, queues[i * 31 % 7], "m");
        if (i % 3 == 0)
            peer_flush(&peer, MILLIS(1) / 8);
    }
    peer_flush(&peer, SECONDS(1));
    uint32_t methods = 0;
    while (peer_next(&peer)) {
        assert_int_equal(peer.method, AMQP_BASIC_ACK);
        const struct amqp_basic_ack *m = peer.args;
        assert_true(m->delivery_tag >= 1 && m->delivery_tag <= COUNT);
        if (m->multiple) {
            for (uint64_t tag = all + 1; tag <= m->delivery_tag; tag++)
                seen[tag] = true;
            all = m->delivery_tag > all ? m->delivery_tag : all;
        } else {
            assert_false(seen[m->delivery_tag]);
            seen[m->delivery_tag] = true;
        }
        methods++;
    }
    for (int i = 1; i <= COUNT; i++)
        assert_true(seen[i]);
    print_message("%d messages to seven queues confirmed by %u methods\n", COUNT, methods);
    peer_close(&peer);
    rig_fini(&rig);
}

static void what_is_confirmed_is_there_after_a_crash(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    uint64_t confirmed = 0;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    declare(&peer, "q");
    select_confirms(&peer);
    for (int i = 0; i < 200; i++) {
        char body[16];
        (void)snprintf(body, sizeof body, "%d", i + 1);
        publish(&peer, "q", body);
        peer_flush(&peer, MILLIS(1) / 20);
        while (peer_next(&peer))
            confirmed = ((const struct amqp_basic_ack *)peer.args)->delivery_tag;
    }
    assert_true(confirmed > 0);
    for (int i = 200; i < 210; i++) {
        char body[16];
        (void)snprintf(body, sizeof body, "%d", i + 1);
        publish(&peer, "q", body);
    }
    peer_flush(&peer, MILLIS(1) / 2);
    while (peer_next(&peer))
        confirmed = ((const struct amqp_basic_ack *)peer.args)->delivery_tag;
    sim_crash(rig.server, SIM_POWER_LOSS);
    node_destroy(rig.node);
    sim_world_free(rig.server_world);
    peer_close(&peer);
    static const char *const config[] = {"weir.journal.file.bytes=4194304", NULL};
    rig_start(&rig, config);
    peer_open(&rig, &peer, 1);
    uint32_t there = look(&peer, "q").messages;
    print_message("%llu confirmed, %u there\n", (unsigned long long)confirmed, there);
    assert_true(there >= confirmed);
    for (uint32_t i = 0; i < there; i++) {
        struct content content;
        char body[16];
        (void)snprintf(body, sizeof body, "%u", i + 1);
        (void)get(&peer, "q", true, &content);
        assert_string_equal(content.body, body);
        assert_int_equal(content.properties.delivery_mode, 2);
    }
    peer_close(&peer);
    rig_fini(&rig);
}

static void refusals(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    struct buf headers;
    rig_init(&rig);
    buf_init(&headers, 4096);
    peer_open(&rig, &peer, 1);
    declare(&peer, "q");
    (void)ask(&peer, AMQP_EXCHANGE_DECLARE,
              &(struct amqp_exchange_declare){
                  .exchange = text("inner"), .type = text("direct"), .internal = true},
              AMQP_EXCHANGE_DECLARE_OK);
    amqp_put_text(&headers, text("CC"), text("no array"));
    const struct {
        struct amqp_basic_publish m;
        struct amqp_properties p;
        uint16_t code;
        const char *why;
    } cases[] = {
        {{.exchange = text("nosuch")}, {0}, 404, "NOT_FOUND - no exchange 'nosuch' in vhost '/'"},
        {{.exchange = text("inner")},
         {0},
         403,
         "ACCESS_REFUSED - cannot publish to internal exchange 'inner' in vhost '/'"},
        {{.routing_key = text("q")},
         {.flags = AMQP_USER_ID, .user_id = text("foo")},
         406,
         "PRECONDITION_FAILED - user_id property set to 'foo' but authenticated user was 'guest'"},
        {{.routing_key = text("q")},
         {.flags = AMQP_EXPIRATION, .expiration = text("5a")},
         406,
         "PRECONDITION_FAILED - invalid expiration '5a': {leftover_string,\"a\"}"},
        {{.routing_key = text("q")},
         {.flags = AMQP_HEADERS, .headers = buf_slice(&headers)},
         406,
         "PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"CC\",longstr}"},
        {{.routing_key = text("q")},
         {.flags = AMQP_REPLY_TO, .reply_to = text("amq.rabbitmq.reply-to")},
         406,
         "PRECONDITION_FAILED - fast reply consumer does not exist"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_content(&peer.out, 1, &cases[i].m, &cases[i].p, text("body"));
        peer_expect_close(&peer, 1, cases[i].code, cases[i].why);
        put_method(&peer.out, 1, AMQP_CHANNEL_CLOSE_OK, &(struct amqp_channel_close_ok){0});
        (void)ask(&peer, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0}, AMQP_CHANNEL_OPEN_OK);
    }
    const struct amqp_basic_publish m = {.routing_key = text("q"), .immediate = true};
    put_content(&peer.out, 1, &m, &(struct amqp_properties){0}, text("body"));
    peer_expect_close(&peer, 0, 540, "NOT_IMPLEMENTED - immediate=true");
    peer_close(&peer);
    peer_open(&rig, &peer, 1);
    const struct amqp_properties mine = {.flags = AMQP_USER_ID, .user_id = text("guest")};
    const struct amqp_basic_publish good = {.routing_key = text("q")};
    put_content(&peer.out, 1, &good, &mine, text("body"));
    assert_int_equal(look(&peer, "q").messages, 1); // of all
    peer_close(&peer);
    buf_fini(&headers);
    rig_fini(&rig);
}

static void keys_in_headers(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    struct buf headers;
    struct content content;
    struct amqp_value value;
    static const char *const names[] = {"to", "cc", "bcc"};
    rig_init(&rig);
    buf_init(&headers, 4096);
    peer_open(&rig, &peer, 1);
    for (int i = 0; i < 3; i++)
        declare(&peer, names[i]);
    size_t array = amqp_open_array(&headers, text("CC"));
    amqp_put_text(&headers, SLICE_NULL, text("cc"));
    amqp_put_text(&headers, SLICE_NULL, text("to")); // once all the same
    amqp_close(&headers, array);
    array = amqp_open_array(&headers, text("BCC"));
    amqp_put_text(&headers, SLICE_NULL, text("bcc"));
    amqp_close(&headers, array);
    const struct amqp_properties p = {.flags = AMQP_HEADERS, .headers = buf_slice(&headers)};
    put_content(&peer.out, 1, &(struct amqp_basic_publish){.routing_key = text("to")}, &p,
                text("letter"));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(look(&peer, names[i]).messages, 1);
        const struct amqp_basic_get_ok *ok = ask(
            &peer, AMQP_BASIC_GET,
            &(struct amqp_basic_get){.queue = text(names[i]), .no_ack = true}, AMQP_BASIC_GET_OK);
        assert_true(slice_eq_cstr(ok->routing_key, "to")); // as it was published
        take_content(&peer, &content);
        assert_int_equal(amqp_table_get(content.properties.headers, "CC", &value), 0);
        assert_int_equal(amqp_table_get(content.properties.headers, "BCC", &value), ERR_NOT_FOUND);
    }
    peer_close(&peer);
    buf_fini(&headers);
    rig_fini(&rig);
}

static void headers_exchanges_look_at_headers(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    struct buf table;
    rig_init(&rig);
    buf_init(&table, 1 << 20);
    peer_open(&rig, &peer, 1);
    declare(&peer, "q");
    amqp_put_text(&table, text("x-match"), text("all"));
    amqp_put_int(&table, text("size"), 5);
    amqp_put_null(&table, text("colour")); // any
    (void)ask(&peer, AMQP_QUEUE_BIND,
              &(struct amqp_queue_bind){.queue = text("q"),
                                        .exchange = text("amq.headers"),
                                        .arguments = buf_slice(&table)},
              AMQP_QUEUE_BIND_OK);
    const struct amqp_basic_publish m = {.exchange = text("amq.headers")};
    struct amqp_properties p = {.flags = AMQP_HEADERS};
    for (int i = 0; i < 4; i++) {
        static const uint8_t byte_5[] = {'b', 5}; // the same number in another type
        buf_clear(&table);
        if (i == 0)
            amqp_put_raw(&table, text("size"), slice_of(byte_5, sizeof byte_5));
        else
            amqp_put_int(&table, text("size"), 4 + i);
        if (i != 2)
            amqp_put_text(&table, text("colour"), text("red"));
        p.headers = buf_slice(&table);
        put_content(&peer.out, 1, &m, &p, text("m"));
    }
    assert_int_equal(look(&peer, "q").messages, 2);
    buf_clear(&table); // as many as a frame can hold are looked at, too
    for (int i = 0; i < 65000; i++)
        amqp_put_null(&table, text(""));
    amqp_put_int(&table, text("size"), 5);
    amqp_put_text(&table, text("colour"), text("red"));
    p.headers = buf_slice(&table);
    put_content(&peer.out, 1, &m, &p, text("m"));
    assert_int_equal(look(&peer, "q").messages, 3);
    buf_clear(&table); // and dead letters have what they had
    amqp_put_text(&table, text("x-dead-letter-exchange"), text("amq.headers"));
    amqp_put_int(&table, text("x-message-ttl"), 0);
    (void)declare_with(&peer, &(struct amqp_queue_declare){.queue = text("grave"),
                                                           .durable = true,
                                                           .arguments = buf_slice(&table)});
    for (int i = 0; i < 2; i++) {
        buf_clear(&table);
        amqp_put_int(&table, text("size"), 5 + i);
        amqp_put_text(&table, text("colour"), text("blue"));
        p.headers = buf_slice(&table);
        put_content(&peer.out, 1, &(struct amqp_basic_publish){.routing_key = text("grave")}, &p,
                    text("m"));
        (void)look(&peer, "grave");
    }
    rig_run(&rig, SECONDS(1));
    assert_int_equal(look(&peer, "grave").messages, 0);
    assert_int_equal(look(&peer, "q").messages, 4);
    peer_close(&peer);
    buf_fini(&table);
    rig_fini(&rig);
}

// ---- times

static void times_to_live_and_delays(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    struct buf table;
    struct content content;
    struct amqp_value value;
    rig_init(&rig);
    buf_init(&table, 4096);
    peer_open(&rig, &peer, 1);
    declare(&peer, "dead");
    amqp_put_text(&table, text("x-dead-letter-exchange"), text(""));
    amqp_put_text(&table, text("x-dead-letter-routing-key"), text("dead"));
    (void)declare_with(&peer, &(struct amqp_queue_declare){.queue = text("q"),
                                                           .durable = true,
                                                           .arguments = buf_slice(&table)});
    const struct amqp_properties p = {.flags = AMQP_EXPIRATION, .expiration = text("500")};
    put_content(&peer.out, 1, &(struct amqp_basic_publish){.routing_key = text("q")}, &p,
                text("m"));
    assert_int_equal(look(&peer, "q").messages, 1);
    rig_run(&rig, SECONDS(2));
    assert_int_equal(look(&peer, "q").messages, 0);
    (void)get(&peer, "dead", true, &content);
    assert_int_equal(amqp_table_get(content.properties.headers, "x-death", &value), 0);
    assert_int_equal(content.properties.flags & AMQP_EXPIRATION, 0);
    // Not before five seconds are over.
    buf_clear(&table);
    amqp_put_text(&table, text("x-delayed-type"), text("direct"));
    (void)ask(&peer, AMQP_EXCHANGE_DECLARE,
              &(struct amqp_exchange_declare){.exchange = text("later"),
                                              .type = text("x-delayed-message"),
                                              .arguments = buf_slice(&table)},
              AMQP_EXCHANGE_DECLARE_OK);
    bind_queue(&peer, "q", "later", "k");
    buf_clear(&table);
    amqp_put_int(&table, text("x-delay"), 5000);
    const struct amqp_properties delay = {.flags = AMQP_HEADERS, .headers = buf_slice(&table)};
    const struct amqp_basic_publish m = {.exchange = text("later"), .routing_key = text("k")};
    put_content(&peer.out, 1, &m, &delay, text("m"));
    assert_int_equal(look(&peer, "q").messages, 0);
    rig_run(&rig, SECONDS(4));
    assert_int_equal(look(&peer, "q").messages, 0);
    rig_run(&rig, SECONDS(2));
    assert_int_equal(look(&peer, "q").messages, 1);
    peer_close(&peer);
    buf_fini(&table);
    rig_fini(&rig);
}

// ---- direct reply-to

static void replies(void **state)
{
    (void)state;
    struct rig rig;
    struct peer client, server;
    struct content content;
    char to[256];
    rig_init(&rig);
    peer_open(&rig, &client, 1);
    peer_open(&rig, &server, 1);
    declare(&server, "rpc");
#define CONSUME(t, ack)           \
    &(struct amqp_basic_consume){ \
        .queue = text("amq.rabbitmq.reply-to"), .consumer_tag = text(t), .no_ack = !(ack)}
    ask_refused(&client, AMQP_BASIC_CONSUME, CONSUME("c", true), 406,
                "PRECONDITION_FAILED - reply consumer cannot acknowledge");
    (void)ask(&client, AMQP_BASIC_CONSUME, CONSUME("c", false), AMQP_BASIC_CONSUME_OK);
    const struct amqp_properties p = {.flags = AMQP_REPLY_TO,
                                      .reply_to = text("amq.rabbitmq.reply-to")};
    put_content(&client.out, 1, &(struct amqp_basic_publish){.routing_key = text("rpc")}, &p,
                text("question"));
    nothing_comes(&client);
    (void)get(&server, "rpc", true, &content);
    slice_to_cstr(content.properties.reply_to, to, sizeof to);
    assert_memory_equal(to, "amq.rabbitmq.reply-to.", 22);
    assert_int_equal(look(&server, to).consumers, 1);
    put_content(&server.out, 1, &(struct amqp_basic_publish){.routing_key = text(to)},
                &(struct amqp_properties){0}, text("answer"));
    nothing_comes(&server);
    (void)delivered(&client, "answer", false);
    // Its name is gone with its consumer.
    (void)ask(&client, AMQP_BASIC_CANCEL, &(struct amqp_basic_cancel){.consumer_tag = text("c")},
              AMQP_BASIC_CANCEL_OK);
    char why[400];
    (void)snprintf(why, sizeof why, "NOT_FOUND - no queue '%s' in vhost '/'", to);
    ask_refused(&server, AMQP_QUEUE_DECLARE,
                &(struct amqp_queue_declare){.queue = text(to), .passive = true}, 404, why);
    (void)ask(&client, AMQP_BASIC_CONSUME, CONSUME("c", false), AMQP_BASIC_CONSUME_OK);
    ask_refused(&client, AMQP_BASIC_CONSUME, CONSUME("d", false), 406,
                "PRECONDITION_FAILED - reply consumer already set");
    peer_close(&client);
    peer_close(&server);
    rig_fini(&rig);
}

// A client that breaks off while its confirms are under way.
static void nobody_waits_for_confirms(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    declare(&peer, "q");
    peer_close(&peer);
    for (int i = 0; i < 20; i++) {
        peer_open(&rig, &peer, 1);
        select_confirms(&peer);
        for (int k = 0; k < 10; k++)
            publish(&peer, k % 3 == 0 ? "nosuch" : "q", "m");
        peer_flush(&peer, i * 50000);
        if (i % 2 == 0)
            put_method(&peer.out, 1, AMQP_CHANNEL_CLOSE, &(struct amqp_channel_close){0});
        peer_flush(&peer, i * 50000);
        peer_close(&peer);
    }
    peer_open(&rig, &peer, 1); // what is in the queue is memory as well
    (void)ask(&peer, AMQP_QUEUE_DELETE, &(struct amqp_queue_delete){.queue = text("q")},
              AMQP_QUEUE_DELETE_OK);
    peer_close(&peer);
    rig_run(&rig, SECONDS(2));
    assert_int_equal(rig_connections(&rig), 0);
    assert_int_equal(rig_request_bytes(&rig), 0);
    rig_fini(&rig);
}

static void put_large(struct buf *out, const char *exchange, size_t bytes)
{
    static const uint8_t frame[64 << 10];
    put_method(out, 1, AMQP_BASIC_PUBLISH,
               &(struct amqp_basic_publish){.exchange = text(exchange)});
    put_header(out, 1, bytes);
    for (size_t part; bytes > 0; bytes -= part) {
        part = bytes < sizeof frame ? bytes : sizeof frame;
        put_frame(out, AMQP_FRAME_BODY, 1, frame, part);
    }
}

// Of a fanout some queues have the message when memory ends: it is refused, and the next one is
// not.
static void memory_ends_among_copies(void **state)
{
    (void)state;
    enum { QUEUES = 12 };
    static const char *const names[QUEUES] = {"q0", "q1", "q2", "q3", "q4",  "q5",
                                              "q6", "q7", "q8", "q9", "q10", "q11"};
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    declare_exchange(&peer, "all", "fanout");
    for (int i = 0; i < QUEUES; i++) {
        declare(&peer, names[i]);
        bind_queue(&peer, names[i], "all", "");
    }
    select_confirms(&peer);
    size_t taken[RIG_SHARDS], large = 0;
    for (int i = 0; i < RIG_SHARDS; i++) {
        struct budget *budget = shard_request_budget(((struct amqp_door *)rig.doors[i])->shard);
        large = (size_t)budget->limit_bytes / 16;
        taken[i] = large * 14;
        budget_force(budget, taken[i]);
    }
    put_large(&peer.out, "all", large);
    const struct amqp_basic_nack *refused = peer_expect(&peer, 1, AMQP_BASIC_NACK);
    assert_int_equal(refused->delivery_tag, 1);
    assert_false(refused->multiple);
    for (int i = 0; i < RIG_SHARDS; i++)
        budget_give(shard_request_budget(((struct amqp_door *)rig.doors[i])->shard), taken[i]);
    publish(&peer, names[QUEUES - 1], "m");
    const struct amqp_basic_ack *taken_last = peer_expect(&peer, 1, AMQP_BASIC_ACK);
    assert_int_equal(taken_last->delivery_tag, 2);
    assert_false(taken_last->multiple);
    assert_int_equal(look(&peer, names[QUEUES - 1]).messages, 1);
    assert_true(look(&peer, names[0]).messages > 0);
    nothing_comes(&peer);
    peer_close(&peer);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_are_confirmed_by_few),
        cmocka_unit_test(unroutable_ones_come_back_first),
        cmocka_unit_test(every_tag_is_confirmed_once),
        cmocka_unit_test(what_is_confirmed_is_there_after_a_crash),
        cmocka_unit_test(refusals),
        cmocka_unit_test(keys_in_headers),
        cmocka_unit_test(headers_exchanges_look_at_headers),
        cmocka_unit_test(times_to_live_and_delays),
        cmocka_unit_test(replies),
        cmocka_unit_test(nobody_waits_for_confirms),
        cmocka_unit_test(memory_ends_among_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
