// SPDX-License-Identifier: Apache-2.0
//
// The room's own view of a group. One actor, no locks; every pointer here is owned by the struct it
// stands in unless it says otherwise.
//
// Requests that wait are remembered as pointers in a member or an operation (the "slot"); the
// request knows its slot, so that a cancel empties it and the group's counts, which do not look at
// the pointer, stay as they were.
#ifndef WEIR_GROUP_GROUP_INT_H
#define WEIR_GROUP_GROUP_INT_H

#include "base/assert.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "group/format.h"
#include "group/group.h"

struct group;

// ---- what a cut has to emit: in a list, oldest change first

enum group_dirty_kind { DIRTY_GROUP, DIRTY_OFFSET, DIRTY_GONE };
struct group_dirty {
    struct list link;
    enum group_dirty_kind kind;
};
struct group_gone { // a deleted key whose tombstone is not in an installed snapshot yet
    struct group_dirty dirty;
    uint8_t state_kind;
    struct slice key;
};

// ---- members

struct group_member {
    struct map_node node;        // in group.members, order of joining
    struct map_node static_node; // in group.statics, when instance_id is not null
    struct group *group;
    struct slice id, instance_id, client_id, client_host;
    struct group_protocol *protocols; // one block with names and metadata
    uint32_t protocols_count;
    size_t protocols_bytes;
    int32_t session_timeout_ms, rebalance_timeout_ms;
    struct slice assignment; // never null
    struct slice incoming;   // of the leader's request, only while its record is encoded
    bool awaiting_join, awaiting_sync;
    bool pending_sync; // joined this generation and has not asked for its assignment
    bool is_new;       // has not seen a generation: a waiting join does not keep it alive for ever
    struct group_request *join, *sync; // may be NULL while awaiting: cancelled, or lost at a stop
    struct io_timer session;
};
struct group_pending { // got an id with MEMBER_ID_REQUIRED and has not joined with it (KIP-394)
    struct map_node node;
    struct group *group;
    struct slice id;
    struct io_timer session;
};
struct group_support { // how many members know a protocol
    struct map_node node;
    struct slice name;
    uint32_t members;
};
struct group_subscribed { // a topic that a member of the generation subscribed to
    struct map_node node;
    struct slice name;
};

// ---- offsets

struct group_topic_offsets {
    struct map_node node; // in group.topics
    struct slice name;
    struct map partitions;
};
struct group_stored_offset {
    struct group_dirty dirty;
    struct map_node node; // in group_topic_offsets.partitions
    struct group *group;
    struct group_topic_offsets *topic;
    int32_t partition, leader_epoch;
    int64_t offset, commit_ms, expire_ms;
    struct slice metadata;
};

struct group {
    struct map_node node; // in groups.by_id
    struct groups *groups;
    struct slice id;
    enum group_state state, previous;
    int64_t since_ms; // wall time of the last change of state
    int32_t generation;
    struct slice protocol_type, protocol; // null: none
    struct group_member *leader;          // NULL: none
    struct map members, statics, pending, support;
    uint32_t awaiting_join, pending_sync;
    bool new_member_added; // while the first rebalance waits for more
    bool deleted;          // Dead, and that is durable: freed with its last operation
    bool subscribed_known;
    struct map subscribed;
    struct io_timer join_timer, sync_timer;
    int32_t initial_delay_ms, initial_left_ms; // -1: the join timer is no initial delay
    struct map topics;
    uint32_t ops_open, commits_open; // journalled or about to be, and not durable
    struct group_dirty dirty;
    uint8_t *saved; // the newest durable STATE_GROUP value: what a cut emits
    size_t saved_len;
    size_t taken_bytes; // from the budget
};

struct groups {
    struct groups_options opt;
    struct io *shard;
    struct journal_port *port;
    bool started, stopped;
    struct map by_id;
    struct list completed; // group_request.link: done has to run
    struct list ops;       // group_op.link: all that are open
    struct io_msg wake;
    bool wake_posted;
    struct io_timer expiry;
    struct list dirty,
        cutting; // group_dirty.link: changed since the last cut; in the cut under way
    struct groups_stats counts;
};

// ---- an operation that is being made durable. It holds what must happen then, so that checking a
// request, journalling its records and applying them are three steps.

struct group_write { // one committed or deleted offset
    struct slice topic, metadata;
    int64_t offset, commit_ms, expire_ms;
    int32_t partition, leader_epoch;
    bool tombstone;
};
struct group_op {
    struct list link;
    struct journal_barrier barrier;
    struct group *group;
    struct group_request *request; // slot; may be NULL
    void (*durable)(struct group_op *op, int err);
    struct arena memory; // writes and what they point at
    struct group_write *writes;
    uint32_t writes_count;
    struct buf value; // the STATE_GROUP value, when the group itself is saved
    int32_t generation;
    struct slice member_id, old_leader; // of a static member that came back; in memory
    size_t taken_bytes;                 // from the budget
    bool commit;                        // counted in group.commits_open
};

// ---- group.c: life and requests
bool groups_admit(struct groups *groups, struct group_request *request); // false: answered
void group_answer(struct groups *groups, struct group_request *request, int err);
void group_answer_slot(struct group_request **slot, int err); // and empties it
void group_detach(struct group_request **slot); // nobody will answer it: the end of the shard
void group_timer_stop(struct groups *groups, struct io_timer *timer); // also after the actor's end
void group_hold(struct group_request **slot, struct group_request *request);
int group_id_check(struct slice group_id, bool empty_allowed);
struct group *group_find(const struct groups *groups, struct slice id);
int group_create(struct groups *groups, struct slice id, struct group **out); // ERR_BUDGET
void group_release(struct group *group); // out of the map and freed; nothing may be open
void group_become(struct group *group, enum group_state state);
bool group_may_become(const struct group *group, enum group_state state);
void group_check(const struct group *group);         // asserts the invariant
int group_take(struct group *group, size_t bytes);   // ERR_BUDGET; forced before groups_start
void group_force(struct group *group, size_t bytes); // for what was bounded before
void group_give(struct group *group, size_t bytes);
struct slice group_dup(struct slice s); // null stays null; free with group_free
void group_free(struct slice *s);
struct slice group_answer_slice(struct group_request *request, struct slice s);
int64_t group_deadline(const struct group *group, int64_t delay_ms);
int64_t groups_now_ms(const struct groups *groups);

// ---- member.c
struct member_terms { // what a join says of its member
    struct slice id, instance_id, client_id, client_host, protocol_type;
    const struct group_protocol *protocols;
    uint32_t protocols_count;
    int32_t session_timeout_ms, rebalance_timeout_ms;
};
struct group_member *member_find(const struct group *group, struct slice id);
struct group_member *member_find_static(const struct group *group, struct slice instance_id);
struct group_pending *pending_find(const struct group *group, struct slice id);
int member_add(struct group *group, const struct member_terms *terms, struct group_member **out);
int member_update(struct group_member *member, const struct member_terms *terms);
void member_remove(struct group_member *member); // answers nothing; leader moves on
void member_rename(struct group_member *member, struct slice id); // a static member came back
bool member_matches(const struct group_member *member, const struct member_terms *terms);
struct slice member_metadata(const struct group_member *member, struct slice protocol);
void member_set_assignment(struct group_member *member, struct slice assignment);
void member_session(struct group_member *member, int32_t timeout_ms); // (re)starts the timer
int member_validate(const struct group *group, struct slice id, struct slice instance_id);
void member_make_id(struct groups *groups, struct slice prefix, struct buf *out);
int pending_add(struct group *group, struct slice id, int32_t session_timeout_ms);
void pending_remove(struct group_pending *pending);

// ---- protocol.c
bool protocols_supported(const struct group *group, const struct member_terms *terms);
void protocols_count(struct group *group, const struct group_member *member, bool add);
struct slice protocol_select(const struct group *group); // lies in a member; there is one
void protocol_subscribe(struct group *group);            // recomputes the subscribed topics
bool protocol_subscribed(const struct group *group, struct slice topic);
bool protocol_is_consumer(const struct group *group);

// ---- rebalance.c
void rebalance_prepare(struct group *group);
void rebalance_prepare_or_complete(struct group *group);
void rebalance_complete_if_all_joined(struct group *group); // not in the initial delay
void rebalance_join_timer(struct io_timer *timer);
void rebalance_sync_timer(struct io_timer *timer);
void rebalance_session_timer(struct io_timer *timer);
void rebalance_pending_timer(struct io_timer *timer);
void rebalance_remove_member(struct group_member *member); // answers what it waits for first
bool rebalance_all_joined(const struct group *group);
void rebalance_complete(struct group *group);
void rebalance_synced(struct group_member *member); // no longer pending sync

// ---- join.c, sync.c: answers to a member that waits; it waits no longer. No-ops when it does not.
void join_answer(struct group_member *member, int err);
void sync_answer(struct group_member *member, int err);

// ---- persist.c
struct group_op *op_create(struct group *group, struct group_request *request,
                           void (*durable)(struct group_op *op, int err));
int op_encode_group(struct group_op *op, bool incoming); // else the members' own; ERR_LIMIT
void op_save_group(struct group_op *op);                 // journals the value; durable follows
void op_save_writes(struct group_op *op);                // journals the offsets; durable follows
void op_delete_group(struct group_op *op); // journals the tombstones of everything; durable follows
void op_barrier(struct group_op *op);      // durable when all that was journalled before is
void op_finish(struct group_op *op);       // frees it
void op_drop(struct group_op *op);         // frees it: what is in flight will never come home
void group_saved(struct group *group, struct slice value); // is durable
int op_take(struct group_op *op, size_t bytes);            // for what is journalled; ERR_BUDGET
void group_dirty_mark(struct groups *groups, struct group_dirty *dirty);
void group_dirty_gone(struct groups *groups, uint8_t state_kind, struct slice key);

// ---- offsets.c
struct group_stored_offset *offset_find(const struct group *group, struct slice topic,
                                        int32_t partition);
void offset_set(struct group *group, const struct group_write *write);
size_t offset_bytes(const struct group_write *write); // what it will cost at most
void offset_remove(struct group_stored_offset *offset, bool tell_cut);
void offsets_clear(struct group *group, bool tell_cut);
void offsets_apply(struct group_op *op);
void offset_encode(const struct group_stored_offset *offset, struct buf *key, struct buf *value);

// ---- expire.c, delete.c
void expire_timer(struct io_timer *timer);
void group_delete_now(struct group *group, struct group_request *request); // request may be NULL

#endif
