// SPDX-License-Identifier: Apache-2.0
//
// /api/exchanges, /api/bindings, /api/vhosts, /api/overview: from this shard's replica alone. Field
// names are those of RabbitMQ's management API.
#include <string.h>

#include "http/http_int.h"

// UTF-8 by RFC 3629: how many bytes the character at `at` takes; 0 when it is none.
static size_t utf8_len(struct slice text, size_t at)
{
    json_t *try;
    for (size_t len = 1; len <= 4 && at + len <= text.len; len++) {
        try = json_stringn((const char *)text.data + at, len);
        if (try != NULL) {
            json_decref(try);
            return len;
        }
    }
    return 0;
}

json_t *http_text(struct slice text)
{
    json_t *whole = json_stringn((const char *)text.data, text.len);
    if (whole != NULL || text.data == NULL)
        return whole != NULL ? whole : json_string("");
    struct buf out;
    buf_init(&out, text.len * 3 + 1);
    for (size_t at = 0; at < text.len;) {
        size_t len = utf8_len(text, at);
        if (len == 0)
            buf_put(&out, "\xEF\xBF\xBD", 3);
        else
            buf_put(&out, text.data + at, len);
        at += len != 0 ? len : 1;
    }
    whole = json_stringn((const char *)out.data, out.len);
    buf_fini(&out);
    return whole;
}

// ---- bindings

struct bindings_walk {
    json_t *out;
    bool (*wanted)(void *arg, const struct exchange_binding *binding);
    void *arg;
};

static bool binding_add(void *arg, const struct exchange_binding *b)
{
    struct bindings_walk *walk = arg;
    if (walk->wanted != NULL && !walk->wanted(walk->arg, b))
        return true;
    (void)json_array_append_new(
        walk->out, json_pack("{s:o, s:o, s:o, s:s, s:o, s:{}, s:o}", "source", http_text(b->source),
                             "vhost", http_text(b->vhost), "destination", http_text(b->destination),
                             "destination_type", b->to_exchange ? "exchange" : "queue",
                             "routing_key", http_text(b->key), "arguments", "properties_key",
                             http_text(b->key.len > 0 ? b->key : slice_cstr("~"))));
    return true;
}

json_t *http_bindings(struct http_request *request, struct slice vhost,
                      bool (*wanted)(void *arg, const struct exchange_binding *binding), void *arg)
{
    struct bindings_walk walk = {json_array(), wanted, arg};
    exchange_bindings_each(shard_exchanges(request->door->shard), vhost, binding_add, &walk);
    return walk.out;
}

static bool vhost_missing(struct http_request *request, struct slice vhost)
{
    if (vhost.data == NULL || vhost_known(request->door->shard, vhost))
        return false;
    http_refuse(request, MHD_HTTP_NOT_FOUND, "Object Not Found", "Not Found");
    return true;
}

void http_api_bindings(struct http_request *request)
{
    struct slice vhost = request->parts_count > 2 ? request->parts[2] : SLICE_NULL;
    if (!vhost_missing(request, vhost))
        http_answer_json(request, http_bindings(request, vhost, NULL, NULL));
}

// ---- exchanges

static json_t *exchange_json(const struct exchange *e)
{
    return json_pack(
        "{s:o, s:o, s:s, s:b, s:b, s:b, s:{}}", "name", http_text(e->name), "vhost",
        http_text(e->vhost), "type", e->delayed ? "x-delayed-message" : exchange_type_name(e->type),
        "durable", e->durable, "auto_delete", e->auto_delete, "internal", e->internal, "arguments");
}

static bool exchange_append(void *arg, const struct exchange *e)
{
    (void)json_array_append_new(arg, exchange_json(e));
    return true;
}

static bool is_source(void *arg, const struct exchange_binding *binding)
{
    return slice_eq(binding->source, *(const struct slice *)arg);
}

static bool is_destination(void *arg, const struct exchange_binding *binding)
{
    return binding->to_exchange && slice_eq(binding->destination, *(const struct slice *)arg);
}

static void exchange_bindings(struct http_request *request, struct slice vhost, struct slice *name)
{
    const struct slice *parts = request->parts;
    bool source = request->parts_count == 6 && slice_eq_cstr(parts[5], "source");
    bool destination = request->parts_count == 6 && slice_eq_cstr(parts[5], "destination");
    if (!slice_eq_cstr(parts[4], "bindings") || (!source && !destination))
        http_refuse(request, MHD_HTTP_NOT_FOUND, "Object Not Found", "Not Found");
    else
        http_answer_json(request,
                         http_bindings(request, vhost, source ? is_source : is_destination, name));
}

void http_api_exchanges(struct http_request *request)
{
    struct exchanges *exchanges = shard_exchanges(request->door->shard);
    struct slice vhost = request->parts_count > 2 ? request->parts[2] : SLICE_NULL;
    if (vhost_missing(request, vhost))
        return;
    if (request->parts_count > 4) {
        exchange_bindings(request, vhost, &request->parts[3]);
        return;
    }
    if (request->parts_count == 4) {
        const struct exchange *e = exchange_find(exchanges, vhost, request->parts[3]);
        if (e == NULL)
            http_refuse(request, MHD_HTTP_NOT_FOUND, "Object Not Found", "Not Found");
        else
            http_answer_json(request, exchange_json(e));
        return;
    }
    json_t *all = json_array();
    exchanges_each(exchanges, vhost, exchange_append, all);
    http_answer_json(request, all);
}

// ---- the server

static bool vhost_append(void *arg, const struct exchange *e)
{
    if (e->name.len == 0) // every virtual host has one default exchange
        (void)json_array_append_new(arg, json_pack("{s:o}", "name", http_text(e->vhost)));
    return true;
}

void http_api_vhosts(struct http_request *request)
{
    json_t *all = json_array();
    exchanges_each(shard_exchanges(request->door->shard), SLICE_NULL, vhost_append, all);
    http_answer_json(request, all);
}

void http_api_overview(struct http_request *request)
{
    struct shard *shard = request->door->shard;
    http_answer_json(request, json_pack("{s:s, s:s, s:s, s:{s:I}}", "product_name", "weir",
                                        "product_version", request->door->version, "cluster_name",
                                        node_cluster_id(shard_node(shard)), "object_totals",
                                        "queues", (json_int_t)queue_facts_count(shard)));
}
