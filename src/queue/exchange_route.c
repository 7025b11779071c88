// SPDX-License-Identifier: Apache-2.0
//
// A message's way: the exchange's index names bindings, each leads to a queue or to another
// exchange, which is gone through in its turn, with all the message's keys. An exchange is gone
// through once, so circles end; a queue is named once, by the mark of its round.
#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "queue/exchange_int.h"

static void queue_reach(struct routing *r, struct exchange_queue *q)
{
    struct route *route = r->route;
    if (q->reached == route->round)
        return;
    q->reached = route->round;
    if (route->count == route->cap) {
        route->cap = route->cap == 0 ? 16 : route->cap * 2;
        route->queues = mem_realloc(route->queues, route->cap * sizeof route->queues[0]);
    }
    route->queues[route->count++] = q->id;
}

static void exchange_reach(struct routing *r, struct exchange_node *x)
{
    if (x->mark == r->round)
        return;
    x->mark = r->round;
    x->next = NULL;
    if (r->first == NULL)
        r->first = x;
    else
        r->last->next = x;
    r->last = x;
}

void routing_reach(struct routing *r, const struct binding *binding)
{
    if (binding->queue != NULL)
        queue_reach(r, binding->queue);
    else
        exchange_reach(r, binding->exchange);
}

static void fanout_route(const struct exchange_node *x, struct routing *r)
{
    LIST_FOR (it, &x->out_queues)
        queue_reach(r, CONTAINER_OF(it, struct binding, out)->queue);
    LIST_FOR (it, &x->out_exchanges)
        exchange_reach(r, CONTAINER_OF(it, struct binding, out)->exchange);
}

static void exchange_pass(struct exchange_node *x, struct routing *r)
{
    switch (x->facts.type) {
    case EXCHANGE_DIRECT:
        for (uint32_t i = 0; i < r->keys_count; i++) {
            r->key = r->keys[i];
            direct_route(&x->index.direct, r);
        }
        break;
    case EXCHANGE_FANOUT:
        fanout_route(x, r);
        break;
    case EXCHANGE_TOPIC:
        for (uint32_t i = 0; i < r->keys_count; i++) {
            r->key = r->keys[i];
            topic_route(&x->index.topic, r);
        }
        break;
    case EXCHANGE_HEADERS:
        headers_route(&x->index.headers, r);
        break;
    case EXCHANGE_TYPES_COUNT:
        ASSERT(false);
    }
}

int exchange_route(struct exchanges *exchanges, struct route *route, struct slice vhost,
                   struct slice exchange, const struct slice *keys, uint32_t keys_count,
                   const struct exchange_header *headers, uint32_t headers_count)
{
    struct exchange_vhost *v = exchange_vhost_find(exchanges, vhost);
    struct exchange_node *x = v != NULL ? exchange_node_find(v, exchange) : NULL;
    route->count = 0;
    if (x == NULL)
        return ERR_NOT_FOUND;
    route->round = ++v->rounds;
    struct routing r = {
        .vhost = v,
        .route = route,
        .keys = keys,
        .keys_count = keys_count,
        .headers = headers,
        .headers_count = headers_count,
        .round = route->round,
    };
    for (uint32_t i = 0; i < keys_count && exchange.len == 0; i++) {
        struct exchange_queue *q = exchange_queue_find(v, keys[i]);
        if (q != NULL)
            queue_reach(&r, q);
    }
    if (exchange.len > 0)
        exchange_reach(&r, x);
    for (; r.first != NULL; r.first = r.first->next)
        exchange_pass(r.first, &r);
    return 0;
}

bool exchange_wants_headers(const struct exchanges *exchanges, struct slice vhost,
                            struct slice exchange)
{
    struct exchange_vhost *v = exchange_vhost_find(exchanges, vhost);
    struct exchange_node *x = v != NULL ? exchange_node_find(v, exchange) : NULL;
    if (x == NULL)
        return false;
    struct routing r = {.vhost = v, .round = ++v->rounds};
    exchange_reach(&r, x);
    for (; r.first != NULL; r.first = r.first->next) {
        if (r.first->facts.type == EXCHANGE_HEADERS)
            return true;
        LIST_FOR (it, &r.first->out_exchanges)
            exchange_reach(&r, CONTAINER_OF(it, struct binding, out)->exchange);
    }
    return false;
}

void route_fini(struct route *route)
{
    mem_free(route->queues);
    *route = (struct route){0};
}
