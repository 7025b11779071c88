// SPDX-License-Identifier: Apache-2.0
//
// OffsetCommit: who may commit, what is journalled, what is seen then. The three are apart (check,
// write, apply), because a transaction will bring the same records in a bundle of its own.
#include "group/group_int.h"

static int commit_check(const struct group *group, const struct group_commit *commit)
{
    if (group->state == GROUP_DEAD)
        return ERR_COORDINATOR_NOT_AVAILABLE;
    // A simple consumer, or an administrator: welcome while nobody is a member.
    if (commit->generation < 0 && group->state == GROUP_EMPTY)
        return 0;
    if (commit->generation < 0 && commit->member_id.len == 0 && commit->instance_id.data == NULL)
        return ERR_UNKNOWN_MEMBER_ID;
    int err = member_validate(group, commit->member_id, commit->instance_id);
    if (err != 0)
        return err;
    if (commit->generation != group->generation)
        return ERR_ILLEGAL_GENERATION;
    // It has joined the new generation and does not know its assignment: it cannot know what it
    // has consumed of it.
    return group->state == GROUP_COMPLETING_REBALANCE ? ERR_REBALANCE_IN_PROGRESS : 0;
}

static int commit_find(struct groups *groups, const struct group_commit *commit, struct group **out,
                       bool *out_created)
{
    int err = group_id_check(commit->group_id, true);
    if (err != 0)
        return err;
    *out = group_find(groups, commit->group_id);
    if (*out != NULL)
        return commit_check(*out, commit);
    if (commit->generation >= 0)
        return commit->group_id_not_found_known ? ERR_GROUP_ID_NOT_FOUND : ERR_ILLEGAL_GENERATION;
    *out_created = true;
    return group_create(groups, commit->group_id, out) == 0 ? 0 : ERR_COORDINATOR_NOT_AVAILABLE;
}

// ---- what is journalled

static int commit_write(struct group_op *op, const struct group_commit *commit, struct slice topic,
                        const struct group_offset *o)
{
    const struct groups *groups = op->group->groups;
    if (o->partition < 0)
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (o->metadata.len > groups->opt.offset_metadata_max_bytes)
        return ERR_OFFSET_METADATA_TOO_LARGE;
    int64_t now = groups_now_ms(groups);
    struct group_write w = {.topic = topic,
                            .partition = o->partition,
                            .offset = o->offset,
                            .leader_epoch = o->leader_epoch,
                            .commit_ms = now,
                            .expire_ms = -1};
    if (commit->retention_ms >= 0 && commit->retention_ms <= INT64_MAX - now)
        w.expire_ms = now + commit->retention_ms;
    w.metadata = o->metadata.data == NULL ? slice_of("", 0) : o->metadata;
    if (op_take(op, offset_bytes(&w)) != 0)
        return ERR_COORDINATOR_NOT_AVAILABLE;
    w.metadata = arena_slice(&op->memory, w.metadata);
    if (w.metadata.data == NULL)
        return ERR_COORDINATOR_NOT_AVAILABLE;
    op->writes[op->writes_count++] = w;
    return 0;
}

static int commit_writes(struct group_op *op, struct group_commit *commit)
{
    size_t most = 0;
    for (uint32_t t = 0; t < commit->topics_count; t++)
        most += commit->topics[t].partitions_count;
    op->writes = arena_array(&op->memory, most, sizeof *op->writes);
    if (op->writes == NULL)
        return ERR_COORDINATOR_NOT_AVAILABLE;
    for (uint32_t t = 0; t < commit->topics_count; t++) {
        struct group_topic *topic = &commit->topics[t];
        struct slice name = arena_slice(&op->memory, topic->name);
        if (name.data == NULL)
            return ERR_COORDINATOR_NOT_AVAILABLE;
        for (uint32_t p = 0; p < topic->partitions_count; p++)
            if (topic->partitions[p].err == 0)
                topic->partitions[p].err = commit_write(op, commit, name, &topic->partitions[p]);
    }
    ASSERT(op->writes_count <= most);
    return 0;
}

static void commit_durable(struct group_op *op, int err)
{
    if (err == 0) {
        offsets_apply(op);
        op->group->groups->counts.commits++;
    }
    group_answer_slot(&op->request, err == 0 ? 0 : ERR_COORDINATOR_NOT_AVAILABLE);
    op_finish(op);
}

void groups_commit(struct groups *groups, struct group_commit *commit)
{
    if (!groups_admit(groups, &commit->r))
        return;
    struct group *group = NULL;
    bool created = false;
    int err = commit_find(groups, commit, &group, &created);
    if (err != 0) {
        group_answer(groups, &commit->r, err);
        return;
    }
    // Committing is a sign of life like a heartbeat.
    struct group_member *member = member_find(group, commit->member_id);
    if (member != NULL &&
        (group->state == GROUP_STABLE || group->state == GROUP_PREPARING_REBALANCE))
        member_session(member, member->session_timeout_ms);
    struct group_op *op = op_create(group, &commit->r, commit_durable);
    op->commit = true;
    group->commits_open++;
    err = commit_writes(op, commit);
    if (err == 0 && op->writes_count > 0) {
        op_save_writes(op);
        return;
    }
    group_answer_slot(&op->request, err);
    op_finish(op);
    if (created && group->ops_open == 0)
        group_release(group); // nothing came of it
}
