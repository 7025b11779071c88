// SPDX-License-Identifier: Apache-2.0
//
// A change to the catalogue that a method asks for (node/queues.h): what it is about is copied, the
// connection waits, and the method's file answers. Private to the upper half.
#ifndef WEIR_AMQP_CHANGE_H
#define WEIR_AMQP_CHANGE_H

#include "amqp/session.h"

struct amqp_change {
    struct queue_change change;
    struct amqp_wait wait;
    struct shard *shard;
    uint32_t method;        // that is being answered
    uint32_t answer_method; // where the method has several
    bool no_wait;
    struct slice tag;   // basic.consume of replies: in the arena, like all below
    struct arena arena; // what change points into
    size_t charged_bytes;
    // The channel is there. The change is freed when this returns.
    void (*answer)(struct amqp_change *c, struct amqp_channel *ch);
};

// For up to that many bytes of copies; NULL: there is no memory, and the channel has been told.
struct amqp_change *amqp_change_new(struct amqp_channel *ch, uint32_t method, bool no_wait,
                                    enum queue_change_kind kind, size_t bytes);
struct slice amqp_change_copy(struct amqp_change *c, struct slice s); // null stays null
void amqp_change_start(struct amqp_change *c, struct amqp_channel *ch,
                       void (*answer)(struct amqp_change *c, struct amqp_channel *ch));
void amqp_change_free(struct amqp_change *c); // that was not started

// The usual: err 0 is answered with a method that has no fields (unless no_wait), anything else
// with the exception that fits.
void amqp_change_ok(struct amqp_change *c, struct amqp_channel *ch, uint32_t ok);

#endif
