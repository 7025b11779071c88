// SPDX-License-Identifier: Apache-2.0
//
// The end of offsets and groups: expiry (KIP-211) and DeleteGroups. Offsets live as long as
// somebody may come back for them: a week after the group became empty, or after the commit where
// nobody is a member or the members no longer subscribe to the topic.
#include "group/group_int.h"

// From which moment an offset's retention counts; false: it does not expire now.
static bool expiry_base(const struct group *group, const struct group_stored_offset *o,
                        int64_t *out)
{
    *out = o->commit_ms;
    if (group->protocol_type.data == NULL)
        return group->state == GROUP_EMPTY; // simple consumers
    if (group->state == GROUP_EMPTY) {
        if (group->since_ms >= 0)
            *out = group->since_ms;
        return true;
    }
    return group->state == GROUP_STABLE && protocol_is_consumer(group) && group->subscribed_known;
}

static bool offset_expired(const struct group *group, const struct group_stored_offset *o,
                           int64_t now_ms)
{
    int64_t base = 0;
    if (!expiry_base(group, o, &base) || protocol_subscribed(group, o->topic->name))
        return false;
    if (o->expire_ms >= 0)
        return now_ms >= o->expire_ms;
    return now_ms - base >= group->groups->opt.offsets_retention_ms;
}

static void expired_durable(struct group_op *op, int err)
{
    if (err == 0) {
        op->group->groups->counts.expired_offsets += op->writes_count;
        offsets_apply(op);
    }
    op_finish(op);
}

static size_t expired_count(const struct group *group, int64_t now_ms, size_t *out_all)
{
    size_t count = 0, all = 0;
    LIST_FOR (t, &group->topics.order) {
        struct group_topic_offsets *topic = CONTAINER_OF(t, struct group_topic_offsets, node.order);
        LIST_FOR (p, &topic->partitions.order) {
            all++;
            if (offset_expired(group, CONTAINER_OF(p, struct group_stored_offset, node.order),
                               now_ms))
                count++;
        }
    }
    ASSERT(count <= all);
    *out_all = all;
    return count;
}

static void expire_some(struct group *group, int64_t now_ms, size_t count)
{
    struct group_op *op = op_create(group, NULL, expired_durable);
    op->writes = arena_array(&op->memory, count, sizeof *op->writes);
    LIST_FOR (t, &group->topics.order) {
        struct group_topic_offsets *topic = CONTAINER_OF(t, struct group_topic_offsets, node.order);
        struct slice name = arena_slice(&op->memory, topic->name);
        if (op->writes == NULL || name.data == NULL)
            break; // the next check tries again
        LIST_FOR (p, &topic->partitions.order) {
            const struct group_stored_offset *o =
                CONTAINER_OF(p, struct group_stored_offset, node.order);
            if (!offset_expired(group, o, now_ms))
                continue;
            ASSERT(op->writes_count < count);
            op->writes[op->writes_count++] =
                (struct group_write){.topic = name, .partition = o->partition, .tombstone = true};
        }
    }
    if (op->writes_count > 0)
        op_save_writes(op);
    else
        op_finish(op);
}

// Nothing may be under way: a commit that is not durable yet would be overlooked.
static void expire_group(struct group *group, int64_t now_ms)
{
    if (group->state == GROUP_DEAD || group->ops_open > 0)
        return;
    size_t all = 0, expired = expired_count(group, now_ms, &all);
    if (group->state == GROUP_EMPTY && expired == all && group->pending.count == 0) {
        group->groups->counts.expired_offsets += all;
        group_delete_now(group, NULL);
    } else if (expired > 0) {
        expire_some(group, now_ms, expired);
    }
}

void expire_timer(struct io_timer *timer)
{
    struct groups *groups = CONTAINER_OF(timer, struct groups, expiry);
    ASSERT(groups->started);
    int64_t now_ms = groups_now_ms(groups);
    MAP_FOR_SAFE (it, &groups->by_id)
        expire_group(CONTAINER_OF(it, struct group, node.order), now_ms);
    io_timer_start(groups->shard, &groups->expiry,
                   io_now_ns(groups->shard) + groups->opt.offsets_check_ms * 1000000);
}

// ---- deletion

static void delete_durable(struct group_op *op, int err)
{
    struct group *group = op->group;
    ASSERT(group->state == GROUP_DEAD);
    if (err == 0) {
        offsets_clear(group, true);
        group_dirty_gone(group->groups, STATE_GROUP, group->id);
        list_remove(&group->dirty.link);
        group->deleted = true;
    }
    group_answer_slot(&op->request, err == 0 ? 0 : ERR_COORDINATOR_NOT_AVAILABLE);
    op_finish(op); // the last one frees the group
}

static void delete_commits_passed(struct group_op *op, int err)
{
    if (err != 0) {
        delete_durable(op, err);
        return;
    }
    op->durable = delete_durable;
    op_delete_group(op);
}

void group_delete_now(struct group *group, struct group_request *request)
{
    ASSERT(group->state == GROUP_EMPTY);
    group_become(group, GROUP_DEAD);
    struct group_op *op = op_create(group, request, delete_durable);
    if (group->commits_open == 0) {
        op_delete_group(op);
        return;
    }
    op->durable = delete_commits_passed; // their offsets need tombstones as well
    op_barrier(op);
}

void groups_delete(struct groups *groups, struct group_delete *del)
{
    if (!groups_admit(groups, &del->r))
        return;
    int err = group_id_check(del->group_id, true);
    struct group *group = err == 0 ? group_find(groups, del->group_id) : NULL;
    if (err == 0 && (group == NULL || group->state == GROUP_DEAD))
        err = ERR_GROUP_ID_NOT_FOUND;
    if (err == 0 && group->state != GROUP_EMPTY)
        err = ERR_NON_EMPTY_GROUP;
    if (err == 0)
        group_delete_now(group, &del->r);
    else
        group_answer(groups, &del->r, err);
}
