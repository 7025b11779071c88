// SPDX-License-Identifier: Apache-2.0
//
// Producers, idempotent and plain. A batch that got no answer, or an error that leaves it open
// whether it was appended, is sent again as it is until it is acknowledged; now and then one that
// was acknowledged is sent again too, as a client does that lost the answer: the server must
// recognise it. A producer has at most one open batch per partition, so sequences never leave gaps.
//
// Some ask for no answer (acks 0): nothing is promised to them, but that each batch is there once
// at most.
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "sim/client.h"
#include "wire/gen/kafka_init_producer_id.h"
#include "wire/gen/kafka_produce.h"

#define LANES 16
#define PARTS 4 // of a request

struct lane { // one producer, one partition
    struct model_partition *partition;
    int32_t next_sequence;
    struct model_sent *open; // sent, not acknowledged
    struct model_sent *last; // acknowledged last
    struct buf bytes;        // of the open batch, else of the last one
};

struct producer {
    struct client c;
    bool idempotent;
    int64_t id; // -1: none yet
    int16_t epoch;
    struct lane lanes[LANES];
    uint32_t lanes_count;
    struct lane *asked[PARTS];
    uint32_t asked_count;
    bool unheard; // acks 0
};

static void producer_start(struct client *c)
{
    struct producer *p = CONTAINER_OF(c, struct producer, c);
    p->unheard = client_chance(c, 12);
    p->idempotent = !p->unheard && client_chance(c, 80);
    p->id = -1;
}

static void producer_fini(struct client *c)
{
    struct producer *p = CONTAINER_OF(c, struct producer, c);
    for (uint32_t i = 0; i < p->lanes_count; i++)
        buf_fini(&p->lanes[i].bytes);
}

// ---- a producer id

static void id_given(struct client *c, int err, const void *response)
{
    struct producer *p = CONTAINER_OF(c, struct producer, c);
    const struct kafka_init_producer_id_response *r = response;
    if (err != 0 || r->error_code != 0)
        return;
    client_note(c, "is producer %lld, epoch %d", (long long)r->producer_id, r->producer_epoch);
    model_producer_id(&c->world->model, r->producer_id);
    p->id = r->producer_id;
    p->epoch = r->producer_epoch;
}

static void id_ask(struct producer *p)
{
    struct kafka_init_producer_id_request q;
    wire_default(&kafka_init_producer_id_request_type, &q);
    q.transactional_id = SLICE_NULL;
    client_call(&p->c, KAFKA_API_INIT_PRODUCER_ID, &q, id_given);
}

// ---- answers

static void lane_acknowledged(struct producer *p, struct lane *lane, int64_t base_offset)
{
    struct world *w = p->c.world;
    struct model_sent *s = lane->open != NULL ? lane->open : lane->last;
    bool first = !s->acknowledged;
    model_acknowledged(&w->model, s, base_offset);
    if (first) {
        w->report->batches_acknowledged++;
        w->report->records_acknowledged += s->records;
    }
    lane->last = s;
    lane->open = NULL;
    server_acknowledged(w);
}

static void lane_answered(struct producer *p, struct lane *lane,
                          const struct kafka_produce_response_partition *r)
{
    struct model *m = &p->c.world->model;
    int err = err_from_kafka(r->error_code);
    client_note(&p->c, "produced to %s-%d: %s at %lld", lane->partition->topic->name,
                lane->partition->index, err_name(err), (long long)r->base_offset);
    if (err == 0) {
        lane_acknowledged(p, lane, r->base_offset);
    } else if (err == ERR_OUT_OF_ORDER_SEQUENCE_NUMBER || err == ERR_INVALID_PRODUCER_EPOCH ||
               err == ERR_DUPLICATE_SEQUENCE_NUMBER || err == ERR_INVALID_RECORD ||
               err == ERR_CORRUPT_MESSAGE || err == ERR_INVALID_TIMESTAMP ||
               err == ERR_UNKNOWN_TOPIC_OR_PARTITION || err == ERR_UNKNOWN_TOPIC_ID) {
        model_fail(m, "%s-%d: an honest batch was refused (%s)", lane->partition->topic->name,
                   lane->partition->index, err_name(err));
    }
}

static struct lane *lane_asked(struct producer *p, int32_t partition)
{
    for (uint32_t i = 0; i < p->asked_count; i++)
        if (p->asked[i]->partition->index == partition)
            return p->asked[i];
    return NULL;
}

static void produced(struct client *c, int err, const void *response)
{
    struct producer *p = CONTAINER_OF(c, struct producer, c);
    const struct kafka_produce_response *r = response;
    for (uint32_t t = 0; err == 0 && t < r->responses_count; t++) {
        const struct kafka_produce_response_topic *topic = &r->responses[t];
        for (uint32_t i = 0; i < topic->partition_responses_count; i++) {
            struct lane *lane = lane_asked(p, topic->partition_responses[i].index);
            if (lane == NULL)
                model_fail(&c->world->model, "an answer about partition %d, which was not asked",
                           topic->partition_responses[i].index);
            else
                lane_answered(p, lane, &topic->partition_responses[i]);
        }
    }
}

// Nobody will ever say what became of them.
static void sent_unheard(struct client *c, int err, const void *response)
{
    struct producer *p = CONTAINER_OF(c, struct producer, c);
    (void)err;
    ASSERT(response == NULL);
    for (uint32_t i = 0; i < p->asked_count; i++)
        p->asked[i]->open = NULL;
    c->world->report->batches_unheard += p->asked_count;
}

// ---- requests

static struct lane *lane_of(struct producer *p, struct model_partition *partition)
{
    for (uint32_t i = 0; i < p->lanes_count; i++)
        if (p->lanes[i].partition == partition)
            return &p->lanes[i];
    if (p->lanes_count == LANES)
        return NULL;
    struct lane *lane = &p->lanes[p->lanes_count++];
    *lane = (struct lane){.partition = partition};
    buf_init(&lane->bytes, 4U << 20);
    return lane;
}

static void lane_fill(struct producer *p, struct lane *lane)
{
    struct client *c = &p->c;
    struct client_batch batch;
    bool large = client_chance(c, 10);
    struct client_batch_options o = {
        .producer_id = p->idempotent ? p->id : -1,
        .producer_epoch = p->epoch,
        .sequence = lane->next_sequence,
        .records = 1 + client_dice(c, client_chance(c, 20) && !large ? 20 : 4),
        .value_bytes = 16 + client_dice(c, large ? 3800 : 200),
    };
    client_batch_make(c->world, &c->prng, &o, &batch);
    buf_fini(&lane->bytes);
    lane->bytes = batch.bytes;
    lane->open =
        model_produce(&c->world->model, lane->partition, buf_slice(&batch.bytes), batch.step_ms);
    lane->next_sequence += (int32_t)o.records;
}

// What goes out to this partition now; false: nothing.
static bool lane_ready(struct producer *p, struct lane *lane)
{
    bool again =
        lane->open != NULL || (p->idempotent && lane->last != NULL && client_chance(&p->c, 12));
    if (!again)
        lane_fill(p, lane);
    struct model_sent *s = lane->open != NULL ? lane->open : lane->last;
    s->attempts++;
    client_note(&p->c, "produces %u records to %s-%d, sequence %d%s", s->records,
                lane->partition->topic->name, lane->partition->index, s->sequence,
                again ? ", again" : "");
    return true;
}

static void send_out(struct producer *p, const struct model_topic *t)
{
    struct client *c = &p->c;
    struct kafka_produce_request q;
    struct kafka_produce_request_topic topic;
    struct kafka_produce_request_partition parts[PARTS];
    wire_default(&kafka_produce_request_type, &q);
    q.transactional_id = SLICE_NULL;
    wire_default(&kafka_produce_request_topic_type, &topic);
    for (uint32_t i = 0; i < p->asked_count; i++) {
        wire_default(&kafka_produce_request_partition_type, &parts[i]);
        parts[i].index = p->asked[i]->partition->index;
        parts[i].records.bytes = buf_slice(&p->asked[i]->bytes);
    }
    topic.name = slice_cstr(t->name);
    topic.topic_id = t->id;
    topic.partition_data = parts;
    topic.partition_data_count = p->asked_count;
    q.acks = p->unheard ? 0 : client_chance(c, 80) ? -1 : 1;
    q.timeout_ms = 30000;
    q.topic_data = &topic;
    q.topic_data_count = 1;
    if (p->unheard)
        client_tell(c, KAFKA_API_PRODUCE, &q, sent_unheard);
    else
        client_call(c, KAFKA_API_PRODUCE, &q, produced);
}

static void producer_step(struct client *c)
{
    struct producer *p = CONTAINER_OF(c, struct producer, c);
    struct world *w = c->world;
    if (p->idempotent && p->id < 0) {
        if (client_can(c, KAFKA_API_INIT_PRODUCER_ID))
            id_ask(p);
        else
            p->idempotent = false;
        return;
    }
    struct model_topic *t = w->topics[client_dice(c, w->topics_count)];
    p->asked_count = 0;
    for (uint32_t i = 0; i < t->partitions_count && p->asked_count < PARTS; i++) {
        struct lane *lane = client_chance(c, 60) ? lane_of(p, t->partitions[i]) : NULL;
        if (lane != NULL && lane_ready(p, lane))
            p->asked[p->asked_count++] = lane;
    }
    if (p->asked_count > 0)
        send_out(p, t);
}

const struct client_kind client_producer = {
    .name = "producer",
    .size = sizeof(struct producer),
    .needs = KAFKA_API_PRODUCE,
    .start = producer_start,
    .step = producer_step,
    .fini = producer_fini,
};
