// SPDX-License-Identifier: Apache-2.0
//
// Connections of a loop: libuv says when, recvmsg and sendmsg are called directly, so no buffer
// belongs to a connection at rest. The uv_poll_t is embedded and the object is freed in its close
// callback, which libuv calls one turn later.
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/real_int.h"

// "A connection at rest" must stay far below a kilobyte in all.
_Static_assert(sizeof(struct real_sock) < 400, "io_sock is small");

static void on_poll(uv_poll_t *poll, int status, int events);

static int sock_fd(struct real_sock *sock)
{
    uv_os_fd_t fd = -1;
    int rc = uv_fileno((uv_handle_t *)&sock->poll, &fd);
    ASSERT(rc == 0);
    return fd;
}

static void arm(struct real_sock *sock)
{
    if (sock->armed == sock->mask)
        return;
    sock->armed = sock->mask;
    if (sock->mask == 0) {
        (void)uv_poll_stop(&sock->poll);
        return;
    }
    int events = ((sock->mask & IO_READABLE) != 0 ? UV_READABLE : 0) |
                 ((sock->mask & IO_WRITABLE) != 0 ? UV_WRITABLE : 0);
    int rc = uv_poll_start(&sock->poll, events, on_poll);
    ASSERT(rc == 0);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct real_sock *sock = poll->data;
    int mask = ((events & UV_READABLE) != 0 ? IO_READABLE : 0) |
               ((events & UV_WRITABLE) != 0 ? IO_WRITABLE : 0);
    if (status < 0) { // the socket has failed; libuv has stopped polling it
        mask = IO_READABLE;
        sock->armed = 0;
    }
    sock->io->ran = true;
    if (sock->listening != NULL)
        real_accept_ready(sock);
    else if (sock->on.events != NULL)
        sock->on.events->ready(sock->owner, mask);
    if (!sock->closed)
        arm(sock);
}

int real_sock_create(struct real_io *io, int fd, struct real_sock **out)
{
    struct real_sock *sock = mem_zalloc(sizeof *sock);
    int rc = uv_poll_init(&io->loop, &sock->poll, fd);
    if (rc != 0) {
        (void)close(fd);
        mem_free(sock);
        return real_err(-rc);
    }
    sock->base.ops = &real_ops;
    sock->io = io;
    sock->poll.data = sock;
    list_push_back(&io->socks, &sock->link);
    *out = sock;
    return 0;
}

int real_connect(struct io *base, const struct io_addr *addr, struct io_sock **out)
{
    struct sockaddr_storage sa;
    struct real_sock *sock = NULL;
    int one = 1;
    socklen_t sa_len = real_addr_out(addr, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return real_err(errno);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&sa, sa_len) != 0 && errno != EINPROGRESS &&
        errno != EINTR) {
        int err = real_err(errno);
        (void)close(fd);
        return err;
    }
    int rc = real_sock_create((struct real_io *)base, fd, &sock);
    if (rc != 0)
        return rc;
    ASSERT(sock != NULL);
    *out = &sock->base;
    return 0;
}

int real_sock_addr(struct io_sock *base, struct io_addr *out)
{
    struct sockaddr_storage sa = {0};
    socklen_t sa_len = sizeof sa;
    if (getsockname(sock_fd((struct real_sock *)base), (struct sockaddr *)&sa, &sa_len) != 0)
        return real_err(errno);
    real_addr_in(&sa, out);
    return 0;
}

void real_sock_own(struct io_sock *base, const struct io_sock_events *events, void *owner)
{
    struct real_sock *sock = (struct real_sock *)base;
    ASSERT(sock->listening == NULL);
    sock->on.events = events;
    sock->owner = owner;
}

void real_watch(struct io_sock *base, int mask)
{
    struct real_sock *sock = (struct real_sock *)base;
    ASSERT(!sock->closed);
    sock->mask = (uint8_t)mask;
    arm(sock);
}

int64_t real_recv(struct io_sock *base, void *buf, size_t len)
{
    int fd = sock_fd((struct real_sock *)base);
    for (;;) {
        ssize_t n = recv(fd, buf, len, 0);
        if (n > 0)
            return n;
        if (n == 0)
            return ERR_EOF;
        if (errno != EINTR)
            return real_err(errno);
    }
}

int64_t real_send(struct io_sock *base, const struct iovec *iov, int iov_count)
{
    int fd = sock_fd((struct real_sock *)base);
    struct msghdr msg = {0};
    msg.msg_iov = (struct iovec *)(uintptr_t)iov; // sendmsg does not write through it
    msg.msg_iovlen = (size_t)(iov_count < IOV_MAX ? iov_count : IOV_MAX);
    for (;;) {
        ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL);
        if (n >= 0)
            return n;
        if (errno != EINTR)
            return real_err(errno);
    }
}

static void on_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

void real_close(struct io_sock *base)
{
    struct real_sock *sock = (struct real_sock *)base;
    ASSERT(!sock->closed);
    int fd = sock_fd(sock);
    sock->closed = true;
    if (sock->listening != NULL)
        real_listen_forget(sock);
    list_remove(&sock->link);
    // libuv forgets the descriptor in uv_close; only then may the kernel reuse its number.
    uv_close((uv_handle_t *)&sock->poll, on_closed);
    (void)close(fd);
}
