// SPDX-License-Identifier: Apache-2.0
//
// Descriptors that a library uses by itself. Both ways go through a duplicate, so that each side
// closes its own and libuv never polls a number that has become another file.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "io/foreign.h"
#include "io/real_int.h"

int io_foreign_watch(struct io *io, int descriptor, struct io_sock **out)
{
    if (io->ops != &real_ops)
        return ERR_UNSUPPORTED;
    int fd = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return real_err(errno);
    struct real_sock *sock = NULL;
    int err = real_sock_create((struct real_io *)io, fd, &sock);
    if (err != 0)
        return err;
    *out = &sock->base;
    return 0;
}

int io_foreign_take(struct io_sock *base, int *out_descriptor)
{
    if (base->ops != &real_ops) {
        io_close(base);
        return ERR_UNSUPPORTED;
    }
    struct real_sock *sock = (struct real_sock *)base;
    uv_os_fd_t own = -1;
    int rc = uv_fileno((uv_handle_t *)&sock->poll, &own);
    ASSERT(rc == 0);
    int fd = fcntl(own, F_DUPFD_CLOEXEC, 0);
    int err = fd < 0 ? real_err(errno) : 0;
    io_close(base);
    if (err == 0)
        *out_descriptor = fd;
    return err;
}

socklen_t io_foreign_sockaddr(const struct io_addr *addr, struct sockaddr_storage *out)
{
    return real_addr_out(addr, out);
}
