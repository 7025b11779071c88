// SPDX-License-Identifier: Apache-2.0
//
// Producing: each part goes to the shard that owns its partition, is checked and appended there,
// and waits for its group. A repeated batch of an idempotent producer is answered with the offsets
// it was given first, and not before those are durable.
//
// One leg per shard that owns any of the parts; a leg answers when all its parts are settled. When
// the client's time is up the legs are told to stop waiting; that order and its answer are messages
// of their own, since a leg may have answered by itself meanwhile.
#include <string.h>

#include "base/assert.h"
#include "base/bugs.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/node_int.h"

struct produce_leg {
    struct leg leg;
    struct io_msg stop_msg, stopped_msg;
    struct io_msg appended_msg;
    int append_err; // the first of its parts
};

static struct produce *leg_request(const struct produce_leg *leg)
{
    return CONTAINER_OF(leg->leg.legs, struct produce, legs);
}

// RabbitMQ confirms what a queue would have had that is gone.
static int part_err(const struct produce *r, int err)
{
    bool gone = err == ERR_UNKNOWN_TOPIC_ID || err == ERR_UNKNOWN_TOPIC_OR_PARTITION;
    return r->internal && gone ? 0 : err;
}

static void part_durable(struct log_waiter *waiter, int err)
{
    struct produce_part *p = CONTAINER_OF(waiter, struct produce_part, waiter);
    ASSERT(p->waiting);
    p->waiting = false;
    if (err != 0) {
        p->part.err = part_err(leg_request(p->leg), err);
        p->base_offset = -1;
    }
    leg_settle(&p->leg->leg);
}

// KIP-937 and log validation: a record's timestamp must lie between the topic's bounds around the
// server's clock.
static bool timestamps_ok(const struct batch *b, const struct topic_config *c, int64_t now_ms)
{
    if (c->log_append_time)
        return true;
    if (b->max_timestamp_ms > 0 && b->max_timestamp_ms - now_ms > c->timestamp_after_max_ms)
        return false;
    return b->base_timestamp_ms < 0 || now_ms - b->base_timestamp_ms <= c->timestamp_before_max_ms;
}

static void batch_stamp(struct produce_part *p, int64_t now_ms, struct batch *b)
{
    batch_set_append_time(p->records.blob->data + p->records.off, p->records.len, now_ms);
    int err = batch_peek(blob_piece_slice(p->records), b);
    ASSERT(err == 0);
}

static int batch_admit(struct shard *shard, const struct topic_config *c, struct produce_part *p,
                       struct batch *out)
{
    struct slice bytes = blob_piece_slice(p->records);
    struct batch b;
    int err = batch_check_from_client(bytes, &b);
    if (err == ERR_TRUNCATED)
        err = ERR_CORRUPT_MESSAGE;
    if (err != 0)
        return err;
    if (b.size_bytes != bytes.len) {
        p->why = "Produce requests are only allowed to contain exactly one record batch per "
                 "partition";
        return ERR_INVALID_RECORD;
    }
    if (b.size_bytes > c->max_message_bytes) {
        p->why = "The record batch is larger than max.message.bytes allows";
        return ERR_MESSAGE_TOO_LARGE;
    }
    if (b.size_bytes > journal_body_max(shard->node->broker.journal_file_bytes)) {
        p->why = "The record batch is larger than a file of the journal can take: see "
                 "weir.journal.file.bytes";
        return ERR_MESSAGE_TOO_LARGE;
    }
    if (batch_transactional(&b))
        return ERR_INVALID_TXN_STATE;
    int64_t now_ms = io_wall_ms(shard->io);
    if (!timestamps_ok(&b, c, now_ms)) {
        p->why = "A record's timestamp is out of the range that message.timestamp.before.max.ms "
                 "and message.timestamp.after.max.ms allow";
        return ERR_INVALID_TIMESTAMP;
    }
    if (c->cleanup_compact) {
        err = compacted_admit(shard, &b, p);
        if (err != 0)
            return err;
    }
    if (c->log_append_time)
        batch_stamp(p, now_ms, &b);
    *out = b;
    return 0;
}

// A batch that publishing has built. c: of the topic, NULL when the queue is in memory.
static void batch_admit_internal(struct shard *shard, const struct topic_config *c,
                                 struct produce_part *p, struct batch *out)
{
    int err = batch_peek(blob_piece_slice(p->records), out);
    ASSERT(err == 0);
    ASSERT(out->size_bytes == p->records.len);
    if (c != NULL && c->log_append_time)
        batch_stamp(p, io_wall_ms(shard->io), out);
}

static struct producers *partition_producers(struct partition *p)
{
    if (p->producers == NULL)
        p->producers = producers_create(p->shard->hash_seed);
    return p->producers;
}

// Appends, or finds that it was appended before. On 0 the part's offsets are set.
static int part_append(struct partition *partition, struct produce_part *p, const struct batch *b)
{
    struct producers_verdict verdict = {0};
    if (b->producer_id >= 0) {
        int err = producers_check(partition_producers(partition), b, &verdict);
        if (err != 0)
            return err;
    }
    if (verdict.duplicate) {
        p->base_offset = verdict.base_offset;
        p->last_offset = verdict.last_offset;
        return 0;
    }
    struct log_appended done;
    struct shard *shard = partition->shard;
    int err = log_append(partition->log, p->records, b, shard->node->epoch, &done);
    if (err != 0)
        return err;
    ASSERT(done.last_offset - done.base_offset == b->last_offset_delta);
    ASSERT(done.last_offset + 1 == log_end_offset(partition->log));
    p->base_offset = done.base_offset;
    p->last_offset = done.last_offset;
    p->append_time_ms = batch_log_append_time(b) ? b->max_timestamp_ms : -1;
    if (b->producer_id >= 0) {
        struct batch appended = *b;
        appended.base_offset = done.base_offset;
        producers_append(partition->producers, &appended, io_wall_ms(shard->io));
    }
    return 0;
}

static bool fits_ever(const struct shard *shard, bool memory, const struct produce_part *p)
{
    const struct budget *budget = memory ? &shard->memory_logs : &shard->tails;
    return (int64_t)p->records.len <= budget->limit_bytes;
}

// False: there is no room for it now, and it is one that waits.
static bool part_try(struct shard *shard, struct produce_leg *leg, struct produce_part *p)
{
    const struct produce *r = leg_request(leg);
    struct partition *partition = part_begin(shard, &p->part);
    if (partition == NULL)
        return true;
    const struct topic *topic = topic_by_id(shard, &p->part.topic);
    ASSERT(topic != NULL || r->internal);
    struct batch b;
    if (!r->internal && topic->internal)
        p->part.err = ERR_INVALID_TOPIC_EXCEPTION; // Kafka's word for it
    else if (r->internal)
        batch_admit_internal(shard, topic != NULL ? &topic->config : NULL, p, &b);
    else
        p->part.err = batch_admit(shard, &topic->config, p, &b);
    if (p->part.err == 0)
        p->part.err = part_append(partition, p, &b);
    if (p->part.err == ERR_AGAIN || p->part.err == ERR_NOSPACE)
        return !r->internal || !fits_ever(shard, topic == NULL, p);
    if (p->part.err != 0 || r->acks == 0)
        return true;
    ASSERT(p->last_offset >= p->base_offset);
    leg_wait(&leg->leg);
    p->waiting = true;
    p->waiter.fire = part_durable;
    log_wait(partition->log, &p->waiter, p->last_offset + 1);
    return true;
}

static void part_run(struct shard *shard, struct produce_leg *leg, struct produce_part *p)
{
    const struct produce *r = leg_request(leg);
    p->base_offset = -1;
    p->append_time_ms = -1;
    p->why = NULL;
    p->rejected = NULL;
    p->rejected_count = 0;
    p->waiting = false;
    p->leg = leg;
    list_init(&p->stalled_link);
    // Behind what waits: a queue's messages stay in order. A full disk does not hold up what needs
    // none.
    bool memory = r->internal && topic_by_id(shard, &p->part.topic) == NULL;
    struct list *stalled = memory ? &shard->stalled_memory : &shard->stalled;
    bool behind = r->internal && !list_empty(stalled);
    if (behind || !part_try(shard, leg, p)) {
        leg_wait(&leg->leg);
        p->part.err = 0;
        list_push_back(stalled, &p->stalled_link);
    }
    p->part.err = part_err(r, p->part.err);
}

static void stalled_try(struct shard *shard, struct list *stalled)
{
    for (struct list *it; (it = list_first(stalled)) != NULL;) {
        struct produce_part *p = CONTAINER_OF(it, struct produce_part, stalled_link);
        if (!part_try(shard, p->leg, p)) {
            p->part.err = 0;
            return;
        }
        list_remove(it);
        p->part.err = part_err(leg_request(p->leg), p->part.err);
        leg_settle(&p->leg->leg);
    }
}

void produce_stalled(struct shard *shard)
{
    stalled_try(shard, &shard->stalled);
    stalled_try(shard, &shard->stalled_memory);
}

static void leg_appended(struct io_msg *msg);

static void leg_run(struct leg *base, struct shard *shard)
{
    struct produce_leg *leg = CONTAINER_OF(base, struct produce_leg, leg);
    struct produce *r = leg_request(leg);
    if (r->internal) // a confirm vouches for what its client has settled before as well
        queues_journal(shard_queues(shard));
    for (uint32_t i = 0; i < r->parts_count; i++) {
        struct produce_part *p = &r->parts[i];
        if (node_shard_of_partition(shard->node, &p->part.topic, p->part.partition) != shard->index)
            continue;
        part_run(shard, leg, p);
        if (leg->append_err == 0)
            leg->append_err = p->part.err;
    }
    if (r->appended == NULL)
        return;
    leg->appended_msg.run = leg_appended;
    io_post(shard_io(r->legs.from), &leg->appended_msg);
}

// ---- on the asking shard: the end, or the end of patience

static void produce_end(struct produce *r)
{
    if (r->legs.left > 0 || r->stops_left > 0)
        return;
    io_timer_stop(shard_io(r->legs.from), &r->timer);
    legs_free(&r->legs);
    r->done(r);
}

static void leg_answered(struct leg *leg)
{
    produce_end(CONTAINER_OF(leg->legs, struct produce, legs));
}

// Comes before the leg's answer: both are mail of one shard to another.
static void leg_appended(struct io_msg *msg)
{
    struct produce_leg *leg = CONTAINER_OF(msg, struct produce_leg, appended_msg);
    struct produce *r = leg_request(leg);
    ASSERT(r->appends_left > 0);
    if (r->append_err == 0)
        r->append_err = leg->append_err;
    if (--r->appends_left == 0)
        r->appended(r, r->append_err);
}

static void leg_stopped(struct io_msg *msg)
{
    struct produce *r = leg_request(CONTAINER_OF(msg, struct produce_leg, stopped_msg));
    ASSERT(r->stops_left > 0);
    r->stops_left--;
    produce_end(r);
}

static void leg_stop(struct io_msg *msg)
{
    struct produce_leg *leg = CONTAINER_OF(msg, struct produce_leg, stop_msg);
    struct produce *r = leg_request(leg);
    leg->stopped_msg.run = leg_stopped;
    for (uint32_t i = 0; i < r->parts_count; i++) {
        struct produce_part *p = &r->parts[i];
        if (p->leg != leg || !p->waiting)
            continue;
        log_wait_cancel(&p->waiter);
        part_durable(&p->waiter, ERR_REQUEST_TIMED_OUT);
    }
    io_post(shard_io(r->legs.from), &leg->stopped_msg);
}

static void time_is_up(struct io_timer *timer)
{
    struct produce *r = CONTAINER_OF(timer, struct produce, timer);
    for (uint32_t i = 0; i < r->legs.count; i++) {
        struct leg *base = legs_at(&r->legs, i);
        struct produce_leg *leg = CONTAINER_OF(base, struct produce_leg, leg);
        r->stops_left++;
        leg->stop_msg.run = leg_stop;
        io_post(shard_io(leg_shard(base)), &leg->stop_msg);
    }
}

uint64_t shards_named(struct shard *shard, const void *parts, uint32_t count, size_t part_size)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct part *p = (const void *)((const char *)parts + i * part_size);
        mask |= UINT64_C(1) << node_shard_of_partition(shard->node, &p->topic, p->partition);
    }
    return mask;
}

void produce_start(struct shard *shard, struct produce *request)
{
    uint64_t mask =
        shards_named(shard, request->parts, request->parts_count, sizeof request->parts[0]);
    legs_make(&request->legs, shard, mask, sizeof(struct produce_leg));
    request->stops_left = 0;
    request->appends_left = request->legs.count;
    request->append_err = 0;
    io_timer_init(&request->timer, time_is_up);
    if (request->timeout_ms > 0 && request->acks != 0)
        io_timer_start(shard->io, &request->timer,
                       io_now_ns(shard->io) + request->timeout_ms * 1000000);
    legs_start(&request->legs, leg_run, leg_answered);
}

void produce_drop(struct produce *request)
{
    for (uint32_t i = 0; i < request->parts_count; i++) {
        mem_free(request->parts[i].rejected);
        request->parts[i].rejected = NULL;
    }
    legs_free(&request->legs);
}
