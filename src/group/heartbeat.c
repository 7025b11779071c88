// SPDX-License-Identifier: Apache-2.0
//
// Heartbeat: keeps a member's session, and tells it when it has to join again (KIP-62).
#include "group/group_int.h"

static int heartbeat_check(const struct group *group, const struct group_heartbeat *heartbeat)
{
    if (group == NULL)
        return ERR_UNKNOWN_MEMBER_ID;
    if (group->state == GROUP_DEAD)
        return ERR_COORDINATOR_NOT_AVAILABLE;
    int err = member_validate(group, heartbeat->member_id, heartbeat->instance_id);
    if (err != 0)
        return err;
    return heartbeat->generation == group->generation ? 0 : ERR_ILLEGAL_GENERATION;
}

void groups_heartbeat(struct groups *groups, struct group_heartbeat *heartbeat)
{
    if (!groups_admit(groups, &heartbeat->r))
        return;
    int err = group_id_check(heartbeat->group_id, false);
    const struct group *group = err == 0 ? group_find(groups, heartbeat->group_id) : NULL;
    if (err == 0)
        err = heartbeat_check(group, heartbeat);
    if (err == 0) {
        struct group_member *member = member_find(group, heartbeat->member_id);
        ASSERT(group->state != GROUP_EMPTY);
        member_session(member, member->session_timeout_ms);
        if (group->state == GROUP_PREPARING_REBALANCE)
            err = ERR_REBALANCE_IN_PROGRESS;
    }
    group_answer(groups, &heartbeat->r, err);
}
