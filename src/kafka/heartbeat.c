// SPDX-License-Identifier: Apache-2.0
//
// Heartbeat: a member is alive, and learns of a rebalance.
#include "kafka/group_call.h"
#include "wire/gen/kafka_heartbeat.h"

static void heartbeat_run(struct groups *groups, struct kafka_group_call *call)
{
    groups_heartbeat(groups, &call->u.heartbeat);
}

static void heartbeat_answer(struct kafka_request *r)
{
    struct kafka_heartbeat_response answer;
    wire_default(&kafka_heartbeat_response_type, &answer);
    answer.error_code = err_kafka(kafka_group_only(r)->u.request.err);
    kafka_answer(r, &answer);
}

void kafka_heartbeat_handle(struct kafka_request *r)
{
    const struct kafka_heartbeat_request *q = r->message;
    struct kafka_group_call *call = kafka_group_calls_new(r, 1, heartbeat_run, heartbeat_answer);
    if (call == NULL)
        return;
    call->u.heartbeat.group_id = q->group_id;
    call->u.heartbeat.member_id = q->member_id;
    call->u.heartbeat.instance_id = q->group_instance_id;
    call->u.heartbeat.generation = q->generation_id;
    kafka_group_call_start(call, q->group_id);
}
