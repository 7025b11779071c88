// SPDX-License-Identifier: Apache-2.0
//
// Why a message was dead-lettered, as clients read it: the header x-death, an array of tables,
// newest first, and the six headers x-first-death-* and x-last-death-* (RabbitMQ, "Dead Letter
// Exchanges"). Private to the room.
#ifndef WEIR_AMQP_DEATHS_H
#define WEIR_AMQP_DEATHS_H

#include "queue/message.h"

// From the array of an x-death header that a client has sent: the deaths as in struct message, in
// *out (cleared first; empty when there is nothing in it that we understand).
void amqp_deaths_read(struct slice array, struct buf *out);
// Appends the seven headers to a table. Deaths that would make it longer than max_bytes are left
// out.
void amqp_deaths_write(const struct message *message, size_t max_bytes, struct buf *table);
// Whether a header is one of those seven.
bool amqp_deaths_name(struct slice name);

#endif
