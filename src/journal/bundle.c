// SPDX-License-Identifier: Apache-2.0
//
// Which submissions the next group takes. Each port's submissions wait in a lane, in order. Without
// bundles the answer is: everything, up to the group's limit. A bundle's parts lie in several lanes
// and must leave together, and what lies behind a part must not overtake it. So:
//
//   limits   each lane's longest prefix in which every bundle is whole. A lane is cut before a part
//            of a bundle that is not whole; that may break a bundle whose other part lies behind
//            the cut, so the lanes are looked at again until nothing changes (the greatest
//            fixpoint: a cut only ever moves forward in the queue, so this ends).
//   choice   lanes take turns; one submission is taken with all it needs: what lies before it, the
//            other parts of each bundle met, what lies before those. Within the limits this closure
//            is always whole. A group holds at least one closure, else as many as its limit allows;
//            what lies before a bundle's parts goes in groups before it if it would make its too
//            large.
//
// Parts that arrive in different orders on different lanes therefore never wait for each other.
#include "base/assert.h"
#include "base/bugs.h"
#include "base/mem.h"
#include "journal/journal_int.h"

static bool bundle_eq(const struct map_node *node, const void *key)
{
    const uint64_t *id = key;
    return CONTAINER_OF(node, const struct journal_bundle, node)->id == *id;
}

void bundles_init(struct journal *journal)
{
    map_init(&journal->bundles, bundle_eq, journal->store);
}

void bundles_free(struct journal *journal)
{
    LIST_FOR_SAFE (it, &journal->bundles.order) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        mem_free(CONTAINER_OF(node, struct journal_bundle, node));
    }
    map_fini(&journal->bundles);
}

static struct journal_lane *lane_of(struct journal *journal, const struct journal_submission *s)
{
    return &journal->lanes[s->port->index];
}

static void bundle_arrive(struct journal *journal, struct journal_submission *s)
{
    uint64_t hash = map_hash_u64(&journal->bundles, s->bundle_id);
    struct map_node *node = map_find(&journal->bundles, hash, &s->bundle_id);
    struct journal_bundle *bundle;
    if (node == NULL) {
        bundle = mem_zalloc(sizeof *bundle);
        bundle->id = s->bundle_id;
        bundle->parts = s->bundle_parts;
        bundle->left = s->bundle_parts;
        map_insert(&journal->bundles, &bundle->node, hash);
    } else {
        bundle = CONTAINER_OF(node, struct journal_bundle, node);
    }
    ASSERT(bundle->parts == s->bundle_parts);
    ASSERT(bundle->arrived < bundle->parts);
    for (struct journal_submission *p = bundle->first; p != NULL; p = p->bundle_next)
        ASSERT(p->port != s->port); // one part per shard
    bundle->arrived++;
    s->bundle = bundle;
    s->bundle_next = bundle->first;
    bundle->first = s;
}

static void answer_early(struct journal *journal, struct journal_submission *s)
{
    uint64_t lsn = journal->next_lsn;
    LIST_FOR (it, &s->frames)
        CONTAINER_OF(it, struct journal_frame, link)->lsn = lsn++;
    s->early_msg.run = submission_early;
    io_post(s->port->shard, &s->early_msg);
}

void lane_arrive(struct journal *journal, struct journal_submission *s)
{
    struct journal_lane *lane = lane_of(journal, s);
    s->seq = lane->next_seq++;
    list_push_back(&lane->pending, &s->link);
    if (bug(BUG_EARLY_ACK))
        answer_early(journal, s);
    // A failed journal only sends home.
    if (s->bundle_parts != 0 && journal->failed == 0 && !bug(BUG_TEAR_BUNDLE))
        bundle_arrive(journal, s);
}

static bool bundle_is_whole(struct journal *journal, const struct journal_bundle *bundle)
{
    if (bundle->arrived < bundle->parts)
        return false;
    for (struct journal_submission *s = bundle->first; s != NULL; s = s->bundle_next)
        if (s->seq >= lane_of(journal, s)->limit_seq)
            return false;
    return true;
}

static bool lane_cut(struct journal *journal, struct journal_lane *lane)
{
    LIST_FOR (it, &lane->pending) {
        struct journal_submission *s = CONTAINER_OF(it, struct journal_submission, link);
        if (s->seq >= lane->limit_seq)
            return false;
        if (s->bundle != NULL && !bundle_is_whole(journal, s->bundle)) {
            lane->limit_seq = s->seq;
            return true;
        }
    }
    return false;
}

void lanes_limit(struct journal *journal)
{
    uint32_t count = journal->options.ports_count;
    for (uint32_t i = 0; i < count; i++)
        journal->lanes[i].limit_seq = journal->lanes[i].next_seq;
    if (journal->bundles.count == 0)
        return;
    bool changed;
    do {
        changed = false;
        for (uint32_t i = 0; i < count; i++)
            if (lane_cut(journal, &journal->lanes[i]))
                changed = true;
    } while (changed);
}

static void want_bundle(struct journal *journal, const struct journal_bundle *bundle)
{
    for (struct journal_submission *s = bundle->first; s != NULL; s = s->bundle_next) {
        struct journal_lane *lane = lane_of(journal, s);
        ASSERT(s->seq < lane->limit_seq);
        if (lane->want_seq <= s->seq)
            lane->want_seq = s->seq + 1;
    }
}

// Looks at what became wanted in one lane; adds its bytes. True when there was anything.
static bool lane_look(struct journal *journal, struct journal_lane *lane, uint64_t *bytes)
{
    bool any = false;
    while (lane->scan != &lane->pending) {
        struct journal_submission *s = CONTAINER_OF(lane->scan, struct journal_submission, link);
        if (s->seq >= lane->want_seq)
            break;
        *bytes += s->bytes;
        if (s->bundle != NULL)
            want_bundle(journal, s->bundle);
        lane->scan = lane->scan->next;
        any = true;
    }
    return any;
}

static uint64_t closure_bytes(struct journal *journal, struct journal_lane *start)
{
    uint32_t count = journal->options.ports_count;
    for (uint32_t i = 0; i < count; i++) {
        journal->lanes[i].scan = journal->lanes[i].pending.next;
        journal->lanes[i].want_seq = 0;
    }
    start->want_seq = CONTAINER_OF(start->pending.next, struct journal_submission, link)->seq + 1;
    uint64_t bytes = 0;
    bool any;
    do {
        any = false;
        for (uint32_t i = 0; i < count; i++)
            if (lane_look(journal, &journal->lanes[i], &bytes))
                any = true;
    } while (any);
    return bytes;
}

static void bundle_leave(struct journal *journal, struct journal_submission *s)
{
    struct journal_bundle *bundle = s->bundle;
    ASSERT(bundle->left > 0);
    s->bundle = NULL;
    if (--bundle->left > 0)
        return;
    map_remove(&journal->bundles, &bundle->node);
    mem_free(bundle);
}

static void closure_take(struct journal *journal, uint64_t bytes)
{
    struct journal_group *group = &journal->group;
    for (uint32_t i = 0; i < journal->options.ports_count; i++) {
        struct journal_lane *lane = &journal->lanes[i];
        while (lane->pending.next != lane->scan) {
            struct list *it = list_pop_front(&lane->pending);
            ASSERT(it != NULL); // scan is the head or stands behind the first
            struct journal_submission *s = CONTAINER_OF(it, struct journal_submission, link);
            list_push_back(&group->submissions, it);
            group->frames += s->frames_count;
            if (s->bundle != NULL)
                bundle_leave(journal, s);
        }
    }
    group->taken_bytes += bytes;
}

// A closure beyond the limit: is there a lane, among those that it reaches, whose own first
// submission needs less? It lies before a part of a bundle, and can go alone.
static struct journal_lane *lane_before(struct journal *journal, struct journal_lane *lane,
                                        uint64_t *bytes)
{
    bool reached[64] = {false};
    uint32_t count = journal->options.ports_count;
    for (uint32_t i = 0; i < count && i < 64; i++) {
        const struct journal_lane *other = &journal->lanes[i];
        reached[i] = other != lane && other->scan != other->pending.next;
    }
    for (uint32_t i = 0; i < count && i < 64; i++) {
        if (!reached[i])
            continue;
        uint64_t less = closure_bytes(journal, &journal->lanes[i]);
        if (less < *bytes) {
            *bytes = less;
            return &journal->lanes[i];
        }
    }
    *bytes = closure_bytes(journal, lane);
    return lane;
}

static bool lane_has(const struct journal_lane *lane)
{
    if (list_empty(&lane->pending))
        return false;
    return CONTAINER_OF(lane->pending.next, struct journal_submission, link)->seq < lane->limit_seq;
}

bool lanes_take(struct journal *journal)
{
    struct journal_group *group = &journal->group;
    ASSERT(list_empty(&group->submissions));
    ASSERT(group->taken_bytes == 0);
    uint32_t count = journal->options.ports_count;
    ASSERT(count > 0);
    bool any;
    do {
        any = false;
        for (uint32_t i = 0; i < count; i++) {
            struct journal_lane *lane = &journal->lanes[(journal->lane_first + i) % count];
            if (!lane_has(lane))
                continue;
            uint64_t bytes = closure_bytes(journal, lane);
            bool empty = list_empty(&group->submissions);
            if (!empty && group->taken_bytes + bytes > journal->options.group_max_bytes)
                continue; // its turn to be the first will come
            if (empty && bytes > journal->options.group_max_bytes && journal->bundles.count > 0)
                (void)lane_before(journal, lane, &bytes);
            closure_take(journal, bytes);
            any = true;
        }
    } while (any);
    journal->lane_first = (journal->lane_first + 1) % count;
    return !list_empty(&group->submissions);
}
