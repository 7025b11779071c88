// SPDX-License-Identifier: Apache-2.0
//
// What simulated AMQP clients share. See queue_user.h.
#include "sim/queue_user.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "amqp/table.h"
#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"

#define PAUSE_LOST_NS INT64_C(30000000)
#define BODY_MIN      8
#define BODY_SPREAD   700
#define BODY_BIG      9000 // several frames, since the clients ask for small ones
#define FRAME_MAX     4096
#define HEARTBEAT_S   1 // so that the server notices soon what broke silently

static const struct queue_plan {
    const char *name;
    bool durable;
    const char *dead; // routing key of dead letters
    int32_t levels;   // x-max-priority; 0: none
} plans[WORLD_QUEUES] = {
    {"queue-0", true, "queue-dead", 0},
    {"queue-1", true, NULL, 3},
    {"queue-2", false, NULL, 0},
    {"queue-dead", true, NULL, 0},
};

void world_queues_plan(struct world *w)
{
    queues_model_init(&w->queues, &w->model);
    for (uint32_t i = 0; i < WORLD_QUEUES; i++)
        w->queue_models[i] = queue_model_create(&w->queues, plans[i].name, plans[i].durable);
    w->queue_models[0]->dead = w->queue_models[WORLD_QUEUES - 1];
}

struct model_queue *world_queue(struct world *w, uint32_t index)
{
    ASSERT(index < WORLD_QUEUES);
    return w->queue_models[index];
}

void queue_user_note(struct queue_user *u, const char *format, ...)
{
    char text[HISTORY_WIDTH];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    history_note(&u->world->history, u->name, "%s", text);
}

// ---- losing the connection

static void channel_over(struct queue_user *u)
{
    struct model_queues *mq = &u->world->queues;
    u->calling = false;
    if (u->channel == NULL)
        return;
    for (uint64_t tag = u->oldest_tag; tag < u->next_tag; tag++) {
        struct queue_open *open = &u->window[tag % QUEUE_USER_WINDOW];
        if (open->id != 0)
            queue_publish_ended(mq, open->id, MODEL_UNKNOWN);
        open->id = 0;
    }
    if (u->kind->lost != NULL)
        u->kind->lost(u);
    queue_channel_gone(mq, u->channel);
    u->channel = NULL;
    u->ready = false;
}

void queue_user_hang_up(struct queue_user *u)
{
    if (u->amqp == NULL)
        return;
    queue_user_note(u, "hangs up");
    amqp_client_close(u->amqp);
    u->amqp = NULL;
    channel_over(u);
}

static void user_lost(void *arg, int err, uint16_t code, struct slice text)
{
    struct queue_user *u = arg;
    queue_user_note(u, "lost (%s, %u %.*s)", err_name(err), code, (int)text.len,
                    (const char *)text.data);
    bool excused = u->world->disk_may_fill && (code == 506 || code == 541);
    if (code != 0 && code != 320 && !excused) // connection-forced: the server stops
        model_fail(&u->world->model, "%s: the connection was closed: %u %.*s", u->name, code,
                   (int)text.len, (const char *)text.data);
    amqp_client_close(u->amqp);
    u->amqp = NULL;
    channel_over(u);
}

static void user_channel_closed(void *arg, uint16_t channel, uint16_t code, struct slice text)
{
    struct queue_user *u = arg;
    bool excused = u->world->disk_may_fill && (code == 506 || code == 541);
    (void)channel;
    if (!excused)
        model_fail(&u->world->model, "%s: the channel was closed: %u %.*s", u->name, code,
                   (int)text.len, (const char *)text.data);
    amqp_client_close(u->amqp);
    u->amqp = NULL;
    channel_over(u);
}

// ---- calls

static void call_done(struct amqp_call *call)
{
    struct queue_user *u = CONTAINER_OF(call, struct queue_user, call);
    if (!u->calling)
        return; // lost, and noted there
    u->calling = false;
    if (call->err != 0)
        return; // `lost` follows
    if (u->channel != NULL)
        queue_channel_answered(&u->world->queues, u->channel, u->asked);
    u->answered(u, call);
}

void queue_user_call(struct queue_user *u, uint32_t method, const void *args,
                     void (*answered)(struct queue_user *u, const struct amqp_call *call))
{
    ASSERT(!u->calling);
    u->answered = answered;
    u->asked = model_now(&u->world->model);
    u->call = (struct amqp_call){.done = call_done};
    u->calling = amqp_client_call(u->amqp, QUEUE_USER_CH, method, args, &u->call) == 0;
}

// ---- getting ready

static void declare_next(struct queue_user *u, const struct amqp_call *call)
{
    (void)call;
    if (u->declared == WORLD_QUEUES) {
        u->ready = true;
        u->kind->ready(u);
        return;
    }
    const struct queue_plan *plan = &plans[u->declared++];
    struct buf arguments;
    buf_init(&arguments, 1024);
    if (plan->dead != NULL) {
        amqp_put_text(&arguments, slice_cstr("x-dead-letter-exchange"), slice_cstr(""));
        amqp_put_text(&arguments, slice_cstr("x-dead-letter-routing-key"), slice_cstr(plan->dead));
    }
    if (plan->levels > 0)
        amqp_put_int(&arguments, slice_cstr("x-max-priority"), plan->levels);
    const struct amqp_queue_declare declare = {.queue = slice_cstr(plan->name),
                                               .durable = plan->durable,
                                               .arguments = buf_slice(&arguments)};
    queue_user_call(u, AMQP_QUEUE_DECLARE, &declare, declare_next);
    buf_fini(&arguments);
}

static void channel_opened(struct queue_user *u, const struct amqp_call *call)
{
    const struct amqp_confirm_select confirm = {0};
    (void)call;
    u->channel = queue_channel_open(&u->world->queues, u->name);
    u->session = ++u->world->queue_sessions;
    u->next_tag = 1;
    u->oldest_tag = 1;
    u->declared = 0;
    queue_user_call(u, AMQP_CONFIRM_SELECT, &confirm, declare_next);
}

static void user_opened(void *arg)
{
    struct queue_user *u = arg;
    const struct amqp_channel_open open = {0};
    queue_user_call(u, AMQP_CHANNEL_OPEN, &open, channel_opened);
}

// ---- confirms

static void confirmed_one(struct queue_user *u, uint64_t tag, enum model_outcome outcome)
{
    struct queue_open *open = &u->window[tag % QUEUE_USER_WINDOW];
    struct model_queues *mq = &u->world->queues;
    if (open->id == 0)
        return;
    queue_publish_ended(mq, open->id, outcome);
    queue_user_note(u, "message %llu is %s", (unsigned long long)open->id,
                    outcome == MODEL_OK ? "confirmed" : "refused");
    if (outcome == MODEL_OK && open->marker)
        queue_acks_durable(mq, u->channel, open->queue, open->sent);
    open->id = 0;
    if (outcome == MODEL_OK) {
        u->world->report->confirms++;
        server_acknowledged(u->world);
    }
}

static void confirmed(struct queue_user *u, uint64_t tag, bool multiple, enum model_outcome outcome)
{
    if (tag < u->oldest_tag || tag >= u->next_tag) {
        model_fail(&u->world->model, "%s: tag %llu is confirmed, which is not open", u->name,
                   (unsigned long long)tag);
        return;
    }
    for (uint64_t t = multiple ? u->oldest_tag : tag; t <= tag; t++)
        confirmed_one(u, t, outcome);
    while (u->oldest_tag < u->next_tag && u->window[u->oldest_tag % QUEUE_USER_WINDOW].id == 0)
        u->oldest_tag++;
}

static void user_event(void *arg, const struct amqp_event *event)
{
    struct queue_user *u = arg;
    if (event->method == AMQP_BASIC_ACK) {
        const struct amqp_basic_ack *ack = event->args;
        confirmed(u, ack->delivery_tag, ack->multiple, MODEL_OK);
    } else if (event->method == AMQP_BASIC_NACK) {
        const struct amqp_basic_nack *nack = event->args;
        confirmed(u, nack->delivery_tag, nack->multiple, MODEL_REFUSED);
    } else if (u->kind->event != NULL) {
        u->kind->event(u, event);
    }
}

// ---- publishing. A body is the message's id and bytes that follow from it.

static void body_fill(struct buf *out, uint64_t id, size_t len)
{
    buf_put_le64(out, id);
    while (out->len < len)
        buf_put_u8(out, (uint8_t)(id * 31 + out->len));
}

uint64_t queue_user_id(struct slice body)
{
    if (body.len < BODY_MIN)
        return 0;
    uint64_t id = le64_get(body.data);
    for (size_t i = BODY_MIN; i < body.len; i++)
        if (body.data[i] != (uint8_t)(id * 31 + i))
            return 0;
    return id;
}

bool queue_user_publish(struct queue_user *u, struct model_queue *q, bool marker)
{
    struct world *w = u->world;
    if (u->next_tag - u->oldest_tag >= QUEUE_USER_WINDOW)
        return false;
    const struct amqp_basic_publish publish = {.routing_key = slice_cstr(q->name)};
    uint8_t properties[4] = {0x18, 0, 2, (uint8_t)(u->number % 4)}; // delivery mode, priority
    uint64_t id = ++w->next_message;
    size_t len = BODY_MIN + queue_user_dice(u, BODY_SPREAD);
    struct buf body;
    buf_init(&body, BODY_BIG);
    body_fill(&body, id, queue_user_dice(u, 40) == 0 ? BODY_BIG : len);
    queue_published(&w->queues, q, u->session, id, id);
    u->window[u->next_tag++ % QUEUE_USER_WINDOW] =
        (struct queue_open){.id = id, .sent = model_now(&w->model), .queue = q, .marker = marker};
    queue_user_note(u, "publishes message %llu to %s", (unsigned long long)id, q->name);
    (void)amqp_client_publish(u->amqp, QUEUE_USER_CH, &publish,
                              slice_of(properties, sizeof properties), buf_slice(&body));
    buf_fini(&body);
    return true;
}

// ---- life

static void user_connect(struct queue_user *u)
{
    struct amqp_client_options o = {
        .io = u->io,
        .user = slice_cstr("guest"),
        .password = slice_cstr("guest"),
        .vhost = slice_cstr("/"),
        .frame_max = FRAME_MAX,
        .heartbeat_s = HEARTBEAT_S,
        .opened = user_opened,
        .event = user_event,
        .channel_closed = user_channel_closed,
        .lost = user_lost,
        .arg = u,
    };
    int err = io_addr_parse("127.0.0.1:5672", &o.addr);
    ASSERT(err == 0);
    if (amqp_client_open(&o, &u->amqp) != 0)
        u->amqp = NULL;
}

static void user_step(struct io_timer *timer)
{
    struct queue_user *u = CONTAINER_OF(timer, struct queue_user, pause);
    struct world *w = u->world;
    int64_t pause = u->pause_max_ns;
    if (w->phase != u->kind->phase) {
        queue_user_hang_up(u);
    } else if (u->amqp == NULL) {
        user_connect(u);
        pause = PAUSE_LOST_NS;
    } else if (w->phase == PHASE_RUN && queue_user_dice(u, 200) == 0) {
        queue_user_hang_up(u);
    } else if (u->ready) {
        u->kind->step(u);
    }
    io_timer_start(u->io, timer, io_now_ns(u->io) + prng_range(&u->prng, 1000, pause));
}

static void user_begin(struct io_msg *msg)
{
    struct queue_user *u = CONTAINER_OF(msg, struct queue_user, start_msg);
    user_step(&u->pause);
}

struct queue_user *queue_user_create(struct world *w, const struct queue_user_kind *kind)
{
    struct queue_user *u = mem_zalloc(kind->size);
    ASSERT(w->queue_users_count < WORLD_QUEUE_USERS);
    u->kind = kind;
    u->world = w;
    u->number = w->queue_users_count;
    (void)snprintf(u->name, sizeof u->name, "%s-%u", kind->name, u->number % 100);
    prng_seed(&u->prng, prng_next(&w->prng));
    u->pause_max_ns = INT64_C(1000000) << queue_user_dice(u, 5);
    const struct io_actor_options o = {.name = u->name, .kind = IO_LOOP};
    int err = io_actor_create(w->client_world, &o, &u->io);
    ASSERT(err == 0);
    io_timer_init(&u->pause, user_step);
    u->start_msg.run = user_begin;
    io_post(u->io, &u->start_msg);
    w->queue_users[w->queue_users_count++] = u;
    return u;
}

void queue_user_destroy(struct queue_user *u)
{
    amqp_client_close(u->amqp);
    mem_free(u);
}
