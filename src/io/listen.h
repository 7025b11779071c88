// SPDX-License-Identifier: Apache-2.0
//
// Where a door listens: a list of addresses, or by default both loopbacks at one port, since
// "localhost" is ::1 for some clients and 127.0.0.1 for others.
#ifndef WEIR_IO_LISTEN_H
#define WEIR_IO_LISTEN_H

#include "io/io.h"

#define LISTEN_MAX 8

struct listeners {
    struct io_sock *socks[LISTEN_MAX];
    struct io_addr addrs[LISTEN_MAX]; // as bound: with a port
    uint32_t count;
};

struct listen_options {
    // None: 127.0.0.1 and [::1] at `port`; then a machine that lacks one of the two families is no
    // error.
    const struct io_addr *addrs;
    uint32_t count;
    uint16_t port; // for the default pair; 0: any free one, the same for both
    void (*accept)(void *owner, struct io_sock *sock, const struct io_addr *peer); // as io_listen
    void *owner;
};

// All or none. ERR_ADDRESS_IN_USE, ERR_PERMISSION, ERR_LIMIT (too many addresses), ERR_IO.
int listeners_open(struct io *io, const struct listen_options *options, struct listeners *out);
void listeners_close(struct listeners *listeners); // twice does no harm

#endif
