// SPDX-License-Identifier: Apache-2.0
//
// A node on a simulated machine, for tests: started, driven request by request from the test's own
// code, stopped or crashed, started again on the same disk.
#ifndef WEIR_NODE_RIG_NODE_TEST_H
#define WEIR_NODE_RIG_NODE_TEST_H

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/sim.h"
#include "node/node.h"
#include "node/partitions.h"
#include "node/status.h"
#include "node/topics.h"

#define RIG __attribute__((unused)) static

struct rig {
    struct sim *sim;
    struct sim_machine *machine;
    struct io_world *world;
    struct node *node;
    uint32_t shards;
    const char *const *config;
    bool started, stopped, done;
    int start_err;
    char why[256];
    uint32_t doors_open;
    struct io_msg msg;
    void (*run)(struct rig *rig, struct shard *shard, void *arg);
    uint32_t run_shard;
    void *arg;
};

RIG int rig_open_doors(void *arg, struct shard *shard)
{
    struct rig *rig = arg;
    assert_int_equal(shard_index(shard), rig->doors_open); // one after the other
    rig->doors_open++;
    return 0;
}

RIG void rig_close_doors(void *arg, struct shard *shard)
{
    struct rig *rig = arg;
    (void)shard;
    rig->doors_open--;
}

RIG void rig_started(void *arg, int err, const char *what)
{
    struct rig *rig = arg;
    rig->started = true;
    rig->start_err = err;
    (void)snprintf(rig->why, sizeof rig->why, "%s", what);
}

RIG void rig_stopped(void *arg)
{
    ((struct rig *)arg)->stopped = true;
}

RIG bool rig_flag(void *arg)
{
    return *(bool *)arg;
}

RIG void rig_until(struct rig *rig, bool *flag)
{
    int64_t limit = sim_now_ns(rig->sim) + 60 * INT64_C(1000000000);
    if (!*flag)
        (void)sim_run_until(rig->sim, limit, rig_flag, flag);
    assert_true(*flag);
}

RIG int rig_start(struct rig *rig)
{
    char *why = NULL;
    rig->started = false;
    rig->stopped = false;
    rig->doors_open = 0;
    rig->world = sim_start(rig->machine);
    const struct node_options o = {
        .world = rig->world,
        .shards_count = rig->shards,
        .memory_bytes = 64 << 20,
        .config = rig->config,
        .open_doors = rig_open_doors,
        .close_doors = rig_close_doors,
        .started = rig_started,
        .arg = rig,
    };
    assert_int_equal(node_create(&o, &rig->node, &why), 0);
    rig_until(rig, &rig->started);
    return rig->start_err;
}

RIG void rig_stop(struct rig *rig)
{
    node_stop(rig->node, rig_stopped, rig);
    rig_until(rig, &rig->stopped);
    assert_int_equal(rig->doors_open, 0);
    node_destroy(rig->node);
    sim_world_free(rig->world);
}

RIG void rig_crash(struct rig *rig)
{
    sim_crash(rig->machine, SIM_POWER_LOSS);
    node_destroy(rig->node);
    sim_world_free(rig->world);
}

RIG void rig_init(struct rig *rig, uint64_t seed, uint32_t shards, const char *const *config)
{
    struct sim_options o;
    memset(rig, 0, sizeof *rig);
    sim_options_init(&o, seed);
    assert_int_equal(sim_create(&o, &rig->sim), 0);
    rig->machine = sim_machine_create(rig->sim, "server", true);
    rig->shards = shards;
    rig->config = config;
    assert_int_equal(rig_start(rig), 0);
}

RIG void rig_fini(struct rig *rig)
{
    rig_stop(rig);
    sim_destroy(rig->sim);
}

RIG void rig_arrived(struct io_msg *msg)
{
    struct rig *rig = CONTAINER_OF(msg, struct rig, msg);
    rig->run(rig, node_shard(rig->node, rig->run_shard), rig->arg);
}

// Runs `run` on a shard and waits until it, or what it started, sets rig->done.
RIG void rig_on_shard(struct rig *rig, uint32_t index,
                      void (*run)(struct rig *rig, struct shard *shard, void *arg), void *arg)
{
    rig->run = run;
    rig->run_shard = index;
    rig->arg = arg;
    rig->done = false;
    rig->msg.run = rig_arrived;
    io_post(shard_io(node_shard(rig->node, index)), &rig->msg);
    rig_until(rig, &rig->done);
}

#endif
