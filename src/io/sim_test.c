// SPDX-License-Identifier: Apache-2.0
//
// The simulated world: same seed, same hash; what a crash may and may not take; no reader sees a
// write before its end; mail in order; connections that are cut. Each rule is tried over many
// seeds, and where something may happen by chance, that it does happen.
#include "io/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"

#define SECOND 1000000000LL

// ---- a worker that runs one function, and a universe around it

struct job {
    struct io_msg msg;
    void (*fn)(struct io *io, void *arg);
    struct io *io;
    void *arg;
    bool done;
};

static void job_run(struct io_msg *msg)
{
    struct job *job = CONTAINER_OF(msg, struct job, msg);
    job->fn(job->io, job->arg);
    job->done = true;
}

static bool job_done(void *arg)
{
    return ((struct job *)arg)->done;
}

static struct sim *universe(uint64_t seed)
{
    struct sim *sim = NULL;
    struct sim_options options;
    sim_options_init(&options, seed);
    assert_int_equal(sim_create(&options, &sim), 0);
    return sim;
}

static struct io *actor(struct io_world *world, enum io_kind kind)
{
    struct io *io = NULL;
    struct io_actor_options options = {.name = "actor", .kind = kind};
    assert_int_equal(io_actor_create(world, &options, &io), 0);
    return io;
}

static void run_on(struct sim *sim, struct io *io, void (*fn)(struct io *io, void *arg), void *arg)
{
    struct job job = {.msg.run = job_run, .fn = fn, .io = io, .arg = arg};
    io_post(io, &job.msg);
    assert_true(sim_run_until(sim, INT64_MAX, job_done, &job));
}

// Runs fn on a fresh start of the machine, which is then stopped in order.
static void run_once(struct sim *sim, struct sim_machine *machine,
                     void (*fn)(struct io *io, void *arg), void *arg)
{
    struct io_world *world = sim_start(machine);
    struct io *io = actor(world, IO_WORKER);
    run_on(sim, io, fn, arg);
    io_actor_stop(io);
    sim_world_free(world);
}

// Runs fn, lets the time pass that it took, and cuts the power.
static void run_and_crash(struct sim *sim, struct sim_machine *machine,
                          void (*fn)(struct io *io, void *arg), void *arg, enum sim_crash_kind kind)
{
    struct io_world *world = sim_start(machine);
    struct io *io = actor(world, IO_WORKER);
    run_on(sim, io, fn, arg);
    (void)sim_run_until(sim, sim_now_ns(sim) + SECOND, NULL, NULL);
    sim_crash(machine, kind);
    assert_int_equal(io_mkdir(io, "x"), ERR_STOPPED);
    io_actor_stop(io);
    sim_world_free(world);
}

static void put(struct io_file *file, uint64_t offset, const void *data, size_t len)
{
    struct iovec iov = {.iov_len = len};
    memcpy(&iov.iov_base, &data, sizeof data);
    assert_int_equal(io_write(file, offset, &iov, 1), 0);
}

static struct io_file *make(struct io *io, const char *path)
{
    struct io_file *file = NULL;
    assert_int_equal(io_open(io, path, IO_WRITE | IO_CREATE, &file), 0);
    return file;
}

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

// ---- mail

enum { MAILS = 50 };

struct numbered {
    struct io_msg msg;
    int sender, number;
    struct post *post;
};

struct post {
    struct io *from[3];
    struct io *to;
    struct numbered mails[3][MAILS];
    int next[3];
    int mixed, last_sender, turn_ends;
};

static void numbered_run(struct io_msg *msg)
{
    struct numbered *n = CONTAINER_OF(msg, struct numbered, msg);
    assert_int_equal(n->post->next[n->sender], n->number);
    n->post->next[n->sender]++;
    n->post->mixed += n->post->last_sender != n->sender;
    n->post->last_sender = n->sender;
}

static void send_mails(struct io *io, void *arg)
{
    struct post *post = arg;
    int sender = io == post->from[0] ? 0 : io == post->from[1] ? 1 : 2;
    for (int i = 0; i < MAILS; i++) {
        post->mails[sender][i] = (struct numbered){{NULL, numbered_run}, sender, i, post};
        io_post(post->to, &post->mails[sender][i].msg);
        if (i % 10 == 0 && sender != 2)
            (void)io_mkdir(io, "d"); // takes time
    }
}

static void on_turn_end(void *arg)
{
    ((struct post *)arg)->turn_ends++;
}

static void test_mail_order(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim *sim = universe(seed);
        struct io_world *world = sim_start(sim_machine_create(sim, "m", true));
        struct post post = {.last_sender = -1};
        struct job jobs[3];
        post.to = actor(world, IO_LOOP);
        io_on_turn_end(post.to, on_turn_end, &post);
        for (int i = 0; i < 3; i++) {
            post.from[i] = actor(world, i == 2 ? IO_LOOP : IO_WORKER);
            jobs[i] = (struct job){
                .msg.run = job_run, .fn = send_mails, .io = post.from[i], .arg = &post};
            io_post(post.from[i], &jobs[i].msg);
        }
        (void)sim_run_until(sim, SECOND, NULL, NULL);
        for (int i = 0; i < 3; i++)
            assert_int_equal(post.next[i], MAILS);
        assert_true(post.mixed > 3);
        assert_true(post.turn_ends > 1 && post.turn_ends <= 3 * MAILS);
        for (int i = 0; i < 3; i++)
            io_actor_stop(post.from[i]);
        io_actor_stop(post.to);
        sim_world_free(world);
        sim_destroy(sim);
    }
}

static void test_stop_runs_mail(void **state)
{
    (void)state;
    struct sim *sim = universe(7);
    struct io_world *world = sim_start(sim_machine_create(sim, "m", true));
    struct io *io = actor(world, IO_WORKER);
    struct job job = {.msg.run = job_run, .fn = write_nameless, .io = io};
    io_post(io, &job.msg);
    io_actor_stop(io);
    assert_true(job.done);
    sim_world_free(world);
    sim_destroy(sim);
}

// ---- timers

struct alarm {
    struct io_timer timer;
    struct io *io;
    int64_t due_ns;
    int fired;
};

static void alarm_fire(struct io_timer *timer)
{
    struct alarm *alarm = CONTAINER_OF(timer, struct alarm, timer);
    assert_true(io_now_ns(alarm->io) >= alarm->due_ns);
    assert_true(io_now_ns(alarm->io) < alarm->due_ns + 1000000);
    if (++alarm->fired < 3) {
        alarm->due_ns += SECOND;
        io_timer_start(alarm->io, timer, alarm->due_ns);
    }
}

static void alarm_start(struct io *io, void *arg)
{
    struct alarm *alarm = arg;
    alarm->due_ns = io_now_ns(io) + SECOND;
    io_timer_init(&alarm->timer, alarm_fire);
    io_timer_start(io, &alarm->timer, alarm->due_ns);
}

static void test_timers(void **state)
{
    (void)state;
    struct sim *sim = universe(5);
    struct sim_machine *machine = sim_machine_create(sim, "m", true);
    struct io_world *world = sim_start(machine);
    struct alarm alarm = {.io = actor(world, IO_LOOP)};
    run_on(sim, alarm.io, alarm_start, &alarm);
    (void)sim_run_until(sim, 10 * SECOND, NULL, NULL);
    assert_int_equal(alarm.fired, 3);
    assert_int_equal(sim_now_ns(sim), sim_now_ns(sim));
    run_on(sim, alarm.io, alarm_start, &alarm);
    assert_true(io_timer_running(&alarm.timer));
    sim_crash(machine, SIM_POWER_LOSS);
    assert_false(io_timer_running(&alarm.timer));
    (void)sim_run_until(sim, 20 * SECOND, NULL, NULL);
    assert_int_equal(alarm.fired, 3);
    io_timer_stop(alarm.io, &alarm.timer); // on a dead actor: nothing
    sim_world_free(world);
    sim_destroy(sim);
}

// ---- connections: an echo under faults

struct talk {
    struct sim *sim;
    struct io *server_io, *client_io;
    struct io_sock *listener, *server, *client;
    struct io_addr addr;
    uint8_t held[512];
    size_t held_len, held_sent, sent, got;
    int64_t client_end, server_end; // the error each side met
    size_t goal;
};

static uint8_t letter(size_t at)
{
    return (uint8_t)(at * 7 + (at >> 8));
}

static void server_close(struct talk *t, int64_t why)
{
    t->server_end = why;
    io_close(t->server);
    t->server = NULL;
}

static void server_ready(void *owner, int mask)
{
    struct talk *t = owner;
    (void)mask;
    int64_t n;
    if (t->held_sent == t->held_len) {
        n = io_recv(t->server, t->held, sizeof t->held);
        t->held_len = n > 0 ? (size_t)n : 0;
        t->held_sent = 0;
    } else {
        struct iovec iov = {t->held + t->held_sent, t->held_len - t->held_sent};
        n = io_send(t->server, &iov, 1);
        t->held_sent += n > 0 ? (size_t)n : 0;
    }
    if (n < 0 && n != ERR_AGAIN)
        server_close(t, n);
    else
        io_watch(t->server, t->held_sent == t->held_len ? IO_READABLE : IO_WRITABLE);
}

static const struct io_sock_events server_events = {server_ready};

static void on_accept(void *owner, struct io_sock *sock, const struct io_addr *peer)
{
    struct talk *t = owner;
    assert_true(io_addr_is_loopback(peer));
    t->server = sock;
    io_sock_own(sock, &server_events, t);
    io_watch(sock, IO_READABLE);
}

static void client_close(struct talk *t, int64_t why)
{
    t->client_end = why;
    io_close(t->client);
    t->client = NULL;
}

static void client_ready(void *owner, int mask)
{
    struct talk *t = owner;
    uint8_t buf[700];
    if ((mask & IO_WRITABLE) != 0 && t->sent < t->goal) {
        for (size_t i = 0; i < sizeof buf; i++)
            buf[i] = letter(t->sent + i);
        struct iovec iov[2] = {{buf, 300}, {buf + 300, 400}};
        int64_t n = io_send(t->client, iov, 2);
        t->sent += n > 0 ? (size_t)n : 0;
    }
    if ((mask & IO_READABLE) != 0) {
        int64_t n = io_recv(t->client, buf, sizeof buf);
        if (n < 0 && n != ERR_AGAIN) {
            client_close(t, n);
            return;
        }
        for (int64_t i = 0; i < n; i++)
            assert_int_equal(buf[i], letter(t->got++));
    }
    if (t->got >= t->goal && t->got == t->sent)
        client_close(t, ERR_EOF);
    else
        io_watch(t->client, t->sent < t->goal ? IO_READABLE | IO_WRITABLE : IO_READABLE);
}

static const struct io_sock_events client_events = {client_ready};

static void talk_listen(struct io *io, void *arg)
{
    struct talk *t = arg;
    struct io_listen_options options = {
        .addr = t->addr, .backlog = 8, .accept = on_accept, .owner = t};
    assert_int_equal(io_listen(io, &options, &t->listener), 0);
    assert_int_equal(io_sock_addr(t->listener, &t->addr), 0);
}

static void talk_connect(struct io *io, void *arg)
{
    struct talk *t = arg;
    assert_int_equal(io_connect(io, &t->addr, &t->client), 0);
    io_sock_own(t->client, &client_events, t);
    io_watch(t->client, IO_READABLE | IO_WRITABLE);
}

static bool talk_over(void *arg)
{
    const struct talk *t = arg;
    return t->client_end != 0;
}

struct talk_worlds {
    struct sim_machine *server, *client;
    struct io_world *server_world, *client_world;
};

static void talk_start(struct talk *t, struct talk_worlds *w)
{
    assert_int_equal(io_addr_parse("127.0.0.1:0", &t->addr), 0);
    w->server = sim_machine_create(t->sim, "server", true);
    w->client = sim_machine_create(t->sim, "client", false);
    w->server_world = sim_start(w->server);
    w->client_world = sim_start(w->client);
    t->server_io = actor(w->server_world, IO_LOOP);
    t->client_io = actor(w->client_world, IO_LOOP);
    run_on(t->sim, t->server_io, talk_listen, t);
    run_on(t->sim, t->client_io, talk_connect, t);
}

static void talk_end(struct talk *t, struct talk_worlds *w)
{
    io_actor_stop(t->client_io);
    io_actor_stop(t->server_io);
    sim_world_free(w->client_world);
    sim_world_free(w->server_world);
}

static void test_echo(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct talk t = {.sim = universe(seed), .goal = 50000};
        struct talk_worlds w;
        sim_set_fault(t.sim, SIM_FAULT_SHORT_IO, 300000);
        sim_set_fault(t.sim, SIM_FAULT_ACCEPT_DELAY, 500000);
        talk_start(&t, &w);
        assert_true(sim_run_until(t.sim, 100 * SECOND, talk_over, &t));
        assert_int_equal(t.client_end, ERR_EOF);
        (void)sim_run_until(t.sim, sim_now_ns(t.sim) + SECOND, NULL, NULL);
        assert_int_equal(t.server_end, ERR_EOF);
        talk_end(&t, &w);
        sim_destroy(t.sim);
    }
}

static void test_cut_and_refused(void **state)
{
    (void)state;
    int cut = 0, refused = 0, timed_out = 0, whole = 0;
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct talk t = {.sim = universe(seed), .goal = 20000};
        struct talk_worlds w;
        sim_set_fault(t.sim, SIM_FAULT_CUT, 5000);
        sim_set_fault(t.sim, SIM_FAULT_HALF_OPEN, 3000);
        sim_set_fault(t.sim, SIM_FAULT_REFUSED, 50000);
        talk_start(&t, &w);
        assert_true(sim_run_until(t.sim, 100 * SECOND, talk_over, &t));
        cut += t.client_end == ERR_RESET;
        refused += t.client_end == ERR_REFUSED;
        timed_out += t.client_end == ERR_TIMEOUT;
        whole += t.client_end == ERR_EOF;
        (void)sim_run_until(t.sim, sim_now_ns(t.sim) + 100 * SECOND, NULL, NULL);
        talk_end(&t, &w);
        sim_destroy(t.sim);
    }
    assert_true(cut > 0);
    assert_true(refused > 0);
    assert_true(timed_out > 0);
    assert_true(whole > 0);
}

static void test_server_dies(void **state)
{
    (void)state;
    int reset = 0, silent = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct talk t = {.sim = universe(seed), .goal = 100000000};
        struct talk_worlds w;
        talk_start(&t, &w);
        (void)sim_run_until(t.sim, sim_now_ns(t.sim) + 2000000, NULL, NULL);
        assert_non_null(t.server);
        sim_crash(w.server, SIM_POWER_LOSS);
        assert_int_equal(io_recv(t.server, t.held, 1), ERR_STOPPED);
        io_close(t.server);
        io_close(t.listener);
        bool over = sim_run_until(t.sim, 100 * SECOND, talk_over, &t);
        if (over)
            assert_int_equal(t.client_end, ERR_RESET);
        reset += over;
        silent += !over;
        sim_world_free(w.server_world);
        // It comes back; a new connection finds nobody listening.
        w.server_world = sim_start(w.server);
        t.server_io = actor(w.server_world, IO_LOOP);
        io_close(t.client);
        t.client_end = 0;
        run_on(t.sim, t.client_io, talk_connect, &t);
        assert_true(sim_run_until(t.sim, 200 * SECOND, talk_over, &t));
        assert_int_equal(t.client_end, ERR_REFUSED);
        talk_end(&t, &w);
        sim_destroy(t.sim);
    }
    assert_true(reset > 10);
    (void)silent; // only when the client had nothing left to send
}

// ---- determinism, and speed enough to run thousands of seeds

struct crashes {
    struct sim *sim;
    int count;
};

static void on_crashed(void *arg, struct sim_machine *machine)
{
    (void)machine;
    ((struct crashes *)arg)->count++;
}

static void busy_disk(struct io *io, void *arg)
{
    uint8_t page[3000], random[8];
    (void)arg;
    if (io_mkdir(io, "d") != 0)
        return;
    for (int i = 0; i < 40; i++) {
        struct io_file *file = NULL;
        char path[32];
        (void)snprintf(path, sizeof path, "d/%d", i % 7);
        if (io_open(io, path, IO_WRITE | IO_CREATE, &file) != 0)
            continue;
        io_random(io, random, sizeof random);
        memset(page, random[0], sizeof page);
        struct iovec iov = {page, sizeof page};
        (void)io_write(file, random[1] * 100u, &iov, 1);
        (void)io_read(file, 0, page, sizeof page);
        if (i % 5 == 0)
            (void)io_sync(file);
        io_file_close(file);
        if (i % 9 == 0)
            (void)io_sync_dir(io, "d");
        (void)io_wall_ms(io);
    }
}

static uint64_t faulty_run(uint64_t seed, struct sim_report *report)
{
    struct talk t = {.goal = 30000};
    struct talk_worlds w;
    struct crashes crashes = {0};
    struct sim_options options;
    sim_options_init(&options, seed);
    sim_options_faulty(&options);
    options.fault_ppm[SIM_FAULT_REFUSED] = 0;
    options.crashed = on_crashed;
    options.arg = &crashes;
    assert_int_equal(sim_create(&options, &t.sim), 0);
    talk_start(&t, &w);
    for (int round = 0; round < 5; round++) {
        struct sim_machine *machine = sim_machine_create(t.sim, "disk", true);
        struct io_world *world = sim_start(machine);
        struct job job = {.msg.run = job_run, .fn = busy_disk, .arg = NULL};
        job.io = actor(world, IO_WORKER);
        io_post(job.io, &job.msg);
        (void)sim_run_until(t.sim, sim_now_ns(t.sim) + 20 * SECOND, NULL, NULL);
        if (sim_machine_up(machine))
            io_actor_stop(job.io);
        sim_world_free(world);
    }
    *report = *sim_report(t.sim);
    assert_int_equal(crashes.count, report->faults[SIM_FAULT_CRASH]);
    uint64_t hash = sim_hash(t.sim);
    talk_end(&t, &w);
    sim_destroy(t.sim);
    return hash;
}

static void test_determinism(void **state)
{
    (void)state;
    uint64_t hashes[40], crashes = 0, cuts = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct sim_report a, b;
        hashes[seed] = faulty_run(seed, &a);
        assert_true(hashes[seed] == faulty_run(seed, &b));
        assert_memory_equal(&a, &b, sizeof a);
        assert_true(a.events > 20);
        crashes += a.crashes;
        cuts += a.faults[SIM_FAULT_CUT] + a.faults[SIM_FAULT_HALF_OPEN];
        for (uint64_t i = 0; i < seed; i++)
            assert_true(hashes[i] != hashes[seed]);
    }
    assert_true(crashes > 5);
    assert_true(cuts > 5);
}

static void at_call(void *arg)
{
    *(int *)arg += 1;
}

static void test_at_and_flip(void **state)
{
    (void)state;
    int calls = 0;
    uint8_t byte = 0;
    struct sim *sim = universe(1);
    struct sim_machine *machine = sim_machine_create(sim, "m", true);
    sim_at(sim, SECOND, at_call, &calls);
    sim_at(sim, 3 * SECOND, at_call, &calls); // never reached: freed with the universe
    assert_false(sim_run_until(sim, 2 * SECOND, NULL, NULL));
    assert_int_equal(calls, 1);
    assert_int_equal(sim_now_ns(sim), 2 * SECOND);
    run_and_crash(sim, machine, write_synced, NULL, SIM_KILL);
    assert_int_equal(sim_disk_flip(machine, "nothing", 0, 1), ERR_NOT_FOUND);
    assert_int_equal(sim_disk_flip(machine, "f", 1 << 20, 1), ERR_INVALID);
    assert_int_equal(sim_disk_read(machine, "f", 2 * BIG, &byte, 1), 0);
    assert_string_equal(sim_fault_name(SIM_FAULT_HALF_OPEN), "half-open");
    assert_string_equal(sim_machine_name(machine), "m");
    sim_wall_jump(machine, -5);
    sim_destroy(sim);
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
        cmocka_unit_test(test_mail_order),
        cmocka_unit_test(test_stop_runs_mail),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_cut_and_refused),
        cmocka_unit_test(test_server_dies),
        cmocka_unit_test(test_determinism),
        cmocka_unit_test(test_at_and_flip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
