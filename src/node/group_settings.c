// SPDX-License-Identifier: Apache-2.0
//
// Settings of consumer groups, which administrators may make before the group is there. None of
// them means anything to classic groups; they are kept and described, so that tools which prepare
// groups for the newer protocols find what they have set. Held apart from the groups themselves,
// since a group that dies keeps them, as in Kafka.
//
// LAYOUT of STATE_GROUP_CONFIG's value (little-endian); the key is the group's name
//   OFFSET SIZE FIELD
//   0      1    version = 1
//   1      2    settings count; then each: le16 name length, le16 value length, name, value

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/node_int.h"

#define GROUP_SETTINGS_VERSION 1

struct group_settings {
    struct map_node node;
    struct slice name; // owned
    struct config_overrides overrides;
};

static bool name_eq(const struct map_node *node, const void *key)
{
    return slice_eq(CONTAINER_OF(node, struct group_settings, node)->name,
                    *(const struct slice *)key);
}

static struct group_settings *settings_find(struct shard *shard, struct slice group)
{
    struct map *m = &shard->group_settings;
    struct map_node *node = map_find(m, map_hash(m, group), &group);
    return node != NULL ? CONTAINER_OF(node, struct group_settings, node) : NULL;
}

static void settings_remove(struct shard *shard, struct group_settings *g)
{
    map_remove(&shard->group_settings, &g->node);
    config_overrides_fini(&g->overrides);
    slice_free(g->name);
    mem_free(g);
}

void group_settings_init(struct shard *shard)
{
    map_init(&shard->group_settings, name_eq, shard->hash_seed);
}

void group_settings_fini(struct shard *shard)
{
    MAP_FOR_SAFE (it, &shard->group_settings) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        settings_remove(shard, CONTAINER_OF(node, struct group_settings, node));
    }
    map_fini(&shard->group_settings);
}

const struct config_overrides *group_overrides(struct shard *shard, struct slice group)
{
    const struct group_settings *g = settings_find(shard, group);
    return g != NULL ? &g->overrides : NULL;
}

void group_settings_set(struct shard *shard, struct slice group,
                        const struct config_overrides *overrides)
{
    struct group_settings *there = settings_find(shard, group);
    if (there != NULL)
        settings_remove(shard, there);
    if (overrides->count == 0)
        return;
    struct group_settings *g = mem_zalloc(sizeof *g);
    g->name = slice_dup(group);
    config_overrides_copy(&g->overrides, overrides);
    map_insert(&shard->group_settings, &g->node, map_hash(&shard->group_settings, g->name));
}

// ---- the record

void group_settings_record(const struct config_overrides *overrides, struct buf *out)
{
    buf_put_u8(out, GROUP_SETTINGS_VERSION);
    buf_put_le16(out, (uint16_t)overrides->count);
    overrides_put(overrides, out);
}

int group_settings_restore(struct shard *shard, const struct state_record *record)
{
    struct config_overrides overrides;
    config_overrides_init(&overrides);
    if (record->value.data != NULL) {
        struct cursor in = cursor_of(record->value);
        uint8_t version = cursor_u8(&in);
        if (in.err == 0 && version != GROUP_SETTINGS_VERSION)
            return ERR_FORMAT_VERSION;
        uint16_t count = cursor_le16(&in);
        overrides_get(&in, CONFIG_GROUP, count, &overrides);
        if (in.err != 0 || cursor_left(&in) != 0) {
            config_overrides_fini(&overrides);
            return ERR_CORRUPT;
        }
    }
    group_settings_set(shard, record->key, &overrides);
    config_overrides_fini(&overrides);
    return 0;
}

void group_settings_cut(struct shard *shard, struct buf *out)
{
    struct buf value;
    buf_init(&value, 1U << 20);
    MAP_FOR_SAFE (it, &shard->group_settings) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        const struct group_settings *g = CONTAINER_OF(node, struct group_settings, node);
        buf_clear(&value);
        group_settings_record(&g->overrides, &value);
        const struct state_record record = {STATE_GROUP_CONFIG, g->name, buf_slice(&value)};
        state_put(out, &record);
    }
    ASSERT(value.err == 0);
    buf_fini(&value);
}
