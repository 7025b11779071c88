// SPDX-License-Identifier: Apache-2.0
//
// Metadata: the broker, and topics with their partitions: all of them, none, or those that are
// named. One leader that is this node, one in-sync replica, and the node's epoch for every
// partition.
//
// A topic that is not there may be made on the way. Kafka answers at once with an error and lets
// the client ask again; here the answer waits for the few milliseconds that a durable topic takes,
// which saves clients a retry. Names that occur twice are answered once, as in Kafka, which also
// keeps a small request from asking for one large topic a thousand times.
#include "kafka/resolve.h"
#include "wire/gen/kafka_metadata.h"

struct metadata_create {
    struct topic_create create;
    struct kafka_request *r;
};

struct metadata {
    struct kafka_metadata_response answer;
    struct metadata_create *creates; // beside the names: those with r set are made on the way
    uint32_t creates_left;
    struct slice *names; // named topics, each once
    struct uuid *ids;    // or the ids of those asked for by id (name null)
    uint32_t wanted_count;
    bool all;
    int32_t *self; // this node's id, as a list of one
};

static bool metadata_all(const struct kafka_request *r)
{
    const struct kafka_metadata_request *q = r->message;
    // v0 knew no null: "an empty list means all topics"; since v1 null is all, empty is none.
    return r->version == 0 ? q->topics_count == 0 : q->topics_null;
}

// ---- building the answer

static bool metadata_partitions(struct kafka_request *r, const struct topic *topic,
                                struct kafka_metadata_response_topic *out)
{
    struct metadata *m = r->state;
    const struct wire_struct *type = &kafka_metadata_response_partition_type;
    out->partitions = kafka_alloc_default(r, type, topic->partitions_count);
    if (out->partitions == NULL)
        return false;
    out->partitions_count = topic->partitions_count;
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        struct kafka_metadata_response_partition *p = &out->partitions[i];
        p->partition_index = (int32_t)i;
        p->leader_id = *m->self;
        p->leader_epoch = node_epoch(shard_node(kafka_shard(r)));
        p->replica_nodes = m->self;
        p->replica_nodes_count = 1;
        p->isr_nodes = m->self;
        p->isr_nodes_count = 1;
    }
    return true;
}

static bool metadata_topic(struct kafka_request *r, const struct topic *topic,
                           struct kafka_metadata_response_topic *out)
{
    const struct kafka_metadata_request *q = r->message;
    out->name = arena_slice(&r->arena, topic->name);
    out->topic_id = topic->id;
    out->is_internal = topic->internal;
    if (q->include_topic_authorized_operations)
        out->topic_authorized_operations = KAFKA_OPERATIONS_TOPIC;
    return metadata_partitions(r, topic, out);
}

struct metadata_each {
    struct kafka_request *r;
    bool ok;
};

static bool metadata_one_of_all(void *arg, const struct topic *topic)
{
    struct metadata_each *each = arg;
    struct metadata *m = each->r->state;
    ASSERT(m->answer.topics_count < topic_count(kafka_shard(each->r)));
    each->ok = metadata_topic(each->r, topic, &m->answer.topics[m->answer.topics_count++]);
    return each->ok;
}

static int metadata_create_error(const struct metadata *m, uint32_t i)
{
    bool failed = m->creates != NULL && m->creates[i].create.err != 0;
    return failed ? m->creates[i].create.err : ERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static bool metadata_wanted(struct kafka_request *r, uint32_t i,
                            struct kafka_metadata_response_topic *out)
{
    struct metadata *m = r->state;
    const struct topic *topic;
    bool by_id = m->names[i].data == NULL;
    int err = by_id ? 0 : topic_name_check(m->names[i]);
    if (err == 0)
        err = kafka_topic(r, by_id, m->names[i], &m->ids[i], &topic);
    if (err == 0)
        return metadata_topic(r, topic, out);
    if (err == ERR_UNKNOWN_TOPIC_OR_PARTITION)
        err = metadata_create_error(m, i);
    out->error_code = err_kafka(err);
    out->name = m->names[i];
    out->topic_id = m->ids[i];
    return true;
}

static bool metadata_topics(struct kafka_request *r)
{
    struct metadata *m = r->state;
    size_t count = m->all ? topic_count(kafka_shard(r)) : m->wanted_count;
    m->answer.topics = kafka_alloc_default(r, &kafka_metadata_response_topic_type, count);
    if (m->answer.topics == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        m->answer.topics[i].topic_authorized_operations = KAFKA_OPERATIONS_UNKNOWN;
    if (m->all) {
        struct metadata_each each = {r, true};
        topic_each(kafka_shard(r), metadata_one_of_all, &each);
        return each.ok;
    }
    m->answer.topics_count = (uint32_t)count;
    for (uint32_t i = 0; i < count; i++)
        if (!metadata_wanted(r, i, &m->answer.topics[i]))
            return false;
    return true;
}

static void metadata_answer(struct kafka_request *r)
{
    struct metadata *m = r->state;
    const struct kafka_metadata_request *q = r->message;
    struct kafka_host self;
    kafka_host_self(r, &self);
    struct kafka_metadata_response_broker broker = {
        .node_id = self.node_id, .host = self.host, .port = self.port, .rack = SLICE_NULL};
    wire_default(&kafka_metadata_response_type, &m->answer);
    m->self = kafka_alloc(r, 1, sizeof *m->self);
    if (m->self == NULL)
        return;
    *m->self = self.node_id;
    if (!metadata_topics(r))
        return;
    ASSERT(m->creates_left == 0);
    m->answer.brokers = &broker;
    m->answer.brokers_count = 1;
    m->answer.cluster_id = slice_cstr(node_cluster_id(shard_node(kafka_shard(r))));
    m->answer.controller_id = self.node_id;
    m->answer.cluster_authorized_operations = q->include_cluster_authorized_operations
                                                  ? KAFKA_OPERATIONS_CLUSTER
                                                  : KAFKA_OPERATIONS_UNKNOWN;
    kafka_answer(r, &m->answer);
}

// ---- what is asked for

static bool metadata_collect(struct kafka_request *r)
{
    struct metadata *m = r->state;
    const struct kafka_metadata_request *q = r->message;
    struct kafka_names seen;
    m->names = kafka_alloc(r, q->topics_count, sizeof *m->names);
    m->ids = m->names == NULL ? NULL : kafka_alloc(r, q->topics_count, sizeof *m->ids);
    if (m->ids == NULL)
        return false;
    kafka_names_init(&seen, r);
    bool ok = true;
    for (uint32_t i = 0; ok && i < q->topics_count; i++) {
        const struct kafka_metadata_request_topic *t = &q->topics[i];
        bool by_id = !uuid_is_zero(&t->topic_id) || t->name.data == NULL;
        struct slice key = by_id ? slice_of(t->topic_id.bytes, sizeof t->topic_id.bytes) : t->name;
        struct kafka_name *n = kafka_names_add(&seen, r, key);
        ok = n != NULL;
        if (!ok || n->count > 1)
            continue;
        ASSERT(m->wanted_count < q->topics_count);
        m->names[m->wanted_count] = by_id ? SLICE_NULL : t->name;
        m->ids[m->wanted_count++] = t->topic_id;
    }
    kafka_names_fini(&seen);
    return ok;
}

static void metadata_created(struct topic_create *create)
{
    struct kafka_request *r = CONTAINER_OF(create, struct metadata_create, create)->r;
    struct metadata *m = r->state;
    ASSERT(m->creates_left > 0);
    if (--m->creates_left == 0)
        metadata_answer(r);
}

static bool metadata_may_create(const struct kafka_request *r)
{
    const struct kafka_metadata_request *q = r->message;
    return kafka_config(r)->auto_create_topics && (r->version < 4 || q->allow_auto_topic_creation);
}

// Begins to make what is missing. False when there is nothing to wait for.
static bool metadata_create(struct kafka_request *r)
{
    struct metadata *m = r->state;
    m->creates = kafka_alloc(r, m->wanted_count, sizeof *m->creates);
    if (m->creates == NULL)
        return true; // failed: there is nothing to answer either
    for (uint32_t i = 0; i < m->wanted_count; i++) {
        struct slice name = m->names[i];
        if (name.data == NULL || topic_by_name(kafka_shard(r), name) != NULL ||
            topic_name_check(name) != 0)
            continue;
        struct metadata_create *c = &m->creates[i];
        m->creates_left++;
        c->r = r;
        c->create = (struct topic_create){
            .name = name,
            .partitions_count = -1,
            .replication_factor = -1,
            .automatic = true,
            .done = metadata_created,
        };
    }
    if (m->creates_left == 0)
        return false;
    // The last one that is done answers, and with it all of this may be gone.
    struct metadata_create *creates = m->creates;
    uint32_t left = m->creates_left;
    for (uint32_t i = 0; left > 0; i++) {
        if (creates[i].r == NULL)
            continue;
        left--;
        topic_create_start(kafka_shard(r), &creates[i].create);
    }
    return true;
}

void kafka_metadata_handle(struct kafka_request *r)
{
    struct metadata *m = kafka_alloc(r, 1, sizeof *m);
    if (m == NULL)
        return;
    r->state = m;
    m->all = metadata_all(r);
    if (!m->all && !metadata_collect(r))
        return;
    if (!m->all && metadata_may_create(r) && metadata_create(r))
        return;
    metadata_answer(r);
}
