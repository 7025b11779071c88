// SPDX-License-Identifier: Apache-2.0
//
// Consumer groups of a shard: classic membership (KIP-62 sessions, KIP-345 static members, KIP-394
// member ids, KIP-559 protocol names, KIP-800 reasons) and committed offsets. A group lives on one
// shard; requests for it are made there. The rules, and which error is given in which state, are
// those of Apache Kafka 4's group coordinator for classic groups; no wire format is known here.
//
// Requests are structs that the caller embeds. What they point at (slices, arrays) is the caller's
// and stays put until `done`. `done` runs once, on the shard, never from inside the call. A request
// that waits (a join for its rebalance, a sync for the leader, a commit for its disk) does not know
// connections: as in Kafka, losing one cancels nothing. Answers lie in the request's own arena
// until group_request_fini.
//
// Durable before answered: SyncGroup (the group's metadata), OffsetCommit, OffsetDelete,
// DeleteGroups, a static member's replacement, the leave that empties a group. A committed offset
// is seen by others when it is durable.
//
// Errors (group_request.err) are ERR_* with Kafka's meaning. Times are milliseconds.
#ifndef WEIR_GROUP_GROUP_H
#define WEIR_GROUP_GROUP_H

#include "base/arena.h"
#include "base/budget.h"
#include "base/list.h"
#include "journal/state.h"

struct groups; // all groups of a shard

// ---- life

struct groups_options {
    struct budget *budget; // members' metadata, offsets; may be NULL
    uint64_t hash_seed;
    int32_t initial_rebalance_delay_ms; // group.initial.rebalance.delay.ms
    int32_t min_session_timeout_ms;     // group.min.session.timeout.ms
    int32_t max_session_timeout_ms;     // group.max.session.timeout.ms
    int32_t new_member_join_timeout_ms; // a new member waits that long for its first generation
    uint32_t max_size;                  // group.max.size: members of a group
    uint32_t offset_metadata_max_bytes; // offset.metadata.max.bytes
    int64_t offsets_retention_ms;       // offsets.retention.minutes
    int64_t offsets_check_ms;           // offsets.retention.check.interval.ms
};
void groups_options_default(struct groups_options *out); // Kafka's defaults; no budget, seed 0

struct groups *groups_create(const struct groups_options *options);
// One STATE_OFFSET or STATE_GROUP record, from a snapshot or the journal, before groups_start.
// Repeating records is harmless, the last one wins. ERR_CORRUPT, ERR_FORMAT_VERSION.
int groups_restore_record(struct groups *groups, const struct state_record *record);
// The group that a STATE_OFFSET or STATE_GROUP record belongs to (points into the record's key).
// ERR_CORRUPT.
int groups_record_group(const struct state_record *record, struct slice *out_group);
// From now on requests are served. Members that were restored get a whole session timeout to show
// themselves. Before this every request is answered COORDINATOR_LOAD_IN_PROGRESS.
void groups_start(struct groups *groups, struct io *shard, struct journal_port *port);
// Answers everything that waits, and every later request, with COORDINATOR_NOT_AVAILABLE; stops all
// timers. What was journalled stays journalled.
void groups_stop(struct groups *groups);
// When the shard's actor has ended, or died in a crash; io is not touched. What was under way is
// dropped and no done runs any more: a request that still waits must be alive, or cancelled before.
// Accepts NULL.
void groups_destroy(struct groups *groups);

// ---- snapshots (checkpoint.h): emits what changed since the last installed cut, or everything.

void groups_cut(struct groups *groups, bool full, struct buf *out);
void groups_settled(struct groups *groups, bool installed);

// ---- states

#define GROUP_STATES(X)                                                                      \
    X(EMPTY, "Empty")                              /* no members; maybe offsets */           \
    X(PREPARING_REBALANCE, "PreparingRebalance")   /* waits for the members to join again */ \
    X(COMPLETING_REBALANCE, "CompletingRebalance") /* waits for the leader's assignment */   \
    X(STABLE, "Stable")                                                                      \
    X(DEAD, "Dead") /* gone */
enum group_state {
#define GROUP_STATE_ENUM(id, name) GROUP_##id,
    GROUP_STATES(GROUP_STATE_ENUM)
#undef GROUP_STATE_ENUM
        GROUP_STATES_COUNT
};
const char *group_state_name(enum group_state state);
int group_state_by_name(struct slice name, enum group_state *out); // any case; ERR_NOT_FOUND

// ---- requests

struct group_request { // first member of every request
    struct list link;
    struct groups *groups;
    struct group_request **slot; // where the pointer to a waiting request is kept
    int err;
    void (*done)(struct group_request *request); // set by the caller
    struct arena answer;
};
// Frees the answer; after done (or after a cancel).
void group_request_fini(struct group_request *request);
// `done` will not run; the group goes on as if the answer had been sent. On the shard.
void group_request_cancel(struct group_request *request);

struct group_protocol {
    struct slice name, metadata;
};
struct group_joined { // a member, as the leader is told
    struct slice member_id, instance_id, metadata;
};
struct group_join {
    struct group_request r;
    struct slice group_id, member_id; // member_id empty: new
    struct slice instance_id;         // null: dynamic
    struct slice client_id, client_host, protocol_type;
    const struct group_protocol *protocols;
    uint32_t protocols_count;
    int32_t session_timeout_ms, rebalance_timeout_ms; // v0: rebalance = session
    bool known_member_id_required;                    // v4 on, KIP-394
    bool skip_assignment_known;                       // v9 on, KIP-814
    struct slice reason;                              // may be null
    // out; with an error only out_member_id
    int32_t generation; // -1 with an error
    struct slice out_member_id;
    struct slice out_protocol_type, protocol_name; // null with an error
    struct slice leader;                           // empty with an error
    bool skip_assignment;
    struct group_joined *members; // only for the leader
    uint32_t members_count;
};
void groups_join(struct groups *groups, struct group_join *join);

struct group_assignment {
    struct slice member_id, assignment;
};
struct group_sync {
    struct group_request r;
    struct slice group_id, member_id, instance_id;
    int32_t generation;
    struct slice protocol_type, protocol_name; // null: not checked (before v5)
    const struct group_assignment *assignments;
    uint32_t assignments_count;
    // out
    struct slice out_protocol_type, out_protocol_name, assignment;
};
void groups_sync(struct groups *groups, struct group_sync *sync);

struct group_heartbeat {
    struct group_request r;
    struct slice group_id, member_id, instance_id;
    int32_t generation;
};
void groups_heartbeat(struct groups *groups, struct group_heartbeat *heartbeat);

struct group_leaver {
    struct slice member_id;   // empty: by instance id
    struct slice instance_id; // may be null
    struct slice reason;
    int err; // out
};
struct group_leave {
    struct group_request r; // err 0: see the members
    struct slice group_id;
    struct group_leaver *members;
    uint32_t members_count;
};
void groups_leave(struct groups *groups, struct group_leave *leave);

// ---- offsets. `err` of a partition: one that is not 0 on entry is left alone (the caller found no
// such topic, or no right to it); afterwards the partition's own result. r.err holds for all.

struct group_offset {
    int32_t partition;
    int32_t leader_epoch;  // -1: unknown
    int64_t offset;        // -1: none committed
    struct slice metadata; // null is kept as empty
    int err;
};
struct group_topic {
    struct slice name;
    struct group_offset *partitions;
    uint32_t partitions_count;
};
struct group_commit {
    struct group_request r;
    struct slice group_id, member_id, instance_id;
    int32_t generation;            // -1: a simple consumer, or an administrator
    bool group_id_not_found_known; // v9 on; before, an absent group is ILLEGAL_GENERATION
    int64_t retention_ms;          // -1: the server's (before v5 a client could say)
    struct group_topic *topics;
    uint32_t topics_count;
};
void groups_commit(struct groups *groups, struct group_commit *commit);

struct group_fetch {
    struct group_request r;
    struct slice group_id;
    bool require_stable; // wait for commits under way (KIP-447)
    bool all;            // every topic of the group: topics is an output
    struct group_topic *topics;
    uint32_t topics_count;
};
void groups_fetch(struct groups *groups, struct group_fetch *fetch);

struct group_forget { // OffsetDelete
    struct group_request r;
    struct slice group_id;
    struct group_topic *topics;
    uint32_t topics_count;
};
void groups_forget(struct groups *groups, struct group_forget *forget);
// The topic is gone: so are its offsets, in all groups.
void groups_topic_deleted(struct groups *groups, struct slice topic);
// After groups_start: the same for every topic that `known` does not know. A crash may have come
// between a topic's deletion and the tombstones of its offsets.
void groups_topics_check(struct groups *groups, bool (*known)(void *arg, struct slice topic),
                         void *arg);

// ---- administration

struct group_member_info {
    struct slice member_id, instance_id, client_id, client_host;
    struct slice metadata, assignment; // empty unless Stable
};
struct group_describe {
    struct group_request r; // GROUP_ID_NOT_FOUND: state Dead (before v6 that was no error)
    struct slice group_id;
    // out
    enum group_state state;
    struct slice protocol_type;
    struct slice protocol; // empty unless Stable
    struct group_member_info *members;
    uint32_t members_count;
};
void groups_describe(struct groups *groups, struct group_describe *describe);

struct group_listed {
    struct slice group_id, protocol_type;
    enum group_state state;
};
struct group_list {
    struct group_request r;
    uint32_t states; // bits 1 << enum group_state; 0: all
    // out
    struct group_listed *groups; // type "classic", all of them
    uint32_t groups_count;
};
void groups_list(struct groups *groups, struct group_list *list);

struct group_delete {
    struct group_request r; // NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND
    struct slice group_id;
};
void groups_delete(struct groups *groups, struct group_delete *del);

struct groups_stats {
    uint64_t groups, by_state[GROUP_STATES_COUNT], members, offsets;
    uint64_t rebalances, commits, expired_offsets, expired_members;
};
void groups_stats(const struct groups *groups, struct groups_stats *out);

#endif
