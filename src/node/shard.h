// SPDX-License-Identifier: Apache-2.0
//
// A shard, as the doors see it: its actor, its budget, its context for requests, and calls to other
// shards. Nothing is shared between shards; a request that touches another shard's partitions or
// groups is posted there and gathered again.
#ifndef WEIR_NODE_SHARD_H
#define WEIR_NODE_SHARD_H

#include "node/config.h"
#include "node/node.h"

struct io *shard_io(struct shard *shard);
struct node *shard_node(struct shard *shard);
uint32_t shard_index(const struct shard *shard);
struct groups *shard_groups(struct shard *shard);
struct journal_port *shard_port(struct shard *shard);
struct budget *shard_request_budget(struct shard *shard); // requests and answers in flight
uint64_t shard_hash_seed(const struct shard *shard);

// The doors' own objects on this shard, so that hooks find them, and one shard's another's.
enum shard_door { SHARD_DOOR_KAFKA, SHARD_DOOR_AMQP, SHARD_DOORS };
void shard_set_door(struct shard *shard, enum shard_door which, void *door);
void *shard_door(const struct shard *shard, enum shard_door which); // NULL: there is none

// This shard's part of a limit of the whole server.
uint32_t shard_share(const struct shard *shard, uint32_t all);
// A connection wants in (max.connections, max.connections.per.ip, of all doors together). False: it
// must go; else it counts until it leaves, and *out_place is for that.
bool shard_connection_enter(struct shard *shard, const struct io_addr *peer, uint32_t *out_place);
void shard_connection_leave(struct shard *shard, uint32_t place);

// True while what was appended and is not durable exceeds the shard's cap: a door stops reading
// connections whose last request appended (offset commits, heartbeats and acknowledgements go on)
// until `appends_unblocked`.
bool shard_appends_blocked(const struct shard *shard);

// Every request carries one, from the first day; policies come later.
struct request_context {
    struct slice principal; // "User:ANONYMOUS" without authentication
    struct slice client_id;
    enum service_class service_class;
    int64_t deadline_ns; // monotonic; 0: none
    struct budget *budget;
};

// ---- a call to another shard (or to this one: same rules, the answer never comes from inside the
// call)

struct node_call { // embedded by the caller; must live until done
    struct io_msg msg;
    struct shard *from, *to;
    void (*run)(struct node_call *call);  // on `to`; ends, now or later, with node_call_reply
    void (*done)(struct node_call *call); // on `from`
};
void node_call_start(struct node_call *call, struct shard *from, uint32_t to_index);
void node_call_reply(struct node_call *call);

// Runs one call on every shard at once; done when all have answered.
struct broadcast_call;
struct node_broadcast {
    struct broadcast_call *calls; // owned, one per shard
    uint32_t left;
    struct shard *from;
    void (*run)(struct node_broadcast *broadcast,
                struct node_call *call);            // on each shard; ends with node_call_reply
    void (*done)(struct node_broadcast *broadcast); // on `from`; the broadcast may be freed in it
};
void node_broadcast_start(struct node_broadcast *broadcast, struct shard *from);

#endif
