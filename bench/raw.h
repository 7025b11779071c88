// SPDX-License-Identifier: Apache-2.0
//
// A few requests of Kafka's protocol by hand, for the helpers that must not pay for a client
// library: start-up time (a library polls and backs off in steps longer than what is measured) and
// thousands of connections (a library has threads for each). Versions are the last ones before
// flexible encoding, which every broker of today still answers. Integers are big-endian; a request
// lies in a caller's struct raw_buf, which grows never: RAW_MAX is the limit.
#ifndef WEIR_BENCH_RAW_H
#define WEIR_BENCH_RAW_H

#include <stddef.h>
#include <stdint.h>

enum { RAW_MAX = 1 << 20 };

struct raw_buf {
    size_t len_bytes;
    unsigned char data[RAW_MAX];
};

// Connect to 127.0.0.1:port. A file descriptor, or -1.
int raw_connect(int port);

// Send the request, read the whole answer into out. 0, or -1 when the connection broke.
int raw_exchange(int fd, struct raw_buf *request, struct raw_buf *out);

// Metadata v1 of all topics.
void raw_metadata(struct raw_buf *b);

// CreateTopics v2 of one topic, and the error code in its answer (-1: not understood).
void raw_create_topic(struct raw_buf *b, const char *topic, int partitions);
int raw_create_error(const struct raw_buf *answer, const char *topic);

// Produce v3, acks=-1, one small record to partition 0, and the error code in its answer.
void raw_produce(struct raw_buf *b, const char *topic);
int raw_produce_error(const struct raw_buf *answer, const char *topic);

#endif
