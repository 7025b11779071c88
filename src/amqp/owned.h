// SPDX-License-Identifier: Apache-2.0
//
// Exclusive queues go with the connection that declared them (AMQP 0-9-1, queue.declare). Private
// to the upper half.
#ifndef WEIR_AMQP_OWNED_H
#define WEIR_AMQP_OWNED_H

#include "amqp/session.h"

void amqp_owned_add(struct amqp_conn *conn, const struct queue_facts *queue);

#endif
