// SPDX-License-Identifier: Apache-2.0
//
// The simulated world as a whole: the same seed gives the same hash; actors get their mail in order
// and their timers in time.
#include "io/sim.h"

#include "base/mem.h"
#include "io/sim_testing.h"

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

static void nothing(struct io *io, void *arg)
{
    (void)arg;
    assert_int_equal(io_mkdir(io, "d"), 0);
}

static void test_stop_runs_mail(void **state)
{
    (void)state;
    struct sim *sim = universe(7);
    struct io_world *world = sim_start(sim_machine_create(sim, "m", true));
    struct io *io = actor(world, IO_WORKER);
    struct job job = {.msg.run = job_run, .fn = nothing, .io = io};
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

static void test_at(void **state)
{
    (void)state;
    int calls = 0;
    struct sim *sim = universe(1);
    struct sim_machine *machine = sim_machine_create(sim, "m", true);
    sim_at(sim, SECOND, at_call, &calls);
    sim_at(sim, 3 * SECOND, at_call, &calls); // never reached: freed with the universe
    assert_false(sim_run_until(sim, 2 * SECOND, NULL, NULL));
    assert_int_equal(calls, 1);
    assert_int_equal(sim_now_ns(sim), 2 * SECOND);
    assert_string_equal(sim_fault_name(SIM_FAULT_HALF_OPEN), "half-open");
    assert_string_equal(sim_machine_name(machine), "m");
    sim_wall_jump(machine, -5);
    sim_destroy(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_order), cmocka_unit_test(test_stop_runs_mail),
        cmocka_unit_test(test_timers),     cmocka_unit_test(test_determinism),
        cmocka_unit_test(test_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
