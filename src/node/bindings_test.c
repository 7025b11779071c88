// SPDX-License-Identifier: Apache-2.0
//
// The catalogue of exchanges and bindings over three shards: made, refused, gone with what they
// hang on; over stops, power losses and other numbers of shards; many changes at once, and those
// cut off.
#include "node/rig_changes_test.h"

// ---- exchanges and bindings

static void test_exchanges(void **state)
{
    (void)state;
    start(6);
    assert_int_equal(exchange("x", EXCHANGE_TOPIC, true, false), 0);
    assert_true(change.made);
    assert_int_equal(exchange("x", EXCHANGE_TOPIC, true, false), 0);
    assert_false(change.made);
    assert_int_equal(exchange("x", EXCHANGE_DIRECT, true, false), ERR_EXISTS);
    assert_int_equal(exchange("x", EXCHANGE_TOPIC, false, false), ERR_EXISTS);
    assert_int_equal(exchange("x", EXCHANGE_TOPIC, true, true), ERR_EXISTS);
    assert_int_equal(exchange("", EXCHANGE_DIRECT, true, false), ERR_ACCESS_REFUSED);
    assert_int_equal(exchange("amq.direct", EXCHANGE_DIRECT, true, false), 0);
    assert_int_equal(exchange("amq.direct", EXCHANGE_FANOUT, true, false), ERR_EXISTS);
    assert_int_equal(delete_exchange("amq.direct", false), ERR_ACCESS_REFUSED);
    assert_int_equal(delete_exchange("", false), ERR_ACCESS_REFUSED);
    assert_int_equal(delete_exchange("y", false), ERR_NOT_FOUND);

    assert_int_equal(declare("q"), 0);
    assert_int_equal(bind("x", "q", "a.#"), 0);
    assert_true(change.made);
    assert_int_equal(bind("x", "q", "a.#"), 0);
    assert_false(change.made);
    assert_int_equal(bind("x", "r", "a.#"), ERR_NOT_FOUND);
    assert_string_equal(change.why, "no queue 'r' in vhost '/'");
    assert_int_equal(bind("y", "q", "a.#"), ERR_NOT_FOUND);
    assert_string_equal(change.why, "no exchange 'y' in vhost '/'");
    assert_int_equal(bind("", "q", "a.#"), ERR_ACCESS_REFUSED);
    assert_int_equal(unbind("x", "q", "b"), ERR_NOT_FOUND);
    assert_int_equal(routed("x", "a.b"), 1);
    assert_int_equal(delete_exchange("x", true), ERR_IN_USE);
    assert_int_equal(delete_exchange("x", false), 0);
    assert_null(exchange_there("x"));
    // Made again it has none of the old bindings, also after a power loss.
    assert_int_equal(exchange("x", EXCHANGE_TOPIC, true, false), 0);
    assert_int_equal(routed("x", "a.b"), 0);
    restart(true, 3);
    assert_int_equal(routed("x", "a.b"), 0);
    rig_fini(&rig);
}

static void test_auto_delete(void **state)
{
    (void)state;
    start(7);
    assert_int_equal(declare("q"), 0);
    // a -> b -> q, both auto-delete: unbinding q takes b, which takes a's last binding, which
    // takes a.
    assert_int_equal(exchange("a", EXCHANGE_FANOUT, true, true), 0);
    assert_int_equal(exchange("b", EXCHANGE_FANOUT, true, true), 0);
    assert_int_equal(exchange("c", EXCHANGE_FANOUT, false, true), 0);
    assert_int_equal(bind("b", "q", ""), 0);
    assert_int_equal(bind("b", "q", "again"), 0);
    assert_int_equal(bind("c", "q", ""), 0);
    assert_int_equal(binding(BINDING_ADD, "a", "b", "", true), 0);
    assert_int_equal(routed("a", ""), 1);
    assert_int_equal(unbind("b", "q", ""), 0);
    assert_non_null(exchange_there("b"));
    assert_int_equal(unbind("b", "q", "again"), 0);
    assert_null(exchange_there("b"));
    assert_null(exchange_there("a"));
    assert_non_null(exchange_there("c"));
    assert_int_equal(delete_queue("q"), 0);
    assert_null(exchange_there("c"));
    // One that never had a binding stays.
    assert_int_equal(exchange("d", EXCHANGE_FANOUT, true, true), 0);
    assert_int_equal(declare("q"), 0);
    assert_int_equal(delete_queue("q"), 0);
    assert_non_null(exchange_there("d"));
    // To itself, too.
    assert_int_equal(binding(BINDING_ADD, "d", "d", "", true), 0);
    assert_int_equal(binding(BINDING_REMOVE, "d", "d", "", true), 0);
    assert_null(exchange_there("d"));
    restart(true, 3);
    assert_null(exchange_there("a"));
    assert_null(exchange_there("b"));
    assert_null(exchange_there("d"));
    rig_fini(&rig);
}

// ---- deleted while somebody waits to make it anew

static struct queue_change remake[2];

static void remade(struct queue_change *c)
{
    rig.done = c == &remake[1];
}

static void remake_run(struct rig *r, struct shard *shard, void *arg)
{
    (void)r;
    (void)arg;
    for (int i = 0; i < 2; i++) {
        remake[i] = (struct queue_change){.kind = i == 0 ? EXCHANGE_DELETE : EXCHANGE_DECLARE};
        remake[i].exchange = (struct exchange){.vhost = VHOST,
                                               .name = slice_cstr("x"),
                                               .type = EXCHANGE_FANOUT,
                                               .durable = true,
                                               .auto_delete = true,
                                               .arguments = slice_cstr("")};
        remake[i].done = remade;
        queue_change_start(shard, &remake[i]);
    }
}

// What a deletion bares has the name of one that was made since, and is another.
static void test_auto_delete_spares_the_next_one(void **state)
{
    (void)state;
    start(8);
    assert_int_equal(declare("q"), 0);
    assert_int_equal(exchange("x", EXCHANGE_FANOUT, true, true), 0);
    assert_int_equal(bind("x", "q", ""), 0);
    rig_on_shard(&rig, 1, remake_run, NULL);
    assert_int_equal(remake[0].err, 0);
    assert_int_equal(remake[1].err, 0);
    assert_true(remake[1].made);
    assert_int_equal(declare("another"), 0); // time for whatever comes after
    assert_non_null(exchange_there("x"));
    rig_fini(&rig);
}

static void test_what_outlives_a_restart(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 4; round++) {
        start(10 + round);
        struct queue_facts transient = queue_named("transient");
        transient.durable = false;
        struct queue_facts dead = queue_named("dead");
        dead.settings.dead_letter = true;
        dead.settings.dead_exchange = slice_cstr("x");
        dead.settings.message_ttl_ms = 1000;
        dead.arguments = slice_cstr("canonical");
        assert_int_equal(declare("q"), 0);
        assert_int_equal(declare_facts(transient, 1), 0);
        assert_int_equal(declare_facts(dead, 1), 0);
        assert_int_equal(exchange("x", EXCHANGE_DIRECT, true, false), 0);
        assert_int_equal(exchange("fleeting", EXCHANGE_DIRECT, false, false), 0);
        assert_int_equal(bind("x", "q", "k"), 0);
        assert_int_equal(bind("x", "dead", "k"), 0);
        assert_int_equal(bind("x", "transient", "k"), 0);
        assert_int_equal(bind("fleeting", "q", "k"), 0);
        assert_int_equal(bind("amq.fanout", "q", ""), 0);
        assert_int_equal(binding(BINDING_ADD, "amq.fanout", "amq.direct", "", true), 0);
        assert_int_equal(bind("x", "q", "gone"), 0);
        assert_int_equal(unbind("x", "q", "gone"), 0);
        assert_int_equal(declare("gone"), 0);
        assert_int_equal(bind("x", "gone", "k"), 0);
        assert_int_equal(delete_queue("gone"), 0);
        assert_int_equal(routed("x", "k"), 3);
        for (int again = 0; again < 3; again++) {
            if (round > 1) // a checkpoint in between
                (void)sim_run_until(rig.sim, sim_now_ns(rig.sim) + 30 * INT64_C(1000000000), NULL,
                                    NULL);
            restart((round + (uint32_t)again) % 2 == 0, 2 + (uint32_t)again);
            assert_true(queue_there("q"));
            assert_false(queue_there("transient"));
            assert_false(queue_there("gone"));
            assert_null(exchange_there("fleeting"));
            assert_non_null(exchange_there("x"));
            assert_int_equal(routed("x", "k"), 2);
            assert_int_equal(routed("x", "gone"), 0);
            assert_int_equal(routed("amq.fanout", ""), 1);
            assert_int_equal(exchange_there("amq.fanout")->bindings_out, 2);
            assert_int_equal(declare_facts(dead, 1), 0); // equal in all that was declared
            assert_false(change.made);
            const struct queue_settings *s =
                &queue_by_name(node_shard(rig.node, 0), VHOST, dead.name)->settings;
            assert_true(s->dead_letter && slice_eq_cstr(s->dead_exchange, "x"));
            assert_int_equal(s->message_ttl_ms, 1000);
        }
        rig_fini(&rig);
    }
}

// ---- many at once, cut off anywhere: all shards know the same, before and after

#define CROWD 60

struct crowd {
    struct queue_change changes[CROWD];
    char names[CROWD][16];
    uint32_t left;
};

static struct crowd crowd;

static void crowd_done(struct queue_change *c)
{
    (void)c;
    if (--crowd.left == 0)
        rig.done = true;
}

static void crowd_run(struct rig *r, struct shard *shard, void *arg)
{
    (void)r;
    (void)arg;
    crowd.left = CROWD;
    for (uint32_t i = 0; i < CROWD; i++) {
        struct queue_change *c = &crowd.changes[i];
        c->done = crowd_done;
        queue_change_start(shard, c);
    }
}

// Declarations, deletions and bindings of the same few names.
static void crowd_fill(struct prng *p)
{
    for (uint32_t i = 0; i < CROWD; i++) {
        struct queue_change *c = &crowd.changes[i];
        (void)snprintf(crowd.names[i], sizeof crowd.names[i], "n%u", (unsigned)prng_below(p, 4));
        const struct slice name = slice_cstr(crowd.names[i]);
        *c = (struct queue_change){.kind = (enum queue_change_kind)prng_below(p, 6), .owner = 1};
        c->queue = queue_named(crowd.names[i]);
        c->exchange = (struct exchange){.vhost = VHOST,
                                        .name = name,
                                        .type = EXCHANGE_TOPIC,
                                        .durable = prng_chance(p, 3, 4),
                                        .auto_delete = prng_chance(p, 1, 2),
                                        .arguments = slice_cstr("")};
        c->binding =
            (struct exchange_binding){.vhost = VHOST,
                                      .source = name,
                                      .destination = slice_cstr(crowd.names[prng_below(p, i + 1)]),
                                      .to_exchange = prng_chance(p, 1, 3),
                                      .key = slice_cstr("#"),
                                      .arguments = slice_cstr("")};
    }
}

struct tally {
    uint32_t queues, exchanges, bindings;
};

static bool tally_exchange(void *arg, const struct exchange *x)
{
    struct tally *t = arg;
    t->exchanges += x->durable;
    assert_false(x->auto_delete && x->name.len == 0);
    return true;
}

static bool tally_binding(void *arg, const struct exchange_binding *b)
{
    ((struct tally *)arg)->bindings += b->durable;
    return true;
}

static struct tally tally(uint32_t shard)
{
    struct tally t = {0};
    struct shard *s = node_shard(rig.node, shard);
    t.queues = (uint32_t)queue_facts_count(s);
    exchanges_each(shard_exchanges(s), SLICE_NULL, tally_exchange, &t);
    exchange_bindings_each(shard_exchanges(s), SLICE_NULL, tally_binding, &t);
    return t;
}

static void tallies_agree(void)
{
    const struct tally first = tally(0);
    for (uint32_t i = 1; i < rig.shards; i++) {
        const struct tally t = tally(i);
        assert_memory_equal(&t, &first, sizeof t);
    }
}

static void test_crowd(void **state)
{
    (void)state;
    struct prng p;
    prng_seed(&p, 77);
    start(77);
    for (uint32_t round = 0; round < 40; round++) {
        crowd_fill(&p);
        rig_on_shard(&rig, (uint32_t)prng_below(&p, 3), crowd_run, NULL);
        tallies_agree();
        const struct tally before = tally(0);
        if (round % 4 != 0)
            continue;
        restart(round % 8 == 0, 3);
        tallies_agree();
        const struct tally after = tally(0);
        assert_memory_equal(&after, &before, sizeof after);
    }
    rig_fini(&rig);
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static void test_crowd_cut_off(void **state)
{
    (void)state;
    struct prng p;
    prng_seed(&p, 78);
    start(78);
    for (uint32_t round = 0; round < 40; round++) {
        crowd_fill(&p);
        rig.run = crowd_run;
        rig.run_shard = 1;
        rig.done = false;
        rig.msg.run = rig_arrived;
        io_post(shard_io(node_shard(rig.node, 1)), &rig.msg);
        int64_t until = sim_now_ns(rig.sim) + prng_range(&p, 0, 3000000);
        (void)sim_run_until(rig.sim, until, never, NULL);
        restart(true, 3);
        tallies_agree();
    }
    rig_fini(&rig);
}

// ---- a limit

// The memory of bindings is taken from a budget: refused when it is used up, given back.
static void test_bindings_meet_a_limit(void **state)
{
    (void)state;
    static uint8_t bytes[60000];
    start(21);
    assert_int_equal(declare("q"), 0);
    for (int round = 0; round < 2; round++) {
        uint32_t made = 0;
        int err = 0;
        for (uint32_t i = 0; i < 1000 && err == 0; i++) {
            memcpy(bytes, &i, sizeof i);
            change = (struct queue_change){.kind = BINDING_ADD};
            change.binding = (struct exchange_binding){.vhost = VHOST,
                                                       .source = slice_cstr("amq.direct"),
                                                       .destination = slice_cstr("q"),
                                                       .key = slice_cstr("k"),
                                                       .arguments = slice_of(bytes, sizeof bytes)};
            err = run_change(0);
            made += change.made;
        }
        assert_int_equal(err, ERR_LIMIT);
        assert_in_range(made, 50, 150);
        assert_int_equal(exchange_there("amq.direct")->bindings_out, made);
        assert_int_equal(delete_queue("q"), 0);
        assert_int_equal(exchange_there("amq.direct")->bindings_out, 0);
        assert_int_equal(declare("q"), 0);
    }
    change = (struct queue_change){.kind = BINDING_ADD};
    change.binding = (struct exchange_binding){.vhost = VHOST,
                                               .source = slice_cstr("amq.direct"),
                                               .destination = slice_cstr("q"),
                                               .key = slice_of(bytes, MESSAGE_NAME_MAX + 1)};
    assert_int_equal(run_change(0), ERR_INVALID);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchanges),
        cmocka_unit_test(test_auto_delete),
        cmocka_unit_test(test_auto_delete_spares_the_next_one),
        cmocka_unit_test(test_what_outlives_a_restart),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_crowd_cut_off),
        cmocka_unit_test(test_bindings_meet_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
