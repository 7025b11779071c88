// SPDX-License-Identifier: Apache-2.0
//
// Bindings, which both classes exchange and queue make and remove. Private to the upper half.
#ifndef WEIR_AMQP_BINDING_H
#define WEIR_AMQP_BINDING_H

#include "amqp/session.h"

struct amqp_binding { // as a method asks for it
    uint32_t method, answer;
    bool no_wait, remove, to_exchange;
    struct slice source, destination, key;
    struct slice arguments;
};
// Answers, now or later.
void amqp_bind(struct amqp_channel *ch, const struct amqp_binding *binding);

#endif
