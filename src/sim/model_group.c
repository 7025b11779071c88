// SPDX-License-Identifier: Apache-2.0
//
// Consumer groups in the model. A generation that was not synced before a crash is nobody's memory
// (as in Kafka, where only a synced generation is written to the log), so its number may come
// again; one that was synced may not.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sim/model_int.h"

static void generations_free(struct model_group *g)
{
    struct list *it;
    while ((it = list_pop_front(&g->generations)) != NULL)
        mem_free(CONTAINER_OF(it, struct model_generation, link));
}

void groups_free(struct model *m)
{
    LIST_FOR_SAFE (it, &m->groups) {
        struct model_group *g = CONTAINER_OF(it, struct model_group, link);
        generations_free(g);
        mem_free(g);
    }
}

void groups_restart(struct model *m)
{
    LIST_FOR (it, &m->groups) {
        struct model_group *g = CONTAINER_OF(it, struct model_group, link);
        generations_free(g);
        g->newest = -1;
    }
}

struct model_group *group_model(struct model *m, const char *name)
{
    LIST_FOR (it, &m->groups) {
        struct model_group *g = CONTAINER_OF(it, struct model_group, link);
        if (strcmp(g->name, name) == 0)
            return g;
    }
    struct model_group *g = mem_zalloc(sizeof *g);
    (void)snprintf(g->name, sizeof g->name, "%s", name);
    list_init(&g->generations);
    g->newest = -1;
    g->newest_stable = -1;
    list_push_back(&m->groups, &g->link);
    return g;
}

static struct model_generation *generation_of(struct model_group *g, int32_t number)
{
    LIST_FOR (it, &g->generations) {
        struct model_generation *gen = CONTAINER_OF(it, struct model_generation, link);
        if (gen->number == number)
            return gen;
    }
    struct model_generation *gen = mem_zalloc(sizeof *gen);
    gen->number = number;
    list_push_back(&g->generations, &gen->link);
    return gen;
}

void group_model_joined(struct model *m, struct model_group *g, uint32_t start, int32_t newest,
                        int32_t generation, const char *leader)
{
    if (start != m->start)
        return; // an answer of a server that is gone
    m->checks++;
    if (generation < newest)
        model_fail(m, "group %s went back from generation %d to %d", g->name, newest, generation);
    if (generation > g->newest)
        g->newest = generation;
    struct model_generation *gen = generation_of(g, generation);
    if (gen->leader[0] == '\0')
        (void)snprintf(gen->leader, sizeof gen->leader, "%s", leader);
    else if (strcmp(gen->leader, leader) != 0)
        model_fail(m, "group %s has two leaders in generation %d: %s and %s", g->name, generation,
                   gen->leader, leader);
}

void group_model_assigned(struct model *m, struct model_group *g, uint32_t start,
                          int32_t generation, const char *member, const char *topic,
                          int32_t partition)
{
    if (start != m->start)
        return;
    m->checks++;
    if (g->newest_stable < generation)
        g->newest_stable = generation;
    struct model_generation *gen = generation_of(g, generation);
    for (uint32_t i = 0; i < gen->owners_count; i++) {
        const struct model_owner *o = &gen->owners[i];
        if (o->partition != partition || strcmp(o->topic, topic) != 0)
            continue;
        if (strcmp(o->member, member) != 0)
            model_fail(m, "group %s gave %s-%d to %s and to %s in generation %d", g->name, topic,
                       partition, o->member, member, generation);
        return;
    }
    if (gen->owners_count == MODEL_PER_GEN)
        return;
    struct model_owner *o = &gen->owners[gen->owners_count++];
    o->partition = partition;
    (void)snprintf(o->topic, sizeof o->topic, "%s", topic);
    (void)snprintf(o->member, sizeof o->member, "%s", member);
}

int32_t group_model_least(const struct model_group *g)
{
    return g->newest > g->newest_stable ? g->newest : g->newest_stable;
}

// Commits are journalled in order by the group's shard, and a generation's assignment after what
// the generations before it committed.
void group_model_synced(struct model *m, struct model_group *g, uint32_t start, int32_t generation)
{
    if (start != m->start)
        return;
    if (g->newest_stable < generation)
        g->newest_stable = generation;
    for (uint32_t i = 0; i < g->progress_count; i++)
        register_fence(m, g->progress[i].committed, generation);
}

// ---- reading

void group_model_follow(struct model *m, struct model_group *g, struct model_partition *p)
{
    ASSERT(g->progress_count < MODEL_PER_GEN);
    struct model_progress *progress = &g->progress[g->progress_count++];
    progress->partition = p;
    progress->committed =
        register_create(m, (uint64_t)INT64_C(-1), "%s of %s-%d", g->name, p->topic->name, p->index);
}

void group_model_read(struct model *m, struct model_group *g, struct model_progress *progress,
                      int64_t from, int64_t to)
{
    const struct model_partition *p = progress->partition;
    m->checks++;
    if (from > progress->covered && from > p->start_high)
        model_fail(m, "group %s begins at %lld in %s-%d, but nobody was given %lld", g->name,
                   (long long)from, p->topic->name, p->index, (long long)progress->covered);
    if (progress->covered < to)
        progress->covered = to;
}

bool groups_model_done(const struct model *m)
{
    LIST_FOR (it, &m->groups) {
        const struct model_group *g = CONTAINER_OF(it, const struct model_group, link);
        for (uint32_t i = 0; i < g->progress_count; i++)
            if (g->progress[i].covered < g->progress[i].partition->end)
                return false;
    }
    return true;
}
