// SPDX-License-Identifier: Apache-2.0
//
// What the server promised about queues, as far as AMQP clients can tell. Fed like the rest of the
// model (model.h): with what clients sent and were told, and with nothing from inside the server.
//
//   A lease has one holder.  A client cannot see when the server notices that a connection has
//     broken, and what it reads may have been on its way since before that: so whatever a delivery
//     contradicts is only a doubt, and a violation once the channels concerned are answered to
//     something that they asked later: then they were alive all along.
//   What was durably acknowledged never comes again.  An acknowledgement is not answered; it is
//     durable when a message that the same channel sent to the same queue afterwards is confirmed.
//   What was confirmed comes until somebody acknowledges it, through every crash.
//   Deliveries that are not flagged redelivered come in the order of publishing, and only once.
//   A dead letter comes from where it was rejected, and is never lost on the way.
#ifndef WEIR_SIM_MODEL_QUEUE_H
#define WEIR_SIM_MODEL_QUEUE_H

#include "sim/model.h"

#define MODEL_QUEUE_SEEN 32 // publishers whose order a consumer's channel is checked for

struct model_queue {
    struct list link;
    char name[MODEL_NAME];
    bool durable;             // else a crash may take everything
    struct model_queue *dead; // where rejected messages go; NULL: nowhere
    uint64_t published, delivered, drained;
};

struct model_queue_channel { // of a client; gone with its connection
    struct list link;        // the model's
    char name[MODEL_NAME];
    uint32_t start;           // the server's incarnation
    uint64_t alive;           // it was at this stamp: an answer said so
    struct model_queue_seen { // the newest that was not redelivered, by publisher
        uint32_t publisher;
        uint64_t sequence;
    } seen[MODEL_QUEUE_SEEN];
    uint32_t seen_count;
    const struct model_queue *consumes;
    uint64_t doubt_stamp; // 0: none. Of a delivery that is a violation, if the channel is alive
    char doubt[160];
};

struct model_message {
    struct map_node node;
    uint64_t id;
    struct model_queue *queue;
    uint32_t publisher; // a channel: what two of them send has no order
    uint64_t sequence;
    enum model_outcome outcome; // OK: confirmed
    bool delivered, drained;
    bool rejected; // somebody who held it sent so; it may be in the queue's dead queue, too
    const struct model_queue *from;       // the queue that it was last delivered from
    struct model_queue_channel *holder;   // NULL: nobody that we know of
    uint64_t acked;                       // stamp of the acknowledgement that was sent; 0: none
    struct model_queue_channel *acked_by; // NULL: that channel is gone
    uint32_t acked_start;
    bool acked_handled; // in the incarnation acked_start, for sure
    bool acked_durable;
    struct model_queue_channel *suspect; // it held the message when the other one was given it
    struct model_queue_channel *suspect_other;
    uint64_t suspect_stamp;
    bool suspect_alive, suspect_other_alive; // since then
    struct model_queue_channel *again; // was given it after an acknowledgement, which counts until
    uint64_t again_stamp;              // it is known that this was no old delivery
};

struct model_queues {
    struct model *model;
    struct list queues, channels;
    struct map messages; // by id
};

void queues_model_init(struct model_queues *mq, struct model *m);
void queues_model_fini(struct model_queues *mq);
void queues_model_server_gone(struct model_queues *mq); // the incarnation is over

struct model_queue *queue_model_create(struct model_queues *mq, const char *name, bool durable);

struct model_queue_channel *queue_channel_open(struct model_queues *mq, const char *name);
void queue_channel_gone(struct model_queues *mq, struct model_queue_channel *ch);
// The answer to something that this channel sent at that stamp.
void queue_channel_answered(struct model_queues *mq, struct model_queue_channel *ch, uint64_t sent);
void queue_channel_consumes(struct model_queue_channel *ch, const struct model_queue *q);

// A message is about to be sent; ids are unique, sequences rise per publisher (a channel, from 1).
void queue_published(struct model_queues *mq, struct model_queue *q, uint32_t publisher,
                     uint64_t sequence, uint64_t id);
// OK: confirmed; REFUSED: nacked, it may be there or not; UNKNOWN: the channel is gone.
void queue_publish_ended(struct model_queues *mq, uint64_t id, enum model_outcome outcome);
// A confirmed message was sent to q at that stamp: what the channel acknowledged there before is
// durable.
void queue_acks_durable(struct model_queues *mq, struct model_queue_channel *ch,
                        const struct model_queue *q, uint64_t sent);
void queue_delivered(struct model_queues *mq, struct model_queue_channel *ch,
                     const struct model_queue *q, uint64_t id, bool redelivered);
void queue_ack_sent(struct model_queues *mq, struct model_queue_channel *ch, uint64_t id);
void queue_release_sent(struct model_queues *mq, struct model_queue_channel *ch, uint64_t id);
void queue_reject_sent(struct model_queues *mq, struct model_queue_channel *ch, uint64_t id);
// In the end everything that is in q was taken out, one by one, and is told with this.
void queue_drained(struct model_queues *mq, const struct model_queue *q, uint64_t id);
void queues_model_final(struct model_queues *mq); // all queues are empty

#endif
