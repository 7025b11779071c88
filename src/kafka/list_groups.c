// SPDX-License-Identifier: Apache-2.0
//
// ListGroups: the groups of all shards, filtered by state (KIP-518) and by type (KIP-848); all are
// of the classic type.
#include "kafka/group_call.h"
#include "wire/gen/kafka_list_groups.h"

#include <strings.h>

#define NO_SUCH_STATE (1U << GROUP_STATES_COUNT) // a filter that nothing passes

static void list_run(struct groups *groups, struct kafka_group_call *call)
{
    groups_list(groups, &call->u.list);
}

static void list_group(const struct group_listed *g, struct kafka_list_groups_response_group *out)
{
    out->group_id = g->group_id;
    out->protocol_type = g->protocol_type;
    out->group_state = slice_cstr(group_state_name(g->state));
    out->group_type = slice_cstr("classic");
}

static void list_answer(struct kafka_request *r)
{
    const struct kafka_group_calls *all = r->state;
    struct kafka_list_groups_response answer;
    wire_default(&kafka_list_groups_response_type, &answer);
    size_t count = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        count += all->calls[i].u.list.groups_count;
        if (all->calls[i].u.list.r.err != 0)
            answer.error_code = err_kafka(all->calls[i].u.list.r.err);
    }
    answer.groups = kafka_alloc_default(r, &kafka_list_groups_response_group_type, count);
    if (answer.groups == NULL)
        return;
    for (uint32_t i = 0; answer.error_code == 0 && i < all->count; i++)
        for (uint32_t j = 0; j < all->calls[i].u.list.groups_count; j++)
            list_group(&all->calls[i].u.list.groups[j], &answer.groups[answer.groups_count++]);
    kafka_answer(r, &answer);
}

static bool classic_wanted(const struct kafka_list_groups_request *q)
{
    for (uint32_t i = 0; i < q->types_filter_count; i++) {
        char type[16];
        slice_to_cstr(q->types_filter[i], type, sizeof type);
        if (strcasecmp(type, "classic") == 0)
            return true;
    }
    return q->types_filter_count == 0;
}

static uint32_t states_wanted(const struct kafka_list_groups_request *q)
{
    uint32_t states = 0; // all
    if (q->states_filter_count > 0 || !classic_wanted(q))
        states = NO_SUCH_STATE;
    for (uint32_t i = 0; classic_wanted(q) && i < q->states_filter_count; i++) {
        enum group_state state;
        if (group_state_by_name(q->states_filter[i], &state) == 0)
            states |= 1U << state;
    }
    return states;
}

void kafka_list_groups_handle(struct kafka_request *r)
{
    const struct kafka_list_groups_request *q = r->message;
    uint32_t shards = node_shards_count(shard_node(kafka_shard(r)));
    struct kafka_group_call *calls = kafka_group_calls_new(r, shards, list_run, list_answer);
    if (calls == NULL)
        return;
    for (uint32_t i = 0; i < shards; i++) {
        calls[i].u.list.states = states_wanted(q);
        kafka_group_call_start_on(&calls[i], i);
    }
}
