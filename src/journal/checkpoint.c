// SPDX-License-Identifier: Apache-2.0
//
// The checkpointer: an actor that asks every part for a cut, writes the cuts as one snapshot file,
// names it in CHECKPOINT, and only then lets the journal use its earlier files again. The order is
// the whole point and stands in checkpoint.h; each step here says which one it is. Whatever fails
// before the slot is written changes nothing: the last checkpoint still holds, the parts keep what
// they emitted dirty, and another try follows.
#include "journal/checkpoint.h"

#include "base/assert.h"
#include "base/bugs.h"
#include "base/err.h"
#include "base/mem.h"
#include "journal/published.h"
#include "journal/snapshot.h"

#define CUT_BYTES_MAX  ((size_t)4 * 1024 * 1024 * 1024 - 4096)
#define COMPACT_MIN    ((uint64_t)1024 * 1024)
#define RETRY_AFTER_NS (1000LL * 1000 * 1000)

// STATE    what holds                                     goes to
// IDLE     nothing is under way                           WAITING, CUTTING
// WAITING  a request waits for the rate's bound or a      IDLE, CUTTING
//          try after a failure
// CUTTING  the journal was asked, or parts are at work     IDLE
enum checkpointer_state { CHECKPOINT_IDLE, CHECKPOINT_WAITING, CHECKPOINT_CUTTING };

struct part {
    struct checkpoint_part part;
    struct checkpoint_cut cut;
    struct checkpointer *checkpointer;
    struct io_msg start_msg, settled_msg;
    bool installed;
    int err;
};

struct checkpointer {
    struct checkpoint_options options;
    struct part *parts;
    enum checkpointer_state state;
    struct list requests; // to be served by a checkpoint that has not begun
    struct list serving;  // by the one under way
    uint32_t parts_left;
    struct checkpoint_slot current; // sequence 0: none yet
    unsigned slot;
    uint64_t next_number; // of a checkpoint and its file: a failed try uses one up
    uint64_t replay_lsn;
    bool full, urgent, retry, quiet;
    int64_t began_ns;
    struct journal_lsn_query lsn_query;
    struct io_timer timer;
    bool timer_ready;
    struct io *quiet_reply;
    struct io_msg *quiet_msg, quiesce_msg;
    struct checkpoint_stats stats;
    struct published published;
};

_Static_assert(sizeof(struct checkpoint_stats) % 8 == 0, "published in words");

static const bool allowed[3][3] = {
    [CHECKPOINT_IDLE] = {[CHECKPOINT_WAITING] = true, [CHECKPOINT_CUTTING] = true},
    [CHECKPOINT_WAITING] = {[CHECKPOINT_IDLE] = true, [CHECKPOINT_CUTTING] = true},
    [CHECKPOINT_CUTTING] = {[CHECKPOINT_IDLE] = true},
};

static void state_set(struct checkpointer *c, enum checkpointer_state state)
{
    ASSERT(allowed[c->state][state]);
    ASSERT(c->parts_left == 0);
    ASSERT(state == CHECKPOINT_CUTTING || list_empty(&c->serving));
    c->state = state;
    journal_overflow(c->options.journal, state == CHECKPOINT_CUTTING);
}

static void begin_or_wait(struct checkpointer *c);

int checkpointer_create(const struct checkpoint_options *options,
                        const struct checkpoint_found *found, struct checkpointer **out)
{
    ASSERT(options->actor != NULL);
    ASSERT(options->journal != NULL);
    ASSERT(options->parts_count >= 1);
    ASSERT(found->slot < CHECKPOINT_SLOTS);
    struct checkpointer *c = mem_zalloc(sizeof *c);
    c->options = *options;
    c->parts = mem_zalloc(options->parts_count * sizeof(struct part));
    for (uint32_t i = 0; i < options->parts_count; i++) {
        c->parts[i].part = options->parts[i];
        c->parts[i].checkpointer = c;
        buf_init(&c->parts[i].cut.records, CUT_BYTES_MAX);
    }
    c->options.parts = NULL; // the copies count
    list_init(&c->requests);
    list_init(&c->serving);
    c->current = (struct checkpoint_slot){
        .sequence = found->sequence, .replay_lsn = found->replay_lsn, .chain = found->chain};
    c->slot = found->slot;
    c->next_number = found->last_number + 1; // no file that is there is written over
    c->stats.snapshot_files = found->chain.count;
    published_init(&c->published, sizeof c->stats);
    published_set(&c->published, &c->stats);
    *out = c;
    return 0;
}

void checkpointer_destroy(struct checkpointer *c)
{
    if (c == NULL)
        return;
    for (uint32_t i = 0; i < c->options.parts_count; i++)
        buf_fini(&c->parts[i].cut.records);
    published_fini(&c->published);
    mem_free(c->parts);
    mem_free(c);
}

// ---- requests

static void answer_run(struct io_msg *msg) // on reply_to
{
    struct checkpoint_request *request = CONTAINER_OF(msg, struct checkpoint_request, msg);
    request->done(request);
}

static void answer_all(struct list *requests, int err)
{
    for (struct list *it; (it = list_pop_front(requests)) != NULL;) {
        struct checkpoint_request *request = CONTAINER_OF(it, struct checkpoint_request, link);
        request->err = err;
        if (request->done == NULL)
            continue;
        request->msg.run = answer_run;
        io_post(request->reply_to, &request->msg);
    }
}

static void request_run(struct io_msg *msg)
{
    struct checkpoint_request *request = CONTAINER_OF(msg, struct checkpoint_request, msg);
    struct checkpointer *c = request->checkpointer;
    list_push_back(&c->requests, &request->link);
    if (request->urgent)
        c->urgent = true;
    if (c->quiet)
        answer_all(&c->requests, ERR_STOPPED);
    else
        begin_or_wait(c);
}

void checkpoint_request(struct checkpointer *c, struct checkpoint_request *request)
{
    ASSERT(request->done == NULL || request->reply_to != NULL);
    request->checkpointer = c;
    request->msg.run = request_run;
    io_post(c->options.actor, &request->msg);
}

// ---- the end of one

static void settled_run(struct io_msg *msg) // on the part
{
    struct part *part = CONTAINER_OF(msg, struct part, settled_msg);
    if (part->part.settled != NULL)
        part->part.settled(part->part.arg, part->installed);
}

static void quiesce_if_idle(struct checkpointer *c)
{
    if (!c->quiet || c->quiet_msg == NULL || c->state == CHECKPOINT_CUTTING)
        return;
    struct io_msg *msg = c->quiet_msg;
    c->quiet_msg = NULL;
    io_post(c->quiet_reply, msg);
}

static void finish(struct checkpointer *c, int err)
{
    struct io *io = c->options.actor;
    for (uint32_t i = 0; i < c->options.parts_count; i++) {
        struct part *part = &c->parts[i];
        buf_fini(&part->cut.records); // an idle server is small
        buf_init(&part->cut.records, CUT_BYTES_MAX);
        part->installed = err == 0;
        part->settled_msg.run = settled_run;
        io_post(part->part.io, &part->settled_msg);
    }
    if (err == 0)
        c->stats.checkpoints++;
    else
        c->stats.abandoned++;
    int64_t took_ns = io_now_ns(io) - c->began_ns;
    histogram_add(&c->stats.duration_ns, took_ns > 0 ? (uint64_t)took_ns : 0);
    c->stats.snapshot_files = c->current.chain.count;
    published_set(&c->published, &c->stats);
    answer_all(&c->serving, err);
    state_set(c, CHECKPOINT_IDLE);
    c->retry = err != 0;
    quiesce_if_idle(c);
    begin_or_wait(c);
}

// ---- steps 3 to 5

// What a checkpoint lets the journal recycle is worth more than the reserve, which is made again
// then.
static bool reserve_taken(struct checkpointer *c, uint64_t number, uint64_t bytes)
{
    char path[SNAPSHOT_PATH_SIZE];
    snapshot_path(number, ".tmp", path);
    bytes += SNAPSHOT_HEADER + SNAPSHOT_TRAILER;
    return journal_reserve_take(c->options.journal, c->options.actor, bytes, path);
}

// The chain after this checkpoint: unchanged when nothing changed, else with one more file.
static int write_snapshot(struct checkpointer *c, uint64_t number, struct checkpoint_chain *chain)
{
    size_t count = c->options.parts_count;
    struct slice *pieces = mem_zalloc(count * sizeof *pieces);
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        pieces[i] = buf_slice(&c->parts[i].cut.records);
        bytes += pieces[i].len;
    }
    *chain = c->current.chain;
    if (c->full)
        chain->count = 0;
    int err = 0;
    if (c->full || bytes > 0) {
        struct snapshot_parts records = {.pieces = pieces, .count = count};
        ASSERT(chain->count < CHECKPOINT_CHAIN_MAX);
        struct checkpoint_chain_file *file = &chain->files[chain->count];
        err = snapshot_write(c->options.actor, number, c->replay_lsn, c->full, &records, file);
        if (err == ERR_NOSPACE && reserve_taken(c, number, bytes))
            err = snapshot_write(c->options.actor, number, c->replay_lsn, c->full, &records, file);
        if (err == 0)
            c->stats.snapshot_bytes += chain->files[chain->count++].size_bytes;
    }
    mem_free(pieces);
    return err;
}

static int install(struct checkpointer *c)
{
    struct checkpoint_slot next = {.sequence = c->next_number++, .replay_lsn = c->replay_lsn};
    int err = write_snapshot(c, next.sequence, &next.chain); // step 3
    if (err != 0)
        return err;
    // Always the slot that does not hold the checkpoint we would fall back to.
    unsigned slot = c->slot ^ 1;
    err = slot_write(c->options.actor, slot, &next); // step 4
    if (err != 0)
        return err;
    ASSERT(next.sequence > c->current.sequence);
    ASSERT(next.replay_lsn >= c->current.replay_lsn);
    c->current = next;
    c->slot = slot;
    journal_recycle(c->options.journal, next.replay_lsn); // step 5
    // A leftover that cannot be removed now is removed by the next one.
    (void)snapshot_clean(c->options.actor, &c->current.chain);
    return 0;
}

static void cuts_came(struct checkpointer *c)
{
    int err = 0;
    for (uint32_t i = 0; i < c->options.parts_count && err == 0; i++) {
        err = c->parts[i].err;
        if (err == 0)
            err = c->parts[i].cut.records.err;
    }
    if (err == 0)
        err = install(c);
    if (err == ERR_SYNC && c->options.fatal != NULL)
        c->options.fatal(c->options.arg, err, "a checkpoint could not be synced");
    finish(c, err);
}

// ---- steps 1 and 2

static void cut_home(struct io_msg *msg)
{
    struct checkpoint_cut *cut = CONTAINER_OF(msg, struct checkpoint_cut, msg);
    struct checkpointer *c = cut->checkpointer;
    ASSERT(c->state == CHECKPOINT_CUTTING);
    ASSERT(c->parts_left > 0);
    if (--c->parts_left == 0)
        cuts_came(c);
}

void checkpoint_cut_done(struct checkpoint_cut *cut, int err)
{
    struct checkpointer *c = cut->checkpointer;
    ASSERT(cut->part < c->options.parts_count);
    c->parts[cut->part].err = err;
    cut->msg.run = cut_home;
    io_post(c->options.actor, &cut->msg);
}

static void part_start(struct io_msg *msg) // on the part
{
    struct part *part = CONTAINER_OF(msg, struct part, start_msg);
    part->part.cut(part->part.arg, &part->cut);
}

// Deltas that outweigh their base cost more to read than a new base costs to write.
static bool chain_is_heavy(const struct checkpoint_chain *chain)
{
    if (chain->count == 0 || chain->count == CHECKPOINT_CHAIN_MAX)
        return true;
    uint64_t deltas = 0;
    for (uint32_t i = 1; i < chain->count; i++)
        deltas += chain->files[i].size_bytes;
    return deltas > COMPACT_MIN && deltas > chain->files[0].size_bytes;
}

static void cuts_start(struct journal_lsn_query *query)
{
    struct checkpointer *c = CONTAINER_OF(query, struct checkpointer, lsn_query);
    ASSERT(c->state == CHECKPOINT_CUTTING);
    ASSERT(c->parts_left == 0);
    c->replay_lsn = query->lsn + 1;
    if (bug(BUG_RECYCLE_EARLY))
        journal_recycle(c->options.journal, c->replay_lsn);
    c->parts_left = c->options.parts_count;
    for (uint32_t i = 0; i < c->options.parts_count; i++) { // step 2
        struct part *part = &c->parts[i];
        ASSERT(part->cut.records.len == 0);
        part->err = 0;
        part->cut.full = c->full;
        part->cut.part = i;
        part->cut.checkpointer = c;
        part->start_msg.run = part_start;
        io_post(part->part.io, &part->start_msg);
    }
}

static void begin(struct checkpointer *c)
{
    struct io *io = c->options.actor;
    state_set(c, CHECKPOINT_CUTTING);
    list_splice_back(&c->serving, &c->requests);
    c->urgent = false;
    c->retry = false;
    c->began_ns = io_now_ns(io);
    c->full = chain_is_heavy(&c->current.chain);
    c->lsn_query.answer = cuts_start;
    c->lsn_query.reply_to = io;
    journal_ask_durable_lsn(c->options.journal, &c->lsn_query); // step 1
}

static void timer_fire(struct io_timer *timer)
{
    struct checkpointer *c = CONTAINER_OF(timer, struct checkpointer, timer);
    if (c->state == CHECKPOINT_WAITING)
        begin(c);
}

static void begin_or_wait(struct checkpointer *c)
{
    struct io *io = c->options.actor;
    if (c->state == CHECKPOINT_CUTTING || c->quiet)
        return;
    if (list_empty(&c->requests) && !c->retry)
        return;
    int64_t wait_ns = c->options.min_interval_ms * 1000000;
    if (c->stats.checkpoints + c->stats.abandoned == 0 || c->urgent)
        wait_ns = 0;
    if (c->retry)
        wait_ns = RETRY_AFTER_NS;
    int64_t deadline_ns = c->began_ns + wait_ns;
    if (wait_ns == 0 || io_now_ns(io) >= deadline_ns) {
        if (c->timer_ready)
            io_timer_stop(io, &c->timer);
        begin(c);
        return;
    }
    if (!c->timer_ready)
        io_timer_init(&c->timer, timer_fire);
    c->timer_ready = true;
    if (c->state == CHECKPOINT_IDLE)
        state_set(c, CHECKPOINT_WAITING);
    io_timer_start(io, &c->timer, deadline_ns);
}

// ---- stopping, counting

static void quiesce_run(struct io_msg *msg)
{
    struct checkpointer *c = CONTAINER_OF(msg, struct checkpointer, quiesce_msg);
    c->quiet = true;
    if (c->timer_ready)
        io_timer_stop(c->options.actor, &c->timer);
    answer_all(&c->requests, ERR_STOPPED);
    quiesce_if_idle(c);
}

void checkpointer_quiesce(struct checkpointer *c, struct io *reply_to, struct io_msg *done)
{
    ASSERT(reply_to != NULL);
    ASSERT(c->quiet_msg == NULL);
    c->quiet_reply = reply_to;
    c->quiet_msg = done;
    c->quiesce_msg.run = quiesce_run;
    io_post(c->options.actor, &c->quiesce_msg);
}

void checkpoint_stats(struct checkpointer *c, struct checkpoint_stats *out)
{
    published_get(&c->published, out);
}
