// SPDX-License-Identifier: Apache-2.0
//
// AMQP 0-9-1's methods as messages of the interpreter: who sends which, and which are followed by a
// content. Which of them a door serves, and in what state, is the door's decision.
//
// A method frame's payload: u16 class, u16 method, then the fields (version 0 of the message).
//
// Spec: AMQP 0-9-1 section 4.2 and its XML definition, RabbitMQ's extensions.
#ifndef WEIR_WIRE_WIRE_AMQP_H
#define WEIR_WIRE_WIRE_AMQP_H

#include "wire/gen/amqp_methods.h" // enum amqp_method, struct amqp_basic_publish, …
#include "wire/wire.h"

enum { WIRE_BY_CLIENT = 1, WIRE_BY_SERVER = 2 };

struct wire_method {
    const struct wire_msg *msg; // its name is "basic.publish"
    uint32_t id;                // enum amqp_method: class << 16 | method
    uint8_t sent_by;            // mask
    bool content;               // a content header and body frames follow
};

extern const struct wire_method wire_amqp_methods[]; // by rising id
extern const uint32_t wire_amqp_methods_count;

const struct wire_method *wire_amqp_method(uint32_t id); // NULL if the tables do not have it

#endif
