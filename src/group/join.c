// SPDX-License-Identifier: Apache-2.0
//
// JoinGroup: a new member, a pending one that comes with the id it was given (KIP-394), a member
// that joins again, or a static member that was restarted (KIP-345). Which of them it is and in
// which state the group is decides; the cases follow Kafka's coordinator one by one.
#include "group/group_int.h"

#include "base/bugs.h"

static struct group_join *join_of(struct group_request *request)
{
    return CONTAINER_OF(request, struct group_join, r);
}

static void join_refuse(struct group_join *join, struct slice member_id, int err)
{
    join->generation = -1;
    join->out_member_id = member_id;
    join->out_protocol_type = SLICE_NULL;
    join->protocol_name = SLICE_NULL;
    join->leader = slice_of("", 0);
    join->members = NULL;
    join->members_count = 0;
    join->skip_assignment = false;
    group_answer(join->r.groups, &join->r, err);
}

static const struct slice nobody = {(const uint8_t *)"", 0};

static void fill_members(struct group_join *join, const struct group *group)
{
    struct group_joined *out = arena_array(&join->r.answer, group->members.count, sizeof *out);
    if (out == NULL) {
        join->r.err = ERR_COORDINATOR_NOT_AVAILABLE;
        return;
    }
    uint32_t count = 0;
    LIST_FOR (it, &group->members.order) {
        const struct group_member *m = CONTAINER_OF(it, struct group_member, node.order);
        out[count].member_id = group_answer_slice(&join->r, m->id);
        out[count].instance_id = group_answer_slice(&join->r, m->instance_id);
        out[count].metadata = group_answer_slice(&join->r, member_metadata(m, group->protocol));
        count++;
    }
    ASSERT(count == group->members.count);
    join->members = out;
    join->members_count = count;
}

// What a member is told of its generation; only the leader learns who the others are.
static void fill(struct group_join *join, const struct group_member *member, struct slice leader,
                 bool tell_members)
{
    const struct group *group = member->group;
    struct group_request *r = &join->r;
    join->generation = group->generation;
    join->out_member_id = group_answer_slice(r, member->id);
    join->out_protocol_type = group_answer_slice(r, group->protocol_type);
    join->protocol_name = group_answer_slice(r, group->protocol);
    join->leader = group_answer_slice(r, leader);
    if (tell_members)
        fill_members(join, group);
}

static void fill_usual(struct group_join *join, const struct group_member *member)
{
    const struct group_member *leader = member->group->leader;
    ASSERT(leader != NULL);
    bool leads = member == leader || bug(BUG_TWO_LEADERS);
    fill(join, member, leads ? member->id : leader->id, leads);
}

static void member_awaits_join(struct group_member *member, struct group_join *join)
{
    // The same member asked before and lost patience; nobody listens to that answer any more.
    join_answer(member, ERR_REBALANCE_IN_PROGRESS);
    ASSERT(!member->awaiting_join);
    member->awaiting_join = true;
    member->group->awaiting_join++;
    group_hold(&member->join, &join->r);
}

void join_answer(struct group_member *member, int err)
{
    if (!member->awaiting_join)
        return;
    ASSERT(member->group->awaiting_join > 0);
    member->awaiting_join = false;
    member->group->awaiting_join--;
    if (member->join == NULL)
        return;
    struct group_join *join = join_of(member->join);
    if (err == 0) {
        fill_usual(join, member);
        err = join->r.err;
    }
    if (err != 0) {
        struct group_request *request = member->join;
        member->join = NULL;
        request->slot = NULL;
        join_refuse(join, err == ERR_FENCED_INSTANCE_ID ? join->out_member_id : nobody, err);
        return;
    }
    group_answer_slot(&member->join, 0);
}

static struct member_terms terms_of(const struct group_join *join, struct slice id)
{
    return (struct member_terms){
        .id = id,
        .instance_id = join->instance_id,
        .client_id = join->client_id,
        .client_host = join->client_host,
        .protocol_type = join->protocol_type,
        .protocols = join->protocols,
        .protocols_count = join->protocols_count,
        .session_timeout_ms = join->session_timeout_ms,
        .rebalance_timeout_ms = join->rebalance_timeout_ms > 0 ? join->rebalance_timeout_ms : 0,
    };
}

// ---- the cases

static void join_add(struct group *group, struct group_join *join, struct slice id)
{
    struct member_terms terms = terms_of(join, id);
    struct group_pending *pending = pending_find(group, id);
    if (pending != NULL)
        pending_remove(pending);
    struct group_member *member = NULL;
    if (member_add(group, &terms, &member) != 0) {
        join_refuse(join, nobody, ERR_GROUP_MAX_SIZE_REACHED);
        rebalance_complete_if_all_joined(group);
        return;
    }
    member->is_new = true;
    if (group->state == GROUP_PREPARING_REBALANCE && group->previous == GROUP_EMPTY)
        group->new_member_added = true;
    member_awaits_join(member, join);
    member_session(member, group->groups->opt.new_member_join_timeout_ms);
    rebalance_prepare_or_complete(group);
}

static void join_update(struct group_member *member, struct group_join *join)
{
    struct member_terms terms = terms_of(join, member->id);
    struct group *group = member->group;
    if (member_update(member, &terms) != 0) {
        join_refuse(join, join->member_id, ERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    member_awaits_join(member, join);
    rebalance_prepare_or_complete(group);
}

static void static_saved(struct group_op *op, int err)
{
    struct group *group = op->group;
    if (err == 0)
        group_saved(group, buf_slice(&op->value));
    struct group_member *m = member_find(group, op->member_id);
    bool still = m != NULL && m->awaiting_join && group->state == GROUP_STABLE &&
                 group->generation == op->generation;
    if (still && err != 0) {
        join_answer(m, ERR_COORDINATOR_NOT_AVAILABLE);
    } else if (still) {
        struct group_join *join = m->join == NULL ? NULL : join_of(m->join);
        if (join == NULL || join->skip_assignment_known) {
            // KIP-814: the leader learns the members, and that it need not assign.
            if (join != NULL)
                join->skip_assignment = m == group->leader;
            join_answer(m, 0);
        } else {
            // Before v9 there is no word for that: it is told of the leader as it was before, so
            // that it takes itself for a follower and asks for the assignment there is.
            m->awaiting_join = false;
            group->awaiting_join--;
            fill(join, m, op->old_leader, false);
            group_answer_slot(&m->join, join->r.err);
        }
        member_session(m, m->session_timeout_ms);
    }
    op_finish(op);
}

static void static_save(struct group_member *m, struct slice old_leader, struct group_join *join)
{
    struct group_op *op = op_create(m->group, NULL, static_saved);
    op->member_id = arena_slice(&op->memory, m->id);
    op->old_leader = arena_slice(&op->memory, old_leader);
    if (op_encode_group(op, false) != 0 || op->member_id.data == NULL ||
        op->old_leader.data == NULL) {
        join_answer(m, ERR_COORDINATOR_NOT_AVAILABLE);
        op_finish(op);
        return;
    }
    join->skip_assignment = false;
    op_save_group(op);
}

// The member with this instance id was restarted: it gets a new member id, and whoever still uses
// the old one is fenced.
static void join_replace(struct group_member *m, struct group_join *join, struct slice id)
{
    struct group *group = m->group;
    struct member_terms terms = terms_of(join, id);
    if (member_update(m, &terms) != 0) {
        join_refuse(join, nobody, ERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    join_answer(m, ERR_FENCED_INSTANCE_ID);
    sync_answer(m, ERR_FENCED_INSTANCE_ID);
    struct slice old_leader = group_dup(group->leader->id);
    member_rename(m, id);
    member_session(m, m->session_timeout_ms);
    member_awaits_join(m, join);
    if (group->state == GROUP_STABLE) {
        // The assignment can stay as long as the protocol does.
        if (slice_eq(protocol_select(group), group->protocol))
            static_save(m, old_leader, join);
        else
            rebalance_prepare(group);
    } else if (group->state == GROUP_COMPLETING_REBALANCE) {
        // The leader may be assigning to the old member id at this moment.
        rebalance_prepare(group);
    } else {
        ASSERT(group->state == GROUP_PREPARING_REBALANCE);
        rebalance_complete_if_all_joined(group);
    }
    group_free(&old_leader);
}

static void join_new(struct group *group, struct group_join *join)
{
    if (group->state == GROUP_DEAD) {
        join_refuse(join, nobody, ERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    struct member_terms terms = terms_of(join, nobody);
    if (!protocols_supported(group, &terms)) {
        join_refuse(join, nobody, ERR_INCONSISTENT_GROUP_PROTOCOL);
        return;
    }
    struct buf id;
    buf_init(&id, (size_t)1 << 20);
    bool is_static = join->instance_id.data != NULL;
    member_make_id(group->groups, is_static ? join->instance_id : join->client_id, &id);
    ASSERT(id.err == 0);
    struct group_member *holder = is_static ? member_find_static(group, join->instance_id) : NULL;
    if (holder != NULL) {
        join_replace(holder, join, buf_slice(&id));
    } else if (is_static || !join->known_member_id_required) {
        join_add(group, join, buf_slice(&id));
    } else if (pending_add(group, buf_slice(&id), join->session_timeout_ms) != 0) {
        join_refuse(join, nobody, ERR_GROUP_MAX_SIZE_REACHED);
    } else {
        struct slice told = group_answer_slice(&join->r, buf_slice(&id));
        join_refuse(join, told, ERR_MEMBER_ID_REQUIRED);
    }
    buf_fini(&id);
}

static void join_again(struct group_member *member, struct group_join *join)
{
    const struct group *group = member->group;
    struct member_terms terms = terms_of(join, member->id);
    bool same = member_matches(member, &terms);
    bool leader = member == group->leader;
    switch (group->state) {
    case GROUP_PREPARING_REBALANCE:
        join_update(member, join);
        return;
    case GROUP_COMPLETING_REBALANCE:
        // "it failed to receive the initial JoinGroup response": say it again
        if (!same) {
            join_update(member, join);
            return;
        }
        break;
    case GROUP_STABLE:
        // A leader that joins wants a rebalance, e.g. because the topics' partitions changed.
        if (leader || !same) {
            join_update(member, join);
            return;
        }
        break;
    case GROUP_EMPTY:
    case GROUP_DEAD:
    case GROUP_STATES_COUNT:
        ASSERT(false); // no members there
    }
    fill_usual(join, member);
    if (join->r.err != 0)
        join_refuse(join, join->member_id, join->r.err);
    else
        group_answer(join->r.groups, &join->r, 0);
}

static void join_existing(struct group *group, struct group_join *join)
{
    struct member_terms terms = terms_of(join, join->member_id);
    int err = 0;
    if (group->state == GROUP_DEAD)
        err = ERR_COORDINATOR_NOT_AVAILABLE;
    else if (!protocols_supported(group, &terms))
        err = ERR_INCONSISTENT_GROUP_PROTOCOL;
    else if (pending_find(group, join->member_id) != NULL) {
        if (join->instance_id.data == NULL) {
            join_add(group, join, join->member_id);
            return;
        }
        err = ERR_UNKNOWN_SERVER; // static members are never pending; as Kafka's illegal state
    } else {
        err = member_validate(group, join->member_id, join->instance_id);
    }
    if (err != 0)
        join_refuse(join, join->member_id, err);
    else
        join_again(member_find(group, join->member_id), join);
}

// group.max.size. While a rebalance is prepared those count that wait already, so that a group
// that is over a limit that was lowered loses those that come last.
static bool join_fits(const struct group *group, const struct group_member *member)
{
    size_t max = group->groups->opt.max_size;
    if (group->state == GROUP_PREPARING_REBALANCE)
        return (member != NULL && member->awaiting_join) || group->awaiting_join < max;
    if (group->state == GROUP_COMPLETING_REBALANCE || group->state == GROUP_STABLE)
        return member != NULL || group->members.count < max;
    return true;
}

static void join_full(struct group *group, struct group_member *member, struct group_join *join)
{
    struct group_pending *pending = pending_find(group, join->member_id);
    if (pending != NULL)
        pending_remove(pending);
    if (member != NULL)
        rebalance_remove_member(member);
    join_refuse(join, nobody, ERR_GROUP_MAX_SIZE_REACHED);
    rebalance_complete_if_all_joined(group);
}

static int join_check(const struct groups *groups, const struct group_join *join)
{
    int err = group_id_check(join->group_id, false);
    if (err != 0)
        return err;
    if (join->session_timeout_ms < groups->opt.min_session_timeout_ms ||
        join->session_timeout_ms > groups->opt.max_session_timeout_ms)
        return ERR_INVALID_SESSION_TIMEOUT;
    if (join->protocols_count > GROUP_PROTOCOLS_MAX)
        return ERR_INVALID_REQUEST;
    return 0;
}

void groups_join(struct groups *groups, struct group_join *join)
{
    join->generation = -1;
    join->out_member_id = join->member_id;
    join->out_protocol_type = join->protocol_name = SLICE_NULL;
    join->leader = nobody;
    join->skip_assignment = false;
    join->members = NULL;
    join->members_count = 0;
    if (!groups_admit(groups, &join->r))
        return;
    int err = join_check(groups, join);
    bool new_member = join->member_id.len == 0;
    struct group *group = err == 0 ? group_find(groups, join->group_id) : NULL;
    bool created = false;
    if (err == 0 && group == NULL && !new_member)
        err = ERR_UNKNOWN_MEMBER_ID;
    if (err == 0 && group == NULL) {
        created = true;
        err = group_create(groups, join->group_id, &group) == 0 ? 0 : ERR_COORDINATOR_NOT_AVAILABLE;
    }
    if (err != 0) {
        join_refuse(join, join->member_id, err);
        return;
    }
    struct group_member *member = new_member ? NULL : member_find(group, join->member_id);
    if (!join_fits(group, member))
        join_full(group, member, join);
    else if (new_member)
        join_new(group, join);
    else
        join_existing(group, join);
    if (created && group->state == GROUP_EMPTY && group->pending.count == 0 && group->ops_open == 0)
        group_release(group); // it was refused: nothing is left to remember
}
