// SPDX-License-Identifier: Apache-2.0
//
// Settings as Kafka's protocol tells them: value, source, type. Shared by DescribeConfigs and the
// answer of CreateTopics. Private to the room.
#ifndef WEIR_KAFKA_CONFIG_ENTRY_H
#define WEIR_KAFKA_CONFIG_ENTRY_H

#include "kafka/kafka_int.h"

// ConfigResource.Type
enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4, RESOURCE_GROUP = 32 };
// DescribeConfigsResponse.ConfigSource
enum {
    SOURCE_TOPIC = 1,
    SOURCE_DYNAMIC_BROKER = 2,
    SOURCE_DYNAMIC_DEFAULT_BROKER = 3,
    SOURCE_STATIC_BROKER = 4,
    SOURCE_DEFAULT = 5,
    SOURCE_GROUP = 8,
};

struct kafka_config_entry {
    const struct config_def *def;
    struct slice value; // in the request's arena
    int8_t source;
    int8_t type;
    bool read_only;
};

// `own` is what was set on the topic or the group, NULL if nothing, and for the broker's.
void kafka_config_entry(struct kafka_request *r, const struct config_def *def,
                        const struct config_overrides *own, struct kafka_config_entry *out);
// Whether a broker's setting, which is not the preset, is what was said at the start.
int8_t kafka_broker_source(struct kafka_request *r, const char *name, const char *value);
// Whether a broker resource of this name is us: our id, or "" (the default of all brokers).
bool kafka_resource_is_self(const struct kafka_request *r, struct slice name);
// Type and name as one text, to find what is named twice. Null at the arena's limit.
struct slice kafka_resource_key(struct kafka_request *r, int8_t type, struct slice name);
uint32_t kafka_config_count(enum config_scope scope);

#endif
