// SPDX-License-Identifier: Apache-2.0
//
// Queues of a young store on a full disk: messages wait, acknowledgements and deletions go through,
// what they free is used, and what waited is taken in order as soon as there is room, although
// nothing else happens.
#include "node/node_int.h"
#include "node/rig_queue_test.h"

enum { WAITING = 100, OLD = 200 };

static const char *const config[] = {"weir.journal.file.bytes=4194304", "weir.tail.bytes=65536",
                                     "log.segment.bytes=1048576", NULL};

static struct publishing waiting[WAITING];
static char names[WAITING][8];

static void publish_start_run(struct rig *r, struct shard *shard, void *arg)
{
    publish_run(r, shard, arg);
    r->done = true;
}

static void fill_disk(void)
{
    sim_disk_capacity(rig.machine, sim_disk_used(rig.machine));
}

static uint32_t waiting_count(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < WAITING; i++)
        count += !waiting[i].over;
    return count;
}

static bool nothing_waits(void *arg)
{
    (void)arg;
    return waiting_count() == 0;
}

static void publish_all(uint32_t shard, const char *queue)
{
    for (uint32_t i = 0; i < WAITING; i++) {
        (void)snprintf(names[i], sizeof names[i], "%u-", i);
        waiting[i] =
            (struct publishing){.key = queue, .prefix = names[i], .count = 1, .size = 90000};
        rig_on_shard(&rig, shard, publish_start_run, &waiting[i]);
        assert_int_equal(waiting[i].err, 0);
        idle(50);
    }
    assert_in_range(waiting_count(), 1, WAITING);
}

static void expect_taken(const struct uuid *id)
{
    static struct taker t;
    for (uint32_t i = 0; i < WAITING; i++)
        assert_int_equal(waiting[i].receipt.err, 0);
    t = (struct taker){.shard = 1, .queue = *id, .credit = WAITING};
    assert_int_equal(taker_start(&t), 0);
    taker_wait(&t, WAITING);
    for (uint32_t i = 0; i < WAITING; i++)
        expect_texts(&t, i, names[i], 0, 1);
}

static void test_room_comes_back(void **state)
{
    (void)state;
    struct uuid id;
    for (uint32_t round = 0; round < 30; round++) {
        rig_init(&rig, 500 + round, 3, config);
        declare_plain("q", true, &id);
        idle(round % 4 * 300); // with and without the next file of the journal
        fill_disk();
        publish_all(round % 3, "q");
        idle(round * 211);
        assert_true(waiting_count() > 0);
        sim_disk_capacity(rig.machine, 1U << 30);
        wait_for(nothing_waits, NULL);
        expect_taken(&id);
        rig_fini(&rig);
    }
}

// One by one, each in a group of its own: more than the file in use has room for. The power goes
// while the disk is full, and the start finds it full.
static void test_acknowledgements_go_through(void **state)
{
    (void)state;
    enum { COUNT = 500, LEFT = 7 };
    static struct taker t;
    struct uuid id, other;
    for (uint32_t round = 0; round < 3; round++) {
        rig_init(&rig, 540 + round, 3, config);
        declare_plain("q", true, &id);
        declare_plain("other", true, &other);
        publish_texts(0, "q", "m", COUNT);
        t = (struct taker){.shard = round, .queue = id, .credit = COUNT};
        assert_int_equal(taker_start(&t), 0);
        taker_wait(&t, COUNT);
        fill_disk();
        publish_all(round, "other");
        for (uint32_t i = 0; i < COUNT - LEFT; i++) {
            settle(&t, i, i + 1, QUEUE_ACKNOWLEDGE);
            idle(5);
        }
        idle(1000);
        assert_true(waiting_count() > 0);
        rig_crash(&rig);
        assert_int_equal(rig_start(&rig), 0);
        expect_counts(&id, LEFT, 0);
        assert_int_equal(delete_queue("q"), 0);
        sim_disk_capacity(rig.machine, 1U << 30);
        idle(5000);
        publish_texts(round, "other", "n", 10);
        rig_fini(&rig);
    }
}

// What is freed is all the room there is.
static void room_made(uint64_t seed, void (*make)(struct taker *t))
{
    static struct taker t;
    struct uuid id, old;
    struct publishing p = {.key = "old", .prefix = "o", .count = 1, .size = 90000};
    rig_init(&rig, seed, 3, config);
    declare_plain("q", true, &id);
    declare_plain("old", true, &old);
    for (uint32_t i = 0; i < OLD; i++)
        assert_int_equal(publish(0, &p), 0);
    t = (struct taker){.shard = 2, .queue = old, .credit = OLD};
    assert_int_equal(taker_start(&t), 0);
    taker_wait(&t, OLD);
    fill_disk();
    publish_all(1, "q");
    idle(5000);
    assert_true(waiting_count() > 0); // it does not mend by itself
    make(&t);
    wait_for(nothing_waits, NULL);
    expect_taken(&id);
    rig_fini(&rig);
}

static void acknowledge_old(struct taker *t)
{
    settle(t, 0, OLD, QUEUE_ACKNOWLEDGE);
}

static void delete_old(struct taker *t)
{
    (void)t;
    assert_int_equal(delete_queue("old"), 0);
}

static void test_what_is_settled_makes_room(void **state)
{
    (void)state;
    for (uint64_t seed = 560; seed < 570; seed++)
        room_made(seed, acknowledge_old);
}

static void test_what_is_deleted_makes_room(void **state)
{
    (void)state;
    for (uint64_t seed = 570; seed < 580; seed++)
        room_made(seed, delete_old);
}

// What went to its segment past the journal wants what lies before it there as well, at the start.
static void test_a_start_that_has_to_write(void **state)
{
    (void)state;
    struct uuid id;
    struct publishing small = {.key = "q", .prefix = "s", .count = 1, .size = 5000};
    struct publishing large = {.key = "q", .prefix = "l", .count = 1, .size = 600000};
    rig_init(&rig, 590, 3, config);
    declare_plain("q", true, &id);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(publish(0, &small), 0);
    assert_int_equal(publish(0, &large), 0);
    fill_disk();
    sim_crash(rig.machine, SIM_KILL);
    node_destroy(rig.node);
    sim_world_free(rig.world);
    assert_int_equal(rig_start(&rig), 0);
    expect_counts(&id, 11, 0);
    sim_disk_capacity(rig.machine, 1U << 30);
    publish_texts(0, "q", "n", 10);
    expect_counts(&id, 21, 0);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room_comes_back),
        cmocka_unit_test(test_acknowledgements_go_through),
        cmocka_unit_test(test_what_is_settled_makes_room),
        cmocka_unit_test(test_what_is_deleted_makes_room),
        cmocka_unit_test(test_a_start_that_has_to_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
