// SPDX-License-Identifier: Apache-2.0
//
// What the files of the AMQP door share. The room has two halves. The lower one knows sockets and
// frames: door.c, conn*.c, channel.c, content.c, send.c. The upper one knows queues: one file per
// class of methods, and session.c for what a channel has open with the node. They meet here:
//
//   down   a handler is given a decoded method (and its content, complete) and sends methods,
//          contents and errors;
//   up     hooks amqp_session_*: a channel begins and ends, its output has room again.
//
// A handler that has to ask another shard begins a wait: nothing that this connection sent later is
// handled before it ends, so methods take effect in order and handlers never overlap.
#ifndef WEIR_AMQP_AMQP_INT_H
#define WEIR_AMQP_AMQP_INT_H

#include "amqp/door.h"
#include "amqp/properties.h"
#include "amqp/table.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/list.h"
#include "node/shard.h"
#include "wire/wire_amqp.h"

struct amqp_conn;
struct amqp_channel;
struct amqp_session; // session.c
struct amqp_lobby;   // session.c: what the upper half keeps per door

// ---- limits

#define AMQP_HANDSHAKE_NS   (10 * INT64_C(1000000000)) // from accept to connection.open
#define AMQP_CLOSING_NS     (10 * INT64_C(1000000000)) // until the client's close-ok
#define AMQP_CHANNEL_MAX    2047U
#define AMQP_FRAME_MAX      131072U // with its eight bytes of frame
#define AMQP_FRAME_MIN      4096U   // before tune-ok
#define AMQP_HEARTBEAT_S    60U
#define AMQP_MESSAGE_MAX    (16U << 20)
#define AMQP_UNSENT_MAX     (1U << 20) // bytes; above it a connection is not read and has no room
#define AMQP_REPLY_TEXT_MAX 255U

// ---- a door

struct amqp_door {
    struct shard *shard;
    struct io *io;
    struct io_listeners listeners;
    bool closed;
    struct list conns;
    uint32_t conns_count;
    struct list waits;   // of connections that are gone
    struct list starved; // connections that wait for the memory budget
    struct io_timer retry;
    struct list dirty; // connections with something to send or to go on with
    struct io_msg flush;
    bool flush_posted;
    uint8_t *scratch;        // to read into, so that idle connections hold no buffer
    struct arena arena;      // of the method that is being handled
    struct wire_out encoded; // a method on its way out
    struct amqp_lobby *lobby;
};

// ---- a connection, as far as the upper half may look

enum amqp_can { // what the client says it understands (client-properties, capabilities)
    AMQP_CAN_CANCEL_NOTIFY = 1,
    AMQP_CAN_BLOCKED = 2,
    AMQP_CAN_FAIL_CLOSE = 4, // authentication_failure_close
    AMQP_CAN_CONFIRM = 8,
    AMQP_CAN_NACK = 16,
};

struct amqp_conn *amqp_channel_conn(const struct amqp_channel *ch);
struct amqp_door *amqp_conn_door(const struct amqp_conn *conn);
uint64_t amqp_conn_id(const struct amqp_conn *conn); // the owner of exclusive queues
struct slice amqp_conn_vhost(const struct amqp_conn *conn);
struct slice amqp_conn_user(const struct amqp_conn *conn);
uint32_t amqp_conn_can(const struct amqp_conn *conn);
uint32_t amqp_conn_frame_max(const struct amqp_conn *conn);
struct list *amqp_conn_owned(struct amqp_conn *conn); // queue.c's: exclusive queues

// How many bytes a connection may still be given. 0: the client does not read as fast as it is
// sent to, or memory is short; amqp_session_room tells when that is over.
size_t amqp_conn_room(const struct amqp_conn *conn);

// ---- a channel

struct amqp_channel {
    struct amqp_conn *conn;
    uint16_t number; // 1 .. channel_max
    uint8_t state;   // channel.c
    struct amqp_session *session;
    struct amqp_assembly *assembly; // content.c: of a method whose content is still coming
};

// ---- sending. What is sent leaves at the end of the event or turn. Methods are those of
// wire_amqp.h; text longer than a field holds is our bug. Never fails: a connection that cannot go
// on is closed later.

void amqp_send(struct amqp_channel *ch, uint32_t method, const void *args);
// body lies within `blob`, which is referenced until it is sent; blob NULL: it is copied.
// properties: raw.
void amqp_send_content(struct amqp_channel *ch, uint32_t method, const void *args,
                       struct slice properties, struct slice body, struct blob *blob);

// ---- errors (AMQP 0-9-1 section 1.2; RabbitMQ's texts "NOT_FOUND - no queue 'q' in vhost '/'")

#define AMQP_CODES(X)           \
    X(CONTENT_TOO_LARGE, 311)   \
    X(NO_ROUTE, 312)            \
    X(NO_CONSUMERS, 313)        \
    X(CONNECTION_FORCED, 320)   \
    X(INVALID_PATH, 402)        \
    X(ACCESS_REFUSED, 403)      \
    X(NOT_FOUND, 404)           \
    X(RESOURCE_LOCKED, 405)     \
    X(PRECONDITION_FAILED, 406) \
    X(FRAME_ERROR, 501)         \
    X(SYNTAX_ERROR, 502)        \
    X(COMMAND_INVALID, 503)     \
    X(CHANNEL_ERROR, 504)       \
    X(UNEXPECTED_FRAME, 505)    \
    X(RESOURCE_ERROR, 506)      \
    X(NOT_ALLOWED, 530)         \
    X(NOT_IMPLEMENTED, 540)     \
    X(INTERNAL_ERROR, 541)
enum amqp_code {
#define AMQP_CODE_ENUM(name, code) AMQP_##name = (code),
    AMQP_CODES(AMQP_CODE_ENUM)
#undef AMQP_CODE_ENUM
};
const char *amqp_code_name(uint16_t code); // "NOT_FOUND"

// Raises an exception: the text after "NAME - " is formatted. 311 to 313 and 403 to 406 end the
// channel, the others the connection. `method`: what caused it, 0 when nothing did. Either way
// the channel's session has ended when this returns: touch it no more, and return from the handler.
void amqp_fail(struct amqp_channel *ch, enum amqp_code code, uint32_t method, const char *format,
               ...) __attribute__((format(printf, 4, 5)));
void amqp_conn_fail(struct amqp_conn *conn, enum amqp_code code, uint32_t method,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));
// For "%.*s" in such texts.
#define AMQP_SHOW(slice) (int)(slice).len, (const char *)(slice).data

// ---- waiting for the node

struct amqp_wait {
    struct list link;             // of the connection's waits, or the door's
    struct amqp_door *door;       // always
    struct amqp_conn *conn;       // NULL: gone
    struct amqp_channel *channel; // NULL: it has ended, or the wait is the connection's
    bool holds;
    // The door is destroyed and nobody will answer any more: free it.
    void (*drop)(struct amqp_wait *wait);
};
// channel may be NULL (then conn's own: its close-ok comes after it). holds: nothing more of the
// connection is handled until the end.
void amqp_wait_begin(struct amqp_conn *conn, struct amqp_channel *channel, struct amqp_wait *wait,
                     bool holds, void (*drop)(struct amqp_wait *wait));
// Call it first when the answer is there. wait->channel tells afterwards whether there is still
// somebody to answer (it is NULL, or open).
void amqp_wait_end(struct amqp_wait *wait);

// ---- hooks of the upper half, session.c

void amqp_lobby_open(struct amqp_door *door);    // sets door->lobby
void amqp_lobby_destroy(struct amqp_door *door); // no actor runs any more
bool amqp_session_open(struct amqp_channel *ch); // sets ch->session; false: there is no memory
// The channel ends for whatever reason: consumers go, what is unacknowledged is released, receipts
// are cancelled, ch->session is freed. gone: the actor has ended, nothing may be asked of the node.
void amqp_session_close(struct amqp_channel *ch, bool gone);
void amqp_session_room(struct amqp_channel *ch); // the connection has room again
// The client says that a channel, or (ch NULL) the connection, is to be closed. True: a wait has
// begun, behind which the channel leaves (amqp_channel_left), or the connection.
bool amqp_leave(struct amqp_conn *conn, struct amqp_channel *ch);
void amqp_channel_left(struct amqp_channel *ch); // the lower half's: ends it and says close-ok
// The connection ends, its channels have: its exclusive queues are deleted (with a wait of the
// connection, so that an orderly close is answered when they are gone).
void amqp_owned_close(struct amqp_conn *conn);
void amqp_owned_forget(struct amqp_conn *conn); // as above, but the actor has ended

// ---- handlers: client methods that the upper half serves; others are the lower half's own
// (connection, channel, access) or refused (tx). Arguments are valid during the call only. What is
// a table has been checked.

struct amqp_content {                   // valid during the call
    struct slice properties;            // raw
    const struct amqp_properties *read; // the same, read once for all
    struct slice body;
};

#define AMQP_HANDLERS(X)                        \
    X(exchange_declare, EXCHANGE_DECLARE)       \
    X(exchange_delete, EXCHANGE_DELETE)         \
    X(exchange_bind, EXCHANGE_BIND)             \
    X(exchange_unbind, EXCHANGE_UNBIND)         \
    X(queue_declare, QUEUE_DECLARE)             \
    X(queue_bind, QUEUE_BIND)                   \
    X(queue_purge, QUEUE_PURGE)                 \
    X(queue_delete, QUEUE_DELETE)               \
    X(queue_unbind, QUEUE_UNBIND)               \
    X(basic_qos, BASIC_QOS)                     \
    X(basic_consume, BASIC_CONSUME)             \
    X(basic_cancel, BASIC_CANCEL)               \
    X(basic_get, BASIC_GET)                     \
    X(basic_ack, BASIC_ACK)                     \
    X(basic_reject, BASIC_REJECT)               \
    X(basic_recover, BASIC_RECOVER)             \
    X(basic_recover_async, BASIC_RECOVER_ASYNC) \
    X(basic_nack, BASIC_NACK)                   \
    X(confirm_select, CONFIRM_SELECT)
#define AMQP_HANDLER_DECLARE(name, NAME) \
    void amqp_##name##_handle(struct amqp_channel *ch, const struct amqp_##name *m);
AMQP_HANDLERS(AMQP_HANDLER_DECLARE)
#undef AMQP_HANDLER_DECLARE
void amqp_basic_publish_handle(struct amqp_channel *ch, const struct amqp_basic_publish *m,
                               const struct amqp_content *content);

#endif
