// SPDX-License-Identifier: Apache-2.0
//
// The failing wrapper over real files: each kind of call fails when its countdown says so and not
// before, a failed write leaves the promised part, and mail and timers go through.
#include "io/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <semaphore.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "io/real.h"
#include "io/sim.h"

static struct io_world *world;
static struct io *inner;
static struct io *io;
static struct io_fault_plan plan;
static char root[64];

static int setup(void **state)
{
    (void)state;
    struct io_actor_options options = {.name = "faulty", .kind = IO_WORKER};
    (void)snprintf(root, sizeof root, "/tmp/weir-io-test-XXXXXX");
    assert_non_null(mkdtemp(root));
    assert_int_equal(io_real_create(&world), 0);
    assert_int_equal(io_real_set_root(world, root), 0);
    assert_int_equal(io_actor_create(world, &options, &inner), 0);
    io_fault_plan_init(&plan, 1);
    assert_int_equal(io_fault_wrap(inner, &plan, &io), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    io_actor_stop(io);
    io_fault_unwrap(io);
    io_fault_unwrap(NULL);
    io_real_destroy(world);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command) == 0 ? 0 : -1;
}

struct call {
    struct io_msg msg;
    void (*fn)(void);
    sem_t done;
};

static void call_run(struct io_msg *msg)
{
    struct call *call = CONTAINER_OF(msg, struct call, msg);
    call->fn();
    sem_post(&call->done);
}

// On the actor, posted through the wrapper.
static void run(void (*fn)(void))
{
    struct call call = {.msg.run = call_run, .fn = fn};
    sem_init(&call.done, 0, 0);
    io_post(io, &call.msg);
    while (sem_wait(&call.done) != 0) {
    }
    sem_destroy(&call.done);
}

static struct io_file *open_file(const char *path)
{
    struct io_file *file = NULL;
    assert_int_equal(io_open(io, path, IO_WRITE | IO_CREATE, &file), 0);
    return file;
}

static void opens_and_names(void)
{
    struct io_file *file = NULL;
    plan.rules[IO_FAULT_OPEN].countdown = 2;
    file = open_file("a");
    io_file_close(file);
    file = NULL;
    assert_int_equal(io_open(io, "a", 0, &file), ERR_IO);
    assert_null(file);
    file = open_file("a"); // once only
    io_file_close(file);
    plan.rules[IO_FAULT_OPEN] = (struct io_fault_rule){.countdown = 1, .err = ERR_LIMIT};
    assert_int_equal(io_lock(io, "LOCK", "x", &file), ERR_LIMIT);
    plan.rules[IO_FAULT_NAME] = (struct io_fault_rule){.countdown = 1, .times = 3};
    assert_int_equal(io_rename(io, "a", "b"), ERR_IO);
    assert_int_equal(io_remove(io, "a"), ERR_IO);
    assert_int_equal(io_mkdir(io, "d"), ERR_IO);
    assert_int_equal(io_rename(io, "a", "b"), 0); // nothing had happened
    assert_int_equal(plan.calls[IO_FAULT_NAME], 4);
    assert_int_equal(plan.failed[IO_FAULT_NAME], 3);
}

static void test_opens_and_names(void **state)
{
    (void)state;
    run(opens_and_names);
}

static void partial_write(void)
{
    char a[] = "abc", b[] = "defgh", back[16] = {0};
    struct iovec iov[2] = {{a, 3}, {b, 5}};
    struct io_file *file = open_file("w");
    plan.rules[IO_FAULT_WRITE] =
        (struct io_fault_rule){.countdown = 2, .err = ERR_NOSPACE, .after_bytes = 5};
    assert_int_equal(io_write(file, 0, iov, 1), 0);
    assert_int_equal(io_write(file, 3, iov, 2), ERR_NOSPACE);
    assert_int_equal(io_read(file, 0, back, sizeof back), 8);
    assert_string_equal(back, "abcabcde");
    plan.rules[IO_FAULT_WRITE] = (struct io_fault_rule){.countdown = 1, .after_bytes = UINT64_MAX};
    assert_int_equal(io_write(file, 0, iov, 2), ERR_IO);
    assert_int_equal(io_read(file, 0, back, sizeof back), 8);
    assert_string_equal(back, "abcdefge"); // all but one
    plan.rules[IO_FAULT_WRITE] = (struct io_fault_rule){.countdown = 1, .times = UINT32_MAX};
    assert_int_equal(io_write(file, 0, iov, 2), ERR_IO);
    assert_int_equal(io_truncate(file, 0), ERR_IO);
    assert_int_equal(io_reserve(file, 0, 100), ERR_IO);
    assert_int_equal(io_file_size(file), 8);
    io_file_close(file);
}

static void durable_write(void)
{
    struct io_file *file = NULL;
    uint8_t *page = mem_alloc_aligned(IO_BLOCK, 3 * IO_BLOCK);
    struct iovec iov = {page, 3 * IO_BLOCK};
    plan.rules[IO_FAULT_WRITE] = (struct io_fault_rule){.countdown = 1, .after_bytes = 9000};
    assert_int_equal(io_open(io, "d", IO_CREATE | IO_WRITE | IO_DURABLE, &file), 0);
    assert_int_equal(io_write(file, 0, &iov, 1), ERR_IO);
    assert_int_equal(io_file_size(file), 2 * IO_BLOCK);
    io_file_close(file);
    mem_free(page);
}

static void test_partial_write(void **state)
{
    (void)state;
    run(partial_write);
    run(durable_write);
}

static void syncs_and_reads(void)
{
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    struct io_file *file = open_file("s");
    plan.rules[IO_FAULT_SYNC].countdown = 3;
    assert_int_equal(io_write(file, 0, &iov, 1), 0);
    assert_int_equal(io_sync(file), 0);
    assert_int_equal(io_sync_dir(io, ""), 0);
    assert_int_equal(io_sync(file), ERR_SYNC);
    plan.rules[IO_FAULT_READ].chance_ppm = 500000;
    int failed = 0;
    for (int i = 0; i < 200; i++)
        failed += io_read(file, 0, &byte, 1) == ERR_IO;
    assert_true(failed > 50 && failed < 150);
    assert_int_equal(plan.failed[IO_FAULT_READ], failed);
    io_file_close(file);
}

static void test_syncs_and_reads(void **state)
{
    (void)state;
    run(syncs_and_reads);
}

static _Atomic(int) fired;
static sem_t alarm_rang;
static struct io_timer timer;

static void on_fire(struct io_timer *t)
{
    (void)t;
    fired++;
    sem_post(&alarm_rang);
}

static void start_timer(void)
{
    uint8_t random[4];
    io_random(io, random, sizeof random);
    assert_true(io_wall_ms(io) > 0);
    io_timer_init(&timer, on_fire);
    io_timer_start(io, &timer, io_now_ns(io) + 1000000);
    assert_true(io_timer_running(&timer));
}

static void test_handed_on(void **state)
{
    (void)state;
    sem_init(&alarm_rang, 0, 0);
    run(start_timer);
    while (sem_wait(&alarm_rang) != 0) {
    }
    assert_int_equal(fired, 1);
    sem_destroy(&alarm_rang);
}

// Over the simulator as over the real machine: a refused connection.
static void connect_job(struct io_msg *msg)
{
    (void)msg;
    struct io_addr addr = {.port = 1};
    struct io_sock *sock = NULL;
    plan.rules[IO_FAULT_CONNECT].countdown = 1;
    assert_int_equal(io_connect(io, &addr, &sock), ERR_REFUSED);
    assert_null(sock);
    assert_int_equal(io_connect(io, &addr, &sock), 0);
    io_close(sock);
    fired = 100;
}

static void test_over_simulator(void **state)
{
    (void)state;
    struct sim *sim = NULL;
    struct sim_options options;
    struct io_msg msg = {.run = connect_job};
    struct io_actor_options loop = {.name = "loop", .kind = IO_LOOP};
    sim_options_init(&options, 1);
    assert_int_equal(sim_create(&options, &sim), 0);
    struct io_world *simulated = sim_start(sim_machine_create(sim, "m", false));
    assert_int_equal(io_actor_create(simulated, &loop, &inner), 0);
    io_fault_plan_init(&plan, 1);
    assert_int_equal(io_fault_wrap(inner, &plan, &io), 0);
    io_post(io, &msg);
    (void)sim_run_until(sim, 1000000000, NULL, NULL);
    assert_int_equal(fired, 100);
    io_actor_stop(io);
    io_fault_unwrap(io);
    sim_world_free(simulated);
    sim_destroy(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_opens_and_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_partial_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_syncs_and_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_handed_on, setup, teardown),
        cmocka_unit_test(test_over_simulator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
