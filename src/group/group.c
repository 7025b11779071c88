// SPDX-License-Identifier: Apache-2.0
//
// The life of groups and of their requests. A group's states are a table of allowed edges; every
// change of state goes through group_become, which asserts the edge and then the invariant.
//
//            first member              all joined              leader's assignment durable
//   Empty ---------------> Preparing ---------------> Completing ---------------> Stable
//     ^                     |  ^  ^                      |                          |
//     | nobody left         |  |  +----- join, leave, timeout ----+-----------------+
//     +---------------------+
//   any ----> Dead: being deleted; answers COORDINATOR_NOT_AVAILABLE until the deletion is durable
#include "group/group_int.h"

#include <string.h>
#include <strings.h>

#define ANSWER_MAX_BYTES ((size_t)256 << 20) // the answer repeats what the budget let in
#define GROUP_ID_MAX     32767               // what the protocol's short strings can carry
#define NS_PER_MS        1000000

#define EDGE(state) (1U << GROUP_##state)
static const uint8_t group_edges[GROUP_STATES_COUNT] = {
    // from                        to
    [GROUP_EMPTY] = EDGE(PREPARING_REBALANCE) | EDGE(DEAD),
    [GROUP_PREPARING_REBALANCE] = EDGE(COMPLETING_REBALANCE) | EDGE(EMPTY) | EDGE(DEAD),
    [GROUP_COMPLETING_REBALANCE] = EDGE(STABLE) | EDGE(PREPARING_REBALANCE) | EDGE(DEAD),
    [GROUP_STABLE] = EDGE(PREPARING_REBALANCE) | EDGE(DEAD),
    [GROUP_DEAD] = 0,
};

static const char *const state_names[GROUP_STATES_COUNT] = {
#define GROUP_STATE_NAME(id, name) [GROUP_##id] = name,
    GROUP_STATES(GROUP_STATE_NAME)
#undef GROUP_STATE_NAME
};

const char *group_state_name(enum group_state state)
{
    ASSERT((unsigned)state < GROUP_STATES_COUNT);
    return state_names[state];
}

int group_state_by_name(struct slice name, enum group_state *out)
{
    for (unsigned i = 0; i < GROUP_STATES_COUNT; i++) {
        size_t len = strlen(state_names[i]);
        if (name.len == len && strncasecmp((const char *)name.data, state_names[i], len) == 0) {
            *out = (enum group_state)i;
            return 0;
        }
    }
    return ERR_NOT_FOUND;
}

bool group_may_become(const struct group *group, enum group_state state)
{
    ASSERT((unsigned)state < GROUP_STATES_COUNT);
    return (group_edges[group->state] & (1U << state)) != 0;
}

void group_check(const struct group *group)
{
    size_t members = group->members.count;
    ASSERT(group->awaiting_join <= members);
    ASSERT(group->pending_sync <= members);
    ASSERT(group->statics.count <= members);
    ASSERT((group->leader == NULL) == (members == 0));
    ASSERT(group->leader == NULL || group->leader->group == group);
    ASSERT(group->generation >= 0);
    if (group->state == GROUP_EMPTY)
        ASSERT(members == 0);
    if (group->state == GROUP_STABLE || group->state == GROUP_COMPLETING_REBALANCE) {
        ASSERT(group->protocol.data != NULL || members == 0);
        // Only static members whose replacement is being saved may wait here.
        ASSERT(group->awaiting_join <= group->statics.count);
    }
}

void group_become(struct group *group, enum group_state state)
{
    ASSERT(group_may_become(group, state));
    group->previous = group->state;
    group->state = state;
    group->since_ms = groups_now_ms(group->groups);
    group_check(group);
}

// ---- small change

int64_t groups_now_ms(const struct groups *groups)
{
    ASSERT(groups->shard != NULL);
    return io_wall_ms(groups->shard);
}

int64_t group_deadline(const struct group *group, int64_t delay_ms)
{
    ASSERT(delay_ms >= 0);
    return io_now_ns(group->groups->shard) + delay_ms * NS_PER_MS;
}

struct slice group_dup(struct slice s)
{
    if (s.data == NULL)
        return SLICE_NULL;
    uint8_t *copy = mem_alloc(s.len > 0 ? s.len : 1);
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    return slice_of(copy, s.len);
}

void group_free(struct slice *s)
{
    union { // the copy is ours: group_dup made it
        const uint8_t *borrowed;
        void *owned;
    } data = {.borrowed = s->data};
    mem_free(data.owned);
    *s = SLICE_NULL;
}

int group_take(struct group *group, size_t bytes)
{
    struct budget *budget = group->groups->opt.budget;
    if (!group->groups->started) // what was accepted before a restart is accepted after it
        group_force(group, bytes);
    else if (budget != NULL && budget_take(budget, bytes) != 0)
        return ERR_BUDGET;
    else
        group->taken_bytes += bytes;
    return 0;
}

void group_force(struct group *group, size_t bytes)
{
    if (group->groups->opt.budget != NULL)
        budget_force(group->groups->opt.budget, bytes);
    group->taken_bytes += bytes;
}

void group_give(struct group *group, size_t bytes)
{
    ASSERT(bytes <= group->taken_bytes);
    group->taken_bytes -= bytes;
    if (group->groups->opt.budget != NULL)
        budget_give(group->groups->opt.budget, bytes);
}

// ---- requests

static void groups_wake(struct io_msg *msg)
{
    struct groups *groups = CONTAINER_OF(msg, struct groups, wake);
    ASSERT(groups->wake_posted);
    groups->wake_posted = false;
    struct list ready;
    list_init(&ready);
    list_splice_back(&ready,
                     &groups->completed); // a done may ask for more: that is the next turn's
    for (struct list *it = list_pop_front(&ready); it != NULL; it = list_pop_front(&ready)) {
        struct group_request *request = CONTAINER_OF(it, struct group_request, link);
        ASSERT(request->slot == NULL);
        request->done(request);
    }
}

void group_answer(struct groups *groups, struct group_request *request, int err)
{
    ASSERT(request->groups == groups);
    ASSERT(request->slot == NULL);
    ASSERT(list_empty(&request->link));
    ASSERT(err <= 0);
    request->err = err;
    list_push_back(&groups->completed, &request->link);
    if (groups->wake_posted)
        return;
    groups->wake_posted = true;
    io_post(groups->shard, &groups->wake);
}

void group_hold(struct group_request **slot, struct group_request *request)
{
    ASSERT(*slot == NULL);
    ASSERT(request->slot == NULL);
    *slot = request;
    request->slot = slot;
}

void group_detach(struct group_request **slot)
{
    if (*slot == NULL)
        return;
    ASSERT((*slot)->slot == slot);
    (*slot)->slot = NULL;
    *slot = NULL;
}

void group_timer_stop(struct groups *groups, struct io_timer *timer)
{
    if (groups->shard != NULL)
        io_timer_stop(groups->shard, timer);
}

void group_answer_slot(struct group_request **slot, int err)
{
    struct group_request *request = *slot;
    if (request == NULL)
        return;
    ASSERT(request->slot == slot);
    *slot = NULL;
    request->slot = NULL;
    group_answer(request->groups, request, err);
}

bool groups_admit(struct groups *groups, struct group_request *request)
{
    ASSERT(request->done != NULL);
    list_init(&request->link);
    request->groups = groups;
    request->slot = NULL;
    request->err = 0;
    arena_init(&request->answer, ANSWER_MAX_BYTES);
    if (groups->started && !groups->stopped)
        return true;
    ASSERT(groups->shard != NULL); // nobody can ask before there is a shard to ask on
    group_answer(groups, request,
                 groups->stopped ? ERR_COORDINATOR_NOT_AVAILABLE
                                 : ERR_COORDINATOR_LOAD_IN_PROGRESS);
    return false;
}

void group_request_fini(struct group_request *request)
{
    ASSERT(request->slot == NULL);
    arena_fini(&request->answer);
}

void group_request_cancel(struct group_request *request)
{
    if (request->slot != NULL) {
        ASSERT(*request->slot == request);
        *request->slot = NULL;
        request->slot = NULL;
    }
    list_remove(&request->link);
}

struct slice group_answer_slice(struct group_request *request, struct slice s)
{
    if (s.data == NULL || request->err != 0)
        return SLICE_NULL;
    struct slice copy = arena_slice(&request->answer, s);
    if (copy.data == NULL)
        request->err = ERR_COORDINATOR_NOT_AVAILABLE;
    return copy;
}

// "The empty group id" is an old simple consumer's: offsets only (KIP-289).
int group_id_check(struct slice group_id, bool empty_allowed)
{
    if (group_id.data == NULL || group_id.len > GROUP_ID_MAX)
        return ERR_INVALID_GROUP_ID;
    return group_id.len == 0 && !empty_allowed ? ERR_INVALID_GROUP_ID : 0;
}

// ---- groups

static bool group_eq(const struct map_node *node, const void *key)
{
    return slice_eq(CONTAINER_OF(node, struct group, node)->id, *(const struct slice *)key);
}
static bool member_eq(const struct map_node *node, const void *key)
{
    return slice_eq(CONTAINER_OF(node, struct group_member, node)->id, *(const struct slice *)key);
}
static bool static_eq(const struct map_node *node, const void *key)
{
    return slice_eq(CONTAINER_OF(node, struct group_member, static_node)->instance_id,
                    *(const struct slice *)key);
}
static bool pending_eq(const struct map_node *node, const void *key)
{
    return slice_eq(CONTAINER_OF(node, struct group_pending, node)->id, *(const struct slice *)key);
}
static bool support_eq(const struct map_node *node, const void *key)
{
    return slice_eq(CONTAINER_OF(node, struct group_support, node)->name,
                    *(const struct slice *)key);
}
static bool subscribed_eq(const struct map_node *node, const void *key)
{
    return slice_eq(CONTAINER_OF(node, struct group_subscribed, node)->name,
                    *(const struct slice *)key);
}
static bool topic_eq(const struct map_node *node, const void *key)
{
    return slice_eq(CONTAINER_OF(node, struct group_topic_offsets, node)->name,
                    *(const struct slice *)key);
}

struct group *group_find(const struct groups *groups, struct slice id)
{
    struct map_node *node = map_find(&groups->by_id, map_hash(&groups->by_id, id), &id);
    return node == NULL ? NULL : CONTAINER_OF(node, struct group, node);
}

int group_create(struct groups *groups, struct slice id, struct group **out)
{
    ASSERT(group_find(groups, id) == NULL);
    size_t bytes = sizeof(struct group) + id.len;
    struct group *g = mem_zalloc(sizeof *g);
    uint64_t seed = groups->opt.hash_seed;
    g->groups = groups;
    if (group_take(g, bytes) != 0) {
        mem_free(g);
        return ERR_BUDGET;
    }
    g->id = group_dup(id);
    g->state = g->previous = GROUP_EMPTY;
    g->since_ms = groups->shard != NULL ? groups_now_ms(groups) : -1;
    g->initial_delay_ms = -1;
    g->dirty.kind = DIRTY_GROUP;
    list_init(&g->dirty.link);
    map_init(&g->members, member_eq, seed);
    map_init(&g->statics, static_eq, seed);
    map_init(&g->pending, pending_eq, seed);
    map_init(&g->support, support_eq, seed);
    map_init(&g->subscribed, subscribed_eq, seed);
    map_init(&g->topics, topic_eq, seed);
    io_timer_init(&g->join_timer, rebalance_join_timer);
    io_timer_init(&g->sync_timer, rebalance_sync_timer);
    map_insert(&groups->by_id, &g->node, map_hash(&groups->by_id, id));
    *out = g;
    return 0;
}

static void group_free_members(struct group *g)
{
    MAP_FOR_SAFE (it, &g->pending)
        pending_remove(CONTAINER_OF(it, struct group_pending, node.order));
    MAP_FOR_SAFE (it, &g->members) {
        struct group_member *m = CONTAINER_OF(it, struct group_member, node.order);
        group_detach(&m->join);
        group_detach(&m->sync);
        member_remove(m);
    }
    ASSERT(g->members.count == 0);
    ASSERT(g->support.count == 0);
    ASSERT(g->leader == NULL);
    protocol_subscribe(g);
}

void group_release(struct group *g)
{
    struct groups *groups = g->groups;
    ASSERT(g->ops_open == 0);
    group_timer_stop(groups, &g->join_timer);
    group_timer_stop(groups, &g->sync_timer);
    group_free_members(g);
    offsets_clear(g, false);
    map_remove(&groups->by_id, &g->node);
    list_remove(&g->dirty.link);
    group_give(g, g->taken_bytes);
    struct map *maps[] = {&g->members, &g->statics,    &g->pending,
                          &g->support, &g->subscribed, &g->topics};
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        ASSERT(maps[i]->count == 0);
        map_fini(maps[i]);
    }
    group_free(&g->id);
    group_free(&g->protocol_type);
    group_free(&g->protocol);
    mem_free(g->saved);
    mem_free(g);
}

// ---- all groups of a shard

void groups_options_default(struct groups_options *out)
{
    *out = (struct groups_options){
        .initial_rebalance_delay_ms = 3000,
        .min_session_timeout_ms = 6000,
        .max_session_timeout_ms = 1800000,
        .new_member_join_timeout_ms = 300000,
        .max_size = INT32_MAX,
        .offset_metadata_max_bytes = 4096,
        .offsets_retention_ms = (int64_t)7 * 24 * 3600 * 1000,
        .offsets_check_ms = 600000,
    };
}

struct groups *groups_create(const struct groups_options *options)
{
    ASSERT(options->initial_rebalance_delay_ms >= 0);
    ASSERT(options->min_session_timeout_ms <= options->max_session_timeout_ms);
    ASSERT(options->max_size > 0);
    ASSERT(options->offsets_check_ms > 0);
    struct groups *groups = mem_zalloc(sizeof *groups);
    groups->opt = *options;
    map_init(&groups->by_id, group_eq, options->hash_seed);
    list_init(&groups->completed);
    list_init(&groups->ops);
    list_init(&groups->dirty);
    list_init(&groups->cutting);
    groups->wake.run = groups_wake;
    io_timer_init(&groups->expiry, expire_timer);
    return groups;
}

void groups_start(struct groups *groups, struct io *shard, struct journal_port *port)
{
    ASSERT(!groups->started);
    ASSERT(port != NULL);
    groups->shard = shard;
    groups->port = port;
    groups->started = true;
    int64_t first = io_now_ns(shard) + groups->opt.offsets_check_ms * NS_PER_MS;
    io_timer_start(shard, &groups->expiry, first);
    LIST_FOR (it, &groups->by_id.order) {
        struct group *g = CONTAINER_OF(it, struct group, node.order);
        LIST_FOR (m, &g->members.order) {
            struct group_member *member = CONTAINER_OF(m, struct group_member, node.order);
            member_session(member, member->session_timeout_ms);
        }
        group_check(g);
    }
}

static void group_stop(struct group *g)
{
    io_timer_stop(g->groups->shard, &g->join_timer);
    io_timer_stop(g->groups->shard, &g->sync_timer);
    LIST_FOR (it, &g->members.order) {
        struct group_member *member = CONTAINER_OF(it, struct group_member, node.order);
        io_timer_stop(g->groups->shard, &member->session);
        join_answer(member, ERR_COORDINATOR_NOT_AVAILABLE);
        sync_answer(member, ERR_COORDINATOR_NOT_AVAILABLE);
    }
    LIST_FOR (it, &g->pending.order)
        io_timer_stop(g->groups->shard,
                      &CONTAINER_OF(it, struct group_pending, node.order)->session);
}

void groups_stop(struct groups *groups)
{
    ASSERT(groups->started);
    if (groups->stopped)
        return;
    groups->stopped = true;
    io_timer_stop(groups->shard, &groups->expiry);
    LIST_FOR (it, &groups->by_id.order)
        group_stop(CONTAINER_OF(it, struct group, node.order));
}

static void gone_list_free(struct list *list)
{
    LIST_FOR_SAFE (it, list) {
        struct group_dirty *dirty = CONTAINER_OF(it, struct group_dirty, link);
        ASSERT(dirty->kind == DIRTY_GONE); // the others left with their groups
        struct group_gone *gone = CONTAINER_OF(dirty, struct group_gone, dirty);
        list_remove(it);
        group_free(&gone->key);
        mem_free(gone);
    }
}

void groups_destroy(struct groups *groups)
{
    if (groups == NULL)
        return;
    groups->shard = NULL; // the actor has ended: its timers and mail went with it
    for (struct list *it; (it = list_first(&groups->ops)) != NULL;)
        op_drop(CONTAINER_OF(it, struct group_op, link));
    while (list_pop_front(&groups->completed) != NULL)
        ; // answered, but not told in time
    MAP_FOR_SAFE (it, &groups->by_id)
        group_release(CONTAINER_OF(it, struct group, node.order));
    gone_list_free(&groups->dirty);
    gone_list_free(&groups->cutting);
    map_fini(&groups->by_id);
    mem_free(groups);
}

void groups_stats(const struct groups *groups, struct groups_stats *out)
{
    *out = groups->counts;
    out->groups = groups->by_id.count;
    LIST_FOR (it, &groups->by_id.order) {
        const struct group *g = CONTAINER_OF(it, struct group, node.order);
        out->by_state[g->state]++;
        out->members += g->members.count;
    }
}
