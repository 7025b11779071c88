// SPDX-License-Identifier: Apache-2.0
//
// DescribeConfigs: settings of topics and of the broker, each with its source, its synonyms and its
// documentation, out of the one table of settings.
#include <string.h>

#include "kafka/config_entry.h"
#include "kafka/resolve.h"
#include "wire/gen/kafka_describe_configs.h"

#define SYNONYMS_MAX 3

// From the most to the least specific: the topic's or group's own, the broker's, the preset.
static bool describe_synonyms(struct kafka_request *r, const struct config_def *def,
                              const struct config_overrides *own,
                              struct kafka_describe_configs_response_config *out)
{
    const struct wire_struct *type = &kafka_describe_configs_response_synonym_type;
    const char *broker_name = def->scope == CONFIG_BROKER ? def->name : def->broker_name;
    const char *set_here = own != NULL ? config_override_get(own, def->name) : NULL;
    const char *set = broker_name != NULL
                          ? config_override_get(broker_overrides(kafka_shard(r)), broker_name)
                          : NULL;
    const struct {
        const char *name, *value;
        int8_t source;
    } found[SYNONYMS_MAX] = {
        {def->name, set_here, def->scope == CONFIG_GROUP ? SOURCE_GROUP : SOURCE_TOPIC},
        {broker_name, set, set != NULL ? kafka_broker_source(r, broker_name, set) : 0},
        {broker_name != NULL ? broker_name : def->name, def->preset, SOURCE_DEFAULT},
    };
    out->synonyms = kafka_alloc_default(r, type, SYNONYMS_MAX);
    if (out->synonyms == NULL)
        return false;
    for (int i = 0; i < SYNONYMS_MAX; i++) {
        if (found[i].value == NULL)
            continue;
        struct kafka_describe_configs_response_synonym *s = &out->synonyms[out->synonyms_count++];
        s->name = slice_cstr(found[i].name);
        s->value = arena_slice(&r->arena, slice_cstr(found[i].value));
        s->source = found[i].source;
    }
    return true;
}

static bool describe_entry(struct kafka_request *r, const struct config_def *def,
                           const struct config_overrides *own,
                           struct kafka_describe_configs_response_config *out)
{
    const struct kafka_describe_configs_request *q = r->message;
    struct kafka_config_entry entry;
    kafka_config_entry(r, def, own, &entry);
    out->name = slice_cstr(def->name);
    out->value = entry.value;
    out->read_only = entry.read_only;
    out->config_source = entry.source;
    out->config_type = entry.type;
    if (q->include_documentation)
        out->documentation = slice_cstr(def->doc);
    return !q->include_synonyms || describe_synonyms(r, def, own, out);
}

static bool key_wanted(const struct kafka_describe_configs_request_resource *q, const char *name)
{
    if (q->configuration_keys_null || q->configuration_keys_count == 0)
        return true;
    for (uint32_t i = 0; i < q->configuration_keys_count; i++)
        if (slice_eq_cstr(q->configuration_keys[i], name))
            return true;
    return false;
}

static bool describe_entries(struct kafka_request *r,
                             const struct kafka_describe_configs_request_resource *q,
                             enum config_scope scope, const struct config_overrides *own,
                             struct kafka_describe_configs_response_resource *out)
{
    out->configs = kafka_alloc_default(r, &kafka_describe_configs_response_config_type,
                                       kafka_config_count(scope));
    if (out->configs == NULL)
        return false;
    for (size_t i = 0; i < config_defs_count; i++) {
        const struct config_def *def = &config_defs[i];
        bool internal = strncmp(def->name, "internal.", 9) == 0; // Kafka tells nobody either
        if (def->scope == scope && !internal && key_wanted(q, def->name) &&
            !describe_entry(r, def, own, &out->configs[out->configs_count++]))
            return false;
    }
    return true;
}

// The default of all brokers: only what was set while running, and as such. One node has one place
// for both.
static bool describe_broker_default(struct kafka_request *r,
                                    const struct kafka_describe_configs_request_resource *q,
                                    struct kafka_describe_configs_response_resource *out)
{
    if (!describe_entries(r, q, CONFIG_BROKER, NULL, out))
        return false;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < out->configs_count; i++) {
        if (out->configs[i].config_source != SOURCE_DYNAMIC_BROKER)
            continue;
        out->configs[kept] = out->configs[i];
        out->configs[kept++].config_source = SOURCE_DYNAMIC_DEFAULT_BROKER;
    }
    out->configs_count = kept;
    return true;
}

static void describe_refuse(struct kafka_request *r, int err, const char *why,
                            struct kafka_describe_configs_response_resource *out)
{
    out->error_code = err_kafka(err);
    out->error_message = kafka_text(r, why);
}

static bool describe_resource(struct kafka_request *r,
                              const struct kafka_describe_configs_request_resource *q,
                              struct kafka_describe_configs_response_resource *out)
{
    out->resource_type = q->resource_type;
    out->resource_name = q->resource_name;
    if (q->resource_type == RESOURCE_TOPIC) {
        const struct topic *topic = topic_by_name(kafka_shard(r), q->resource_name);
        int err = topic_name_check(q->resource_name);
        if (err == 0 && topic == NULL)
            err = ERR_UNKNOWN_TOPIC_OR_PARTITION;
        if (err == 0)
            return describe_entries(r, q, CONFIG_TOPIC, &topic->overrides, out);
        char why[TOPIC_WHY_MAX];
        if (err == ERR_INVALID_TOPIC_EXCEPTION)
            topic_name_why(q->resource_name, why, sizeof why);
        describe_refuse(r, err, err == ERR_INVALID_TOPIC_EXCEPTION ? why : NULL, out);
        return true;
    }
    if (q->resource_type == RESOURCE_GROUP)
        return describe_entries(r, q, CONFIG_GROUP,
                                group_overrides(kafka_shard(r), q->resource_name), out);
    if (q->resource_type == RESOURCE_BROKER && q->resource_name.len == 0)
        return describe_broker_default(r, q, out);
    bool ours = kafka_resource_is_self(r, q->resource_name);
    if (q->resource_type == RESOURCE_BROKER && ours)
        return describe_entries(r, q, CONFIG_BROKER, NULL, out);
    describe_refuse(r, ERR_INVALID_REQUEST,
                    q->resource_type == RESOURCE_BROKER ? "There is no broker of this id."
                                                        : "This type of resource has no settings.",
                    out);
    return true;
}

void kafka_describe_configs_handle(struct kafka_request *r)
{
    const struct kafka_describe_configs_request *q = r->message;
    struct kafka_describe_configs_response answer;
    wire_default(&kafka_describe_configs_response_type, &answer);
    answer.results =
        kafka_alloc_default(r, &kafka_describe_configs_response_resource_type, q->resources_count);
    if (answer.results == NULL)
        return;
    // Each resource is described once, so that one name said often is not a large answer.
    struct kafka_names seen;
    bool ok = true;
    kafka_names_init(&seen, r);
    for (uint32_t i = 0; ok && i < q->resources_count; i++) {
        const struct kafka_describe_configs_request_resource *resource = &q->resources[i];
        struct slice key = kafka_resource_key(r, resource->resource_type, resource->resource_name);
        struct kafka_name *name = kafka_names_add(&seen, r, key);
        ok = name != NULL;
        if (ok && name->count == 1)
            ok = describe_resource(r, resource, &answer.results[answer.results_count++]);
    }
    kafka_names_fini(&seen);
    if (ok)
        kafka_answer(r, &answer);
}
