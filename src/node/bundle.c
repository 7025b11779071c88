// SPDX-License-Identifier: Apache-2.0
//
// Bundles: a leg per shard, each of which brings its part between journal_bundle_begin and _end and
// answers when that is durable. Legs of different bundles may arrive in different orders on
// different shards; the journal sorts that out.
#include "node/bundle.h"

#include <stdatomic.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/node_int.h"

struct bundle_leg {
    struct node_call call;
    struct node_bundle *bundle;
    struct journal_barrier barrier;
    int err;
};

static void leg_durable(struct journal_barrier *barrier, int err)
{
    struct bundle_leg *leg = CONTAINER_OF(barrier, struct bundle_leg, barrier);
    if (leg->err == 0)
        leg->err = err;
    node_call_reply(&leg->call);
}

static void leg_run(struct node_call *call)
{
    struct bundle_leg *leg = CONTAINER_OF(call, struct bundle_leg, call);
    struct node_bundle *bundle = leg->bundle;
    struct journal_port *port = call->to->port;
    journal_bundle_begin(port, bundle->id, bundle->legs_count);
    leg->err = bundle->bring(bundle, call->to);
    journal_bundle_end(port);
    leg->barrier.fn = leg_durable;
    journal_barrier(port, &leg->barrier);
}

static void leg_done(struct node_call *call)
{
    struct bundle_leg *leg = CONTAINER_OF(call, struct bundle_leg, call);
    struct node_bundle *bundle = leg->bundle;
    if (bundle->err == 0)
        bundle->err = leg->err;
    ASSERT(bundle->legs_left > 0);
    if (--bundle->legs_left > 0)
        return;
    mem_free(bundle->legs);
    bundle->legs = NULL;
    bundle->done(bundle, bundle->err);
}

int node_bundle_start(struct shard *from, struct node_bundle *bundle)
{
    struct node *node = from->node;
    ASSERT(bundle->shards != 0);
    ASSERT(from->index == 0);
    if (atomic_load(&node->state) != NODE_RUNNING)
        return ERR_STOPPED;
    bundle->from = from;
    bundle->id = atomic_fetch_add(&node->next_bundle, 1);
    bundle->legs_count = (uint32_t)__builtin_popcountll(bundle->shards);
    bundle->legs_left = bundle->legs_count;
    bundle->err = 0;
    bundle->legs = mem_zalloc(bundle->legs_count * sizeof bundle->legs[0]);
    for (uint32_t i = 0, at = 0; at < bundle->legs_count; i++) {
        if ((bundle->shards >> i & 1) == 0)
            continue;
        struct bundle_leg *leg = &bundle->legs[at++];
        leg->bundle = bundle;
        leg->call.run = leg_run;
        leg->call.done = leg_done;
        node_call_start(&leg->call, from, i);
    }
    return 0;
}

void node_bundle_drop(struct node_bundle *bundle)
{
    mem_free(bundle->legs);
    bundle->legs = NULL;
}

int node_bundle_append(struct shard *shard, const struct uuid *topic, int32_t partition,
                       struct blob_piece batch, int64_t *out_base_offset)
{
    const struct log_key key = {*topic, partition};
    struct partition *p = partition_find(shard, &key);
    struct batch b;
    struct log_appended done;
    if (p == NULL)
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    int err = batch_peek(blob_piece_slice(batch), &b);
    if (err == 0 && b.size_bytes > journal_body_max(shard->node->broker.journal_file_bytes))
        err = ERR_MESSAGE_TOO_LARGE;
    if (err == 0)
        err = log_append(p->log, batch, &b, shard->node->epoch, &done);
    if (err == 0)
        *out_base_offset = done.base_offset;
    return err;
}
