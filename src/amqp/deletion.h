// SPDX-License-Identifier: Apache-2.0
//
// Queues that go because a connection or a consumer does. Private to the upper half.
#ifndef WEIR_AMQP_DELETION_H
#define WEIR_AMQP_DELETION_H

#include "amqp/session.h"

// Deletes the queue of that id, if it is still there, behind a wait of the connection: nothing more
// of it is handled before the queue is gone. if_unused: not when it has consumers. done (may be
// NULL) runs then, unless the door is destroyed first.
void amqp_delete_queue(struct amqp_conn *conn, const struct uuid *id, struct slice name,
                       bool if_unused, void (*done)(void *arg), void *arg);

#endif
