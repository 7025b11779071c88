// SPDX-License-Identifier: Apache-2.0
//
// The door: accepting, and what the connections of one shard share: the buffer they read into, and
// the lists of those that have something to do outside their own events.
#include "amqp/door.h"

#include "amqp/conn.h"
#include "base/mem.h"

#define ARENA_BYTES   (8U << 20) // what a method is, and the headers that an exchange compares
#define ENCODED_BYTES (256U << 10)

const struct io_listeners *amqp_door_listeners(const struct amqp_door *door)
{
    return &door->listeners;
}

struct amqp_door *amqp_door_of(struct shard *shard)
{
    return shard_door(shard, SHARD_DOOR_AMQP);
}

static void door_accept(void *owner, struct io_sock *sock, const struct io_addr *peer)
{
    struct amqp_door *door = owner;
    uint32_t place;
    if (door->closed || !shard_connection_enter(door->shard, peer, &place))
        io_close(sock);
    else
        amqp_conn_open(door, sock, place);
}

// ---- connections that go on

// Progress may close a connection, and so remove others' neighbours from the list, never others:
// each is taken off before it runs.
static void door_flush(struct io_msg *msg)
{
    struct amqp_door *door = CONTAINER_OF(msg, struct amqp_door, flush);
    struct list todo;
    struct list *it;
    ASSERT(door->flush_posted);
    door->flush_posted = false;
    list_init(&todo);
    list_splice_back(&todo, &door->dirty);
    while ((it = list_pop_front(&todo)) != NULL)
        amqp_conn_progress(CONTAINER_OF(it, struct amqp_conn, dirty));
}

// While somebody starves, a content that has stood still for a while may be the reason: begun and
// left, or one of so many that each holds what the others wait for. The connection that holds most
// of it goes, one a round. While appends wait for the disk it is the log that holds the memory, and
// waiting ends that.
static void door_evict(struct amqp_door *door)
{
    struct amqp_conn *victim = NULL;
    if (shard_appends_blocked(door->shard))
        return;
    int64_t before_ns = io_now_ns(door->io) - AMQP_QUIET_NS;
    LIST_FOR (it, &door->conns) {
        struct amqp_conn *conn = CONTAINER_OF(it, struct amqp_conn, link);
        if (conn->assembled == 0 || conn->heard_ns > before_ns)
            continue;
        if (victim == NULL || conn->assembled > victim->assembled)
            victim = conn;
    }
    if (victim != NULL)
        amqp_conn_close(victim);
}

static void door_retry_later(struct amqp_door *door)
{
    io_timer_start(door->io, &door->retry, io_now_ns(door->io) + AMQP_RETRY_NS);
}

// Memory comes back from any thread that drops a blob, and nobody tells: so starved connections
// look again soon, those that have waited longest first, and not all of ten thousand every time.
static void door_retry(struct io_timer *timer)
{
    struct amqp_door *door = CONTAINER_OF(timer, struct amqp_door, retry);
    struct list *it;
    door_evict(door);
    for (uint32_t i = 0; i < AMQP_RETRIES; i++) {
        if ((it = list_pop_front(&door->starved)) == NULL)
            return;
        amqp_conn_mark(CONTAINER_OF(it, struct amqp_conn, starved));
    }
    if (!list_empty(&door->starved))
        door_retry_later(door);
}

void amqp_door_starved(struct amqp_door *door, struct amqp_conn *conn)
{
    ASSERT(list_empty(&conn->starved));
    list_push_back(&door->starved, &conn->starved);
    if (!io_timer_running(&door->retry))
        door_retry_later(door);
}

void amqp_door_unblocked(struct amqp_door *door)
{
    if (door == NULL || door->closed)
        return;
    LIST_FOR (it, &door->conns) {
        struct amqp_conn *conn = CONTAINER_OF(it, struct amqp_conn, link);
        if (conn->appended)
            amqp_conn_mark(conn);
    }
}

// ---- life

int amqp_door_open(struct shard *shard, const struct amqp_door_options *options,
                   struct amqp_door **out)
{
    struct amqp_door *door = mem_zalloc(sizeof *door);
    const struct io_listeners_options listen = {.listen = options->listen,
                                                .listen_count = options->listen_count,
                                                .port = options->port,
                                                .accept = door_accept,
                                                .owner = door};
    door->shard = shard;
    door->io = shard_io(shard);
    list_init(&door->conns);
    list_init(&door->waits);
    list_init(&door->starved);
    list_init(&door->dirty);
    door->flush.run = door_flush;
    io_timer_init(&door->retry, door_retry);
    int err = io_listeners_open(door->io, &listen, &door->listeners);
    if (err != 0) {
        mem_free(door);
        return err;
    }
    door->scratch = mem_alloc(AMQP_SCRATCH_BYTES);
    arena_init(&door->arena, ARENA_BYTES);
    wire_out_init(&door->encoded, ENCODED_BYTES);
    amqp_lobby_open(door);
    shard_set_door(shard, SHARD_DOOR_AMQP, door);
    *out = door;
    return 0;
}

void amqp_door_close(struct amqp_door *door)
{
    if (door == NULL || door->closed)
        return;
    door->closed = true;
    io_listeners_close(&door->listeners);
    LIST_FOR_SAFE (it, &door->conns) {
        struct amqp_conn *conn = CONTAINER_OF(it, struct amqp_conn, link);
        amqp_conn_stop(conn);
        amqp_conn_close(conn);
    }
    ASSERT(door->conns_count == 0);
    ASSERT(list_empty(&door->starved));
    ASSERT(list_empty(&door->dirty));
    io_timer_stop(door->io, &door->retry);
}

void amqp_door_destroy(struct amqp_door *door)
{
    if (door == NULL)
        return;
    // After a failure of the node the door was never closed; nothing of it is asked of anybody now.
    door->closed = true;
    LIST_FOR_SAFE (it, &door->conns)
        amqp_conn_forget(CONTAINER_OF(it, struct amqp_conn, link));
    LIST_FOR_SAFE (it, &door->waits) {
        struct amqp_wait *wait = CONTAINER_OF(it, struct amqp_wait, link);
        list_remove(it);
        wait->drop(wait);
    }
    ASSERT(door->conns_count == 0);
    ASSERT(list_empty(&door->waits));
    amqp_lobby_destroy(door);
    wire_out_fini(&door->encoded);
    arena_fini(&door->arena);
    mem_free(door->scratch);
    mem_free(door);
}
