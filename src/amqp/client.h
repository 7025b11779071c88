// SPDX-License-Identifier: Apache-2.0
//
// A small AMQP 0-9-1 client: one connection over io.h, methods as the structs of
// wire/gen/amqp_methods.h. The command line, the simulated clients and the door's tests use it, so
// it knows nothing of threads, retries or what a channel is used for. Everything runs on the loop
// whose io it was given; callbacks never run from inside a call of this header.
//
//   amqp_client_open(&options, &client);                 connects, logs in, opens the virtual host
//   amqp_client_call(client, 1, AMQP_CHANNEL_OPEN, &m, &call);
//   amqp_client_publish(client, 1, &publish, properties, body);
//
// A call's answer is the method that the specification names for it; answers of a channel come in
// the order of its calls. What the server sends by itself (deliveries, returns, confirms, cancels)
// goes to `event`.
#ifndef WEIR_AMQP_CLIENT_H
#define WEIR_AMQP_CLIENT_H

#include "base/arena.h"
#include "base/list.h"
#include "io/io.h"
#include "wire/wire_amqp.h"

#define AMQP_CLIENT_CHANNELS 64

struct amqp_client;

struct amqp_event { // valid during the callback
    uint16_t channel;
    uint32_t method;               // enum amqp_method
    const void *args;              // its struct
    struct slice properties, body; // of a content
};

struct amqp_client_options {
    struct io *io;
    struct io_addr addr;
    struct slice user, password, vhost; // only until amqp_client_open returns
    uint32_t frame_max;                 // asked for; 0: what the server offers
    uint16_t heartbeat_s;               // asked for, and sent; 0: none
    size_t body_max_bytes;              // a larger body ends the connection; 0: 128 MiB
    // The virtual host is open (err 0). Not called when `lost` is.
    void (*opened)(void *arg);
    // Deliveries, returns, confirms, basic.cancel, connection.blocked and unblocked.
    void (*event)(void *arg, const struct amqp_event *event);
    // The server has closed a channel (its open calls have been answered with ERR_REFUSED): code
    // and text. The channel may be opened again.
    void (*channel_closed)(void *arg, uint16_t channel, uint16_t code, struct slice text);
    // The connection has ended, after every open call's done has run with the same error; code and
    // text if the server said why (else 0 and null). The client is closed by the caller, in here or
    // later.
    void (*lost)(void *arg, int err, uint16_t code, struct slice text);
    void *arg;
};
// Begins to connect. ERR_* when not even that was possible.
int amqp_client_open(const struct amqp_client_options *options, struct amqp_client **out);
// Ends it at once; `done` of open calls does not run. Accepts NULL; allowed in any callback.
void amqp_client_close(struct amqp_client *client);
bool amqp_client_ready(const struct amqp_client *client); // opened and not lost

struct amqp_call {
    void (*done)(struct amqp_call *call); // set by the caller
    int err;         // ERR_REFUSED: the channel was closed; others: the connection was lost
    uint32_t method; // that answered
    const void *args;
    struct slice properties, body; // of basic.get-ok
    // the client's
    struct list link;
    uint16_t channel;
    uint32_t asked;
};
// A method that is answered; what comes back is valid during done. Not for methods with no_wait
// set. ERR_RESET: the connection has ended (or is not open yet), and done will not run.
int amqp_client_call(struct amqp_client *client, uint16_t channel, uint32_t method,
                     const void *args, struct amqp_call *call);
// A method without an answer: ack, nack, reject, …
int amqp_client_send(struct amqp_client *client, uint16_t channel, uint32_t method,
                     const void *args);
// basic.publish with its content; properties: raw (flags and list), copied like the body.
int amqp_client_publish(struct amqp_client *client, uint16_t channel,
                        const struct amqp_basic_publish *publish, struct slice properties,
                        struct slice body);
size_t amqp_client_unsent(const struct amqp_client *client); // bytes

#endif
