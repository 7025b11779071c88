// SPDX-License-Identifier: Apache-2.0
//
// The methods of class connection: the handshake (AMQP 0-9-1 section 2.2.4), the limits that both
// sides agree on, and the end. What may come when is a table.
#include <string.h>

#include "amqp/conn.h"
#include "base/version.h"
#include "node/queues.h"

// ---- the greeting

static const uint8_t protocol_header[8] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};

static const char *const capabilities[] = {
    "publisher_confirms",           "exchange_exchange_bindings", "basic.nack",
    "consumer_cancel_notify",       "connection.blocked",         "consumer_priorities",
    "authentication_failure_close", "per_consumer_qos",           "direct_reply_to",
};

// Clients look at product and version to know what a server can do and how basic.qos works (kombu:
// RabbitMQ, 3.3 and newer), and there is no word for others: so we say what we are compatible with,
// and who we are beside it.
static const struct {
    const char *name, *text;
} server_properties[] = {
    {"cluster_name", "weir"},
    {"copyright", "Apache-2.0"},
    {"information", "Compatible with RabbitMQ 3.13; weir answers."},
    {"platform", "C"},
    {"product", "RabbitMQ"},
    {"version", "3.13.7"},
    {"weir", WEIR_VERSION},
};

static void start_send(struct amqp_conn *conn)
{
    struct buf properties;
    buf_init(&properties, 4096);
    size_t opened = amqp_open_table(&properties, slice_cstr("capabilities"));
    for (size_t i = 0; i < sizeof capabilities / sizeof capabilities[0]; i++)
        amqp_put_bool(&properties, slice_cstr(capabilities[i]), true);
    amqp_close(&properties, opened);
    for (size_t i = 0; i < sizeof server_properties / sizeof server_properties[0]; i++)
        amqp_put_text(&properties, slice_cstr(server_properties[i].name),
                      slice_cstr(server_properties[i].text));
    ASSERT(properties.err == 0);
    const struct amqp_connection_start start = {
        .version_major = 0,
        .version_minor = 9,
        .server_properties = buf_slice(&properties),
        .mechanisms = slice_cstr("PLAIN AMQPLAIN"),
        .locales = slice_cstr("en_US"),
    };
    amqp_conn_put_method(conn, 0, AMQP_CONNECTION_START, &start);
    buf_fini(&properties);
}

// Section 4.2.2: a server that does not speak what it is asked for says what it speaks, and closes.
void amqp_connection_greet(struct amqp_conn *conn, const uint8_t *header)
{
    if (memcmp(header, protocol_header, sizeof protocol_header) == 0) {
        amqp_conn_enter(conn, AMQP_CONN_STARTING);
        start_send(conn);
        return;
    }
    amqp_conn_put(conn, protocol_header, sizeof protocol_header);
    amqp_conn_enter(conn, AMQP_CONN_DEAF);
    conn->finished = true;
}

// ---- logging in

// Whose time does not tell how much of a secret was right.
static bool secret_eq(struct slice given, const char *secret)
{
    size_t len = strlen(secret);
    uint8_t differs = given.len != len;
    for (size_t i = 0; i < given.len; i++)
        differs |= (uint8_t)(given.data[i] ^ (uint8_t)secret[i < len ? i : 0]);
    return differs == 0;
}

// There are no users yet: the one that RabbitMQ has to begin with, and as there from loopback only,
// which is the only place weir listens on unless it is told otherwise.
static bool login_ok(struct slice user, struct slice password)
{
    bool user_ok = secret_eq(user, "guest");
    bool password_ok = secret_eq(password, "guest");
    return user_ok && password_ok;
}

// RFC 4616 without an authorization identity: NUL, user, NUL, password.
static bool plain_read(struct slice response, struct slice *out_user, struct slice *out_password)
{
    if (response.len == 0 || response.data[0] != 0)
        return false;
    const uint8_t *user = response.data + 1;
    const uint8_t *end = response.data + response.len;
    const uint8_t *second = memchr(user, 0, (size_t)(end - user));
    if (second == NULL || memchr(second + 1, 0, (size_t)(end - second - 1)) != NULL)
        return false;
    *out_user = slice_of(user, (size_t)(second - user));
    *out_password = slice_of(second + 1, (size_t)(end - second - 1));
    return true;
}

// RabbitMQ's own: a field table with LOGIN and PASSWORD, without its length.
static bool amqplain_read(struct slice response, struct slice *out_user, struct slice *out_password)
{
    struct amqp_value user;
    struct amqp_value password;
    if (amqp_table_check(response) != 0 || amqp_table_get(response, "LOGIN", &user) != 0 ||
        amqp_table_get(response, "PASSWORD", &password) != 0)
        return false;
    *out_user = user.bytes;
    *out_password = password.bytes;
    return (user.kind == AMQP_TEXT || user.kind == AMQP_BYTES) &&
           (password.kind == AMQP_TEXT || password.kind == AMQP_BYTES);
}

static uint8_t can_of(struct slice client_properties)
{
    static const struct {
        const char *name;
        uint8_t can;
    } names[] = {
        {"consumer_cancel_notify", AMQP_CAN_CANCEL_NOTIFY},
        {"connection.blocked", AMQP_CAN_BLOCKED},
        {"authentication_failure_close", AMQP_CAN_FAIL_CLOSE},
        {"publisher_confirms", AMQP_CAN_CONFIRM},
        {"basic.nack", AMQP_CAN_NACK},
    };
    struct amqp_value table;
    struct amqp_value v;
    uint8_t can = 0;
    if (amqp_table_get(client_properties, "capabilities", &table) != 0 || table.kind != AMQP_TABLE)
        return 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (amqp_table_get(table.bytes, names[i].name, &v) == 0 && v.kind == AMQP_BOOL &&
            v.number != 0)
            can |= names[i].can;
    return can;
}

static void start_ok(struct amqp_conn *conn, const struct amqp_connection_start_ok *m)
{
    struct slice user = SLICE_NULL;
    struct slice password = SLICE_NULL;
    bool plain = slice_eq_cstr(m->mechanism, "PLAIN");
    conn->can = can_of(m->client_properties);
    if (!plain && !slice_eq_cstr(m->mechanism, "AMQPLAIN")) {
        amqp_conn_fail(conn, AMQP_COMMAND_INVALID, AMQP_CONNECTION_START_OK,
                       "unknown authentication mechanism '%.*s'", AMQP_SHOW(m->mechanism));
        return;
    }
    if (!(plain ? plain_read : amqplain_read)(m->response, &user, &password)) {
        amqp_conn_fail(conn, AMQP_SYNTAX_ERROR, AMQP_CONNECTION_START_OK, "response invalid");
        return;
    }
    if (!login_ok(user, password)) {
        amqp_conn_fail(conn, AMQP_ACCESS_REFUSED, 0,
                       "Login was refused using authentication mechanism %s. For details see the "
                       "broker logfile.",
                       plain ? "PLAIN" : "AMQPLAIN");
        return;
    }
    const struct amqp_connection_tune tune = {.channel_max = AMQP_CHANNEL_MAX,
                                              .frame_max = AMQP_FRAME_MAX,
                                              .heartbeat = AMQP_HEARTBEAT_S};
    conn->user = slice_dup(user);
    amqp_conn_enter(conn, AMQP_CONN_TUNING);
    amqp_conn_put_method(conn, 0, AMQP_CONNECTION_TUNE, &tune);
}

// ---- limits

// 0 means no limit of the client's own, which is above ours as well; RabbitMQ refuses all that is
// not within, so that a limit is what both have said.
static bool negotiated(struct amqp_conn *conn, const char *name, uint32_t value, uint32_t min,
                       uint32_t max)
{
    bool low = value != 0 && value < min;
    if (!low && value != 0 && value <= max)
        return true;
    amqp_conn_fail(conn, AMQP_NOT_ALLOWED, AMQP_CONNECTION_TUNE,
                   "negotiated %s = %u%s is %s than the %s allowed value (%u)", name, value,
                   value == 0 && max == AMQP_CHANNEL_MAX ? " (no limit)" : "",
                   low ? "lower" : "higher", low ? "minimum" : "maximum", low ? min : max);
    return false;
}

static void tune_ok(struct amqp_conn *conn, const struct amqp_connection_tune_ok *m)
{
    if (!negotiated(conn, "frame_max", m->frame_max, AMQP_FRAME_MIN, AMQP_FRAME_MAX) ||
        !negotiated(conn, "channel_max", m->channel_max, 1, AMQP_CHANNEL_MAX))
        return;
    conn->frame_max = m->frame_max;
    conn->channel_max = m->channel_max;
    conn->heartbeat_s = m->heartbeat;
    amqp_conn_enter(conn, AMQP_CONN_OPENING);
}

static void open_vhost(struct amqp_conn *conn, const struct amqp_connection_open *m)
{
    if (!vhost_known(conn->door->shard, m->virtual_host)) {
        amqp_conn_fail(conn, AMQP_NOT_ALLOWED, AMQP_CONNECTION_OPEN, "vhost %.*s not found",
                       AMQP_SHOW(m->virtual_host));
        return;
    }
    conn->vhost = slice_dup(m->virtual_host);
    amqp_conn_enter(conn, AMQP_CONN_OPEN);
    amqp_conn_put_method(conn, 0, AMQP_CONNECTION_OPEN_OK,
                         &(struct amqp_connection_open_ok){.reserved_1 = slice_cstr("")});
}

// ---- the end

void amqp_connection_left(struct amqp_conn *conn)
{
    amqp_conn_put_method(conn, 0, AMQP_CONNECTION_CLOSE_OK, &(struct amqp_connection_close_ok){0});
    amqp_conn_enter(conn, AMQP_CONN_DEAF);
}

// Exclusive queues are gone when the client hears that its connection is: that is what people
// assume, in RabbitMQ's words, though the specification does not say so.
static void client_close(struct amqp_conn *conn)
{
    if (conn->state == AMQP_CONN_ENDING) { // both at once
        amqp_conn_put_method(conn, 0, AMQP_CONNECTION_CLOSE_OK,
                             &(struct amqp_connection_close_ok){0});
        return;
    }
    amqp_conn_enter(conn, AMQP_CONN_LEAVING);
    amqp_conn_release(conn, false);
    conn->appended = false;
    (void)amqp_leave(conn, NULL);
    if (conn->holds == 0)
        amqp_connection_left(conn);
}

// ---- what may come when

#define BIT(state) (1U << (state))
static const struct {
    uint32_t method;
    uint32_t states;
} allowed[] = {
    {AMQP_CONNECTION_START_OK, BIT(AMQP_CONN_STARTING)},
    {AMQP_CONNECTION_TUNE_OK, BIT(AMQP_CONN_TUNING)},
    {AMQP_CONNECTION_OPEN, BIT(AMQP_CONN_OPENING)},
    {AMQP_CONNECTION_CLOSE, BIT(AMQP_CONN_OPEN) | BIT(AMQP_CONN_ENDING)},
    {AMQP_CONNECTION_CLOSE_OK, BIT(AMQP_CONN_ENDING)},
    {AMQP_CONNECTION_UPDATE_SECRET, BIT(AMQP_CONN_OPEN)},
};

static bool is_allowed(uint32_t method, uint32_t state)
{
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        if (allowed[i].method == method)
            return (allowed[i].states & BIT(state)) != 0;
    return false;
}

void amqp_connection_method(struct amqp_conn *conn, uint32_t method, const void *args)
{
    static const char *const names[] = {"pre_init", "starting", "tuning", "opening", "running"};
    if (!is_allowed(method, conn->state)) {
        if (conn->state <= AMQP_CONN_OPEN)
            amqp_conn_fail(conn, AMQP_CHANNEL_ERROR, method,
                           "unexpected method in connection state %s", names[conn->state]);
        return;
    }
    switch (method) {
    case AMQP_CONNECTION_START_OK:
        start_ok(conn, args);
        break;
    case AMQP_CONNECTION_TUNE_OK:
        tune_ok(conn, args);
        break;
    case AMQP_CONNECTION_OPEN:
        open_vhost(conn, args);
        break;
    case AMQP_CONNECTION_UPDATE_SECRET: // there is no secret that could grow old
        amqp_conn_put_method(conn, 0, AMQP_CONNECTION_UPDATE_SECRET_OK,
                             &(struct amqp_connection_update_secret_ok){0});
        break;
    case AMQP_CONNECTION_CLOSE:
        client_close(conn);
        break;
    default:
        ASSERT(method == AMQP_CONNECTION_CLOSE_OK);
        amqp_conn_enter(conn, AMQP_CONN_DEAF);
        conn->finished = true;
    }
}
