// SPDX-License-Identifier: Apache-2.0
//
// The journal in the simulator: three shards add random frames, bundles and big bodies while the
// machine loses its power or is killed in the middle of writes, again and again. A model outside
// remembers what was added and what was answered, and judges each recovery: what was done is there,
// once, in order, with its bytes; of bundles all or nothing; what a recovery has dropped never
// comes back. The judge is judged too: planted bugs must be found.
//
// tidy: long-file — the model and what it judges know each other's insides
#include "journal/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bugs.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/prng.h"
#include "io/sim.h"

enum { SHARDS = 3, FRAMES_MAX = 4000, LIVES = 5, HEAD = 16, REF = 24 };
#define MS 1000000LL

enum frame_state { FRAME_ADDED, FRAME_DONE, FRAME_DEAD };

struct frame {
    enum frame_state state;
    uint8_t shard;
    uint64_t bundle; // 0: none
    uint64_t lsn;    // when done
    uint32_t body_len, crc;
    uint64_t target_pos;
    uint32_t life;
    bool seen; // in this replay
};

struct node {
    struct universe *u;
    struct shard *shards[SHARDS];
    struct io *opener, *actor, *maker, *writer;
    struct journal *journal;
    struct journal_recovery recovery;
    int open_err;
    bool fatal;
    struct list mails; // what was posted, so that a crash loses no memory
};

struct shard {
    struct node *node;
    uint32_t index;
    struct io *io;
    struct journal_port *port;
    struct io_timer timer;
    struct journal_target target;
    struct io_msg start;
};

struct universe {
    struct prng prng;
    struct sim *sim;
    struct sim_machine *machine;
    struct frame frames[FRAMES_MAX];
    uint32_t count, life;
    uint64_t from_lsn, next_bundle;
    uint64_t segment_end[SHARDS];
    uint64_t last_lsn; // of the replay under way
    uint32_t last_id[SHARDS];
    uint64_t done, crashes, cuts, replayed, directs;
    uint64_t hash;
    const char *fault; // the first rule that was broken
};

static void broken(struct universe *u, const char *rule)
{
    if (u->fault == NULL)
        u->fault = rule;
}

// ---- the segment of a shard: bodies at their positions, each followed by nothing

static void segment_path(uint32_t shard, char out[16])
{
    (void)snprintf(out, 16, "segment-%u", shard);
}

static int segment_write(struct journal_target *target, struct journal_frame **frames, size_t count)
{
    struct shard *shard = CONTAINER_OF(target, struct shard, target);
    char path[16];
    segment_path(shard->index, path);
    struct io_file *file = NULL;
    int err = io_open(target->writer, path, IO_CREATE | IO_WRITE, &file);
    for (size_t i = 0; i < count && err == 0; i++) {
        struct slice body = blob_piece_slice(frames[i]->w.body);
        struct iovec iov = {.iov_base = (void *)(uintptr_t)body.data, .iov_len = body.len};
        err = io_write(file, frames[i]->w.target_pos, &iov, 1);
        shard->node->u->directs++;
    }
    io_file_close(file);
    return err;
}

static int file_sync(struct io *io, struct io_file *file)
{
    int err = io_sync(file);
    return err == 0 ? io_sync_dir(io, ".") : err;
}

static int segment_sync(struct journal_target *target, struct journal_frame **frames, size_t count)
{
    char path[16];
    (void)frames;
    (void)count;
    segment_path(CONTAINER_OF(target, struct shard, target)->index, path);
    if (bug(BUG_DIRECT_NO_SYNC))
        return 0;
    struct io_file *file = NULL;
    int err = io_open(target->writer, path, IO_WRITE, &file);
    if (err == 0)
        err = file_sync(target->writer, file);
    io_file_close(file);
    return err;
}

static bool segment_read(struct io_file *file, const struct frame *frame, uint8_t *bytes)
{
    int64_t got = io_read(file, frame->target_pos, bytes, frame->body_len);
    return got == frame->body_len && crc32c(0, bytes, frame->body_len) == frame->crc;
}

static bool segment_whole(struct io *io, const struct frame *frame)
{
    char path[16];
    segment_path(frame->shard, path);
    struct io_file *file = NULL;
    if (io_open(io, path, 0, &file) != 0)
        return false;
    uint8_t *bytes = mem_zalloc(frame->body_len);
    bool whole = segment_read(file, frame, bytes);
    mem_free(bytes);
    io_file_close(file);
    return whole;
}

// What a recovery keeps it makes durable, as the log does: it may have been in the page cache only.
static int segment_keep(struct io *io, const struct frame *frame, bool *out_whole)
{
    char path[16];
    segment_path(frame->shard, path);
    struct io_file *file = NULL;
    *out_whole = false;
    int err = io_open(io, path, IO_WRITE, &file);
    if (err != 0)
        return err == ERR_NOT_FOUND ? 0 : err;
    uint8_t *bytes = mem_zalloc(frame->body_len);
    *out_whole = segment_read(file, frame, bytes);
    struct iovec iov = {.iov_base = bytes, .iov_len = frame->body_len};
    if (*out_whole)
        err = io_write(file, frame->target_pos, &iov, 1);
    if (*out_whole && err == 0)
        err = file_sync(io, file);
    mem_free(bytes);
    io_file_close(file);
    return err;
}

// ---- adding

static void frame_done(void *arg, const struct journal_frame *frame, int err)
{
    struct shard *shard = arg;
    struct universe *u = shard->node->u;
    struct frame *f = &u->frames[le32_get(frame->w.head.data)];
    if (f->state != FRAME_ADDED)
        broken(u, "a frame was answered twice");
    if (err == ERR_LIMIT) // bundles that piled up on a full disk until no file could hold them
        f->state = FRAME_DEAD;
    if (err != 0)
        return;
    f->state = FRAME_DONE;
    f->lsn = frame->lsn;
    u->done++;
}

static void frame_add(struct shard *shard, uint64_t bundle, size_t len)
{
    struct universe *u = shard->node->u;
    if (u->count == FRAMES_MAX)
        return;
    uint32_t id = u->count++;
    struct blob *blob = NULL;
    assert_int_equal(blob_create(len, NULL, &blob), 0);
    for (size_t i = 0; i < len; i++)
        blob->data[i] = (uint8_t)(id * 31 + i * 7 + (i >> 8));
    le32_put(blob->data, id);
    uint8_t head[HEAD] = {0};
    le32_put(head, id);
    struct frame *f = &u->frames[id];
    *f = (struct frame){.shard = (uint8_t)shard->index,
                        .bundle = bundle,
                        .body_len = (uint32_t)len,
                        .crc = crc32c(0, blob->data, len),
                        .target_pos = u->segment_end[shard->index],
                        .life = u->life};
    u->segment_end[shard->index] += len;
    struct journal_write write = {.kind = JOURNAL_BATCH,
                                  .head = slice_of(head, sizeof head),
                                  .body = {.blob = blob, .off = 0, .len = len},
                                  .target = &shard->target,
                                  .target_pos = f->target_pos,
                                  .ref_len = REF,
                                  .done = frame_done,
                                  .arg = shard};
    journal_add(shard->port, &write);
    blob_unref(blob);
}

struct mail { // a part of a bundle, on its way to a shard
    struct io_msg msg;
    struct list link;
    struct shard *shard;
    uint64_t bundle;
    uint32_t parts;
};

static void part_add(struct io_msg *msg)
{
    struct mail *mail = CONTAINER_OF(msg, struct mail, msg);
    struct shard *shard = mail->shard;
    journal_bundle_begin(shard->port, mail->bundle, mail->parts);
    for (uint64_t i = prng_below(&shard->node->u->prng, 3); i > 0; i--)
        frame_add(shard, mail->bundle, REF + prng_below(&shard->node->u->prng, 300));
    frame_add(shard, mail->bundle, REF);
    journal_bundle_end(shard->port);
}

static void bundle_start(struct node *node)
{
    struct universe *u = node->u;
    for (uint32_t i = 0; i < SHARDS; i++)
        if (node->shards[i]->port == NULL)
            return; // not started yet
    uint32_t parts = 2 + (uint32_t)prng_below(&u->prng, SHARDS - 1);
    uint64_t id = ++u->next_bundle;
    uint32_t first = (uint32_t)prng_below(&u->prng, SHARDS);
    for (uint32_t i = 0; i < parts; i++) {
        struct mail *mail = mem_zalloc(sizeof *mail);
        mail->shard = node->shards[(first + i) % SHARDS];
        mail->bundle = id;
        mail->parts = parts;
        mail->msg.run = part_add;
        list_push_back(&node->mails, &mail->link);
        io_post(mail->shard->io, &mail->msg);
    }
}

// What a shard has heard of is durable, and so is all below it on other shards; but of those only
// what was answered is known to the model. So: as far as every shard with open frames has heard.
static void recycle(struct node *node)
{
    struct universe *u = node->u;
    uint64_t heard[SHARDS] = {0}, all = 0;
    bool open[SHARDS] = {false};
    for (uint32_t i = 0; i < u->count; i++) {
        const struct frame *f = &u->frames[i];
        if (f->state == FRAME_ADDED)
            open[f->shard] = true;
        if (f->state == FRAME_DONE && f->lsn > heard[f->shard])
            heard[f->shard] = f->lsn;
        if (heard[f->shard] > all)
            all = heard[f->shard];
    }
    for (int s = 0; s < SHARDS; s++)
        if (open[s] && heard[s] < all)
            all = heard[s];
    if (all + 1 > u->from_lsn)
        u->from_lsn = all + 1;
    journal_recycle(node->journal, u->from_lsn);
}

static void shard_tick(struct io_timer *timer)
{
    struct shard *shard = CONTAINER_OF(timer, struct shard, timer);
    struct prng *prng = &shard->node->u->prng;
    for (uint64_t i = prng_below(prng, 4); i > 0; i--) {
        size_t len = REF + prng_below(prng, prng_chance(prng, 1, 12) ? 30000 : 600);
        frame_add(shard, 0, len);
    }
    if (prng_chance(prng, 1, 6))
        bundle_start(shard->node);
    if (prng_chance(prng, 1, 15) && !bug(BUG_EARLY_ACK)) // LSNs of early answers are guesses
        recycle(shard->node);
    io_timer_start(shard->io, timer,
                   io_now_ns(shard->io) + (int64_t)prng_below(prng, 600) * 1000 + 1000);
}

static void shard_turn_end(void *arg)
{
    struct shard *shard = arg;
    journal_flush(shard->port);
}

static void shard_start(struct io_msg *msg)
{
    struct shard *shard = CONTAINER_OF(msg, struct shard, start);
    shard->port = journal_port_create(shard->node->journal, shard->index, shard->io);
    io_on_turn_end(shard->io, shard_turn_end, shard);
    io_timer_init(&shard->timer, shard_tick);
    io_timer_start(shard->io, &shard->timer, io_now_ns(shard->io) + 1000);
}

// ---- recovery, judged

static struct frame *replayed_frame(struct universe *u, const struct journal_replayed *r)
{
    if (r->head.len != HEAD || le32_get(r->head.data) >= u->count) {
        broken(u, "a frame was replayed that nobody added");
        return NULL;
    }
    return &u->frames[le32_get(r->head.data)];
}

static int judge_frame(void *arg, const struct journal_replayed *r)
{
    struct node *node = arg;
    struct universe *u = node->u;
    struct frame *f = replayed_frame(u, r);
    if (f == NULL)
        return 0;
    u->replayed++;
    if (f->seen)
        broken(u, "a frame was replayed twice");
    f->seen = true;
    if (r->lsn <= u->last_lsn)
        broken(u, "LSNs do not rise");
    u->last_lsn = r->lsn;
    if (f->state == FRAME_DEAD)
        broken(u, "what an earlier recovery dropped came back");
    if (f->state == FRAME_DONE && f->lsn != r->lsn && !bug(BUG_EARLY_ACK))
        broken(u, "a frame changed its LSN");
    uint32_t id = le32_get(r->head.data);
    if (id < u->last_id[f->shard])
        broken(u, "a port's order was not kept");
    u->last_id[f->shard] = id;
    f->lsn = r->lsn;
    if (r->kind == JOURNAL_BATCH) {
        if (r->body.len != f->body_len || crc32c(0, r->body.data, r->body.len) != f->crc)
            broken(u, "a body changed");
        return 0;
    }
    if (r->kind != JOURNAL_REFERENCE || r->body.len != REF)
        broken(u, "a reference changed");
    bool whole;
    int err = segment_keep(node->opener, f, &whole);
    if (err == 0 && !whole)
        broken(u, "a referenced body is missing");
    return err;
}

static int judge_verify(void *arg, const struct journal_replayed *r)
{
    struct node *node = arg;
    struct frame *f = replayed_frame(node->u, r);
    return f != NULL && segment_whole(node->opener, f);
}

// Parts that lie below the replay's beginning had been done, and are judged as such.
static bool bundle_torn(const struct universe *u, uint64_t bundle)
{
    bool torn = false;
    for (const struct frame *f = u->frames; f < u->frames + u->count; f++)
        torn = torn || (f->bundle == bundle && !f->seen && f->state == FRAME_ADDED);
    return torn;
}

static void judge_end(struct universe *u)
{
    uint32_t first_missing[SHARDS];
    memset(first_missing, 0xff, sizeof first_missing);
    for (uint32_t i = 0; i < u->count; i++) {
        struct frame *f = &u->frames[i];
        if (f->state == FRAME_DEAD || (f->state == FRAME_DONE && f->lsn < u->from_lsn && !f->seen))
            continue;
        if (!f->seen && f->state == FRAME_DONE)
            broken(u, "what was done is not there");
        if (!f->seen && first_missing[f->shard] == UINT32_MAX)
            first_missing[f->shard] = i;
        if (f->seen && i > first_missing[f->shard])
            broken(u, "a port's frames have a hole");
        if (f->bundle != 0 && f->seen && f->state == FRAME_ADDED && bundle_torn(u, f->bundle))
            broken(u, "a bundle was torn");
    }
    for (uint32_t i = 0; i < u->count; i++) {
        struct frame *f = &u->frames[i];
        if (f->seen || f->state == FRAME_ADDED)
            f->state = f->seen ? FRAME_DONE : FRAME_DEAD;
    }
}

// ---- a life of the machine

struct opening {
    struct io_msg msg;
    struct node *node;
    struct journal_options options;
    bool done;
};

// A worker's clock runs ahead of the others: that it is done is true when its mail says so.
static void open_done(struct io_msg *msg)
{
    CONTAINER_OF(msg, struct opening, msg)->done = true;
}

static void node_fatal(void *arg, int err, const char *what)
{
    (void)what;
    if (err != ERR_STOPPED) // the power is going: let it
        ((struct node *)arg)->fatal = true;
}

static void open_run(struct io_msg *msg)
{
    struct opening *o = CONTAINER_OF(msg, struct opening, msg);
    struct node *node = o->node;
    struct universe *u = node->u;
    struct journal_replay replay = {.frame = judge_frame, .verify = judge_verify, .arg = node};
    u->last_lsn = 0;
    for (uint32_t i = 0; i < u->count; i++)
        u->frames[i].seen = false;
    memset(u->last_id, 0, sizeof u->last_id);
    node->open_err = journal_open(node->opener, &o->options, u->from_lsn, &replay, &node->recovery,
                                  &node->journal);
    o->msg.run = open_done;
    io_post(node->opener, &o->msg);
}

static bool open_over(void *arg)
{
    return ((struct opening *)arg)->done;
}

static bool life_over(void *arg)
{
    struct node *node = arg;
    return node->fatal || node->u->fault != NULL || !sim_machine_up(node->u->machine);
}

static struct io *make_actor(struct io_world *world, const char *name, enum io_kind kind)
{
    struct io *io = NULL;
    struct io_actor_options options = {.name = name, .kind = kind};
    assert_int_equal(io_actor_create(world, &options, &io), 0);
    return io;
}

static void node_make(struct node *node, struct io_world *world)
{
    list_init(&node->mails);
    node->opener = make_actor(world, "opener", IO_WORKER);
    node->actor = make_actor(world, "journal", IO_WORKER);
    node->maker = make_actor(world, "maker", IO_WORKER);
    node->writer = make_actor(world, "writer", IO_WORKER);
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = mem_zalloc(sizeof *shard);
        shard->node = node;
        shard->index = i;
        shard->io = make_actor(world, "shard", IO_LOOP);
        shard->target.writer = node->writer;
        shard->target.write = segment_write;
        shard->target.sync = segment_sync;
        node->shards[i] = shard;
    }
}

static void node_free(struct node *node)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        journal_port_destroy(node->shards[i]->port);
        io_actor_stop(node->shards[i]->io);
        mem_free(node->shards[i]);
    }
    journal_destroy(node->journal);
    struct io *workers[] = {node->opener, node->actor, node->maker, node->writer};
    for (int i = 0; i < 4; i++)
        io_actor_stop(workers[i]);
    for (struct list *it; (it = list_pop_front(&node->mails)) != NULL;)
        mem_free(CONTAINER_OF(it, struct mail, link));
}

static void node_run(struct node *node, int64_t for_ns)
{
    journal_start(node->journal);
    for (uint32_t i = 0; i < SHARDS; i++) {
        node->shards[i]->start.run = shard_start;
        io_post(node->shards[i]->io, &node->shards[i]->start);
    }
    struct sim *sim = node->u->sim;
    (void)sim_run_until(sim, sim_now_ns(sim) + for_ns, life_over, node);
}

static void live(struct universe *u, bool last)
{
    struct io_world *world = sim_start(u->machine);
    struct node node = {.u = u};
    node_make(&node, world);
    u->life++;
    enum sim_crash_kind kind = prng_chance(&u->prng, 3, 4) ? SIM_POWER_LOSS : SIM_KILL;
    if (!last && prng_chance(&u->prng, 1, 5)) // in the middle of recovery
        sim_crash_at_write(u->machine, 1 + prng_below(&u->prng, 6), kind);
    struct opening o = {.node = &node};
    o.options = (struct journal_options){.dir = "journal",
                                         .file_bytes = 192 * 1024,
                                         .first_file_bytes = 64 * 1024,
                                         .files_max = 3,
                                         .direct_min_bytes = 12 * 1024,
                                         .group_max_bytes = 48 * 1024,
                                         .actor = node.actor,
                                         .checkpointer = node.maker,
                                         .ports_count = SHARDS,
                                         .fatal = node_fatal,
                                         .arg = &node};
    o.msg.run = open_run;
    io_post(node.opener, &o.msg);
    (void)sim_run_until(u->sim, sim_now_ns(u->sim) + 10000 * MS, open_over, &o);
    bool open = sim_machine_up(u->machine) && o.done;
    // A sync that fails during recovery is no damage, nor is a full disk: the start fails and is
    // tried again.
    if (open && node.open_err != 0 && node.open_err != ERR_SYNC && node.open_err != ERR_NOSPACE)
        broken(u, node.recovery.damage[0] != 0 ? "recovery refused the start" : "recovery failed");
    if (open && node.open_err == 0) {
        u->cuts += node.recovery.cut;
        judge_end(u);
        if (!last) {
            sim_crash_at_write(u->machine, 1 + prng_below(&u->prng, 120), kind);
            node_run(&node, 400 * MS);
        }
    }
    if (sim_machine_up(u->machine))
        sim_crash(u->machine, kind);
    u->crashes++;
    node_free(&node);
    sim_world_free(world);
}

static void universe_run(struct universe *u, uint64_t seed)
{
    memset(u, 0, sizeof *u);
    prng_seed(&u->prng, seed);
    struct sim_options options;
    sim_options_init(&options, seed);
    options.fault_ppm[SIM_FAULT_DELAY] = 20000;
    if (seed % 4 == 0)
        options.fault_ppm[SIM_FAULT_SYNC_FAIL] = 3000;
    if (seed % 4 == 1)
        options.fault_ppm[SIM_FAULT_DISK_FULL] = 10000;
    assert_int_equal(sim_create(&options, &u->sim), 0);
    u->machine = sim_machine_create(u->sim, "server", true);
    u->from_lsn = 1;
    for (int life = 0; life < LIVES && u->fault == NULL; life++)
        live(u, false);
    sim_set_fault(u->sim, SIM_FAULT_SYNC_FAIL, 0);
    sim_set_fault(u->sim, SIM_FAULT_DISK_FULL, 0);
    sim_crash_at_write(u->machine, 0, SIM_KILL);
    if (u->fault == NULL)
        live(u, true);
    u->hash = sim_hash(u->sim);
    sim_destroy(u->sim);
}

// ---- tests

enum { SEEDS = 500 };

static void test_random_crashes_lose_nothing(void **state)
{
    (void)state;
    struct universe *u = mem_zalloc(sizeof *u);
    unsigned long long done = 0, crashes = 0, cuts = 0, replayed = 0, directs = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        universe_run(u, seed);
        if (u->fault != NULL)
            print_error("seed %llu: %s\n", (unsigned long long)seed, u->fault);
        assert_null(u->fault);
        done += u->done;
        crashes += u->crashes;
        cuts += u->cuts;
        replayed += u->replayed;
        directs += u->directs;
    }
    print_message("%d seeds: %llu frames done, %llu replayed, %llu direct, %llu crashes, %llu "
                  "groups cut\n",
                  SEEDS, done, replayed, directs, crashes, cuts);
    assert_true(done > SEEDS * 40);
    assert_true(replayed > SEEDS * 15);
    assert_true(directs > SEEDS * 20);
    assert_true(crashes >= SEEDS * (LIVES + 1));
    assert_true(cuts > SEEDS / 4);
    mem_free(u);
}

static void test_same_seed_same_run(void **state)
{
    (void)state;
    struct universe *a = mem_zalloc(sizeof *a), *b = mem_zalloc(sizeof *b);
    for (uint64_t seed = 1000; seed < 1010; seed++) {
        universe_run(a, seed);
        universe_run(b, seed);
        assert_int_equal(a->count, b->count);
        assert_int_equal(a->hash, b->hash);
    }
    mem_free(a);
    mem_free(b);
}

static void find_bug(enum bug planted, uint64_t seeds)
{
    struct universe *u = mem_zalloc(sizeof *u);
    bug_planted = planted;
    uint64_t seed = 1;
    for (u->fault = NULL; seed <= seeds && u->fault == NULL; seed++)
        universe_run(u, seed);
    bug_planted = BUG_NONE;
    print_message("%s: seed %llu: %s\n", bug_name(planted), (unsigned long long)(seed - 1),
                  u->fault != NULL ? u->fault : "not found");
    assert_non_null(u->fault);
    mem_free(u);
}

static void test_planted_bugs_are_found(void **state)
{
    (void)state;
    find_bug(BUG_SKIP_SYNC, 50);
    find_bug(BUG_EARLY_ACK, 50);
    find_bug(BUG_HALF_GROUP, 100);
    find_bug(BUG_TEAR_BUNDLE, 50);
    find_bug(BUG_DIRECT_NO_SYNC, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_crashes_lose_nothing),
        cmocka_unit_test(test_same_seed_same_run),
        cmocka_unit_test(test_planted_bugs_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
