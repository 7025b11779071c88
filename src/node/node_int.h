// SPDX-License-Identifier: Apache-2.0
//
// Inside the node: the structs that its files share. Who owns what:
//   node       the actors, the journal, the checkpointer, the shards, the lock; written only while
//   one thread runs (start, destroy) shard      its store, groups, replica of the catalogue,
//   partitions; touched by its own actor only catalogue  shard 0's: changes under way, and what the
//   next cut must carry
#ifndef WEIR_NODE_NODE_INT_H
#define WEIR_NODE_NODE_INT_H

#include "node/claims.h"
#include "node/kept.h"
#include "node/partitions.h"
#include "node/peers.h"
#include "node/queues.h"
#include "node/status.h"

struct partition {
    struct map_node node; // in shard->partitions
    struct log_key key;
    struct shard *shard;
    struct log *log;
    struct producers *producers; // NULL until an idempotent producer writes here
    bool known;                  // its topic exists (recovery: a record may come before its topic)
    bool touched;                // replay appended to it
};

struct topic_entry {
    struct topic topic;
    struct map_node by_name, by_id;
    bool was_relaxed; // recovery: one of its records since the checkpoint said so
};

struct catalogue {             // shard 0
    struct list pending;       // changes under way (struct change, catalogue.c)
    struct list queue_pending; // struct queue_work, queue_changes.c
    struct claims claims;      // of both
    struct buf delta,
        in_cut; // state records since the last installed cut; those of the cut under way
    struct producer_ids ids;
    int64_t ids_block_end; // of the newest block that was journalled
    bool ids_requested;
    struct list ids_waiting; // struct producer_id_take
    uint64_t partitions_total;
    struct queue_totals { // with those under way
        uint64_t queues, exchanges, bindings;
    } totals;
    struct budget queue_memory; // of all shards' replicas
};

struct queue_entry { // a queue, as every shard knows it
    struct queue_facts facts;
    struct map_node by_name, by_id;
};

struct queue_replica {
    struct map by_name, by_id; // struct queue_entry
    struct exchanges *exchanges;
    uint32_t vhosts_extra; // made because of "*"
    uint32_t hidden;       // queues
    uint64_t holders;
};

struct shard_cut { // the checkpoint's cut under way
    struct checkpoint_cut *cut;
    struct journal_barrier before, after;
    struct log_cut logs;
    int err;
};

struct memory_trim { // trim.c; on shard 0
    struct io_timer timer;
    int64_t peak_bytes; // since the last one
    bool low;           // at the last look
};

#define NODE_JOURNAL_DIR "journal"

struct shard {
    struct node *node;
    uint32_t index;
    struct io *io, *writer, *reader;
    struct journal_port *port;
    struct log_store *store;
    struct groups *groups;
    struct node_queues *queues; // queue_host.c: the queue room, publishing, mail
    struct map partitions;      // by log_key
    struct map topics_by_name, topics_by_id;
    struct map group_settings;                // by the group's name
    struct config_overrides broker_overrides; // each shard has its copy
    struct broker_config broker;
    struct topic_config plain_topic; // what a topic without overrides gets
    struct queue_replica replica;
    struct catalogue catalogue;
    struct list stalled, stalled_memory; // produce.c: batches of queues that wait for room
    struct budget requests, tails, memory_logs, reads;
    struct io_timer tick;
    struct memory_trim trim;
    struct shard_cut cut;
    struct { // the checkpoint that a topic's return from flush.messages asks for
        struct checkpoint_request request;
        bool under_way, again;
    } strict;
    struct shard_counters counters;
    void *doors[SHARD_DOORS];
    uint64_t hash_seed;
    bool blocked;
    bool doors_open;
    bool producers_full; // the next cut carries every partition's producers
    bool started;        // see shard_start
    struct node_call *stop_call;
    struct journal_barrier stop_barrier;
};

enum node_state { NODE_STARTING, NODE_RUNNING, NODE_STOPPING, NODE_STOPPED, NODE_FAILED };

struct node {
    struct node_options options;
    struct config_overrides broker_overrides; // as given at the start
    struct broker_config broker;
    struct io *journal_io, *checkpoint_io;
    struct journal *journal;
    struct checkpointer *checkpointer;
    struct checkpoint_found found;
    struct journal_recovery recovered;
    struct shard *shards;
    struct io_file *lock;
    struct budget memory;
    struct peers peers;
    struct uuid cluster;
    char cluster_text[UUID_TEXT_SIZE];
    int32_t id;
    int32_t epoch; // -1: a new store
    int64_t started_ns;
    struct kept_records *restore; // recovery: queues, exchanges, bindings
    _Atomic(int) state;
    _Atomic(uint64_t) next_bundle;
    int doors_err; // of the shard that opened last
    struct node_call open_call;
    struct io_msg recover_msg, identity_msg, stop_msg, quiet_msg;
    struct node_broadcast doors;
    void (*stopped)(void *arg);
    void *stopped_arg;
    struct checkpoint_request last_checkpoint;
    struct asked_checkpoint { // by the journal; its actor's: [1] is urgent
        struct checkpoint_request request;
        struct node *node;
        bool under_way, again;
    } asked_checkpoints[2];
};

// node.c
void node_fail(struct node *node, int err, const char *what);
void node_begin(struct node *node); // after recovery, on the journal's actor
// recover.c
void node_recover(struct io_msg *msg); // on the journal's actor
void partition_key_put(const struct log_key *key, uint8_t out[20]);
// shard.c
int shard_init(struct node *node, uint32_t index);
void shard_fini(struct shard *shard);

// trim.c
void trim_start(struct shard *shard);
void trim_look(struct shard *shard);

// On the shard, before anything else it does; more than once is fine. Who comes first (the start's
// own round, a checkpoint's cut) is up to the mail.
void shard_start(struct shard *shard);
void shard_broker_changed(struct shard *shard); // recomputes effective values
// cut.c
void shard_cut(void *arg, struct checkpoint_cut *cut);
void shard_cut_settled(void *arg, bool installed);
// catalogue.c
enum change_kind {
    CHANGE_CREATE,
    CHANGE_DELETE,
    CHANGE_GROW,
    CHANGE_ALTER,
    CHANGE_BROKER,
    CHANGE_GROUP
};
// On shard 0: checks, journals and spreads the change that `call` asks for; then answers the call.
// *err and why (TOPIC_WHY_MAX) tell the result.
void catalogue_change(enum change_kind kind, struct node_call *call, struct slice name, int *err,
                      char *why);
typedef void catalogue_durable_fn(void *arg, const struct journal_frame *frame, int err);
void catalogue_write(struct shard *shard, const struct state_record *record,
                     catalogue_durable_fn *done, void *arg);
void catalogue_write_topic(struct shard *shard, const struct topic *topic, bool tombstone,
                           catalogue_durable_fn *done, void *arg);
uint64_t claim_topic(struct slice name); // names that collide have the same
void catalogue_init(struct shard *shard);
void catalogue_fini(struct shard *shard);
void catalogue_cut(struct shard *shard, bool full, struct buf *out);
void catalogue_settled(struct shard *shard, bool installed);
// producer_id.c: journals the next block
void producer_ids_request(struct shard *shard);
// topic_record.c: value of STATE_TOPIC; the key is the UUID
void topic_record_put(const struct topic *topic, struct buf *out);
int topic_record_get(struct slice value, struct topic *out); // name and overrides are new memory
// The settings inside, also of other records; unknown ones are dropped. `in` carries the error.
void overrides_put(const struct config_overrides *overrides, struct buf *out);
void overrides_get(struct cursor *in, enum config_scope scope, uint16_t count,
                   struct config_overrides *out);
// group_settings.c: settings of consumer groups; each shard has its copy. The value of
// STATE_GROUP_CONFIG; the key is the group's name.
void group_settings_init(struct shard *shard);
void group_settings_fini(struct shard *shard);
void group_settings_set(struct shard *shard, struct slice group,
                        const struct config_overrides *overrides); // none: forgets the group
int group_settings_restore(struct shard *shard, const struct state_record *record);
void group_settings_record(const struct config_overrides *overrides, struct buf *out);
void group_settings_cut(struct shard *shard, struct buf *out); // a state record for each group
// topics.c: the replica
struct topic_entry *topic_entry_add(struct shard *shard,
                                    struct topic *topic); // takes over name and overrides
struct topic_entry *topic_entry_by_id(struct shard *shard, const struct uuid *id);
void topic_entry_remove(struct shard *shard, struct topic_entry *entry);
void topic_effective(struct shard *shard, struct topic *topic);  // its config
void topic_make(struct shard *shard, const struct topic *topic); // with this shard's partitions
void topic_drop(struct shard *shard, const struct uuid *id);
void topic_partitions_make(struct shard *shard, const struct topic *topic, uint32_t from);
void partitions_drop(struct shard *shard, const struct uuid *id, uint32_t count);
void topic_refresh(struct shard *shard,
                   struct topic_entry *entry); // effective values, logs' options
// partition.c
struct partition *partition_find(struct shard *shard, const struct log_key *key);
int partition_make(struct shard *shard, const struct log_key *key,
                   const struct log_options *options, struct partition **out);
void partition_drop(struct partition *partition);   // removes its files
void partition_forget(struct partition *partition); // frees memory only
struct log_options partition_log_options(const struct topic_config *config);
// The partition a part means, on its owner; sets part->err, marks and returns NULL on errors.
struct partition *part_begin(struct shard *shard, struct part *part);

// queue_facts.c: the replica of queues and exchanges
void queue_replica_init(struct shard *shard);
void queue_replica_fini(struct shard *shard);
struct queue_entry *queue_entry_by_name(struct shard *shard, struct slice vhost, struct slice name);
struct queue_entry *queue_entry_by_id(struct shard *shard, const struct uuid *id);
struct queue_entry *queue_entry_add(struct shard *shard, const struct queue_facts *facts); // copied
// `dropped` is told of each binding that goes with it.
void queue_entry_remove(struct shard *shard, struct queue_entry *entry,
                        void (*dropped)(void *arg, const struct exchange_binding *binding),
                        void *arg);
void queue_entries_each(struct shard *shard, bool hidden, // with those
                        bool (*fn)(void *arg, const struct queue_facts *facts), void *arg);
// A queue that is a topic and has a record; others are gone with the process.
bool queue_is_topic(const struct queue_facts *facts);
uint32_t queue_owner(const struct node *node, const struct uuid *id); // its shard
// What the replicas take on one shard, about.
size_t queue_cost(const struct queue_facts *facts);
size_t exchange_cost(const struct exchange *exchange);
size_t binding_cost(const struct exchange_binding *binding);
// queue_record.c: STATE_QUEUE, STATE_EXCHANGE, STATE_BINDING. Getting borrows from key and value;
// a binding's headers are new memory (mem_free).
void queue_record_put(const struct queue_facts *facts, struct buf *out);
int queue_record_get(struct slice key, struct slice value, struct queue_facts *out);
void exchange_record_put(const struct exchange *exchange, struct buf *out);
int exchange_record_get(struct slice key, struct slice value, struct exchange *out);
struct binding_ends { // a binding's record is void when an end of that name is another by now
    struct uuid source, destination;
};
void binding_record_key(const struct exchange_binding *binding, const struct binding_ends *ends,
                        struct buf *out);
void binding_record_put(const struct exchange_binding *binding, struct buf *out);
int binding_record_get(struct slice key, struct slice value, struct exchange_binding *out,
                       struct binding_ends *out_ends);
bool binding_ends_of(struct shard *shard, const struct exchange_binding *binding,
                     struct binding_ends *out);               // false: an end is not there
void queue_records_cut(struct shard *shard, struct buf *out); // all that is durable
// queue_restore.c: recovery. Records in any order; then all replicas at once, when all have come.
int queue_restore_record(struct node *node, const struct state_record *record);
int queue_restore_build(struct node *node);
int queue_restore_open(struct node *node); // when the logs are whole
void queue_restore_free(struct node *node);
// queue_changes.c, on shard 0: the topic with that id is a queue and is to be deleted; its name is
// claimed. done may run from inside.
void queue_change_of_topic(struct shard *shard, const struct uuid *id,
                           void (*done)(void *arg, int err), void *arg);
void queue_changes_fini(struct shard *shard);
// queue_names.c
void vhosts_listed_add(struct shard *shard); // those that the setting names
uint64_t claim_exchange(struct slice vhost, struct slice name);
uint64_t claim_queue(struct slice vhost, struct slice name); // its topic's

// queue_host.c: the queues that live on this shard; called on it, and at recovery by the thread
// that recovers. Opening takes the facts of a queue whose logs are there as partitions (id, level),
// of one that is not durable with logs in memory; closing, of one that was deleted, comes before
// they go. (A node that stops destroys them all.)
struct queues *shard_queues(struct shard *shard);
int queue_host_open(struct shard *shard, const struct queue_facts *facts);
void queue_host_close(struct shard *shard, const struct uuid *id);
void queue_host_trimmed(struct shard *shard, const struct uuid *id); // by DeleteRecords
// weir.retention.after.ack.ms of the queue's topic has changed.
void queue_host_retention(struct shard *shard, const struct uuid *id, int64_t after_ack_ms);

// compacted.c: what a compacted topic asks of a batch besides
int compacted_admit(struct shard *shard, const struct batch *b, struct produce_part *p);
// produce.c: tries again what found no room
void produce_stalled(struct shard *shard);
// A bit per shard that owns any of the parts (each struct begins with struct part)
uint64_t shards_named(struct shard *shard, const void *parts, uint32_t count, size_t part_size);

#define NODE_SHARDS_MAX         64
#define STATE_NODE_EPOCH        "epoch"
#define STATE_NODE_CLUSTER      "cluster"
#define STATE_NODE_PRODUCER_IDS "producer-ids"

#endif
