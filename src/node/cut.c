// SPDX-License-Identifier: Apache-2.0
//
// A shard's part in a checkpoint (journal/checkpoint.h). First everything that was added becomes
// durable and is applied, so that what rooms apply only when durable (offsets, groups) is in their
// tables. Then, in one turn, every room emits what changed; the logs write and sync what they
// named. What was added up to that turn must be durable as well before the cut counts, since logs
// and producers count what is appended, not what is durable.
#include "base/assert.h"
#include "base/bugs.h"
#include "base/endian.h"
#include "base/err.h"
#include "node/queues_int.h"

static void node_records(struct shard *shard, struct buf *out)
{
    const struct node *node = shard->node;
    uint8_t epoch[4];
    uint8_t ids[8];
    le32_put(epoch, (uint32_t)node->epoch);
    le64_put(ids, (uint64_t)shard->catalogue.ids_block_end);
    const struct state_record records[] = {
        {STATE_NODE, slice_cstr(STATE_NODE_EPOCH), slice_of(epoch, sizeof epoch)},
        {STATE_NODE, slice_cstr(STATE_NODE_CLUSTER), slice_of(node->cluster.bytes, 16)},
        {STATE_NODE, slice_cstr(STATE_NODE_PRODUCER_IDS), slice_of(ids, sizeof ids)},
    };
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++)
        state_put(out, &records[i]);
}

static void producers_records(struct shard *shard, bool full, struct buf *out)
{
    struct buf value;
    buf_init(&value, 1U << 30);
    MAP_FOR_SAFE (it, &shard->partitions) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        struct partition *p = CONTAINER_OF(node, struct partition, node);
        if (p->producers == NULL || (!full && !producers_dirty(p->producers)))
            continue;
        uint8_t key[20];
        partition_key_put(&p->key, key);
        buf_clear(&value);
        producers_snapshot(p->producers, &value);
        const struct state_record record = {STATE_PRODUCERS, slice_of(key, sizeof key),
                                            buf_slice(&value)};
        if (!bug(BUG_LOSE_PRODUCERS))
            state_put(out, &record);
    }
    buf_fini(&value);
}

static void cut_end(struct shard *shard)
{
    struct checkpoint_cut *cut = shard->cut.cut;
    int err = shard->cut.err != 0 ? shard->cut.err : cut->records.err;
    shard->cut.cut = NULL;
    checkpoint_cut_done(cut, err);
}

static void after_durable(struct journal_barrier *barrier, int err)
{
    struct shard *shard = CONTAINER_OF(barrier, struct shard, cut.after);
    if (err != 0)
        shard->cut.err = err;
    cut_end(shard);
}

static void logs_synced(struct log_cut *logs, int err)
{
    struct shard *shard = logs->arg;
    shard->cut.err = err;
    if (bug(BUG_STALE_SNAPSHOT)) {
        cut_end(shard);
        return;
    }
    shard->cut.after.fn = after_durable;
    journal_barrier(shard->port, &shard->cut.after);
}

static void before_durable(struct journal_barrier *barrier, int err)
{
    struct shard *shard = CONTAINER_OF(barrier, struct shard, cut.before);
    struct checkpoint_cut *cut = shard->cut.cut;
    if (err != 0) {
        shard->cut.err = err;
        cut_end(shard);
        return;
    }
    struct buf *out = &cut->records;
    if (shard->index == 0) {
        node_records(shard, out);
        catalogue_cut(shard, cut->full, out);
    }
    groups_cut(shard->groups, cut->full, out);
    queues_cut(shard->queues->room, cut->full, out);
    producers_records(shard, cut->full || shard->producers_full, out);
    shard->cut.logs = (struct log_cut){
        .full = cut->full,
        .out = out,
        .done = logs_synced,
        .arg = shard,
    };
    log_store_cut(shard->store, &shard->cut.logs);
}

void shard_cut(void *arg, struct checkpoint_cut *cut)
{
    struct shard *shard = arg;
    ASSERT(shard->cut.cut == NULL);
    shard_start(shard);
    shard->cut.cut = cut;
    shard->cut.err = 0;
    shard->cut.before.fn = before_durable;
    journal_barrier(shard->port, &shard->cut.before);
}

void shard_cut_settled(void *arg, bool installed)
{
    struct shard *shard = arg;
    shard->producers_full = !installed; // their dirty marks are gone
    if (shard->index == 0)
        catalogue_settled(shard, installed);
    groups_settled(shard->groups, installed);
    queues_settled(shard->queues->room, installed);
    log_store_settled(shard->store, installed);
}
