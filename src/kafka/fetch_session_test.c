// SPDX-License-Identifier: Apache-2.0
//
// The cache of fetch sessions by itself: slots, eviction, epochs, order, memory.
#include "kafka/fetch_session.h"

#include "base/budget.h"
#include "kafka/rig_kafka_test.h"

struct cache {
    struct sim *sim;
    struct io_world *world;
    struct io *io;
    struct budget budget;
    struct kafka_sessions *sessions;
};

static void cache_init(struct cache *c, uint32_t max, int64_t bytes)
{
    struct sim_options options;
    const struct io_actor_options actor = {.name = "cache", .kind = IO_LOOP};
    sim_options_init(&options, 1);
    assert_int_equal(sim_create(&options, &c->sim), 0);
    c->world = sim_start(sim_machine_create(c->sim, "m", false));
    assert_int_equal(io_actor_create(c->world, &actor, &c->io), 0);
    budget_init(&c->budget, bytes, NULL);
    c->sessions = kafka_sessions_create(c->io, &c->budget, max, 3);
}

static void cache_fini(struct cache *c)
{
    kafka_sessions_destroy(c->sessions);
    assert_int_equal(budget_used(&c->budget), 0); // all was given back
    io_actor_stop(c->io);
    sim_world_free(c->world);
    sim_destroy(c->sim);
}

static const struct uuid no_id = {{0}};

static void test_find_and_epochs(void **state)
{
    (void)state;
    struct cache c;
    cache_init(&c, 10, 1 << 20);
    struct kafka_session *s = kafka_session_new(c.sessions, false);
    assert_non_null(s);
    assert_true(s->id > 0);
    assert_int_equal(s->epoch, 1);
    assert_ptr_equal(kafka_session_find(c.sessions, s->id), s);
    assert_null(kafka_session_find(c.sessions, s->id + 1));
    kafka_session_next(s);
    assert_int_equal(s->epoch, 2);
    s->epoch = INT32_MAX;
    kafka_session_next(s);
    assert_int_equal(s->epoch, 1); // 0 and -1 have meanings of their own
    cache_fini(&c);
}

static void test_parts_keep_their_order(void **state)
{
    (void)state;
    struct cache c;
    cache_init(&c, 10, 1 << 20);
    struct kafka_session *s = kafka_session_new(c.sessions, false);
    char name[] = "plays";
    for (int32_t i = 0; i < 5; i++)
        assert_non_null(kafka_session_add(s, slice_cstr(name), &no_id, i));
    struct kafka_session_part *first = kafka_session_part(s, slice_cstr(name), &no_id, 0);
    assert_ptr_equal(kafka_session_add(s, slice_cstr(name), &no_id, 0), first);
    name[0] = 'X'; // the session has its own copy
    first = kafka_session_part(s, slice_cstr("plays"), &no_id, 0);
    assert_non_null(first);
    kafka_session_rotate(s, first);
    kafka_session_drop(s, kafka_session_part(s, slice_cstr("plays"), &no_id, 3));
    static const int32_t want[] = {1, 2, 4, 0};
    size_t at = 0;
    LIST_FOR (it, &s->parts.order) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        assert_true(at < 4);
        assert_int_equal(CONTAINER_OF(node, struct kafka_session_part, node)->partition,
                         want[at++]);
    }
    assert_int_equal(at, 4);
    cache_fini(&c);
}

static void test_slots_and_eviction(void **state)
{
    (void)state;
    struct cache c;
    cache_init(&c, 3, 1 << 20);
    struct kafka_session *s[3];
    for (int i = 0; i < 3; i++)
        s[i] = kafka_session_new(c.sessions, true);
    assert_null(kafka_session_new(c.sessions, true));
    (void)sim_run_until(c.sim, sim_now_ns(c.sim) + KAFKA_SESSION_EVICT_NS + 1, NULL, NULL);
    kafka_session_next(s[0]); // used just now: not the one to go
    int32_t gone = s[1]->id;
    assert_non_null(kafka_session_new(c.sessions, true));
    assert_null(kafka_session_find(c.sessions, gone));
    assert_int_equal(kafka_sessions_count(c.sessions), 3);
    cache_fini(&c);
}

static void test_memory_is_bounded(void **state)
{
    (void)state;
    struct cache c;
    cache_init(&c, 10, 4096 * KAFKA_SESSIONS_SHARE);
    struct kafka_session *s = kafka_session_new(c.sessions, true);
    int32_t added = 0;
    while (added < 1000 && kafka_session_add(s, SLICE_NULL, &no_id, added) != NULL)
        added++;
    assert_true(added > 10);
    assert_true(added < 100);
    assert_true(budget_used(&c.budget) <= 4096); // the rest is for requests
    // One that is not used any more makes room, although there are slots.
    (void)sim_run_until(c.sim, sim_now_ns(c.sim) + KAFKA_SESSION_EVICT_NS + 1, NULL, NULL);
    s = kafka_session_new(c.sessions, true);
    assert_non_null(s);
    assert_int_equal(kafka_sessions_count(c.sessions), 1);
    assert_non_null(kafka_session_add(s, SLICE_NULL, &no_id, 0));
    kafka_session_close(s);
    assert_int_equal(budget_used(&c.budget), 0);
    cache_fini(&c);
    cache_init(&c, 0, 4096); // no slots at all
    assert_null(kafka_session_new(c.sessions, true));
    cache_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_and_epochs),
        cmocka_unit_test(test_parts_keep_their_order),
        cmocka_unit_test(test_slots_and_eviction),
        cmocka_unit_test(test_memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
