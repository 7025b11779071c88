// SPDX-License-Identifier: Apache-2.0
//
// Split, run, gather: what produce, fetch, scatter and bundles have in common.
#include "node/legs.h"

#include "base/assert.h"
#include "base/mem.h"
#include "node/node_int.h"

void legs_make(struct legs *legs, struct shard *from, uint64_t shards, size_t leg_size)
{
    if (shards == 0)
        shards = UINT64_C(1) << from->index;
    ASSERT(leg_size >= sizeof(struct leg));
    *legs = (struct legs){.from = from, .size = leg_size};
    legs->count = (uint32_t)__builtin_popcountll(shards);
    ASSERT(legs->count <= from->node->options.shards_count);
    legs->array = mem_zalloc(legs->count * leg_size);
    for (uint32_t i = 0, at = 0; at < legs->count; i++) {
        if ((shards >> i & 1) == 0)
            continue;
        struct leg *leg = legs_at(legs, at++);
        leg->legs = legs;
        leg->call.to = &from->node->shards[i];
    }
}

struct leg *legs_at(const struct legs *legs, uint32_t index)
{
    ASSERT(index < legs->count);
    return (void *)(legs->array + index * legs->size);
}

struct shard *leg_shard(const struct leg *leg)
{
    return leg->call.to;
}

void leg_wait(struct leg *leg)
{
    ASSERT(leg->pending > 0); // it has not answered
    leg->pending++;
}

void leg_settle(struct leg *leg)
{
    ASSERT(leg->pending > 0);
    if (--leg->pending == 0)
        node_call_reply(&leg->call);
}

static void leg_run(struct node_call *call)
{
    struct leg *leg = CONTAINER_OF(call, struct leg, call);
    ASSERT(leg->pending == 0);
    leg->pending = 1;
    leg->legs->run(leg, call->to);
    leg_settle(leg);
}

static void leg_answered(struct node_call *call)
{
    struct leg *leg = CONTAINER_OF(call, struct leg, call);
    ASSERT(leg->legs->left > 0);
    leg->legs->left--;
    leg->legs->answered(leg);
}

void legs_start(struct legs *legs, void (*run)(struct leg *leg, struct shard *shard),
                void (*answered)(struct leg *leg))
{
    ASSERT(legs->left == 0);
    legs->run = run;
    legs->answered = answered;
    legs->left = legs->count;
    for (uint32_t i = 0; i < legs->count; i++) {
        struct leg *leg = legs_at(legs, i);
        leg->call.run = leg_run;
        leg->call.done = leg_answered;
        node_call_start(&leg->call, legs->from, leg_shard(leg)->index);
    }
}

void legs_free(struct legs *legs)
{
    mem_free(legs->array);
    legs->array = NULL;
}
