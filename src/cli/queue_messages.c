// SPDX-License-Identifier: Apache-2.0
//
// `weir queue get|publish|purge|delete|redrive`: messages, over the AMQP door.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "amqp/properties.h"
#include "amqp/table.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/queue.h"
#include "cli/queue_session.h"
#include "cli/table.h"

#define BODY_MAX   (16U << 20)
#define COUNT_MAX  1000000000
#define PERSISTENT 2
#define DEATHS     "x-death" // and x-first-death-*, x-last-death-*

// ---- get

// Bytes as one cell: what would break a line or a terminal is escaped as in C.
static char *shown(struct slice bytes)
{
    struct buf out;
    size_t len;
    buf_init(&out, bytes.len * 4 + 1);
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.data[i];
        if (c == '\\' || c == '\n' || c == '\t' || c == '\r')
            buf_printf(&out, "\\%c", c == '\\' ? '\\' : c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        else if (c < 0x20 || c == 0x7f)
            buf_printf(&out, "\\x%02x", c);
        else
            buf_put_u8(&out, c);
    }
    buf_put_u8(&out, 0);
    return (char *)buf_detach(&out, &len);
}

static void message_row(struct table *t, const struct queue_answer *m)
{
    const struct slice cells[] = {buf_slice(&m->exchange), buf_slice(&m->key), buf_slice(&m->body)};
    table_cell(t, "%s", m->redelivered ? "yes" : "no");
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++) {
        char *text = shown(cells[i]);
        table_cell(t, "%s", text);
        mem_free(text);
    }
}

// Behind whose answer what was acknowledged has been read.
static int settled(struct queue_session *s, const struct amqp_basic_get *ask)
{
    const struct amqp_queue_declare passive = {.queue = ask->queue, .passive = true};
    const struct queue_answer *a = NULL;
    return queue_session_call(s, AMQP_QUEUE_DECLARE, &passive, &a);
}

// Looks at messages and puts them back, unless they are taken: once they are written, since nobody
// else has them then. What is not acknowledged goes back when the connection ends.
static int get(struct queue_session *s, const struct cli_arguments *args, int64_t count)
{
    static const char *const columns[] = {"REDELIVERED", "EXCHANGE", "ROUTING KEY", "BODY", NULL};
    const char *take = cli_option(args, "--take");
    const struct amqp_basic_get ask = {.queue = slice_cstr(args->words[1])};
    struct amqp_basic_ack ack = {.multiple = true};
    const struct queue_answer *m = NULL;
    struct table t;
    int code = 0;
    table_init(&t, columns);
    for (int64_t i = 0; code == 0 && i < count; i++) {
        code = queue_session_call(s, AMQP_BASIC_GET, &ask, &m);
        if (code == 0 && m->method != AMQP_BASIC_GET_OK)
            break;
        if (code == 0) {
            message_row(&t, m);
            ack.delivery_tag = m->tag;
        }
    }
    table_print(&t);
    code = cli_written(code);
    if (code != 0 || ack.delivery_tag == 0 || take == NULL || strcmp(take, "yes") != 0)
        return code;
    code = queue_session_send(s, AMQP_BASIC_ACK, &ack);
    return code == 0 ? settled(s, &ask) : code;
}

// ---- publish

static int header_put(struct buf *headers, const char *pair)
{
    const char *eq = strchr(pair, '=');
    if (eq == NULL || eq == pair || eq - pair > 255) {
        cli_error("--header takes NAME=VALUE, not '%s'", pair);
        return EX_USAGE;
    }
    amqp_put_text(headers, slice_of(pair, (size_t)(eq - pair)), slice_cstr(eq + 1));
    return 0;
}

static int body_read(const struct cli_arguments *args, struct buf *body)
{
    const char *path = cli_option(args, "--file");
    char chunk[8192];
    size_t n;
    if (args->words_count > 2) {
        buf_put_slice(body, slice_cstr(args->words[2]));
        return 0;
    }
    FILE *in = path != NULL ? fopen(path, "re") : stdin;
    if (in == NULL) {
        cli_error("%s cannot be read", path);
        return EX_NOINPUT;
    }
    while ((n = fread(chunk, 1, sizeof chunk, in)) > 0)
        buf_put(body, chunk, n);
    bool failed = ferror(in) != 0;
    if (in != stdin)
        (void)fclose(in);
    if (failed) {
        cli_error("%s cannot be read", path != NULL ? path : "standard input");
        return EX_IOERR;
    }
    if (body->err != 0) {
        cli_error("the body is larger than 16 MiB");
        return EX_DATAERR;
    }
    return 0;
}

static int publish_all(struct queue_session *s, const struct cli_arguments *args, int64_t count,
                       struct slice properties, struct slice body)
{
    const char *exchange = cli_option(args, "--exchange");
    const char *key = cli_option(args, "--routing-key");
    struct slice to = slice_cstr(exchange != NULL ? exchange : "");
    struct slice by = slice_cstr(key != NULL ? key : args->words[1]);
    int code = 0;
    bool routed = true;
    for (int64_t i = 0; code == 0 && routed && i < count; i++)
        code = queue_session_publish(s, to, by, properties, body, &routed);
    if (code != 0 || routed)
        return code;
    cli_error("no queue takes it: there is none of that name, or none is bound with '%s'; 'weir "
              "queue list' shows what there is",
              key != NULL ? key : args->words[1]);
    return EX_NOINPUT;
}

static int publish(struct queue_session *s, const struct cli_arguments *args, int64_t count)
{
    struct amqp_properties p = {.flags = AMQP_DELIVERY_MODE, .delivery_mode = PERSISTENT};
    struct buf headers;
    struct buf properties;
    struct buf body;
    int code = 0;
    buf_init(&headers, 65536);
    buf_init(&properties, 131072);
    buf_init(&body, BODY_MAX);
    for (uint32_t i = 0; code == 0 && i < args->options_count; i++)
        if (strcmp(args->options[i].name, "--header") == 0)
            code = header_put(&headers, args->options[i].value);
    if (code == 0 && headers.err != 0) {
        cli_error("the headers are larger than 64 KiB");
        code = EX_DATAERR;
    }
    if (headers.len > 0) {
        p.flags |= AMQP_HEADERS;
        p.headers = buf_slice(&headers);
    }
    amqp_properties_write(&p, &properties);
    if (code == 0)
        code = body_read(args, &body);
    if (code == 0)
        code = publish_all(s, args, count, buf_slice(&properties), buf_slice(&body));
    buf_fini(&headers);
    buf_fini(&properties);
    buf_fini(&body);
    return code;
}

// ---- purge, delete

static int purge(struct queue_session *s, const struct cli_arguments *args, int64_t count)
{
    const struct amqp_queue_purge ask = {.queue = slice_cstr(args->words[1])};
    const struct queue_answer *a = NULL;
    (void)count;
    int code = queue_session_call(s, AMQP_QUEUE_PURGE, &ask, &a);
    if (code == 0)
        (void)printf("purged\t%u\n", a->messages);
    return code;
}

static int delete (struct queue_session *s, const struct cli_arguments *args, int64_t count)
{
    const struct amqp_queue_delete ask = {.queue = slice_cstr(args->words[1])};
    const struct amqp_queue_declare passive = {.queue = ask.queue, .passive = true};
    const struct queue_answer *a = NULL;
    (void)count;
    // Deleting what is not there is no error in AMQP since RabbitMQ 3; for people it is one.
    int code = queue_session_call(s, AMQP_QUEUE_DECLARE, &passive, &a);
    if (code == 0)
        code = queue_session_call(s, AMQP_QUEUE_DELETE, &ask, &a);
    if (code == 0)
        (void)printf("deleted\t%s\nmessages\t%u\n", args->words[1], a->messages);
    return code;
}

// ---- redrive: dead letters back to where they died

static bool of_deaths(struct slice name)
{
    static const char *const begins[] = {DEATHS, "x-first-death-", "x-last-death-"};
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
        if (name.len >= strlen(begins[i]) && memcmp(name.data, begins[i], strlen(begins[i])) == 0)
            return true;
    return false;
}

// The queue of the newest death. SLICE_NULL: it is no dead letter.
static struct slice died_in(const struct amqp_properties *p)
{
    struct amqp_value value;
    if ((p->flags & AMQP_HEADERS) == 0 || amqp_table_get(p->headers, DEATHS, &value) != 0 ||
        value.kind != AMQP_ARRAY)
        return SLICE_NULL;
    struct cursor in = cursor_of(value.bytes);
    if (!amqp_array_next(&in, &value) || value.kind != AMQP_TABLE)
        return SLICE_NULL;
    if (amqp_table_get(value.bytes, "queue", &value) != 0 || value.kind != AMQP_TEXT)
        return SLICE_NULL;
    return value.bytes;
}

// The message as it was before it died, so that it can die anew.
static void undead(const struct amqp_properties *p, struct buf *headers, struct buf *out)
{
    struct amqp_properties alive = *p;
    struct cursor in = cursor_of(p->headers);
    struct slice name;
    struct amqp_value value;
    while (amqp_table_next(&in, &name, &value))
        if (!of_deaths(name))
            amqp_put_raw(headers, name, value.raw);
    alive.headers = buf_slice(headers);
    amqp_properties_write(&alive, out);
}

// 0 and *out_moved, or an exit code.
static int redrive_one(struct queue_session *s, const char *to, const struct queue_answer *m,
                       bool *out_moved)
{
    const struct amqp_basic_ack ack = {.delivery_tag = m->tag};
    struct amqp_properties p;
    struct buf headers;
    struct buf properties;
    bool routed = false;
    if (amqp_properties_read(buf_slice(&m->properties), &p) != 0)
        return 0;
    struct slice target = to != NULL ? slice_cstr(to) : died_in(&p);
    if (target.data == NULL)
        return 0;
    buf_init(&headers, BODY_MAX);
    buf_init(&properties, BODY_MAX);
    undead(&p, &headers, &properties);
    int code = queue_session_publish(s, slice_cstr(""), target, buf_slice(&properties),
                                     buf_slice(&m->body), &routed);
    if (code == 0 && routed)
        code = queue_session_send(s, AMQP_BASIC_ACK, &ack);
    if (code == 0)
        *out_moved = routed;
    buf_fini(&headers);
    buf_fini(&properties);
    return code;
}

static int redrive(struct queue_session *s, const struct cli_arguments *args, int64_t count)
{
    const struct amqp_queue_declare passive = {.queue = slice_cstr(args->words[1]),
                                               .passive = true};
    const struct amqp_basic_get ask = {.queue = slice_cstr(args->words[1])};
    const struct queue_answer *a = NULL;
    int64_t moved = 0;
    int64_t left = 0;
    int code = queue_session_call(s, AMQP_QUEUE_DECLARE, &passive, &a);
    if (code != 0)
        return code;
    // No more than there are now: some may die again at once and come back.
    if (cli_option(args, "--count") == NULL || count > a->messages)
        count = a->messages;
    for (int64_t i = 0; code == 0 && i < count; i++) {
        bool went = false;
        code = queue_session_call(s, AMQP_BASIC_GET, &ask, &a);
        if (code == 0 && a->method != AMQP_BASIC_GET_OK)
            break;
        if (code == 0)
            code = redrive_one(s, cli_option(args, "--to"), a, &went);
        moved += went;
        left += !went;
    }
    if (code == 0) // answered behind the last acknowledgement: it has been read
        code = queue_session_call(s, AMQP_QUEUE_DECLARE, &passive, &a);
    (void)printf("redriven\t%lld\nleft\t%lld\n", (long long)moved, (long long)left);
    if (code == 0 && left > 0)
        cli_error("%lld messages stay: they are no dead letters, or the queue they died in is "
                  "gone; --to QUEUE names one",
                  (long long)left);
    return code;
}

// ---- which

static const struct verb {
    const char *name;
    uint32_t words_max; // itself included
    int64_t count;      // the default
    int (*run)(struct queue_session *s, const struct cli_arguments *args, int64_t count);
} verbs[] = {
    {"get", 2, 1, get},       {"publish", 3, 1, publish},         {"purge", 2, 1, purge},
    {"delete", 2, 1, delete}, {"redrive", 2, COUNT_MAX, redrive},
};

// Names that AMQP can say.
static bool names_ok(const struct cli_arguments *args)
{
    static const char *const names[] = {"--vhost", "--exchange", "--routing-key", "--to"};
    bool ok = strlen(args->words[1]) <= WIRE_SHORT_STR_MAX;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *name = cli_option(args, names[i]);
        ok = ok && (name == NULL || strlen(name) <= WIRE_SHORT_STR_MAX);
    }
    return ok;
}

int queue_messages(const char *verb, const struct cli_arguments *args)
{
    const struct verb *v = NULL;
    struct queue_session *s = NULL;
    const char *vhost = cli_option(args, "--vhost");
    const char *count_text = cli_option(args, "--count");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verb, verbs[i].name) == 0)
            v = &verbs[i];
    if (v == NULL || args->words_count < 2 || args->words_count > v->words_max)
        return cli_usage(&cli_queue, "list, or describe, get, publish, purge, delete or redrive "
                                     "and the queue's name");
    if (!names_ok(args))
        return cli_usage(&cli_queue, "names have at most %d bytes", WIRE_SHORT_STR_MAX);
    int64_t count = v->count;
    if (count_text != NULL &&
        cli_number(&cli_queue, "--count", count_text, 1, COUNT_MAX, &count) != 0)
        return EX_USAGE;
    int code = queue_session_open(cli_option(args, "--amqp"), vhost != NULL ? vhost : "/", &s);
    if (code == 0)
        code = v->run(s, args, count);
    queue_session_close(s);
    return code;
}
