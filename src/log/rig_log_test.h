// SPDX-License-Identifier: Apache-2.0
//
// What the log's tests share: a real world in a temporary directory with one shard, its workers and
// a real journal, driven from the test's thread by calls that wait for their end. A cut's records
// are kept in memory as a snapshot would keep them; rig_restart forgets everything else, as a
// killed process does, and recovers. Each test program includes it once.
#ifndef WEIR_LOG_RIG_LOG_TEST_H
#define WEIR_LOG_RIG_LOG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/real.h"
#include "log/log_int.h"

#define RIG __attribute__((unused)) static

enum { RIG_LOGS = 4, RIG_CUTS_MAX = 64 };

struct rig {
    char root[64];
    struct io_world *world;
    struct io *opener, *actor, *maker, *writer, *reader, *shard;
    struct journal *journal;
    struct journal_port *port;
    struct journal_recovery recovery;
    struct log_store *store;
    struct log *logs[RIG_LOGS];
    struct log_options options[RIG_LOGS];
    struct budget tails;
    struct log_store_options store_options;
    uint64_t direct_min_bytes;
    struct buf cuts[RIG_CUTS_MAX];
    size_t cuts_count;
    uint64_t replay_lsn;
    uint64_t replayed; // batches that recovery applied
    int fatal_err;
};

// ---- calls on an actor

struct rig_call {
    struct io_msg msg;
    void (*fn)(struct rig *rig, void *arg);
    struct rig *rig;
    void *arg;
    sem_t done;
};

RIG void rig_wait(sem_t *sem)
{
    while (sem_wait(sem) != 0) {
    }
}

RIG void rig_call_run(struct io_msg *msg)
{
    struct rig_call *call = CONTAINER_OF(msg, struct rig_call, msg);
    call->fn(call->rig, call->arg);
    sem_post(&call->done);
}

RIG void rig_on(struct rig *rig, struct io *io, void (*fn)(struct rig *rig, void *arg), void *arg)
{
    struct rig_call call = {.msg.run = rig_call_run, .fn = fn, .rig = rig, .arg = arg};
    sem_init(&call.done, 0, 0);
    io_post(io, &call.msg);
    rig_wait(&call.done);
    sem_destroy(&call.done);
}

// ---- opening

RIG struct log_key rig_key(int index)
{
    struct log_key key = {.partition = index};
    memset(key.topic.bytes, 0xa0 + index, sizeof key.topic.bytes);
    return key;
}

RIG struct log *rig_find(struct rig *rig, const struct log_key *key)
{
    for (int i = 0; i < RIG_LOGS; i++) {
        if (rig->logs[i] != NULL && uuid_eq(&log_key(rig->logs[i])->topic, &key->topic))
            return rig->logs[i];
    }
    return NULL;
}

RIG int rig_frame(void *arg, const struct journal_replayed *frame)
{
    struct rig *rig = arg;
    struct log_key key;
    if (frame->kind == JOURNAL_STATE)
        return 0; // a deleted log's last frame
    int err = log_frame_key(frame, &key);
    struct log *log = err == 0 ? rig_find(rig, &key) : NULL;
    struct batch batch;
    bool applied = false;
    if (log != NULL)
        err = log_replay(log, frame, &batch, &applied);
    rig->replayed += applied ? 1 : 0;
    return err;
}

RIG int rig_verify(void *arg, const struct journal_replayed *frame)
{
    struct rig *rig = arg;
    return log_reference_verify(rig->opener, frame);
}

RIG void rig_fatal(void *arg, int err, const char *what)
{
    struct rig *rig = arg;
    rig->fatal_err = err;
    print_error("fatal: %s: %s\n", what, err_text(err));
}

RIG void rig_want(void *arg, bool urgent)
{
    (void)arg;
    (void)urgent;
}

RIG void rig_restore(struct rig *rig)
{
    for (size_t i = 0; i < rig->cuts_count; i++) {
        struct cursor in = cursor_of(buf_slice(&rig->cuts[i]));
        while (cursor_left(&in) > 0) {
            struct state_record r;
            struct log_key key;
            assert_int_equal(state_get(&in, &r), 0);
            assert_int_equal(log_record_key(&r, &key), 0);
            struct log *log = rig_find(rig, &key);
            if (log != NULL)
                assert_int_equal(log_restore_record(log, &r), 0);
        }
    }
}

RIG void rig_found(void *arg, const struct batch *batch)
{
    struct rig *rig = arg;
    (void)batch;
    rig->replayed++;
}

RIG void rig_recover(struct rig *rig, void *arg)
{
    (void)arg;
    assert_int_equal(log_store_create(&rig->store_options, &rig->store), 0);
    for (int i = 0; i < RIG_LOGS; i++) {
        struct log_key key = rig_key(i);
        if (rig->options[i].segment_bytes > 0)
            assert_int_equal(log_create(rig->store, &key, &rig->options[i], &rig->logs[i]), 0);
    }
    rig_restore(rig);
    const struct journal_options o = {
        .dir = "journal",
        .file_bytes = 8U << 20,
        .first_file_bytes = 1U << 20,
        .files_max = 4,
        .direct_min_bytes = rig->direct_min_bytes,
        .group_max_bytes = 1U << 20,
        .actor = rig->actor,
        .checkpointer = rig->maker,
        .ports_count = 1,
        .fatal = rig_fatal,
        .want_checkpoint = rig_want,
        .arg = rig,
    };
    struct journal_replay replay = {.frame = rig_frame, .verify = rig_verify, .arg = rig};
    rig->replayed = 0;
    int err =
        journal_open(rig->opener, &o, rig->replay_lsn, &replay, &rig->recovery, &rig->journal);
    if (err != 0)
        print_error("journal: %s\n", rig->recovery.damage);
    assert_int_equal(err, 0);
    for (int i = 0; i < RIG_LOGS; i++) {
        if (rig->logs[i] != NULL)
            assert_int_equal(log_recover(rig->logs[i], rig->opener, rig_found, rig), 0);
    }
}

RIG void rig_turn_end(void *arg)
{
    struct rig *rig = arg;
    log_store_turn_end(rig->store);
    journal_flush(rig->port);
}

RIG void rig_shard_begin(struct rig *rig, void *arg)
{
    (void)arg;
    io_on_turn_end(rig->shard, rig_turn_end, rig);
}

RIG struct io *rig_actor(struct rig *rig, const char *name, enum io_kind kind)
{
    struct io *io = NULL;
    struct io_actor_options options = {.name = name, .kind = kind};
    assert_int_equal(io_actor_create(rig->world, &options, &io), 0);
    return io;
}

RIG void rig_open(struct rig *rig)
{
    rig->opener = rig_actor(rig, "opener", IO_WORKER);
    rig->actor = rig_actor(rig, "journal", IO_WORKER);
    rig->maker = rig_actor(rig, "maker", IO_WORKER);
    rig->writer = rig_actor(rig, "writer", IO_WORKER);
    rig->reader = rig_actor(rig, "reader", IO_WORKER);
    rig->shard = rig_actor(rig, "shard", IO_LOOP);
    rig->store_options.shard = rig->shard;
    rig->store_options.writer = rig->writer;
    rig->store_options.reader = rig->reader;
    rig->store_options.recovery = rig->opener;
    rig->store_options.tail_budget = &rig->tails;
    rig->store_options.fatal = rig_fatal;
    rig->store_options.arg = rig;
    memset(rig->logs, 0, sizeof rig->logs);
    rig_on(rig, rig->opener, rig_recover, NULL);
    rig->port = journal_port_create(rig->journal, 0, rig->shard);
    journal_start(rig->journal);
    log_store_set_port(rig->store, rig->port);
    rig_on(rig, rig->shard, rig_shard_begin, NULL);
}

RIG void rig_idle_run(struct rig *rig, void *arg)
{
    bool *idle = arg;
    *idle = list_empty(&rig->store->jobs) && list_empty(&rig->store->to_write) &&
            list_empty(&rig->store->tidying) && journal_port_bytes(rig->port) == 0;
}

// Until nothing is on its way. Bounded, so that a lost answer fails the test and does not hang it.
RIG void rig_idle(struct rig *rig)
{
    bool idle = false;
    for (int i = 0; i < 200000 && !idle; i++) {
        rig_on(rig, rig->shard, rig_idle_run, &idle);
        if (i > 1000) // the disk is busy: the bound is 20 s, not so many questions
            (void)usleep(100);
    }
    assert_true(idle);
}

struct rig_quiet {
    struct io_msg msg;
    sem_t sem;
};

RIG void rig_quiet_run(struct io_msg *msg)
{
    sem_post(&CONTAINER_OF(msg, struct rig_quiet, msg)->sem);
}

RIG void rig_close(struct rig *rig)
{
    rig_idle(rig);
    struct rig_quiet quiet = {.msg.run = rig_quiet_run};
    sem_init(&quiet.sem, 0, 0);
    journal_quiesce(rig->journal, rig->opener, &quiet.msg);
    rig_wait(&quiet.sem);
    sem_destroy(&quiet.sem);
    io_actor_stop(rig->shard);
    io_actor_stop(rig->actor);
    io_actor_stop(rig->writer);
    io_actor_stop(rig->reader);
    io_actor_stop(rig->maker);
    io_actor_stop(rig->opener);
    log_store_destroy(rig->store);
    journal_port_destroy(rig->port);
    journal_destroy(rig->journal);
    assert_int_equal(budget_used(&rig->tails), 0);
}

RIG void rig_restart(struct rig *rig)
{
    rig_close(rig);
    rig_open(rig);
}

RIG struct rig *rig_create(void)
{
    struct rig *rig = mem_zalloc(sizeof *rig);
    (void)snprintf(rig->root, sizeof rig->root, "/var/tmp/weir-log-test-XXXXXX");
    assert_non_null(mkdtemp(rig->root));
    assert_int_equal(io_real_create(&rig->world), 0);
    assert_int_equal(io_real_set_root(rig->world, rig->root), 0);
    budget_init(&rig->tails, 64 << 20, NULL);
    rig->direct_min_bytes = 128 << 10;
    rig->store_options = (struct log_store_options){
        .tail_bytes_per_log = 256 << 10,
        .write_min_bytes = 64 << 10,
        .files_max = 8,
    };
    rig->options[0] = (struct log_options){
        .segment_bytes = 1U << 20,
        .segment_ms = -1,
        .index_interval_bytes = 4096,
        .retention_bytes = -1,
        .retention_ms = -1,
        .cleanup_delete = true,
    };
    return rig;
}

RIG void rig_destroy(struct rig *rig)
{
    char command[128];
    for (size_t i = 0; i < rig->cuts_count; i++)
        buf_fini(&rig->cuts[i]);
    io_real_destroy(rig->world);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", rig->root);
    assert_int_equal(system(command), 0);
    assert_int_equal(rig->fatal_err, 0);
    mem_free(rig);
}

// ---- a log's calls, from the test's thread

struct rig_append {
    int log, records;
    size_t value_len;
    int64_t timestamp_ms;
    int32_t epoch;
    struct log_appended out;
    int err;
};

RIG struct blob *rig_batch(int records, size_t value_len, int64_t timestamp_ms, struct batch *out)
{
    struct buf b, value;
    buf_init(&b, 64U << 20);
    buf_init(&value, 64U << 20);
    struct batch_builder bb;
    batch_build_begin(&bb, &b, BATCH_NONE, timestamp_ms);
    for (size_t i = 0; i < value_len; i++)
        buf_put_u8(&value, (uint8_t)('a' + (i + (size_t)timestamp_ms) % 26));
    for (int i = 0; i < records; i++)
        batch_build_record(&bb, timestamp_ms + i, SLICE_NULL, buf_slice(&value), SLICE_NULL, 0);
    assert_int_equal(batch_build_end(&bb), 0);
    struct blob *blob;
    assert_int_equal(blob_create(b.len, NULL, &blob), 0);
    memcpy(blob->data, b.data, b.len);
    assert_int_equal(batch_check_from_client(slice_of(blob->data, b.len), out), 0);
    buf_fini(&b);
    buf_fini(&value);
    return blob;
}

RIG void rig_append_run(struct rig *rig, void *arg)
{
    struct rig_append *a = arg;
    struct batch b;
    struct blob *blob = rig_batch(a->records, a->value_len, a->timestamp_ms, &b);
    struct blob_piece piece = {.blob = blob, .off = 0, .len = b.size_bytes};
    a->err = log_append(rig->logs[a->log], piece, &b, a->epoch, &a->out);
    blob_unref(blob);
}

RIG int64_t rig_append(struct rig *rig, int log, int records, size_t value_len,
                       int64_t timestamp_ms)
{
    struct rig_append a = {log, records, value_len, timestamp_ms, 7, {0}, 0};
    rig_on(rig, rig->shard, rig_append_run, &a);
    assert_int_equal(a.err, 0);
    return a.out.last_offset + 1;
}

struct rig_waiter {
    struct log_waiter waiter;
    int log;
    int64_t offset;
    int err;
    sem_t done;
};

RIG void rig_fired(struct log_waiter *waiter, int err)
{
    struct rig_waiter *w = CONTAINER_OF(waiter, struct rig_waiter, waiter);
    w->err = err;
    sem_post(&w->done);
}

RIG void rig_wait_run(struct rig *rig, void *arg)
{
    struct rig_waiter *w = arg;
    w->waiter.fire = rig_fired;
    log_wait(rig->logs[w->log], &w->waiter, w->offset);
}

RIG void rig_durable(struct rig *rig, int log, int64_t offset)
{
    struct rig_waiter w = {.log = log, .offset = offset};
    sem_init(&w.done, 0, 0);
    rig_on(rig, rig->shard, rig_wait_run, &w);
    rig_wait(&w.done);
    assert_int_equal(w.err, 0);
    sem_destroy(&w.done);
}

struct rig_read {
    struct log_read read;
    int log;
    bool cold;
    int err;
    struct buf *out;
    sem_t done;
};

RIG void rig_read_take(struct rig_read *r)
{
    for (uint32_t i = 0; i < r->read.pieces_count && r->out != NULL; i++)
        buf_put_slice(r->out, blob_piece_slice(r->read.pieces[i]));
    log_read_release(&r->read);
    sem_post(&r->done);
}

RIG void rig_read_done(struct log_read *read, int err)
{
    struct rig_read *r = CONTAINER_OF(read, struct rig_read, read);
    r->err = err;
    rig_read_take(r);
}

RIG void rig_read_run(struct rig *rig, void *arg)
{
    struct rig_read *r = arg;
    r->read.done = rig_read_done;
    r->err = log_read(rig->logs[r->log], &r->read);
    r->cold = r->err == ERR_AGAIN;
    if (!r->cold)
        rig_read_take(r);
}

// Appends what was read to out; returns the error, the next offset through `offset`.
RIG int rig_read(struct rig *rig, int log, int64_t *offset, uint32_t max_bytes, struct buf *out,
                 bool *out_cold)
{
    struct rig_read r = {.log = log, .out = out};
    r.read.offset = *offset;
    r.read.max_bytes = max_bytes;
    r.read.at_least_one = true;
    sem_init(&r.done, 0, 0);
    rig_on(rig, rig->shard, rig_read_run, &r);
    rig_wait(&r.done);
    sem_destroy(&r.done);
    if (r.err == 0)
        *offset = r.read.next_offset;
    if (out_cold != NULL)
        *out_cold = r.cold;
    return r.err;
}

struct rig_lookup {
    struct log_lookup lookup;
    int log, err;
    sem_t done;
};

RIG void rig_lookup_done(struct log_lookup *lookup, int err)
{
    struct rig_lookup *l = CONTAINER_OF(lookup, struct rig_lookup, lookup);
    l->err = err;
    sem_post(&l->done);
}

RIG void rig_lookup_run(struct rig *rig, void *arg)
{
    struct rig_lookup *l = arg;
    l->lookup.done = rig_lookup_done;
    log_lookup(rig->logs[l->log], &l->lookup);
}

RIG int64_t rig_lookup(struct rig *rig, int log, int64_t timestamp_ms, int64_t *out_timestamp_ms)
{
    struct rig_lookup l = {.log = log};
    l.lookup.timestamp_ms = timestamp_ms;
    sem_init(&l.done, 0, 0);
    rig_on(rig, rig->shard, rig_lookup_run, &l);
    rig_wait(&l.done);
    sem_destroy(&l.done);
    assert_int_equal(l.err, 0);
    *out_timestamp_ms = l.lookup.found_timestamp_ms;
    return l.lookup.found_offset;
}

struct rig_cut {
    struct log_cut cut;
    int err;
    sem_t done;
};

RIG void rig_cut_done(struct log_cut *cut, int err)
{
    struct rig_cut *c = cut->arg;
    c->err = err;
    sem_post(&c->done);
}

RIG void rig_cut_run(struct rig *rig, void *arg)
{
    struct rig_cut *c = arg;
    log_store_cut(rig->store, &c->cut);
}

RIG void rig_settle_run(struct rig *rig, void *arg)
{
    log_store_settled(rig->store, *(bool *)arg);
}

// A checkpoint without its files. `installed` false: it is abandoned, its records are lost.
RIG void rig_cut(struct rig *rig, bool full, bool installed)
{
    assert_true(rig->cuts_count < RIG_CUTS_MAX);
    rig_idle(rig); // what is open would have to be waited for
    uint64_t lsn = journal_durable_lsn(rig->journal) + 1;
    struct buf *out = &rig->cuts[rig->cuts_count];
    buf_init(out, 16U << 20);
    struct rig_cut c = {.cut = {.full = full, .out = out, .done = rig_cut_done, .arg = NULL}};
    c.cut.arg = &c;
    sem_init(&c.done, 0, 0);
    rig_on(rig, rig->shard, rig_cut_run, &c);
    rig_wait(&c.done);
    sem_destroy(&c.done);
    assert_int_equal(c.err, 0);
    rig_on(rig, rig->shard, rig_settle_run, &installed);
    if (installed) {
        rig->cuts_count++;
        rig->replay_lsn = lsn;
    } else {
        buf_fini(out);
    }
}

#endif
