// SPDX-License-Identifier: Apache-2.0
//
// WeirStatus: the counters, for `weir status`. An API of ours on the door that is there anyway,
// rather than a second protocol; it is not advertised.
#include <string.h>

#include "kafka/kafka_int.h"
#include "wire/gen/kafka_weir_status.h"

struct weir_status {
    struct status_request status;
    struct kafka_request *r;
};

static void status_answer(struct status_request *request)
{
    struct kafka_request *r = CONTAINER_OF(request, struct weir_status, status)->r;
    struct status_metric metrics[STATUS_METRICS_MAX];
    uint32_t count = status_metrics(&request->status, metrics, STATUS_METRICS_MAX);
    struct kafka_weir_status_response answer;
    ASSERT(count <= STATUS_METRICS_MAX);
    wire_default(&kafka_weir_status_response_type, &answer);
    answer.metrics = kafka_alloc_default(r, &kafka_weir_status_response_metric_type, count);
    if (answer.metrics == NULL)
        return;
    const struct kafka_weir_status_request *q = r->message;
    for (uint32_t i = 0; i < count; i++) {
        struct slice name = slice_cstr(metrics[i].name);
        if (name.len < q->prefix.len || memcmp(name.data, q->prefix.data, q->prefix.len) != 0)
            continue;
        answer.metrics[answer.metrics_count++] = (struct kafka_weir_status_response_metric){
            .name = name,
            .unit = slice_cstr(metrics[i].unit),
            .value = metrics[i].value,
        };
    }
    kafka_answer(r, &answer);
}

void kafka_weir_status_fini(struct kafka_request *r)
{
    struct weir_status *s = r->state;
    if (s != NULL)
        status_drop(&s->status); // nothing, unless the server has ended meanwhile
}

void kafka_weir_status_handle(struct kafka_request *r)
{
    struct weir_status *s = kafka_alloc(r, 1, sizeof *s);
    if (s == NULL)
        return;
    s->r = r;
    r->state = s;
    s->status.done = status_answer;
    status_start(kafka_shard(r), &s->status);
}
