// SPDX-License-Identifier: Apache-2.0
//
// SyncGroup: members wait for the leader's assignment; the leader brings it. The generation is
// journalled with all its members, and only when that is durable the assignments are handed out, so
// that after a restart the members find the generation they know.
#include "group/group_int.h"

static struct group_sync *sync_of(struct group_request *request)
{
    return CONTAINER_OF(request, struct group_sync, r);
}

static void fill(struct group_sync *sync, const struct group_member *member)
{
    const struct group *group = member->group;
    sync->out_protocol_type = group_answer_slice(&sync->r, group->protocol_type);
    sync->out_protocol_name = group_answer_slice(&sync->r, group->protocol);
    sync->assignment = group_answer_slice(&sync->r, member->assignment);
}

void sync_answer(struct group_member *member, int err)
{
    if (!member->awaiting_sync)
        return;
    member->awaiting_sync = false;
    if (member->sync == NULL)
        return;
    struct group_sync *sync = sync_of(member->sync);
    if (err == 0) {
        fill(sync, member);
        err = sync->r.err;
    }
    group_answer_slot(&member->sync, err);
}

static int sync_check(const struct group *group, const struct group_sync *sync)
{
    if (group == NULL || group->state == GROUP_EMPTY)
        return ERR_UNKNOWN_MEMBER_ID;
    if (group->state == GROUP_DEAD)
        return ERR_COORDINATOR_NOT_AVAILABLE;
    int err = member_validate(group, sync->member_id, sync->instance_id);
    if (err != 0)
        return err;
    if (sync->generation != group->generation)
        return ERR_ILLEGAL_GENERATION;
    // KIP-559: a client that says what it thinks the protocol is must be right.
    if (sync->protocol_type.data != NULL && group->protocol_type.data != NULL &&
        !slice_eq(sync->protocol_type, group->protocol_type))
        return ERR_INCONSISTENT_GROUP_PROTOCOL;
    if (sync->protocol_name.data != NULL && group->protocol.data != NULL &&
        !slice_eq(sync->protocol_name, group->protocol))
        return ERR_INCONSISTENT_GROUP_PROTOCOL;
    return group->state == GROUP_PREPARING_REBALANCE ? ERR_REBALANCE_IN_PROGRESS : 0;
}

// ---- the leader's assignment

// The durable record is also where the assignments are taken from: one copy of the truth.
static void assignments_take(struct group *group, struct slice value)
{
    struct cursor in = cursor_of(value);
    struct group_head head;
    int err = format_get_head(&in, &head);
    ASSERT(err == 0); // we wrote it
    ASSERT(head.generation == group->generation);
    for (uint32_t i = 0; i < head.members_count; i++) {
        struct group_stored_member stored;
        err = format_get_member(&in, &stored);
        ASSERT(err == 0);
        struct group_member *m = member_find(group, stored.id);
        if (m != NULL)
            member_set_assignment(m, stored.assignment);
    }
    ASSERT(cursor_left(&in) == 0);
}

static void assignments_propagate(struct group *group, int err)
{
    LIST_FOR (it, &group->members.order) {
        struct group_member *m = CONTAINER_OF(it, struct group_member, node.order);
        if (!m->awaiting_sync)
            continue;
        sync_answer(m, err);
        // Its timer may have run out while it waited for us.
        member_session(m, m->session_timeout_ms);
    }
}

static void generation_saved(struct group_op *op, int err)
{
    struct group *group = op->group;
    if (err == 0)
        group_saved(group, buf_slice(&op->value));
    bool still = group->state == GROUP_COMPLETING_REBALANCE && group->generation == op->generation;
    if (still && err == 0) {
        assignments_take(group, buf_slice(&op->value));
        group_become(group, GROUP_STABLE);
        assignments_propagate(group, 0);
    } else if (still) {
        assignments_propagate(group, ERR_COORDINATOR_NOT_AVAILABLE);
    }
    op_finish(op);
}

static void leader_syncs(struct group_member *leader, const struct group_sync *sync)
{
    struct group *group = leader->group;
    ASSERT(group->leader == leader);
    LIST_FOR (it, &group->members.order)
        CONTAINER_OF(it, struct group_member, node.order)->incoming = slice_of("", 0);
    for (uint32_t i = 0; i < sync->assignments_count; i++) {
        const struct group_assignment *a = &sync->assignments[i];
        struct group_member *m = member_find(group, a->member_id);
        if (m != NULL && a->assignment.len > 0)
            m->incoming = a->assignment;
    }
    struct group_op *op = op_create(group, NULL, generation_saved);
    int err = op_encode_group(op, true);
    LIST_FOR (it, &group->members.order)
        CONTAINER_OF(it, struct group_member, node.order)->incoming = SLICE_NULL;
    if (err != 0) {
        op_finish(op);
        sync_answer(leader, ERR_UNKNOWN_SERVER); // larger than any record may be
        return;
    }
    op_save_group(op);
}

void groups_sync(struct groups *groups, struct group_sync *sync)
{
    sync->out_protocol_type = sync->out_protocol_name = SLICE_NULL;
    sync->assignment = slice_of("", 0);
    if (!groups_admit(groups, &sync->r))
        return;
    int err = group_id_check(sync->group_id, false);
    struct group *group = err == 0 ? group_find(groups, sync->group_id) : NULL;
    if (err == 0)
        err = sync_check(group, sync);
    if (err != 0) {
        group_answer(groups, &sync->r, err);
        return;
    }
    struct group_member *member = member_find(group, sync->member_id);
    rebalance_synced(member);
    if (group->state == GROUP_STABLE) {
        fill(sync, member);
        group_answer(groups, &sync->r, sync->r.err);
        return;
    }
    ASSERT(group->state == GROUP_COMPLETING_REBALANCE);
    sync_answer(member, ERR_REBALANCE_IN_PROGRESS); // it asked before and gave that up
    member->awaiting_sync = true;
    group_hold(&member->sync, &sync->r);
    if (group->leader == member)
        leader_syncs(member, sync);
}
