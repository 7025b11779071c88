// SPDX-License-Identifier: Apache-2.0
//
// Fetchers follow the tail of partitions, look at random places, and wait for what is to come.
// Readers do the same in order: when the run is over they read every partition from its start to
// its end.
#include "base/err.h"
#include "sim/client.h"

#define LANES 16

struct follow {
    struct model_partition *partition;
    int64_t next;
    bool lost; // the offset is gone: ask where the log begins
};

struct fetcher {
    struct client c;
    struct follow follows[LANES];
    uint32_t follows_count;
    struct follow *following; // NULL: a look at a random place
    struct client_fetch ask;
    // readers
    uint32_t topic, index;
    bool begun, lost;
};

static void answered(struct client *c, int err, const void *response)
{
    struct fetcher *f = CONTAINER_OF(c, struct fetcher, c);
    const struct kafka_fetch_response_partition *r = client_fetched(c, &f->ask, err, response);
    if (r == NULL || f->following == NULL)
        return;
    f->following->next = f->ask.next;
    f->following->lost = err_from_kafka(r->error_code) == ERR_OFFSET_OUT_OF_RANGE;
}

static struct follow *follow_of(struct fetcher *f, struct model_partition *partition)
{
    for (uint32_t i = 0; i < f->follows_count; i++)
        if (f->follows[i].partition == partition)
            return &f->follows[i];
    if (f->follows_count == LANES)
        return NULL;
    struct follow *follow = &f->follows[f->follows_count++];
    *follow = (struct follow){partition, partition->start_seen, false};
    return follow;
}

static void fetcher_step(struct client *c)
{
    struct fetcher *f = CONTAINER_OF(c, struct fetcher, c);
    f->ask.partition = client_partition(c);
    f->following = client_chance(c, 30) ? follow_of(f, f->ask.partition) : NULL;
    if (f->following != NULL && f->following->lost && client_can(c, KAFKA_API_LIST_OFFSETS)) {
        f->following->lost = false;
        client_list_start(c, f->ask.partition);
        return;
    }
    int64_t low = f->ask.partition->start_seen;
    if (f->following != NULL && f->following->next < low)
        f->following->next = low;
    f->ask.offset =
        f->following != NULL
            ? f->following->next
            : prng_range(&c->prng, low, f->ask.partition->end + (client_chance(c, 5) ? 5 : 0));
    f->ask.max_bytes = 1U << (4 + client_dice(c, 14));
    f->ask.wait_ms = (int32_t)client_dice(c, 2) * 50;
    client_fetch(c, &f->ask, answered);
}

const struct client_kind client_fetcher = {
    .name = "fetcher",
    .size = sizeof(struct fetcher),
    .needs = KAFKA_API_FETCH,
    .step = fetcher_step,
};

// ---- readers

static void reader_next(struct fetcher *f)
{
    struct world *w = f->c.world;
    model_partition_final(&w->model, f->ask.partition);
    f->begun = false;
    if (++f->index < w->topics[f->topic]->partitions_count)
        return;
    f->index = 0;
    if (++f->topic == w->topics_count)
        w->verified++;
}

static void reader_answered(struct client *c, int err, const void *response)
{
    struct fetcher *f = CONTAINER_OF(c, struct fetcher, c);
    const struct kafka_fetch_response_partition *r = client_fetched(c, &f->ask, err, response);
    if (r == NULL)
        return;
    if (r->error_code != 0) {
        f->begun = false; // the start has moved, or the server is not well yet
        f->lost = true;
    } else if (f->ask.next == f->ask.offset && f->ask.next >= r->high_watermark) {
        reader_next(f);
    } else {
        f->ask.offset = f->ask.next;
    }
}

static void reader_step(struct client *c)
{
    struct fetcher *f = CONTAINER_OF(c, struct fetcher, c);
    struct world *w = c->world;
    if (w->phase != PHASE_VERIFY || f->topic >= w->topics_count)
        return;
    f->ask.partition = w->topics[f->topic]->partitions[f->index];
    if (f->lost && client_can(c, KAFKA_API_LIST_OFFSETS)) {
        f->lost = false;
        client_list_start(c, f->ask.partition);
        return;
    }
    if (!f->begun)
        f->ask.offset = f->ask.partition->start_seen;
    f->begun = true;
    f->ask.max_bytes = 1U << 20;
    f->ask.wait_ms = 0;
    client_fetch(c, &f->ask, reader_answered);
}

const struct client_kind client_reader = {
    .name = "reader",
    .size = sizeof(struct fetcher),
    .needs = KAFKA_API_FETCH,
    .verifies = true,
    .step = reader_step,
};
