// SPDX-License-Identifier: Apache-2.0
//
// See queue_session.h. As in session.c the loop actor owns the client, and the main thread posts it
// one step at a time and waits.
#include "cli/queue_session.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "amqp/client.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "io/real.h"

#define ANSWER_WAIT_NS (INT64_C(30) * 1000000000)
#define CHANNEL        1
#define FIELD_MAX      (256U << 20)

struct queue_session {
    struct io_world *world;
    struct io *io;
    struct amqp_client *client;
    struct amqp_client_options options;
    struct amqp_call call;
    struct io_msg msg;
    struct io_timer patience;
    uint32_t method; // the step under way
    const void *args;
    struct slice properties, body;
    struct queue_answer answer;
    bool returned;
    int err;
    uint16_t code; // the server's word, and its text
    char text[256];
    _Atomic(bool) ready;
    char address[IO_ADDR_TEXT_SIZE];
    char vhost[256];
};

static void finish(struct queue_session *s, int err)
{
    if (atomic_load(&s->ready))
        return;
    s->err = err;
    io_timer_stop(s->io, &s->patience);
    atomic_store(&s->ready, true);
    io_real_wake(s->world);
}

// ---- on the loop

static void on_opened(void *arg)
{
    finish(arg, 0);
}

static void word_keep(struct queue_session *s, uint16_t code, struct slice text)
{
    if (code == 0)
        return;
    s->code = code;
    slice_to_cstr(text, s->text, sizeof s->text);
}

static void on_closed(void *arg, uint16_t channel, uint16_t code, struct slice text)
{
    (void)channel;
    word_keep(arg, code, text);
    finish(arg, ERR_REFUSED);
}

static void on_lost(void *arg, int err, uint16_t code, struct slice text)
{
    struct queue_session *s = arg;
    word_keep(s, code, text);
    amqp_client_close(s->client);
    s->client = NULL;
    finish(s, err);
}

static void on_event(void *arg, const struct amqp_event *event)
{
    struct queue_session *s = arg;
    if (event->method == AMQP_BASIC_RETURN)
        s->returned = true;
    else if (event->method == AMQP_BASIC_ACK)
        finish(s, 0);
    else if (event->method == AMQP_BASIC_NACK)
        finish(s, ERR_AGAIN);
}

static void field(struct buf *out, struct slice from)
{
    buf_clear(out);
    buf_put_slice(out, from);
}

static void answer_keep(struct queue_answer *a, const struct amqp_call *call)
{
    a->method = call->method;
    if (call->method == AMQP_BASIC_GET_OK) {
        const struct amqp_basic_get_ok *got = call->args;
        a->tag = got->delivery_tag;
        a->redelivered = got->redelivered;
        a->messages = got->message_count;
        field(&a->exchange, got->exchange);
        field(&a->key, got->routing_key);
        field(&a->properties, call->properties);
        field(&a->body, call->body);
    } else if (call->method == AMQP_QUEUE_DECLARE_OK) {
        a->messages = ((const struct amqp_queue_declare_ok *)call->args)->message_count;
    } else if (call->method == AMQP_QUEUE_PURGE_OK) {
        a->messages = ((const struct amqp_queue_purge_ok *)call->args)->message_count;
    } else if (call->method == AMQP_QUEUE_DELETE_OK) {
        a->messages = ((const struct amqp_queue_delete_ok *)call->args)->message_count;
    }
}

static void on_done(struct amqp_call *call)
{
    struct queue_session *s = CONTAINER_OF(call, struct queue_session, call);
    if (call->err != 0)
        return; // on_closed or on_lost follows
    answer_keep(&s->answer, call);
    finish(s, 0);
}

static void on_patience(struct io_timer *timer)
{
    finish(CONTAINER_OF(timer, struct queue_session, patience), ERR_TIMEOUT);
}

static void step_begins(struct queue_session *s)
{
    io_timer_start(s->io, &s->patience, io_now_ns(s->io) + ANSWER_WAIT_NS);
}

static void open_run(struct io_msg *msg)
{
    struct queue_session *s = CONTAINER_OF(msg, struct queue_session, msg);
    step_begins(s);
    int err = amqp_client_open(&s->options, &s->client);
    if (err != 0)
        finish(s, err);
}

static void call_run(struct io_msg *msg)
{
    struct queue_session *s = CONTAINER_OF(msg, struct queue_session, msg);
    step_begins(s);
    s->call = (struct amqp_call){.done = on_done};
    int err = s->client == NULL
                  ? ERR_RESET
                  : amqp_client_call(s->client, CHANNEL, s->method, s->args, &s->call);
    if (err != 0)
        finish(s, err);
}

static void send_run(struct io_msg *msg)
{
    struct queue_session *s = CONTAINER_OF(msg, struct queue_session, msg);
    finish(s, s->client == NULL ? ERR_RESET
                                : amqp_client_send(s->client, CHANNEL, s->method, s->args));
}

static void publish_run(struct io_msg *msg)
{
    struct queue_session *s = CONTAINER_OF(msg, struct queue_session, msg);
    step_begins(s);
    s->returned = false;
    int err = s->client == NULL
                  ? ERR_RESET
                  : amqp_client_publish(s->client, CHANNEL, s->args, s->properties, s->body);
    if (err != 0)
        finish(s, err);
}

static void close_run(struct io_msg *msg)
{
    struct queue_session *s = CONTAINER_OF(msg, struct queue_session, msg);
    io_timer_stop(s->io, &s->patience);
    amqp_client_close(s->client);
    s->client = NULL;
    atomic_store(&s->ready, true);
    io_real_wake(s->world);
}

// ---- on the main thread

// False: interrupted.
static bool run(struct queue_session *s, void (*fn)(struct io_msg *msg))
{
    atomic_store(&s->ready, false);
    s->msg.run = fn;
    io_post(s->io, &s->msg);
    while (!atomic_load(&s->ready))
        if (io_real_wait_signal(s->world) != 0)
            return false;
    return true;
}

static int explain(const struct queue_session *s)
{
    if (s->code == 404) {
        cli_error("%s; 'weir queue list' shows what there is", s->text);
        return EX_NOINPUT;
    }
    if (s->code != 0)
        cli_error("%s", s->text);
    else if (s->err == ERR_REFUSED)
        cli_error("nothing listens on %s; start a server with 'weir serve --data DIR', or name "
                  "another with --amqp HOST:PORT",
                  s->address);
    else if (s->err == ERR_TIMEOUT)
        cli_error("no answer from %s within 30 s", s->address);
    else
        cli_error("%s: %s", s->address, err_text(s->err));
    return s->code != 0 ? EX_UNAVAILABLE : cli_exit_code(s->err);
}

static int step(struct queue_session *s, void (*fn)(struct io_msg *msg))
{
    if (!run(s, fn))
        return EX_TEMPFAIL;
    return s->err != 0 ? explain(s) : 0;
}

static int address_parse(const char *text, struct io_addr *out)
{
    char full[128];
    const char *port = strncmp(text, "localhost:", 10) == 0 ? text + 9 : "";
    (void)snprintf(full, sizeof full, "%s%s", *port != '\0' ? "127.0.0.1" : text, port);
    if (io_addr_parse(full, out) == 0)
        return 0;
    (void)snprintf(full, sizeof full, "%s:5672", text);
    return io_addr_parse(full, out);
}

static int session_begin(struct queue_session *s)
{
    const struct amqp_channel_open open = {0};
    const struct amqp_confirm_select confirm = {0};
    const struct queue_answer *answer;
    int code = step(s, open_run);
    if (code == 0)
        code = queue_session_call(s, AMQP_CHANNEL_OPEN, &open, &answer);
    if (code == 0)
        code = queue_session_call(s, AMQP_CONFIRM_SELECT, &confirm, &answer);
    return code;
}

int queue_session_open(const char *address, const char *vhost, struct queue_session **out)
{
    const char *text = address != NULL ? address : getenv("WEIR_AMQP");
    struct queue_session *s = mem_zalloc(sizeof *s);
    const struct io_actor_options loop = {.name = "client", .kind = IO_LOOP};
    text = text != NULL ? text : "127.0.0.1:5672";
    if (address_parse(text, &s->options.addr) != 0) {
        cli_error("--amqp takes HOST:PORT with an IP address, not '%s'", text);
        mem_free(s);
        return EX_USAGE;
    }
    io_addr_text(&s->options.addr, s->address);
    (void)snprintf(s->vhost, sizeof s->vhost, "%s", vhost);
    struct buf *const fields[] = {&s->answer.exchange, &s->answer.key, &s->answer.properties,
                                  &s->answer.body};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        buf_init(fields[i], FIELD_MAX);
    io_timer_init(&s->patience, on_patience);
    io_real_block_signals();
    int err = io_real_create(&s->world);
    if (err == 0)
        err = io_actor_create(s->world, &loop, &s->io);
    if (err != 0) {
        cli_error("%s", err_text(err));
        queue_session_close(s);
        return cli_exit_code(err);
    }
    s->options.io = s->io;
    s->options.user = slice_cstr("guest");
    s->options.password = slice_cstr("guest");
    s->options.vhost = slice_cstr(s->vhost);
    s->options.opened = on_opened;
    s->options.event = on_event;
    s->options.channel_closed = on_closed;
    s->options.lost = on_lost;
    s->options.arg = s;
    int code = session_begin(s);
    if (code != 0)
        queue_session_close(s);
    else
        *out = s;
    return code;
}

void queue_session_close(struct queue_session *session)
{
    if (session == NULL)
        return;
    if (session->io != NULL) {
        (void)run(session, close_run);
        io_actor_stop(session->io);
    }
    buf_fini(&session->answer.exchange);
    buf_fini(&session->answer.key);
    buf_fini(&session->answer.properties);
    buf_fini(&session->answer.body);
    io_real_destroy(session->world);
    mem_free(session);
}

int queue_session_call(struct queue_session *session, uint32_t method, const void *args,
                       const struct queue_answer **out)
{
    session->method = method;
    session->args = args;
    int code = step(session, call_run);
    if (code == 0)
        *out = &session->answer;
    return code;
}

int queue_session_send(struct queue_session *session, uint32_t method, const void *args)
{
    session->method = method;
    session->args = args;
    return step(session, send_run);
}

int queue_session_publish(struct queue_session *session, struct slice exchange, struct slice key,
                          struct slice properties, struct slice body, bool *out_routed)
{
    const struct amqp_basic_publish publish = {
        .exchange = exchange, .routing_key = key, .mandatory = true};
    session->args = &publish;
    session->properties = properties;
    session->body = body;
    int code = step(session, publish_run);
    if (code == 0)
        *out_routed = !session->returned;
    return code;
}
