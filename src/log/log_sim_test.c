// SPDX-License-Identifier: Apache-2.0
//
// A shard's logs in the simulated world: random appends, reads, trims, checkpoints, kills and power
// losses at any write, against a model that only knows what a client may know. What was
// acknowledged or read is there after every crash, unchanged and once; a trim that was acknowledged
// stays. The checkers are then proven by planting bugs.
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

enum { LOGS = 3, BATCHES_MAX = 4096, CUTS_MAX = 32, STEPS = 250 };

struct known { // a batch as it was sent
    int64_t base_offset, last_offset;
    uint32_t crc;
};

struct model {
    struct known *batches;
    size_t count;
    int64_t acked, seen; // a crash must not take back what lies below
    int64_t start_asked, start_acked;
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
    struct log *logs[LOGS];
    struct budget tails;
    struct model models[LOGS];
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
    uint64_t crashes, acks_count, reads_count, cuts_installed;
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
    int err = log_frame_key(frame, &key);
    return err != 0 ? err : log_replay(find(u, &key), frame, &b, &applied);
}

static bool replay_verify(void *arg, const struct journal_replayed *frame)
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
    if (io_mkdir(u->opener, "journal") != 0 || io_sync_dir(u->opener, ".") != 0)
        return; // failed_start
    const struct log_store_options o = {
        .shard = u->shard,
        .writer = u->writer,
        .reader = u->reader,
        .recovery = u->opener,
        .tail_budget = &u->tails,
        .tail_bytes_per_log = 20000,
        .write_min_bytes = 8000,
        .files_max = 4,
        .fatal = store_fatal,
        .arg = u,
    };
    const struct log_options lo = {.segment_bytes = 60000,
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
}

static struct io *actor(struct uni *u, const char *name, enum io_kind kind)
{
    struct io_actor_options o = {.name = name, .kind = kind};
    struct io *io = NULL;
    assert_int_equal(io_actor_create(u->world, &o, &io), 0);
    return io;
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
    journal_start(u->journal);
    u->port = journal_port_create(u->journal, 0, u->shard);
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

// ---- what the client does

static void acked(struct log_waiter *waiter, int err)
{
    struct ack *a = CONTAINER_OF(waiter, struct ack, waiter);
    if (err == 0 && a->offset > a->model->acked)
        a->model->acked = a->offset;
    list_remove(&a->link);
    mem_free(a);
}

static struct blob *make_batch(struct uni *u, struct batch *out)
{
    static uint8_t text[20000];
    struct buf b;
    buf_init(&b, 1 << 20);
    struct batch_builder bb;
    batch_build_begin(&bb, &b, BATCH_NONE, 1000);
    size_t len = prng_chance(&u->prng, 1, 8) ? 15000 : 500;
    uint64_t records = prng_below(&u->prng, 4) + 1;
    len = prng_below(&u->prng, len);
    for (size_t i = 0; i < len; i++)
        text[i] = (uint8_t)prng_next(&u->prng);
    for (uint64_t i = 0; i < records; i++)
        batch_build_record(&bb, 1000 + (int64_t)prng_below(&u->prng, 1000), SLICE_NULL,
                           slice_of(text, len), SLICE_NULL, 0);
    assert_int_equal(batch_build_end(&bb), 0);
    struct blob *blob;
    assert_int_equal(blob_create(b.len, NULL, &blob), 0);
    memcpy(blob->data, b.data, b.len);
    assert_int_equal(batch_check_from_client(buf_slice(&b), out), 0);
    buf_fini(&b);
    return blob;
}

static void do_append(struct uni *u, void *arg)
{
    int i = *(int *)arg;
    struct model *m = &u->models[i];
    if (m->count == BATCHES_MAX)
        return;
    struct batch b;
    struct blob *blob = make_batch(u, &b);
    struct log_appended at;
    int err = log_append(u->logs[i], (struct blob_piece){blob, 0, b.size_bytes}, &b, 1, &at);
    blob_unref(blob);
    if (err != 0)
        return;
    int64_t expect = m->count > 0 ? m->batches[m->count - 1].last_offset + 1 : 0;
    if (at.base_offset != expect)
        wrong(u, "offsets are not dense");
    m->batches[m->count++] = (struct known){at.base_offset, at.last_offset, b.crc};
    struct ack *a = mem_zalloc(sizeof *a);
    a->model = m;
    a->offset = at.last_offset + 1;
    a->waiter.fire = acked;
    list_init(&a->link);
    list_push_back(&u->acks, &a->link);
    log_wait(u->logs[i], &a->waiter, a->offset);
    u->acks_count++;
}

static const struct known *known_at(const struct model *m, int64_t base)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->batches[i].base_offset == base)
            return &m->batches[i];
    }
    return NULL;
}

static void check_read(struct uni *u)
{
    struct model *m = &u->models[u->read_log];
    u->reads_count++;
    for (uint32_t i = 0; i < u->read.pieces_count; i++) {
        struct slice s = blob_piece_slice(u->read.pieces[i]);
        while (s.len > 0) {
            struct batch b;
            if (batch_peek(s, &b) != 0) {
                wrong(u, "what was read is no batch");
                break;
            }
            const struct known *k = known_at(m, b.base_offset);
            if (k == NULL || k->crc != b.crc || k->last_offset != batch_last_offset(&b) ||
                !batch_crc_ok(slice_of(s.data, b.size_bytes)))
                wrong(u, "what was read was never written");
            s = slice_of(s.data + b.size_bytes, s.len - b.size_bytes);
        }
    }
    if (u->read.bytes > 0 && u->read.next_offset > m->seen)
        m->seen = u->read.next_offset;
    log_read_release(&u->read);
}

static void read_done(struct log_read *read, int err)
{
    struct uni *u = CONTAINER_OF(read, struct uni, read);
    u->reading = false;
    if (err == 0)
        check_read(u);
    else if (err != ERR_OFFSET_OUT_OF_RANGE)
        wrong(u, "a read failed");
}

static void do_read(struct uni *u, void *arg)
{
    int i = *(int *)arg;
    int64_t start_offset = log_start_offset(u->logs[i]), end = log_end_offset(u->logs[i]);
    if (u->reading)
        return;
    u->read_log = i;
    u->read = (struct log_read){.offset = prng_range(&u->prng, start_offset, end),
                                .max_bytes = (uint32_t)prng_below(&u->prng, 40000),
                                .at_least_one = true,
                                .done = read_done};
    int err = log_read(u->logs[i], &u->read);
    if (err == ERR_AGAIN)
        u->reading = true;
    else
        read_done(&u->read, err);
}

static void trim_durable(struct journal_barrier *barrier, int err)
{
    struct trim *t = CONTAINER_OF(barrier, struct trim, barrier);
    if (err == 0 && t->start > t->model->start_acked)
        t->model->start_acked = t->start;
    list_remove(&t->link);
    mem_free(t);
}

static void do_trim(struct uni *u, void *arg)
{
    int i = *(int *)arg;
    struct log *log = u->logs[i];
    int64_t to = prng_range(&u->prng, log_start_offset(log), log_high_watermark(log));
    if (log_set_start(log, to) != 0)
        wrong(u, "a trim failed");
    u->models[i].start_asked = log_start_offset(log);
    struct trim *t = mem_zalloc(sizeof *t);
    t->model = &u->models[i];
    t->start = to;
    t->barrier.fn = trim_durable;
    list_init(&t->link);
    list_push_back(&u->trims, &t->link);
    journal_barrier(u->port, &t->barrier);
}

// ---- checkpoints, as the checkpointer and the node do them

static void cut_durable(struct journal_barrier *barrier, int err)
{
    struct uni *u = CONTAINER_OF(barrier, struct uni, barrier);
    u->cutting = false;
    log_store_settled(u->store, err == 0);
    if (err != 0) {
        buf_fini(&u->cuts[u->cuts_count]);
        return;
    }
    if (u->cut.full) {
        for (size_t i = 0; i < u->cuts_count; i++)
            buf_fini(&u->cuts[i]);
        u->cuts[0] = u->cuts[u->cuts_count];
        u->cuts_count = 0;
    }
    u->cuts_count++;
    u->replay_lsn = u->next_lsn;
    u->cuts_installed++;
    journal_recycle(u->journal, u->replay_lsn);
}

static void cut_written(struct log_cut *cut, int err)
{
    struct uni *u = CONTAINER_OF(cut, struct uni, cut);
    if (err != 0) {
        u->cutting = false;
        log_store_settled(u->store, false);
        buf_fini(&u->cuts[u->cuts_count]);
        return;
    }
    u->barrier.fn = cut_durable;
    journal_barrier(u->port, &u->barrier);
}

static void cut_emit(struct journal_barrier *barrier, int err)
{
    struct uni *u = CONTAINER_OF(barrier, struct uni, barrier);
    if (err != 0) {
        u->cutting = false;
        return;
    }
    buf_init(&u->cuts[u->cuts_count], 4 << 20);
    u->cut = (struct log_cut){
        .full = u->cuts_count == CUTS_MAX - 1, .out = &u->cuts[u->cuts_count], .done = cut_written};
    log_store_cut(u->store, &u->cut);
}

static void do_cut(struct uni *u, void *arg)
{
    (void)arg;
    if (u->cutting)
        return;
    u->cutting = true;
    memset(&u->cuts[u->cuts_count], 0, sizeof u->cuts[0]);
    u->next_lsn = journal_durable_lsn(u->journal) + 1;
    u->barrier.fn = cut_emit;
    journal_barrier(u->port, &u->barrier);
}

// ---- a run

static void crashed(void *arg, struct sim_machine *machine)
{
    struct uni *u = arg;
    (void)machine;
    u->crashed = true;
}

static void step(struct uni *u)
{
    int log = (int)prng_below(&u->prng, LOGS);
    uint64_t dice = prng_below(&u->prng, 100);
    if (dice < 55)
        (void)on(u, u->shard, do_append, &log);
    else if (dice < 85)
        (void)on(u, u->shard, do_read, &log);
    else if (dice < 87)
        (void)on(u, u->shard, do_trim, &log);
    else if (dice < 92)
        (void)on(u, u->shard, do_cut, NULL);
    else if (dice < 96 && !u->crashed)
        (void)sim_run_until(u->sim, sim_now_ns(u->sim) + (int64_t)prng_below(&u->prng, 20000000),
                            NULL, NULL);
    else if (dice < 98)
        sim_crash_at_write(u->machine, prng_below(&u->prng, 12) + 1,
                           prng_chance(&u->prng, 3, 4) ? SIM_POWER_LOSS : SIM_KILL);
    else if (dice == 98 && !u->crashed) {
        sim_crash(u->machine, prng_chance(&u->prng, 1, 2) ? SIM_POWER_LOSS : SIM_KILL);
        u->crashed = true;
    }
}

static struct uni *uni_create(uint64_t seed)
{
    struct uni *u = mem_zalloc(sizeof *u);
    struct sim_options o;
    sim_options_init(&o, seed);
    o.fault_ppm[SIM_FAULT_DELAY] = 20000;
    o.crashed = crashed;
    o.arg = u;
    assert_int_equal(sim_create(&o, &u->sim), 0);
    prng_seed(&u->prng, seed * 77 + 1);
    budget_init(&u->tails, 400000, NULL);
    for (int i = 0; i < LOGS; i++)
        u->models[i].batches = mem_zalloc(BATCHES_MAX * sizeof(struct known));
    u->machine = sim_machine_create(u->sim, "server", true);
    start(u);
    return u;
}

static void uni_destroy(struct uni *u)
{
    if (!u->crashed)
        sim_crash(u->machine, SIM_KILL);
    bury(u);
    for (size_t i = 0; i < u->cuts_count; i++)
        buf_fini(&u->cuts[i]);
    for (int i = 0; i < LOGS; i++)
        mem_free(u->models[i].batches);
    sim_destroy(u->sim);
    mem_free(u);
}

struct totals {
    uint64_t crashes, acks, reads, cuts, hash;
};

static const char *run(uint64_t seed, struct totals *totals)
{
    struct uni *u = uni_create(seed);
    for (int i = 0; i < STEPS && u->wrong == NULL; i++) {
        step(u);
        for (int tries = 0; u->crashed && u->wrong == NULL && tries < 10; tries++) {
            bury(u);
            start(u);
        }
    }
    totals->crashes += u->crashes;
    totals->acks += u->acks_count;
    totals->reads += u->reads_count;
    totals->cuts += u->cuts_installed;
    totals->hash = sim_hash(u->sim);
    const char *found = u->wrong;
    uni_destroy(u);
    return found;
}

static void test_seeds(void **state)
{
    (void)state;
    struct totals totals = {0};
    for (uint64_t seed = 1; seed <= 120; seed++) {
        const char *found = run(seed, &totals);
        if (found != NULL)
            print_error("seed %llu: %s\n", (unsigned long long)seed, found);
        assert_null(found);
        uint64_t hash = totals.hash;
        if (seed <= 5) { // the same seed, the same run
            assert_null(run(seed, &totals));
            assert_int_equal(totals.hash, hash);
        }
    }
    print_message("crashes %llu, appends %llu, reads %llu, checkpoints %llu\n",
                  (unsigned long long)totals.crashes, (unsigned long long)totals.acks,
                  (unsigned long long)totals.reads, (unsigned long long)totals.cuts);
    assert_true(totals.crashes > 300);
    assert_true(totals.cuts > 120);
    assert_true(totals.reads > 1000);
}

static void test_planted_bugs(void **state)
{
    (void)state;
    static const enum bug bugs[] = {BUG_READ_AHEAD, BUG_LOG_START_BACK, BUG_DIRECT_NO_SYNC,
                                    BUG_SKIP_SYNC};
    for (size_t i = 0; i < sizeof bugs / sizeof bugs[0]; i++) {
        struct totals totals = {0};
        const char *found = NULL;
        uint64_t seed = 1000;
        bug_planted = bugs[i];
        while (found == NULL && seed < 1200)
            found = run(seed++, &totals);
        bug_planted = BUG_NONE;
        print_message("%s: found after %llu seeds: %s\n", bug_name(bugs[i]),
                      (unsigned long long)(seed - 1000), found != NULL ? found : "NOT FOUND");
        assert_non_null(found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_planted_bugs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
