// SPDX-License-Identifier: Apache-2.0
//
// The node's life: build the actors, recover, raise the epoch and make that durable, open the
// doors; and back again in order. The state is a table of allowed edges:
//
//   STARTING ──> RUNNING ──> STOPPING ──> STOPPED
//      └────────────┴───────────┴──> FAILED
#include "node/node.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/queues_int.h"

static const uint8_t node_edges[] = {
    [NODE_STARTING] = 1U << NODE_RUNNING | 1U << NODE_FAILED | 1U << NODE_STOPPING,
    [NODE_RUNNING] = 1U << NODE_STOPPING | 1U << NODE_FAILED,
    [NODE_STOPPING] = 1U << NODE_STOPPED | 1U << NODE_FAILED,
    [NODE_STOPPED] = 0,
    [NODE_FAILED] = 0,
};

static void node_move(struct node *node, enum node_state to)
{
    int from = atomic_load(&node->state);
    ASSERT((node_edges[from] >> to & 1) != 0);
    atomic_store(&node->state, to);
}

void node_fail(struct node *node, int err, const char *what)
{
    if (atomic_exchange(&node->state, NODE_FAILED) == NODE_FAILED)
        return;
    if (node->options.failed != NULL)
        node->options.failed(node->options.arg, err, what);
}

// ---- facts

int32_t node_id(const struct node *node)
{
    return node->id;
}

const char *node_cluster_id(const struct node *node)
{
    return node->cluster_text;
}

int32_t node_epoch(const struct node *node)
{
    return node->epoch;
}

uint32_t node_shards_count(const struct node *node)
{
    return node->options.shards_count;
}

struct shard *node_shard(const struct node *node, uint32_t index)
{
    ASSERT(index < node->options.shards_count);
    return &node->shards[index];
}

// ---- opening the doors, when the epoch is durable

// One shard after the other: the first settles which port a free one is, the others share it.
static void doors_open(struct node_call *call)
{
    struct shard *shard = call->to;
    const struct node_options *o = &shard->node->options;
    shard->node->doors_err = o->open_doors != NULL ? o->open_doors(o->arg, shard) : 0;
    shard->doors_open = shard->node->doors_err == 0;
    node_call_reply(call);
}

static void doors_opened(struct node_call *call)
{
    struct node *node = call->from->node;
    uint32_t next = call->to->index + 1;
    int err = node->doors_err;
    ASSERT(call->from->index == 0);
    if (atomic_load(&node->state) != NODE_STARTING)
        return;
    if (err == 0 && next < node->options.shards_count) {
        node_call_start(call, &node->shards[0], next);
        return;
    }
    node_move(node, err == 0 ? NODE_RUNNING : NODE_FAILED);
    if (node->options.started != NULL)
        node->options.started(node->options.arg, err, err == 0 ? "" : "A door could not be opened");
}

// Every shard is started before any door opens: a request may ask any of them.
static void shard_begin(struct node_broadcast *broadcast, struct node_call *call)
{
    (void)broadcast;
    shard_start(call->to);
    node_call_reply(call);
}

static void shards_begun(struct node_broadcast *broadcast)
{
    struct node *node = broadcast->from->node;
    node->open_call.run = doors_open;
    node->open_call.done = doors_opened;
    node_call_start(&node->open_call, &node->shards[0], 0);
}

static void epoch_durable(void *arg, const struct journal_frame *frame, int err)
{
    struct node *node = arg;
    (void)frame;
    if (err != 0)
        return; // the journal has said why
    node->doors.run = shard_begin;
    node->doors.done = shards_begun;
    node_broadcast_start(&node->doors, &node->shards[0]);
}

// On shard 0, which therefore starts first.
static void identity_write(struct io_msg *msg)
{
    struct node *node = CONTAINER_OF(msg, struct node, identity_msg);
    struct shard *shard = &node->shards[0];
    shard_start(shard);
    uint8_t epoch[4];
    le32_put(epoch, (uint32_t)node->epoch);
    const struct state_record cluster = {STATE_NODE, slice_cstr(STATE_NODE_CLUSTER),
                                         slice_of(node->cluster.bytes, 16)};
    const struct state_record record = {STATE_NODE, slice_cstr(STATE_NODE_EPOCH),
                                        slice_of(epoch, sizeof epoch)};
    state_write(shard->port, &cluster, NULL, NULL);
    state_write(shard->port, &record, epoch_durable, node);
}

void node_begin(struct node *node)
{
    ASSERT(node->journal != NULL);
    ASSERT(node->epoch >= 0);
    journal_start(node->journal);
    node->identity_msg.run = identity_write;
    io_post(node->shards[0].io, &node->identity_msg);
}

// ---- create

static int config_read(struct node *node, char **out_why)
{
    char why[256] = "";
    for (const char *const *p = node->options.config; p != NULL && *p != NULL; p++) {
        const char *eq = strchr(*p, '=');
        struct config_change change = {.op = CONFIG_SET};
        change.name = slice_of(*p, eq != NULL ? (size_t)(eq - *p) : strlen(*p));
        change.value = eq != NULL ? slice_cstr(eq + 1) : SLICE_NULL;
        int err = config_override_change(&node->broker_overrides, CONFIG_BROKER, &change, why,
                                         sizeof why);
        if (err != 0) {
            *out_why = mem_strdup(why);
            return ERR_CONFIG;
        }
    }
    config_broker_effective(&node->broker_overrides, &node->broker);
    const struct node_scale *scale = &node->options.scale;
    if (scale->journal_file_bytes != 0)
        node->broker.journal_file_bytes = scale->journal_file_bytes;
    if (scale->journal_direct_min_bytes != 0)
        node->broker.journal_direct_min_bytes = scale->journal_direct_min_bytes;
    node->id = node->broker.node_id;
    return 0;
}

static int node_actors(struct node *node)
{
    const struct io_actor_options journal = {
        .name = "journal",
        .kind = IO_WORKER,
        .spin_ns = node->broker.journal_spin_us * 1000,
    };
    const struct io_actor_options checkpoint = {.name = "checkpoint", .kind = IO_WORKER};
    int err = io_actor_create(node->options.world, &journal, &node->journal_io);
    if (err == 0)
        err = io_actor_create(node->options.world, &checkpoint, &node->checkpoint_io);
    for (uint32_t i = 0; i < node->options.shards_count && err == 0; i++)
        err = shard_init(node, i);
    return err;
}

int node_create(const struct node_options *options, struct node **out, char **out_why)
{
    if (options->shards_count == 0 || options->shards_count > NODE_SHARDS_MAX) {
        *out_why = mem_strdup("The number of shards must be between 1 and 64");
        return ERR_CONFIG;
    }
    struct node *node = mem_zalloc(sizeof *node);
    node->options = *options;
    node->epoch = -1;
    int err = config_read(node, out_why);
    if (err != 0) {
        config_overrides_fini(&node->broker_overrides);
        mem_free(node);
        return err;
    }
    int64_t memory = options->memory_bytes > 0 ? options->memory_bytes : node->broker.memory_bytes;
    budget_init(&node->memory, memory, NULL);
    node->shards = mem_zalloc(options->shards_count * sizeof node->shards[0]);
    err = node_actors(node);
    if (err != 0) {
        *out_why = mem_strdup("A thread could not be started");
        node_destroy(node);
        return err;
    }
    node->started_ns = io_now_ns(node->journal_io);
    node->recover_msg.run = node_recover;
    io_post(node->journal_io, &node->recover_msg);
    *out = node;
    return 0;
}

// ---- stop: doors, then durability, then a checkpoint

static void stop_done(struct node *node)
{
    if (atomic_load(&node->state) == NODE_STOPPING)
        node_move(node, NODE_STOPPED);
    ASSERT(node->stopped != NULL);
    node->stopped(node->stopped_arg);
}

// Checkpointer and journal still owe each other answers (files that may be used again); an actor
// must not end while another may post to it.
static void journal_quiet(struct io_msg *msg)
{
    stop_done(CONTAINER_OF(msg, struct node, quiet_msg));
}

static void checkpointer_quiet(struct io_msg *msg)
{
    struct node *node = CONTAINER_OF(msg, struct node, quiet_msg);
    node->quiet_msg.run = journal_quiet;
    journal_quiesce(node->journal, node->shards[0].io, &node->quiet_msg);
}

static void last_checkpoint_done(struct checkpoint_request *request)
{
    struct node *node = CONTAINER_OF(request, struct node, last_checkpoint);
    if (request->err != 0)
        node_say(node, NODE_WARN,
                 "the last checkpoint failed (%s); the next start replays the journal",
                 err_text(request->err));
    node->quiet_msg.run = checkpointer_quiet;
    checkpointer_quiesce(node->checkpointer, node->shards[0].io, &node->quiet_msg);
}

static void doors_closed(struct node_broadcast *broadcast)
{
    struct node *node = broadcast->from->node;
    node->last_checkpoint = (struct checkpoint_request){
        .reply_to = node->shards[0].io,
        .urgent = true,
        .done = last_checkpoint_done,
    };
    checkpoint_request(node->checkpointer, &node->last_checkpoint);
}

static void stop_durable(struct journal_barrier *barrier, int err)
{
    struct shard *shard = CONTAINER_OF(barrier, struct shard, stop_barrier);
    (void)err; // the journal has said why
    node_call_reply(shard->stop_call);
}

static void shard_close(struct node_broadcast *broadcast, struct node_call *call)
{
    struct shard *shard = call->to;
    const struct node_options *o = &shard->node->options;
    (void)broadcast;
    if (shard->doors_open && o->close_doors != NULL)
        o->close_doors(o->arg, shard);
    shard->doors_open = false;
    ASSERT(shard->started);
    io_timer_stop(shard->io, &shard->tick);
    if (shard->index == 0)
        io_timer_stop(shard->io, &shard->trim.timer);
    groups_stop(shard->groups);
    delays_stop(&shard->queues->delays);
    queues_stop(shard->queues->room);
    shard->stop_call = call;
    shard->stop_barrier.fn = stop_durable;
    journal_barrier(shard->port, &shard->stop_barrier);
}

static void stop_begin(struct io_msg *msg)
{
    struct node *node = CONTAINER_OF(msg, struct node, stop_msg);
    node->doors.run = shard_close;
    node->doors.done = doors_closed;
    node_broadcast_start(&node->doors, &node->shards[0]);
}

void node_stop(struct node *node, void (*stopped)(void *arg), void *arg)
{
    int state = NODE_RUNNING;
    node->stopped = stopped;
    node->stopped_arg = arg;
    if (!atomic_compare_exchange_strong(&node->state, &state, NODE_STOPPING)) {
        stopped(
            arg); // it never ran, or has failed: there is nothing left that could be made durable
        return;
    }
    node->stop_msg.run = stop_begin;
    io_post(node->shards[0].io, &node->stop_msg);
}

// ---- destroy

// The pointer stays: others may still post to it, which is dropped (io_actor_stop).
static void actor_stop(struct io *io)
{
    if (io != NULL)
        io_actor_stop(io);
}

void node_destroy(struct node *node)
{
    if (node == NULL)
        return;
    // Senders first, so that nobody posts to an actor that has ended.
    for (uint32_t i = 0; i < node->options.shards_count; i++)
        actor_stop(node->shards[i].io);
    actor_stop(node->checkpoint_io);
    actor_stop(node->journal_io);
    for (uint32_t i = 0; i < node->options.shards_count; i++) {
        actor_stop(node->shards[i].writer);
        actor_stop(node->shards[i].reader);
    }
    for (uint32_t i = 0; i < node->options.shards_count; i++)
        node_queues_end(node->shards[i].queues);
    for (uint32_t i = 0; i < node->options.shards_count; i++)
        shard_fini(&node->shards[i]);
    for (uint32_t i = 0; i < node->options.shards_count; i++)
        node_queues_destroy(node->shards[i].queues);
    for (uint32_t i = 0; node->options.destroy_doors != NULL && i < node->options.shards_count; i++)
        node->options.destroy_doors(node->options.arg, &node->shards[i]);
    queue_restore_free(node); // of a recovery that failed
    checkpointer_destroy(node->checkpointer);
    journal_destroy(node->journal);
    config_overrides_fini(&node->broker_overrides);
    mem_free(node->doors.calls); // of a stop that a crash cut short
    mem_free(node->shards);
    mem_free(node);
}
