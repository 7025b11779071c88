// SPDX-License-Identifier: Apache-2.0
//
// Protocols of a group: which ones all members know, which one the next generation uses, and what
// the members of type "consumer" subscribed to. To the coordinator a member's metadata are opaque;
// only for the consumer protocol is the list of topics at their beginning read, because offsets of
// subscribed topics must neither expire nor be deleted (KIP-211, KIP-496).
#include "group/group_int.h"

bool protocol_is_consumer(const struct group *group)
{
    return slice_eq_cstr(group->protocol_type, "consumer");
}

static struct group_support *support_find(const struct group *group, struct slice name)
{
    struct map_node *node = map_find(&group->support, map_hash(&group->support, name), &name);
    return node == NULL ? NULL : CONTAINER_OF(node, struct group_support, node);
}

void protocols_count(struct group *group, const struct group_member *member, bool add)
{
    for (uint32_t i = 0; i < member->protocols_count; i++) {
        struct slice name = member->protocols[i].name;
        struct group_support *s = support_find(group, name);
        if (s == NULL) {
            ASSERT(add);
            s = mem_zalloc(sizeof *s);
            s->name = group_dup(name);
            map_insert(&group->support, &s->node, map_hash(&group->support, name));
        }
        if (add) {
            s->members++;
            continue;
        }
        ASSERT(s->members > 0);
        if (--s->members == 0) {
            map_remove(&group->support, &s->node);
            group_free(&s->name);
            mem_free(s);
        }
    }
}

// An empty group takes any protocol type and list that are not empty; others take whom they have a
// protocol in common with.
bool protocols_supported(const struct group *group, const struct member_terms *terms)
{
    if (group->state == GROUP_EMPTY)
        return terms->protocol_type.len > 0 && terms->protocols_count > 0;
    if (group->protocol_type.data == NULL || !slice_eq(group->protocol_type, terms->protocol_type))
        return false;
    if (group->members.count == 0)
        return terms->protocols_count > 0; // all have left, some may come yet
    for (uint32_t i = 0; i < terms->protocols_count; i++) {
        const struct group_support *s = support_find(group, terms->protocols[i].name);
        if (s != NULL && s->members == group->members.count)
            return true;
    }
    return false;
}

static bool everybody_knows(const struct group *group, struct slice name)
{
    const struct group_support *s = support_find(group, name);
    ASSERT(s != NULL);
    ASSERT(s->members <= group->members.count);
    return s->members == group->members.count;
}

// Each member votes for the first protocol of its list that all know; the most votes win, and
// between equals the one that was voted for first.
struct slice protocol_select(const struct group *group)
{
    ASSERT(group->members.count > 0);
    struct {
        struct slice name;
        uint32_t votes;
    } polls[GROUP_PROTOCOLS_MAX] = {{SLICE_NULL, 0}};
    uint32_t polls_count = 0, best = 0;
    LIST_FOR (it, &group->members.order) {
        const struct group_member *m = CONTAINER_OF(it, struct group_member, node.order);
        uint32_t choice = 0;
        while (choice < m->protocols_count && !everybody_knows(group, m->protocols[choice].name))
            choice++;
        ASSERT(choice < m->protocols_count); // a member is only let in with one in common
        uint32_t i = 0;
        while (i < polls_count && !slice_eq(polls[i].name, m->protocols[choice].name))
            i++;
        if (i == polls_count) {
            ASSERT(polls_count < GROUP_PROTOCOLS_MAX);
            polls[polls_count++].name = m->protocols[choice].name;
        }
        polls[i].votes++;
    }
    ASSERT(polls_count > 0);
    for (uint32_t i = 1; i < polls_count; i++)
        if (polls[i].votes > polls[best].votes)
            best = i;
    return polls[best].name;
}

// ---- subscriptions

static void subscribed_clear(struct group *group)
{
    MAP_FOR_SAFE (it, &group->subscribed) {
        struct group_subscribed *s = CONTAINER_OF(it, struct group_subscribed, node.order);
        map_remove(&group->subscribed, &s->node);
        group_free(&s->name);
        mem_free(s);
    }
    group->subscribed_known = false;
}

static void subscribed_add(struct group *group, struct slice name)
{
    uint64_t hash = map_hash(&group->subscribed, name);
    if (map_find(&group->subscribed, hash, &name) != NULL)
        return;
    struct group_subscribed *s = mem_zalloc(sizeof *s);
    s->name = group_dup(name);
    map_insert(&group->subscribed, &s->node, hash);
}

// ConsumerProtocolSubscription begins, in every version, with version i16 and an array of topic
// names: "V0 must prefix all new versions". False when the metadata are something else.
static bool subscription_read(struct group *group, struct slice metadata)
{
    struct cursor in = cursor_of(metadata);
    cursor_skip(&in, 2);
    uint32_t topics = cursor_be32(&in);
    if (in.err != 0 || topics > cursor_left(&in) / 2)
        return false;
    for (uint32_t i = 0; i < topics; i++) {
        struct slice name = cursor_bytes(&in, cursor_be16(&in));
        if (in.err != 0)
            return false;
        subscribed_add(group, name);
    }
    return true;
}

void protocol_subscribe(struct group *group)
{
    subscribed_clear(group);
    if (!protocol_is_consumer(group))
        return;
    bool known = group->members.count == 0 || group->protocol.data != NULL;
    LIST_FOR (it, &group->members.order) {
        const struct group_member *m = CONTAINER_OF(it, struct group_member, node.order);
        known = known && subscription_read(group, member_metadata(m, group->protocol));
    }
    if (!known)
        subscribed_clear(group);
    group->subscribed_known = known;
}

// Where the subscription cannot be read, a consumer group is taken to be subscribed to everything.
bool protocol_subscribed(const struct group *group, struct slice topic)
{
    if (!group->subscribed_known)
        return protocol_is_consumer(group);
    uint64_t hash = map_hash(&group->subscribed, topic);
    return map_find(&group->subscribed, hash, &topic) != NULL;
}
