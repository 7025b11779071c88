// SPDX-License-Identifier: Apache-2.0
//
// Fetchers follow the tail of partitions, look at random places, and wait for what is to come.
// Readers do the same in order: when the run is over they read every partition from its start to
// its end.
#include "base/err.h"
#include "sim/client.h"
#include "wire/gen/kafka_fetch.h"

#define LANES 16

struct follow {
    struct model_partition *partition;
    int64_t next;
    bool lost; // the offset is gone: ask where the log begins
};

struct fetcher {
    struct client c;
    struct follow follows[LANES];
    uint32_t follows_count;
    struct follow *following; // NULL: a look at a random place
    struct model_partition *partition;
    struct model_read read;
    int64_t offset;
    // readers
    uint32_t topic, index;
    bool begun, lost;
};

static int64_t fetched(struct fetcher *f, const struct kafka_fetch_response_partition *r)
{
    struct client *c = &f->c;
    struct world *w = c->world;
    const struct model_fetched fetched = {
        .offset = f->offset,
        .err = err_from_kafka(r->error_code),
        .high_watermark = r->high_watermark,
        // Below version 5 the answer does not say: what is known is then as good.
        .log_start = c->call.version >= 5 ? r->log_start_offset : f->read.start_seen,
        .records = r->records.bytes,
        .alone = true,
    };
    int64_t next = model_fetched(&w->model, f->partition, &f->read, &fetched);
    client_note(c, "fetched %s-%d from %lld to %lld: %s, end %lld, start %lld, %zu bytes",
                f->partition->topic->name, f->partition->index, (long long)f->offset,
                (long long)next, err_name(fetched.err), (long long)r->high_watermark,
                (long long)fetched.log_start, fetched.records.len);
    w->report->records_read += (uint64_t)(next - f->offset);
    return next;
}

static const struct kafka_fetch_response_partition *
the_partition(const struct kafka_fetch_response *r)
{
    if (r->error_code != 0 || r->responses_count != 1 || r->responses[0].partitions_count != 1)
        return NULL;
    return &r->responses[0].partitions[0];
}

static void answered(struct client *c, int err, const void *response)
{
    struct fetcher *f = CONTAINER_OF(c, struct fetcher, c);
    const struct kafka_fetch_response_partition *r = err == 0 ? the_partition(response) : NULL;
    if (r == NULL)
        return;
    int64_t next = fetched(f, r);
    if (f->following == NULL)
        return;
    f->following->next = next;
    f->following->lost = err_from_kafka(r->error_code) == ERR_OFFSET_OUT_OF_RANGE;
}

static void ask(struct fetcher *f, uint32_t max_bytes, int32_t wait_ms, client_answered *then)
{
    struct client *c = &f->c;
    struct kafka_fetch_request q;
    struct kafka_fetch_request_topic topic;
    struct kafka_fetch_request_partition part;
    wire_default(&kafka_fetch_request_type, &q);
    wire_default(&kafka_fetch_request_topic_type, &topic);
    wire_default(&kafka_fetch_request_partition_type, &part);
    part.partition = f->partition->index;
    part.current_leader_epoch = -1;
    part.last_fetched_epoch = -1;
    part.fetch_offset = f->offset;
    part.partition_max_bytes = (int32_t)max_bytes;
    topic.topic = slice_cstr(f->partition->topic->name);
    topic.topic_id = f->partition->topic->id;
    topic.partitions = &part;
    topic.partitions_count = 1;
    q.replica_id = -1;
    q.max_wait_ms = wait_ms;
    q.min_bytes = 1;
    q.max_bytes = (int32_t)max_bytes;
    q.session_epoch = -1;
    q.topics = &topic;
    q.topics_count = 1;
    f->read = model_read_begin(&c->world->model, f->partition);
    client_call(c, KAFKA_API_FETCH, &q, then);
}

static struct follow *follow_of(struct fetcher *f, struct model_partition *partition)
{
    for (uint32_t i = 0; i < f->follows_count; i++)
        if (f->follows[i].partition == partition)
            return &f->follows[i];
    if (f->follows_count == LANES)
        return NULL;
    struct follow *follow = &f->follows[f->follows_count++];
    *follow = (struct follow){partition, partition->start_seen, false};
    return follow;
}

static void fetcher_step(struct client *c)
{
    struct fetcher *f = CONTAINER_OF(c, struct fetcher, c);
    f->partition = client_partition(c);
    f->following = client_chance(c, 70) ? follow_of(f, f->partition) : NULL;
    if (f->following != NULL && f->following->lost && client_can(c, KAFKA_API_LIST_OFFSETS)) {
        f->following->lost = false;
        client_list_start(c, f->partition);
        return;
    }
    int64_t low = f->partition->start_seen;
    if (f->following != NULL && f->following->next < low)
        f->following->next = low;
    f->offset = f->following != NULL
                    ? f->following->next
                    : prng_range(&c->prng, low, f->partition->end + (client_chance(c, 5) ? 5 : 0));
    ask(f, 1U << (4 + client_dice(c, 14)), (int32_t)client_dice(c, 2) * 50, answered);
}

const struct client_kind client_fetcher = {
    .name = "fetcher",
    .size = sizeof(struct fetcher),
    .needs = KAFKA_API_FETCH,
    .step = fetcher_step,
};

// ---- readers

static void reader_next(struct fetcher *f)
{
    struct world *w = f->c.world;
    model_partition_final(&w->model, f->partition);
    f->begun = false;
    if (++f->index < w->topics[f->topic]->partitions_count)
        return;
    f->index = 0;
    if (++f->topic == w->topics_count)
        w->verified++;
}

static void reader_answered(struct client *c, int err, const void *response)
{
    struct fetcher *f = CONTAINER_OF(c, struct fetcher, c);
    const struct kafka_fetch_response_partition *r = err == 0 ? the_partition(response) : NULL;
    if (r == NULL)
        return;
    int64_t next = fetched(f, r);
    if (r->error_code != 0) {
        f->begun = false; // the start has moved, or the server is not well yet
        f->lost = true;
    } else if (next == f->offset && next >= r->high_watermark) {
        reader_next(f);
    } else {
        f->offset = next;
    }
}

static void reader_step(struct client *c)
{
    struct fetcher *f = CONTAINER_OF(c, struct fetcher, c);
    struct world *w = c->world;
    if (w->phase != PHASE_VERIFY || f->topic >= w->topics_count)
        return;
    f->partition = w->topics[f->topic]->partitions[f->index];
    if (f->lost && client_can(c, KAFKA_API_LIST_OFFSETS)) {
        f->lost = false;
        client_list_start(c, f->partition);
        return;
    }
    if (!f->begun)
        f->offset = f->partition->start_seen;
    f->begun = true;
    ask(f, 1U << 20, 0, reader_answered);
}

const struct client_kind client_reader = {
    .name = "reader",
    .size = sizeof(struct fetcher),
    .needs = KAFKA_API_FETCH,
    .verifies = true,
    .step = reader_step,
};
