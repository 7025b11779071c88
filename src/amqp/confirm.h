// SPDX-License-Identifier: Apache-2.0
//
// Publisher confirms (RabbitMQ, "Publisher Confirms"): each message published on a channel in
// confirm mode has a tag, counted from 1, and is acknowledged once it is safe, or refused (nack)
// when it may be lost. Private to the upper half.
//
// A RUN is a row of tags that share their fate: what one turn has published to queues, behind one
// receipt, or messages that no queue took, which are confirmed at the turn's end. Runs end in any
// order. The one at the head is confirmed with `multiple`, which covers all before it, and takes
// those with it that were waiting behind; one that ends before its turn is confirmed tag by tag.
#ifndef WEIR_AMQP_CONFIRM_H
#define WEIR_AMQP_CONFIRM_H

#include "amqp/session.h"

// The receipt that the next message must be published with; then one of
struct publish_receipt *amqp_confirm_receipt(struct amqp_session *s);
void amqp_confirm_published(struct amqp_session *s, bool routed);
void amqp_confirm_refused(struct amqp_session *s); // it was not taken

void amqp_confirm_turn(struct amqp_session *s); // the turn in which it published is over
void amqp_confirm_close(struct amqp_session *s, bool gone);

#endif
