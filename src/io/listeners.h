// SPDX-License-Identifier: Apache-2.0
//
// The addresses that a door listens on: those it was given, or both loopback addresses at one port,
// since "localhost" is ::1 for some clients and 127.0.0.1 for others. A machine that lacks one of
// the two families is no error then.
#ifndef WEIR_IO_LISTENERS_H
#define WEIR_IO_LISTENERS_H

#include "io/io.h"

#define IO_LISTENERS_MAX 8

struct io_listeners { // zeroed before the first open
    struct io_sock *socks[IO_LISTENERS_MAX];
    struct io_addr addrs[IO_LISTENERS_MAX]; // as they came out: ports are settled
    uint32_t count;
};

struct io_listeners_options {
    const struct io_addr *listen; // none: the loopback pair at `port`
    uint32_t listen_count;
    uint16_t port; // of the pair; 0: any that is free in both families
    void (*accept)(void *owner, struct io_sock *sock, const struct io_addr *peer); // as io_listen's
    void *owner;
};

// All of them or none: ERR_ADDRESS_IN_USE, ERR_PERMISSION, ERR_LIMIT (too many), ERR_IO.
int io_listeners_open(struct io *io, const struct io_listeners_options *options,
                      struct io_listeners *out);
void io_listeners_close(struct io_listeners *listeners); // more than once is fine; addrs stay

#endif
