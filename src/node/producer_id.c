// SPDX-License-Identifier: Apache-2.0
//
// Producer ids: shard 0 hands them out from blocks. A block is journalled before its first id
// leaves, so that after a crash the next block begins behind it and no id is ever given twice.
#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "node/node_int.h"

static void waiting_serve(struct shard *shard, int err)
{
    struct catalogue *c = &shard->catalogue;
    for (struct list *it = list_pop_front(&c->ids_waiting); it != NULL;
         it = list_pop_front(&c->ids_waiting)) {
        struct producer_id_take *r = CONTAINER_OF(it, struct producer_id_take, link);
        r->err = err != 0 ? err : producer_ids_take(&c->ids, &r->id);
        if (r->err == ERR_AGAIN) { // more waited than a block holds
            list_push_front(&c->ids_waiting, it);
            producer_ids_request(shard);
            return;
        }
        node_call_reply(&r->call);
    }
}

static void block_durable(void *arg, const struct journal_frame *frame, int err)
{
    struct shard *shard = arg;
    struct catalogue *c = &shard->catalogue;
    (void)frame;
    ASSERT(c->ids_requested);
    c->ids_requested = false;
    if (err == 0)
        producer_ids_grant(&c->ids, c->ids_block_end);
    waiting_serve(shard, err);
}

void producer_ids_request(struct shard *shard)
{
    struct catalogue *c = &shard->catalogue;
    if (c->ids_requested)
        return;
    ASSERT(shard->index == 0);
    ASSERT(c->ids_block_end <= INT64_MAX - PRODUCER_IDS_BLOCK);
    c->ids_requested = true;
    c->ids_block_end += PRODUCER_IDS_BLOCK;
    uint8_t value[8];
    le64_put(value, (uint64_t)c->ids_block_end);
    const struct state_record record = {STATE_NODE, slice_cstr(STATE_NODE_PRODUCER_IDS),
                                        slice_of(value, sizeof value)};
    state_write(shard->port, &record, block_durable, shard);
}

static void take_run(struct node_call *call)
{
    struct producer_id_take *r = CONTAINER_OF(call, struct producer_id_take, call);
    struct catalogue *c = &call->to->catalogue;
    ASSERT(call->to->index == 0);
    list_init(&r->link);
    list_push_back(&c->ids_waiting, &r->link);
    if (!c->ids_requested)
        waiting_serve(call->to, 0);
}

static void take_done(struct node_call *call)
{
    struct producer_id_take *r = CONTAINER_OF(call, struct producer_id_take, call);
    r->done(r);
}

void producer_id_start(struct shard *shard, struct producer_id_take *request)
{
    request->call.run = take_run;
    request->call.done = take_done;
    node_call_start(&request->call, shard, 0);
}
