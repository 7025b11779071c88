// SPDX-License-Identifier: Apache-2.0
//
// Damage in the model: where bits have changed at rest, so that reads may be refused there, and
// nowhere else. What is delivered in spite of it must be right all the same.
#include "base/mem.h"
#include "sim/model_int.h"

void hurts_free(struct model *m)
{
    struct list *it;
    while ((it = list_pop_front(&m->hurts)) != NULL)
        mem_free(CONTAINER_OF(it, struct model_hurt, link));
}

void model_hurt(struct model *m, struct model_partition *p, int64_t from, int64_t to)
{
    struct model_hurt *h = mem_zalloc(sizeof *h);
    *h = (struct model_hurt){.partition = p, .from = from, .to = to, .mended = MODEL_NEVER};
    list_push_back(&m->hurts, &h->link);
}

void model_mended(struct model *m)
{
    uint64_t now = model_now(m);
    LIST_FOR (it, &m->hurts) {
        struct model_hurt *h = CONTAINER_OF(it, struct model_hurt, link);
        if (h->mended == MODEL_NEVER)
            h->mended = now;
    }
}

void model_damaged(struct model *m, const struct model_partition *p, const struct model_read *read,
                   int64_t from, int64_t to)
{
    m->damaged_reads++;
    if (m->read_flips)
        return;
    LIST_FOR (it, &m->hurts) {
        const struct model_hurt *h = CONTAINER_OF(it, struct model_hurt, link);
        if (h->partition == p && h->from < to && from < h->to && h->mended >= read->stamp)
            return;
    }
    model_fail(m, "%s-%d: the records at %lld are said to be damaged", p->topic->name, p->index,
               (long long)from);
}
