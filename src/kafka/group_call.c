// SPDX-License-Identifier: Apache-2.0
//
// The road to a group and back: see group_call.h.
#include "kafka/group_call.h"

struct kafka_group_call *kafka_group_calls_new(struct kafka_request *r, size_t count,
                                               void (*run)(struct groups *groups,
                                                           struct kafka_group_call *call),
                                               void (*answer)(struct kafka_request *r))
{
    struct kafka_group_calls *all = kafka_alloc(r, 1, sizeof *all);
    if (all == NULL)
        return NULL;
    all->calls = kafka_alloc(r, count, sizeof *all->calls);
    if (all->calls == NULL)
        return NULL;
    r->state = all;
    all->count = (uint32_t)count;
    all->left = all->count;
    all->run = run;
    all->answer = answer;
    ASSERT(run != NULL);
    ASSERT(answer != NULL);
    for (uint32_t i = 0; i < all->count; i++)
        all->calls[i].r = r;
    return all->calls;
}

static void group_call_returned(struct node_call *call)
{
    struct kafka_request *r = CONTAINER_OF(call, struct kafka_group_call, call)->r;
    struct kafka_group_calls *all = r->state;
    ASSERT(all != NULL);
    ASSERT(all->left > 0);
    ASSERT(all->left <= all->count);
    if (--all->left == 0)
        all->answer(r);
}

static void group_call_done(struct group_request *request)
{
    node_call_reply(&CONTAINER_OF(request, struct kafka_group_call, u.request)->call);
}

static void group_call_run(struct node_call *call)
{
    struct kafka_group_call *c = CONTAINER_OF(call, struct kafka_group_call, call);
    const struct kafka_group_calls *all = c->r->state;
    all->run(shard_groups(call->to), c);
}

void kafka_group_call_start_on(struct kafka_group_call *call, uint32_t shard)
{
    ASSERT(call->r->progress == REQUEST_RUNNING);
    call->u.request.done = group_call_done;
    call->call.run = group_call_run;
    call->call.done = group_call_returned;
    node_call_start(&call->call, kafka_shard(call->r), shard);
}

void kafka_group_call_start(struct kafka_group_call *call, struct slice group_id)
{
    const struct node *node = shard_node(kafka_shard(call->r));
    kafka_group_call_start_on(call, node_shard_of_group(node, group_id));
}

void kafka_group_calls_fini(struct kafka_request *r)
{
    struct kafka_group_calls *all = r->state;
    for (uint32_t i = 0; all != NULL && i < all->count; i++) {
        all->calls[i].u.request.slot = NULL; // set only if the groups have ended meanwhile
        group_request_fini(&all->calls[i].u.request);
    }
}

struct kafka_group_call *kafka_group_only(const struct kafka_request *r)
{
    const struct kafka_group_calls *all = r->state;
    ASSERT(all->count == 1);
    return all->calls;
}
