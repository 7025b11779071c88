// SPDX-License-Identifier: Apache-2.0
//
// For the tests of the room: a whole node with its doors on a simulated machine, and on another
// machine actors that speak to it, by the client or by raw bytes. Everything is in the header since
// each test is a program of its own; each uses a part of it.
#ifndef WEIR_KAFKA_RIG_KAFKA_TEST_H
#define WEIR_KAFKA_RIG_KAFKA_TEST_H

#include "kafka/client.h"
#include "kafka/door.h"
#include "kafka/kafka_int.h"
#include "node/rig_door_test.h"

static int rig_door_open(struct shard *shard, const struct io_addr *addr, void **out)
{
    struct kafka_door_options options = {.listen = addr, .listen_count = 1};
    struct kafka_door *door;
    int err = kafka_door_open(shard, &options, &door);
    if (err == 0)
        *out = door;
    return err;
}

static void rig_door_close(void *door)
{
    kafka_door_close(door);
}

static void rig_door_destroy(void *door)
{
    kafka_door_destroy(door);
}

static void rig_door_unblocked(void *door)
{
    kafka_door_unblocked(door);
}

static uint32_t rig_door_connections(const void *door)
{
    return ((const struct kafka_door *)door)->conns_count;
}

static const struct rig_door_kind rig_kind = {
    .addr = "127.0.0.1:9092",
    .open = rig_door_open,
    .close = rig_door_close,
    .destroy = rig_door_destroy,
    .unblocked = rig_door_unblocked,
    .connections = rig_door_connections,
};

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
    rig_stop_and_free(rig);
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

RIG uint64_t rig_request_errors(struct rig *rig)
{
    uint64_t errors = 0;
    for (int i = 0; i < RIG_SHARDS; i++)
        errors += shard_counters(node_shard(rig->node, (uint32_t)i))->request_errors;
    return errors;
}

#endif
