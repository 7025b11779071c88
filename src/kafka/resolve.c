// SPDX-License-Identifier: Apache-2.0
//
// Names and numbers from outside, resolved against this shard's replica of the catalogue.
#include "kafka/resolve.h"

int kafka_topic(struct kafka_request *r, bool by_id, struct slice name, const struct uuid *id,
                const struct topic **out)
{
    const struct topic *topic =
        by_id ? topic_by_id(kafka_shard(r), id) : topic_by_name(kafka_shard(r), name);
    if (topic == NULL)
        return by_id ? ERR_UNKNOWN_TOPIC_ID : ERR_UNKNOWN_TOPIC_OR_PARTITION;
    *out = topic;
    return 0;
}

int kafka_part(const struct topic *topic, int32_t partition, int32_t leader_epoch, struct part *out)
{
    bool known = topic != NULL && partition >= 0 && (uint32_t)partition < topic->partitions_count;
    *out = (struct part){
        .partition = partition,
        .current_leader_epoch = leader_epoch,
        .log_start_offset = -1,
        .high_watermark = -1,
    };
    if (!known)
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    out->topic = topic->id;
    return 0;
}

int16_t kafka_part_error(int own, const struct part *part, bool by_id)
{
    if (own != 0)
        return err_kafka(own);
    if (part->err == ERR_UNKNOWN_TOPIC_ID && !by_id)
        return err_kafka(ERR_UNKNOWN_TOPIC_OR_PARTITION);
    return err_kafka(part->err);
}

int kafka_replicas_check(const struct kafka_request *r, const int32_t *ids, uint32_t count)
{
    bool ours = count == 1 && ids[0] == node_id(shard_node(kafka_shard(r)));
    return ours ? 0 : ERR_INVALID_REPLICA_ASSIGNMENT;
}

// ---- names

static bool name_eq(const struct map_node *node, const void *key)
{
    const struct kafka_name *n = CONTAINER_OF(node, struct kafka_name, node);
    return slice_eq(n->name, *(const struct slice *)key);
}

void kafka_names_init(struct kafka_names *names, struct kafka_request *r)
{
    map_init(&names->map, name_eq, shard_hash_seed(kafka_shard(r)));
}

void kafka_names_fini(struct kafka_names *names)
{
    map_fini(&names->map);
}

struct kafka_name *kafka_names_find(struct kafka_names *names, struct slice name)
{
    struct map_node *node = map_find(&names->map, map_hash(&names->map, name), &name);
    return node != NULL ? CONTAINER_OF(node, struct kafka_name, node) : NULL;
}

struct kafka_name *kafka_names_add(struct kafka_names *names, struct kafka_request *r,
                                   struct slice name)
{
    struct kafka_name *n = kafka_names_find(names, name);
    if (n == NULL) {
        n = kafka_alloc(r, 1, sizeof *n);
        if (n == NULL)
            return NULL;
        n->name = name;
        map_insert(&names->map, &n->node, map_hash(&names->map, name));
    }
    n->count++;
    return n;
}
