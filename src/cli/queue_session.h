// SPDX-License-Identifier: Apache-2.0
//
// A command's conversation over the AMQP door: one connection, one channel with confirms, one step
// after the other, waited for. The counterpart of session.h.
#ifndef WEIR_CLI_QUEUE_SESSION_H
#define WEIR_CLI_QUEUE_SESSION_H

#include "base/buf.h"
#include "wire/wire_amqp.h"

struct queue_session;

// address: HOST:PORT or NULL for WEIR_AMQP or the default, 127.0.0.1:5672. Prints what went wrong
// and what to do; returns an exit code.
int queue_session_open(const char *address, const char *vhost, struct queue_session **out);
void queue_session_close(struct queue_session *session); // accepts NULL

struct queue_answer { // of the last call; the session's memory
    uint32_t method;  // enum amqp_method
    uint64_t tag;
    bool redelivered;
    uint32_t messages;
    struct buf exchange, key, properties, body;
};
// 0, or an exit code after a message.
int queue_session_call(struct queue_session *session, uint32_t method, const void *args,
                       const struct queue_answer **out);
int queue_session_send(struct queue_session *session, uint32_t method, const void *args);
// Waits for the confirm. *out_routed: false when no queue takes it (then nothing was kept).
int queue_session_publish(struct queue_session *session, struct slice exchange, struct slice key,
                          struct slice properties, struct slice body, bool *out_routed);

#endif
