// SPDX-License-Identifier: Apache-2.0
//
// The ring of unacknowledged deliveries. Acknowledgements mostly come in the order of the
// deliveries, or near it: the place of a tag is guessed from its distance to the oldest one, which
// is right as long as all deliveries of the channel ask for acknowledgement; else it is searched.
#include "amqp/unacked.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

#define CAP_FIRST 32U

static struct amqp_unacked_delivery *at(const struct amqp_unacked *u, uint32_t index)
{
    return &u->ring[(u->head + index) & (u->cap - 1)];
}

static size_t bytes_of(uint32_t cap)
{
    return (size_t)cap * sizeof(struct amqp_unacked_delivery);
}

static void check(const struct amqp_unacked *u)
{
    ASSERT(u->count <= u->span);
    ASSERT(u->span <= u->cap);
    ASSERT((u->cap & (u->cap - 1)) == 0);
    ASSERT(u->cap == 0 || u->ring != NULL);
    if (u->ring == NULL)
        return;
    ASSERT((u->count == 0) == (u->span == 0)); // holes never stand at an end
    ASSERT(u->span == 0 || at(u, 0)->source != NULL);
    ASSERT(u->span == 0 || at(u, u->span - 1)->source != NULL);
}

void amqp_unacked_init(struct amqp_unacked *u, struct budget *budget)
{
    *u = (struct amqp_unacked){.budget = budget};
}

static void ring_free(struct amqp_unacked *u)
{
    mem_free(u->ring);
    if (u->budget != NULL && u->cap != 0)
        budget_give(u->budget, bytes_of(u->cap));
    u->ring = NULL;
    u->cap = 0;
    u->head = 0;
}

void amqp_unacked_fini(struct amqp_unacked *u)
{
    ring_free(u);
    u->span = 0;
    u->count = 0;
}

// Moves what lives into a ring of another size, without holes.
static int ring_resize(struct amqp_unacked *u, uint32_t cap)
{
    ASSERT(cap >= u->count);
    if (u->budget != NULL && budget_take(u->budget, bytes_of(cap)) != 0)
        return ERR_BUDGET;
    struct amqp_unacked_delivery *ring = mem_try_alloc(bytes_of(cap));
    if (ring == NULL) {
        if (u->budget != NULL)
            budget_give(u->budget, bytes_of(cap));
        return ERR_NOMEM;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < u->span; i++) {
        if (at(u, i)->source != NULL)
            ring[n++] = *at(u, i);
    }
    ASSERT(n == u->count);
    ring_free(u);
    u->ring = ring;
    u->cap = cap;
    u->span = n;
    return 0;
}

// Closes the holes in place.
static void ring_pack(struct amqp_unacked *u)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < u->span; i++) {
        if (at(u, i)->source != NULL)
            *at(u, n++) = *at(u, i);
    }
    ASSERT(n == u->count);
    u->span = n;
}

int amqp_unacked_add(struct amqp_unacked *u, const struct amqp_unacked_delivery *delivery)
{
    ASSERT(delivery->source != NULL);
    ASSERT(delivery->tag > u->last_tag);
    if (u->span == u->cap) {
        if (u->count <= u->span / 2 && u->cap != 0) {
            ring_pack(u);
        } else {
            if (u->cap >= AMQP_UNACKED_MAX)
                return ERR_LIMIT;
            int err = ring_resize(u, u->cap == 0 ? CAP_FIRST : u->cap * 2);
            if (err != 0)
                return err;
        }
    }
    *at(u, u->span) = *delivery;
    u->span++;
    u->count++;
    u->last_tag = delivery->tag;
    check(u);
    return 0;
}

// Index of the first entry whose tag is not below `tag`, or span. Holes keep their tags.
static uint32_t lower_bound(const struct amqp_unacked *u, uint64_t tag)
{
    uint32_t low = 0, high = u->span;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (at(u, mid)->tag < tag)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct amqp_unacked_delivery *find(const struct amqp_unacked *u, uint64_t tag)
{
    if (u->span == 0 || tag < at(u, 0)->tag)
        return NULL;
    uint64_t guess = tag - at(u, 0)->tag;
    struct amqp_unacked_delivery *d = guess < u->span ? at(u, (uint32_t)guess) : NULL;
    if (d == NULL || d->tag != tag) {
        uint32_t index = lower_bound(u, tag);
        d = index < u->span ? at(u, index) : NULL;
    }
    return d != NULL && d->tag == tag && d->source != NULL ? d : NULL;
}

bool amqp_unacked_has(const struct amqp_unacked *u, uint64_t tag)
{
    return find(u, tag) != NULL;
}

// Holes at both ends go; a ring that a burst has grown goes with the last delivery.
static void trim(struct amqp_unacked *u)
{
    if (u->count == 0) {
        u->span = 0;
        u->head = 0;
        if (u->cap > CAP_FIRST * 32)
            ring_free(u);
        return;
    }
    while (at(u, 0)->source == NULL) {
        u->head = (u->head + 1) & (u->cap - 1);
        u->span--;
    }
    while (at(u, u->span - 1)->source == NULL)
        u->span--;
}

int amqp_unacked_take(struct amqp_unacked *u, uint64_t tag, bool multiple,
                      struct amqp_unacked_delivery *out)
{
    struct amqp_unacked_delivery *d;
    if (multiple)
        d = u->span > 0 && at(u, 0)->tag <= tag ? at(u, 0) : NULL;
    else
        d = find(u, tag);
    if (d == NULL)
        return ERR_NOT_FOUND;
    ASSERT(d->source != NULL);
    *out = *d;
    d->source = NULL;
    u->count--;
    trim(u);
    check(u);
    return 0;
}
