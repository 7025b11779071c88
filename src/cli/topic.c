// SPDX-License-Identifier: Apache-2.0
//
// `weir topic list|create|describe|delete`, over the same requests as any other client's.
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/session.h"
#include "cli/table.h"
#include "wire/gen/kafka_create_topics.h"
#include "wire/gen/kafka_delete_topics.h"
#include "wire/gen/kafka_describe_configs.h"
#include "wire/gen/kafka_describe_log_dirs.h"
#include "wire/gen/kafka_list_offsets.h"
#include "wire/gen/kafka_metadata.h"

#define NEWEST         99
#define WAIT_MS        30000
#define FROM_TOPIC     1 // DescribeConfigs: DYNAMIC_TOPIC_CONFIG
#define RESOURCE_TOPIC 2
#define EARLIEST       (-2)
#define LATEST         (-1)

#define SLICE_ARG(s) (int)(s).len, (const char *)(s).data

// The server's own words where it has some, the table's otherwise.
static int refused(int16_t code, struct slice why)
{
    int err = err_from_kafka(code);
    if (why.len > 0)
        cli_error("%.*s", SLICE_ARG(why));
    else
        cli_error("%s", err_text(err));
    return EX_DATAERR;
}

// ---- list

static int list(struct cli_session *session, const struct cli_arguments *args)
{
    static const char *const columns[] = {"TOPIC", ">PARTITIONS", "ID", NULL};
    struct kafka_metadata_request q;
    const void *response = NULL;
    (void)args;
    wire_default(&kafka_metadata_request_type, &q);
    q.topics_null = true; // all
    int code = cli_session_call(session, KAFKA_API_METADATA, NEWEST, &q, &response);
    if (code != 0)
        return code;
    const struct kafka_metadata_response *a = response;
    struct table t;
    table_init(&t, columns);
    for (uint32_t i = 0; i < a->topics_count; i++) {
        char id[UUID_TEXT_SIZE];
        uuid_to_text(&a->topics[i].topic_id, id);
        table_cell(&t, "%.*s", SLICE_ARG(a->topics[i].name));
        table_cell(&t, "%u", a->topics[i].partitions_count);
        table_cell(&t, "%s", id);
    }
    table_print(&t);
    return 0;
}

// ---- create

static int create(struct cli_session *session, const struct cli_arguments *args)
{
    struct kafka_create_topics_request_config configs[CLI_OPTIONS_MAX];
    struct kafka_create_topics_request_topic topic;
    struct kafka_create_topics_request q;
    const void *response = NULL;
    int64_t partitions = -1;
    const char *text = cli_option(args, "--partitions");
    if (text != NULL && cli_number(&cli_topic, "--partitions", text, 1, 100000, &partitions) != 0)
        return EX_USAGE;
    wire_default(&kafka_create_topics_request_type, &q);
    wire_default(&kafka_create_topics_request_topic_type, &topic);
    topic.name = slice_cstr(args->words[1]);
    topic.num_partitions = (int32_t)partitions;
    topic.replication_factor = -1;
    topic.configs = configs;
    for (uint32_t i = 0; i < args->options_count; i++) {
        const char *eq = strchr(args->options[i].value, '=');
        if (strcmp(args->options[i].name, "--config") != 0)
            continue;
        if (eq == NULL)
            return cli_usage(&cli_topic, "--config takes name=value, not '%s'",
                             args->options[i].value);
        configs[topic.configs_count].name =
            slice_of(args->options[i].value, (size_t)(eq - args->options[i].value));
        configs[topic.configs_count++].value = slice_cstr(eq + 1);
    }
    q.topics = &topic;
    q.topics_count = 1;
    q.timeout_ms = WAIT_MS;
    int code = cli_session_call(session, KAFKA_API_CREATE_TOPICS, NEWEST, &q, &response);
    if (code != 0)
        return code;
    const struct kafka_create_topics_response *a = response;
    if (a->topics_count != 1 || a->topics[0].error_code != 0)
        return refused(a->topics_count == 1 ? a->topics[0].error_code : -1,
                       a->topics_count == 1 ? a->topics[0].error_message : SLICE_NULL);
    return 0;
}

// ---- delete

static int remove_topic(struct cli_session *session, const struct cli_arguments *args)
{
    struct kafka_delete_topics_request_topic topic;
    struct kafka_delete_topics_request q;
    const void *response = NULL;
    wire_default(&kafka_delete_topics_request_type, &q);
    wire_default(&kafka_delete_topics_request_topic_type, &topic);
    topic.name = slice_cstr(args->words[1]);
    q.topics = &topic;
    q.topics_count = 1;
    q.timeout_ms = WAIT_MS;
    int code = cli_session_call(session, KAFKA_API_DELETE_TOPICS, NEWEST, &q, &response);
    if (code != 0)
        return code;
    const struct kafka_delete_topics_response *a = response;
    if (a->responses_count != 1 || a->responses[0].error_code != 0)
        return refused(a->responses_count == 1 ? a->responses[0].error_code : -1,
                       a->responses_count == 1 ? a->responses[0].error_message : SLICE_NULL);
    return 0;
}

// ---- describe: partitions with their marks, then what was set

struct partition_facts {
    int64_t start, end, size;
    int32_t epoch;
};

static int partitions_ask(struct cli_session *session, struct slice name,
                          struct partition_facts **out, uint32_t *out_count)
{
    struct kafka_metadata_request_topic topic;
    struct kafka_metadata_request q;
    const void *response = NULL;
    wire_default(&kafka_metadata_request_type, &q);
    wire_default(&kafka_metadata_request_topic_type, &topic);
    topic.name = name;
    q.topics = &topic;
    q.topics_count = 1;
    q.allow_auto_topic_creation = false;
    int code = cli_session_call(session, KAFKA_API_METADATA, NEWEST, &q, &response);
    if (code != 0)
        return code;
    const struct kafka_metadata_response *a = response;
    if (a->topics_count != 1 || a->topics[0].error_code != 0) {
        cli_error("there is no topic '%.*s'; 'weir topic list' shows what there is",
                  SLICE_ARG(name));
        return EX_NOINPUT;
    }
    uint32_t count = a->topics[0].partitions_count;
    struct partition_facts *facts = mem_zalloc((count + 1) * sizeof *facts);
    for (uint32_t i = 0; i < count; i++) {
        const struct kafka_metadata_response_partition *p = &a->topics[0].partitions[i];
        if (p->partition_index >= 0 && (uint32_t)p->partition_index < count)
            facts[p->partition_index].epoch = p->leader_epoch;
    }
    *out = facts;
    *out_count = count;
    return 0;
}

static int offsets_ask(struct cli_session *session, struct slice name, int64_t which,
                       struct partition_facts *facts, uint32_t count)
{
    struct kafka_list_offsets_request_topic topic;
    struct kafka_list_offsets_request q;
    const void *response = NULL;
    wire_default(&kafka_list_offsets_request_type, &q);
    wire_default(&kafka_list_offsets_request_topic_type, &topic);
    topic.name = name;
    topic.partitions = mem_zalloc((count + 1) * sizeof topic.partitions[0]);
    topic.partitions_count = count;
    for (uint32_t i = 0; i < count; i++) {
        wire_default(&kafka_list_offsets_request_partition_type, &topic.partitions[i]);
        topic.partitions[i].partition_index = (int32_t)i;
        topic.partitions[i].timestamp = which;
    }
    q.replica_id = -1;
    q.topics = &topic;
    q.topics_count = 1;
    int code = cli_session_call(session, KAFKA_API_LIST_OFFSETS, NEWEST, &q, &response);
    mem_free(topic.partitions);
    if (code != 0)
        return code;
    const struct kafka_list_offsets_response *a = response;
    for (uint32_t i = 0; a->topics_count == 1 && i < a->topics[0].partitions_count; i++) {
        const struct kafka_list_offsets_response_partition *p = &a->topics[0].partitions[i];
        if (p->partition_index < 0 || (uint32_t)p->partition_index >= count)
            continue;
        if (which == LATEST)
            facts[p->partition_index].end = p->offset;
        else
            facts[p->partition_index].start = p->offset;
    }
    return 0;
}

static int sizes_ask(struct cli_session *session, struct slice name, struct partition_facts *facts,
                     uint32_t count)
{
    struct kafka_describe_log_dirs_request_topic topic;
    struct kafka_describe_log_dirs_request q;
    const void *response = NULL;
    wire_default(&kafka_describe_log_dirs_request_type, &q);
    wire_default(&kafka_describe_log_dirs_request_topic_type, &topic);
    topic.topic = name;
    topic.partitions = mem_zalloc((count + 1) * sizeof topic.partitions[0]);
    topic.partitions_count = count;
    for (uint32_t i = 0; i < count; i++)
        topic.partitions[i] = (int32_t)i;
    q.topics = &topic;
    q.topics_count = 1;
    int code = cli_session_call(session, KAFKA_API_DESCRIBE_LOG_DIRS, NEWEST, &q, &response);
    mem_free(topic.partitions);
    if (code != 0)
        return code;
    const struct kafka_describe_log_dirs_response *a = response;
    if (a->results_count != 1 || a->results[0].topics_count != 1)
        return 0;
    const struct kafka_describe_log_dirs_response_topic *sizes = &a->results[0].topics[0];
    for (uint32_t i = 0; i < sizes->partitions_count; i++) {
        int32_t index = sizes->partitions[i].partition_index;
        if (index >= 0 && (uint32_t)index < count)
            facts[index].size = sizes->partitions[i].partition_size;
    }
    return 0;
}

static void partitions_show(const struct partition_facts *facts, uint32_t count)
{
    static const char *const columns[] = {">PARTITION", ">START", ">END", ">SIZE", ">EPOCH", NULL};
    struct table t;
    table_init(&t, columns);
    for (uint32_t i = 0; i < count; i++) {
        table_cell(&t, "%u", i);
        table_cell(&t, "%lld", (long long)facts[i].start);
        table_cell(&t, "%lld", (long long)facts[i].end);
        table_bytes(&t, facts[i].size);
        table_cell(&t, "%d", facts[i].epoch);
    }
    table_print(&t);
}

static int configs_show(struct cli_session *session, struct slice name)
{
    struct kafka_describe_configs_request_resource resource;
    struct kafka_describe_configs_request q;
    const void *response = NULL;
    bool relaxed = false;
    wire_default(&kafka_describe_configs_request_type, &q);
    wire_default(&kafka_describe_configs_request_resource_type, &resource);
    resource.resource_type = RESOURCE_TOPIC;
    resource.resource_name = name;
    resource.configuration_keys_null = true; // all
    q.resources = &resource;
    q.resources_count = 1;
    int code = cli_session_call(session, KAFKA_API_DESCRIBE_CONFIGS, NEWEST, &q, &response);
    if (code != 0)
        return code;
    const struct kafka_describe_configs_response *a = response;
    for (uint32_t i = 0; a->results_count == 1 && i < a->results[0].configs_count; i++) {
        const struct kafka_describe_configs_response_config *c = &a->results[0].configs[i];
        relaxed |=
            (slice_eq_cstr(c->name, "flush.messages") || slice_eq_cstr(c->name, "flush.ms")) &&
            !slice_eq_cstr(c->value, "9223372036854775807");
        if (c->config_source == FROM_TOPIC)
            (void)printf("set\t%.*s=%.*s\n", SLICE_ARG(c->name), SLICE_ARG(c->value));
    }
    (void)printf("durability\t%s\n",
                 relaxed ? "relaxed by flush.messages or flush.ms: acknowledged when written, "
                           "survives kill -9 only"
                         : "acknowledged when durable, survives power loss");
    return 0;
}

static int describe(struct cli_session *session, const struct cli_arguments *args)
{
    struct slice name = slice_cstr(args->words[1]);
    struct partition_facts *facts = NULL;
    uint32_t count = 0;
    int code = partitions_ask(session, name, &facts, &count);
    if (code == 0)
        code = offsets_ask(session, name, EARLIEST, facts, count);
    if (code == 0)
        code = offsets_ask(session, name, LATEST, facts, count);
    if (code == 0)
        code = sizes_ask(session, name, facts, count);
    if (code == 0)
        partitions_show(facts, count);
    mem_free(facts);
    return code == 0 ? configs_show(session, name) : code;
}

// ---- the command

static const struct {
    const char *name;
    uint32_t words;
    int (*run)(struct cli_session *session, const struct cli_arguments *args);
} verbs[] = {{"list", 1, list},
             {"create", 2, create},
             {"describe", 2, describe},
             {"delete", 2, remove_topic}};

static int topic(int argc, char **argv)
{
    static const char *const known[] = {"--partitions", "--config", NULL};
    struct cli_arguments args;
    struct cli_session *session = NULL;
    int code = cli_arguments_read(&cli_topic, argc, argv, known, &args);
    if (code != 0)
        return code;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (args.words_count == 0 || strcmp(args.words[0], verbs[i].name) != 0)
            continue;
        if (args.words_count != verbs[i].words)
            return cli_usage(&cli_topic, "'%s' takes %s", verbs[i].name,
                             verbs[i].words == 1 ? "no name" : "one topic");
        code = cli_session_open(args.kafka, &session);
        if (code == 0)
            code = verbs[i].run(session, &args);
        cli_session_close(session);
        return code;
    }
    return cli_usage(&cli_topic, "expected list, create, describe or delete");
}

const struct cli_command cli_topic = {
    .name = "topic",
    .summary = "list, create, describe, delete topics",
    .help = "usage: weir topic list\n"
            "       weir topic create NAME [--partitions N] [--config NAME=VALUE ...]\n"
            "       weir topic describe NAME\n"
            "       weir topic delete NAME\n"
            "\n"
            "All take --kafka HOST:PORT (default: WEIR_KAFKA, else 127.0.0.1:9092).\n",
    .run = topic,
};
