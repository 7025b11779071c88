// SPDX-License-Identifier: Apache-2.0
//
// The start, on the journal's actor, while nothing else runs: lock the directory, load the newest
// checkpoint's records, replay the journal behind it, cut the logs to what is known, and hand
// everything to the shards. Nothing here depends on the number of shards of earlier starts: each
// record finds its shard by hash.
//
// Records may come in any order between shards (a log's before its topic's), so partitions are made
// when first named, and those whose topic turns out to be gone are dropped at the end.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bugs.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/node_int.h"

void partition_key_put(const struct log_key *key, uint8_t out[20])
{
    memcpy(out, key->topic.bytes, 16);
    le32_put(out + 16, (uint32_t)key->partition);
}

static int partition_key_get(struct slice bytes, struct log_key *out)
{
    if (bytes.len != 20)
        return ERR_CORRUPT;
    memcpy(out->topic.bytes, bytes.data, 16);
    out->partition = (int32_t)le32_get(bytes.data + 16);
    return 0;
}

static struct shard *owner_of(struct node *node, const struct log_key *key)
{
    return &node->shards[node_shard_of_partition(node, &key->topic, key->partition)];
}

static int partition_named(struct node *node, const struct log_key *key, struct partition **out)
{
    struct shard *shard = owner_of(node, key);
    *out = partition_find(shard, key);
    if (*out != NULL)
        return 0;
    const struct topic_entry *topic = topic_entry_by_id(shard, &key->topic);
    const struct log_options options =
        partition_log_options(topic != NULL ? &topic->topic.config : &shard->plain_topic);
    return partition_make(shard, key, &options, out);
}

// ---- state records, from snapshots and from the journal alike

static int apply_node(struct node *node, const struct state_record *r)
{
    if (slice_eq_cstr(r->key, STATE_NODE_EPOCH) && r->value.len == 4)
        node->epoch = (int32_t)le32_get(r->value.data);
    else if (slice_eq_cstr(r->key, STATE_NODE_CLUSTER) && r->value.len == 16)
        memcpy(node->cluster.bytes, r->value.data, 16);
    else if (slice_eq_cstr(r->key, STATE_NODE_PRODUCER_IDS) && r->value.len == 8)
        node->shards[0].catalogue.ids_block_end = (int64_t)le64_get(r->value.data);
    else
        return ERR_CORRUPT;
    return 0;
}

static int apply_topic(struct node *node, const struct state_record *r)
{
    struct topic topic = {0};
    if (r->key.len != 16)
        return ERR_CORRUPT;
    memcpy(topic.id.bytes, r->key.data, 16);
    for (uint32_t i = 0; i < node->options.shards_count; i++) {
        struct shard *shard = &node->shards[i];
        struct topic_entry *there = topic_entry_by_id(shard, &topic.id);
        bool relaxed = there != NULL && (there->was_relaxed || there->topic.config.relaxed);
        if (there != NULL)
            topic_entry_remove(shard, there);
        if (r->value.data == NULL)
            continue;
        int err = topic_record_get(r->value, &topic);
        if (err != 0)
            return err;
        // Replay begins before the snapshot's cut. If the name belongs to a topic made later, this
        // one was deleted before that, and the record that says so is still to come.
        if (topic_by_name(shard, topic.name) != NULL) {
            slice_free(topic.name);
            config_overrides_fini(&topic.overrides);
            continue;
        }
        topic_entry_add(shard, &topic)->was_relaxed = relaxed;
    }
    return 0;
}

static int apply_log(struct node *node, const struct state_record *r)
{
    struct log_key key;
    struct partition *p = NULL;
    int err = log_record_key(r, &key);
    if (err == 0 && r->kind == STATE_LOG && r->value.data == NULL)
        return 0; // the last of a deleted topic's frames
    if (err == 0)
        err = partition_named(node, &key, &p);
    return err != 0 ? err : log_restore_record(p->log, r);
}

static int apply_producers(struct node *node, const struct state_record *r)
{
    struct log_key key;
    struct partition *p = NULL;
    int err = partition_key_get(r->key, &key);
    if (err == 0)
        err = partition_named(node, &key, &p);
    if (err != 0)
        return err;
    if (p->producers == NULL)
        p->producers = producers_create(p->shard->hash_seed);
    return producers_restore(p->producers, r->value);
}

static int apply_group(struct node *node, const struct state_record *r)
{
    struct slice group;
    int err = groups_record_group(r, &group);
    if (err != 0)
        return err;
    uint32_t owner = node_shard_of_group(node, group);
    return groups_restore_record(node->shards[owner].groups, r);
}

static int apply_leases(struct node *node, const struct state_record *r)
{
    struct log_key key;
    int err = queues_record_key(r, &key);
    return err != 0 ? err : queues_restore_record(shard_queues(owner_of(node, &key)), r);
}

static int apply_broker_config(struct node *node, const struct state_record *r)
{
    const struct config_change change = {r->value.data != NULL ? CONFIG_SET : CONFIG_DELETE, r->key,
                                         r->value};
    char why[256];
    for (uint32_t i = 0; i < node->options.shards_count; i++) {
        // A setting of another version that is unknown here is no reason not to start.
        (void)config_override_change(&node->shards[i].broker_overrides, CONFIG_BROKER, &change, why,
                                     sizeof why);
        config_overrides_fill(&node->shards[i].broker_overrides, &node->broker_overrides);
        shard_broker_changed(&node->shards[i]);
    }
    return 0;
}

static int apply_group_config(struct node *node, const struct state_record *r)
{
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < node->options.shards_count; i++)
        err = group_settings_restore(&node->shards[i], r);
    return err;
}

static int record_apply(void *arg, const struct state_record *record)
{
    struct node *node = arg;
    switch (record->kind) {
    case STATE_NODE:
        return apply_node(node, record);
    case STATE_TOPIC:
        return apply_topic(node, record);
    case STATE_LOG:
    case STATE_SEGMENT:
        return apply_log(node, record);
    case STATE_PRODUCERS:
        return apply_producers(node, record);
    case STATE_OFFSET:
    case STATE_GROUP:
        return apply_group(node, record);
    case STATE_LEASES:
        return apply_leases(node, record);
    case STATE_BROKER_CONFIG:
        return apply_broker_config(node, record);
    case STATE_GROUP_CONFIG:
        return apply_group_config(node, record);
    case STATE_QUEUE:
    case STATE_EXCHANGE:
    case STATE_BINDING:
        return queue_restore_record(node, record);
    default:
        return ERR_FORMAT_VERSION; // written by a newer version
    }
}

// ---- frames

static int frame_of_log(struct node *node, const struct journal_replayed *frame)
{
    struct log_key key;
    struct partition *p = NULL;
    struct batch batch;
    bool applied = false;
    int err = log_frame_key(frame, &key);
    // A topic is durable before its first batch, and its deletion is among what was loaded: frames
    // from before that may still lie in the journal.
    if (err == 0 && topic_entry_by_id(owner_of(node, &key), &key.topic) == NULL)
        return 0;
    if (err == 0)
        err = partition_named(node, &key, &p);
    if (err == 0)
        err = log_replay(p->log, frame, &batch, &applied);
    if (err != 0)
        return err;
    p->touched |= applied;
    bool records = frame->kind == JOURNAL_BATCH || frame->kind == JOURNAL_REFERENCE;
    if (!applied || !records || batch.producer_id < 0)
        return 0;
    if (p->producers == NULL)
        p->producers = producers_create(p->shard->hash_seed);
    producers_append(p->producers, &batch, io_wall_ms(node->journal_io));
    return 0;
}

static int frame_of_queue(struct node *node, const struct journal_replayed *frame)
{
    struct log_key key;
    int err = queues_frame_key(frame, &key);
    return err != 0 ? err : queues_replay(shard_queues(owner_of(node, &key)), frame);
}

static int frame_apply(void *arg, const struct journal_replayed *frame)
{
    struct node *node = arg;
    if (frame->kind == JOURNAL_STATE) {
        struct cursor in = cursor_of(frame->body);
        struct state_record record;
        if (state_get(&in, &record) != 0)
            return ERR_CORRUPT;
        // No snapshot has it: the next one, which lets the journal forget it, must carry it.
        static const uint32_t masters = 1U << STATE_TOPIC | 1U << STATE_BROKER_CONFIG |
                                        1U << STATE_GROUP_CONFIG | 1U << STATE_QUEUE |
                                        1U << STATE_EXCHANGE | 1U << STATE_BINDING;
        if (record.kind < 32 && (masters >> record.kind & 1) != 0)
            state_put(&node->shards[0].catalogue.delta, &record);
        return record_apply(node, &record);
    }
    if (frame->kind == JOURNAL_BATCH || frame->kind == JOURNAL_REFERENCE ||
        frame->kind == JOURNAL_LOG_START || frame->kind == JOURNAL_LOG_DROP)
        return frame_of_log(node, frame);
    if (frame->kind == JOURNAL_LEASE)
        return frame_of_queue(node, frame);
    return ERR_FORMAT_VERSION;
}

static int frame_verify(void *arg, const struct journal_replayed *frame)
{
    struct node *node = arg;
    return log_reference_verify(node->journal_io, frame);
}

// ---- after the replay

static void found_batch(void *arg, const struct batch *batch)
{
    struct partition *p = arg;
    if (batch->producer_id < 0)
        return;
    if (p->producers == NULL)
        p->producers = producers_create(p->shard->hash_seed);
    producers_append(p->producers, batch, batch->max_timestamp_ms);
}

static int topic_partitions(struct node *node, const struct topic *topic)
{
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        const struct log_key key = {topic->id, (int32_t)i};
        struct partition *p = NULL;
        int err = partition_named(node, &key, &p);
        if (err != 0)
            return err;
        p->known = true;
        struct log_options options = partition_log_options(&topic->config);
        options.was_relaxed = CONTAINER_OF(topic, const struct topic_entry, topic)->was_relaxed;
        log_set_options(p->log, &options);
    }
    node->shards[0].catalogue.partitions_total += topic->partitions_count;
    return 0;
}

struct topic_walk {
    struct node *node;
    int err;
};

static bool topic_walk(void *arg, const struct topic *topic)
{
    struct topic_walk *walk = arg;
    walk->err = topic_partitions(walk->node, topic);
    return walk->err == 0;
}

static int shard_logs_recover(struct shard *shard)
{
    MAP_FOR_SAFE (it, &shard->partitions) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        struct partition *p = CONTAINER_OF(node, struct partition, node);
        if (!p->known) { // its topic was deleted
            partition_drop(p);
            continue;
        }
        int err = log_recover(p->log, shard->node->journal_io, found_batch, p);
        if (err != 0)
            return err;
    }
    return 0;
}

static int logs_recover(struct node *node)
{
    struct topic_walk walk = {node, queue_restore_build(node)};
    for (uint32_t i = 0; i < node->options.shards_count;
         i++) { // settings may have come after topics
        struct shard *shard = &node->shards[i];
        MAP_FOR_SAFE (it, &shard->topics_by_id) {
            struct map_node *n = CONTAINER_OF(it, struct map_node, order);
            topic_effective(shard, &CONTAINER_OF(n, struct topic_entry, by_id)->topic);
        }
    }
    if (walk.err == 0)
        topic_each(&node->shards[0], topic_walk, &walk);
    for (uint32_t i = 0; i < node->options.shards_count && walk.err == 0; i++)
        walk.err = shard_logs_recover(&node->shards[i]);
    return walk.err != 0 ? walk.err : queue_restore_open(node);
}

// ---- the steps

static int step_lock(struct node *node)
{
    static const char *const dirs[] = {"journal", "snapshot", "log"};
    struct io *io = node->journal_io;
    int err = io_lock(io, "LOCK", "starting\n", &node->lock);
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0] && err == 0; i++)
        err = io_mkdir(io, dirs[i]);
    return err;
}

static void on_fatal(void *arg, int err, const char *what)
{
    node_fail(arg, err, what);
}

static void on_want_checkpoint(void *arg, bool urgent);

static void asked_checkpoint_done(struct checkpoint_request *request)
{
    struct asked_checkpoint *asked = CONTAINER_OF(request, struct asked_checkpoint, request);
    asked->under_way = false;
    if (asked->again && request->err != ERR_STOPPED)
        on_want_checkpoint(asked->node, request->urgent);
}

// On the journal's actor. The journal asks once per level, so no order may get lost: what comes
// while one is under way is repeated behind it (the recycling that shows that the journal is still
// full comes before the checkpoint's answer), and an urgent one does not wait for one that is not.
static void on_want_checkpoint(void *arg, bool urgent)
{
    struct node *node = arg;
    struct asked_checkpoint *asked = &node->asked_checkpoints[urgent];
    asked->again = asked->under_way;
    if (asked->under_way)
        return;
    asked->under_way = true;
    asked->node = node;
    asked->request = (struct checkpoint_request){
        .reply_to = node->journal_io,
        .urgent = urgent,
        .done = asked_checkpoint_done,
    };
    checkpoint_request(node->checkpointer, &asked->request);
}

static int step_journal(struct node *node)
{
    const struct broker_config *c = &node->broker;
    uint64_t first_bytes = node->options.scale.journal_first_bytes;
    const struct journal_options options = {
        .dir = NODE_JOURNAL_DIR,
        .file_bytes = c->journal_file_bytes,
        .first_file_bytes = first_bytes != 0 ? first_bytes : 1U << 20,
        .files_max = (uint32_t)c->journal_files,
        .direct_min_bytes = c->journal_direct_min_bytes,
        .group_max_bytes = c->journal_file_bytes / 8,
        .actor = node->journal_io,
        .checkpointer = node->checkpoint_io,
        .ports_count = node->options.shards_count,
        .fatal = on_fatal,
        .want_checkpoint = on_want_checkpoint,
        .arg = node,
    };
    const struct journal_replay replay = {frame_apply, frame_verify, node};
    uint64_t from = node->found.replay_lsn;
    return journal_open(node->journal_io, &options, from, &replay, &node->recovered,
                        &node->journal);
}

static int step_ports(struct node *node)
{
    struct checkpoint_part *parts =
        mem_zalloc(node->options.shards_count * sizeof(struct checkpoint_part));
    for (uint32_t i = 0; i < node->options.shards_count; i++) {
        struct shard *shard = &node->shards[i];
        shard->port = journal_port_create(node->journal, i, shard->io);
        log_store_set_port(shard->store, shard->port);
        parts[i] = (struct checkpoint_part){shard->io, shard_cut, shard_cut_settled, shard};
    }
    const struct checkpoint_options options = {
        .actor = node->checkpoint_io,
        .journal = node->journal,
        .parts = parts,
        .parts_count = node->options.shards_count,
        .min_interval_ms = node->broker.checkpoint_min_interval_ms,
        .fatal = on_fatal,
        .arg = node,
    };
    int err = checkpointer_create(&options, &node->found, &node->checkpointer);
    mem_free(parts);
    return err;
}

static void step_identity(struct node *node)
{
    if (uuid_is_zero(&node->cluster)) {
        uint8_t random[16];
        io_random(node->journal_io, random, sizeof random);
        uuid_from_random(random, &node->cluster);
    }
    uuid_to_text(&node->cluster, node->cluster_text);
    if (node->epoch < 0 || !bug(BUG_FORGET_EPOCH))
        node->epoch++; // KIP-320: who read what this crash took away finds out by the epoch
}

static void start_failed(struct node *node, int err, const char *what)
{
    char why[512];
    const char *detail = node->found.damage[0] != '\0'       ? node->found.damage
                         : node->recovered.damage[0] != '\0' ? node->recovered.damage
                                                             : err_text(err);
    (void)snprintf(why, sizeof why, "%s: %s", what, detail);
    atomic_store(&node->state, NODE_FAILED);
    if (node->options.started != NULL)
        node->options.started(node->options.arg, err, why);
}

void node_recover(struct io_msg *msg)
{
    struct node *node = CONTAINER_OF(msg, struct node, recover_msg);
    const char *what = "The data directory cannot be locked";
    int err = step_lock(node);
    if (err == 0) {
        what = "What queues in memory have left cannot be removed";
        err = log_spill_wipe(node->journal_io);
    }
    if (err == 0) {
        what = "The checkpoint cannot be read";
        err = checkpoint_load(node->journal_io, record_apply, node, false, &node->found);
    }
    if (err == 0) {
        what = "The journal cannot be replayed";
        err = step_journal(node);
    }
    if (err == 0) {
        what = "The logs cannot be recovered";
        err = logs_recover(node);
    }
    if (err == 0) {
        what = "The checkpointer cannot start";
        err = step_ports(node);
    }
    if (err != 0) {
        start_failed(node, err, what);
        return;
    }
    step_identity(node);
    if (node->recovered.groups > 0)
        node_say(node, NODE_INFO, "replayed %llu groups, %llu frames from the journal%s",
                 (unsigned long long)node->recovered.groups,
                 (unsigned long long)node->recovered.frames,
                 node->recovered.cut ? "; a torn last group was cut" : "");
    struct catalogue *c = &node->shards[0].catalogue;
    c->ids.next = c->ids_block_end;
    c->ids.end = c->ids_block_end;
    c->ids.durable_end = c->ids_block_end;
    node_begin(node);
}
