// SPDX-License-Identifier: Apache-2.0
//
// LeaveGroup: one member (up to version 2) or several, by member or instance id (KIP-345).
#include "kafka/group_call.h"
#include "wire/gen/kafka_leave_group.h"

static void leave_run(struct groups *groups, struct kafka_group_call *call)
{
    groups_leave(groups, &call->u.leave);
}

static void leave_answer(struct kafka_request *r)
{
    const struct group_leave *leave = &kafka_group_only(r)->u.leave;
    struct kafka_leave_group_response answer;
    wire_default(&kafka_leave_group_response_type, &answer);
    answer.error_code = err_kafka(leave->r.err);
    if (r->version < 3) { // the one member's result is the request's
        if (leave->r.err == 0)
            answer.error_code = err_kafka(leave->members[0].err);
        kafka_answer(r, &answer);
        return;
    }
    uint32_t count = leave->r.err == 0 ? leave->members_count : 0;
    answer.members = kafka_alloc_default(r, &kafka_leave_group_response_member_type, count);
    if (answer.members == NULL)
        return;
    answer.members_count = count;
    for (uint32_t i = 0; i < count; i++) {
        answer.members[i].member_id = leave->members[i].member_id;
        answer.members[i].group_instance_id = leave->members[i].instance_id;
        answer.members[i].error_code = err_kafka(leave->members[i].err);
    }
    kafka_answer(r, &answer);
}

void kafka_leave_group_handle(struct kafka_request *r)
{
    const struct kafka_leave_group_request *q = r->message;
    struct kafka_group_call *call = kafka_group_calls_new(r, 1, leave_run, leave_answer);
    if (call == NULL)
        return;
    uint32_t count = r->version < 3 ? 1 : q->members_count;
    struct group_leaver *leavers = kafka_alloc(r, count, sizeof *leavers);
    if (leavers == NULL)
        return;
    if (r->version < 3)
        leavers[0].member_id = q->member_id;
    for (uint32_t i = 0; r->version >= 3 && i < count; i++)
        leavers[i] = (struct group_leaver){.member_id = q->members[i].member_id,
                                           .instance_id = q->members[i].group_instance_id,
                                           .reason = q->members[i].reason};
    call->u.leave.group_id = q->group_id;
    call->u.leave.members = leavers;
    call->u.leave.members_count = count;
    kafka_group_call_start(call, q->group_id);
}
