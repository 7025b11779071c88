// SPDX-License-Identifier: Apache-2.0
//
// Inside exchanges. A virtual host owns its exchanges, its queues (as destinations) and its
// bindings; a binding stands in the lists of both its ends and in its source's index:
//
//   direct    by key                          exchange_direct.c
//   fanout    none: the list of all it has
//   topic     a trie of words                 exchange_topic.c
//   headers   by the rarest header it asks    exchange_headers.c
//
// Marks (`mark`, `reached`) are numbers of the virtual host's count of rounds, so nothing has to be
// cleared after a message.
#ifndef WEIR_QUEUE_EXCHANGE_INT_H
#define WEIR_QUEUE_EXCHANGE_INT_H

#include "queue/exchange.h"

struct binding;
struct routing;

struct topic_node {
    struct map_node node; // in topic_trie.words, by parent and word; the root is in none
    struct topic_node *parent;
    struct topic_node *star, *hash; // the children "*" and "#", which are in the map as well
    struct slice word;              // inside the node's own memory
    struct list bindings;           // that end here
    uint64_t number;                // tells parents apart in hashes, as addresses may not
    uint32_t children;
    uint64_t mark; // the last set of a walk that it joined
};
struct topic_trie {
    struct map words;
    struct topic_node root;
    uint64_t next_number;
};
struct topic_walk { // the virtual host's: memory for the sets of nodes that are still possible
    struct topic_node **now, **next;
    size_t now_count, next_count, now_cap, next_cap;
};

struct header_index {
    struct map map;     // struct header_key by name and value
    struct list always; // bindings that ask for nothing and match all
};

struct exchange_node {
    struct exchange facts;
    struct map_node node; // in vhost.exchanges
    struct list out_queues, out_exchanges, in;
    union {
        struct map direct; // struct direct_key
        struct topic_trie topic;
        struct header_index headers;
    } index;
    uint64_t mark;              // the round of the last walk that came here
    struct exchange_node *next; // of that walk
};

struct exchange_queue {
    struct map_node node; // in vhost.queues
    struct uuid id;
    struct slice name;
    bool durable;
    struct list in;
    uint64_t reached; // the round of the last message that did
};

struct header_entry; // exchange_headers.c

struct binding {
    struct exchange_binding facts;
    struct map_node node; // in vhost.bindings
    struct exchange_node *source;
    struct exchange_node *exchange; // the destination is one of these two
    struct exchange_queue *queue;
    struct list out, in; // of the source, of the destination
    struct list at;      // of the place in the index: direct_key or topic_node
    void *place;
    struct header_entry *entries; // of a headers exchange
    uint32_t entries_count;
};

struct exchange_vhost {
    struct map_node node; // in exchanges.vhosts
    struct slice name;
    uint64_t seed;
    struct map exchanges, queues, bindings;
    struct topic_walk walk;
    uint64_t rounds;
};

struct exchanges {
    struct map vhosts;
};

struct exchange_vhost *exchange_vhost_find(const struct exchanges *exchanges, struct slice vhost);
struct exchange_node *exchange_node_find(const struct exchange_vhost *vhost, struct slice name);
struct exchange_queue *exchange_queue_find(const struct exchange_vhost *vhost, struct slice name);

// ---- one message on its way through a virtual host's exchanges

struct routing {
    struct exchange_vhost *vhost;
    struct route *route;
    const struct slice *keys;
    uint32_t keys_count;
    struct slice key; // the one that is being looked at
    const struct exchange_header *headers;
    uint32_t headers_count;
    uint64_t round;                     // of this message: marks exchanges
    struct exchange_node *first, *last; // still to be gone through
};
void routing_reach(struct routing *r, const struct binding *binding);

// ---- the indexes. Adding and removing costs what the binding's own size says.

void direct_add(struct map *keys, struct binding *binding);
void direct_remove(struct map *keys, struct binding *binding);
void direct_route(const struct map *keys, struct routing *r);
void direct_init(struct map *keys, uint64_t seed);

void topic_init(struct topic_trie *trie, uint64_t seed);
void topic_fini(struct topic_trie *trie); // when it has no bindings any more
void topic_add(struct topic_trie *trie, struct binding *binding);
void topic_remove(struct topic_trie *trie, struct binding *binding);
void topic_route(struct topic_trie *trie, struct routing *r);

void headers_init(struct header_index *index, uint64_t seed);
void headers_add(struct header_index *index, struct binding *binding);
void headers_remove(struct header_index *index, struct binding *binding);
void headers_route(const struct header_index *index, struct routing *r);

#endif
