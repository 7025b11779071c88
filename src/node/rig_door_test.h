// SPDX-License-Identifier: Apache-2.0
//
// For the tests of doors: a whole node with three shards on a simulated machine, a door on each,
// and on another machine an actor and sockets that say exactly the bytes that a test gives them.
// Whoever includes this has included the door's headers, and says which one it is:
//
//   #define RIG_DOOR kafka_door            struct kafka_door, kafka_door_close, …
//   #define RIG_ADDR "127.0.0.1:9092"
//   static int rig_door_open(struct shard *shard, struct io_addr *addr, struct kafka_door **out)
#ifndef WEIR_NODE_RIG_DOOR_TEST_H
#define WEIR_NODE_RIG_DOOR_TEST_H

#ifdef RIG_PLAIN // a fuzz target: the same rig without the test library
#include "base/assert.h"
#define assert_int_equal(a, b) ASSERT((int64_t)(a) == (int64_t)(b))
#define assert_true(a)         ASSERT(a)
#define assert_non_null(a)     ASSERT((a) != NULL)
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

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/sim.h"
#include "node/shard.h"

#define RIG_SHARDS 3
#define RIG        __attribute__((unused)) static
#define SECONDS(n) ((n)*INT64_C(1000000000))
#define MILLIS(n)  ((n)*INT64_C(1000000))

struct rig_door_kind {
    const char *addr;
    int (*open)(struct shard *shard, const struct io_addr *addr, void **out);
    void (*close)(void *door);
    void (*destroy)(void *door);
    void (*unblocked)(void *door);
    uint32_t (*connections)(const void *door);
};
static const struct rig_door_kind rig_kind;

struct rig {
    struct sim *sim;
    struct sim_machine *server, *outside;
    struct io_world *server_world, *outside_world;
    struct io *io; // of the outside actor
    struct node *node;
    void *doors[RIG_SHARDS];
    struct io_addr addr;
    bool started, stopped;
    int start_err;
    void *client; // a room's own
};

// ---- the node

RIG int rig_open_doors(void *arg, struct shard *shard)
{
    struct rig *rig = arg;
    return rig_kind.open(shard, &rig->addr, &rig->doors[shard_index(shard)]);
}

RIG void rig_close_doors(void *arg, struct shard *shard)
{
    rig_kind.close(((struct rig *)arg)->doors[shard_index(shard)]);
}

RIG void rig_destroy_doors(void *arg, struct shard *shard)
{
    struct rig *rig = arg;
    rig_kind.destroy(rig->doors[shard_index(shard)]);
    rig->doors[shard_index(shard)] = NULL;
}

RIG void rig_unblocked(void *arg, struct shard *shard)
{
    rig_kind.unblocked(((struct rig *)arg)->doors[shard_index(shard)]);
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
    assert_int_equal(io_addr_parse(rig_kind.addr, &rig->addr), 0);
    rig->outside_world = sim_start(rig->outside);
    assert_int_equal(io_actor_create(rig->outside_world, &outside, &rig->io), 0);
    rig_start(rig, config);
}

RIG void rig_stop_and_free(struct rig *rig)
{
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

RIG uint32_t rig_connections(struct rig *rig)
{
    uint32_t count = 0;
    for (int i = 0; i < RIG_SHARDS; i++)
        count += rig_kind.connections(rig->doors[i]);
    return count;
}

// Memory of requests in flight, on all shards.
RIG int64_t rig_request_bytes(struct rig *rig)
{
    int64_t bytes = 0;
    for (int i = 0; i < RIG_SHARDS; i++)
        bytes += budget_used(shard_request_budget(node_shard(rig->node, (uint32_t)i)));
    return bytes;
}

// ---- raw bytes

struct rig_raw {
    struct io_sock *sock;
    struct buf in; // what the server has sent
    const uint8_t *out;
    size_t out_len, out_at;
    bool deaf;  // never reads
    bool ended; // the server closed
};

RIG void rig_raw_ready(void *owner, int mask)
{
    struct rig_raw *raw = owner;
    while ((mask & IO_WRITABLE) != 0 && raw->out_at < raw->out_len) {
        struct iovec iov = {(void *)(uintptr_t)(raw->out + raw->out_at),
                            raw->out_len - raw->out_at};
        int64_t n = io_send(raw->sock, &iov, 1);
        if (n < 0) {
            raw->ended = raw->ended || n != ERR_AGAIN;
            break;
        }
        raw->out_at += (size_t)n;
    }
    while (!raw->deaf && (mask & IO_READABLE) != 0 && !raw->ended) {
        uint8_t bytes[4096];
        int64_t n = io_recv(raw->sock, bytes, sizeof bytes);
        if (n == ERR_AGAIN)
            break;
        if (n <= 0)
            raw->ended = true;
        else
            buf_put(&raw->in, bytes, (size_t)n);
    }
    int want = (raw->deaf ? 0 : IO_READABLE) | (raw->out_at < raw->out_len ? IO_WRITABLE : 0);
    io_watch(raw->sock, raw->ended ? 0 : want);
}

RIG int rig_raw_connect(struct io *io, const struct io_addr *addr, struct rig_raw *raw)
{
    static const struct io_sock_events events = {.ready = rig_raw_ready};
    *raw = (struct rig_raw){0};
    buf_init(&raw->in, 256 << 20);
    int err = io_connect(io, addr, &raw->sock);
    if (err != 0)
        return err;
    io_sock_own(raw->sock, &events, raw);
    io_watch(raw->sock, IO_READABLE);
    return 0;
}

// The bytes must live until they are sent.
RIG void rig_raw_send(struct rig_raw *raw, const void *data, size_t len)
{
    raw->out = data;
    raw->out_len = len;
    raw->out_at = 0;
    io_watch(raw->sock, (raw->deaf ? 0 : IO_READABLE) | IO_WRITABLE);
}

RIG void rig_raw_close(struct rig_raw *raw)
{
    io_close(raw->sock);
    raw->sock = NULL;
    buf_fini(&raw->in);
}

#endif
