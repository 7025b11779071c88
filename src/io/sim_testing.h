// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the simulated world share: a universe, a worker that runs one function, and an
// echo server with a client that checks what comes back. Included once by each test.
#ifndef WEIR_IO_SIM_TESTING_H
#define WEIR_IO_SIM_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/list.h"
#include "io/sim.h"

#define SECOND 1000000000LL

// ---- a worker that runs one function, and a universe around it

struct job {
    struct io_msg msg;
    void (*fn)(struct io *io, void *arg);
    struct io *io;
    void *arg;
    bool done;
};

static inline void job_run(struct io_msg *msg)
{
    struct job *job = CONTAINER_OF(msg, struct job, msg);
    job->fn(job->io, job->arg);
    job->done = true;
}

static inline bool job_done(void *arg)
{
    return ((struct job *)arg)->done;
}

static inline struct sim *universe(uint64_t seed)
{
    struct sim *sim = NULL;
    struct sim_options options;
    sim_options_init(&options, seed);
    assert_int_equal(sim_create(&options, &sim), 0);
    return sim;
}

static inline struct io *actor(struct io_world *world, enum io_kind kind)
{
    struct io *io = NULL;
    struct io_actor_options options = {.name = "actor", .kind = kind};
    assert_int_equal(io_actor_create(world, &options, &io), 0);
    return io;
}

static inline void run_on(struct sim *sim, struct io *io, void (*fn)(struct io *io, void *arg),
                          void *arg)
{
    struct job job = {.msg.run = job_run, .fn = fn, .io = io, .arg = arg};
    io_post(io, &job.msg);
    assert_true(sim_run_until(sim, INT64_MAX, job_done, &job));
}

// Runs fn on a fresh start of the machine, which is then stopped in order.
static inline void run_once(struct sim *sim, struct sim_machine *machine,
                            void (*fn)(struct io *io, void *arg), void *arg)
{
    struct io_world *world = sim_start(machine);
    struct io *io = actor(world, IO_WORKER);
    run_on(sim, io, fn, arg);
    io_actor_stop(io);
    sim_world_free(world);
}

// Runs fn, lets the time pass that it took, and cuts the power.
static inline void run_and_crash(struct sim *sim, struct sim_machine *machine,
                                 void (*fn)(struct io *io, void *arg), void *arg,
                                 enum sim_crash_kind kind)
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

static inline void put(struct io_file *file, uint64_t offset, const void *data, size_t len)
{
    struct iovec iov = {.iov_len = len};
    memcpy(&iov.iov_base, &data, sizeof data);
    assert_int_equal(io_write(file, offset, &iov, 1), 0);
}

static inline struct io_file *make(struct io *io, const char *path)
{
    struct io_file *file = NULL;
    assert_int_equal(io_open(io, path, IO_WRITE | IO_CREATE, &file), 0);
    return file;
}

// ---- a conversation: an echo server, and a client that checks what comes back

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

static inline uint8_t letter(size_t at)
{
    return (uint8_t)(at * 7 + (at >> 8));
}

static inline void server_close(struct talk *t, int64_t why)
{
    t->server_end = why;
    io_close(t->server);
    t->server = NULL;
}

static inline void server_ready(void *owner, int mask)
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

static inline void on_accept(void *owner, struct io_sock *sock, const struct io_addr *peer)
{
    struct talk *t = owner;
    assert_true(io_addr_is_loopback(peer));
    t->server = sock;
    io_sock_own(sock, &server_events, t);
    io_watch(sock, IO_READABLE);
}

static inline void client_close(struct talk *t, int64_t why)
{
    t->client_end = why;
    io_close(t->client);
    t->client = NULL;
}

static inline void client_ready(void *owner, int mask)
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

static inline void talk_listen(struct io *io, void *arg)
{
    struct talk *t = arg;
    struct io_listen_options options = {
        .addr = t->addr, .backlog = 8, .accept = on_accept, .owner = t};
    assert_int_equal(io_listen(io, &options, &t->listener), 0);
    assert_int_equal(io_sock_addr(t->listener, &t->addr), 0);
}

static inline void talk_connect(struct io *io, void *arg)
{
    struct talk *t = arg;
    assert_int_equal(io_connect(io, &t->addr, &t->client), 0);
    io_sock_own(t->client, &client_events, t);
    io_watch(t->client, IO_READABLE | IO_WRITABLE);
}

static inline bool talk_over(void *arg)
{
    const struct talk *t = arg;
    return t->client_end != 0;
}

struct talk_worlds {
    struct sim_machine *server, *client;
    struct io_world *server_world, *client_world;
};

static inline void talk_start(struct talk *t, struct talk_worlds *w)
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

static inline void talk_end(struct talk *t, struct talk_worlds *w)
{
    io_actor_stop(t->client_io);
    io_actor_stop(t->server_io);
    sim_world_free(w->client_world);
    sim_world_free(w->server_world);
}

#endif
