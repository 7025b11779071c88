// SPDX-License-Identifier: Apache-2.0
//
// `weir status`: the counters of a running server, all or those whose name begins with a word.
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/session.h"
#include "cli/table.h"
#include "wire/gen/kafka_weir_status.h"

static void value_cell(struct table *t, const struct kafka_weir_status_response_metric *m)
{
    if (slice_eq_cstr(m->unit, "bytes"))
        table_bytes(t, m->value);
    else
        table_cell(t, "%lld", (long long)m->value);
}

static int status(int argc, char **argv)
{
    static const char *const columns[] = {"METRIC", ">VALUE", "UNIT", NULL};
    struct cli_arguments args;
    struct cli_session *session = NULL;
    const void *response = NULL;
    struct kafka_weir_status_request q;
    int code = cli_arguments_read(&cli_status, argc, argv, NULL, &args);
    if (code != 0)
        return code;
    if (args.words_count > 1)
        return cli_usage(&cli_status, "one word at most: the beginning of the names to show");
    code = cli_session_open(args.kafka, &session);
    if (code != 0)
        return code;
    wire_default(&kafka_weir_status_request_type, &q);
    q.prefix = slice_cstr(args.words_count > 0 ? args.words[0] : "");
    code = cli_session_call(session, KAFKA_API_WEIR_STATUS, 0, &q, &response);
    if (code == 0) {
        const struct kafka_weir_status_response *a = response;
        struct table t;
        table_init(&t, columns);
        for (uint32_t i = 0; i < a->metrics_count; i++) {
            const struct kafka_weir_status_response_metric *m = &a->metrics[i];
            table_cell(&t, "%.*s", (int)m->name.len, (const char *)m->name.data);
            value_cell(&t, m);
            table_cell(&t, "%.*s", (int)m->unit.len, (const char *)m->unit.data);
        }
        table_print(&t);
    }
    cli_session_close(session);
    return code;
}

const struct cli_command cli_status = {
    .name = "status",
    .summary = "counters of a running server",
    .help = "usage: weir status [--kafka HOST:PORT] [PREFIX]\n"
            "\n"
            "Shows the server's counters: records and bytes, syncs, latencies per service class, "
            "checkpoints, memory.\n"
            "PREFIX shows only those whose name begins with it: weir status journal\n",
    .run = status,
};
