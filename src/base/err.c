// SPDX-License-Identifier: Apache-2.0
//
// Looks errors up in the generated table: one array indexed by the negated number. The hole between
// our own errors and Kafka's stays empty, which costs 2 KiB and keeps every lookup one comparison.
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/gen/err_table.h"

struct err_row {
    const char *name;
    const char *text;
    int16_t kafka;
    uint16_t amqp;
    int16_t http;
};

#define ERR_ROW(id, sentence, kafka_code, amqp_code, http_status) \
    [-ERR_##id] = {.name = "ERR_" #id,                            \
                   .text = sentence,                              \
                   .kafka = kafka_code,                           \
                   .amqp = amqp_code,                             \
                   .http = http_status},
static const struct err_row rows[] = {
    [0] = {.name = "OK", .text = "no error", .kafka = 0, .amqp = 200, .http = 200},
    ERR_TABLE(ERR_ROW)};
#undef ERR_ROW

// What an error that is in no table looks like: it came from a bug, not from outside.
static const struct err_row unlisted = {
    .name = "ERR_UNLISTED", .text = "unknown error", .kafka = -1, .amqp = 541, .http = 500};

#define ROWS_COUNT ((int)(sizeof rows / sizeof rows[0]))

// Kafka's codes begin here in our numbering: the number of code k is KAFKA_BASE - k, and
// UNKNOWN_SERVER (-1) has the place of code 0, which is no error.
#define KAFKA_BASE (-100)
_Static_assert(ERR_UNKNOWN_SERVER == KAFKA_BASE, "gen_err numbers Kafka's errors");
_Static_assert(ERR_OFFSET_OUT_OF_RANGE == KAFKA_BASE - 1, "gen_err numbers Kafka's errors");

static const struct err_row *find(int err)
{
    if (err > 0 || err <= -ROWS_COUNT || rows[-err].name == NULL)
        return &unlisted;
    return &rows[-err];
}

const char *err_name(int err)
{
    return find(err)->name;
}

const char *err_text(int err)
{
    return find(err)->text;
}

int16_t err_kafka(int err)
{
    return find(err)->kafka;
}

int err_from_kafka(int16_t code)
{
    if (code == 0)
        return 0;
    if (code < 0 || KAFKA_BASE - code <= -ROWS_COUNT)
        return ERR_UNKNOWN_SERVER;
    return KAFKA_BASE - code;
}

uint16_t err_amqp(int err)
{
    return find(err)->amqp;
}

int err_http(int err)
{
    return find(err)->http;
}
