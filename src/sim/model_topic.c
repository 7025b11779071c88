// SPDX-License-Identifier: Apache-2.0
//
// Topics in the model: one struct per creation, so a name that is used again is a new topic.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sim/model_int.h"

void topics_free(struct model *m)
{
    LIST_FOR_SAFE (it, &m->topics) {
        struct model_topic *t = CONTAINER_OF(it, struct model_topic, link);
        for (uint32_t i = 0; i < t->partitions_count; i++) {
            mem_free(t->partitions[i]->places);
            mem_free(t->partitions[i]);
        }
        mem_free(t->partitions);
        mem_free(t);
    }
}

void topics_restart(struct model *m)
{
    LIST_FOR (it, &m->topics) {
        struct model_topic *t = CONTAINER_OF(it, struct model_topic, link);
        for (uint32_t i = 0; i < t->partitions_count; i++)
            t->partitions[i]->start_seen = t->partitions[i]->start_low;
    }
}

// The newest of that name.
struct model_topic *topic_model(struct model *m, const char *name)
{
    struct model_topic *found = NULL;
    LIST_FOR (it, &m->topics) {
        struct model_topic *t = CONTAINER_OF(it, struct model_topic, link);
        if (strcmp(t->name, name) == 0)
            found = t;
    }
    return found;
}

void topic_model_grow(struct model *m, struct model_topic *t, uint32_t partitions)
{
    (void)m;
    if (partitions <= t->partitions_count)
        return;
    t->partitions = mem_realloc(t->partitions, partitions * sizeof(struct model_partition *));
    for (uint32_t i = t->partitions_count; i < partitions; i++) {
        t->partitions[i] = mem_zalloc(sizeof *t->partitions[i]);
        t->partitions[i]->topic = t;
        t->partitions[i]->index = (int32_t)i;
    }
    t->partitions_count = partitions;
}

struct model_topic *topic_model_create(struct model *m, const char *name, uint32_t partitions)
{
    struct model_topic *t = mem_zalloc(sizeof *t);
    struct model_topic *before = topic_model(m, name);
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    t->exists = before != NULL ? before->exists : register_create(m, 0, "existence of %s", name);
    t->count = register_create(m, 0, "partitions of %s", name);
    t->setting = register_create(m, 0, "retention.ms of %s", name);
    t->exists->spreads = t->count->spreads = t->setting->spreads = true;
    topic_model_grow(m, t, partitions);
    list_push_back(&m->topics, &t->link);
    return t;
}

static bool id_is_dead(const struct model *m, const struct uuid *id, uint64_t since)
{
    for (uint32_t i = 0; i < m->dead_ids_count; i++)
        if (m->dead_since[i] <= since && uuid_eq(&m->dead_ids[i], id))
            return true;
    return false;
}

// May it be an earlier topic of that name, whose deletion nobody can be sure of? A shard that the
// deletion has not reached still tells of it, also when the name is being used again. (Old versions
// of Metadata have no ids.)
static bool is_predecessor(const struct model *m, const struct model_topic *t,
                           const struct uuid *id, uint64_t since)
{
    LIST_FOR (it, &m->topics) {
        const struct model_topic *o = CONTAINER_OF(it, struct model_topic, link);
        bool same = uuid_eq(&o->id, id) || uuid_is_zero(&o->id) || uuid_is_zero(id);
        if (o != t && o->deleting && strcmp(o->name, t->name) == 0 && same &&
            o->exists->writes[o->deletion].known > since)
            return true;
    }
    return false;
}

void topic_model_seen(struct model *m, struct model_topic *t, uint64_t since, bool exists,
                      const struct uuid *id, uint32_t partitions)
{
    register_seen(m, t->exists, since, exists);
    if (!exists)
        return;
    if (id_is_dead(m, id, since))
        model_fail(m, "topic %s has the id of one that was deleted", t->name);
    if (t->deleting)
        return; // it may be any that had the name
    if (is_predecessor(m, t, id, since))
        return;
    if (!uuid_is_zero(&t->id) && !uuid_is_zero(id) && !uuid_eq(&t->id, id))
        model_fail(m, "topic %s has another id than before", t->name);
    if (!uuid_is_zero(id))
        t->id = *id;
    register_seen(m, t->count, since, partitions);
}

void topic_model_dead(struct model *m, struct model_topic *t)
{
    if (uuid_is_zero(&t->id) || m->dead_ids_count == MODEL_STARTS)
        return;
    m->dead_since[m->dead_ids_count] = model_now(m);
    m->dead_ids[m->dead_ids_count++] = t->id;
}
