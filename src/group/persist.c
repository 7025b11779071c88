// SPDX-License-Identifier: Apache-2.0
//
// What survives: operations that are on their way to the disk, restoring, and cuts for checkpoints.
// A group's record is the last completed generation (or "empty"), never a rebalance half done, so
// the bytes that were journalled are kept and are what a cut emits.
//
// A cut moves the list of changes aside; when the checkpoint is installed they are done with, when
// it is abandoned they go back to the front. A deletion stays in the list until then, because an
// earlier snapshot of the chain may still hold the key.
#include "group/group_int.h"

#include "base/bugs.h"

#include <string.h>

// ---- operations

struct group_op *op_create(struct group *group, struct group_request *request,
                           void (*durable)(struct group_op *op, int err))
{
    ASSERT(group->groups->port != NULL);
    struct group_op *op = mem_zalloc(sizeof *op);
    op->group = group;
    op->durable = durable;
    op->generation = group->generation;
    arena_init(&op->memory, GROUP_RECORD_MAX_BYTES);
    buf_init(&op->value, GROUP_RECORD_MAX_BYTES);
    list_init(&op->link);
    list_push_back(&group->groups->ops, &op->link);
    group->ops_open++;
    if (request != NULL)
        group_hold(&op->request, request);
    return op;
}

int op_take(struct group_op *op, size_t bytes)
{
    struct budget *budget = op->group->groups->opt.budget;
    if (budget != NULL && budget_take(budget, bytes) != 0)
        return ERR_BUDGET;
    op->taken_bytes += bytes;
    return 0;
}

static void op_free(struct group_op *op)
{
    struct group *group = op->group;
    ASSERT(op->request == NULL);
    ASSERT(group->ops_open > 0);
    if (op->commit) {
        ASSERT(group->commits_open > 0);
        group->commits_open--;
    }
    if (group->groups->opt.budget != NULL)
        budget_give(group->groups->opt.budget, op->taken_bytes);
    arena_fini(&op->memory);
    buf_fini(&op->value);
    list_remove(&op->link);
    mem_free(op);
    group->ops_open--;
}

void op_finish(struct group_op *op)
{
    struct group *group = op->group;
    op_free(op);
    if (group->ops_open == 0 && group->deleted)
        group_release(group);
}

void op_drop(struct group_op *op)
{
    ASSERT(op->group->groups->shard == NULL);
    group_detach(&op->request);
    op_free(op);
}

static void op_journalled(void *arg, const struct journal_frame *frame, int err)
{
    (void)frame;
    struct group_op *op = arg;
    op->durable(op, err);
}

static void op_barrier_passed(struct journal_barrier *barrier, int err)
{
    struct group_op *op = CONTAINER_OF(barrier, struct group_op, barrier);
    op->durable(op, err);
}

void op_barrier(struct group_op *op)
{
    op->barrier.fn = op_barrier_passed;
    list_init(&op->barrier.link);
    journal_barrier(op->group->groups->port, &op->barrier);
}

void op_save_group(struct group_op *op)
{
    ASSERT(op->value.err == 0);
    ASSERT(op->value.len > 0);
    const struct state_record record = {STATE_GROUP, op->group->id, buf_slice(&op->value)};
    state_write(op->group->groups->port, &record, op_journalled, op);
}

void op_save_writes(struct group_op *op)
{
    ASSERT(op->writes_count > 0);
    struct buf key, value;
    buf_init(&key, GROUP_RECORD_MAX_BYTES);
    buf_init(&value, GROUP_RECORD_MAX_BYTES);
    for (uint32_t i = 0; i < op->writes_count; i++) {
        const struct group_write *w = &op->writes[i];
        buf_clear(&key);
        buf_clear(&value);
        format_put_offset_key(&key,
                              &(struct group_offset_key){op->group->id, w->topic, w->partition});
        format_put_offset_value(&value,
                                &(struct group_offset_value){w->offset, w->commit_ms, w->expire_ms,
                                                             w->leader_epoch, w->metadata});
        ASSERT(key.err == 0);
        ASSERT(value.err == 0);
        const struct state_record record = {STATE_OFFSET, buf_slice(&key),
                                            w->tombstone ? SLICE_NULL : buf_slice(&value)};
        // Done come in order: the last one speaks for all.
        bool last = i + 1 == op->writes_count;
        state_write(op->group->groups->port, &record, last ? op_journalled : NULL, op);
    }
    buf_fini(&key);
    buf_fini(&value);
}

void op_delete_group(struct group_op *op)
{
    struct group *group = op->group;
    ASSERT(group->state == GROUP_DEAD);
    ASSERT(group->commits_open == 0);
    struct buf key;
    buf_init(&key, GROUP_RECORD_MAX_BYTES);
    LIST_FOR (t, &group->topics.order) {
        struct group_topic_offsets *topic = CONTAINER_OF(t, struct group_topic_offsets, node.order);
        LIST_FOR (p, &topic->partitions.order) {
            buf_clear(&key);
            offset_encode(CONTAINER_OF(p, struct group_stored_offset, node.order), &key, NULL);
            const struct state_record gone = {STATE_OFFSET, buf_slice(&key), SLICE_NULL};
            state_write(group->groups->port, &gone, NULL, NULL);
        }
    }
    buf_fini(&key);
    const struct state_record gone = {STATE_GROUP, group->id, SLICE_NULL};
    state_write(group->groups->port, &gone, op_journalled, op);
}

// ---- a group as a record

static void encode_member(const struct group_member *m, bool incoming, struct buf *out)
{
    const struct group_stored_member stored = {
        .id = m->id,
        .instance_id = m->instance_id,
        .client_id = m->client_id,
        .client_host = m->client_host,
        .session_timeout_ms = m->session_timeout_ms,
        .rebalance_timeout_ms = m->rebalance_timeout_ms,
        .protocols_count = m->protocols_count,
    };
    format_put_member_head(out, &stored);
    for (uint32_t i = 0; i < m->protocols_count; i++) {
        format_put_string(out, m->protocols[i].name);
        format_put_string(out, m->protocols[i].metadata);
    }
    format_put_string(out, incoming ? m->incoming : m->assignment);
}

int op_encode_group(struct group_op *op, bool incoming)
{
    const struct group *group = op->group;
    ASSERT(op->value.len == 0);
    const struct group_head head = {
        .generation = group->generation,
        .since_ms = group->since_ms,
        .protocol_type = group->protocol_type,
        .protocol = group->protocol,
        .leader = group->leader == NULL ? SLICE_NULL : group->leader->id,
        .members_count = (uint32_t)group->members.count,
    };
    format_put_head(&op->value, &head);
    LIST_FOR (it, &group->members.order)
        encode_member(CONTAINER_OF(it, struct group_member, node.order), incoming, &op->value);
    return op->value.err == 0 ? 0 : ERR_LIMIT;
}

void group_saved(struct group *group, struct slice value)
{
    group_force(group, value.len);
    group_give(group, group->saved_len);
    mem_free(group->saved);
    group->saved = mem_dup(value.data, value.len);
    group->saved_len = value.len;
    group_dirty_mark(group->groups, &group->dirty);
}

// ---- restoring

static void group_forget_members(struct group *group)
{
    MAP_FOR_SAFE (it, &group->members)
        member_remove(CONTAINER_OF(it, struct group_member, node.order));
    ASSERT(group->members.count == 0);
    group_free(&group->protocol);
    group_free(&group->protocol_type);
    group->state = group->previous = GROUP_EMPTY;
}

static int restore_member(struct group *group, const struct group_head *head, struct cursor *in)
{
    struct group_stored_member stored;
    int err = format_get_member(in, &stored);
    if (err != 0)
        return err;
    struct group_protocol protocols[GROUP_PROTOCOLS_MAX];
    struct cursor p = cursor_of(stored.protocols);
    bool knows = false;
    for (uint32_t i = 0; i < stored.protocols_count; i++) {
        protocols[i].name = format_get_string(&p);
        protocols[i].metadata = format_get_string(&p);
        knows = knows || slice_eq(protocols[i].name, head->protocol);
    }
    bool twice =
        member_find(group, stored.id) != NULL ||
        (stored.instance_id.data != NULL && member_find_static(group, stored.instance_id) != NULL);
    if (twice || !knows)
        return ERR_CORRUPT;
    const struct member_terms terms = {
        .id = stored.id,
        .instance_id = stored.instance_id,
        .client_id = stored.client_id,
        .client_host = stored.client_host,
        .protocol_type = head->protocol_type,
        .protocols = protocols,
        .protocols_count = stored.protocols_count,
        .session_timeout_ms = stored.session_timeout_ms,
        .rebalance_timeout_ms = stored.rebalance_timeout_ms,
    };
    struct group_member *m = NULL;
    err = member_add(group, &terms, &m);
    ASSERT(err == 0); // forced before groups_start
    member_set_assignment(m, stored.assignment);
    return 0;
}

static int restore_members(struct group *group, const struct group_head *head, struct cursor *in)
{
    bool named = head->protocol_type.data != NULL && head->protocol.data != NULL;
    if (head->generation < 0 || (head->members_count > 0 && !named))
        return ERR_CORRUPT;
    for (uint32_t i = 0; i < head->members_count; i++) {
        int err = restore_member(group, head, in);
        if (err != 0)
            return err;
    }
    return cursor_left(in) == 0 ? 0 : ERR_CORRUPT;
}

static int restore_group(struct group *group, struct slice value)
{
    struct cursor in = cursor_of(value);
    struct group_head head;
    int err = format_get_head(&in, &head);
    if (err != 0)
        return err;
    group_forget_members(group);
    err = restore_members(group, &head, &in);
    if (err != 0) {
        group_forget_members(group);
        return err;
    }
    if (group->protocol_type.data == NULL)
        group->protocol_type = group_dup(head.protocol_type);
    group->protocol = group_dup(head.protocol);
    struct group_member *leader = head.leader.data == NULL ? NULL : member_find(group, head.leader);
    if (leader != NULL)
        group->leader = leader;
    group->generation = head.generation;
    group->since_ms = head.since_ms;
    group->state = group->members.count > 0 ? GROUP_STABLE : GROUP_EMPTY;
    protocol_subscribe(group);
    group_saved(group, value);
    group_check(group);
    return 0;
}

static int find_or_restore(struct groups *groups, struct slice id, struct group **out)
{
    *out = group_find(groups, id);
    return *out != NULL ? 0 : group_create(groups, id, out);
}

static int restore_group_record(struct groups *groups, const struct state_record *record)
{
    struct group *group = NULL;
    if (record->value.data != NULL) {
        int err = find_or_restore(groups, record->key, &group);
        return err != 0 ? err : restore_group(group, record->value);
    }
    group_dirty_gone(groups, STATE_GROUP, record->key);
    group = group_find(groups, record->key);
    if (group == NULL)
        return 0;
    group_forget_members(group);
    protocol_subscribe(group);
    group_give(group, group->saved_len);
    mem_free(group->saved);
    group->saved = NULL;
    group->saved_len = 0;
    list_remove(&group->dirty.link);
    if (group->topics.count == 0)
        group_release(group);
    return 0;
}

static int restore_offset_record(struct groups *groups, const struct state_record *record)
{
    struct group_offset_key key;
    int err = format_get_offset_key(record->key, &key);
    if (err != 0)
        return err;
    struct group *group = group_find(groups, key.group_id);
    if (record->value.data == NULL) {
        struct group_stored_offset *offset =
            group == NULL ? NULL : offset_find(group, key.topic, key.partition);
        if (offset != NULL)
            offset_remove(offset, false);
        group_dirty_gone(groups, STATE_OFFSET, record->key);
        if (group != NULL && group->topics.count == 0 && group->saved == NULL)
            group_release(group);
        return 0;
    }
    struct group_offset_value value;
    err = format_get_offset_value(record->value, &value);
    if (err == 0)
        err = find_or_restore(groups, key.group_id, &group);
    if (err == 0)
        offset_set(group, &(struct group_write){.topic = key.topic,
                                                .partition = key.partition,
                                                .metadata = value.metadata,
                                                .offset = value.offset,
                                                .leader_epoch = value.leader_epoch,
                                                .commit_ms = value.commit_ms,
                                                .expire_ms = value.expire_ms});
    return err;
}

int groups_record_group(const struct state_record *record, struct slice *out_group)
{
    struct group_offset_key key = {.group_id = record->key};
    int err = 0;
    if (record->kind == STATE_OFFSET)
        err = format_get_offset_key(record->key, &key);
    if (err == 0)
        *out_group = key.group_id;
    return err;
}

// What is restored counts as changed: whether it came from a snapshot or from the journal after it
// is not known here, and emitting it once more is harmless.
int groups_restore_record(struct groups *groups, const struct state_record *record)
{
    ASSERT(!groups->started);
    ASSERT(record->kind == STATE_GROUP || record->kind == STATE_OFFSET);
    return record->kind == STATE_GROUP ? restore_group_record(groups, record)
                                       : restore_offset_record(groups, record);
}

// ---- cuts

void group_dirty_mark(struct groups *groups, struct group_dirty *dirty)
{
    list_remove(&dirty->link);
    list_push_back(&groups->dirty, &dirty->link);
}

void group_dirty_gone(struct groups *groups, uint8_t state_kind, struct slice key)
{
    struct group_gone *gone = mem_zalloc(sizeof *gone);
    gone->dirty.kind = DIRTY_GONE;
    list_init(&gone->dirty.link);
    gone->state_kind = state_kind;
    gone->key = group_dup(key);
    group_dirty_mark(groups, &gone->dirty);
}

static void cut_offset(const struct group_stored_offset *offset, struct buf *out)
{
    if (bug(BUG_LOSE_OFFSETS))
        return;
    struct buf key, value;
    buf_init(&key, GROUP_RECORD_MAX_BYTES);
    buf_init(&value, GROUP_RECORD_MAX_BYTES);
    offset_encode(offset, &key, &value);
    state_put(out, &(struct state_record){STATE_OFFSET, buf_slice(&key), buf_slice(&value)});
    buf_fini(&key);
    buf_fini(&value);
}

static void cut_group(const struct group *group, struct buf *out)
{
    if (group->saved == NULL)
        return; // only offsets, or never a generation
    ASSERT(group->saved_len > 0);
    state_put(out, &(struct state_record){STATE_GROUP, group->id,
                                          slice_of(group->saved, group->saved_len)});
}

static void cut_all(const struct groups *groups, struct buf *out)
{
    LIST_FOR (it, &groups->by_id.order) {
        const struct group *group = CONTAINER_OF(it, struct group, node.order);
        if (group->deleted)
            continue;
        cut_group(group, out);
        LIST_FOR (t, &group->topics.order) {
            struct group_topic_offsets *topic =
                CONTAINER_OF(t, struct group_topic_offsets, node.order);
            LIST_FOR (p, &topic->partitions.order)
                cut_offset(CONTAINER_OF(p, struct group_stored_offset, node.order), out);
        }
    }
}

static void cut_changed(struct group_dirty *dirty, struct buf *out)
{
    const struct group_gone *gone = NULL;
    switch (dirty->kind) {
    case DIRTY_GROUP:
        cut_group(CONTAINER_OF(dirty, struct group, dirty), out);
        break;
    case DIRTY_OFFSET:
        cut_offset(CONTAINER_OF(dirty, struct group_stored_offset, dirty), out);
        break;
    case DIRTY_GONE:
        gone = CONTAINER_OF(dirty, struct group_gone, dirty);
        state_put(out, &(struct state_record){gone->state_kind, gone->key, SLICE_NULL});
        break;
    }
}

void groups_cut(struct groups *groups, bool full, struct buf *out)
{
    ASSERT(list_empty(&groups->cutting)); // one at a time: the last was settled
    list_splice_back(&groups->cutting, &groups->dirty);
    if (full) {
        cut_all(groups, out);
        return;
    }
    LIST_FOR (it, &groups->cutting)
        cut_changed(CONTAINER_OF(it, struct group_dirty, link), out);
}

void groups_settled(struct groups *groups, bool installed)
{
    if (!installed) { // back to the front: what changed since then is newer
        list_splice_back(&groups->cutting, &groups->dirty);
        list_splice_back(&groups->dirty, &groups->cutting);
        return;
    }
    for (struct list *it = list_pop_front(&groups->cutting); it != NULL;
         it = list_pop_front(&groups->cutting)) {
        struct group_dirty *dirty = CONTAINER_OF(it, struct group_dirty, link);
        if (dirty->kind != DIRTY_GONE)
            continue;
        struct group_gone *gone = CONTAINER_OF(dirty, struct group_gone, dirty);
        group_free(&gone->key);
        mem_free(gone);
    }
}
