// SPDX-License-Identifier: Apache-2.0
//
// The index of a topic exchange (AMQP 0-9-1 section 3.1.3.3): a trie of words. "*" stands for one
// word, "#" for none or more, anywhere in a pattern. Words are what lies between dots and may be
// empty; an empty key has no words, as in RabbitMQ.
//
// A key is walked word by word with the set of all nodes that are still possible, so a message
// costs at most words times nodes, however many "#" stand in the patterns; following each choice by
// itself would cost a power of the number of "#". A node "#" stays in the set, since it takes any
// word, and is in the set as soon as its parent is, since it takes none as well.
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "queue/exchange_int.h"

struct word_key {
    const struct topic_node *parent;
    struct slice word;
};

static bool word_eq(const struct map_node *node, const void *key)
{
    const struct topic_node *n = CONTAINER_OF(node, struct topic_node, node);
    const struct word_key *k = key;
    return n->parent == k->parent && slice_same(n->word, k->word);
}

static uint64_t word_hash(const struct topic_trie *trie, const struct topic_node *parent,
                          struct slice word)
{
    return hash64(word.data, word.len, trie->words.seed + parent->number);
}

void topic_init(struct topic_trie *trie, uint64_t seed)
{
    map_init(&trie->words, word_eq, seed);
    trie->root = (struct topic_node){0};
    list_init(&trie->root.bindings);
    trie->next_number = 1;
}

void topic_fini(struct topic_trie *trie)
{
    ASSERT(trie->words.count == 0);
    ASSERT(list_empty(&trie->root.bindings));
    map_fini(&trie->words);
}

static struct topic_node *child_find(const struct topic_trie *trie, const struct topic_node *parent,
                                     struct slice word)
{
    const struct word_key key = {parent, word};
    struct map_node *node = map_find(&trie->words, word_hash(trie, parent, word), &key);
    return node != NULL ? CONTAINER_OF(node, struct topic_node, node) : NULL;
}

// The next word of a key: false behind the last. *rest is what follows, null behind the last.
static bool word_next(struct slice *rest, struct slice *word)
{
    if (rest->data == NULL)
        return false;
    const uint8_t *dot = memchr(rest->data, '.', rest->len);
    *word = slice_of(rest->data, dot != NULL ? (size_t)(dot - rest->data) : rest->len);
    *rest = dot != NULL ? slice_of(dot + 1, rest->len - word->len - 1) : SLICE_NULL;
    return true;
}

static struct slice words_of(struct slice key)
{
    return key.len > 0 ? key : SLICE_NULL;
}

// ---- bindings

static struct topic_node *child_make(struct topic_trie *trie, struct topic_node *parent,
                                     struct slice word)
{
    struct topic_node *n = mem_zalloc(sizeof *n + word.len);
    uint8_t *bytes = (uint8_t *)(n + 1);
    memcpy(bytes, word.data, word.len);
    n->word = slice_of(bytes, word.len);
    n->parent = parent;
    n->number = trie->next_number++;
    list_init(&n->bindings);
    map_insert(&trie->words, &n->node, word_hash(trie, parent, n->word));
    parent->children++;
    if (slice_eq_cstr(word, "*"))
        parent->star = n;
    if (slice_eq_cstr(word, "#"))
        parent->hash = n;
    return n;
}

void topic_add(struct topic_trie *trie, struct binding *binding)
{
    struct topic_node *n = &trie->root;
    struct slice rest = words_of(binding->facts.key);
    struct slice word;
    while (word_next(&rest, &word)) {
        struct topic_node *child = child_find(trie, n, word);
        n = child != NULL ? child : child_make(trie, n, word);
    }
    list_push_back(&n->bindings, &binding->at);
    binding->place = n;
}

void topic_remove(struct topic_trie *trie, struct binding *binding)
{
    struct topic_node *n = binding->place;
    list_remove(&binding->at);
    while (n->parent != NULL && n->children == 0 && list_empty(&n->bindings)) {
        struct topic_node *parent = n->parent;
        ASSERT(parent->children > 0);
        parent->children--;
        if (parent->star == n)
            parent->star = NULL;
        if (parent->hash == n)
            parent->hash = NULL;
        map_remove(&trie->words, &n->node);
        mem_free(n);
        n = parent;
    }
}

// ---- the walk

// Into the next set, with the chain of "#" below it: each takes no word at all.
static void next_add(struct topic_walk *w, uint64_t round, struct topic_node *n)
{
    for (; n != NULL && n->mark != round; n = n->hash) {
        n->mark = round;
        if (w->next_count == w->next_cap) {
            w->next_cap = w->next_cap == 0 ? 64 : w->next_cap * 2;
            w->next = mem_realloc(w->next, w->next_cap * sizeof(struct topic_node *));
        }
        w->next[w->next_count++] = n;
    }
}

static void sets_swap(struct topic_walk *w)
{
    struct topic_walk was = *w;
    w->now = was.next;
    w->now_count = was.next_count;
    w->now_cap = was.next_cap;
    w->next = was.now;
    w->next_cap = was.now_cap;
    w->next_count = 0;
}

void topic_route(struct topic_trie *trie, struct routing *r)
{
    struct topic_walk *w = &r->vhost->walk;
    struct slice rest = words_of(r->key);
    struct slice word;
    ASSERT(w->next_count == 0);
    next_add(w, ++r->vhost->rounds, &trie->root);
    sets_swap(w);
    while (w->now_count > 0 && word_next(&rest, &word)) {
        uint64_t round = ++r->vhost->rounds;
        for (size_t i = 0; i < w->now_count; i++) {
            struct topic_node *n = w->now[i];
            if (n->parent != NULL && n->parent->hash == n)
                next_add(w, round, n);
            if (n->children == 0)
                continue;
            next_add(w, round, n->star);
            next_add(w, round, child_find(trie, n, word));
        }
        sets_swap(w);
    }
    for (size_t i = 0; i < w->now_count; i++)
        LIST_FOR (it, &w->now[i]->bindings)
            routing_reach(r, CONTAINER_OF(it, struct binding, at));
    w->now_count = 0;
}
