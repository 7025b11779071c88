// SPDX-License-Identifier: Apache-2.0
//
// Contents: the header and body frames behind basic.publish, the only method that brings one to a
// server. What is all in the buffer is handled where it lies; else it is put together: the method
// is copied, and the body's blob grows as bytes arrive, out of the shard's request budget, so that
// neither a header's promise nor many beginnings buy memory.
#include <string.h>

#include "amqp/conn.h"
#include "base/endian.h"
#include "base/mem.h"
#include "node/status.h"

#define CLASS_BASIC    60U
#define BODY_GROWS_MIN (4U << 10)
#define BODY_GROWTH    4U // times the bytes that are there

enum stage { WANTS_HEADER, WANTS_BODY };

struct amqp_assembly {
    enum stage stage;
    struct amqp_basic_publish method; // its strings point into names
    uint8_t names[2 * WIRE_SHORT_STR_MAX];
    struct amqp_properties read;
    uint8_t *properties; // raw; read points into it
    size_t properties_len;
    uint64_t size, have; // of the body
    struct blob *body;   // NULL: nothing has come yet
};

// ---- all at once

struct frame {
    uint8_t type;
    uint16_t number;
    struct slice payload;
    size_t len; // with its head and end
};

static bool frame_at(const struct amqp_conn *conn, const uint8_t *data, size_t len,
                     struct frame *out)
{
    if (len < AMQP_FRAME_OVERHEAD)
        return false;
    uint32_t size = be32_get(data + 3);
    if (size > conn->frame_max || len - AMQP_FRAME_OVERHEAD < size ||
        data[7 + size] != AMQP_FRAME_END)
        return false;
    *out = (struct frame){data[0], be16_get(data + 1), slice_of(data + 7, size),
                          (size_t)size + AMQP_FRAME_OVERHEAD};
    return true;
}

// A content header's fixed part says size bytes of body, and is as it should be.
static bool header_at(struct slice payload, uint64_t *out_size)
{
    if (payload.len < 14 || be16_get(payload.data) != CLASS_BASIC ||
        be16_get(payload.data + 2) != 0)
        return false;
    *out_size = be64_get(payload.data + 4);
    return true;
}

static struct slice header_properties(struct slice payload)
{
    return slice_of(payload.data + 12, payload.len - 12);
}

static void publish(struct amqp_channel *ch, const struct amqp_basic_publish *m,
                    struct slice properties, const struct amqp_properties *read, struct slice body)
{
    const struct amqp_content content = {.properties = properties, .read = read, .body = body};
    ch->conn->appended = true;
    shard_counters(ch->conn->door->shard)->requests++;
    amqp_basic_publish_handle(ch, m, &content);
}

size_t amqp_content_whole(struct amqp_conn *conn, const uint8_t *data, size_t len)
{
    struct frame method;
    struct frame header;
    struct frame body = {0};
    uint64_t size;
    struct amqp_properties read;
    if (conn->state != AMQP_CONN_OPEN || !frame_at(conn, data, len, &method) ||
        method.type != AMQP_FRAME_METHOD || method.payload.len < 4 ||
        be32_get(method.payload.data) != AMQP_BASIC_PUBLISH)
        return 0;
    struct amqp_channel *ch = amqp_channel_find(conn, method.number);
    if (ch == NULL || ch->state != AMQP_CHANNEL_IS_OPEN || ch->assembly != NULL)
        return 0;
    if (!frame_at(conn, data + method.len, len - method.len, &header) ||
        header.type != AMQP_FRAME_HEADER || header.number != method.number ||
        !header_at(header.payload, &size))
        return 0;
    size_t at = method.len + header.len;
    if (size > 0 && (!frame_at(conn, data + at, len - at, &body) || body.type != AMQP_FRAME_BODY ||
                     body.number != method.number || body.payload.len != size))
        return 0;
    struct slice properties = header_properties(header.payload);
    if (amqp_properties_read(properties, &read) != 0)
        return 0;
    struct slice fields = slice_of(method.payload.data + 4, method.payload.len - 4);
    const void *m = amqp_method_decode(conn, wire_amqp_method(AMQP_BASIC_PUBLISH), fields);
    if (m != NULL)
        publish(ch, m, properties, &read, body.payload);
    return at + body.len;
}

// ---- bit by bit

static struct slice name_keep(uint8_t *at, struct slice name)
{
    ASSERT(name.len <= WIRE_SHORT_STR_MAX);
    memcpy(at, name.data, name.len);
    return slice_of(at, name.len);
}

static size_t assembly_bytes(const struct amqp_assembly *a)
{
    return sizeof *a + a->properties_len + (a->body != NULL ? a->body->size : 0);
}

// False: the connection starves, and the frame is handled again when there is memory. A frame may
// be small, but channels are many.
static bool memory_take(struct amqp_conn *conn, size_t bytes)
{
    if (budget_take(shard_request_budget(conn->door->shard), bytes) == 0)
        return true;
    amqp_door_starved(conn->door, conn);
    return false;
}

void amqp_content_begin(struct amqp_channel *ch, const struct amqp_basic_publish *m)
{
    struct amqp_conn *conn = ch->conn;
    ASSERT(ch->assembly == NULL);
    if (!memory_take(conn, sizeof(struct amqp_assembly)))
        return;
    struct amqp_assembly *a = mem_alloc(sizeof *a);
    *a = (struct amqp_assembly){.stage = WANTS_HEADER, .method = *m};
    a->method.exchange = name_keep(a->names, m->exchange);
    a->method.routing_key = name_keep(a->names + WIRE_SHORT_STR_MAX, m->routing_key);
    ch->assembly = a;
    conn->assemblies++;
    conn->assembled += sizeof *a;
}

static void assembly_free(struct amqp_conn *conn, struct amqp_assembly *a)
{
    ASSERT(conn->assemblies > 0);
    ASSERT(conn->assembled >= assembly_bytes(a));
    conn->assembled -= assembly_bytes(a);
    conn->assemblies--;
    budget_give(shard_request_budget(conn->door->shard), sizeof *a + a->properties_len);
    blob_unref(a->body); // gives back its own
    mem_free(a->properties);
    mem_free(a);
}

void amqp_content_drop(struct amqp_channel *ch)
{
    if (ch->assembly == NULL)
        return;
    assembly_free(ch->conn, ch->assembly);
    ch->assembly = NULL;
}

void amqp_content_unexpected(struct amqp_channel *ch)
{
    if (ch->assembly->stage == WANTS_HEADER)
        amqp_conn_fail(
            ch->conn, AMQP_UNEXPECTED_FRAME, AMQP_BASIC_PUBLISH,
            "expected content header for class 60, got non content header frame instead");
    else
        amqp_conn_fail(ch->conn, AMQP_UNEXPECTED_FRAME, AMQP_BASIC_PUBLISH,
                       "expected content body, got non content body frame instead");
}

static void assembly_done(struct amqp_channel *ch)
{
    struct amqp_assembly *a = ch->assembly;
    struct amqp_conn *conn = ch->conn;
    ASSERT(a->stage == WANTS_BODY);
    ASSERT(a->have == a->size);
    struct slice body = a->body == NULL ? slice_cstr("") : slice_of(a->body->data, a->size);
    ch->assembly = NULL; // the handler may end the channel
    publish(ch, &a->method, slice_of(a->properties, a->properties_len), &a->read, body);
    assembly_free(conn, a);
}

// The channel whose content goes on with this frame; NULL when nobody wants it, or the connection
// has failed.
static struct amqp_channel *wanted(struct amqp_conn *conn, uint16_t number, enum stage stage)
{
    if (conn->state != AMQP_CONN_OPEN)
        return NULL;
    struct amqp_channel *ch = amqp_channel_find(conn, number);
    if (ch != NULL && ch->state == AMQP_CHANNEL_IS_CLOSING)
        return NULL;
    if (ch == NULL || ch->assembly == NULL) {
        amqp_conn_fail(conn, AMQP_UNEXPECTED_FRAME, 0,
                       "expected method frame, got non method frame instead");
        return NULL;
    }
    if (ch->assembly->stage != stage) {
        amqp_content_unexpected(ch);
        return NULL;
    }
    return ch;
}

void amqp_content_header(struct amqp_conn *conn, uint16_t number, struct slice payload)
{
    uint64_t size;
    struct amqp_properties read;
    struct amqp_channel *ch = wanted(conn, number, WANTS_HEADER);
    if (ch == NULL)
        return;
    if (payload.len < 14 || be16_get(payload.data + 2) != 0) {
        amqp_content_unexpected(ch);
        return;
    }
    if (!header_at(payload, &size)) {
        amqp_conn_fail(conn, AMQP_UNEXPECTED_FRAME, AMQP_BASIC_PUBLISH,
                       "expected content header for class 60, got one for class %u instead",
                       be16_get(payload.data));
        return;
    }
    if (amqp_properties_read(header_properties(payload), &read) != 0) {
        amqp_conn_fail(conn, AMQP_SYNTAX_ERROR, AMQP_BASIC_PUBLISH,
                       "the properties of a message are malformed");
        return;
    }
    if (size > AMQP_MESSAGE_MAX) { // its frames are passed over with all else on the channel
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, AMQP_BASIC_PUBLISH,
                  "message size %llu is larger than configured max size %u",
                  (unsigned long long)size, AMQP_MESSAGE_MAX);
        return;
    }
    struct amqp_assembly *a = ch->assembly;
    struct slice properties = header_properties(payload);
    if (!memory_take(conn, properties.len))
        return;
    a->properties_len = properties.len;
    a->properties = mem_dup(properties.data, properties.len);
    conn->assembled += properties.len;
    int err = amqp_properties_read(slice_of(a->properties, properties.len), &a->read);
    ASSERT(err == 0); // the same bytes
    a->size = size;
    a->stage = WANTS_BODY;
    if (size == 0)
        assembly_done(ch);
}

bool amqp_content_fits(struct amqp_conn *conn, uint16_t number, size_t len)
{
    struct amqp_channel *ch = wanted(conn, number, WANTS_BODY);
    if (ch != NULL && len > ch->assembly->size - ch->assembly->have)
        amqp_conn_fail(conn, AMQP_FRAME_ERROR, AMQP_BASIC_PUBLISH,
                       "content body frame exceeds remaining content size");
    return conn->state == AMQP_CONN_OPEN;
}

static struct amqp_assembly *in_body(struct amqp_conn *conn, uint16_t number)
{
    struct amqp_channel *ch = amqp_channel_find(conn, number);
    bool body = ch != NULL && ch->assembly != NULL && ch->assembly->stage == WANTS_BODY;
    return body ? ch->assembly : NULL;
}

// ERR_BUDGET, ERR_NOMEM: the connection starves.
static int body_grow(struct amqp_conn *conn, struct amqp_assembly *a, size_t len)
{
    struct blob *blob;
    uint64_t want = (a->have + len) * BODY_GROWTH;
    if (a->body != NULL && a->body->size - a->have >= len)
        return 0;
    if (want < BODY_GROWS_MIN)
        want = BODY_GROWS_MIN;
    if (want > a->size)
        want = a->size;
    int err = blob_create(want, shard_request_budget(conn->door->shard), &blob);
    if (err != 0) {
        amqp_door_starved(conn->door, conn);
        return err;
    }
    size_t before = a->body != NULL ? a->body->size : 0;
    if (a->body != NULL)
        memcpy(blob->data, a->body->data, a->have);
    blob_unref(a->body);
    a->body = blob;
    conn->assembled += want - before;
    return 0;
}

bool amqp_content_body(struct amqp_conn *conn, uint16_t number, struct slice part)
{
    struct amqp_assembly *a = in_body(conn, number);
    if (a == NULL || part.len == 0)
        return true;
    ASSERT(part.len <= a->size - a->have);
    if (body_grow(conn, a, part.len) != 0)
        return false;
    memcpy(a->body->data + a->have, part.data, part.len);
    a->have += part.len;
    return true;
}

void amqp_content_end(struct amqp_conn *conn, uint16_t number)
{
    struct amqp_assembly *a = in_body(conn, number);
    if (a != NULL && a->have == a->size)
        assembly_done(amqp_channel_find(conn, number));
}
