// SPDX-License-Identifier: Apache-2.0
//
// The server's life in the simulated world: started with small files, so that within a few hundred
// requests it rolls segments, recycles its journal, checkpoints and reads cold; killed, cut off
// from power in the middle of a write, or stopped in order; and started again on what is left.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "sim/bundler.h"
#include "sim/world.h"

#define RESTART_MIN_NS INT64_C(1000000)
#define RESTART_MAX_NS INT64_C(200000000)
#define STARTS_IN_VAIN 30 // in a row, each excused by a fault, before the run gives up

uint32_t world_dice(struct world *w, uint32_t below)
{
    return (uint32_t)prng_below(&w->prng, below);
}

static void setting(struct world *w, const char *name, int64_t value)
{
    ASSERT(w->settings_count < WORLD_SETTINGS);
    char *text = w->settings_text[w->settings_count];
    (void)snprintf(text, sizeof w->settings_text[0], "%s=%lld", name, (long long)value);
    w->settings[w->settings_count++] = text;
}

void server_plan(struct world *w)
{
    w->scale = (struct node_scale){
        .journal_file_bytes = 131072U << world_dice(w, 2),
        .journal_first_bytes = 32768,
        .journal_direct_min_bytes = 4096U << world_dice(w, 2),
        .write_min_bytes = 1024U << world_dice(w, 6),
        .files_max = 4 + world_dice(w, 12),
    };
    setting(w, "num.partitions", 2);
    setting(w, "weir.journal.files", 3 + world_dice(w, 3));
    setting(w, "weir.tail.bytes", 1024 << world_dice(w, 7));
    setting(w, "weir.checkpoint.min.interval.ms", 5 + world_dice(w, 200));
    setting(w, "weir.journal.spin.us", world_dice(w, 2) * 100);
    setting(w, "weir.memory.bytes", 32 << 20);
    setting(w, "log.retention.check.interval.ms", 50 + world_dice(w, 500));
    setting(w, "log.message.timestamp.after.max.ms", INT64_MAX);
    setting(w, "group.initial.rebalance.delay.ms", world_dice(w, 2) * 20);
    setting(w, "group.min.session.timeout.ms", 100);
    // Metadata before version 4 cannot say that it only asks.
    w->settings[w->settings_count++] = "auto.create.topics.enable=false";
    w->settings[w->settings_count] = NULL;
    w->steps_to_fate = 20 + world_dice(w, 120);
}

// ---- hooks of the node

static int open_doors(void *arg, struct shard *shard)
{
    struct world *w = arg;
    const struct kafka_door_options o = {.port = WORLD_PORT};
    const struct amqp_door_options amqp = {.port = WORLD_AMQP_PORT};
    int err = kafka_door_open(shard, &o, &w->doors[shard_index(shard)]);
    return err != 0 ? err : amqp_door_open(shard, &amqp, &w->amqp_doors[shard_index(shard)]);
}

static void destroy_doors(void *arg, struct shard *shard)
{
    struct world *w = arg;
    kafka_door_destroy(w->doors[shard_index(shard)]);
    w->doors[shard_index(shard)] = NULL;
    amqp_door_destroy(w->amqp_doors[shard_index(shard)]);
    w->amqp_doors[shard_index(shard)] = NULL;
}

static void close_doors(void *arg, struct shard *shard)
{
    struct world *w = arg;
    kafka_door_close(w->doors[shard_index(shard)]);
    amqp_door_close(w->amqp_doors[shard_index(shard)]);
}

static void appends_unblocked(void *arg, struct shard *shard)
{
    struct world *w = arg;
    kafka_door_unblocked(w->doors[shard_index(shard)]);
    amqp_door_unblocked(w->amqp_doors[shard_index(shard)]);
}

static void start_again(void *arg)
{
    struct world *w = arg;
    w->restart_asked = false;
    if (w->phase != PHASE_OVER && w->server == SERVER_DOWN && w->server_world == NULL)
        server_start(w);
}

static void ask_restart(struct world *w)
{
    if (w->restart_asked || w->phase == PHASE_OVER)
        return;
    w->restart_asked = true;
    sim_at(w->sim, sim_now_ns(w->sim) + prng_range(&w->prng, RESTART_MIN_NS, RESTART_MAX_NS),
           start_again, w);
}

static void gone(struct world *w)
{
    w->server = SERVER_DOWN;
    w->dying = false;
    bundler_server_gone(w->bundler);
    model_server_gone(&w->model);
    queues_model_server_gone(&w->queues);
    server_bury(w);
    ask_restart(w);
}

// Outside every actor: the process has ended itself, or could not start.
static void give_up(void *arg)
{
    struct world *w = arg;
    if (!w->dying || w->server_world == NULL)
        return; // a crash was faster
    if (sim_machine_up(w->server_machine))
        sim_crash(w->server_machine, w->crash_kind);
    gone(w);
}

static void die(struct world *w, enum sim_crash_kind kind)
{
    if (w->dying)
        return;
    w->dying = true;
    w->crash_kind = kind;
    sim_at(w->sim, sim_now_ns(w->sim), give_up, w);
}

uint64_t server_faults(const struct world *w)
{
    static const enum sim_fault faults[] = {SIM_FAULT_SYNC_FAIL, SIM_FAULT_WRITE_FAIL,
                                            SIM_FAULT_DISK_FULL, SIM_FAULT_READ_FAIL};
    const struct sim_report *r = sim_report(w->sim);
    uint64_t all = 0;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        all += r->faults[faults[i]];
    return all;
}

static uint64_t read_flips(const struct world *w)
{
    return sim_report(w->sim)->faults[SIM_FAULT_READ_FLIP];
}

// Full: it may have been for a while.
static bool faults_excuse(const struct world *w, int err)
{
    return server_faults(w) > w->faults_at_start || (err == ERR_NOSPACE && w->disk_may_fill);
}

// A start that finds damage is refused with words that name the file.
static bool damage_excuses(const struct world *w, int err, const char *what)
{
    bool named = strstr(what, ".wal") != NULL || strstr(what, ".snap") != NULL ||
                 strstr(what, "CHECKPOINT") != NULL || strstr(what, "journal has no file") != NULL;
    bool damaged = sim_disk_flips(w->server_machine) > 0 || read_flips(w) > w->read_flips_at_start;
    return damaged && named && (err == ERR_CORRUPT || err == ERR_FORMAT_VERSION);
}

static void start_failed(struct world *w, int err, const char *what)
{
    history_note(&w->history, "server", "start failed: %s (%s)", what, err_text(err));
    w->report->failed_starts++;
    if (damage_excuses(w, err, what)) {
        w->report->refused_starts++;
        damage_mend(w);
    } else if (!faults_excuse(w, err)) {
        model_fail(&w->model, "the server did not start, and no fault excuses it: %s", what);
    }
    if (++w->failed_starts > STARTS_IN_VAIN)
        model_fail(&w->model, "the server did not start %u times: %s", w->failed_starts, what);
    die(w, SIM_KILL);
}

static void started(void *arg, int err, const char *what)
{
    struct world *w = arg;
    if (err != 0) {
        start_failed(w, err, what);
        return;
    }
    history_note(&w->history, "server", "up, start %u, epoch %d", w->model.start,
                 node_epoch(w->node));
    w->server = SERVER_UP;
    w->failed_starts = 0;
    w->report->starts++;
    damage_started(w);
    bundler_server_up(w->bundler);
}

static void failed(void *arg, int err, const char *what)
{
    struct world *w = arg;
    history_note(&w->history, "server", "failed: %s (%s)", what, err_text(err));
    if (!faults_excuse(w, err))
        model_fail(&w->model, "the server gave up, and no fault excuses it: %s", what);
    die(w, prng_chance(&w->prng, 1, 2) ? SIM_KILL : SIM_POWER_LOSS);
}

// ---- life

void server_start(struct world *w)
{
    ASSERT(w->server == SERVER_DOWN);
    w->faults_at_start = server_faults(w);
    w->read_flips_at_start = read_flips(w);
    w->server_world = sim_start(w->server_machine);
    w->server = SERVER_STARTING;
    model_server_begins(&w->model);
    history_note(&w->history, "server", "starts, start %u", w->model.start);
    const struct node_options options = {
        .world = w->server_world,
        .scale = w->scale,
        .shards_count = WORLD_SHARDS,
        .config = w->settings,
        .open_doors = open_doors,
        .close_doors = close_doors,
        .destroy_doors = destroy_doors,
        .appends_unblocked = appends_unblocked,
        .started = started,
        .failed = failed,
        .arg = w,
    };
    char *why = NULL;
    int err = node_create(&options, &w->node, &why);
    if (err != 0)
        model_fail(&w->model, "the server refuses its settings: %s", why != NULL ? why : "?");
    mem_free(why);
}

void server_bury(struct world *w)
{
    node_destroy(w->node);
    w->node = NULL;
    bundler_server_buried(w->bundler);
    if (w->server_world != NULL)
        sim_world_free(w->server_world);
    w->server_world = NULL;
    w->apis_known = false;
}

static void bury_later(void *arg)
{
    struct world *w = arg;
    if (w->dying && w->server_world != NULL)
        gone(w);
}

void server_crash(struct world *w, enum sim_crash_kind kind)
{
    if (w->server_world == NULL || !sim_machine_up(w->server_machine))
        return;
    history_note(&w->history, "world", kind == SIM_KILL ? "kills the server" : "cuts the power");
    if (kind == SIM_KILL)
        w->report->kills++;
    else
        w->report->crashes++;
    sim_crash(w->server_machine, kind);
    w->dying = true;
    sim_at(w->sim, sim_now_ns(w->sim), bury_later, w);
}

void server_crashed(void *arg, struct sim_machine *machine)
{
    struct world *w = arg;
    if (machine != w->server_machine || w->server_world == NULL)
        return;
    history_note(&w->history, "world", "the server crashed in the middle of a write");
    w->report->crashes++;
    gone(w);
}

static void stop_over(void *arg)
{
    struct world *w = arg;
    if (w->server != SERVER_STOPPING || w->dying)
        return;
    history_note(&w->history, "server", "stopped");
    w->report->stops++;
    gone(w);
}

static void stopped(void *arg)
{
    struct world *w = arg;
    sim_at(w->sim, sim_now_ns(w->sim), stop_over, w);
}

void server_stop(struct world *w)
{
    if (w->server != SERVER_UP || w->dying)
        return;
    history_note(&w->history, "world", "stops the server");
    w->server = SERVER_STOPPING;
    node_stop(w->node, stopped, w);
}

// ---- fate

void server_fate(struct world *w)
{
    if (w->phase != PHASE_RUN || w->server != SERVER_UP || w->dying)
        return;
    if (w->steps_to_fate > 0) {
        w->steps_to_fate--;
        return;
    }
    w->steps_to_fate = 10 + world_dice(w, 150);
    enum sim_crash_kind kind = world_dice(w, 4) == 0 ? SIM_KILL : SIM_POWER_LOSS;
    switch (world_dice(w, 8)) {
    case 0:
        server_stop(w);
        break;
    case 1:
    case 2:
        server_crash(w, kind);
        break;
    case 3:
    case 4:
    case 5:
        sim_crash_at_write(w->server_machine, 1 + world_dice(w, 40), kind);
        break;
    default:
        w->crash_on_ack = true;
        w->crash_kind = kind;
        break;
    }
}

void server_acknowledged(struct world *w)
{
    if (!w->crash_on_ack || w->server != SERVER_UP || w->dying)
        return;
    w->crash_on_ack = false;
    server_crash(w, w->crash_kind);
}
