// SPDX-License-Identifier: Apache-2.0
//
// The catalogue: topics by name and by UUID, with their configuration. Shard 0 is its master:
// changes are checked and journalled there, then every shard's replica is brought up to date,
// partitions included, and only then is the request answered. Readers use their own shard's
// replica; a struct topic is valid until the end of the turn.
#ifndef WEIR_NODE_TOPICS_H
#define WEIR_NODE_TOPICS_H

#include "node/config.h"
#include "node/shard.h"

#define TOPIC_NAME_MAX       249    // Kafka: Topic.MAX_NAME_LENGTH
#define TOPIC_PARTITIONS_MAX 100000 // per server, all topics together

struct topic {
    struct uuid id;
    struct slice name;
    uint32_t partitions_count;
    struct topic_config config;        // effective values
    struct config_overrides overrides; // what was set on the topic itself
    int64_t created_ms;
    bool internal; // the node's own: clients neither produce to it nor delete it
    bool queue;    // it is the log of a queue (node/queues.h), which decides what is deleted of it
};

const struct topic *topic_by_name(struct shard *shard,
                                  struct slice name); // NULL when there is none
const struct topic *topic_by_id(struct shard *shard, const struct uuid *id);
size_t topic_count(struct shard *shard);
// In order of creation. fn returns false to stop.
void topic_each(struct shard *shard, bool (*fn)(void *arg, const struct topic *topic), void *arg);
// The server's own settings, as this shard knows them: effective, and what was set. Valid until the
// end of the turn.
const struct broker_config *broker_config(struct shard *shard);
const struct config_overrides *broker_overrides(struct shard *shard);
// What the command line, the file and the environment said at the start.
const struct config_overrides *broker_given(struct shard *shard);
// What was set on a consumer group, NULL if nothing.
const struct config_overrides *group_overrides(struct shard *shard, struct slice group);
#define GROUP_SETTINGS_MAX 10000 // groups with settings of their own
// Kafka's rule, for the sake of metrics whose names have no dots: two topics may not differ only in
// '.' and '_'. The topic that is in the way, or NULL.
bool topic_names_collide(struct slice a, struct slice b);
const struct topic *topic_colliding(struct shard *shard, struct slice name);
int topic_name_check(struct slice name); // ERR_INVALID_TOPIC_EXCEPTION: empty, ".", "..", > 249,
                                         // other than [a-zA-Z0-9._-]
void topic_name_why(struct slice name, char *why, size_t why_size); // what is wrong with it

// All requests below: fields `in` belong to the caller and live until done, which runs on the
// asking shard, never from inside the call. `err` and `why` (a sentence, NUL-terminated, may be
// empty) tell the result.
#define TOPIC_WHY_MAX 256

struct topic_create {
    struct slice name;
    int32_t partitions_count;   // -1: the server's default (num.partitions)
    int32_t replication_factor; // -1 or any >= 1: accepted, described as 1
    const struct config_pair *configs;
    uint32_t configs_count;
    bool validate_only;
    bool automatic; // made by Metadata of an unknown topic; ERR_TOPIC_ALREADY_EXISTS is then no
                    // error
    // out
    int err;
    char why[TOPIC_WHY_MAX];
    struct uuid id;
    int32_t partitions_made;
    void (*done)(struct topic_create *request);
    struct node_call call; // node's
};
void topic_create_start(struct shard *shard, struct topic_create *request);

struct topic_delete { // by name, or by id when name is null
    struct slice name;
    struct uuid id;
    int err;
    char why[TOPIC_WHY_MAX];
    void (*done)(struct topic_delete *request);
    struct node_call call;
};
void topic_delete_start(struct shard *shard, struct topic_delete *request);

struct topic_grow { // CreatePartitions
    struct slice name;
    int32_t partitions_count; // the new total
    bool validate_only;
    int err;
    char why[TOPIC_WHY_MAX];
    void (*done)(struct topic_grow *request);
    struct node_call call;
};
void topic_grow_start(struct shard *shard, struct topic_grow *request);

struct topic_alter { // changes overrides; a broker's dynamic settings when name is null
    struct slice name;
    bool group; // the name is a consumer group's, which need not exist
    const struct config_change *changes;
    uint32_t changes_count;
    bool replace_all; // AlterConfigs of old: what is not named goes back to its default
    bool validate_only;
    int err;
    char why[TOPIC_WHY_MAX];
    void (*done)(struct topic_alter *request);
    struct node_call call;
};
void topic_alter_start(struct shard *shard, struct topic_alter *request);

// A producer id that was never given before.
struct producer_id_take {
    int err;
    int64_t id;
    void (*done)(struct producer_id_take *request);
    struct node_call call; // node's, as the next
    struct list link;
};
void producer_id_start(struct shard *shard, struct producer_id_take *request);

#endif
