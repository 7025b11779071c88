// SPDX-License-Identifier: Apache-2.0
//
// Sockets of the real world: an echo of far more data than the kernel takes at once, addresses in
// use, refused connections, and the reserve of descriptors.
#include "io/real.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/real_testing.h"

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
    assert_true(io_real_sock_bytes() < 400);
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

// ---- no descriptor at all, not even the spare one: the loop waits instead of spinning

static void exhausted_accept(void *owner, struct io_sock *sock, const struct io_addr *peer)
{
    struct flood *f = owner;
    (void)peer;
    io_close(sock);
    if (++f->accepted == 40)
        sem_post(&f->e.done);
}

static void exhausted_start(struct io *io, void *arg)
{
    struct flood *f = arg;
    struct io_listen_options options = {
        .addr = f->e.addr, .backlog = 128, .accept = exhausted_accept, .owner = f};
    struct rlimit limit;
    assert_int_equal(io_listen(io, &options, &f->e.listener), 0);
    assert_int_equal(io_sock_addr(f->e.listener, &f->e.addr), 0);
    for (int i = 0; i < 40; i++)
        assert_int_equal(io_connect(io, &f->e.addr, &f->socks[i]), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 3; // those that are open stay so
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int64_t cpu_ns(void)
{
    struct timespec ts;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts), 0);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void test_exhausted(void **state)
{
    (void)state;
    struct rlimit before;
    struct flood f = {0};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    sem_init(&f.e.done, 0, 0);
    assert_int_equal(io_addr_parse("127.0.0.1:0", &f.e.addr), 0);
    struct io *io = actor("flood", IO_LOOP, 0);
    call_on(io, exhausted_start, &f);
    int64_t begun_ns = cpu_ns();
    (void)usleep(500000);
    int64_t used_ns = cpu_ns() - begun_ns;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    while (sem_wait(&f.e.done) != 0) { // they are served when there is room again
    }
    assert_true(used_ns < 200000000);
    io_actor_stop(io);
    sem_destroy(&f.e.done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_echo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_echo_v6, setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reserve, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exhausted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
