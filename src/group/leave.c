// SPDX-License-Identifier: Apache-2.0
//
// LeaveGroup: members that say goodbye, and static members that an administrator removes by
// instance id (KIP-345). A batch of them makes one rebalance. If the group is empty then, the
// answer waits until that is durable.
#include "group/group_int.h"

static int leave_one(struct group *group, const struct group_leaver *leaver)
{
    if (leaver->member_id.len == 0) {
        struct group_member *m = NULL;
        if (leaver->instance_id.data != NULL)
            m = member_find_static(group, leaver->instance_id);
        if (m == NULL)
            return ERR_UNKNOWN_MEMBER_ID;
        rebalance_remove_member(m);
        return 0;
    }
    struct group_pending *pending = pending_find(group, leaver->member_id);
    if (pending != NULL) {
        pending_remove(pending);
        return 0;
    }
    int err = member_validate(group, leaver->member_id, leaver->instance_id);
    if (err == 0)
        rebalance_remove_member(member_find(group, leaver->member_id));
    return err;
}

static void leave_durable(struct group_op *op, int err)
{
    group_answer_slot(&op->request, err == 0 ? 0 : ERR_COORDINATOR_NOT_AVAILABLE);
    op_finish(op);
}

static void leave_all(struct group *group, struct group_leave *leave)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < leave->members_count; i++) {
        leave->members[i].err = leave_one(group, &leave->members[i]);
        if (leave->members[i].err == 0)
            left++;
    }
    if (left > 0 && group->state != GROUP_EMPTY)
        rebalance_prepare_or_complete(group);
    if (left > 0 && group->state == GROUP_EMPTY && group->ops_open > 0) {
        struct group_op *op = op_create(group, &leave->r, leave_durable);
        op_barrier(op);
        return;
    }
    group_answer(leave->r.groups, &leave->r, 0);
}

void groups_leave(struct groups *groups, struct group_leave *leave)
{
    if (!groups_admit(groups, &leave->r))
        return;
    int err = group_id_check(leave->group_id, false);
    struct group *group = err == 0 ? group_find(groups, leave->group_id) : NULL;
    if (err != 0) {
        group_answer(groups, &leave->r, err);
    } else if (group == NULL) {
        for (uint32_t i = 0; i < leave->members_count; i++)
            leave->members[i].err = ERR_UNKNOWN_MEMBER_ID;
        group_answer(groups, &leave->r, 0);
    } else if (group->state == GROUP_DEAD) {
        group_answer(groups, &leave->r, ERR_COORDINATOR_NOT_AVAILABLE);
    } else {
        leave_all(group, leave);
    }
}
