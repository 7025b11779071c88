// SPDX-License-Identifier: Apache-2.0
//
// The door: addresses, limits on connections, and what connections of one shard share.
#include "kafka/door.h"

#include <string.h>

#include "base/mem.h"
#include "kafka/conn.h"
#include "kafka/fetch_session.h"

#define KAFKA_LISTENER "PLAINTEXT://"

// ---- addresses

static bool all_digits(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0' && strlen(text) <= 5;
}

// The host as it is sent to clients: a name, an IPv4 address, or what stands in brackets.
static bool host_ok(const char *host, size_t len, bool bracketed)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    for (size_t i = 0; i < len; i++)
        if (strchr(name, host[i]) == NULL && !(bracketed && strchr(":%", host[i]) != NULL))
            return false;
    return len > 0 && len <= KAFKA_HOST_MAX;
}

int kafka_host_port(const char *text, char host[KAFKA_HOST_MAX + 1], uint16_t *out_port)
{
    // Kafka's advertised.listeners name the listener; there is one here, and it is not encrypted.
    if (strncmp(text, KAFKA_LISTENER, strlen(KAFKA_LISTENER)) == 0)
        text += strlen(KAFKA_LISTENER);
    size_t len = strlen(text);
    const char *colon = strrchr(text, ':');
    const char *bracket = strchr(text, ']');
    if (colon != NULL && bracket != NULL && colon < bracket)
        colon = NULL; // of an IPv6 address without a port
    uint32_t port = KAFKA_PORT_DEFAULT;
    if (colon != NULL) {
        if (!all_digits(colon + 1))
            return ERR_INVALID;
        port = 0;
        for (const char *c = colon + 1; *c != '\0'; c++)
            port = port * 10 + (uint32_t)(*c - '0');
        len = (size_t)(colon - text);
    }
    bool bracketed = text[0] == '[';
    if (bracketed) { // brackets belong to the notation, not to the host
        if (bracket == NULL || (size_t)(bracket - text) + 1 != len)
            return ERR_INVALID;
        text++;
        len -= 2;
    }
    if (!host_ok(text, len, bracketed) || port == 0 || port > UINT16_MAX)
        return ERR_INVALID;
    memcpy(host, text, len);
    host[len] = '\0';
    *out_port = (uint16_t)port;
    return 0;
}

const struct io_listeners *kafka_door_listeners(const struct kafka_door *door)
{
    return &door->listeners;
}

// ---- accepting

static void door_accept(void *owner, struct io_sock *sock, const struct io_addr *peer)
{
    struct kafka_door *door = owner;
    uint32_t place;
    if (door->closed || !shard_connection_enter(door->shard, peer, &place))
        io_close(sock);
    else
        kafka_conn_open(door, sock, peer, place);
}

// ---- connections that wait

// Progress may close a connection, and so remove others' neighbours from the list, never others:
// each is taken off before it runs.
static void door_run_list(struct list *waiting)
{
    struct list todo;
    list_init(&todo);
    list_splice_back(&todo, waiting);
    struct list *it;
    while ((it = list_pop_front(&todo)) != NULL) {
        ASSERT(list_empty(it));
        kafka_conn_progress(CONTAINER_OF(it, struct kafka_conn, dirty));
    }
}

static void door_flush(struct io_msg *msg)
{
    struct kafka_door *door = CONTAINER_OF(msg, struct kafka_door, flush);
    ASSERT(door->flush_posted);
    door->flush_posted = false;
    door_run_list(&door->dirty);
}

// While somebody starves, an unfinished frame that has stood still for KAFKA_QUIET_NS may be the
// reason: begun by a stranger and left, or one of so many that each holds what the others wait for,
// which no waiting would end. The largest goes, one a round; its client sends it again. While
// appends wait for the disk it is the log that holds the memory, and waiting ends that.
static void door_evict(struct kafka_door *door)
{
    struct kafka_conn *victim = NULL;
    if (shard_appends_blocked(door->shard))
        return;
    int64_t before_ns = io_now_ns(door->io) - KAFKA_QUIET_NS;
    LIST_FOR (it, &door->conns) {
        struct kafka_conn *conn = CONTAINER_OF(it, struct kafka_conn, link);
        if (conn->frame == NULL || conn->active_ns > before_ns)
            continue;
        if (victim == NULL || conn->frame->size > victim->frame->size)
            victim = conn;
    }
    if (victim != NULL)
        kafka_conn_close(victim);
}

static void door_retry_later(struct kafka_door *door)
{
    io_timer_start(door->io, &door->retry, io_now_ns(door->io) + KAFKA_STARVED_RETRY_NS);
}

// Memory comes back from any thread that drops a blob, and nobody tells: so starved connections
// look again soon, those that have waited longest first. Ten thousand that look in vain every time
// would be a load of their own.
static void door_retry(struct io_timer *timer)
{
    struct kafka_door *door = CONTAINER_OF(timer, struct kafka_door, retry);
    struct list *it;
    door_evict(door);
    for (uint32_t i = 0; i < KAFKA_STARVED_RETRIES; i++) {
        if ((it = list_pop_front(&door->starved)) == NULL)
            return;
        kafka_conn_answered(CONTAINER_OF(it, struct kafka_conn, starved));
    }
    if (!list_empty(&door->starved))
        door_retry_later(door);
}

void kafka_door_starved(struct kafka_door *door, struct kafka_conn *conn)
{
    ASSERT(list_empty(&conn->starved));
    list_push_back(&door->starved, &conn->starved);
    if (!io_timer_running(&door->retry))
        door_retry_later(door);
}

void kafka_door_unblocked(struct kafka_door *door)
{
    if (door == NULL || door->closed)
        return;
    LIST_FOR (it, &door->conns) {
        struct kafka_conn *conn = CONTAINER_OF(it, struct kafka_conn, link);
        if (conn->appended)
            kafka_conn_answered(conn);
    }
}

// ---- life

int kafka_door_open(struct shard *shard, const struct kafka_door_options *options,
                    struct kafka_door **out)
{
    struct kafka_door *door = mem_zalloc(sizeof *door);
    door->shard = shard;
    door->io = shard_io(shard);
    list_init(&door->conns);
    list_init(&door->orphans);
    list_init(&door->starved);
    list_init(&door->dirty);
    door->flush.run = door_flush;
    io_timer_init(&door->retry, door_retry);
    const struct io_listeners_options listen = {.listen = options->listen,
                                                .listen_count = options->listen_count,
                                                .port = options->port,
                                                .accept = door_accept,
                                                .owner = door};
    int err = 0;
    if (options->advertised != NULL)
        err = kafka_host_port(options->advertised, door->advertised_host, &door->advertised_port);
    if (err == 0)
        err = io_listeners_open(door->io, &listen, &door->listeners);
    if (err != 0) {
        mem_free(door);
        return err;
    }
    door->scratch = mem_alloc(KAFKA_SCRATCH_BYTES);
    uint32_t sessions_max = shard_share(shard, broker_config(shard)->fetch_sessions_max);
    door->sessions = kafka_sessions_create(door->io, shard_request_budget(shard), sessions_max,
                                           shard_hash_seed(shard));
    shard_set_door(shard, SHARD_DOOR_KAFKA, door);
    *out = door;
    return 0;
}

void kafka_door_close(struct kafka_door *door)
{
    if (door == NULL || door->closed)
        return;
    door->closed = true;
    io_listeners_close(&door->listeners);
    LIST_FOR_SAFE (it, &door->conns)
        kafka_conn_close(CONTAINER_OF(it, struct kafka_conn, link));
    ASSERT(door->conns_count == 0);
    ASSERT(list_empty(&door->starved));
    io_timer_stop(door->io, &door->retry);
}

void kafka_door_destroy(struct kafka_door *door)
{
    if (door == NULL)
        return;
    // After a failure of the node the door was never closed; nothing of it is asked of anybody now.
    door->closed = true;
    LIST_FOR_SAFE (it, &door->conns)
        kafka_conn_forget(CONTAINER_OF(it, struct kafka_conn, link));
    LIST_FOR_SAFE (it, &door->orphans) {
        list_remove(it);
        kafka_request_free(CONTAINER_OF(it, struct kafka_request, link));
    }
    ASSERT(door->conns_count == 0);
    ASSERT(list_empty(&door->orphans));
    kafka_sessions_destroy(door->sessions);
    mem_free(door->scratch);
    mem_free(door);
}
