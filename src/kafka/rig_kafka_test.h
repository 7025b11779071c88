// SPDX-License-Identifier: Apache-2.0
//
// For the tests of the room: a whole node with its doors on a simulated machine, and on another
// machine actors that speak to it, by the client or by raw bytes. Everything is in the header since
// each test is a program of its own; each uses a part of it.
#ifndef WEIR_KAFKA_RIG_KAFKA_TEST_H
#define WEIR_KAFKA_RIG_KAFKA_TEST_H

#ifdef RIG_PLAIN // a fuzz target: the same rig without the test library
#include "base/assert.h"
#define assert_int_equal(a, b) ASSERT((int64_t)(a) == (int64_t)(b))
#define fail_msg(...)          ASSERT(false)
#else
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#endif
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/sim.h"
#include "kafka/client.h"
#include "kafka/door.h"
#include "kafka/kafka_int.h"
#include "node/rig_raw_test.h"

#define RIG_SHARDS 3
#define SECONDS(n) ((n)*INT64_C(1000000000))

struct rig {
    struct sim *sim;
    struct sim_machine *server, *outside;
    struct io_world *server_world, *outside_world;
    struct io *io; // of the outside actor
    struct node *node;
    struct kafka_door *doors[RIG_SHARDS];
    struct io_addr addr;
    bool started, stopped;
    int start_err;
    struct kafka_client *client;
};

// ---- the node

RIG int rig_open_doors(void *arg, struct shard *shard)
{
    struct rig *rig = arg;
    uint32_t index = shard_index(shard);
    struct kafka_door_options options = {.listen = &rig->addr, .listen_count = 1};
    int err = kafka_door_open(shard, &options, &rig->doors[index]);
    if (err == 0)
        rig->addr = kafka_door_listeners(rig->doors[index])->addrs[0];
    return err;
}

RIG void rig_close_doors(void *arg, struct shard *shard)
{
    kafka_door_close(((struct rig *)arg)->doors[shard_index(shard)]);
}

RIG void rig_destroy_doors(void *arg, struct shard *shard)
{
    struct rig *rig = arg;
    kafka_door_destroy(rig->doors[shard_index(shard)]);
    rig->doors[shard_index(shard)] = NULL;
}

RIG void rig_unblocked(void *arg, struct shard *shard)
{
    kafka_door_unblocked(((struct rig *)arg)->doors[shard_index(shard)]);
}

RIG void rig_started(void *arg, int err, const char *what)
{
    (void)what;
    ((struct rig *)arg)->started = true;
    ((struct rig *)arg)->start_err = err;
}

RIG void rig_failed(void *arg, int err, const char *what)
{
    (void)arg;
    (void)err;
    (void)what;
    fail_msg("the node failed: %d %s", err, what);
}

RIG void rig_stopped(void *arg)
{
    ((struct rig *)arg)->stopped = true;
}

RIG bool rig_flag(void *arg)
{
    return *(bool *)arg;
}

RIG void rig_run(struct rig *rig, int64_t ns)
{
    (void)sim_run_until(rig->sim, sim_now_ns(rig->sim) + ns, NULL, NULL);
}

RIG void rig_wait(struct rig *rig, bool *flag)
{
    if (!sim_run_until(rig->sim, sim_now_ns(rig->sim) + SECONDS(600), rig_flag, flag))
        fail_msg("nothing happened in ten minutes");
}

RIG void rig_start(struct rig *rig, const char *const *config)
{
    char *why = NULL;
    rig->server_world = sim_start(rig->server);
    rig->started = false;
    const struct node_options options = {
        .world = rig->server_world,
        .shards_count = RIG_SHARDS,
        .memory_bytes = 64 << 20,
        .config = config,
        .open_doors = rig_open_doors,
        .close_doors = rig_close_doors,
        .destroy_doors = rig_destroy_doors,
        .appends_unblocked = rig_unblocked,
        .started = rig_started,
        .failed = rig_failed,
        .arg = rig,
    };
    assert_int_equal(node_create(&options, &rig->node, &why), 0);
    rig_wait(rig, &rig->started);
    assert_int_equal(rig->start_err, 0);
}

RIG void rig_init_with(struct rig *rig, const char *const *config)
{
    struct sim_options options;
    const struct io_actor_options outside = {.name = "outside", .kind = IO_LOOP};
    *rig = (struct rig){0};
    sim_options_init(&options, 7);
    assert_int_equal(sim_create(&options, &rig->sim), 0);
    rig->server = sim_machine_create(rig->sim, "server", true);
    rig->outside = sim_machine_create(rig->sim, "outside", false);
    assert_int_equal(io_addr_parse("127.0.0.1:9092", &rig->addr), 0);
    rig->outside_world = sim_start(rig->outside);
    assert_int_equal(io_actor_create(rig->outside_world, &outside, &rig->io), 0);
    rig_start(rig, config);
}

RIG void rig_init(struct rig *rig)
{
    static const char *const config[] = {"weir.journal.file.bytes=4194304",
                                         "group.initial.rebalance.delay.ms=0", NULL};
    rig_init_with(rig, config);
}

RIG void rig_fini(struct rig *rig)
{
    kafka_client_close(rig->client);
    rig->client = NULL;
    if (sim_machine_up(rig->server)) {
        node_stop(rig->node, rig_stopped, rig);
        rig_wait(rig, &rig->stopped);
    }
    node_destroy(rig->node);
    sim_world_free(rig->server_world);
    io_actor_stop(rig->io);
    sim_world_free(rig->outside_world);
    sim_destroy(rig->sim);
}

// ---- the client: one call, waited for

struct rig_call {
    struct kafka_call call;
    bool done;
};

RIG void rig_call_done(struct kafka_call *call)
{
    CONTAINER_OF(call, struct rig_call, call)->done = true;
}

RIG struct kafka_client *rig_connect(struct rig *rig)
{
    struct kafka_client *client;
    const struct kafka_client_options options = {
        .io = rig->io, .addr = rig->addr, .client_id = slice_cstr("rig")};
    assert_int_equal(kafka_client_open(&options, &client), 0);
    return client;
}

RIG void rig_begin(struct rig *rig, struct kafka_client *client, struct rig_call *c, int16_t key,
                   int version, const void *request)
{
    (void)rig;
    *c = (struct rig_call){.call.done = rig_call_done};
    assert_int_equal(kafka_client_call(client, &c->call, key, version, request), 0);
}

// The response, to be given back with kafka_call_fini(&c->call).
RIG void *rig_ask(struct rig *rig, struct rig_call *c, int16_t key, int version,
                  const void *request)
{
    if (rig->client == NULL)
        rig->client = rig_connect(rig);
    rig_begin(rig, rig->client, c, key, version, request);
    rig_wait(rig, &c->done);
    if (c->call.err != 0)
        fail_msg("api %d version %d: %s", key, version, err_name(c->call.err));
    return c->call.response;
}

// ---- raw bytes

RIG void rig_raw_open(struct rig *rig, struct rig_raw *raw)
{
    assert_int_equal(rig_raw_connect(rig->io, &rig->addr, raw), 0);
}

RIG uint32_t rig_connections(struct rig *rig)
{
    uint32_t count = 0;
    for (int i = 0; i < RIG_SHARDS; i++)
        count += rig->doors[i]->conns_count;
    return count;
}

// Memory of requests in flight, on all shards.
RIG int64_t rig_request_bytes(struct rig *rig)
{
    int64_t bytes = 0;
    for (int i = 0; i < RIG_SHARDS; i++)
        bytes += budget_used(shard_request_budget(rig->doors[i]->shard));
    return bytes;
}

RIG uint64_t rig_request_errors(struct rig *rig)
{
    uint64_t errors = 0;
    for (int i = 0; i < RIG_SHARDS; i++)
        errors += shard_counters(rig->doors[i]->shard)->request_errors;
    return errors;
}

#endif
