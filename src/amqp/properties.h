// SPDX-License-Identifier: Apache-2.0
//
// The properties of a message (AMQP 0-9-1 section 4.2.6.1, class basic): a u16 of flags, from the
// highest bit on one per property in the order below, then the properties that are there. "Raw"
// here is that, flags and list, as the content header carries it behind the body's size; it is
// stored and passed on as it came, unless something of it must change: read, change, write.
#ifndef WEIR_AMQP_PROPERTIES_H
#define WEIR_AMQP_PROPERTIES_H

#include "base/buf.h"
#include "base/slice.h"

enum amqp_property { // bits of the flags
    AMQP_CONTENT_TYPE = 1 << 15,
    AMQP_CONTENT_ENCODING = 1 << 14,
    AMQP_HEADERS = 1 << 13,
    AMQP_DELIVERY_MODE = 1 << 12,
    AMQP_PRIORITY = 1 << 11,
    AMQP_CORRELATION_ID = 1 << 10,
    AMQP_REPLY_TO = 1 << 9,
    AMQP_EXPIRATION = 1 << 8,
    AMQP_MESSAGE_ID = 1 << 7,
    AMQP_TIMESTAMP = 1 << 6,
    AMQP_TYPE = 1 << 5,
    AMQP_USER_ID = 1 << 4,
    AMQP_APP_ID = 1 << 3,
    AMQP_CLUSTER_ID = 1 << 2,
};

struct amqp_properties {
    uint16_t flags; // which of the following are there; others are null or 0
    uint8_t delivery_mode, priority;
    uint64_t timestamp;
    struct slice content_type, content_encoding, correlation_id, reply_to, expiration, message_id,
        type, user_id, app_id, cluster_id;
    struct slice headers; // a table's content, see table.h
};

// Slices point into raw. ERR_MALFORMED: cut, bytes left over, unknown flags, a bad table;
// ERR_LIMIT: too deep. *out untouched then.
int amqp_properties_read(struct slice raw, struct amqp_properties *out);
// Appends raw: what flags name. Errors stick in out->err.
void amqp_properties_write(const struct amqp_properties *properties, struct buf *out);

#endif
