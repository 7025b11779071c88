// SPDX-License-Identifier: Apache-2.0
//
// A socket that says exactly the bytes that a test gives it and keeps what comes back, for the
// tests of doors in the simulated world.
#ifndef WEIR_NODE_RIG_RAW_TEST_H
#define WEIR_NODE_RIG_RAW_TEST_H

#include "base/buf.h"
#include "base/err.h"
#include "io/io.h"

#define RIG __attribute__((unused)) static

struct rig_raw {
    struct io_sock *sock;
    struct buf in; // what the server has sent
    const uint8_t *out;
    size_t out_len, out_at;
    bool deaf;  // never reads
    bool ended; // the server closed
};

RIG void rig_raw_ready(void *owner, int mask)
{
    struct rig_raw *raw = owner;
    while ((mask & IO_WRITABLE) != 0 && raw->out_at < raw->out_len) {
        struct iovec iov = {(void *)(uintptr_t)(raw->out + raw->out_at),
                            raw->out_len - raw->out_at};
        int64_t n = io_send(raw->sock, &iov, 1);
        if (n < 0) {
            raw->ended = raw->ended || n != ERR_AGAIN;
            break;
        }
        raw->out_at += (size_t)n;
    }
    while (!raw->deaf && (mask & IO_READABLE) != 0 && !raw->ended) {
        uint8_t bytes[4096];
        int64_t n = io_recv(raw->sock, bytes, sizeof bytes);
        if (n == ERR_AGAIN)
            break;
        if (n <= 0)
            raw->ended = true;
        else
            buf_put(&raw->in, bytes, (size_t)n);
    }
    int want = (raw->deaf ? 0 : IO_READABLE) | (raw->out_at < raw->out_len ? IO_WRITABLE : 0);
    io_watch(raw->sock, raw->ended ? 0 : want);
}

RIG int rig_raw_connect(struct io *io, const struct io_addr *addr, struct rig_raw *raw)
{
    static const struct io_sock_events events = {.ready = rig_raw_ready};
    *raw = (struct rig_raw){0};
    buf_init(&raw->in, 256 << 20);
    int err = io_connect(io, addr, &raw->sock);
    if (err != 0)
        return err;
    io_sock_own(raw->sock, &events, raw);
    io_watch(raw->sock, IO_READABLE);
    return 0;
}

// The bytes must live until they are sent.
RIG void rig_raw_send(struct rig_raw *raw, const void *data, size_t len)
{
    raw->out = data;
    raw->out_len = len;
    raw->out_at = 0;
    io_watch(raw->sock, (raw->deaf ? 0 : IO_READABLE) | IO_WRITABLE);
}

RIG void rig_raw_close(struct rig_raw *raw)
{
    io_close(raw->sock);
    raw->sock = NULL;
    buf_fini(&raw->in);
}

#endif
