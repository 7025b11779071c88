// SPDX-License-Identifier: Apache-2.0
//
// Inside the catalogue's master for queues: a change under way. queue_changes.c is its life,
// queue_checks.c what is checked and written down, queue_apply.c what every shard does.
#ifndef WEIR_NODE_QUEUE_WORK_H
#define WEIR_NODE_QUEUE_WORK_H

#include "node/node_int.h"

struct bare { // an auto-delete exchange that has lost its last binding
    struct list link;
    struct uuid id;           // one made since under the same name is another
    struct slice vhost, name; // in its own memory
};

struct queue_work {
    struct list link;    // catalogue.queue_pending
    struct shard *shard; // 0
    enum queue_change_kind kind;
    struct queue_change *request; // NULL: of a topic that Kafka deletes
    void (*done)(void *arg, int err);
    void *arg;
    int err;
    struct claim_holder claim;
    struct queue_facts queue; // as it will be, or was; borrows from the request or the replica
    struct topic topic;       // its log, when that is made with it
    bool topic_made;
    struct exchange exchange;
    struct exchange_binding binding;
    struct bare *baring; // the exchange that is being deleted for having been bared
    struct list bare;    // those that wait for it
    struct node_call ask;
    struct queue_stats stats;
    int asked_err; // why it may not be deleted
    struct node_broadcast broadcast;
};

// queue_changes.c
void work_end(struct queue_work *w, int err); // gives back the claims; answers, now or later
void work_refuse(struct queue_work *w, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void work_spread(struct queue_work *w);
// Journals, then spreads. A null value: tombstone.
void work_write(struct queue_work *w, uint8_t kind, struct slice key, const struct buf *value);
// Its queue's shard, for counts and whether it may go; then queue_check_asked.
void work_ask(struct queue_work *w);
// queue_checks.c: with the claims; ends with one of the above
void work_check(struct queue_work *w);
void queue_check_asked(struct queue_work *w);
void queue_tombstone(struct queue_work *w);
void exchange_tombstone(struct queue_work *w, const struct exchange *exchange);
// queue_apply.c
void work_apply(struct shard *shard, struct queue_work *w);
void queue_memory_give(struct shard *shard, size_t cost); // of one shard's replica

#endif
