// SPDX-License-Identifier: Apache-2.0
//
// Consumers, and where deliveries come from. Private to the upper half.
//
//   state      may become              meaning
//   attaching  open, leaving, ended    the queue's shard was asked; the connection waits
//   open       leaving, ended          deliveries may come
//   leaving    ended                   it was told to the queue's shard, whose answer is awaited;
//   an
//                                      auto-delete queue goes before that, if this was the last
//   ended      -                       freed once nothing that it was given is unacknowledged
//
// A consumer is found by its tag while it is attaching or open. A session that ends leaves those
// behind whose answer is still under way.
#ifndef WEIR_AMQP_CONSUMER_H
#define WEIR_AMQP_CONSUMER_H

#include "amqp/session.h"

enum amqp_consumer_state { CONSUMER_ATTACHING, CONSUMER_OPEN, CONSUMER_LEAVING, CONSUMER_ENDED };

struct amqp_source {              // of deliveries
    struct list link;             // of the session
    struct amqp_session *session; // NULL: it has ended
    struct shard *shard;
    struct uuid queue;
    struct amqp_consumer *consumer; // NULL: basic.get
    uint32_t unacked;
    bool counts; // x-delivery-count is told
    size_t charged_bytes;
};

struct amqp_consumer {
    struct amqp_source source;
    struct map_node node;        // of the session, by tag
    struct list asking, touched; // of the session
    uint8_t state;
    bool no_ack, no_wait, gated;
    bool auto_delete; // of its queue, when this was the last
    uint32_t credit;  // given and not used yet
    uint32_t size;    // bytes of its messages, about
    struct queue_subscription *sub;
    struct amqp_wait wait;
    struct slice tag, queue_name; // in `text`
    uint8_t text[];
};

struct amqp_consume { // what basic.consume asks for
    struct slice tag;
    const struct queue_facts *queue;
    int32_t priority;
    bool no_ack, exclusive, no_wait;
    bool replies; // to what this channel publishes with the pseudo queue
};
// Answers, now or later.
void amqp_consumer_start(struct amqp_channel *ch, const struct amqp_consume *consume);
struct amqp_consumer *amqp_consumer_by_tag(struct amqp_session *s, struct slice tag); // NULL
void amqp_consumers_close(struct amqp_session *s, bool gone);

// ---- sources

struct amqp_source *amqp_source_of_queue(struct amqp_session *s,
                                         const struct uuid *queue); // NULL: no memory
// Remembers a delivery under the next tag; false: no memory.
bool amqp_delivery_keep(struct amqp_session *s, struct amqp_source *source,
                        const struct queue_delivery *delivery);
// One of its deliveries has been settled; it may be freed.
void amqp_source_settled(struct amqp_source *source);
void amqp_source_free(struct amqp_source *source);
void amqp_unacked_release(struct amqp_session *s, bool gone); // all of them, in order

// ---- credit.c

uint32_t amqp_credit_first(struct amqp_consumer *c); // what it is attached with; decides on `gated`
void amqp_credit_attached(struct amqp_consumer *c);
void amqp_credit_used(struct amqp_consumer *c, uint32_t count, size_t bytes);
void amqp_credit_update(struct amqp_consumer *c);
void amqp_credit_ready(struct amqp_consumer *c);
void amqp_credit_unused(struct amqp_consumer *c, uint32_t credit);
void amqp_credit_forget(struct amqp_consumer *c); // it ends
void amqp_credit_update_all(struct amqp_session *s);
void amqp_credit_reset_all(struct amqp_session *s); // limits, or who shares them, have changed
void amqp_credit_widen(struct io_timer *timer);     // session.widen
void amqp_credit_settled(struct amqp_session *s);
void amqp_credit_starve(struct amqp_session *s); // there is no memory for deliveries

// ---- reply_to.c: direct reply-to

#define AMQP_REPLIES "amq.rabbitmq.reply-to"
void amqp_replies_start(struct amqp_channel *ch, const struct amqp_consume *consume);

#endif
