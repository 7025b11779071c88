// SPDX-License-Identifier: Apache-2.0
//
// Actors of the real world: mail under threads, stopping, timers, the root directory, signals.
#include "io/real.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/real_testing.h"

// ---- mail

enum { SENDERS = 4, MAILS = 5000 };

struct numbered {
    struct io_msg msg;
    int sender;
    int number;
    struct receiver *receiver;
};

struct receiver {
    struct io *io;
    int next[SENDERS];
    int count;
    int wrong;
    int turn_ends;
    sem_t all;
};

struct sender {
    struct receiver *receiver;
    struct numbered *mails;
};

static void numbered_run(struct io_msg *msg)
{
    struct numbered *n = CONTAINER_OF(msg, struct numbered, msg);
    struct receiver *r = n->receiver;
    if (r->next[n->sender] != n->number)
        r->wrong++;
    r->next[n->sender] = n->number + 1;
    if (++r->count == SENDERS * MAILS)
        sem_post(&r->all);
}

static void send_all(struct io *io, void *arg)
{
    struct sender *s = arg;
    (void)io;
    for (int i = 0; i < MAILS; i++)
        io_post(s->receiver->io, &s->mails[i].msg);
}

static void count_turn_end(void *arg)
{
    ((struct receiver *)arg)->turn_ends++;
}

static void hook_turn_end(struct io *io, void *arg)
{
    io_on_turn_end(io, count_turn_end, arg);
}

static void send_from_all(struct receiver *r)
{
    struct io *ios[SENDERS];
    struct sender senders[SENDERS];
    struct call calls[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        ios[i] = actor("sender", i % 2 == 0 ? IO_WORKER : IO_LOOP, 0);
        senders[i].receiver = r;
        senders[i].mails = mem_zalloc(MAILS * sizeof(struct numbered));
        for (int k = 0; k < MAILS; k++)
            senders[i].mails[k] = (struct numbered){{NULL, numbered_run}, i, k, r};
        calls[i] =
            (struct call){.msg.run = call_run, .fn = send_all, .io = ios[i], .arg = &senders[i]};
        sem_init(&calls[i].done, 0, 0);
        io_post(ios[i], &calls[i].msg);
    }
    while (sem_wait(&r->all) != 0) {
    }
    for (int i = 0; i < SENDERS; i++) {
        io_actor_stop(ios[i]); // runs to its end: call_run has returned
        sem_destroy(&calls[i].done);
        mem_free(senders[i].mails);
    }
}

static void mail_keeps_order(enum io_kind kind, int64_t spin_ns)
{
    struct receiver r = {0};
    sem_init(&r.all, 0, 0);
    r.io = actor("receiver", kind, spin_ns);
    call_on(r.io, hook_turn_end, &r);
    send_from_all(&r);
    io_actor_stop(r.io);
    assert_int_equal(r.wrong, 0);
    assert_int_equal(r.count, SENDERS * MAILS);
    assert_true(r.turn_ends > 0);
    assert_true(r.turn_ends <= SENDERS * MAILS + 1);
    sem_destroy(&r.all);
}

static void test_mail_order(void **state)
{
    (void)state;
    mail_keeps_order(IO_WORKER, 0);
    mail_keeps_order(IO_WORKER, 50000);
    mail_keeps_order(IO_LOOP, 0);
}

static void test_stop_runs_mail(void **state)
{
    (void)state;
    struct receiver r = {0};
    struct sender s = {&r, mem_zalloc(MAILS * sizeof(struct numbered))};
    sem_init(&r.all, 0, 0);
    r.io = actor("stopped", IO_LOOP, 0);
    for (int k = 0; k < MAILS; k++) {
        s.mails[k] = (struct numbered){{NULL, numbered_run}, 0, k, &r};
        io_post(r.io, &s.mails[k].msg);
    }
    io_actor_stop(r.io);
    assert_int_equal(r.count, MAILS);
    mem_free(s.mails);
    sem_destroy(&r.all);
}

// ---- timers

struct timers {
    struct io *io;
    struct io_timer t[4];
    int order[8];
    int fired;
    int64_t early_ns; // how much too early one fired; must stay 0
    sem_t done;
};

static struct timers timers;

static void on_fire(struct io_timer *timer)
{
    int which = (int)(timer - timers.t);
    assert_false(io_timer_running(timer));
    timers.order[timers.fired++] = which;
    if (which == 3 && timers.fired < 5) // once more, in the past: fires in a later turn
        io_timer_start(timers.io, timer, 0);
    else if (timers.fired == 5)
        sem_post(&timers.done);
}

static void start_timers(struct io *io, void *arg)
{
    (void)arg;
    int64_t now_ns = io_now_ns(io);
    for (int i = 0; i < 4; i++)
        io_timer_init(&timers.t[i], on_fire);
    io_timer_start(io, &timers.t[3], now_ns + 9000000);
    io_timer_start(io, &timers.t[0], now_ns + 3000000);
    io_timer_start(io, &timers.t[1], now_ns + 3000000); // as early as 0, started later
    io_timer_start(io, &timers.t[2], now_ns + 60000000000);
    io_timer_start(io, &timers.t[2], now_ns + 1000000); // restarted
    assert_true(io_timer_running(&timers.t[2]));
}

static void timers_on(enum io_kind kind)
{
    memset(&timers, 0, sizeof timers);
    sem_init(&timers.done, 0, 0);
    timers.io = actor("timers", kind, 0);
    call_on(timers.io, start_timers, NULL);
    while (sem_wait(&timers.done) != 0) {
    }
    io_actor_stop(timers.io);
    const int expected[] = {2, 0, 1, 3, 3};
    assert_memory_equal(timers.order, expected, sizeof expected);
    sem_destroy(&timers.done);
}

static void test_timers(void **state)
{
    (void)state;
    timers_on(IO_LOOP);
    timers_on(IO_WORKER);
}

static void test_stopped_timer(void **state)
{
    (void)state;
    struct io *io = actor("clock", IO_WORKER, 0);
    struct timespec nap = {.tv_nsec = 2000000};
    int64_t a = io_now_ns(io);
    nanosleep(&nap, NULL);
    assert_true(io_now_ns(io) >= a + 2000000);
    assert_true(io_wall_ms(io) > 1600000000000);
    uint8_t x[32] = {0}, y[32] = {0};
    io_random(io, x, sizeof x);
    io_random(io, y, sizeof y);
    assert_memory_not_equal(x, y, sizeof x);
    io_actor_stop(io);
}

// ---- what only main needs

static void test_root(void **state)
{
    (void)state;
    char path[128];
    assert_int_equal(io_real_set_root(world, "/nonexistent/deep"), ERR_NOT_FOUND);
    assert_int_equal(io_real_set_root(world, "/etc/passwd"), ERR_INVALID);
    (void)snprintf(path, sizeof path, "%s/new", root);
    assert_int_equal(io_real_set_root(world, path), 0);
    assert_int_equal(access(path, F_OK), 0);
}

static void test_signals(void **state)
{
    (void)state;
    io_real_block_signals();
    assert_true(io_real_rlimit_files() > 0);
    (void)kill(getpid(), SIGINT);
    assert_int_equal(io_real_wait_signal(world), SIGINT);
    io_real_wake(world);
    assert_int_equal(io_real_wait_signal(world), 0);
    (void)kill(getpid(), SIGTERM); // a user's again, although there was a wake before
    assert_int_equal(io_real_wait_signal(world), SIGTERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mail_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_runs_mail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stopped_timer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_root, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signals, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
