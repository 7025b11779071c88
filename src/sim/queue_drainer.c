// SPDX-License-Identifier: Apache-2.0
//
// In the end somebody takes what is left, one message at a time, until every queue has been found
// empty several times over: connections that were lost may still be noticed, and dead letters be on
// their way.
#include "sim/queue_user.h"

#define EMPTY_ROUNDS  8
#define PAUSE_NS      INT64_C(2000000)
#define PAUSE_LONG_NS INT64_C(100000000) // between empty answers, where much time has to pass
#define SILENT_NS \
    INT64_C(4000000000) // two heartbeats and more: nothing is held by a broken connection

struct drainer {
    struct queue_user u;
    uint32_t at;    // the queue
    uint32_t empty; // rounds in a row that found nothing
    int64_t began_ns;
    bool found; // in this round
};

static void drainer_got(struct queue_user *u, const struct amqp_call *call)
{
    struct drainer *d = CONTAINER_OF(u, struct drainer, u);
    struct model_queue *q = world_queue(u->world, d->at);
    bool got = call->method == AMQP_BASIC_GET_OK;
    u->pause_max_ns = u->world->half_open && !got ? PAUSE_LONG_NS : PAUSE_NS;
    if (got) {
        uint64_t id = queue_user_id(call->body);
        queue_user_note(u, "takes message %llu from %s", (unsigned long long)id, q->name);
        queue_drained(&u->world->queues, q, id);
        d->found = true;
        u->world->report->drained++;
        return;
    }
    if (++d->at < WORLD_QUEUES)
        return;
    d->empty = d->found ? 0 : d->empty + 1;
    d->at = 0;
    d->found = false;
    bool silent = !u->world->half_open || io_now_ns(u->io) - d->began_ns > SILENT_NS;
    if (silent && d->empty >= EMPTY_ROUNDS) {
        queues_model_final(&u->world->queues);
        u->world->queues_verified = true;
    }
}

static void drainer_step(struct queue_user *u)
{
    struct drainer *d = CONTAINER_OF(u, struct drainer, u);
    if (u->calling || u->world->queues_verified)
        return;
    const struct amqp_basic_get get = {.queue = slice_cstr(world_queue(u->world, d->at)->name),
                                       .no_ack = true};
    queue_user_call(u, AMQP_BASIC_GET, &get, drainer_got);
}

static void drainer_ready(struct queue_user *u)
{
    u->pause_max_ns = PAUSE_NS;
    CONTAINER_OF(u, struct drainer, u)->began_ns = io_now_ns(u->io);
    drainer_step(u);
}

const struct queue_user_kind queue_user_drainer = {
    .name = "qdrain",
    .size = sizeof(struct drainer),
    .phase = PHASE_VERIFY,
    .ready = drainer_ready,
    .step = drainer_step,
};
