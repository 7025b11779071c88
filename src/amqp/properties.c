// SPDX-License-Identifier: Apache-2.0
//
// The property list, by one table of what stands behind each flag: reading and writing walk it from
// the highest bit down.
#include "amqp/properties.h"

#include "amqp/table.h"
#include "base/assert.h"
#include "base/cursor.h"
#include "base/err.h"

enum form { SHORT, OCTET, SECONDS, TABLE };

struct row {
    uint16_t flag;
    uint8_t form;
    uint16_t offset; // of the member
};

#define ROW(flag, form, member)                              \
    {                                                        \
        flag, form, offsetof(struct amqp_properties, member) \
    }
static const struct row rows[] = {
    ROW(AMQP_CONTENT_TYPE, SHORT, content_type),
    ROW(AMQP_CONTENT_ENCODING, SHORT, content_encoding),
    ROW(AMQP_HEADERS, TABLE, headers),
    ROW(AMQP_DELIVERY_MODE, OCTET, delivery_mode),
    ROW(AMQP_PRIORITY, OCTET, priority),
    ROW(AMQP_CORRELATION_ID, SHORT, correlation_id),
    ROW(AMQP_REPLY_TO, SHORT, reply_to),
    ROW(AMQP_EXPIRATION, SHORT, expiration),
    ROW(AMQP_MESSAGE_ID, SHORT, message_id),
    ROW(AMQP_TIMESTAMP, SECONDS, timestamp),
    ROW(AMQP_TYPE, SHORT, type),
    ROW(AMQP_USER_ID, SHORT, user_id),
    ROW(AMQP_APP_ID, SHORT, app_id),
    ROW(AMQP_CLUSTER_ID, SHORT, cluster_id),
};
#define ROWS (sizeof rows / sizeof rows[0])

// Bit 0 would say that more flags follow, bit 1 belongs to nothing.
#define FLAGS_UNKNOWN 3U

static int row_read(const struct row *row, struct cursor *in, void *at)
{
    switch ((enum form)row->form) {
    case SHORT:
        *(struct slice *)at = cursor_bytes(in, cursor_u8(in));
        return in->err;
    case OCTET:
        *(uint8_t *)at = cursor_u8(in);
        return in->err;
    case SECONDS:
        *(uint64_t *)at = cursor_be64(in);
        return in->err;
    case TABLE:
        break;
    }
    struct slice table = cursor_bytes(in, cursor_be32(in));
    *(struct slice *)at = table;
    return in->err != 0 ? in->err : amqp_table_check(table);
}

int amqp_properties_read(struct slice raw, struct amqp_properties *out)
{
    struct amqp_properties p = {0};
    struct cursor in = cursor_of(raw);
    p.flags = cursor_be16(&in);
    if ((p.flags & FLAGS_UNKNOWN) != 0)
        return ERR_MALFORMED;
    for (size_t i = 0; i < ROWS; i++) {
        if ((p.flags & rows[i].flag) == 0)
            continue;
        int err = row_read(&rows[i], &in, (uint8_t *)&p + rows[i].offset);
        if (err != 0)
            return err == ERR_LIMIT ? ERR_LIMIT : ERR_MALFORMED;
    }
    if (in.err != 0 || cursor_left(&in) > 0)
        return ERR_MALFORMED;
    *out = p;
    return 0;
}

static void row_write(const struct row *row, const void *at, struct buf *out)
{
    const struct slice *s = at;
    switch ((enum form)row->form) {
    case SHORT:
        ASSERT(s->len <= UINT8_MAX);
        buf_put_u8(out, (uint8_t)s->len);
        buf_put_slice(out, *s);
        break;
    case OCTET:
        buf_put_u8(out, *(const uint8_t *)at);
        break;
    case SECONDS:
        buf_put_be64(out, *(const uint64_t *)at);
        break;
    case TABLE:
        buf_put_be32(out, (uint32_t)s->len);
        buf_put_slice(out, *s);
        break;
    }
}

void amqp_properties_write(const struct amqp_properties *properties, struct buf *out)
{
    ASSERT((properties->flags & FLAGS_UNKNOWN) == 0);
    buf_put_be16(out, properties->flags);
    for (size_t i = 0; i < ROWS; i++)
        if ((properties->flags & rows[i].flag) != 0)
            row_write(&rows[i], (const uint8_t *)properties + rows[i].offset, out);
}
