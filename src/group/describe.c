// SPDX-License-Identifier: Apache-2.0
//
// DescribeGroups and ListGroups: what is there, as seen now.
#include "group/group_int.h"

static void describe_member(struct group_describe *d, const struct group_member *m,
                            struct group_member_info *out)
{
    const struct group *group = m->group;
    struct group_request *r = &d->r;
    bool stable = group->state == GROUP_STABLE;
    struct slice empty = slice_of("", 0);
    struct slice metadata = stable ? member_metadata(m, group->protocol) : empty;
    *out = (struct group_member_info){
        .member_id = group_answer_slice(r, m->id),
        .instance_id = group_answer_slice(r, m->instance_id),
        .client_id = group_answer_slice(r, m->client_id),
        .client_host = group_answer_slice(r, m->client_host),
        .metadata = group_answer_slice(r, metadata),
        .assignment = group_answer_slice(r, stable ? m->assignment : empty),
    };
}

static int describe_fill(struct group_describe *d, const struct group *group)
{
    struct group_request *r = &d->r;
    d->state = group->state;
    if (group->protocol_type.data != NULL)
        d->protocol_type = group_answer_slice(r, group->protocol_type);
    if (group->state == GROUP_STABLE)
        d->protocol = group_answer_slice(r, group->protocol);
    d->members = arena_array(&r->answer, group->members.count, sizeof *d->members);
    if (d->members == NULL)
        return ERR_COORDINATOR_NOT_AVAILABLE;
    LIST_FOR (it, &group->members.order)
        describe_member(d, CONTAINER_OF(it, struct group_member, node.order),
                        &d->members[d->members_count++]);
    ASSERT(d->members_count == group->members.count);
    return r->err;
}

void groups_describe(struct groups *groups, struct group_describe *describe)
{
    describe->state = GROUP_DEAD;
    describe->protocol_type = describe->protocol = slice_of("", 0);
    describe->members = NULL;
    describe->members_count = 0;
    if (!groups_admit(groups, &describe->r))
        return;
    int err = group_id_check(describe->group_id, true);
    const struct group *group = err == 0 ? group_find(groups, describe->group_id) : NULL;
    if (err == 0 && (group == NULL || group->state == GROUP_DEAD))
        err = ERR_GROUP_ID_NOT_FOUND;
    if (err == 0)
        err = describe_fill(describe, group);
    if (err != 0)
        describe->members_count = 0;
    group_answer(groups, &describe->r, err);
}

static bool listed(const struct group_list *list, const struct group *group)
{
    ASSERT((unsigned)group->state < GROUP_STATES_COUNT);
    if (group->state == GROUP_DEAD)
        return false;
    return list->states == 0 || (list->states & (1U << group->state)) != 0;
}

void groups_list(struct groups *groups, struct group_list *list)
{
    list->groups = NULL;
    list->groups_count = 0;
    if (!groups_admit(groups, &list->r))
        return;
    struct group_request *r = &list->r;
    list->groups = arena_array(&r->answer, groups->by_id.count, sizeof *list->groups);
    if (list->groups == NULL) {
        group_answer(groups, r, ERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    LIST_FOR (it, &groups->by_id.order) {
        const struct group *group = CONTAINER_OF(it, struct group, node.order);
        if (!listed(list, group))
            continue;
        struct group_listed *out = &list->groups[list->groups_count++];
        out->group_id = group_answer_slice(r, group->id);
        out->protocol_type = slice_of("", 0);
        if (group->protocol_type.data != NULL)
            out->protocol_type = group_answer_slice(r, group->protocol_type);
        out->state = group->state;
    }
    ASSERT(list->groups_count <= groups->by_id.count);
    if (r->err != 0)
        list->groups_count = 0;
    group_answer(groups, r, r->err);
}
