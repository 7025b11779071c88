// SPDX-License-Identifier: Apache-2.0
//
// What simulated AMQP clients share: an actor of its own, a connection that is made again when it
// is lost, a channel with confirms, the queues declared, and pauses. A kind is a table of
// functions; its struct begins with struct queue_user. Kinds:
//
//   publisher   sends to all queues and waits for confirms
//   consumer    reads one queue: acknowledges, releases, rejects, holds on; makes sure of
//               acknowledgements by publishing behind them
//   drainer     in the end takes everything that is left
#ifndef WEIR_SIM_QUEUE_USER_H
#define WEIR_SIM_QUEUE_USER_H

#include "amqp/client.h"
#include "sim/model_queue.h"
#include "sim/world.h"

#define QUEUE_USER_WINDOW 64 // unconfirmed messages
#define QUEUE_USER_CH     1  // the channel

struct queue_user;

struct queue_user_kind {
    const char *name;
    size_t size;
    enum world_phase phase;              // in which it works; elsewhere it hangs up
    void (*ready)(struct queue_user *u); // the channel is open, the queues are declared
    void (*step)(struct queue_user *u);  // now and then while it is ready
    void (*event)(struct queue_user *u, const struct amqp_event *event); // may be NULL
    void (*lost)(struct queue_user *u); // the channel is gone; may be NULL
};

struct queue_open { // a message that is not confirmed yet
    uint64_t id;
    uint64_t sent; // stamp
    struct model_queue *queue;
    bool marker; // of a consumer: confirms what it acknowledged before
};

struct queue_user {
    const struct queue_user_kind *kind;
    struct world *world;
    char name[16];
    uint32_t number;
    uint32_t session; // of the channel, as a publisher
    struct io *io;
    struct prng prng;
    struct amqp_client *amqp;
    struct amqp_call call;
    bool calling, ready;
    uint32_t declared;
    void (*answered)(struct queue_user *u, const struct amqp_call *call);
    uint64_t asked; // stamp
    struct model_queue_channel *channel;
    struct io_msg start_msg;
    struct io_timer pause;
    int64_t pause_max_ns;
    struct queue_open window[QUEUE_USER_WINDOW]; // by delivery tag
    uint64_t next_tag, oldest_tag;
};

struct queue_user *queue_user_create(struct world *w, const struct queue_user_kind *kind);
void queue_user_destroy(struct queue_user *u); // its actor has been stopped
void queue_user_hang_up(struct queue_user *u);
void queue_user_note(struct queue_user *u, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// One at a time; `answered` does not run when the connection is lost.
void queue_user_call(struct queue_user *u, uint32_t method, const void *args,
                     void (*answered)(struct queue_user *u, const struct amqp_call *call));
// Publishes a new message; false: the window is full.
bool queue_user_publish(struct queue_user *u, struct model_queue *q, bool marker);
uint64_t queue_user_id(struct slice body); // of the message; 0: it is none of ours

static inline uint32_t queue_user_dice(struct queue_user *u, uint32_t below)
{
    return (uint32_t)prng_below(&u->prng, below);
}

// ---- the queues of the world

void world_queues_plan(struct world *w);
struct model_queue *world_queue(struct world *w, uint32_t index);
bool world_queues_verified(const struct world *w); // the drainer is done

extern const struct queue_user_kind queue_user_publisher, queue_user_consumer, queue_user_drainer;

#endif
