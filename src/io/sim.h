// SPDX-License-Identifier: Apache-2.0
//
// The simulated world behind io.h: machines with disks, a network between them, clocks, all made up
// from one seed, in one thread, on one heap of events ordered by (time, order of making). The same
// seed and the same calls give the same run to the byte; sim_hash says so.
//
//   struct sim_options options;
//   sim_options_init(&options, seed);                  // faults off
//   options.fault_ppm[SIM_FAULT_CUT] = 2000;           // one send in five hundred
//   sim_create(&options, &sim);
//   machine = sim_machine_create(sim, "server", true); // with a disk
//   world = sim_start(machine);                        // then io_actor_create(world, …), io_post
//   sim_run_until(sim, sim_now_ns(sim) + 5000000000, NULL, NULL);
//   sim_crash(machine, SIM_POWER_LOSS);                // now the actors are dead
//   …destroy the node's objects by their ordinary destroy functions…
//   sim_world_free(world);                             // now their io handles are gone
//   world = sim_start(machine);                        // the same disk, what is left of it
//
// TIME. A loop's turn takes a microsecond or two. A worker's blocking call makes the worker's own
// clock run ahead of the universe's; what it writes afterwards starts later, what it posts
// afterwards arrives later, and the worker takes no message before the universe has caught up. So
// its code runs in one piece, yet a crash in between undoes what had not been done by then. What
// actors share without mail (an atomic counter, say) does run ahead: others may see it too early.
//
// DISK. A write counts from the end of its call; until then only its own actor sees it. What a
// finished io_sync covered survives a power loss, and so do finished IO_DURABLE writes. Every other
// write is then kept, lost, or torn (each sector of 512 bytes on its own), independently of the
// others; a file that grew may show zeros where its data were lost. Names (create, rename, remove,
// mkdir) survive after io_sync_dir of the directory that holds them, otherwise by chance; a file
// whose name is lost is lost, synced or not. SIM_KILL (kill -9) loses only what was in flight. What
// a failed sync should have covered, and what a failed durable write has left, is seen like the
// rest, but no later sync makes it durable: it must be written again. A bit that has flipped at
// rest stays so until it is written over, or the disk is mended.
//
// NETWORK. Addresses are flat: all machines share one host, as it were. A listener on 0.0.0.0 or ::
// answers for every address of its family. Each connection keeps order, has a small random window
// (so sends come up short) and random delays.
//
// DEAD ACTORS. After a crash nothing of the machine runs; its mail is dropped, its timers stop, its
// sockets are cut. Its objects may still be destroyed by their owners: every io call on a dead
// actor, socket or file does nothing and returns ERR_STOPPED; io_close, io_file_close and
// io_actor_stop are fine.
//
// None of these functions may be called by an actor of the machine they concern.
#ifndef WEIR_IO_SIM_H
#define WEIR_IO_SIM_H

#include "io/io.h"

struct sim;         // a universe
struct sim_machine; // outlives its incarnations, each of which is a struct io_world

// X(identifier, name in reports, what happens, and what one of a million is counted over)
#define SIM_FAULT_TABLE(X)                                                                         \
    X(CRASH, "crash", "power loss in the middle of a write, sync or change of a name")             \
    X(SYNC_FAIL, "sync-fail", "a sync fails; part of what it covered can never be synced")         \
    X(WRITE_FAIL, "write-fail", "a write fails; some of it may be there, and stay or not")         \
    X(DISK_FULL, "disk-full", "a write finds the disk full, and for a while every one that grows") \
    X(READ_FAIL, "read-fail", "a read fails")                                                      \
    X(READ_FLIP, "read-flip", "a read delivers one wrong bit")                                     \
    X(REST_FLIP, "rest-flip", "at a restart one bit of one file has changed, until it is written") \
    X(CLOCK_JUMP, "clock-jump", "reading the wall clock finds it moved, forward or back")          \
    X(CUT, "cut", "a send is cut at any byte: both sides lose the connection")                     \
    X(HALF_OPEN, "half-open", "after a send nothing passes any more; both sides notice late")      \
    X(SHORT_IO, "short-io", "a send or receive moves fewer bytes than it could")                   \
    X(DELAY, "delay", "a message, packet or disk call takes long")                                 \
    X(ACCEPT_DELAY, "accept-delay", "a connection waits long before it is accepted")               \
    X(REFUSED, "refused", "a connection is refused")                                               \
    /* outcomes, counted only: their chance is not asked for */                                    \
    X(LOST_WRITE, "lost-write", "a write was lost at a crash")                                     \
    X(TORN_WRITE, "torn-write", "a write was torn at a crash")                                     \
    X(LOST_NAME, "lost-name", "a change of a name was lost at a crash")                            \
    X(DROPPED_MAIL, "dropped-mail", "a message was dropped because its receiver was dead")

enum sim_fault {
#define SIM_FAULT_ENUM(id, name, what) SIM_FAULT_##id,
    SIM_FAULT_TABLE(SIM_FAULT_ENUM)
#undef SIM_FAULT_ENUM
        SIM_FAULT_COUNT
};
const char *sim_fault_name(enum sim_fault fault);

struct sim_options {
    uint64_t seed;
    uint32_t fault_ppm[SIM_FAULT_COUNT]; // chance in a million, per occasion
    uint64_t disk_bytes;                 // capacity of each disk
    int64_t wall_start_ms;
    // After a crash by chance or schedule (not by sim_crash): outside every actor, so objects may
    // be destroyed and the machine started again here or later. May be NULL.
    void (*crashed)(void *arg, struct sim_machine *machine);
    // One bit of a file has changed at rest: from within sim_start. May be NULL.
    void (*flipped)(void *arg, struct sim_machine *machine, const char *path, uint64_t offset);
    void *arg;
};
void sim_options_init(struct sim_options *out, uint64_t seed); // no faults, 1 GiB disks
// Every fault at a rate at which a run of a few thousand events meets some of them.
void sim_options_faulty(struct sim_options *options);

int sim_create(const struct sim_options *options, struct sim **out);
void sim_destroy(struct sim *sim); // every world has been freed; accepts NULL
// A change of the chances while it runs (to let a run come to rest before it is judged).
void sim_set_fault(struct sim *sim, enum sim_fault fault, uint32_t ppm);

// ---- running

int64_t sim_now_ns(const struct sim *sim);
bool sim_step(struct sim *sim); // the next event; false when there is none
// Steps until `done` says so (NULL: never), the time passes until_ns, or nothing is left to happen.
// True if `done` did; otherwise time then stands at until_ns (at the last event for INT64_MAX).
bool sim_run_until(struct sim *sim, int64_t until_ns, bool (*done)(void *arg), void *arg);
// Calls fn outside every actor at that time (or now, if it is past).
void sim_at(struct sim *sim, int64_t at_ns, void (*fn)(void *arg), void *arg);
uint64_t sim_random(struct sim *sim, uint64_t below); // the universe's own dice, for the simulator

// ---- machines

struct sim_machine *sim_machine_create(struct sim *sim, const char *name, bool disk);
const char *sim_machine_name(const struct sim_machine *machine);
struct io_world *sim_start(struct sim_machine *machine); // first, and after each crash or stop
bool sim_machine_up(const struct sim_machine *machine);
enum sim_crash_kind { SIM_POWER_LOSS, SIM_KILL };
void sim_crash(struct sim_machine *machine, enum sim_crash_kind kind);
// Crash in the middle of the n-th change of the disk from now on (1 = the next); 0: no longer.
void sim_crash_at_write(struct sim_machine *machine, uint64_t n, enum sim_crash_kind kind);
// A world all of whose actors are stopped or dead. The machine is down afterwards.
void sim_world_free(struct io_world *world);
void sim_wall_jump(struct sim_machine *machine, int64_t by_ms);

// ---- the disk, seen from outside (for checkers; what has been written by now, synced or not)

int64_t sim_disk_size(struct sim_machine *machine, const char *path); // ERR_NOT_FOUND
int64_t sim_disk_read(struct sim_machine *machine, const char *path, uint64_t offset, void *buf,
                      size_t len);
// Every name there is, in the order of making; directories too.
void sim_disk_each(struct sim_machine *machine, void (*fn)(void *arg, const char *path), void *arg);
int sim_disk_flip(struct sim_machine *machine, const char *path, uint64_t offset, uint8_t bits);
uint64_t sim_disk_flips(struct sim_machine *machine); // that have not been written over
void sim_disk_mend(struct sim_machine *machine);      // takes them back
void sim_disk_room(struct sim_machine *machine); // a disk that a fault made full has room again
void sim_disk_capacity(struct sim_machine *machine, uint64_t bytes);
uint64_t sim_disk_used(const struct sim_machine *machine);

// ---- what happened

struct sim_report {
    uint64_t events, turns, posts, io_calls;
    uint64_t reads, writes, syncs, write_bytes; // files
    uint64_t connects, sends, recvs, send_bytes;
    uint64_t crashes, starts;
    uint64_t faults[SIM_FAULT_COUNT];
};
const struct sim_report *sim_report(const struct sim *sim);
// Over every io call with its arguments, bytes and result, and every event with its time.
uint64_t sim_hash(const struct sim *sim);
void sim_trace(struct sim *sim, const void *data, size_t len); // mixes the simulator's own facts in

#endif
