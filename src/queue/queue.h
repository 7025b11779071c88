// SPDX-License-Identifier: Apache-2.0
//
// Queues: logs that are read by lease. A record is acquired by one holder, and then acknowledged
// (settled for good), released (available again, flagged redelivered, in its old place) or rejected
// (to the dead letters, or dropped). What is held in memory is only the exceptions: the start below
// which everything is settled, ranges settled above it, leases, what was released.
//
// A queue lives on one shard with all its partitions: one per priority, the level being the
// partition's number; the highest level with something available is served first. Nothing here
// knows AMQP or connections. Kafka's share groups (KIP-932) will be a second door to lease sets.
//
// Durability (README, "What an acknowledgement means"): acquiring is not journalled, settling is,
// with the turn's group, and nobody waits for it. After an unclean start everything unsettled is
// available again and flagged redelivered; after a clean one only what was delivered before.
//
// Frames JOURNAL_LEASE: head = topic id (16), partition (le32); body = settled ranges, see
// lease_format.h. Snapshot: STATE_LEASES, same key, a whole lease set.
#ifndef WEIR_QUEUE_QUEUE_H
#define WEIR_QUEUE_QUEUE_H

#include "base/map.h"
#include "base/uuid.h"
#include "log/log.h"
#include "queue/message.h"

struct queues; // all queues of a shard
struct queue;
struct queue_consumer;
struct queue_letter;

#define QUEUE_LEVELS_MAX 256

// ---- the queues of a shard

struct queues_options {
    struct budget *budget; // leases, exceptions, messages on their way; may be NULL
    uint64_t hash_seed;
    // A message is to be dead-lettered: route and publish it as letter->message says, then
    // queue_letter_done, now or later. Never called from inside a call of this interface but at the
    // turn's end.
    void (*dead_letter)(void *arg, struct queue *queue, struct queue_letter *letter);
    // The queue has been unused for x-expires, or its last consumer has left an auto-delete queue:
    // delete it, if queue_unused still holds (queue_destroy follows in a later turn, or never).
    void (*unused)(void *arg, struct queue *queue);
    void *arg;
};
struct queues *queues_create(const struct queues_options *options);
// Before queues_start, as in log.h: STATE_LEASES records from snapshots and JOURNAL_LEASE frames,
// in order, for queues that need not exist yet (settled later by queue_open with the same id). A
// record of a queue that is never opened is forgotten at queues_start.
int queues_restore_record(struct queues *queues, const struct state_record *record);
int queues_replay(struct queues *queues, const struct journal_replayed *frame);
int queues_record_key(const struct state_record *record, struct log_key *out);
int queues_frame_key(const struct journal_replayed *frame, struct log_key *out);
// clean: nothing was replayed behind the last checkpoint. (Whether that was a stop's, the sets
// say.)
void queues_start(struct queues *queues, struct io *shard, struct journal_port *port, bool clean);
// Dispatches, expires, journals what was settled, trims; before log_store_turn_end.
void queues_turn_end(struct queues *queues);
// What was settled so far goes to the journal now instead of at the turn's end: before whatever is
// added next, since a turn's frames may be in several groups.
void queues_journal(struct queues *queues);
// Slow housekeeping with the shard's tick: retention after acknowledgement.
void queues_tick(struct queues *queues, int64_t now_ms);
void queues_cut(struct queues *queues, bool full, struct buf *out);
void queues_settled(struct queues *queues, bool installed);
void queues_stop(struct queues *queues);    // no dispatch any more, timers off
void queues_destroy(struct queues *queues); // its actor has ended; io is not touched

// ---- a queue

struct queue_settings {     // follows the queue's arguments; constant for its life
    int64_t message_ttl_ms; // -1: none
    int64_t expires_ms;     // -1: never
    bool dead_letter;       // to dead_exchange (may be "", the default exchange)
    struct slice dead_exchange;
    struct slice dead_key;   // null: the message's own keys
    uint32_t delivery_limit; // delivered that often and returned it is dead-lettered; 0: no limit
    bool single_active;      // one consumer is served at a time
    bool auto_delete;        // with expires_ms: QUEUE_LINGER_MS after its last consumer
    int64_t max_length, max_length_bytes; // -1: none; reserved
    int64_t retention_after_ack_ms;       // of settled records; 0: none
};
// An auto-delete queue goes with its last consumer. One that is to be kept without a consumer for
// more than a minute (x-expires as well) lingers for a moment: Celery 5.6 takes each idle second
// for a lost connection and makes its queue of results anew, 8 ms later; what came meanwhile would
// be lost.
#define QUEUE_LINGER_MS      1000
#define QUEUE_LINGER_FROM_MS 60000
static inline bool queue_lingers(const struct queue_settings *s)
{
    return s->auto_delete && s->expires_ms > QUEUE_LINGER_FROM_MS;
}
// name: for deaths; the logs, by level, are the caller's and outlive the queue. Settings are
// copied.
int queue_open(struct queues *queues, const struct uuid *id, struct slice name,
               const struct queue_settings *settings, struct log *const *logs, uint32_t levels,
               struct queue **out);
void queue_set_retention(struct queue *queue, int64_t retention_after_ack_ms);
// Deleted: consumers are told (`cancelled`, at a turn's end), leases are void, the snapshots forget
// it. Not from inside a callback about this queue. (When the node stops, queues_destroy frees.)
void queue_destroy(struct queue *queue);
struct queue *queue_by_id(struct queues *queues, const struct uuid *id); // NULL
const struct uuid *queue_id(const struct queue *queue);
struct slice queue_name(const struct queue *queue);
const struct queue_settings *queue_settings(const struct queue *queue);

struct queue_stats {
    uint64_t ready, leased; // messages; ready counts what is durable and not settled or leased
    uint64_t consumers;
    uint64_t delivered, redelivered, settled, released, rejected, expired, dead_lettered;
    uint64_t size_bytes;   // of its logs
    int64_t idle_since_ms; // wall clock; -1: in use
    int64_t head_ms;       // when the oldest ready message was published; -1: none or not known
};
void queue_stats(const struct queue *queue, struct queue_stats *out);

// Settles everything that is available now (not what is leased). Number of messages.
uint64_t queue_purge(struct queue *queue);
// Something used the queue (a get, a declare): x-expires begins anew.
void queue_touch(struct queue *queue);
// What `unused` has said of it still holds: nobody has come to it since.
bool queue_unused(const struct queue *queue);
// Its deletion is decided, and nothing takes that back: until it goes, whoever begins to use it is
// to find none.
void queue_doom(struct queue *queue);
bool queue_doomed(const struct queue *queue);
// Somebody else has moved its logs' start (Kafka's DeleteRecords): what lies below is settled.
void queue_log_moved(struct queue *queue);

// ---- deliveries

struct queue_delivery {
    struct blob *blob;      // holds the bytes that message points into; the receiver's reference
    struct message message; // a null routing key without exchange: the queue's name
    int32_t level;
    int64_t offset;
    uint32_t deliveries; // before this one
    bool redelivered;
};

// ---- consumers: served in turn while they have credit, those of higher priority first

struct queue_consumer { // embedded by the caller
    struct list link;
    struct queue *queue; // NULL: not attached, or the queue is gone
    uint64_t holder;     // whose leases: unique per reader, never reused
    int32_t priority;
    bool exclusive;  // the only one
    bool no_ack;     // what it is given is settled at once
    uint32_t credit; // messages that it may still be given
    // It has no credit of its own: `ready` asks for it whenever there is something for it, and
    // queue_consumer_grant answers; what is not used at that turn's end is given back by `unused`.
    bool gated, asked;
    uint32_t granted;
    // At the turn's end, on the shard; the array is the queue's, blobs are the receiver's.
    void (*deliver)(struct queue_consumer *consumer, struct queue_delivery *deliveries,
                    uint32_t count);
    void (*ready)(struct queue_consumer *consumer);
    void (*unused)(struct queue_consumer *consumer, uint32_t credit);
    void (*cancelled)(struct queue_consumer *consumer); // its queue is gone
    uint64_t seq;   // the queue's, as the rest: order of attaching
    uint32_t back;  // to be given back by `unused` at the turn's end
    uint32_t place; // in the round being handed out, from 1; 0: none
};
// ERR_ACCESS_REFUSED: there is an exclusive one, or this one wants to be and is not alone.
int queue_consumer_attach(struct queue *queue, struct queue_consumer *consumer);
// Its leases stay leased, until they are settled or released. Safe when not attached.
void queue_consumer_detach(struct queue_consumer *consumer);
void queue_consumer_credit(struct queue_consumer *consumer, uint32_t more);
void queue_consumer_set_credit(struct queue_consumer *consumer, uint32_t credit);
void queue_consumer_grant(struct queue_consumer *consumer, uint32_t credit);
// From credit of its own to being asked, or back; what it still has is given back by `unused` at
// the turn's end, and it has none then.
void queue_consumer_set_gated(struct queue_consumer *consumer, bool gated);

// ---- one message at a time

struct queue_get { // embedded by the caller
    struct list link;
    struct queue *queue;
    uint64_t holder;
    bool no_ack;
    // err 0: delivery is set; ERR_NOT_FOUND: the queue is empty; others: it could not be read.
    void (*done)(struct queue_get *get, int err);
    struct queue_delivery delivery;
    uint64_t ready_left; // messages
};
void queue_get(struct queue *queue, struct queue_get *get); // done at a later turn's end
void queue_get_cancel(struct queue_get *get);

// ---- settling

enum queue_outcome { QUEUE_ACKNOWLEDGE, QUEUE_RELEASE, QUEUE_REJECT };
// What is not leased by that holder is ignored: the queue was purged, deleted and made again, or a
// lease was lost with a crash.
void queue_settle(struct queue *queue, uint64_t holder, int32_t level, int64_t offset,
                  enum queue_outcome outcome);

// ---- dead letters

struct queue_letter { // the queue's; valid until queue_letter_done
    struct list link;
    struct queue *queue;
    struct blob *blob;
    struct message message; // as it is to be published: deaths added, no TTL of its own
    struct slice exchange;  // where to
    struct slice keys[MESSAGE_KEYS_MAX];
    uint32_t keys_count;
    int32_t level;
    int64_t offset;
    struct buf memory; // what the slices point into besides the blob
};
// err 0: it is durable where it went (or nowhere was to go): the original is settled. Else it is
// tried again after a while.
void queue_letter_done(struct queue_letter *letter, int err);

#endif
