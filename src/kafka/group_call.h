// SPDX-License-Identifier: Apache-2.0
//
// Requests to consumer groups: each is run on the shard that owns the group and answered on the
// shard of the connection. One kafka_group_call per group; a request may hold several. Private to
// the room.
#ifndef WEIR_KAFKA_GROUP_CALL_H
#define WEIR_KAFKA_GROUP_CALL_H

#include "group/group.h"
#include "kafka/resolve.h"

struct kafka_group_call {
    struct node_call call;
    struct kafka_request *r;
    union {
        struct group_request request; // the first member of all
        struct group_join join;
        struct group_sync sync;
        struct group_heartbeat heartbeat;
        struct group_leave leave;
        struct group_commit commit;
        struct group_fetch fetch;
        struct group_forget forget;
        struct group_describe describe;
        struct group_list list;
        struct group_delete del;
    } u;
};

struct kafka_group_calls { // r->state
    struct kafka_group_call *calls;
    uint32_t count, left;
    void (*run)(struct groups *groups, struct kafka_group_call *call);
    void (*answer)(struct kafka_request *r);
};

// NULL: kafka_fail has been called. `run` makes the call, on the owner; `answer` runs when all have
// answered.
struct kafka_group_call *kafka_group_calls_new(struct kafka_request *r, size_t count,
                                               void (*run)(struct groups *groups,
                                                           struct kafka_group_call *call),
                                               void (*answer)(struct kafka_request *r));
// Where each call goes: by the group's id, or to a shard of one's choice (ListGroups asks all).
void kafka_group_call_start(struct kafka_group_call *call, struct slice group_id);
void kafka_group_call_start_on(struct kafka_group_call *call, uint32_t shard);

// The one call of a request that makes one.
struct kafka_group_call *kafka_group_only(const struct kafka_request *r);

#endif
