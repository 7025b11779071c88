// SPDX-License-Identifier: Apache-2.0
//
// Everything about partitions that is neither produced nor fetched: split by owning shard, run
// there, gathered. One job per kind of question; a job settles a part at once or later.
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/node_int.h"

// True when the part is settled; false when leg_settle will be called.
typedef bool scatter_fn(struct partition *partition, struct part *part);

// ---- ListOffsets

static void lookup_found(struct log_lookup *lookup, int err)
{
    struct lookup_part *p = CONTAINER_OF(lookup, struct lookup_part, lookup);
    p->part.err = err;
    if (err == 0) {
        p->found_offset = lookup->found_offset;
        p->found_timestamp_ms = lookup->found_timestamp_ms;
        p->found_epoch = lookup->found_epoch;
    }
    leg_settle(p->part.leg);
}

static bool lookup_run(struct partition *partition, struct part *part)
{
    struct lookup_part *p = CONTAINER_OF(part, struct lookup_part, part);
    const struct log *log = partition->log;
    p->found_epoch = -1;
    p->found_timestamp_ms = -1;
    p->found_offset = -1;
    switch (p->timestamp_ms) {
    case LOOKUP_LATEST:
        p->found_offset = part->high_watermark;
        p->found_epoch = partition->shard->node->epoch;
        return true;
    case LOOKUP_EARLIEST:
    case LOOKUP_EARLIEST_LOCAL:
        p->found_offset = part->log_start_offset;
        p->found_epoch = log_epoch_at(log, part->log_start_offset);
        return true;
    case LOOKUP_LATEST_TIERED: // nothing is tiered: offset -1 (KIP-1005)
        return true;
    default:
        p->lookup.timestamp_ms = p->timestamp_ms;
        p->lookup.done = lookup_found;
        log_lookup(partition->log, &p->lookup);
        return false;
    }
}

// ---- OffsetForLeaderEpoch

static bool epoch_run(struct partition *partition, struct part *part)
{
    struct epoch_part *p = CONTAINER_OF(part, struct epoch_part, part);
    log_epoch_end(partition->log, p->epoch, &p->end_epoch, &p->end_offset);
    // What is not durable is nobody's business: the end of the current epoch is the high watermark.
    if (p->end_offset > part->high_watermark)
        p->end_offset = part->high_watermark;
    return true;
}

// ---- DeleteRecords

static void trim_durable(struct journal_barrier *barrier, int err)
{
    struct trim_part *p = CONTAINER_OF(barrier, struct trim_part, barrier);
    if (err != 0)
        p->part.err = err;
    leg_settle(p->part.leg);
}

static bool trim_run(struct partition *partition, struct part *part)
{
    struct trim_part *p = CONTAINER_OF(part, struct trim_part, part);
    int64_t to = p->offset == -1 ? part->high_watermark : p->offset;
    const struct topic *topic = topic_by_id(partition->shard, &part->topic);
    if (topic != NULL && topic->internal) { // the server's own; Kafka's word for it
        part->err = ERR_INVALID_TOPIC_EXCEPTION;
        return true;
    }
    if (to < 0 || to > part->high_watermark) {
        part->err = ERR_OFFSET_OUT_OF_RANGE;
        return true;
    }
    if (to > part->log_start_offset) {
        part->err = log_set_start(partition->log, to);
        if (part->err != 0)
            return true;
        queue_host_trimmed(partition->shard, &part->topic);
    }
    p->low_watermark = log_start_offset(partition->log);
    ASSERT(p->low_watermark >= to);
    p->barrier.fn = trim_durable;
    journal_barrier(partition->shard->port, &p->barrier);
    return false;
}

// ---- sizes

static bool size_run(struct partition *partition, struct part *part)
{
    struct size_part *p = CONTAINER_OF(part, struct size_part, part);
    p->size_bytes = log_size_bytes(partition->log);
    p->end_offset = log_end_offset(partition->log);
    p->producers_count = partition->producers != NULL ? producers_count(partition->producers) : 0;
    return true;
}

// ---- DescribeProducers

static void producer_note(void *arg, const struct producer_info *info)
{
    struct producers_part *p = arg;
    if (p->infos != NULL)
        p->infos[p->infos_count++] = *info;
}

static bool producers_run(struct partition *partition, struct part *part)
{
    struct producers_part *p = CONTAINER_OF(part, struct producers_part, part);
    p->infos_count = 0;
    p->infos = NULL;
    if (partition->producers == NULL)
        return true;
    uint32_t count = producers_count(partition->producers);
    p->infos = mem_try_alloc((count + 1) * sizeof p->infos[0]);
    if (p->infos == NULL)
        part->err = ERR_NOMEM;
    else
        producers_each(partition->producers, producer_note, p);
    ASSERT(p->infos_count <= count);
    return true;
}

static const struct {
    scatter_fn *run;
    size_t size;
} jobs[] = {
    [SCATTER_LOOKUP] = {lookup_run, sizeof(struct lookup_part)},
    [SCATTER_EPOCH] = {epoch_run, sizeof(struct epoch_part)},
    [SCATTER_TRIM] = {trim_run, sizeof(struct trim_part)},
    [SCATTER_SIZE] = {size_run, sizeof(struct size_part)},
    [SCATTER_PRODUCERS] = {producers_run, sizeof(struct producers_part)},
};

static void leg_run(struct leg *leg, struct shard *shard)
{
    struct scatter *r = CONTAINER_OF(leg->legs, struct scatter, legs);
    for (uint32_t i = 0; i < r->parts_count; i++) {
        struct part *p = (void *)((char *)r->parts + i * jobs[r->job].size);
        if (node_shard_of_partition(shard->node, &p->topic, p->partition) != shard->index)
            continue;
        p->leg = leg;
        struct partition *partition = part_begin(shard, p);
        if (partition == NULL)
            continue;
        leg_wait(leg);
        if (jobs[r->job].run(partition, p))
            leg_settle(leg);
    }
}

static void leg_answered(struct leg *leg)
{
    struct scatter *r = CONTAINER_OF(leg->legs, struct scatter, legs);
    if (r->legs.left > 0)
        return;
    legs_free(&r->legs);
    r->done(r);
}

void scatter_start(struct shard *shard, struct scatter *request)
{
    ASSERT((size_t)request->job < sizeof jobs / sizeof jobs[0]);
    size_t size = jobs[request->job].size;
    ASSERT(size >= sizeof(struct part));
    uint64_t mask = shards_named(shard, request->parts, request->parts_count, size);
    legs_make(&request->legs, shard, mask, sizeof(struct leg));
    legs_start(&request->legs, leg_run, leg_answered);
}

void scatter_producers_free(struct producers_part *part)
{
    mem_free(part->infos);
    part->infos = NULL;
}

void scatter_drop(struct scatter *request)
{
    legs_free(&request->legs);
}
