// SPDX-License-Identifier: Apache-2.0
//
// DeleteGroups: empty groups and their positions are forgotten.
#include "kafka/group_call.h"
#include "wire/gen/kafka_delete_groups.h"

static void delete_run(struct groups *groups, struct kafka_group_call *call)
{
    groups_delete(groups, &call->u.del);
}

static void delete_groups_answer(struct kafka_request *r)
{
    const struct kafka_group_calls *all = r->state;
    struct kafka_delete_groups_response answer;
    wire_default(&kafka_delete_groups_response_type, &answer);
    answer.results = kafka_alloc_default(r, &kafka_delete_groups_response_group_type, all->count);
    if (answer.results == NULL)
        return;
    answer.results_count = all->count;
    for (uint32_t i = 0; i < all->count; i++) {
        answer.results[i].group_id = all->calls[i].u.del.group_id;
        answer.results[i].error_code = err_kafka(all->calls[i].u.del.r.err);
    }
    kafka_answer(r, &answer);
}

void kafka_delete_groups_handle(struct kafka_request *r)
{
    const struct kafka_delete_groups_request *q = r->message;
    struct kafka_group_call *calls =
        kafka_group_calls_new(r, q->groups_names_count, delete_run, delete_groups_answer);
    if (calls == NULL)
        return;
    if (q->groups_names_count == 0) {
        delete_groups_answer(r);
        return;
    }
    for (uint32_t i = 0; i < q->groups_names_count; i++) {
        calls[i].u.del.group_id = q->groups_names[i];
        kafka_group_call_start(&calls[i], q->groups_names[i]);
    }
}
