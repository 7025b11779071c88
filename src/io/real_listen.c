// SPDX-License-Identifier: Apache-2.0
//
// Listening. Each loop has a listening socket of its own on the shared address (SO_REUSEPORT), so
// that the kernel spreads connections and no loop hands them on. SO_REUSEPORT would also let a
// second server of the same user in silently; so the first listener of the process binds once
// without it, which fails when anybody else is there.
//
// When descriptors run low (the kernel hands out the lowest free number, so a high number says so)
// a connection is accepted and closed at once: left in the queue it would hang, and the loop would
// be woken for it for ever. Where not even that can be done, the loop's listeners pause.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/real_int.h"

socklen_t real_addr_out(const struct io_addr *addr, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (io_addr_is_v4(addr)) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(addr->port);
        memcpy(&v4->sin_addr, addr->ip + 12, 4);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(addr->port);
    memcpy(&v6->sin6_addr, addr->ip, 16);
    return sizeof *v6;
}

void real_addr_in(const struct sockaddr_storage *addr, struct io_addr *out)
{
    memset(out, 0, sizeof *out);
    if (addr->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)addr;
        out->ip[10] = 0xff;
        out->ip[11] = 0xff;
        memcpy(out->ip + 12, &v4->sin_addr, 4);
        out->port = ntohs(v4->sin_port);
    } else if (addr->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)addr;
        memcpy(out->ip, &v6->sin6_addr, 16);
        out->port = ntohs(v6->sin6_port);
    }
}

// A bound socket, or ERR_*. An IPv6 socket serves IPv6 only: 0.0.0.0 and :: may then be listened on
// side by side.
static int bind_socket(const struct io_addr *addr, bool shared)
{
    struct sockaddr_storage sa;
    int one = 1;
    socklen_t sa_len = real_addr_out(addr, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return real_err(errno);
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0;
    if (ok && sa.ss_family == AF_INET6)
        ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0;
    if (ok && shared)
        ok = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0;
    if (ok)
        ok = bind(fd, (struct sockaddr *)&sa, sa_len) == 0;
    if (ok)
        return fd;
    int err = real_err(errno);
    (void)close(fd);
    return err;
}

static struct real_listen_addr *find_addr(struct real_world *world, const struct io_addr *addr)
{
    LIST_FOR (it, &world->listen_addrs) {
        struct real_listen_addr *known = CONTAINER_OF(it, struct real_listen_addr, link);
        if (memcmp(known->addr.ip, addr->ip, 16) == 0 && known->addr.port == addr->port)
            return known;
    }
    return NULL;
}

static int local_addr(int fd, struct io_addr *out)
{
    struct sockaddr_storage sa = {0};
    socklen_t sa_len = sizeof sa;
    if (getsockname(fd, (struct sockaddr *)&sa, &sa_len) != 0)
        return real_err(errno);
    real_addr_in(&sa, out);
    return 0;
}

// With the lock held. Returns a listening descriptor and counts its address, or ERR_*.
static int open_listener(struct real_world *world, const struct io_listen_options *options,
                         struct real_listen_addr **out)
{
    struct io_addr addr = options->addr;
    struct real_listen_addr *known = addr.port == 0 ? NULL : find_addr(world, &addr);
    if (known == NULL && addr.port != 0) {
        int probe = bind_socket(&addr, false);
        if (probe < 0)
            return probe;
        (void)close(probe);
    }
    int fd = bind_socket(&addr, true);
    if (fd < 0)
        return fd;
    int rc = listen(fd, options->backlog) != 0 ? real_err(errno) : local_addr(fd, &addr);
    if (rc != 0) {
        (void)close(fd);
        return rc;
    }
    if (known == NULL) {
        known = mem_zalloc(sizeof *known);
        known->addr = addr;
        list_push_back(&world->listen_addrs, &known->link);
    }
    known->count++;
    *out = known;
    return fd;
}

static void drop_addr(struct real_world *world, struct real_listen_addr *known)
{
    (void)pthread_mutex_lock(&world->listen_lock);
    ASSERT(known != NULL);
    ASSERT(known->count > 0);
    if (--known->count == 0) {
        list_remove(&known->link);
        mem_free(known);
    }
    (void)pthread_mutex_unlock(&world->listen_lock);
}

void real_listen_forget(struct real_sock *listener)
{
    drop_addr(listener->io->world, listener->listening);
    listener->listening = NULL;
}

int real_listen(struct io *base, const struct io_listen_options *options, struct io_sock **out)
{
    struct real_io *io = (struct real_io *)base;
    struct real_listen_addr *known = NULL;
    struct real_sock *sock = NULL;
    (void)pthread_mutex_lock(&io->world->listen_lock);
    int fd = open_listener(io->world, options, &known);
    (void)pthread_mutex_unlock(&io->world->listen_lock);
    if (fd < 0)
        return fd;
    int rc = real_sock_create(io, fd, &sock);
    if (rc != 0) {
        drop_addr(io->world, known);
        return rc;
    }
    sock->listening = known;
    sock->on.accept = options->accept;
    sock->owner = options->owner;
    real_watch(&sock->base, IO_READABLE);
    *out = &sock->base;
    return 0;
}

// No descriptor at all is left: the spare one makes room for turning the connection away.
static bool turn_away(struct real_sock *listener, int listen_fd)
{
    struct real_world *world = listener->io->world;
    (void)pthread_mutex_lock(&world->listen_lock);
    if (world->spare_fd >= 0)
        (void)close(world->spare_fd);
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    int why = errno;
    if (fd >= 0)
        (void)close(fd);
    world->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)pthread_mutex_unlock(&world->listen_lock);
    errno = why;
    return fd >= 0;
}

static void accept_one(struct real_sock *listener, int fd, const struct sockaddr_storage *sa,
                       int fds_max)
{
    struct io_addr peer;
    struct real_sock *sock;
    int one = 1;
    if (fd >= fds_max - REAL_FDS_RESERVE) {
        (void)close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    // A peer that has vanished without a word is noticed although nothing is sent to it.
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    if (real_sock_create(listener->io, fd, &sock) != 0)
        return;
    real_addr_in(sa, &peer);
    listener->on.accept(listener->owner, &sock->base, &peer);
}

void real_accept_again(struct io_timer *timer)
{
    struct real_io *io = CONTAINER_OF(timer, struct real_io, accept_again);
    LIST_FOR (it, &io->socks) {
        struct real_sock *sock = CONTAINER_OF(it, struct real_sock, link);
        if (sock->listening != NULL)
            real_watch(&sock->base, IO_READABLE);
    }
}

// accept has failed with errno. True: the next one may succeed.
static bool accept_failed(struct real_sock *listener, int listen_fd)
{
    if (errno == EINTR || errno == ECONNABORTED)
        return true;
    if ((errno == EMFILE || errno == ENFILE) && turn_away(listener, listen_fd))
        return true;
    if (errno == EAGAIN)
        return false;
    struct real_io *io = listener->io;
    listener->mask = 0; // armed accordingly when the event is over
    io_timer_start(&io->base, &io->accept_again, io_now_ns(&io->base) + REAL_ACCEPT_NS);
    return false;
}

void real_accept_ready(struct real_sock *listener)
{
    uv_os_fd_t listen_fd;
    struct rlimit limit = {.rlim_cur = 1024};
    if (uv_fileno((uv_handle_t *)&listener->poll, &listen_fd) != 0)
        return;
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    int fds_max = limit.rlim_cur > INT32_MAX ? INT32_MAX : (int)limit.rlim_cur;
    // What is left over after the bound is reported again by the next poll.
    for (int i = 0; i < REAL_ACCEPT_MAX && !listener->closed; i++) {
        struct sockaddr_storage sa = {0};
        socklen_t sa_len = sizeof sa;
        memset(&sa, 0, sizeof sa);
        int fd = accept4(listen_fd, (struct sockaddr *)&sa, &sa_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            accept_one(listener, fd, &sa, fds_max);
        else if (!accept_failed(listener, listen_fd))
            return;
    }
}
