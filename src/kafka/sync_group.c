// SPDX-License-Identifier: Apache-2.0
//
// SyncGroup: the leader hands in the assignment, each member gets its own.
#include "kafka/group_call.h"
#include "wire/gen/kafka_sync_group.h"

static void sync_run(struct groups *groups, struct kafka_group_call *call)
{
    groups_sync(groups, &call->u.sync);
}

static void sync_answer(struct kafka_request *r)
{
    const struct group_sync *sync = &kafka_group_only(r)->u.sync;
    struct kafka_sync_group_response answer;
    wire_default(&kafka_sync_group_response_type, &answer);
    answer.error_code = err_kafka(sync->r.err);
    answer.protocol_type = sync->out_protocol_type;
    answer.protocol_name = sync->out_protocol_name;
    answer.assignment = sync->assignment;
    kafka_answer(r, &answer);
}

void kafka_sync_group_handle(struct kafka_request *r)
{
    const struct kafka_sync_group_request *q = r->message;
    struct kafka_group_call *call = kafka_group_calls_new(r, 1, sync_run, sync_answer);
    if (call == NULL)
        return;
    struct group_assignment *list = kafka_alloc(r, q->assignments_count, sizeof *list);
    if (list == NULL)
        return;
    for (uint32_t i = 0; i < q->assignments_count; i++)
        list[i] =
            (struct group_assignment){q->assignments[i].member_id, q->assignments[i].assignment};
    struct group_sync *sync = &call->u.sync;
    sync->group_id = q->group_id;
    sync->member_id = q->member_id;
    sync->instance_id = q->group_instance_id;
    sync->generation = q->generation_id;
    sync->protocol_type = q->protocol_type;
    sync->protocol_name = q->protocol_name;
    sync->assignments = list;
    sync->assignments_count = q->assignments_count;
    kafka_group_call_start(call, q->group_id);
}
