// SPDX-License-Identifier: Apache-2.0
//
// Random clients against the groups of one shard on the simulated machine, with power losses.
// Judged by a model outside: per generation one leader, one protocol, and assignments as the leader
// gave them; an acknowledged offset is read afterwards, also after a crash, unless a later commit
// was under way; a member of an older generation cannot commit; what the installed cuts hold is
// what a full cut of the live state holds. Each seed must show rebalances, commits and crashes.
#include <stdlib.h>

#include "base/prng.h"
#include "group/rig_test.h"

enum { GROUPS = 2, MEMBERS = 4, STEPS = 400, GENERATIONS = 512 };

struct generation { // what was told of it
    char leader[128], assigned_by[128];
    uint32_t incarnation;
};
struct client {
    struct rig_member m;
    struct call call;
    struct group_assignment assignments[MEMBERS];
    char ids[MEMBERS][128];
    enum { OUT, JOINING, JOINED, SYNCING, IN, ASKING } phase;
    int64_t committing;
    int32_t sent_generation;
};
struct model {
    struct rig *rig;
    struct prng r;
    struct client clients[GROUPS][MEMBERS];
    struct generation generations[GROUPS][GENERATIONS];
    int32_t newest[GROUPS]; // generation that a member was told of since the last crash
    int64_t acked[GROUPS], attempted[GROUPS];
    uint32_t incarnation;
    int rebalances, commits, crashes, cuts, refused;
};

static const char *const group_names[GROUPS] = {"alpha", "beta"};

// ---- clients

static void client_join(struct model *m, struct client *c)
{
    if (prng_chance(&m->r, 1, 8)) { // subscribes differently, which forces a rebalance
        c->m.metadata = rig_subscription(c->m.subscription, sizeof c->m.subscription,
                                         prng_chance(&m->r, 1, 2) ? "plays" : "users");
        c->m.protocols[0].metadata = c->m.protocols[1].metadata = c->m.metadata;
    }
    join_fill(&c->call, &c->m);
    c->call.u.join.known_member_id_required = prng_chance(&m->r, 1, 2);
    c->call.u.join.skip_assignment_known = true;
    call_start(m->rig, &c->call, CALL_JOIN);
    c->phase = JOINING;
}

static void client_joined(struct model *m, int g, struct client *c)
{
    struct group_join *j = &c->call.u.join;
    if (j->r.err == ERR_MEMBER_ID_REQUIRED) {
        slice_to_cstr(j->out_member_id, c->m.id, sizeof c->m.id);
        c->phase = OUT;
    } else if (j->r.err != 0) {
        if (j->r.err == ERR_UNKNOWN_MEMBER_ID || j->r.err == ERR_FENCED_INSTANCE_ID)
            c->m.id[0] = '\0';
        c->phase = OUT;
    } else {
        char leader[128];
        slice_to_cstr(j->leader, leader, sizeof leader);
        assert_in_range(j->generation, 1, GENERATIONS - 1);
        struct generation *gen = &m->generations[g][j->generation];
        if (gen->incarnation != m->incarnation && j->generation > m->newest[g])
            *gen = (struct generation){.incarnation = m->incarnation};
        if (gen->leader[0] == '\0')
            memcpy(gen->leader, leader, sizeof leader);
        // A static leader that came back leads under its new id; nothing else changes a leader.
        if (c->m.instance == NULL && strncmp(gen->leader, "app-", 4) == 0)
            assert_string_equal(gen->leader, leader);
        if (j->generation > m->newest[g]) {
            m->newest[g] = j->generation;
            m->rebalances++;
        }
        slice_to_cstr(j->out_member_id, c->m.id, sizeof c->m.id);
        c->m.generation = j->generation;
        c->m.leader = j->members_count > 0 && !j->skip_assignment;
        assert_true(j->members_count <= MEMBERS);
        for (uint32_t i = 0; i < j->members_count; i++) {
            slice_to_cstr(j->members[i].member_id, c->ids[i], sizeof c->ids[i]);
            c->assignments[i].member_id = slice_cstr(c->ids[i]);
            c->assignments[i].assignment = slice_cstr(c->ids[i]); // to each its own name
        }
        c->sent_generation = (int32_t)j->members_count;
        c->phase = JOINED;
    }
    call_end(&c->call);
}

static void client_sync(struct model *m, struct client *c)
{
    sync_fill(&c->call, &c->m);
    if (c->m.leader) {
        c->call.u.sync.assignments = c->assignments;
        c->call.u.sync.assignments_count = (uint32_t)c->sent_generation;
    }
    call_start(m->rig, &c->call, CALL_SYNC);
    c->phase = SYNCING;
}

static void client_synced(struct client *c)
{
    struct group_sync *s = &c->call.u.sync;
    c->phase = OUT;
    if (s->r.err == 0) {
        // Its own name, or that of the static member it replaced (of the same instance).
        char got[128];
        slice_to_cstr(s->assignment, got, sizeof got);
        if (c->m.instance == NULL)
            assert_string_equal(got, c->m.id);
        else
            assert_memory_equal(got, c->m.instance, strlen(c->m.instance));
        c->phase = IN;
    } else if (s->r.err == ERR_UNKNOWN_MEMBER_ID || s->r.err == ERR_FENCED_INSTANCE_ID) {
        c->m.id[0] = '\0';
    }
    call_end(&c->call);
}

static void client_ask(struct model *m, int g, struct client *c)
{
    c->sent_generation = c->m.generation;
    c->committing = -1;
    if (prng_chance(&m->r, 1, 2)) {
        if (prng_chance(&m->r, 1, 6) && c->m.generation > 1)
            c->sent_generation--; // a zombie
        commit_fill(&c->call, &c->m, "plays", 0);
        c->call.u.commit.generation = c->sent_generation;
        c->committing = ++m->attempted[g];
        c->call.offset.offset = c->committing;
    } else if (prng_chance(&m->r, 1, 10)) {
        leave_fill(&c->call, &c->m);
    } else {
        heartbeat_fill(&c->call, &c->m);
    }
    call_start(m->rig, &c->call, c->call.kind);
    c->phase = ASKING;
}

static void client_asked(struct model *m, int g, struct client *c)
{
    int err = c->call.u.r.err;
    c->phase = err == 0 ? IN : OUT;
    if (c->call.kind == CALL_LEAVE) {
        c->phase = OUT;
        c->m.id[0] = '\0';
    }
    if (err == ERR_UNKNOWN_MEMBER_ID || err == ERR_FENCED_INSTANCE_ID)
        c->m.id[0] = '\0';
    if (c->call.kind == CALL_COMMIT && err == 0) {
        assert_int_equal(c->call.offset.err, 0);
        assert_true(c->sent_generation == c->m.generation); // no zombie gets through
        m->acked[g] = c->committing > m->acked[g] ? c->committing : m->acked[g];
        m->commits++;
    } else if (c->call.kind == CALL_COMMIT) {
        m->refused++;
    }
    call_end(&c->call);
}

static void client_step(struct model *m, int g, struct client *c)
{
    bool waits = c->phase == JOINING || c->phase == SYNCING || c->phase == ASKING;
    if (waits && !c->call.done)
        return;
    switch (c->phase) {
    case OUT:
        client_join(m, c);
        break;
    case JOINING:
        client_joined(m, g, c);
        break;
    case JOINED:
        client_sync(m, c);
        break;
    case SYNCING:
        client_synced(c);
        break;
    case IN:
        client_ask(m, g, c);
        break;
    case ASKING:
        client_asked(m, g, c);
        break;
    }
}

// ---- checks

// Commits of one group are numbered upwards and journalled in order, so what is read lies between
// the newest acknowledged and the newest attempted.
static void check_offsets(struct model *m)
{
    for (int g = 0; g < GROUPS; g++) {
        int64_t before = m->acked[g];
        int64_t got = rig_fetch(m->rig, group_names[g], "plays");
        assert_true(got >= before || (before == 0 && got == -1));
        assert_true(got <= m->attempted[g]);
        if (got > m->acked[g])
            m->acked[g] = got;
    }
}

static int compare_records(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static size_t sorted(const struct buf *cut, struct slice *out, size_t max)
{
    struct cursor in = cursor_of(buf_slice(cut));
    size_t count = 0;
    while (cursor_left(&in) > 0) {
        struct state_record record;
        const uint8_t *begin = in.pos;
        assert_int_equal(state_get(&in, &record), 0);
        assert_true(count < max);
        out[count++] = slice_of(begin, (size_t)(in.pos - begin));
    }
    qsort(out, count, sizeof *out, compare_records);
    return count;
}

static struct model *cutting;
static void cut_run(struct io_msg *msg)
{
    struct rig_step *step = CONTAINER_OF(msg, struct rig_step, msg);
    struct model *m = cutting;
    struct rig *rig = step->rig;
    bool full = prng_chance(&m->r, 1, 4), installed = prng_chance(&m->r, 3, 4);
    struct buf cut, live, stored;
    buf_init(&cut, 1 << 20);
    buf_init(&live, 1 << 20);
    buf_init(&stored, 1 << 20);
    groups_cut(rig->groups, full, &cut);
    groups_settled(rig->groups, installed);
    if (installed) {
        if (full)
            buf_clear(&rig->snapshot);
        buf_put_slice(&rig->snapshot, buf_slice(&cut));
        // What the chain of snapshots holds, restored elsewhere, is what is here.
        struct groups *other = groups_create(&rig->options);
        struct cursor in = cursor_of(buf_slice(&rig->snapshot));
        struct state_record record;
        while (cursor_left(&in) > 0 && state_get(&in, &record) == 0)
            assert_int_equal(groups_restore_record(other, &record), 0);
        groups_cut(other, true, &stored);
        groups_cut(rig->groups, true, &live);
        groups_settled(rig->groups, false);
        static struct slice a[64], b[64];
        size_t count = sorted(&stored, a, 64);
        assert_int_equal(count, sorted(&live, b, 64));
        for (size_t i = 0; i < count; i++)
            assert_true(slice_eq(a[i], b[i]));
        groups_settled(other, true);
        groups_destroy(other);
        m->cuts++;
    }
    buf_fini(&cut);
    buf_fini(&live);
    buf_fini(&stored);
    step->done = true;
}

static void crash(struct model *m)
{
    sim_crash(m->rig->machine, SIM_POWER_LOSS);
    for (int g = 0; g < GROUPS; g++) {
        for (int i = 0; i < MEMBERS; i++) { // clients notice that their connection is gone
            struct client *c = &m->clients[g][i];
            bool waits = c->phase == JOINING || c->phase == SYNCING || c->phase == ASKING;
            if (waits && !c->call.done && c->call.u.r.groups != NULL)
                group_request_cancel(&c->call.u.r);
            if (waits && c->call.u.r.groups != NULL)
                group_request_fini(&c->call.u.r);
            if (waits)
                c->phase = OUT;
        }
        m->newest[g] = 0;
    }
    memset(m->generations, 0, sizeof m->generations);
    m->incarnation++;
    m->crashes++;
    rig_clear(m->rig);
    rig_start(m->rig);
}

static void model_run(uint64_t seed, struct model *m)
{
    static const char *const instances[MEMBERS] = {NULL, NULL, NULL, "static"};
    memset(m, 0, sizeof *m);
    prng_seed(&m->r, seed);
    m->rig = rig_create(seed);
    m->rig->options.min_session_timeout_ms = 1;
    rig_start(m->rig);
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < MEMBERS; i++)
            member_init(&m->clients[g][i].m, group_names[g], instances[i]);
    cutting = m;
    for (int step = 0; step < STEPS; step++) {
        for (int g = 0; g < GROUPS; g++)
            for (int i = 0; i < MEMBERS; i++)
                if (prng_chance(&m->r, 3, 4))
                    client_step(m, g, &m->clients[g][i]);
        rig_run_ms(m->rig, prng_range(&m->r, 1, prng_chance(&m->r, 1, 20) ? 8000 : 200));
        if (prng_chance(&m->r, 1, 10))
            check_offsets(m);
        if (prng_chance(&m->r, 1, 15))
            rig_on(m->rig, m->rig->shard, cut_run);
        if (prng_chance(&m->r, 1, 60)) {
            crash(m);
            check_offsets(m);
        }
    }
    crash(m);
    check_offsets(m);
    rig_destroy(m->rig);
}

static void test_random_clients(void **state)
{
    (void)state;
    static struct model m;
    int rebalances = 0, commits = 0, crashes = 0, cuts = 0, refused = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        model_run(seed, &m);
        rebalances += m.rebalances;
        commits += m.commits;
        crashes += m.crashes;
        cuts += m.cuts;
        refused += m.refused;
    }
    print_message("rebalances %d, commits %d, refused %d, crashes %d, cuts %d\n", rebalances,
                  commits, refused, crashes, cuts);
    assert_true(rebalances >= 1500);
    assert_true(commits >= 8000);
    assert_true(refused >= 1000);
    assert_true(crashes >= 300);
    assert_true(cuts >= 800);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_clients)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
