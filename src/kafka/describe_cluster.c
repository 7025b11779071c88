// SPDX-License-Identifier: Apache-2.0
//
// DescribeCluster (KIP-700): the one broker, which is the controller as well.
#include "kafka/kafka_int.h"
#include "wire/gen/kafka_describe_cluster.h"

enum { ENDPOINT_BROKERS = 1, ENDPOINT_CONTROLLERS = 2 };

static int endpoint_check(const struct kafka_describe_cluster_request *q)
{
    if (q->endpoint_type == ENDPOINT_BROKERS)
        return 0;
    return q->endpoint_type == ENDPOINT_CONTROLLERS ? ERR_MISMATCHED_ENDPOINT_TYPE
                                                    : ERR_UNSUPPORTED_ENDPOINT_TYPE;
}

void kafka_describe_cluster_handle(struct kafka_request *r)
{
    const struct kafka_describe_cluster_request *q = r->message;
    struct kafka_describe_cluster_response answer;
    wire_default(&kafka_describe_cluster_response_type, &answer);
    answer.endpoint_type = q->endpoint_type;
    int err = endpoint_check(q);
    if (err != 0) {
        answer.error_code = err_kafka(err);
        answer.error_message = slice_cstr(err_text(err));
        kafka_answer(r, &answer);
        return;
    }
    struct kafka_host self;
    kafka_host_self(r, &self);
    struct kafka_describe_cluster_response_broker broker;
    wire_default(&kafka_describe_cluster_response_broker_type, &broker);
    broker.broker_id = self.node_id;
    broker.host = self.host;
    broker.port = self.port;
    answer.brokers = &broker;
    answer.brokers_count = 1;
    answer.controller_id = self.node_id;
    answer.cluster_id = slice_cstr(node_cluster_id(shard_node(kafka_shard(r))));
    answer.cluster_authorized_operations = q->include_cluster_authorized_operations
                                               ? KAFKA_OPERATIONS_CLUSTER
                                               : KAFKA_OPERATIONS_UNKNOWN;
    kafka_answer(r, &answer);
}
