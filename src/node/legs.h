// SPDX-License-Identifier: Apache-2.0
//
// A request whose parts lie on several shards: one leg per shard that has any of them. A leg runs
// there and answers when all that it waits for is settled; the request goes on when all legs have
// answered. Legs may be started again: a fetch has rounds.
//
// Ownership: the array is the request's, on the asking shard. What has been started and not
// answered is the other shard's.
#ifndef WEIR_NODE_LEGS_H
#define WEIR_NODE_LEGS_H

#include "node/shard.h"

struct legs;

struct leg { // first in the request's own struct
    struct node_call call;
    struct legs *legs;
    uint32_t pending; // what it still waits for, its run included
};

struct legs {
    struct shard *from;
    char *array; // of the request's struct
    size_t size;
    uint32_t count, left;
    void (*run)(struct leg *leg, struct shard *shard); // on each shard; may take leg_wait
    void (*answered)(struct leg *leg); // on `from`, for each; the last one when left is 0
};

// shards: a bit for each; none means the asking one, where an empty request is answered. leg_size:
// of the struct that begins with struct leg; all zero at first.
void legs_make(struct legs *legs, struct shard *from, uint64_t shards, size_t leg_size);
void legs_start(struct legs *legs, void (*run)(struct leg *leg, struct shard *shard),
                void (*answered)(struct leg *leg));
void legs_free(struct legs *legs); // also when its actors have ended
struct leg *legs_at(const struct legs *legs, uint32_t index);
struct shard *leg_shard(const struct leg *leg);

// On the leg's shard: one more thing to wait for; it is settled.
void leg_wait(struct leg *leg);
void leg_settle(struct leg *leg);

#endif
