// SPDX-License-Identifier: Apache-2.0
//
// Arguments of declarations (field tables): checked, understood, and compared with those of what is
// there already, in RabbitMQ's words, which clients and their tests know. Private to the room.
#ifndef WEIR_AMQP_ARGUMENTS_H
#define WEIR_AMQP_ARGUMENTS_H

#include "amqp/table.h"
#include "node/queues.h"

#define AMQP_TEXT_SIZE 600 // of what an exception says, before it is cut to a short string

const char *amqp_type_name(uint8_t type); // RabbitMQ's: 'S' is "longstr"
#define AMQP_SHOWN_SIZE 128
void amqp_value_show(const struct amqp_value *v, char out[AMQP_SHOWN_SIZE]); // as texts show it

// What is declared again, for texts like
//   inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'
struct amqp_again {
    const char *kind; // "queue", "exchange"
    struct slice vhost, name;
    char why[AMQP_TEXT_SIZE];
};
// Each says whether it is the same; if not, `why` is set.
bool amqp_again_text(struct amqp_again *again, const char *arg, const char *received,
                     const char *current);
bool amqp_again_bool(struct amqp_again *again, const char *arg, bool received, bool current);
// By name, in two canonical tables.
bool amqp_again_argument(struct amqp_again *again, const char *arg, struct slice received,
                         struct slice current);

// ---- of queues

enum amqp_queue_type { AMQP_QUEUE_CLASSIC, AMQP_QUEUE_QUORUM, AMQP_QUEUE_STREAM };
enum amqp_queue_type amqp_queue_type_of(struct slice arguments);
bool amqp_queue_tells_count(const struct queue_facts *queue); // x-delivery-count: quorum queues do

struct amqp_queue_arguments {
    enum amqp_queue_type type;
    struct queue_settings settings; // without auto_delete; slices point into the table
    uint32_t levels;
    bool take_topic; // x-topic
};
// ERR_INVALID with the text in `why`.
int amqp_queue_arguments(struct slice table, struct slice vhost, struct slice name,
                         struct amqp_queue_arguments *out, char why[AMQP_TEXT_SIZE]);
// Compares all arguments that RabbitMQ compares.
bool amqp_again_queue(struct amqp_again *again, struct slice received, struct slice current);

// x-priority of basic.consume. ERR_INVALID as above.
int amqp_consume_arguments(struct slice table, struct slice vhost, struct slice queue,
                           int32_t *out_priority, char why[AMQP_TEXT_SIZE]);

#endif
