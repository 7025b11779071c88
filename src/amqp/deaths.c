// SPDX-License-Identifier: Apache-2.0
//
// x-death and its relatives, read and written. A message that a consumer has published again brings
// its x-death along, and RabbitMQ goes on counting there; so do we.
#include "amqp/deaths.h"

#include <stdio.h>
#include <string.h>

#include "amqp/table.h"
#include "base/endian.h"
#include "base/err.h"

#define DEATHS_BYTES_MAX (1U << 20)
#define RELATIVES_BYTES  1300U // x-first-death-*, x-last-death-*: at most, with two long names each

// ---- reading

static bool read_reason(struct slice text, enum message_death_reason *out)
{
    for (int i = 0; i < DEATH_REASONS_COUNT; i++) {
        if (slice_eq_cstr(text, message_death_reason_name((enum message_death_reason)i))) {
            *out = (enum message_death_reason)i;
            return true;
        }
    }
    return false;
}

static struct slice read_text(struct slice table, const char *name)
{
    struct amqp_value value;
    if (amqp_table_get(table, name, &value) != 0 || value.kind != AMQP_TEXT ||
        value.bytes.len > MESSAGE_NAME_MAX)
        return SLICE_NULL;
    return value.bytes;
}

static int64_t read_number(struct slice table, const char *name, enum amqp_kind kind, int64_t max)
{
    struct amqp_value value;
    if (amqp_table_get(table, name, &value) != 0 || value.kind != kind || value.number > max)
        return -1;
    return value.number;
}

static int64_t read_ttl(struct slice text)
{
    int64_t ttl = 0;
    if (text.len == 0 || text.len > 12)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        ttl = ttl * 10 + (text.data[i] - '0');
    }
    return ttl;
}

// One table; false: it is not what a broker writes.
static bool read_death(struct slice table, struct message_death *out)
{
    struct amqp_value keys, key;
    int64_t times = read_number(table, "count", AMQP_INT, UINT32_MAX);
    int64_t seconds = read_number(table, "time", AMQP_TIME, INT64_MAX / 1000);
    *out = (struct message_death){.queue = read_text(table, "queue"),
                                  .exchange = read_text(table, "exchange"),
                                  .original_ttl_ms =
                                      read_ttl(read_text(table, "original-expiration"))};
    if (times <= 0 || seconds < 0 || out->queue.data == NULL || out->exchange.data == NULL ||
        !read_reason(read_text(table, "reason"), &out->reason) ||
        amqp_table_get(table, "routing-keys", &keys) != 0 || keys.kind != AMQP_ARRAY)
        return false;
    out->times = (uint32_t)times;
    out->time_ms = seconds * 1000;
    struct cursor in = cursor_of(keys.bytes);
    while (out->keys_count < MESSAGE_KEYS_MAX && amqp_array_next(&in, &key)) {
        if (key.kind == AMQP_TEXT && key.bytes.len <= MESSAGE_NAME_MAX)
            out->keys[out->keys_count++] = key.bytes;
    }
    return true;
}

// Both are newest first, and deaths are added at the front: from the end, then.
void amqp_deaths_read(struct slice array, struct buf *out)
{
    struct slice tables[MESSAGE_DEATHS_MAX];
    struct amqp_value value;
    struct message_death death;
    struct buf next;
    uint32_t count = 0;
    struct cursor in = cursor_of(array);
    while (count < MESSAGE_DEATHS_MAX && amqp_array_next(&in, &value)) {
        if (value.kind == AMQP_TABLE)
            tables[count++] = value.bytes;
    }
    buf_clear(out);
    buf_init(&next, DEATHS_BYTES_MAX);
    for (uint32_t i = count; i-- > 0;) {
        const struct message so_far = {.deaths = out->len > 0 ? buf_slice(out) : SLICE_NULL};
        buf_clear(&next);
        if (!read_death(tables[i], &death) || message_deaths_add(&so_far, &death, &next) != 0)
            continue;
        buf_clear(out);
        buf_put_slice(out, buf_slice(&next));
    }
    buf_fini(&next);
}

// ---- writing

bool amqp_deaths_name(struct slice name)
{
    static const char *const names[] = {
        "x-death",
        "x-first-death-reason",
        "x-first-death-queue",
        "x-first-death-exchange",
        "x-last-death-reason",
        "x-last-death-queue",
        "x-last-death-exchange",
    };
    if (name.len < 2 || name.data[0] != 'x')
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (slice_eq_cstr(name, names[i]))
            return true;
    }
    return false;
}

// RabbitMQ counts in a 64-bit integer, which Java's clients see.
static void put_count(struct buf *table, uint32_t times)
{
    uint8_t raw[9] = {'l'};
    be64_put(raw + 1, times);
    amqp_put_raw(table, slice_cstr("count"), slice_of(raw, sizeof raw));
}

static void put_death(struct buf *table, const struct message_death *d)
{
    size_t entry = amqp_open_table(table, SLICE_NULL);
    put_count(table, d->times);
    amqp_put_text(table, slice_cstr("reason"), slice_cstr(message_death_reason_name(d->reason)));
    amqp_put_text(table, slice_cstr("queue"), d->queue);
    amqp_put_time(table, slice_cstr("time"), (uint64_t)(d->time_ms > 0 ? d->time_ms / 1000 : 0));
    amqp_put_text(table, slice_cstr("exchange"), d->exchange);
    size_t keys = amqp_open_array(table, slice_cstr("routing-keys"));
    for (uint32_t i = 0; i < d->keys_count; i++)
        amqp_put_text(table, SLICE_NULL, d->keys[i]);
    amqp_close(table, keys);
    if (d->original_ttl_ms >= 0) {
        char ttl[24];
        int len = snprintf(ttl, sizeof ttl, "%lld", (long long)d->original_ttl_ms);
        amqp_put_text(table, slice_cstr("original-expiration"), slice_of(ttl, (size_t)len));
    }
    amqp_close(table, entry);
}

static void put_relatives(struct buf *table, const char *which, const struct message_death *d)
{
    char name[32];
    (void)snprintf(name, sizeof name, "x-%s-death-reason", which);
    amqp_put_text(table, slice_cstr(name), slice_cstr(message_death_reason_name(d->reason)));
    (void)snprintf(name, sizeof name, "x-%s-death-queue", which);
    amqp_put_text(table, slice_cstr(name), d->queue);
    (void)snprintf(name, sizeof name, "x-%s-death-exchange", which);
    amqp_put_text(table, slice_cstr(name), d->exchange);
}

void amqp_deaths_write(const struct message *message, size_t max_bytes, struct buf *table)
{
    struct cursor in = message_deaths(message);
    struct message_death d, first = {0}, last = {0};
    uint32_t count = 0;
    size_t array = amqp_open_array(table, slice_cstr("x-death"));
    while (count < MESSAGE_DEATHS_MAX + 1 && message_death_next(&in, &d)) {
        size_t before = table->len;
        put_death(table, &d);
        if (table->len + RELATIVES_BYTES > max_bytes)
            table->len = before;
        if (count == 0)
            last = d;
        if (count == 0 || d.time_ms <= first.time_ms) // a death keeps the time of its first time
            first = d;
        count++;
    }
    amqp_close(table, array);
    if (count > 0) {
        put_relatives(table, "first", &first);
        put_relatives(table, "last", &last);
    }
}
