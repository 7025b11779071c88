// SPDX-License-Identifier: Apache-2.0
//
// What the files of the HTTP door share. A request is parsed and queued by libmicrohttpd, answered
// by a handler: at once or in a later turn (the connection is suspended meanwhile).
#ifndef WEIR_HTTP_HTTP_INT_H
#define WEIR_HTTP_HTTP_INT_H

#include <jansson.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "http/door.h"
#include "http/mhd.h"
#include "io/listeners.h"
#include "node/queues.h"
#include "node/status.h"

#define HTTP_CONNECTIONS_MAX 128
#define HTTP_IDLE_S          30 // seconds
#define HTTP_HEAD_MAX        (16U << 10)
#define HTTP_PATH_PARTS      6
#define HTTP_ANSWER_MAX      (64U << 20)

struct http_door {
    struct shard *shard;
    const struct mhd *mhd;
    struct MHD_Daemon *daemon;
    struct io_listeners listeners;
    struct io_sock *poll; // the library's own poller
    struct io_timer timer;
    struct io_msg kick;
    bool kicked, closed;
    struct list requests; // being answered
    char version[32];
};

struct http_request {
    struct list link;
    struct http_door *door;
    struct MHD_Connection *connection;
    char *memory;                        // the path's bytes, decoded
    struct slice parts[HTTP_PATH_PARTS]; // of the path
    uint32_t parts_count;
    bool begun, suspended, answered;
    unsigned status;
    const char *type;
    struct buf body;
    void *state;                                // the handler's
    void (*drop)(struct http_request *request); // frees state; also after the actors have ended
};

// Once per request. The body has been filled; the request may be gone afterwards.
void http_answer(struct http_request *request, unsigned status, const char *type);
void http_answer_json(struct http_request *request, json_t *value); // takes the reference
void http_json_put(struct buf *out, json_t *value);                 // likewise
// RabbitMQ's form: {"error": …, "reason": …}.
void http_refuse(struct http_request *request, unsigned status, const char *error,
                 const char *reason);

void http_healthz(struct http_request *request);
void http_metrics(struct http_request *request);
void http_api_queues(struct http_request *request);
void http_api_exchanges(struct http_request *request);
void http_api_bindings(struct http_request *request);
void http_api_vhosts(struct http_request *request);
void http_api_overview(struct http_request *request);

json_t *http_text(struct slice text); // bytes that are no UTF-8 come out as U+FFFD
// The bindings of a virtual host (null: all) that `wanted` (NULL: all of them) takes.
json_t *http_bindings(struct http_request *request, struct slice vhost,
                      bool (*wanted)(void *arg, const struct exchange_binding *binding), void *arg);

#endif
