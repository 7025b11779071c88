// SPDX-License-Identifier: Apache-2.0
//
// What the journal's tests share: a real world in a temporary directory with the journal's actors
// and up to three shards, driven from the test's thread by calls that wait for their end. Each test
// program includes it once.
#ifndef WEIR_JOURNAL_RIG_TEST_H
#define WEIR_JOURNAL_RIG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/real.h"
#include "journal/format.h"
#include "journal/journal.h"

#define RIG __attribute__((unused)) static

enum { RIG_SHARDS = 3, RIG_SEEN_MAX = 4096 };

struct rig_seen { // a replayed frame, or one whose done has run
    uint64_t lsn;
    uint8_t kind;
    bool direct, last_group;
    int err;
    size_t body_len;
    char head[64];
    char body[64]; // its beginning
};

struct rig_done { // what a frame's done needs to know
    struct rig *rig;
    int shard;
};

struct rig {
    char root[64];
    struct io_world *world;
    struct io *opener, *actor, *maker, *writer;
    struct io *shards[RIG_SHARDS];
    struct journal_port *ports[RIG_SHARDS];
    struct journal *journal;
    struct journal_options options;
    struct journal_recovery recovery;
    struct rig_seen replayed[RIG_SEEN_MAX];
    size_t replayed_count;
    struct rig_seen done[RIG_SHARDS][RIG_SEEN_MAX]; // written on the shard, read when it is idle
    size_t done_count[RIG_SHARDS];
    sem_t dones, fatals, wants;
    int fatal_err;
    struct rig_done done_args[RIG_SHARDS];
    _Atomic(bool) want_urgent; // set on the journal's thread
    int verify_answer;
    int open_err;
};

// ---- calls on an actor

struct rig_call {
    struct io_msg msg;
    void (*fn)(struct io *io, void *arg);
    struct io *io;
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
    call->fn(call->io, call->arg);
    sem_post(&call->done);
}

RIG void rig_call_on(struct io *io, void (*fn)(struct io *io, void *arg), void *arg)
{
    struct rig_call call = {.msg.run = rig_call_run, .fn = fn, .io = io, .arg = arg};
    sem_init(&call.done, 0, 0);
    io_post(io, &call.msg);
    rig_wait(&call.done);
    sem_destroy(&call.done);
}

RIG struct io *rig_actor(struct rig *rig, const char *name, enum io_kind kind, int64_t spin_ns)
{
    struct io *io = NULL;
    struct io_actor_options options = {.name = name, .kind = kind, .spin_ns = spin_ns};
    assert_int_equal(io_actor_create(rig->world, &options, &io), 0);
    return io;
}

// ---- what the journal tells

RIG void rig_copy(struct slice s, char out[64])
{
    slice_to_cstr(s, out, 64);
}

RIG int rig_replay(void *arg, const struct journal_replayed *frame)
{
    struct rig *rig = arg;
    ASSERT(rig->replayed_count < RIG_SEEN_MAX);
    struct rig_seen *seen = &rig->replayed[rig->replayed_count++];
    *seen = (struct rig_seen){.lsn = frame->lsn,
                              .kind = frame->kind,
                              .last_group = frame->last_group,
                              .body_len = frame->body.len};
    rig_copy(frame->head, seen->head);
    rig_copy(frame->body, seen->body);
    return 0;
}

RIG int rig_verify(void *arg, const struct journal_replayed *frame)
{
    struct rig *rig = arg;
    ASSERT(frame->kind == JOURNAL_REFERENCE);
    return rig->verify_answer;
}

RIG void rig_fatal(void *arg, int err, const char *what)
{
    struct rig *rig = arg;
    ASSERT(what != NULL);
    rig->fatal_err = err;
    sem_post(&rig->fatals);
}

RIG void rig_want(void *arg, bool urgent)
{
    struct rig *rig = arg;
    rig->want_urgent = urgent;
    sem_post(&rig->wants);
}

// ---- opening and closing

struct rig_opening {
    struct rig *rig;
    uint64_t from_lsn;
    bool scan;
};

RIG void rig_open_run(struct io *io, void *arg)
{
    struct rig_opening *opening = arg;
    struct rig *rig = opening->rig;
    struct journal_replay replay = {.frame = rig_replay, .verify = rig_verify, .arg = rig};
    rig->replayed_count = 0;
    if (opening->scan)
        rig->open_err =
            journal_scan(io, rig->options.dir, opening->from_lsn, &replay, &rig->recovery);
    else
        rig->open_err = journal_open(io, &rig->options, opening->from_lsn, &replay, &rig->recovery,
                                     &rig->journal);
}

RIG void rig_turn_end(void *arg)
{
    journal_flush(arg);
}

struct rig_port {
    struct rig *rig;
    uint32_t index;
};

RIG void rig_port_run(struct io *io, void *arg)
{
    struct rig_port *p = arg;
    p->rig->ports[p->index] = journal_port_create(p->rig->journal, p->index, io);
    io_on_turn_end(io, rig_turn_end, p->rig->ports[p->index]);
}

// Starts actors and opens the journal; what it returned is in open_err.
RIG int rig_open(struct rig *rig, uint64_t from_lsn)
{
    rig->opener = rig_actor(rig, "opener", IO_WORKER, 0);
    rig->actor = rig_actor(rig, "journal", IO_WORKER, 0);
    rig->maker = rig_actor(rig, "maker", IO_WORKER, 0);
    rig->writer = rig_actor(rig, "writer", IO_WORKER, 0);
    for (int i = 0; i < RIG_SHARDS; i++)
        rig->shards[i] = rig_actor(rig, "shard", IO_LOOP, 0);
    rig->options.actor = rig->actor;
    rig->options.checkpointer = rig->maker;
    rig->journal = NULL;
    memset(rig->done_count, 0, sizeof rig->done_count);
    struct rig_opening opening = {.rig = rig, .from_lsn = from_lsn};
    rig_call_on(rig->opener, rig_open_run, &opening);
    if (rig->open_err != 0)
        return rig->open_err;
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        struct rig_port port = {.rig = rig, .index = i};
        rig_call_on(rig->shards[i], rig_port_run, &port);
    }
    journal_start(rig->journal);
    return 0;
}

RIG int rig_scan(struct rig *rig, uint64_t from_lsn)
{
    struct io *io = rig_actor(rig, "scanner", IO_WORKER, 0);
    struct rig_opening opening = {.rig = rig, .from_lsn = from_lsn, .scan = true};
    rig_call_on(io, rig_open_run, &opening);
    io_actor_stop(io);
    return rig->open_err;
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
    if (rig->journal != NULL) {
        struct rig_quiet quiet = {.msg.run = rig_quiet_run};
        sem_init(&quiet.sem, 0, 0);
        journal_quiesce(rig->journal, rig->opener, &quiet.msg);
        rig_wait(&quiet.sem);
        sem_destroy(&quiet.sem);
    }
    for (int i = 0; i < RIG_SHARDS; i++)
        io_actor_stop(rig->shards[i]);
    io_actor_stop(rig->actor);
    io_actor_stop(rig->writer);
    io_actor_stop(rig->maker);
    io_actor_stop(rig->opener);
    for (int i = 0; i < RIG_SHARDS; i++) {
        journal_port_destroy(rig->ports[i]);
        rig->ports[i] = NULL;
    }
    journal_destroy(rig->journal);
    rig->journal = NULL;
}

RIG struct rig *rig_create(void)
{
    struct rig *rig = mem_zalloc(sizeof *rig);
    (void)snprintf(rig->root, sizeof rig->root, "/var/tmp/weir-journal-test-XXXXXX");
    assert_non_null(mkdtemp(rig->root));
    assert_int_equal(io_real_create(&rig->world), 0);
    assert_int_equal(io_real_set_root(rig->world, rig->root), 0);
    sem_init(&rig->dones, 0, 0);
    sem_init(&rig->fatals, 0, 0);
    sem_init(&rig->wants, 0, 0);
    rig->verify_answer = 1;
    rig->options = (struct journal_options){.dir = "journal",
                                            .file_bytes = 1024 * 1024,
                                            .first_file_bytes = 256 * 1024,
                                            .files_max = 4,
                                            .direct_min_bytes = 128 * 1024,
                                            .group_max_bytes = 512 * 1024,
                                            .ports_count = RIG_SHARDS,
                                            .fatal = rig_fatal,
                                            .want_checkpoint = rig_want,
                                            .arg = rig};
    return rig;
}

RIG void rig_destroy(struct rig *rig)
{
    char command[128];
    io_real_destroy(rig->world);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", rig->root);
    assert_int_equal(system(command), 0);
    mem_free(rig);
}

// ---- adding

struct rig_write {
    struct rig *rig;
    int shard;
    uint8_t kind;
    const char *head;
    size_t body_len; // the body is the head's text, repeated
    struct journal_target *target;
    uint64_t bundle;
    uint32_t parts;
    bool lazy;
};

RIG void rig_frame_done(void *arg, const struct journal_frame *frame, int err)
{
    struct rig_done *d = arg;
    struct rig *rig = d->rig;
    ASSERT(rig->done_count[d->shard] < RIG_SEEN_MAX);
    struct rig_seen *seen = &rig->done[d->shard][rig->done_count[d->shard]++];
    *seen = (struct rig_seen){.lsn = frame->lsn, .err = err, .direct = frame->direct};
    rig_copy(frame->w.head, seen->head);
    sem_post(&rig->dones);
}

RIG struct blob *rig_body(const char *head, size_t len)
{
    struct blob *blob;
    assert_int_equal(blob_create(len, NULL, &blob), 0);
    size_t head_len = strlen(head);
    for (size_t i = 0; i < len; i++)
        blob->data[i] = (uint8_t)head[i % head_len];
    return blob;
}

RIG void rig_add_run(struct io *io, void *arg)
{
    (void)io;
    struct rig_write *w = arg;
    struct journal_port *port = w->rig->ports[w->shard];
    struct blob *blob = w->body_len > 0 ? rig_body(w->head, w->body_len) : NULL;
    struct rig_done *d = &w->rig->done_args[w->shard];
    *d = (struct rig_done){.rig = w->rig, .shard = w->shard};
    struct journal_write write = {.kind = w->kind != 0 ? w->kind : JOURNAL_BATCH,
                                  .head = slice_cstr(w->head),
                                  .body = {.blob = blob, .off = 0, .len = w->body_len},
                                  .target = w->target,
                                  .ref_len = w->target != NULL ? 16 : 0,
                                  .lazy = w->lazy,
                                  .done = rig_frame_done,
                                  .arg = d};
    if (w->parts > 0)
        journal_bundle_begin(port, w->bundle, w->parts);
    journal_add(port, &write);
    if (w->parts > 0)
        journal_bundle_end(port);
    blob_unref(blob);
}

RIG void rig_add(struct rig *rig, int shard, const char *head, size_t body_len)
{
    struct rig_write w = {.rig = rig, .shard = shard, .head = head, .body_len = body_len};
    rig_call_on(rig->shards[shard], rig_add_run, &w);
}

RIG void rig_wait_dones(struct rig *rig, int count)
{
    for (int i = 0; i < count; i++)
        rig_wait(&rig->dones);
}

// Adds and waits: a group of its own.
RIG void rig_add_one(struct rig *rig, int shard, const char *head, size_t body_len)
{
    rig_add(rig, shard, head, body_len);
    rig_wait_dones(rig, 1);
}

// ---- barriers and bundles

struct rig_barrier {
    struct journal_barrier b;
    struct rig *rig;
    size_t dones_before;
    int err;
    bool inside;
    sem_t fired;
};

RIG void rig_barrier_fired(struct journal_barrier *b, int err)
{
    struct rig_barrier *barrier = CONTAINER_OF(b, struct rig_barrier, b);
    ASSERT(!barrier->inside);
    barrier->err = err;
    barrier->dones_before = barrier->rig->done_count[0];
    sem_post(&barrier->fired);
}

RIG void rig_barrier_run(struct io *io, void *arg)
{
    (void)io;
    struct rig_barrier *barrier = arg;
    barrier->b.fn = rig_barrier_fired;
    barrier->inside = true;
    journal_barrier(barrier->rig->ports[0], &barrier->b);
    barrier->inside = false;
}

RIG void rig_bundle_part(struct rig *rig, int shard, const char *head, uint64_t id, uint32_t parts)
{
    struct rig_write w = {
        .rig = rig, .shard = shard, .head = head, .body_len = 50, .bundle = id, .parts = parts};
    rig_call_on(rig->shards[shard], rig_add_run, &w);
}

// ---- the files behind the journal's back

RIG void rig_path(struct rig *rig, uint64_t number, char out[160])
{
    (void)snprintf(out, 160, "%s/journal/%016llx.wal", rig->root, (unsigned long long)number);
}

RIG size_t rig_file_read(struct rig *rig, uint64_t number, uint8_t *out, size_t size)
{
    char path[160];
    rig_path(rig, number, path);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t got = pread(fd, out, size, 0);
    close(fd);
    assert_true(got >= 0);
    return (size_t)got;
}

RIG void rig_file_write(struct rig *rig, uint64_t number, uint64_t at, const void *data,
                        size_t size)
{
    char path[160];
    rig_path(rig, number, path);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, size, (off_t)at), (ssize_t)size);
    close(fd);
}

#endif
