// SPDX-License-Identifier: Apache-2.0
//
// A simulated AMQP client that publishes, some messages at a time, and counts confirms.
#include "sim/queue_user.h"

#define BURST 4

static void publisher_ready(struct queue_user *u)
{
    queue_user_note(u, "is ready to publish");
}

static void publisher_step(struct queue_user *u)
{
    // Never to the queue of dead letters: what lies there must have come from where it died.
    struct model_queue *q = world_queue(u->world, queue_user_dice(u, WORLD_QUEUES - 1));
    for (uint32_t n = 1 + queue_user_dice(u, BURST); n > 0; n--)
        if (!queue_user_publish(u, q, false))
            return;
}

const struct queue_user_kind queue_user_publisher = {
    .name = "qpub",
    .size = sizeof(struct queue_user),
    .phase = PHASE_RUN,
    .ready = publisher_ready,
    .step = publisher_step,
};
