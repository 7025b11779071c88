// SPDX-License-Identifier: Apache-2.0
//
// The door as a whole: messages between connections of different shards, what the end of a
// connection gives back, names that are a nuisance, a server that stops or dies with everything
// under way.
#include "amqp/door.h"

#include "amqp/rig_classes_test.h"
#include "node/queues.h"

static void test_where_it_listens(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        const struct io_listeners *l = amqp_door_listeners(rig.doors[i]);
        assert_int_equal(l->count, 1);
        assert_int_equal(l->addrs[0].port, 5672);
        assert_ptr_equal(amqp_door_of(node_shard(rig.node, i)), rig.doors[i]);
    }
    rig_fini(&rig);
}

// Many connections are on all shards, and a queue is on one.
static void test_between_shards(void **state)
{
    (void)state;
    enum { PUBLISHERS = 12, EACH = 5 };
    struct rig rig;
    struct peer consumer, publishers[PUBLISHERS];
    uint32_t seen[PUBLISHERS] = {0};
    rig_init(&rig);
    peer_open(&rig, &consumer, 1);
    declare(&consumer, "q");
    for (int i = 0; i < PUBLISHERS; i++) {
        peer_open(&rig, &publishers[i], 1);
        (void)ask(&publishers[i], AMQP_CONFIRM_SELECT, &(struct amqp_confirm_select){0},
                  AMQP_CONFIRM_SELECT_OK);
    }
    uint32_t shards = 0;
    for (int i = 0; i < RIG_SHARDS; i++)
        shards += rig_kind.connections(rig.doors[i]) > 0;
    assert_int_equal(shards, RIG_SHARDS);
    for (int n = 0; n < EACH; n++) {
        for (int i = 0; i < PUBLISHERS; i++) {
            char body[16];
            (void)snprintf(body, sizeof body, "%d %d", i, n);
            publish(&publishers[i], "q", body);
            const struct amqp_basic_ack *ok = peer_expect(&publishers[i], 1, AMQP_BASIC_ACK);
            assert_int_equal(ok->delivery_tag, n + 1);
        }
    }
    consume(&consumer, "q", "c", false);
    for (int k = 0; k < PUBLISHERS * EACH; k++) {
        struct content content;
        int i;
        int n;
        const struct amqp_basic_deliver *m = peer_expect(&consumer, 1, AMQP_BASIC_DELIVER);
        assert_int_equal(m->delivery_tag, k + 1);
        take_content(&consumer, &content);
        assert_int_equal(sscanf(content.body, "%d %d", &i, &n), 2);
        assert_int_equal(seen[i]++, n); // in the order of each publisher
    }
    ack(&consumer, 0, true); // all
    peer_flush(&consumer, MILLIS(200));
    assert_int_equal(look(&consumer, "q").messages, 0);
    for (int i = 0; i < PUBLISHERS; i++)
        peer_close(&publishers[i]);
    peer_close(&consumer);
    rig_fini(&rig);
}

static void test_death_gives_back(void **state)
{
    (void)state;
    struct rig rig;
    struct peer dies, lives;
    rig_init(&rig);
    peer_open(&rig, &dies, 1);
    peer_open(&rig, &lives, 1);
    declare(&dies, "q");
    publish(&dies, "q", "one");
    publish(&dies, "q", "two");
    consume(&dies, "q", "c", false);
    ack(&dies, delivered(&dies, "one", false), false);
    (void)delivered(&dies, "two", false);
    peer_close(&dies); // without a word
    rig_run(&rig, SECONDS(1));
    consume(&lives, "q", "c", false);
    ack(&lives, delivered(&lives, "two", true), false);
    nothing_comes(&lives);
    peer_close(&lives);
    rig_fini(&rig);
}

static void test_exclusive_is_gone_with_close_ok(void **state)
{
    (void)state;
    struct rig rig;
    struct peer owner, other;
    const struct amqp_queue_declare mine = {.queue = slice_cstr("mine"), .exclusive = true};
    const struct amqp_queue_declare there = {.queue = slice_cstr("mine"), .passive = true};
    rig_init(&rig);
    peer_open(&rig, &other, 1);
    for (int orderly = 0; orderly < 2; orderly++) {
        peer_open(&rig, &owner, 1);
        (void)declare_with(&owner, &mine);
        ask_refused(&other, AMQP_QUEUE_DECLARE, &there, 405,
                    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in "
                    "vhost '/'. It could be originally declared on another connection or the "
                    "exclusive property value does not match that of the original declaration.");
        if (orderly != 0) {
            put_method(&owner.out, 0, AMQP_CONNECTION_CLOSE, &(struct amqp_connection_close){0});
            (void)peer_expect(&owner, 0, AMQP_CONNECTION_CLOSE_OK);
        }
        peer_close(&owner);
        if (orderly == 0) // nobody says when it is gone
            rig_run(&rig, SECONDS(1));
        ask_refused(&other, AMQP_QUEUE_DECLARE, &there, 404,
                    "NOT_FOUND - no queue 'mine' in vhost '/'");
    }
    peer_close(&other);
    rig_fini(&rig);
}

static struct amqp_conn *conn_that_waits(const struct rig *rig)
{
    for (int i = 0; i < RIG_SHARDS; i++) {
        const struct amqp_door *door = rig->doors[i];
        LIST_FOR (it, &door->conns) {
            struct amqp_conn *conn = CONTAINER_OF(it, struct amqp_conn, link);
            if (conn->holds > 0)
                return conn;
        }
    }
    return NULL;
}

// A connection that is lost while it is being made: nobody else may have it, or would delete it.
static void exclusive_is_gone_with_who_did_not_wait(struct rig *rig, uint32_t method,
                                                    const void *args)
{
    struct peer owner;
    struct amqp_conn *conn;
    peer_open(rig, &owner, 1);
    put_method(&owner.out, 1, method, args);
    rig_raw_send(&owner.raw, owner.out.data, owner.out.len);
    while ((conn = conn_that_waits(rig)) == NULL)
        rig_run(rig, 1000);
    amqp_conn_close(conn); // as when what it is sent cannot be sent
    rig_run(rig, SECONDS(1));
    assert_int_equal(queue_facts_count(node_shard(rig->node, 0)), 0);
    assert_int_equal(rig_request_bytes(rig), 0);
    peer_close(&owner);
}

static void test_exclusive_is_gone_with_who_did_not_wait(void **state)
{
    (void)state;
    struct rig rig;
    const struct amqp_queue_declare mine = {.queue = slice_cstr("mine"), .exclusive = true};
    const struct amqp_basic_consume replies = {.queue = slice_cstr("amq.rabbitmq.reply-to"),
                                               .no_ack = true};
    rig_init(&rig);
    for (int i = 0; i < 6; i++) { // on several shards
        exclusive_is_gone_with_who_did_not_wait(&rig, AMQP_QUEUE_DECLARE, &mine);
        exclusive_is_gone_with_who_did_not_wait(&rig, AMQP_BASIC_CONSUME, &replies);
    }
    rig_fini(&rig);
}

// What no terminal and no file should see: it is a name like others, and comes back as it went.
static void test_names_that_are_a_nuisance(void **state)
{
    (void)state;
    static const char *const names[] = {
        "\x1b[2J", "../../etc/passwd", "tab\there\x7f", "%s%n", "\xc3\xbc\xe2\x82\xac", ".", "a/b"};
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char why[128];
        (void)snprintf(why, sizeof why, "NOT_FOUND - no queue '%s' in vhost '/'", names[i]);
        ask_refused(&peer, AMQP_QUEUE_DECLARE,
                    &(struct amqp_queue_declare){.queue = text(names[i]), .passive = true}, 404,
                    why);
        declare(&peer, names[i]);
        publish(&peer, names[i], "body");
        struct content content;
        (void)get(&peer, names[i], true, &content);
        assert_string_equal(content.body, "body");
        assert_int_equal(look(&peer, names[i]).messages, 0);
    }
    peer_close(&peer);
    rig_fini(&rig);
}

// Connections with consumers, deliveries, confirms and half a content; then the end.
static void everything_under_way(struct rig *rig, struct peer *peers, int count)
{
    for (int i = 0; i < count; i++) {
        peer_open(rig, &peers[i], 2);
        declare(&peers[i], "q");
        (void)declare_with(&peers[i], &(struct amqp_queue_declare){.exclusive = true});
        (void)ask(&peers[i], AMQP_CONFIRM_SELECT, &(struct amqp_confirm_select){0},
                  AMQP_CONFIRM_SELECT_OK);
        consume(&peers[i], "q", "c", false);
        for (int n = 0; n < 20; n++)
            publish(&peers[i], "q", "body");
        put_publish(&peers[i].out, 2, "q");
        put_header(&peers[i].out, 2, 1000);
        put_method(&peers[i].out, 1, AMQP_QUEUE_DECLARE,
                   &(struct amqp_queue_declare){.queue = text("another"), .durable = true});
        rig_raw_send(&peers[i].raw, peers[i].out.data, peers[i].out.len);
        rig_run(rig, MILLIS(1));
    }
}

static void test_stops_with_everything_under_way(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peers[5];
    rig_init(&rig);
    everything_under_way(&rig, peers, 5);
    rig_fini(&rig);
    // the peers' sockets ended with their world
    for (int i = 0; i < 5; i++) {
        buf_fini(&peers[i].raw.in);
        buf_fini(&peers[i].out);
        arena_fini(&peers[i].arena);
    }
}

static void test_dies_with_everything_under_way(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peers[5];
    for (int64_t after = 0; after < 10; after++) {
        rig_init(&rig);
        everything_under_way(&rig, peers, 5);
        rig_run(&rig, MILLIS(after));
        sim_crash(rig.server, SIM_POWER_LOSS);
        for (int i = 0; i < 5; i++)
            peer_close(&peers[i]);
        rig_fini(&rig);
    }
}

// Idle channels are memory like any other: whoever opens more than there is waits.
static void test_channels_without_end(void **state)
{
    (void)state;
    enum { PEERS = 30 };
    struct rig rig;
    struct peer *peers = mem_alloc(PEERS * sizeof *peers);
    rig_init(&rig);
    for (int i = 0; i < PEERS; i++) {
        peer_open(&rig, &peers[i], 0);
        for (uint16_t ch = 1; ch <= AMQP_CHANNEL_MAX; ch++)
            put_method(&peers[i].out, ch, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0});
        peer_flush(&peers[i], MILLIS(500));
    }
    assert_true(rig_request_bytes(&rig) <= 33 << 20);
    for (int i = 1; i < PEERS; i++)
        peer_close(&peers[i]);
    rig_run(&rig, SECONDS(1));
    peer_open(&rig, &peers[1], 1);
    declare(&peers[1], "q");
    peer_close(&peers[1]);
    peer_close(&peers[0]);
    rig_run(&rig, SECONDS(1));
    assert_int_equal(rig_request_bytes(&rig), 0);
    mem_free(peers);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_it_listens),
        cmocka_unit_test(test_between_shards),
        cmocka_unit_test(test_death_gives_back),
        cmocka_unit_test(test_exclusive_is_gone_with_close_ok),
        cmocka_unit_test(test_exclusive_is_gone_with_who_did_not_wait),
        cmocka_unit_test(test_channels_without_end),
        cmocka_unit_test(test_names_that_are_a_nuisance),
        cmocka_unit_test(test_stops_with_everything_under_way),
        cmocka_unit_test(test_dies_with_everything_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
