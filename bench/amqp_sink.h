// SPDX-License-Identifier: Apache-2.0
//
// The other end for measuring the generator itself: a thread behind a loopback connection that
// answers every read's messages with one confirm, or delivers as fast as acks come back. No
// handshake, no queues: nothing but the frames of the measured part.
#ifndef WEIR_BENCH_AMQP_SINK_H
#define WEIR_BENCH_AMQP_SINK_H

#include "amqp_link.h"

struct sink;
struct sink_options {
    int cpu;              // where its thread runs; -1: anywhere
    bool confirm;         // what is published
    uint16_t prefetch;    // it delivers, at most so many unacknowledged…
    size_t deliver_bytes; // …of this size
};
// Connects *l to a new sink.
struct sink *sink_start(struct link *l, const struct sink_options *options);
void sink_stop(struct sink *sink, struct link *l);

#endif
