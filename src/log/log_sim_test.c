// SPDX-License-Identifier: Apache-2.0
//
// A shard's logs in the simulated world: random appends, reads, trims, checkpoints, kills and power
// losses at any write, against a model that only knows what a client may know. What was
// acknowledged or read is there after every crash, unchanged and once; a trim that was acknowledged
// stays. The checkers are then proven by planting bugs.
#include "log/rig_sim_test.h"

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
    int64_t next = u->read.offset;
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
            if (b.base_offset > next && (next < m->hole_from || b.base_offset > m->hole_to))
                wrong(u, "a read left out what nobody dropped");
            next = batch_last_offset(&b) + 1;
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
    if (err == ERR_AGAIN) {
        u->reading = true;
        u->spilled_reads += i == MEMORY;
    } else
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

static void drop_durable(struct journal_barrier *barrier, int err)
{
    struct trim *t = CONTAINER_OF(barrier, struct trim, barrier);
    if (err == 0) {
        t->model->gone_from = t->from;
        t->model->gone_to = t->to;
    }
    list_remove(&t->link);
    mem_free(t);
}

// Drops what lies in a range that begins where an older one does, and reaches as far as it or
// further: so the model needs one range only.
static void do_drop(struct uni *u, void *arg)
{
    int i = *(int *)arg;
    struct model *m = &u->models[i];
    struct log *log = u->logs[i];
    int64_t start = log_start_offset(log), end = log_high_watermark(log);
    if (m->hole_to == 0)
        m->hole_from = prng_range(&u->prng, start, end);
    int64_t to = prng_range(&u->prng, m->hole_from, end > m->hole_from ? end : m->hole_from);
    if (to < m->hole_to)
        to = m->hole_to;
    int64_t last = 0; // the active one stays, though all of it may lie in the range
    for (uint32_t k = 0; k < log->segments_count; k++) {
        const struct segment *s = &log->segments[k];
        if (s->state != SEGMENT_ACTIVE && s->last_offset < to)
            last = s->last_offset + 1;
    }
    int dropped = log_drop_segments(log, m->hole_from, to);
    if (dropped < 0)
        wrong(u, "a drop failed");
    if (dropped <= 0)
        return;
    u->drops_count++;
    m->hole_to = to;
    struct trim *t = mem_zalloc(sizeof *t);
    t->model = m;
    t->from = m->hole_from;
    t->to = last;
    t->barrier.fn = drop_durable;
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
    int log = (int)prng_below(&u->prng, 2 * LOGS);
    if (log >= MEMORY)
        log = MEMORY; // it does not live long, and should see something
    uint64_t dice = prng_below(&u->prng, 100);
    if (dice < 55)
        (void)on(u, u->shard, do_append, &log);
    else if (dice < 82)
        (void)on(u, u->shard, do_read, &log);
    else if (dice < 84)
        (void)on(u, u->shard, do_trim, &log);
    else if (dice < 87)
        (void)on(u, u->shard, do_drop, &log);
    else if (dice < 94)
        (void)on(u, u->shard, do_cut, NULL);
    else if (dice < 97 && !u->crashed)
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
    budget_init(&u->memory, 16000, NULL);
    for (int i = 0; i < ALL; i++)
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
    for (int i = 0; i < ALL; i++)
        mem_free(u->models[i].batches);
    sim_destroy(u->sim);
    mem_free(u);
}

struct totals {
    uint64_t crashes, acks, reads, cuts, drops, spills, hash;
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
    totals->drops += u->drops_count;
    totals->spills += u->spilled_reads;
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
    print_message("crashes %llu, appends %llu, reads %llu, checkpoints %llu, drops %llu\n",
                  (unsigned long long)totals.crashes, (unsigned long long)totals.acks,
                  (unsigned long long)totals.reads, (unsigned long long)totals.cuts,
                  (unsigned long long)totals.drops);
    print_message("reads of what was spilled %llu\n", (unsigned long long)totals.spills);
    assert_true(totals.spills > 100);
    assert_true(totals.crashes > 300);
    assert_true(totals.cuts > 120);
    assert_true(totals.reads > 1000);
    assert_true(totals.drops > 50);
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
