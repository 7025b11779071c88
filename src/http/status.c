// SPDX-License-Identifier: Apache-2.0
//
// /metrics in Prometheus's text format, and /healthz. Both ask every shard.
#include <stdio.h>
#include <string.h>

#include "http/http_int.h"

struct asked_status {
    struct status_request status;
    struct http_request *request;
};

static void status_free(struct http_request *request)
{
    struct asked_status *a = request->state;
    status_drop(&a->status); // nothing, unless the server has ended meanwhile
    mem_free(a);
}

static void status_ask(struct http_request *request, void (*done)(struct status_request *status))
{
    struct asked_status *a = mem_zalloc(sizeof *a);
    a->request = request;
    a->status.done = done;
    request->state = a;
    request->drop = status_free;
    status_start(request->door->shard, &a->status);
}

// Prometheus wants base units: seconds and bytes.
static void metric_value(struct buf *out, const struct status_metric *m)
{
    if (strcmp(m->unit, "ms") == 0)
        buf_printf(out, "%.3f", (double)m->value / 1e3);
    else if (strcmp(m->unit, "ns") == 0)
        buf_printf(out, "%.9f", (double)m->value / 1e9);
    else
        buf_printf(out, "%lld", (long long)m->value);
}

static void metric_name(char *name, size_t size, const struct status_metric *m)
{
    const char *unit = "";
    if (strcmp(m->unit, "ms") == 0 || strcmp(m->unit, "ns") == 0)
        unit = "_seconds";
    else if (strcmp(m->unit, "bytes") == 0 && strstr(m->name, "bytes") == NULL)
        unit = "_bytes";
    (void)snprintf(name, size, "weir_%s%s", m->name, unit);
    for (char *c = name; *c != '\0'; c++)
        if (*c == '.')
            *c = '_';
}

static void metrics_done(struct status_request *status)
{
    struct http_request *r = CONTAINER_OF(status, struct asked_status, status)->request;
    struct status_metric metrics[STATUS_METRICS_MAX];
    uint32_t count = status_metrics(&status->status, metrics, STATUS_METRICS_MAX);
    char name[128];
    ASSERT(count <= STATUS_METRICS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        metric_name(name, sizeof name, &metrics[i]);
        buf_printf(&r->body, "# HELP %s %s\n# TYPE %s gauge\n%s ", name, metrics[i].doc, name,
                   name);
        metric_value(&r->body, &metrics[i]);
        buf_printf(&r->body, "\n");
    }
    http_answer(r, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8");
}

void http_metrics(struct http_request *request)
{
    status_ask(request, metrics_done);
}

static void healthz_done(struct status_request *status)
{
    struct http_request *r = CONTAINER_OF(status, struct asked_status, status)->request;
    buf_printf(&r->body, "ok\n");
    http_answer(r, MHD_HTTP_OK, "text/plain; charset=utf-8");
}

void http_healthz(struct http_request *request)
{
    status_ask(request, healthz_done);
}
