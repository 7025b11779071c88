// SPDX-License-Identifier: Apache-2.0
//
// One connection to a server that speaks AMQP 0-9-1, with one channel. rabbitmq-c shakes hands,
// declares, and encodes; the frames of the measured part go past it, since it sends every frame of
// a message with a call of its own and waits for one frame at a time: here many messages leave in
// one write, and what has come in one read is looked at in place.
#ifndef WEIR_BENCH_AMQP_LINK_H
#define WEIR_BENCH_AMQP_LINK_H

#include <amqp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    uint8_t *at;
    size_t start, end, max;
};

struct link {
    amqp_connection_state_t library; // NULL: a bare socket, for the generator's own sink
    int fd;
    struct bytes out, in;
};

struct frame { // points into link.in until the next link_move
    uint8_t type;
    uint32_t size;
    const uint8_t *payload;
    uint32_t method; // class << 16 | method, of method frames
};

// ---- by the library, one answer after the other; all die when refused

void link_open(struct link *l, const char *host_port, const char *user, const char *vhost);
void link_close(struct link *l);
void link_declare(struct link *l, const char *queue, bool durable);
// Messages ready in it, as the server says after everything that this channel sent before.
uint32_t link_count(struct link *l, const char *queue);
void link_delete(struct link *l, const char *queue);
void link_confirm(struct link *l);
void link_prefetch(struct link *l, uint16_t count);

// ---- past it: between link_raw and link_library

void link_raw(struct link *l);
void link_library(struct link *l); // nothing may be on its way

// What a message is on the wire: method, header and body frames.
struct bytes link_message(struct link *l, const char *queue, size_t size_bytes, bool persistent);
static inline size_t link_out_room(const struct link *l)
{
    return l->out.max - l->out.end;
}
void link_put(struct link *l, const void *bytes, size_t size); // there must be room
void link_put_consume(struct link *l, const char *queue, bool no_ack);
void link_put_ack(struct link *l, uint64_t tag);
static inline bool link_sent(const struct link *l)
{
    return l->out.start == l->out.end;
}
bool link_flush(struct link *l); // writes what can be without waiting: true when that is all
// Writes and reads what can be without waiting; if neither can, waits until one can, or until_ns
// (-1: as long as it takes; 0: not at all). Dies when the connection ends.
void link_move(struct link *l, int64_t until_ns);
bool link_next(struct link *l, struct frame *out); // false: no whole frame is there
// Dies with what the server says if this is a close; every other frame is of no interest here.
void link_other(const struct frame *frame);

static inline uint64_t be64(const uint8_t *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_bswap64(v);
}

#endif
