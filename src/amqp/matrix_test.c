// SPDX-License-Identifier: Apache-2.0
//
// Every method in every state of a connection and of a channel: what may come is taken, everything
// else is refused in the way that the state demands, and nothing of the connection is left. The
// methods are those of the protocol's table; what is expected of them is written down here once
// more.
#include "amqp/rig_upper_test.h"

enum expected {
    TAKEN,   // something else tests what it does
    SILENCE, // no word, and the socket is closed after a while
    NOTHING, // no word, and everything goes on
    ANSWER,  // a method comes back
    HANDLED, // it reaches the upper half
    CHANNEL_DIES,
    CONNECTION_DIES,
};

struct outcome {
    enum expected expected;
    uint32_t method; // ANSWER
    uint16_t code;   // …_DIES
    const char *text;
};

// The arguments of any method, all of them zero, empty or false.
static void put_plain(struct buf *out, uint16_t number, const struct wire_method *method)
{
    union {
        uint8_t bytes[512];
        max_align_t align;
    } args;
    struct wire_out fields;
    wire_default(method->msg->root, &args);
    wire_out_init(&fields, 4096);
    assert_int_equal(wire_encode(method->msg, 0, &args, &fields), 0);
    struct buf payload;
    buf_init(&payload, 4096);
    buf_put_be32(&payload, method->id);
    buf_put_slice(&payload, buf_slice(&fields.buf));
    put_frame(out, AMQP_FRAME_METHOD, number, payload.data, payload.len);
    buf_fini(&payload);
    wire_out_fini(&fields);
}

static void assert_outcome(struct peer *peer, uint16_t number, uint32_t method,
                           const struct outcome *o)
{
    uint32_t handled = upper.handled;
    bool more = peer_next(peer);
    switch (o->expected) {
    case TAKEN:
        return;
    case SILENCE:
        assert_false(more);
        rig_run(peer->rig, SECONDS(4));
        assert_true(peer->raw.ended);
        return;
    case NOTHING:
    case HANDLED:
        assert_false(more);
        assert_int_equal(upper.handled, handled + (o->expected == HANDLED));
        assert_false(peer->raw.ended);
        return;
    case ANSWER:
        assert_true(more);
        assert_int_equal(peer->method, o->method);
        assert_int_equal(peer->number, number);
        return;
    case CHANNEL_DIES:
    case CONNECTION_DIES:
        break;
    }
    bool whole = o->expected == CONNECTION_DIES;
    assert_true(more);
    assert_int_equal(peer->method, whole ? AMQP_CONNECTION_CLOSE : AMQP_CHANNEL_CLOSE);
    const struct amqp_connection_close *close = peer->args;
    assert_int_equal(close->reply_code, o->code);
    if (!slice_eq_cstr(close->reply_text, o->text))
        fail_msg("'%.*s' instead of '%s'", AMQP_SHOW(close->reply_text), o->text);
    if (o->code == AMQP_CHANNEL_ERROR || o->code == AMQP_COMMAND_INVALID ||
        o->code == AMQP_NOT_IMPLEMENTED) { // the method's own fault, named
        assert_int_equal(close->class_id, method >> 16);
        assert_int_equal(close->method_id, method & 0xffff);
    }
    if (whole)
        assert_int_equal(upper.sessions, 0);
}

static const char *at_work; // for the message when something fails

static void try(struct rig *rig, struct peer *peer, uint16_t number,
                const struct wire_method *method, const struct outcome *o)
{
    at_work = method->msg->name;
    put_plain(&peer->out, number, method);
    assert_outcome(peer, number, method->id, o);
    peer_close(peer);
    rig_run(rig, MILLIS(100));
    assert_int_equal(rig_connections(rig), 0);
    assert_int_equal(upper.sessions, 0);
}

// ---- channel 0

static struct outcome on_connection(enum amqp_conn_state state, uint32_t method)
{
    static const struct {
        enum amqp_conn_state state;
        uint32_t method;
    } taken[] = {
        {AMQP_CONN_STARTING, AMQP_CONNECTION_START_OK},
        {AMQP_CONN_TUNING, AMQP_CONNECTION_TUNE_OK},
        {AMQP_CONN_OPENING, AMQP_CONNECTION_OPEN},
        {AMQP_CONN_ENDING, AMQP_CONNECTION_CLOSE_OK},
    };
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        if (taken[i].state == state && taken[i].method == method)
            return (struct outcome){.expected = TAKEN};
    if (state >= AMQP_CONN_OPEN && method == AMQP_CONNECTION_CLOSE)
        return (struct outcome){.expected = ANSWER, .method = AMQP_CONNECTION_CLOSE_OK};
    if (state == AMQP_CONN_OPEN && method == AMQP_CONNECTION_UPDATE_SECRET)
        return (struct outcome){.expected = ANSWER, .method = AMQP_CONNECTION_UPDATE_SECRET_OK};
    if (state == AMQP_CONN_ENDING)
        return (struct outcome){.expected = NOTHING};
    if (state < AMQP_CONN_OPENING)
        return (struct outcome){.expected = SILENCE};
    return (struct outcome){.expected = CONNECTION_DIES,
                            .code = 504,
                            .text = state == AMQP_CONN_OPEN
                                        ? "CHANNEL_ERROR - unexpected method in connection state "
                                          "running"
                                        : "CHANNEL_ERROR - unexpected method in connection state "
                                          "opening"};
}

// A connection that we have closed, and whose client has not answered yet.
static void peer_to_ending(struct rig *rig, struct peer *peer)
{
    peer_open(rig, peer, 0);
    put_method(&peer->out, 7, AMQP_CHANNEL_CLOSE_OK, &(struct amqp_channel_close_ok){0});
    peer_expect_close(peer, 0, 504, "CHANNEL_ERROR - expected 'channel.open'");
}

static void test_channel_zero(void **state)
{
    (void)state;
    static const enum amqp_conn_state states[] = {
        AMQP_CONN_STARTING, AMQP_CONN_TUNING, AMQP_CONN_OPENING, AMQP_CONN_OPEN, AMQP_CONN_ENDING};
    struct rig rig;
    upper_reset();
    rig_init(&rig);
    for (size_t s = 0; s < sizeof states / sizeof states[0]; s++) {
        for (uint32_t i = 0; i < wire_amqp_methods_count; i++) {
            const struct wire_method *method = &wire_amqp_methods[i];
            struct outcome o = on_connection(states[s], method->id);
            struct peer peer;
            if (states[s] == AMQP_CONN_ENDING)
                peer_to_ending(&rig, &peer);
            else
                peer_to_state(&rig, &peer, states[s], 0);
            try(&rig, &peer, 0, method, &o);
        }
    }
    rig_fini(&rig);
}

// ---- other channels, before the connection is open

static void test_channels_too_early(void **state)
{
    (void)state;
    static const enum amqp_conn_state states[] = {AMQP_CONN_STARTING, AMQP_CONN_TUNING,
                                                  AMQP_CONN_OPENING};
    struct rig rig;
    upper_reset();
    rig_init(&rig);
    for (size_t s = 0; s < sizeof states / sizeof states[0]; s++) {
        for (uint32_t i = 0; i < wire_amqp_methods_count; i++) {
            struct peer peer;
            peer_to_state(&rig, &peer, states[s], 0);
            put_plain(&peer.out, 1, &wire_amqp_methods[i]);
            bool told = peer_next(&peer);
            assert_int_equal(told, states[s] == AMQP_CONN_OPENING);
            if (told)
                assert_int_equal(((const struct amqp_connection_close *)peer.args)->reply_code,
                                 505);
            peer_close(&peer);
        }
    }
    rig_fini(&rig);
}

// ---- other channels

enum channel { NONE, OPEN, CLOSING, WANTS_HEADER, WANTS_BODY, CHANNELS };

static struct outcome on_open_channel(const struct wire_method *method)
{
    switch (method->id) {
    case AMQP_CHANNEL_OPEN:
        return (struct outcome){.expected = CONNECTION_DIES,
                                .code = 504,
                                .text = "CHANNEL_ERROR - second 'channel.open' seen"};
    case AMQP_CHANNEL_CLOSE:
        return (struct outcome){.expected = ANSWER, .method = AMQP_CHANNEL_CLOSE_OK};
    case AMQP_CHANNEL_FLOW:
        return (struct outcome){
            .expected = CONNECTION_DIES, .code = 540, .text = "NOT_IMPLEMENTED - active=false"};
    case AMQP_ACCESS_REQUEST:
        return (struct outcome){.expected = ANSWER, .method = AMQP_ACCESS_REQUEST_OK};
    case AMQP_BASIC_PUBLISH: // its content is awaited
        return (struct outcome){.expected = NOTHING};
    case AMQP_TX_SELECT:
    case AMQP_TX_COMMIT:
    case AMQP_TX_ROLLBACK:
        return (struct outcome){.expected = CONNECTION_DIES,
                                .code = 540,
                                .text = "NOT_IMPLEMENTED - transactions are not supported"};
    default:
        break;
    }
    bool client = (method->sent_by & WIRE_BY_CLIENT) != 0;
    bool answer = strstr(method->msg->name, "_ok") != NULL;
    if (client && !answer && method->id >> 16 > 20) // exchange, queue, basic, confirm
        return (struct outcome){.expected = HANDLED};
    return (struct outcome){
        .expected = CONNECTION_DIES, .code = 503, .text = "COMMAND_INVALID - unimplemented method"};
}

static struct outcome on_channel(enum channel state, const struct wire_method *method)
{
    switch (state) {
    case NONE:
        if (method->id == AMQP_CHANNEL_OPEN)
            return (struct outcome){.expected = ANSWER, .method = AMQP_CHANNEL_OPEN_OK};
        return (struct outcome){.expected = CONNECTION_DIES,
                                .code = 504,
                                .text = "CHANNEL_ERROR - expected 'channel.open'"};
    case CLOSING:
        if (method->id == AMQP_CHANNEL_CLOSE)
            return (struct outcome){.expected = ANSWER, .method = AMQP_CHANNEL_CLOSE_OK};
        return (struct outcome){.expected = NOTHING};
    case WANTS_HEADER:
        return (struct outcome){.expected = CONNECTION_DIES,
                                .code = 505,
                                .text = "UNEXPECTED_FRAME - expected content header for class 60, "
                                        "got non content header frame instead"};
    case WANTS_BODY:
        return (struct outcome){.expected = CONNECTION_DIES,
                                .code = 505,
                                .text = "UNEXPECTED_FRAME - expected content body, got non content "
                                        "body frame instead"};
    case OPEN:
    case CHANNELS:
        break;
    }
    return on_open_channel(method);
}

static void peer_to_channel(struct rig *rig, struct peer *peer, enum channel state)
{
    peer_open(rig, peer, state == NONE ? 0 : 1);
    if (state == CLOSING) {
        upper.fail = AMQP_NOT_FOUND;
        upper.fail_text = "it";
        put_method(&peer->out, 1, AMQP_QUEUE_PURGE, &(struct amqp_queue_purge){0});
        peer_expect_close(peer, 1, 404, "NOT_FOUND - it");
        upper.fail = 0;
    }
    if (state == WANTS_HEADER || state == WANTS_BODY)
        put_publish(&peer->out, 1, "k");
    if (state == WANTS_BODY)
        put_header(&peer->out, 1, 10);
}

static void test_channels(void **state)
{
    (void)state;
    struct rig rig;
    upper_reset();
    rig_init(&rig);
    for (enum channel s = NONE; s < CHANNELS; s++) {
        for (uint32_t i = 0; i < wire_amqp_methods_count; i++) {
            const struct wire_method *method = &wire_amqp_methods[i];
            struct outcome o = on_channel(s, method);
            struct peer peer;
            peer_to_channel(&rig, &peer, s);
            try(&rig, &peer, 1, method, &o);
        }
    }
    rig_fini(&rig);
}

// What follows on a closing channel is passed over, contents and all; the next channel of that
// number is a new one.
static void test_closing_channel_is_passed_over(void **state)
{
    (void)state;
    struct rig rig;
    struct peer peer;
    upper_reset();
    rig_init(&rig);
    peer_to_channel(&rig, &peer, CLOSING);
    uint32_t handled = upper.handled;
    for (int i = 0; i < 10; i++) {
        put_publish(&peer.out, 1, "k");
        put_header(&peer.out, 1, 5);
        put_frame(&peer.out, AMQP_FRAME_BODY, 1, "12345", 5);
    }
    put_method(&peer.out, 1, AMQP_CHANNEL_CLOSE_OK, &(struct amqp_channel_close_ok){0});
    put_method(&peer.out, 1, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0});
    put_publish(&peer.out, 1, "new");
    put_header(&peer.out, 1, 5);
    put_frame(&peer.out, AMQP_FRAME_BODY, 1, "12345", 5);
    (void)peer_expect(&peer, 1, AMQP_CHANNEL_OPEN_OK);
    assert_int_equal(upper.handled, handled + 1);
    assert_memory_equal(upper.contents.data, "new\0\00012345", 10);
    peer_close(&peer);
    rig_fini(&rig);
}

static int teardown(void **state)
{
    (void)state;
    if (upper.sessions != 0)
        print_message("at %s\n", at_work);
    upper_reset();
    buf_fini(&upper.contents);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_channel_zero, teardown),
        cmocka_unit_test_teardown(test_channels_too_early, teardown),
        cmocka_unit_test_teardown(test_channels, teardown),
        cmocka_unit_test_teardown(test_closing_channel_is_passed_over, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
