// SPDX-License-Identifier: Apache-2.0
//
// The client against the door, in a simulated world: what it opens, calls, publishes and is given,
// and what it hears when a channel or the connection ends.
#include "amqp/client.h"
#include "amqp/rig_amqp_test.h"

static struct rig rig;

struct user {
    struct amqp_client *client;
    struct amqp_call call;
    bool opened, answered, lost, closed, confirmed;
    int err;         // of the last call, or of the connection
    uint32_t method; // that answered
    uint16_t code;   // of the channel's or the connection's end
    char text[256];
    struct buf body; // of the last content
    uint64_t tag;
    uint32_t delivered;
};

static void on_opened(void *arg)
{
    ((struct user *)arg)->opened = true;
}

static void on_event(void *arg, const struct amqp_event *event)
{
    struct user *u = arg;
    if (event->method == AMQP_BASIC_ACK) {
        u->confirmed = true;
    } else if (event->method == AMQP_BASIC_DELIVER) {
        u->tag = ((const struct amqp_basic_deliver *)event->args)->delivery_tag;
        u->delivered++;
        buf_clear(&u->body);
        buf_put_slice(&u->body, event->body);
    }
}

static void on_channel_closed(void *arg, uint16_t channel, uint16_t code, struct slice text)
{
    struct user *u = arg;
    assert_int_equal(channel, 1);
    u->closed = true;
    u->code = code;
    slice_to_cstr(text, u->text, sizeof u->text);
}

static void on_lost(void *arg, int err, uint16_t code, struct slice text)
{
    struct user *u = arg;
    u->lost = true;
    u->err = err;
    u->code = code;
    slice_to_cstr(text, u->text, sizeof u->text);
}

static void on_answer(struct amqp_call *call)
{
    struct user *u = CONTAINER_OF(call, struct user, call);
    u->answered = true;
    u->err = call->err;
    u->method = call->method;
    if (call->err == 0 && call->method == AMQP_BASIC_GET_OK) {
        u->tag = ((const struct amqp_basic_get_ok *)call->args)->delivery_tag;
        buf_clear(&u->body);
        buf_put_slice(&u->body, call->body);
    }
}

static void user_open(struct user *u, const char *password, const char *vhost)
{
    const struct amqp_client_options o = {
        .io = rig.io,
        .addr = rig.addr,
        .user = slice_cstr("guest"),
        .password = slice_cstr(password),
        .vhost = slice_cstr(vhost),
        .frame_max = 4096,
        .heartbeat_s = 1,
        .opened = on_opened,
        .event = on_event,
        .channel_closed = on_channel_closed,
        .lost = on_lost,
        .arg = u,
    };
    *u = (struct user){0};
    buf_init(&u->body, 1 << 20);
    assert_int_equal(amqp_client_open(&o, &u->client), 0);
    assert_false(u->opened); // never from inside the call
}

static void user_close(struct user *u)
{
    amqp_client_close(u->client);
    buf_fini(&u->body);
}

static void call(struct user *u, uint32_t method, const void *args)
{
    u->answered = false;
    u->call = (struct amqp_call){.done = on_answer};
    assert_int_equal(amqp_client_call(u->client, 1, method, args, &u->call), 0);
    rig_wait(&rig, &u->answered);
}

static void channel_open(struct user *u)
{
    const struct amqp_channel_open open = {0};
    const struct amqp_confirm_select confirm = {0};
    call(u, AMQP_CHANNEL_OPEN, &open);
    assert_int_equal(u->method, AMQP_CHANNEL_OPEN_OK);
    call(u, AMQP_CONFIRM_SELECT, &confirm);
    assert_int_equal(u->method, AMQP_CONFIRM_SELECT_OK);
}

static void declare(struct user *u, const char *name)
{
    const struct amqp_queue_declare m = {.queue = slice_cstr(name), .durable = true};
    call(u, AMQP_QUEUE_DECLARE, &m);
    assert_int_equal(u->err, 0);
}

static void publish(struct user *u, const char *queue, struct slice body)
{
    const struct amqp_basic_publish m = {.routing_key = slice_cstr(queue)};
    u->confirmed = false;
    assert_int_equal(amqp_client_publish(u->client, 1, &m, SLICE_NULL, body), 0);
    rig_wait(&rig, &u->confirmed);
}

static void get(struct user *u, const char *queue)
{
    const struct amqp_basic_get m = {.queue = slice_cstr(queue), .no_ack = true};
    call(u, AMQP_BASIC_GET, &m);
}

static void test_there_and_back(void **state)
{
    (void)state;
    struct user u;
    uint8_t large[20000]; // several frames in either direction
    rig_init(&rig);
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)(i * 7);
    user_open(&u, "guest", "/");
    rig_wait(&rig, &u.opened);
    assert_true(amqp_client_ready(u.client));
    channel_open(&u);
    declare(&u, "q");
    publish(&u, "q", slice_cstr("one"));
    publish(&u, "q", slice_of(large, sizeof large));
    publish(&u, "q", slice_of(large, 0));
    get(&u, "q");
    assert_true(slice_eq_cstr(buf_slice(&u.body), "one"));
    get(&u, "q");
    assert_true(slice_eq(buf_slice(&u.body), slice_of(large, sizeof large)));
    get(&u, "q");
    assert_int_equal(u.method, AMQP_BASIC_GET_OK);
    assert_int_equal(u.body.len, 0);
    get(&u, "q");
    assert_int_equal(u.method, AMQP_BASIC_GET_EMPTY);
    assert_int_equal(amqp_client_unsent(u.client), 0);
    rig_run(&rig, INT64_C(10) * 1000000000); // heartbeats keep it
    assert_false(u.lost);
    user_close(&u);
    rig_fini(&rig);
}

static void test_deliveries(void **state)
{
    (void)state;
    struct user u;
    const struct amqp_basic_consume consume = {.queue = slice_cstr("q")};
    rig_init(&rig);
    user_open(&u, "guest", "/");
    rig_wait(&rig, &u.opened);
    channel_open(&u);
    declare(&u, "q");
    call(&u, AMQP_BASIC_CONSUME, &consume);
    assert_int_equal(u.method, AMQP_BASIC_CONSUME_OK);
    publish(&u, "q", slice_cstr("pushed"));
    rig_run(&rig, 100000000);
    assert_int_equal(u.delivered, 1);
    assert_true(slice_eq_cstr(buf_slice(&u.body), "pushed"));
    const struct amqp_basic_ack ack = {.delivery_tag = u.tag};
    assert_int_equal(amqp_client_send(u.client, 1, AMQP_BASIC_ACK, &ack), 0);
    rig_run(&rig, 100000000);
    assert_false(u.closed);
    user_close(&u);
    rig_fini(&rig);
}

static void test_a_channel_ends(void **state)
{
    (void)state;
    struct user u;
    const struct amqp_queue_declare passive = {.queue = slice_cstr("none"), .passive = true};
    rig_init(&rig);
    user_open(&u, "guest", "/");
    rig_wait(&rig, &u.opened);
    channel_open(&u);
    call(&u, AMQP_QUEUE_DECLARE, &passive);
    assert_int_equal(u.err, ERR_REFUSED);
    assert_true(u.closed);
    assert_int_equal(u.code, 404);
    assert_string_equal(u.text, "NOT_FOUND - no queue 'none' in vhost '/'");
    assert_true(amqp_client_ready(u.client));
    channel_open(&u); // it may be opened again
    user_close(&u);
    rig_fini(&rig);
}

static void expect_refused(const char *password, const char *vhost, uint16_t code)
{
    struct user u;
    user_open(&u, password, vhost);
    rig_wait(&rig, &u.lost);
    assert_false(u.opened);
    assert_int_equal(u.code, code);
    const struct amqp_channel_open open = {0};
    assert_int_equal(amqp_client_send(u.client, 1, AMQP_CHANNEL_OPEN, &open), ERR_RESET);
    user_close(&u);
}

static void test_a_connection_is_refused(void **state)
{
    (void)state;
    rig_init(&rig);
    expect_refused("wrong", "/", 403);
    expect_refused("guest", "nowhere", 530);
    rig_fini(&rig);
}

static void test_nobody_listens(void **state)
{
    (void)state;
    struct user u;
    rig_init(&rig);
    rig.addr.port++;
    user_open(&u, "guest", "/");
    rig_wait(&rig, &u.lost);
    assert_int_equal(u.code, 0);
    assert_int_equal(u.err, ERR_REFUSED);
    user_close(&u);
    rig.addr.port--;
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_deliveries),
        cmocka_unit_test(test_a_channel_ends), cmocka_unit_test(test_a_connection_is_refused),
        cmocka_unit_test(test_nobody_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
