// SPDX-License-Identifier: Apache-2.0
//
// Binding and unbinding. Removing what is not there is no error, whichever part is missing.
#include "amqp/binding.h"

#include <stdio.h>

#include "amqp/arguments.h"
#include "amqp/change.h"
#include "amqp/translate.h"

// ---- x-match

static const struct {
    const char *name;
    enum exchange_match match;
} matches[] = {
    {"all", MATCH_ALL},
    {"any", MATCH_ANY},
    {"all-with-x", MATCH_ALL_WITH_X},
    {"any-with-x", MATCH_ANY_WITH_X},
};

// Of a headers exchange only. Raises the exception.
static bool read_match(struct amqp_channel *ch, const struct amqp_binding *b,
                       enum exchange_match *out)
{
    struct amqp_value value;
    *out = MATCH_ALL;
    if (amqp_table_get(b->arguments, "x-match", &value) != 0)
        return true;
    if (value.kind != AMQP_TEXT) {
        char shown[AMQP_SHOWN_SIZE];
        amqp_value_show(&value, shown);
        amqp_fail(ch, AMQP_PRECONDITION_FAILED, b->method,
                  "Invalid x-match field type %s (value %s); expected longstr",
                  amqp_type_name(value.type), shown);
        return false;
    }
    for (size_t i = 0; i < sizeof matches / sizeof matches[0]; i++) {
        if (slice_eq_cstr(value.bytes, matches[i].name)) {
            *out = matches[i].match;
            return true;
        }
    }
    amqp_fail(ch, AMQP_PRECONDITION_FAILED, b->method,
              "Invalid x-match field value <<\"%.*s\">>; expected all, any, all-with-x, or "
              "any-with-x",
              AMQP_SHOW(value.bytes));
    return false;
}

// What a message must have. A null value asks for the name only.
static void headers_of(struct arena *arena, struct slice arguments, struct exchange_binding *out)
{
    uint32_t count = 0, n = 0;
    struct exchange_header *headers = amqp_headers_canonical(arguments, arena, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (slice_eq_cstr(headers[i].name, "x-match"))
            continue;
        headers[n] = headers[i];
        if (headers[n].value.len == 1 && headers[n].value.data[0] == 'V')
            headers[n].value = SLICE_NULL;
        n++;
    }
    out->headers = headers;
    out->headers_count = n;
}

// ---- the change

static void bind_answer(struct amqp_change *c, struct amqp_channel *ch)
{
    const struct exchange_binding *b = &c->change.binding;
    bool remove = c->change.kind == BINDING_REMOVE;
    if (c->change.err == ERR_EXISTS || (remove && c->change.err == ERR_NOT_FOUND))
        c->change.err = 0;
    if (c->change.err == ERR_NOT_FOUND) { // gone while we asked
        if (exchange_find(shard_exchanges(ch->session->shard), b->vhost, b->source) == NULL)
            amqp_fail_no_exchange(ch, c->method, b->source);
        else if (b->to_exchange)
            amqp_fail_no_exchange(ch, c->method, b->destination);
        else
            amqp_fail_no_queue(ch, c->method, b->destination);
    } else if (c->change.err == ERR_RESOURCE_LOCKED) {
        amqp_fail_locked(ch, c->method, b->destination);
    } else {
        // Answers have no fields, whichever it is.
        amqp_change_ok(c, ch, c->answer_method);
    }
}

static void bind_start(struct amqp_channel *ch, const struct amqp_binding *b,
                       const struct exchange *source, enum exchange_match match,
                       struct slice arguments)
{
    struct slice vhost = amqp_vhost(ch);
    size_t bytes = vhost.len + b->source.len + b->destination.len + b->key.len;
    struct amqp_change *c =
        amqp_change_new(ch, b->method, b->no_wait, b->remove ? BINDING_REMOVE : BINDING_ADD,
                        bytes + arguments.len * 16);
    if (c == NULL)
        return;
    c->answer_method = b->answer;
    struct exchange_binding *to = &c->change.binding;
    to->vhost = amqp_change_copy(c, vhost);
    to->source = amqp_change_copy(c, b->source);
    to->to_exchange = b->to_exchange;
    to->destination = amqp_change_copy(c, b->destination);
    to->key = amqp_change_copy(c, b->key);
    to->arguments = amqp_change_copy(c, arguments);
    to->match = match;
    if (source->type == EXCHANGE_HEADERS)
        headers_of(&c->arena, to->arguments, to);
    amqp_change_start(c, ch, bind_answer);
}

// Both ends must be there, and a queue may be exclusive to somebody else. *done: answered.
static const struct exchange *ends(struct amqp_channel *ch, const struct amqp_binding *b)
{
    struct shard *shard = ch->session->shard;
    struct slice vhost = amqp_vhost(ch);
    const struct exchange *source = exchange_find(shard_exchanges(shard), vhost, b->source);
    const struct queue_facts *queue = NULL;
    bool there = true;
    if (b->to_exchange)
        there = exchange_find(shard_exchanges(shard), vhost, b->destination) != NULL;
    else
        there = (queue = queue_by_name(shard, vhost, b->destination)) != NULL;
    if (queue != NULL && source != NULL && !amqp_queue_may(ch, queue)) {
        amqp_fail_locked(ch, b->method, b->destination);
        return NULL;
    }
    if (source != NULL && there)
        return source;
    if (b->remove) {
        if (!b->no_wait)
            amqp_send(ch, b->answer, &(uint64_t){0});
    } else if (source == NULL) {
        amqp_fail_no_exchange(ch, b->method, b->source);
    } else if (b->to_exchange) {
        amqp_fail_no_exchange(ch, b->method, b->destination);
    } else {
        amqp_fail_no_queue(ch, b->method, b->destination);
    }
    return NULL;
}

void amqp_bind(struct amqp_channel *ch, const struct amqp_binding *binding)
{
    struct amqp_binding b = *binding;
    struct slice arguments;
    enum exchange_match match = MATCH_ALL;
    b.source = amqp_without_newlines(ch, b.source);
    b.destination = amqp_without_newlines(ch, b.destination);
    if (b.source.len == 0 || (b.to_exchange && b.destination.len == 0)) {
        amqp_fail(ch, AMQP_ACCESS_REFUSED, b.method,
                  "operation not permitted on the default exchange");
        return;
    }
    const struct exchange *source = ends(ch, &b);
    if (source == NULL || (source->type == EXCHANGE_HEADERS && !read_match(ch, &b, &match)) ||
        !amqp_arguments_canonical(ch, b.method, b.arguments, &arguments))
        return;
    bind_start(ch, &b, source, match, arguments);
}
