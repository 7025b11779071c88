// SPDX-License-Identifier: Apache-2.0
//
// Settings: one table (schema/config.tab) of name, scope, type, default, range and one line of
// documentation; it serves the command line, the option file, the environment, DescribeConfigs and
// the manual. Kafka's names keep Kafka's meaning; what means nothing on one node is accepted,
// stored and described (min.insync.replicas), so that configurations from production run unchanged.
#ifndef WEIR_NODE_CONFIG_H
#define WEIR_NODE_CONFIG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"

enum service_class { CLASS_BULK, CLASS_STANDARD, CLASS_REALTIME }; // by rising claim

enum config_scope { CONFIG_TOPIC = 1, CONFIG_BROKER = 2, CONFIG_GROUP = 3 };
enum config_type {
    CONFIG_BOOL,
    CONFIG_STRING,
    CONFIG_INT,
    CONFIG_LONG,
    CONFIG_DOUBLE,
    CONFIG_LIST
};

struct config_def {
    const char *name;
    enum config_scope scope;
    enum config_type type;
    const char *preset;      // the default, as text
    const char *broker_name; // of a topic setting: the broker's setting it inherits from
                             // (log.retention.ms), or NULL
    int64_t min, max;        // of numbers
    const char *values;      // of enumerated strings and lists: "delete|compact"; NULL: any
    bool acts;               // false: accepted and described only
    bool dynamic;            // of broker settings: may change while running
    const char *doc;
};

extern const struct config_def config_defs[];
extern const size_t config_defs_count;
const struct config_def *config_find(enum config_scope scope, struct slice name); // NULL

struct config_pair {
    struct slice name;
    struct slice value; // null: back to the default
};
enum config_op { CONFIG_SET, CONFIG_DELETE, CONFIG_APPEND, CONFIG_SUBTRACT };
struct config_change {
    enum config_op op;
    struct slice name, value;
};

// What was set explicitly: a short list in order of name. Owned memory.
struct config_override {
    const struct config_def *def;
    char *value;
};
struct config_overrides {
    struct config_override *items;
    size_t count;
};
void config_overrides_init(struct config_overrides *o);
void config_overrides_fini(struct config_overrides *o);
void config_overrides_copy(struct config_overrides *to, const struct config_overrides *from);
const char *config_override_get(const struct config_overrides *o,
                                const char *name); // NULL: not set
// Is it set there to something else, or not at all?
bool config_override_differs(const struct config_override *o, const struct config_overrides *other);
// What is not set takes the value given at the start: what a change takes back uncovers it.
void config_overrides_fill(struct config_overrides *o, const struct config_overrides *given);
// Checks and applies. ERR_INVALID_CONFIG and a sentence in why.
int config_override_change(struct config_overrides *o, enum config_scope scope,
                           const struct config_change *change, char *why, size_t why_size);
int config_check_value(const struct config_def *def, struct slice value, char *why,
                       size_t why_size);

// Effective values of a topic, as the code uses them. Units in the names.
struct topic_config {
    enum service_class service_class; // weir.service.class
    uint64_t segment_bytes;
    int64_t segment_ms;
    uint32_t index_interval_bytes;
    int64_t retention_bytes, retention_ms;
    bool cleanup_delete, cleanup_compact;
    uint32_t max_message_bytes;
    bool log_append_time;
    int64_t timestamp_before_max_ms, timestamp_after_max_ms;
    int32_t min_insync_replicas;    // described, not enforced
    bool relaxed;                   // flush.messages or flush.ms set
    int64_t retention_after_ack_ms; // of a queue
};

// Effective values of the server.
struct broker_config {
    int32_t node_id; // node.id, or broker.id of old
    int32_t num_partitions;
    bool auto_create_topics;
    uint32_t message_max_bytes;
    uint32_t request_max_bytes; // socket.request.max.bytes
    int64_t connections_max_idle_ms;
    int32_t max_connections, max_connections_per_ip;
    int64_t group_initial_rebalance_delay_ms, group_min_session_ms, group_max_session_ms;
    int32_t group_max_size;
    int64_t offsets_retention_ms;
    int32_t offset_metadata_max_bytes;
    int64_t producer_expiration_ms;
    int64_t retention_check_ms;
    bool delete_topics;
    uint32_t fetch_max_bytes;
    int32_t default_replication_factor;
    uint32_t fetch_sessions_max;
    // weir's own
    uint64_t journal_file_bytes;
    int32_t journal_files;
    uint64_t journal_direct_min_bytes;
    int64_t journal_spin_us;
    uint64_t tail_bytes;
    int64_t checkpoint_min_interval_ms;
    int64_t memory_bytes;
};
// From overrides over presets. Topics inherit from the broker's.
void config_broker_effective(const struct config_overrides *broker, struct broker_config *out);
void config_topic_effective(const struct config_overrides *topic,
                            const struct config_overrides *broker, struct topic_config *out);
// The text of the effective value and where it comes from, for DescribeConfigs.
// `own` is what was set on the topic or the group.
enum config_source { CONFIG_FROM_PRESET, CONFIG_FROM_BROKER, CONFIG_FROM_OWN };
const char *config_effective_text(const struct config_def *def, const struct config_overrides *own,
                                  const struct config_overrides *broker,
                                  enum config_source *out_source);

#endif
