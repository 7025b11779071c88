// SPDX-License-Identifier: Apache-2.0
//
// Listening on a door's addresses. A port that chance gives in one family may be taken in the
// other, so the pair is tried again with another one.
#include "io/listeners.h"

#include "base/assert.h"
#include "base/err.h"

#define BACKLOG    1024
#define PORT_TRIES 16

static int listen_one(struct io *io, const struct io_listeners_options *options,
                      const struct io_addr *addr, struct io_listeners *out)
{
    ASSERT(out->count < IO_LISTENERS_MAX);
    const struct io_listen_options one = {
        .addr = *addr, .backlog = BACKLOG, .accept = options->accept, .owner = options->owner};
    struct io_sock *sock;
    int err = io_listen(io, &one, &sock);
    if (err != 0)
        return err;
    err = io_sock_addr(sock, &out->addrs[out->count]);
    if (err != 0) {
        io_close(sock);
        return err;
    }
    out->socks[out->count++] = sock;
    return 0;
}

static int listen_pair(struct io *io, const struct io_listeners_options *options,
                       struct io_listeners *out)
{
    struct io_addr four;
    struct io_addr six;
    int err = io_addr_parse("127.0.0.1:0", &four);
    ASSERT(err == 0);
    err = io_addr_parse("[::1]:0", &six);
    ASSERT(err == 0);
    for (int i = 0; i < PORT_TRIES; i++) {
        four.port = options->port;
        int err4 = listen_one(io, options, &four, out);
        six.port = err4 == 0 ? out->addrs[0].port : options->port;
        int err6 = listen_one(io, options, &six, out);
        if (err4 == ERR_ADDRESS_IN_USE || err6 == ERR_ADDRESS_IN_USE) {
            io_listeners_close(out);
            out->count = 0;
            if (options->port != 0) // one that was named is taken
                return ERR_ADDRESS_IN_USE;
            continue; // one of chance may be free in one family only
        }
        return out->count > 0 ? 0 : err4;
    }
    return ERR_ADDRESS_IN_USE;
}

int io_listeners_open(struct io *io, const struct io_listeners_options *options,
                      struct io_listeners *out)
{
    ASSERT(out->count == 0);
    if (options->listen_count == 0)
        return listen_pair(io, options, out);
    if (options->listen_count > IO_LISTENERS_MAX)
        return ERR_LIMIT;
    for (uint32_t i = 0; i < options->listen_count; i++) {
        int err = listen_one(io, options, &options->listen[i], out);
        if (err != 0) {
            io_listeners_close(out);
            out->count = 0;
            return err;
        }
    }
    return 0;
}

void io_listeners_close(struct io_listeners *listeners)
{
    for (uint32_t i = 0; i < listeners->count; i++) {
        io_close(listeners->socks[i]);
        listeners->socks[i] = NULL;
    }
}
