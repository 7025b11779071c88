// SPDX-License-Identifier: Apache-2.0
//
// Inside the flow of messages: what a shard keeps of its own queues (queue_host.c), of what it
// publishes (queue_publish.c), of what it says to other shards about queues (queue_mail.c), and of
// who consumes (queue_consume.c).
//
// A turn's end, in this order: what this shard says to itself is heard, the room settles and
// dispatches, each other shard gets at most one parcel, and what the turn has published leaves as
// one flight. What comes up meanwhile (a delivery's receiver may publish) makes another turn.
#ifndef WEIR_NODE_QUEUES_INT_H
#define WEIR_NODE_QUEUES_INT_H

#include "log/batch.h"
#include "node/node_int.h"
#include "node/queue_delay.h"

// ---- publishing

struct receipts {
    struct publish_receipt **items; // NULL where one was cancelled
    uint32_t count, cap;
};

struct publish_stats {
    uint64_t published, unroutable; // messages
    uint64_t copies, batches;       // in queues
    uint64_t flights;
};

struct publisher {
    struct map batches;                // struct publish_batch, of the flight to come
    struct receipts appended, durable; // which wait for its being appended, and durable
    uint64_t number;                   // of the flight to come
    size_t bytes;                      // in its batches
    size_t paid_bytes;                 // taken from the budget for them
    struct list flights;               // under way
    uint64_t flights_bytes;            // in them
    struct route route;
    struct buf scratch;
    struct publish_stats stats;
    message_headers_fn *headers_of; // NULL: there is no such door
    void *headers_arg;
};
void publisher_init(struct publisher *p, uint64_t hash_seed);
void publisher_fini(struct publisher *p, struct budget *budget);
// One copy, into one queue. The errors of publish_add that have nothing to do with exchanges.
int publish_to(struct shard *shard, const struct publish *publish, const struct queue_facts *queue,
               struct publish_receipt *receipt);
void publisher_turn_end(struct shard *shard); // what the turn has published leaves
void shard_publishing(struct shard *shard);   // shard.c: whether it is too much already
bool publisher_waits(const struct shard *shard);

// ---- mail

enum mail_kind {
    MAIL_SUBSCRIBE, // to the queue's shard
    MAIL_SET_CREDIT,
    MAIL_SET_GATED,
    MAIL_GRANT,
    MAIL_UNSUBSCRIBE,
    MAIL_SETTLE,
    MAIL_FETCH,
    MAIL_ASK,
    MAIL_ATTACHED, // to the connection's
    MAIL_DELIVER,
    MAIL_READY,
    MAIL_UNUSED,
    MAIL_CANCELLED,
    MAIL_LEFT,
    MAIL_FETCHED,
    MAIL_ASKED,
    MAIL_KINDS
};

struct mail_settle {
    struct uuid queue;
    uint64_t holder;
    int64_t offset;
    int32_t level;
    enum queue_outcome outcome;
};

struct mail_note { // about a subscription
    struct queue_subscription *sub;
    uint64_t seen; // SET_CREDIT: of what was sent to the connection, credit for credit
    uint32_t amount;
    int err;
};

struct mail_item {
    enum mail_kind kind;
    union {
        struct mail_note note;
        struct mail_settle settle;
        struct queue_fetch *fetch;
        struct queue_ask *ask;
    };
};

struct mail_peer { // another shard, or this one
    struct parcel *open;
    struct list homes; // its parcels, which have been read here
};

struct mailroom {
    struct mail_peer *peers; // one per shard of the node
    uint32_t peers_count;
    struct list parcels; // of this shard, wherever they are
};
void mailroom_init(struct mailroom *m, uint32_t shards_count);
void mailroom_fini(struct mailroom *m);
void mail_hear(struct shard *shard);     // what this shard has said to itself
void mail_turn_end(struct shard *shard); // one parcel per shard
bool mail_waits(const struct shard *shard);
struct mail_item *mail_to(struct shard *from, struct shard *to, enum mail_kind kind);
// A DELIVER item; the blobs go over to it.
void mail_deliver(struct shard *from, struct shard *to, struct queue_subscription *sub,
                  const struct queue_delivery *deliveries, uint32_t count);
// queue_consume.c: does what an item says. A DELIVER item takes its own from *deliveries.
void mail_read(struct shard *shard, const struct mail_item *item,
               struct queue_delivery **deliveries);
void subscriptions_free(struct list *subscriptions);

// ---- hosting

struct node_queues {
    struct shard *shard;
    struct queues *room;
    struct publisher publisher;
    struct mailroom mail;
    struct delays delays;
    struct list subscriptions; // of connections of this shard
    struct list letters;       // struct letter_post: dead letters under way
    struct list deletions;     // struct unused_deletion
    struct queue_stats closed; // counts of queues that are gone
    struct io_msg wake_msg;
    bool wake_posted;
};
void node_queues_start(struct node_queues *nq); // with the shard
void node_queues_status(const struct node_queues *nq, struct status_queues *out);
// First for every shard, then destroy for each: rooms know consumers in other shards' memory.
void node_queues_end(struct node_queues *nq);

#endif
