// SPDX-License-Identifier: Apache-2.0
//
// `weir group list|describe`: consumer groups, their members, and how far each is behind.
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/session.h"
#include "cli/table.h"
#include "wire/gen/kafka_describe_groups.h"
#include "wire/gen/kafka_list_groups.h"
#include "wire/gen/kafka_list_offsets.h"
#include "wire/gen/kafka_offset_fetch.h"

#define NEWEST       99
#define NAMES_NEWEST 9 // OffsetFetch names topics by UUID from version 10 on
#define LATEST       (-1)
#define SLICE_ARG(s) (int)(s).len, (const char *)(s).data

static int list(struct cli_session *session, const struct cli_arguments *args)
{
    static const char *const columns[] = {"GROUP", "STATE", "TYPE", "PROTOCOL", NULL};
    struct kafka_list_groups_request q;
    const void *response = NULL;
    (void)args;
    wire_default(&kafka_list_groups_request_type, &q);
    int code = cli_session_call(session, KAFKA_API_LIST_GROUPS, NEWEST, &q, &response);
    if (code != 0)
        return code;
    const struct kafka_list_groups_response *a = response;
    struct table t;
    table_init(&t, columns);
    for (uint32_t i = 0; i < a->groups_count; i++) {
        table_cell(&t, "%.*s", SLICE_ARG(a->groups[i].group_id));
        table_cell(&t, "%.*s", SLICE_ARG(a->groups[i].group_state));
        table_cell(&t, "%.*s", SLICE_ARG(a->groups[i].group_type));
        table_cell(&t, "%.*s", SLICE_ARG(a->groups[i].protocol_type));
    }
    table_print(&t);
    return 0;
}

static int members_show(struct cli_session *session, struct slice group)
{
    static const char *const columns[] = {"MEMBER", "INSTANCE", "CLIENT", "HOST", NULL};
    struct kafka_describe_groups_request q;
    const void *response = NULL;
    wire_default(&kafka_describe_groups_request_type, &q);
    q.groups = &group;
    q.groups_count = 1;
    int code = cli_session_call(session, KAFKA_API_DESCRIBE_GROUPS, NEWEST, &q, &response);
    if (code != 0)
        return code;
    const struct kafka_describe_groups_response *a = response;
    if (a->groups_count != 1 || a->groups[0].error_code != 0) {
        cli_error("there is no group '%.*s'; 'weir group list' shows what there is",
                  SLICE_ARG(group));
        return EX_NOINPUT;
    }
    const struct kafka_describe_groups_response_group *g = &a->groups[0];
    struct table t;
    (void)printf("state\t%.*s\nassignor\t%.*s\n", SLICE_ARG(g->group_state),
                 SLICE_ARG(g->protocol_data));
    table_init(&t, columns);
    for (uint32_t i = 0; i < g->members_count; i++) {
        const struct kafka_describe_groups_response_member *m = &g->members[i];
        table_cell(&t, "%.*s", SLICE_ARG(m->member_id));
        table_cell(&t, "%.*s", SLICE_ARG(m->group_instance_id));
        table_cell(&t, "%.*s", SLICE_ARG(m->client_id));
        table_cell(&t, "%.*s", SLICE_ARG(m->client_host));
    }
    table_print(&t);
    return 0;
}

struct committed {
    char *topic;
    int32_t partition;
    int64_t offset, end;
};

static int commits_ask(struct cli_session *session, struct slice group, struct committed **out,
                       uint32_t *out_count)
{
    struct kafka_offset_fetch_request_group named;
    struct kafka_offset_fetch_request q;
    const void *response = NULL;
    wire_default(&kafka_offset_fetch_request_type, &q);
    wire_default(&kafka_offset_fetch_request_group_type, &named);
    named.group_id = group;
    named.topics_null = true; // all
    q.groups = &named;
    q.groups_count = 1;
    int code = cli_session_call(session, KAFKA_API_OFFSET_FETCH, NAMES_NEWEST, &q, &response);
    if (code != 0)
        return code;
    const struct kafka_offset_fetch_response *a = response;
    struct committed *all = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; a->groups_count == 1 && i < a->groups[0].topics_count; i++) {
        const struct kafka_offset_fetch_response_group_topic *t = &a->groups[0].topics[i];
        all = mem_realloc(all, (count + t->partitions_count + 1) * sizeof *all);
        for (uint32_t p = 0; p < t->partitions_count; p++)
            all[count++] = (struct committed){
                .topic = mem_strndup((const char *)t->name.data, t->name.len),
                .partition = t->partitions[p].partition_index,
                .offset = t->partitions[p].committed_offset,
                .end = -1,
            };
    }
    *out = all;
    *out_count = count;
    return 0;
}

static int end_ask(struct cli_session *session, struct committed *c)
{
    struct kafka_list_offsets_request_partition partition;
    struct kafka_list_offsets_request_topic topic;
    struct kafka_list_offsets_request q;
    const void *response = NULL;
    wire_default(&kafka_list_offsets_request_type, &q);
    wire_default(&kafka_list_offsets_request_topic_type, &topic);
    wire_default(&kafka_list_offsets_request_partition_type, &partition);
    partition.partition_index = c->partition;
    partition.timestamp = LATEST;
    topic.name = slice_cstr(c->topic);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    q.replica_id = -1;
    q.topics = &topic;
    q.topics_count = 1;
    int code = cli_session_call(session, KAFKA_API_LIST_OFFSETS, NEWEST, &q, &response);
    if (code != 0)
        return code;
    const struct kafka_list_offsets_response *a = response;
    if (a->topics_count == 1 && a->topics[0].partitions_count == 1 &&
        a->topics[0].partitions[0].error_code == 0)
        c->end = a->topics[0].partitions[0].offset;
    return 0;
}

static int offsets_show(struct cli_session *session, struct slice group)
{
    static const char *const columns[] = {"TOPIC", ">PARTITION", ">COMMITTED",
                                          ">END",  ">LAG",       NULL};
    struct committed *all = NULL;
    uint32_t count = 0;
    struct table t;
    int code = commits_ask(session, group, &all, &count);
    for (uint32_t i = 0; code == 0 && i < count; i++)
        code = end_ask(session, &all[i]);
    table_init(&t, columns);
    for (uint32_t i = 0; i < count; i++) {
        table_cell(&t, "%s", all[i].topic);
        table_cell(&t, "%d", all[i].partition);
        table_cell(&t, "%lld", (long long)all[i].offset);
        table_cell(&t, "%lld", (long long)all[i].end);
        table_cell(&t, "%lld", (long long)(all[i].end >= 0 ? all[i].end - all[i].offset : -1));
        mem_free(all[i].topic);
    }
    table_print(&t);
    mem_free(all);
    return code;
}

static int group(int argc, char **argv)
{
    struct cli_arguments args;
    struct cli_session *session = NULL;
    int code = cli_arguments_read(&cli_group, argc, argv, NULL, &args);
    if (code != 0)
        return code;
    bool listing = args.words_count == 1 && strcmp(args.words[0], "list") == 0;
    bool describing = args.words_count == 2 && strcmp(args.words[0], "describe") == 0;
    if (!listing && !describing)
        return cli_usage(&cli_group, "expected 'list', or 'describe' and a group");
    code = cli_session_open(args.kafka, &session);
    if (code != 0)
        return code;
    if (listing)
        code = list(session, &args);
    else
        code = members_show(session, slice_cstr(args.words[1]));
    if (code == 0 && describing)
        code = offsets_show(session, slice_cstr(args.words[1]));
    cli_session_close(session);
    return code;
}

const struct cli_command cli_group = {
    .name = "group",
    .summary = "list and describe consumer groups",
    .help = "usage: weir group list\n"
            "       weir group describe NAME\n"
            "\n"
            "Both take --kafka HOST:PORT (default: WEIR_KAFKA, else 127.0.0.1:9092).\n",
    .run = group,
};
