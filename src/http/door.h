// SPDX-License-Identifier: Apache-2.0
//
// The HTTP door: what Celery's tools ask of RabbitMQ's management API (queues, exchanges, bindings;
// read only), Prometheus metrics and a health check. HTTP/1.1 itself is libmicrohttpd's
// (http/mhd.h), polled by shard 0's loop: no thread, no lock; connections are accepted by io and
// handed over.
//
//   GET /healthz                                   200 "ok" once every shard has answered
//   GET /metrics                                   the counters of `weir status` (OpenMetrics text
//   0.0.4) GET /api/queues[/VHOST[/QUEUE[/bindings]]] GET
//   /api/exchanges[/VHOST[/EXCHANGE[/bindings/source|destination]]] GET /api/bindings[/VHOST] GET
//   /api/vhosts, /api/overview
//
// Only shard 0 has it. Life as the other doors': open on the shard, close on the shard, destroy
// when no actor runs any more.
#ifndef WEIR_HTTP_DOOR_H
#define WEIR_HTTP_DOOR_H

#include "io/listeners.h"
#include "node/shard.h"

struct http_door;

struct http_door_options {
    const struct io_addr *listen; // none: both loopback addresses at `port`
    uint32_t listen_count;
    uint16_t port;       // 0: any free one, the same for both
    const char *version; // of weir
};
// ERR_UNSUPPORTED: libmicrohttpd cannot be loaded. ERR_ADDRESS_IN_USE, ERR_PERMISSION, ERR_LIMIT,
// ERR_IO.
int http_door_open(struct shard *shard, const struct http_door_options *options,
                   struct http_door **out);
const struct io_listeners *http_door_listeners(const struct http_door *door);
void http_door_close(struct http_door *door);   // accepts NULL
void http_door_destroy(struct http_door *door); // accepts NULL

#endif
