// SPDX-License-Identifier: Apache-2.0
//
// Gathering queues: names and settings are copied first, since the replica may change while the
// counts are on their way.
#include "node/queue_list.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

#define ASK_WINDOW 64U

struct asked_queue {
    struct queue_ask ask;
    struct queue_list *list;
    struct queue_listed *item;
};

struct queue_list {
    struct shard *shard;
    struct slice vhost, name; // wanted; only until the items are collected
    struct queue_listed *items;
    size_t count, cap, next;
    struct asked_queue window[ASK_WINDOW];
    uint32_t pending;
    struct node_call nothing; // answers an empty list in a later turn
    void (*done)(void *arg);
    void *arg;
};

static bool item_add(void *arg, const struct queue_facts *facts)
{
    struct queue_list *list = arg;
    if (list->vhost.data != NULL && !slice_eq(list->vhost, facts->vhost))
        return true;
    if (list->name.data != NULL && !slice_eq(list->name, facts->name))
        return true;
    if (list->count == list->cap) {
        list->cap = list->cap != 0 ? list->cap * 2 : 16;
        list->items = mem_realloc(list->items, list->cap * sizeof list->items[0]);
    }
    struct queue_listed *item = &list->items[list->count++];
    *item = (struct queue_listed){
        .id = facts->id,
        .vhost = slice_dup(facts->vhost),
        .name = slice_dup(facts->name),
        .settings = facts->settings,
        .durable = facts->durable,
        .exclusive = facts->exclusive,
        .auto_delete = facts->auto_delete,
        .levels = facts->levels,
        .created_ms = facts->created_ms,
    };
    item->settings.dead_exchange = slice_dup(facts->settings.dead_exchange);
    item->settings.dead_key = slice_dup(facts->settings.dead_key);
    return true;
}

static void list_go_on(struct queue_list *list);

static void queue_answered(struct queue_ask *ask)
{
    struct asked_queue *asked = CONTAINER_OF(ask, struct asked_queue, ask);
    struct queue_list *list = asked->list;
    ASSERT(list->pending > 0);
    asked->item->gone = ask->err != 0;
    asked->item->stats = ask->stats;
    if (--list->pending == 0)
        list_go_on(list);
}

static void list_go_on(struct queue_list *list)
{
    ASSERT(list->pending == 0);
    if (list->next == list->count) {
        list->done(list->arg);
        return;
    }
    while (list->pending < ASK_WINDOW && list->next < list->count) {
        struct asked_queue *asked = &list->window[list->pending++];
        *asked = (struct asked_queue){.list = list, .item = &list->items[list->next++]};
        asked->ask.id = asked->item->id;
        asked->ask.done = queue_answered;
        queue_ask_start(list->shard, &asked->ask);
    }
}

static void nothing_done(struct node_call *call)
{
    list_go_on(CONTAINER_OF(call, struct queue_list, nothing));
}

struct queue_list *queue_list_start(struct shard *shard, struct slice vhost, struct slice name,
                                    void (*done)(void *arg), void *arg)
{
    struct queue_list *list = mem_zalloc(sizeof *list);
    list->shard = shard;
    list->vhost = vhost;
    list->name = name;
    list->done = done;
    list->arg = arg;
    queue_facts_each(shard, item_add, list);
    if (list->count > 0) {
        list_go_on(list);
    } else {
        list->nothing.run = node_call_reply;
        list->nothing.done = nothing_done;
        node_call_start(&list->nothing, shard, shard_index(shard));
    }
    return list;
}

const struct queue_listed *queue_list_items(const struct queue_list *list, size_t *out_count)
{
    *out_count = list->count;
    return list->items;
}

void queue_list_free(struct queue_list *list)
{
    if (list == NULL)
        return;
    for (size_t i = 0; i < list->count; i++) {
        slice_free(list->items[i].vhost);
        slice_free(list->items[i].name);
        slice_free(list->items[i].settings.dead_exchange);
        slice_free(list->items[i].settings.dead_key);
    }
    mem_free(list->items);
    mem_free(list);
}
