// SPDX-License-Identifier: Apache-2.0
//
// The records of one partition, asked for by clients of several kinds.
#include "base/err.h"
#include "sim/client.h"

#define START_SINCE 5 // version of Fetch whose answer names the log's start

void client_fetch(struct client *c, struct client_fetch *f, client_answered *answered)
{
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
    part.partition_max_bytes = (int32_t)f->max_bytes;
    topic.topic = slice_cstr(f->partition->topic->name);
    topic.topic_id = f->partition->topic->id;
    topic.partitions = &part;
    topic.partitions_count = 1;
    q.replica_id = -1;
    q.max_wait_ms = f->wait_ms;
    q.min_bytes = 1;
    q.max_bytes = (int32_t)f->max_bytes;
    q.session_epoch = -1;
    q.topics = &topic;
    q.topics_count = 1;
    f->read = model_read_begin(&c->world->model, f->partition);
    client_call(c, KAFKA_API_FETCH, &q, answered);
}

const struct kafka_fetch_response_partition *
client_fetched(struct client *c, struct client_fetch *f, int err, const void *response)
{
    const struct kafka_fetch_response *r = response;
    if (err != 0 || r->error_code != 0 || r->responses_count != 1 ||
        r->responses[0].partitions_count != 1)
        return NULL;
    const struct kafka_fetch_response_partition *part = &r->responses[0].partitions[0];
    const struct model_fetched fetched = {
        .offset = f->offset,
        .err = err_from_kafka(part->error_code),
        .high_watermark = part->high_watermark,
        // Below that version the answer does not say: what is known is then as good.
        .log_start = c->call.version >= START_SINCE ? part->log_start_offset : f->read.start_seen,
        .records = part->records.bytes,
        .alone = true,
    };
    f->next = model_fetched(&c->world->model, f->partition, &f->read, &fetched);
    client_note(c, "fetched %s-%d from %lld to %lld: %s, end %lld, start %lld, %zu bytes",
                f->partition->topic->name, f->partition->index, (long long)f->offset,
                (long long)f->next, err_name(fetched.err), (long long)part->high_watermark,
                (long long)fetched.log_start, fetched.records.len);
    c->world->report->records_read += (uint64_t)(f->next - f->offset);
    return part;
}
