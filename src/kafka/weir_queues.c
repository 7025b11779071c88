// SPDX-License-Identifier: Apache-2.0
//
// WeirQueues: queues with what is in them, for `weir queue`; with a name, its bindings as well.
// Like WeirStatus it uses the door that is there anyway.
#include <string.h>

#include "kafka/kafka_int.h"
#include "node/queue_list.h"
#include "wire/gen/kafka_weir_queues.h"

static void queue_fill(struct kafka_request *r, const struct queue_listed *from,
                       struct kafka_weir_queues_response_queue *to)
{
    const struct queue_stats *s = &from->stats;
    char *topic = kafka_alloc(r, QUEUE_TOPIC_NAME_SIZE, 1);
    if (topic == NULL)
        return; // answered
    topic[0] = '\0';
    if (from->durable && !from->exclusive)
        queue_topic_name(from->vhost, from->name, topic);
    to->vhost = from->vhost;
    to->name = from->name;
    to->topic = slice_cstr(topic);
    to->durable = from->durable;
    to->exclusive = from->exclusive;
    to->auto_delete = from->auto_delete;
    to->levels = (int32_t)from->levels;
    to->message_ttl_ms = from->settings.message_ttl_ms;
    to->expires_ms = from->settings.expires_ms;
    to->delivery_limit = (int32_t)from->settings.delivery_limit;
    to->single_active = from->settings.single_active;
    if (from->settings.dead_letter)
        to->dead_exchange = from->settings.dead_exchange;
    to->dead_key = from->settings.dead_key;
    to->ready = (int64_t)s->ready;
    to->leased = (int64_t)s->leased;
    to->consumers = (int64_t)s->consumers;
    to->delivered = (int64_t)s->delivered;
    to->redelivered = (int64_t)s->redelivered;
    to->settled = (int64_t)s->settled;
    to->released = (int64_t)s->released;
    to->rejected = (int64_t)s->rejected;
    to->expired = (int64_t)s->expired;
    to->dead_lettered = (int64_t)s->dead_lettered;
    to->size_bytes = (int64_t)s->size_bytes;
    to->idle_since_ms = s->idle_since_ms;
    to->head_ms = s->head_ms;
}

struct bindings_fill {
    struct slice name;
    struct kafka_weir_queues_response_binding *out; // NULL: only counted
    uint32_t count;
};

static bool binding_fill(void *arg, const struct exchange_binding *b)
{
    struct bindings_fill *fill = arg;
    if (b->to_exchange || !slice_eq(b->destination, fill->name))
        return true;
    if (fill->out != NULL)
        fill->out[fill->count] = (struct kafka_weir_queues_response_binding){
            .source = b->source,
            .key = b->key,
            .to_exchange = b->to_exchange,
            .vhost = b->vhost,
            .destination = b->destination,
        };
    fill->count++;
    return true;
}

// Of one queue: the replica is this shard's, and lives as long as the turn in which it is encoded.
static bool bindings_fill(struct kafka_request *r, struct kafka_weir_queues_response *answer)
{
    const struct kafka_weir_queues_request *q = r->message;
    struct exchanges *exchanges = shard_exchanges(kafka_shard(r));
    struct bindings_fill fill = {.name = q->name};
    if (q->name.data == NULL)
        return true;
    exchange_bindings_each(exchanges, q->vhost, binding_fill, &fill);
    fill.out = kafka_alloc_default(r, &kafka_weir_queues_response_binding_type, fill.count);
    if (fill.out == NULL)
        return false;
    fill.count = 0;
    exchange_bindings_each(exchanges, q->vhost, binding_fill, &fill);
    answer->bindings = fill.out;
    answer->bindings_count = fill.count;
    return true;
}

static void queues_answer(void *arg)
{
    struct kafka_request *r = arg;
    struct kafka_weir_queues_response answer;
    size_t count;
    const struct queue_listed *items = queue_list_items(r->state, &count);
    wire_default(&kafka_weir_queues_response_type, &answer);
    answer.queues = kafka_alloc_default(r, &kafka_weir_queues_response_queue_type, (uint32_t)count);
    if (answer.queues == NULL || !bindings_fill(r, &answer))
        return;
    for (size_t i = 0; i < count; i++)
        if (!items[i].gone)
            queue_fill(r, &items[i], &answer.queues[answer.queues_count++]);
    kafka_answer(r, &answer);
}

void kafka_weir_queues_fini(struct kafka_request *r)
{
    queue_list_free(r->state);
}

void kafka_weir_queues_handle(struct kafka_request *r)
{
    const struct kafka_weir_queues_request *q = r->message;
    r->state = queue_list_start(kafka_shard(r), q->vhost, q->name, queues_answer, r);
}
