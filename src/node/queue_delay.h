// SPDX-License-Identifier: Apache-2.0
//
// Messages that are not to be routed before their time: the ladder of queues in which they wait.
//
// A rung is a durable queue of the node's own, in a virtual host that nobody can open. Rung 0 takes
// what is due within a second, rung n what is due in 2^(n-1) to 2^n seconds. A message on rung n
// needs no look before it has waited 2^(n-1) seconds there, and those of one rung come to that in
// the order they were written in: so a rung is read like any queue, from the front, a few messages
// at a time, and however many wait, they cost disk and no memory. A message whose wait is over goes
// to the rung of what is left, at last to rung 0, which holds what it is to publish within the next
// second, by due time; so a message is written once for each one-bit in its seconds, like Celery's
// delays, and once where it goes.
//
// Each step is a copy that becomes durable before the original is settled: a crash may bring a
// message twice, and never loses one. Due times are of the wall clock.
//
// LAYOUT of the record header weir.delay, the first behind the message's own (queue/message.h);
// big-endian
//   OFFSET SIZE FIELD
//   0      1    version = 1
//   1      1    flags: 1 persistent, 2 may enter internal exchanges
//   2      1    priority
//   3      8    due, Unix ms
//   11     8    TTL that begins when it is due, ms; -1: none
//   19     1    vhost length, vhost
//   …      1    further routing keys, each: u8 length, bytes
//   …      2    headers for headers exchanges, each: u8 name length, u32 value length, name, value
#ifndef WEIR_NODE_QUEUE_DELAY_H
#define WEIR_NODE_QUEUE_DELAY_H

#include "base/heap.h"
#include "node/node_int.h"

#define DELAY_RUNGS   24
#define DELAY_VHOST   "weir.delay"
#define DELAY_LEAST_S 1 // rung 0 is what is due within that time

struct delay_reader;

struct delays { // a shard's
    struct shard *shard;
    struct delay_reader *readers[DELAY_RUNGS]; // of rungs that live here
    struct buf note, headers;                  // while a message is written
    struct list preparing;                     // struct ladder, on shard 0
    bool stopped;
};

void delays_init(struct delays *d, struct shard *shard);
void delays_start(struct delays *d); // with the shard: reads the rungs that are there
void delays_stop(struct delays *d);
void delays_fini(struct delays *d);
// A queue came to live here, which may be a rung.
void delays_opened(struct delays *d, const struct queue_facts *facts);
// On shard 0: whether the ladder is there; makes it. done may not run from inside.
bool delays_ready(struct shard *shard);
void delays_prepare(struct shard *shard, void (*done)(void *arg, int err), void *arg);
// publish_add of what is to wait. ERR_NOT_FOUND, ERR_ACCESS_REFUSED: the exchange;
// ERR_UNSUPPORTED: nothing was ever declared that delays.
int delay_add(struct shard *shard, const struct publish *publish, struct publish_receipt *receipt);

// ---- the header

struct delay_note {
    int64_t due_ms, ttl_ms;
    bool persistent, internal;
    uint8_t priority;
    struct slice vhost;
    struct slice keys[MESSAGE_KEYS_MAX];
    uint32_t keys_count;
    uint32_t headers_count;
    struct slice headers; // encoded
};
void delay_note_put(const struct publish *publish, int64_t due_ms, struct buf *out);
int delay_note_get(struct slice value, struct delay_note *out); // ERR_MALFORMED
// The headers that delay_note_get found whole.
void delay_note_headers(const struct delay_note *note, struct exchange_header *out);
uint32_t delay_rung(int64_t left_ms);

#endif
