// SPDX-License-Identifier: Apache-2.0
//
// A shard's own queues: the room (queue/queue.h) between the catalogue, which says what queues
// there are, the logs, and the rest of the node. Here also: where a dead letter goes, and what
// becomes of a queue that nobody uses.

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/queues_int.h"

struct letter_post { // a dead letter on its way
    struct list link;
    struct queue_letter *letter;
    struct publish_receipt receipt;
};

struct unused_deletion {
    struct list link;
    struct queue_change change;
};

struct queues *shard_queues(struct shard *shard)
{
    return shard->queues->room;
}

// ---- dead letters

static void letter_durable(struct publish_receipt *receipt)
{
    struct letter_post *post = CONTAINER_OF(receipt, struct letter_post, receipt);
    queue_letter_done(post->letter, receipt->err);
    list_remove(&post->link);
    mem_free(post);
}

// The copy's own life begins now: a TTL of where it goes counts from its coming there.
static int letter_publish(struct shard *shard, const struct queue_facts *from,
                          const struct queue_letter *letter, struct publish_receipt *receipt)
{
    struct publish p = {
        .vhost = from->vhost,
        .message = letter->message,
        .priority =
            letter->message.priority > 0 ? letter->message.priority : (uint8_t)letter->level,
        .persistent = from->durable,
        .internal = true,
        .extra_keys = letter->keys + 1,
        .extra_keys_count = letter->keys_count > 0 ? letter->keys_count - 1 : 0,
    };
    p.message.exchange = letter->exchange;
    p.message.routing_key = letter->keys_count > 0 ? letter->keys[0] : slice_cstr("");
    p.message.published_ms = io_wall_ms(shard->io);
    const struct publisher *by = &shard->queues->publisher;
    if (by->headers_of != NULL &&
        exchange_wants_headers(shard_exchanges(shard), p.vhost, p.message.exchange))
        p.headers = by->headers_of(by->headers_arg, &p.message, &p.headers_count);
    uint32_t queues = 0;
    return publish_add(shard, &p, receipt, &queues);
}

// RabbitMQ drops a dead letter whose exchange does not exist, or that no queue takes.
static void dead_letter(void *arg, struct queue *queue, struct queue_letter *letter)
{
    struct shard *shard = arg;
    const struct queue_facts *from = queue_facts_by_id(shard, queue_id(queue));
    struct letter_post *post = mem_zalloc(sizeof *post);
    post->letter = letter;
    post->receipt.done = letter_durable;
    int err = from == NULL ? ERR_NOT_FOUND : letter_publish(shard, from, letter, &post->receipt);
    if (post->receipt.flights > 0) {
        post->receipt.err = err; // of some copies; it is tried again, and some have it twice
        list_push_back(&shard->queues->letters, &post->link);
        return;
    }
    mem_free(post);
    queue_letter_done(letter, err == ERR_BUDGET ? err : 0);
}

// ---- queues that nobody uses

static void deletion_free(struct unused_deletion *d)
{
    list_remove(&d->link);
    slice_free(d->change.queue.vhost);
    slice_free(d->change.queue.name);
    mem_free(d);
}

static void deletion_done(struct queue_change *change)
{
    deletion_free(CONTAINER_OF(change, struct unused_deletion, change));
}

// Who uses it meanwhile keeps it: the room will say again when it is unused.
static void unused(void *arg, struct queue *queue)
{
    struct shard *shard = arg;
    const struct queue_facts *facts = queue_facts_by_id(shard, queue_id(queue));
    if (facts == NULL)
        return; // it is being deleted
    struct unused_deletion *d = mem_zalloc(sizeof *d);
    d->change.kind = QUEUE_DELETE;
    d->change.owner = facts->owner;
    d->change.queue.id = facts->id;
    d->change.queue.vhost = slice_dup(facts->vhost);
    d->change.queue.name = slice_dup(facts->name);
    d->change.still_unused = true;
    d->change.by_id = true;
    d->change.done = deletion_done;
    list_push_back(&shard->queues->deletions, &d->link);
    queue_change_start(shard, &d->change);
}

// ---- what the catalogue asks

int queue_host_open(struct shard *shard, const struct queue_facts *facts)
{
    struct log *logs[QUEUE_LEVELS_MAX];
    struct queue *queue = NULL;
    ASSERT(facts->levels >= 1);
    ASSERT(facts->levels <= QUEUE_LEVELS_MAX);
    for (uint32_t i = 0; i < facts->levels; i++) {
        const struct log_key key = {facts->id, (int32_t)i};
        struct partition *p = partition_find(shard, &key);
        ASSERT(p != NULL);
        logs[i] = p->log;
    }
    int err = queue_open(shard->queues->room, &facts->id, facts->name, &facts->settings, logs,
                         facts->levels, &queue);
    if (err == 0 && shard->started)
        delays_opened(&shard->queues->delays, facts);
    return err;
}

static void stats_close(struct queue_stats *closed, const struct queue_stats *s)
{
    closed->delivered += s->delivered;
    closed->redelivered += s->redelivered;
    closed->settled += s->settled;
    closed->released += s->released;
    closed->rejected += s->rejected;
    closed->expired += s->expired;
    closed->dead_lettered += s->dead_lettered;
}

void queue_host_close(struct shard *shard, const struct uuid *id)
{
    struct queue *queue = queue_by_id(shard->queues->room, id);
    struct queue_stats stats;
    if (queue == NULL)
        return;
    queue_stats(queue, &stats);
    stats_close(&shard->queues->closed, &stats);
    queue_destroy(queue);
}

void queue_host_trimmed(struct shard *shard, const struct uuid *id)
{
    struct queue *queue = queue_by_id(shard->queues->room, id);
    if (queue != NULL)
        queue_log_moved(queue);
}

void queue_host_retention(struct shard *shard, const struct uuid *id, int64_t after_ack_ms)
{
    struct queue *queue = queue_by_id(shard->queues->room, id);
    if (queue != NULL)
        queue_set_retention(queue, after_ack_ms);
}

// ---- life

struct node_queues *node_queues_create(struct shard *shard)
{
    struct node_queues *nq = mem_zalloc(sizeof *nq);
    const struct queues_options options = {
        .budget = &shard->node->memory,
        .hash_seed = shard->hash_seed,
        .dead_letter = dead_letter,
        .unused = unused,
        .arg = shard,
    };
    nq->shard = shard;
    nq->room = queues_create(&options);
    publisher_init(&nq->publisher, shard->hash_seed);
    mailroom_init(&nq->mail, shard->node->options.shards_count);
    delays_init(&nq->delays, shard);
    list_init(&nq->subscriptions);
    list_init(&nq->letters);
    list_init(&nq->deletions);
    return nq;
}

void node_queues_start(struct node_queues *nq)
{
    const struct node *node = nq->shard->node;
    bool clean = node->found.sequence > 0 && node->recovered.frames == 0;
    queues_start(nq->room, nq->shard->io, nq->shard->port, clean);
    delays_start(&nq->delays);
}

void node_queues_end(struct node_queues *nq)
{
    if (nq == NULL)
        return;
    queues_destroy(nq->room);
    nq->room = NULL;
}

void node_queues_destroy(struct node_queues *nq)
{
    if (nq == NULL)
        return;
    ASSERT(nq->room == NULL);
    LIST_FOR_SAFE (it, &nq->letters)
        mem_free(CONTAINER_OF(it, struct letter_post, link));
    LIST_FOR_SAFE (it, &nq->deletions)
        deletion_free(CONTAINER_OF(it, struct unused_deletion, link));
    delays_fini(&nq->delays);
    publisher_fini(&nq->publisher, &nq->shard->requests);
    mailroom_fini(&nq->mail);
    subscriptions_free(&nq->subscriptions);
    mem_free(nq);
}

// ---- counters

struct status_walk {
    const struct node_queues *nq;
    struct status_queues *out;
};

static void status_add(struct status_queues *out, const struct queue_stats *s)
{
    out->ready += s->ready;
    out->unacked += s->leased;
    out->consumers += s->consumers;
    out->delivered += s->delivered;
    out->redelivered += s->redelivered;
    out->acked += s->settled;
    out->requeued += s->released;
    out->rejected += s->rejected;
    out->expired += s->expired;
    out->dead_lettered += s->dead_lettered;
}

static bool status_queue(void *arg, const struct queue_facts *facts)
{
    const struct status_walk *walk = arg;
    struct queue *queue = queue_by_id(walk->nq->room, &facts->id);
    struct queue_stats stats;
    if (queue == NULL)
        return true; // another shard's
    queue_stats(queue, &stats);
    status_add(walk->out, &stats);
    walk->out->queues++;
    return true;
}

void node_queues_status(const struct node_queues *nq, struct status_queues *out)
{
    const struct publish_stats *p = &nq->publisher.stats;
    struct status_walk walk = {nq, out};
    *out = (struct status_queues){
        .published = p->published,
        .unroutable = p->unroutable,
        .copies = p->copies,
        .batches = p->batches,
        .flights = p->flights,
    };
    status_add(out, &nq->closed);
    queue_facts_each(nq->shard, status_queue, &walk);
}

// ---- the turn's end

static void woken(struct io_msg *msg)
{
    CONTAINER_OF(msg, struct node_queues, wake_msg)->wake_posted = false;
}

void node_queues_turn_end(struct node_queues *nq)
{
    struct shard *shard = nq->shard;
    mail_hear(shard);
    queues_turn_end(nq->room);
    // In this order: what a client acknowledged before it published is settled on the queue's shard
    // before the message comes there, so the confirm says that both are durable.
    mail_turn_end(shard);
    publisher_turn_end(shard);
    if (nq->wake_posted || !(mail_waits(shard) || publisher_waits(shard)))
        return;
    nq->wake_posted = true;
    nq->wake_msg.run = woken;
    io_post(shard->io, &nq->wake_msg);
}
