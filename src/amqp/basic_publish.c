// SPDX-License-Identifier: Apache-2.0
//
// basic.publish (AMQP 0-9-1 section 1.8.3.7; CC, BCC, user-id, direct reply-to and the order of
// checks as in RabbitMQ). The hot path: properties were read once by the lower half, the record's
// headers are built in buffers that are kept, publish_add copies. Nothing is allocated per message
// but for what a headers exchange wants to compare.
#include "amqp/confirm.h"
#include "amqp/consumer.h"

#define METHOD AMQP_BASIC_PUBLISH

static bool user_ok(struct amqp_channel *ch, const struct amqp_properties *p)
{
    struct slice user = amqp_conn_user(ch->conn);
    if ((p->flags & AMQP_USER_ID) == 0 || slice_eq(p->user_id, user))
        return true;
    amqp_fail(ch, AMQP_PRECONDITION_FAILED, METHOD,
              "user_id property set to '%.*s' but authenticated user was '%.*s'",
              AMQP_SHOW(p->user_id), AMQP_SHOW(user));
    return false;
}

// What reply_to becomes when it names the pseudo queue: the name that the answer must be sent to.
static bool reply_to(struct amqp_channel *ch, const struct amqp_properties *p, struct slice *out)
{
    const struct amqp_consumer *replies = ch->session->replies;
    *out = SLICE_NULL;
    if ((p->flags & AMQP_REPLY_TO) == 0 || !slice_eq_cstr(p->reply_to, AMQP_REPLIES))
        return true;
    if (replies == NULL) {
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, METHOD, "fast reply consumer does not exist");
        return false;
    }
    *out = replies->queue_name;
    return true;
}

static bool times(struct amqp_channel *ch, const struct amqp_properties *p, struct message *m)
{
    char *why = ch->session->lobby->why;
    int64_t ttl_ms = 0;
    m->published_ms = io_wall_ms(shard_io(ch->session->shard));
    m->expires_ms = -1;
    if ((p->flags & AMQP_EXPIRATION) == 0)
        return true;
    if (amqp_expiration(p->expiration, &ttl_ms, why) != 0) {
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, METHOD, "%s", why);
        return false;
    }
    m->expires_ms = m->published_ms + ttl_ms;
    return true;
}

static bool exchange_ok(struct amqp_channel *ch, const struct amqp_basic_publish *m,
                        const struct exchange *x)
{
    if (x == NULL)
        amqp_fail_no_exchange(ch, METHOD, m->exchange);
    else if (x->internal)
        amqp_fail(ch, AMQP_ACCESS_REFUSED, METHOD,
                  "cannot publish to internal exchange '%.*s' in vhost '%.*s'",
                  AMQP_SHOW(m->exchange), AMQP_SHOW(amqp_vhost(ch)));
    return x != NULL && !x->internal;
}

static void unroutable(struct amqp_channel *ch, const struct amqp_basic_publish *m,
                       const struct amqp_content *content)
{
    const struct amqp_basic_return back = {
        .reply_code = AMQP_NO_ROUTE,
        .reply_text = slice_cstr("NO_ROUTE"),
        .exchange = m->exchange,
        .routing_key = m->routing_key,
    };
    amqp_send_content(ch, AMQP_BASIC_RETURN, &back, content->properties, content->body, NULL);
}

// It was not taken. Who asked for confirms hears it there; nobody else would ever know, so the
// connection ends.
static void refused(struct amqp_channel *ch, const struct amqp_basic_publish *m, int err)
{
    if (err == ERR_NOT_FOUND)
        amqp_fail_no_exchange(ch, METHOD, m->exchange);
    else if (err == ERR_MESSAGE_TOO_LARGE)
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, METHOD,
                  "message is larger than configured max size");
    else if (ch->session->confirming)
        amqp_confirm_refused(ch->session);
    else
        amqp_fail_err(ch, METHOD, err, "");
}

static void route(struct amqp_channel *ch, const struct amqp_basic_publish *m,
                  const struct amqp_content *content, struct publish *publish)
{
    struct amqp_session *s = ch->session;
    struct amqp_door *door = amqp_conn_door(ch->conn);
    uint32_t queues = 0;
    if (exchange_wants_headers(shard_exchanges(s->shard), publish->vhost, m->exchange))
        publish->headers =
            amqp_headers_canonical(content->read->headers, &door->arena, &publish->headers_count);
    int err =
        publish_add(s->shard, publish, s->confirming ? amqp_confirm_receipt(s) : NULL, &queues);
    if (err != 0) {
        refused(ch, m, err);
        return;
    }
    if (queues == 0 && m->mandatory)
        unroutable(ch, m, content);
    if (s->confirming)
        amqp_confirm_published(s, queues > 0);
}

void amqp_basic_publish_handle(struct amqp_channel *ch, const struct amqp_basic_publish *m,
                               const struct amqp_content *content)
{
    struct amqp_session *s = ch->session;
    const struct amqp_properties *p = content->read;
    struct amqp_incoming *in = &s->lobby->incoming; // too large to be cleared each time
    struct slice replies;
    if (m->immediate) {
        amqp_fail(ch, AMQP_NOT_IMPLEMENTED, METHOD, "immediate=true");
        return;
    }
    const struct exchange *x =
        exchange_find(shard_exchanges(s->shard), amqp_vhost(ch), m->exchange);
    struct publish publish = {
        .vhost = amqp_vhost(ch),
        .message = {.exchange = m->exchange, .routing_key = m->routing_key, .body = content->body},
        .priority = p->priority,
        .persistent = p->delivery_mode == 2,
    };
    if (!exchange_ok(ch, m, x) || !reply_to(ch, p, &replies) || !user_ok(ch, p) ||
        !times(ch, p, &publish.message))
        return;
    int err = amqp_translate_in(&s->lobby->translator, content->properties, p, replies, in,
                                s->lobby->why);
    if (err != 0) {
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, METHOD, "%s",
                  err == ERR_INVALID ? s->lobby->why : err_text(err));
        return;
    }
    publish.message.cc = in->cc;
    publish.message.deaths = in->deaths;
    publish.message.headers = in->headers;
    publish.message.headers_count = in->headers_count;
    publish.extra_keys = in->keys;
    publish.extra_keys_count = in->keys_count;
    publish.delay_ms = x->delayed ? in->delay_ms : 0;
    route(ch, m, content, &publish);
}
