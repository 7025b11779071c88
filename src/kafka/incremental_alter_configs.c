// SPDX-License-Identifier: Apache-2.0
//
// IncrementalAlterConfigs (KIP-339): sets, deletes, appends to or subtracts from single settings.
#include "kafka/alter_configs.h"
#include "wire/gen/kafka_incremental_alter_configs.h"

static void incremental_answer(struct kafka_request *r)
{
    const struct kafka_alters *s = r->state;
    struct kafka_incremental_alter_configs_response answer;
    wire_default(&kafka_incremental_alter_configs_response_type, &answer);
    answer.responses =
        kafka_alloc_default(r, &kafka_incremental_alter_configs_response_resource_type, s->count);
    if (answer.responses == NULL)
        return;
    answer.responses_count = s->count;
    for (uint32_t i = 0; i < s->count; i++) {
        struct kafka_incremental_alter_configs_response_resource *out = &answer.responses[i];
        out->resource_type = s->alters[i].resource_type;
        out->resource_name = s->alters[i].resource_name;
        out->error_code = kafka_alter_result(r, &s->alters[i], &out->error_message);
    }
    kafka_answer(r, &answer);
}

static int incremental_check(const struct kafka_incremental_alter_configs_request_resource *t,
                             const char **why)
{
    for (uint32_t i = 0; i < t->configs_count; i++) {
        const struct kafka_incremental_alter_configs_request_config *c = &t->configs[i];
        if (c->config_operation < CONFIG_SET || c->config_operation > CONFIG_SUBTRACT) {
            *why = "The operation must be set, delete, append or subtract.";
            return ERR_INVALID_REQUEST;
        }
        if (c->value.data == NULL && c->config_operation != CONFIG_DELETE) {
            *why = "Null value not supported for the operation.";
            return ERR_INVALID_REQUEST;
        }
        for (uint32_t j = 0; j < i && t->configs_count <= 256; j++) {
            if (slice_eq(t->configs[j].name, c->name)) {
                *why = "Error due to duplicate config keys";
                return ERR_INVALID_REQUEST;
            }
        }
    }
    return 0;
}

void kafka_incremental_alter_configs_handle(struct kafka_request *r)
{
    const struct kafka_incremental_alter_configs_request *q = r->message;
    struct kafka_alters *s = kafka_alters_new(r, q->resources_count, incremental_answer);
    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct kafka_incremental_alter_configs_request_resource *t = &q->resources[i];
        struct config_change *changes = kafka_alloc(r, t->configs_count, sizeof *changes);
        if (changes == NULL)
            return;
        for (uint32_t j = 0; j < t->configs_count; j++)
            changes[j] = (struct config_change){(enum config_op)t->configs[j].config_operation,
                                                t->configs[j].name, t->configs[j].value};
        kafka_alter_fill(r, &s->alters[i], t->resource_type, t->resource_name, changes,
                         t->configs_count);
        s->alters[i].alter.validate_only = q->validate_only;
        if (s->alters[i].err == 0)
            s->alters[i].err = incremental_check(t, &s->alters[i].why);
    }
    kafka_alters_start(r);
}
