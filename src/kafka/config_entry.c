// SPDX-License-Identifier: Apache-2.0
//
// Settings in the protocol's numbers: see config_entry.h.
#include "kafka/config_entry.h"

#include <string.h>

static int8_t entry_type(enum config_type type)
{
    static const int8_t types[] = {
        [CONFIG_BOOL] = 1, [CONFIG_STRING] = 2, [CONFIG_INT] = 3,
        [CONFIG_LONG] = 5, [CONFIG_DOUBLE] = 6, [CONFIG_LIST] = 7,
    };
    return types[type];
}

int8_t kafka_broker_source(struct kafka_request *r, const char *name, const char *value)
{
    const char *given = config_override_get(broker_given(kafka_shard(r)), name);
    if (given == NULL || value == NULL)
        return SOURCE_DYNAMIC_BROKER;
    return strcmp(given, value) == 0 ? SOURCE_STATIC_BROKER : SOURCE_DYNAMIC_BROKER;
}

// What is told to clients, in Kafka's form. Kafka has it from its file; here it may follow from the
// listening address, which is as static.
static struct slice entry_advertised(struct kafka_request *r)
{
    struct kafka_host self;
    kafka_host_self(r, &self);
    bool v6 = memchr(self.host.data, ':', self.host.len) != NULL;
    const char *text =
        arena_printf(&r->arena, "PLAINTEXT://%s%.*s%s:%d", v6 ? "[" : "", (int)self.host.len,
                     (const char *)self.host.data, v6 ? "]" : "", self.port);
    return text != NULL ? slice_cstr(text) : SLICE_NULL;
}

void kafka_config_entry(struct kafka_request *r, const struct config_def *def,
                        const struct config_overrides *own, struct kafka_config_entry *out)
{
    enum config_source source;
    const char *text = config_effective_text(def, own, broker_overrides(kafka_shard(r)), &source);
    out->def = def;
    out->value = text != NULL ? arena_slice(&r->arena, slice_cstr(text)) : SLICE_NULL;
    out->source = SOURCE_DEFAULT;
    if (source == CONFIG_FROM_OWN)
        out->source = def->scope == CONFIG_GROUP ? SOURCE_GROUP : SOURCE_TOPIC;
    if (source == CONFIG_FROM_BROKER)
        out->source = kafka_broker_source(
            r, def->scope == CONFIG_BROKER ? def->name : def->broker_name, text);
    if (strcmp(def->name, "advertised.listeners") == 0) {
        out->value = entry_advertised(r);
        out->source = SOURCE_STATIC_BROKER;
    }
    out->type = entry_type(def->type);
    out->read_only = def->scope == CONFIG_BROKER && !def->dynamic;
}

bool kafka_resource_is_self(const struct kafka_request *r, struct slice name)
{
    struct buf text;
    buf_init(&text, 16);
    buf_printf(&text, "%d", node_id(shard_node(kafka_shard(r))));
    bool ours = name.len == 0 || slice_eq(name, buf_slice(&text));
    buf_fini(&text);
    return ours;
}

struct slice kafka_resource_key(struct kafka_request *r, int8_t type, struct slice name)
{
    char *key = arena_alloc(&r->arena, name.len + 1);
    if (key == NULL)
        return SLICE_NULL;
    key[0] = (char)type;
    for (size_t i = 0; i < name.len; i++)
        key[i + 1] = (char)name.data[i];
    return slice_of(key, name.len + 1);
}

uint32_t kafka_config_count(enum config_scope scope)
{
    uint32_t count = 0;
    for (size_t i = 0; i < config_defs_count; i++)
        count += config_defs[i].scope == scope;
    return count;
}
