// SPDX-License-Identifier: Apache-2.0
//
// Bundles: a leg per shard, each of which brings its part between journal_bundle_begin and _end and
// answers when that is durable. Legs of different bundles may arrive in different orders on
// different shards; the journal sorts that out.
#include "node/bundle.h"

#include <stdatomic.h>

#include "base/assert.h"
#include "base/err.h"
#include "node/node_int.h"

struct bundle_leg {
    struct leg leg;
    struct journal_barrier barrier;
    int err;
};

static void leg_durable(struct journal_barrier *barrier, int err)
{
    struct bundle_leg *leg = CONTAINER_OF(barrier, struct bundle_leg, barrier);
    if (leg->err == 0)
        leg->err = err;
    leg_settle(&leg->leg);
}

static void leg_run(struct leg *base, struct shard *shard)
{
    struct bundle_leg *leg = CONTAINER_OF(base, struct bundle_leg, leg);
    struct node_bundle *bundle = CONTAINER_OF(base->legs, struct node_bundle, legs);
    journal_bundle_begin(shard->port, bundle->id, bundle->legs.count);
    leg->err = bundle->bring(bundle, shard);
    journal_bundle_end(shard->port);
    leg_wait(base);
    leg->barrier.fn = leg_durable;
    journal_barrier(shard->port, &leg->barrier);
}

static void leg_answered(struct leg *leg)
{
    struct node_bundle *bundle = CONTAINER_OF(leg->legs, struct node_bundle, legs);
    if (bundle->err == 0)
        bundle->err = CONTAINER_OF(leg, struct bundle_leg, leg)->err;
    if (bundle->legs.left > 0)
        return;
    legs_free(&bundle->legs);
    bundle->done(bundle, bundle->err);
}

int node_bundle_start(struct shard *from, struct node_bundle *bundle)
{
    struct node *node = from->node;
    ASSERT(bundle->shards != 0);
    ASSERT(from->index == 0);
    if (atomic_load(&node->state) != NODE_RUNNING)
        return ERR_STOPPED;
    if (bundle->bytes > journal_bundle_max(node->broker.journal_file_bytes))
        return ERR_LIMIT;
    bundle->id = atomic_fetch_add(&node->next_bundle, 1);
    bundle->err = 0;
    legs_make(&bundle->legs, from, bundle->shards, sizeof(struct bundle_leg));
    legs_start(&bundle->legs, leg_run, leg_answered);
    return 0;
}

void node_bundle_drop(struct node_bundle *bundle)
{
    legs_free(&bundle->legs);
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
