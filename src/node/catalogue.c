// SPDX-License-Identifier: Apache-2.0
//
// The catalogue's master, on shard 0. A change goes through four steps:
//
//   CHECK ──> JOURNAL ──(durable)──> SPREAD ──(every shard has applied it)──> ANSWER
//     └──(refused, or only to be validated)──────────────────────────────────────^
//
// Changes of one topic wait for each other (node/claims.h): while one is under way, the next for
// the same name is kept back, so that two creations of one name cannot both pass the check.
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/bugs.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/node_int.h"

struct change {
    struct list link; // catalogue.pending
    enum change_kind kind;
    struct shard *shard; // 0
    char *name;          // what changes wait for; "" for the broker's settings
    struct node_call *call;
    int *err;
    char *why;
    struct topic after; // the topic as it will be (create, grow, alter: new memory); for delete
                        // only id and name
    struct config_overrides settings_after; // of the broker or of a group
    struct node_broadcast broadcast;
    struct claim_holder claim;
    bool started;
};

static void change_begin(struct change *c);

// ---- life of a change

static struct change *change_new(enum change_kind kind, struct node_call *call, struct slice name,
                                 int *err, char *why)
{
    struct change *c = mem_zalloc(sizeof *c);
    c->kind = kind;
    c->shard = call->to;
    c->call = call;
    c->name = mem_strndup((const char *)name.data, name.len);
    c->err = err;
    c->why = why;
    *err = 0;
    why[0] = '\0';
    return c;
}

static void topic_free(struct topic *topic)
{
    slice_free(topic->name);
    topic->name = SLICE_NULL;
    config_overrides_fini(&topic->overrides);
}

uint64_t claim_topic(struct slice name)
{
    uint64_t h = 1;
    for (size_t i = 0; i < name.len; i++) { // as topic_names_collide
        uint8_t c = name.data[i] == '.' ? '_' : name.data[i];
        h = (h ^ c) * UINT64_C(0x100000001b3);
    }
    return h;
}

static void change_end(struct change *c, int err)
{
    *c->err = err;
    node_call_reply(c->call);
    list_remove(&c->link);
    claims_give(&c->shard->catalogue.claims, &c->claim);
    topic_free(&c->after);
    config_overrides_fini(&c->settings_after);
    mem_free(c->name);
    mem_free(c);
}

static void change_granted(struct claim_holder *holder)
{
    change_begin(CONTAINER_OF(holder, struct change, claim));
}

static void change_submit(struct change *c)
{
    struct catalogue *catalogue = &c->shard->catalogue;
    list_push_back(&catalogue->pending, &c->link);
    c->claim.granted = change_granted;
    claim_add(&c->claim, claim_topic(slice_cstr(c->name)), false);
    if (claims_take(&catalogue->claims, &c->claim))
        change_begin(c);
}

__attribute__((format(printf, 3, 4))) static void change_refuse(struct change *c, int err,
                                                                const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(c->why, TOPIC_WHY_MAX, format, args);
    va_end(args);
    change_end(c, err);
}

// ---- spreading: what every shard does

static void apply_create(struct shard *shard, const struct change *c)
{
    topic_make(shard, &c->after);
}

static void apply_delete(struct shard *shard, const struct change *c)
{
    topic_drop(shard, &c->after.id);
}

static void apply_grow(struct shard *shard, const struct change *c)
{
    struct topic_entry *e = topic_entry_by_id(shard, &c->after.id);
    ASSERT(e != NULL);
    uint32_t from = e->topic.partitions_count;
    e->topic.partitions_count = c->after.partitions_count;
    topic_partitions_make(shard, &e->topic, from);
}

static void apply_alter(struct shard *shard, const struct change *c)
{
    struct topic_entry *e = topic_entry_by_id(shard, &c->after.id);
    ASSERT(e != NULL);
    config_overrides_fini(&e->topic.overrides);
    config_overrides_copy(&e->topic.overrides, &c->after.overrides);
    topic_refresh(shard, e);
}

static void apply_broker(struct shard *shard, const struct change *c)
{
    config_overrides_fini(&shard->broker_overrides);
    config_overrides_copy(&shard->broker_overrides, &c->settings_after);
    shard_broker_changed(shard);
    MAP_FOR_SAFE (it, &shard->topics_by_id) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        topic_refresh(shard, CONTAINER_OF(node, struct topic_entry, by_id));
    }
}

static void apply_group(struct shard *shard, const struct change *c)
{
    group_settings_set(shard, slice_cstr(c->name), &c->settings_after);
}

static void spread_run(struct node_broadcast *broadcast, struct node_call *call)
{
    static void (*const apply[])(struct shard *, const struct change *) = {
        [CHANGE_CREATE] = apply_create, [CHANGE_DELETE] = apply_delete,
        [CHANGE_GROW] = apply_grow,     [CHANGE_ALTER] = apply_alter,
        [CHANGE_BROKER] = apply_broker, [CHANGE_GROUP] = apply_group,
    };
    const struct change *c = CONTAINER_OF(broadcast, struct change, broadcast);
    apply[c->kind](call->to, c);
    node_call_reply(call);
}

static void spread_done(struct node_broadcast *broadcast)
{
    change_end(CONTAINER_OF(broadcast, struct change, broadcast), 0);
}

static void change_durable(void *arg, const struct journal_frame *frame, int err)
{
    struct change *c = arg;
    (void)frame;
    if (err != 0) {
        change_refuse(c, err, "The change could not be made durable");
        return;
    }
    c->broadcast.run = spread_run;
    c->broadcast.done = spread_done;
    node_broadcast_start(&c->broadcast, c->shard);
}

void catalogue_write(struct shard *shard, const struct state_record *record,
                     catalogue_durable_fn *done, void *arg)
{
    ASSERT(shard->index == 0);
    state_put(&shard->catalogue.delta, record);
    state_write(shard->port, record, done, arg);
}

static void record_write(struct change *c, const struct state_record *record, bool last)
{
    catalogue_write(c->shard, record, last ? change_durable : NULL, c);
}

void catalogue_write_topic(struct shard *shard, const struct topic *topic, bool tombstone,
                           catalogue_durable_fn *done, void *arg)
{
    struct buf value;
    buf_init(&value, 1U << 20);
    if (!tombstone)
        topic_record_put(topic, &value);
    ASSERT(value.err == 0);
    const struct state_record record = {STATE_TOPIC, slice_of(topic->id.bytes, 16),
                                        tombstone ? SLICE_NULL : buf_slice(&value)};
    catalogue_write(shard, &record, done, arg);
    buf_fini(&value);
}

static void topic_write(struct change *c, bool tombstone)
{
    catalogue_write_topic(c->shard, &c->after, tombstone, change_durable, c);
}

// ---- the checks

static const struct topic *topic_named(struct change *c)
{
    const struct topic *t = topic_by_name(c->shard, slice_cstr(c->name));
    if (t == NULL)
        change_refuse(c, ERR_UNKNOWN_TOPIC_OR_PARTITION, "The topic '%s' does not exist.", c->name);
    return t;
}

static void topic_copy(struct topic *to, const struct topic *from)
{
    *to = *from;
    to->name = slice_dup(from->name);
    config_overrides_copy(&to->overrides, &from->overrides);
}

static bool partitions_ok(struct change *c, int64_t wanted, int64_t more)
{
    if (wanted <= 0) {
        change_refuse(c, ERR_INVALID_PARTITIONS,
                      "Number of partitions was set to an invalid non-positive value.");
        return false;
    }
    if ((int64_t)c->shard->catalogue.partitions_total + more > TOPIC_PARTITIONS_MAX) {
        change_refuse(c, ERR_INVALID_PARTITIONS,
                      "The server would have more than %d partitions, its limit.",
                      TOPIC_PARTITIONS_MAX);
        return false;
    }
    return true;
}

static int create_overrides(const struct topic_create *r, struct change *c)
{
    for (uint32_t i = 0; i < r->configs_count; i++) {
        if (r->configs[i].value.data == NULL) {
            (void)snprintf(c->why, TOPIC_WHY_MAX,
                           "Null value not supported for topic configs: %.*s",
                           (int)r->configs[i].name.len, (const char *)r->configs[i].name.data);
            return ERR_INVALID_CONFIG;
        }
        const struct config_change set = {CONFIG_SET, r->configs[i].name, r->configs[i].value};
        int err =
            config_override_change(&c->after.overrides, CONFIG_TOPIC, &set, c->why, TOPIC_WHY_MAX);
        if (err != 0)
            return err;
    }
    return 0;
}

static bool create_name_ok(struct change *c, struct topic_create *r)
{
    const struct topic *there = topic_by_name(c->shard, r->name);
    if (there != NULL) {
        r->id = there->id;
        r->partitions_made = (int32_t)there->partitions_count;
        if (r->automatic)
            change_end(c, 0);
        else
            change_refuse(c, ERR_TOPIC_ALREADY_EXISTS, "Topic '%s' already exists.", c->name);
        return false;
    }
    if (topic_name_check(r->name) != 0) {
        topic_name_why(r->name, c->why, TOPIC_WHY_MAX);
        change_end(c, ERR_INVALID_TOPIC_EXCEPTION);
        return false;
    }
    there = topic_colliding(c->shard, r->name);
    if (there != NULL) {
        change_refuse(c, ERR_INVALID_TOPIC_EXCEPTION,
                      "Topic '%s' collides with existing topic: %.*s", c->name,
                      (int)there->name.len, (const char *)there->name.data);
        return false;
    }
    return true;
}

static void create_begin(struct change *c)
{
    struct topic_create *r = CONTAINER_OF(c->call, struct topic_create, call);
    struct shard *shard = c->shard;
    if (!create_name_ok(c, r))
        return;
    int32_t wanted = r->partitions_count == -1 ? shard->broker.num_partitions : r->partitions_count;
    if (!partitions_ok(c, wanted, wanted))
        return;
    if (r->replication_factor != -1 && r->replication_factor <= 0) {
        change_refuse(c, ERR_INVALID_REPLICATION_FACTOR,
                      "Replication factor must be larger than 0, or -1 to use the default value.");
        return;
    }
    int err = create_overrides(r, c);
    if (err != 0) {
        change_end(c, err);
        return;
    }
    uint8_t random[16];
    io_random(shard->io, random, sizeof random);
    uuid_from_random(random, &c->after.id);
    c->after.name = slice_dup(r->name);
    c->after.partitions_count = (uint32_t)wanted;
    c->after.created_ms = io_wall_ms(shard->io);
    r->id = c->after.id;
    r->partitions_made = wanted;
    if (r->validate_only) {
        change_end(c, 0);
        return;
    }
    shard->catalogue.partitions_total += (uint64_t)wanted;
    topic_write(c, false);
}

static void queue_gone(void *arg, int err)
{
    change_end(arg, err);
}

static void delete_begin(struct change *c)
{
    struct topic_delete *r = CONTAINER_OF(c->call, struct topic_delete, call);
    const struct topic *t =
        r->name.data != NULL ? topic_by_name(c->shard, r->name) : topic_by_id(c->shard, &r->id);
    if (t == NULL) {
        bool named = r->name.data != NULL;
        change_refuse(c, named ? ERR_UNKNOWN_TOPIC_OR_PARTITION : ERR_UNKNOWN_TOPIC_ID,
                      "This server does not host this topic.");
        return;
    }
    if (!c->shard->broker.delete_topics) {
        change_refuse(c, ERR_TOPIC_DELETION_DISABLED, "delete.topic.enable is false.");
        return;
    }
    if (t->internal) {
        change_refuse(c, ERR_POLICY_VIOLATION, "The topic is the server's own.");
        return;
    }
    c->after.id = t->id;
    r->id = t->id;
    if (t->queue) { // with its bindings
        queue_change_of_topic(c->shard, &t->id, queue_gone, c);
        return;
    }
    ASSERT(c->shard->catalogue.partitions_total >= t->partitions_count);
    c->shard->catalogue.partitions_total -= t->partitions_count;
    topic_write(c, true);
}

static void grow_begin(struct change *c)
{
    struct topic_grow *r = CONTAINER_OF(c->call, struct topic_grow, call);
    const struct topic *t = topic_named(c);
    if (t == NULL)
        return;
    int64_t now = t->partitions_count;
    if (t->queue) {
        change_refuse(c, ERR_INVALID_PARTITIONS,
                      "Topic '%s' is a queue: its partitions are its priorities.", c->name);
        return;
    }
    if (r->partitions_count == now) {
        change_refuse(c, ERR_INVALID_PARTITIONS, "Topic already has %lld partition(s).",
                      (long long)now);
        return;
    }
    if (r->partitions_count < now) {
        change_refuse(c, ERR_INVALID_PARTITIONS,
                      "The topic %s currently has %lld partition(s); %d would not be an increase.",
                      c->name, (long long)now, r->partitions_count);
        return;
    }
    if (!partitions_ok(c, r->partitions_count, r->partitions_count - now))
        return;
    if (r->validate_only) {
        change_end(c, 0);
        return;
    }
    c->shard->catalogue.partitions_total += (uint64_t)(r->partitions_count - now);
    topic_copy(&c->after, t);
    c->after.partitions_count = (uint32_t)r->partitions_count;
    topic_write(c, false);
}

static int overrides_change(struct config_overrides *o, enum config_scope scope,
                            const struct topic_alter *r, char *why)
{
    if (r->replace_all) {
        config_overrides_fini(o);
        config_overrides_init(o);
    }
    for (uint32_t i = 0; i < r->changes_count; i++) {
        int err = config_override_change(o, scope, &r->changes[i], why, TOPIC_WHY_MAX);
        if (err != 0)
            return err;
        const struct config_def *def = config_find(scope, r->changes[i].name);
        if (!def->dynamic) {
            (void)snprintf(why, TOPIC_WHY_MAX, "Cannot update these configs dynamically: [%s]",
                           def->name);
            return ERR_INVALID_REQUEST;
        }
    }
    return 0;
}

static void alter_begin(struct change *c)
{
    struct topic_alter *r = CONTAINER_OF(c->call, struct topic_alter, call);
    if (r->name.len > 0 && topic_name_check(r->name) != 0) {
        topic_name_why(r->name, c->why, TOPIC_WHY_MAX);
        change_end(c, ERR_INVALID_TOPIC_EXCEPTION);
        return;
    }
    const struct topic *t = topic_named(c);
    if (t == NULL)
        return;
    topic_copy(&c->after, t);
    int err = overrides_change(&c->after.overrides, CONFIG_TOPIC, r, c->why);
    if (err != 0 || r->validate_only)
        change_end(c, err);
    else
        topic_write(c, false);
}

// Every setting that becomes another; one that is again as given at the start has a tombstone.
// False: none does.
static bool broker_write(struct change *c)
{
    const struct config_overrides *after = &c->settings_after;
    const struct config_overrides *before = &c->shard->broker_overrides;
    struct state_record *records =
        mem_zalloc((before->count + after->count + 1) * sizeof records[0]);
    size_t count = 0;
    for (size_t i = 0; i < before->count; i++)
        if (config_override_get(after, before->items[i].def->name) == NULL)
            records[count++] = (struct state_record){
                STATE_BROKER_CONFIG, slice_cstr(before->items[i].def->name), SLICE_NULL};
    for (size_t i = 0; i < after->count; i++) {
        const struct config_override *o = &after->items[i];
        bool dynamic = config_override_differs(o, &c->shard->node->broker_overrides);
        if (config_override_differs(o, before))
            records[count++] = (struct state_record){STATE_BROKER_CONFIG, slice_cstr(o->def->name),
                                                     dynamic ? slice_cstr(o->value) : SLICE_NULL};
    }
    for (size_t i = 0; i < count; i++)
        record_write(c, &records[i], i + 1 == count);
    mem_free(records);
    return count > 0;
}

static void broker_begin(struct change *c)
{
    struct topic_alter *r = CONTAINER_OF(c->call, struct topic_alter, call);
    config_overrides_copy(&c->settings_after, &c->shard->broker_overrides);
    int err = overrides_change(&c->settings_after, CONFIG_BROKER, r, c->why);
    if (err == ERR_INVALID_CONFIG)
        err = ERR_INVALID_REQUEST; // Kafka's code where the resource is a broker
    config_overrides_fill(&c->settings_after, &c->shard->node->broker_overrides);
    if (err != 0 || r->validate_only || !broker_write(c))
        change_end(c, err);
}

// A group need not be there: what it is to find when it comes may be set before.
static void group_begin(struct change *c)
{
    const struct topic_alter *r = CONTAINER_OF(c->call, struct topic_alter, call);
    struct slice name = slice_cstr(c->name);
    const struct config_overrides *now = group_overrides(c->shard, name);
    if (name.len == 0 || name.len != r->name.len || name.len > INT16_MAX) {
        change_refuse(c, ERR_INVALID_REQUEST, "The group's name is not valid.");
        return;
    }
    if (now == NULL && c->shard->group_settings.count >= GROUP_SETTINGS_MAX) {
        change_refuse(c, ERR_INVALID_REQUEST, "At most %d groups have settings of their own.",
                      GROUP_SETTINGS_MAX);
        return;
    }
    if (now != NULL)
        config_overrides_copy(&c->settings_after, now);
    int err = overrides_change(&c->settings_after, CONFIG_GROUP, r, c->why);
    if (err != 0 || r->validate_only) {
        change_end(c, err);
        return;
    }
    struct buf value;
    buf_init(&value, 1U << 20);
    group_settings_record(&c->settings_after, &value);
    ASSERT(value.err == 0);
    bool none = c->settings_after.count == 0;
    const struct state_record record = {STATE_GROUP_CONFIG, name,
                                        none ? SLICE_NULL : buf_slice(&value)};
    record_write(c, &record, true);
    buf_fini(&value);
}

static void change_begin(struct change *c)
{
    static void (*const begin[])(struct change *) = {
        [CHANGE_CREATE] = create_begin, [CHANGE_DELETE] = delete_begin,
        [CHANGE_GROW] = grow_begin,     [CHANGE_ALTER] = alter_begin,
        [CHANGE_BROKER] = broker_begin, [CHANGE_GROUP] = group_begin,
    };
    ASSERT(!c->started);
    c->started = true;
    begin[c->kind](c);
}

void catalogue_change(enum change_kind kind, struct node_call *call, struct slice name, int *err,
                      char *why)
{
    change_submit(change_new(kind, call, name, err, why));
}

// ---- life and cut

void catalogue_init(struct shard *shard)
{
    struct catalogue *c = &shard->catalogue;
    list_init(&c->pending);
    list_init(&c->queue_pending);
    budget_init(&c->queue_memory, shard->node->memory.limit_bytes / 4, &shard->node->memory);
    list_init(&c->ids_waiting);
    claims_init(&c->claims, shard->hash_seed);
    buf_init(&c->delta, 1U << 30);
    buf_init(&c->in_cut, 1U << 30);
}

void catalogue_fini(struct shard *shard)
{
    struct catalogue *c = &shard->catalogue;
    LIST_FOR_SAFE (it, &c->pending) {
        struct change *change = CONTAINER_OF(it, struct change, link);
        list_remove(it);
        topic_free(&change->after);
        config_overrides_fini(&change->settings_after);
        mem_free(change->broadcast.calls);
        mem_free(change->name);
        mem_free(change);
    }
    queue_changes_fini(shard);
    claims_fini(&c->claims);
    buf_fini(&c->delta);
    buf_fini(&c->in_cut);
}
