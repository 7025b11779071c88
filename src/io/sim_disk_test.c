// SPDX-License-Identifier: Apache-2.0
//
// Simulated disks: what a crash may and may not take, tried over many seeds; and where something
// may happen by chance, that it does happen. No reader sees a write before its end.
#include "io/sim.h"

#include "base/mem.h"
#include "io/sim_testing.h"

// ---- what is synced survives; what is not is kept, lost or torn

enum { BIG = 8 * 512 };

static void write_synced(struct io *io, void *arg)
{
    uint8_t page[BIG];
    struct io_file *file = make(io, "f");
    (void)arg;
    memset(page, 'a', sizeof page);
    put(file, 0, page, sizeof page);
    assert_int_equal(io_sync(file), 0);
    assert_int_equal(io_sync_dir(io, ""), 0);
    memset(page, 'b', sizeof page);
    put(file, 0, page, sizeof page);           // over what is synced
    put(file, sizeof page, page, sizeof page); // and behind it
    assert_int_equal(io_file_size(file), 2 * BIG);
    io_file_close(file);
}

struct fates {
    int kept, lost, torn, longer;
};

static void look(struct sim_machine *machine, struct fates *fates)
{
    uint8_t back[2 * BIG] = {0};
    int old = 0, new = 0;
    int64_t size = sim_disk_size(machine, "f");
    assert_true(size >= BIG);
    assert_true(size <= 2 * BIG);
    assert_int_equal(sim_disk_read(machine, "f", 0, back, sizeof back), size);
    for (int s = 0; s < 8; s++) { // each sector is the old or the new one, whole
        uint8_t c = back[s * 512];
        assert_true(c == 'a' || c == 'b');
        for (int i = 0; i < 512; i++)
            assert_int_equal(back[s * 512 + i], c);
        old += c == 'a';
        new += c == 'b';
    }
    for (int64_t i = BIG; i < size; i++)
        assert_true(back[i] == 0 || back[i] == 'b');
    fates->kept += new == 8;
    fates->lost += old == 8;
    fates->torn += old > 0 && new > 0;
    fates->longer += size > BIG;
}

static void test_power_loss(void **state)
{
    (void)state;
    struct fates fates = {0};
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct sim *sim = universe(seed);
        struct sim_machine *machine = sim_machine_create(sim, "m", true);
        run_and_crash(sim, machine, write_synced, NULL, SIM_POWER_LOSS);
        look(machine, &fates);
        sim_destroy(sim);
    }
    assert_true(fates.kept > 30);
    assert_true(fates.lost > 30);
    assert_true(fates.torn > 30);
    assert_true(fates.longer > 30 && fates.longer < 270);
}

static void test_kill_keeps_page_cache(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct sim *sim = universe(seed);
        struct fates fates = {0};
        struct sim_machine *machine = sim_machine_create(sim, "m", true);
        run_and_crash(sim, machine, write_synced, NULL, SIM_KILL);
        look(machine, &fates);
        assert_int_equal(fates.kept, 1);
        assert_int_equal(sim_disk_size(machine, "f"), 2 * BIG);
        // The kernel had it; the next power loss may still take it.
        struct io_world *world = sim_start(machine);
        sim_crash(machine, SIM_POWER_LOSS);
        sim_world_free(world);
        look(machine, &fates);
        sim_destroy(sim);
    }
}

static void write_durable(struct io *io, void *arg)
{
    uint8_t *page = mem_alloc_aligned(IO_BLOCK, 4 * IO_BLOCK);
    struct io_file *file = NULL;
    (void)arg;
    assert_int_equal(io_open(io, "wal", IO_WRITE | IO_CREATE | IO_DURABLE, &file), 0);
    assert_int_equal(io_sync_dir(io, ""), 0);
    for (int i = 0; i < 4; i++) {
        memset(page, 'a' + i, 4 * IO_BLOCK);
        put(file, (uint64_t)i * 4 * IO_BLOCK, page, 4 * IO_BLOCK);
    }
    io_file_close(file);
    mem_free(page);
}

static void test_durable_writes(void **state)
{
    (void)state;
    int torn = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sim *sim = universe(seed);
        struct sim_machine *machine = sim_machine_create(sim, "m", true);
        struct io_world *world = sim_start(machine);
        struct io *io = actor(world, IO_WORKER);
        uint8_t back[16 * IO_BLOCK];
        // Changes: create, sync_dir, four writes. The crash comes in the middle of the fourth.
        sim_crash_at_write(machine, 6, SIM_POWER_LOSS);
        run_on(sim, io, write_durable, NULL);
        assert_false(sim_machine_up(machine) && !sim_run_until(sim, 10 * SECOND, NULL, NULL) &&
                     sim_machine_up(machine));
        assert_int_equal(sim_report(sim)->crashes, 1);
        int64_t size = sim_disk_read(machine, "wal", 0, back, sizeof back);
        assert_true(size >= 12 * IO_BLOCK);
        for (int i = 0; i < 12 * IO_BLOCK; i++)
            assert_int_equal(back[i], 'a' + i / (4 * IO_BLOCK));
        int new = 0;
        for (int64_t i = 12 * IO_BLOCK; i < size; i++) {
            assert_true(back[i] == 0 || back[i] == 'd');
            new += back[i] == 'd';
        }
        torn += new > 0 && new < 4 * IO_BLOCK;
        sim_world_free(world);
        sim_destroy(sim);
    }
    assert_true(torn > 20);
}

// ---- names

static void write_names(struct io *io, void *arg)
{
    (void)arg;
    assert_int_equal(io_mkdir(io, "d"), 0);
    assert_int_equal(io_sync_dir(io, ""), 0);
    struct io_file *file = make(io, "d/old");
    put(file, 0, "1", 1);
    assert_int_equal(io_sync(file), 0);
    io_file_close(file);
    assert_int_equal(io_sync_dir(io, "d"), 0);
    file = make(io, "d/tmp");
    put(file, 0, "22", 2);
    assert_int_equal(io_sync(file), 0);
    io_file_close(file);
    assert_int_equal(io_rename(io, "d/tmp", "d/old"), 0);
    if (arg != NULL)
        assert_int_equal(io_sync_dir(io, "d"), 0);
    assert_int_equal(io_mkdir(io, "e/f"), ERR_NOT_FOUND);
    assert_int_equal(io_remove(io, "d"), ERR_EXISTS);
}

static void test_rename(void **state)
{
    (void)state;
    int replaced = 0, kept = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        bool sync = seed % 2 == 0;
        struct sim *sim = universe(seed);
        struct sim_machine *machine = sim_machine_create(sim, "m", true);
        run_and_crash(sim, machine, write_names, sync ? sim : NULL, SIM_POWER_LOSS);
        int64_t size = sim_disk_size(machine, "d/old");
        assert_true(size == 1 || size == 2); // atomic: never absent
        if (sync)
            assert_int_equal(size, 2);
        if (size == 2)
            assert_int_equal(sim_disk_size(machine, "d/tmp"), ERR_NOT_FOUND);
        replaced += !sync && size == 2;
        kept += !sync && size == 1;
        sim_destroy(sim);
    }
    assert_true(replaced > 10);
    assert_true(kept > 10);
}

static void write_nameless(struct io *io, void *arg)
{
    (void)arg;
    struct io_file *file = make(io, "f");
    put(file, 0, "x", 1);
    assert_int_equal(io_sync(file), 0);
    io_file_close(file);
}

static int count_name(void *arg, const char *name)
{
    char *out = arg;
    strncat(out, name, 100 - strlen(out));
    strncat(out, " ", 100 - strlen(out));
    return 0;
}

static void list_root(struct io *io, void *arg)
{
    assert_int_equal(io_list(io, "", count_name, arg), 0);
}

static void test_name_without_dir_sync(void **state)
{
    (void)state;
    int found = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct sim *sim = universe(seed);
        char names[128] = "";
        struct sim_machine *machine = sim_machine_create(sim, "m", true);
        run_and_crash(sim, machine, write_nameless, NULL, SIM_POWER_LOSS);
        run_once(sim, machine, list_root, names);
        assert_true(strcmp(names, "") == 0 || strcmp(names, "f ") == 0);
        found += names[0] == 'f';
        sim_destroy(sim);
    }
    assert_true(found > 10 && found < 90);
}

static void rename_dir(struct io *io, void *arg)
{
    char names[128] = "";
    (void)arg;
    assert_int_equal(io_mkdir(io, "a"), 0);
    assert_int_equal(io_mkdir(io, "a/b"), 0);
    io_file_close(make(io, "a/b/2"));
    io_file_close(make(io, "a/b/1"));
    assert_int_equal(io_rename(io, "a", "z"), 0);
    assert_int_equal(io_list(io, "z/b", count_name, names), 0);
    assert_string_equal(names, "1 2 ");
    assert_int_equal(io_list(io, "a", count_name, names), ERR_NOT_FOUND);
    struct io_file *file = NULL;
    assert_int_equal(io_open(io, "z/b/1", IO_CREATE | IO_EXCLUSIVE | IO_WRITE, &file), ERR_EXISTS);
    assert_int_equal(io_open(io, "z/b", 0, &file), ERR_INVALID);
    assert_int_equal(io_remove(io, "z/b/1"), 0);
    assert_int_equal(io_remove(io, "z/b/1"), ERR_NOT_FOUND);
}

static void test_directories(void **state)
{
    (void)state;
    struct sim *sim = universe(1);
    struct sim_machine *machine = sim_machine_create(sim, "m", true);
    run_once(sim, machine, rename_dir, NULL);
    sim_destroy(sim);
}

// ---- truncation, locks, full disk

static void truncate_and_lock(struct io *io, void *arg)
{
    char back[16];
    struct io_file *file = make(io, "t"), *lock = NULL, *second = NULL;
    (void)arg;
    put(file, 0, "hello world", 11);
    assert_int_equal(io_truncate(file, 5), 0);
    put(file, 8, "x", 1);
    assert_int_equal(io_read(file, 0, back, sizeof back), 9);
    assert_memory_equal(back, "hello\0\0\0x", 9);
    assert_int_equal(io_sync(file), 0);
    assert_int_equal(io_read(file, 9, back, 1), 0);
    io_file_close(file);
    assert_int_equal(io_lock(io, "LOCK", "me", &lock), 0);
    assert_int_equal(io_lock(io, "LOCK", "me", &second), ERR_LOCKED);
    assert_int_equal(io_lock_text(lock, "a"), 0);
    assert_int_equal(io_file_size(lock), 1);
    io_file_close(lock);
    assert_int_equal(io_lock(io, "LOCK", "me", &lock), 0); // left locked: the crash unlocks
}

static void lock_again(struct io *io, void *arg)
{
    struct io_file *lock = NULL;
    (void)arg;
    assert_int_equal(io_lock(io, "LOCK", "you", &lock), 0);
}

static void test_truncate_and_lock(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim *sim = universe(seed);
        struct sim_machine *machine = sim_machine_create(sim, "m", true);
        run_and_crash(sim, machine, truncate_and_lock, NULL,
                      seed % 2 == 0 ? SIM_KILL : SIM_POWER_LOSS);
        run_once(sim, machine, lock_again, NULL);
        sim_destroy(sim);
    }
}

static void fill_disk(struct io *io, void *arg)
{
    static uint8_t chunk[64 * 1024];
    struct io_file *file = make(io, "full");
    struct iovec iov = {chunk, sizeof chunk};
    (void)arg;
    memset(chunk, 'f', sizeof chunk);
    int64_t free_bytes = io_disk_free(io);
    uint64_t at = 0;
    int rc;
    while ((rc = io_write(file, at, &iov, 1)) == 0)
        at += sizeof chunk;
    assert_int_equal(rc, ERR_NOSPACE);
    assert_true(at + sizeof chunk > (uint64_t)free_bytes);
    assert_int_equal(io_write(file, 0, &iov, 1), 0); // in place there is room
    assert_int_equal(io_truncate(file, 0), 0);
    assert_int_equal(io_write(file, 0, &iov, 1), 0);
    assert_int_equal(io_reserve(file, 0, 1 << 30), ERR_NOSPACE);
    io_file_close(file);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct sim *sim = universe(3);
    struct sim_machine *machine = sim_machine_create(sim, "m", true);
    sim_disk_capacity(machine, 1 << 20);
    run_once(sim, machine, fill_disk, NULL);
    assert_int_equal(sim_disk_used(machine), 64 * 1024);
    sim_destroy(sim);
}

// ---- a failed sync

static void failing_sync(struct io *io, void *arg)
{
    struct sim *sim = arg;
    struct io_file *file = make(io, "f");
    assert_int_equal(io_sync_dir(io, ""), 0);
    put(file, 0, "x", 1);
    sim_set_fault(sim, SIM_FAULT_SYNC_FAIL, 1000000);
    assert_int_equal(io_sync(file), ERR_SYNC);
    sim_set_fault(sim, SIM_FAULT_SYNC_FAIL, 0);
    assert_int_equal(io_sync(file), 0); // proves nothing about what the failed one covered
    io_file_close(file);
}

static void test_failed_sync(void **state)
{
    (void)state;
    int lost = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct sim *sim = universe(seed);
        struct sim_machine *machine = sim_machine_create(sim, "m", true);
        run_and_crash(sim, machine, failing_sync, sim, SIM_POWER_LOSS);
        assert_int_equal(sim_report(sim)->faults[SIM_FAULT_SYNC_FAIL], 1);
        lost += sim_disk_size(machine, "f") == 0;
        sim_destroy(sim);
    }
    assert_true(lost > 10);
    assert_true(lost < 90);
}

// ---- no reader sees a write before its end

struct race {
    struct io *writer, *reader;
    struct io_msg write, read;
    int64_t write_start_ns, write_end_ns, read_ns;
    int64_t size; // what the reader saw
    bool done;
};

static void race_write(struct io_msg *msg)
{
    struct race *race = CONTAINER_OF(msg, struct race, write);
    struct io_file *file = make(race->writer, "r");
    race->write_start_ns = io_now_ns(race->writer);
    put(file, 0, "0123456789", 10);
    race->write_end_ns = io_now_ns(race->writer);
    io_file_close(file);
}

static void race_read(struct io_msg *msg)
{
    struct race *race = CONTAINER_OF(msg, struct race, read);
    struct io_file *file = NULL;
    int rc = io_open(race->reader, "r", 0, &file);
    race->read_ns = io_now_ns(race->reader);
    race->size = rc != 0 ? rc : io_file_size(file);
    io_file_close(file);
    race->done = true;
}

static bool race_done(void *arg)
{
    return ((struct race *)arg)->done;
}

static void test_no_time_travel(void **state)
{
    (void)state;
    int before = 0, during = 0, after = 0, absent = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct sim *sim = universe(seed);
        struct sim_machine *machine = sim_machine_create(sim, "m", true);
        struct io_world *world = sim_start(machine);
        struct race race = {.write.run = race_write, .read.run = race_read};
        race.writer = actor(world, IO_WORKER);
        race.reader = actor(world, IO_WORKER);
        io_post(race.writer, &race.write);
        io_post(race.reader, &race.read);
        assert_true(sim_run_until(sim, INT64_MAX, race_done, &race));
        bool may_see = race.read_ns >= race.write_end_ns && race.write_end_ns != 0;
        if (race.size == ERR_NOT_FOUND)
            absent++;
        else
            assert_int_equal(race.size, may_see ? 10 : 0);
        before += race.size == 0 && race.read_ns < race.write_start_ns;
        during += race.size == 0 && race.read_ns >= race.write_start_ns;
        after += race.size == 10;
        io_actor_stop(race.writer);
        io_actor_stop(race.reader);
        sim_world_free(world);
        sim_destroy(sim);
    }
    assert_true(absent > 0);
    assert_true(during > 0);
    assert_true(after > 0);
    (void)before;
}

// ---- a stop in order: who comes next sees everything

static void read_synced(struct io *io, void *arg)
{
    struct io_file *file = NULL;
    (void)arg;
    assert_int_equal(io_open(io, "f", 0, &file), 0);
    assert_int_equal(io_file_size(file), 2 * BIG);
    io_file_close(file);
}

static void test_stop_and_start(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim *sim = universe(seed);
        struct sim_machine *machine = sim_machine_create(sim, "m", true);
        run_once(sim, machine, write_synced, NULL);
        assert_int_equal(sim_disk_size(machine, "f"), 2 * BIG);
        run_once(sim, machine, read_synced, NULL);
        sim_destroy(sim);
    }
}

// ---- bits that change by themselves

static void test_flip(void **state)
{
    (void)state;
    int flipped = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim *sim = universe(seed);
        struct sim_machine *machine = sim_machine_create(sim, "m", true);
        uint8_t byte = 0;
        run_and_crash(sim, machine, write_durable, NULL, SIM_POWER_LOSS);
        assert_int_equal(sim_disk_flip(machine, "nothing", 0, 1), ERR_NOT_FOUND);
        assert_int_equal(sim_disk_flip(machine, "wal", 1 << 20, 1), ERR_INVALID);
        assert_int_equal(sim_disk_flip(machine, "wal", 5, 2), 0);
        assert_int_equal(sim_disk_read(machine, "wal", 5, &byte, 1), 1);
        assert_int_equal(byte, 'a' ^ 2);
        assert_int_equal(sim_disk_flip(machine, "wal", 5, 2), 0);
        sim_set_fault(sim, SIM_FAULT_REST_FLIP, 1000000);
        struct io_world *world = sim_start(machine);
        sim_world_free(world);
        for (uint64_t i = 0; i < 16 * IO_BLOCK; i++) {
            assert_int_equal(sim_disk_read(machine, "wal", i, &byte, 1), 1);
            flipped += byte != 'a' + i / (4 * IO_BLOCK);
        }
        sim_destroy(sim);
    }
    assert_int_equal(flipped, 20);
}

static void write_first_block(struct io *io, void *arg)
{
    struct io_file *file = NULL;
    uint8_t *block = mem_alloc_aligned(IO_BLOCK, IO_BLOCK);
    (void)arg;
    memset(block, 'z', IO_BLOCK);
    assert_int_equal(io_open(io, "wal", IO_WRITE | IO_DURABLE, &file), 0);
    put(file, 0, block, IO_BLOCK);
    io_file_close(file);
    mem_free(block);
}

static void expect_wal(void *arg, const char *path)
{
    assert_string_equal(path, "wal");
    (*(int *)arg)++;
}

// A flip lasts until something is written over it; the others can be taken back.
static void test_flips_heal_and_are_mended(void **state)
{
    (void)state;
    struct sim *sim = universe(3);
    struct sim_machine *machine = sim_machine_create(sim, "m", true);
    uint8_t byte = 0;
    int names = 0;
    run_and_crash(sim, machine, write_durable, NULL, SIM_POWER_LOSS);
    sim_disk_each(machine, expect_wal, &names);
    assert_int_equal(names, 1);
    assert_int_equal(sim_disk_flip(machine, "wal", 5, 2), 0);
    assert_int_equal(sim_disk_flip(machine, "wal", IO_BLOCK + 5, 1), 0);
    assert_int_equal(sim_disk_flip(machine, "wal", IO_BLOCK + 5, 4), 0);
    assert_int_equal(sim_disk_flips(machine), 2);
    run_once(sim, machine, write_first_block, NULL);
    (void)sim_run_until(sim, sim_now_ns(sim) + SECOND, NULL, NULL);
    sim_disk_mend(machine);
    assert_int_equal(sim_disk_flips(machine), 0);
    assert_int_equal(sim_disk_read(machine, "wal", 5, &byte, 1), 1);
    assert_int_equal(byte, 'z'); // what was written stays as it is
    assert_int_equal(sim_disk_read(machine, "wal", IO_BLOCK + 5, &byte, 1), 1);
    assert_int_equal(byte, 'a');
    sim_destroy(sim);
}

static void write_and_fail(struct io *io, void *arg)
{
    struct io_file *file = NULL;
    uint8_t *block = mem_alloc_aligned(IO_BLOCK, IO_BLOCK);
    struct iovec iov = {block, IO_BLOCK};
    memset(block, 'w', IO_BLOCK);
    assert_int_equal(io_open(io, "wal", IO_WRITE | IO_DURABLE, &file), 0);
    sim_set_fault(arg, SIM_FAULT_WRITE_FAIL, 1000000);
    assert_int_equal(io_write(file, 0, &iov, 1), ERR_IO);
    sim_set_fault(arg, SIM_FAULT_WRITE_FAIL, 0);
    assert_int_equal(io_sync(file), 0); // and yet
    io_file_close(file);
    mem_free(block);
}

// What a durable write that failed has left is seen, and a sync that goes well does not save it.
static void test_a_failed_write_is_never_durable(void **state)
{
    (void)state;
    int seen = 0, kept = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct sim *sim = universe(seed);
        struct sim_machine *machine = sim_machine_create(sim, "m", true);
        uint8_t byte = 0;
        run_and_crash(sim, machine, write_durable, NULL, SIM_POWER_LOSS);
        run_and_crash(sim, machine, write_and_fail, sim, SIM_KILL);
        assert_int_equal(sim_disk_read(machine, "wal", 0, &byte, 1), 1);
        seen += byte == 'w';
        struct io_world *world = sim_start(machine);
        sim_crash(machine, SIM_POWER_LOSS);
        sim_world_free(world);
        assert_int_equal(sim_disk_read(machine, "wal", 0, &byte, 1), 1);
        kept += byte == 'w';
        sim_destroy(sim);
    }
    assert_true(seen > 90); // a part of it, nearly always
    assert_true(kept > 10);
    assert_true(kept < 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_loss),
        cmocka_unit_test(test_kill_keeps_page_cache),
        cmocka_unit_test(test_durable_writes),
        cmocka_unit_test(test_rename),
        cmocka_unit_test(test_name_without_dir_sync),
        cmocka_unit_test(test_directories),
        cmocka_unit_test(test_truncate_and_lock),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_failed_sync),
        cmocka_unit_test(test_no_time_travel),
        cmocka_unit_test(test_stop_and_start),
        cmocka_unit_test(test_flip),
        cmocka_unit_test(test_flips_heal_and_are_mended),
        cmocka_unit_test(test_a_failed_write_is_never_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
