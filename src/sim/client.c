// SPDX-License-Identifier: Apache-2.0
//
// What all simulated clients share. See client.h.
#include "sim/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "wire/gen/kafka_api_versions.h"

#define CALL_LIMIT_NS INT64_C(3000000000)
#define PAUSE_LOST_NS INT64_C(30000000)
#define PAUSE_IDLE_NS INT64_C(20000000)

void client_note(struct client *c, const char *format, ...)
{
    char text[HISTORY_WIDTH];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    history_note(&c->world->history, c->name, "%s", text);
}

static void client_pause(struct client *c, int64_t max_ns)
{
    io_timer_start(c->io, &c->pause, io_now_ns(c->io) + prng_range(&c->prng, 1000, max_ns));
}

// ---- the end of a call

static void client_hang_up(struct client *c)
{
    kafka_client_close(c->kafka);
    c->kafka = NULL;
    c->lost = false;
}

void client_forget(struct client *c)
{
    ASSERT(!c->calling);
    if (c->kafka != NULL)
        client_hang_up(c);
}

static void client_finish(struct client *c, int err, const void *response)
{
    struct world *w = c->world;
    ASSERT(c->calling);
    io_timer_stop(c->io, &c->limit);
    c->calling = false;
    if (err == 0)
        w->report->requests[c->api]++;
    else
        client_note(c, "no answer (%s)", err_name(err));
    c->answered(c, err, response);
    kafka_call_fini(&c->call);
    if (err != 0 && c->kafka != NULL)
        client_hang_up(c);
    world_step_done(w);
    client_pause(c, err != 0 ? PAUSE_LOST_NS : c->pause_max_ns);
}

static void call_done(struct kafka_call *call)
{
    struct client *c = CONTAINER_OF(call, struct client, call);
    client_finish(c, call->err, call->response);
}

static void connection_lost(void *arg, int err)
{
    struct client *c = arg;
    // An answer that cannot be read, or to a question that nobody put.
    if (err == ERR_MALFORMED)
        model_fail(&c->world->model, "%s was sent what it cannot understand", c->name);
    if (c->kafka != NULL)
        client_hang_up(c);
}

static void limit_reached(struct io_timer *timer)
{
    struct client *c = CONTAINER_OF(timer, struct client, limit);
    if (!c->calling)
        return;
    client_hang_up(c);
    client_finish(c, ERR_TIMEOUT, NULL);
}

// ---- what the server offers

static void versions_known(struct client *c, int err, const void *response)
{
    const struct kafka_api_versions_response *r = response;
    struct world *w = c->world;
    if (err != 0)
        return;
    ASSERT(r != NULL);
    if (r->error_code != 0)
        return;
    for (uint32_t i = 0; i < WORLD_APIS; i++)
        w->api_max[i] = -1;
    for (uint32_t i = 0; i < r->api_keys_count; i++) {
        int16_t key = r->api_keys[i].api_key;
        if (key < 0 || key >= WORLD_APIS)
            continue;
        w->api_min[key] = r->api_keys[i].min_version;
        w->api_max[key] = r->api_keys[i].max_version;
    }
    w->apis_known = true;
}

bool client_can(const struct client *c, int16_t api)
{
    return wire_kafka_api(api) != NULL && c->world->api_max[api] >= 0;
}

int16_t client_version_max(const struct client *c, int16_t api)
{
    const struct wire_api *known = wire_kafka_api(api);
    ASSERT(known != NULL);
    int16_t theirs = c->world->api_max[api];
    int16_t ours = known->max_version;
    return theirs < ours ? theirs : ours;
}

static int client_version(struct client *c, int16_t api)
{
    const struct wire_api *known = wire_kafka_api(api);
    if (api == KAFKA_API_API_VERSIONS)
        return (int)client_dice(c, known->max_version + 1U);
    int max = client_version_max(c, api);
    int min = c->world->api_min[api];
    if (min < known->min_version)
        min = known->min_version;
    if (c->most_version > 0) {
        min = c->least_version > min ? c->least_version : min;
        max = c->most_version < max ? c->most_version : max;
    }
    ASSERT(min <= max);
    return min + (int)client_dice(c, (uint32_t)(max - min) + 1);
}

// ---- calling

static int client_connect(struct client *c)
{
    struct kafka_client_options o = {
        .io = c->io,
        .client_id = slice_cstr(c->name),
        .frame_max_bytes = 16U << 20,
        .arena_max_bytes = 16U << 20,
        .lost = connection_lost,
        .arg = c,
    };
    const char *addr = client_chance(c, 20) ? "[::1]:9092" : "127.0.0.1:9092";
    int err = io_addr_parse(addr, &o.addr);
    return err != 0 ? err : kafka_client_open(&o, &c->kafka);
}

static void client_send(struct client *c, int16_t api, const void *request,
                        client_answered *answered, bool unanswered)
{
    ASSERT(!c->calling);
    c->start_at_send = c->world->model.start;
    c->answered = answered;
    c->api = api;
    int err = c->kafka == NULL ? client_connect(c) : 0;
    if (err == 0) {
        c->call = (struct kafka_call){.done = call_done, .unanswered = unanswered};
        err = kafka_client_call(c->kafka, &c->call, api, client_version(c, api), request);
    }
    c->least_version = c->most_version = 0;
    if (err != 0) {
        client_note(c, "cannot send (%s)", err_name(err));
        answered(c, err, NULL);
        if (c->kafka != NULL)
            client_hang_up(c);
        return;
    }
    c->calling = true;
    io_timer_start(c->io, &c->limit, io_now_ns(c->io) + CALL_LIMIT_NS);
}

void client_call(struct client *c, int16_t api, const void *request, client_answered *answered)
{
    client_send(c, api, request, answered, false);
}

void client_tell(struct client *c, int16_t api, const void *request, client_answered *answered)
{
    client_send(c, api, request, answered, true);
}

bool client_same_start(const struct client *c)
{
    return c->start_at_send == c->world->model.start && c->world->server_world != NULL;
}

// ---- steps

static bool client_may_step(const struct client *c)
{
    const struct world *w = c->world;
    switch (w->phase) {
    case PHASE_SETUP:
        return c->kind == &client_founder;
    case PHASE_RUN:
        return c->kind->needs < 0 || client_can(c, c->kind->needs);
    case PHASE_VERIFY:
        return c->kind->verifies;
    case PHASE_SETTLE:
    case PHASE_OVER:
        break;
    }
    return false;
}

static void client_step(struct io_timer *timer)
{
    struct client *c = CONTAINER_OF(timer, struct client, pause);
    struct world *w = c->world;
    if (c->calling || w->phase == PHASE_OVER)
        return;
    if (w->phase == PHASE_RUN && c->kafka != NULL && client_chance(c, 1))
        client_hang_up(c);
    if (!w->apis_known && w->phase != PHASE_SETTLE) {
        struct kafka_api_versions_request q = {0};
        q.client_software_name = slice_cstr("weir-sim");
        q.client_software_version = slice_cstr("1");
        client_call(c, KAFKA_API_API_VERSIONS, &q, versions_known);
    } else if (client_may_step(c)) {
        c->kind->step(c);
    }
    if (!c->calling)
        client_pause(c, PAUSE_IDLE_NS);
}

static void client_begin(struct io_msg *msg)
{
    struct client *c = CONTAINER_OF(msg, struct client, start_msg);
    if (c->kind->start != NULL)
        c->kind->start(c);
    client_pause(c, PAUSE_IDLE_NS);
}

struct client *client_create(struct world *w, const struct client_kind *kind)
{
    struct client *c = mem_zalloc(kind->size);
    ASSERT(w->clients_count < WORLD_CLIENTS_MAX);
    c->kind = kind;
    c->world = w;
    c->number = w->clients_count;
    (void)snprintf(c->name, sizeof c->name, "%s-%u", kind->name, c->number % 100);
    prng_seed(&c->prng, prng_next(&w->prng));
    c->pause_max_ns = INT64_C(500000) << client_dice(c, 6);
    const struct io_actor_options o = {.name = c->name, .kind = IO_LOOP};
    int err = io_actor_create(w->client_world, &o, &c->io);
    ASSERT(err == 0);
    io_timer_init(&c->pause, client_step);
    io_timer_init(&c->limit, limit_reached);
    c->start_msg.run = client_begin;
    io_post(c->io, &c->start_msg);
    w->clients[w->clients_count++] = c;
    return c;
}

void client_destroy(struct client *c)
{
    if (c->kafka != NULL)
        kafka_client_close(c->kafka);
    if (c->calling)
        kafka_call_fini(&c->call);
    if (c->kind->fini != NULL)
        c->kind->fini(c);
    mem_free(c);
}

struct model_partition *client_partition(struct client *c)
{
    struct world *w = c->world;
    if (w->topics_count == 0)
        return NULL;
    struct model_topic *t = w->topics[client_dice(c, w->topics_count)];
    return t->partitions[client_dice(c, t->partitions_count)];
}

// ---- batches

static void value_make(struct world *w, struct prng *prng, uint32_t len, struct buf *out)
{
    buf_clear(out);
    buf_printf(out, "payload %llu ", (unsigned long long)w->next_payload++);
    while (out->len < len)
        buf_put_be64(out, prng_next(prng));
}

void client_batch_make(struct world *w, struct prng *prng, const struct client_batch_options *o,
                       struct client_batch *out)
{
    struct batch_builder bb;
    struct buf value;
    buf_init(&value, 1U << 20);
    buf_init(&out->bytes, 4U << 20);
    enum batch_codec codec = BATCH_NONE;
    if (prng_chance(prng, 4, 100))
        codec = (enum batch_codec)prng_below(prng, BATCH_CODECS);
    int64_t base_ms = world_timestamp(w);
    out->step_ms = (int64_t)prng_below(prng, 3);
    batch_build_begin(&bb, &out->bytes, codec, base_ms);
    if (o->producer_id >= 0)
        batch_build_producer(&bb, o->producer_id, o->producer_epoch, o->sequence);
    for (uint32_t i = 0; i < o->records; i++) {
        char key[24];
        value_make(w, prng, o->value_bytes, &value);
        (void)snprintf(key, sizeof key, "key-%u", (unsigned)prng_below(prng, 20));
        batch_build_record(&bb, base_ms + i * out->step_ms, slice_cstr(key), buf_slice(&value),
                           SLICE_NULL, 0);
    }
    int err = batch_build_end(&bb);
    ASSERT(err == 0);
    buf_fini(&value);
}
