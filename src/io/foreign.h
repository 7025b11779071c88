// SPDX-License-Identifier: Apache-2.0
//
// A library that reads and writes sockets by itself (an HTTP server) inside a loop of ours: it is
// given connections, and is told when the descriptor that it polls with has something. On the real
// machine only; elsewhere everything is ERR_UNSUPPORTED.
#ifndef WEIR_IO_FOREIGN_H
#define WEIR_IO_FOREIGN_H

#include <sys/socket.h>

#include "io/io.h"

// Watches a descriptor that stays the library's, like a socket: io_sock_own, io_watch (for
// IO_READABLE), io_close; never io_recv or io_send.
int io_foreign_watch(struct io *io, int descriptor, struct io_sock **out);
// The descriptor of an accepted connection, non-blocking, now the caller's; the socket is closed in
// any case.
int io_foreign_take(struct io_sock *sock, int *out_descriptor);

// An address as the library wants it; returns its length.
socklen_t io_foreign_sockaddr(const struct io_addr *addr, struct sockaddr_storage *out);

#endif
