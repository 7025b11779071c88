// SPDX-License-Identifier: Apache-2.0
//
// A small Kafka client: one connection over io.h, requests and responses as the structs of
// src/wire/gen. The command line and the simulated clients use it, so it knows nothing of threads,
// retries or brokers: who wants those writes them above. Everything runs on the loop whose io it
// was given; callbacks never run from inside a call of this header.
//
//   struct kafka_list_groups_request q = …;
//   kafka_client_call(client, &call, KAFKA_API_LIST_GROUPS, 4, &q);
//   … call.done: call.err, else call.response is a struct kafka_list_groups_response *
#ifndef WEIR_KAFKA_CLIENT_H
#define WEIR_KAFKA_CLIENT_H

#include "base/list.h"
#include "io/io.h"
#include "wire/wire_kafka.h"

struct kafka_client;

struct kafka_client_options {
    struct io *io;
    struct io_addr addr;
    struct slice client_id; // copied; may be null
    size_t frame_max_bytes; // larger responses end the connection; 0: 128 MiB
    size_t arena_max_bytes; // of one decoded response; 0: 256 MiB
    // The connection has ended (also: could not be made), after every open call's done has run with
    // the same error. The client is closed by the caller, in here or later. May be NULL.
    void (*lost)(void *arg, int err);
    void *arg;
};

// Begins to connect; calls may be made at once. ERR_* when not even that was possible.
int kafka_client_open(const struct kafka_client_options *options, struct kafka_client **out);
// Ends it: `done` of open calls does not run. Accepts NULL; allowed in any callback.
void kafka_client_close(struct kafka_client *client);

struct kafka_call {
    // set by the caller before kafka_client_call
    void (*done)(struct kafka_call *call);
    bool unanswered; // Produce with acks 0: done runs in the next turn, response NULL
    // out
    int err; // ERR_* of the connection or of decoding; errors of the protocol are in the response
    void *response; // lives until kafka_call_fini
    // the client's
    struct list link;
    const struct wire_api *api;
    int16_t version;
    int32_t correlation_id;
    struct arena arena;
    uint8_t *frame;
};

// Encodes and sends; the request may be forgotten at once (records in pieces are copied). Answers
// come in order. Returns 0 and done will run; or ERR_UNSUPPORTED_VERSION, ERR_LIMIT, ERR_RESET (the
// connection has ended) and done will not.
int kafka_client_call(struct kafka_client *client, struct kafka_call *call, int16_t api_key,
                      int version, const void *request);
void kafka_call_fini(struct kafka_call *call); // after done, or after the client was closed

uint32_t kafka_client_open_calls(const struct kafka_client *client);

#endif
