// SPDX-License-Identifier: Apache-2.0
//
// See session.h. The loop actor owns the client; the main thread posts it one message at a time and
// waits on the world's signal, which Ctrl-C ends as well.
#include "cli/session.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "io/real.h"
#include "wire/gen/kafka_api_versions.h"

#define ANSWER_WAIT_NS (INT64_C(30) * 1000000000)

struct cli_session {
    struct io_world *world;
    struct io *io;
    struct kafka_client *client;
    struct kafka_client_options options;
    struct kafka_call call;
    bool called;
    struct io_msg msg;
    struct io_timer patience;
    int16_t api_key;
    int version;
    const void *request;
    int err;
    _Atomic(bool) ready;
    char address[IO_ADDR_TEXT_SIZE];
    int16_t max_version[256]; // of the server, by key; -1: not served
};

static void finish(struct cli_session *s, int err)
{
    if (atomic_load(&s->ready))
        return;
    s->err = err;
    io_timer_stop(s->io, &s->patience);
    atomic_store(&s->ready, true);
    io_real_wake(s->world);
}

static void on_lost(void *arg, int err)
{
    struct cli_session *s = arg;
    kafka_client_close(s->client);
    s->client = NULL;
    finish(s, err);
}

static void on_done(struct kafka_call *call)
{
    finish(CONTAINER_OF(call, struct cli_session, call), call->err);
}

static void on_patience(struct io_timer *timer)
{
    finish(CONTAINER_OF(timer, struct cli_session, patience), ERR_TIMEOUT);
}

static void call_run(struct io_msg *msg)
{
    struct cli_session *s = CONTAINER_OF(msg, struct cli_session, msg);
    int err = 0;
    io_timer_start(s->io, &s->patience, io_now_ns(s->io) + ANSWER_WAIT_NS);
    if (s->client == NULL)
        err = kafka_client_open(&s->options, &s->client);
    s->call.done = on_done;
    if (err == 0)
        err = kafka_client_call(s->client, &s->call, s->api_key, s->version, s->request);
    if (err != 0)
        finish(s, err);
}

static void close_run(struct io_msg *msg)
{
    struct cli_session *s = CONTAINER_OF(msg, struct cli_session, msg);
    io_timer_stop(s->io, &s->patience);
    kafka_client_close(s->client);
    s->client = NULL;
    s->err = 0;
    atomic_store(&s->ready, true);
    io_real_wake(s->world);
}

// Runs one message on the loop and waits until it is finished. False: interrupted.
static bool run(struct cli_session *s, void (*fn)(struct io_msg *msg))
{
    atomic_store(&s->ready, false);
    s->msg.run = fn;
    io_post(s->io, &s->msg);
    while (!atomic_load(&s->ready))
        if (io_real_wait_signal(s->world) != 0)
            return false;
    return true;
}

static int explain(const struct cli_session *s)
{
    switch (s->err) {
    case ERR_REFUSED:
        cli_error("nothing listens on %s; start a server with 'weir serve --data DIR', or name "
                  "another with --kafka HOST:PORT",
                  s->address);
        break;
    case ERR_TIMEOUT:
        cli_error("no answer from %s within 30 s", s->address);
        break;
    case ERR_UNSUPPORTED_VERSION:
        cli_error("the server on %s does not know this request; is it weir?", s->address);
        break;
    default:
        cli_error("%s: %s", s->address, err_text(s->err));
        break;
    }
    return cli_exit_code(s->err);
}

static int call(struct cli_session *s, int16_t api_key, int version, const void *request)
{
    if (s->called)
        kafka_call_fini(&s->call);
    memset(&s->call, 0, sizeof s->call);
    s->called = true;
    s->api_key = api_key;
    s->version = version;
    s->request = request;
    if (!run(s, call_run))
        return EX_TEMPFAIL;
    return s->err != 0 ? explain(s) : 0;
}

static int versions_learn(struct cli_session *s)
{
    struct kafka_api_versions_request q;
    wire_default(&kafka_api_versions_request_type, &q);
    q.client_software_name = slice_cstr("weir");
    q.client_software_version = slice_cstr("1");
    int code = call(s, KAFKA_API_API_VERSIONS, 3, &q);
    if (code != 0)
        return code;
    const struct kafka_api_versions_response *a = s->call.response;
    memset(s->max_version, -1, sizeof s->max_version);
    for (uint32_t i = 0; i < a->api_keys_count; i++)
        if (a->api_keys[i].api_key >= 0 && a->api_keys[i].api_key < 256)
            s->max_version[a->api_keys[i].api_key] = a->api_keys[i].max_version;
    return 0;
}

static int address_parse(const char *text, struct io_addr *out)
{
    char full[128];
    const char *port = strncmp(text, "localhost:", 10) == 0 ? text + 9 : "";
    (void)snprintf(full, sizeof full, "%s%s", *port != '\0' ? "127.0.0.1" : text, port);
    if (io_addr_parse(full, out) == 0)
        return 0;
    (void)snprintf(full, sizeof full, "%s:9092", text);
    return io_addr_parse(full, out);
}

int cli_session_open(const char *address, struct cli_session **out)
{
    const char *text = address != NULL ? address : getenv("WEIR_KAFKA");
    struct cli_session *s = mem_zalloc(sizeof *s);
    const struct io_actor_options loop = {.name = "client", .kind = IO_LOOP};
    text = text != NULL ? text : "127.0.0.1:9092";
    if (address_parse(text, &s->options.addr) != 0) {
        cli_error("--kafka takes HOST:PORT with an IP address, not '%s'", text);
        mem_free(s);
        return EX_USAGE;
    }
    io_addr_text(&s->options.addr, s->address);
    io_timer_init(&s->patience, on_patience);
    io_real_block_signals();
    int err = io_real_create(&s->world);
    if (err == 0)
        err = io_actor_create(s->world, &loop, &s->io);
    if (err != 0) {
        cli_error("%s", err_text(err));
        cli_session_close(s);
        return cli_exit_code(err);
    }
    s->options.io = s->io;
    s->options.client_id = slice_cstr("weir");
    s->options.lost = on_lost;
    s->options.arg = s;
    int code = versions_learn(s);
    if (code != 0)
        cli_session_close(s);
    else
        *out = s;
    return code;
}

void cli_session_close(struct cli_session *session)
{
    if (session == NULL)
        return;
    if (session->io != NULL) {
        (void)run(session, close_run);
        io_actor_stop(session->io);
    }
    if (session->called)
        kafka_call_fini(&session->call);
    io_real_destroy(session->world);
    mem_free(session);
}

int cli_session_call(struct cli_session *session, int16_t api_key, int version_max,
                     const void *request, const void **out_response)
{
    const struct wire_api *api = wire_kafka_api(api_key);
    int version = api->max_version < version_max ? api->max_version : version_max;
    // Our own APIs are not advertised.
    if (api_key < 256 && session->max_version[api_key] < version)
        version = session->max_version[api_key];
    if (version < api->min_version) {
        session->err = ERR_UNSUPPORTED_VERSION;
        return explain(session);
    }
    int code = call(session, api_key, version, request);
    if (code == 0)
        *out_response = session->call.response;
    return code;
}
