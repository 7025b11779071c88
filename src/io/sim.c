// SPDX-License-Identifier: Apache-2.0
//
// The universe: its clock, its heap of events, its dice and its trace. Everything that happens is
// an event at a time; of two at the same time the one made first comes first, so nothing depends on
// addresses or on the heap's inner order.
#include "io/sim.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "io/sim_int.h"

static const char *const fault_names[SIM_FAULT_COUNT] = {
#define FAULT_NAME(id, name, what) [SIM_FAULT_##id] = (name),
    SIM_FAULT_TABLE(FAULT_NAME)
#undef FAULT_NAME
};

const char *sim_fault_name(enum sim_fault fault)
{
    ASSERT((unsigned)fault < SIM_FAULT_COUNT);
    return fault_names[fault];
}

void sim_options_init(struct sim_options *out, uint64_t seed)
{
    *out = (struct sim_options){
        .seed = seed, .disk_bytes = 1ULL << 30, .wall_start_ms = 1700000000000};
}

void sim_options_faulty(struct sim_options *options)
{
    static const uint32_t ppm[SIM_FAULT_COUNT] = {
        [SIM_FAULT_CRASH] = 2000,     [SIM_FAULT_SYNC_FAIL] = 300,
        [SIM_FAULT_DISK_FULL] = 300,  [SIM_FAULT_READ_FAIL] = 100,
        [SIM_FAULT_CLOCK_JUMP] = 500, [SIM_FAULT_CUT] = 2000,
        [SIM_FAULT_HALF_OPEN] = 500,  [SIM_FAULT_SHORT_IO] = 100000,
        [SIM_FAULT_DELAY] = 3000,     [SIM_FAULT_ACCEPT_DELAY] = 20000,
        [SIM_FAULT_REFUSED] = 10000,
    };
    memcpy(options->fault_ppm, ppm, sizeof ppm);
}

int sim_create(const struct sim_options *options, struct sim **out)
{
    struct sim *sim = mem_zalloc(sizeof *sim);
    sim->options = *options;
    prng_seed(&sim->prng, options->seed);
    heap_init(&sim->events);
    list_init(&sim->machines);
    list_init(&sim->listeners);
    list_init(&sim->conns);
    list_init(&sim->calls);
    sim->next_port = 40000;
    sim->next_uid = 1;
    sim->hash = hash64(&options->seed, sizeof options->seed, 0);
    *out = sim;
    return 0;
}

void sim_set_fault(struct sim *sim, enum sim_fault fault, uint32_t ppm)
{
    ASSERT((unsigned)fault < SIM_FAULT_COUNT);
    sim->options.fault_ppm[fault] = ppm;
}

// ---- trace and dice

void sim_trace(struct sim *sim, const void *data, size_t len)
{
    sim->hash = hash64(data, len, sim->hash);
}

void sim_fact(struct sim *sim, enum sim_fact fact, uint64_t a, uint64_t b, int64_t c)
{
    int64_t at_ns = sim->running != NULL ? sim->running->clock_ns : sim->now_ns;
    uint64_t uid = sim->running != NULL ? sim->running->uid : 0;
    uint64_t words[] = {(uint64_t)fact, (uint64_t)at_ns, uid, a, b, (uint64_t)c};
    sim->report.io_calls += fact > FACT_TURN;
    sim_trace(sim, words, sizeof words);
}

void sim_fact_text(struct sim *sim, const char *text)
{
    sim_trace(sim, text, strlen(text));
}

uint64_t sim_hash(const struct sim *sim)
{
    return sim->hash;
}

const struct sim_report *sim_report(const struct sim *sim)
{
    return &sim->report;
}

void sim_count(struct sim *sim, enum sim_fault fault)
{
    sim->report.faults[fault]++;
}

bool sim_roll(struct sim *sim, enum sim_fault fault)
{
    uint32_t ppm = sim->options.fault_ppm[fault];
    return ppm != 0 && prng_chance(&sim->prng, ppm, 1000000);
}

bool sim_fault(struct sim *sim, enum sim_fault fault)
{
    if (!sim_roll(sim, fault))
        return false;
    sim_count(sim, fault);
    return true;
}

int64_t sim_between(struct sim *sim, int64_t min, int64_t max)
{
    return prng_range(&sim->prng, min, max);
}

uint64_t sim_random(struct sim *sim, uint64_t below)
{
    return prng_below(&sim->prng, below);
}

int64_t sim_long_delay(struct sim *sim)
{
    return sim_fault(sim, SIM_FAULT_DELAY) ? sim_between(sim, SIM_MS, 500 * SIM_MS) : 0;
}

// ---- events

int64_t sim_now_ns(const struct sim *sim)
{
    return sim->now_ns;
}

void sim_schedule(struct sim *sim, struct sim_event *event, int64_t at_ns)
{
    heap_remove(&sim->events, &event->node);
    heap_push(&sim->events, &event->node, at_ns < sim->now_ns ? sim->now_ns : at_ns);
}

void sim_cancel(struct sim *sim, struct sim_event *event)
{
    heap_remove(&sim->events, &event->node);
}

bool sim_step(struct sim *sim)
{
    struct heap_node *node = heap_min(&sim->events);
    ASSERT(sim->running == NULL);
    if (node == NULL)
        return false;
    struct sim_event *event = CONTAINER_OF(node, struct sim_event, node);
    ASSERT(node->key >= sim->now_ns);
    heap_remove(&sim->events, node);
    sim->now_ns = node->key;
    sim->report.events++;
    sim_fact(sim, FACT_EVENT, node->seq, 0, 0);
    event->run(sim, event);
    return true;
}

bool sim_run_until(struct sim *sim, int64_t until_ns, bool (*done)(void *arg), void *arg)
{
    for (;;) {
        if (done != NULL && done(arg))
            return true;
        struct heap_node *node = heap_min(&sim->events);
        if (node == NULL || node->key > until_ns) {
            if (sim->now_ns < until_ns && until_ns != INT64_MAX)
                sim->now_ns = until_ns;
            return false;
        }
        (void)sim_step(sim);
    }
}

struct sim_at_call {
    struct sim_event event;
    struct list link;
    void (*fn)(void *arg);
    void *arg;
};

static void at_run(struct sim *sim, struct sim_event *event)
{
    struct sim_at_call *call = CONTAINER_OF(event, struct sim_at_call, event);
    void (*fn)(void *) = call->fn;
    void *arg = call->arg;
    (void)sim;
    list_remove(&call->link);
    mem_free(call);
    fn(arg);
}

void sim_at(struct sim *sim, int64_t at_ns, void (*fn)(void *arg), void *arg)
{
    struct sim_at_call *call = mem_zalloc(sizeof *call);
    call->event.run = at_run;
    call->fn = fn;
    call->arg = arg;
    list_push_back(&sim->calls, &call->link);
    sim_schedule(sim, &call->event, at_ns);
}

void sim_destroy(struct sim *sim)
{
    if (sim == NULL)
        return;
    LIST_FOR_SAFE (it, &sim->machines) {
        struct sim_machine *machine = CONTAINER_OF(it, struct sim_machine, link);
        ASSERT(machine->world == NULL);
        sim_disk_destroy(machine->disk);
        mem_free(machine);
    }
    sim_net_free(sim); // empties the heap
    LIST_FOR_SAFE (it, &sim->calls)
        mem_free(CONTAINER_OF(it, struct sim_at_call, link));
    heap_fini(&sim->events);
    mem_free(sim);
}

const struct io_ops sim_ops = {
    .actor_create = sim_actor_create,
    .actor_stop = sim_actor_stop,
    .post = sim_post,
    .now_ns = sim_io_now_ns,
    .wall_ms = sim_io_wall_ms,
    .random = sim_io_random,
    .timers_changed = sim_timers_changed,
    .listen = sim_listen,
    .sock_addr = sim_sock_addr,
    .connect = sim_connect,
    .sock_own = sim_sock_own,
    .watch = sim_watch,
    .recv = sim_recv,
    .send = sim_send,
    .close = sim_close,
    .open = sim_open,
    .file_close = sim_file_close,
    .file_size = sim_file_size,
    .read = sim_read,
    .write = sim_write,
    .sync = sim_sync,
    .truncate = sim_truncate,
    .reserve = sim_reserve,
    .rename = sim_rename,
    .remove = sim_remove,
    .mkdir = sim_mkdir,
    .sync_dir = sim_sync_dir,
    .list = sim_list,
    .disk_free = sim_disk_free,
    .lock = sim_lock,
    .lock_text = sim_lock_text,
};
