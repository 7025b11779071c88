// SPDX-License-Identifier: Apache-2.0
//
// Fetching: rounds of reading, with waiting in between. A round asks every shard that owns some of
// the parts to read them (from the tail at once, or by its reader). When a round brings fewer than
// min_bytes and there is time left, the shards watch the logs' high watermarks instead; the first
// to see enough ends the watch everywhere, and the next round reads. So a fetch that waits costs
// nothing but its waiters.
//
//      READ ──(enough, error, time is up, nobody wants it)──> done
//        ^ └──(too little)──> WATCH ──(data, time is up, cancelled)──┐
//        └───────────────────────────────────────────────────────────┘
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/node_int.h"

struct fetch_watch {
    struct log_waiter waiter;
    struct fetch_leg *leg;
    struct fetch_part *part;
};

struct fetch_leg {
    struct leg leg;
    struct io_msg stop_msg, stopped_msg;
    struct fetch_watch *watches;
    uint32_t watches_count;
    bool watching; // on the owner: the watch is on and has not been answered
};

enum fetch_phase { FETCH_READ, FETCH_WATCH, FETCH_DONE };

struct fetch_state {
    struct fetch *request;
    struct legs legs;
    uint32_t stops_left; // stop messages under way
    enum fetch_phase phase;
    bool last_round; // time is up or nobody waits: whatever there is, is the answer
    bool stopping;   // the watch has been called off
    uint64_t bytes;
    struct io_timer timer;
};

static struct fetch_leg *fetch_leg_of(struct leg *leg)
{
    return CONTAINER_OF(leg, struct fetch_leg, leg);
}

static struct fetch_state *leg_state(const struct fetch_leg *leg)
{
    return CONTAINER_OF(leg->leg.legs, struct fetch_state, legs);
}

static bool owned_by(const struct shard *shard, const struct part *part)
{
    uint32_t owner = node_shard_of_partition(shard->node, &part->topic, part->partition);
    return owner == shard->index;
}

// ---- reading, on the owner

static void cold_read_done(struct log_read *read, int err)
{
    struct fetch_part *p = CONTAINER_OF(read, struct fetch_part, read);
    p->part.err = err;
    leg_settle(p->part.leg);
}

// KIP-595: a follower or client that says which epoch it read last learns where the logs part ways.
static bool part_diverges(const struct partition *partition, struct fetch_part *p)
{
    if (p->last_fetched_epoch < 0)
        return false;
    int32_t epoch = -1;
    int64_t end = -1;
    log_epoch_end(partition->log, p->last_fetched_epoch, &epoch, &end);
    if (epoch == p->last_fetched_epoch && end >= p->offset)
        return false;
    p->diverging_epoch = epoch;
    p->diverging_end_offset = end;
    return true;
}

static void part_read(struct shard *shard, struct leg *leg, struct fetch_part *p, uint32_t *left,
                      bool *any)
{
    p->diverging_epoch = -1;
    p->diverging_end_offset = -1;
    p->read.pieces_count = 0;
    p->read.bytes = 0;
    p->part.leg = leg;
    struct partition *partition = part_begin(shard, &p->part);
    if (partition == NULL)
        return;
    p->readable_seen = log_readable_bytes(partition->log);
    if (part_diverges(partition, p) || (*left == 0 && *any))
        return;
    p->read.offset = p->offset;
    p->read.max_bytes = p->max_bytes < *left ? p->max_bytes : *left;
    p->read.at_least_one = !*any;
    p->read.done = cold_read_done;
    int err = log_read(partition->log, &p->read);
    // What a read from disk will bring is not known yet: it may take all it was allowed.
    uint32_t taken = err == ERR_AGAIN ? p->read.max_bytes : p->read.bytes;
    if (err == ERR_AGAIN)
        leg_wait(leg);
    else
        p->part.err = err;
    ASSERT(err == ERR_AGAIN || p->read.bytes == 0 || p->read.next_offset > p->offset);
    *left = taken < *left ? *left - taken : 0;
    *any |= taken > 0;
}

static void leg_read(struct leg *leg, struct shard *shard)
{
    struct fetch *r = leg_state(fetch_leg_of(leg))->request;
    uint32_t left = r->max_bytes;
    bool any = false;
    for (uint32_t i = 0; i < r->parts_count; i++)
        if (owned_by(shard, &r->parts[i].part))
            part_read(shard, leg, &r->parts[i], &left, &any);
}

// ---- watching, on the owner

static void watch_end(struct fetch_leg *leg)
{
    ASSERT(leg->watching);
    for (uint32_t i = 0; i < leg->watches_count; i++)
        log_wait_cancel(&leg->watches[i].waiter);
    leg->watching = false;
    leg_settle(&leg->leg);
}

static uint64_t watch_growth(struct shard *shard, const struct fetch_watch *w)
{
    const struct log_key key = {w->part->part.topic, w->part->part.partition};
    struct partition *p = partition_find(shard, &key);
    return p != NULL ? log_readable_bytes(p->log) - w->part->readable_seen : 0;
}

static void watch_fired(struct log_waiter *waiter, int err)
{
    struct fetch_watch *w = CONTAINER_OF(waiter, struct fetch_watch, waiter);
    struct fetch_leg *leg = w->leg;
    struct fetch_state *state = leg_state(leg);
    struct shard *shard = leg_shard(&leg->leg);
    uint64_t bytes = state->bytes;
    for (uint32_t i = 0; i < leg->watches_count && bytes < state->request->min_bytes; i++)
        bytes += watch_growth(shard, &leg->watches[i]);
    const struct log_key key = {w->part->part.topic, w->part->part.partition};
    struct partition *p = partition_find(shard, &key);
    if (err != 0 || p == NULL || bytes >= state->request->min_bytes)
        watch_end(leg);
    else
        log_wait(p->log, waiter, log_high_watermark(p->log) + 1);
}

static void leg_watch(struct leg *base, struct shard *shard)
{
    struct fetch_leg *leg = fetch_leg_of(base);
    struct fetch *r = leg_state(leg)->request;
    uint32_t at = 0;
    ASSERT(!leg->watching);
    ASSERT(leg->watches != NULL);
    leg->watching = true;
    leg_wait(base);
    for (uint32_t i = 0; i < r->parts_count; i++) {
        struct fetch_part *part = &r->parts[i];
        if (!owned_by(shard, &part->part))
            continue;
        struct fetch_watch *w = &leg->watches[at++];
        w->leg = leg;
        w->part = part;
        list_init(&w->waiter.link);
        w->waiter.fire = watch_fired;
        const struct log_key key = {part->part.topic, part->part.partition};
        struct partition *p = partition_find(shard, &key);
        if (p == NULL)
            continue;
        // What became readable since the round read it counts: it may have done so already.
        log_wait(p->log, &w->waiter, part->part.high_watermark + 1);
    }
    ASSERT(at <= r->parts_count);
    leg->watches_count = at;
}

// The asking shard calls the watch off; it may have answered by itself meanwhile, so the order and
// the answer have messages of their own.
static void leg_stopped(struct io_msg *msg);

static void leg_stop(struct io_msg *msg)
{
    struct fetch_leg *leg = CONTAINER_OF(msg, struct fetch_leg, stop_msg);
    if (leg->watching)
        watch_end(leg);
    leg->stopped_msg.run = leg_stopped;
    io_post(leg->leg.legs->from->io, &leg->stopped_msg);
}

// ---- rounds, on the asking shard

static void round_start(struct fetch_state *state, enum fetch_phase phase);

// Several shards may have brought more than max_bytes together: what is too much is left for the
// next fetch.
static void answer_trim(struct fetch *r)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < r->parts_count; i++) {
        struct fetch_part *p = &r->parts[i];
        if (p->read.bytes == 0)
            continue;
        if (bytes > 0 && bytes + p->read.bytes > r->max_bytes) {
            log_read_release(&p->read);
            p->read.bytes = 0;
            continue;
        }
        bytes += p->read.bytes;
    }
}

void fetch_drop(struct fetch *request)
{
    struct fetch_state *state = request->state;
    if (state == NULL)
        return;
    request->state = NULL;
    for (uint32_t i = 0; i < state->legs.count; i++)
        mem_free(fetch_leg_of(legs_at(&state->legs, i))->watches);
    legs_free(&state->legs);
    mem_free(state);
}

static void answer(struct fetch_state *state)
{
    struct fetch *r = state->request;
    ASSERT(state->phase == FETCH_READ);
    ASSERT(state->legs.left == 0);
    ASSERT(state->stops_left == 0);
    state->phase = FETCH_DONE;
    io_timer_stop(state->legs.from->io, &state->timer);
    if (state->legs.count > 1)
        answer_trim(r);
    fetch_drop(r);
    r->done(r);
}

static void watch_call_off(struct fetch_state *state)
{
    if (state->stopping)
        return;
    state->stopping = true;
    for (uint32_t i = 0; i < state->legs.count; i++) {
        struct fetch_leg *leg = fetch_leg_of(legs_at(&state->legs, i));
        state->stops_left++;
        leg->stop_msg.run = leg_stop;
        io_post(leg_shard(&leg->leg)->io, &leg->stop_msg);
    }
}

static void watch_over(struct fetch_state *state)
{
    if (state->legs.left == 0 && state->stops_left == 0)
        round_start(state, FETCH_READ);
}

static void leg_stopped(struct io_msg *msg)
{
    struct fetch_state *state = leg_state(CONTAINER_OF(msg, struct fetch_leg, stopped_msg));
    ASSERT(state->stops_left > 0);
    state->stops_left--;
    watch_over(state);
}

static void round_read_over(struct fetch_state *state)
{
    struct fetch *r = state->request;
    bool news = false; // an error or a divergence is an answer of its own
    state->bytes = 0;
    for (uint32_t i = 0; i < r->parts_count; i++) {
        state->bytes += r->parts[i].read.bytes;
        news |= r->parts[i].part.err != 0 || r->parts[i].diverging_epoch >= 0;
    }
    if (news || state->last_round || state->bytes >= r->min_bytes || r->parts_count == 0 ||
        r->max_wait_ms <= 0) {
        answer(state);
        return;
    }
    fetch_release(r);
    round_start(state, FETCH_WATCH);
}

static void leg_answered(struct leg *leg)
{
    struct fetch_state *state = leg_state(fetch_leg_of(leg));
    if (state->phase == FETCH_WATCH) {
        watch_call_off(state); // one has seen enough: the others need not watch on
        watch_over(state);
    } else if (state->legs.left == 0) {
        round_read_over(state);
    }
}

static void round_start(struct fetch_state *state, enum fetch_phase phase)
{
    ASSERT(state->stops_left == 0);
    state->phase = phase;
    state->stopping = false;
    for (uint32_t i = 0; i < state->legs.count && phase == FETCH_WATCH; i++) {
        struct fetch_leg *leg = fetch_leg_of(legs_at(&state->legs, i));
        if (leg->watches == NULL)
            leg->watches = mem_zalloc(state->request->parts_count * sizeof leg->watches[0]);
    }
    legs_start(&state->legs, phase == FETCH_READ ? leg_read : leg_watch, leg_answered);
}

static void time_is_up(struct io_timer *timer)
{
    struct fetch_state *state = CONTAINER_OF(timer, struct fetch_state, timer);
    state->last_round = true;
    if (state->phase == FETCH_WATCH)
        watch_call_off(state);
}

void fetch_start(struct shard *shard, struct fetch *request)
{
    uint64_t mask =
        shards_named(shard, request->parts, request->parts_count, sizeof request->parts[0]);
    struct fetch_state *state = mem_zalloc(sizeof *state);
    state->request = request;
    legs_make(&state->legs, shard, mask, sizeof(struct fetch_leg));
    request->state = state;
    io_timer_init(&state->timer, time_is_up);
    if (request->max_wait_ms > 0)
        io_timer_start(shard->io, &state->timer,
                       io_now_ns(shard->io) + request->max_wait_ms * 1000000);
    round_start(state, FETCH_READ);
}

void fetch_cancel(struct fetch *request)
{
    struct fetch_state *state = request->state;
    if (state == NULL)
        return;
    state->last_round = true;
    if (state->phase == FETCH_WATCH)
        watch_call_off(state);
}

void fetch_release(struct fetch *request)
{
    for (uint32_t i = 0; i < request->parts_count; i++) {
        log_read_release(&request->parts[i].read);
        request->parts[i].read.bytes = 0;
    }
}
