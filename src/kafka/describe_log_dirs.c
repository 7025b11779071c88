// SPDX-License-Identifier: Apache-2.0
//
// DescribeLogDirs (KIP-113): the bytes of partitions in the one data directory. A shard does not
// touch files, so the volume's own size is told as unknown (-1), which the protocol allows.
#include "kafka/scatter.h"
#include "wire/gen/kafka_describe_log_dirs.h"

#define LOG_DIR "log" // below the data directory

struct log_dir_topic {
    struct slice name;
    uint32_t first, count; // parts
};
struct log_dirs {
    struct log_dir_topic *topics;
    uint32_t topics_count;
};

static bool log_dir_topics(struct kafka_request *r,
                           struct kafka_describe_log_dirs_response_log_dir *dir)
{
    const struct kafka_scatter *s = r->state;
    const struct log_dirs *d = s->own;
    dir->topics =
        kafka_alloc_default(r, &kafka_describe_log_dirs_response_topic_type, d->topics_count);
    if (dir->topics == NULL)
        return false;
    dir->topics_count = d->topics_count;
    for (uint32_t i = 0; i < d->topics_count; i++) {
        const struct log_dir_topic *t = &d->topics[i];
        struct kafka_describe_log_dirs_response_topic *out = &dir->topics[i];
        out->name = t->name;
        out->partitions =
            kafka_alloc_default(r, &kafka_describe_log_dirs_response_partition_type, t->count);
        if (out->partitions == NULL)
            return false;
        for (uint32_t j = 0; j < t->count; j++) {
            const struct size_part *part = (const struct size_part *)s->parts + t->first + j;
            if (s->errs[t->first + j] != 0 || part->part.err != 0)
                continue; // what is not there is not told
            struct kafka_describe_log_dirs_response_partition *p =
                &out->partitions[out->partitions_count++];
            p->partition_index = part->part.partition;
            p->partition_size = (int64_t)part->size_bytes;
        }
    }
    return true;
}

static void log_dirs_answer(struct kafka_request *r)
{
    struct kafka_describe_log_dirs_response answer;
    struct kafka_describe_log_dirs_response_log_dir dir;
    wire_default(&kafka_describe_log_dirs_response_type, &answer);
    wire_default(&kafka_describe_log_dirs_response_log_dir_type, &dir);
    dir.log_dir = slice_cstr(LOG_DIR);
    if (!log_dir_topics(r, &dir))
        return;
    answer.results = &dir;
    answer.results_count = 1;
    kafka_answer(r, &answer);
}

// ---- the request

struct log_dirs_fill {
    struct kafka_request *r;
    uint32_t parts;
};

static bool count_all(void *arg, const struct topic *topic)
{
    *(size_t *)arg += topic->partitions_count;
    return true;
}

static bool fill_all(void *arg, const struct topic *topic)
{
    struct log_dirs_fill *fill = arg;
    struct kafka_scatter *s = fill->r->state;
    struct log_dirs *d = s->own;
    struct log_dir_topic *t = &d->topics[d->topics_count++];
    t->name = arena_slice(&fill->r->arena, topic->name);
    t->first = fill->parts;
    t->count = topic->partitions_count;
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        struct size_part *part = (struct size_part *)s->parts + fill->parts;
        s->errs[fill->parts++] = kafka_part(topic, (int32_t)i, -1, &part->part);
    }
    return true;
}

static void fill_named(struct kafka_request *r,
                       const struct kafka_describe_log_dirs_request_topic *q, uint32_t *parts)
{
    struct kafka_scatter *s = r->state;
    struct log_dirs *d = s->own;
    const struct topic *topic = topic_by_name(kafka_shard(r), q->topic);
    if (topic == NULL)
        return;
    struct log_dir_topic *t = &d->topics[d->topics_count++];
    t->name = q->topic;
    t->first = *parts;
    t->count = q->partitions_count;
    for (uint32_t i = 0; i < q->partitions_count; i++) {
        struct size_part *part = (struct size_part *)s->parts + *parts;
        s->errs[(*parts)++] = kafka_part(topic, q->partitions[i], -1, &part->part);
    }
}

void kafka_describe_log_dirs_handle(struct kafka_request *r)
{
    const struct kafka_describe_log_dirs_request *q = r->message;
    size_t parts = 0;
    if (q->topics_null)
        topic_each(kafka_shard(r), count_all, &parts);
    for (uint32_t i = 0; i < q->topics_count; i++)
        parts += q->topics[i].partitions_count;
    if (!kafka_scatter_new(r, SCATTER_SIZE, parts, sizeof(struct size_part), log_dirs_answer))
        return;
    struct kafka_scatter *s = r->state;
    struct log_dirs *d = kafka_alloc(r, 1, sizeof *d);
    if (d == NULL)
        return;
    size_t topics = q->topics_null ? topic_count(kafka_shard(r)) : q->topics_count;
    s->own = d;
    d->topics = kafka_alloc(r, topics, sizeof *d->topics);
    if (d->topics == NULL)
        return;
    struct log_dirs_fill fill = {.r = r};
    if (q->topics_null)
        topic_each(kafka_shard(r), fill_all, &fill);
    for (uint32_t i = 0; i < q->topics_count; i++)
        fill_named(r, &q->topics[i], &fill.parts);
    s->scatter.parts_count = fill.parts;
    kafka_scatter_start(r);
}
