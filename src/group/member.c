// SPDX-License-Identifier: Apache-2.0
//
// Members: how they enter a group, change, are replaced and leave. What a member says of itself is
// copied into one block per member, its size is taken from the budget first.
#include "group/group_int.h"

#include <string.h>

#define MEMBER_ID_SUFFIX 37 // a dash and a UUID

struct group_member *member_find(const struct group *group, struct slice id)
{
    struct map_node *node = map_find(&group->members, map_hash(&group->members, id), &id);
    return node == NULL ? NULL : CONTAINER_OF(node, struct group_member, node);
}

struct group_member *member_find_static(const struct group *group, struct slice instance_id)
{
    uint64_t hash = map_hash(&group->statics, instance_id);
    struct map_node *node = map_find(&group->statics, hash, &instance_id);
    return node == NULL ? NULL : CONTAINER_OF(node, struct group_member, static_node);
}

struct group_pending *pending_find(const struct group *group, struct slice id)
{
    struct map_node *node = map_find(&group->pending, map_hash(&group->pending, id), &id);
    return node == NULL ? NULL : CONTAINER_OF(node, struct group_pending, node);
}

// KIP-345: an instance id names one member at a time; whoever else uses it is fenced.
int member_validate(const struct group *group, struct slice id, struct slice instance_id)
{
    if (instance_id.data != NULL) {
        const struct group_member *holder = member_find_static(group, instance_id);
        if (holder == NULL)
            return ERR_UNKNOWN_MEMBER_ID;
        if (!slice_eq(holder->id, id))
            return ERR_FENCED_INSTANCE_ID;
    }
    return member_find(group, id) == NULL ? ERR_UNKNOWN_MEMBER_ID : 0;
}

void member_make_id(struct groups *groups, struct slice prefix, struct buf *out)
{
    uint8_t r[16];
    io_random(groups->shard, r, sizeof r);
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40); // a version 4 UUID, as other coordinators make them
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    size_t start = out->len;
    if (prefix.len > 0)
        buf_put_slice(out, prefix);
    for (size_t i = 0; i < sizeof r; i++) {
        bool dash = i == 0 || i == 4 || i == 6 || i == 8 || i == 10;
        buf_printf(out, "%s%02x", dash ? "-" : "", r[i]);
    }
    ASSERT(out->err != 0 || out->len == start + prefix.len + MEMBER_ID_SUFFIX);
}

// ---- protocols of a member

static size_t terms_bytes(const struct member_terms *terms)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < terms->protocols_count; i++)
        bytes += sizeof(struct group_protocol) + terms->protocols[i].name.len +
                 terms->protocols[i].metadata.len;
    return bytes;
}

static struct slice pack(uint8_t **at, struct slice s)
{
    struct slice copy = slice_of(*at, s.len);
    if (s.len > 0)
        memcpy(*at, s.data, s.len);
    *at += s.len;
    return copy;
}

static bool named_before(const struct member_terms *terms, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++)
        if (slice_eq(terms->protocols[i].name, terms->protocols[index].name))
            return true;
    return false;
}

// One block: the array, then names and metadata. A name that comes twice counts once.
static void member_copy_protocols(struct group_member *m, const struct member_terms *terms,
                                  size_t bytes)
{
    ASSERT(terms->protocols_count <= GROUP_PROTOCOLS_MAX);
    m->protocols = mem_alloc(bytes > 0 ? bytes : 1);
    m->protocols_bytes = bytes;
    m->protocols_count = 0;
    uint8_t *at = (uint8_t *)m->protocols + terms->protocols_count * sizeof(struct group_protocol);
    for (uint32_t i = 0; i < terms->protocols_count; i++) {
        if (named_before(terms, i))
            continue;
        struct group_protocol *p = &m->protocols[m->protocols_count++];
        p->name = pack(&at, terms->protocols[i].name);
        p->metadata = pack(&at, terms->protocols[i].metadata);
    }
    ASSERT(at <= (uint8_t *)m->protocols + bytes);
}

bool member_matches(const struct group_member *member, const struct member_terms *terms)
{
    if (member->protocols_count != terms->protocols_count)
        return false;
    for (uint32_t i = 0; i < terms->protocols_count; i++)
        if (!slice_eq(member->protocols[i].name, terms->protocols[i].name) ||
            slice_cmp(member->protocols[i].metadata, terms->protocols[i].metadata) != 0)
            return false;
    return true;
}

struct slice member_metadata(const struct group_member *member, struct slice protocol)
{
    for (uint32_t i = 0; i < member->protocols_count; i++)
        if (slice_eq(member->protocols[i].name, protocol))
            return member->protocols[i].metadata;
    return slice_of("", 0);
}

// ---- in and out

static size_t member_own_bytes(const struct group_member *m)
{
    return sizeof *m + m->id.len + m->instance_id.len + m->client_id.len + m->client_host.len;
}

static void member_link(struct group *group, struct group_member *m)
{
    map_insert(&group->members, &m->node, map_hash(&group->members, m->id));
    if (m->instance_id.data != NULL)
        map_insert(&group->statics, &m->static_node, map_hash(&group->statics, m->instance_id));
    if (group->leader == NULL)
        group->leader = m;
}

int member_add(struct group *group, const struct member_terms *terms, struct group_member **out)
{
    ASSERT(member_find(group, terms->id) == NULL);
    ASSERT(terms->instance_id.data == NULL ||
           member_find_static(group, terms->instance_id) == NULL);
    size_t protocols_bytes = terms_bytes(terms);
    size_t own = sizeof(struct group_member) + terms->id.len + terms->instance_id.len +
                 terms->client_id.len + terms->client_host.len;
    if (group_take(group, protocols_bytes + own) != 0)
        return ERR_BUDGET;
    struct group_member *m = mem_zalloc(sizeof *m);
    m->group = group;
    m->id = group_dup(terms->id);
    m->instance_id = group_dup(terms->instance_id);
    m->client_id = group_dup(terms->client_id);
    m->client_host = group_dup(terms->client_host);
    m->session_timeout_ms = terms->session_timeout_ms;
    m->rebalance_timeout_ms = terms->rebalance_timeout_ms;
    m->assignment = group_dup(slice_of("", 0));
    ASSERT(member_own_bytes(m) == own);
    io_timer_init(&m->session, rebalance_session_timer);
    member_copy_protocols(m, terms, protocols_bytes);
    if (group->members.count == 0) {
        group_free(&group->protocol_type);
        group->protocol_type = group_dup(terms->protocol_type);
    }
    ASSERT(slice_eq(group->protocol_type, terms->protocol_type));
    member_link(group, m);
    protocols_count(group, m, true);
    *out = m;
    return 0;
}

int member_update(struct group_member *m, const struct member_terms *terms)
{
    size_t bytes = terms_bytes(terms);
    if (group_take(m->group, bytes) != 0)
        return ERR_BUDGET;
    protocols_count(m->group, m, false);
    group_give(m->group, m->protocols_bytes);
    mem_free(m->protocols);
    member_copy_protocols(m, terms, bytes);
    protocols_count(m->group, m, true);
    m->session_timeout_ms = terms->session_timeout_ms;
    m->rebalance_timeout_ms = terms->rebalance_timeout_ms;
    return 0;
}

void member_remove(struct group_member *m)
{
    struct group *group = m->group;
    ASSERT(m->join == NULL);
    ASSERT(m->sync == NULL);
    group_timer_stop(group->groups, &m->session);
    map_remove(&group->members, &m->node);
    if (m->instance_id.data != NULL)
        map_remove(&group->statics, &m->static_node);
    protocols_count(group, m, false);
    if (m->awaiting_join)
        group->awaiting_join--;
    if (m->pending_sync)
        group->pending_sync--;
    if (group->leader == m) {
        struct list *next = list_first(&group->members.order);
        group->leader = next == NULL ? NULL : CONTAINER_OF(next, struct group_member, node.order);
    }
    group_give(group, member_own_bytes(m) + m->protocols_bytes + m->assignment.len);
    group_free(&m->id);
    group_free(&m->instance_id);
    group_free(&m->client_id);
    group_free(&m->client_host);
    group_free(&m->assignment);
    mem_free(m->protocols);
    mem_free(m);
}

void member_rename(struct group_member *m, struct slice id)
{
    struct group *group = m->group;
    ASSERT(m->instance_id.data != NULL);
    ASSERT(member_find(group, id) == NULL);
    map_remove(&group->members, &m->node);
    size_t before = m->id.len;
    group_free(&m->id);
    m->id = group_dup(id);
    group_force(group, id.len); // a few bytes: a restart must not fail for them
    group_give(group, before);
    map_insert(&group->members, &m->node, map_hash(&group->members, id));
}

void member_set_assignment(struct group_member *m, struct slice assignment)
{
    struct group *group = m->group;
    ASSERT(assignment.data != NULL);
    group_force(group, assignment.len); // was bounded when its request was read
    group_give(group, m->assignment.len);
    group_free(&m->assignment);
    m->assignment = group_dup(assignment);
}

void member_session(struct group_member *m, int32_t timeout_ms)
{
    ASSERT(timeout_ms >= 0);
    if (m->group->groups->stopped)
        return;
    io_timer_start(m->group->groups->shard, &m->session, group_deadline(m->group, timeout_ms));
}

// ---- pending members

int pending_add(struct group *group, struct slice id, int32_t session_timeout_ms)
{
    ASSERT(member_find(group, id) == NULL);
    ASSERT(pending_find(group, id) == NULL);
    if (group_take(group, sizeof(struct group_pending) + id.len) != 0)
        return ERR_BUDGET;
    struct group_pending *p = mem_zalloc(sizeof *p);
    p->group = group;
    p->id = group_dup(id);
    map_insert(&group->pending, &p->node, map_hash(&group->pending, id));
    io_timer_init(&p->session, rebalance_pending_timer);
    io_timer_start(group->groups->shard, &p->session, group_deadline(group, session_timeout_ms));
    return 0;
}

void pending_remove(struct group_pending *p)
{
    struct group *group = p->group;
    group_timer_stop(group->groups, &p->session);
    map_remove(&group->pending, &p->node);
    group_give(group, sizeof *p + p->id.len);
    group_free(&p->id);
    mem_free(p);
}
