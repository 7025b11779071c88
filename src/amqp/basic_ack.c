// SPDX-License-Identifier: Apache-2.0
//
// basic.ack, nack, reject, recover (AMQP 0-9-1 sections 1.8.3.13 to 15; nack is RabbitMQ's). What
// is settled leaves at the turn's end, together with the credit that it frees.
#include "amqp/consumer.h"

static void settle(struct amqp_session *s, const struct amqp_unacked_delivery *d,
                   enum queue_outcome outcome)
{
    struct amqp_source *source = d->source;
    queue_settle_at(s->shard, &source->queue, s->holder, d->level, d->offset, outcome);
    amqp_source_settled(source);
}

// `multiple`: all up to the tag, or all that there are for 0. The tag itself must be there.
static void settle_tag(struct amqp_channel *ch, uint32_t method, uint64_t tag, bool multiple,
                       enum queue_outcome outcome)
{
    struct amqp_session *s = ch->session;
    struct amqp_unacked_delivery d;
    bool all = multiple && tag == 0;
    if (!all && !amqp_unacked_has(&s->unacked, tag)) {
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, method, "unknown delivery tag %llu",
                  (unsigned long long)tag);
        return;
    }
    while (amqp_unacked_take(&s->unacked, all ? UINT64_MAX : tag, multiple, &d) == 0) {
        settle(s, &d, outcome);
        if (!multiple)
            break;
    }
    amqp_credit_settled(s);
}

void amqp_basic_ack_handle(struct amqp_channel *ch, const struct amqp_basic_ack *m)
{
    settle_tag(ch, AMQP_BASIC_ACK, m->delivery_tag, m->multiple, QUEUE_ACKNOWLEDGE);
}

void amqp_basic_nack_handle(struct amqp_channel *ch, const struct amqp_basic_nack *m)
{
    settle_tag(ch, AMQP_BASIC_NACK, m->delivery_tag, m->multiple,
               m->requeue ? QUEUE_RELEASE : QUEUE_REJECT);
}

void amqp_basic_reject_handle(struct amqp_channel *ch, const struct amqp_basic_reject *m)
{
    settle_tag(ch, AMQP_BASIC_REJECT, m->delivery_tag, false,
               m->requeue ? QUEUE_RELEASE : QUEUE_REJECT);
}

// ---- recover: all goes back to the queues. To give it to the same consumer again (requeue false)
// RabbitMQ does not know either.

static bool recover(struct amqp_channel *ch, uint32_t method, bool requeue)
{
    if (requeue)
        settle_tag(ch, method, 0, true, QUEUE_RELEASE);
    else
        amqp_fail(ch, AMQP_NOT_IMPLEMENTED, method, "requeue=false");
    return requeue;
}

void amqp_basic_recover_handle(struct amqp_channel *ch, const struct amqp_basic_recover *m)
{
    if (recover(ch, AMQP_BASIC_RECOVER, m->requeue))
        amqp_send(ch, AMQP_BASIC_RECOVER_OK, &(struct amqp_basic_recover_ok){0});
}

void amqp_basic_recover_async_handle(struct amqp_channel *ch,
                                     const struct amqp_basic_recover_async *m)
{
    (void)recover(ch, AMQP_BASIC_RECOVER_ASYNC, m->requeue);
}

void amqp_unacked_release(struct amqp_session *s, bool gone)
{
    struct amqp_unacked_delivery d;
    while (amqp_unacked_take(&s->unacked, UINT64_MAX, true, &d) == 0) {
        if (!gone)
            queue_settle_at(s->shard, &d.source->queue, s->holder, d.level, d.offset,
                            QUEUE_RELEASE);
        amqp_source_settled(d.source);
    }
}
