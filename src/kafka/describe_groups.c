// SPDX-License-Identifier: Apache-2.0
//
// DescribeGroups: state and members of groups. A group that does not exist is Dead without an
// error, until version 6 (KIP-1043) says GROUP_ID_NOT_FOUND.
#include "kafka/group_call.h"
#include "wire/gen/kafka_describe_groups.h"

static void describe_run(struct groups *groups, struct kafka_group_call *call)
{
    groups_describe(groups, &call->u.describe);
}

static bool describe_members(struct kafka_request *r, const struct group_describe *d,
                             struct kafka_describe_groups_response_group *out)
{
    out->members =
        kafka_alloc_default(r, &kafka_describe_groups_response_member_type, d->members_count);
    if (out->members == NULL)
        return false;
    out->members_count = d->members_count;
    for (uint32_t i = 0; i < d->members_count; i++) {
        const struct group_member_info *info = &d->members[i];
        out->members[i] = (struct kafka_describe_groups_response_member){
            .member_id = info->member_id,
            .group_instance_id = info->instance_id,
            .client_id = info->client_id,
            .client_host = info->client_host,
            .member_metadata = info->metadata,
            .member_assignment = info->assignment,
        };
    }
    return true;
}

static bool describe_group(struct kafka_request *r, const struct group_describe *d,
                           struct kafka_describe_groups_response_group *out)
{
    const struct kafka_describe_groups_request *q = r->message;
    bool absent = d->r.err == ERR_GROUP_ID_NOT_FOUND;
    out->group_id = d->group_id;
    out->group_state = slice_cstr(group_state_name(absent ? GROUP_DEAD : d->state));
    out->authorized_operations = KAFKA_OPERATIONS_UNKNOWN;
    if (d->r.err != 0) {
        out->error_code = absent && r->version < 6 ? 0 : err_kafka(d->r.err);
        if (!absent)
            out->group_state = slice_of("", 0);
        char *text = arena_printf(&r->arena, "Group %.*s not found.", (int)d->group_id.len,
                                  (const char *)d->group_id.data);
        out->error_message = absent ? kafka_text(r, text) : SLICE_NULL;
        return true;
    }
    out->protocol_type = d->protocol_type;
    out->protocol_data = d->protocol;
    if (q->include_authorized_operations)
        out->authorized_operations = KAFKA_OPERATIONS_GROUP;
    return describe_members(r, d, out);
}

static void describe_answer(struct kafka_request *r)
{
    const struct kafka_group_calls *all = r->state;
    struct kafka_describe_groups_response answer;
    wire_default(&kafka_describe_groups_response_type, &answer);
    answer.groups = kafka_alloc_default(r, &kafka_describe_groups_response_group_type, all->count);
    if (answer.groups == NULL)
        return;
    answer.groups_count = all->count;
    for (uint32_t i = 0; i < all->count; i++)
        if (!describe_group(r, &all->calls[i].u.describe, &answer.groups[i]))
            return;
    kafka_answer(r, &answer);
}

void kafka_describe_groups_handle(struct kafka_request *r)
{
    const struct kafka_describe_groups_request *q = r->message;
    struct kafka_group_call *calls =
        kafka_group_calls_new(r, q->groups_count, describe_run, describe_answer);
    if (calls == NULL)
        return;
    if (q->groups_count == 0) {
        describe_answer(r);
        return;
    }
    for (uint32_t i = 0; i < q->groups_count; i++) {
        calls[i].u.describe.group_id = q->groups[i];
        kafka_group_call_start(&calls[i], q->groups[i]);
    }
}
