// SPDX-License-Identifier: Apache-2.0
//
// The handshake and the end of connections, limits, deadlines, heartbeats.
#include "amqp/rig_upper_test.h"

// ---- the handshake

static void test_server_properties(void **state)
{
    (void)state;
    static const char *const names[] = {"product", "version",     "platform",    "copyright",
                                        "weir",    "information", "cluster_name"};
    static const char *const capabilities[] = {
        "publisher_confirms", "exchange_exchange_bindings",   "basic.nack",
        "connection.blocked", "consumer_cancel_notify",       "consumer_priorities",
        "per_consumer_qos",   "authentication_failure_close", "direct_reply_to"};
    struct rig rig;
    struct peer peer;
    struct amqp_value v;
    rig_init(&rig);
    peer_connect(&rig, &peer);
    buf_put(&peer.out, PROTOCOL_HEADER, 8);
    const struct amqp_connection_start *start = peer_expect(&peer, 0, AMQP_CONNECTION_START);
    assert_int_equal(start->version_major, 0);
    assert_int_equal(start->version_minor, 9);
    assert_true(slice_eq_cstr(start->mechanisms, "PLAIN AMQPLAIN"));
    assert_true(slice_eq_cstr(start->locales, "en_US"));
    assert_int_equal(amqp_table_check(start->server_properties), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(amqp_table_get(start->server_properties, names[i], &v), 0);
        assert_int_equal(v.kind, AMQP_TEXT);
    }
    assert_int_equal(amqp_table_get(start->server_properties, "product", &v), 0);
    assert_true(slice_eq_cstr(v.bytes, "RabbitMQ"));
    assert_int_equal(amqp_table_get(start->server_properties, "capabilities", &v), 0);
    struct slice table = v.bytes;
    for (size_t i = 0; i < sizeof capabilities / sizeof capabilities[0]; i++) {
        assert_int_equal(amqp_table_get(table, capabilities[i], &v), 0);
        assert_int_equal(v.number, 1);
    }
    peer_close(&peer);
    rig_fini(&rig);
}

static void test_other_protocols(void **state)
{
    (void)state;
    static const char *const headers[] = {"AMQP\0\1\0\0", "AMQP\0\0\x09\0", "AMQP\3\1\0\0",
                                          "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\0\xb9\1\0\0\xb5"};
    static const size_t lens[] = {8, 8, 8, 18, 9};
    struct rig rig;
    rig_init(&rig);
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        struct peer peer;
        peer_connect(&rig, &peer);
        buf_put(&peer.out, headers[i], lens[i]);
        peer_flush(&peer, MILLIS(200));
        assert_int_equal(peer.raw.in.len, 8);
        assert_memory_equal(peer.raw.in.data, PROTOCOL_HEADER, 8);
        assert_true(peer.raw.ended);
        peer_close(&peer);
    }
    assert_int_equal(rig_connections(&rig), 0);
    rig_fini(&rig);
}

static void start_ok(struct peer *peer, const char *mechanism, struct slice response)
{
    const struct amqp_connection_start_ok m = {
        .mechanism = slice_cstr(mechanism), .response = response, .locale = slice_cstr("en_US")};
    put_method(&peer->out, 0, AMQP_CONNECTION_START_OK, &m);
}

#define BYTES(text)                               \
    {                                             \
        (const uint8_t *)(text), sizeof(text) - 1 \
    }

static void test_amqplain(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    struct buf table;
    rig_init(&rig);
    buf_init(&table, 256);
    amqp_put_text(&table, slice_cstr("LOGIN"), slice_cstr("guest"));
    amqp_put_text(&table, slice_cstr("PASSWORD"), slice_cstr("guest"));
    peer_to_state(&rig, &peer, AMQP_CONN_STARTING, 0);
    start_ok(&peer, "AMQPLAIN", buf_slice(&table));
    const struct amqp_connection_tune *tune = peer_expect(&peer, 0, AMQP_CONNECTION_TUNE);
    assert_int_equal(tune->channel_max, 2047);
    assert_int_equal(tune->frame_max, 131072);
    assert_int_equal(tune->heartbeat, 60);
    peer_close(&peer);
    buf_fini(&table);
    rig_fini(&rig);
}

// Who may not log in is told so if it can bear it, and waits; who says nonsense only waits.
static void test_logins_refused(void **state)
{
    (void)state;
    static const struct {
        const char *mechanism;
        struct slice response;
    } bad[] = {
        {"PLAIN", BYTES("")},
        {"PLAIN", BYTES("\0guest")},
        {"PLAIN", BYTES("guest\0guest\0guest")},
        {"PLAIN", BYTES("\0guest\0guest\0")},
        {"PLAIN", BYTES("\0guest\0gues")},
        {"PLAIN", BYTES("\0guest\0guestt")},
        {"PLAIN", BYTES("\0\0")},
        {"AMQPLAIN", BYTES("")},
        {"AMQPLAIN", BYTES("\5LOGINI\0\0\0\1\x8PASSWORDV")},
        {"AMQPLAIN", BYTES("\5LOGINS\xff\xff\xff\xff")},
        {"EXTERNAL", BYTES("guest")},
        {"ANONYMOUS", BYTES("")},
        {"", BYTES("\0guest\0guest")},
    };
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        peer_to_state(&rig, &peer, AMQP_CONN_STARTING, 0);
        start_ok(&peer, bad[i].mechanism, bad[i].response);
        assert_false(peer_next(&peer));
        rig_run(&rig, SECONDS(2));
        assert_false(peer.raw.ended);
        rig_run(&rig, SECONDS(2));
        assert_true(peer.raw.ended);
        assert_false(peer_next(&peer));
        peer_close(&peer);
    }
    peer_to_state(&rig, &peer, AMQP_CONN_STARTING, 0);
    put_login(&peer.out, "guest", "wrong", false);
    assert_false(peer_next(&peer));
    peer_close(&peer);
    peer_to_state(&rig, &peer, AMQP_CONN_STARTING, 0);
    put_login(&peer.out, "guest", "wrong", true);
    peer_expect_close(
        &peer, 0, 403,
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For "
        "details see the broker logfile.");
    put_method(&peer.out, 0, AMQP_CONNECTION_CLOSE_OK, &(struct amqp_connection_close_ok){0});
    peer_flush(&peer, MILLIS(200));
    assert_true(peer.raw.ended);
    peer_close(&peer);
    assert_int_equal(rig_connections(&rig), 0);
    rig_fini(&rig);
}

static void test_tuning(void **state)
{
    (void)state;
    static const struct {
        uint32_t frame_max;
        uint16_t channel_max;
        const char *text; // NULL: agreed
    } cases[] = {
        {131072, 2047, NULL},
        {4096, 1, NULL},
        {8192, 100, NULL},
        {0, 2047,
         "NOT_ALLOWED - negotiated frame_max = 0 is higher than the maximum allowed value "
         "(131072)"},
        {1, 2047,
         "NOT_ALLOWED - negotiated frame_max = 1 is lower than the minimum allowed value "
         "(4096)"},
        {7, 2047,
         "NOT_ALLOWED - negotiated frame_max = 7 is lower than the minimum allowed value "
         "(4096)"},
        {8, 2047,
         "NOT_ALLOWED - negotiated frame_max = 8 is lower than the minimum allowed value "
         "(4096)"},
        {4095, 2047,
         "NOT_ALLOWED - negotiated frame_max = 4095 is lower than the minimum allowed "
         "value (4096)"},
        {131073, 2047,
         "NOT_ALLOWED - negotiated frame_max = 131073 is higher than the maximum "
         "allowed value (131072)"},
        {UINT32_MAX, 2047,
         "NOT_ALLOWED - negotiated frame_max = 4294967295 is higher than the "
         "maximum allowed value (131072)"},
        {131072, 0,
         "NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the maximum "
         "allowed value (2047)"},
        {131072, 2048,
         "NOT_ALLOWED - negotiated channel_max = 2048 is higher than the maximum "
         "allowed value (2047)"},
    };
    struct rig rig;
    rig_init(&rig);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer peer;
        peer_to_state(&rig, &peer, AMQP_CONN_TUNING, 0);
        put_tune_ok(&peer.out, cases[i].frame_max, cases[i].channel_max, 0);
        put_open(&peer.out, "/");
        if (cases[i].text == NULL)
            (void)peer_expect(&peer, 0, AMQP_CONNECTION_OPEN_OK);
        else
            peer_expect_close(&peer, 0, 530, cases[i].text);
        peer_close(&peer);
    }
    rig_fini(&rig);
}

static void test_unknown_vhost(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    peer_to_state(&rig, &peer, AMQP_CONN_OPENING, 0);
    put_open(&peer.out, "/nowhere");
    peer_expect_close(&peer, 0, 530, "NOT_ALLOWED - vhost /nowhere not found");
    peer_close(&peer);
    rig_fini(&rig);
}

// ---- time

static void test_handshake_has_a_deadline(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peers[4];
    rig_init(&rig);
    for (int i = 0; i < 4; i++) // greeting, starting, tuning, opening
        peer_to_state(&rig, &peers[i], (enum amqp_conn_state)i, 0);
    assert_int_equal(rig_connections(&rig), 4);
    for (size_t i = 0; i < 7; i++) { // one byte a second is no progress
        buf_put(&peers[0].out, &PROTOCOL_HEADER[i], 1);
        peer_flush(&peers[0], SECONDS(1));
    }
    rig_run(&rig, SECONDS(4));
    for (int i = 0; i < 4; i++) {
        assert_true(peers[i].raw.ended);
        peer_close(&peers[i]);
    }
    assert_int_equal(rig_connections(&rig), 0);
    rig_fini(&rig);
}

static uint32_t beats_seen(struct peer *peer)
{
    uint32_t beats = 0;
    while (peer_next(peer))
        beats += peer->type == AMQP_FRAME_BEAT;
    return beats;
}

static void test_heartbeats(void **state)
{
    (void)state;
    static const uint8_t beat[] = {8, 0, 0, 0, 0, 0, 0, 0xce};
    struct rig rig;
    struct peer silent, alive, none;
    rig_init(&rig);
    peer_to_state(&rig, &silent, AMQP_CONN_OPEN, 10);
    peer_to_state(&rig, &alive, AMQP_CONN_OPEN, 10);
    peer_to_state(&rig, &none, AMQP_CONN_OPEN, 0);
    rig_run(&rig, SECONDS(15));
    assert_false(silent.raw.ended);
    for (int i = 0; i < 12; i++) {
        buf_put(&alive.out, beat, sizeof beat);
        peer_flush(&alive, SECONDS(10));
    }
    assert_true(silent.raw.ended); // after two intervals without a word
    uint32_t beats = beats_seen(&silent);
    assert_true(beats >= 2);
    assert_true(beats <= 5);
    beats = beats_seen(&alive);
    assert_true(beats >= 20); // at least one an interval, about two
    assert_true(beats <= 40);
    assert_false(alive.raw.ended);
    assert_false(none.raw.ended);
    assert_int_equal(beats_seen(&none), 0);
    peer_close(&silent);
    peer_close(&alive);
    peer_close(&none);
    rig_fini(&rig);
}

static void test_slow_frames_are_ended(void **state)
{
    (void)state;
    static const uint8_t begun[] = {1, 0, 1, 0, 0, 0, 100, 0, 60};
    struct rig rig;
    struct peer peer, idle;
    rig_init(&rig);
    peer_open(&rig, &peer, 1);
    peer_open(&rig, &idle, 1);
    for (size_t i = 0; i < sizeof begun && !peer.raw.ended; i++) { // a byte every ten seconds
        buf_put(&peer.out, begun + i, 1);
        peer_flush(&peer, SECONDS(10));
    }
    assert_true(peer.raw.ended);
    rig_run(&rig, SECONDS(3600)); // without heartbeats an idle connection stays
    assert_false(idle.raw.ended);
    peer_close(&peer);
    peer_close(&idle);
    rig_fini(&rig);
}

// ---- the end

static void test_orderly_ends(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    peer_open(&rig, &peer, 3);
    put_method(&peer.out, 0, AMQP_CONNECTION_UPDATE_SECRET,
               &(struct amqp_connection_update_secret){0});
    (void)peer_expect(&peer, 0, AMQP_CONNECTION_UPDATE_SECRET_OK);
    put_method(&peer.out, 2, AMQP_CHANNEL_CLOSE, &(struct amqp_channel_close){0});
    (void)peer_expect(&peer, 2, AMQP_CHANNEL_CLOSE_OK);
    put_method(&peer.out, 2, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0}); // at once again
    (void)peer_expect(&peer, 2, AMQP_CHANNEL_OPEN_OK);
    put_method(&peer.out, 0, AMQP_CONNECTION_CLOSE, &(struct amqp_connection_close){0});
    (void)peer_expect(&peer, 0, AMQP_CONNECTION_CLOSE_OK);
    put_method(&peer.out, 1, AMQP_CHANNEL_FLOW, &(struct amqp_channel_flow){true});
    assert_false(peer_next(&peer)); // nobody listens
    rig_run(&rig, SECONDS(4));
    assert_true(peer.raw.ended);
    peer_close(&peer);

    // The node stops: whoever is there is told.
    peer_open(&rig, &peer, 1);
    node_stop(rig.node, rig_stopped, &rig);
    rig_wait(&rig, &rig.stopped);
    rig_run(&rig, MILLIS(100));
    peer_expect_close(
        &peer, 0, 320,
        "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'");
    assert_true(peer.raw.ended);
    peer_close(&peer);
    node_destroy(rig.node);
    sim_world_free(rig.server_world);
    io_actor_stop(rig.io);
    sim_world_free(rig.outside_world);
    sim_destroy(rig.sim);
}

// The server dies with connections in every state: what they have is given back.
static void test_crash(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peers[8];
    rig_init(&rig);
    for (int i = 0; i < 5; i++)
        peer_to_state(&rig, &peers[i], (enum amqp_conn_state)i, 0);
    for (int i = 5; i < 8; i++) {
        peer_open(&rig, &peers[i], 2);
        put_publish(&peers[i].out, 1, "k");
        put_header(&peers[i].out, 1, 5000);
        put_frame(&peers[i].out, AMQP_FRAME_BODY, 1, "part", 4);
        buf_put(&peers[i].out, "\1\0\2\0", 4); // half a frame
        peer_flush(&peers[i], MILLIS(200));
    }
    sim_crash(rig.server, SIM_POWER_LOSS);
    for (int i = 0; i < 8; i++)
        peer_close(&peers[i]);
    rig_fini(&rig);
}

static void test_limit_of_connections(void **state)
{
    (void)state;
    static const char *const config[] = {"weir.journal.file.bytes=4194304", "max.connections=6",
                                         NULL};
    struct rig rig;
    struct rig_raw raw[40];
    rig_init_with(&rig, config);
    for (int i = 0; i < 40; i++)
        assert_int_equal(rig_raw_connect(rig.io, &rig.addr, &raw[i]), 0);
    rig_run(&rig, SECONDS(1));
    assert_true(rig_connections(&rig) > 0);
    assert_true(rig_connections(&rig) <= 6);
    for (int i = 0; i < 40; i++)
        rig_raw_close(&raw[i]);
    rig_run(&rig, SECONDS(1));
    assert_int_equal(rig_connections(&rig), 0);
    rig_fini(&rig);
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(upper.sessions, 0);
    upper_reset();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_server_properties, teardown),
        cmocka_unit_test_teardown(test_other_protocols, teardown),
        cmocka_unit_test_teardown(test_amqplain, teardown),
        cmocka_unit_test_teardown(test_logins_refused, teardown),
        cmocka_unit_test_teardown(test_tuning, teardown),
        cmocka_unit_test_teardown(test_unknown_vhost, teardown),
        cmocka_unit_test_teardown(test_handshake_has_a_deadline, teardown),
        cmocka_unit_test_teardown(test_heartbeats, teardown),
        cmocka_unit_test_teardown(test_slow_frames_are_ended, teardown),
        cmocka_unit_test_teardown(test_orderly_ends, teardown),
        cmocka_unit_test_teardown(test_crash, teardown),
        cmocka_unit_test_teardown(test_limit_of_connections, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
