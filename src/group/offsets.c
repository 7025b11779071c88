// SPDX-License-Identifier: Apache-2.0
//
// The committed offsets of a group, by topic and partition: what is durable and therefore seen.
#include "group/group_int.h"

static bool partition_eq(const struct map_node *node, const void *key)
{
    return CONTAINER_OF(node, struct group_stored_offset, node)->partition == *(const int32_t *)key;
}

static struct group_topic_offsets *topic_find(const struct group *group, struct slice name)
{
    struct map_node *node = map_find(&group->topics, map_hash(&group->topics, name), &name);
    return node == NULL ? NULL : CONTAINER_OF(node, struct group_topic_offsets, node);
}

static struct group_topic_offsets *topic_make(struct group *group, struct slice name)
{
    struct group_topic_offsets *topic = topic_find(group, name);
    if (topic != NULL)
        return topic;
    group_force(group, sizeof *topic + name.len);
    topic = mem_zalloc(sizeof *topic);
    topic->name = group_dup(name);
    map_init(&topic->partitions, partition_eq, group->groups->opt.hash_seed);
    map_insert(&group->topics, &topic->node, map_hash(&group->topics, name));
    return topic;
}

static struct group_stored_offset *partition_find(const struct group_topic_offsets *topic,
                                                  int32_t partition)
{
    uint64_t hash = map_hash_u64(&topic->partitions, (uint64_t)partition);
    struct map_node *node = map_find(&topic->partitions, hash, &partition);
    return node == NULL ? NULL : CONTAINER_OF(node, struct group_stored_offset, node);
}

struct group_stored_offset *offset_find(const struct group *group, struct slice topic,
                                        int32_t partition)
{
    const struct group_topic_offsets *t = topic_find(group, topic);
    return t == NULL ? NULL : partition_find(t, partition);
}

size_t offset_bytes(const struct group_write *write)
{
    return sizeof(struct group_stored_offset) + sizeof(struct group_topic_offsets) +
           write->topic.len + write->metadata.len;
}

void offset_set(struct group *group, const struct group_write *w)
{
    ASSERT(!w->tombstone);
    ASSERT(w->partition >= 0);
    struct group_topic_offsets *topic = topic_make(group, w->topic);
    struct group_stored_offset *o = partition_find(topic, w->partition);
    if (o == NULL) {
        group_force(group, sizeof *o);
        o = mem_zalloc(sizeof *o);
        o->dirty.kind = DIRTY_OFFSET;
        list_init(&o->dirty.link);
        o->group = group;
        o->topic = topic;
        o->partition = w->partition;
        map_insert(&topic->partitions, &o->node,
                   map_hash_u64(&topic->partitions, (uint64_t)w->partition));
        group->groups->counts.offsets++;
    }
    group_force(group, w->metadata.len);
    group_give(group, o->metadata.len);
    group_free(&o->metadata);
    o->metadata = group_dup(w->metadata);
    o->offset = w->offset;
    o->leader_epoch = w->leader_epoch;
    o->commit_ms = w->commit_ms;
    o->expire_ms = w->expire_ms;
    group_dirty_mark(group->groups, &o->dirty);
}

void offset_encode(const struct group_stored_offset *o, struct buf *key, struct buf *value)
{
    ASSERT(partition_find(o->topic, o->partition) == o);
    format_put_offset_key(key,
                          &(struct group_offset_key){o->group->id, o->topic->name, o->partition});
    ASSERT(key->err == 0);
    if (value == NULL)
        return;
    format_put_offset_value(value,
                            &(struct group_offset_value){o->offset, o->commit_ms, o->expire_ms,
                                                         o->leader_epoch, o->metadata});
    ASSERT(value->err == 0);
}

void offset_remove(struct group_stored_offset *o, bool tell_cut)
{
    struct group *group = o->group;
    struct group_topic_offsets *topic = o->topic;
    if (tell_cut) {
        struct buf key;
        buf_init(&key, GROUP_RECORD_MAX_BYTES);
        offset_encode(o, &key, NULL);
        group_dirty_gone(group->groups, STATE_OFFSET, buf_slice(&key));
        buf_fini(&key);
    }
    ASSERT(group->groups->counts.offsets > 0);
    group->groups->counts.offsets--;
    list_remove(&o->dirty.link);
    map_remove(&topic->partitions, &o->node);
    group_give(group, sizeof *o + o->metadata.len);
    group_free(&o->metadata);
    mem_free(o);
    if (topic->partitions.count > 0)
        return;
    map_remove(&group->topics, &topic->node);
    map_fini(&topic->partitions);
    group_give(group, sizeof *topic + topic->name.len);
    group_free(&topic->name);
    mem_free(topic);
}

void offsets_clear(struct group *group, bool tell_cut)
{
    MAP_FOR_SAFE (t, &group->topics) {
        struct group_topic_offsets *topic = CONTAINER_OF(t, struct group_topic_offsets, node.order);
        size_t left = topic->partitions.count;
        ASSERT(left > 0);
        while (left-- > 0) // the last one takes the topic with it
            offset_remove(CONTAINER_OF(list_first(&topic->partitions.order),
                                       struct group_stored_offset, node.order),
                          tell_cut);
    }
    ASSERT(group->topics.count == 0);
}

void offsets_apply(struct group_op *op)
{
    for (uint32_t i = 0; i < op->writes_count; i++) {
        const struct group_write *w = &op->writes[i];
        if (!w->tombstone) {
            offset_set(op->group, w);
            continue;
        }
        struct group_stored_offset *o = offset_find(op->group, w->topic, w->partition);
        if (o != NULL)
            offset_remove(o, true);
    }
}
