// SPDX-License-Identifier: Apache-2.0
//
// Simulated machines: a disk that stays and incarnations (worlds) that come and go. A crash stops
// everything the machine does at that instant and leaves the corpses to their owners.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/sim_int.h"

static void crash_run(struct sim *sim, struct sim_event *event)
{
    struct sim_machine *machine = CONTAINER_OF(event, struct sim_machine, crash_event);
    if (machine->world == NULL || machine->world->dead)
        return;
    sim_count(sim, SIM_FAULT_CRASH);
    sim_crash(machine, machine->crash_kind);
    if (sim->options.crashed != NULL)
        sim->options.crashed(sim->options.arg, machine);
}

struct sim_machine *sim_machine_create(struct sim *sim, const char *name, bool disk)
{
    struct sim_machine *machine = mem_zalloc(sizeof *machine);
    machine->sim = sim;
    (void)snprintf(machine->name, sizeof machine->name, "%s", name);
    machine->crash_event.run = crash_run;
    if (disk)
        machine->disk = sim_disk_create(sim, sim->options.disk_bytes);
    list_push_back(&sim->machines, &machine->link);
    return machine;
}

const char *sim_machine_name(const struct sim_machine *machine)
{
    return machine->name;
}

bool sim_machine_up(const struct sim_machine *machine)
{
    return machine->world != NULL && !machine->world->dead;
}

struct io_world *sim_start(struct sim_machine *machine)
{
    struct sim *sim = machine->sim;
    ASSERT(machine->world == NULL);
    struct sim_world *world = mem_zalloc(sizeof *world);
    world->base.ops = &sim_ops;
    world->sim = sim;
    world->machine = machine;
    list_init(&world->actors);
    machine->world = world;
    sim->report.starts++;
    sim_fact(sim, FACT_START, machine->starts, 0, 0);
    sim_fact_text(sim, machine->name);
    if (machine->starts++ > 0 && machine->disk != NULL && sim_fault(sim, SIM_FAULT_REST_FLIP))
        sim_flip_at_rest(machine);
    return &world->base;
}

void sim_crash(struct sim_machine *machine, enum sim_crash_kind kind)
{
    struct sim *sim = machine->sim;
    struct sim_world *world = machine->world;
    ASSERT(world != NULL);
    ASSERT(!world->dead);
    ASSERT(sim->running == NULL || sim->running->world != world);
    sim_fact(sim, FACT_CRASH, machine->starts, 0, kind);
    sim->report.crashes++;
    world->dead = true;
    machine->stopped_ns = 0; // what stopped actors did ahead of the crash is undone with the rest
    sim_cancel(sim, &machine->crash_event);
    LIST_FOR (it, &world->actors)
        sim_actor_kill(CONTAINER_OF(it, struct sim_io, link));
    if (machine->disk != NULL)
        sim_disk_crash(machine->disk, kind == SIM_POWER_LOSS);
}

void sim_crash_at_write(struct sim_machine *machine, uint64_t n, enum sim_crash_kind kind)
{
    machine->crash_countdown = n;
    machine->crash_kind = kind;
}

void sim_world_free(struct io_world *base)
{
    struct sim_world *world = (struct sim_world *)base;
    LIST_FOR_SAFE (it, &world->actors) {
        struct sim_io *io = CONTAINER_OF(it, struct sim_io, link);
        ASSERT(io->base.dead);
        sim_actor_free(io);
    }
    ASSERT(world->machine->world == world);
    world->machine->world = NULL;
    sim_cancel(world->sim, &world->machine->crash_event);
    mem_free(world);
}

void sim_wall_jump(struct sim_machine *machine, int64_t by_ms)
{
    machine->wall_offset_ms += by_ms;
}

// ---- the disk, seen from outside

struct sim_inode *sim_inode_at(struct sim_machine *machine, const char *path)
{
    ASSERT(machine->disk != NULL);
    const struct sim_entry *entry = sim_names_find(&machine->disk->now, path);
    return entry == NULL ? NULL : entry->inode;
}

void sim_disk_each(struct sim_machine *machine, void (*fn)(void *arg, const char *path), void *arg)
{
    ASSERT(machine->disk != NULL);
    LIST_FOR (it, &machine->disk->now.order) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        fn(arg, CONTAINER_OF(node, struct sim_entry, node)->path);
    }
}

static int64_t seen_ns(const struct sim_machine *machine)
{
    int64_t now_ns = machine->sim->now_ns;
    return now_ns > machine->stopped_ns ? now_ns : machine->stopped_ns;
}

int64_t sim_disk_size(struct sim_machine *machine, const char *path)
{
    struct sim_inode *inode = sim_inode_at(machine, path);
    if (inode == NULL)
        return ERR_NOT_FOUND;
    return (int64_t)sim_inode_size(inode, 0, seen_ns(machine));
}

int64_t sim_disk_read(struct sim_machine *machine, const char *path, uint64_t offset, void *buf,
                      size_t len)
{
    struct sim_inode *inode = sim_inode_at(machine, path);
    if (inode == NULL)
        return ERR_NOT_FOUND;
    return (int64_t)sim_inode_read(inode, 0, seen_ns(machine), offset, buf, len);
}

void sim_disk_capacity(struct sim_machine *machine, uint64_t bytes)
{
    machine->disk->capacity_bytes = bytes;
}

void sim_disk_room(struct sim_machine *machine)
{
    if (machine->disk != NULL)
        machine->disk->full_until_ns = 0;
}

uint64_t sim_disk_used(const struct sim_machine *machine)
{
    return machine->disk->used_bytes;
}
