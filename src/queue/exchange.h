// SPDX-License-Identifier: Apache-2.0
//
// Exchanges and bindings: which queues a message goes to (AMQP 0-9-1 section 3.1; exchange to
// exchange bindings, headers exchanges and their x-match as RabbitMQ has them). A plain structure
// in memory, replicated on every shard, so that a publisher routes without asking anybody; nothing
// here is durable by itself (node/queue_catalogue.c) and nothing knows a wire format: headers come
// as names and canonical values, which are equal when their bytes are.
//
// Everything is by virtual host. The default exchange "" is there by itself, bound to every queue
// by its name, and so are amq.direct, amq.fanout, amq.topic, amq.headers and amq.match.
#ifndef WEIR_QUEUE_EXCHANGE_H
#define WEIR_QUEUE_EXCHANGE_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/slice.h"
#include "base/uuid.h"

struct exchanges; // of a shard

#define EXCHANGE_TYPES(X) \
    X(DIRECT, "direct") X(FANOUT, "fanout") X(TOPIC, "topic") X(HEADERS, "headers")
enum exchange_type {
#define EXCHANGE_TYPE_ENUM(id, name) EXCHANGE_##id,
    EXCHANGE_TYPES(EXCHANGE_TYPE_ENUM)
#undef EXCHANGE_TYPE_ENUM
        EXCHANGE_TYPES_COUNT
};
const char *exchange_type_name(enum exchange_type type);
int exchange_type_by_name(struct slice name, enum exchange_type *out); // ERR_NOT_FOUND

enum exchange_match { MATCH_ALL, MATCH_ANY, MATCH_ALL_WITH_X, MATCH_ANY_WITH_X }; // x-match

struct exchange_header {
    struct slice name;
    struct slice value; // canonical; null in a binding: any value will do
};

struct exchange {   // facts; owned by struct exchanges
    struct uuid id; // the catalogue's: one made again under the same name is another; of preset
                    // ones zero
    struct slice vhost, name;
    enum exchange_type type;
    bool durable, auto_delete, internal;
    bool delayed;                       // x-delayed-message: type is its x-delayed-type
    bool preset;                        // one of those that are there by themselves
    struct slice arguments;             // canonical, the door's
    uint32_t bindings_out, bindings_in; // with it as source; as destination
};

struct exchange_binding { // facts
    struct slice vhost, source;
    bool to_exchange;
    struct slice destination; // a queue's or an exchange's name
    struct slice key;
    struct slice arguments; // canonical, the door's; part of the binding's identity
    enum exchange_match match;
    const struct exchange_header *headers; // of a headers exchange
    uint32_t headers_count;
    bool durable; // both ends are
};

struct exchanges *exchanges_create(uint64_t hash_seed);
void exchanges_destroy(struct exchanges *exchanges);                       // accepts NULL
void exchanges_vhost_add(struct exchanges *exchanges, struct slice vhost); // with the preset ones
bool exchanges_vhost_exists(const struct exchanges *exchanges, struct slice vhost);

// All that is handed in is copied. Adding what is there: no change, 0 (the caller has compared).
const struct exchange *exchange_find(const struct exchanges *exchanges, struct slice vhost,
                                     struct slice name); // NULL; "" is the default exchange
int exchange_add(struct exchanges *exchanges, const struct exchange *facts); // ERR_NOT_FOUND: vhost
// With all its bindings; `dropped` (may be NULL) is told of each before it goes.
void exchange_remove(struct exchanges *exchanges, struct slice vhost, struct slice name,
                     void (*dropped)(void *arg, const struct exchange_binding *binding), void *arg);

// Queues are known by name and id, for the default exchange and as destinations.
void exchanges_queue_add(struct exchanges *exchanges, struct slice vhost, struct slice name,
                         const struct uuid *id, bool durable);
void exchanges_queue_remove(struct exchanges *exchanges, struct slice vhost, struct slice name,
                            void (*dropped)(void *arg, const struct exchange_binding *binding),
                            void *arg);

// ERR_NOT_FOUND (source or destination), ERR_ACCESS_REFUSED (the default exchange has no other
// bindings than its own), ERR_EXISTS: it is there, nothing changed.
int exchange_bind(struct exchanges *exchanges, const struct exchange_binding *binding);
// ERR_NOT_FOUND: no such binding.
int exchange_unbind(struct exchanges *exchanges, const struct exchange_binding *binding);
// The binding as it is kept; NULL: it is not there.
const struct exchange_binding *exchange_bound(const struct exchanges *exchanges,
                                              const struct exchange_binding *binding);

// In order of making. fn returns false to stop. vhost null: all.
void exchanges_each(const struct exchanges *exchanges, struct slice vhost,
                    bool (*fn)(void *arg, const struct exchange *exchange), void *arg);
void exchange_bindings_each(const struct exchanges *exchanges, struct slice vhost,
                            bool (*fn)(void *arg, const struct exchange_binding *binding),
                            void *arg);

// ---- routing

// Kept by the caller from one message to the next, so that it costs no allocation. One message at a
// time: what a queue was reached by is marked in the queue.
struct route {
    struct uuid *queues; // each once
    uint32_t count, cap;
    uint64_t round; // of the message: queues that it has reached bear it
};
void route_fini(struct route *route);
// The queues that a message with these routing keys (its own, CC, BCC) reaches. ERR_NOT_FOUND: no
// such exchange. Circles of exchanges end by themselves. The default exchange routes by queue name.
int exchange_route(struct exchanges *exchanges, struct route *route, struct slice vhost,
                   struct slice exchange, const struct slice *keys, uint32_t keys_count,
                   const struct exchange_header *headers, uint32_t headers_count);
// Whether headers are looked at at all behind this exchange: else a door need not read them.
bool exchange_wants_headers(const struct exchanges *exchanges, struct slice vhost,
                            struct slice exchange);

#endif
