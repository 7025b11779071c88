// SPDX-License-Identifier: Apache-2.0
//
// FindCoordinator: of groups this node. Of transactional ids as well, although there are no
// transactions yet: a client must reach InitProducerId to be told so for good; an error here it
// would repeat for ever. Share groups are not served: INVALID_REQUEST.
#include "kafka/kafka_int.h"
#include "wire/gen/kafka_find_coordinator.h"

enum { COORDINATOR_GROUP, COORDINATOR_TRANSACTION };

static void coordinator_set(const struct kafka_host *self, struct slice key, int err,
                            struct kafka_find_coordinator_response_coordinator *out)
{
    out->key = key;
    out->error_code = err_kafka(err);
    out->error_message = slice_of("", 0);
    out->node_id = err == 0 ? self->node_id : -1;
    out->host = err == 0 ? self->host : slice_of("", 0);
    out->port = err == 0 ? self->port : -1;
}

void kafka_find_coordinator_handle(struct kafka_request *r)
{
    const struct kafka_find_coordinator_request *q = r->message;
    bool known = q->key_type == COORDINATOR_GROUP || q->key_type == COORDINATOR_TRANSACTION;
    int err = known ? 0 : ERR_INVALID_REQUEST;
    struct kafka_host self;
    kafka_host_self(r, &self);
    struct kafka_find_coordinator_response answer;
    wire_default(&kafka_find_coordinator_response_type, &answer);
    // One of its own below version 4, which names one key beside the list.
    uint32_t count = r->version >= 4 ? q->coordinator_keys_count : 1;
    answer.coordinators =
        kafka_alloc_default(r, &kafka_find_coordinator_response_coordinator_type, count);
    if (answer.coordinators == NULL)
        return;
    answer.coordinators_count = count;
    for (uint32_t i = 0; i < count; i++)
        coordinator_set(&self, r->version >= 4 ? q->coordinator_keys[i] : q->key, err,
                        &answer.coordinators[i]);
    if (r->version < 4) {
        answer.error_code = answer.coordinators[0].error_code;
        answer.error_message = err == 0 ? slice_cstr("NONE") : slice_cstr(err_text(err));
        answer.node_id = answer.coordinators[0].node_id;
        answer.host = answer.coordinators[0].host;
        answer.port = answer.coordinators[0].port;
    }
    kafka_answer(r, &answer);
}
