// SPDX-License-Identifier: Apache-2.0
//
// Incremental fetch sessions (KIP-227): the server remembers which partitions a client follows, so
// that a fetch names only what changed, and an answer only what is new. Private to the room.
//
// One cache per door: a session is found again only on the shard that made it, which is where its
// connection lives; after a reconnect the client is told FETCH_SESSION_ID_NOT_FOUND and begins
// anew, as it would with a Kafka broker that has restarted. Memory comes from the shard's budget,
// of which all sessions together may take a part only, since they outlive their connections: where
// there is none, or no slot, a client gets no session, which every client understands.
#ifndef WEIR_KAFKA_FETCH_SESSION_H
#define WEIR_KAFKA_FETCH_SESSION_H

#include "base/budget.h"
#include "base/map.h"
#include "base/uuid.h"
#include "io/io.h"

#define KAFKA_SESSION_EVICT_NS  (120 * INT64_C(1000000000)) // unused for so long: may be replaced
#define KAFKA_SESSION_PARTS_MAX 100000
#define KAFKA_SESSIONS_SHARE    8 // the part of the shard's budget that is theirs: one in so many

struct kafka_sessions;

// What a session knows of a partition: what the client asked for last, and what it was told last.
struct kafka_session_part {
    struct map_node node;
    struct slice name; // owned by the part; null in sessions by id
    struct uuid id;
    int32_t partition;
    int32_t current_leader_epoch, last_fetched_epoch;
    int64_t fetch_offset;
    int32_t max_bytes;
    int64_t told_high_watermark, told_log_start; // -1: nothing told yet
};

struct kafka_session {
    struct map_node node;
    struct list lru;
    int32_t id;
    int32_t epoch; // the next request's
    bool by_id;
    int64_t used_ns;
    struct map parts; // in the order in which they are fetched
    struct kafka_sessions *sessions;
};

// `max` slots: the door's share of max.incremental.fetch.session.cache.slots.
struct kafka_sessions *kafka_sessions_create(struct io *io, struct budget *budget, uint32_t max,
                                             uint64_t seed);
void kafka_sessions_destroy(struct kafka_sessions *sessions); // accepts NULL
size_t kafka_sessions_count(const struct kafka_sessions *sessions);

// NULL: there is no slot.
struct kafka_session *kafka_session_new(struct kafka_sessions *sessions, bool by_id);
struct kafka_session *kafka_session_find(struct kafka_sessions *sessions, int32_t id); // NULL
void kafka_session_close(struct kafka_session *session);
// After a request of the session was accepted: the epoch moves on, from 2^31 - 1 to 1.
void kafka_session_next(struct kafka_session *session);

struct kafka_session_part *kafka_session_part(const struct kafka_session *session,
                                              struct slice name, const struct uuid *id,
                                              int32_t partition); // NULL
// Finds or adds; NULL: no memory, or too many. The name is copied.
struct kafka_session_part *kafka_session_add(struct kafka_session *session, struct slice name,
                                             const struct uuid *id, int32_t partition);
void kafka_session_drop(struct kafka_session *session, struct kafka_session_part *part);
// To the end of the order: a partition that brought data lets the others go first next time.
void kafka_session_rotate(struct kafka_session *session, struct kafka_session_part *part);

#endif
