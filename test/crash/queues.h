// SPDX-License-Identifier: Apache-2.0
//
// Queues under kill -9: publishers that wait for confirms and consumers that acknowledge, on
// unmodified rabbitmq-c, beside the Kafka load and through all its rounds.
//
// Books: a message that was confirmed is delivered at least once; what comes a second time is
// flagged redelivered; and what was acknowledged durably never comes again. An acknowledgement has
// no answer: a consumer publishes to the same queue right behind it, on the same connection, and
// when that is confirmed the acknowledgement is durable as well.
#ifndef WEIR_CRASH_QUEUES_H
#define WEIR_CRASH_QUEUES_H

#include "crash.h"

#define QUEUES           3
#define QUEUE_PUBLISHERS 3
#define QUEUE_CONSUMERS  3 // one a queue
#define QUEUE_SENDERS    (QUEUE_PUBLISHERS + QUEUE_CONSUMERS)

struct queue_totals {
    uint64_t sent, confirmed, nacked, delivered, again, durable_acks;
    uint64_t lost, back, unflagged, alien; // must stay 0
};

void queues_start(struct run *r);
void queues_publish_end(void); // publishers end; consumers go on
bool queues_drained(void);     // everything that was confirmed has been delivered
void queues_end(void);
struct queue_totals queues_totals(void);

#endif
