// SPDX-License-Identifier: Apache-2.0
//
// The lease set of one log: which of its records are settled, leased, or available again. A plain
// structure in memory; it reads and journals nothing.
//
//           start                                next           end (the log's; not kept here)
//   settled   |  L  L  settled  A A A  settled  L  |  available   |
//
// Only what is not settled between start and next is kept, as nodes in three trees by offset: a
// node for each lease and each condemned record, one for each run of available records that were
// delivered equally often. What is in none of them is settled. So settling is forgetting, and a
// reader that settles in order costs one comparison; 100,000 records that are held out of order
// cost a node each, and what waits above next costs nothing.
//
//               acquire            settle
//   AVAILABLE ----------> LEASED ----------> SETTLED
//     |    ^                | |                 ^
//     |    +--- release ----+ +--> CONDEMNED ---+  by way of a lease of its own (lease_exhume)
//     +------------------- skip ----------------+
#ifndef WEIR_QUEUE_LEASE_H
#define WEIR_QUEUE_LEASE_H

#include "base/budget.h"
#include "base/prng.h"
#include "queue/lease_format.h"

enum lease_place { LEASE_AVAILABLE, LEASE_LEASED, LEASE_CONDEMNED, LEASE_PLACES };

struct lease_node {
    struct lease_node *left, *right;
    int64_t from;
    union {
        int64_t to;      // AVAILABLE: the run's end
        uint64_t holder; // LEASED
        uint64_t reason; // CONDEMNED
    };
    uint32_t deliveries; // so far, of each record
    uint32_t priority;   // of the heap that keeps the tree flat; by chance
};
_Static_assert(sizeof(struct lease_node) == 40, "what a lease costs");

struct lease_pool { // nodes of all sets of a shard
    struct budget *budget;
    struct prng prng;
    struct lease_node *spare; // by `right`; they stay in the budget
    uint32_t spare_count;
    uint64_t nodes; // in use
};
void lease_pool_init(struct lease_pool *pool, struct budget *budget, uint64_t seed);
void lease_pool_fini(struct lease_pool *pool);

struct lease_set {
    struct lease_pool *pool;
    int64_t start, next;
    bool final; // restored from what was written when nothing could be acquired any more
    struct lease_node *trees[LEASE_PLACES];
    uint64_t counts[LEASE_PLACES]; // records
};
void lease_set_init(struct lease_set *set, struct lease_pool *pool, int64_t start);
void lease_set_fini(struct lease_set *set);
bool lease_set_empty(const struct lease_set *set);              // nothing but start = next
uint64_t lease_ready(const struct lease_set *set, int64_t end); // available below end

// ---- available records. `end`: the log has readable records below it.

// The first one, -1: none; how often it was delivered.
int64_t lease_head(const struct lease_set *set, int64_t end, uint32_t *out_deliveries);
// The first one is leased. ERR_BUDGET: no memory for another lease, nothing has changed.
int lease_acquire(struct lease_set *set, int64_t end, uint64_t holder);
// Settles what is available at the head, one run at the most and not from `to` on. There is a head
// below `to`.
struct lease_range lease_skip(struct lease_set *set, int64_t end, int64_t to);
// Settles everything available, telling each range. How many records.
uint64_t lease_purge(struct lease_set *set, int64_t end,
                     void (*settled)(void *arg, struct lease_range range), void *arg);

// ---- leases. False, or 0: no lease of that holder.

uint32_t lease_deliveries(const struct lease_set *set, int64_t offset, uint64_t holder);
bool lease_settle(struct lease_set *set, int64_t offset, uint64_t holder);
bool lease_release(struct lease_set *set, int64_t offset, uint64_t holder);
bool lease_condemn(struct lease_set *set, int64_t offset, uint64_t holder, uint64_t reason);
// The first condemned record, -1: none; it is then leased by `holder`.
int64_t lease_condemned(const struct lease_set *set, uint64_t *out_reason);
void lease_exhume(struct lease_set *set, int64_t offset, uint64_t holder);

// ---- the log's ends

void lease_trim(struct lease_set *set, int64_t start); // the log begins there: nothing is below
void lease_clamp(struct lease_set *set, int64_t end);  // a crash took what lay behind

// ---- what survives. Restoring needs memory beyond a budget that is used up.

// The value of STATE_LEASES. final: nothing will be acquired any more.
void lease_encode(const struct lease_set *set, bool final, struct buf *out);
// Into an empty set. What was acquired and not settled is available, delivered at least once.
// ERR_CORRUPT, ERR_FORMAT_VERSION; nothing has changed then.
int lease_restore(struct lease_set *set, struct slice value);
// A range of a JOURNAL_LEASE frame; again and out of order does no harm. Nothing is leased yet.
void lease_restore_settled(struct lease_set *set, struct lease_range range);
// What was not delivered so far, below end, may have been, for all we know.
void lease_suspect(struct lease_set *set, int64_t end);
bool lease_is_settled(const struct lease_set *set, int64_t offset);

// The settled ranges between start and next, in order, as long as fn returns true.
void lease_settled_each(const struct lease_set *set,
                        bool (*fn)(void *arg, struct lease_range range), void *arg);

// Walks all nodes and asserts what the drawing says.
void lease_check(const struct lease_set *set);

#endif
