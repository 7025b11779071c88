// SPDX-License-Identifier: Apache-2.0
//
// OffsetDelete (KIP-496), and the offsets of topics that are gone. A deletion is seen when it is
// durable, like a commit.
#include "group/group_int.h"

static int forget_check(const struct group *group)
{
    if (group == NULL)
        return ERR_GROUP_ID_NOT_FOUND;
    switch (group->state) {
    case GROUP_DEAD:
        return ERR_GROUP_ID_NOT_FOUND;
    case GROUP_STABLE:
    case GROUP_PREPARING_REBALANCE:
    case GROUP_COMPLETING_REBALANCE:
        // What the members of another kind of group are at, nobody here can tell.
        return protocol_is_consumer(group) ? 0 : ERR_NON_EMPTY_GROUP;
    case GROUP_EMPTY:
    case GROUP_STATES_COUNT:
        break;
    }
    return 0;
}

static void forget_durable(struct group_op *op, int err)
{
    if (err == 0)
        offsets_apply(op);
    group_answer_slot(&op->request, err == 0 ? 0 : ERR_COORDINATOR_NOT_AVAILABLE);
    op_finish(op);
}

static void forget_partition(struct group_op *op, struct slice topic, struct group_offset *o)
{
    const struct group *group = op->group;
    if (o->err != 0 || o->partition < 0)
        return;
    if (protocol_subscribed(group, topic)) {
        o->err = ERR_GROUP_SUBSCRIBED_TO_TOPIC;
        return;
    }
    // A commit under way will be applied before this: it goes too.
    if (group->commits_open > 0 || offset_find(group, topic, o->partition) != NULL)
        op->writes[op->writes_count++] =
            (struct group_write){.topic = topic, .partition = o->partition, .tombstone = true};
}

static int forget_writes(struct group_op *op, struct group_forget *forget)
{
    size_t most = 0;
    for (uint32_t t = 0; t < forget->topics_count; t++)
        most += forget->topics[t].partitions_count;
    op->writes = arena_array(&op->memory, most, sizeof *op->writes);
    if (op->writes == NULL)
        return ERR_COORDINATOR_NOT_AVAILABLE;
    for (uint32_t t = 0; t < forget->topics_count; t++) {
        struct group_topic *topic = &forget->topics[t];
        struct slice name = arena_slice(&op->memory, topic->name);
        if (name.data == NULL)
            return ERR_COORDINATOR_NOT_AVAILABLE;
        for (uint32_t p = 0; p < topic->partitions_count; p++)
            forget_partition(op, name, &topic->partitions[p]);
    }
    ASSERT(op->writes_count <= most);
    return 0;
}

void groups_forget(struct groups *groups, struct group_forget *forget)
{
    if (!groups_admit(groups, &forget->r))
        return;
    int err = group_id_check(forget->group_id, false);
    struct group *group = err == 0 ? group_find(groups, forget->group_id) : NULL;
    if (err == 0)
        err = forget_check(group);
    if (err != 0) {
        group_answer(groups, &forget->r, err);
        return;
    }
    struct group_op *op = op_create(group, &forget->r, forget_durable);
    err = forget_writes(op, forget);
    if (err == 0 && op->writes_count > 0) {
        op_save_writes(op);
        return;
    }
    group_answer_slot(&op->request, err);
    op_finish(op);
}

// ---- topics that are gone

static void topic_forget(struct group *group, struct slice name);

static void topic_commits_passed(struct group_op *op, int err)
{
    if (err == 0 && !op->group->deleted)
        topic_forget(op->group, op->member_id);
    op_finish(op);
}

static void topic_forget(struct group *group, struct slice name)
{
    struct group_op *op = op_create(group, NULL, forget_durable);
    struct slice topic = arena_slice(&op->memory, name);
    ASSERT(topic.data != NULL); // our own catalogue's name, 249 bytes at most
    if (group->commits_open > 0) {
        // What they bring is not known yet; look again when they have come.
        op->durable = topic_commits_passed;
        op->member_id = topic;
        op_barrier(op);
        return;
    }
    size_t count = 0;
    LIST_FOR (it, &group->topics.order) {
        struct group_topic_offsets *t = CONTAINER_OF(it, struct group_topic_offsets, node.order);
        if (slice_eq(t->name, name))
            count = t->partitions.count;
    }
    op->writes = arena_array(&op->memory, count, sizeof *op->writes);
    LIST_FOR (it, &group->topics.order) {
        struct group_topic_offsets *t = CONTAINER_OF(it, struct group_topic_offsets, node.order);
        if (!slice_eq(t->name, name) || op->writes == NULL)
            continue;
        LIST_FOR (p, &t->partitions.order) {
            int32_t partition = CONTAINER_OF(p, struct group_stored_offset, node.order)->partition;
            op->writes[op->writes_count++] =
                (struct group_write){.topic = topic, .partition = partition, .tombstone = true};
        }
    }
    if (op->writes_count > 0)
        op_save_writes(op);
    else
        op_finish(op);
}

void groups_topic_deleted(struct groups *groups, struct slice topic)
{
    if (!groups->started || groups->stopped)
        return;
    MAP_FOR_SAFE (it, &groups->by_id) {
        struct group *group = CONTAINER_OF(it, struct group, node.order);
        if (group->state != GROUP_DEAD && (group->topics.count > 0 || group->commits_open > 0))
            topic_forget(group, topic);
    }
}

void groups_topics_check(struct groups *groups, bool (*known)(void *arg, struct slice topic),
                         void *arg)
{
    ASSERT(groups->started);
    MAP_FOR_SAFE (it, &groups->by_id) {
        struct group *group = CONTAINER_OF(it, struct group, node.order);
        LIST_FOR (t, &group->topics.order) { // nothing is removed before it is durable
            struct slice name = CONTAINER_OF(t, struct group_topic_offsets, node.order)->name;
            if (!known(arg, name))
                topic_forget(group, name);
        }
    }
}
