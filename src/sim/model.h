// SPDX-License-Identifier: Apache-2.0
//
// What the server promised, as far as its clients can tell. The model is fed with what clients sent
// and what they were answered, in the order in which it happened, and with nothing from inside the
// server; from that it knows what any later answer may say. The first answer that no correct server
// could have given is kept as the violation.
//
// Time in the model is a counter of events ("stamps"): an operation has a stamp when it was sent
// and one when it was answered, and two operations are ordered only if one was answered before the
// other was sent. What got no answer may take effect at any time until the server that it was sent
// to is gone (model_server_gone), or never.
//
// Registers (model_register) are what a last value wins for: committed offsets, a topic's
// existence, its settings, its number of partitions. Logs have a model of their own
// (model_partition).
#ifndef WEIR_SIM_MODEL_H
#define WEIR_SIM_MODEL_H

#include "base/list.h"
#include "base/map.h"
#include "base/uuid.h"
#include "sim/history.h"

#define MODEL_NEVER   UINT64_MAX
#define MODEL_NAME    64
#define MODEL_TEXT    512
#define MODEL_STARTS  256 // incarnations of the server in one run
#define MODEL_PER_GEN 64

enum model_outcome { MODEL_OPEN, MODEL_OK, MODEL_REFUSED, MODEL_UNKNOWN };

// ---- registers

struct model_write {
    uint64_t value;
    uint64_t begin;     // stamp of sending
    uint64_t end;       // when it had taken effect at the latest; MODEL_NEVER: that is open
    uint64_t known;     // when it had certainly taken effect: answered, or seen by a reader
    int32_t generation; // of the group whose member wrote it; -1: nobody's
    enum model_outcome outcome;
};
struct model_register {
    struct list link; // the model's
    char name[MODEL_NAME];
    struct model_write *writes; // [0] is the value before any write
    uint32_t count, cap;
    // Every shard has a copy, which a write reaches one by one: until it is over, one read proves
    // nothing about the next.
    bool spreads;
};

// ---- logs

struct model_topic;
struct model_partition;

struct model_sent { // a batch that a client has sent, once or more often
    struct map_node node;
    uint64_t hash; // of its bytes, but offset and epoch
    struct model_partition *partition;
    uint32_t records;
    int64_t first_timestamp_ms, timestamp_step_ms; // record i has first + i * step
    int64_t producer_id;                           // -1: a plain producer
    int32_t sequence;
    uint32_t attempts; // it may be in the log that often at most (idempotent: once)
    uint32_t copies;   // and is there that often, as far as seen
    bool refused;      // no attempt was or could still be accepted
    bool acknowledged;
    bool bundled; // part of a bundle: in the log exactly if the bundle's offset is committed
    uint64_t bundle_step;
    int64_t base_offset;  // where it is; -1: not known
    int64_t end_at_first; // what was in the log for sure when it was first sent
};

struct model_place { // what is known to be in the log, by rising offset
    int64_t base_offset;
    struct model_sent *sent;
    int32_t epoch; // -1: not seen yet
};

struct model_partition {
    struct model_topic *topic;
    int32_t index;
    struct model_place *places;
    uint32_t places_count, places_cap;
    int64_t end;        // the high watermark is at least this
    int64_t start_low;  // the log start is at least this: an acknowledged DeleteRecords said so
    int64_t start_seen; // the largest that this incarnation of the server has named; a crash may
                        // take back what nobody was promised
    int64_t start_high; // and at most this: what DeleteRecords asked for; INT64_MAX: retention
};

struct model_hurt {
    struct list link;
    const struct model_partition *partition;
    int64_t from, to;
    uint64_t mended; // stamp; MODEL_NEVER: not yet
};

struct model_topic {
    struct list link;
    char name[MODEL_NAME];
    struct uuid id;    // zero: not seen yet
    bool deleting;     // somebody has begun to delete it
    uint32_t deletion; // the write of `exists` that deletes it, once it is being deleted
    struct model_register *exists, *count, *setting;
    struct model_partition **partitions; // as many as were ever asked for
    uint32_t partitions_count;
};

struct model_read { // what was certain when a read was sent
    uint64_t stamp;
    uint32_t start; // the server's incarnation then
    int64_t end, start_low, start_seen;
};

// ---- groups

struct model_owner {
    char topic[MODEL_NAME];
    int32_t partition;
    char member[MODEL_NAME];
};
struct model_generation {
    struct list link;
    uint32_t start;
    int32_t number;
    char leader[MODEL_NAME];
    struct model_owner owners[MODEL_PER_GEN];
    uint32_t owners_count;
};
struct model_progress { // of a group in a partition
    struct model_partition *partition;
    struct model_register *committed;
    int64_t covered; // every record below was delivered to some member, unless it was deleted
};
struct model_group {
    struct list link;
    char name[MODEL_NAME];
    struct list generations; // of the current incarnation of the server
    int32_t newest;          // generation, of the current incarnation; -1: none
    int32_t newest_stable;   // synced, of all incarnations
    struct model_progress progress[MODEL_PER_GEN];
    uint32_t progress_count;
};

// ---- the whole

struct model {
    struct history *history;
    struct map sent;
    struct list registers, topics, groups;
    uint64_t stamp;
    uint32_t start;               // how often the server was started
    int32_t epochs[MODEL_STARTS]; // by start; -1: not seen
    int64_t *producer_ids;
    uint32_t producer_ids_count, producer_ids_cap;
    struct uuid dead_ids[MODEL_STARTS]; // of deleted topics, and since when
    uint64_t dead_since[MODEL_STARTS];
    uint32_t dead_ids_count;
    struct list hurts;
    bool read_flips; // any read may be refused as damaged
    uint64_t damaged_reads;
    bool violated;
    char violation[MODEL_TEXT];
    uint64_t checks; // made
};

void model_init(struct model *m, struct history *history);
void model_fini(struct model *m);
// Keeps the first violation. `what` says what no correct server could have done.
void model_fail(struct model *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t model_now(struct model *m); // a new stamp
void model_server_begins(struct model *m);
void model_server_gone(struct model *m); // what is without an answer takes no effect any more

// ---- registers

struct model_register *register_create(struct model *m, uint64_t value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
uint32_t register_write(struct model *m, struct model_register *r, uint64_t value); // its number
void register_written(struct model *m, struct model_register *r, uint32_t number,
                      enum model_outcome outcome);
// Writes of members of generations below came to pass by now, or never will.
void register_fence(struct model *m, struct model_register *r, int32_t generation);
// A reader that asked at `since` was told this value.
void register_seen(struct model *m, struct model_register *r, uint64_t since, uint64_t value);
uint64_t register_last(const struct model_register *r); // the newest write that was not refused

// ---- topics

struct model_topic *topic_model(struct model *m, const char *name); // NULL
struct model_topic *topic_model_create(struct model *m, const char *name, uint32_t partitions);
void topic_model_grow(struct model *m, struct model_topic *t, uint32_t partitions);
// Metadata said so to a client that asked at `since`. id zero: the answer's version has none.
void topic_model_seen(struct model *m, struct model_topic *t, uint64_t since, bool exists,
                      const struct uuid *id, uint32_t partitions);
void topic_model_dead(struct model *m, struct model_topic *t); // the deletion was acknowledged

// ---- records

// Registers a batch before it is first sent; `bytes` as the client made it.
struct model_sent *model_produce(struct model *m, struct model_partition *p, struct slice bytes,
                                 int64_t timestamp_step_ms);
void model_acknowledged(struct model *m, struct model_sent *s, int64_t base_offset);
void model_refused(struct model *m, struct model_sent *s); // this attempt had no effect
struct model_read model_read_begin(struct model *m, const struct model_partition *p);

struct model_fetched {
    int64_t offset;
    int err; // ERR_* of the partition
    int64_t high_watermark, log_start;
    struct slice records;
    bool alone; // nothing else was asked for: an empty answer means that there is nothing
};
// Returns the offset behind what was read (== offset when nothing was).
int64_t model_fetched(struct model *m, struct model_partition *p, const struct model_read *read,
                      const struct model_fetched *f);
void model_deleting(struct model *m, struct model_partition *p, int64_t offset); // DeleteRecords
void model_deleted(struct model *m, struct model_partition *p, const struct model_read *read,
                   int64_t low_watermark);
void model_listed_end(struct model *m, struct model_partition *p, const struct model_read *read,
                      int64_t offset);
void model_listed_start(struct model *m, struct model_partition *p, const struct model_read *read,
                        int64_t offset);
void model_listed_time(struct model *m, struct model_partition *p, const struct model_read *read,
                       int64_t timestamp_ms, int64_t offset, int64_t found_timestamp_ms);
void model_epoch_end(struct model *m, struct model_partition *p, const struct model_read *read,
                     int32_t asked, int32_t epoch, int64_t end_offset);
// Everything was read from the log's start to its end: what must be there is.
void model_partition_final(struct model *m, struct model_partition *p);
// Bundles: with `committed` steps committed, each step's outputs are there once, later ones not.
void model_bundles_final(struct model *m, uint64_t committed);

// ---- damage. Records may be refused for it, but never be wrong.

// A bit has changed at rest in a segment: from..to may be refused, until it is mended.
void model_hurt(struct model *m, struct model_partition *p, int64_t from, int64_t to);
void model_mended(struct model *m); // all of them
// The answer to this read was that from..to (offset: just that one) is damaged.
void model_damaged(struct model *m, const struct model_partition *p, const struct model_read *read,
                   int64_t from, int64_t to);

// ---- the rest

void model_epoch(struct model *m, uint32_t start, int32_t epoch); // what that incarnation said
void model_producer_id(struct model *m, int64_t id);
struct model_group *group_model(struct model *m, const char *name); // made when it is new
// The largest generation that a later answer may not fall behind: of this incarnation of the
// server, or synced in an earlier one.
int32_t group_model_least(const struct model_group *g);
// newest: group_model_least when the request was sent.
void group_model_joined(struct model *m, struct model_group *g, uint32_t start, int32_t newest,
                        int32_t generation, const char *leader);
void group_model_assigned(struct model *m, struct model_group *g, uint32_t start,
                          int32_t generation, const char *member, const char *topic,
                          int32_t partition);

// A member of that generation was told its assignment: what members of older ones have committed
// by then came before, or never comes.
void group_model_synced(struct model *m, struct model_group *g, uint32_t start, int32_t generation);
// The group reads this partition from the log's start on.
void group_model_follow(struct model *m, struct model_group *g, struct model_partition *p);
// A member has begun at the committed offset, or behind what it read before, and was given the
// records from..to.
void group_model_read(struct model *m, struct model_group *g, struct model_progress *progress,
                      int64_t from, int64_t to);
bool groups_model_done(const struct model *m); // every group was given everything

#endif
