// SPDX-License-Identifier: Apache-2.0
//
// Mail about queues between shards. What a shard has to say to another in a turn is one parcel,
// read in the order in which it was written: a get behind a nack finds what the nack gave back.
// What it says to itself waits for its turn's end in a parcel that is never posted.
//
// A parcel is its sender's, and the receiver sends it home when it is read, together with what it
// has to say itself. So when actors have ended, whatever is under way is still in somebody's list.
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "node/queues_int.h"

#define PARCEL_KEEP_ITEMS 1024 // larger ones are not kept for the next turn

struct parcel {
    struct io_msg msg;
    struct list owned;       // mailroom.parcels of the sender
    struct list link;        // of the chain that travels together
    struct list chain;       // of the first one
    struct shard *from, *to; // whose it is, and for whom
    struct shard *reader;    // of the chain's first one: where it goes, there or home
    struct mail_item *items;
    uint32_t items_count, items_cap;
    struct queue_delivery *deliveries; // of the DELIVER items, one after the other
    uint32_t deliveries_count, deliveries_cap;
};

// ---- parcels

static struct parcel *parcel_open(struct shard *from, struct shard *to)
{
    struct mailroom *m = &from->queues->mail;
    ASSERT(to->index < m->peers_count);
    struct mail_peer *peer = &m->peers[to->index];
    if (peer->open != NULL)
        return peer->open;
    struct parcel *p = mem_zalloc(sizeof *p);
    p->from = from;
    p->to = to;
    list_init(&p->link);
    list_init(&p->chain);
    list_push_back(&m->parcels, &p->owned);
    peer->open = p;
    return p;
}

// Whatever chain or list of another shard it may be in is not looked at any more, or has let it go.
static void parcel_free(struct parcel *p)
{
    for (uint32_t i = 0; i < p->deliveries_count; i++)
        blob_unref(p->deliveries[i].blob);
    list_remove(&p->owned);
    mem_free(p->items);
    mem_free(p->deliveries);
    mem_free(p);
}

// Read and at home: it may be the next one.
static void parcel_keep(struct mail_peer *peer, struct parcel *p)
{
    if (peer->open != NULL || p->items_cap > PARCEL_KEEP_ITEMS ||
        p->deliveries_cap > PARCEL_KEEP_ITEMS) {
        parcel_free(p);
        return;
    }
    p->items_count = 0;
    peer->open = p;
}

static struct mail_item *parcel_item(struct parcel *p, enum mail_kind kind)
{
    if (p->items_count == p->items_cap) {
        p->items_cap = p->items_cap == 0 ? 16 : p->items_cap * 2;
        p->items = mem_realloc(p->items, p->items_cap * sizeof p->items[0]);
    }
    struct mail_item *item = &p->items[p->items_count++];
    *item = (struct mail_item){.kind = kind};
    return item;
}

struct mail_item *mail_to(struct shard *from, struct shard *to, enum mail_kind kind)
{
    return parcel_item(parcel_open(from, to), kind);
}

void mail_deliver(struct shard *from, struct shard *to, struct queue_subscription *sub,
                  const struct queue_delivery *deliveries, uint32_t count)
{
    struct parcel *p = parcel_open(from, to);
    parcel_item(p, MAIL_DELIVER)->note = (struct mail_note){.sub = sub, .amount = count};
    while (p->deliveries_cap - p->deliveries_count < count) {
        p->deliveries_cap = p->deliveries_cap == 0 ? 16 : p->deliveries_cap * 2;
        p->deliveries = mem_realloc(p->deliveries, p->deliveries_cap * sizeof p->deliveries[0]);
    }
    memcpy(p->deliveries + p->deliveries_count, deliveries, count * sizeof deliveries[0]);
    p->deliveries_count += count;
}

// ---- reading

static void parcel_read(struct shard *shard, struct parcel *p)
{
    struct queue_delivery *next = p->deliveries;
    for (uint32_t i = 0; i < p->items_count; i++)
        mail_read(shard, &p->items[i], &next);
    ASSERT(p->deliveries_count == 0 || next == p->deliveries + p->deliveries_count);
    p->deliveries_count = 0; // their blobs are gone
}

static void chain_arrived(struct io_msg *msg)
{
    struct parcel *first = CONTAINER_OF(msg, struct parcel, msg);
    struct shard *shard = first->reader;
    struct mailroom *m = &shard->queues->mail;
    struct list all;
    list_init(&all);
    list_splice_back(&all, &first->chain);
    list_push_front(&all, &first->link);
    for (struct list *it; (it = list_pop_front(&all)) != NULL;) {
        struct parcel *p = CONTAINER_OF(it, struct parcel, link);
        if (p->from == shard) {
            parcel_keep(&m->peers[p->to->index], p);
            continue;
        }
        parcel_read(shard, p);
        list_push_back(&m->peers[p->from->index].homes, &p->link);
    }
}

// ---- the turn's end

void mail_hear(struct shard *shard)
{
    struct mail_peer *self = &shard->queues->mail.peers[shard->index];
    struct parcel *p = self->open;
    if (p == NULL || p->items_count == 0)
        return;
    self->open = NULL; // what is said meanwhile waits
    parcel_read(shard, p);
    parcel_keep(self, p);
}

bool mail_waits(const struct shard *shard)
{
    const struct parcel *p = shard->queues->mail.peers[shard->index].open;
    return p != NULL && p->items_count > 0;
}

static void peer_send(struct shard *shard, uint32_t index)
{
    struct mail_peer *peer = &shard->queues->mail.peers[index];
    struct list chain;
    list_init(&chain);
    list_splice_back(&chain, &peer->homes);
    if (peer->open != NULL && peer->open->items_count > 0) {
        list_push_back(&chain, &peer->open->link);
        peer->open = NULL;
    }
    struct list *it = list_pop_front(&chain);
    if (it == NULL)
        return;
    struct parcel *first = CONTAINER_OF(it, struct parcel, link);
    list_splice_back(&first->chain, &chain);
    first->reader = &shard->node->shards[index];
    first->msg.run = chain_arrived;
    io_post(first->reader->io, &first->msg);
}

void mail_turn_end(struct shard *shard)
{
    for (uint32_t i = 0; i < shard->queues->mail.peers_count; i++)
        if (i != shard->index)
            peer_send(shard, i);
}

// ---- life

void mailroom_init(struct mailroom *m, uint32_t shards_count)
{
    *m = (struct mailroom){.peers_count = shards_count};
    m->peers = mem_zalloc(shards_count * sizeof m->peers[0]);
    for (uint32_t i = 0; i < shards_count; i++)
        list_init(&m->peers[i].homes);
    list_init(&m->parcels);
}

void mailroom_fini(struct mailroom *m)
{
    LIST_FOR_SAFE (it, &m->parcels)
        parcel_free(CONTAINER_OF(it, struct parcel, owned));
    mem_free(m->peers);
}
