// SPDX-License-Identifier: Apache-2.0
//
// OffsetFetch: what a group has committed. A group that is not known has committed nothing, which
// is no error. With require_stable the answer waits for commits that are on their way to the disk.
#include "group/group_int.h"

static struct group_fetch *fetch_of(struct group_request *request)
{
    return CONTAINER_OF(request, struct group_fetch, r);
}

static void fill_one(struct group_fetch *fetch, const struct group_stored_offset *o,
                     struct group_offset *out)
{
    out->offset = o == NULL ? -1 : o->offset;
    out->leader_epoch = o == NULL ? -1 : o->leader_epoch;
    out->metadata = slice_of("", 0);
    if (o != NULL && o->metadata.len > 0)
        out->metadata = group_answer_slice(&fetch->r, o->metadata);
}

static void fill_named(struct group_fetch *fetch, const struct group *group)
{
    for (uint32_t t = 0; t < fetch->topics_count; t++) {
        struct group_topic *topic = &fetch->topics[t];
        for (uint32_t p = 0; p < topic->partitions_count; p++) {
            struct group_offset *out = &topic->partitions[p];
            const struct group_stored_offset *o = NULL;
            if (out->err == 0 && group != NULL)
                o = offset_find(group, topic->name, out->partition);
            fill_one(fetch, o, out);
        }
    }
}

static int fill_topic(struct group_fetch *fetch, const struct group_topic_offsets *from,
                      struct group_topic *out)
{
    out->name = group_answer_slice(&fetch->r, from->name);
    out->partitions_count = 0;
    out->partitions =
        arena_array(&fetch->r.answer, from->partitions.count, sizeof *out->partitions);
    if (out->partitions == NULL)
        return ERR_COORDINATOR_NOT_AVAILABLE;
    LIST_FOR (it, &from->partitions.order) {
        const struct group_stored_offset *o =
            CONTAINER_OF(it, struct group_stored_offset, node.order);
        struct group_offset *to = &out->partitions[out->partitions_count++];
        *to = (struct group_offset){.partition = o->partition};
        fill_one(fetch, o, to);
    }
    ASSERT(out->partitions_count == from->partitions.count);
    return 0;
}

static void fill_all(struct group_fetch *fetch, const struct group *group)
{
    fetch->topics = NULL;
    fetch->topics_count = 0;
    if (group == NULL || group->topics.count == 0)
        return;
    fetch->topics = arena_array(&fetch->r.answer, group->topics.count, sizeof *fetch->topics);
    if (fetch->topics == NULL) {
        fetch->r.err = ERR_COORDINATOR_NOT_AVAILABLE;
        return;
    }
    LIST_FOR (it, &group->topics.order) {
        int err = fill_topic(fetch, CONTAINER_OF(it, struct group_topic_offsets, node.order),
                             &fetch->topics[fetch->topics_count++]);
        if (err != 0)
            fetch->r.err = err;
    }
    ASSERT(fetch->topics_count == group->topics.count);
}

static void fill(struct group_fetch *fetch, const struct group *group)
{
    if (fetch->all)
        fill_all(fetch, group);
    else
        fill_named(fetch, group);
    if (fetch->all && fetch->r.err != 0)
        fetch->topics_count = 0;
}

static void fetch_stable(struct group_op *op, int err)
{
    if (op->request != NULL) {
        struct group_fetch *fetch = fetch_of(op->request);
        if (err == 0)
            fill(fetch, op->group->deleted ? NULL : op->group);
        group_answer_slot(&op->request, err == 0 ? fetch->r.err : ERR_COORDINATOR_NOT_AVAILABLE);
    }
    op_finish(op);
}

void groups_fetch(struct groups *groups, struct group_fetch *fetch)
{
    if (fetch->all) {
        fetch->topics = NULL;
        fetch->topics_count = 0;
    }
    if (!groups_admit(groups, &fetch->r))
        return;
    int err = group_id_check(fetch->group_id, true);
    struct group *group = err == 0 ? group_find(groups, fetch->group_id) : NULL;
    if (err == 0 && fetch->require_stable && group != NULL && group->commits_open > 0) {
        op_barrier(op_create(group, &fetch->r, fetch_stable));
        return;
    }
    if (err == 0) {
        fill(fetch, group);
        err = fetch->r.err;
    }
    group_answer(groups, &fetch->r, err);
}
