// SPDX-License-Identifier: Apache-2.0
//
// See bundler.h. It runs on shard 0 of whatever server is up; its memory is the world's, so that a
// step whose outcome a crash left open can be tried again as it was.
#include "sim/bundler.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "group/group.h"
#include "node/bundle.h"
#include "sim/client.h"

#define OUTPUTS      3
#define GROUP        "bundler"
#define PAUSE_MIN_NS INT64_C(500000)
#define PAUSE_MAX_NS INT64_C(20000000)
#define NONE         UINT64_C(0) // steps count from 1

struct output {
    struct model_partition *partition;
    struct model_sent *sent;
    struct buf bytes;
    int64_t base_offset;
};

struct bundler {
    struct world *w;
    struct prng prng;
    struct node *node; // NULL: the server is down
    struct model_register *committed;
    uint64_t step; // under way, or the next
    bool open;     // its batches were made
    bool writing;  // the bundle is under way
    uint32_t number;
    uint64_t since;
    bool verified;
    uint64_t verified_step;
    struct output outputs[OUTPUTS];
    uint32_t outputs_count;
    // of one incarnation of the server
    struct io_msg begin, committed_msg;
    struct io_timer pause;
    struct node_call ask;
    struct group_fetch fetch;
    struct group_commit commit;
    struct group_topic topic;
    struct group_offset offset;
    struct node_bundle bundle;
    bool commit_over, bundle_over;
    int commit_err;
};

static void acknowledged(void *arg)
{
    server_acknowledged(arg);
}

static struct io *bundler_io(struct bundler *b)
{
    return shard_io(node_shard(b->node, 0));
}

// Where it reads from, so it says: any topic that is there and stays.
static const char *input(const struct bundler *b)
{
    return b->w->topics[WORLD_TOPIC_BUNDLED]->name;
}

static void rest(struct bundler *b)
{
    if (b->node == NULL)
        return; // the last turn of a server that has stopped
    struct io *io = bundler_io(b);
    io_timer_start(io, &b->pause, io_now_ns(io) + prng_range(&b->prng, PAUSE_MIN_NS, PAUSE_MAX_NS));
}

// ---- how far it is

static void fetch_done(struct group_request *request)
{
    node_call_reply(&CONTAINER_OF(request, struct bundler, fetch.r)->ask);
}

static void ask_run(struct node_call *call)
{
    struct bundler *b = CONTAINER_OF(call, struct bundler, ask);
    groups_fetch(shard_groups(call->to), &b->fetch);
}

static void asked(struct node_call *call)
{
    struct bundler *b = CONTAINER_OF(call, struct bundler, ask);
    struct world *w = b->w;
    uint64_t step = b->offset.offset < 0 ? NONE : (uint64_t)b->offset.offset;
    int err = b->fetch.r.err != 0 ? b->fetch.r.err : b->offset.err;
    group_request_fini(&b->fetch.r);
    if (err == 0) {
        history_note(&w->history, GROUP, "finds step %llu committed", (unsigned long long)step);
        register_seen(&w->model, b->committed, b->since, step);
        b->verified = w->phase == PHASE_VERIFY;
        b->verified_step = step;
        if (b->open && step >= b->step)
            b->open = false;
        if (!b->open)
            b->step = step + 1;
    }
    rest(b);
}

static void ask(struct bundler *b)
{
    b->topic = (struct group_topic){slice_cstr(input(b)), &b->offset, 1};
    b->offset = (struct group_offset){.partition = 0};
    b->fetch = (struct group_fetch){.group_id = slice_cstr(GROUP), .topics_count = 1};
    b->fetch.topics = &b->topic;
    b->fetch.r.done = fetch_done;
    b->since = model_now(&b->w->model);
    b->ask.run = ask_run;
    b->ask.done = asked;
    node_call_start(&b->ask, node_shard(b->node, 0),
                    node_shard_of_group(b->node, slice_cstr(GROUP)));
}

// ---- a step

static void outputs_make(struct bundler *b)
{
    struct world *w = b->w;
    struct model_topic *t = w->topics[WORLD_TOPIC_BUNDLED];
    b->outputs_count = 0;
    for (uint32_t i = 0; i < t->partitions_count && b->outputs_count < OUTPUTS; i++) {
        if (i > 0 && prng_chance(&b->prng, 1, 4))
            continue;
        struct output *o = &b->outputs[b->outputs_count++];
        struct client_batch batch;
        const struct client_batch_options options = {
            .producer_id = -1,
            .records = 1 + (uint32_t)prng_below(&b->prng, 3),
            .value_bytes = 20 + (uint32_t)prng_below(&b->prng, 300),
        };
        client_batch_make(w, &b->prng, &options, &batch);
        buf_fini(&o->bytes);
        o->bytes = batch.bytes;
        o->partition = t->partitions[i];
        o->sent = model_produce(&w->model, o->partition, buf_slice(&o->bytes), batch.step_ms);
        o->sent->bundled = true;
        o->sent->bundle_step = b->step;
    }
    b->open = true;
}

static void step_over(struct bundler *b)
{
    struct world *w = b->w;
    if (b->node == NULL || !b->commit_over || !b->bundle_over)
        return;
    int err = b->bundle.err != 0 ? b->bundle.err : b->commit_err;
    b->writing = false;
    group_request_fini(&b->commit.r);
    history_note(&w->history, GROUP, "step %llu: %s", (unsigned long long)b->step, err_name(err));
    register_written(&w->model, b->committed, b->number, err == 0 ? MODEL_OK : MODEL_UNKNOWN);
    if (err == 0) {
        for (uint32_t i = 0; i < b->outputs_count; i++)
            model_acknowledged(&w->model, b->outputs[i].sent, b->outputs[i].base_offset);
        w->report->bundles++;
        b->open = false;
        b->step++;
        sim_at(w->sim, sim_now_ns(w->sim), acknowledged, w); // it may not stop its own machine
    } else if (server_faults(w) == 0) {
        model_fail(&w->model, "a bundle failed, and no fault excuses it (%s)", err_name(err));
    }
    rest(b);
}

static void commit_told(struct io_msg *msg)
{
    struct bundler *b = CONTAINER_OF(msg, struct bundler, committed_msg);
    b->commit_over = true;
    step_over(b);
}

static void commit_done(struct group_request *request)
{
    struct bundler *b = CONTAINER_OF(request, struct bundler, commit.r);
    b->commit_err = request->err != 0 ? request->err : b->offset.err;
    if (b->node == NULL)
        return;
    b->committed_msg.run = commit_told;
    io_post(bundler_io(b), &b->committed_msg); // from the group's shard
}

static int bring_output(struct shard *shard, struct output *o)
{
    struct blob *blob = NULL;
    int err = blob_create(o->bytes.len, NULL, &blob);
    if (err != 0)
        return err;
    memcpy(blob->data, o->bytes.data, o->bytes.len);
    const struct blob_piece piece = {blob, 0, o->bytes.len};
    err = node_bundle_append(shard, &o->partition->topic->id, o->partition->index, piece,
                             &o->base_offset);
    blob_unref(blob);
    return err;
}

static int bring(struct node_bundle *bundle, struct shard *shard)
{
    struct bundler *b = CONTAINER_OF(bundle, struct bundler, bundle);
    int err = 0;
    for (uint32_t i = 0; i < b->outputs_count && err == 0; i++) {
        struct output *o = &b->outputs[i];
        if (node_shard_of_partition(b->node, &o->partition->topic->id, o->partition->index) ==
            shard_index(shard))
            err = bring_output(shard, o);
    }
    if (node_shard_of_group(b->node, slice_cstr(GROUP)) == shard_index(shard))
        groups_commit(shard_groups(shard), &b->commit);
    return err;
}

static void bundle_done(struct node_bundle *bundle, int err)
{
    struct bundler *b = CONTAINER_OF(bundle, struct bundler, bundle);
    (void)err;
    b->bundle_over = true;
    step_over(b);
}

static void step(struct bundler *b)
{
    struct world *w = b->w;
    if (!b->open)
        outputs_make(b);
    b->topic = (struct group_topic){slice_cstr(input(b)), &b->offset, 1};
    b->offset = (struct group_offset){.partition = 0, .leader_epoch = -1};
    b->offset.offset = (int64_t)b->step;
    b->commit = (struct group_commit){.group_id = slice_cstr(GROUP), .generation = -1};
    b->commit.retention_ms = -1;
    b->commit.topics = &b->topic;
    b->commit.topics_count = 1;
    b->commit.r.done = commit_done;
    b->bundle = (struct node_bundle){.bring = bring, .done = bundle_done};
    b->bundle.bytes = NODE_BUNDLE_BESIDE; // the offset
    b->bundle.shards = UINT64_C(1) << node_shard_of_group(b->node, slice_cstr(GROUP));
    for (uint32_t i = 0; i < b->outputs_count; i++) {
        const struct output *o = &b->outputs[i];
        b->outputs[i].sent->attempts++;
        b->bundle.bytes += b->outputs[i].bytes.len + NODE_BUNDLE_BESIDE;
        b->bundle.shards |= UINT64_C(1) << node_shard_of_partition(
                                b->node, &o->partition->topic->id, o->partition->index);
    }
    b->commit_over = false;
    b->bundle_over = false;
    b->writing = true;
    b->number = register_write(&w->model, b->committed, b->step);
    history_note(&w->history, GROUP, "step %llu of %u batches", (unsigned long long)b->step,
                 b->outputs_count);
    if (node_bundle_start(node_shard(b->node, 0), &b->bundle) != 0) { // the server stops
        register_written(&w->model, b->committed, b->number, MODEL_UNKNOWN);
        b->writing = false;
        rest(b);
    }
}

static void pause_over(struct io_timer *timer)
{
    struct bundler *b = CONTAINER_OF(timer, struct bundler, pause);
    if (b->node == NULL)
        return;
    if (b->w->phase == PHASE_RUN && !b->w->disk_may_fill)
        step(b);
    else if (b->w->phase == PHASE_VERIFY && !b->verified)
        ask(b);
    else
        rest(b);
}

// ---- life

static void begin(struct io_msg *msg)
{
    struct bundler *b = CONTAINER_OF(msg, struct bundler, begin);
    io_timer_init(&b->pause, pause_over);
    ask(b);
}

void bundler_server_up(struct bundler *b)
{
    ASSERT(b->node == NULL);
    b->node = b->w->node;
    b->begin.run = begin;
    io_post(bundler_io(b), &b->begin);
}

void bundler_server_gone(struct bundler *b)
{
    b->node = NULL;
    if (!b->writing)
        return;
    b->writing = false;
    register_written(&b->w->model, b->committed, b->number, MODEL_UNKNOWN);
}

void bundler_server_buried(struct bundler *b)
{
    node_bundle_drop(&b->bundle);
}

bool bundler_verified(const struct bundler *b, uint64_t *out)
{
    *out = b->verified_step;
    return b->verified;
}

struct bundler *bundler_create(struct world *w)
{
    struct bundler *b = mem_zalloc(sizeof *b);
    b->w = w;
    prng_seed(&b->prng, prng_next(&w->prng));
    b->committed = register_create(&w->model, NONE, "%s", "the bundler's step");
    b->step = 1;
    return b;
}

void bundler_destroy(struct bundler *b)
{
    for (uint32_t i = 0; i < OUTPUTS; i++)
        buf_fini(&b->outputs[i].bytes);
    mem_free(b);
}
