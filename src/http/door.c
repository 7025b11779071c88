// SPDX-License-Identifier: Apache-2.0
//
// The door: listening, and libmicrohttpd inside the shard's loop. Its epoll descriptor is watched
// like a socket; when something has come, or its own timeout is due, it is given a run, inside
// which handlers are called.
#include "http/door.h"

#include <stdio.h>
#include <string.h>

#include "http/http_int.h"
#include "io/foreign.h"

// ---- routes

struct http_route {
    const char *path[2]; // the first parts; NULL: no second one needed
    uint32_t parts_max;
    void (*handle)(struct http_request *request);
};
static const struct http_route routes[] = {
    {{"healthz", NULL}, 1, http_healthz},        {{"metrics", NULL}, 1, http_metrics},
    {{"api", "queues"}, 5, http_api_queues},     {{"api", "exchanges"}, 6, http_api_exchanges},
    {{"api", "bindings"}, 3, http_api_bindings}, {{"api", "vhosts"}, 2, http_api_vhosts},
    {{"api", "overview"}, 2, http_api_overview},
};

static const struct http_route *route_find(const struct http_request *r)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        const struct http_route *route = &routes[i];
        uint32_t wanted = route->path[1] != NULL ? 2 : 1;
        if (r->parts_count < wanted || r->parts_count > route->parts_max)
            continue;
        if (slice_eq_cstr(r->parts[0], route->path[0]) &&
            (wanted == 1 || slice_eq_cstr(r->parts[1], route->path[1])))
            return route;
    }
    return NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// "/api/queues/%2F/" into its parts; empty parts at the end do not count. RFC 3986, 2.1 and 3.3.
// The library leaves the path as it came (HTTP_UNESCAPE), since %2F must not become a separator.
static int path_parse(struct http_request *r, const char *path)
{
    size_t len = strlen(path);
    uint8_t *out = mem_alloc(len + 1);
    r->memory = (char *)out;
    if (path[0] != '/')
        return ERR_INVALID;
    for (const char *p = path + 1; *p != '\0';) {
        uint8_t *start = out;
        for (; *p != '\0' && *p != '/'; p++) {
            int high = *p == '%' ? hex_digit(p[1]) : -1;
            int low = high >= 0 ? hex_digit(p[2]) : -1;
            if (*p == '%' && low < 0)
                return ERR_INVALID;
            *out++ = (uint8_t)(*p == '%' ? high << 4 | low : *p);
            p += *p == '%' ? 2 : 0;
        }
        if (*p == '/')
            p++;
        if (out == start && *p == '\0')
            break;
        if (r->parts_count == HTTP_PATH_PARTS)
            return ERR_LIMIT;
        r->parts[r->parts_count++] = slice_of(start, (size_t)(out - start));
    }
    return 0;
}

// ---- answers

static void door_run(struct http_door *door);

static void door_kicked(struct io_msg *msg)
{
    struct http_door *door = CONTAINER_OF(msg, struct http_door, kick);
    door->kicked = false;
    if (!door->closed)
        door_run(door);
}

static void door_kick(struct http_door *door)
{
    if (door->kicked || door->closed)
        return;
    door->kicked = true;
    io_post(shard_io(door->shard), &door->kick);
}

void http_answer(struct http_request *request, unsigned status, const char *type)
{
    ASSERT(request->begun);
    ASSERT(!request->answered);
    request->answered = true;
    request->status = status;
    request->type = type;
    if (request->body.err != 0) {
        buf_clear(&request->body);
        buf_printf(&request->body,
                   "{\"error\":\"too_large\",\"reason\":\"the answer is larger than "
                   "64 MiB; ask for one virtual host or one queue\"}");
        request->status = MHD_HTTP_SERVICE_UNAVAILABLE;
        request->type = "application/json";
    }
    if (!request->suspended)
        return; // the caller is still in http_handle, which sends it
    request->suspended = false;
    request->door->mhd->resume_connection(request->connection);
    door_kick(request->door);
}

static int json_append(const char *text, size_t len, void *arg)
{
    struct buf *out = arg;
    buf_put(out, text, len);
    return out->err;
}

void http_json_put(struct buf *out, json_t *value)
{
    if ((value == NULL || json_dump_callback(value, json_append, out, JSON_COMPACT) != 0) &&
        out->err == 0)
        out->err = ERR_NOMEM;
    json_decref(value);
}

void http_answer_json(struct http_request *request, json_t *value)
{
    http_json_put(&request->body, value);
    http_answer(request, MHD_HTTP_OK, "application/json");
}

void http_refuse(struct http_request *request, unsigned status, const char *error,
                 const char *reason)
{
    buf_clear(&request->body);
    http_json_put(&request->body, json_pack("{s:s, s:s}", "error", error, "reason", reason));
    http_answer(request, status, "application/json");
}

static enum MHD_Result answer_send(struct http_request *r)
{
    const struct mhd *mhd = r->door->mhd;
    struct MHD_Response *response = mhd->create_response_from_buffer(
        r->body.len, r->body.data, MHD_RESPMEM_PERSISTENT); // the request lives until it is sent
    if (response == NULL)
        return MHD_NO;
    (void)mhd->add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, r->type);
    (void)mhd->add_response_header(response, "X-Content-Type-Options", "nosniff");
    (void)mhd->add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (r->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)mhd->add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result sent = mhd->queue_response(r->connection, r->status, response);
    mhd->destroy_response(response);
    return sent;
}

// ---- what the library calls

static void request_begin(struct http_request *r, const char *path, const char *method)
{
    const struct http_route *route = NULL;
    r->begun = true;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        http_refuse(r, MHD_HTTP_METHOD_NOT_ALLOWED, "method_not_allowed",
                    "this door only tells; change things with weir queue, or over AMQP and Kafka");
        return;
    }
    if (path_parse(r, path) == 0)
        route = route_find(r);
    if (route == NULL)
        http_refuse(r, MHD_HTTP_NOT_FOUND, "not_found",
                    "try /api/queues, /metrics or /healthz; doc/http.md lists all");
    else
        route->handle(r);
}

static enum MHD_Result http_handle(void *arg, struct MHD_Connection *connection, const char *path,
                                   const char *method, const char *version, const char *upload,
                                   size_t *upload_len, void **slot)
{
    struct http_door *door = arg;
    struct http_request *r = *slot;
    (void)version;
    (void)upload;
    if (r == NULL) { // the head has come
        r = mem_zalloc(sizeof *r);
        r->door = door;
        r->connection = connection;
        buf_init(&r->body, HTTP_ANSWER_MAX);
        list_push_back(&door->requests, &r->link);
        *slot = r;
        return MHD_YES;
    }
    if (*upload_len > 0) { // nobody here wants a body
        *upload_len = 0;
        return MHD_YES;
    }
    if (!r->begun) {
        shard_counters(door->shard)->requests++;
        request_begin(r, path, method);
    }
    if (r->answered)
        return answer_send(r);
    ASSERT(!r->suspended);
    r->suspended = true;
    door->mhd->suspend_connection(connection);
    return MHD_YES;
}

static void request_free(struct http_request *r)
{
    if (r->drop != NULL)
        r->drop(r);
    list_remove(&r->link);
    buf_fini(&r->body);
    mem_free(r->memory);
    mem_free(r);
}

static void http_ended(void *arg, struct MHD_Connection *connection, void **slot,
                       enum MHD_RequestTerminationCode why)
{
    struct http_request *r = *slot;
    (void)arg;
    (void)connection;
    (void)why;
    if (r == NULL)
        return;
    ASSERT(!r->suspended);
    *slot = NULL;
    request_free(r);
}

// Paths are taken apart before %2F is decoded.
static size_t http_unescape(void *arg, struct MHD_Connection *connection, char *text)
{
    (void)arg;
    (void)connection;
    return strlen(text);
}

// ---- in the shard's loop

static void door_timeout(struct http_door *door)
{
    unsigned long long ms = 0;
    struct io *io = shard_io(door->shard);
    if (door->mhd->get_timeout(door->daemon, &ms) != MHD_YES) {
        io_timer_stop(io, &door->timer);
        return;
    }
    if (ms == 0)
        door_kick(door); // it has more to do now
    io_timer_start(io, &door->timer, io_now_ns(io) + (int64_t)(ms + 1) * 1000000);
}

static void door_run(struct http_door *door)
{
    ASSERT(!door->closed);
    (void)door->mhd->run(door->daemon);
    door_timeout(door);
}

static void door_ready(void *owner, int mask)
{
    (void)mask;
    door_run(owner);
}

static void door_timer(struct io_timer *timer)
{
    door_run(CONTAINER_OF(timer, struct http_door, timer));
}

static const struct io_sock_events door_events = {.ready = door_ready};

static void door_accept(void *owner, struct io_sock *sock, const struct io_addr *peer)
{
    struct http_door *door = owner;
    struct sockaddr_storage from;
    int fd = -1;
    if (io_foreign_take(sock, &fd) != 0)
        return;
    // The library closes it, also when it refuses.
    (void)door->mhd->add_connection(door->daemon, fd, (struct sockaddr *)&from,
                                    io_foreign_sockaddr(peer, &from));
    door_kick(door);
}

static int daemon_start(struct http_door *door)
{
    door->daemon = door->mhd->start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        http_handle, door, MHD_OPTION_NOTIFY_COMPLETED, http_ended, door,
        MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEAD_MAX,
        MHD_OPTION_UNESCAPE_CALLBACK, http_unescape, door, MHD_OPTION_END);
    if (door->daemon == NULL)
        return ERR_IO;
    const union MHD_DaemonInfo *info =
        door->mhd->get_daemon_info(door->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL)
        return ERR_UNSUPPORTED;
    int err = io_foreign_watch(shard_io(door->shard), info->epoll_fd, &door->poll);
    if (err != 0)
        return err;
    io_sock_own(door->poll, &door_events, door);
    io_watch(door->poll, IO_READABLE);
    return 0;
}

// ---- life

static int door_start(struct http_door *door, const struct http_door_options *options)
{
    const struct io_listeners_options listen = {.listen = options->listen,
                                                .listen_count = options->listen_count,
                                                .port = options->port,
                                                .accept = door_accept,
                                                .owner = door};
    int err = mhd_load(&door->mhd);
    if (err == 0)
        err = daemon_start(door);
    if (err == 0)
        err = io_listeners_open(shard_io(door->shard), &listen, &door->listeners);
    return err;
}

int http_door_open(struct shard *shard, const struct http_door_options *options,
                   struct http_door **out)
{
    ASSERT(shard_index(shard) == 0);
    struct http_door *door = mem_zalloc(sizeof *door);
    door->shard = shard;
    list_init(&door->requests);
    io_timer_init(&door->timer, door_timer);
    door->kick.run = door_kicked;
    slice_to_cstr(slice_cstr(options->version), door->version, sizeof door->version);
    int err = door_start(door, options);
    if (err != 0) {
        http_door_close(door);
        http_door_destroy(door);
        return err;
    }
    *out = door;
    return 0;
}

const struct io_listeners *http_door_listeners(const struct http_door *door)
{
    return &door->listeners;
}

void http_door_close(struct http_door *door)
{
    if (door == NULL || door->closed)
        return;
    door->closed = true;
    io_timer_stop(shard_io(door->shard), &door->timer);
    io_listeners_close(&door->listeners);
    io_close(door->poll);
    door->poll = NULL;
}

void http_door_destroy(struct http_door *door)
{
    if (door == NULL)
        return;
    door->closed = true; // after a failure of the node it was never closed
    LIST_FOR (it, &door->requests) {
        struct http_request *r = CONTAINER_OF(it, struct http_request, link);
        if (r->suspended) // a daemon does not end while any is
            door->mhd->resume_connection(r->connection);
        r->suspended = false;
    }
    if (door->daemon != NULL)
        door->mhd->stop_daemon(door->daemon);
    ASSERT(list_empty(&door->requests));
    mem_free(door);
}
