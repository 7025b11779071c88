// SPDX-License-Identifier: Apache-2.0
//
// Sessions: what begins and ends with a channel, and what all classes of methods say in the same
// words (RabbitMQ's, which clients and their tests know).
#include "amqp/session.h"

#include <stdio.h>
#include <string.h>

#include "amqp/confirm.h"
#include "amqp/consumer.h"
#include "base/mem.h"

#define STARVED_RETRY_NS    (100 * INT64_C(1000000))
#define ARGUMENTS_BYTES_MAX (1U << 20)

// ---- the lobby

static void lobby_turn(struct io_msg *msg)
{
    struct amqp_lobby *lobby = CONTAINER_OF(msg, struct amqp_lobby, turn);
    struct list *it;
    lobby->turn_posted = false;
    while ((it = list_pop_front(&lobby->publishing)) != NULL)
        amqp_confirm_turn(CONTAINER_OF(it, struct amqp_session, publishing));
}

void amqp_session_published(struct amqp_session *s)
{
    struct amqp_lobby *lobby = s->lobby;
    if (list_empty(&s->publishing))
        list_push_back(&lobby->publishing, &s->publishing);
    if (!lobby->turn_posted)
        io_post(lobby->door->io, &lobby->turn);
    lobby->turn_posted = true;
}

static void lobby_retry(struct io_timer *timer)
{
    struct amqp_lobby *lobby = CONTAINER_OF(timer, struct amqp_lobby, retry);
    struct list waiting, *it;
    list_init(&waiting);
    list_splice_back(&waiting, &lobby->starved);
    while ((it = list_pop_front(&waiting)) != NULL)
        amqp_credit_update_all(CONTAINER_OF(it, struct amqp_session, starved));
}

void amqp_session_starve(struct amqp_session *s)
{
    struct amqp_lobby *lobby = s->lobby;
    if (list_empty(&s->starved))
        list_push_back(&lobby->starved, &s->starved);
    if (!io_timer_running(&lobby->retry))
        io_timer_start(lobby->door->io, &lobby->retry,
                       io_now_ns(lobby->door->io) + STARVED_RETRY_NS);
}

// Of a dead letter, at a turn's end: no method uses the arena then.
static const struct exchange_header *message_headers(void *arg, const struct message *message,
                                                     uint32_t *out_count)
{
    struct amqp_door *door = arg;
    arena_reset(&door->arena);
    return amqp_translate_headers(&door->lobby->translator, message, &door->arena, out_count);
}

void amqp_lobby_open(struct amqp_door *door)
{
    struct amqp_lobby *lobby = mem_zalloc(sizeof *lobby);
    lobby->door = door;
    amqp_translator_init(&lobby->translator);
    buf_init(&lobby->arguments, ARGUMENTS_BYTES_MAX);
    list_init(&lobby->publishing);
    list_init(&lobby->starved);
    lobby->turn.run = lobby_turn;
    io_timer_init(&lobby->retry, lobby_retry);
    door->lobby = lobby;
    publish_headers_by(door->shard, message_headers, door);
}

void amqp_lobby_destroy(struct amqp_door *door)
{
    struct amqp_lobby *lobby = door->lobby;
    if (lobby == NULL)
        return;
    ASSERT(list_empty(&lobby->publishing));
    ASSERT(list_empty(&lobby->starved));
    amqp_translator_fini(&lobby->translator);
    buf_fini(&lobby->arguments);
    mem_free(lobby);
    door->lobby = NULL;
}

// ---- a session

static bool tag_eq(const struct map_node *node, const void *key)
{
    const struct amqp_consumer *c = CONTAINER_OF(node, struct amqp_consumer, node);
    return slice_eq(c->tag, *(const struct slice *)key);
}

bool amqp_session_open(struct amqp_channel *ch)
{
    struct amqp_door *door = amqp_conn_door(ch->conn);
    if (budget_take(shard_request_budget(door->shard), sizeof(struct amqp_session)) != 0)
        return false;
    struct amqp_session *s = mem_zalloc(sizeof *s);
    s->ch = ch;
    s->lobby = door->lobby;
    s->shard = door->shard;
    s->holder = node_holder_new(door->shard);
    map_init(&s->consumers, tag_eq, shard_hash_seed(door->shard));
    amqp_unacked_init(&s->unacked, shard_request_budget(door->shard));
    list_init(&s->sources);
    list_init(&s->asking);
    list_init(&s->touched);
    list_init(&s->starved);
    list_init(&s->runs);
    list_init(&s->publishing);
    io_timer_init(&s->widen, amqp_credit_widen);
    ch->session = s;
    return true;
}

void amqp_session_close(struct amqp_channel *ch, bool gone)
{
    struct amqp_session *s = ch->session;
    if (s == NULL)
        return;
    ch->session = NULL;
    list_remove(&s->starved);
    list_remove(&s->publishing);
    io_timer_stop(s->lobby->door->io, &s->widen);
    amqp_confirm_close(s, gone);
    amqp_consumers_close(s, gone);
    ASSERT(s->unacked.count == 0);
    ASSERT(list_empty(&s->sources));
    ASSERT(s->consumers.count == 0);
    amqp_unacked_fini(&s->unacked);
    map_fini(&s->consumers);
    budget_give(shard_request_budget(s->shard), sizeof *s);
    mem_free(s);
}

void amqp_session_room(struct amqp_channel *ch)
{
    amqp_credit_update_all(ch->session);
}

// ---- names

struct slice amqp_vhost(const struct amqp_channel *ch)
{
    return amqp_conn_vhost(ch->conn);
}

struct slice amqp_without_newlines(struct amqp_channel *ch, struct slice name)
{
    if (memchr(name.data, '\r', name.len) == NULL && memchr(name.data, '\n', name.len) == NULL)
        return name;
    uint8_t *copy = arena_alloc(&amqp_conn_door(ch->conn)->arena, name.len);
    size_t len = 0;
    if (copy == NULL)
        return name;
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] != '\r' && name.data[i] != '\n')
            copy[len++] = name.data[i];
    }
    return slice_of(copy, len);
}

struct slice amqp_name_new(struct amqp_session *s, const char *prefix, char out[AMQP_NAME_SIZE])
{
    uint8_t random[16];
    struct uuid id;
    char text[UUID_TEXT_SIZE];
    io_random(s->lobby->door->io, random, sizeof random);
    uuid_from_random(random, &id);
    uuid_to_text(&id, text);
    int len = snprintf(out, AMQP_NAME_SIZE, "%s%s", prefix, text);
    ASSERT(len > 0);
    ASSERT(len < AMQP_NAME_SIZE);
    return slice_of(out, (size_t)len);
}

bool amqp_arguments_canonical(struct amqp_channel *ch, uint32_t method, struct slice table,
                              struct slice *out)
{
    struct buf *canonical = &ch->session->lobby->arguments;
    buf_clear(canonical);
    int err = amqp_table_canonical(table, canonical);
    if (err == 0)
        err = canonical->err;
    if (err != 0)
        amqp_fail_err(ch, method, err, "");
    else
        *out = buf_slice(canonical);
    return err == 0;
}

bool amqp_name_reserved(struct slice name)
{
    return name.len >= 4 && memcmp(name.data, "amq.", 4) == 0;
}

void amqp_session_set_last_queue(struct amqp_session *s, struct slice name)
{
    ASSERT(name.len <= MESSAGE_NAME_MAX);
    memcpy(s->last_queue, name.data, name.len);
    s->last_queue_len = (uint8_t)name.len;
}

bool amqp_queue_name(struct amqp_channel *ch, uint32_t method, struct slice name, struct slice *out)
{
    const struct amqp_session *s = ch->session;
    if (name.len > 0) {
        *out = name;
    } else if (s->last_queue_len > 0) {
        *out = slice_of(s->last_queue, s->last_queue_len);
    } else {
        amqp_fail(ch, AMQP_NOT_FOUND, method, "no previously declared queue");
        return false;
    }
    return true;
}

const struct queue_facts *amqp_queue_for(struct amqp_channel *ch, uint32_t method,
                                         struct slice name)
{
    const struct queue_facts *queue = queue_by_name(ch->session->shard, amqp_vhost(ch), name);
    if (queue == NULL) {
        amqp_fail_no_queue(ch, method, name);
        return NULL;
    }
    if (!amqp_queue_may(ch, queue)) {
        amqp_fail_locked(ch, method, name);
        return NULL;
    }
    return queue;
}

bool amqp_queue_may(const struct amqp_channel *ch, const struct queue_facts *queue)
{
    return queue->owner == 0 || queue->owner == amqp_conn_id(ch->conn);
}

uint32_t amqp_count(uint64_t n)
{
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

// ---- exceptions

void amqp_fail_no_queue(struct amqp_channel *ch, uint32_t method, struct slice name)
{
    amqp_fail(ch, AMQP_NOT_FOUND, method, "no queue '%.*s' in vhost '%.*s'", AMQP_SHOW(name),
              AMQP_SHOW(amqp_vhost(ch)));
}

void amqp_fail_no_exchange(struct amqp_channel *ch, uint32_t method, struct slice name)
{
    amqp_fail(ch, AMQP_NOT_FOUND, method, "no exchange '%.*s' in vhost '%.*s'", AMQP_SHOW(name),
              AMQP_SHOW(amqp_vhost(ch)));
}

void amqp_fail_locked(struct amqp_channel *ch, uint32_t method, struct slice name)
{
    amqp_fail(ch, AMQP_RESOURCE_LOCKED, method,
              "cannot obtain exclusive access to locked queue '%.*s' in vhost '%.*s'. It could be "
              "originally declared on another connection or the exclusive property value does not "
              "match that of the original declaration.",
              AMQP_SHOW(name), AMQP_SHOW(amqp_vhost(ch)));
}

void amqp_fail_err(struct amqp_channel *ch, uint32_t method, int err, const char *why)
{
    uint16_t code = err_amqp(err);
    amqp_fail(ch, (enum amqp_code)code, method, "%s", why[0] != '\0' ? why : err_text(err));
}
