// SPDX-License-Identifier: Apache-2.0
//
// The AMQP 0-9-1 door of one shard: it listens, speaks the protocol, and asks the node what clients
// ask of it. Every shard has a door of its own on the same port (SO_REUSEPORT), so a connection
// lives and dies on one shard; queues of other shards are reached through node/queues.h.
//
// Life: amqp_door_open on the shard (from the node's open_doors hook), amqp_door_close on the shard
// (close_doors), amqp_door_destroy from the node's destroy_doors hook, once no actor runs any more;
// the door keeps the memory of requests that other shards still hold, therefore the two steps.
#ifndef WEIR_AMQP_DOOR_H
#define WEIR_AMQP_DOOR_H

#include "io/listeners.h"
#include "node/shard.h"

#define AMQP_PORT_DEFAULT 5672

struct amqp_door;

struct amqp_door_options {
    const struct io_addr *listen; // as in struct io_listeners_options
    uint32_t listen_count;
    uint16_t port;
};

// The shard that opens first settles what port 0 means; others are given its addresses to listen
// on. Errors: as io_listeners_open.
int amqp_door_open(struct shard *shard, const struct amqp_door_options *options,
                   struct amqp_door **out);
const struct io_listeners *amqp_door_listeners(const struct amqp_door *door);
struct amqp_door *amqp_door_of(struct shard *shard); // NULL: it has none

// From the node's appends_unblocked hook: connections that were held back are read again.
void amqp_door_unblocked(struct amqp_door *door); // accepts NULL

// Stops listening and closes all connections; what is under way ends unheard. Accepts NULL.
void amqp_door_close(struct amqp_door *door);
void amqp_door_destroy(struct amqp_door *door); // accepts NULL

#endif
