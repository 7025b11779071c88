// SPDX-License-Identifier: Apache-2.0
//
// The real world: the process, its actors' threads and their mailboxes.
//
// A mailbox is a stack that senders push onto with one compare-and-swap and the owner takes whole
// and turns round: total order of pushes, so each sender's messages stay in order, no lock, and one
// atomic exchange per turn however many messages came. The owner announces that it goes to sleep
// in `asleep` and looks into the mailbox once more; a sender that finds the word set clears it and
// is the one that wakes. So a busy receiver costs its senders no system call.
#include "io/real.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/real_int.h"

// ---- clocks and chance

int64_t real_clock_ns(void)
{
    struct timespec ts;
    int rc = clock_gettime(CLOCK_MONOTONIC, &ts);
    ASSERT(rc == 0);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

// A loop reads the clock once per turn; a worker blocks in the middle of a turn, so its time moves.
static int64_t real_now_ns(struct io *base)
{
    struct real_io *io = (struct real_io *)base;
    if (base->kind == IO_WORKER)
        return real_clock_ns();
    if (io->now_ns == 0)
        io->now_ns = real_clock_ns();
    return io->now_ns;
}

static int64_t real_wall_ms(struct io *io)
{
    (void)io;
    struct timespec ts;
    int rc = clock_gettime(CLOCK_REALTIME, &ts);
    ASSERT(rc == 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void real_random(struct io *io, void *out, size_t len)
{
    (void)io;
    uint8_t *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0) {
            ASSERT(errno == EINTR);
            continue;
        }
        at += n;
        len -= (size_t)n;
    }
}

// ---- mail

static void futex_wait(_Atomic(uint32_t) *word, uint32_t value, int64_t timeout_ns)
{
    struct timespec ts = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
    // Any result is fine: woken, timed out, interrupted or too late: the caller looks again.
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ns < 0 ? NULL : &ts, NULL, 0);
}

// Set when this thread has woken another: see worker_run.
static _Thread_local bool woke_somebody;

static void real_wake(struct real_io *io)
{
    if (atomic_load(&io->asleep) == 0 || atomic_exchange(&io->asleep, 0) == 0)
        return;
    woke_somebody = true;
    if (io->base.kind == IO_LOOP)
        real_loop_wake(io);
    else
        (void)syscall(SYS_futex, &io->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void real_post(struct io *to, struct io_msg *msg)
{
    struct real_io *io = (struct real_io *)to;
    // The message may run, and its actor be stopped by somebody whom that freed to do so, before
    // this thread has woken the actor: whoever ends an actor waits for those that are in here.
    atomic_fetch_add(&io->posting, 1);
    if (!atomic_load(&io->ended)) {
        struct io_msg *head = atomic_load_explicit(&io->mail, memory_order_relaxed);
        do {
            msg->next = head;
        } while (!atomic_compare_exchange_weak(&io->mail, &head, msg));
        real_wake(io);
    }
    atomic_fetch_sub(&io->posting, 1);
}

void real_posters_leave(struct real_io *io)
{
    while (atomic_load(&io->posting) != 0)
        (void)sched_yield();
}

bool real_run_mail(struct real_io *io)
{
    struct io_msg *newest = atomic_exchange(&io->mail, NULL);
    struct io_msg *oldest = NULL;
    while (newest != NULL) {
        struct io_msg *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    bool ran = oldest != NULL;
    while (oldest != NULL) {
        struct io_msg *next = oldest->next; // the message may be gone after run
        oldest->run(oldest);
        oldest = next;
    }
    return ran;
}

void real_turn_end(struct real_io *io)
{
    if (io->base.turn_end != NULL)
        io->base.turn_end(io->base.turn_end_arg);
}

// ---- workers

static bool worker_turn(struct real_io *io)
{
    bool ran = real_run_mail(io);
    if (io_timers_next(&io->base) != INT64_MAX && io_timers_fire(&io->base, real_clock_ns()))
        ran = true;
    if (ran)
        real_turn_end(io);
    return ran;
}

static void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// True when mail came while spinning.
static bool worker_spin(struct real_io *io)
{
    int64_t until_ns = real_clock_ns() + io->spin_ns;
    do {
        for (int i = 0; i < 32; i++) {
            if (atomic_load_explicit(&io->mail, memory_order_relaxed) != NULL)
                return true;
            cpu_relax();
        }
        (void)
            sched_yield(); // a partner that this worker displaced may be waiting for its processor
    } while (real_clock_ns() < until_ns);
    return false;
}

static void worker_sleep(struct real_io *io)
{
    int64_t timeout_ns = -1;
    int64_t next_ns = io_timers_next(&io->base);
    if (next_ns != INT64_MAX) {
        timeout_ns = next_ns - real_clock_ns();
        if (timeout_ns <= 0)
            return;
    }
    atomic_store(&io->asleep, 1);
    if (atomic_load(&io->mail) == NULL && !atomic_load(&io->stopping))
        futex_wait(&io->asleep, 1, timeout_ns);
    atomic_store(&io->asleep, 0);
}

static void worker_run(struct real_io *io)
{
    for (;;) {
        bool stopping = atomic_load(&io->stopping); // before the mailbox: its mail still runs
        woke_somebody = false;
        bool ran = worker_turn(io);
        if (stopping && !ran)
            return;
        // Whom this worker has just woken is often put on its own processor, and would wait there
        // until the spinning ends (measured on two cores: 105 us instead of 4). So it spins only
        // while its partners are awake, which is when more is about to come.
        if (ran && io->spin_ns > 0 && !woke_somebody && worker_spin(io))
            continue;
        if (!stopping)
            worker_sleep(io);
    }
}

// ---- actors

static void *actor_main(void *arg)
{
    struct real_io *io = arg;
    if (io->base.kind == IO_LOOP)
        real_loop_run(io);
    else
        worker_run(io);
    LIST_FOR_SAFE (it, &io->files)
        io_file_close(&CONTAINER_OF(it, struct real_file, link)->base);
    return NULL;
}

// Signals are main's: a thread inherits the mask it is made under.
static int thread_start(struct real_io *io)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&io->thread, NULL, actor_main, io);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0)
        return real_err(rc);
    (void)pthread_setname_np(io->thread, io->name);
    return 0;
}

static int real_actor_create(struct io_world *world, const struct io_actor_options *options,
                             struct io **out)
{
    struct real_io *io = mem_alloc_aligned(64, sizeof *io);
    io_base_init(&io->base, &real_ops, options->kind);
    io->world = (struct real_world *)world;
    io->spin_ns = io->world->one_cpu ? 0 : options->spin_ns;
    (void)snprintf(io->name, sizeof io->name, "%s", options->name);
    list_init(&io->socks);
    list_init(&io->files);
    int rc = options->kind == IO_LOOP ? real_loop_init(io) : 0;
    if (rc == 0) {
        rc = thread_start(io);
        // A loop that never ran is wound up by running it once, stopped.
        if (rc != 0 && options->kind == IO_LOOP) {
            atomic_store(&io->stopping, true);
            real_loop_run(io);
        }
    }
    if (rc != 0) {
        io_base_fini(&io->base);
        mem_free(io);
        return rc;
    }
    *out = &io->base;
    return 0;
}

static void real_actor_stop(struct io *base)
{
    struct real_io *io = (struct real_io *)base;
    ASSERT(!pthread_equal(io->thread, pthread_self()));
    atomic_store(&io->stopping, true);
    real_wake(io);
    int rc = pthread_join(io->thread, NULL);
    ASSERT(rc == 0);
    atomic_store(&io->ended, true);
    real_posters_leave(io);
    io_base_fini(base);
    mem_free(io->stage);
    io->stage = NULL;
    list_push_back(&io->world->ended, &io->ended_link);
}

static void real_timers_changed(struct io *base)
{
    // A worker looks at its heap before it sleeps, a loop arms its uv_timer before it polls: the
    // owner is awake while it starts timers, so there is nothing to do now.
    (void)base;
}

// ---- the world

// Where there is one processor, spinning only keeps off it whom the spinner waits for.
static bool one_cpu(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1;
}

int io_real_create(struct io_world **out)
{
    struct real_world *world = mem_zalloc(sizeof *world);
    world->one_cpu = one_cpu();
    world->base.ops = &real_ops;
    world->root_fd = -1;
    world->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    list_init(&world->listen_addrs);
    list_init(&world->ended);
    int rc = pthread_mutex_init(&world->listen_lock, NULL);
    ASSERT(rc == 0);
    *out = &world->base;
    return 0;
}

void io_real_destroy(struct io_world *base)
{
    struct real_world *world = (struct real_world *)base;
    if (world == NULL)
        return;
    ASSERT(list_empty(&world->listen_addrs));
    for (struct list *it; (it = list_pop_front(&world->ended)) != NULL;)
        mem_free(CONTAINER_OF(it, struct real_io, ended_link));
    if (world->root_fd >= 0)
        (void)close(world->root_fd);
    if (world->spare_fd >= 0)
        (void)close(world->spare_fd);
    (void)pthread_mutex_destroy(&world->listen_lock);
    mem_free(world);
}

int io_real_set_root(struct io_world *base, const char *path)
{
    struct real_world *world = (struct real_world *)base;
    (void)umask(077);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return real_err(errno);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return real_err(errno);
    if (world->root_fd >= 0)
        (void)close(world->root_fd);
    world->root_fd = fd;
    return 0;
}

int64_t io_real_rlimit_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return real_err(errno);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return real_err(errno);
    return limit.rlim_cur > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_cur;
}

static void stop_signals(sigset_t *out)
{
    (void)sigemptyset(out);
    (void)sigaddset(out, SIGINT);
    (void)sigaddset(out, SIGTERM);
}

void io_real_block_signals(void)
{
    sigset_t set;
    stop_signals(&set);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

int io_real_wait_signal(struct io_world *base)
{
    struct real_world *world = (struct real_world *)base;
    sigset_t set;
    int sig = 0;
    stop_signals(&set);
    int rc = sigwait(&set, &sig);
    ASSERT(rc == 0);
    // Each wake ends one wait: the next signal may be a user's again.
    return atomic_exchange(&world->woken, false) ? 0 : sig;
}

void io_real_wake(struct io_world *base)
{
    struct real_world *world = (struct real_world *)base;
    atomic_store(&world->woken, true);
    (void)kill(getpid(), SIGTERM);
}

size_t io_real_sock_bytes(void)
{
    return sizeof(struct real_sock);
}

const struct io_ops real_ops = {
    .actor_create = real_actor_create,
    .actor_stop = real_actor_stop,
    .post = real_post,
    .now_ns = real_now_ns,
    .wall_ms = real_wall_ms,
    .random = real_random,
    .timers_changed = real_timers_changed,
    .listen = real_listen,
    .sock_addr = real_sock_addr,
    .connect = real_connect,
    .sock_own = real_sock_own,
    .watch = real_watch,
    .recv = real_recv,
    .send = real_send,
    .close = real_close,
    .open = real_open,
    .file_close = real_file_close,
    .file_size = real_file_size,
    .read = real_read,
    .write = real_write,
    .sync = real_sync,
    .truncate = real_truncate,
    .reserve = real_reserve,
    .rename = real_rename,
    .remove = real_remove,
    .mkdir = real_mkdir,
    .sync_dir = real_sync_dir,
    .list = real_list,
    .disk_free = real_disk_free,
    .lock = real_lock,
    .lock_text = real_lock_text,
};
