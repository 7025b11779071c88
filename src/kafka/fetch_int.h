// SPDX-License-Identifier: Apache-2.0
//
// Between fetch.c, which asks, and fetch_answer.c, which answers. Private to the two.
#ifndef WEIR_KAFKA_FETCH_INT_H
#define WEIR_KAFKA_FETCH_INT_H

#include "kafka/fetch_session.h"
#include "kafka/resolve.h"
#include "wire/gen/kafka_fetch.h"

#define FETCH_SESSIONS_SINCE 7
#define FETCH_ZSTD_SINCE     10
#define FETCH_IDS_SINCE      13

struct fetch_want { // beside each fetch_part
    struct slice name;
    struct uuid id;
    struct kafka_fetch_request_partition asked;
    int err; // the door's own
};

struct fetch_state {
    struct kafka_request *r;
    struct fetch fetch;
    struct fetch_part *parts;
    struct fetch_want *wants;
    bool by_id;
    bool opens_session;
    bool incremental; // of session_id
    int32_t session_id;
    bool started, cancelled;
};

void kafka_fetch_done(struct fetch *fetch);
// The whole request is refused: an answer with no partitions.
void kafka_fetch_refuse(struct kafka_request *r, int err);
void kafka_session_ask(struct kafka_session_part *part,
                       const struct kafka_fetch_request_partition *asked);

#endif
