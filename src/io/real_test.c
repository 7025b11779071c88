// SPDX-License-Identifier: Apache-2.0
//
// The real world: mail under threads, timers, sockets with more data than fits, files, durable
// writes, the lock, and the reserve of descriptors. A test talks to its actors by messages and
// waits on a semaphore, as main would.
#include "io/real.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"

static struct io_world *world;
static char root[64];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/weir-io-test-XXXXXX");
    assert_non_null(mkdtemp(root));
    assert_int_equal(io_real_create(&world), 0);
    assert_int_equal(io_real_set_root(world, root), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    io_real_destroy(world);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command) == 0 ? 0 : -1;
}

// Runs fn on an actor and waits until it has returned.
struct call {
    struct io_msg msg;
    void (*fn)(struct io *io, void *arg);
    struct io *io;
    void *arg;
    sem_t done;
};

static void call_run(struct io_msg *msg)
{
    struct call *call = CONTAINER_OF(msg, struct call, msg);
    call->fn(call->io, call->arg);
    sem_post(&call->done);
}

static void call_on(struct io *io, void (*fn)(struct io *io, void *arg), void *arg)
{
    struct call call = {.msg.run = call_run, .fn = fn, .io = io, .arg = arg};
    sem_init(&call.done, 0, 0);
    io_post(io, &call.msg);
    while (sem_wait(&call.done) != 0) {
    }
    sem_destroy(&call.done);
}

static struct io *actor(const char *name, enum io_kind kind, int64_t spin_ns)
{
    struct io *io = NULL;
    struct io_actor_options options = {.name = name, .kind = kind, .spin_ns = spin_ns};
    assert_int_equal(io_actor_create(world, &options, &io), 0);
    return io;
}

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

// ---- sockets: an echo with far more data than the kernel takes at once

enum { ECHO_BYTES = 8 << 20 };

struct echo {
    struct io *server_io, *client_io;
    struct io_sock *listener, *server, *client;
    struct io_addr addr;
    uint8_t *held; // what the server has read and not yet sent
    size_t held_len, held_sent;
    size_t sent, got;
    int64_t end; // what the client's last recv said
    bool wrong, stalled;
    sem_t done;
};

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 11));
}

static void server_ready(void *owner, int mask)
{
    struct echo *e = owner;
    (void)mask;
    if (e->held_sent == e->held_len) {
        int64_t n = io_recv(e->server, e->held, 65536);
        if (n == ERR_AGAIN)
            return;
        if (n < 0) {
            io_close(e->server);
            e->server = NULL;
            return;
        }
        e->held_len = (size_t)n;
        e->held_sent = 0;
    }
    struct iovec iov = {e->held + e->held_sent, e->held_len - e->held_sent};
    int64_t n = io_send(e->server, &iov, 1);
    if (n > 0)
        e->held_sent += (size_t)n;
    e->stalled |= e->held_sent < e->held_len;
    io_watch(e->server, e->held_sent < e->held_len ? IO_WRITABLE : IO_READABLE);
}

static const struct io_sock_events server_events = {server_ready};

static void on_accept(void *owner, struct io_sock *sock, const struct io_addr *peer)
{
    struct echo *e = owner;
    e->wrong |= !io_addr_is_loopback(peer);
    e->server = sock;
    io_sock_own(sock, &server_events, e);
    io_watch(sock, IO_READABLE);
}

static void client_send(struct echo *e)
{
    uint8_t chunk[3][5000];
    struct iovec iov[3];
    size_t len = 0;
    for (int i = 0; i < 3; i++) {
        for (size_t k = 0; k < sizeof chunk[i]; k++)
            chunk[i][k] = pattern(e->sent + len + k);
        iov[i] = (struct iovec){chunk[i], sizeof chunk[i]};
        len += sizeof chunk[i];
    }
    int64_t n = io_send(e->client, iov, 3);
    if (n > 0)
        e->sent += (size_t)n;
}

static void client_recv(struct echo *e)
{
    uint8_t buf[4096];
    int64_t n = io_recv(e->client, buf, sizeof buf);
    for (int64_t i = 0; i < n; i++)
        e->wrong |= buf[i] != pattern(e->got + (size_t)i);
    if (n > 0)
        e->got += (size_t)n;
}

static void client_ready(void *owner, int mask)
{
    struct echo *e = owner;
    if ((mask & IO_WRITABLE) != 0)
        client_send(e);
    if ((mask & IO_READABLE) != 0)
        client_recv(e);
    io_watch(e->client, e->sent < ECHO_BYTES ? IO_READABLE | IO_WRITABLE : IO_READABLE);
    if (e->got >= e->sent && e->sent >= ECHO_BYTES) {
        io_close(e->client);
        e->client = NULL;
        sem_post(&e->done);
    }
}

static const struct io_sock_events client_events = {client_ready};

static void start_listen(struct io *io, void *arg)
{
    struct echo *e = arg;
    struct io_listen_options options = {
        .addr = e->addr, .backlog = 16, .accept = on_accept, .owner = e};
    assert_int_equal(io_listen(io, &options, &e->listener), 0);
    assert_int_equal(io_sock_addr(e->listener, &e->addr), 0);
    assert_int_not_equal(e->addr.port, 0);
}

static void start_client(struct io *io, void *arg)
{
    struct echo *e = arg;
    assert_int_equal(io_connect(io, &e->addr, &e->client), 0);
    io_sock_own(e->client, &client_events, e);
    io_watch(e->client, IO_WRITABLE);
}

static void echo_over(const char *address)
{
    struct echo e = {0};
    sem_init(&e.done, 0, 0);
    e.held = mem_alloc(65536);
    assert_int_equal(io_addr_parse(address, &e.addr), 0);
    e.server_io = actor("server", IO_LOOP, 0);
    e.client_io = actor("client", IO_LOOP, 0);
    call_on(e.server_io, start_listen, &e);
    call_on(e.client_io, start_client, &e);
    while (sem_wait(&e.done) != 0) {
    }
    io_actor_stop(e.client_io);
    io_actor_stop(e.server_io);
    assert_false(e.wrong);
    assert_true(e.got >= ECHO_BYTES);
    mem_free(e.held);
    sem_destroy(&e.done);
}

static void test_echo(void **state)
{
    (void)state;
    echo_over("127.0.0.1:0");
}

static void test_echo_v6(void **state)
{
    (void)state;
    if (access("/proc/net/if_inet6", R_OK) != 0)
        skip();
    echo_over("[::1]:0");
}

static void refused_ready(void *owner, int mask)
{
    struct echo *e = owner;
    uint8_t byte;
    (void)mask;
    e->end = io_recv(e->client, &byte, 1);
    io_close(e->client);
    sem_post(&e->done);
}

static const struct io_sock_events refused_events = {refused_ready};

static void connect_nowhere(struct io *io, void *arg)
{
    struct echo *e = arg;
    assert_int_equal(io_connect(io, &e->addr, &e->client), 0);
    io_sock_own(e->client, &refused_events, e);
    io_watch(e->client, IO_WRITABLE);
}

static void listen_twice(struct io *io, void *arg)
{
    struct echo *e = arg;
    struct io_sock *second = NULL;
    struct io_listen_options options = {
        .addr = e->addr, .backlog = 16, .accept = on_accept, .owner = e};
    assert_int_equal(io_listen(io, &options, &second), 0); // the same process may
    io_close(second);
    struct io_world *other = NULL;
    struct io_actor_options loop = {.name = "other", .kind = IO_LOOP};
    struct io *stranger = NULL;
    assert_int_equal(io_real_create(&other), 0);
    assert_int_equal(io_actor_create(other, &loop, &stranger), 0);
    io_actor_stop(stranger);
    io_real_destroy(other);
    io_close(e->listener);
    e->listener = NULL;
}

static void listen_refused(struct io *io, void *arg)
{
    struct echo *e = arg;
    struct io_sock *sock = NULL;
    struct io_listen_options options = {
        .addr = e->addr, .backlog = 16, .accept = on_accept, .owner = e};
    assert_int_equal(io_listen(io, &options, &sock), ERR_ADDRESS_IN_USE);
    assert_null(sock);
}

static void test_addresses(void **state)
{
    (void)state;
    struct echo e = {0};
    struct io_world *other = NULL;
    struct io_actor_options loop = {.name = "other", .kind = IO_LOOP};
    struct io *stranger = NULL;
    sem_init(&e.done, 0, 0);
    assert_int_equal(io_addr_parse("127.0.0.1:0", &e.addr), 0);
    e.server_io = actor("server", IO_LOOP, 0);
    call_on(e.server_io, start_listen, &e);
    // Another world stands for another process: it must not share the port.
    assert_int_equal(io_real_create(&other), 0);
    assert_int_equal(io_actor_create(other, &loop, &stranger), 0);
    call_on(stranger, listen_refused, &e);
    io_actor_stop(stranger);
    io_real_destroy(other);
    call_on(e.server_io, listen_twice, &e);
    call_on(e.server_io, connect_nowhere, &e);
    while (sem_wait(&e.done) != 0) {
    }
    assert_int_equal(e.end, ERR_REFUSED);
    io_actor_stop(e.server_io);
    sem_destroy(&e.done);
}

// ---- the reserve of descriptors: connections are turned away, files still open

struct flood {
    struct echo e;
    struct io_sock *socks[256];
    int accepted, lost;
};

static void flood_accept(void *owner, struct io_sock *sock, const struct io_addr *peer)
{
    struct flood *f = owner;
    (void)peer;
    (void)sock;
    f->accepted++;
}

struct flood_client {
    struct flood *flood;
    struct io_sock *sock;
};

static struct flood_client flood_clients[64];

static void flood_ready(void *owner, int mask)
{
    struct flood_client *c = owner;
    uint8_t byte;
    (void)mask;
    int64_t n = io_recv(c->sock, &byte, 1);
    if (n == ERR_AGAIN)
        return;
    io_close(c->sock);
    c->sock = NULL;
    if (++c->flood->lost == 40)
        sem_post(&c->flood->e.done);
}

static const struct io_sock_events flood_events = {flood_ready};

static void flood_start(struct io *io, void *arg)
{
    struct flood *f = arg;
    struct rlimit limit;
    struct io_listen_options options = {
        .addr = f->e.addr, .backlog = 128, .accept = flood_accept, .owner = f};
    assert_int_equal(io_listen(io, &options, &f->e.listener), 0);
    assert_int_equal(io_sock_addr(f->e.listener, &f->e.addr), 0);
    for (int i = 0; i < 40; i++) {
        struct flood_client *c = &flood_clients[i];
        c->flood = f;
        assert_int_equal(io_connect(io, &f->e.addr, &c->sock), 0);
        io_sock_own(c->sock, &flood_events, c);
        io_watch(c->sock, IO_READABLE);
    }
    // Every number from here on is within the reserve.
    int fd = dup(0);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)fd + 16;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void test_reserve(void **state)
{
    (void)state;
    struct rlimit before;
    struct flood f = {0};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    sem_init(&f.e.done, 0, 0);
    assert_int_equal(io_addr_parse("127.0.0.1:0", &f.e.addr), 0);
    struct io *io = actor("flood", IO_LOOP, 0);
    call_on(io, flood_start, &f);
    while (sem_wait(&f.e.done) != 0) {
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    io_actor_stop(io);
    assert_int_equal(f.accepted, 0);
    assert_int_equal(f.lost, 40);
    sem_destroy(&f.e.done);
}

// ---- files

static int collect(void *arg, const char *name)
{
    char *out = arg;
    strncat(out, name, 200 - strlen(out));
    strncat(out, " ", 200 - strlen(out));
    return 0;
}

static void files(struct io *io, void *arg)
{
    (void)arg;
    struct io_file *f = NULL, *g = NULL;
    char buf[64] = {0}, names[256] = "";
    char a[] = "hello ", b[] = "world";
    struct iovec iov[2] = {{a, 6}, {b, 5}};
    assert_int_equal(io_open(io, "nothing", 0, &f), ERR_NOT_FOUND);
    assert_int_equal(io_open(io, "../escape", IO_WRITE | IO_CREATE, &f), ERR_INVALID);
    assert_int_equal(io_open(io, "/etc/passwd", 0, &f), ERR_INVALID);
    assert_null(f);
    assert_int_equal(io_mkdir(io, "d"), 0);
    assert_int_equal(io_mkdir(io, "d"), 0);
    assert_int_equal(io_open(io, "d/x", IO_WRITE | IO_CREATE | IO_EXCLUSIVE, &f), 0);
    assert_int_equal(io_open(io, "d/x", IO_WRITE | IO_CREATE | IO_EXCLUSIVE, &g), ERR_EXISTS);
    assert_int_equal(io_write(f, 3, iov, 2), 0);
    assert_int_equal(io_file_size(f), 14);
    assert_int_equal(io_read(f, 0, buf, sizeof buf), 14);
    assert_memory_equal(buf, "\0\0\0hello world", 14);
    assert_int_equal(io_sync(f), 0);
    assert_int_equal(io_truncate(f, 8), 0);
    assert_int_equal(io_read(f, 8, buf, 1), 0);
    assert_int_equal(io_reserve(f, 0, 1 << 20), 0);
    assert_int_equal(io_file_size(f), 8);
    io_file_close(f);
    assert_int_equal(io_rename(io, "d/x", "d/y"), 0);
    assert_int_equal(io_sync_dir(io, "d"), 0);
    assert_int_equal(io_sync_dir(io, ""), 0);
    assert_int_equal(io_open(io, "d/a", IO_WRITE | IO_CREATE, &f), 0);
    io_file_close(f);
    assert_int_equal(io_list(io, "d", collect, names), 0);
    assert_string_equal(names, "a y ");
    assert_int_equal(io_remove(io, "d"), ERR_EXISTS);
    assert_int_equal(io_remove(io, "d/a"), 0);
    assert_int_equal(io_remove(io, "d/y"), 0);
    assert_int_equal(io_remove(io, "d"), 0);
    assert_int_equal(io_list(io, "d", collect, names), ERR_NOT_FOUND);
    assert_true(io_disk_free(io) > 0);
    io_file_close(NULL);
}

static void many_iovecs(struct io *io, void *arg)
{
    (void)arg;
    enum { COUNT = 3000 };
    struct io_file *f = NULL;
    struct iovec *iov = mem_zalloc(COUNT * sizeof *iov);
    uint16_t *numbers = mem_zalloc(COUNT * sizeof *numbers);
    for (uint16_t i = 0; i < COUNT; i++) {
        numbers[i] = i;
        iov[i] = (struct iovec){&numbers[i], 2};
    }
    uint16_t back[COUNT];
    assert_int_equal(io_open(io, "many", IO_WRITE | IO_CREATE, &f), 0);
    assert_int_equal(io_write(f, 0, iov, COUNT), 0);
    assert_int_equal(io_read(f, 0, back, sizeof back), sizeof back);
    assert_memory_equal(back, numbers, sizeof back);
    io_file_close(f);
    mem_free(numbers);
    mem_free(iov);
}

static void durable(struct io *io, void *arg)
{
    (void)arg;
    struct io_file *f = NULL;
    uint8_t *page = mem_alloc_aligned(IO_BLOCK, 3 * IO_BLOCK);
    uint8_t *back = mem_alloc_aligned(IO_BLOCK, 4 * IO_BLOCK);
    memset(page, 'a', IO_BLOCK);
    memset(page + IO_BLOCK, 'b', 2 * IO_BLOCK);
    struct iovec iov[2] = {{page, IO_BLOCK}, {page + IO_BLOCK, 2 * IO_BLOCK}};
    assert_int_equal(io_open(io, "wal", IO_WRITE | IO_CREATE | IO_EXCLUSIVE | IO_DURABLE, &f), 0);
    assert_int_equal(io_write(f, IO_BLOCK, iov, 2), 0);
    assert_int_equal(io_file_size(f), 4 * IO_BLOCK);
    assert_int_equal(io_read(f, 0, back, 4 * IO_BLOCK), 4 * IO_BLOCK);
    assert_int_equal(back[0], 0);
    assert_memory_equal(back + IO_BLOCK, page, 3 * IO_BLOCK);
    assert_int_equal(io_read(f, 4 * IO_BLOCK, back, IO_BLOCK), 0);
    io_file_close(f);
    mem_free(page);
    mem_free(back);
}

static void locks(struct io *io, void *arg)
{
    (void)arg;
    struct io_file *lock = NULL, *second = NULL, *read = NULL;
    char buf[64] = {0};
    assert_int_equal(io_lock(io, "LOCK", "a long first text", &lock), 0);
    assert_int_equal(io_lock(io, "LOCK", "mine", &second), ERR_LOCKED);
    assert_null(second);
    assert_int_equal(io_lock_text(lock, "kafka=here"), 0);
    assert_int_equal(io_open(io, "LOCK", 0, &read), 0);
    assert_int_equal(io_read(read, 0, buf, sizeof buf), 10);
    assert_string_equal(buf, "kafka=here");
    io_file_close(read);
    io_file_close(lock);
    assert_int_equal(io_lock(io, "LOCK", "again", &lock), 0);
    io_file_close(lock);
}

static void test_files(void **state)
{
    (void)state;
    struct io *io = actor("files", IO_WORKER, 0);
    call_on(io, files, NULL);
    call_on(io, many_iovecs, NULL);
    call_on(io, durable, NULL);
    call_on(io, locks, NULL);
    io_actor_stop(io);
}

static void full_device(struct io *io, void *arg)
{
    (void)arg;
    struct io_file *f = NULL;
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    assert_int_equal(io_open(io, "full", IO_WRITE, &f), 0);
    assert_int_equal(io_write(f, 0, &iov, 1), ERR_NOSPACE);
    io_file_close(f);
}

static void test_no_space(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_int_equal(io_real_set_root(world, "/dev"), 0);
    struct io *io = actor("full", IO_WORKER, 0);
    call_on(io, full_device, NULL);
    io_actor_stop(io);
}

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
}

static void test_addr_text(void **state)
{
    (void)state;
    struct io_addr a;
    char text[IO_ADDR_TEXT_SIZE];
    const char *good[] = {"127.0.0.1:9092", "[::1]:0", "[fe80::12]:65535", "0.0.0.0:1"};
    const char *bad[] = {"",          "127.0.0.1",  "127.0.0.1:",  "127.0.0.1:65536", "[::1]",
                         "[::1:9092", "host:9092",  "::1:9092",    "1.2.3.4:9a",      "[]:1",
                         ":9092",     "1.2.3.4:-1", "1.2.3.4.5:1", "[::1]9092"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(io_addr_parse(good[i], &a), 0);
        io_addr_text(&a, text);
        assert_string_equal(text, good[i]);
        assert_int_equal(io_addr_is_loopback(&a), i < 2);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(io_addr_parse(bad[i], &a), ERR_INVALID);
    assert_true(io_real_sock_bytes() < 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mail_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_runs_mail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stopped_timer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_echo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_echo_v6, setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reserve, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_space, setup, teardown),
        cmocka_unit_test_setup_teardown(test_root, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signals, setup, teardown),
        cmocka_unit_test(test_addr_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
