// SPDX-License-Identifier: Apache-2.0
//
// The way of a change from the shard that asks to the catalogue on shard 0 and back: one short pair
// of functions per kind of request.
#include "base/assert.h"
#include "node/node_int.h"

static void create_run(struct node_call *call)
{
    struct topic_create *r = CONTAINER_OF(call, struct topic_create, call);
    catalogue_change(CHANGE_CREATE, call, r->name, &r->err, r->why);
}

static void create_done(struct node_call *call)
{
    struct topic_create *r = CONTAINER_OF(call, struct topic_create, call);
    r->done(r);
}

void topic_create_start(struct shard *shard, struct topic_create *request)
{
    request->call.run = create_run;
    request->call.done = create_done;
    node_call_start(&request->call, shard, 0);
}

static void delete_run(struct node_call *call)
{
    struct topic_delete *r = CONTAINER_OF(call, struct topic_delete, call);
    const struct topic *t = r->name.data == NULL ? topic_by_id(call->to, &r->id) : NULL;
    struct slice name = t != NULL ? t->name : r->name;
    if (name.data == NULL)
        name = slice_cstr("");
    catalogue_change(CHANGE_DELETE, call, name, &r->err, r->why);
}

static void delete_done(struct node_call *call)
{
    struct topic_delete *r = CONTAINER_OF(call, struct topic_delete, call);
    r->done(r);
}

void topic_delete_start(struct shard *shard, struct topic_delete *request)
{
    request->call.run = delete_run;
    request->call.done = delete_done;
    node_call_start(&request->call, shard, 0);
}

static void grow_run(struct node_call *call)
{
    struct topic_grow *r = CONTAINER_OF(call, struct topic_grow, call);
    catalogue_change(CHANGE_GROW, call, r->name, &r->err, r->why);
}

static void grow_done(struct node_call *call)
{
    struct topic_grow *r = CONTAINER_OF(call, struct topic_grow, call);
    r->done(r);
}

void topic_grow_start(struct shard *shard, struct topic_grow *request)
{
    request->call.run = grow_run;
    request->call.done = grow_done;
    node_call_start(&request->call, shard, 0);
}

static void alter_run(struct node_call *call)
{
    struct topic_alter *r = CONTAINER_OF(call, struct topic_alter, call);
    bool broker = r->name.data == NULL;
    enum change_kind kind = broker ? CHANGE_BROKER : r->group ? CHANGE_GROUP : CHANGE_ALTER;
    catalogue_change(kind, call, broker ? slice_cstr("") : r->name, &r->err, r->why);
}

static void alter_done(struct node_call *call)
{
    struct topic_alter *r = CONTAINER_OF(call, struct topic_alter, call);
    r->done(r);
}

void topic_alter_start(struct shard *shard, struct topic_alter *request)
{
    request->call.run = alter_run;
    request->call.done = alter_done;
    node_call_start(&request->call, shard, 0);
}
