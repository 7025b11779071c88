// SPDX-License-Identifier: Apache-2.0
//
// A young journal on a full disk, in the simulator: one shard adds large frames, as long as the
// journal is not starved, and small ones whatever happens, as a log and its deletions do. The small
// ones go through; the large ones that wait are taken when there is room, although nothing else
// happens on their shard; and a crash anywhere in between loses nothing.
#include "journal/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/sim.h"

#define MS      1000000LL
#define SECONDS (1000 * MS)
#define KIB     UINT64_C(1024)

enum { SMALL = 100, LARGE = 16 * 1024, FRAMES_MAX = 4096 };

struct rig {
    struct sim *sim;
    struct sim_machine *machine;
    struct io_world *world;
    struct io *opener, *actor, *maker, *shard;
    struct journal *journal;
    struct journal_port *port;
    struct io_msg open_msg, add_msg;
    uint32_t add_small;     // the order on its way
    uint32_t waiting;       // large ones that are to be added
    uint32_t added, done;   // since the start of the store
    bool kept[FRAMES_MAX];  // done was heard
    bool there[FRAMES_MAX]; // found by the last recovery
    bool opened, failed;
    int open_err;
};

static void fatal(void *arg, int err, const char *what)
{
    (void)what;
    if (err != ERR_STOPPED) // the power is going: let it
        ((struct rig *)arg)->failed = true;
}

static void frame_done(void *arg, const struct journal_frame *frame, int err)
{
    struct rig *rig = arg;
    if (err != 0)
        return;
    uint32_t id = le32_get(frame->w.head.data);
    assert_false(rig->kept[id]);
    rig->kept[id] = true;
    rig->done++;
}

static void frame_add(struct rig *rig, size_t len)
{
    struct blob *blob = NULL;
    uint8_t head[4];
    assert_true(rig->added < FRAMES_MAX);
    assert_int_equal(blob_create(len, NULL, &blob), 0);
    memset(blob->data, 'x', len);
    le32_put(head, rig->added++);
    const struct journal_write w = {.kind = JOURNAL_STATE,
                                    .head = slice_of(head, sizeof head),
                                    .body = {.blob = blob, .len = len},
                                    .done = frame_done,
                                    .arg = rig};
    journal_add(rig->port, &w);
    blob_unref(blob);
}

static void turn_end(void *arg)
{
    struct rig *rig = arg;
    while (rig->waiting > 0 && !journal_starved(rig->port)) {
        rig->waiting--;
        frame_add(rig, LARGE);
    }
    journal_flush(rig->port);
}

static void small_run(struct io_msg *msg)
{
    struct rig *rig = CONTAINER_OF(msg, struct rig, add_msg);
    for (; rig->add_small > 0; rig->add_small--)
        frame_add(rig, SMALL);
}

static void run(struct rig *rig, int64_t for_ns)
{
    (void)sim_run_until(rig->sim, sim_now_ns(rig->sim) + for_ns, NULL, NULL);
}

// Asked for now, added at the end of a turn of the shard. With small 0: only that turn.
static void add(struct rig *rig, uint32_t small, uint32_t large)
{
    rig->add_small = small;
    rig->waiting += large;
    rig->add_msg.run = small_run;
    io_post(rig->shard, &rig->add_msg);
    run(rig, 20 * MS);
}

// ---- lives

static int found(void *arg, const struct journal_replayed *r)
{
    struct rig *rig = arg;
    uint32_t id = le32_get(r->head.data);
    assert_true(id < rig->added);
    assert_false(rig->there[id]);
    rig->there[id] = true;
    return 0;
}

static void open_done(struct io_msg *msg)
{
    CONTAINER_OF(msg, struct rig, open_msg)->opened = true;
}

static void open_run(struct io_msg *msg)
{
    struct rig *rig = CONTAINER_OF(msg, struct rig, open_msg);
    const struct journal_options options = {
        .dir = "journal",
        .file_bytes = 1024 * KIB,
        .first_file_bytes = 64 * KIB,
        .files_max = 4,
        .direct_min_bytes = 256 * KIB,
        .group_max_bytes = 48 * KIB,
        .actor = rig->actor,
        .checkpointer = rig->maker,
        .ports_count = 1,
        .fatal = fatal,
        .arg = rig,
    };
    const struct journal_replay replay = {.frame = found, .arg = rig};
    struct journal_recovery recovery;
    memset(rig->there, 0, sizeof rig->there);
    rig->open_err = journal_open(rig->opener, &options, 1, &replay, &recovery, &rig->journal);
    rig->open_msg.run = open_done;
    io_post(rig->opener, &rig->open_msg);
}

static struct io *actor(struct rig *rig, const char *name, enum io_kind kind)
{
    struct io *io = NULL;
    const struct io_actor_options options = {.name = name, .kind = kind};
    assert_int_equal(io_actor_create(rig->world, &options, &io), 0);
    return io;
}

static void life_begin(struct rig *rig)
{
    rig->world = sim_start(rig->machine);
    rig->opener = actor(rig, "opener", IO_WORKER);
    rig->actor = actor(rig, "journal", IO_WORKER);
    rig->maker = actor(rig, "maker", IO_WORKER);
    rig->shard = actor(rig, "shard", IO_LOOP);
    rig->opened = false;
    rig->waiting = 0;
    rig->open_msg.run = open_run;
    io_post(rig->opener, &rig->open_msg);
    run(rig, 1 * SECONDS);
    assert_true(rig->opened);
    assert_int_equal(rig->open_err, 0);
    rig->port = journal_port_create(rig->journal, 0, rig->shard);
    io_on_turn_end(rig->shard, turn_end, rig);
    journal_start(rig->journal);
    run(rig, 1 * SECONDS);
}

static void life_end(struct rig *rig)
{
    if (sim_machine_up(rig->machine))
        sim_crash(rig->machine, SIM_POWER_LOSS);
    journal_port_destroy(rig->port);
    journal_destroy(rig->journal);
    struct io *const actors[] = {rig->opener, rig->actor, rig->maker, rig->shard};
    for (size_t i = 0; i < sizeof actors / sizeof actors[0]; i++)
        io_actor_stop(actors[i]);
    sim_world_free(rig->world);
}

static struct rig *rig_create(uint64_t seed)
{
    struct rig *rig = mem_zalloc(sizeof *rig);
    struct sim_options options;
    sim_options_init(&options, seed);
    assert_int_equal(sim_create(&options, &rig->sim), 0);
    rig->machine = sim_machine_create(rig->sim, "server", true);
    life_begin(rig);
    add(rig, 1, 0); // the first file is in use
    return rig;
}

static void rig_destroy(struct rig *rig)
{
    assert_false(rig->failed);
    life_end(rig);
    sim_destroy(rig->sim);
    mem_free(rig);
}

static void disk_room(struct rig *rig, uint64_t bytes)
{
    sim_disk_capacity(rig->machine, sim_disk_used(rig->machine) + bytes);
}

static bool reserve_there(struct rig *rig)
{
    return sim_disk_size(rig->machine, "journal/reserve") >= 0;
}

// Until nothing large goes in any more.
static void starve(struct rig *rig)
{
    disk_room(rig, 0);
    for (int i = 0; i < 100 && !journal_starved(rig->port); i++)
        add(rig, 0, 1);
    assert_true(journal_starved(rig->port));
    assert_int_equal(rig->done, rig->added);
}

// ---- tests

static void test_what_waits_is_woken(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct rig *rig = rig_create(seed);
        starve(rig);
        uint32_t before = rig->done;
        add(rig, 0, 40);
        run(rig, 5 * SECONDS);
        assert_int_equal(rig->waiting, 40);
        assert_int_equal(rig->done, before);
        disk_room(rig, 64 * 1024 * KIB); // and not a word to the shard
        run(rig, 5 * SECONDS);
        assert_int_equal(rig->waiting, 0);
        assert_int_equal(rig->done, before + 40);
        assert_true(reserve_there(rig));
        rig_destroy(rig);
    }
}

// A group of one small frame is a block: more of them than the first file holds.
static void test_what_is_small_has_the_reserve(void **state)
{
    (void)state;
    struct rig *rig = rig_create(60);
    starve(rig);
    assert_true(reserve_there(rig));
    for (int i = 0; i < 200; i++)
        add(rig, 1, 0);
    run(rig, 5 * SECONDS);
    assert_int_equal(rig->done, rig->added);
    assert_false(reserve_there(rig));        // it is the file in use
    assert_true(journal_starved(rig->port)); // which nothing large may have
    add(rig, 0, 3);
    assert_int_equal(rig->waiting, 3);
    for (int i = 0; i < 200; i++)
        add(rig, 1, 0);
    run(rig, 5 * SECONDS);
    assert_true(rig->done < rig->added); // it has an end
    disk_room(rig, 64 * 1024 * KIB);
    run(rig, 5 * SECONDS);
    assert_int_equal(rig->waiting, 0);
    assert_int_equal(rig->done, rig->added);
    assert_true(reserve_there(rig));
    rig_destroy(rig);
}

static void wal_size(void *arg, const char *path)
{
    struct rig *rig = arg;
    const size_t len = strlen(path);
    if (len > 4 && strcmp(path + len - 4, ".wal") == 0)
        assert_int_equal(sim_disk_size(rig->machine, path), 64 * KIB);
}

// Files do not grow where there is no room for larger ones.
static void test_a_smaller_file_will_do(void **state)
{
    (void)state;
    struct rig *rig = rig_create(70);
    disk_room(rig, 256 * KIB); // the next one would have 512
    for (int i = 0; i < 8; i++)
        add(rig, 0, 1);
    run(rig, 3 * SECONDS);
    assert_int_equal(rig->waiting, 0);
    assert_int_equal(rig->done, rig->added);
    assert_true(rig->done * LARGE > 64 * KIB);
    sim_disk_each(rig->machine, wal_size, rig);
    assert_true(reserve_there(rig));
    rig_destroy(rig);
}

static void expect_kept(const struct rig *rig)
{
    for (uint32_t i = 0; i < rig->added; i++)
        assert_true(!rig->kept[i] || rig->there[i]);
}

// Cut off anywhere on the way through the full disk, and started while it is full.
static void test_crashes_on_a_full_disk(void **state)
{
    (void)state;
    uint32_t crashes = 0;
    for (uint64_t seed = 100; seed < 300; seed++) {
        struct rig *rig = rig_create(seed);
        starve(rig);
        sim_crash_at_write(rig->machine, 1 + seed % 100, seed % 3 == 0 ? SIM_KILL : SIM_POWER_LOSS);
        for (int i = 0; i < 60 && sim_machine_up(rig->machine); i++)
            add(rig, 1, 0);
        crashes += !sim_machine_up(rig->machine);
        sim_crash_at_write(rig->machine, 0, SIM_KILL);
        life_end(rig);
        life_begin(rig);
        expect_kept(rig);
        uint32_t added = rig->added, done = rig->done;
        for (int i = 0; i < 10; i++)
            add(rig, 1, 0);
        run(rig, 3 * SECONDS);
        assert_int_equal(rig->done - done, rig->added - added);
        add(rig, 0, 20);
        disk_room(rig, 64 * 1024 * KIB);
        run(rig, 5 * SECONDS);
        assert_int_equal(rig->waiting, 0);
        assert_int_equal(rig->done - done, rig->added - added);
        assert_true(reserve_there(rig));
        rig_destroy(rig);
    }
    assert_true(crashes > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_waits_is_woken),
        cmocka_unit_test(test_what_is_small_has_the_reserve),
        cmocka_unit_test(test_a_smaller_file_will_do),
        cmocka_unit_test(test_crashes_on_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
