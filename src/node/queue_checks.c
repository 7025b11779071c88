// SPDX-License-Identifier: Apache-2.0
//
// What is checked of a change to queues, exchanges and bindings on shard 0, and what is written
// down of it.
#include <stdio.h>

#include "base/assert.h"
#include "base/err.h"
#include "node/queue_delay.h"
#include "node/queue_work.h"

// ---- memory of the replicas

static int memory_take(struct shard *shard, size_t cost)
{
    return budget_take(&shard->catalogue.queue_memory, cost * shard->node->options.shards_count);
}

// ---- checks: queues

static bool vhost_ok(struct queue_work *w, struct slice vhost)
{
    bool ok = w->request->internal || vhost_known(w->shard, vhost);
    if (!ok)
        work_refuse(w, ERR_NOT_FOUND, "no such virtual host");
    return ok;
}

static bool name_ok(struct slice name)
{
    return name.len > 0 && name.len <= MESSAGE_NAME_MAX;
}

// Whether the asking connection may touch it at all; answers if not.
static bool queue_open_to(struct queue_work *w, const struct queue_facts *facts)
{
    bool ok = !facts->exclusive || facts->owner == w->request->owner;
    if (!ok)
        work_end(w, ERR_RESOURCE_LOCKED);
    return ok;
}

static bool queue_equal(const struct queue_facts *a, const struct queue_facts *b)
{
    return a->durable == b->durable && a->exclusive == b->exclusive &&
           a->auto_delete == b->auto_delete && slice_same(a->arguments, b->arguments);
}

// An existing topic becomes the queue's log.
static bool topic_take(struct queue_work *w, const struct topic *t)
{
    const struct queue_change *r = w->request;
    const char *name = (const char *)t->name.data;
    int len = (int)t->name.len;
    if (t->queue) {
        work_refuse(w, ERR_EXISTS, "the topic '%.*s' is the log of another queue", len, name);
        return false;
    }
    if (!r->take_topic) {
        work_refuse(w, ERR_EXISTS, "the topic '%.*s' exists and is no queue; x-topic makes it one",
                    len, name);
        return false;
    }
    if (t->partitions_count != 1 || w->queue.levels != 1) {
        work_refuse(w, ERR_EXISTS,
                    "the topic '%.*s' has %u partitions, which may live on several shards: only a "
                    "topic of one partition becomes a queue, and one without priorities",
                    len, name, t->partitions_count);
        return false;
    }
    if (t->config.cleanup_compact) {
        work_refuse(w, ERR_EXISTS, "the topic '%.*s' is compacted", len, name);
        return false;
    }
    w->queue.id = t->id;
    return true;
}

static bool topic_prepare(struct queue_work *w)
{
    char name[QUEUE_TOPIC_NAME_SIZE];
    const struct queue_change *r = w->request;
    queue_topic_name(w->queue.vhost, w->queue.name, name);
    const struct topic *there = topic_by_name(w->shard, slice_cstr(name));
    ASSERT(topic_name_check(slice_cstr(name)) == 0);
    if (there != NULL)
        return topic_take(w, there);
    w->topic = (struct topic){
        .id = w->queue.id,
        .name = slice_dup(slice_cstr(name)),
        .partitions_count = w->queue.levels,
        .created_ms = w->queue.created_ms,
        .queue = true,
        .internal = r->internal,
    };
    w->topic_made = true;
    int64_t kept_ms = w->queue.settings.retention_after_ack_ms;
    if (kept_ms > 0) { // from now on the topic's setting
        char text[32];
        (void)snprintf(text, sizeof text, "%lld", (long long)kept_ms);
        const struct config_change set = {CONFIG_SET, slice_cstr("weir.retention.after.ack.ms"),
                                          slice_cstr(text)};
        int err = config_override_change(&w->topic.overrides, CONFIG_TOPIC, &set, w->request->why,
                                         TOPIC_WHY_MAX);
        ASSERT(err == 0);
    }
    return true;
}

static bool queue_limits_ok(struct queue_work *w)
{
    const struct queue_facts *f = &w->queue;
    struct catalogue *c = &w->shard->catalogue;
    if (!name_ok(f->name) || f->levels == 0 || f->levels > QUEUE_LEVELS_MAX ||
        f->arguments.len > QUEUE_ARGUMENTS_MAX ||
        f->settings.dead_exchange.len > MESSAGE_NAME_MAX ||
        f->settings.dead_key.len > MESSAGE_NAME_MAX) {
        work_refuse(w, ERR_INVALID, "a name or an argument is too long or missing");
        return false;
    }
    if (c->totals.queues >= QUEUES_MAX) {
        work_refuse(w, ERR_LIMIT, "the server has %d queues, its limit", QUEUES_MAX);
        return false;
    }
    if (c->partitions_total + f->levels > TOPIC_PARTITIONS_MAX) {
        work_refuse(w, ERR_LIMIT, "the server would have more than %d partitions, its limit",
                    TOPIC_PARTITIONS_MAX);
        return false;
    }
    return true;
}

// A queue's record and its topic's: a bundle, so that both are durable or neither, wherever the
// turn is cut into groups. A null value: tombstones.
static void queue_topic_write(struct queue_work *w, const struct topic *topic,
                              const struct buf *value)
{
    struct shard *shard = w->shard;
    journal_bundle_begin(shard->port, atomic_fetch_add(&shard->node->next_bundle, 1), 1);
    catalogue_write_topic(shard, topic, value == NULL, NULL, NULL);
    work_write(w, STATE_QUEUE, slice_of(topic->id.bytes, 16), value);
    journal_bundle_end(shard->port);
}

static void queue_write(struct queue_work *w)
{
    if (!queue_is_topic(&w->queue)) {
        work_spread(w);
        return;
    }
    struct buf value;
    buf_init(&value, 1U << 20);
    queue_record_put(&w->queue, &value);
    if (w->topic_made)
        queue_topic_write(w, &w->topic, &value);
    else
        work_write(w, STATE_QUEUE, slice_of(w->queue.id.bytes, 16), &value);
    buf_fini(&value);
}

static void queue_make(struct queue_work *w)
{
    struct queue_change *r = w->request;
    struct catalogue *c = &w->shard->catalogue;
    uint8_t random[16];
    io_random(w->shard->io, random, sizeof random);
    w->queue = r->queue;
    uuid_from_random(random, &w->queue.id);
    uuid_set_version(&w->queue.id, QUEUE_UUID_VERSION);
    w->queue.created_ms = io_wall_ms(w->shard->io);
    w->queue.settings.auto_delete = w->queue.auto_delete;
    w->queue.owner = w->queue.exclusive ? r->owner : 0;
    if (!queue_limits_ok(w) || (queue_is_topic(&w->queue) && !topic_prepare(w)))
        return;
    int err = memory_take(w->shard, queue_cost(&w->queue));
    if (err != 0) {
        work_refuse(w, ERR_LIMIT, "no memory for further queues");
        return;
    }
    c->totals.queues++;
    if (w->topic_made || !queue_is_topic(&w->queue))
        c->partitions_total += w->queue.levels;
    r->queue.id = w->queue.id;
    r->made = true;
    queue_write(w);
}

static void queue_declare(struct queue_work *w)
{
    struct queue_change *r = w->request;
    if (!vhost_ok(w, r->queue.vhost))
        return;
    const struct queue_facts *there = queue_by_name(w->shard, r->queue.vhost, r->queue.name);
    if (there == NULL) {
        queue_make(w);
        return;
    }
    if (!queue_open_to(w, there))
        return;
    if (!queue_equal(there, &r->queue)) {
        work_end(w, ERR_EXISTS);
        return;
    }
    w->queue = *there;
    r->queue.id = there->id;
    work_ask(w);
}

static void queue_delete(struct queue_work *w)
{
    struct queue_change *r = w->request;
    const struct queue_facts *there = queue_by_name(w->shard, r->queue.vhost, r->queue.name);
    if (there == NULL || (r->by_id && !uuid_eq(&r->queue.id, &there->id))) {
        work_end(w, ERR_NOT_FOUND);
        return;
    }
    if (!queue_open_to(w, there))
        return;
    w->queue = *there; // it stays until it is deleted: its name is claimed
    work_ask(w);
}

void queue_tombstone(struct queue_work *w)
{
    struct catalogue *c = &w->shard->catalogue;
    uint32_t levels = w->queue.levels;
    ASSERT(c->totals.queues > 0);
    ASSERT(c->partitions_total >= levels);
    c->totals.queues--;
    c->partitions_total -= levels;
    queue_memory_give(w->shard, queue_cost(&w->queue));
    if (!queue_is_topic(&w->queue)) {
        work_spread(w);
        return;
    }
    const struct topic gone = {.id = w->queue.id};
    queue_topic_write(w, &gone, NULL);
}

void queue_check_asked(struct queue_work *w)
{
    struct queue_change *r = w->request;
    r->messages = w->stats.ready;
    r->consumers = w->stats.consumers;
    if (w->kind == QUEUE_DECLARE || w->asked_err != 0)
        work_end(w, w->asked_err);
    else
        queue_tombstone(w);
}

// ---- checks: exchanges

static bool exchange_equal(const struct exchange *a, const struct exchange *b)
{
    return a->type == b->type && a->durable == b->durable && a->auto_delete == b->auto_delete &&
           a->internal == b->internal && a->delayed == b->delayed &&
           slice_same(a->arguments, b->arguments);
}

static void exchange_write(struct queue_work *w)
{
    struct buf value;
    if (!w->exchange.durable) {
        work_spread(w);
        return;
    }
    buf_init(&value, 1U << 20);
    exchange_record_put(&w->exchange, &value);
    work_write(w, STATE_EXCHANGE, slice_of(w->exchange.id.bytes, 16), &value);
    buf_fini(&value);
}

static void exchange_declare(struct queue_work *w);

// What the exchange needs is there: from the top.
static void ladder_made(void *arg, int err)
{
    struct queue_work *w = arg;
    if (err == 0)
        exchange_declare(w);
    else
        work_refuse(w, err, "the queues that delayed messages wait in cannot be made");
}

static void exchange_declare(struct queue_work *w)
{
    struct queue_change *r = w->request;
    struct catalogue *c = &w->shard->catalogue;
    if (!vhost_ok(w, r->exchange.vhost))
        return;
    const struct exchange *there =
        exchange_find(w->shard->replica.exchanges, r->exchange.vhost, r->exchange.name);
    if (there != NULL) {
        bool known = r->exchange.name.len > 0;
        work_end(w, !known                                ? ERR_ACCESS_REFUSED
                    : exchange_equal(there, &r->exchange) ? 0
                                                          : ERR_EXISTS);
        return;
    }
    if (r->exchange.delayed && !delays_ready(w->shard)) {
        delays_prepare(w->shard, ladder_made, w);
        return;
    }
    if (!name_ok(r->exchange.name) || r->exchange.arguments.len > QUEUE_ARGUMENTS_MAX) {
        work_refuse(w, ERR_INVALID, "a name or an argument is too long");
        return;
    }
    if (c->totals.exchanges >= EXCHANGES_MAX ||
        memory_take(w->shard, exchange_cost(&r->exchange)) != 0) {
        work_refuse(w, ERR_LIMIT, "no room for further exchanges");
        return;
    }
    uint8_t random[16];
    io_random(w->shard->io, random, sizeof random);
    w->exchange = r->exchange;
    w->exchange.preset = false;
    uuid_from_random(random, &w->exchange.id);
    c->totals.exchanges++;
    r->made = true;
    exchange_write(w);
}

void exchange_tombstone(struct queue_work *w, const struct exchange *x)
{
    struct catalogue *c = &w->shard->catalogue;
    w->kind = EXCHANGE_DELETE;
    w->exchange = *x;
    ASSERT(c->totals.exchanges > 0);
    c->totals.exchanges--;
    queue_memory_give(w->shard, exchange_cost(x));
    // What the replica holds is freed while the change still spreads.
    w->exchange.vhost = w->baring != NULL ? w->baring->vhost : w->request->exchange.vhost;
    w->exchange.name = w->baring != NULL ? w->baring->name : w->request->exchange.name;
    if (x->durable)
        work_write(w, STATE_EXCHANGE, slice_of(w->exchange.id.bytes, 16), NULL);
    else
        work_spread(w);
}

static void exchange_delete(struct queue_work *w)
{
    struct queue_change *r = w->request;
    const struct exchange *there =
        exchange_find(w->shard->replica.exchanges, r->exchange.vhost, r->exchange.name);
    if (there == NULL)
        work_end(w, ERR_NOT_FOUND);
    else if (there->preset)
        work_end(w, ERR_ACCESS_REFUSED);
    else if (r->if_unused && there->bindings_out > 0)
        work_end(w, ERR_IN_USE);
    else
        exchange_tombstone(w, there);
}

// ---- checks: bindings

// Both ends are there and open to the asking connection; answers if not.
static bool ends_ok(struct queue_work *w, struct binding_ends *out)
{
    const struct exchange_binding *b = &w->binding;
    const struct exchanges *all = w->shard->replica.exchanges;
    if (b->source.len == 0 || (b->to_exchange && b->destination.len == 0)) {
        work_end(w, ERR_ACCESS_REFUSED);
        return false;
    }
    const struct exchange *source = exchange_find(all, b->vhost, b->source);
    if (source == NULL) {
        work_refuse(w, ERR_NOT_FOUND, "no exchange '%.*s' in vhost '%.*s'", (int)b->source.len,
                    (const char *)b->source.data, (int)b->vhost.len, (const char *)b->vhost.data);
        return false;
    }
    if (!binding_ends_of(w->shard, b, out)) {
        work_refuse(w, ERR_NOT_FOUND, "no %s '%.*s' in vhost '%.*s'",
                    b->to_exchange ? "exchange" : "queue", (int)b->destination.len,
                    (const char *)b->destination.data, (int)b->vhost.len,
                    (const char *)b->vhost.data);
        return false;
    }
    if (b->to_exchange) {
        w->binding.durable =
            source->durable && exchange_find(all, b->vhost, b->destination)->durable;
        return true;
    }
    const struct queue_facts *queue = queue_by_name(w->shard, b->vhost, b->destination);
    w->binding.durable = source->durable && queue_is_topic(queue);
    return queue_open_to(w, queue);
}

static void binding_write(struct queue_work *w, const struct binding_ends *ends, bool gone)
{
    struct buf key, value;
    if (!w->binding.durable) {
        work_spread(w);
        return;
    }
    buf_init(&key, 1U << 20);
    buf_init(&value, 1U << 20);
    binding_record_key(&w->binding, ends, &key);
    if (!gone)
        binding_record_put(&w->binding, &value);
    ASSERT(key.err == 0);
    work_write(w, STATE_BINDING, buf_slice(&key), gone ? NULL : &value);
    buf_fini(&key);
    buf_fini(&value);
}

static bool binding_sizes_ok(const struct exchange_binding *b)
{
    size_t headers = 0;
    for (uint32_t i = 0; i < b->headers_count; i++) {
        if (b->headers[i].name.len > MESSAGE_NAME_MAX)
            return false;
        headers += b->headers[i].name.len + b->headers[i].value.len;
    }
    return b->key.len <= MESSAGE_NAME_MAX && b->arguments.len <= QUEUE_ARGUMENTS_MAX &&
           headers <= QUEUE_ARGUMENTS_MAX && b->headers_count <= QUEUE_ARGUMENTS_MAX / 2;
}

static void binding_add(struct queue_work *w)
{
    struct catalogue *c = &w->shard->catalogue;
    struct binding_ends ends;
    w->binding = w->request->binding;
    if (!vhost_ok(w, w->binding.vhost) || !ends_ok(w, &ends))
        return;
    if (exchange_bound(w->shard->replica.exchanges, &w->binding)) {
        work_end(w, 0);
        return;
    }
    if (!binding_sizes_ok(&w->binding)) {
        work_refuse(w, ERR_INVALID, "a key or an argument is too long");
        return;
    }
    if (c->totals.bindings >= BINDINGS_MAX ||
        memory_take(w->shard, binding_cost(&w->binding)) != 0) {
        work_refuse(w, ERR_LIMIT, "no room for further bindings");
        return;
    }
    c->totals.bindings++;
    w->request->made = true;
    binding_write(w, &ends, false);
}

static void binding_remove(struct queue_work *w)
{
    struct binding_ends ends;
    w->binding = w->request->binding;
    if (!ends_ok(w, &ends))
        return;
    const struct exchange_binding *there = exchange_bound(w->shard->replica.exchanges, &w->binding);
    if (there == NULL) {
        work_end(w, ERR_NOT_FOUND);
        return;
    }
    w->request->made = true;
    binding_write(w, &ends, true);
}

// ---- all kinds

void work_check(struct queue_work *w)
{
    static void (*const check[])(struct queue_work *) = {
        [QUEUE_DECLARE] = queue_declare,       [QUEUE_DELETE] = queue_delete,
        [EXCHANGE_DECLARE] = exchange_declare, [EXCHANGE_DELETE] = exchange_delete,
        [BINDING_ADD] = binding_add,           [BINDING_REMOVE] = binding_remove,
    };
    check[w->kind](w);
}
