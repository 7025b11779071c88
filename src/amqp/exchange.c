// SPDX-License-Identifier: Apache-2.0
//
// Class exchange (AMQP 0-9-1 section 1.6; exchange to exchange bindings are RabbitMQ's). What is
// only asked for (passive), or there already, is answered from this shard's replica; everything
// else goes through the catalogue.
#include "amqp/arguments.h"
#include "amqp/binding.h"
#include "amqp/change.h"

#define DELAYED_TYPE "x-delayed-message"

static bool not_the_default(struct amqp_channel *ch, uint32_t method, struct slice name)
{
    if (name.len > 0)
        return true;
    amqp_fail(ch, AMQP_ACCESS_REFUSED, method, "operation not permitted on the default exchange");
    return false;
}

static const struct exchange *find(struct amqp_channel *ch, struct slice name)
{
    return exchange_find(shard_exchanges(ch->session->shard), amqp_vhost(ch), name);
}

// ---- declare

static void declare_passive(struct amqp_channel *ch, const struct amqp_exchange_declare *m,
                            struct slice name)
{
    if (find(ch, name) == NULL)
        amqp_fail_no_exchange(ch, AMQP_EXCHANGE_DECLARE, name);
    else if (!m->no_wait)
        amqp_send(ch, AMQP_EXCHANGE_DECLARE_OK, &(struct amqp_exchange_declare_ok){0});
}

// Type and x-delayed-type; raises the exception.
static bool read_type(struct amqp_channel *ch, const struct amqp_exchange_declare *m,
                      enum exchange_type *out, bool *out_delayed)
{
    *out_delayed = slice_eq_cstr(m->type, DELAYED_TYPE);
    if (!*out_delayed) {
        if (exchange_type_by_name(m->type, out) == 0)
            return true;
        amqp_fail(ch, AMQP_COMMAND_INVALID, AMQP_EXCHANGE_DECLARE, "unknown exchange type '%.*s'",
                  AMQP_SHOW(m->type));
        return false;
    }
    struct amqp_value type;
    if (amqp_table_get(m->arguments, "x-delayed-type", &type) == 0 && type.kind == AMQP_TEXT &&
        exchange_type_by_name(type.bytes, out) == 0)
        return true;
    amqp_fail(ch, AMQP_PRECONDITION_FAILED, AMQP_EXCHANGE_DECLARE,
              "Invalid argument, 'x-delayed-type' must be an existing exchange type");
    return false;
}

static const char *type_name(enum exchange_type type, bool delayed)
{
    return delayed ? DELAYED_TYPE : exchange_type_name(type);
}

// What is there and what was asked for: the same, or a text that says what is not. Of the
// arguments only the alternate exchange is compared.
static bool same(const struct exchange *there, const struct exchange *asked,
                 struct amqp_again *again)
{
    *again = (struct amqp_again){.kind = "exchange", .vhost = asked->vhost, .name = asked->name};
    return amqp_again_text(again, "type", type_name(asked->type, asked->delayed),
                           type_name(there->type, there->delayed)) &&
           amqp_again_bool(again, "durable", asked->durable, there->durable) &&
           amqp_again_bool(again, "auto_delete", asked->auto_delete, there->auto_delete) &&
           amqp_again_bool(again, "internal", asked->internal, there->internal) &&
           amqp_again_argument(again, "alternate-exchange", asked->arguments, there->arguments);
}

static void declare_again(struct amqp_channel *ch, const struct exchange *there,
                          const struct exchange *asked, bool no_wait)
{
    struct amqp_again again;
    if (!same(there, asked, &again))
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, AMQP_EXCHANGE_DECLARE, "%s", again.why);
    else if (!no_wait)
        amqp_send(ch, AMQP_EXCHANGE_DECLARE_OK, &(struct amqp_exchange_declare_ok){0});
}

static void declare_answer(struct amqp_change *c, struct amqp_channel *ch)
{
    const struct exchange *there =
        c->change.err == ERR_EXISTS ? find(ch, c->change.exchange.name) : NULL;
    if (there != NULL)
        declare_again(ch, there, &c->change.exchange, c->no_wait);
    else
        amqp_change_ok(c, ch, AMQP_EXCHANGE_DECLARE_OK);
}

static bool may_be_made(struct amqp_channel *ch, const struct exchange *asked)
{
    struct amqp_value alternate;
    if (amqp_name_reserved(asked->name)) {
        amqp_fail(ch, AMQP_ACCESS_REFUSED, AMQP_EXCHANGE_DECLARE,
                  "exchange name '%.*s' contains reserved prefix 'amq.*'", AMQP_SHOW(asked->name));
        return false;
    }
    if (amqp_table_get(asked->arguments, "alternate-exchange", &alternate) == 0 &&
        alternate.kind != AMQP_TEXT) {
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, AMQP_EXCHANGE_DECLARE,
                  "invalid type '%s' for arg 'alternate-exchange' in exchange '%.*s' in vhost "
                  "'%.*s'",
                  amqp_type_name(alternate.type), AMQP_SHOW(asked->name), AMQP_SHOW(asked->vhost));
        return false;
    }
    return true;
}

void amqp_exchange_declare_handle(struct amqp_channel *ch, const struct amqp_exchange_declare *m)
{
    struct slice name = amqp_without_newlines(ch, m->exchange);
    struct exchange asked = {
        .vhost = amqp_vhost(ch),
        .name = name,
        .durable = m->durable,
        .auto_delete = m->auto_delete,
        .internal = m->internal,
    };
    if (!m->passive && !read_type(ch, m, &asked.type, &asked.delayed))
        return;
    if (!not_the_default(ch, AMQP_EXCHANGE_DECLARE, name))
        return;
    if (m->passive) {
        declare_passive(ch, m, name);
        return;
    }
    if (!amqp_arguments_canonical(ch, AMQP_EXCHANGE_DECLARE, m->arguments, &asked.arguments))
        return;
    const struct exchange *there = find(ch, name);
    if (there != NULL) {
        declare_again(ch, there, &asked, m->no_wait);
        return;
    }
    if (!may_be_made(ch, &asked))
        return;
    struct amqp_change *c = amqp_change_new(ch, AMQP_EXCHANGE_DECLARE, m->no_wait, EXCHANGE_DECLARE,
                                            name.len + asked.vhost.len + asked.arguments.len);
    if (c == NULL)
        return;
    c->change.exchange = asked;
    c->change.exchange.vhost = amqp_change_copy(c, asked.vhost);
    c->change.exchange.name = amqp_change_copy(c, name);
    c->change.exchange.arguments = amqp_change_copy(c, asked.arguments);
    amqp_change_start(c, ch, declare_answer);
}

// ---- delete: what is not there is deleted

static void delete_answer(struct amqp_change *c, struct amqp_channel *ch)
{
    const struct exchange *x = &c->change.exchange;
    if (c->change.err == ERR_NOT_FOUND)
        c->change.err = 0;
    if (c->change.err == ERR_IN_USE)
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, c->method, "exchange '%.*s' in vhost '%.*s' in use",
                  AMQP_SHOW(x->name), AMQP_SHOW(x->vhost));
    else
        amqp_change_ok(c, ch, AMQP_EXCHANGE_DELETE_OK);
}

void amqp_exchange_delete_handle(struct amqp_channel *ch, const struct amqp_exchange_delete *m)
{
    struct slice name = amqp_without_newlines(ch, m->exchange), vhost = amqp_vhost(ch);
    if (!not_the_default(ch, AMQP_EXCHANGE_DELETE, name))
        return;
    if (amqp_name_reserved(name)) {
        amqp_fail(ch, AMQP_ACCESS_REFUSED, AMQP_EXCHANGE_DELETE,
                  "deletion of system exchange '%.*s' in vhost '%.*s' not allowed", AMQP_SHOW(name),
                  AMQP_SHOW(vhost));
        return;
    }
    struct amqp_change *c = amqp_change_new(ch, AMQP_EXCHANGE_DELETE, m->no_wait, EXCHANGE_DELETE,
                                            name.len + vhost.len);
    if (c == NULL)
        return;
    c->change.exchange.vhost = amqp_change_copy(c, vhost);
    c->change.exchange.name = amqp_change_copy(c, name);
    c->change.if_unused = m->if_unused;
    amqp_change_start(c, ch, delete_answer);
}

// ---- bind, unbind

void amqp_exchange_bind_handle(struct amqp_channel *ch, const struct amqp_exchange_bind *m)
{
    const struct amqp_binding binding = {
        .method = AMQP_EXCHANGE_BIND,
        .answer = AMQP_EXCHANGE_BIND_OK,
        .no_wait = m->no_wait,
        .to_exchange = true,
        .source = m->source,
        .destination = m->destination,
        .key = m->routing_key,
        .arguments = m->arguments,
    };
    amqp_bind(ch, &binding);
}

void amqp_exchange_unbind_handle(struct amqp_channel *ch, const struct amqp_exchange_unbind *m)
{
    const struct amqp_binding binding = {
        .method = AMQP_EXCHANGE_UNBIND,
        .answer = AMQP_EXCHANGE_UNBIND_OK,
        .no_wait = m->no_wait,
        .remove = true,
        .to_exchange = true,
        .source = m->source,
        .destination = m->destination,
        .key = m->routing_key,
        .arguments = m->arguments,
    };
    amqp_bind(ch, &binding);
}
