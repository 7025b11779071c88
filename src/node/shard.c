// SPDX-License-Identifier: Apache-2.0
//
// A shard's life: built while nothing runs yet, started by a message after recovery, stopped by a
// message. Its turn's end is where writes are scheduled, the turn's frames go to the journal as one
// submission, and back-pressure is decided.
#include "node/shard.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "node/queues_int.h"

// What may be appended and not yet durable, per shard, before its appending connections pause.
#define UNDURABLE_MAX_BYTES (64U << 20)

struct io *shard_io(struct shard *shard)
{
    return shard->io;
}

struct node *shard_node(struct shard *shard)
{
    return shard->node;
}

uint32_t shard_index(const struct shard *shard)
{
    return shard->index;
}

struct groups *shard_groups(struct shard *shard)
{
    return shard->groups;
}

struct journal_port *shard_port(struct shard *shard)
{
    return shard->port;
}

struct budget *shard_request_budget(struct shard *shard)
{
    return &shard->requests;
}

uint64_t shard_hash_seed(const struct shard *shard)
{
    return shard->hash_seed;
}

void shard_set_door(struct shard *shard, enum shard_door which, void *door)
{
    ASSERT(which < SHARD_DOORS);
    ASSERT(shard->doors[which] == NULL);
    shard->doors[which] = door;
}

void *shard_door(const struct shard *shard, enum shard_door which)
{
    ASSERT(which < SHARD_DOORS);
    return shard->doors[which];
}

uint32_t shard_share(const struct shard *shard, uint32_t all)
{
    uint32_t shards = node_shards_count(shard->node);
    return all / shards + (all % shards != 0);
}

bool shard_connection_enter(struct shard *shard, const struct io_addr *peer, uint32_t *out_place)
{
    uint32_t all = shard_share(shard, (uint32_t)shard->broker.max_connections);
    uint32_t each = (uint32_t)shard->broker.max_connections_per_ip;
    uint64_t seed = shard->node->shards[0].hash_seed;
    if (shard->counters.connections >= all ||
        !peers_enter(&shard->node->peers, peer, seed, each, out_place))
        return false;
    shard->counters.connections++;
    return true;
}

void shard_connection_leave(struct shard *shard, uint32_t place)
{
    ASSERT(shard->counters.connections > 0);
    shard->counters.connections--;
    peers_leave(&shard->node->peers, place);
}

const struct broker_config *broker_config(struct shard *shard)
{
    return &shard->broker;
}

const struct config_overrides *broker_overrides(struct shard *shard)
{
    return &shard->broker_overrides;
}

const struct config_overrides *broker_given(struct shard *shard)
{
    return &shard->node->broker_overrides;
}

struct shard_counters *shard_counters(struct shard *shard)
{
    return &shard->counters;
}

bool shard_appends_blocked(const struct shard *shard)
{
    return shard->blocked;
}

// ---- turn's end

// Well below what requests may take: publishers are to pause before they are refused.
static uint64_t undurable_max(const struct shard *shard)
{
    uint64_t quarter = (uint64_t)shard->requests.limit_bytes / 4;
    return quarter < UNDURABLE_MAX_BYTES ? quarter : UNDURABLE_MAX_BYTES;
}

static void pressure_check(struct shard *shard)
{
    // What was published and lies on another shard, or on its way there, counts here: there is
    // nobody else who could pause its publishers.
    const struct publisher *p = &shard->queues->publisher;
    uint64_t open_bytes = journal_port_bytes(shard->port) + p->flights_bytes;
    // Others' requests may have used up the memory: then as little as one flight is too much.
    bool tight =
        p->flights_bytes > 0 && budget_used(&shard->requests) > shard->requests.limit_bytes;
    if (!shard->blocked) {
        shard->blocked = tight || open_bytes > undurable_max(shard);
        return;
    }
    if (tight || open_bytes > undurable_max(shard) / 2)
        return;
    shard->blocked = false;
    const struct node_options *o = &shard->node->options;
    if (o->appends_unblocked != NULL)
        o->appends_unblocked(o->arg, shard);
}

// A turn may bring more than there is memory for, where each message goes to a thousand queues: so
// publishers pause in the middle of it. Its end looks again.
void shard_publishing(struct shard *shard)
{
    const struct publisher *p = &shard->queues->publisher;
    if (p->bytes + p->flights_bytes > undurable_max(shard) ||
        budget_used(&shard->requests) > shard->requests.limit_bytes)
        shard->blocked = true;
}

static void turn_end(void *arg)
{
    struct shard *shard = arg;
    ASSERT(shard->started);
    produce_stalled(shard);
    node_queues_turn_end(shard->queues);
    log_store_turn_end(shard->store);
    journal_flush(shard->port);
    pressure_check(shard);
    if (shard->index == 0)
        trim_look(shard);
}

// ---- calls between shards

static void call_returned(struct io_msg *msg)
{
    struct node_call *call = CONTAINER_OF(msg, struct node_call, msg);
    call->done(call);
}

static void call_arrived(struct io_msg *msg)
{
    struct node_call *call = CONTAINER_OF(msg, struct node_call, msg);
    call->run(call);
}

void node_call_start(struct node_call *call, struct shard *from, uint32_t to_index)
{
    ASSERT(to_index < from->node->options.shards_count);
    ASSERT(call->run != NULL);
    ASSERT(call->done != NULL);
    call->from = from;
    call->to = &from->node->shards[to_index];
    call->msg.run = call_arrived;
    io_post(call->to->io, &call->msg);
}

void node_call_reply(struct node_call *call)
{
    ASSERT(call->to != NULL); // only what was started comes back
    ASSERT(call->from->node == call->to->node);
    call->msg.run = call_returned;
    io_post(call->from->io, &call->msg);
}

struct broadcast_call {
    struct node_call call;
    struct node_broadcast *broadcast;
};

static void broadcast_run(struct node_call *call)
{
    struct node_broadcast *b = CONTAINER_OF(call, struct broadcast_call, call)->broadcast;
    b->run(b, call);
}

static void broadcast_back(struct node_call *call)
{
    struct node_broadcast *b = CONTAINER_OF(call, struct broadcast_call, call)->broadcast;
    ASSERT(b->left > 0);
    if (--b->left > 0)
        return;
    mem_free(b->calls);
    b->calls = NULL;
    b->done(b);
}

void node_broadcast_start(struct node_broadcast *broadcast, struct shard *from)
{
    uint32_t count = from->node->options.shards_count;
    ASSERT(count > 0);
    ASSERT(broadcast->run != NULL);
    ASSERT(broadcast->done != NULL);
    broadcast->calls = mem_zalloc(count * sizeof broadcast->calls[0]);
    broadcast->left = count;
    broadcast->from = from;
    for (uint32_t i = 0; i < count; i++) {
        struct broadcast_call *c = &broadcast->calls[i];
        c->broadcast = broadcast;
        c->call.run = broadcast_run;
        c->call.done = broadcast_back;
        node_call_start(&c->call, from, i);
    }
}

// ---- retention and expiry, now and then

static void tick(struct io_timer *timer)
{
    struct shard *shard = CONTAINER_OF(timer, struct shard, tick);
    int64_t now_ms = io_wall_ms(shard->io);
    MAP_FOR_SAFE (it, &shard->partitions) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        struct partition *p = CONTAINER_OF(node, struct partition, node);
        log_retain(p->log, now_ms);
        if (p->producers != NULL)
            (void)producers_expire(p->producers, now_ms - shard->broker.producer_expiration_ms);
    }
    queues_tick(shard->queues->room, now_ms);
    io_timer_start(shard->io, timer,
                   io_now_ns(shard->io) + shard->broker.retention_check_ms * 1000000);
}

// ---- start

static bool topic_known(void *arg, struct slice name)
{
    return topic_by_name(arg, name) != NULL;
}

void shard_start(struct shard *shard)
{
    if (shard->started)
        return;
    ASSERT(shard->port != NULL);
    ASSERT(shard->broker.retention_check_ms > 0);
    shard->started = true;
    io_on_turn_end(shard->io, turn_end, shard);
    groups_start(shard->groups, shard->io, shard->port);
    groups_topics_check(shard->groups, topic_known, shard);
    node_queues_start(shard->queues);
    if (shard->index == 0)
        trim_start(shard);
    io_timer_init(&shard->tick, tick);
    io_timer_start(shard->io, &shard->tick,
                   io_now_ns(shard->io) + shard->broker.retention_check_ms * 1000000);
}

// ---- building

static bool partition_eq(const struct map_node *node, const void *key)
{
    const struct partition *p = CONTAINER_OF(node, struct partition, node);
    const struct log_key *k = key;
    return p->key.partition == k->partition && uuid_eq(&p->key.topic, &k->topic);
}

static bool topic_name_eq(const struct map_node *node, const void *key)
{
    const struct topic_entry *e = CONTAINER_OF(node, struct topic_entry, by_name);
    return slice_eq(e->topic.name, *(const struct slice *)key);
}

static bool topic_id_eq(const struct map_node *node, const void *key)
{
    const struct topic_entry *e = CONTAINER_OF(node, struct topic_entry, by_id);
    return uuid_eq(&e->topic.id, key);
}

static void store_fatal(void *arg, int err, const char *what)
{
    struct shard *shard = arg;
    node_fail(shard->node, err, what);
}

void shard_broker_changed(struct shard *shard)
{
    const struct config_overrides none = {0};
    config_broker_effective(&shard->broker_overrides, &shard->broker);
    config_topic_effective(&none, &shard->broker_overrides, &shard->plain_topic);
}

static int shard_actors(struct shard *shard)
{
    char name[16];
    struct io_world *world = shard->node->options.world;
    struct {
        const char *what;
        enum io_kind kind;
        struct io **out;
    } const actors[] = {{"shard", IO_LOOP, &shard->io},
                        {"writer", IO_WORKER, &shard->writer},
                        {"reader", IO_WORKER, &shard->reader}};
    for (size_t i = 0; i < sizeof actors / sizeof actors[0]; i++) {
        struct buf text;
        buf_init(&text, sizeof name);
        buf_printf(&text, "%s-%u", actors[i].what, shard->index % 1000);
        slice_to_cstr(buf_slice(&text), name, sizeof name);
        buf_fini(&text);
        const struct io_actor_options o = {.name = name, .kind = actors[i].kind};
        int err = io_actor_create(world, &o, actors[i].out);
        if (err != 0)
            return err;
    }
    return 0;
}

static void shard_maps(struct shard *shard)
{
    io_random(shard->node->journal_io, &shard->hash_seed, sizeof shard->hash_seed);
    map_init(&shard->partitions, partition_eq, shard->hash_seed);
    map_init(&shard->topics_by_name, topic_name_eq, shard->hash_seed);
    map_init(&shard->topics_by_id, topic_id_eq, shard->hash_seed);
    group_settings_init(shard);
    queue_replica_init(shard);
}

static struct groups *shard_make_groups(struct shard *shard)
{
    struct groups_options o;
    groups_options_default(&o);
    o.budget = &shard->node->memory;
    o.hash_seed = shard->hash_seed;
    o.initial_rebalance_delay_ms = (int32_t)shard->broker.group_initial_rebalance_delay_ms;
    o.min_session_timeout_ms = (int32_t)shard->broker.group_min_session_ms;
    o.max_session_timeout_ms = (int32_t)shard->broker.group_max_session_ms;
    o.max_size = (uint32_t)shard->broker.group_max_size;
    o.offset_metadata_max_bytes = (uint32_t)shard->broker.offset_metadata_max_bytes;
    o.offsets_retention_ms = shard->broker.offsets_retention_ms;
    return groups_create(&o);
}

int shard_init(struct node *node, uint32_t index)
{
    struct shard *shard = &node->shards[index];
    const struct node_scale *scale = &node->options.scale;
    int64_t share = node->memory.limit_bytes / node->options.shards_count;
    ASSERT(index < node->options.shards_count);
    shard->node = node;
    shard->index = index;
    config_overrides_copy(&shard->broker_overrides, &node->broker_overrides);
    shard_broker_changed(shard);
    budget_init(&shard->requests, share / 2, &node->memory);
    budget_init(&shard->tails, share / 4, &node->memory);
    budget_init(&shard->memory_logs, share / 4, &node->memory);
    budget_init(&shard->reads, share / 8, &node->memory);
    int err = shard_actors(shard);
    if (err != 0)
        return err;
    shard_maps(shard);
    list_init(&shard->stalled);
    list_init(&shard->stalled_memory);
    catalogue_init(shard);
    shard->groups = shard_make_groups(shard);
    shard->queues = node_queues_create(shard);
    const struct log_store_options o = {
        .shard = shard->io,
        .writer = shard->writer,
        .reader = shard->reader,
        .recovery = node->journal_io,
        .tail_budget = &shard->tails,
        .memory_budget = &shard->memory_logs,
        .read_budget = &shard->reads,
        .tail_bytes_per_log = shard->broker.tail_bytes,
        .write_min_bytes = scale->write_min_bytes != 0 ? scale->write_min_bytes : 256U << 10,
        .files_max = scale->files_max != 0 ? scale->files_max : 256,
        .journal_dir = NODE_JOURNAL_DIR,
        .fatal = store_fatal,
        .arg = shard,
    };
    return log_store_create(&o, &shard->store);
}

void shard_fini(struct shard *shard)
{
    MAP_FOR_SAFE (it, &shard->partitions) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        partition_forget(CONTAINER_OF(node, struct partition, node));
    }
    MAP_FOR_SAFE (it, &shard->topics_by_id) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        topic_entry_remove(shard, CONTAINER_OF(node, struct topic_entry, by_id));
    }
    if (shard->store != NULL)
        log_store_destroy(shard->store);
    if (shard->groups != NULL)
        groups_destroy(shard->groups);
    journal_port_destroy(shard->port);
    catalogue_fini(shard);
    map_fini(&shard->partitions);
    map_fini(&shard->topics_by_name);
    map_fini(&shard->topics_by_id);
    group_settings_fini(shard);
    queue_replica_fini(shard);
    config_overrides_fini(&shard->broker_overrides);
}
