// SPDX-License-Identifier: Apache-2.0
//
// The cache of fetch sessions: ids in a map, sessions in order of use, partitions of a session in a
// map whose order is the order of fetching.
#include "kafka/fetch_session.h"

#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"

struct kafka_sessions {
    struct io *io;
    struct budget budget;
    uint32_t max;
    struct map by_id;
    struct list lru; // least recently used first
};

struct part_key {
    struct slice name;
    struct uuid id;
    int32_t partition;
};

// ---- the cache

static bool session_eq(const struct map_node *node, const void *key)
{
    return CONTAINER_OF(node, struct kafka_session, node)->id == *(const int32_t *)key;
}

struct kafka_sessions *kafka_sessions_create(struct io *io, struct budget *budget, uint32_t max,
                                             uint64_t seed)
{
    struct kafka_sessions *s = mem_zalloc(sizeof *s);
    s->io = io;
    budget_init(&s->budget, budget->limit_bytes / KAFKA_SESSIONS_SHARE, budget);
    s->max = max;
    map_init(&s->by_id, session_eq, seed);
    list_init(&s->lru);
    return s;
}

void kafka_sessions_destroy(struct kafka_sessions *sessions)
{
    if (sessions == NULL)
        return;
    struct list *it;
    while ((it = list_first(&sessions->lru)) != NULL)
        kafka_session_close(CONTAINER_OF(it, struct kafka_session, lru));
    ASSERT(sessions->by_id.count == 0);
    map_fini(&sessions->by_id);
    mem_free(sessions);
}

size_t kafka_sessions_count(const struct kafka_sessions *sessions)
{
    return sessions->by_id.count;
}

struct kafka_session *kafka_session_find(struct kafka_sessions *sessions, int32_t id)
{
    uint64_t hash = map_hash_u64(&sessions->by_id, (uint64_t)(uint32_t)id);
    struct map_node *node = map_find(&sessions->by_id, hash, &id);
    return node != NULL ? CONTAINER_OF(node, struct kafka_session, node) : NULL;
}

static int32_t session_new_id(struct kafka_sessions *sessions)
{
    int32_t id;
    do {
        io_random(sessions->io, &id, sizeof id);
        id &= INT32_MAX;
    } while (id == 0 || kafka_session_find(sessions, id) != NULL);
    return id;
}

// Makes room among the sessions, for one more or for the partitions that it will have.
static bool session_slot(struct kafka_sessions *sessions)
{
    bool crowded = budget_used(&sessions->budget) > sessions->budget.limit_bytes / 4 * 3;
    struct list *oldest = list_first(&sessions->lru);
    if (oldest != NULL && (crowded || sessions->by_id.count >= sessions->max)) {
        struct kafka_session *session = CONTAINER_OF(oldest, struct kafka_session, lru);
        if (io_now_ns(sessions->io) - session->used_ns >= KAFKA_SESSION_EVICT_NS)
            kafka_session_close(session);
    }
    return sessions->by_id.count < sessions->max;
}

// ---- a session

static bool part_eq(const struct map_node *node, const void *key)
{
    const struct kafka_session_part *p = CONTAINER_OF(node, struct kafka_session_part, node);
    const struct part_key *k = key;
    return p->partition == k->partition && uuid_eq(&p->id, &k->id) && slice_eq(p->name, k->name);
}

static uint64_t part_hash(const struct map *map, const struct part_key *key)
{
    uint8_t tail[20];
    memcpy(tail, key->id.bytes, 16);
    be32_put(tail + 16, (uint32_t)key->partition);
    return map_hash(map, key->name) ^ map_hash(map, slice_of(tail, sizeof tail));
}

struct kafka_session *kafka_session_new(struct kafka_sessions *sessions, bool by_id)
{
    if (!session_slot(sessions) ||
        budget_take(&sessions->budget, sizeof(struct kafka_session)) != 0)
        return NULL;
    struct kafka_session *session = mem_zalloc(sizeof *session);
    session->sessions = sessions;
    session->id = session_new_id(sessions);
    session->epoch = 1;
    session->by_id = by_id;
    session->used_ns = io_now_ns(sessions->io);
    ASSERT(session->id > 0);
    map_init(&session->parts, part_eq, sessions->by_id.seed);
    list_push_back(&sessions->lru, &session->lru);
    map_insert(&sessions->by_id, &session->node,
               map_hash_u64(&sessions->by_id, (uint64_t)(uint32_t)session->id));
    ASSERT(sessions->by_id.count <= sessions->max);
    return session;
}

void kafka_session_next(struct kafka_session *session)
{
    ASSERT(session->epoch > 0);
    session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
    session->used_ns = io_now_ns(session->sessions->io);
    list_remove(&session->lru);
    list_push_back(&session->sessions->lru, &session->lru);
}

void kafka_session_close(struct kafka_session *session)
{
    MAP_FOR_SAFE (it, &session->parts) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        kafka_session_drop(session, CONTAINER_OF(node, struct kafka_session_part, node));
    }
    ASSERT(session->parts.count == 0);
    map_fini(&session->parts);
    map_remove(&session->sessions->by_id, &session->node);
    list_remove(&session->lru);
    budget_give(&session->sessions->budget, sizeof *session);
    mem_free(session);
}

// ---- partitions

struct kafka_session_part *kafka_session_part(const struct kafka_session *session,
                                              struct slice name, const struct uuid *id,
                                              int32_t partition)
{
    struct part_key key = {session->by_id ? SLICE_NULL : name, *id, partition};
    struct map_node *node = map_find(&session->parts, part_hash(&session->parts, &key), &key);
    return node != NULL ? CONTAINER_OF(node, struct kafka_session_part, node) : NULL;
}

struct kafka_session_part *kafka_session_add(struct kafka_session *session, struct slice name,
                                             const struct uuid *id, int32_t partition)
{
    struct kafka_session_part *p = kafka_session_part(session, name, id, partition);
    if (p != NULL)
        return p;
    struct part_key key = {session->by_id ? SLICE_NULL : name, *id, partition};
    // One allocation: the name, where there is one, stands behind the struct.
    if (session->parts.count >= KAFKA_SESSION_PARTS_MAX ||
        budget_take(&session->sessions->budget, sizeof *p + key.name.len) != 0)
        return NULL;
    p = mem_zalloc(sizeof *p + key.name.len);
    if (key.name.data != NULL) {
        memcpy(p + 1, key.name.data, key.name.len);
        p->name = slice_of(p + 1, key.name.len);
    }
    p->id = *id;
    p->partition = partition;
    p->told_high_watermark = -1;
    p->told_log_start = -1;
    map_insert(&session->parts, &p->node, part_hash(&session->parts, &key));
    ASSERT(session->parts.count <= KAFKA_SESSION_PARTS_MAX);
    return p;
}

void kafka_session_drop(struct kafka_session *session, struct kafka_session_part *part)
{
    map_remove(&session->parts, &part->node);
    budget_give(&session->sessions->budget, sizeof *part + part->name.len);
    mem_free(part);
}

void kafka_session_rotate(struct kafka_session *session, struct kafka_session_part *part)
{
    uint64_t hash = part->node.hash;
    map_remove(&session->parts, &part->node);
    map_insert(&session->parts, &part->node, hash);
}
