// SPDX-License-Identifier: Apache-2.0
//
// queue.declare (AMQP 0-9-1 section 1.7.2.1; arguments, server-made names and texts as in
// RabbitMQ). Whether a queue that is there is the one that was asked for is decided here, from this
// shard's replica; making it, and counting what is in it, is the catalogue's.
#include <string.h>

#include "amqp/arguments.h"
#include "amqp/ask.h"
#include "amqp/change.h"
#include "amqp/consumer.h"
#include "amqp/owned.h"

#define METHOD AMQP_QUEUE_DECLARE

static void declare_ok(struct amqp_channel *ch, bool no_wait, struct slice name, uint64_t messages,
                       uint64_t consumers)
{
    amqp_session_set_last_queue(ch->session, name);
    if (!no_wait)
        amqp_send(ch, AMQP_QUEUE_DECLARE_OK,
                  &(struct amqp_queue_declare_ok){.queue = name,
                                                  .message_count = amqp_count(messages),
                                                  .consumer_count = amqp_count(consumers)});
}

// ---- passive: only how it is

static void look_answer(struct amqp_ask *a, struct amqp_channel *ch)
{
    if (a->ask.err == 0)
        declare_ok(ch, a->no_wait, a->name, a->ask.stats.ready, a->ask.stats.consumers);
    else
        amqp_fail_no_queue(ch, METHOD, a->name);
}

static void look_at(struct amqp_channel *ch, const struct queue_facts *queue, bool no_wait)
{
    const struct queue_ask ask = {.touch = true};
    amqp_ask(ch, METHOD, queue, no_wait, &ask, look_answer);
}

// The pseudo queue of direct reply-to is always there, and so are the hidden ones behind it as long
// as somebody consumes: each has one consumer.
static void declare_replies(struct amqp_channel *ch, struct slice name, bool no_wait)
{
    if (slice_eq_cstr(name, AMQP_REPLIES) ||
        queue_by_name(ch->session->shard, amqp_vhost(ch), name) != NULL)
        declare_ok(ch, no_wait, name, 0, 1);
    else
        amqp_fail_no_queue(ch, METHOD, name);
}

// ---- declared again

// Exclusiveness first, and strictly: what is exclusive must be asked for as such, and the other way
// round.
static bool same(struct amqp_channel *ch, const struct queue_facts *there,
                 const struct queue_facts *asked)
{
    struct amqp_again again = {.kind = "queue", .vhost = asked->vhost, .name = asked->name};
    if (there->owner != asked->owner) {
        amqp_fail_locked(ch, METHOD, asked->name);
        return false;
    }
    if (amqp_again_bool(&again, "durable", asked->durable, there->durable) &&
        amqp_again_bool(&again, "auto_delete", asked->auto_delete, there->auto_delete) &&
        amqp_again_queue(&again, asked->arguments, there->arguments))
        return true;
    amqp_fail(ch, AMQP_PRECONDITION_FAILED, METHOD, "%s", again.why);
    return false;
}

// ---- made

// What a type of queue cannot be.
static bool fits_type(struct amqp_channel *ch, const struct queue_facts *asked,
                      enum amqp_queue_type type)
{
    const char *property = NULL;
    if (type == AMQP_QUEUE_CLASSIC)
        return true;
    if (asked->exclusive)
        property = "exclusive-owner";
    else if (!asked->durable)
        property = "non-durable";
    else if (asked->auto_delete)
        property = "auto-delete";
    if (property == NULL)
        return true;
    amqp_fail(ch, AMQP_PRECONDITION_FAILED, METHOD,
              "invalid property '%s' for queue '%.*s' in vhost '%.*s'", property,
              AMQP_SHOW(asked->name), AMQP_SHOW(asked->vhost));
    return false;
}

static void declare_answer(struct amqp_change *c, struct amqp_channel *ch)
{
    struct shard *shard = ch->session->shard;
    const struct queue_facts *asked = &c->change.queue;
    const struct queue_facts *there = queue_by_name(shard, asked->vhost, asked->name);
    if (c->change.err == 0) {
        if (c->change.made && asked->exclusive && there != NULL)
            amqp_owned_add(ch->conn, there);
        declare_ok(ch, c->no_wait, asked->name, c->change.messages, c->change.consumers);
    } else if (c->change.err == ERR_RESOURCE_LOCKED) {
        amqp_fail_locked(ch, METHOD, asked->name);
    } else if (c->change.err == ERR_EXISTS && there != NULL) { // somebody was faster
        if (same(ch, there, asked))
            look_at(ch, there, c->no_wait);
    } else if (c->change.err == ERR_EXISTS) {
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, METHOD, "%s",
                  c->change.why[0] != '\0' ? c->change.why : "a topic of that name is no queue");
    } else {
        amqp_fail_err(ch, METHOD, c->change.err, c->change.why);
    }
}

// Facts and settings point into the change's own memory.
static void make(struct amqp_channel *ch, const struct queue_facts *asked, bool no_wait)
{
    struct amqp_queue_arguments arguments;
    char why[AMQP_TEXT_SIZE];
    struct amqp_change *c =
        amqp_change_new(ch, METHOD, no_wait, QUEUE_DECLARE,
                        asked->vhost.len + asked->name.len + asked->arguments.len);
    if (c == NULL)
        return;
    struct queue_facts *q = &c->change.queue;
    *q = *asked;
    q->vhost = amqp_change_copy(c, asked->vhost);
    q->name = amqp_change_copy(c, asked->name);
    q->arguments = amqp_change_copy(c, asked->arguments);
    if (amqp_queue_arguments(q->arguments, q->vhost, q->name, &arguments, why) != 0) {
        amqp_change_free(c);
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, METHOD, "%s", why);
        return;
    }
    if (!fits_type(ch, q, arguments.type)) {
        amqp_change_free(c);
        return;
    }
    q->settings = arguments.settings;
    q->settings.auto_delete = q->auto_delete;
    q->levels = arguments.levels;
    q->created_ms = io_wall_ms(shard_io(c->shard));
    c->change.take_topic = arguments.take_topic;
    amqp_change_start(c, ch, declare_answer);
}

// A name for a queue that has none, unless its type wants to be called something.
static bool made_name(struct amqp_channel *ch, struct slice arguments, char out[AMQP_NAME_SIZE],
                      struct slice *out_name)
{
    enum amqp_queue_type type = amqp_queue_type_of(arguments);
    if (type != AMQP_QUEUE_CLASSIC) {
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, METHOD,
                  "Cannot declare a server-named queue for type rabbit_%s_queue",
                  type == AMQP_QUEUE_QUORUM ? "quorum" : "stream");
        return false;
    }
    *out_name = amqp_name_new(ch->session, "amq.gen-", out);
    return true;
}

static bool starts_with(struct slice name, const char *prefix)
{
    size_t len = strlen(prefix);
    return name.len >= len && memcmp(name.data, prefix, len) == 0;
}

static void declare(struct amqp_channel *ch, const struct amqp_queue_declare *m, struct slice name)
{
    char made[AMQP_NAME_SIZE];
    struct slice arguments;
    if (!amqp_arguments_canonical(ch, METHOD, m->arguments, &arguments))
        return;
    if (name.len == 0) {
        if (!made_name(ch, arguments, made, &name))
            return;
    } else if (amqp_name_reserved(name)) {
        amqp_fail(ch, AMQP_ACCESS_REFUSED, METHOD,
                  "queue name '%.*s' contains reserved prefix 'amq.*'", AMQP_SHOW(name));
        return;
    }
    struct queue_facts asked = {
        .vhost = amqp_vhost(ch),
        .name = name,
        .durable = m->durable && !m->exclusive,
        .exclusive = m->exclusive,
        .auto_delete = m->auto_delete,
        .owner = m->exclusive ? amqp_conn_id(ch->conn) : 0,
        .arguments = arguments,
    };
    const struct queue_facts *there = queue_by_name(ch->session->shard, asked.vhost, name);
    if (there != NULL && !same(ch, there, &asked))
        return;
    // The catalogue compares bytes: arguments that mean the same must be the same for it.
    if (there != NULL)
        asked.arguments = there->arguments;
    make(ch, &asked, m->no_wait);
}

void amqp_queue_declare_handle(struct amqp_channel *ch, const struct amqp_queue_declare *m)
{
    struct slice name = amqp_without_newlines(ch, m->queue);
    if (starts_with(name, AMQP_REPLIES)) {
        declare_replies(ch, name, m->no_wait);
    } else if (m->passive) {
        const struct queue_facts *queue = amqp_queue_for(ch, METHOD, name);
        if (queue != NULL)
            look_at(ch, queue, m->no_wait);
    } else {
        declare(ch, m, name);
    }
}
