// SPDX-License-Identifier: Apache-2.0
//
// How queues, exchanges and bindings are written down: what of them is durable. All little-endian.
//
// LAYOUT of STATE_QUEUE's value; the key is the id, which is the topic's
//   OFFSET SIZE FIELD
//   0      1    version = 1
//   1      1    flags: 1 auto-delete, 2 dead letters, 4 with a key of their own, 8 single active
//   2      2    levels
//   4      8    created, Unix ms
//   12     8    message TTL, ms; -1: none, as the next three
//   20     8    expires, ms
//   28     8    most messages
//   36     8    most bytes
//   44     4    delivery limit
//   48     1    vhost length, then of: name, dead letters' exchange, their key (1 byte each)
//   52     4    arguments length
//   56     …    vhost, name, exchange, key, arguments
//
// LAYOUT of STATE_EXCHANGE's value; the key is the id
//   0      1    version = 1
//   1      1    type: 1 direct, 2 fanout, 3 topic, 4 headers
//   2      1    flags: 1 auto-delete, 2 internal, 4 delayed
//   3      1    vhost length
//   4      1    name length
//   5      4    arguments length
//   9      …    vhost, name, arguments
//
// LAYOUT of STATE_BINDING's key: the binding's parts, and the ids of both ends (zero for exchanges
// that are there by themselves). An end that was deleted takes its bindings with it, without a
// record for each: one whose id is not there any more is void.
//   0      1    1: to an exchange
//   1      16   source's id
//   17     16   destination's id
//   33     1    vhost length, then of: source, destination, key (1 byte each)
//   37     …    vhost, source, destination, key, arguments
// and its value
//   0      1    version = 1
//   1      1    x-match: 0 all, 1 any, 2 all-with-x, 3 any-with-x
//   2      2    headers, each: u8 name length, u8 1: with a value, u32 value length, name, value
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/node_int.h"

#define RECORD_VERSION 1

enum { QUEUE_AUTO_DELETE = 1, QUEUE_DEAD_LETTER = 2, QUEUE_DEAD_KEY = 4, QUEUE_SINGLE = 8 };
enum { EXCHANGE_AUTO_DELETE = 1, EXCHANGE_INTERNAL = 2, EXCHANGE_DELAYED = 4 };

static int version_check(struct cursor *in)
{
    uint8_t version = cursor_u8(in);
    return in->err == 0 && version != RECORD_VERSION ? ERR_FORMAT_VERSION : 0;
}

static int record_end(const struct cursor *in)
{
    return in->err != 0 || cursor_left(in) != 0 ? ERR_CORRUPT : 0;
}

static void len_put(struct buf *out, struct slice s)
{
    ASSERT(s.len <= UINT8_MAX);
    buf_put_u8(out, (uint8_t)s.len);
}

// ---- queues

void queue_record_put(const struct queue_facts *f, struct buf *out)
{
    const struct queue_settings *s = &f->settings;
    ASSERT(queue_is_topic(f));
    ASSERT(f->arguments.len <= QUEUE_ARGUMENTS_MAX);
    uint8_t flags = (uint8_t)((f->auto_delete ? QUEUE_AUTO_DELETE : 0) |
                              (s->dead_letter ? QUEUE_DEAD_LETTER : 0) |
                              (s->dead_key.data != NULL ? QUEUE_DEAD_KEY : 0) |
                              (s->single_active ? QUEUE_SINGLE : 0));
    buf_put_u8(out, RECORD_VERSION);
    buf_put_u8(out, flags);
    buf_put_le16(out, (uint16_t)f->levels);
    buf_put_le64(out, (uint64_t)f->created_ms);
    buf_put_le64(out, (uint64_t)s->message_ttl_ms);
    buf_put_le64(out, (uint64_t)s->expires_ms);
    buf_put_le64(out, (uint64_t)s->max_length);
    buf_put_le64(out, (uint64_t)s->max_length_bytes);
    buf_put_le32(out, s->delivery_limit);
    len_put(out, f->vhost);
    len_put(out, f->name);
    len_put(out, s->dead_exchange);
    len_put(out, s->dead_key);
    buf_put_le32(out, (uint32_t)f->arguments.len);
    buf_put_slice(out, f->vhost);
    buf_put_slice(out, f->name);
    buf_put_slice(out, s->dead_exchange);
    buf_put_slice(out, s->dead_key);
    buf_put_slice(out, f->arguments);
}

int queue_record_get(struct slice key, struct slice value, struct queue_facts *out)
{
    struct cursor in = cursor_of(value);
    struct queue_facts f = {.durable = true};
    struct queue_settings *s = &f.settings;
    int err = version_check(&in);
    if (err != 0)
        return err;
    uint8_t flags = cursor_u8(&in);
    f.levels = cursor_le16(&in);
    f.created_ms = (int64_t)cursor_le64(&in);
    s->message_ttl_ms = (int64_t)cursor_le64(&in);
    s->expires_ms = (int64_t)cursor_le64(&in);
    s->max_length = (int64_t)cursor_le64(&in);
    s->max_length_bytes = (int64_t)cursor_le64(&in);
    s->delivery_limit = cursor_le32(&in);
    uint8_t vhost = cursor_u8(&in);
    uint8_t name = cursor_u8(&in);
    uint8_t dead_exchange = cursor_u8(&in);
    uint8_t dead_key = cursor_u8(&in);
    uint32_t arguments = cursor_le32(&in);
    f.vhost = cursor_bytes(&in, vhost);
    f.name = cursor_bytes(&in, name);
    s->dead_exchange = cursor_bytes(&in, dead_exchange);
    s->dead_key = cursor_bytes(&in, dead_key);
    f.arguments = cursor_bytes(&in, arguments);
    f.auto_delete = (flags & QUEUE_AUTO_DELETE) != 0;
    s->auto_delete = f.auto_delete;
    s->dead_letter = (flags & QUEUE_DEAD_LETTER) != 0;
    s->single_active = (flags & QUEUE_SINGLE) != 0;
    if ((flags & QUEUE_DEAD_KEY) == 0)
        s->dead_key = SLICE_NULL;
    err = record_end(&in);
    if (err != 0 || key.len != 16 || f.levels == 0 || f.levels > QUEUE_LEVELS_MAX || name == 0)
        return ERR_CORRUPT;
    memcpy(f.id.bytes, key.data, 16);
    *out = f;
    return 0;
}

// ---- exchanges

void exchange_record_put(const struct exchange *x, struct buf *out)
{
    static const uint8_t types[] = {
        [EXCHANGE_DIRECT] = 1, [EXCHANGE_FANOUT] = 2, [EXCHANGE_TOPIC] = 3, [EXCHANGE_HEADERS] = 4};
    ASSERT(x->durable);
    ASSERT(!x->preset);
    ASSERT(x->type < EXCHANGE_TYPES_COUNT);
    buf_put_u8(out, RECORD_VERSION);
    buf_put_u8(out, types[x->type]);
    buf_put_u8(out, (uint8_t)((x->auto_delete ? EXCHANGE_AUTO_DELETE : 0) |
                              (x->internal ? EXCHANGE_INTERNAL : 0) |
                              (x->delayed ? EXCHANGE_DELAYED : 0)));
    len_put(out, x->vhost);
    len_put(out, x->name);
    buf_put_le32(out, (uint32_t)x->arguments.len);
    buf_put_slice(out, x->vhost);
    buf_put_slice(out, x->name);
    buf_put_slice(out, x->arguments);
}

int exchange_record_get(struct slice key, struct slice value, struct exchange *out)
{
    static const enum exchange_type types[] = {EXCHANGE_DIRECT, EXCHANGE_FANOUT, EXCHANGE_TOPIC,
                                               EXCHANGE_HEADERS};
    struct cursor in = cursor_of(value);
    struct exchange x = {.durable = true};
    int err = version_check(&in);
    if (err != 0)
        return err;
    uint8_t type = cursor_u8(&in);
    uint8_t flags = cursor_u8(&in);
    uint8_t vhost = cursor_u8(&in);
    uint8_t name = cursor_u8(&in);
    uint32_t arguments = cursor_le32(&in);
    x.vhost = cursor_bytes(&in, vhost);
    x.name = cursor_bytes(&in, name);
    x.arguments = cursor_bytes(&in, arguments);
    x.auto_delete = (flags & EXCHANGE_AUTO_DELETE) != 0;
    x.internal = (flags & EXCHANGE_INTERNAL) != 0;
    x.delayed = (flags & EXCHANGE_DELAYED) != 0;
    err = record_end(&in);
    if (err != 0 || key.len != 16 || name == 0 || type == 0 || type > EXCHANGE_TYPES_COUNT)
        return ERR_CORRUPT;
    x.type = types[type - 1];
    memcpy(x.id.bytes, key.data, 16);
    *out = x;
    return 0;
}

// ---- bindings

void binding_record_key(const struct exchange_binding *b, const struct binding_ends *ends,
                        struct buf *out)
{
    buf_put_u8(out, b->to_exchange);
    buf_put(out, ends->source.bytes, 16);
    buf_put(out, ends->destination.bytes, 16);
    len_put(out, b->vhost);
    len_put(out, b->source);
    len_put(out, b->destination);
    len_put(out, b->key);
    buf_put_slice(out, b->vhost);
    buf_put_slice(out, b->source);
    buf_put_slice(out, b->destination);
    buf_put_slice(out, b->key);
    buf_put_slice(out, b->arguments);
}

void binding_record_put(const struct exchange_binding *b, struct buf *out)
{
    ASSERT(b->durable);
    ASSERT(b->headers_count <= UINT16_MAX);
    buf_put_u8(out, RECORD_VERSION);
    buf_put_u8(out, (uint8_t)b->match);
    buf_put_le16(out, (uint16_t)b->headers_count);
    for (uint32_t i = 0; i < b->headers_count; i++) {
        const struct exchange_header *h = &b->headers[i];
        len_put(out, h->name);
        buf_put_u8(out, h->value.data != NULL);
        buf_put_le32(out, (uint32_t)h->value.len);
        buf_put_slice(out, h->name);
        buf_put_slice(out, h->value);
    }
}

static int binding_key_get(struct slice key, struct exchange_binding *out,
                           struct binding_ends *out_ends)
{
    struct cursor in = cursor_of(key);
    uint8_t to_exchange = cursor_u8(&in);
    struct slice source = cursor_bytes(&in, 16);
    struct slice destination = cursor_bytes(&in, 16);
    uint8_t lens[4];
    for (size_t i = 0; i < 4; i++)
        lens[i] = cursor_u8(&in);
    out->vhost = cursor_bytes(&in, lens[0]);
    out->source = cursor_bytes(&in, lens[1]);
    out->destination = cursor_bytes(&in, lens[2]);
    out->key = cursor_bytes(&in, lens[3]);
    if (in.err != 0)
        return ERR_CORRUPT;
    out->arguments = cursor_bytes(&in, cursor_left(&in));
    out->to_exchange = to_exchange != 0;
    memcpy(out_ends->source.bytes, source.data, 16);
    memcpy(out_ends->destination.bytes, destination.data, 16);
    return 0;
}

static void header_get(struct cursor *in, struct exchange_header *out)
{
    uint8_t name = cursor_u8(in);
    uint8_t valued = cursor_u8(in);
    uint32_t value = cursor_le32(in);
    out->name = cursor_bytes(in, name);
    out->value = cursor_bytes(in, value);
    if (valued == 0)
        out->value = SLICE_NULL;
}

int binding_record_get(struct slice key, struct slice value, struct exchange_binding *out,
                       struct binding_ends *out_ends)
{
    struct cursor in = cursor_of(value);
    struct exchange_binding b = {.durable = true};
    int err = version_check(&in);
    if (err != 0)
        return err;
    uint8_t match = cursor_u8(&in);
    b.headers_count = cursor_le16(&in);
    err = binding_key_get(key, &b, out_ends);
    // A header takes at least six bytes: what is claimed is held against what is there.
    if (err != 0 || in.err != 0 || match > MATCH_ANY_WITH_X ||
        b.headers_count > cursor_left(&in) / 6)
        return ERR_CORRUPT;
    struct exchange_header *headers = mem_zalloc((b.headers_count + 1U) * sizeof headers[0]);
    for (uint32_t i = 0; i < b.headers_count; i++)
        header_get(&in, &headers[i]);
    if (record_end(&in) != 0) {
        mem_free(headers);
        return ERR_CORRUPT;
    }
    b.match = (enum exchange_match)match;
    b.headers = headers;
    *out = b;
    return 0;
}

// ---- a full cut

struct records_cut {
    struct shard *shard;
    struct buf *out;
    struct buf key, value;
};

static void record_emit(struct records_cut *cut, uint8_t kind, struct slice key)
{
    ASSERT(cut->value.err == 0);
    ASSERT(cut->key.err == 0);
    const struct state_record record = {kind, key, buf_slice(&cut->value)};
    state_put(cut->out, &record);
    buf_clear(&cut->key);
    buf_clear(&cut->value);
}

static bool queue_emit(void *arg, const struct queue_facts *facts)
{
    struct records_cut *cut = arg;
    if (!queue_is_topic(facts))
        return true;
    queue_record_put(facts, &cut->value);
    record_emit(cut, STATE_QUEUE, slice_of(facts->id.bytes, 16));
    return true;
}

static bool exchange_emit(void *arg, const struct exchange *x)
{
    struct records_cut *cut = arg;
    if (!x->durable || x->preset)
        return true;
    exchange_record_put(x, &cut->value);
    record_emit(cut, STATE_EXCHANGE, slice_of(x->id.bytes, 16));
    return true;
}

static bool binding_emit(void *arg, const struct exchange_binding *b)
{
    struct records_cut *cut = arg;
    struct binding_ends ends;
    if (!b->durable)
        return true;
    bool there = binding_ends_of(cut->shard, b, &ends);
    ASSERT(there);
    binding_record_key(b, &ends, &cut->key);
    binding_record_put(b, &cut->value);
    record_emit(cut, STATE_BINDING, buf_slice(&cut->key));
    return true;
}

void queue_records_cut(struct shard *shard, struct buf *out)
{
    struct records_cut cut = {.shard = shard, .out = out};
    buf_init(&cut.key, 1U << 20);
    buf_init(&cut.value, 1U << 20);
    queue_entries_each(shard, true, queue_emit, &cut);
    exchanges_each(shard->replica.exchanges, SLICE_NULL, exchange_emit, &cut);
    exchange_bindings_each(shard->replica.exchanges, SLICE_NULL, binding_emit, &cut);
    buf_fini(&cut.key);
    buf_fini(&cut.value);
}
