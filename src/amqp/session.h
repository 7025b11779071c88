// SPDX-License-Identifier: Apache-2.0
//
// The upper half of the door: what a channel has open with the node. One session per channel, from
// channel.open until the channel ends; one lobby per door, for what is used by one call after the
// other. Private to the files of the upper half.
//
//   session ──┬─ consumers, sources   where deliveries come from (consumer.h)
//             ├─ unacked              deliveries, by their tags (unacked.h)
//             └─ runs                 published messages that wait for their confirm (confirm.h)
#ifndef WEIR_AMQP_SESSION_H
#define WEIR_AMQP_SESSION_H

#include "amqp/amqp_int.h"
#include "amqp/translate.h"
#include "amqp/unacked.h"
#include "base/map.h"
#include "node/queues.h"

#define AMQP_CONSUMERS_MAX   65536U // of one channel
#define AMQP_WINDOW_MESSAGES 512U   // on their way to a consumer without a limit, at most
#define AMQP_WINDOW_BYTES    (1U << 20)

struct amqp_consumer;
struct amqp_confirm_run;

struct amqp_lobby {
    struct amqp_door *door;
    struct amqp_translator translator;
    struct amqp_incoming incoming; // the message that is being published, and what is wrong with it
    char why[AMQP_WHY_MAX];
    struct buf arguments; // the last that were made canonical
    // Sessions that have published in this turn, in confirm mode: `turn` comes when it is over.
    struct list publishing;
    struct io_msg turn;
    bool turn_posted;
    // Sessions that had no memory for deliveries: they are looked at again soon.
    struct list starved;
    struct io_timer retry;
};

struct amqp_session {
    struct amqp_channel *ch;
    struct amqp_lobby *lobby;
    struct shard *shard;
    uint64_t holder;                      // of this channel's leases
    uint8_t last_queue[MESSAGE_NAME_MAX]; // declared last: what an empty name means
    uint8_t last_queue_len;
    // consuming
    struct map consumers; // by tag
    struct list sources;
    struct amqp_unacked unacked;
    uint64_t last_tag;             // of a delivery
    uint32_t held;                 // deliveries to consumers that are not acknowledged
    uint32_t lent;                 // credit of gated consumers
    uint32_t limited;              // consumers that acknowledge
    uint16_t prefetch;             // of each consumer (basic.qos); 0: no limit
    uint16_t prefetch_all;         // of all together (with global)
    uint16_t asked, asked_all;     // by the last basic.qos: the same, once `widen` has fired
    struct io_timer widen;         // limits that are raised for consumers that are there
    struct list asking;            // gated consumers that have something to be given
    struct list touched;           // consumers that had deliveries settled
    struct list starved;           // of the lobby
    struct amqp_consumer *replies; // of amq.rabbitmq.reply-to
    // publishing
    bool confirming;
    uint64_t published; // tags
    struct list runs;
    struct amqp_confirm_run *run; // the one that this turn may extend
    struct list publishing;       // of the lobby
};

void amqp_session_published(struct amqp_session *s); // amqp_confirm_turn will be called
void amqp_session_starve(struct amqp_session *s);    // its consumers will be looked at again
void amqp_session_set_last_queue(struct amqp_session *s, struct slice name);

struct slice amqp_vhost(const struct amqp_channel *ch);
// Names lose line ends, as RabbitMQ has it; the result may lie in the door's arena.
struct slice amqp_without_newlines(struct amqp_channel *ch, struct slice name);
bool amqp_name_reserved(struct slice name); // "amq.…"
// A new name: a prefix and 22 random characters.
#define AMQP_NAME_SIZE 64
struct slice amqp_name_new(struct amqp_session *s, const char *prefix, char out[AMQP_NAME_SIZE]);
// A table in canonical form; valid until the next call. Raises the exception when it cannot be.
bool amqp_arguments_canonical(struct amqp_channel *ch, uint32_t method, struct slice table,
                              struct slice *out);

// The queue that a method names: "" is the one declared last. Raises the exception, returns false,
// when there is none.
bool amqp_queue_name(struct amqp_channel *ch, uint32_t method, struct slice name,
                     struct slice *out);
// The queue of that name, if it is there and not exclusive to another connection: else the
// exception is raised and NULL returned.
const struct queue_facts *amqp_queue_for(struct amqp_channel *ch, uint32_t method,
                                         struct slice name);
bool amqp_queue_may(const struct amqp_channel *ch, const struct queue_facts *queue);

uint32_t amqp_count(uint64_t n); // as a method's field holds it

// ---- exceptions that several methods raise

void amqp_fail_no_queue(struct amqp_channel *ch, uint32_t method, struct slice name);
void amqp_fail_no_exchange(struct amqp_channel *ch, uint32_t method, struct slice name);
void amqp_fail_locked(struct amqp_channel *ch, uint32_t method, struct slice name);
// For what has no words of its own; why may be "".
void amqp_fail_err(struct amqp_channel *ch, uint32_t method, int err, const char *why);

#endif
