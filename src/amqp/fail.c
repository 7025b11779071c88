// SPDX-License-Identifier: Apache-2.0
//
// Exceptions (AMQP 0-9-1 section 1.2): the channel's are its end, the connection's are everybody's.
// Texts are RabbitMQ's, since clients and their tests look at them. A client that has not logged in
// is told nothing (section 2.2.4 has the server close the socket), and waits some seconds for it.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "amqp/conn.h"
#include "node/status.h"

const char *amqp_code_name(uint16_t code)
{
    switch (code) {
#define CODE_NAME(name, number) \
    case number:                \
        return #name;
        AMQP_CODES(CODE_NAME)
#undef CODE_NAME
    default:
        return "INTERNAL_ERROR";
    }
}

static bool is_soft(uint16_t code)
{
    return (code >= AMQP_CONTENT_TOO_LARGE && code <= AMQP_NO_CONSUMERS) ||
           (code >= AMQP_ACCESS_REFUSED && code <= AMQP_PRECONDITION_FAILED);
}

#define TEXT_SIZE (AMQP_REPLY_TEXT_MAX + 1)

// "NAME - what", cut as RabbitMQ cuts it.
__attribute__((format(printf, 3, 0))) static void text_format(char out[TEXT_SIZE], uint16_t code,
                                                              const char *format, va_list args)
{
    int head = snprintf(out, TEXT_SIZE, "%s - ", amqp_code_name(code));
    size_t room = TEXT_SIZE - (size_t)head;
    int len = vsnprintf(out + head, room, format, args);
    if (len < 0)
        out[head] = '\0';
    else if ((size_t)len >= room)
        memcpy(out + AMQP_REPLY_TEXT_MAX - 3, "...", 4);
}

void amqp_conn_release(struct amqp_conn *conn, bool gone)
{
    for (uint32_t i = 0; i < conn->channels_cap; i++)
        if (conn->channels[i] != NULL)
            amqp_channel_free(conn->channels[i], gone);
    ASSERT(conn->channels_count == 0);
    if (gone)
        amqp_owned_forget(conn);
    else if (!list_empty(&conn->owned))
        amqp_owned_close(conn);
}

// Whether the client hears of it.
static bool tells(const struct amqp_conn *conn, uint16_t code)
{
    switch ((enum amqp_conn_state)conn->state) {
    case AMQP_CONN_STARTING:
        return code == AMQP_ACCESS_REFUSED && (conn->can & AMQP_CAN_FAIL_CLOSE) != 0;
    case AMQP_CONN_TUNING:
        return code == AMQP_NOT_ALLOWED;
    case AMQP_CONN_OPENING:
    case AMQP_CONN_OPEN:
        return true;
    case AMQP_CONN_GREETING:
    case AMQP_CONN_LEAVING:
    case AMQP_CONN_ENDING:
    case AMQP_CONN_DEAF:
    case AMQP_CONN_CLOSED:
    case AMQP_CONN_STATES:
        break;
    }
    return false;
}

static void conn_end(struct amqp_conn *conn, uint16_t code, uint32_t method, const char *text)
{
    if (conn->state >= AMQP_CONN_LEAVING) // it is ending already
        return;
    const struct amqp_connection_close close = {
        .reply_code = code,
        .reply_text = slice_cstr(text),
        .class_id = (uint16_t)(method >> 16),
        .method_id = (uint16_t)method,
    };
    bool told = tells(conn, code);
    shard_counters(conn->door->shard)->request_errors++;
    if (told)
        amqp_conn_put_method(conn, 0, AMQP_CONNECTION_CLOSE, &close);
    amqp_conn_enter(conn, told ? AMQP_CONN_ENDING : AMQP_CONN_DEAF);
    amqp_conn_release(conn, false);
    conn->appended = false;
    amqp_conn_mark(conn);
}

void amqp_conn_fail(struct amqp_conn *conn, enum amqp_code code, uint32_t method,
                    const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    text_format(text, (uint16_t)code, format, args);
    va_end(args);
    conn_end(conn, (uint16_t)code, method, text);
}

void amqp_conn_fail_deaf(struct amqp_conn *conn, enum amqp_code code, const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    text_format(text, (uint16_t)code, format, args);
    va_end(args);
    conn_end(conn, (uint16_t)code, 0, text);
    if (conn->state != AMQP_CONN_DEAF)
        amqp_conn_enter(conn, AMQP_CONN_DEAF);
}

void amqp_fail(struct amqp_channel *ch, enum amqp_code code, uint32_t method, const char *format,
               ...)
{
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    text_format(text, (uint16_t)code, format, args);
    va_end(args);
    ASSERT(ch->state == AMQP_CHANNEL_IS_OPEN);
    if (is_soft((uint16_t)code))
        amqp_channel_fail(ch, (uint16_t)code, text, method);
    else
        conn_end(ch->conn, (uint16_t)code, method, text);
}

// As Erlang prints a binary.
static int bytes_text(struct slice bytes, char *out, size_t size)
{
    bool text = bytes.len > 0;
    for (size_t i = 0; i < bytes.len; i++)
        text = text && bytes.data[i] >= 0x20 && bytes.data[i] < 0x7f && bytes.data[i] != '"';
    if (text)
        return snprintf(out, size, "<<\"%.*s\">>", AMQP_SHOW(bytes));
    int at = snprintf(out, size, "<<");
    for (size_t i = 0; i < bytes.len; i++)
        at += snprintf(out + at, size - (size_t)at, "%s%u", i > 0 ? "," : "", bytes.data[i]);
    return at + snprintf(out + at, size - (size_t)at, ">>");
}

const char *amqp_frame_text(uint8_t type, struct slice payload, char out[AMQP_FRAME_TEXT_SIZE])
{
    bool all = payload.len <= AMQP_BYTES_SHOWN;
    struct slice shown = slice_of(payload.data, all ? payload.len : AMQP_BYTES_SHOWN);
    int at = snprintf(out, AMQP_FRAME_TEXT_SIZE, "type %u, %s octets = ", type,
                      all ? "all" : "first 16");
    (void)bytes_text(shown, out + at, AMQP_FRAME_TEXT_SIZE - (size_t)at);
    return out;
}

void amqp_conn_fail_undecodable(struct amqp_conn *conn, uint32_t method, struct slice fields)
{
    char text[AMQP_FRAME_TEXT_SIZE];
    bool all = fields.len <= AMQP_BYTES_SHOWN;
    (void)bytes_text(slice_of(fields.data, all ? fields.len : AMQP_BYTES_SHOWN), text, sizeof text);
    amqp_conn_fail(conn, AMQP_FRAME_ERROR, method, "cannot decode %s%s", text, all ? "" : "...");
}
