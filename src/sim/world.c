// SPDX-License-Identifier: Apache-2.0
//
// A run from its first event to its report. It goes through phases:
//
//   SETUP   the server starts, the founder makes the topics; faults are on already
//   RUN     clients do what they like, the server is made to crash, until enough steps were made
//   SETTLE  faults off, one last crash perhaps, the server comes back
//   VERIFY  everything is read back
//   OVER    the server stops in order and its files are checked
#include "sim/world.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "sim/bundler.h"
#include "sim/client.h"
#include "sim/queue_user.h"

#define NS_PER_MS    INT64_C(1000000)
#define RUN_LIMIT_NS (INT64_C(300) * 1000 * NS_PER_MS) // of virtual time, for all phases
#define TAIL_LINES   60

int64_t world_timestamp(const struct world *w)
{
    return w->wall_start_ms + sim_now_ns(w->sim) / NS_PER_MS;
}

void world_step_done(struct world *w)
{
    if (w->phase != PHASE_RUN)
        return;
    w->steps++;
    server_fate(w);
}

// ---- faults

struct fault_plan {
    enum sim_fault fault;
    uint32_t ppm_max;
    uint32_t percent; // of runs have it
};

static const struct fault_plan plan[] = {
    {SIM_FAULT_CRASH, 2000, 30},         {SIM_FAULT_SYNC_FAIL, 2000, 10},
    {SIM_FAULT_DISK_FULL, 3000, 8},      {SIM_FAULT_READ_FAIL, 20000, 8},
    {SIM_FAULT_WRITE_FAIL, 20000, 15},   {SIM_FAULT_READ_FLIP, 60000, 12},
    {SIM_FAULT_REST_FLIP, 1000000, 35},  {SIM_FAULT_CLOCK_JUMP, 20000, 20},
    {SIM_FAULT_CUT, 20000, 60},          {SIM_FAULT_HALF_OPEN, 8000, 20},
    {SIM_FAULT_SHORT_IO, 200000, 50},    {SIM_FAULT_DELAY, 5000, 40},
    {SIM_FAULT_ACCEPT_DELAY, 30000, 30}, {SIM_FAULT_REFUSED, 30000, 30},
};

static void faults_plan(struct world *w, struct sim_options *options)
{
    for (size_t i = 0; i < sizeof plan / sizeof plan[0]; i++)
        if (prng_chance(&w->prng, plan[i].percent, 100))
            options->fault_ppm[plan[i].fault] = 1 + world_dice(w, plan[i].ppm_max);
    w->rest_flip_ppm = options->fault_ppm[SIM_FAULT_REST_FLIP];
    w->disk_may_fill = options->fault_ppm[SIM_FAULT_DISK_FULL] > 0;
    w->model.read_flips = options->fault_ppm[SIM_FAULT_READ_FLIP] > 0;
    w->half_open = options->fault_ppm[SIM_FAULT_HALF_OPEN] > 0;
}

static void faults_off(struct world *w)
{
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        sim_set_fault(w->sim, (enum sim_fault)i, 0);
    sim_disk_room(w->server_machine);
    sim_crash_at_write(w->server_machine, 0, SIM_KILL);
    w->crash_on_ack = false;
}

// ---- the cast

static void topics_plan(struct world *w)
{
    for (uint32_t i = 0; i < WORLD_TOPICS; i++) {
        char name[MODEL_NAME];
        (void)snprintf(name, sizeof name, "topic-%u", i);
        w->topics[w->topics_count++] =
            topic_model_create(&w->model, name, i == WORLD_TOPIC_BUNDLED ? 3 : 2);
    }
}

static void cast(struct world *w)
{
    static const struct {
        const struct client_kind *kind;
        uint32_t least, dice;
    } parts[] = {
        {&client_founder, 1, 1},  {&client_producer, 2, 3}, {&client_fetcher, 1, 3},
        {&client_follower, 1, 2}, {&client_asker, 1, 2},    {&client_committer, 1, 2},
        {&client_admin, 1, 2},    {&client_member, 2, 3},   {&client_reader, 1, 1},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        for (uint32_t n = parts[i].least + world_dice(w, parts[i].dice); n > 0; n--)
            (void)client_create(w, parts[i].kind);
    for (uint32_t n = 1 + world_dice(w, 2); n > 0; n--)
        (void)queue_user_create(w, &queue_user_publisher);
    for (uint32_t n = 2 + world_dice(w, 3); n > 0; n--)
        (void)queue_user_create(w, &queue_user_consumer);
    (void)queue_user_create(w, &queue_user_drainer);
}

// ---- phases

static bool anybody_waits(const struct world *w)
{
    for (uint32_t i = 0; i < w->clients_count; i++)
        if (w->clients[i]->calling)
            return true;
    return false;
}

static void enter(struct world *w, enum world_phase phase)
{
    static const char *const names[] = {"setup", "run", "settle", "verify", "over"};
    w->phase = phase;
    history_note(&w->history, "world", "phase %s", names[phase]);
}

static void settle(struct world *w)
{
    enter(w, PHASE_SETTLE);
    faults_off(w);
    damage_mend(w);
    uint32_t dice = world_dice(w, 4);
    if (dice < 2)
        server_crash(w, dice == 0 ? SIM_POWER_LOSS : SIM_KILL);
    else if (dice == 2)
        server_stop(w);
}

static bool advance(void *arg)
{
    struct world *w = arg;
    uint64_t steps = 0;
    if (w->model.violated)
        return true;
    switch (w->phase) {
    case PHASE_SETUP:
        if (w->topics_ready == (1U << w->topics_count) - 1)
            enter(w, PHASE_RUN);
        break;
    case PHASE_RUN:
        if (w->steps >= w->options->steps)
            settle(w);
        break;
    case PHASE_SETTLE:
        if (w->server == SERVER_UP && !w->dying && !anybody_waits(w)) {
            w->model.read_flips = false;
            enter(w, PHASE_VERIFY);
        }
        break;
    case PHASE_VERIFY:
        if (w->verified > 0 && w->followed == w->followers && w->queues_verified &&
            groups_model_done(&w->model) && bundler_verified(w->bundler, &steps)) {
            model_bundles_final(&w->model, steps);
            enter(w, PHASE_OVER);
        }
        break;
    case PHASE_OVER:
        return true;
    }
    return false;
}

// ---- the end

static bool server_down(void *arg)
{
    const struct world *w = arg;
    return w->server == SERVER_DOWN || w->model.violated;
}

static void end_server(struct world *w)
{
    w->phase = PHASE_OVER;
    if (!w->model.violated) {
        server_stop(w);
        if (!sim_run_until(w->sim, sim_now_ns(w->sim) + RUN_LIMIT_NS, server_down, w))
            model_fail(&w->model, "the server does not come to an end");
    }
    if (w->server_world != NULL && sim_machine_up(w->server_machine))
        sim_crash(w->server_machine, SIM_KILL);
    server_bury(w);
    w->server = SERVER_DOWN;
    // A last checkpoint that met a full disk leaves the rest to the next start's replay.
    if (!w->model.violated && !w->disk_may_fill)
        files_check(w);
}

static void end_clients(struct world *w)
{
    sim_crash(w->client_machine, SIM_KILL); // nothing of theirs runs any more
    for (uint32_t i = 0; i < w->clients_count; i++) {
        io_actor_stop(w->clients[i]->io);
        client_destroy(w->clients[i]);
    }
    for (uint32_t i = 0; i < w->queue_users_count; i++) {
        io_actor_stop(w->queue_users[i]->io);
        queue_user_destroy(w->queue_users[i]);
    }
    sim_world_free(w->client_world);
}

static void report_fill(struct world *w)
{
    struct sim_run_report *r = w->report;
    r->violated = w->model.violated;
    (void)snprintf(r->violation, sizeof r->violation, "%s", w->model.violation);
    r->io = *sim_report(w->sim);
    r->hash = sim_hash(w->sim);
    r->steps = w->steps;
    r->checks = w->model.checks;
    r->damaged_reads = w->model.damaged_reads;
    r->virtual_ms = sim_now_ns(w->sim) / NS_PER_MS;
    if (r->violated && w->options->tail != NULL)
        history_tail(&w->history, TAIL_LINES, w->options->tail, w->options->arg);
}

static void begin(struct world *w)
{
    struct sim_options options;
    sim_options_init(&options, w->options->seed);
    prng_seed(&w->prng, w->options->seed ^ 0x77656972);
    model_init(&w->model, &w->history);
    faults_plan(w, &options);
    options.crashed = server_crashed;
    options.flipped = damage_flipped;
    options.arg = w;
    int err = sim_create(&options, &w->sim);
    ASSERT(err == 0);
    w->wall_start_ms = options.wall_start_ms;
    w->history.sim = w->sim;
    w->history.line = w->options->trace;
    w->history.arg = w->options->arg;
    for (uint32_t i = 0; i < WORLD_APIS; i++)
        w->api_max[i] = -1;
    w->server_machine = sim_machine_create(w->sim, "server", true);
    w->client_machine = sim_machine_create(w->sim, "clients", false);
    server_plan(w);
    topics_plan(w);
    world_queues_plan(w);
    w->bundler = bundler_create(w);
    w->client_world = sim_start(w->client_machine);
    cast(w);
    server_start(w);
}

void sim_run(const struct sim_run_options *options, struct sim_run_report *out)
{
    struct world *w = mem_zalloc(sizeof *w);
    *out = (struct sim_run_report){0};
    w->options = options;
    w->report = out;
    begin(w);
    if (!sim_run_until(w->sim, RUN_LIMIT_NS, advance, w))
        model_fail(&w->model, "the run does not come to an end");
    end_server(w);
    end_clients(w);
    report_fill(w);
    bundler_destroy(w->bundler);
    queues_model_fini(&w->queues);
    model_fini(&w->model);
    sim_destroy(w->sim);
    mem_free(w);
}
