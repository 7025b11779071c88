// SPDX-License-Identifier: Apache-2.0
//
// Rebalances: from "somebody came, went or changed" to a new generation. All members are asked to
// join again; when all have, or the longest of their rebalance timeouts is over, the generation
// begins without those that did not. A group that was empty waits a while for more members first
// (KIP-134), so that ten consumers that start together make one generation and not ten.
//
// Static members that did not join again stay in the generation until their session ends (KIP-345).
#include "group/group_int.h"

#include "base/bugs.h"

static int32_t rebalance_timeout_ms(const struct group *group)
{
    int32_t longest = 0;
    LIST_FOR (it, &group->members.order) {
        const struct group_member *m = CONTAINER_OF(it, struct group_member, node.order);
        ASSERT(m->rebalance_timeout_ms >= 0);
        if (m->rebalance_timeout_ms > longest)
            longest = m->rebalance_timeout_ms;
    }
    return longest;
}

static void start_timer(struct group *group, struct io_timer *timer, int32_t delay_ms)
{
    if (!group->groups->stopped)
        io_timer_start(group->groups->shard, timer, group_deadline(group, delay_ms));
}

bool rebalance_all_joined(const struct group *group)
{
    return group->members.count == group->awaiting_join && group->pending.count == 0;
}

static void sync_expectations_clear(struct group *group)
{
    LIST_FOR (it, &group->members.order)
        CONTAINER_OF(it, struct group_member, node.order)->pending_sync = false;
    group->pending_sync = 0;
    io_timer_stop(group->groups->shard, &group->sync_timer);
}

void rebalance_synced(struct group_member *member)
{
    struct group *group = member->group;
    ASSERT(group->state == GROUP_COMPLETING_REBALANCE || group->state == GROUP_STABLE);
    if (!member->pending_sync)
        return;
    ASSERT(group->pending_sync > 0);
    member->pending_sync = false;
    if (--group->pending_sync == 0)
        io_timer_stop(group->groups->shard, &group->sync_timer);
}

// ---- the beginning

// Whoever waits for an assignment of the generation that is given up has to join again.
static void assignments_reset(struct group *group)
{
    LIST_FOR (it, &group->members.order) {
        struct group_member *m = CONTAINER_OF(it, struct group_member, node.order);
        member_set_assignment(m, slice_of("", 0));
        if (!m->awaiting_sync)
            continue;
        sync_answer(m, ERR_REBALANCE_IN_PROGRESS);
        member_session(m, m->session_timeout_ms);
    }
}

void rebalance_prepare(struct group *group)
{
    bool first = group->state == GROUP_EMPTY;
    if (group->state == GROUP_COMPLETING_REBALANCE)
        assignments_reset(group);
    sync_expectations_clear(group);
    group_become(group, GROUP_PREPARING_REBALANCE);
    if (first) {
        int32_t delay = group->groups->opt.initial_rebalance_delay_ms;
        int32_t timeout = rebalance_timeout_ms(group);
        group->initial_delay_ms = delay;
        group->initial_left_ms = timeout > delay ? timeout - delay : 0;
        group->new_member_added = false;
        start_timer(group, &group->join_timer, delay);
    } else if (rebalance_all_joined(group)) {
        rebalance_complete(group);
    } else {
        group->initial_delay_ms = -1;
        start_timer(group, &group->join_timer, rebalance_timeout_ms(group));
    }
}

void rebalance_complete_if_all_joined(struct group *group)
{
    bool waits_for_more = group->previous == GROUP_EMPTY;
    if (group->state == GROUP_PREPARING_REBALANCE && !waits_for_more && rebalance_all_joined(group))
        rebalance_complete(group);
}

void rebalance_prepare_or_complete(struct group *group)
{
    if (group_may_become(group, GROUP_PREPARING_REBALANCE))
        rebalance_prepare(group);
    else
        rebalance_complete_if_all_joined(group);
}

// ---- the end

static void drop_absent_members(struct group *group)
{
    MAP_FOR_SAFE (it, &group->members) {
        struct group_member *m = CONTAINER_OF(it, struct group_member, node.order);
        if (!m->awaiting_join && m->instance_id.data == NULL)
            rebalance_remove_member(m);
    }
}

// The leader has to be somebody who is there. False: nobody is.
static bool elect_leader(struct group *group)
{
    if (group->leader == NULL)
        return false;
    if (group->leader->awaiting_join)
        return true;
    LIST_FOR (it, &group->members.order) {
        struct group_member *m = CONTAINER_OF(it, struct group_member, node.order);
        if (!m->awaiting_join)
            continue;
        group->leader = m;
        return true;
    }
    return false;
}

static void generation_begin(struct group *group)
{
    group_free(&group->protocol);
    group->protocol = group_dup(protocol_select(group));
    protocol_subscribe(group);
    sync_expectations_clear(group);
    ASSERT(group->pending_sync == 0);
    // Every member is answered before the state changes: none may wait for a join in the new one.
    LIST_FOR (it, &group->members.order) {
        struct group_member *m = CONTAINER_OF(it, struct group_member, node.order);
        join_answer(m, 0);
        member_session(m, m->session_timeout_ms);
        m->is_new = false;
        m->pending_sync = true;
        group->pending_sync++;
    }
    group_become(group, GROUP_COMPLETING_REBALANCE);
    start_timer(group, &group->sync_timer, rebalance_timeout_ms(group));
    group->groups->counts.rebalances++;
}

static void empty_saved(struct group_op *op, int err)
{
    if (err == 0)
        group_saved(op->group, buf_slice(&op->value));
    op_finish(op);
}

static void generation_empty(struct group *group)
{
    group_free(&group->protocol);
    protocol_subscribe(group);
    sync_expectations_clear(group);
    group_become(group, GROUP_EMPTY);
    struct group_op *op = op_create(group, NULL, empty_saved);
    int err = op_encode_group(op, false);
    ASSERT(err == 0); // no members: a few bytes
    op_save_group(op);
}

void rebalance_complete(struct group *group)
{
    ASSERT(group->state == GROUP_PREPARING_REBALANCE);
    io_timer_stop(group->groups->shard, &group->join_timer);
    drop_absent_members(group);
    if (group->members.count > 0 && !elect_leader(group)) {
        // Only static members, and none is here: wait until one comes or their sessions end.
        group->initial_delay_ms = -1;
        start_timer(group, &group->join_timer, rebalance_timeout_ms(group));
        return;
    }
    group->initial_delay_ms = -1;
    if (!bug(BUG_OLD_GENERATION) || group->generation == 0)
        group->generation = group->generation == INT32_MAX ? 1 : group->generation + 1;
    if (group->members.count > 0)
        generation_begin(group);
    else
        generation_empty(group);
}

// ---- timers

void rebalance_join_timer(struct io_timer *timer)
{
    struct group *group = CONTAINER_OF(timer, struct group, join_timer);
    ASSERT(group->state == GROUP_PREPARING_REBALANCE);
    int32_t delay = group->initial_delay_ms, left = group->initial_left_ms;
    if (delay < 0 || !group->new_member_added || left == 0) {
        rebalance_complete(group);
        return;
    }
    // Somebody came meanwhile: once more, but in all no longer than the rebalance timeout.
    int32_t usual = group->groups->opt.initial_rebalance_delay_ms;
    group->new_member_added = false;
    group->initial_delay_ms = usual < left ? usual : left;
    group->initial_left_ms = left > delay ? left - delay : 0;
    start_timer(group, &group->join_timer, group->initial_delay_ms);
}

// A generation does not wait for ever for members that never ask for their assignment.
void rebalance_sync_timer(struct io_timer *timer)
{
    struct group *group = CONTAINER_OF(timer, struct group, sync_timer);
    ASSERT(group->state == GROUP_COMPLETING_REBALANCE || group->state == GROUP_STABLE);
    if (group->pending_sync == 0)
        return;
    MAP_FOR_SAFE (it, &group->members) {
        struct group_member *m = CONTAINER_OF(it, struct group_member, node.order);
        if (m->pending_sync)
            rebalance_remove_member(m);
    }
    ASSERT(group->pending_sync == 0);
    rebalance_prepare(group);
}

void rebalance_remove_member(struct group_member *member)
{
    // "New members may timeout with a pending JoinGroup while the group is still rebalancing": the
    // error makes them join anew if they are still there.
    join_answer(member, ERR_UNKNOWN_MEMBER_ID);
    sync_answer(member, ERR_UNKNOWN_MEMBER_ID);
    member_remove(member);
}

void rebalance_session_timer(struct io_timer *timer)
{
    struct group_member *member = CONTAINER_OF(timer, struct group_member, session);
    struct group *group = member->group;
    if (group->state == GROUP_DEAD)
        return;
    // Whoever waits for us is not late. But a new member never learned its id, so its client may
    // have given up and joined again as somebody else: it does not wait for ever.
    if (!member->is_new && (member->awaiting_join || member->awaiting_sync))
        return;
    group->groups->counts.expired_members++;
    rebalance_remove_member(member);
    if (group->state == GROUP_STABLE || group->state == GROUP_COMPLETING_REBALANCE)
        rebalance_prepare(group);
    else if (group->state == GROUP_PREPARING_REBALANCE && rebalance_all_joined(group))
        rebalance_complete(group);
}

void rebalance_pending_timer(struct io_timer *timer)
{
    struct group_pending *pending = CONTAINER_OF(timer, struct group_pending, session);
    struct group *group = pending->group;
    pending_remove(pending);
    if (group->state == GROUP_PREPARING_REBALANCE && rebalance_all_joined(group))
        rebalance_complete(group);
}
