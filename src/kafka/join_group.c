// SPDX-License-Identifier: Apache-2.0
//
// JoinGroup: waits in the group until the rebalance is through. What Kafka changed from version to
// version: session timeout for rebalance timeout (v0), member ids that must be taken first (v4,
// KIP-394), null names on errors (v7), the leader that may skip the assignment (v9, KIP-814).
#include "kafka/group_call.h"
#include "wire/gen/kafka_join_group.h"

static void join_run(struct groups *groups, struct kafka_group_call *call)
{
    groups_join(groups, &call->u.join);
}

static void join_answer(struct kafka_request *r)
{
    const struct group_join *join = &kafka_group_only(r)->u.join;
    struct kafka_join_group_response answer;
    wire_default(&kafka_join_group_response_type, &answer);
    answer.error_code = err_kafka(join->r.err);
    answer.generation_id = join->generation;
    answer.protocol_type = join->out_protocol_type;
    answer.protocol_name = join->protocol_name;
    answer.leader = join->leader;
    answer.skip_assignment = join->skip_assignment;
    answer.member_id = join->out_member_id;
    answer.members =
        kafka_alloc_default(r, &kafka_join_group_response_member_type, join->members_count);
    if (answer.members == NULL)
        return;
    answer.members_count = join->members_count;
    for (uint32_t i = 0; i < join->members_count; i++) {
        answer.members[i].member_id = join->members[i].member_id;
        answer.members[i].group_instance_id = join->members[i].instance_id;
        answer.members[i].metadata = join->members[i].metadata;
    }
    kafka_answer(r, &answer);
}

static void join_fill(struct kafka_request *r, struct group_join *join)
{
    const struct kafka_join_group_request *q = r->message;
    char host[IO_ADDR_TEXT_SIZE];
    kafka_client_host(r, host, sizeof host);
    join->group_id = q->group_id;
    join->member_id = q->member_id;
    join->instance_id = q->group_instance_id;
    join->client_id = r->client_id;
    join->client_host = kafka_text(r, host);
    join->protocol_type = q->protocol_type;
    join->session_timeout_ms = q->session_timeout_ms;
    join->rebalance_timeout_ms = r->version == 0 ? q->session_timeout_ms : q->rebalance_timeout_ms;
    join->known_member_id_required = r->version >= 4;
    join->skip_assignment_known = r->version >= 9;
    join->reason = q->reason;
}

void kafka_join_group_handle(struct kafka_request *r)
{
    const struct kafka_join_group_request *q = r->message;
    struct kafka_group_call *call = kafka_group_calls_new(r, 1, join_run, join_answer);
    if (call == NULL)
        return;
    struct group_protocol *protocols = kafka_alloc(r, q->protocols_count, sizeof *protocols);
    if (protocols == NULL)
        return;
    for (uint32_t i = 0; i < q->protocols_count; i++)
        protocols[i] = (struct group_protocol){q->protocols[i].name, q->protocols[i].metadata};
    join_fill(r, &call->u.join);
    call->u.join.protocols = protocols;
    call->u.join.protocols_count = q->protocols_count;
    kafka_group_call_start(call, q->group_id);
}
