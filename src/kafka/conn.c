// SPDX-License-Identifier: Apache-2.0
//
// Life of a connection: opened, moved on by events, watched by one timer, closed. Everything that
// may happen ends in kafka_conn_progress, which starts what may start, sends what is ready, goes on
// reading, and sets what to be told about: handlers only leave their answer and never come back in
// here, so there is no re-entrance to think about.
//
// Kafka handles one request of a connection after the other. Produce and Fetch may run beside each
// other here, since librdkafka pipelines produces and each waits for the disk: answered one by one
// a connection would get one batch per sync. Everything else waits for what came before it.
#include "kafka/conn.h"

#include "base/mem.h"

#define BIT(state) (1U << (state))
static const uint8_t conn_edges[] = {
    [CONN_NEW] = BIT(CONN_OPEN) | BIT(CONN_DRAIN) | BIT(CONN_CLOSED),
    [CONN_OPEN] = BIT(CONN_DRAIN) | BIT(CONN_CLOSED),
    [CONN_DRAIN] = BIT(CONN_CLOSED),
    [CONN_CLOSED] = 0,
};

void kafka_conn_enter(struct kafka_conn *conn, enum conn_state state)
{
    ASSERT(conn->state <= CONN_CLOSED);
    ASSERT((conn_edges[conn->state] & BIT(state)) != 0);
    conn->state = (uint8_t)state;
}

// What must hold whenever a connection has been moved on.
static void conn_invariant(const struct kafka_conn *conn)
{
    ASSERT(conn->length_have <= sizeof conn->length);
    ASSERT(conn->requests_count <= KAFKA_IN_FLIGHT_MAX);
    ASSERT((conn->requests_count == 0) == list_empty(&conn->requests));
    ASSERT(conn->unsent_bytes == 0 || conn->requests_count > 0);
    ASSERT(conn->held == NULL || conn->held_at < conn->held_len);
    ASSERT(conn->frame == NULL || conn->length_have == sizeof conn->length);
    ASSERT(conn->frame == NULL || conn->frame_have <= conn->frame->size);
}

// ---- deadlines: one timer, started again only when it fires, so that traffic costs no timer work

static int64_t conn_deadline(const struct kafka_conn *conn)
{
    switch ((enum conn_state)conn->state) {
    case CONN_NEW:
        return conn->since_ns + KAFKA_FIRST_REQUEST_NS;
    case CONN_DRAIN:
        return conn->since_ns + KAFKA_DRAIN_NS;
    case CONN_OPEN:
    case CONN_CLOSED:
        break;
    }
    if (kafka_conn_sending(conn))
        return conn->since_ns + KAFKA_SEND_STALL_NS;
    if (conn->frame != NULL)
        return conn->since_ns + KAFKA_FRAME_MARK_NS;
    int64_t idle_ns = broker_config(conn->door->shard)->connections_max_idle_ms * 1000000;
    return conn->active_ns + (idle_ns > 0 ? idle_ns : INT64_MAX / 4);
}

// A frame that comes byte by byte keeps a connection from being idle and its memory from others,
// hence a lowest rate. It is looked at from mark to mark: over the whole frame, a client could send
// much at once and hold what that has bought for as long.
static void conn_frame_mark(struct kafka_conn *conn, int64_t now)
{
    if (conn->state != CONN_OPEN || conn->frame == NULL || kafka_conn_sending(conn) ||
        conn->frame_have - conn->frame_marked < KAFKA_FRAME_MARK_BYTES)
        return;
    conn->since_ns = now;
    conn->frame_marked = conn->frame_have;
}

static void conn_timer(struct io_timer *timer)
{
    struct kafka_conn *conn = CONTAINER_OF(timer, struct kafka_conn, timer);
    int64_t now = io_now_ns(conn->door->io);
    if (conn_deadline(conn) <= now)
        conn_frame_mark(conn, now);
    int64_t deadline = conn_deadline(conn);
    // A join may wait for minutes; as long as the server owes an answer the client is not idle.
    bool owed = conn->state == CONN_OPEN && !kafka_conn_sending(conn) && conn->requests_count > 0;
    if (deadline <= now && !owed) {
        kafka_conn_close(conn);
        return;
    }
    int64_t next = deadline > now ? deadline : now + KAFKA_SEND_STALL_NS;
    io_timer_start(conn->door->io, &conn->timer, next);
}

// The timer looks at the deadline only when it fires, so a nearer one must be announced.
static void conn_arm(struct kafka_conn *conn)
{
    int64_t deadline = conn_deadline(conn);
    if (!io_timer_running(&conn->timer) || deadline < conn->timer.node.key)
        io_timer_start(conn->door->io, &conn->timer, deadline);
}

// ---- opening and closing

static void conn_ready(void *owner, int mask)
{
    struct kafka_conn *conn = owner;
    if ((mask & IO_READABLE) != 0 && !kafka_conn_read(conn)) {
        kafka_conn_close(conn);
        return;
    }
    kafka_conn_progress(conn);
}

static const struct io_sock_events conn_events = {.ready = conn_ready};

void kafka_conn_open(struct kafka_door *door, struct io_sock *sock, const struct io_addr *peer,
                     uint32_t place)
{
    struct kafka_conn *conn = mem_zalloc(sizeof *conn);
    conn->door = door;
    conn->sock = sock;
    conn->peer = *peer;
    conn->place = place;
    conn->state = CONN_NEW;
    conn->active_ns = io_now_ns(door->io);
    conn->since_ns = conn->active_ns;
    list_init(&conn->requests);
    list_init(&conn->starved);
    list_init(&conn->dirty);
    list_push_back(&door->conns, &conn->link);
    door->conns_count++;
    io_timer_init(&conn->timer, conn_timer);
    io_sock_own(sock, &conn_events, conn);
    io_watch(sock, IO_READABLE);
    conn_arm(conn);
}

void kafka_conn_close(struct kafka_conn *conn)
{
    kafka_conn_enter(conn, CONN_CLOSED);
    shard_connection_leave(conn->door->shard, conn->place);
    io_timer_stop(conn->door->io, &conn->timer);
    io_close(conn->sock);
    kafka_conn_forget(conn);
}

void kafka_conn_forget(struct kafka_conn *conn)
{
    LIST_FOR_SAFE (it, &conn->requests)
        kafka_request_orphan(CONTAINER_OF(it, struct kafka_request, link));
    ASSERT(list_empty(&conn->requests));
    ASSERT(conn->requests_count == 0);
    blob_unref(conn->frame);
    kafka_conn_drop_held(conn);
    list_remove(&conn->starved);
    list_remove(&conn->dirty);
    list_remove(&conn->link);
    ASSERT(conn->door->conns_count > 0);
    conn->door->conns_count--;
    mem_free(conn);
}

// ---- moving on

static bool overlaps(const struct kafka_request *r)
{
    return (r->api->flags & KAFKA_OVERLAPS) != 0;
}

// False when a request was malformed. What is answered at once adds up before it is sent, so
// nothing is begun above the limit of unsent bytes; *out_held_back says so.
static bool conn_start(struct kafka_conn *conn, bool *out_held_back)
{
    *out_held_back = false;
    bool busy = false;
    bool busy_overlaps = true;
    LIST_FOR_SAFE (it, &conn->requests) {
        struct kafka_request *r = CONTAINER_OF(it, struct kafka_request, link);
        if (r->progress == REQUEST_WAITING) {
            if (busy && !(busy_overlaps && overlaps(r)))
                return true;
            *out_held_back = conn->unsent_bytes > KAFKA_UNSENT_MAX;
            if (*out_held_back)
                return true;
            if (kafka_request_start(r) != 0)
                return false;
            if (conn->state == CONN_NEW)
                kafka_conn_enter(conn, CONN_OPEN);
        }
        if (r->close_after)
            return true;
        if (r->progress == REQUEST_RUNNING) {
            busy = true;
            busy_overlaps = busy_overlaps && overlaps(r);
        }
    }
    return true;
}

static void conn_watch(struct kafka_conn *conn)
{
    int mask = 0;
    if (kafka_conn_may_read(conn))
        mask |= IO_READABLE;
    // Not while answers wait for one before them: the socket would be writable all that time.
    if (kafka_conn_sending(conn))
        mask |= IO_WRITABLE;
    io_watch(conn->sock, mask);
    conn_arm(conn);
}

static bool conn_move(struct kafka_conn *conn)
{
    for (;;) {
        bool held_back;
        if (!conn_start(conn, &held_back) || !kafka_conn_send(conn))
            return false;
        if (held_back && conn->unsent_bytes <= KAFKA_UNSENT_MAX)
            continue;
        if (conn->held == NULL || !kafka_conn_may_read(conn))
            break;
        if (!kafka_conn_read_held(conn))
            return false;
    }
    return conn->state != CONN_DRAIN || conn->requests_count > 0 || conn->held != NULL;
}

void kafka_conn_progress(struct kafka_conn *conn)
{
    ASSERT(!conn->moving); // nothing that runs in here comes back in
    ASSERT(conn->state != CONN_CLOSED);
    conn->moving = true;
    bool open = conn_move(conn);
    conn->moving = false;
    conn_invariant(conn);
    if (open)
        conn_watch(conn);
    else
        kafka_conn_close(conn);
}

void kafka_conn_answered(struct kafka_conn *conn)
{
    struct kafka_door *door = conn->door;
    if (conn->moving) // it is being sent anyway
        return;
    if (list_empty(&conn->dirty))
        list_push_back(&door->dirty, &conn->dirty);
    if (!door->flush_posted) {
        door->flush_posted = true;
        io_post(door->io, &door->flush);
    }
}
