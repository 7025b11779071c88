// SPDX-License-Identifier: Apache-2.0
//
// How a topic is written down: the value of a STATE_TOPIC record. The key is the topic's UUID, so
// that a topic that was deleted and made again under the same name is another one.
//
// LAYOUT (little-endian)
//   OFFSET SIZE FIELD
//   0      1    format version = 1
//   1      2    name length n
//   3      4    partitions
//   7      8    created, Unix ms
//   15     2    number of overrides
//   17     n    name
//   …           per override: u16 name length, u16 value length, name, value
#include <stdio.h>

#include "base/assert.h"
#include "base/err.h"
#include "node/node_int.h"

#define TOPIC_RECORD_VERSION 1

void overrides_put(const struct config_overrides *overrides, struct buf *out)
{
    for (size_t i = 0; i < overrides->count; i++) {
        const struct config_override *o = &overrides->items[i];
        struct slice name = slice_cstr(o->def->name);
        struct slice value = slice_cstr(o->value);
        buf_put_le16(out, (uint16_t)name.len);
        buf_put_le16(out, (uint16_t)value.len);
        buf_put_slice(out, name);
        buf_put_slice(out, value);
    }
}

void topic_record_put(const struct topic *topic, struct buf *out)
{
    ASSERT(topic->name.len > 0);
    ASSERT(topic->name.len <= UINT16_MAX);
    ASSERT(topic->overrides.count <= UINT16_MAX);
    buf_put_u8(out, TOPIC_RECORD_VERSION);
    buf_put_le16(out, (uint16_t)topic->name.len);
    buf_put_le32(out, topic->partitions_count);
    buf_put_le64(out, (uint64_t)topic->created_ms);
    buf_put_le16(out, (uint16_t)topic->overrides.count);
    buf_put_slice(out, topic->name);
    overrides_put(&topic->overrides, out);
}

// A setting that this version does not know is dropped: the topic is worth more than the setting.
static void override_get(struct cursor *in, enum config_scope scope,
                         struct config_overrides *overrides)
{
    uint16_t name_len = cursor_le16(in);
    uint16_t value_len = cursor_le16(in);
    struct config_change change = {.op = CONFIG_SET};
    change.name = cursor_bytes(in, name_len);
    change.value = cursor_bytes(in, value_len);
    char why[256];
    if (in->err == 0)
        (void)config_override_change(overrides, scope, &change, why, sizeof why);
}

void overrides_get(struct cursor *in, enum config_scope scope, uint16_t count,
                   struct config_overrides *out)
{
    config_overrides_init(out);
    for (uint16_t i = 0; i < count && in->err == 0; i++)
        override_get(in, scope, out);
}

int topic_record_get(struct slice value, struct topic *out)
{
    struct cursor in = cursor_of(value);
    struct topic t = {0};
    uint8_t version = cursor_u8(&in);
    if (in.err == 0 && version != TOPIC_RECORD_VERSION)
        return ERR_FORMAT_VERSION;
    uint16_t name_len = cursor_le16(&in);
    t.partitions_count = cursor_le32(&in);
    t.created_ms = (int64_t)cursor_le64(&in);
    uint16_t overrides = cursor_le16(&in);
    t.name = cursor_bytes(&in, name_len);
    overrides_get(&in, CONFIG_TOPIC, overrides, &t.overrides);
    if (in.err != 0 || cursor_left(&in) != 0 || t.partitions_count > TOPIC_PARTITIONS_MAX) {
        config_overrides_fini(&t.overrides);
        return ERR_CORRUPT;
    }
    t.name = slice_dup(t.name);
    t.id = out->id;
    *out = t;
    return 0;
}
