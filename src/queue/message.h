// SPDX-License-Identifier: Apache-2.0
//
// A message as a record of a log. What a door cannot say in a record is carried in record headers
// and comes back out of the door it came in by; the queue itself needs only what is named here. A
// record that a Kafka client produced has no such headers and is a message all the same: no
// exchange, the queue's name as routing key, no expiry.
//
// LAYOUT of the record
//   key        null
//   value      the body
//   timestamp  when it was published
//   headers, these first, then the door's own (amqp.properties, and readable copies for Kafka's
//   consumers):
//     weir.exchange     as published; left out when empty
//     weir.routing.key  as published; left out when it is the queue's own name
//     weir.cc           further routing keys (u8 length, bytes)…; left out when there are none
//     weir.expires      8 bytes big-endian, wall clock ms: the end of the message's own TTL
//     weir.priority     1 byte: where the queue has no level for it; else the level says it
//     weir.deaths       only of dead letters
//
// weir.deaths
//   u8 version (1), u8 count, then each, newest first:
//   u8 reason, be32 times, be64 time ms, be64 original ttl ms (-1: none),
//   queue, exchange (u8 length, bytes), u8 keys count, keys (u8 length, bytes)…
#ifndef WEIR_QUEUE_MESSAGE_H
#define WEIR_QUEUE_MESSAGE_H

#include "log/batch.h"

#define MESSAGE_NAME_MAX   255 // exchanges, queues, routing keys: AMQP's short strings
#define MESSAGE_DEATHS_MAX 32  // further causes are counted in the oldest
#define MESSAGE_KEYS_MAX   64

#define MESSAGE_DEATH_REASONS(X) \
    X(REJECTED, "rejected")      \
    X(EXPIRED, "expired")        \
    X(MAXLEN, "maxlen")          \
    X(DELIVERY_LIMIT, "delivery_limit")
enum message_death_reason {
#define MESSAGE_DEATH_ENUM(id, name) DEATH_##id,
    MESSAGE_DEATH_REASONS(MESSAGE_DEATH_ENUM)
#undef MESSAGE_DEATH_ENUM
        DEATH_REASONS_COUNT
};
const char *message_death_reason_name(enum message_death_reason reason);

struct message { // all slices are borrowed
    struct slice exchange, routing_key;
    struct slice cc; // further routing keys, as in the header weir.cc; null: none
    struct slice body;
    struct slice deaths; // as in the header weir.deaths; null: none
    int64_t published_ms;
    int64_t expires_ms;   // -1: no TTL of its own
    uint8_t priority;     // above the queue's levels; 0: the level is the priority
    struct slice headers; // the door's, encoded as in a record (varint length, key, …)
    uint32_t headers_count;
};

// The size a message takes in a batch, about: for flushing in time.
size_t message_size(const struct message *message);
// Adds it to a batch that is being built. The headers weir.* come first. `scratch` is working
// memory. A null routing key without exchange is the queue's own and left out.
void message_put(struct batch_builder *bb, struct buf *scratch, const struct message *message);
// From a record of a batch; slices point into the record. A header weir.* that is malformed is
// ignored: a stranger may have produced it. `headers` of the result are the door's and unknown
// ones.
void message_get(const struct record *record, struct message *out);
// One of the headers by name; SLICE_NULL when it is not there.
struct slice message_header(const struct message *message, const char *name);
// Encodes one header of a record.
void message_header_put(struct buf *out, struct slice name, struct slice value);

// ---- deaths

struct message_death {
    enum message_death_reason reason;
    struct slice queue, exchange; // the queue that it died in, the exchange it had come by
    struct slice keys[MESSAGE_KEYS_MAX];
    uint32_t keys_count;
    uint32_t times;
    int64_t time_ms;
    int64_t original_ttl_ms; // -1: it had none
};
// Reads them one after the other: false at the end (or when what follows is malformed).
bool message_death_next(struct cursor *in, struct message_death *out);
struct cursor message_deaths(const struct message *message);
// The deaths with one more: one with the same queue and reason is counted up and moves to the
// front. ERR_LIMIT when out is full.
int message_deaths_add(const struct message *message, const struct message_death *death,
                       struct buf *out);
// A dead letter that is to go to `queue`, where it died before, and that no consumer has rejected
// since goes in a circle: RabbitMQ does not take it there again.
bool message_deaths_circle(const struct message *message, struct slice queue);

#endif
