// SPDX-License-Identifier: Apache-2.0
//
// What AlterConfigs and IncrementalAlterConfigs share: a list of resources, each changed by the
// catalogue, gathered. Private to the room.
#ifndef WEIR_KAFKA_ALTER_CONFIGS_H
#define WEIR_KAFKA_ALTER_CONFIGS_H

#include "kafka/resolve.h"

struct kafka_alter {
    struct topic_alter alter;
    struct kafka_request *r;
    int8_t resource_type;
    struct slice resource_name;
    const struct kafka_name *name; // how often the resource is named
    int err;                       // the door's own
    const char *why;
};
struct kafka_alters { // r->state
    struct kafka_alter *alters;
    uint32_t count, left;
    void (*answer)(struct kafka_request *r);
};

struct kafka_alters *kafka_alters_new(struct kafka_request *r, size_t count,
                                      void (*answer)(struct kafka_request *r));
// Checks what can be checked here; `changes` live in the arena.
void kafka_alter_fill(struct kafka_request *r, struct kafka_alter *alter, int8_t resource_type,
                      struct slice resource_name, const struct config_change *changes,
                      uint32_t count);
void kafka_alters_start(struct kafka_request *r);
// Code and text to answer with.
int16_t kafka_alter_result(struct kafka_request *r, const struct kafka_alter *alter,
                           struct slice *out_message);

#endif
