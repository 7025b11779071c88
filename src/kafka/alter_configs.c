// SPDX-License-Identifier: Apache-2.0
//
// AlterConfigs replaces what was set on a topic or the broker by what is named; its younger sister
// IncrementalAlterConfigs (KIP-339, incremental_alter_configs.c) changes single settings. Both are
// the same change of the catalogue.
#include "kafka/alter_configs.h"

#include "kafka/config_entry.h"
#include "wire/gen/kafka_alter_configs.h"

struct kafka_alters *kafka_alters_new(struct kafka_request *r, size_t count,
                                      void (*answer)(struct kafka_request *r))
{
    struct kafka_alters *s = kafka_alloc(r, 1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->alters = kafka_alloc(r, count, sizeof *s->alters);
    if (s->alters == NULL)
        return NULL;
    s->count = (uint32_t)count;
    s->answer = answer;
    r->state = s;
    return s;
}

static void alter_done(struct topic_alter *alter)
{
    struct kafka_request *r = CONTAINER_OF(alter, struct kafka_alter, alter)->r;
    struct kafka_alters *s = r->state;
    ASSERT(s->left > 0);
    if (--s->left == 0)
        s->answer(r);
}

static int alter_check(const struct kafka_request *r, const struct kafka_alter *alter,
                       const char **why)
{
    *why = "";
    if (alter->resource_type == RESOURCE_TOPIC || alter->resource_type == RESOURCE_GROUP)
        return 0;
    if (alter->resource_type != RESOURCE_BROKER) {
        *why = "This type of resource has no settings.";
        return ERR_INVALID_REQUEST;
    }
    if (!kafka_resource_is_self(r, alter->resource_name)) {
        *why = "There is no broker of this id.";
        return ERR_INVALID_REQUEST;
    }
    return 0;
}

void kafka_alter_fill(struct kafka_request *r, struct kafka_alter *alter, int8_t resource_type,
                      struct slice resource_name, const struct config_change *changes,
                      uint32_t count)
{
    alter->r = r;
    alter->resource_type = resource_type;
    alter->resource_name = resource_name;
    alter->err = alter_check(r, alter, &alter->why);
    alter->alter.group = resource_type == RESOURCE_GROUP;
    alter->alter.name = resource_type == RESOURCE_BROKER ? SLICE_NULL : resource_name;
    alter->alter.changes = changes;
    alter->alter.changes_count = count;
    alter->alter.done = alter_done;
}

// A resource that is named twice is changed by neither.
static bool alters_duplicates(struct kafka_request *r)
{
    struct kafka_alters *s = r->state;
    struct kafka_names seen;
    bool ok = true;
    kafka_names_init(&seen, r);
    for (uint32_t i = 0; ok && i < s->count; i++) {
        struct kafka_alter *a = &s->alters[i];
        a->name =
            kafka_names_add(&seen, r, kafka_resource_key(r, a->resource_type, a->resource_name));
        ok = a->name != NULL;
    }
    for (uint32_t i = 0; ok && i < s->count; i++) {
        struct kafka_alter *a = &s->alters[i];
        if (a->err != 0 || a->name->count == 1)
            continue;
        a->err = ERR_INVALID_REQUEST;
        a->why = "Each resource must appear at most once.";
    }
    kafka_names_fini(&seen);
    return ok;
}

void kafka_alters_start(struct kafka_request *r)
{
    struct kafka_alters *s = r->state;
    if (!alters_duplicates(r))
        return;
    for (uint32_t i = 0; i < s->count; i++)
        s->left += s->alters[i].err == 0;
    if (s->left == 0) {
        s->answer(r);
        return;
    }
    for (uint32_t i = 0; i < s->count; i++)
        if (s->alters[i].err == 0)
            topic_alter_start(kafka_shard(r), &s->alters[i].alter);
}

int16_t kafka_alter_result(struct kafka_request *r, const struct kafka_alter *alter,
                           struct slice *out_message)
{
    int err = alter->err != 0 ? alter->err : alter->alter.err;
    const char *why = alter->err != 0 ? alter->why : alter->alter.why;
    *out_message = SLICE_NULL;
    if (err != 0)
        *out_message = kafka_text(r, why[0] != '\0' ? why : err_text(err));
    return err_kafka(err);
}

// ---- AlterConfigs

static void alter_configs_answer(struct kafka_request *r)
{
    const struct kafka_alters *s = r->state;
    struct kafka_alter_configs_response answer;
    wire_default(&kafka_alter_configs_response_type, &answer);
    answer.responses =
        kafka_alloc_default(r, &kafka_alter_configs_response_resource_type, s->count);
    if (answer.responses == NULL)
        return;
    answer.responses_count = s->count;
    for (uint32_t i = 0; i < s->count; i++) {
        struct kafka_alter_configs_response_resource *out = &answer.responses[i];
        out->resource_type = s->alters[i].resource_type;
        out->resource_name = s->alters[i].resource_name;
        out->error_code = kafka_alter_result(r, &s->alters[i], &out->error_message);
    }
    kafka_answer(r, &answer);
}

void kafka_alter_configs_handle(struct kafka_request *r)
{
    const struct kafka_alter_configs_request *q = r->message;
    struct kafka_alters *s = kafka_alters_new(r, q->resources_count, alter_configs_answer);
    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct kafka_alter_configs_request_resource *t = &q->resources[i];
        struct config_change *changes = kafka_alloc(r, t->configs_count, sizeof *changes);
        if (changes == NULL)
            return;
        for (uint32_t j = 0; j < t->configs_count; j++)
            changes[j] = (struct config_change){t->configs[j].value.data != NULL ? CONFIG_SET
                                                                                 : CONFIG_DELETE,
                                                t->configs[j].name, t->configs[j].value};
        kafka_alter_fill(r, &s->alters[i], t->resource_type, t->resource_name, changes,
                         t->configs_count);
        s->alters[i].alter.replace_all = true;
        s->alters[i].alter.validate_only = q->validate_only;
    }
    kafka_alters_start(r);
}
