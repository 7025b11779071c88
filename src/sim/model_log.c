// SPDX-License-Identifier: Apache-2.0
//
// Logs in the model: batches that were sent, places in the log where some of them are for sure, and
// what every answer about offsets must agree with. A batch is recognised by a hash of its bytes but
// base offset, length and leader epoch, which the server may set; every batch has bytes that no
// other has.
#include "sim/model.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "log/batch.h"

#define BATCH_OPAQUE_FROM 16 // magic, CRC and what the CRC covers
#define NEIGHBOURS        32 // of one producer, looked at when a batch finds its place

static int64_t last_of(const struct model_place *place)
{
    return place->base_offset + place->sent->records - 1;
}

static uint64_t bytes_hash(struct slice batch)
{
    ASSERT(batch.len > BATCH_OPAQUE_FROM);
    return hash64(batch.data + BATCH_OPAQUE_FROM, batch.len - BATCH_OPAQUE_FROM, 0);
}

struct model_sent *model_produce(struct model *m, struct model_partition *p, struct slice bytes,
                                 int64_t timestamp_step_ms)
{
    struct batch batch;
    int err = batch_peek(bytes, &batch);
    ASSERT(err == 0);
    struct model_sent *s = mem_zalloc(sizeof *s);
    s->hash = bytes_hash(bytes);
    s->partition = p;
    s->records = (uint32_t)batch.records_count;
    s->first_timestamp_ms = batch.base_timestamp_ms;
    s->timestamp_step_ms = timestamp_step_ms;
    s->producer_id = batch.producer_id;
    s->sequence = batch.base_sequence;
    s->base_offset = -1;
    s->end_at_first = p->end;
    ASSERT(map_find(&m->sent, s->hash, &s->hash) == NULL);
    map_insert(&m->sent, &s->node, s->hash);
    return s;
}

// ---- places

// The first place whose last offset is >= offset.
static uint32_t place_find(const struct model_partition *p, int64_t offset)
{
    uint32_t low = 0, high = p->places_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (last_of(&p->places[mid]) < offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

// Batches of one idempotent producer stand in the order of their sequences.
static void order_check(struct model *m, const struct model_partition *p, uint32_t at)
{
    const struct model_sent *s = p->places[at].sent;
    if (s->producer_id < 0)
        return;
    for (uint32_t i = at, n = 0; i > 0 && n < NEIGHBOURS; i--, n++) {
        const struct model_sent *before = p->places[i - 1].sent;
        if (before->producer_id == s->producer_id && before->sequence >= s->sequence)
            model_fail(m, "%s-%d: sequence %d of producer %lld stands behind %d", p->topic->name,
                       p->index, s->sequence, (long long)s->producer_id, before->sequence);
    }
    for (uint32_t i = at + 1, n = 0; i < p->places_count && n < NEIGHBOURS; i++, n++) {
        const struct model_sent *after = p->places[i].sent;
        if (after->producer_id == s->producer_id && after->sequence <= s->sequence)
            model_fail(m, "%s-%d: sequence %d of producer %lld stands before %d", p->topic->name,
                       p->index, s->sequence, (long long)s->producer_id, after->sequence);
    }
}

static void copies_check(struct model *m, const struct model_partition *p,
                         const struct model_sent *s, int64_t base_offset)
{
    if (s->refused)
        model_fail(m, "%s-%d: the batch at %lld was refused when it was sent", p->topic->name,
                   p->index, (long long)base_offset);
    else if ((s->producer_id >= 0 || s->bundled) && s->copies > 1)
        model_fail(m, "%s-%d: the batch at %lld is also at %lld", p->topic->name, p->index,
                   (long long)base_offset, (long long)s->base_offset);
    else if (s->copies > s->attempts)
        model_fail(m, "%s-%d: the batch at %lld is there %u times, but was sent %u times",
                   p->topic->name, p->index, (long long)base_offset, s->copies, s->attempts);
}

// It is now certain that the batch stands there. NULL after a violation.
static struct model_place *place_put(struct model *m, struct model_partition *p, int64_t base,
                                     struct model_sent *s)
{
    uint32_t at = place_find(p, base);
    if (at < p->places_count && p->places[at].base_offset < base + s->records) {
        struct model_place *there = &p->places[at];
        if (there->base_offset == base && there->sent == s)
            return there;
        model_fail(m,
                   "%s-%d: another batch stands at %lld than the one known to be at %lld to %lld",
                   p->topic->name, p->index, (long long)base, (long long)there->base_offset,
                   (long long)last_of(there));
        return NULL;
    }
    if (p->places_count == p->places_cap) {
        p->places_cap = p->places_cap == 0 ? 32 : p->places_cap * 2;
        p->places = mem_realloc(p->places, p->places_cap * sizeof p->places[0]);
    }
    memmove(p->places + at + 1, p->places + at, (p->places_count - at) * sizeof p->places[0]);
    p->places[at] = (struct model_place){.base_offset = base, .sent = s, .epoch = -1};
    p->places_count++;
    s->copies++;
    copies_check(m, p, s, base);
    s->base_offset = base;
    order_check(m, p, at);
    return &p->places[at];
}

// ---- answers to producers

void model_acknowledged(struct model *m, struct model_sent *s, int64_t base_offset)
{
    struct model_partition *p = s->partition;
    m->checks++;
    s->acknowledged = true;
    if (base_offset < s->end_at_first)
        model_fail(m, "%s-%d: a new batch was put at %lld, where the log had reached %lld before",
                   p->topic->name, p->index, (long long)base_offset, (long long)s->end_at_first);
    else if (s->producer_id >= 0 && s->base_offset >= 0 && s->base_offset != base_offset)
        model_fail(m, "%s-%d: a batch was acknowledged at %lld, but is at %lld", p->topic->name,
                   p->index, (long long)base_offset, (long long)s->base_offset);
    else
        (void)place_put(m, p, base_offset, s);
    if (p->end < base_offset + s->records)
        p->end = base_offset + s->records;
}

void model_refused(struct model *m, struct model_sent *s)
{
    (void)m;
    ASSERT(s->attempts > 0);
    if (--s->attempts == 0 && s->base_offset < 0)
        s->refused = true;
}

// ---- reads

struct model_read model_read_begin(struct model *m, const struct model_partition *p)
{
    return (struct model_read){model_now(m), m->start, p->end, p->start_low, p->start_seen};
}

static void marks_check(struct model *m, struct model_partition *p, const struct model_read *read,
                        const struct model_fetched *f)
{
    if (f->high_watermark < read->end)
        model_fail(m, "%s-%d: the high watermark went back from %lld to %lld", p->topic->name,
                   p->index, (long long)read->end, (long long)f->high_watermark);
    model_listed_start(m, p, read, f->log_start);
    if (p->end < f->high_watermark)
        p->end = f->high_watermark;
}

static void fetch_error(struct model *m, const struct model_partition *p,
                        const struct model_read *read, const struct model_fetched *f)
{
    bool gone = f->offset < p->start_high;
    if (f->err == ERR_OFFSET_OUT_OF_RANGE) {
        if (!gone && f->offset <= read->end)
            model_fail(m, "%s-%d: offset %lld is said to be out of range, but lies in 0 to %lld",
                       p->topic->name, p->index, (long long)f->offset, (long long)read->end);
    } else if (f->err == ERR_CORRUPT_MESSAGE) {
        model_damaged(m, p, read, f->offset, f->offset + 1);
    } else if (f->err == ERR_UNKNOWN_TOPIC_OR_PARTITION || f->err == ERR_UNKNOWN_TOPIC_ID) {
        if (!p->topic->deleting)
            model_fail(m, "%s-%d: said to be unknown, but nobody deleted it", p->topic->name,
                       p->index);
    }
}

static void epoch_check(struct model *m, const struct model_partition *p, struct model_place *at,
                        int32_t epoch)
{
    const struct model_place *end = p->places + p->places_count;
    if (at->epoch >= 0 && at->epoch != epoch)
        model_fail(m, "%s-%d: the batch at %lld changed its leader epoch from %d to %d",
                   p->topic->name, p->index, (long long)at->base_offset, at->epoch, epoch);
    at->epoch = epoch;
    if (at > p->places && at[-1].epoch > epoch)
        model_fail(m, "%s-%d: leader epoch %d at %lld stands behind %d", p->topic->name, p->index,
                   epoch, (long long)at->base_offset, at[-1].epoch);
    if (at + 1 < end && at[1].epoch >= 0 && at[1].epoch < epoch)
        model_fail(m, "%s-%d: leader epoch %d at %lld stands before %d", p->topic->name, p->index,
                   epoch, (long long)at->base_offset, at[1].epoch);
}

// One batch of an answer; `next` is the offset that must come. False: no more of this answer.
static bool batch_check(struct model *m, struct model_partition *p, const struct model_fetched *f,
                        const struct batch *b, struct slice bytes, int64_t next)
{
    bool first = bytes.data == f->records.data;
    bool fits =
        first ? b->base_offset <= next && batch_last_offset(b) >= next : b->base_offset == next;
    if (!fits) {
        model_fail(m, "%s-%d: a batch at %lld to %lld where %lld should come", p->topic->name,
                   p->index, (long long)b->base_offset, (long long)batch_last_offset(b),
                   (long long)next);
        return false;
    }
    if (!batch_crc_ok(bytes)) {
        model_fail(m, "%s-%d: a damaged batch at %lld was delivered", p->topic->name, p->index,
                   (long long)b->base_offset);
        return false;
    }
    if (batch_last_offset(b) >= f->high_watermark) {
        model_fail(m,
                   "%s-%d: the batch at %lld to %lld was delivered, but the high watermark is %lld",
                   p->topic->name, p->index, (long long)b->base_offset,
                   (long long)batch_last_offset(b), (long long)f->high_watermark);
        return false;
    }
    uint64_t hash = bytes_hash(bytes);
    struct map_node *node = map_find(&m->sent, hash, &hash);
    struct model_sent *s = node != NULL ? CONTAINER_OF(node, struct model_sent, node) : NULL;
    if (s == NULL || s->partition != p) {
        model_fail(m, "%s-%d: nobody sent the batch at %lld", p->topic->name, p->index,
                   (long long)b->base_offset);
        return false;
    }
    struct model_place *place = place_put(m, p, b->base_offset, s);
    if (place != NULL)
        epoch_check(m, p, place, b->leader_epoch);
    return place != NULL;
}

int64_t model_fetched(struct model *m, struct model_partition *p, const struct model_read *read,
                      const struct model_fetched *f)
{
    m->checks++;
    if (f->err != 0) {
        fetch_error(m, p, read, f);
        return f->offset;
    }
    marks_check(m, p, read, f);
    int64_t next = f->offset;
    struct slice left = f->records;
    struct batch b;
    while (left.len > 0 && batch_peek(left, &b) == 0) {
        if (!batch_check(m, p, f, &b, slice_of(left.data, b.size_bytes), next))
            return f->offset;
        next = batch_last_offset(&b) + 1;
        left = slice_of(left.data + b.size_bytes, left.len - b.size_bytes);
    }
    // KIP-74: "if the first record batch is larger than this limit, it will still be returned".
    if (next == f->offset && f->alone && f->offset < read->end && f->offset >= f->log_start)
        model_fail(m, "%s-%d: nothing at %lld, but the log reaches to %lld", p->topic->name,
                   p->index, (long long)f->offset, (long long)read->end);
    if (next > f->offset && p->end < next)
        p->end = next;
    return next;
}

// ---- DeleteRecords, ListOffsets, OffsetForLeaderEpoch

void model_deleting(struct model *m, struct model_partition *p, int64_t offset)
{
    (void)m;
    if (p->start_high < offset)
        p->start_high = offset;
}

void model_deleted(struct model *m, struct model_partition *p, const struct model_read *read,
                   int64_t low_watermark)
{
    model_listed_start(m, p, read, low_watermark);
    if (p->start_low < low_watermark)
        p->start_low = low_watermark;
}

void model_listed_end(struct model *m, struct model_partition *p, const struct model_read *read,
                      int64_t offset)
{
    m->checks++;
    if (offset < read->end)
        model_fail(m, "%s-%d: the end went back from %lld to %lld", p->topic->name, p->index,
                   (long long)read->end, (long long)offset);
    if (p->end < offset)
        p->end = offset;
}

void model_listed_start(struct model *m, struct model_partition *p, const struct model_read *read,
                        int64_t offset)
{
    m->checks++;
    int64_t least = read->start == m->start ? read->start_seen : read->start_low;
    if (offset < least)
        model_fail(m, "%s-%d: the log start went back from %lld to %lld", p->topic->name, p->index,
                   (long long)least, (long long)offset);
    if (offset > p->start_high)
        model_fail(m, "%s-%d: the log starts at %lld, but nothing was deleted beyond %lld",
                   p->topic->name, p->index, (long long)offset, (long long)p->start_high);
    if (p->start_seen < offset && read->start == m->start)
        p->start_seen = offset;
    if (p->end < offset)
        p->end = offset; // nothing is deleted beyond the high watermark
}

static int64_t record_time(const struct model_place *place, int64_t offset)
{
    return place->sent->first_timestamp_ms +
           (offset - place->base_offset) * place->sent->timestamp_step_ms;
}

// Kafka: "the earliest offset whose timestamp is greater than or equal to the given timestamp".
void model_listed_time(struct model *m, struct model_partition *p, const struct model_read *read,
                       int64_t timestamp_ms, int64_t offset, int64_t found_timestamp_ms)
{
    m->checks++;
    int64_t before = offset >= 0 ? offset : read->end;
    for (uint32_t i = 0; i < p->places_count; i++) {
        const struct model_place *place = &p->places[i];
        for (int64_t at = place->base_offset; at <= last_of(place); at++) {
            if (at == offset && record_time(place, at) != found_timestamp_ms)
                model_fail(m, "%s-%d: the record at %lld has timestamp %lld, not %lld",
                           p->topic->name, p->index, (long long)at,
                           (long long)record_time(place, at), (long long)found_timestamp_ms);
            if (at < before && at < read->end && at >= p->start_high &&
                record_time(place, at) >= timestamp_ms)
                model_fail(m, "%s-%d: a lookup of %lld found %lld, but %lld comes first",
                           p->topic->name, p->index, (long long)timestamp_ms, (long long)offset,
                           (long long)at);
        }
    }
    if (offset >= 0 && found_timestamp_ms < timestamp_ms)
        model_fail(m, "%s-%d: a lookup of %lld found a record of %lld", p->topic->name, p->index,
                   (long long)timestamp_ms, (long long)found_timestamp_ms);
}

// KIP-320: the end of an epoch is the start of the next larger one.
void model_epoch_end(struct model *m, struct model_partition *p, const struct model_read *read,
                     int32_t asked, int32_t epoch, int64_t end_offset)
{
    m->checks++;
    if (epoch > asked)
        model_fail(m, "%s-%d: asked for leader epoch %d, the answer speaks of %d", p->topic->name,
                   p->index, asked, epoch);
    if (end_offset < 0)
        return;
    for (uint32_t i = 0; i < p->places_count; i++) {
        const struct model_place *place = &p->places[i];
        if (place->epoch < 0 || last_of(place) >= read->end)
            continue; // what came after the question is none of its business
        if (place->epoch <= asked ? last_of(place) >= end_offset && place->epoch <= epoch
                                  : place->base_offset < end_offset)
            model_fail(m,
                       "%s-%d: leader epoch %d (asked: %d) is said to end at %lld, but %lld to "
                       "%lld are of epoch %d",
                       p->topic->name, p->index, epoch, asked, (long long)end_offset,
                       (long long)place->base_offset, (long long)last_of(place), place->epoch);
    }
}

// ---- at the end of a run

struct next_sequence {
    int64_t producer_id;
    int64_t next;
};

#define PRODUCERS_MAX 64

// A producer sends its next batch when the one before was acknowledged: no sequence may be missing.
static void sequences_check(struct model *m, const struct model_partition *p, uint32_t from)
{
    struct next_sequence seen[PRODUCERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = from; i < p->places_count; i++) {
        const struct model_sent *s = p->places[i].sent;
        if (s->producer_id < 0)
            continue;
        uint32_t at = 0;
        while (at < count && seen[at].producer_id != s->producer_id)
            at++;
        if (at == PRODUCERS_MAX)
            continue;
        if (at < count && seen[at].next != s->sequence)
            model_fail(m, "%s-%d: producer %lld has sequence %d at %lld, where %lld should come",
                       p->topic->name, p->index, (long long)s->producer_id, s->sequence,
                       (long long)p->places[i].base_offset, (long long)seen[at].next);
        if (at == count)
            count++;
        seen[at] = (struct next_sequence){s->producer_id, (int64_t)s->sequence + s->records};
    }
}

void model_partition_final(struct model *m, struct model_partition *p)
{
    uint32_t from = place_find(p, p->start_seen);
    int64_t next = p->start_seen;
    m->checks++;
    for (uint32_t i = from; i < p->places_count; i++) {
        const struct model_place *place = &p->places[i];
        if (i == from ? place->base_offset > next : place->base_offset != next)
            model_fail(m, "%s-%d: nothing is known of %lld to %lld although all was read",
                       p->topic->name, p->index, (long long)next, (long long)place->base_offset);
        next = last_of(place) + 1;
    }
    if (next < p->end)
        model_fail(m, "%s-%d: the log reaches to %lld, but reading ended at %lld", p->topic->name,
                   p->index, (long long)p->end, (long long)next);
    sequences_check(m, p, from);
}

void model_bundles_final(struct model *m, uint64_t committed)
{
    MAP_FOR_SAFE (it, &m->sent) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        const struct model_sent *s = CONTAINER_OF(node, struct model_sent, node);
        if (!s->bundled)
            continue;
        m->checks++;
        const struct model_partition *p = s->partition;
        if (s->bundle_step <= committed && s->copies == 0 && s->attempts > 0)
            model_fail(m, "%s-%d: the output of step %llu is missing, but its offset is committed",
                       p->topic->name, p->index, (unsigned long long)s->bundle_step);
        if (s->bundle_step > committed && s->copies > 0)
            model_fail(m,
                       "%s-%d: the output of step %llu is at %lld, but its offset is not "
                       "committed (%llu)",
                       p->topic->name, p->index, (unsigned long long)s->bundle_step,
                       (long long)s->base_offset, (unsigned long long)committed);
    }
}
