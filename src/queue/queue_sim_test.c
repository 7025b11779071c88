// SPDX-License-Identifier: Apache-2.0
//
// A queue of two levels in the simulated world: random publishing, readers that acknowledge,
// release, reject and leave, checkpoints, kills and power losses at any write, clean stops, against
// a model that knows only what clients may know. A lease has one holder; what was acknowledged and
// made durable never comes again; everything else does, flagged if anybody had it; one reader sees
// what is new in order. The checkers are then proven by planting bugs.
#include "base/prng.h"
#include "queue/rig_readers_test.h"

enum { LEVELS = 2, RECORDS = 3000, READERS = 3, STEPS = 220 };

struct known {       // a record
    uint64_t holder; // 0: nobody's
    bool delivered;  // at any time
    bool asked;      // to be settled, but not durably yet
    bool maybe;      // likewise, before a crash: nobody can know
    bool settled;    // durably
};
struct pending_settle {
    struct journal_barrier barrier;
    struct list link;
    uint32_t level;
    int64_t offset;
};
struct sim_reader {
    struct queue_consumer c;
    int64_t held[LEVELS][RECORDS];
    uint32_t held_count[LEVELS];
    int64_t last_new[LEVELS];
};

static struct known known[LEVELS][RECORDS];
static int64_t published[LEVELS]; // durable, as far as is known
static struct sim_reader readers[READERS];
static struct list settles;
static struct prng prng;
static uint64_t next_holder, deliveries_seen, crashes, cuts;
static const char *found;

static void wrong(const char *what)
{
    if (found == NULL)
        found = what;
}

// ---- readers

static bool is_known(uint32_t level, int64_t offset)
{
    return level < LEVELS && offset >= 0 && offset < RECORDS;
}

static void sim_deliver(struct queue_consumer *c, struct queue_delivery *deliveries, uint32_t count)
{
    struct sim_reader *r = CONTAINER_OF(c, struct sim_reader, c);
    for (uint32_t i = 0; i < count; i++) {
        const struct queue_delivery *d = &deliveries[i];
        uint32_t level = (uint32_t)d->level;
        assert_true(is_known(level, d->offset));
        struct known *k = &known[level][d->offset];
        deliveries_seen++;
        if (k->settled)
            wrong("what was acknowledged came again");
        if (k->holder != 0)
            wrong("a lease has two holders");
        if (k->delivered && !d->redelivered)
            wrong("delivered again, and not flagged");
        if (!d->redelivered && d->offset <= r->last_new[level])
            wrong("out of order");
        if (!d->redelivered)
            r->last_new[level] = d->offset;
        k->holder = c->holder;
        k->delivered = true;
        r->held[level][r->held_count[level]++] = d->offset;
        blob_unref(d->blob);
    }
}

static void do_attach(struct rig *r, void *arg)
{
    struct sim_reader *reader = arg;
    memset(reader, 0, sizeof *reader);
    for (int i = 0; i < LEVELS; i++)
        reader->last_new[i] = -1;
    reader->c.holder = ++next_holder;
    reader->c.credit = (uint32_t)prng_below(&prng, 20) + 1;
    reader->c.priority = (int32_t)prng_below(&prng, 2);
    reader->c.deliver = sim_deliver;
    assert_int_equal(queue_consumer_attach(r->slots[0].queue, &reader->c), 0);
}

static void settle_durable(struct journal_barrier *barrier, int err)
{
    struct pending_settle *s = CONTAINER_OF(barrier, struct pending_settle, barrier);
    if (err == 0)
        known[s->level][s->offset].settled = true;
    list_remove(&s->link);
    mem_free(s);
}

static void settle_one(struct rig *r, struct sim_reader *reader, uint32_t level, uint32_t place,
                       enum queue_outcome outcome)
{
    int64_t offset = reader->held[level][place];
    reader->held[level][place] = reader->held[level][--reader->held_count[level]];
    known[level][offset].holder = 0;
    queue_settle(r->slots[0].queue, reader->c.holder, (int32_t)level, offset, outcome);
    if (outcome == QUEUE_RELEASE)
        return;
    known[level][offset].asked = true;
    struct pending_settle *s = mem_zalloc(sizeof *s);
    s->level = level;
    s->offset = offset;
    list_init(&s->link);
    list_push_back(&settles, &s->link);
}

// At the next turn, when the frame has been added.
static void do_barriers(struct rig *r, void *arg)
{
    (void)arg;
    LIST_FOR_SAFE (it, &settles) {
        struct pending_settle *s = CONTAINER_OF(it, struct pending_settle, link);
        if (s->barrier.fn != NULL)
            continue;
        s->barrier.fn = settle_durable;
        list_init(&s->barrier.link);
        journal_barrier(r->port, &s->barrier);
    }
}

static void do_settle(struct rig *r, void *arg)
{
    struct sim_reader *reader = arg;
    uint32_t settled = 0;
    if (reader->c.queue == NULL)
        return;
    for (uint32_t i = (uint32_t)prng_below(&prng, 12); i > 0; i--) {
        uint32_t level = (uint32_t)prng_below(&prng, LEVELS);
        uint32_t count = reader->held_count[level];
        if (count == 0)
            continue;
        uint64_t dice = prng_below(&prng, 10);
        settle_one(r, reader, level,
                   prng_chance(&prng, 1, 3) ? (uint32_t)prng_below(&prng, count) : 0,
                   dice < 7   ? QUEUE_ACKNOWLEDGE
                   : dice < 9 ? QUEUE_RELEASE
                              : QUEUE_REJECT);
        settled++;
    }
    queue_consumer_credit(&reader->c, settled);
}

// A channel ends: what it holds is released.
static void do_leave(struct rig *r, void *arg)
{
    struct sim_reader *reader = arg;
    if (reader->c.queue == NULL) {
        do_attach(r, reader);
        return;
    }
    queue_consumer_detach(&reader->c);
    for (uint32_t level = 0; level < LEVELS; level++) {
        while (reader->held_count[level] > 0)
            settle_one(r, reader, level, 0, QUEUE_RELEASE);
    }
}

// ---- publishing

static void note_published(void)
{
    for (int level = 0; level < LEVELS; level++) {
        int64_t end = log_high_watermark(rig->slots[0].logs[level]);
        published[level] = end > published[level] ? end : published[level];
    }
}

static void do_publish(void)
{
    struct rig_publish p = {.slot = 0,
                            .level = (uint32_t)prng_below(&prng, LEVELS),
                            .text = "m",
                            .count = (int)prng_below(&prng, 15) + 1,
                            .pad = prng_below(&prng, 600),
                            .codec = prng_chance(&prng, 1, 4) ? BATCH_LZ4 : BATCH_NONE,
                            .ttl_ms = -1};
    if (log_end_offset(rig->slots[0].logs[p.level]) + p.count < RECORDS)
        (void)rig_on(rig, rig_publish_run, &p);
}

// ---- crashes

static void after_restart(bool clean)
{
    struct list *it;
    while ((it = list_pop_front(&settles)) != NULL)
        mem_free(CONTAINER_OF(it, struct pending_settle, link));
    for (int level = 0; level < LEVELS; level++) {
        if (log_end_offset(rig->slots[0].logs[level]) < published[level])
            wrong("published records are gone");
        for (int64_t i = 0; i < RECORDS; i++) {
            struct known *k = &known[level][i];
            if (k->asked && clean)
                k->settled = true;
            k->maybe |= k->asked && !k->settled;
            k->asked = k->settled;
            k->holder = 0;
            if (i >= log_end_offset(rig->slots[0].logs[level]))
                *k = (struct known){0}; // never durable: another record will have its offset
        }
    }
    memset(readers, 0, sizeof readers);
}

static void crash(void)
{
    crashes++;
    if (!rig->crashed)
        sim_crash(rig->machine, prng_chance(&prng, 1, 2) ? SIM_POWER_LOSS : SIM_KILL);
    for (int tries = 0; tries < 10; tries++) {
        rig_bury(rig);
        if (rig_start(rig))
            break;
    }
    assert_false(rig->crashed);
    after_restart(false);
}

static void stop_cleanly(void)
{
    rig_run_ms(rig, 200);
    (void)rig_on(rig, rig_stop_run, NULL);
    rig_run_ms(rig, 200);
    if (rig->crashed || rig->cutting)
        return;
    (void)rig_on(rig, rig_cut_begin, NULL);
    rig_run_ms(rig, 500);
    if (rig->crashed || rig->cutting)
        return;
    sim_crash(rig->machine, SIM_KILL);
    rig_bury(rig);
    if (rig_start(rig))
        after_restart(true);
}

// ---- a run

static void step(void)
{
    uint64_t dice = prng_below(&prng, 100);
    struct sim_reader *reader = &readers[prng_below(&prng, READERS)];
    if (dice < 30)
        do_publish();
    else if (dice < 65)
        (void)rig_on(rig, do_settle, reader);
    else if (dice < 75)
        (void)rig_on(rig, do_leave, reader);
    else if (dice < 80 && !rig->cutting) {
        (void)rig_on(rig, rig_cut_begin, NULL);
        cuts++;
    } else if (dice < 92)
        rig_run_ms(rig, (int64_t)prng_below(&prng, 20));
    else if (dice < 94)
        sim_crash_at_write(rig->machine, prng_below(&prng, 12) + 1,
                           prng_chance(&prng, 3, 4) ? SIM_POWER_LOSS : SIM_KILL);
    else if (dice == 94)
        crash();
    else if (dice == 95)
        stop_cleanly();
    if (!rig->crashed)
        (void)rig_on(rig, do_barriers, NULL);
    if (!rig->crashed)
        note_published();
    struct rig_stats stats = {.slot = 0};
    if (!rig->crashed)
        (void)rig_on(rig, rig_stats_run, &stats); // asserts the lease sets' invariants
    if (rig->crashed)
        crash();
}

// At the end everybody leaves, and one reader takes what is left.
static void drain(void)
{
    sim_crash_at_write(rig->machine, 0, SIM_KILL);
    rig_run_ms(rig, 500); // one may be on its way
    if (rig->crashed)
        crash();
    for (int i = 0; i < READERS; i++) {
        if (readers[i].c.queue != NULL)
            (void)rig_on(rig, do_leave, &readers[i]);
    }
    rig_run_ms(rig, 500);
    (void)rig_on(rig, do_attach, &readers[0]);
    for (int i = 0; i < 2000 && rig_stats(0).ready + rig_stats(0).leased > 0; i++) {
        (void)rig_on(rig, do_settle, &readers[0]);
        rig_run_ms(rig, 5);
    }
    note_published();
    for (int level = 0; level < LEVELS; level++) {
        for (int64_t i = 0; i < published[level]; i++) {
            if (!known[level][i].asked && !known[level][i].maybe)
                wrong("a record never came");
        }
    }
    if (rig_stats(0).ready + rig_stats(0).leased > 0)
        wrong("records are left");
}

static const char *run(uint64_t seed, uint64_t *out_hash)
{
    memset(known, 0, sizeof known);
    memset(published, 0, sizeof published);
    memset(readers, 0, sizeof readers);
    list_init(&settles);
    prng_seed(&prng, seed * 31 + 7);
    next_holder = 0;
    found = NULL;
    rig = rig_create(seed);
    rig->tail_bytes_per_log = 6000;
    rig->segment_bytes = 30000;
    assert_true(rig_start(rig));
    rig_declare(0, false, LEVELS, &rig_plain);
    for (int i = 0; i < STEPS && found == NULL; i++)
        step();
    if (found == NULL)
        drain();
    struct list *it;
    while ((it = list_pop_front(&settles)) != NULL)
        mem_free(CONTAINER_OF(it, struct pending_settle, link));
    *out_hash = sim_hash(rig->sim);
    rig_destroy(rig);
    return found;
}

static void test_seeds(void **state)
{
    (void)state;
    crashes = cuts = deliveries_seen = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t hash, again;
        const char *what = run(seed, &hash);
        if (what != NULL)
            print_error("seed %llu: %s\n", (unsigned long long)seed, what);
        assert_null(what);
        if (seed <= 3) { // the same seed, the same run
            assert_null(run(seed, &again));
            assert_int_equal(hash, again);
        }
    }
    print_message("crashes %llu, checkpoints %llu, deliveries %llu\n", (unsigned long long)crashes,
                  (unsigned long long)cuts, (unsigned long long)deliveries_seen);
    assert_true(crashes > 200);
    assert_true(cuts > 300);
    assert_true(deliveries_seen > 30000);
}

static void expect_found(enum bug bug, const char *what)
{
    uint64_t hash;
    const char *got = NULL;
    bug_planted = bug;
    for (uint64_t seed = 1; seed <= 20 && got == NULL; seed++)
        got = run(seed, &hash);
    bug_planted = BUG_NONE;
    assert_non_null(got);
    assert_string_equal(got, what);
}

static void test_planted_bugs(void **state)
{
    (void)state;
    expect_found(BUG_LEASE_TWICE, "a lease has two holders");
    expect_found(BUG_ACK_LOST, "what was acknowledged came again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_planted_bugs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
