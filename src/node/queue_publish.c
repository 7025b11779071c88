// SPDX-License-Identifier: Apache-2.0
//
// Publishing. A message is routed by the shard's own replica and copied once for each queue it
// reaches, into the batch that this turn builds for that level of that queue. At the turn's end all
// batches leave as one flight, a produce request of the node's own: so the cost per message is
// routing and copying, and all the rest (a request, its legs, a frame in the journal, a waiter) is
// paid once per turn or once per queue and turn.
//
// Receipts join the flight that takes what they cover, in one of two lists: what asks for the disk
// hears when the flight is durable, the rest when it is appended. A flight of which nobody asks
// anything is kept until it is durable all the same: its bytes are what back-pressure looks at.
//
// A batch's buffer is its blob (blob_build_begin). Its memory is taken from the requests' budget in
// slabs while the turn goes on, and put right when the flight leaves.
#include <string.h>

#include "base/assert.h"
#include "base/bugs.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/queues_int.h"

#define BATCH_BYTES_MAX  (512U << 10) // of several messages; then the flight leaves early
#define FLIGHT_BYTES_MAX (4U << 20)
#define SLAB_BYTES       (64U << 10) // taken from the budget at once

struct publish_batch {
    struct map_node node; // publisher.batches
    struct log_key key;
    struct batch_builder builder;
    struct buf bytes;
};

struct flight {
    struct list link; // publisher.flights
    struct shard *shard;
    struct produce produce;
    struct receipts appended, durable;
    uint64_t bytes;
    struct produce_part parts[];
};

// ---- receipts

// 2n: joined flight n, to hear when it is appended; 2n + 1: when it is durable.
static uint64_t receipt_mark(const struct publisher *p, bool durable)
{
    return p->number * 2 + durable;
}

static void receipts_add(struct receipts *to, struct publish_receipt *receipt)
{
    if (to->count == to->cap) {
        to->cap = to->cap == 0 ? 16 : to->cap * 2;
        to->items = mem_realloc(to->items, to->cap * sizeof(struct publish_receipt *));
    }
    to->items[to->count++] = receipt;
    receipt->flights++;
}

static void receipt_join(struct publisher *p, struct publish_receipt *receipt, bool durable)
{
    struct receipts *to = durable ? &p->durable : &p->appended;
    uint64_t mark = receipt_mark(p, durable);
    if (receipt->last_flight == mark || receipt->last_flight == receipt_mark(p, true))
        return; // who waits for the disk hears of the append as well
    receipt->last_flight = mark;
    receipts_add(to, receipt);
}

// A receipt's done may publish, and may cancel others, also of this list.
static void receipts_fire(struct receipts *receipts, int err)
{
    for (uint32_t i = 0; i < receipts->count; i++) {
        struct publish_receipt *r = receipts->items[i];
        if (r == NULL)
            continue;
        receipts->items[i] = NULL;
        ASSERT(r->flights > 0);
        if (r->err == 0)
            r->err = err;
        if (--r->flights == 0)
            r->done(r);
    }
    receipts->count = 0;
}

static void receipts_fini(struct receipts *receipts)
{
    mem_free(receipts->items);
    *receipts = (struct receipts){0};
}

static void receipts_forget(struct receipts *receipts, struct publish_receipt *receipt)
{
    for (uint32_t i = 0; i < receipts->count && receipt->flights > 0; i++) {
        if (receipts->items[i] != receipt)
            continue;
        receipts->items[i] = NULL;
        receipt->flights--;
    }
}

void publish_receipt_cancel(struct shard *shard, struct publish_receipt *receipt)
{
    struct publisher *p = &shard->queues->publisher;
    receipts_forget(&p->appended, receipt);
    receipts_forget(&p->durable, receipt);
    LIST_FOR (it, &p->flights) {
        struct flight *f = CONTAINER_OF(it, struct flight, link);
        receipts_forget(&f->appended, receipt);
        receipts_forget(&f->durable, receipt);
    }
    ASSERT(receipt->flights == 0);
}

static bool flight_concerns(const struct flight *f, const struct uuid *queue)
{
    for (uint32_t i = 0; i < f->produce.parts_count; i++)
        if (queue == NULL || uuid_eq(&f->parts[i].part.topic, queue))
            return true;
    return false;
}

static bool batches_concern(const struct publisher *p, const struct uuid *queue)
{
    LIST_FOR (it, &p->batches.order) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        if (queue == NULL ||
            uuid_eq(&CONTAINER_OF(node, struct publish_batch, node)->key.topic, queue))
            return true;
    }
    return false;
}

void publish_follow(struct shard *shard, const struct uuid *queue, struct publish_receipt *receipt)
{
    struct publisher *p = &shard->queues->publisher;
    LIST_FOR (it, &p->flights) {
        struct flight *f = CONTAINER_OF(it, struct flight, link);
        if (flight_concerns(f, queue))
            receipts_add(&f->durable, receipt);
    }
    if (batches_concern(p, queue))
        receipts_add(&p->durable, receipt);
}

// ---- flights

static void flight_free(struct flight *f)
{
    for (uint32_t i = 0; i < f->produce.parts_count; i++)
        blob_unref(f->parts[i].records.blob);
    produce_drop(&f->produce);
    receipts_fini(&f->appended);
    receipts_fini(&f->durable);
    list_remove(&f->link);
    mem_free(f);
}

static void flight_appended(struct produce *produce, int err)
{
    receipts_fire(&CONTAINER_OF(produce, struct flight, produce)->appended, err);
}

static void flight_done(struct produce *produce)
{
    struct flight *f = CONTAINER_OF(produce, struct flight, produce);
    struct publisher *p = &f->shard->queues->publisher;
    int err = 0;
    for (uint32_t i = 0; i < produce->parts_count && err == 0; i++)
        err = f->parts[i].part.err;
    ASSERT(p->flights_bytes >= f->bytes);
    ASSERT(f->appended.count == 0);
    p->flights_bytes -= f->bytes;
    receipts_fire(&f->durable, err);
    flight_free(f);
}

static void batch_seal(struct publish_batch *b, struct budget *budget, struct produce_part *part)
{
    ASSERT(b->builder.start == BLOB_BUILD_AT);
    int err = batch_build_end(&b->builder);
    ASSERT(err == 0); // it was kept within its limits
    size_t len = b->bytes.len - BLOB_BUILD_AT;
    *part = (struct produce_part){.part = {.topic = b->key.topic, .partition = b->key.partition}};
    part->part.current_leader_epoch = -1;
    part->records = (struct blob_piece){blob_build_end(&b->bytes, budget), 0, len};
    mem_free(b);
}

static void flight_leave(struct shard *shard)
{
    struct publisher *p = &shard->queues->publisher;
    struct budget *budget = &shard->requests;
    uint32_t count = (uint32_t)p->batches.count, at = 0;
    if (count == 0)
        return;
    struct flight *f = mem_zalloc(sizeof *f + count * sizeof f->parts[0]);
    budget_give(budget, p->paid_bytes);
    MAP_FOR_SAFE (it, &p->batches) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        map_remove(&p->batches, node);
        batch_seal(CONTAINER_OF(node, struct publish_batch, node), budget, &f->parts[at]);
        f->bytes += f->parts[at++].records.len;
    }
    f->shard = shard;
    f->appended = p->appended;
    f->durable = p->durable;
    f->produce = (struct produce){
        .parts = f->parts,
        .parts_count = count,
        .acks = -1,
        .internal = true,
        .appended = f->appended.count > 0 ? flight_appended : NULL,
        .done = flight_done,
    };
    p->appended = p->durable = (struct receipts){0};
    p->bytes = 0;
    p->paid_bytes = 0;
    p->number++;
    p->flights_bytes += f->bytes;
    p->stats.flights++;
    p->stats.batches += count;
    list_push_back(&p->flights, &f->link);
    produce_start(shard, &f->produce);
}

// Behind the mail, as at a turn's end: see node_queues_turn_end.
static void flight_leave_early(struct shard *shard)
{
    mail_turn_end(shard);
    flight_leave(shard);
}

void publisher_turn_end(struct shard *shard)
{
    flight_leave(shard);
}

bool publisher_waits(const struct shard *shard)
{
    return shard->queues->publisher.batches.count > 0;
}

// ---- messages

static int publish_pay(struct shard *shard, size_t bytes)
{
    struct publisher *p = &shard->queues->publisher;
    size_t need = p->bytes + bytes;
    if (need <= p->paid_bytes)
        return 0;
    size_t exact = need - p->paid_bytes;
    size_t more = exact > SLAB_BYTES ? exact : SLAB_BYTES;
    int err = budget_take(&shard->requests, more);
    if (err != 0) {
        more = exact;
        err = budget_take(&shard->requests, more);
    }
    // A message that has come cannot wait where it is, and refusing it loses it: a quarter more is
    // there for it. While that is in use publishers pause (shard.c), so it lasts.
    int64_t overdraft = shard->requests.limit_bytes / 4 * 5;
    if (err != 0 && budget_used(&shard->requests) + (int64_t)more <= overdraft) {
        budget_force(&shard->requests, more);
        err = 0;
    }
    if (err == 0)
        p->paid_bytes += more;
    shard_publishing(shard);
    return err;
}

static struct publish_batch *batch_of(struct publisher *p, const struct log_key *key,
                                      int64_t now_ms)
{
    uint8_t bytes[20];
    partition_key_put(key, bytes);
    uint64_t hash = map_hash(&p->batches, slice_of(bytes, sizeof bytes));
    struct map_node *node = map_find(&p->batches, hash, key);
    if (node != NULL)
        return CONTAINER_OF(node, struct publish_batch, node);
    struct publish_batch *b = mem_alloc(sizeof *b);
    b->key = *key;
    blob_build_begin(&b->bytes, INT32_MAX);
    batch_build_begin(&b->builder, &b->bytes, BATCH_NONE, now_ms);
    map_insert(&p->batches, &b->node, hash);
    return b;
}

// Left out is what the queue says itself: see queue/message.h.
static int batch_add(struct publisher *p, struct publish_batch *b, const struct publish *publish,
                     struct slice queue_name)
{
    const size_t len = b->bytes.len;
    const struct batch before = b->builder.header;
    struct message m = publish->message;
    if (m.exchange.len == 0 && slice_eq(m.routing_key, queue_name))
        m.routing_key = SLICE_NULL;
    m.priority = publish->priority > b->key.partition ? publish->priority : 0;
    message_put(&b->builder, &p->scratch, &m);
    if (b->bytes.err == 0)
        return 0;
    b->bytes.len = len; // no memory: as if it had not come
    b->bytes.err = 0;
    b->builder.header = before;
    return ERR_BUDGET;
}

static void batch_drop(struct publisher *p, struct publish_batch *b)
{
    map_remove(&p->batches, &b->node);
    buf_fini(&b->bytes);
    mem_free(b);
}

static int publish_copy(struct shard *shard, const struct publish *publish,
                        const struct queue_facts *q, size_t bytes)
{
    struct publisher *p = &shard->queues->publisher;
    const int64_t now_ms = publish->message.published_ms;
    const uint32_t level = publish->priority < q->levels ? publish->priority : q->levels - 1;
    const struct log_key key = {q->id, (int32_t)level};
    if (p->bytes > 0 && p->bytes + bytes > FLIGHT_BYTES_MAX)
        flight_leave_early(shard);
    struct publish_batch *b = batch_of(p, &key, now_ms);
    if (b->builder.header.records_count > 0 && b->bytes.len + bytes > BATCH_BYTES_MAX) {
        flight_leave_early(shard);
        b = batch_of(p, &key, now_ms);
    }
    int err = publish_pay(shard, bytes);
    if (err == 0)
        err = batch_add(p, b, publish, q->name);
    if (err == 0)
        p->bytes += bytes;
    else if (b->builder.header.records_count == 0)
        batch_drop(p, b);
    return err;
}

static int publish_route_many(struct exchanges *exchanges, const struct publish *publish,
                              struct route *route)
{
    struct slice keys[MESSAGE_KEYS_MAX + 1];
    const uint32_t count = publish->extra_keys_count;
    ASSERT(count <= MESSAGE_KEYS_MAX);
    keys[0] = publish->message.routing_key;
    memcpy(keys + 1, publish->extra_keys, count * sizeof keys[0]);
    return exchange_route(exchanges, route, publish->vhost, publish->message.exchange, keys,
                          count + 1, publish->headers, publish->headers_count);
}

static int publish_route(struct shard *shard, const struct publish *publish, struct route *route)
{
    struct exchanges *exchanges = shard_exchanges(shard);
    const struct message *m = &publish->message;
    const struct exchange *e = exchange_find(exchanges, publish->vhost, m->exchange);
    if (e == NULL)
        return ERR_NOT_FOUND;
    if (e->internal && !publish->internal)
        return ERR_ACCESS_REFUSED;
    if (publish->extra_keys_count > 0)
        return publish_route_many(exchanges, publish, route);
    return exchange_route(exchanges, route, publish->vhost, m->exchange, &m->routing_key, 1,
                          publish->headers, publish->headers_count);
}

int publish_to(struct shard *shard, const struct publish *publish, const struct queue_facts *queue,
               struct publish_receipt *receipt)
{
    const size_t bytes = message_size(&publish->message);
    if (bytes + BATCH_HEADER_BYTES > journal_body_max(shard->node->broker.journal_file_bytes))
        return ERR_MESSAGE_TOO_LARGE;
    int err = publish_copy(shard, publish, queue, bytes);
    if (err != 0)
        return err;
    bool durable = publish->persistent && queue->durable && !bug(BUG_CONFIRM_EARLY);
    if (receipt != NULL)
        receipt_join(&shard->queues->publisher, receipt, durable);
    shard->queues->publisher.stats.copies++;
    return 0;
}

static int publish_late(struct shard *shard, const struct publish *publish,
                        struct publish_receipt *receipt, uint32_t *out_queues)
{
    int err = delay_add(shard, publish, receipt);
    if (err != 0)
        return err;
    shard->queues->publisher.stats.published++;
    *out_queues = 1;
    return 0;
}

// RabbitMQ: a dead letter that comes back to where it died, by itself, goes round for ever and is
// dropped there. Who rejects it on the way breaks the circle.
static bool goes_round(const struct publish *publish, const struct queue_facts *q)
{
    return publish->internal && message_deaths_circle(&publish->message, q->name);
}

// When memory ends on the way through several queues, some have the message and the caller hears
// that it was not taken: it may come twice then, as after any error.
int publish_add(struct shard *shard, const struct publish *publish, struct publish_receipt *receipt,
                uint32_t *out_queues)
{
    struct publisher *p = &shard->queues->publisher;
    struct route *route = &p->route;
    if (publish->delay_ms > 0)
        return publish_late(shard, publish, receipt, out_queues);
    int err = publish_route(shard, publish, route);
    uint32_t queues = 0;
    for (uint32_t i = 0; i < route->count && err == 0; i++) {
        const struct queue_facts *q = queue_facts_by_id(shard, &route->queues[i]);
        ASSERT(q != NULL); // one replica says both
        if (goes_round(publish, q))
            continue;
        err = publish_to(shard, publish, q, receipt);
        queues++;
    }
    if (err != 0)
        return err;
    p->stats.published++;
    p->stats.unroutable += queues == 0;
    *out_queues = queues;
    return 0;
}

void publish_headers_by(struct shard *shard, message_headers_fn *fn, void *arg)
{
    shard->queues->publisher.headers_of = fn;
    shard->queues->publisher.headers_arg = arg;
}

// ---- life

static bool batch_eq(const struct map_node *node, const void *key)
{
    const struct log_key *a = &CONTAINER_OF(node, const struct publish_batch, node)->key;
    const struct log_key *b = key;
    return a->partition == b->partition && uuid_eq(&a->topic, &b->topic);
}

void publisher_init(struct publisher *p, uint64_t hash_seed)
{
    *p = (struct publisher){.number = 1};
    map_init(&p->batches, batch_eq, hash_seed);
    list_init(&p->flights);
    buf_init(&p->scratch, INT32_MAX);
}

void publisher_fini(struct publisher *p, struct budget *budget)
{
    MAP_FOR_SAFE (it, &p->batches) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        batch_drop(p, CONTAINER_OF(node, struct publish_batch, node));
    }
    map_fini(&p->batches);
    LIST_FOR_SAFE (it, &p->flights)
        flight_free(CONTAINER_OF(it, struct flight, link));
    budget_give(budget, p->paid_bytes);
    receipts_fini(&p->appended);
    receipts_fini(&p->durable);
    route_fini(&p->route);
    buf_fini(&p->scratch);
}
