// SPDX-License-Identifier: Apache-2.0
//
// Queues at rest. Only the last record of a key counts, so they are kept and read at the end; of
// frames and logs only how far they go.
#include "node/queue_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "log/frames.h"
#include "node/node_int.h"
#include "queue/lease_format.h"

#define NAME_KEY_MAX (2 * MESSAGE_NAME_MAX + 1)

struct extent { // of a log, and of what is settled in it
    struct map_node node;
    struct log_key key;
    int64_t end, settled;
};

struct queue_check {
    struct kept_records kept;  // topics, queues, exchanges, bindings, lease sets
    struct kept_records names; // of queues and exchanges that were seen: vhost, 0, name
    struct map extents;
    struct queue_check_counts counts;
    void (*report)(void *arg, const char *what);
    void *arg;
};

static bool extent_eq(const struct map_node *node, const void *key)
{
    const struct log_key *a = &CONTAINER_OF(node, const struct extent, node)->key;
    const struct log_key *b = key;
    return a->partition == b->partition && uuid_eq(&a->topic, &b->topic);
}

struct queue_check *queue_check_create(void (*report)(void *arg, const char *what), void *arg)
{
    struct queue_check *c = mem_zalloc(sizeof *c);
    c->report = report;
    c->arg = arg;
    kept_init(&c->kept, 0);
    kept_init(&c->names, 0);
    map_init(&c->extents, extent_eq, 0);
    return c;
}

void queue_check_destroy(struct queue_check *check)
{
    if (check == NULL)
        return;
    kept_fini(&check->kept);
    kept_fini(&check->names);
    MAP_FOR_SAFE (it, &check->extents) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        map_remove(&check->extents, node);
        mem_free(CONTAINER_OF(node, struct extent, node));
    }
    map_fini(&check->extents);
    mem_free(check);
}

__attribute__((format(printf, 2, 3))) static void fault(struct queue_check *c, const char *format,
                                                        ...)
{
    char what[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    c->counts.faults++;
    c->report(c->arg, what);
}

// Names may hold anything; ids are safe to print.
struct id_text {
    char text[UUID_TEXT_SIZE];
};

static struct id_text text_of(struct slice id)
{
    struct uuid u = {{0}};
    struct id_text out;
    memcpy(u.bytes, id.data, id.len < sizeof u.bytes ? id.len : sizeof u.bytes);
    uuid_to_text(&u, out.text);
    return out;
}

// ---- how far logs go

static struct extent *extent_of(struct queue_check *c, const struct log_key *key)
{
    uint8_t bytes[20];
    partition_key_put(key, bytes);
    uint64_t hash = map_hash(&c->extents, slice_of(bytes, sizeof bytes));
    struct map_node *node = map_find(&c->extents, hash, key);
    if (node != NULL)
        return CONTAINER_OF(node, struct extent, node);
    struct extent *e = mem_zalloc(sizeof *e);
    e->key = *key;
    map_insert(&c->extents, &e->node, hash);
    return e;
}

void queue_check_log(struct queue_check *check, const struct log_key *key, int64_t end_offset)
{
    struct extent *e = extent_of(check, key);
    e->end = e->end > end_offset ? e->end : end_offset;
}

static void settled_to(struct queue_check *c, const struct log_key *key, int64_t offset)
{
    struct extent *e = extent_of(c, key);
    e->settled = e->settled > offset ? e->settled : offset;
}

// ---- what is read

void queue_check_record(struct queue_check *check, const struct state_record *record)
{
    struct log_settled log;
    if (record->kind == STATE_LOG && log_record_settled(record, &log) == 0)
        queue_check_log(check, &log.key, log.end_offset);
    if (record->kind == STATE_TOPIC || record->kind == STATE_QUEUE ||
        record->kind == STATE_EXCHANGE || record->kind == STATE_BINDING ||
        record->kind == STATE_LEASES)
        kept_put(&check->kept, record);
}

static void lease_frame(struct queue_check *c, const struct journal_replayed *frame)
{
    struct log_key key;
    struct cursor in;
    struct lease_range range;
    int64_t last = 0;
    int err = lease_key_get(frame->head, &key);
    if (err == 0)
        err = lease_frame_open(frame->body, &in);
    if (err != 0) {
        fault(c, "frame %llu of settled messages: %s", (unsigned long long)frame->lsn,
              err_text(err));
        return;
    }
    while (lease_frame_next(&in, &last, &range))
        settled_to(c, &key, range.to);
}

void queue_check_frame(struct queue_check *check, const struct journal_replayed *frame)
{
    struct frame_batch batch;
    struct state_record record;
    struct cursor in = cursor_of(frame->body);
    if (frame->kind == JOURNAL_LEASE)
        lease_frame(check, frame);
    else if (frame->kind == JOURNAL_STATE && state_get(&in, &record) == 0)
        queue_check_record(check, &record);
    else if ((frame->kind == JOURNAL_BATCH || frame->kind == JOURNAL_REFERENCE) &&
             frame_batch_get(frame->head, &batch) == 0)
        queue_check_log(check, &batch.key, batch.last_offset + 1);
}

// ---- whether it fits

// The first of its name; the second one is the fault.
static bool name_is_new(struct queue_check *c, uint8_t kind, struct slice vhost, struct slice name)
{
    struct buf key;
    buf_init(&key, NAME_KEY_MAX);
    buf_put_slice(&key, vhost);
    buf_put_u8(&key, 0);
    buf_put_slice(&key, name);
    bool fresh = kept_find(&c->names, kind, buf_slice(&key)) == NULL;
    const struct state_record record = {kind, buf_slice(&key), slice_cstr("")};
    kept_put(&c->names, &record);
    buf_fini(&key);
    return fresh;
}

static void queue_levels(struct queue_check *c, const struct kept_record *k,
                         const struct queue_facts *f)
{
    const struct kept_record *there = kept_find(&c->kept, STATE_TOPIC, k->key);
    struct topic topic = {.id = f->id};
    if (there == NULL) {
        fault(c, "queue %s has no topic", text_of(k->key).text);
        return;
    }
    int err = topic_record_get(there->value, &topic);
    if (err != 0) {
        fault(c, "topic %s of a queue: %s", text_of(k->key).text, err_text(err));
        return;
    }
    if (topic.partitions_count != f->levels)
        fault(c, "queue %s has %u levels, its topic %u partitions", text_of(k->key).text, f->levels,
              topic.partitions_count);
    slice_free(topic.name);
    config_overrides_fini(&topic.overrides);
}

static int queue_look(void *arg, const struct kept_record *k)
{
    struct queue_check *c = arg;
    struct queue_facts f;
    int err = queue_record_get(k->key, k->value, &f);
    c->counts.queues++;
    if (err != 0) {
        fault(c, "queue %s: %s", text_of(k->key).text, err_text(err));
        return 0;
    }
    if (!name_is_new(c, STATE_QUEUE, f.vhost, f.name))
        fault(c, "queue %s has the name of another", text_of(k->key).text);
    queue_levels(c, k, &f);
    return 0;
}

static int exchange_look(void *arg, const struct kept_record *k)
{
    struct queue_check *c = arg;
    struct exchange x;
    int err = exchange_record_get(k->key, k->value, &x);
    c->counts.exchanges++;
    if (err != 0)
        fault(c, "exchange %s: %s", text_of(k->key).text, err_text(err));
    else if (!name_is_new(c, STATE_EXCHANGE, x.vhost, x.name))
        fault(c, "exchange %s has the name of another", text_of(k->key).text);
    return 0;
}

static bool end_is_there(const struct queue_check *c, uint8_t kind, const struct uuid *id)
{
    return uuid_is_zero(id) ||
           kept_find(&c->kept, kind, slice_of(id->bytes, sizeof id->bytes)) != NULL;
}

static int binding_look(void *arg, const struct kept_record *k)
{
    struct queue_check *c = arg;
    struct exchange_binding b;
    struct binding_ends ends;
    int err = binding_record_get(k->key, k->value, &b, &ends);
    c->counts.bindings++;
    if (err != 0) {
        fault(c, "a binding: %s", err_text(err));
        return 0;
    }
    uint8_t to = b.to_exchange ? STATE_EXCHANGE : STATE_QUEUE;
    if (!end_is_there(c, STATE_EXCHANGE, &ends.source) || !end_is_there(c, to, &ends.destination))
        c->counts.void_bindings++;
    mem_free((void *)(uintptr_t)b.headers);
    return 0;
}

static int leases_look(void *arg, const struct kept_record *k)
{
    struct queue_check *c = arg;
    struct log_key key;
    struct lease_state state;
    struct cursor ranges;
    int err = lease_key_get(k->key, &key);
    if (err == 0)
        err = lease_state_open(k->value, &state, &ranges);
    c->counts.lease_sets++;
    if (err != 0)
        fault(c, "settled messages of queue %s: %s", text_of(k->key).text, err_text(err));
    else
        settled_to(c, &key, state.next > state.start ? state.next : state.start);
    return 0;
}

static void extent_look(struct queue_check *c, const struct extent *e)
{
    struct slice id = slice_of(e->key.topic.bytes, sizeof e->key.topic.bytes);
    const struct kept_record *queue = kept_find(&c->kept, STATE_QUEUE, id);
    struct queue_facts f;
    if (e->settled == 0 || queue == NULL || queue_record_get(queue->key, queue->value, &f) != 0)
        return; // nothing, or of one that was deleted
    if (e->key.partition < 0 || (uint32_t)e->key.partition >= f.levels)
        fault(c, "messages are settled at level %d of queue %s, which has %u", e->key.partition,
              text_of(id).text, f.levels);
    else if (e->settled > e->end)
        fault(c,
              "messages up to offset %lld are settled at level %d of queue %s, which ends at %lld",
              (long long)e->settled, e->key.partition, text_of(id).text, (long long)e->end);
}

void queue_check_finish(struct queue_check *check, struct queue_check_counts *out)
{
    (void)kept_each(&check->kept, STATE_EXCHANGE, exchange_look, check);
    (void)kept_each(&check->kept, STATE_QUEUE, queue_look, check);
    (void)kept_each(&check->kept, STATE_BINDING, binding_look, check);
    (void)kept_each(&check->kept, STATE_LEASES, leases_look, check);
    LIST_FOR (it, &check->extents.order) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        extent_look(check, CONTAINER_OF(node, struct extent, node));
    }
    *out = check->counts;
}
