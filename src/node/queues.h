// SPDX-License-Identifier: Apache-2.0
//
// Queues and exchanges behind every door: the catalogue of them, publishing, and consuming from
// queues wherever they live.
//
// Catalogue. Shard 0 is its master: changes are checked there, what is durable is journalled, every
// shard's replica is brought up to date, and only then the request is answered. Lookups use the own
// shard's replica; what they return is valid until the end of the turn. A durable queue is a topic
// (its log, its name for Kafka); its record (STATE_QUEUE) carries the rest. A queue that is not
// durable, or exclusive, has logs in memory, no topic and no record.
//
// All partitions of a queue live on one shard: the topic's UUID is of version 8 (RFC 9562) and such
// ids are placed by the id alone.
//
// Names. Queue q of virtual host "/" is the topic q, of virtual host v the topic v_v.q; bytes that
// Kafka forbids become _xHH, and so does the underscore of a literal "_x", "_v" or "_h"; what would
// be longer than 249 is cut and ends in _h and a hash.
//
// Requests: fields `in` belong to the caller and live until done, which runs on the asking shard,
// never from inside the call.
#ifndef WEIR_NODE_QUEUES_H
#define WEIR_NODE_QUEUES_H

#include "node/shard.h"
#include "node/topics.h"
#include "queue/exchange.h"
#include "queue/queue.h"

// ---- facts

struct queue_facts { // the same on every shard
    struct uuid id;
    struct slice vhost, name;
    bool durable, exclusive, auto_delete;
    uint64_t owner; // of an exclusive queue: the connection; 0: none
    bool hidden;    // the node's own (queue_delay.h); queue_facts_each and _count leave it out
    struct queue_settings settings;
    uint32_t levels;        // 1, or x-max-priority + 1
    struct slice arguments; // canonical, the door's: compared and shown
    int64_t created_ms;
};
const struct queue_facts *queue_by_name(struct shard *shard, struct slice vhost, struct slice name);
const struct queue_facts *queue_facts_by_id(struct shard *shard, const struct uuid *id);
const struct queue_facts *queue_of_topic(struct shard *shard, struct slice topic); // durable ones
void queue_facts_each(struct shard *shard, bool (*fn)(void *arg, const struct queue_facts *facts),
                      void *arg);
size_t queue_facts_count(struct shard *shard);
struct exchanges *shard_exchanges(struct shard *shard); // for lookups and routing only
// Virtual hosts: weir.amqp.vhosts, a list; "*" takes any name.
bool vhost_known(struct shard *shard, struct slice vhost);
#define QUEUE_TOPIC_NAME_SIZE (TOPIC_NAME_MAX + 1)
void queue_topic_name(struct slice vhost, struct slice name, char out[QUEUE_TOPIC_NAME_SIZE]);
// A number for a connection or a channel that was never used before in this process; says its
// shard.
uint64_t node_holder_new(struct shard *shard);
uint32_t node_holder_shard(uint64_t holder);

// ---- receipts, for what was published (see below)

struct publish_receipt { // embedded by the caller; covers any number of messages
    uint32_t flights;    // node's: still under way
    uint64_t last_flight;
    int err; // the first error of any: what it covers may be lost
    void (*done)(struct publish_receipt *receipt); // when flights is 0 again, in a later turn
};

// ---- changes. Errors: ERR_EXISTS (there, but not equal: compare with the facts and say what
// differs), ERR_NOT_FOUND, ERR_RESOURCE_LOCKED (another connection's exclusive queue),
// ERR_NOT_EMPTY, ERR_IN_USE, ERR_ACCESS_REFUSED, ERR_LIMIT, ERR_STOPPED, ERR_NOSPACE.

enum queue_change_kind {
    QUEUE_DECLARE, // makes it, or finds it equal; a topic that was no queue is taken if
                   // `take_topic`
    QUEUE_DELETE,
    EXCHANGE_DECLARE,
    EXCHANGE_DELETE,
    BINDING_ADD,
    BINDING_REMOVE
};
struct queue_change {
    // in
    enum queue_change_kind kind;
    uint64_t owner;                  // the asking connection
    struct queue_facts queue;        // DECLARE; vhost and name for DELETE
    struct exchange exchange;        // EXCHANGE_*
    struct exchange_binding binding; // BINDING_*
    bool take_topic;
    bool internal;            // the node's own queue
    bool if_unused, if_empty; // DELETE
    bool still_unused;        // DELETE: as the room has said (queue_unused)
    bool by_id;               // DELETE: queue.id must still be the one of that name (else 0)
    // out
    int err;
    char why[TOPIC_WHY_MAX];
    bool made;                    // it was not there before; BINDING_REMOVE: it was there
    uint64_t messages, consumers; // QUEUE_DECLARE; messages of QUEUE_DELETE
    void (*done)(struct queue_change *change);
    struct publish_receipt published; // node's, as the rest
    struct node_call call;
};
// Of a queue, declared again or deleted if empty: behind what this shard has published to it.
void queue_change_start(struct shard *shard, struct queue_change *change);
#define QUEUES_MAX          100000 // per server
#define BINDINGS_MAX        1000000
#define EXCHANGES_MAX       100000
#define VHOSTS_MAX          1000       // that "*" lets clients make
#define QUEUE_ARGUMENTS_MAX (64 << 10) // bytes; of exchanges and bindings as well
#define QUEUE_UUID_VERSION  8

// What a queue's shard knows: counts, purge.
struct queue_ask {
    struct uuid id;
    bool purge;
    bool touch; // x-expires begins anew
    int err;    // ERR_NOT_FOUND
    uint64_t purged;
    struct queue_stats stats;
    void (*done)(struct queue_ask *ask);
    struct publish_receipt published; // node's, as the rest
    struct shard *from, *to;
};
// Behind what this shard has published to it and settled.
void queue_ask_start(struct shard *shard, struct queue_ask *ask);

// ---- publishing. What one turn of a shard publishes to a queue is one batch; all batches of a
// turn are one flight, which is over when every batch is durable (of queues in memory: appended).

struct publish {
    struct slice vhost;
    struct message message; // exchange and routing_key inside
    uint8_t priority;       // level, cut to the queue's
    bool persistent;        // else nobody waits for the disk: receipts do not cover durability
    bool internal;          // a dead letter: may enter internal exchanges
    int64_t delay_ms;       // > 0: not before
    const struct exchange_header *headers; // NULL unless exchange_wants_headers
    uint32_t headers_count;
    const struct slice *extra_keys; // CC and BCC
    uint32_t extra_keys_count;
};
// Routes by this shard's replica, copies, and is sent at the turn's end. *out_queues: how many
// queues it goes to; 0: none (nothing was kept). receipt may be NULL. ERR_NOT_FOUND: no such
// exchange; ERR_MESSAGE_TOO_LARGE; ERR_BUDGET: no memory now, nothing was kept. The receipt's
// flights stay 0 when no queue takes the message.
int publish_add(struct shard *shard, const struct publish *publish, struct publish_receipt *receipt,
                uint32_t *out_queues);
// What headers exchanges compare is the door's to read: of a message that no door publishes (a dead
// letter) the shard asks. The answer is valid until the next one; NULL: it has none.
typedef const struct exchange_header *message_headers_fn(void *arg, const struct message *message,
                                                         uint32_t *out_count);
void publish_headers_by(struct shard *shard, message_headers_fn *fn, void *arg);
// The caller goes away: done will not run.
void publish_receipt_cancel(struct shard *shard, struct publish_receipt *receipt);
// The receipt covers as well what this shard has published to a queue (NULL: to any) and is under
// way; flights 0: nothing is. So a get, or a count, does not overtake a publish of the same
// connection, as in RabbitMQ, where a queue is a process that hears both in turn.
void publish_follow(struct shard *shard, const struct uuid *queue, struct publish_receipt *receipt);

// ---- consuming

struct queue_subscription; // a consumer, as its connection's shard knows it
struct queue_subscription_options {
    struct uuid queue;
    uint64_t holder, owner; // channel, connection
    int32_t priority;
    bool exclusive, no_ack, gated;
    uint32_t credit;
    void *arg;
    // All on the asking shard, never from inside a call. The array and its blobs are the receiver's
    // only during the call; blob_ref what is kept.
    void (*attached)(void *arg, int err); // ERR_NOT_FOUND, ERR_ACCESS_REFUSED, ERR_RESOURCE_LOCKED
    void (*deliver)(void *arg, const struct queue_delivery *deliveries, uint32_t count);
    void (*ready)(void *arg);
    void (*unused)(void *arg, uint32_t credit);
    void (*cancelled)(void *arg); // the queue is gone; then still queue_unsubscribe
};
void queue_subscribe(struct shard *shard, const struct queue_subscription_options *options,
                     struct queue_subscription **out);
// What it may still be given beyond what `deliver` and `unused` have seen: what is on its way comes
// off it. Not while it is gated.
void queue_subscription_set_credit(struct queue_subscription *sub, uint32_t credit);
void queue_subscription_grant(struct queue_subscription *sub, uint32_t credit);
void queue_subscription_set_gated(struct queue_subscription *sub, bool gated);
// No delivery reaches arg after this call (what is on its way is released again). `done` (may be
// NULL) runs when the queue's shard knows it: basic.cancel's answer may follow. Frees sub.
void queue_unsubscribe(struct queue_subscription *sub, void (*done)(void *arg), void *arg);

struct queue_fetch { // basic.get
    struct uuid queue;
    uint64_t holder, owner;
    bool no_ack;
    int err; // ERR_NOT_FOUND: no such queue; 0 and empty
    bool empty;
    struct queue_delivery delivery; // its blob belongs to the caller
    uint64_t ready_left;
    void (*done)(struct queue_fetch *fetch);
    struct queue_get get; // node's, as the rest
    struct publish_receipt published;
    struct shard *from, *to;
};
// Behind what this shard has published to it and settled. Of one that will not be done, since its
// actors have ended, the delivery's blob may be set and is the caller's all the same.
void queue_fetch_start(struct shard *shard, struct queue_fetch *fetch);

// Fire and forget; sent at the turn's end together with the turn's credits, in order.
void queue_settle_at(struct shard *shard, const struct uuid *queue, uint64_t holder, int32_t level,
                     int64_t offset, enum queue_outcome outcome);

// ---- of a shard, for the node's other files (node_int.h includes this)

struct node_queues; // a shard's part: queue room, exchanges, flights, mail
struct node_queues *node_queues_create(struct shard *shard);
void node_queues_destroy(struct node_queues *nq);
void node_queues_turn_end(struct node_queues *nq);

#endif
