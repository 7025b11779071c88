// SPDX-License-Identifier: Apache-2.0
//
// From an AMQP content to a message: what is stored, what is repeated readably, and what queues and
// exchanges need to know of it.
#include <stdio.h>
#include <string.h>

#include "amqp/arguments.h"
#include "amqp/deaths.h"
#include "amqp/translate.h"
#include "base/assert.h"
#include "base/err.h"

#define HEADERS_BYTES_MAX (8U << 20)
#define EXPIRATION_MS_MAX INT64_C(315360000000) // ten years, as RabbitMQ has it
#define DELAY_MS_MAX      INT64_C(4294967295)   // as its delayed exchange has it

void amqp_translator_init(struct amqp_translator *t)
{
    buf_init(&t->headers, HEADERS_BYTES_MAX);
    buf_init(&t->properties, HEADERS_BYTES_MAX);
    buf_init(&t->table, HEADERS_BYTES_MAX);
    buf_init(&t->keys, MESSAGE_KEYS_MAX * (MESSAGE_NAME_MAX + 1));
    buf_init(&t->deaths, HEADERS_BYTES_MAX);
}

void amqp_translator_fini(struct amqp_translator *t)
{
    buf_fini(&t->headers);
    buf_fini(&t->properties);
    buf_fini(&t->table);
    buf_fini(&t->keys);
    buf_fini(&t->deaths);
}

// ---- what is special among the headers

struct specials {
    struct amqp_value cc, bcc, delay, deaths;
    bool has_cc, has_bcc, has_delay, has_deaths;
};

static void special(struct specials *s, struct slice name, const struct amqp_value *value)
{
    if (slice_eq_cstr(name, "CC")) {
        s->cc = *value;
        s->has_cc = true;
    } else if (slice_eq_cstr(name, "BCC")) {
        s->bcc = *value;
        s->has_bcc = true;
    } else if (slice_eq_cstr(name, "x-delay")) {
        s->delay = *value;
        s->has_delay = true;
    } else if (slice_eq_cstr(name, "x-death")) {
        s->deaths = *value;
        s->has_deaths = value->kind == AMQP_ARRAY;
    }
}

static void specials_find(struct slice table, struct specials *s)
{
    struct cursor in = cursor_of(table);
    struct slice name;
    struct amqp_value value;
    s->has_cc = false;
    s->has_bcc = false;
    s->has_delay = false;
    s->has_deaths = false;
    while (amqp_table_next(&in, &name, &value)) {
        if (name.len > 1 && (name.data[0] == 'C' || name.data[0] == 'B' || name.data[0] == 'x'))
            special(s, name, &value);
    }
}

// Further routing keys: those of the array that are strings. RabbitMQ's words where it has any.
static int keys_add(struct amqp_incoming *m, const struct amqp_value *value, const char *header,
                    char why[AMQP_WHY_MAX])
{
    if (value->kind != AMQP_ARRAY) {
        (void)snprintf(why, AMQP_WHY_MAX,
                       "invalid message: {unacceptable_type_in_header,\"%s\",%s}", header,
                       amqp_type_name(value->type));
        return ERR_INVALID;
    }
    struct cursor in = cursor_of(value->bytes);
    struct amqp_value key;
    while (amqp_array_next(&in, &key)) {
        if (key.kind != AMQP_TEXT)
            continue;
        if (m->keys_count == MESSAGE_KEYS_MAX - 1 || key.bytes.len > MESSAGE_NAME_MAX) {
            (void)snprintf(why, AMQP_WHY_MAX, "invalid message: header '%s' is too long", header);
            return ERR_INVALID;
        }
        m->keys[m->keys_count++] = key.bytes;
    }
    return 0;
}

static void put_cc(struct amqp_translator *t, struct amqp_incoming *m)
{
    buf_clear(&t->keys);
    for (uint32_t i = 0; i < m->keys_count; i++) {
        buf_put_u8(&t->keys, (uint8_t)m->keys[i].len);
        buf_put_slice(&t->keys, m->keys[i]);
    }
    ASSERT(t->keys.err == 0);
    m->cc = m->keys_count > 0 ? buf_slice(&t->keys) : SLICE_NULL;
}

// BCC is for us only, and is not among the keys that a dead letter keeps.
static int read_specials(struct amqp_translator *t, const struct specials *s,
                         struct amqp_incoming *m, char why[AMQP_WHY_MAX])
{
    int err = s->has_cc ? keys_add(m, &s->cc, "CC", why) : 0;
    if (err == 0)
        put_cc(t, m);
    if (err == 0 && s->has_bcc)
        err = keys_add(m, &s->bcc, "BCC", why);
    if (err == 0 && s->has_delay && s->delay.kind == AMQP_INT && s->delay.number > 0)
        m->delay_ms = s->delay.number < DELAY_MS_MAX ? s->delay.number : DELAY_MS_MAX;
    if (err == 0 && s->has_deaths) {
        amqp_deaths_read(s->deaths.bytes, &t->deaths);
        m->deaths = t->deaths.len > 0 ? buf_slice(&t->deaths) : SLICE_NULL;
    }
    return err;
}

// ---- properties that are not stored as they came

static struct slice rewrite(struct amqp_translator *t, const struct amqp_properties *properties,
                            struct slice reply_to, bool drop_bcc)
{
    struct amqp_properties changed = *properties;
    if (reply_to.data != NULL)
        changed.reply_to = reply_to;
    if (drop_bcc) {
        struct cursor in = cursor_of(properties->headers);
        struct slice name;
        struct amqp_value value;
        buf_clear(&t->table);
        while (amqp_table_next(&in, &name, &value)) {
            if (!slice_eq_cstr(name, "BCC"))
                amqp_put_raw(&t->table, name, value.raw);
        }
        changed.headers = buf_slice(&t->table);
    }
    buf_clear(&t->properties);
    amqp_properties_write(&changed, &t->properties);
    return buf_slice(&t->properties);
}

// ---- the record's headers

static void put_text(struct amqp_translator *t, struct amqp_incoming *m, const char *name,
                     struct slice value)
{
    message_header_put(&t->headers, slice_cstr(name), value);
    m->headers_count++;
}

static void put_number(struct amqp_translator *t, struct amqp_incoming *m, const char *name,
                       uint64_t value)
{
    uint8_t text[20]; // of 2^64
    size_t at = sizeof text;
    do {
        text[--at] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put_text(t, m, name, slice_of(text + at, sizeof text - at));
}

static void put_scalars(struct amqp_translator *t, const struct amqp_properties *p,
                        struct amqp_incoming *m)
{
    const struct {
        uint16_t flag;
        const char *name;
        struct slice value;
    } texts[] = {
        {AMQP_CONTENT_TYPE, "amqp.content_type", p->content_type},
        {AMQP_CONTENT_ENCODING, "amqp.content_encoding", p->content_encoding},
        {AMQP_CORRELATION_ID, "amqp.correlation_id", p->correlation_id},
        {AMQP_REPLY_TO, "amqp.reply_to", p->reply_to},
        {AMQP_EXPIRATION, "amqp.expiration", p->expiration},
        {AMQP_MESSAGE_ID, "amqp.message_id", p->message_id},
        {AMQP_TYPE, "amqp.type", p->type},
        {AMQP_USER_ID, "amqp.user_id", p->user_id},
        {AMQP_APP_ID, "amqp.app_id", p->app_id},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if ((p->flags & texts[i].flag) != 0)
            put_text(t, m, texts[i].name, texts[i].value);
    }
    if ((p->flags & AMQP_DELIVERY_MODE) != 0)
        put_number(t, m, "amqp.delivery_mode", p->delivery_mode);
    if ((p->flags & AMQP_PRIORITY) != 0)
        put_number(t, m, "amqp.priority", p->priority);
    if ((p->flags & AMQP_TIMESTAMP) != 0)
        put_number(t, m, "amqp.timestamp", p->timestamp);
}

// A name that means something to us is repeated only within amqp.properties.
static bool name_is_ours(struct slice name)
{
    return (name.len >= 5 && memcmp(name.data, "weir.", 5) == 0) ||
           (name.len >= 5 && memcmp(name.data, "amqp.", 5) == 0) || slice_eq_cstr(name, "BCC");
}

static void put_texts(struct amqp_translator *t, struct slice table, struct amqp_incoming *m)
{
    struct cursor in = cursor_of(table);
    struct slice name;
    struct amqp_value value;
    while (amqp_table_next(&in, &name, &value)) {
        if (value.kind != AMQP_TEXT || name_is_ours(name))
            continue;
        message_header_put(&t->headers, name, value.bytes);
        m->headers_count++;
    }
}

int amqp_translate_in(struct amqp_translator *t, struct slice raw, const struct amqp_properties *p,
                      struct slice reply_to, struct amqp_incoming *m, char why[AMQP_WHY_MAX])
{
    struct specials s;
    int err = 0;
    m->headers_count = 0;
    m->keys_count = 0;
    m->delay_ms = 0;
    m->cc = SLICE_NULL;
    m->deaths = SLICE_NULL;
    specials_find(p->headers, &s);
    if (s.has_cc || s.has_bcc || s.has_delay || s.has_deaths)
        err = read_specials(t, &s, m, why);
    if (err != 0)
        return err;
    m->properties = raw;
    if (reply_to.data != NULL || s.has_bcc)
        m->properties = rewrite(t, p, reply_to, s.has_bcc);
    buf_clear(&t->headers);
    put_text(t, m, AMQP_RECORD_HEADER, m->properties);
    put_scalars(t, p, m);
    put_texts(t, p->headers, m);
    m->headers = buf_slice(&t->headers);
    return t->headers.err != 0 ? ERR_LIMIT : t->properties.err;
}

// ---- what exchanges compare

struct exchange_header *amqp_headers_canonical(struct slice table, struct arena *arena,
                                               uint32_t *out_count)
{
    struct cursor in = cursor_of(table);
    struct slice name;
    struct amqp_value value;
    uint32_t count = 0, n = 0;
    while (amqp_table_next(&in, &name, &value))
        count++;
    struct exchange_header *headers = arena_array(arena, count, sizeof *headers);
    struct buf canonical;
    buf_init(&canonical, HEADERS_BYTES_MAX);
    in = cursor_of(table);
    while (headers != NULL && amqp_table_next(&in, &name, &value)) {
        buf_clear(&canonical);
        if (amqp_value_canonical(&value, &canonical) != 0)
            break;
        struct slice copy = arena_slice(arena, buf_slice(&canonical));
        if (copy.data == NULL)
            break;
        headers[n++] = (struct exchange_header){name, copy};
    }
    buf_fini(&canonical);
    *out_count = n;
    return n > 0 ? headers : NULL;
}

// ---- TTL

// Reads what stands at the beginning of a text and is a whole number; *out_len: how much of it.
static bool integer_prefix(struct slice text, int64_t *out, size_t *out_len)
{
    size_t i = text.len > 0 && (text.data[0] == '-' || text.data[0] == '+') ? 1 : 0;
    size_t first = i;
    int64_t n = 0;
    for (; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        n = n > INT64_C(100000000000000) ? n : n * 10 + (text.data[i] - '0');
    *out = first == 1 && text.data[0] == '-' ? -n : n;
    *out_len = i;
    return i > first;
}

int amqp_expiration(struct slice text, int64_t *out_ms, char why[AMQP_WHY_MAX])
{
    int64_t ms = 0;
    size_t used = 0;
    char shown[64], left[64], reason[128];
    slice_to_cstr(text, shown, sizeof shown);
    if (!integer_prefix(text, &ms, &used)) {
        (void)snprintf(reason, sizeof reason, "no_integer");
    } else if (used < text.len) {
        slice_to_cstr(slice_of(text.data + used, text.len - used), left, sizeof left);
        (void)snprintf(reason, sizeof reason, "{leftover_string,\"%s\"}", left);
    } else if (ms < 0) {
        (void)snprintf(reason, sizeof reason, "{value_negative,%lld}", (long long)ms);
    } else if (ms > EXPIRATION_MS_MAX) {
        (void)snprintf(reason, sizeof reason, "{value_too_large,%lld}", (long long)ms);
    } else {
        *out_ms = ms;
        return 0;
    }
    (void)snprintf(why, AMQP_WHY_MAX, "invalid expiration '%s': %s", shown, reason);
    return ERR_INVALID;
}
