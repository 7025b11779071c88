// SPDX-License-Identifier: Apache-2.0
//
// What a channel has delivered and not heard of yet (AMQP 0-9-1, basic.ack: delivery tags are
// unique and rising within a channel). A ring of 32 bytes a delivery, in the order of the tags;
// what is settled out of order leaves a hole, and holes go when they reach an end or outnumber what
// lives. Private to the room.
//
// Memory is taken from a budget, since it is the client that decides how much it leaves
// unacknowledged.
#ifndef WEIR_AMQP_UNACKED_H
#define WEIR_AMQP_UNACKED_H

#include <stdbool.h>

#include "base/budget.h"

struct amqp_source; // where a delivery came from: a consumer, or a queue that was asked

struct amqp_unacked_delivery {
    uint64_t tag;
    int64_t offset;
    struct amqp_source *source; // NULL: a hole
    int32_t level;
};

struct amqp_unacked {
    struct amqp_unacked_delivery *ring;
    struct budget *budget; // may be NULL
    uint32_t cap;          // a power of two, or 0
    uint32_t head;         // index of the oldest
    uint32_t span;         // from the oldest to the newest, holes included
    uint32_t count;        // without holes
    uint64_t last_tag;
};

#define AMQP_UNACKED_MAX (64U << 20) // deliveries of one channel, holes included

void amqp_unacked_init(struct amqp_unacked *unacked, struct budget *budget);
void amqp_unacked_fini(struct amqp_unacked *unacked);
// Tags rise. ERR_BUDGET, ERR_NOMEM or ERR_LIMIT: there is no room, nothing was added.
int amqp_unacked_add(struct amqp_unacked *unacked, const struct amqp_unacked_delivery *delivery);
bool amqp_unacked_has(const struct amqp_unacked *unacked, uint64_t tag);
// Takes out the delivery of that tag; with `multiple` the oldest one, if its tag is not above
// `tag` (called until it says false). ERR_NOT_FOUND.
int amqp_unacked_take(struct amqp_unacked *unacked, uint64_t tag, bool multiple,
                      struct amqp_unacked_delivery *out);

#endif
