// SPDX-License-Identifier: Apache-2.0
//
// An AMQP content as a message of a log, and back (queue/message.h). Private to the room.
//
// In. The properties' bytes go into the record header "amqp.properties" as they came. Kafka's
// consumers read the scalar ones again as "amqp.<name>" (numbers as decimal text), and headers that
// are texts under their own names. What the queues need is taken out: routing keys of CC and BCC,
// the TTL, the delay, and the deaths of a dead letter that a consumer has published again.
//
// Out. The bytes go back unchanged, unless something has to change: BCC goes before anybody else
// sees it, a dead letter gets x-death and its relatives (and loses `expiration`, which has had its
// effect), a quorum queue tells x-delivery-count. A record that a Kafka client made has no
// amqp.properties: its headers become string headers.
#ifndef WEIR_AMQP_TRANSLATE_H
#define WEIR_AMQP_TRANSLATE_H

#include "amqp/properties.h"
#include "base/arena.h"
#include "queue/exchange.h"
#include "queue/queue.h"

#define AMQP_RECORD_HEADER "amqp.properties"
#define AMQP_WHY_MAX       200

// Buffers that are kept from one message to the next.
struct amqp_translator {
    struct buf headers, properties, table, keys, deaths;
};
void amqp_translator_init(struct amqp_translator *t);
void amqp_translator_fini(struct amqp_translator *t);

struct amqp_incoming {
    struct slice headers; // of the record, encoded
    uint32_t headers_count;
    struct slice properties; // as stored
    struct slice cc;         // as in struct message
    struct slice deaths;     // likewise
    struct slice keys[MESSAGE_KEYS_MAX];
    uint32_t keys_count;
    int64_t delay_ms; // 0: none
};
// reply_to: replaces the property; null: it stays. Valid until the next call. ERR_INVALID with a
// text for the client in `why`; ERR_LIMIT: larger than a record may be.
int amqp_translate_in(struct amqp_translator *t, struct slice raw,
                      const struct amqp_properties *properties, struct slice reply_to,
                      struct amqp_incoming *out, char why[AMQP_WHY_MAX]);

// The headers, as exchanges compare them: in the arena; NULL when there are none, or no room.
struct exchange_header *amqp_headers_canonical(struct slice table, struct arena *arena,
                                               uint32_t *out_count);

// Those of a message that lies in a queue. Names are the message's, or valid until the next call.
struct exchange_header *amqp_translate_headers(struct amqp_translator *t,
                                               const struct message *message, struct arena *arena,
                                               uint32_t *out_count);

// A TTL from its text: 0 .. ten years in ms. ERR_INVALID with RabbitMQ's words in `why`.
int amqp_expiration(struct slice text, int64_t *out_ms, char why[AMQP_WHY_MAX]);

// The properties that a delivery goes out with, raw; valid until the next call, or as long as the
// delivery's blob. count_deliveries: tell x-delivery-count. max_bytes: of the frame that they go
// in, for the headers of a record that a Kafka client made and for x-death; what AMQP clients
// publish goes out as it came in.
#define AMQP_PROPERTIES_MAX (128U << 10)
struct slice amqp_translate_out(struct amqp_translator *t, const struct queue_delivery *delivery,
                                bool count_deliveries, size_t max_bytes);

#endif
