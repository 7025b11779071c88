// SPDX-License-Identifier: Apache-2.0
//
// A shard's replica of the catalogue: lookups by name and id, and what adding, changing and
// removing a topic means for the shard's own partitions. Changes come from catalogue.c (while
// running) and recover.c (before).
#include "node/topics.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/node_int.h"

static struct topic_entry *entry_by_name(struct shard *shard, struct slice name)
{
    uint64_t hash = map_hash(&shard->topics_by_name, name);
    struct map_node *node = map_find(&shard->topics_by_name, hash, &name);
    return node != NULL ? CONTAINER_OF(node, struct topic_entry, by_name) : NULL;
}

struct topic_entry *topic_entry_by_id(struct shard *shard, const struct uuid *id)
{
    uint64_t hash = map_hash(&shard->topics_by_id, slice_of(id->bytes, sizeof id->bytes));
    struct map_node *node = map_find(&shard->topics_by_id, hash, id);
    return node != NULL ? CONTAINER_OF(node, struct topic_entry, by_id) : NULL;
}

const struct topic *topic_by_name(struct shard *shard, struct slice name)
{
    struct topic_entry *e = entry_by_name(shard, name);
    return e != NULL ? &e->topic : NULL;
}

const struct topic *topic_by_id(struct shard *shard, const struct uuid *id)
{
    struct topic_entry *e = topic_entry_by_id(shard, id);
    return e != NULL ? &e->topic : NULL;
}

size_t topic_count(struct shard *shard)
{
    return shard->topics_by_id.count;
}

void topic_each(struct shard *shard, bool (*fn)(void *arg, const struct topic *topic), void *arg)
{
    MAP_FOR_SAFE (it, &shard->topics_by_id) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        if (!fn(arg, &CONTAINER_OF(node, struct topic_entry, by_id)->topic))
            return;
    }
}

bool topic_names_collide(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        bool blurred =
            (a.data[i] == '.' || a.data[i] == '_') && (b.data[i] == '.' || b.data[i] == '_');
        if (a.data[i] != b.data[i] && !blurred)
            return false;
    }
    return true;
}

const struct topic *topic_colliding(struct shard *shard, struct slice name)
{
    if (memchr(name.data, '.', name.len) == NULL && memchr(name.data, '_', name.len) == NULL)
        return NULL;
    MAP_FOR_SAFE (it, &shard->topics_by_id) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        const struct topic *t = &CONTAINER_OF(node, struct topic_entry, by_id)->topic;
        if (topic_names_collide(t->name, name))
            return t;
    }
    return NULL;
}

int topic_name_check(struct slice name)
{
    if (name.len == 0 || name.len > TOPIC_NAME_MAX || slice_eq_cstr(name, ".") ||
        slice_eq_cstr(name, ".."))
        return ERR_INVALID_TOPIC_EXCEPTION;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool legal = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '.' || c == '_' || c == '-';
        if (!legal)
            return ERR_INVALID_TOPIC_EXCEPTION;
    }
    return 0;
}

// In Kafka's words, which people search for.
void topic_name_why(struct slice name, char *why, size_t why_size)
{
    const int shown = name.len > 100 ? 100 : (int)name.len;
    const char *text = (const char *)name.data;
    const char *more = name.len > 100 ? "..." : "";
    if (name.len == 0)
        (void)snprintf(why, why_size, "Topic name is invalid: the empty string is not allowed");
    else if (slice_eq_cstr(name, ".") || slice_eq_cstr(name, ".."))
        (void)snprintf(why, why_size, "Topic name is invalid: '%.*s' is not allowed", shown, text);
    else if (name.len > TOPIC_NAME_MAX)
        (void)snprintf(why, why_size,
                       "Topic name is invalid: the length of '%.*s%s' is longer than the max "
                       "allowed length %d",
                       shown, text, more, TOPIC_NAME_MAX);
    else
        (void)snprintf(why, why_size,
                       "Topic name is invalid: '%.*s%s' contains one or more characters other than "
                       "ASCII alphanumerics, '.', '_' and '-'",
                       shown, text, more);
}

// What is settled of a queue goes when the queue says so, what is not never.
void topic_effective(struct shard *shard, struct topic *topic)
{
    if (topic->overrides.count == 0)
        topic->config = shard->plain_topic; // computing it costs more than a topic's whole rest
    else
        config_topic_effective(&topic->overrides, &shard->broker_overrides, &topic->config);
    if (!topic->queue)
        return;
    topic->config.retention_ms = -1;
    topic->config.retention_bytes = -1;
    topic->config.cleanup_delete = true;
    topic->config.cleanup_compact = false;
}

struct topic_entry *topic_entry_add(struct shard *shard, struct topic *topic)
{
    struct topic_entry *e = mem_zalloc(sizeof *e);
    e->topic = *topic;
    ASSERT(entry_by_name(shard, topic->name) == NULL);
    ASSERT(topic_entry_by_id(shard, &topic->id) == NULL);
    ASSERT(topic->partitions_count <= TOPIC_PARTITIONS_MAX);
    topic_effective(shard, &e->topic);
    map_insert(&shard->topics_by_name, &e->by_name,
               map_hash(&shard->topics_by_name, e->topic.name));
    map_insert(&shard->topics_by_id, &e->by_id,
               map_hash(&shard->topics_by_id, slice_of(e->topic.id.bytes, 16)));
    ASSERT(shard->topics_by_id.count == shard->topics_by_name.count);
    return e;
}

void topic_entry_remove(struct shard *shard, struct topic_entry *entry)
{
    ASSERT(entry_by_name(shard, entry->topic.name) == entry);
    map_remove(&shard->topics_by_name, &entry->by_name);
    map_remove(&shard->topics_by_id, &entry->by_id);
    slice_free(entry->topic.name);
    config_overrides_fini(&entry->topic.overrides);
    mem_free(entry);
}

static void strict_ask(struct shard *shard);

static void strict_settled(struct checkpoint_request *request)
{
    struct shard *shard = CONTAINER_OF(request, struct shard, strict.request);
    bool again = shard->strict.again && request->err != ERR_STOPPED;
    shard->strict.under_way = false;
    if (again)
        strict_ask(shard);
}

// What was written relaxed so far is not waited for by anybody else: without traffic in the journal
// the next checkpoint may be far away.
static void strict_ask(struct shard *shard)
{
    shard->strict.again = shard->strict.under_way;
    if (shard->strict.under_way || atomic_load(&shard->node->state) != NODE_RUNNING)
        return; // a stop ends in a checkpoint of its own
    shard->strict.under_way = true;
    shard->strict.request =
        (struct checkpoint_request){.reply_to = shard->io, .done = strict_settled};
    checkpoint_request(shard->node->checkpointer, &shard->strict.request);
}

void topic_refresh(struct shard *shard, struct topic_entry *entry)
{
    bool was_relaxed = entry->topic.config.relaxed;
    topic_effective(shard, &entry->topic);
    const struct log_options options = partition_log_options(&entry->topic.config);
    for (uint32_t i = 0; i < entry->topic.partitions_count; i++) {
        const struct log_key key = {entry->topic.id, (int32_t)i};
        struct partition *p = partition_find(shard, &key);
        if (p != NULL)
            log_set_options(p->log, &options);
    }
    if (was_relaxed && !entry->topic.config.relaxed && shard->started)
        strict_ask(shard);
    const struct uuid *id = &entry->topic.id;
    if (entry->topic.queue && node_shard_of_partition(shard->node, id, 0) == shard->index)
        queue_host_retention(shard, id, entry->topic.config.retention_after_ack_ms);
}

// ---- what changes of the catalogue do on every shard

void topic_partitions_make(struct shard *shard, const struct topic *topic, uint32_t from)
{
    const struct log_options options = partition_log_options(&topic->config);
    for (uint32_t i = from; i < topic->partitions_count; i++) {
        const struct log_key key = {topic->id, (int32_t)i};
        struct partition *p = NULL;
        if (node_shard_of_partition(shard->node, &topic->id, (int32_t)i) != shard->index)
            continue;
        int err = partition_make(shard, &key, &options, &p);
        ASSERT(err == 0);
        p->known = true;
    }
}

void topic_make(struct shard *shard, const struct topic *topic)
{
    struct topic copy = *topic;
    copy.name = slice_dup(topic->name);
    config_overrides_copy(&copy.overrides, &topic->overrides);
    struct topic_entry *e = topic_entry_add(shard, &copy);
    topic_partitions_make(shard, &e->topic, 0);
}

void partitions_drop(struct shard *shard, const struct uuid *id, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct log_key key = {*id, (int32_t)i};
        struct partition *p = partition_find(shard, &key);
        if (p != NULL)
            partition_drop(p);
    }
}

void topic_drop(struct shard *shard, const struct uuid *id)
{
    struct topic_entry *e = topic_entry_by_id(shard, id);
    ASSERT(e != NULL);
    groups_topic_deleted(shard->groups, e->topic.name);
    partitions_drop(shard, id, e->topic.partitions_count);
    topic_entry_remove(shard, e);
}
