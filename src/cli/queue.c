// SPDX-License-Identifier: Apache-2.0
//
// `weir queue`: what queues there are (asked over the Kafka door, like everything that is about the
// server), and what is done with their messages (over the AMQP door, like any AMQP client:
// queue_messages.c).
#include "cli/queue.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/err.h"
#include "cli/cli.h"
#include "cli/session.h"
#include "cli/table.h"
#include "wire/gen/kafka_weir_queues.h"

#define SLICE_ARG(s) (int)(s).len, (const char *)(s).data

static const char *vhost_of(const struct cli_arguments *args)
{
    const char *vhost = cli_option(args, "--vhost");
    return vhost != NULL ? vhost : "/";
}

static int queues_ask(struct cli_session *session, const char *vhost, const char *name,
                      const struct kafka_weir_queues_response **out)
{
    struct kafka_weir_queues_request q;
    const void *response = NULL;
    wire_default(&kafka_weir_queues_request_type, &q);
    if (vhost != NULL)
        q.vhost = slice_cstr(vhost);
    if (name != NULL)
        q.name = slice_cstr(name);
    int code = cli_session_call(session, KAFKA_API_WEIR_QUEUES, 0, &q, &response);
    if (code == 0)
        *out = response;
    return code;
}

// ---- list

static const char *kind_of(const struct kafka_weir_queues_response_queue *q)
{
    if (q->exclusive)
        return "exclusive";
    if (!q->durable)
        return "transient";
    return q->levels > 1 ? "priority" : "durable";
}

static int list(struct cli_session *session, const struct cli_arguments *args)
{
    static const char *const columns[] = {"QUEUE",    "VHOST",      "KIND",  ">READY",
                                          ">UNACKED", ">CONSUMERS", ">SIZE", NULL};
    const struct kafka_weir_queues_response *a = NULL;
    int code = queues_ask(session, cli_option(args, "--vhost"), NULL, &a);
    if (code != 0)
        return code;
    struct table t;
    table_init(&t, columns);
    for (uint32_t i = 0; i < a->queues_count; i++) {
        const struct kafka_weir_queues_response_queue *q = &a->queues[i];
        table_cell(&t, "%.*s", SLICE_ARG(q->name));
        table_cell(&t, "%.*s", SLICE_ARG(q->vhost));
        table_cell(&t, "%s", kind_of(q));
        table_cell(&t, "%lld", (long long)q->ready);
        table_cell(&t, "%lld", (long long)q->leased);
        table_cell(&t, "%lld", (long long)q->consumers);
        table_bytes(&t, q->size_bytes);
    }
    table_print(&t);
    return 0;
}

// ---- describe

static void row(struct table *t, const char *name, long long value)
{
    table_cell(t, "%s", name);
    table_cell(t, "%lld", value);
}

static void row_set(struct table *t, const char *name, long long value)
{
    if (value >= 0)
        row(t, name, value);
}

static void row_text(struct table *t, const char *name, struct slice value)
{
    if (value.data == NULL)
        return;
    table_cell(t, "%s", name);
    table_cell(t, "%.*s", SLICE_ARG(value));
}

static void queue_show(const struct kafka_weir_queues_response_queue *q)
{
    static const char *const columns[] = {"FACT", "VALUE", NULL};
    struct table t;
    table_init(&t, columns);
    row_text(&t, "queue", q->name);
    row_text(&t, "vhost", q->vhost);
    row_text(&t, "kind", slice_cstr(kind_of(q)));
    if (q->topic.len > 0)
        row_text(&t, "topic", q->topic);
    row_text(&t, "auto-delete", slice_cstr(q->auto_delete ? "yes" : "no"));
    if (q->levels > 1)
        row(&t, "x-max-priority", q->levels - 1);
    row_set(&t, "x-message-ttl, ms", q->message_ttl_ms);
    row_set(&t, "x-expires, ms", q->expires_ms);
    if (q->delivery_limit > 0)
        row(&t, "x-delivery-limit", q->delivery_limit - 1); // redeliveries
    if (q->single_active)
        row_text(&t, "x-single-active-consumer", slice_cstr("yes"));
    row_text(&t, "x-dead-letter-exchange", q->dead_exchange);
    row_text(&t, "x-dead-letter-routing-key", q->dead_key);
    row(&t, "ready", q->ready);
    row(&t, "unacknowledged", q->leased);
    row(&t, "consumers", q->consumers);
    row(&t, "delivered", q->delivered);
    row(&t, "redelivered", q->redelivered);
    row(&t, "settled", q->settled);
    row(&t, "requeued", q->released);
    row(&t, "rejected", q->rejected);
    row(&t, "expired", q->expired);
    row(&t, "dead-lettered", q->dead_lettered);
    table_cell(&t, "size");
    table_bytes(&t, q->size_bytes);
    table_print(&t);
}

static void bindings_show(const struct kafka_weir_queues_response *a)
{
    static const char *const columns[] = {"EXCHANGE", "ROUTING KEY", NULL};
    struct table t;
    table_init(&t, columns);
    for (uint32_t i = 0; i < a->bindings_count; i++) {
        table_cell(&t, "%.*s", SLICE_ARG(a->bindings[i].source));
        table_cell(&t, "%.*s", SLICE_ARG(a->bindings[i].key));
    }
    (void)printf("\n");
    table_print(&t);
}

static int describe(struct cli_session *session, const struct cli_arguments *args)
{
    const struct kafka_weir_queues_response *a = NULL;
    int code = queues_ask(session, vhost_of(args), args->words[1], &a);
    if (code != 0)
        return code;
    if (a->queues_count == 0) {
        cli_error(
            "there is no queue '%s' in virtual host '%s'; 'weir queue list' shows what there is",
            args->words[1], vhost_of(args));
        return EX_NOINPUT;
    }
    queue_show(&a->queues[0]);
    if (a->bindings_count > 0)
        bindings_show(a);
    return 0;
}

// ---- the command

static int over_kafka(const struct cli_arguments *args,
                      int (*run)(struct cli_session *session, const struct cli_arguments *args))
{
    struct cli_session *session = NULL;
    int code = cli_session_open(args->kafka, &session);
    if (code == 0)
        code = run(session, args);
    cli_session_close(session);
    return code;
}

static int queue(int argc, char **argv)
{
    static const char *const known[] = {"--vhost", "--amqp",   "--count",    "--file",
                                        "--take",  "--header", "--exchange", "--routing-key",
                                        "--to",    NULL};
    struct cli_arguments args;
    int code = cli_arguments_read(&cli_queue, argc, argv, known, &args);
    if (code != 0)
        return code;
    const char *verb = args.words_count > 0 ? args.words[0] : "";
    if (strcmp(verb, "list") == 0 && args.words_count == 1)
        return over_kafka(&args, list);
    if (strcmp(verb, "describe") == 0 && args.words_count == 2)
        return over_kafka(&args, describe);
    return queue_messages(verb, &args);
}

const struct cli_command cli_queue = {
    .name = "queue",
    .summary = "queues and their messages",
    .help =
        "usage: weir queue list [--vhost VHOST]\n"
        "       weir queue describe QUEUE\n"
        "       weir queue get QUEUE [--count N] [--take yes]\n"
        "       weir queue publish QUEUE [TEXT | --file FILE] [--count N] [--header NAME=VALUE "
        "...]\n"
        "                          [--exchange NAME] [--routing-key KEY]\n"
        "       weir queue purge QUEUE\n"
        "       weir queue delete QUEUE\n"
        "       weir queue redrive QUEUE [--count N] [--to QUEUE]\n"
        "\n"
        "get shows messages and puts them back, unless --take yes. publish reads standard input "
        "when "
        "there is neither\n"
        "TEXT nor --file; it is done when the message is on disk. redrive returns dead letters to "
        "the "
        "queue they died in.\n"
        "\n"
        "All take --vhost VHOST (default /). list and describe take --kafka HOST:PORT (default: "
        "WEIR_KAFKA, else\n"
        "127.0.0.1:9092), the others --amqp HOST:PORT (default: WEIR_AMQP, else 127.0.0.1:5672).\n",
    .run = queue,
};
