// SPDX-License-Identifier: Apache-2.0
//
// A partition: a log and, once an idempotent producer has written to it, its producers. Found by
// (topic id, number) on the one shard that owns it.
#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "node/node_int.h"

static struct slice key_bytes(const struct log_key *key, uint8_t out[20])
{
    memcpy(out, key->topic.bytes, 16);
    le32_put(out + 16, (uint32_t)key->partition);
    return slice_of(out, 20);
}

uint32_t node_shard_of_partition(const struct node *node, const struct uuid *topic,
                                 int32_t partition)
{
    // A queue's: all of it on one shard (node/queues.h).
    const struct log_key key = {*topic, uuid_version(topic) == QUEUE_UUID_VERSION ? 0 : partition};
    uint8_t bytes[20];
    (void)key_bytes(&key, bytes);
    return (uint32_t)(hash64(bytes, sizeof bytes, 0) % node->options.shards_count);
}

uint32_t node_shard_of_group(const struct node *node, struct slice group_id)
{
    return (uint32_t)(hash64(group_id.data, group_id.len, 1) % node->options.shards_count);
}

struct partition *partition_find(struct shard *shard, const struct log_key *key)
{
    uint8_t bytes[20];
    uint64_t hash = map_hash(&shard->partitions, key_bytes(key, bytes));
    struct map_node *node = map_find(&shard->partitions, hash, key);
    return node != NULL ? CONTAINER_OF(node, struct partition, node) : NULL;
}

struct log_options partition_log_options(const struct topic_config *config)
{
    return (struct log_options){
        .segment_bytes = config->segment_bytes,
        .segment_ms = config->segment_ms,
        .index_interval_bytes = config->index_interval_bytes,
        .retention_bytes = config->retention_bytes,
        .retention_ms = config->retention_ms,
        .cleanup_delete = config->cleanup_delete,
        .relaxed = config->relaxed,
    };
}

int partition_make(struct shard *shard, const struct log_key *key,
                   const struct log_options *options, struct partition **out)
{
    ASSERT(partition_find(shard, key) == NULL);
    ASSERT(key->partition >= 0);
    ASSERT(node_shard_of_partition(shard->node, &key->topic, key->partition) == shard->index);
    struct log *log = NULL;
    int err = log_create(shard->store, key, options, &log);
    if (err != 0)
        return err;
    struct partition *p = mem_zalloc(sizeof *p);
    uint8_t bytes[20];
    p->key = *key;
    p->shard = shard;
    p->log = log;
    map_insert(&shard->partitions, &p->node, map_hash(&shard->partitions, key_bytes(key, bytes)));
    *out = p;
    return 0;
}

void partition_forget(struct partition *partition)
{
    map_remove(&partition->shard->partitions, &partition->node);
    producers_destroy(partition->producers);
    mem_free(partition);
}

void partition_drop(struct partition *partition)
{
    log_delete(partition->log);
    partition_forget(partition);
}

struct partition *part_begin(struct shard *shard, struct part *part)
{
    const struct log_key key = {part->topic, part->partition};
    part->err = 0;
    part->log_start_offset = -1;
    part->high_watermark = -1;
    struct partition *p = partition_find(shard, &key);
    ASSERT(node_shard_of_partition(shard->node, &key.topic, key.partition) == shard->index);
    if (p == NULL) {
        bool topic = topic_entry_by_id(shard, &part->topic) != NULL;
        part->err = topic ? ERR_UNKNOWN_TOPIC_OR_PARTITION : ERR_UNKNOWN_TOPIC_ID;
        return NULL;
    }
    // KIP-320: a client that knows an older leader must refresh, one that knows a newer must wait.
    if (part->current_leader_epoch >= 0 && part->current_leader_epoch != shard->node->epoch) {
        bool older = part->current_leader_epoch < shard->node->epoch;
        part->err = older ? ERR_FENCED_LEADER_EPOCH : ERR_UNKNOWN_LEADER_EPOCH;
        return NULL;
    }
    part->log_start_offset = log_start_offset(p->log);
    part->high_watermark = log_high_watermark(p->log);
    ASSERT(part->log_start_offset <= part->high_watermark);
    return p;
}
