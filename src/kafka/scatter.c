// SPDX-License-Identifier: Apache-2.0
//
// Requests about many partitions: see scatter.h.
#include "kafka/scatter.h"

bool kafka_scatter_new(struct kafka_request *r, enum scatter_job job, size_t count, size_t size,
                       void (*answer)(struct kafka_request *r))
{
    struct kafka_scatter *s = kafka_alloc(r, 1, sizeof *s);
    if (s == NULL)
        return false;
    r->state = s;
    s->r = r;
    s->answer = answer;
    s->parts = kafka_alloc(r, count, size);
    s->errs = s->parts == NULL ? NULL : kafka_alloc(r, count, sizeof *s->errs);
    s->scatter.job = job;
    s->scatter.parts = s->parts;
    s->scatter.parts_count = (uint32_t)count;
    s->scatter.context = &r->context;
    return s->errs != NULL;
}

static void scatter_done(struct scatter *scatter)
{
    struct kafka_scatter *s = CONTAINER_OF(scatter, struct kafka_scatter, scatter);
    ASSERT(s->r->progress == REQUEST_RUNNING);
    s->answer(s->r);
}

void kafka_scatter_start(struct kafka_request *r)
{
    struct kafka_scatter *s = r->state;
    ASSERT(s->r == r);
    ASSERT(s->answer != NULL);
    s->scatter.done = scatter_done;
    scatter_start(kafka_shard(r), &s->scatter);
}

void kafka_scatter_fini(struct kafka_request *r)
{
    struct kafka_scatter *s = r->state;
    if (s != NULL)
        scatter_drop(&s->scatter); // nothing, unless the server has ended meanwhile
}
