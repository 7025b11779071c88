// SPDX-License-Identifier: Apache-2.0
//
// A client that closes a channel or its connection in good order is answered when what it has
// published is where others find it: people take close-ok for that.
#include "amqp/session.h"
#include "base/mem.h"

struct leave {
    struct publish_receipt published;
    struct amqp_wait wait;
    struct shard *shard;
};

static void leave_free(struct leave *leave)
{
    budget_give(shard_request_budget(leave->shard), sizeof *leave);
    mem_free(leave);
}

static void leave_drop(struct amqp_wait *wait)
{
    leave_free(CONTAINER_OF(wait, struct leave, wait));
}

static void leave_done(struct publish_receipt *receipt)
{
    struct leave *leave = CONTAINER_OF(receipt, struct leave, published);
    amqp_wait_end(&leave->wait);
    if (leave->wait.channel != NULL)
        amqp_channel_left(leave->wait.channel);
    leave_free(leave);
}

bool amqp_leave(struct amqp_conn *conn, struct amqp_channel *ch)
{
    struct shard *shard = amqp_conn_door(conn)->shard;
    struct leave *leave = mem_zalloc(sizeof *leave);
    leave->shard = shard;
    leave->published.done = leave_done;
    publish_follow(shard, NULL, &leave->published);
    if (leave->published.flights == 0) {
        mem_free(leave);
        return false;
    }
    budget_force(shard_request_budget(shard), sizeof *leave); // small, one per connection
    amqp_wait_begin(conn, ch, &leave->wait, true, leave_drop);
    return true;
}
