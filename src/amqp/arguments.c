// SPDX-License-Identifier: Apache-2.0
//
// Arguments of queues and consumers. What is known is one table: for which types of queue, how it
// is checked, whether it is compared when the queue is declared again.
#include "amqp/arguments.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"

#define TTL_MAX_MS   INT64_C(315360000000) // ten years
#define PRIORITY_MAX 255
#define REASON_SIZE  300

// ---- values, as texts show them

const char *amqp_type_name(uint8_t type)
{
    static const struct {
        uint8_t type;
        const char *name;
    } names[] = {
        {'t', "bool"},          {'b', "byte"},      {'B', "unsignedbyte"}, {'s', "short"},
        {'u', "unsignedshort"}, {'I', "signedint"}, {'i', "unsignedint"},  {'l', "long"},
        {'L', "long"},          {'f', "float"},     {'d', "double"},       {'D', "decimal"},
        {'S', "longstr"},       {'x', "binary"},    {'T', "timestamp"},    {'A', "array"},
        {'F', "table"},         {'V', "void"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].type == type)
            return names[i].name;
    }
    return "unknown";
}

void amqp_value_show(const struct amqp_value *v, char out[AMQP_SHOWN_SIZE])
{
    const size_t size = AMQP_SHOWN_SIZE;
    if (v->kind == AMQP_TEXT || v->kind == AMQP_BYTES)
        slice_to_cstr(v->bytes, out, size);
    else if (v->kind == AMQP_BOOL)
        (void)snprintf(out, size, "%s", v->number != 0 ? "true" : "false");
    else if (v->kind == AMQP_INT || v->kind == AMQP_TIME)
        (void)snprintf(out, size, "%" PRId64, v->number);
    else if (v->kind == AMQP_DOUBLE)
        (void)snprintf(out, size, "%.17g", v->real);
    else
        (void)snprintf(out, size, "%s", v->kind == AMQP_NULL ? "undefined" : "[]");
}

// ---- declared again

static bool unequal(struct amqp_again *a, const char *arg, const char *received,
                    const char *current)
{
    (void)snprintf(a->why, sizeof a->why,
                   "inequivalent arg '%s' for %s '%.*s' in vhost '%.*s': received %s but current "
                   "is %s",
                   arg, a->kind, (int)a->name.len, (const char *)a->name.data, (int)a->vhost.len,
                   (const char *)a->vhost.data, received, current);
    return false;
}

bool amqp_again_text(struct amqp_again *again, const char *arg, const char *received,
                     const char *current)
{
    char r[80], c[80];
    if (strcmp(received, current) == 0)
        return true;
    (void)snprintf(r, sizeof r, "'%s'", received);
    (void)snprintf(c, sizeof c, "'%s'", current);
    return unequal(again, arg, r, c);
}

bool amqp_again_bool(struct amqp_again *again, const char *arg, bool received, bool current)
{
    return amqp_again_text(again, arg, received ? "true" : "false", current ? "true" : "false");
}

bool amqp_again_argument(struct amqp_again *again, const char *arg, struct slice received,
                         struct slice current)
{
    struct amqp_value values[2];
    char shown[2][AMQP_SHOWN_SIZE], said[2][AMQP_SHOWN_SIZE + 64];
    bool there[2] = {amqp_table_get(received, arg, &values[0]) == 0,
                     amqp_table_get(current, arg, &values[1]) == 0};
    if (there[0] && there[1] && slice_eq(values[0].raw, values[1].raw))
        return true;
    if (!there[0] && !there[1])
        return true;
    for (int i = 0; i < 2; i++) {
        if (there[i])
            amqp_value_show(&values[i], shown[i]);
        if (there[0] && there[1])
            (void)snprintf(said[i], sizeof said[i], "'%s'", shown[i]);
        else if (there[i])
            (void)snprintf(said[i], sizeof said[i], "the value '%s' of type '%s'", shown[i],
                           amqp_type_name(values[i].type));
        else
            (void)snprintf(said[i], sizeof said[i], "none");
    }
    return unequal(again, arg, said[0], said[1]);
}

// ---- checks: 0, or a reason

typedef bool check_fn(const struct amqp_value *v, struct slice table, char reason[REASON_SIZE]);

static bool bad_type(const struct amqp_value *v, char *reason)
{
    (void)snprintf(reason, REASON_SIZE, "{unacceptable_type,%s}", amqp_type_name(v->type));
    return false;
}

static bool check_int(const struct amqp_value *v, struct slice table, char *reason)
{
    (void)table;
    if (v->kind == AMQP_INT)
        return true;
    (void)snprintf(reason, REASON_SIZE, "\"expected integer, got %s\"", amqp_type_name(v->type));
    return false;
}

static bool reason_number(char *reason, const char *what, int64_t number)
{
    (void)snprintf(reason, REASON_SIZE, "{%s,%" PRId64 "}", what, number);
    return false;
}

static bool check_not_negative(const struct amqp_value *v, struct slice table, char *reason)
{
    if (!check_int(v, table, reason))
        return false;
    return v->number >= 0 || reason_number(reason, "value_negative", v->number);
}

static bool check_ttl(const struct amqp_value *v, struct slice table, char *reason)
{
    if (!check_not_negative(v, table, reason))
        return false;
    return v->number <= TTL_MAX_MS || reason_number(reason, "value_too_large", v->number);
}

static bool check_expires(const struct amqp_value *v, struct slice table, char *reason)
{
    if (!check_ttl(v, table, reason))
        return false;
    return v->number != 0 || reason_number(reason, "value_zero", v->number);
}

static bool check_size(const struct amqp_value *v, struct slice table, char *reason)
{
    if (!check_not_negative(v, table, reason))
        return false;
    return v->number != 0 || reason_number(reason, "value_zero", v->number);
}

static bool check_max_priority(const struct amqp_value *v, struct slice table, char *reason)
{
    if (!check_not_negative(v, table, reason))
        return false;
    return v->number <= PRIORITY_MAX || reason_number(reason, "max_value_exceeded", v->number);
}

static bool check_bool(const struct amqp_value *v, struct slice table, char *reason)
{
    (void)table;
    return v->kind == AMQP_BOOL || bad_type(v, reason);
}

static bool check_text(const struct amqp_value *v, struct slice table, char *reason)
{
    (void)table;
    if (v->kind != AMQP_TEXT)
        return bad_type(v, reason);
    if (v->bytes.len <= MESSAGE_NAME_MAX)
        return true;
    (void)snprintf(reason, REASON_SIZE, "value_too_long");
    return false;
}

static bool check_dead_key(const struct amqp_value *v, struct slice table, char *reason)
{
    struct amqp_value exchange;
    if (!check_text(v, table, reason))
        return false;
    if (amqp_table_get(table, "x-dead-letter-exchange", &exchange) == 0)
        return true;
    (void)snprintf(reason, REASON_SIZE, "routing_key_but_no_dlx_defined");
    return false;
}

static bool one_of(const struct amqp_value *v, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (slice_eq_cstr(v->bytes, *words))
            return true;
    }
    return false;
}

static bool check_word(const struct amqp_value *v, const char *const *words, const char *otherwise,
                       char *reason)
{
    if (v->kind != AMQP_TEXT)
        return bad_type(v, reason);
    if (one_of(v, words))
        return true;
    (void)snprintf(reason, REASON_SIZE, "%s", otherwise);
    return false;
}

static bool check_strategy(const struct amqp_value *v, struct slice table, char *reason)
{
    static const char *const words[] = {"at-most-once", "at-least-once", NULL};
    (void)table;
    return check_word(v, words, "invalid_dlx_strategy", reason);
}

static bool check_overflow(const struct amqp_value *v, struct slice table, char *reason)
{
    static const char *const words[] = {"drop-head", "reject-publish", "reject-publish-dlx", NULL};
    (void)table;
    return check_word(v, words, "invalid_overflow", reason);
}

static bool check_locator(const struct amqp_value *v, struct slice table, char *reason)
{
    static const char *const words[] = {"client-local", "balanced", "random", "least-leaders",
                                        NULL};
    (void)table;
    return check_word(v, words, "invalid_queue_locator_arg", reason);
}

static bool check_mode(const struct amqp_value *v, struct slice table, char *reason)
{
    static const char *const words[] = {"default", "lazy", NULL};
    char shown[AMQP_SHOWN_SIZE], otherwise[AMQP_SHOWN_SIZE + 64];
    (void)table;
    amqp_value_show(v, shown);
    (void)snprintf(otherwise, sizeof otherwise, "\"unsupported queue mode '%s'\"", shown);
    return check_word(v, words, otherwise, reason);
}

static const char *const queue_types[] = {"classic", "quorum", "stream", NULL};

static bool check_type(const struct amqp_value *v, struct slice table, char *reason)
{
    char shown[AMQP_SHOWN_SIZE], otherwise[AMQP_SHOWN_SIZE + 64];
    (void)table;
    amqp_value_show(v, shown);
    (void)snprintf(otherwise, sizeof otherwise, "\"unsupported queue type '%s'\"", shown);
    return check_word(v, queue_types, otherwise, reason);
}

static bool check_version(const struct amqp_value *v, struct slice table, char *reason)
{
    if (!check_not_negative(v, table, reason))
        return false;
    if (v->number == 1 || v->number == 2)
        return true;
    (void)snprintf(reason, REASON_SIZE, "\"unsupported queue version '%" PRId64 "'\"", v->number);
    return false;
}

static bool check_max_age(const struct amqp_value *v, struct slice table, char *reason)
{
    size_t digits = 0;
    (void)table;
    if (v->kind != AMQP_TEXT)
        return bad_type(v, reason);
    while (digits < v->bytes.len && v->bytes.data[digits] >= '0' && v->bytes.data[digits] <= '9')
        digits++;
    if (digits > 0 && digits + 1 == v->bytes.len &&
        memchr("YMDhms", v->bytes.data[digits], 6) != NULL)
        return true;
    (void)snprintf(reason, REASON_SIZE, "invalid_max_age");
    return false;
}

static bool check_nothing(const struct amqp_value *v, struct slice table, char *reason)
{
    (void)v;
    (void)table;
    (void)reason;
    return true;
}

// ---- what is known

#define C (1U << AMQP_QUEUE_CLASSIC)
#define Q (1U << AMQP_QUEUE_QUORUM)
#define S (1U << AMQP_QUEUE_STREAM)

static const struct {
    const char *name;
    check_fn *check;
    unsigned types; // for others it is refused
} known[] = {
    {"x-expires", check_expires, C | Q},
    {"x-message-ttl", check_ttl, C | Q},
    {"x-dead-letter-exchange", check_text, C | Q},
    {"x-dead-letter-routing-key", check_dead_key, C | Q},
    {"x-dead-letter-strategy", check_strategy, Q},
    {"x-max-length", check_not_negative, C | Q},
    {"x-max-length-bytes", check_not_negative, C | Q | S},
    {"x-max-in-memory-length", check_not_negative, Q},
    {"x-max-in-memory-bytes", check_not_negative, Q},
    {"x-max-priority", check_max_priority, C},
    {"x-overflow", check_overflow, C | Q},
    {"x-queue-mode", check_mode, C},
    {"x-queue-version", check_version, C},
    {"x-single-active-consumer", check_bool, C | Q},
    {"x-queue-type", check_type, C | Q | S},
    {"x-quorum-initial-group-size", check_size, Q},
    {"x-delivery-limit", check_nothing, Q},
    {"x-max-age", check_max_age, S},
    {"x-stream-max-segment-size-bytes", check_not_negative, S},
    {"x-initial-cluster-size", check_size, S},
    {"x-queue-leader-locator", check_locator, Q | S},
    {"x-topic", check_bool, C | Q | S}, // ours: an existing topic becomes the queue's log
};
#define KNOWN_COUNT (sizeof known / sizeof known[0])

#undef C
#undef Q
#undef S

enum amqp_queue_type amqp_queue_type_of(struct slice arguments)
{
    struct amqp_value type;
    if (amqp_table_get(arguments, "x-queue-type", &type) == 0 && type.kind == AMQP_TEXT) {
        for (int i = 0; queue_types[i] != NULL; i++) {
            if (slice_eq_cstr(type.bytes, queue_types[i]))
                return (enum amqp_queue_type)i;
        }
    }
    return AMQP_QUEUE_CLASSIC;
}

bool amqp_queue_tells_count(const struct queue_facts *queue)
{
    return amqp_queue_type_of(queue->arguments) == AMQP_QUEUE_QUORUM;
}

static const char *type_module(enum amqp_queue_type type)
{
    static const char *const modules[] = {"rabbit_classic_queue", "rabbit_quorum_queue",
                                          "rabbit_stream_queue"};
    return modules[type];
}

static int invalid(const char *arg, struct slice vhost, struct slice name, const char *separator,
                   const char *reason, char why[AMQP_TEXT_SIZE])
{
    (void)snprintf(why, AMQP_TEXT_SIZE, "invalid arg '%s' for queue '%.*s' in vhost '%.*s'%s%s",
                   arg, (int)name.len, (const char *)name.data, (int)vhost.len,
                   (const char *)vhost.data, separator, reason);
    return ERR_INVALID;
}

static int check_all(struct slice table, struct slice vhost, struct slice name,
                     enum amqp_queue_type type, char why[AMQP_TEXT_SIZE])
{
    struct amqp_value v;
    char reason[REASON_SIZE];
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (amqp_table_get(table, known[i].name, &v) != 0)
            continue;
        if ((known[i].types >> type & 1U) == 0)
            return invalid(known[i].name, vhost, name, " of queue type ", type_module(type), why);
        if (!known[i].check(&v, table, reason))
            return invalid(known[i].name, vhost, name, ": ", reason, why);
    }
    return 0;
}

// ---- what they mean

static int64_t number_or(struct slice table, const char *name, int64_t otherwise)
{
    struct amqp_value v;
    return amqp_table_get(table, name, &v) == 0 && v.kind == AMQP_INT ? v.number : otherwise;
}

static bool flag(struct slice table, const char *name)
{
    struct amqp_value v;
    return amqp_table_get(table, name, &v) == 0 && v.kind == AMQP_BOOL && v.number != 0;
}

static struct slice text_or_null(struct slice table, const char *name)
{
    struct amqp_value v;
    return amqp_table_get(table, name, &v) == 0 && v.kind == AMQP_TEXT ? v.bytes : SLICE_NULL;
}

int amqp_queue_arguments(struct slice table, struct slice vhost, struct slice name,
                         struct amqp_queue_arguments *out, char why[AMQP_TEXT_SIZE])
{
    struct amqp_value v;
    char reason[REASON_SIZE];
    if (amqp_table_get(table, "x-dead-letter-exchange", &v) == 0 && v.kind != AMQP_TEXT) {
        (void)snprintf(why, AMQP_TEXT_SIZE,
                       "invalid type '%s' for arg 'x-dead-letter-exchange' in queue '%.*s' in "
                       "vhost '%.*s'",
                       amqp_type_name(v.type), (int)name.len, (const char *)name.data,
                       (int)vhost.len, (const char *)vhost.data);
        return ERR_INVALID;
    }
    // An unknown type first: the other arguments depend on it.
    if (amqp_table_get(table, "x-queue-type", &v) == 0 && !check_type(&v, table, reason))
        return invalid("x-queue-type", vhost, name, ": ", reason, why);
    enum amqp_queue_type type = amqp_queue_type_of(table);
    int err = check_all(table, vhost, name, type, why);
    if (err != 0)
        return err;
    // RabbitMQ counts redeliveries, the queue all deliveries; below 0 is no limit.
    int64_t limit = number_or(table, "x-delivery-limit", -1);
    struct slice dead_exchange = text_or_null(table, "x-dead-letter-exchange");
    *out = (struct amqp_queue_arguments){
        .type = type,
        .settings = {.message_ttl_ms = number_or(table, "x-message-ttl", -1),
                     .expires_ms = number_or(table, "x-expires", -1),
                     .dead_letter = dead_exchange.data != NULL,
                     .dead_exchange = dead_exchange,
                     .dead_key = text_or_null(table, "x-dead-letter-routing-key"),
                     .delivery_limit = limit >= 0 && limit < INT32_MAX ? (uint32_t)limit + 1 : 0,
                     .single_active = flag(table, "x-single-active-consumer"),
                     .max_length = number_or(table, "x-max-length", -1),
                     .max_length_bytes = number_or(table, "x-max-length-bytes", -1)},
        .levels = (uint32_t)number_or(table, "x-max-priority", 0) + 1,
        .take_topic = flag(table, "x-topic"),
    };
    return 0;
}

// RabbitMQ compares what belongs to the type of the queue that is there. A classic queue may say
// that it is one or not.
bool amqp_again_queue(struct amqp_again *again, struct slice received, struct slice current)
{
    enum amqp_queue_type type = amqp_queue_type_of(current);
    bool classic_again =
        type == AMQP_QUEUE_CLASSIC && amqp_queue_type_of(received) == AMQP_QUEUE_CLASSIC;
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if ((known[i].types >> type & 1U) == 0 || strcmp(known[i].name, "x-topic") == 0 ||
            (classic_again && strcmp(known[i].name, "x-queue-type") == 0))
            continue;
        if (!amqp_again_argument(again, known[i].name, received, current))
            return false;
    }
    return true;
}

int amqp_consume_arguments(struct slice table, struct slice vhost, struct slice queue,
                           int32_t *out_priority, char why[AMQP_TEXT_SIZE])
{
    struct amqp_value v;
    char reason[REASON_SIZE];
    *out_priority = 0;
    if (amqp_table_get(table, "x-priority", &v) != 0)
        return 0;
    if (!check_int(&v, table, reason))
        return invalid("x-priority", vhost, queue, ": ", reason, why);
    int64_t n = v.number;
    *out_priority = (int32_t)(n < INT32_MIN ? INT32_MIN : n > INT32_MAX ? INT32_MAX : n);
    return 0;
}
