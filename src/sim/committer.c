// SPDX-License-Identifier: Apache-2.0
//
// A committer has a consumer group to itself, without members, and commits offsets that only rise:
// what it reads back must be what it committed last, or later.
#include <stdio.h>

#include "base/err.h"
#include "sim/client.h"

#define SLOTS 4 // partitions it commits for

struct committer {
    struct client c;
    char group[24];
    struct model_register *slots[SLOTS];
    struct model_partition *partitions[SLOTS];
    uint32_t at;     // the slot under way
    uint32_t number; // of the write under way
    uint64_t since;
    int64_t offset; // the last one it tried
};

static void committer_start(struct client *c)
{
    struct committer *k = CONTAINER_OF(c, struct committer, c);
    struct world *w = c->world;
    (void)snprintf(k->group, sizeof k->group, "solo-%u", c->number);
    for (uint32_t i = 0; i < SLOTS; i++) {
        k->partitions[i] = w->topics[i / 2]->partitions[i % 2];
        k->slots[i] = register_create(&w->model, (uint64_t)INT64_C(-1), "%s of %s-%d", k->group,
                                      w->topics[i / 2]->name, i % 2);
    }
}

// ---- commit

static void committed(struct client *c, int err, const void *response)
{
    struct committer *k = CONTAINER_OF(c, struct committer, c);
    struct model *m = &c->world->model;
    int code = client_commit_code(c, err, response);
    client_note(c, "committed %lld: %s", (long long)k->offset, err_name(code));
    enum model_outcome outcome = code == 0 ? MODEL_OK : MODEL_UNKNOWN;
    register_written(m, k->slots[k->at], k->number, outcome);
    if (outcome != MODEL_OK)
        return;
    c->world->report->commits++;
    server_acknowledged(c->world);
}

static void commit(struct committer *k)
{
    k->offset++;
    const struct client_commit commit = {
        .group = k->group,
        .member = "",
        .generation = -1,
        .partition = k->partitions[k->at],
        .offset = k->offset,
    };
    client_note(&k->c, "commits %lld for %s", (long long)k->offset, k->slots[k->at]->name);
    k->number = register_write(&k->c.world->model, k->slots[k->at], (uint64_t)k->offset);
    client_commit(&k->c, &commit, committed);
}

// ---- fetch

static void fetched(struct client *c, int err, const void *response)
{
    struct committer *k = CONTAINER_OF(c, struct committer, c);
    int64_t offset = -1;
    int code = client_committed_offset(c, err, response, &offset);
    if (code != 0)
        return;
    client_note(c, "is told %lld for %s", (long long)offset, k->slots[k->at]->name);
    register_seen(&c->world->model, k->slots[k->at], k->since, (uint64_t)offset);
}

static void fetch(struct committer *k)
{
    k->since = model_now(&k->c.world->model);
    client_ask_committed(&k->c, k->group, k->partitions[k->at], fetched);
}

static void committer_step(struct client *c)
{
    struct committer *k = CONTAINER_OF(c, struct committer, c);
    k->at = client_dice(c, SLOTS);
    if (client_chance(c, 55) && client_can(c, KAFKA_API_OFFSET_COMMIT))
        commit(k);
    else
        fetch(k);
}

const struct client_kind client_committer = {
    .name = "committer",
    .size = sizeof(struct committer),
    .needs = KAFKA_API_OFFSET_FETCH,
    .start = committer_start,
    .step = committer_step,
};
