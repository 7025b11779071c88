// SPDX-License-Identifier: Apache-2.0
//
// The simulated machine of log_sim_test.c: one shard with its workers and a real journal, started,
// recovered, checked against the model, and buried after a crash. Included once.
#ifndef WEIR_LOG_RIG_SIM_TEST_H
#define WEIR_LOG_RIG_SIM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/prng.h"
#include "io/sim.h"
#include "log/log_int.h"

enum { LOGS = 3, MEMORY = LOGS, ALL, BATCHES_MAX = 4096, CUTS_MAX = 32, STEPS = 600 };

struct known { // a batch as it was sent
    int64_t base_offset, last_offset;
    uint32_t crc;
};

struct model {
    struct known *batches;
    size_t count;
    int64_t acked, seen; // a crash must not take back what lies below
    int64_t start_asked, start_acked;
    int64_t hole_from, hole_to; // what may have been dropped: one range, which grows
    int64_t gone_from, gone_to; // and what was, durably: no crash brings it back
};

struct ack {
    struct log_waiter waiter;
    struct list link;
    struct model *model;
    int64_t offset;
};

struct trim {
    struct journal_barrier barrier;
    struct list link;
    struct model *model;
    int64_t start;
    int64_t from, to; // a drop; else 0, 0
};

struct uni {
    struct sim *sim;
    struct sim_machine *machine;
    struct io_world *world;
    struct io *opener, *actor, *maker, *writer, *reader, *shard;
    struct journal *journal;
    struct journal_port *port;
    struct journal_recovery recovery;
    struct log_store *store;
    struct log *logs[ALL]; // the last one is in memory, and new after each start
    struct budget tails, memory;
    struct model models[ALL];
    struct buf cuts[CUTS_MAX];
    size_t cuts_count;
    uint64_t replay_lsn, next_lsn;
    struct log_cut cut;
    struct journal_barrier barrier;
    bool cutting, reading, crashed, failed_start;
    struct log_read read;
    int read_log;
    struct list acks, trims;
    struct prng prng;
    const char *wrong; // what a checker found
    uint64_t crashes, acks_count, reads_count, cuts_installed, drops_count, spilled_reads;
};

static void wrong(struct uni *u, const char *what)
{
    if (u->wrong == NULL)
        u->wrong = what;
}

struct call {
    struct io_msg msg;
    void (*fn)(struct uni *u, void *arg);
    struct uni *u;
    void *arg;
    bool done;
};

static void call_back(struct io_msg *msg)
{
    CONTAINER_OF(msg, struct call, msg)->done = true;
}

// A worker's clock runs ahead while it works: the call has ended when a message says so.
static void call_run(struct io_msg *msg)
{
    struct call *c = CONTAINER_OF(msg, struct call, msg);
    c->fn(c->u, c->arg);
    c->msg.run = call_back;
    io_post(c->u->shard, &c->msg);
}

static bool call_ended(void *arg)
{
    const struct call *c = arg;
    return c->done || c->u->crashed;
}

static bool on(struct uni *u, struct io *io, void (*fn)(struct uni *u, void *arg), void *arg)
{
    if (u->crashed)
        return false;
    struct call c = {.msg.run = call_run, .fn = fn, .u = u, .arg = arg};
    io_post(io, &c.msg);
    (void)sim_run_until(u->sim, sim_now_ns(u->sim) + 3600LL * 1000000000, call_ended, &c);
    if (!c.done && !u->crashed)
        wrong(u, "a call never ended");
    return c.done;
}

// ---- start and recovery

static struct log_key key_of(int index)
{
    struct log_key key = {.partition = index};
    memset(key.topic.bytes, 0x30 + index, sizeof key.topic.bytes);
    return key;
}

static struct log *find(struct uni *u, const struct log_key *key)
{
    return key->partition < LOGS ? u->logs[key->partition] : NULL;
}

static int replay_frame(void *arg, const struct journal_replayed *frame)
{
    struct uni *u = arg;
    struct log_key key;
    struct batch b;
    bool applied;
    if (frame->kind == JOURNAL_STATE)
        return 0; // a deleted log's last frame
    int err = log_frame_key(frame, &key);
    return err != 0 ? err : log_replay(find(u, &key), frame, &b, &applied);
}

static int replay_verify(void *arg, const struct journal_replayed *frame)
{
    struct uni *u = arg;
    return log_reference_verify(u->opener, frame);
}

static void journal_fatal(void *arg, int err, const char *what)
{
    (void)arg;
    if (err != ERR_STOPPED)
        print_error("%s: %s\n", what, err_text(err));
}

static void store_fatal(void *arg, int err, const char *what)
{
    if (err == ERR_STOPPED)
        return; // the machine is dead
    print_error("%s: %s\n", what, err_text(err));
    wrong(arg, "the store gave up");
}

static void journal_want(void *arg, bool urgent)
{
    (void)arg;
    (void)urgent;
}

static void ignore_found(void *arg, const struct batch *b)
{
    (void)arg;
    (void)b;
}

static void restore(struct uni *u)
{
    for (size_t i = 0; i < u->cuts_count; i++) {
        struct cursor in = cursor_of(buf_slice(&u->cuts[i]));
        while (cursor_left(&in) > 0) {
            struct state_record r;
            struct log_key key;
            if (state_get(&in, &r) != 0 || log_record_key(&r, &key) != 0 ||
                log_restore_record(find(u, &key), &r) != 0) {
                wrong(u, "a record was not understood");
                return;
            }
        }
    }
}

static void recover(struct uni *u, void *arg)
{
    (void)arg;
    if (io_mkdir(u->opener, "journal") != 0 || io_sync_dir(u->opener, ".") != 0 ||
        log_spill_wipe(u->opener) != 0)
        return; // failed_start
    const struct log_store_options o = {
        .shard = u->shard,
        .writer = u->writer,
        .reader = u->reader,
        .recovery = u->opener,
        .tail_budget = &u->tails,
        .memory_budget = &u->memory,
        .tail_bytes_per_log = 20000,
        .write_min_bytes = 8000,
        .files_max = 4,
        .fatal = store_fatal,
        .arg = u,
    };
    const struct log_options lo = {.segment_bytes = 12000,
                                   .segment_ms = -1,
                                   .index_interval_bytes = 1000,
                                   .retention_bytes = -1,
                                   .retention_ms = -1,
                                   .cleanup_delete = true};
    if (log_store_create(&o, &u->store) != 0)
        wrong(u, "store");
    for (int i = 0; i < LOGS; i++) {
        struct log_key key = key_of(i);
        if (log_create(u->store, &key, &lo, &u->logs[i]) != 0)
            wrong(u, "log");
    }
    restore(u);
    const struct journal_options jo = {
        .dir = "journal",
        .file_bytes = 4U << 20,
        .first_file_bytes = 1U << 20,
        .files_max = 4,
        .direct_min_bytes = 12000,
        .group_max_bytes = 512U << 10,
        .actor = u->actor,
        .checkpointer = u->maker,
        .ports_count = 1,
        .fatal = journal_fatal,
        .want_checkpoint = journal_want,
        .arg = u,
    };
    struct journal_replay replay = {replay_frame, replay_verify, u};
    int err = journal_open(u->opener, &jo, u->replay_lsn, &replay, &u->recovery, &u->journal);
    for (int i = 0; i < LOGS && err == 0; i++)
        err = log_recover(u->logs[i], u->opener, ignore_found, u);
    u->failed_start = err != 0;
}

static void turn_end(void *arg)
{
    struct uni *u = arg;
    log_store_turn_end(u->store);
    journal_flush(u->port);
}

static void begin(struct uni *u, void *arg)
{
    (void)arg;
    io_on_turn_end(u->shard, turn_end, u);
    const struct log_options lo = {.memory = true,
                                   .segment_bytes = 12000,
                                   .index_interval_bytes = 1000,
                                   .retention_bytes = -1,
                                   .retention_ms = -1};
    struct log_key key = key_of(MEMORY);
    if (log_create(u->store, &key, &lo, &u->logs[MEMORY]) != 0)
        wrong(u, "log in memory");
    struct known *batches = u->models[MEMORY].batches;
    u->models[MEMORY] = (struct model){.batches = batches};
}

static struct io *actor(struct uni *u, const char *name, enum io_kind kind)
{
    struct io_actor_options o = {.name = name, .kind = kind};
    struct io *io = NULL;
    assert_int_equal(io_actor_create(u->world, &o, &io), 0);
    return io;
}

// What was dropped stays so; what nobody dropped is there.
static void check_holes(struct uni *u, int i)
{
    const struct model *m = &u->models[i];
    const struct log *log = u->logs[i];
    int64_t at = log->start_offset;
    for (uint32_t k = 0; k <= log->segments_count; k++) {
        const struct segment *s = k < log->segments_count ? &log->segments[k] : NULL;
        int64_t base = s != NULL ? s->base_offset : log->end_offset;
        if (base > at && (at < m->hole_from || base > m->hole_to))
            wrong(u, "records are missing that nobody dropped");
        if (s != NULL && s->state != SEGMENT_ACTIVE && base >= m->gone_from &&
            s->last_offset < m->gone_to)
            wrong(u, "dropped records came back");
        at = s != NULL && s->last_offset + 1 > at ? s->last_offset + 1 : at;
    }
}

// After a crash the log may have more than was acknowledged, never less, and what it has is what
// was sent.
static void check_recovered(struct uni *u, int i)
{
    struct model *m = &u->models[i];
    int64_t end = log_end_offset(u->logs[i]), start = log_start_offset(u->logs[i]);
    if (end < m->acked)
        wrong(u, "acknowledged records are gone");
    if (end < m->seen)
        wrong(u, "records that were read are gone");
    if (start < m->start_acked)
        wrong(u, "deleted records came back");
    if (start > m->start_asked)
        wrong(u, "records were deleted that nobody deleted");
    while (m->count > 0 && m->batches[m->count - 1].base_offset >= end)
        m->count--;
    if (m->count > 0 && m->batches[m->count - 1].last_offset >= end)
        wrong(u, "half a batch");
    m->start_asked = start;
    m->start_acked = start;
    check_holes(u, i);
}

static void start(struct uni *u)
{
    u->world = sim_start(u->machine);
    u->crashed = false;
    u->opener = actor(u, "opener", IO_WORKER);
    u->actor = actor(u, "journal", IO_WORKER);
    u->maker = actor(u, "maker", IO_WORKER);
    u->writer = actor(u, "writer", IO_WORKER);
    u->reader = actor(u, "reader", IO_WORKER);
    u->shard = actor(u, "shard", IO_LOOP);
    u->journal = NULL;
    u->port = NULL;
    u->store = NULL;
    u->cutting = u->reading = false;
    list_init(&u->acks);
    list_init(&u->trims);
    u->failed_start = true;
    if (!on(u, u->opener, recover, NULL))
        return; // crashed again on the way
    if (u->failed_start) {
        wrong(u, "the store cannot be opened");
        return;
    }
    for (int i = 0; i < LOGS; i++)
        check_recovered(u, i);
    u->port = journal_port_create(u->journal, 0, u->shard);
    journal_start(u->journal);
    log_store_set_port(u->store, u->port);
    (void)on(u, u->shard, begin, NULL);
}

static void bury(struct uni *u)
{
    struct list *it;
    u->crashes++;
    while ((it = list_pop_front(&u->acks)) != NULL)
        mem_free(CONTAINER_OF(it, struct ack, link));
    while ((it = list_pop_front(&u->trims)) != NULL)
        mem_free(CONTAINER_OF(it, struct trim, link));
    if (u->cutting)
        buf_fini(&u->cuts[u->cuts_count]);
    log_store_destroy(u->store);
    if (u->port != NULL)
        journal_port_destroy(u->port);
    if (u->journal != NULL)
        journal_destroy(u->journal);
    sim_world_free(u->world);
}

#endif
