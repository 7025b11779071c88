// SPDX-License-Identifier: Apache-2.0
//
// The Kafka door of one shard: it listens, frames requests, runs them against the node and sends
// the answers in order. Every shard has a door of its own on the same port (SO_REUSEPORT), so a
// connection lives and dies on one shard; what a request asks of other shards goes through
// node/partitions.h, node/topics.h and node_call.
//
// Life: kafka_door_open on the shard (from the node's open_doors hook), kafka_door_close on the
// shard (close_doors), kafka_door_destroy from the node's destroy_doors hook, once no actor runs
// any more; the door keeps the memory of requests that other shards still hold, therefore the two
// steps.
#ifndef WEIR_KAFKA_DOOR_H
#define WEIR_KAFKA_DOOR_H

#include "io/listeners.h"
#include "node/shard.h"

#define KAFKA_PORT_DEFAULT 9092
#define KAFKA_HOST_MAX     255

struct kafka_door;

struct kafka_door_options {
    // Where to listen. None: 127.0.0.1 and [::1] at `port`; then a machine that lacks one of the
    // two families is no error.
    const struct io_addr *listen;
    uint32_t listen_count;
    uint16_t port; // for the default pair; 0: any free one, the same for both
    // "HOST:PORT" that Metadata names (advertised.listeners). NULL: the address that the client
    // itself has connected to, which is right on loopback for both families.
    const char *advertised;
};

// The shard that opens first settles what port 0 means; others are given its addresses
// (kafka_door_listeners) to listen on. Errors: ERR_ADDRESS_IN_USE, ERR_PERMISSION, ERR_INVALID (a
// bad `advertised`), ERR_LIMIT (too many addresses), ERR_IO.
int kafka_door_open(struct shard *shard, const struct kafka_door_options *options,
                    struct kafka_door **out);
const struct io_listeners *kafka_door_listeners(const struct kafka_door *door);
// "HOST:PORT" from a text, with or without "PLAINTEXT://"; the port defaults to 9092. ERR_INVALID.
int kafka_host_port(const char *text, char host[KAFKA_HOST_MAX + 1], uint16_t *out_port);

// From the node's appends_unblocked hook: connections that were held back are read again.
void kafka_door_unblocked(struct kafka_door *door);

// Stops listening and closes all connections; requests under way end unheard. Accepts NULL.
void kafka_door_close(struct kafka_door *door);
void kafka_door_destroy(struct kafka_door *door); // accepts NULL

#endif
