// SPDX-License-Identifier: Apache-2.0
//
// Life of a connection: opened, moved on by events, watched by one timer, closed. Everything that
// may happen ends in amqp_conn_progress, which handles what was read, sends what is ready, and sets
// what to be told about. Handlers only leave what they have to say, so a connection is freed
// nowhere but at the end of an event.
#include "amqp/conn.h"

#include "base/mem.h"
#include "node/queues.h"
#include "node/status.h"

#define SECOND INT64_C(1000000000)

#define BIT(state) (1U << (state))
#define LATER      (BIT(AMQP_CONN_DEAF) | BIT(AMQP_CONN_CLOSED))
static const uint16_t conn_edges[AMQP_CONN_STATES] = {
    [AMQP_CONN_GREETING] = BIT(AMQP_CONN_STARTING) | LATER,
    [AMQP_CONN_STARTING] = BIT(AMQP_CONN_TUNING) | BIT(AMQP_CONN_ENDING) | LATER,
    [AMQP_CONN_TUNING] = BIT(AMQP_CONN_OPENING) | BIT(AMQP_CONN_ENDING) | LATER,
    [AMQP_CONN_OPENING] = BIT(AMQP_CONN_OPEN) | BIT(AMQP_CONN_ENDING) | LATER,
    [AMQP_CONN_OPEN] = BIT(AMQP_CONN_LEAVING) | BIT(AMQP_CONN_ENDING) | LATER,
    [AMQP_CONN_LEAVING] = LATER,
    [AMQP_CONN_ENDING] = LATER,
    [AMQP_CONN_DEAF] = BIT(AMQP_CONN_CLOSED),
    [AMQP_CONN_CLOSED] = 0,
};

void amqp_conn_enter(struct amqp_conn *conn, enum amqp_conn_state state)
{
    ASSERT(conn->state < AMQP_CONN_STATES);
    ASSERT((conn_edges[conn->state] & BIT(state)) != 0);
    conn->state = (uint8_t)state;
    if (state <= AMQP_CONN_OPEN)
        return;
    conn->since_ns = io_now_ns(conn->door->io);
    conn->marked_bytes = conn->bytes_in;
}

// What must hold whenever a connection has been moved on.
static void conn_invariant(const struct amqp_conn *conn)
{
    ASSERT(conn->state < AMQP_CONN_CLOSED);
    ASSERT(conn->state == AMQP_CONN_OPEN || conn->channels_count == 0);
    ASSERT(conn->channels_count <= conn->channel_max);
    ASSERT(conn->assemblies <= conn->channels_count);
    ASSERT(conn->assemblies > 0 || conn->assembled == 0);
    ASSERT((conn->held == NULL) == (conn->held_len == 0));
    ASSERT(conn->held_len <= AMQP_SCRATCH_BYTES);
    ASSERT(conn->holds == 0 || !list_empty(&conn->waits));
    ASSERT((conn->out.count == 0) == (conn->out.bytes == 0));
}

// ---- what the upper half may know

struct amqp_conn *amqp_channel_conn(const struct amqp_channel *ch)
{
    return ch->conn;
}

struct amqp_door *amqp_conn_door(const struct amqp_conn *conn)
{
    return conn->door;
}

uint64_t amqp_conn_id(const struct amqp_conn *conn)
{
    return conn->id;
}

struct slice amqp_conn_vhost(const struct amqp_conn *conn)
{
    return conn->vhost;
}

struct slice amqp_conn_user(const struct amqp_conn *conn)
{
    return conn->user;
}

uint32_t amqp_conn_can(const struct amqp_conn *conn)
{
    return conn->can;
}

uint32_t amqp_conn_frame_max(const struct amqp_conn *conn)
{
    return conn->frame_max;
}

struct list *amqp_conn_owned(struct amqp_conn *conn)
{
    return &conn->owned;
}

// ---- deadlines: one timer, started again only when it fires or when something nearer comes up, so
// that traffic costs no timer work

static int64_t beat_due(const struct amqp_conn *conn)
{
    // Half an interval, so that two beats are never much more than one apart (as RabbitMQ).
    return conn->spoke_ns + conn->heartbeat_s * SECOND / 2;
}

static int64_t silence_due(const struct amqp_conn *conn)
{
    return conn->heard_ns + 2 * conn->heartbeat_s * SECOND;
}

static int64_t nearer(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// When the timer must look again.
static int64_t conn_deadline(const struct amqp_conn *conn)
{
    if (conn->state < AMQP_CONN_OPEN)
        return conn->since_ns + AMQP_HANDSHAKE_NS;
    if (conn->state == AMQP_CONN_LEAVING || conn->state == AMQP_CONN_ENDING)
        return conn->since_ns + AMQP_CLOSING_NS;
    if (conn->state == AMQP_CONN_DEAF)
        return conn->since_ns + AMQP_DEAF_NS;
    int64_t due = INT64_MAX;
    if (conn->heartbeat_s > 0)
        due = nearer(beat_due(conn), silence_due(conn));
    if (amqp_conn_unfinished(conn))
        due = nearer(due, conn->marked_ns + AMQP_MARK_NS);
    if (conn->held_back_ns > 0 && !conn->told_blocked)
        due = nearer(due, conn->held_back_ns + AMQP_BLOCKED_NS);
    return due;
}

// What comes byte by byte keeps a connection from being silent and its memory from others, hence a
// lowest rate, looked at from mark to mark.
static void conn_mark_input(struct amqp_conn *conn, int64_t now)
{
    if (conn->state > AMQP_CONN_OPEN)
        return; // the mark stands where its end began: AMQP_DISCARD_BYTES
    conn->marked_ns = now;
    conn->marked_bytes = conn->bytes_in;
}

static void conn_heard(struct amqp_conn *conn, int64_t now)
{
    conn->heard_ns = now;
    conn_mark_input(conn, now);
}

static void conn_tell_blocked(struct amqp_conn *conn)
{
    const struct amqp_connection_blocked blocked = {.reason = slice_cstr("low on disk")};
    conn->told_blocked = true;
    if ((conn->can & AMQP_CAN_BLOCKED) != 0)
        amqp_conn_put_method(conn, 0, AMQP_CONNECTION_BLOCKED, &blocked);
}

// What an open connection has to do now. False: it has come to its end.
static bool conn_on_time(struct amqp_conn *conn, int64_t now)
{
    if (conn->held_back_ns > 0 && !conn->told_blocked &&
        conn->held_back_ns + AMQP_BLOCKED_NS <= now)
        conn_tell_blocked(conn);
    if (conn->paused)
        conn_mark_input(conn, now);
    if (conn->heartbeat_s > 0) {
        if (conn->paused && !amqp_conn_listen(conn))
            return false;
        if (silence_due(conn) <= now)
            return false;
        if (beat_due(conn) <= now) {
            if (conn->out.bytes == 0) // else there is enough that it could hear
                amqp_conn_put_beat(conn);
            conn->spoke_ns = now;
        }
    }
    if (amqp_conn_unfinished(conn) && conn->marked_ns + AMQP_MARK_NS <= now) {
        if (conn->bytes_in - conn->marked_bytes < AMQP_MARK_BYTES)
            return false;
        conn_mark_input(conn, now);
    }
    return true;
}

static void conn_arm(struct amqp_conn *conn)
{
    int64_t deadline = conn_deadline(conn);
    bool running = io_timer_running(&conn->timer);
    if (deadline == INT64_MAX && !running)
        return;
    if (!running || deadline < conn->timer.node.key)
        io_timer_start(conn->door->io, &conn->timer, deadline);
}

static void conn_timer(struct io_timer *timer)
{
    struct amqp_conn *conn = CONTAINER_OF(timer, struct amqp_conn, timer);
    int64_t now = io_now_ns(conn->door->io);
    bool open = conn_deadline(conn) > now;
    if (!open && conn->state == AMQP_CONN_OPEN)
        open = conn_on_time(conn, now);
    if (open)
        amqp_conn_progress(conn);
    else
        amqp_conn_close(conn);
}

// ---- opening and closing

static void conn_ready(void *owner, int mask)
{
    struct amqp_conn *conn = owner;
    bool open = true;
    bool whole = !amqp_conn_unfinished(conn);
    if ((mask & IO_READABLE) != 0)
        amqp_conn_read(conn, &open);
    if (!open) {
        amqp_conn_close(conn);
        return;
    }
    if (whole && amqp_conn_unfinished(conn))
        conn_mark_input(conn, io_now_ns(conn->door->io));
    amqp_conn_progress(conn);
}

static const struct io_sock_events conn_events = {.ready = conn_ready};

void amqp_conn_open(struct amqp_door *door, struct io_sock *sock, uint32_t place)
{
    struct amqp_conn *conn = mem_zalloc(sizeof *conn);
    conn->door = door;
    conn->sock = sock;
    conn->place = place;
    conn->state = AMQP_CONN_GREETING;
    conn->frame_max = AMQP_FRAME_MIN;
    conn->id = node_holder_new(door->shard);
    conn->since_ns = io_now_ns(door->io);
    conn->heard_ns = conn->since_ns;
    conn->spoke_ns = conn->since_ns;
    list_init(&conn->starved);
    list_init(&conn->dirty);
    list_init(&conn->waits);
    list_init(&conn->owned);
    list_push_back(&door->conns, &conn->link);
    door->conns_count++;
    io_timer_init(&conn->timer, conn_timer);
    io_sock_own(sock, &conn_events, conn);
    io_watch(sock, IO_READABLE);
    conn_arm(conn);
}

static void conn_free(struct amqp_conn *conn, bool gone)
{
    amqp_conn_release(conn, gone);
    amqp_waits_orphan(conn);
    ASSERT(conn->channels_count == 0);
    ASSERT(conn->assemblies == 0);
    ASSERT(list_empty(&conn->waits));
    ASSERT(list_empty(&conn->owned));
    amqp_conn_drop_held(conn);
    amqp_out_fini(&conn->out);
    list_remove(&conn->starved);
    list_remove(&conn->dirty);
    list_remove(&conn->link);
    ASSERT(conn->door->conns_count > 0);
    conn->door->conns_count--;
    mem_free(conn->channels);
    slice_free(conn->vhost);
    slice_free(conn->user);
    mem_free(conn);
}

void amqp_conn_close(struct amqp_conn *conn)
{
    ASSERT(!conn->moving);
    amqp_conn_enter(conn, AMQP_CONN_CLOSED);
    shard_connection_leave(conn->door->shard, conn->place);
    io_timer_stop(conn->door->io, &conn->timer);
    io_close(conn->sock);
    conn_free(conn, false);
}

void amqp_conn_forget(struct amqp_conn *conn)
{
    conn->state = AMQP_CONN_CLOSED;
    conn_free(conn, true);
}

void amqp_conn_stop(struct amqp_conn *conn)
{
    if (conn->state != AMQP_CONN_OPEN)
        return;
    amqp_conn_fail(conn, AMQP_CONNECTION_FORCED, 0,
                   "broker forced connection closure with reason 'shutdown'");
    (void)amqp_conn_send(conn);
}

// ---- moving on

static void conn_room(struct amqp_conn *conn)
{
    if (!conn->full || conn->out.bytes > AMQP_UNSENT_MAX / 2)
        return;
    conn->full = false;
    for (uint32_t i = 0; i < conn->channels_cap && conn->state == AMQP_CONN_OPEN; i++) {
        struct amqp_channel *ch = conn->channels[i];
        if (ch != NULL && ch->state == AMQP_CHANNEL_IS_OPEN)
            amqp_session_room(ch);
    }
}

// Whether the log holds back what it publishes, and the client is told how it stands.
static void conn_note_blocked(struct amqp_conn *conn)
{
    bool blocked =
        conn->state == AMQP_CONN_OPEN && conn->appended && shard_appends_blocked(conn->door->shard);
    if (blocked && conn->held_back_ns == 0)
        conn->held_back_ns = io_now_ns(conn->door->io);
    if (blocked)
        return;
    conn->held_back_ns = 0;
    if (conn->told_blocked && conn->state == AMQP_CONN_OPEN && (conn->can & AMQP_CAN_BLOCKED) != 0)
        amqp_conn_put_method(conn, 0, AMQP_CONNECTION_UNBLOCKED,
                             &(struct amqp_connection_unblocked){0});
    conn->told_blocked = false;
}

static void conn_watch(struct amqp_conn *conn)
{
    bool may_read = amqp_conn_may_read(conn);
    int mask = may_read ? IO_READABLE : 0;
    if (may_read && conn->paused) // its silence was ours
        conn_heard(conn, io_now_ns(conn->door->io));
    conn->paused = !may_read;
    if (conn->out.bytes > 0)
        mask |= IO_WRITABLE;
    io_watch(conn->sock, mask);
    conn_arm(conn);
}

void amqp_conn_progress(struct amqp_conn *conn)
{
    ASSERT(!conn->moving); // nothing that runs in here comes back in
    ASSERT(conn->state != AMQP_CONN_CLOSED);
    conn->moving = true;
    conn_note_blocked(conn);
    size_t before;
    bool open;
    do { // what is sent may make room for what is held
        before = conn->held_len;
        amqp_conn_read_held(conn);
        open = amqp_conn_send(conn);
        conn_room(conn);
    } while (open && conn->held_len < before && conn->held_len > 0);
    conn->moving = false;
    conn_invariant(conn);
    if (open && !(conn->finished && conn->out.bytes == 0))
        conn_watch(conn);
    else
        amqp_conn_close(conn);
}

void amqp_conn_mark(struct amqp_conn *conn)
{
    struct amqp_door *door = conn->door;
    if (conn->moving) // it is being sent anyway
        return;
    if (list_empty(&conn->dirty))
        list_push_back(&door->dirty, &conn->dirty);
    if (!door->flush_posted) {
        door->flush_posted = true;
        io_post(door->io, &door->flush);
    }
}
