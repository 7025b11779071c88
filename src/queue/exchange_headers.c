// SPDX-License-Identifier: Apache-2.0
//
// The index of a headers exchange (AMQP 0-9-1 section 3.1.3.4; x-match as in RabbitMQ). Looking at
// every binding for every message would cost what there are bindings, so a binding stands below
// what a message must have to match it: with "any" below each of its headers, with "all" below the
// one that fewest others ask for. What a message has is marked first, so that a binding costs its
// own headers and not these times the message's.
//
// Headers whose names begin with "x-" do not count, unless x-match says "…-with-x"; x-match itself
// never does. "all" of nothing matches everything, "any" of nothing matches nothing.
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "queue/exchange_int.h"

struct header_key {
    struct map_node node;
    struct slice name, value; // in its own memory; value null: any value will do
    struct list entries;      // of bindings that stand here
    uint32_t count;
    uint32_t asked;          // by how many entries, here or elsewhere
    uint64_t mark;           // the round of the last message that has it
    struct header_key *next; // that this message has
};

struct header_entry {
    struct list link; // header_key.entries, header_index.always, or none
    struct binding *binding;
    struct header_key *key; // NULL: always
};

static bool same_header(const struct exchange_header *a, const struct exchange_header *b)
{
    return slice_same(a->name, b->name) && (a->value.data == NULL) == (b->value.data == NULL) &&
           slice_same(a->value, b->value);
}

static bool header_eq(const struct map_node *node, const void *key)
{
    const struct header_key *k = CONTAINER_OF(node, struct header_key, node);
    const struct exchange_header there = {k->name, k->value};
    return same_header(&there, key);
}

static uint64_t header_hash(const struct header_index *index, const struct exchange_header *h)
{
    uint64_t name = hash64(h->name.data, h->name.len, index->map.seed);
    return h->value.data != NULL ? hash64(h->value.data, h->value.len, name) : name;
}

void headers_init(struct header_index *index, uint64_t seed)
{
    map_init(&index->map, header_eq, seed);
    list_init(&index->always);
}

static struct header_key *key_find(const struct header_index *index,
                                   const struct exchange_header *h)
{
    struct map_node *node = map_find(&index->map, header_hash(index, h), h);
    return node != NULL ? CONTAINER_OF(node, struct header_key, node) : NULL;
}

static struct header_key *key_make(struct header_index *index, const struct exchange_header *h)
{
    struct header_key *k = mem_zalloc(sizeof *k + h->name.len + h->value.len);
    uint8_t *bytes = (uint8_t *)(k + 1);
    memcpy(bytes, h->name.data, h->name.len);
    k->name = slice_of(bytes, h->name.len);
    if (h->value.data != NULL) {
        memcpy(bytes + h->name.len, h->value.data, h->value.len);
        k->value = slice_of(bytes + h->name.len, h->value.len);
    }
    list_init(&k->entries);
    map_insert(&index->map, &k->node, header_hash(index, h));
    return k;
}

// ---- bindings

static bool with_x(enum exchange_match match)
{
    return match == MATCH_ALL_WITH_X || match == MATCH_ANY_WITH_X;
}

static bool match_any(enum exchange_match match)
{
    return match == MATCH_ANY || match == MATCH_ANY_WITH_X;
}

static bool counts(enum exchange_match match, struct slice name)
{
    bool x = name.len >= 2 && name.data[0] == 'x' && name.data[1] == '-';
    return !x || (with_x(match) && !slice_eq_cstr(name, "x-match"));
}

static struct header_entry *entry_add(struct header_index *index, struct binding *b,
                                      const struct exchange_header *h)
{
    struct header_entry *e = &b->entries[b->entries_count++];
    e->binding = b;
    list_init(&e->link);
    if (h == NULL)
        return e;
    e->key = key_find(index, h);
    if (e->key == NULL)
        e->key = key_make(index, h);
    e->key->asked++;
    return e;
}

static void entry_stand(struct header_entry *e)
{
    ASSERT(e != NULL);
    ASSERT(e->key != NULL);
    list_push_back(&e->key->entries, &e->link);
    e->key->count++;
}

static struct header_entry *rarest(const struct binding *b)
{
    struct header_entry *best = NULL;
    for (uint32_t i = 0; i < b->entries_count; i++) {
        struct header_entry *e = &b->entries[i];
        bool any = e->key->value.data == NULL;
        // Any value is asked for only where nothing narrower is.
        bool narrower = best != NULL && best->key->value.data == NULL && !any;
        bool wider = best != NULL && best->key->value.data != NULL && any;
        if (best == NULL || narrower || (!wider && e->key->count < best->key->count))
            best = e;
    }
    return best;
}

void headers_add(struct header_index *index, struct binding *binding)
{
    const struct exchange_binding *facts = &binding->facts;
    binding->entries = mem_zalloc((facts->headers_count + 1) * sizeof binding->entries[0]);
    for (uint32_t i = 0; i < facts->headers_count; i++)
        if (counts(facts->match, facts->headers[i].name))
            (void)entry_add(index, binding, &facts->headers[i]);
    if (match_any(facts->match)) {
        for (uint32_t i = 0; i < binding->entries_count; i++)
            entry_stand(&binding->entries[i]);
    } else if (binding->entries_count > 0) {
        entry_stand(rarest(binding));
    } else {
        list_push_back(&index->always, &entry_add(index, binding, NULL)->link);
    }
}

void headers_remove(struct header_index *index, struct binding *binding)
{
    for (uint32_t i = 0; i < binding->entries_count; i++) {
        struct header_entry *e = &binding->entries[i];
        bool stands = !list_empty(&e->link);
        list_remove(&e->link);
        if (e->key == NULL)
            continue;
        ASSERT(!stands || e->key->count > 0);
        ASSERT(e->key->asked > 0);
        e->key->count -= stands ? 1 : 0;
        if (--e->key->asked > 0)
            continue;
        ASSERT(list_empty(&e->key->entries));
        map_remove(&index->map, &e->key->node);
        mem_free(e->key);
    }
    mem_free(binding->entries);
    binding->entries = NULL;
    binding->entries_count = 0;
}

// ---- messages

// With its exact value, and with any: what a message has, in its order, each once.
struct header_found {
    struct header_key *first, *last;
};

static void key_note(const struct header_index *index, const struct exchange_header *h,
                     uint64_t round, struct header_found *found)
{
    struct header_key *k = key_find(index, h);
    if (k == NULL || k->mark == round)
        return;
    k->mark = round;
    k->next = NULL;
    if (found->first == NULL)
        found->first = k;
    else
        found->last->next = k;
    found->last = k;
}

static bool matches(const struct routing *r, const struct binding *b)
{
    if (match_any(b->facts.match))
        return true; // it stands below what the message has
    for (uint32_t i = 0; i < b->entries_count; i++)
        if (b->entries[i].key->mark != r->round)
            return false;
    return true;
}

void headers_route(const struct header_index *index, struct routing *r)
{
    struct header_found found = {0};
    for (uint32_t i = 0; i < r->headers_count; i++) {
        const struct exchange_header exact = {r->headers[i].name, r->headers[i].value};
        const struct exchange_header any = {r->headers[i].name, SLICE_NULL};
        key_note(index, &exact, r->round, &found);
        key_note(index, &any, r->round, &found);
    }
    for (const struct header_key *k = found.first; k != NULL; k = k->next) {
        LIST_FOR (it, &k->entries) {
            const struct header_entry *e = CONTAINER_OF(it, struct header_entry, link);
            if (matches(r, e->binding))
                routing_reach(r, e->binding);
        }
    }
    LIST_FOR (it, &index->always)
        routing_reach(r, CONTAINER_OF(it, struct header_entry, link)->binding);
}
