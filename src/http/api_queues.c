// SPDX-License-Identifier: Apache-2.0
//
// /api/queues: what queues there are and what is in them. Field names are those of RabbitMQ's
// management API.
#include <stdio.h>
#include <string.h>

#include "http/http_int.h"
#include "node/queue_list.h"

// ---- as JSON

// RFC 3339, UTC. From days to a date as in Howard Hinnant's "chrono-Compatible Low-Level Date
// Algorithms": years begin in March, so that the leap day is the last of its year.
static json_t *date_text(int64_t ms)
{
    int64_t days = ms / 86400000 + 719468; // since 0000-03-01
    int64_t in_day = ms % 86400000;
    int64_t era = days / 146097; // 400 years
    int64_t day = days % 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= 365 * year + year / 4 - year / 100;
    int64_t month = (5 * day + 2) / 153; // 0: March
    day -= (153 * month + 2) / 5;
    char text[64];
    (void)snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03d+00:00",
                   (int)(year + era * 400 + (month >= 10)),
                   (int)(month < 10 ? month + 3 : month - 9), (int)(day + 1),
                   (int)(in_day / 3600000), (int)(in_day / 60000 % 60), (int)(in_day / 1000 % 60),
                   (int)(in_day % 1000));
    return json_string(text);
}

static void argument_set(json_t *arguments, const char *name, bool set, json_t *value)
{
    if (set)
        (void)json_object_set_new(arguments, name, value);
    else
        json_decref(value);
}

static json_t *arguments_json(const struct queue_listed *item)
{
    const struct queue_settings *s = &item->settings;
    json_t *a = json_object();
    argument_set(a, "x-message-ttl", s->message_ttl_ms >= 0, json_integer(s->message_ttl_ms));
    argument_set(a, "x-expires", s->expires_ms >= 0, json_integer(s->expires_ms));
    argument_set(a, "x-max-priority", item->levels > 1, json_integer(item->levels - 1));
    argument_set(a, "x-single-active-consumer", s->single_active, json_true());
    argument_set(a, "x-delivery-limit", s->delivery_limit > 0,
                 json_integer((json_int_t)s->delivery_limit - 1)); // redeliveries
    argument_set(a, "x-dead-letter-exchange", s->dead_letter, http_text(s->dead_exchange));
    argument_set(a, "x-dead-letter-routing-key", s->dead_key.data != NULL, http_text(s->dead_key));
    return a;
}

static json_t *queue_json(const struct queue_listed *item)
{
    const struct queue_stats *s = &item->stats;
    const uint64_t messages = s->ready + s->leased;
    json_t *idle = s->idle_since_ms >= 0 ? date_text(s->idle_since_ms) : json_null();
    return json_pack("{s:o, s:o, s:b, s:b, s:b, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:o, s:I}",
                     "name", http_text(item->name), "vhost", http_text(item->vhost), "durable",
                     item->durable, "auto_delete", item->auto_delete, "exclusive", item->exclusive,
                     "type", "classic", "state", "running", "arguments", arguments_json(item),
                     "messages", (json_int_t)messages, "messages_ready", (json_int_t)s->ready,
                     "messages_unacknowledged", (json_int_t)s->leased, "consumers",
                     (json_int_t)s->consumers, "idle_since", idle, "message_bytes",
                     (json_int_t)s->size_bytes);
}

// ---- the list

static void list_drop(struct http_request *request)
{
    queue_list_free(request->state);
}

static void list_answer(void *arg)
{
    struct http_request *r = arg;
    size_t count;
    size_t shown = 0;
    const struct queue_listed *items = queue_list_items(r->state, &count);
    if (r->parts_count > 3) { // one by name
        if (count == 0 || items[0].gone)
            http_refuse(r, MHD_HTTP_NOT_FOUND, "Object Not Found", "Not Found");
        else
            http_answer_json(r, queue_json(&items[0]));
        return;
    }
    buf_put_u8(&r->body, '[');
    for (size_t i = 0; i < count && r->body.err == 0; i++) {
        if (items[i].gone)
            continue;
        if (shown++ > 0)
            buf_put_u8(&r->body, ',');
        http_json_put(&r->body, queue_json(&items[i]));
    }
    buf_put_u8(&r->body, ']');
    http_answer(r, MHD_HTTP_OK, "application/json");
}

static bool is_queue(void *arg, const struct exchange_binding *binding)
{
    return !binding->to_exchange && slice_eq(binding->destination, *(const struct slice *)arg);
}

void http_api_queues(struct http_request *request)
{
    const struct slice *parts = request->parts;
    struct shard *shard = request->door->shard;
    struct slice vhost = request->parts_count > 2 ? parts[2] : SLICE_NULL;
    struct slice name = request->parts_count > 3 ? parts[3] : SLICE_NULL;
    bool bindings = request->parts_count == 5 && slice_eq_cstr(parts[4], "bindings");
    if ((vhost.data != NULL && !vhost_known(shard, vhost)) ||
        (request->parts_count == 5 && !bindings)) {
        http_refuse(request, MHD_HTTP_NOT_FOUND, "Object Not Found", "Not Found");
        return;
    }
    if (bindings) {
        http_answer_json(request, http_bindings(request, vhost, is_queue, &name));
        return;
    }
    request->drop = list_drop;
    request->state = queue_list_start(shard, vhost, name, list_answer, request);
}
