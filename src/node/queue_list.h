// SPDX-License-Identifier: Apache-2.0
//
// Queues with what is in them, for people and their tools: facts from the asking shard's replica,
// counts from each queue's own shard, a window of them asked at a time. Not one moment's picture: a
// queue that goes meanwhile is marked.
#ifndef WEIR_NODE_QUEUE_LIST_H
#define WEIR_NODE_QUEUE_LIST_H

#include "node/queues.h"

struct queue_listed {
    struct uuid id;
    struct slice vhost, name;       // the list's memory
    struct queue_settings settings; // likewise
    bool durable, exclusive, auto_delete;
    bool gone; // deleted while the list was made: no stats
    uint32_t levels;
    int64_t created_ms;
    struct queue_stats stats;
};

struct queue_list; // zero or more of them
// `done` runs on the asking shard, never from inside the call. vhost and name null: all.
struct queue_list *queue_list_start(struct shard *shard, struct slice vhost, struct slice name,
                                    void (*done)(void *arg), void *arg);
const struct queue_listed *queue_list_items(const struct queue_list *list, size_t *out_count);
// After done, or when the actors have ended. Accepts NULL.
void queue_list_free(struct queue_list *list);

#endif
