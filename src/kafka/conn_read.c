// SPDX-License-Identifier: Apache-2.0
//
// Reading: bytes become frames. Small frames come by way of the door's one scratch buffer, many
// per system call; a large frame is read straight into its blob, from which the records go to the
// journal without another copy. The blob grows as bytes arrive, so that a length alone buys no
// memory; and it comes from the shard's budget: a connection that gets none waits, it is not
// refused.
//
// Frame, OFFSET SIZE FIELD: 0 4 length of what follows, i32; 4 - header and message.
#include "kafka/conn.h"

#include <string.h>

#include "base/endian.h"
#include "base/mem.h"

#define READS_PER_EVENT  16
#define FRAME_GROWS_FROM (4U << 10)
#define FRAME_GROWTH     16U // times the bytes that are there
#define DIRECT_MIN_BYTES (16U << 10)

bool kafka_conn_may_read(const struct kafka_conn *conn)
{
    if (conn->state == CONN_CLOSED || !list_empty(&conn->starved))
        return false;
    // Only what was read before the end is left to frame.
    if (conn->state == CONN_DRAIN && conn->held == NULL)
        return false;
    if (conn->requests_count >= KAFKA_IN_FLIGHT_MAX || conn->unsent_bytes > KAFKA_UNSENT_MAX)
        return false;
    return !(conn->appended && shard_appends_blocked(conn->door->shard));
}

// Makes room for more of the frame, `at_hand` of which have been read. ERR_BUDGET: starved, try
// again later.
static int frame_grow(struct kafka_conn *conn, size_t at_hand)
{
    size_t want = (conn->frame_have + at_hand) * FRAME_GROWTH;
    if (want < FRAME_GROWS_FROM)
        want = FRAME_GROWS_FROM;
    if (want > conn->frame_len)
        want = conn->frame_len;
    ASSERT(conn->frame == NULL || want > conn->frame->size);
    struct blob *blob;
    int err = blob_create(want, shard_request_budget(conn->door->shard), &blob);
    if (err != 0) {
        kafka_door_starved(conn->door, conn);
        return err;
    }
    if (conn->frame != NULL)
        memcpy(blob->data, conn->frame->data, conn->frame_have);
    blob_unref(conn->frame);
    conn->frame = blob;
    return 0;
}

// A client that speaks TLS or HTTP to us shows as a length of 0x16030100 or "GET ": refused here,
// before anything is allocated for it. A connection's first request may be as large as any: some
// clients ask one connection for the versions and send records on another without a word before.
static bool frame_begin(struct kafka_conn *conn)
{
    int32_t len = (int32_t)be32_get(conn->length);
    uint32_t max = broker_config(conn->door->shard)->request_max_bytes;
    if (len <= 0 || (uint32_t)len > max)
        return false;
    conn->frame_len = (uint32_t)len;
    conn->frame_have = 0;
    conn->frame_marked = 0;
    if (conn->state == CONN_OPEN && !kafka_conn_sending(conn))
        conn->since_ns = io_now_ns(conn->door->io);
    return true;
}

static bool frame_end(struct kafka_conn *conn)
{
    struct blob *frame = conn->frame;
    ASSERT(frame != NULL);
    ASSERT(frame->size == conn->frame_len);
    conn->frame = NULL;
    conn->length_have = 0;
    struct kafka_request *r;
    if (kafka_request_create(conn, frame, conn->frame_len, &r) != 0) {
        shard_counters(conn->door->shard)->request_errors++;
        return false;
    }
    list_push_back(&conn->requests, &r->link);
    conn->requests_count++;
    conn->appended = (r->api->flags & KAFKA_APPENDS) != 0;
    return true;
}

// Room behind the frame's bytes; 0 when the budget is short.
static size_t frame_room(struct kafka_conn *conn, size_t at_hand)
{
    if (conn->frame == NULL || conn->frame_have == conn->frame->size) {
        if (frame_grow(conn, at_hand) != 0)
            return 0;
    }
    return conn->frame->size - conn->frame_have;
}

static bool frame_take(struct kafka_conn *conn, size_t len)
{
    ASSERT(conn->frame != NULL);
    ASSERT(len <= conn->frame->size - conn->frame_have);
    conn->frame_have += (uint32_t)len;
    ASSERT(conn->frame_have <= conn->frame_len);
    return conn->frame_have < conn->frame_len || frame_end(conn);
}

// Frames as much of the bytes as the connection may have under way. *out_used tells how many.
static bool conn_feed(struct kafka_conn *conn, const uint8_t *data, size_t len, size_t *out_used)
{
    size_t at = 0;
    bool ok = true;
    while (ok && at < len && kafka_conn_may_read(conn)) {
        if (conn->length_have < sizeof conn->length) {
            conn->length[conn->length_have++] = data[at++];
            if (conn->length_have == sizeof conn->length)
                ok = frame_begin(conn);
            continue;
        }
        size_t n = frame_room(conn, len - at);
        if (n > len - at)
            n = len - at;
        if (n == 0)
            break;
        memcpy(conn->frame->data + conn->frame_have, data + at, n);
        at += n;
        ok = frame_take(conn, n);
    }
    ASSERT(at <= len);
    *out_used = at;
    return ok;
}

static bool conn_feed_new(struct kafka_conn *conn, const uint8_t *data, size_t len)
{
    ASSERT(conn->held == NULL);
    size_t used;
    if (!conn_feed(conn, data, len, &used))
        return false;
    if (used < len) {
        conn->held = mem_dup(data + used, len - used);
        conn->held_at = 0;
        conn->held_len = (uint32_t)(len - used);
        // They are there already and cannot be refused, at most one scratch buffer of them.
        budget_force(shard_request_budget(conn->door->shard), conn->held_len);
    }
    return true;
}

bool kafka_conn_read_held(struct kafka_conn *conn)
{
    size_t used;
    ASSERT(conn->held != NULL);
    ASSERT(conn->held_at < conn->held_len);
    bool ok = conn_feed(conn, conn->held + conn->held_at, conn->held_len - conn->held_at, &used);
    conn->held_at += (uint32_t)used;
    if (conn->held_at == conn->held_len)
        kafka_conn_drop_held(conn);
    return ok;
}

void kafka_conn_drop_held(struct kafka_conn *conn)
{
    if (conn->held == NULL)
        return;
    budget_give(shard_request_budget(conn->door->shard), conn->held_len);
    mem_free(conn->held);
    conn->held = NULL;
}

static bool conn_ended(struct kafka_conn *conn, int64_t err)
{
    if (err != ERR_EOF || conn->requests_count == 0)
        return false;
    // Half closed: what came before the end is answered, but nobody waits for new records.
    kafka_conn_enter(conn, CONN_DRAIN);
    conn->since_ns = io_now_ns(conn->door->io);
    LIST_FOR (it, &conn->requests) {
        struct kafka_request *r = CONTAINER_OF(it, struct kafka_request, link);
        if (r->progress == REQUEST_RUNNING && r->api->cancel != NULL)
            r->api->cancel(r);
    }
    return true;
}

// One read. *out_more is false when the socket is dry.
static bool conn_recv(struct kafka_conn *conn, bool *out_more)
{
    uint8_t *into = conn->door->scratch;
    size_t room = KAFKA_SCRATCH_BYTES;
    bool body = conn->length_have == sizeof conn->length;
    bool direct = body && conn->frame_len - conn->frame_have >= DIRECT_MIN_BYTES;
    if (direct) {
        room = frame_room(conn, 0);
        if (room == 0) {
            *out_more = false;
            return true;
        }
        into = conn->frame->data + conn->frame_have;
    }
    int64_t n = io_recv(conn->sock, into, room);
    *out_more = n == (int64_t)room;
    if (n == ERR_AGAIN)
        return true;
    if (n <= 0)
        return conn_ended(conn, n);
    shard_counters(conn->door->shard)->bytes_in += (uint64_t)n;
    conn->active_ns = io_now_ns(conn->door->io);
    return direct ? frame_take(conn, (size_t)n) : conn_feed_new(conn, into, (size_t)n);
}

bool kafka_conn_read(struct kafka_conn *conn)
{
    bool more = true;
    for (int i = 0; more && i < READS_PER_EVENT; i++) {
        if (conn->held != NULL || conn->state == CONN_DRAIN || !kafka_conn_may_read(conn))
            return true;
        if (!conn_recv(conn, &more))
            return false;
    }
    return true;
}
