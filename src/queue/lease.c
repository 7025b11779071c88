// SPDX-License-Identifier: Apache-2.0
//
// Lease sets: who has what is a matter of which tree a node is in (lease_tree.h).
#include "queue/lease.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "queue/lease_tree.h"

#define SPARE_MAX 1024 // nodes kept for the next lease

// ---- nodes

void lease_pool_init(struct lease_pool *pool, struct budget *budget, uint64_t seed)
{
    *pool = (struct lease_pool){.budget = budget};
    prng_seed(&pool->prng, seed);
}

static void node_free(struct lease_pool *pool, struct lease_node *node)
{
    mem_free(node);
    if (pool->budget != NULL)
        budget_give(pool->budget, sizeof *node);
}

void lease_pool_fini(struct lease_pool *pool)
{
    ASSERT(pool->nodes == 0);
    while (pool->spare != NULL) {
        struct lease_node *node = pool->spare;
        pool->spare = node->right;
        node_free(pool, node);
    }
    pool->spare_count = 0;
}

// NULL: the budget is used up. `forced`: what must not fail.
static struct lease_node *node_make(struct lease_pool *pool, bool forced)
{
    struct lease_node *node = pool->spare;
    if (node != NULL) {
        ASSERT(pool->spare_count > 0);
        pool->spare = node->right;
        pool->spare_count--;
    } else {
        if (pool->budget != NULL && forced)
            budget_force(pool->budget, sizeof *node);
        else if (pool->budget != NULL && budget_take(pool->budget, sizeof *node) != 0)
            return NULL;
        node = mem_alloc(sizeof *node);
    }
    pool->nodes++;
    *node = (struct lease_node){.priority = (uint32_t)prng_next(&pool->prng)};
    return node;
}

static void node_drop(struct lease_pool *pool, struct lease_node *node)
{
    ASSERT(pool->nodes > 0);
    pool->nodes--;
    if (pool->spare_count == SPARE_MAX) {
        node_free(pool, node);
        return;
    }
    node->right = pool->spare;
    pool->spare = node;
    pool->spare_count++;
}

static int64_t node_end(const struct lease_node *node, enum lease_place place)
{
    return place == LEASE_AVAILABLE ? node->to : node->from + 1;
}

// ---- sets

void lease_set_init(struct lease_set *set, struct lease_pool *pool, int64_t start)
{
    ASSERT(start >= 0);
    *set = (struct lease_set){.pool = pool, .start = start, .next = start};
}

static void tree_drop(struct lease_set *set, enum lease_place place, struct lease_node *tree)
{
    struct lease_node *node;
    while ((node = tree_unravel(&tree)) != NULL) {
        uint64_t records = (uint64_t)(node_end(node, place) - node->from);
        ASSERT(set->counts[place] >= records);
        set->counts[place] -= records;
        node_drop(set->pool, node);
    }
}

void lease_set_fini(struct lease_set *set)
{
    for (int place = 0; place < LEASE_PLACES; place++) {
        tree_drop(set, (enum lease_place)place, set->trees[place]);
        set->trees[place] = NULL;
        ASSERT(set->counts[place] == 0);
    }
    set->start = set->next;
}

bool lease_set_empty(const struct lease_set *set)
{
    return set->start == set->next;
}

uint64_t lease_ready(const struct lease_set *set, int64_t end)
{
    return set->counts[LEASE_AVAILABLE] + (end > set->next ? (uint64_t)(end - set->next) : 0);
}

// After what was at the start is settled.
static void start_follow(struct lease_set *set)
{
    int64_t start = set->next;
    for (int place = 0; place < LEASE_PLACES; place++) {
        const struct lease_node *first = tree_first(set->trees[place]);
        if (first != NULL && first->from < start)
            start = first->from;
    }
    ASSERT(start >= set->start);
    set->start = start;
}

// The record is no longer kept.
static void settled(struct lease_set *set, int64_t offset)
{
    ASSERT(offset >= set->start);
    ASSERT(offset < set->next);
    if (offset == set->start)
        start_follow(set);
}

// ---- available records

int64_t lease_head(const struct lease_set *set, int64_t end, uint32_t *out_deliveries)
{
    const struct lease_node *run = tree_first(set->trees[LEASE_AVAILABLE]);
    if (run != NULL) {
        ASSERT(run->to <= set->next);
        *out_deliveries = run->deliveries;
        return run->from;
    }
    *out_deliveries = 0;
    return set->next < end ? set->next : -1;
}

// Takes the first records out of the first run; its node, when nothing is left of it.
static struct lease_node *run_shorten(struct lease_set *set, struct lease_node *run, int64_t to)
{
    ASSERT(run->from < to);
    ASSERT(to <= run->to);
    set->counts[LEASE_AVAILABLE] -= (uint64_t)(to - run->from);
    if (to < run->to) {
        run->from = to; // its place in the tree stays the same
        return NULL;
    }
    return tree_cut(tree_slot(&set->trees[LEASE_AVAILABLE], run->from));
}

int lease_acquire(struct lease_set *set, int64_t end, uint64_t holder)
{
    uint32_t deliveries;
    int64_t offset = lease_head(set, end, &deliveries);
    ASSERT(offset >= 0);
    struct lease_node *run = tree_first(set->trees[LEASE_AVAILABLE]);
    bool last = run != NULL && run->from + 1 == run->to; // then its node is the lease's
    struct lease_node *node = last ? run : node_make(set->pool, false);
    if (node == NULL)
        return ERR_BUDGET;
    if (run != NULL)
        (void)run_shorten(set, run, offset + 1);
    else
        set->next = offset + 1;
    node->from = offset;
    node->holder = holder;
    node->deliveries = deliveries == UINT32_MAX ? deliveries : deliveries + 1;
    tree_insert(&set->trees[LEASE_LEASED], node);
    set->counts[LEASE_LEASED]++;
    return 0;
}

struct lease_range lease_skip(struct lease_set *set, int64_t end, int64_t to)
{
    struct lease_node *run = tree_first(set->trees[LEASE_AVAILABLE]);
    struct lease_range range = {set->next, to < end ? to : end};
    if (run != NULL) {
        range = (struct lease_range){run->from, to < run->to ? to : run->to};
        struct lease_node *gone = run_shorten(set, run, range.to);
        if (gone != NULL)
            node_drop(set->pool, gone);
    } else {
        set->next = range.to;
    }
    ASSERT(range.from < range.to);
    if (range.from == set->start)
        start_follow(set);
    return range;
}

uint64_t lease_purge(struct lease_set *set, int64_t end,
                     void (*tell)(void *arg, struct lease_range range), void *arg)
{
    uint64_t records = lease_ready(set, end);
    struct lease_node *run;
    while ((run = tree_unravel(&set->trees[LEASE_AVAILABLE])) != NULL) {
        tell(arg, (struct lease_range){run->from, run->to});
        set->counts[LEASE_AVAILABLE] -= (uint64_t)(run->to - run->from);
        node_drop(set->pool, run);
    }
    ASSERT(set->counts[LEASE_AVAILABLE] == 0);
    if (end > set->next) {
        tell(arg, (struct lease_range){set->next, end});
        set->next = end;
    }
    start_follow(set);
    return records;
}

// ---- leases

static struct lease_node **lease_slot(struct lease_set *set, int64_t offset, uint64_t holder)
{
    struct lease_node **slot = tree_slot(&set->trees[LEASE_LEASED], offset);
    return *slot != NULL && (*slot)->holder == holder ? slot : NULL;
}

static struct lease_node *lease_end(struct lease_set *set, int64_t offset, uint64_t holder)
{
    struct lease_node **slot = lease_slot(set, offset, holder);
    if (slot == NULL)
        return NULL;
    ASSERT(set->counts[LEASE_LEASED] > 0);
    set->counts[LEASE_LEASED]--;
    return tree_cut(slot);
}

uint32_t lease_deliveries(const struct lease_set *set, int64_t offset, uint64_t holder)
{
    const struct lease_node *node = set->trees[LEASE_LEASED];
    while (node != NULL && node->from != offset)
        node = offset < node->from ? node->left : node->right;
    return node != NULL && node->holder == holder ? node->deliveries : 0;
}

bool lease_settle(struct lease_set *set, int64_t offset, uint64_t holder)
{
    struct lease_node *node = lease_end(set, offset, holder);
    if (node == NULL)
        return false;
    node_drop(set->pool, node);
    settled(set, offset);
    return true;
}

// Joins the runs beside it when they were delivered as often, so that what a dead reader leaves
// behind becomes few nodes again.
static void run_add(struct lease_set *set, struct lease_node *node, int64_t from, int64_t to)
{
    struct lease_node **tree = &set->trees[LEASE_AVAILABLE];
    struct lease_node *before = tree_floor(*tree, from), *after = tree_floor(*tree, to);
    ASSERT(before == NULL || before->to <= from);
    set->counts[LEASE_AVAILABLE] += (uint64_t)(to - from);
    bool joins_before =
        before != NULL && before->to == from && before->deliveries == node->deliveries;
    bool joins_after = after != NULL && after->from == to && after->deliveries == node->deliveries;
    if (joins_before) {
        before->to = joins_after ? after->to : to;
        node_drop(set->pool, node);
        if (joins_after)
            node_drop(set->pool, tree_cut(tree_slot(tree, after->from)));
    } else if (joins_after) {
        after->from = from; // nothing is between: its place stays the same
        node_drop(set->pool, node);
    } else {
        node->from = from;
        node->to = to;
        tree_insert(tree, node);
    }
}

bool lease_release(struct lease_set *set, int64_t offset, uint64_t holder)
{
    struct lease_node *node = lease_end(set, offset, holder);
    if (node == NULL)
        return false;
    run_add(set, node, offset, offset + 1);
    return true;
}

bool lease_condemn(struct lease_set *set, int64_t offset, uint64_t holder, uint64_t reason)
{
    struct lease_node *node = lease_end(set, offset, holder);
    if (node == NULL)
        return false;
    node->reason = reason;
    tree_insert(&set->trees[LEASE_CONDEMNED], node);
    set->counts[LEASE_CONDEMNED]++;
    return true;
}

int64_t lease_condemned(const struct lease_set *set, uint64_t *out_reason)
{
    const struct lease_node *first = tree_first(set->trees[LEASE_CONDEMNED]);
    if (first == NULL)
        return -1;
    *out_reason = first->reason;
    return first->from;
}

void lease_exhume(struct lease_set *set, int64_t offset, uint64_t holder)
{
    struct lease_node **slot = tree_slot(&set->trees[LEASE_CONDEMNED], offset);
    ASSERT(*slot != NULL);
    struct lease_node *node = tree_cut(slot);
    ASSERT(set->counts[LEASE_CONDEMNED] > 0);
    set->counts[LEASE_CONDEMNED]--;
    node->holder = holder;
    tree_insert(&set->trees[LEASE_LEASED], node);
    set->counts[LEASE_LEASED]++;
}

// ---- the log's ends

void lease_trim(struct lease_set *set, int64_t start)
{
    if (start <= set->start)
        return;
    for (int i = 0; i < LEASE_PLACES; i++) {
        enum lease_place place = (enum lease_place)i;
        struct lease_node *below, *last = NULL;
        tree_split(set->trees[place], start, &below, &set->trees[place]);
        if (place == LEASE_AVAILABLE)
            last = tree_floor(below, start);
        int64_t to = last == NULL ? 0 : last->to;
        uint32_t deliveries = last == NULL ? 0 : last->deliveries;
        tree_drop(set, place, below);
        if (to > start) { // a run reaches over
            struct lease_node *node = node_make(set->pool, true);
            node->deliveries = deliveries;
            run_add(set, node, start, to);
        }
    }
    if (set->next < start)
        set->next = start;
    start_follow(set);
}

void lease_clamp(struct lease_set *set, int64_t end)
{
    if (end >= set->next)
        return;
    for (int i = 0; i < LEASE_PLACES; i++) {
        enum lease_place place = (enum lease_place)i;
        struct lease_node *rest, *last = NULL;
        tree_split(set->trees[place], end, &set->trees[place], &rest);
        tree_drop(set, place, rest);
        if (place == LEASE_AVAILABLE)
            last = tree_floor(set->trees[place], end);
        if (last != NULL && last->to > end) {
            set->counts[place] -= (uint64_t)(last->to - end);
            last->to = end;
        }
    }
    set->next = end;
    if (set->start > end)
        set->start = end;
    start_follow(set);
}

// ---- what survives

struct set_walk { // all that is not settled, in order
    struct tree_walk walks[LEASE_PLACES];
};

static void set_walk_begin(struct set_walk *walk, const struct lease_set *set)
{
    for (int i = 0; i < LEASE_PLACES; i++) {
        walk->walks[i].depth = 0;
        tree_walk_down(&walk->walks[i], set->trees[i]);
    }
}

static bool set_walk_next(struct set_walk *walk, struct lease_range *out)
{
    int first = -1;
    int64_t from = INT64_MAX;
    for (int i = 0; i < LEASE_PLACES; i++) {
        const struct lease_node *node = tree_walk_at(&walk->walks[i]);
        if (node != NULL && node->from < from) {
            first = i;
            from = node->from;
        }
    }
    if (first < 0)
        return false;
    *out = (struct lease_range){
        from, node_end(tree_walk_at(&walk->walks[first]), (enum lease_place)first)};
    tree_walk_on(&walk->walks[first]);
    return true;
}

void lease_settled_each(const struct lease_set *set,
                        bool (*fn)(void *arg, struct lease_range range), void *arg)
{
    struct set_walk walk;
    struct lease_range open;
    int64_t at = set->start;
    set_walk_begin(&walk, set);
    for (bool more = true; more;) {
        more = set_walk_next(&walk, &open);
        int64_t to = more ? open.from : set->next;
        ASSERT(to >= at);
        if (to > at && !fn(arg, (struct lease_range){at, to}))
            return;
        at = more ? open.to : to;
    }
}

struct settled_put {
    struct buf *out; // NULL: they are only counted
    int64_t last;
    uint32_t count;
};

static bool settled_put(void *arg, struct lease_range range)
{
    struct settled_put *put = arg;
    if (put->out != NULL)
        lease_state_put_range(put->out, &put->last, range);
    put->count++;
    return true;
}

static uint32_t settled_ranges(const struct lease_set *set, struct buf *out)
{
    struct settled_put put = {out, set->start, 0};
    lease_settled_each(set, settled_put, &put);
    return put.count;
}

void lease_encode(const struct lease_set *set, bool final, struct buf *out)
{
    const struct lease_state state = {set->start, set->next, settled_ranges(set, NULL), final};
    lease_state_put(out, &state);
    (void)settled_ranges(set, out);
}

// Available since a restart: it may have been delivered, so it counts as if it had been.
static void restore_run(struct lease_set *set, int64_t from, int64_t to)
{
    if (from >= to)
        return;
    struct lease_node *node = node_make(set->pool, true);
    node->deliveries = 1;
    run_add(set, node, from, to);
}

int lease_restore(struct lease_set *set, struct slice value)
{
    struct lease_state state;
    struct cursor ranges;
    ASSERT(lease_set_empty(set));
    int err = lease_state_open(value, &state, &ranges);
    if (err != 0)
        return err;
    set->start = state.start;
    set->next = state.next;
    set->final = state.final;
    struct lease_range range;
    int64_t last = state.start, at = state.start;
    while (lease_state_next(&ranges, &last, &range)) {
        restore_run(set, at, range.from);
        at = range.to;
    }
    restore_run(set, at, state.next);
    start_follow(set);
    return 0;
}

// Takes a range out of the runs.
static void runs_cut(struct lease_set *set, struct lease_range range)
{
    struct lease_node **tree = &set->trees[LEASE_AVAILABLE];
    for (;;) {
        struct lease_node *run = tree_floor(*tree, range.to - 1);
        if (run == NULL || run->to <= range.from)
            return;
        int64_t from = run->from, to = run->to;
        node_drop(set->pool, tree_cut(tree_slot(tree, from)));
        set->counts[LEASE_AVAILABLE] -= (uint64_t)(to - from);
        restore_run(set, from, range.from);
        restore_run(set, range.to, to);
    }
}

void lease_restore_settled(struct lease_set *set, struct lease_range range)
{
    ASSERT(set->trees[LEASE_LEASED] == NULL);
    ASSERT(set->trees[LEASE_CONDEMNED] == NULL);
    if (range.to <= set->start)
        return;
    if (range.to > set->next) {
        int64_t next = set->next;
        set->next = range.to;
        restore_run(set, next, range.from);
    }
    runs_cut(set, range);
    start_follow(set);
}

void lease_suspect(struct lease_set *set, int64_t end)
{
    int64_t next = set->next;
    ASSERT(set->trees[LEASE_LEASED] == NULL);
    if (end <= next)
        return;
    set->next = end;
    restore_run(set, next, end);
    start_follow(set);
}

bool lease_is_settled(const struct lease_set *set, int64_t offset)
{
    if (offset < set->start || offset >= set->next)
        return offset < set->start;
    for (int i = 0; i < LEASE_PLACES; i++) {
        enum lease_place place = (enum lease_place)i;
        const struct lease_node *node = tree_floor(set->trees[place], offset);
        if (node != NULL && offset < node_end(node, place))
            return false;
    }
    return true;
}

// ---- the invariant

static uint64_t tree_check(const struct lease_set *set, enum lease_place place)
{
    struct tree_walk walk = {.depth = 0};
    uint64_t records = 0;
    int64_t last = set->start;
    tree_walk_down(&walk, set->trees[place]);
    for (const struct lease_node *node; (node = tree_walk_at(&walk)) != NULL; tree_walk_on(&walk)) {
        ASSERT(node->from >= last);
        ASSERT(node_end(node, place) > node->from);
        ASSERT(node->left == NULL || node->left->priority <= node->priority);
        ASSERT(node->right == NULL || node->right->priority <= node->priority);
        last = node_end(node, place);
        records += (uint64_t)(last - node->from);
    }
    ASSERT(last <= set->next);
    return records;
}

void lease_check(const struct lease_set *set)
{
    ASSERT(set->start <= set->next);
    for (int i = 0; i < LEASE_PLACES; i++)
        ASSERT(tree_check(set, (enum lease_place)i) == set->counts[i]);
    struct set_walk walk;
    struct lease_range open;
    int64_t at = set->start;
    set_walk_begin(&walk, set);
    while (set_walk_next(&walk, &open)) {
        ASSERT(open.from >= at); // each record in one place
        at = open.to;
    }
    // What is at the start is not settled, unless nothing is left.
    ASSERT(set->start == set->next || !lease_is_settled(set, set->start));
}
