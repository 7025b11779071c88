// SPDX-License-Identifier: Apache-2.0
//
// Exchanges, queues as destinations, and bindings: what is there, added, removed, found. How a
// message goes through them is exchange_route.c.
#include "queue/exchange.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "queue/exchange_int.h"

static const char *const type_names[] = {
#define EXCHANGE_TYPE_NAME(id, name) [EXCHANGE_##id] = name,
    EXCHANGE_TYPES(EXCHANGE_TYPE_NAME)
#undef EXCHANGE_TYPE_NAME
};

const char *exchange_type_name(enum exchange_type type)
{
    ASSERT(type < EXCHANGE_TYPES_COUNT);
    return type_names[type];
}

int exchange_type_by_name(struct slice name, enum exchange_type *out)
{
    for (unsigned i = 0; i < EXCHANGE_TYPES_COUNT; i++) {
        if (slice_eq_cstr(name, type_names[i])) {
            *out = (enum exchange_type)i;
            return 0;
        }
    }
    return ERR_NOT_FOUND;
}

// Copies to *at, which moves on.
static struct slice bytes_put(uint8_t **at, struct slice from)
{
    struct slice to = slice_of(*at, from.len);
    if (from.len > 0)
        memcpy(*at, from.data, from.len);
    *at += from.len;
    return to;
}

// ---- finding

static bool vhost_eq(const struct map_node *node, const void *key)
{
    return slice_same(CONTAINER_OF(node, struct exchange_vhost, node)->name,
                      *(const struct slice *)key);
}

static bool exchange_eq(const struct map_node *node, const void *key)
{
    return slice_same(CONTAINER_OF(node, struct exchange_node, node)->facts.name,
                      *(const struct slice *)key);
}

static bool queue_eq(const struct map_node *node, const void *key)
{
    return slice_same(CONTAINER_OF(node, struct exchange_queue, node)->name,
                      *(const struct slice *)key);
}

static bool binding_eq(const struct map_node *node, const void *key)
{
    const struct exchange_binding *a = &CONTAINER_OF(node, struct binding, node)->facts;
    const struct exchange_binding *b = key;
    return a->to_exchange == b->to_exchange && slice_same(a->source, b->source) &&
           slice_same(a->destination, b->destination) && slice_same(a->key, b->key) &&
           slice_same(a->arguments, b->arguments);
}

static uint64_t binding_hash(const struct exchange_vhost *v, const struct exchange_binding *b)
{
    uint64_t h = hash64(b->source.data, b->source.len, v->seed + b->to_exchange);
    h = hash64(b->destination.data, b->destination.len, h);
    h = hash64(b->key.data, b->key.len, h);
    return hash64(b->arguments.data, b->arguments.len, h);
}

struct exchange_vhost *exchange_vhost_find(const struct exchanges *exchanges, struct slice vhost)
{
    const struct map *m = &exchanges->vhosts;
    struct map_node *node = map_find(m, map_hash(m, vhost), &vhost);
    return node != NULL ? CONTAINER_OF(node, struct exchange_vhost, node) : NULL;
}

struct exchange_node *exchange_node_find(const struct exchange_vhost *vhost, struct slice name)
{
    const struct map *m = &vhost->exchanges;
    struct map_node *node = map_find(m, map_hash(m, name), &name);
    return node != NULL ? CONTAINER_OF(node, struct exchange_node, node) : NULL;
}

struct exchange_queue *exchange_queue_find(const struct exchange_vhost *vhost, struct slice name)
{
    const struct map *m = &vhost->queues;
    struct map_node *node = map_find(m, map_hash(m, name), &name);
    return node != NULL ? CONTAINER_OF(node, struct exchange_queue, node) : NULL;
}

static struct binding *binding_find(const struct exchange_vhost *v,
                                    const struct exchange_binding *b)
{
    struct map_node *node = map_find(&v->bindings, binding_hash(v, b), b);
    return node != NULL ? CONTAINER_OF(node, struct binding, node) : NULL;
}

const struct exchange *exchange_find(const struct exchanges *exchanges, struct slice vhost,
                                     struct slice name)
{
    const struct exchange_vhost *v = exchange_vhost_find(exchanges, vhost);
    const struct exchange_node *x = v != NULL ? exchange_node_find(v, name) : NULL;
    return x != NULL ? &x->facts : NULL;
}

const struct exchange_binding *exchange_bound(const struct exchanges *exchanges,
                                              const struct exchange_binding *binding)
{
    const struct exchange_vhost *v = exchange_vhost_find(exchanges, binding->vhost);
    const struct binding *b = v != NULL ? binding_find(v, binding) : NULL;
    return b != NULL ? &b->facts : NULL;
}

// ---- exchanges

static void index_init(struct exchange_node *x, uint64_t seed)
{
    if (x->facts.type == EXCHANGE_DIRECT)
        direct_init(&x->index.direct, seed);
    else if (x->facts.type == EXCHANGE_TOPIC)
        topic_init(&x->index.topic, seed);
    else if (x->facts.type == EXCHANGE_HEADERS)
        headers_init(&x->index.headers, seed);
}

static void index_fini(struct exchange_node *x)
{
    if (x->facts.type == EXCHANGE_DIRECT)
        map_fini(&x->index.direct);
    else if (x->facts.type == EXCHANGE_TOPIC)
        topic_fini(&x->index.topic);
    else if (x->facts.type == EXCHANGE_HEADERS)
        map_fini(&x->index.headers.map);
}

static void index_add(struct exchange_node *x, struct binding *b)
{
    if (x->facts.type == EXCHANGE_DIRECT)
        direct_add(&x->index.direct, b);
    else if (x->facts.type == EXCHANGE_TOPIC)
        topic_add(&x->index.topic, b);
    else if (x->facts.type == EXCHANGE_HEADERS)
        headers_add(&x->index.headers, b);
}

static void index_remove(struct exchange_node *x, struct binding *b)
{
    if (x->facts.type == EXCHANGE_DIRECT)
        direct_remove(&x->index.direct, b);
    else if (x->facts.type == EXCHANGE_TOPIC)
        topic_remove(&x->index.topic, b);
    else if (x->facts.type == EXCHANGE_HEADERS)
        headers_remove(&x->index.headers, b);
}

int exchange_add(struct exchanges *exchanges, const struct exchange *facts)
{
    struct exchange_vhost *v = exchange_vhost_find(exchanges, facts->vhost);
    ASSERT(facts->type < EXCHANGE_TYPES_COUNT);
    if (v == NULL)
        return ERR_NOT_FOUND;
    if (exchange_node_find(v, facts->name) != NULL)
        return 0;
    struct exchange_node *x = mem_zalloc(sizeof *x + facts->name.len + facts->arguments.len);
    uint8_t *at = (uint8_t *)(x + 1);
    x->facts = *facts;
    x->facts.vhost = v->name;
    x->facts.name = bytes_put(&at, facts->name);
    x->facts.arguments = bytes_put(&at, facts->arguments);
    x->facts.bindings_in = 0;
    x->facts.bindings_out = 0;
    list_init(&x->out_queues);
    list_init(&x->out_exchanges);
    list_init(&x->in);
    index_init(x, v->seed);
    map_insert(&v->exchanges, &x->node, map_hash(&v->exchanges, x->facts.name));
    return 0;
}

// ---- bindings

static void binding_free(struct exchange_vhost *v, struct binding *b)
{
    struct exchange_node *x = b->source;
    index_remove(x, b);
    ASSERT(x->facts.bindings_out > 0);
    x->facts.bindings_out--;
    if (b->exchange != NULL) {
        ASSERT(b->exchange->facts.bindings_in > 0);
        b->exchange->facts.bindings_in--;
    }
    list_remove(&b->out);
    list_remove(&b->in);
    map_remove(&v->bindings, &b->node);
    mem_free(b);
}

// With its strings and headers in one piece of memory.
static struct binding *binding_copy(const struct exchange_binding *from)
{
    size_t headers = from->headers_count * sizeof(struct exchange_header);
    size_t bytes = from->key.len + from->arguments.len;
    for (uint32_t i = 0; i < from->headers_count; i++)
        bytes += from->headers[i].name.len + from->headers[i].value.len;
    struct binding *b = mem_zalloc(sizeof *b + headers + bytes);
    struct exchange_header *h = (struct exchange_header *)(b + 1);
    uint8_t *at = (uint8_t *)h + headers;
    b->facts = *from;
    b->facts.headers = h;
    b->facts.key = bytes_put(&at, from->key);
    b->facts.arguments = bytes_put(&at, from->arguments);
    for (uint32_t i = 0; i < from->headers_count; i++) {
        bool any = from->headers[i].value.data == NULL;
        h[i].name = bytes_put(&at, from->headers[i].name);
        h[i].value = any ? SLICE_NULL : bytes_put(&at, from->headers[i].value);
    }
    list_init(&b->at);
    return b;
}

int exchange_bind(struct exchanges *exchanges, const struct exchange_binding *binding)
{
    struct exchange_vhost *v = exchange_vhost_find(exchanges, binding->vhost);
    if (v == NULL)
        return ERR_NOT_FOUND;
    if (binding->source.len == 0 || (binding->to_exchange && binding->destination.len == 0))
        return ERR_ACCESS_REFUSED;
    struct exchange_node *source = exchange_node_find(v, binding->source);
    struct exchange_node *exchange = NULL;
    struct exchange_queue *queue = NULL;
    if (binding->to_exchange)
        exchange = exchange_node_find(v, binding->destination);
    else
        queue = exchange_queue_find(v, binding->destination);
    if (source == NULL || (exchange == NULL && queue == NULL))
        return ERR_NOT_FOUND;
    if (binding_find(v, binding) != NULL)
        return ERR_EXISTS;
    bool durable =
        source->facts.durable && (exchange != NULL ? exchange->facts.durable : queue->durable);
    ASSERT(durable || !binding->durable);
    struct binding *b = binding_copy(binding);
    b->source = source;
    b->exchange = exchange;
    b->queue = queue;
    b->facts.vhost = v->name;
    b->facts.source = source->facts.name;
    b->facts.destination = exchange != NULL ? exchange->facts.name : queue->name;
    list_push_back(exchange != NULL ? &source->out_exchanges : &source->out_queues, &b->out);
    list_push_back(exchange != NULL ? &exchange->in : &queue->in, &b->in);
    map_insert(&v->bindings, &b->node, binding_hash(v, &b->facts));
    source->facts.bindings_out++;
    if (exchange != NULL)
        exchange->facts.bindings_in++;
    index_add(source, b);
    return 0;
}

int exchange_unbind(struct exchanges *exchanges, const struct exchange_binding *binding)
{
    struct exchange_vhost *v = exchange_vhost_find(exchanges, binding->vhost);
    struct binding *b = v != NULL ? binding_find(v, binding) : NULL;
    if (b == NULL)
        return ERR_NOT_FOUND;
    binding_free(v, b);
    return 0;
}

typedef void dropped_fn(void *arg, const struct exchange_binding *binding);

static void binding_drop(struct exchange_vhost *v, struct binding *b, dropped_fn *dropped,
                         void *arg)
{
    if (dropped != NULL)
        dropped(arg, &b->facts);
    binding_free(v, b);
}

static void outgoing_drop(struct exchange_vhost *v, struct list *bindings, dropped_fn *dropped,
                          void *arg)
{
    while (!list_empty(bindings))
        binding_drop(v, CONTAINER_OF(list_first(bindings), struct binding, out), dropped, arg);
}

static void incoming_drop(struct exchange_vhost *v, struct list *bindings, dropped_fn *dropped,
                          void *arg)
{
    while (!list_empty(bindings))
        binding_drop(v, CONTAINER_OF(list_first(bindings), struct binding, in), dropped, arg);
}

static void exchange_free(struct exchange_vhost *v, struct exchange_node *x, dropped_fn *dropped,
                          void *arg)
{
    outgoing_drop(v, &x->out_queues, dropped, arg);
    outgoing_drop(v, &x->out_exchanges, dropped, arg);
    incoming_drop(v, &x->in, dropped, arg);
    ASSERT(x->facts.bindings_out == 0);
    ASSERT(x->facts.bindings_in == 0);
    map_remove(&v->exchanges, &x->node);
    index_fini(x);
    mem_free(x);
}

void exchange_remove(struct exchanges *exchanges, struct slice vhost, struct slice name,
                     dropped_fn *dropped, void *arg)
{
    struct exchange_vhost *v = exchange_vhost_find(exchanges, vhost);
    struct exchange_node *x = v != NULL ? exchange_node_find(v, name) : NULL;
    if (x == NULL)
        return;
    ASSERT(!x->facts.preset);
    exchange_free(v, x, dropped, arg);
}

// ---- queues

void exchanges_queue_add(struct exchanges *exchanges, struct slice vhost, struct slice name,
                         const struct uuid *id, bool durable)
{
    struct exchange_vhost *v = exchange_vhost_find(exchanges, vhost);
    ASSERT(v != NULL);
    if (exchange_queue_find(v, name) != NULL)
        return;
    struct exchange_queue *q = mem_zalloc(sizeof *q + name.len);
    uint8_t *at = (uint8_t *)(q + 1);
    q->name = bytes_put(&at, name);
    q->id = *id;
    q->durable = durable;
    list_init(&q->in);
    map_insert(&v->queues, &q->node, map_hash(&v->queues, q->name));
}

static void queue_free(struct exchange_vhost *v, struct exchange_queue *q, dropped_fn *dropped,
                       void *arg)
{
    incoming_drop(v, &q->in, dropped, arg);
    map_remove(&v->queues, &q->node);
    mem_free(q);
}

void exchanges_queue_remove(struct exchanges *exchanges, struct slice vhost, struct slice name,
                            dropped_fn *dropped, void *arg)
{
    struct exchange_vhost *v = exchange_vhost_find(exchanges, vhost);
    struct exchange_queue *q = v != NULL ? exchange_queue_find(v, name) : NULL;
    if (q != NULL)
        queue_free(v, q, dropped, arg);
}

// ---- life

struct exchanges *exchanges_create(uint64_t hash_seed)
{
    struct exchanges *exchanges = mem_zalloc(sizeof *exchanges);
    map_init(&exchanges->vhosts, vhost_eq, hash_seed);
    return exchanges;
}

bool exchanges_vhost_exists(const struct exchanges *exchanges, struct slice vhost)
{
    return exchange_vhost_find(exchanges, vhost) != NULL;
}

void exchanges_vhost_add(struct exchanges *exchanges, struct slice vhost)
{
    static const struct {
        const char *name;
        enum exchange_type type;
    } presets[] = {
        {"", EXCHANGE_DIRECT},
        {"amq.direct", EXCHANGE_DIRECT},
        {"amq.fanout", EXCHANGE_FANOUT},
        {"amq.topic", EXCHANGE_TOPIC},
        {"amq.headers", EXCHANGE_HEADERS},
        {"amq.match", EXCHANGE_HEADERS},
    };
    if (exchange_vhost_find(exchanges, vhost) != NULL)
        return;
    struct exchange_vhost *v = mem_zalloc(sizeof *v + vhost.len);
    uint8_t *at = (uint8_t *)(v + 1);
    v->name = bytes_put(&at, vhost);
    v->seed = exchanges->vhosts.seed;
    map_init(&v->exchanges, exchange_eq, v->seed);
    map_init(&v->queues, queue_eq, v->seed);
    map_init(&v->bindings, binding_eq, v->seed);
    map_insert(&exchanges->vhosts, &v->node, map_hash(&exchanges->vhosts, v->name));
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        const struct exchange facts = {
            .vhost = vhost,
            .name = slice_cstr(presets[i].name),
            .type = presets[i].type,
            .durable = true,
            .preset = true,
        };
        int err = exchange_add(exchanges, &facts);
        ASSERT(err == 0);
    }
}

static void vhost_free(struct exchanges *exchanges, struct exchange_vhost *v)
{
    MAP_FOR_SAFE (it, &v->queues) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        queue_free(v, CONTAINER_OF(node, struct exchange_queue, node), NULL, NULL);
    }
    MAP_FOR_SAFE (it, &v->exchanges) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        exchange_free(v, CONTAINER_OF(node, struct exchange_node, node), NULL, NULL);
    }
    ASSERT(v->bindings.count == 0);
    map_fini(&v->queues);
    map_fini(&v->exchanges);
    map_fini(&v->bindings);
    mem_free(v->walk.now);
    mem_free(v->walk.next);
    map_remove(&exchanges->vhosts, &v->node);
    mem_free(v);
}

void exchanges_destroy(struct exchanges *exchanges)
{
    if (exchanges == NULL)
        return;
    MAP_FOR_SAFE (it, &exchanges->vhosts) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        vhost_free(exchanges, CONTAINER_OF(node, struct exchange_vhost, node));
    }
    map_fini(&exchanges->vhosts);
    mem_free(exchanges);
}

// ---- walking

static bool vhost_each(struct exchange_vhost *v,
                       bool (*fn)(void *arg, const struct exchange *exchange), void *arg)
{
    MAP_FOR_SAFE (it, &v->exchanges) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        if (!fn(arg, &CONTAINER_OF(node, struct exchange_node, node)->facts))
            return false;
    }
    return true;
}

void exchanges_each(const struct exchanges *exchanges, struct slice vhost,
                    bool (*fn)(void *arg, const struct exchange *exchange), void *arg)
{
    MAP_FOR_SAFE (it, &exchanges->vhosts) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        struct exchange_vhost *v = CONTAINER_OF(node, struct exchange_vhost, node);
        if (vhost.data != NULL && !slice_same(v->name, vhost))
            continue;
        if (!vhost_each(v, fn, arg))
            return;
    }
}

static bool vhost_bindings_each(struct exchange_vhost *v,
                                bool (*fn)(void *arg, const struct exchange_binding *binding),
                                void *arg)
{
    MAP_FOR_SAFE (it, &v->bindings) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        if (!fn(arg, &CONTAINER_OF(node, struct binding, node)->facts))
            return false;
    }
    return true;
}

void exchange_bindings_each(const struct exchanges *exchanges, struct slice vhost,
                            bool (*fn)(void *arg, const struct exchange_binding *binding),
                            void *arg)
{
    MAP_FOR_SAFE (it, &exchanges->vhosts) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        struct exchange_vhost *v = CONTAINER_OF(node, struct exchange_vhost, node);
        if (vhost.data != NULL && !slice_same(v->name, vhost))
            continue;
        if (!vhost_bindings_each(v, fn, arg))
            return;
    }
}
