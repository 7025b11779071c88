// SPDX-License-Identifier: Apache-2.0
//
// What a method asks of a queue's shard: how many messages, or to drop them. Private to the upper
// half.
#ifndef WEIR_AMQP_ASK_H
#define WEIR_AMQP_ASK_H

#include "amqp/session.h"

struct amqp_ask {
    struct queue_ask ask;
    struct amqp_wait wait;
    struct shard *shard;
    bool no_wait;
    // The channel is there. Freed when this returns.
    void (*answer)(struct amqp_ask *a, struct amqp_channel *ch);
    struct slice name; // in `text`
    uint8_t text[MESSAGE_NAME_MAX];
};

// ask: what is asked; its id and done are set here. Without memory the channel is told.
void amqp_ask(struct amqp_channel *ch, uint32_t method, const struct queue_facts *queue,
              bool no_wait, const struct queue_ask *ask,
              void (*answer)(struct amqp_ask *a, struct amqp_channel *ch));

#endif
