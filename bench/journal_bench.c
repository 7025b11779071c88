// SPDX-License-Identifier: Apache-2.0
//
// What the journal costs on this machine's disk: durable submissions one at a time, with and
// without spinning; many shards' worth of them; and from how many bytes a target should be written
// directly. Runs in a directory that it makes under the one given and removes again. A program of
// its own, not a test: it prints medians and judges nothing.
//
//   journal_bench DIR
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "io/real.h"
#include "journal/journal.h"

enum { ROUNDS = 5, PAIRS = 15 };

struct bench {
    struct io_world *world;
    struct io *opener, *actor, *maker, *writer, *shard;
    struct journal *journal;
    struct journal_port *port;
    struct journal_options options;
    struct blob *body;
    struct journal_target target;
    struct io_file *segment;
    uint64_t segment_pos;
    bool direct;
    uint64_t left, in_flight, window;
    int64_t began_ns;
    struct histogram latency_ns;
    sem_t done;
    struct io_msg go;
};

struct call {
    struct io_msg msg;
    void (*fn)(struct bench *b, struct io *io);
    struct bench *bench;
    struct io *io;
    sem_t done;
};

static void call_run(struct io_msg *msg)
{
    struct call *call = CONTAINER_OF(msg, struct call, msg);
    call->fn(call->bench, call->io);
    sem_post(&call->done);
}

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0) {
    }
}

static void call_on(struct bench *b, struct io *io, void (*fn)(struct bench *b, struct io *io))
{
    struct call call = {.msg.run = call_run, .fn = fn, .bench = b, .io = io};
    sem_init(&call.done, 0, 0);
    io_post(io, &call.msg);
    wait_for(&call.done);
    sem_destroy(&call.done);
}

static struct io *actor(struct bench *b, const char *name, enum io_kind kind, int64_t spin_ns)
{
    struct io_actor_options options = {.name = name, .kind = kind, .spin_ns = spin_ns};
    struct io *io = NULL;
    int err = io_actor_create(b->world, &options, &io);
    ASSERT(err == 0);
    return io;
}

// ---- the load: `window` frames in flight, each answered one adds the next

static void add(struct bench *b);

static void frame_done(void *arg, const struct journal_frame *frame, int err)
{
    struct bench *b = arg;
    (void)frame;
    ASSERT(err == 0);
    b->in_flight--;
    if (b->window == 1)
        histogram_add(&b->latency_ns, (uint64_t)(io_now_ns(b->shard) - b->began_ns));
    if (b->left > 0)
        add(b);
    else if (b->in_flight == 0)
        sem_post(&b->done);
}

static void add(struct bench *b)
{
    b->left--;
    b->in_flight++;
    b->began_ns = io_now_ns(b->shard);
    struct journal_write write = {.kind = JOURNAL_BATCH,
                                  .head = slice_cstr("0123456789abcdef"),
                                  .body = {.blob = b->body, .off = 0, .len = b->body->size},
                                  .target = b->direct ? &b->target : NULL,
                                  .ref_len = b->direct ? 64 : 0,
                                  .done = frame_done,
                                  .arg = b};
    journal_add(b->port, &write);
}

static void go_run(struct io_msg *msg)
{
    struct bench *b = CONTAINER_OF(msg, struct bench, go);
    uint64_t window = b->window < b->left ? b->window : b->left;
    for (uint64_t i = 0; i < window; i++)
        add(b);
}

static int target_write(struct journal_target *target, struct journal_frame **frames, size_t count)
{
    struct bench *b = CONTAINER_OF(target, struct bench, target);
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        struct slice body = blob_piece_slice(frames[i]->w.body);
        struct iovec iov = {.iov_base = (void *)(uintptr_t)body.data, .iov_len = body.len};
        err = io_write(b->segment, b->segment_pos, &iov, 1);
        b->segment_pos += body.len;
    }
    return err;
}

static int target_sync(struct journal_target *target, struct journal_frame **frames, size_t count)
{
    (void)frames;
    (void)count;
    return io_sync(CONTAINER_OF(target, struct bench, target)->segment);
}

// ---- life

static void do_open(struct bench *b, struct io *io)
{
    struct journal_recovery recovery;
    int err = journal_open(io, &b->options, 0, NULL, &recovery, &b->journal);
    ASSERT(err == 0);
}

static void do_segment(struct bench *b, struct io *io)
{
    int err = io_open(io, "segment", IO_CREATE | IO_WRITE, &b->segment);
    ASSERT(err == 0);
}

static void flush(void *arg)
{
    struct bench *b = arg;
    journal_flush(b->port);
}

static void do_port(struct bench *b, struct io *io)
{
    b->port = journal_port_create(b->journal, 0, io);
    io_on_turn_end(io, flush, b);
}

static void want(void *arg, bool urgent)
{
    struct bench *b = arg;
    (void)urgent; // no state to keep: every group may go once it is durable
    journal_recycle(b->journal, journal_durable_lsn(b->journal) + 1);
}

static void fatal(void *arg, int err, const char *what)
{
    (void)arg;
    (void)fprintf(stderr, "%s: error %d\n", what, err);
    abort();
}

static void bench_open(struct bench *b, const char *root, int64_t spin_ns)
{
    int err = io_real_create(&b->world);
    ASSERT(err == 0);
    err = io_real_set_root(b->world, root);
    ASSERT(err == 0);
    b->opener = actor(b, "opener", IO_WORKER, 0);
    b->actor = actor(b, "journal", IO_WORKER, spin_ns);
    b->maker = actor(b, "maker", IO_WORKER, 0);
    b->writer = actor(b, "writer", IO_WORKER, 0);
    b->shard = actor(b, "shard", IO_LOOP, 0);
    b->target.writer = b->writer;
    b->target.write = target_write;
    b->target.sync = target_sync;
    b->options = (struct journal_options){.dir = "journal",
                                          .file_bytes = 64u << 20,
                                          .first_file_bytes = 64u << 20,
                                          .files_max = 4,
                                          .direct_min_bytes = b->direct ? 1 : 16u << 20,
                                          .group_max_bytes = 8u << 20,
                                          .actor = b->actor,
                                          .checkpointer = b->maker,
                                          .ports_count = 1,
                                          .fatal = fatal,
                                          .want_checkpoint = want,
                                          .arg = b};
    call_on(b, b->opener, do_open);
    call_on(b, b->writer, do_segment);
    journal_start(b->journal);
    call_on(b, b->shard, do_port);
    sem_init(&b->done, 0, 0);
}

static void quiet_run(struct io_msg *msg)
{
    sem_post(&CONTAINER_OF(msg, struct bench, go)->done);
}

static void bench_close(struct bench *b)
{
    b->go.run = quiet_run;
    journal_quiesce(b->journal, b->opener, &b->go);
    wait_for(&b->done);
    io_actor_stop(b->shard);
    io_actor_stop(b->actor);
    io_actor_stop(b->writer);
    io_actor_stop(b->maker);
    io_actor_stop(b->opener);
    journal_port_destroy(b->port);
    journal_destroy(b->journal);
    io_real_destroy(b->world);
    blob_unref(b->body);
}

// Seconds that `count` frames of `len` bytes took.
static double run(struct bench *b, size_t len, uint64_t count, uint64_t window)
{
    if (b->body == NULL || b->body->size != len) {
        blob_unref(b->body);
        int err = blob_create(len, NULL, &b->body);
        ASSERT(err == 0);
        memset(b->body->data, 'x', len);
    }
    b->left = count;
    b->window = window;
    b->go.run = go_run;
    int64_t began = io_now_ns(b->opener); // the monotonic clock is every actor's
    io_post(b->shard, &b->go);
    wait_for(&b->done);
    return (double)(io_now_ns(b->opener) - began) / 1e9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

static void clean(const char *root)
{
    char command[512];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", root);
    int status = system(command);
    ASSERT(status == 0);
}

static void small_submissions(const char *root)
{
    static const int64_t spins_us[] = {0, 50, 100};
    puts("one 100-byte submission in flight (shard -> journal -> durable -> shard)");
    puts("  spin us   submissions/s   p50 us   p99 us");
    for (size_t s = 0; s < sizeof spins_us / sizeof *spins_us; s++) {
        struct bench b = {.direct = false};
        bench_open(&b, root, spins_us[s] * 1000);
        (void)run(&b, 100, 500, 1); // warm
        histogram_clear(&b.latency_ns);
        double rates[ROUNDS];
        for (int i = 0; i < ROUNDS; i++)
            rates[i] = 1000 / run(&b, 100, 1000, 1);
        printf("  %7" PRId64 "   %13.0f   %6.0f   %6.0f\n", spins_us[s], median(rates, ROUNDS),
               (double)histogram_quantile(&b.latency_ns, 0.5) / 1000,
               (double)histogram_quantile(&b.latency_ns, 0.99) / 1000);
        bench_close(&b);
        clean(root);
    }
    puts("100-byte submissions, 1000 in flight");
    struct bench b = {.direct = false};
    bench_open(&b, root, 100000);
    double rates[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        rates[i] = 50000 / run(&b, 100, 50000, 1000);
    struct journal_stats stats;
    journal_stats(b.journal, &stats);
    printf("  %.0f submissions/s, %" PRIu64 " syncs for %" PRIu64 " frames\n",
           median(rates, ROUNDS), stats.syncs, stats.frames);
    bench_close(&b);
    clean(root);
}

// One body in flight, through the journal and, in the same run and by turns, straight to the
// segment. What goes through the journal is written a second time, later and unsynced: "twice".
static void direct_or_not(const char *root)
{
    static const size_t sizes_kb[] = {64, 128, 256, 512, 1024, 2048};
    puts("one body in flight: MB/s through the journal, and directly to the segment");
    puts("     KiB   journal    direct   journal, twice");
    for (size_t s = 0; s < sizeof sizes_kb / sizeof *sizes_kb; s++) {
        size_t len = sizes_kb[s] * 1024;
        uint64_t count = (8u << 20) / len;
        double rates[2][PAIRS];
        struct bench b = {.direct = true};
        bench_open(&b, root, 100000);
        (void)run(&b, len, count, 1);
        for (int i = 0; i < 2 * PAIRS; i++) {
            b.direct = i % 2 == 1;
            rates[i % 2][i / 2] = 8.389 / run(&b, len, count, 1);
        }
        bench_close(&b);
        clean(root);
        double journal = median(rates[0], PAIRS);
        printf("  %6zu   %7.0f   %7.0f   %14.0f\n", sizes_kb[s], journal, median(rates[1], PAIRS),
               journal / 2);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: journal_bench DIR\n");
        return 64;
    }
    char root[400];
    (void)snprintf(root, sizeof root, "%s/journal-bench", argv[1]);
    small_submissions(root);
    direct_or_not(root);
    return 0;
}
