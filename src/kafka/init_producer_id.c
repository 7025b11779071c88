// SPDX-License-Identifier: Apache-2.0
//
// InitProducerId: an id that was never given before, for an idempotent producer. A transactional id
// is refused, and for good: clients repeat most errors here, but take
// TRANSACTIONAL_ID_AUTHORIZATION_FAILED as final.
#include "kafka/kafka_int.h"
#include "wire/gen/kafka_init_producer_id.h"

struct init_producer {
    struct producer_id_take take;
    struct kafka_request *r;
};

static void init_producer_answer(struct kafka_request *r, int err, int64_t id)
{
    struct kafka_init_producer_id_response answer;
    wire_default(&kafka_init_producer_id_response_type, &answer);
    answer.error_code = err_kafka(err);
    answer.producer_id = err == 0 ? id : -1;
    answer.producer_epoch = err == 0 ? 0 : -1;
    kafka_answer(r, &answer);
}

static void init_producer_taken(struct producer_id_take *take)
{
    struct kafka_request *r = CONTAINER_OF(take, struct init_producer, take)->r;
    init_producer_answer(r, take->err, take->id);
}

void kafka_init_producer_id_handle(struct kafka_request *r)
{
    const struct kafka_init_producer_id_request *q = r->message;
    bool transactional = q->transactional_id.data != NULL;
    // KIP-360: "the producer id and epoch are either both given or both -1"; an idempotent producer
    // that gives them gets a new id all the same.
    if ((transactional && q->transactional_id.len == 0) ||
        (q->producer_id == -1) != (q->producer_epoch == -1)) {
        init_producer_answer(r, ERR_INVALID_REQUEST, -1);
        return;
    }
    if (transactional) {
        init_producer_answer(r, ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, -1);
        return;
    }
    struct init_producer *s = kafka_alloc(r, 1, sizeof *s);
    if (s == NULL)
        return;
    s->r = r;
    s->take.done = init_producer_taken;
    producer_id_start(kafka_shard(r), &s->take);
}
