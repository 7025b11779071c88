// SPDX-License-Identifier: Apache-2.0
//
// What the tests of queues share: a simulated machine with one shard, its log store, a real journal
// and queues on top, checkpoints kept in memory as snapshot files would keep them. A slot is a
// queue of the catalogue: it is there again after a restart, if it is durable. Each test program
// includes it once.
#ifndef WEIR_QUEUE_RIG_TEST_H
#define WEIR_QUEUE_RIG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/sim.h"
#include "queue/queue_int.h"

#define RIG __attribute__((unused)) static
#define MS  1000000LL

#ifndef RIG_SLOTS // tests that need more say so
#define RIG_SLOTS 4
#endif
enum { RIG_LEVELS = 64, RIG_CUTS_MAX = 64, RIG_SEEN_MAX = 4096 };

struct slot {
    bool there, memory;
    uint32_t levels;
    struct queue_settings settings;
    struct log *logs[RIG_LEVELS];
    struct queue *queue;
    bool unused_told;
};

struct rig {
    struct sim *sim;
    struct sim_machine *machine;
    struct io_world *world;
    struct io *opener, *actor, *maker, *writer, *reader, *shard;
    struct journal *journal;
    struct journal_port *port;
    struct journal_recovery recovery;
    struct log_store *store;
    struct queues *queues;
    struct budget tails, memory, reads;
    struct slot slots[RIG_SLOTS];
    struct buf cuts[RIG_CUTS_MAX];
    size_t cuts_count;
    uint64_t replay_lsn, next_lsn;
    struct log_cut cut;
    struct journal_barrier barrier;
    bool cutting, crashed, failed_start;
    uint64_t tail_bytes_per_log;
    int64_t reads_limit;
    uint64_t segment_bytes;
    // dead letters: what was asked
    struct queue_letter *letters[RIG_SEEN_MAX];
    uint32_t letters_count;
    bool letters_by_hand; // else each is done at once
    int letters_err;
    uint64_t unused_count;
    uint64_t turns;
};

// ---- calls on the shard

struct rig_call {
    struct io_msg msg;
    void (*fn)(struct rig *rig, void *arg);
    struct rig *rig;
    void *arg;
    bool done;
};

RIG void rig_call_back(struct io_msg *msg)
{
    CONTAINER_OF(msg, struct rig_call, msg)->done = true;
}

RIG void rig_call_run(struct io_msg *msg)
{
    struct rig_call *call = CONTAINER_OF(msg, struct rig_call, msg);
    call->fn(call->rig, call->arg);
    call->msg.run = rig_call_back;
    io_post(call->rig->shard, &call->msg);
}

RIG bool rig_call_ended(void *arg)
{
    const struct rig_call *call = arg;
    return call->done || call->rig->crashed;
}

RIG bool rig_on_io(struct rig *rig, struct io *io, void (*fn)(struct rig *rig, void *arg),
                   void *arg)
{
    struct rig_call call = {.msg.run = rig_call_run, .fn = fn, .rig = rig, .arg = arg};
    if (rig->crashed)
        return false;
    io_post(io, &call.msg);
    (void)sim_run_until(rig->sim, sim_now_ns(rig->sim) + 600000 * MS, rig_call_ended, &call);
    assert_true(call.done || rig->crashed);
    return call.done;
}

RIG bool rig_on(struct rig *rig, void (*fn)(struct rig *rig, void *arg), void *arg)
{
    return rig_on_io(rig, rig->shard, fn, arg);
}

RIG void rig_run_ms(struct rig *rig, int64_t ms)
{
    (void)sim_run_until(rig->sim, sim_now_ns(rig->sim) + ms * MS, NULL, NULL);
}

// ---- start and recovery

RIG struct log_key rig_key(int slot, uint32_t level)
{
    struct log_key key = {.partition = (int32_t)level};
    memset(key.topic.bytes, 0x40 + slot, sizeof key.topic.bytes);
    return key;
}

RIG struct log *rig_log(struct rig *rig, const struct log_key *key)
{
    int slot = key->topic.bytes[0] - 0x40;
    return slot < RIG_SLOTS && rig->slots[slot].there ? rig->slots[slot].logs[key->partition]
                                                      : NULL;
}

RIG int rig_apply(struct rig *rig, const struct state_record *record)
{
    struct log_key key;
    if (record->kind == STATE_NODE)
        return 0; // the start's
    if (record->kind == STATE_LEASES)
        return queues_restore_record(rig->queues, record);
    int err = log_record_key(record, &key);
    struct log *log = err == 0 ? rig_log(rig, &key) : NULL;
    return log != NULL ? log_restore_record(log, record) : err;
}

RIG int rig_frame(void *arg, const struct journal_replayed *frame)
{
    struct rig *rig = arg;
    struct log_key key;
    struct batch batch;
    bool applied;
    if (frame->kind == JOURNAL_LEASE)
        return queues_replay(rig->queues, frame);
    if (frame->kind == JOURNAL_STATE) {
        struct cursor in = cursor_of(frame->body);
        struct state_record record;
        int err = state_get(&in, &record);
        return err != 0 ? err : rig_apply(rig, &record);
    }
    int err = log_frame_key(frame, &key);
    struct log *log = err == 0 ? rig_log(rig, &key) : NULL;
    return log != NULL ? log_replay(log, frame, &batch, &applied) : err;
}

RIG int rig_verify(void *arg, const struct journal_replayed *frame)
{
    struct rig *rig = arg;
    return log_reference_verify(rig->opener, frame);
}

RIG void rig_fatal(void *arg, int err, const char *what)
{
    (void)arg;
    if (err != ERR_STOPPED)
        print_error("%s: %s\n", what, err_text(err));
    assert_int_equal(err, ERR_STOPPED);
}

RIG void rig_want(void *arg, bool urgent)
{
    (void)arg;
    (void)urgent;
}

RIG void rig_found(void *arg, const struct batch *batch)
{
    (void)arg;
    (void)batch;
}

RIG void rig_dead_letter(void *arg, struct queue *queue, struct queue_letter *letter)
{
    struct rig *rig = arg;
    assert_ptr_equal(letter->queue, queue);
    assert_true(rig->letters_count < RIG_SEEN_MAX);
    if (rig->letters_by_hand)
        rig->letters[rig->letters_count++] = letter;
    else
        queue_letter_done(letter, rig->letters_err);
}

RIG void rig_unused(void *arg, struct queue *queue)
{
    struct rig *rig = arg;
    rig->unused_count++;
    for (int i = 0; i < RIG_SLOTS; i++) {
        if (rig->slots[i].queue == queue)
            rig->slots[i].unused_told = true;
    }
}

RIG struct log_options rig_log_options(const struct rig *rig, bool memory)
{
    return (struct log_options){.segment_bytes = rig->segment_bytes,
                                .segment_ms = -1,
                                .index_interval_bytes = 4096,
                                .retention_bytes = -1,
                                .retention_ms = -1,
                                .cleanup_delete = true,
                                .memory = memory};
}

RIG void rig_slot_logs(struct rig *rig, int slot)
{
    struct slot *s = &rig->slots[slot];
    const struct log_options options = rig_log_options(rig, s->memory);
    for (uint32_t i = 0; i < s->levels; i++) {
        struct log_key key = rig_key(slot, i);
        assert_int_equal(log_create(rig->store, &key, &options, &s->logs[i]), 0);
    }
}

RIG void rig_slot_open(struct rig *rig, int slot)
{
    struct slot *s = &rig->slots[slot];
    struct uuid id = rig_key(slot, 0).topic;
    char name[8];
    (void)snprintf(name, sizeof name, "q%d", slot);
    assert_int_equal(
        queue_open(rig->queues, &id, slice_cstr(name), &s->settings, s->logs, s->levels, &s->queue),
        0);
    assert_ptr_equal(queue_by_id(rig->queues, &id), s->queue);
}

RIG void rig_recover(struct rig *rig, void *arg)
{
    (void)arg;
    if (io_mkdir(rig->opener, "journal") != 0 || io_sync_dir(rig->opener, ".") != 0)
        return;
    budget_init(&rig->reads, rig->reads_limit, NULL);
    const struct log_store_options so = {.shard = rig->shard,
                                         .writer = rig->writer,
                                         .reader = rig->reader,
                                         .recovery = rig->opener,
                                         .tail_budget = &rig->tails,
                                         .read_budget = &rig->reads,
                                         .tail_bytes_per_log = rig->tail_bytes_per_log,
                                         .write_min_bytes = 8000,
                                         .files_max = 8,
                                         .fatal = rig_fatal,
                                         .arg = rig};
    assert_int_equal(log_store_create(&so, &rig->store), 0);
    for (int i = 0; i < RIG_SLOTS; i++) {
        if (rig->slots[i].there)
            rig_slot_logs(rig, i);
    }
    const struct queues_options qo = {.budget = &rig->memory,
                                      .hash_seed = 5,
                                      .dead_letter = rig_dead_letter,
                                      .unused = rig_unused,
                                      .arg = rig};
    rig->queues = queues_create(&qo);
    for (size_t i = 0; i < rig->cuts_count; i++) {
        struct cursor in = cursor_of(buf_slice(&rig->cuts[i]));
        struct state_record record;
        while (cursor_left(&in) > 0) {
            assert_int_equal(state_get(&in, &record), 0);
            assert_int_equal(rig_apply(rig, &record), 0);
        }
    }
    const struct journal_options jo = {.dir = "journal",
                                       .file_bytes = 4U << 20,
                                       .first_file_bytes = 1U << 20,
                                       .files_max = 8,
                                       .direct_min_bytes = 100000,
                                       .group_max_bytes = 512U << 10,
                                       .actor = rig->actor,
                                       .checkpointer = rig->maker,
                                       .ports_count = 1,
                                       .fatal = rig_fatal,
                                       .want_checkpoint = rig_want,
                                       .arg = rig};
    const struct journal_replay replay = {rig_frame, rig_verify, rig};
    int err =
        journal_open(rig->opener, &jo, rig->replay_lsn, &replay, &rig->recovery, &rig->journal);
    for (int i = 0; i < RIG_SLOTS && err == 0; i++) {
        for (uint32_t l = 0; l < rig->slots[i].levels && rig->slots[i].there && err == 0; l++)
            err = log_recover(rig->slots[i].logs[l], rig->opener, rig_found, rig);
    }
    rig->failed_start = err != 0;
}

RIG void rig_turn_end(void *arg)
{
    struct rig *rig = arg;
    rig->turns++;
    queues_turn_end(rig->queues);
    log_store_turn_end(rig->store);
    journal_flush(rig->port);
}

RIG void rig_begin(struct rig *rig, void *arg)
{
    (void)arg;
    io_on_turn_end(rig->shard, rig_turn_end, rig);
    for (int i = 0; i < RIG_SLOTS; i++) {
        if (rig->slots[i].there)
            rig_slot_open(rig, i);
    }
    // As the node does: every start leaves a frame behind.
    queues_start(rig->queues, rig->shard, rig->port,
                 rig->cuts_count > 0 && rig->recovery.frames == 0);
    const struct state_record epoch = {STATE_NODE, slice_cstr("epoch"), slice_cstr("1")};
    state_write(rig->port, &epoch, NULL, NULL);
}

RIG struct io *rig_actor(struct rig *rig, const char *name, enum io_kind kind)
{
    struct io *io = NULL;
    const struct io_actor_options options = {.name = name, .kind = kind};
    assert_int_equal(io_actor_create(rig->world, &options, &io), 0);
    return io;
}

// False: it crashed on the way.
RIG bool rig_start(struct rig *rig)
{
    rig->world = sim_start(rig->machine);
    rig->crashed = false;
    rig->opener = rig_actor(rig, "opener", IO_WORKER);
    rig->actor = rig_actor(rig, "journal", IO_WORKER);
    rig->maker = rig_actor(rig, "maker", IO_WORKER);
    rig->writer = rig_actor(rig, "writer", IO_WORKER);
    rig->reader = rig_actor(rig, "reader", IO_WORKER);
    rig->shard = rig_actor(rig, "shard", IO_LOOP);
    rig->journal = NULL;
    rig->port = NULL;
    rig->store = NULL;
    rig->queues = NULL;
    rig->cutting = false;
    rig->letters_count = 0;
    rig->failed_start = true;
    if (!rig_on_io(rig, rig->opener, rig_recover, NULL))
        return false;
    assert_false(rig->failed_start);
    rig->port = journal_port_create(rig->journal, 0, rig->shard);
    journal_start(rig->journal);
    log_store_set_port(rig->store, rig->port);
    return rig_on(rig, rig_begin, NULL);
}

RIG void rig_bury(struct rig *rig)
{
    if (rig->cutting)
        buf_fini(&rig->cuts[rig->cuts_count]);
    queues_destroy(rig->queues);
    log_store_destroy(rig->store);
    if (rig->port != NULL)
        journal_port_destroy(rig->port);
    if (rig->journal != NULL)
        journal_destroy(rig->journal);
    sim_world_free(rig->world);
    for (int i = 0; i < RIG_SLOTS; i++) {
        struct slot *s = &rig->slots[i];
        s->there = s->there && !s->memory;
        s->queue = NULL;
        s->unused_told = false;
    }
    assert_int_equal(budget_used(&rig->memory), 0);
    assert_int_equal(budget_used(&rig->tails), 0);
    assert_int_equal(budget_used(&rig->reads), 0);
}

RIG void rig_restart(struct rig *rig, enum sim_crash_kind kind)
{
    if (!rig->crashed)
        sim_crash(rig->machine, kind);
    rig_bury(rig);
    assert_true(rig_start(rig));
}

// ---- checkpoints, as the checkpointer and the node do them

RIG void rig_cut_over(struct rig *rig, int err)
{
    rig->cutting = false;
    log_store_settled(rig->store, err == 0);
    queues_settled(rig->queues, err == 0);
    if (err != 0) {
        buf_fini(&rig->cuts[rig->cuts_count]);
        return;
    }
    if (rig->cut.full) {
        for (size_t i = 0; i < rig->cuts_count; i++)
            buf_fini(&rig->cuts[i]);
        rig->cuts[0] = rig->cuts[rig->cuts_count];
        rig->cuts_count = 0;
    }
    rig->cuts_count++;
    rig->replay_lsn = rig->next_lsn;
    journal_recycle(rig->journal, rig->replay_lsn);
}

RIG void rig_cut_durable(struct journal_barrier *barrier, int err)
{
    rig_cut_over(CONTAINER_OF(barrier, struct rig, barrier), err);
}

RIG void rig_cut_written(struct log_cut *cut, int err)
{
    struct rig *rig = CONTAINER_OF(cut, struct rig, cut);
    if (err != 0) {
        rig_cut_over(rig, err);
        return;
    }
    rig->barrier.fn = rig_cut_durable;
    journal_barrier(rig->port, &rig->barrier);
}

RIG void rig_cut_emit(struct journal_barrier *barrier, int err)
{
    struct rig *rig = CONTAINER_OF(barrier, struct rig, barrier);
    assert_int_equal(err, 0);
    struct buf *out = &rig->cuts[rig->cuts_count];
    buf_init(out, 4U << 20);
    rig->cut = (struct log_cut){
        .full = rig->cuts_count >= RIG_CUTS_MAX - 2, .out = out, .done = rig_cut_written};
    queues_cut(rig->queues, rig->cut.full, out);
    log_store_cut(rig->store, &rig->cut);
}

RIG void rig_cut_begin(struct rig *rig, void *arg)
{
    (void)arg;
    if (rig->cutting)
        return;
    rig->cutting = true;
    memset(&rig->cuts[rig->cuts_count], 0, sizeof rig->cuts[0]);
    rig->next_lsn = journal_durable_lsn(rig->journal) + 1;
    rig->barrier.fn = rig_cut_emit;
    journal_barrier(rig->port, &rig->barrier);
}

RIG void rig_cut(struct rig *rig)
{
    (void)rig_on(rig, rig_cut_begin, NULL);
    rig_run_ms(rig, 200);
    assert_false(rig->cutting);
}

// A clean stop: queues stop, a last checkpoint, everything is durable.
RIG void rig_stop_run(struct rig *rig, void *arg)
{
    (void)arg;
    queues_stop(rig->queues);
}

RIG void rig_restart_clean(struct rig *rig)
{
    rig_run_ms(rig, 100);
    (void)rig_on(rig, rig_stop_run, NULL);
    rig_cut(rig);
    rig_restart(rig, SIM_KILL);
}

// ---- life of a rig

RIG void rig_crashed(void *arg, struct sim_machine *machine)
{
    struct rig *rig = arg;
    (void)machine;
    rig->crashed = true;
}

RIG struct rig *rig_create(uint64_t seed)
{
    struct rig *rig = mem_zalloc(sizeof *rig);
    struct sim_options options;
    sim_options_init(&options, seed);
    options.crashed = rig_crashed;
    options.arg = rig;
    assert_int_equal(sim_create(&options, &rig->sim), 0);
    budget_init(&rig->tails, 64 << 20, NULL);
    budget_init(&rig->memory, 64 << 20, NULL);
    rig->tail_bytes_per_log = 1U << 20;
    rig->reads_limit = 64 << 20;
    rig->segment_bytes = 1U << 20;
    rig->machine = sim_machine_create(rig->sim, "server", true);
    return rig;
}

RIG void rig_destroy(struct rig *rig)
{
    if (!rig->crashed)
        sim_crash(rig->machine, SIM_KILL);
    rig_bury(rig);
    for (size_t i = 0; i < rig->cuts_count; i++)
        buf_fini(&rig->cuts[i]);
    sim_destroy(rig->sim);
    mem_free(rig);
}

static struct rig *rig;

RIG int setup(void **state)
{
    (void)state;
    rig = rig_create(1);
    assert_true(rig_start(rig));
    return 0;
}

RIG int teardown(void **state)
{
    (void)state;
    rig_destroy(rig);
    return 0;
}

// ---- queues

RIG const struct queue_settings rig_plain = {
    .message_ttl_ms = -1, .expires_ms = -1, .max_length = -1, .max_length_bytes = -1};

struct rig_declare {
    int slot;
    bool memory;
    uint32_t levels;
    struct queue_settings settings;
};

RIG void rig_declare_run(struct rig *r, void *arg)
{
    const struct rig_declare *d = arg;
    struct slot *s = &r->slots[d->slot];
    *s = (struct slot){
        .there = true, .memory = d->memory, .levels = d->levels, .settings = d->settings};
    rig_slot_logs(r, d->slot);
    rig_slot_open(r, d->slot);
}

RIG struct queue *rig_declare(int slot, bool memory, uint32_t levels,
                              const struct queue_settings *settings)
{
    struct rig_declare d = {slot, memory, levels, *settings};
    assert_true(rig_on(rig, rig_declare_run, &d));
    return rig->slots[slot].queue;
}

RIG void rig_delete_run(struct rig *r, void *arg)
{
    struct slot *s = &r->slots[*(int *)arg];
    queue_destroy(s->queue);
    for (uint32_t i = 0; i < s->levels; i++)
        log_delete(s->logs[i]);
    s->there = false;
    s->queue = NULL;
}

RIG void rig_delete(int slot)
{
    assert_true(rig_on(rig, rig_delete_run, &slot));
}

#endif
