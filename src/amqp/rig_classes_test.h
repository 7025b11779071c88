// SPDX-License-Identifier: Apache-2.0
//
// For the tests of the classes of methods: the usual steps of a peer, against a whole node. What
// texts and codes they expect is what RabbitMQ 3.10 was seen to answer.
#ifndef WEIR_AMQP_RIG_CLASSES_TEST_H
#define WEIR_AMQP_RIG_CLASSES_TEST_H

#include "amqp/rig_amqp_test.h"

RIG struct slice text(const char *s)
{
    return slice_cstr(s);
}

// Says a method and takes its answer, which is the next frame.
RIG const void *ask(struct peer *peer, uint32_t method, const void *args, uint32_t answer)
{
    put_method(&peer->out, 1, method, args);
    return peer_expect(peer, 1, answer);
}

// Says a method that ends channel 1, and opens it again.
RIG void ask_refused(struct peer *peer, uint32_t method, const void *args, uint16_t code,
                     const char *why)
{
    put_method(&peer->out, 1, method, args);
    peer_expect_close(peer, 1, code, why);
    const struct amqp_channel_close *close = peer->args;
    assert_int_equal(close->class_id, method >> 16);
    assert_int_equal(close->method_id, method & 0xffff);
    put_method(&peer->out, 1, AMQP_CHANNEL_CLOSE_OK, &(struct amqp_channel_close_ok){0});
    (void)ask(peer, AMQP_CHANNEL_OPEN, &(struct amqp_channel_open){0}, AMQP_CHANNEL_OPEN_OK);
}

// Says a method that ends the connection, and connects again.
RIG void ask_fatal(struct peer *peer, uint32_t method, const void *args, uint16_t code,
                   const char *why)
{
    struct rig *rig = peer->rig;
    put_method(&peer->out, 1, method, args);
    peer_expect_close(peer, 0, code, why);
    put_method(&peer->out, 0, AMQP_CONNECTION_CLOSE_OK, &(struct amqp_connection_close_ok){0});
    peer_flush(peer, MILLIS(200));
    peer_close(peer);
    peer_open(rig, peer, 1);
}

RIG void nothing_comes(struct peer *peer)
{
    peer_flush(peer, MILLIS(500));
    if (peer_next(peer))
        fail_msg("method %u.%u came", peer->method >> 16, peer->method & 0xffff);
}

// ---- declaring

struct declared {
    uint32_t messages, consumers;
};

RIG struct declared declare_with(struct peer *peer, const struct amqp_queue_declare *m)
{
    const struct amqp_queue_declare_ok *ok =
        ask(peer, AMQP_QUEUE_DECLARE, m, AMQP_QUEUE_DECLARE_OK);
    return (struct declared){ok->message_count, ok->consumer_count};
}

RIG void declare(struct peer *peer, const char *name)
{
    (void)declare_with(peer, &(struct amqp_queue_declare){.queue = text(name), .durable = true});
}

RIG struct declared look(struct peer *peer, const char *name)
{
    return declare_with(peer, &(struct amqp_queue_declare){.queue = text(name), .passive = true});
}

RIG void declare_exchange(struct peer *peer, const char *name, const char *type)
{
    (void)ask(peer, AMQP_EXCHANGE_DECLARE,
              &(struct amqp_exchange_declare){.exchange = text(name), .type = text(type)},
              AMQP_EXCHANGE_DECLARE_OK);
}

RIG void bind_queue(struct peer *peer, const char *queue, const char *exchange, const char *key)
{
    (void)ask(peer, AMQP_QUEUE_BIND,
              &(struct amqp_queue_bind){
                  .queue = text(queue), .exchange = text(exchange), .routing_key = text(key)},
              AMQP_QUEUE_BIND_OK);
}

// ---- contents

RIG void put_content(struct buf *out, uint16_t number, const struct amqp_basic_publish *m,
                     const struct amqp_properties *properties, struct slice body)
{
    struct buf header;
    buf_init(&header, 1 << 20);
    buf_put_be16(&header, 60);
    buf_put_be16(&header, 0);
    buf_put_be64(&header, body.len);
    amqp_properties_write(properties, &header);
    put_method(out, number, AMQP_BASIC_PUBLISH, m);
    put_frame(out, AMQP_FRAME_HEADER, number, header.data, header.len);
    if (body.len > 0)
        put_frame(out, AMQP_FRAME_BODY, number, body.data, body.len);
    buf_fini(&header);
}

// A persistent message to a queue.
RIG void publish(struct peer *peer, const char *queue, const char *body)
{
    const struct amqp_basic_publish m = {.routing_key = text(queue)};
    const struct amqp_properties p = {.flags = AMQP_DELIVERY_MODE, .delivery_mode = 2};
    put_content(&peer->out, 1, &m, &p, text(body));
}

struct content {
    uint8_t raw[4096];
    struct amqp_properties properties; // points into raw
    char body[256];
};

// After a method with a content: its header and body.
RIG void take_content(struct peer *peer, struct content *out)
{
    if (!peer_next(peer))
        fail_msg("no content header");
    assert_int_equal(peer->type, AMQP_FRAME_HEADER);
    assert_true(peer->payload.len - 12 <= sizeof out->raw);
    size_t size = be64_get(peer->payload.data + 4);
    memcpy(out->raw, peer->payload.data + 12, peer->payload.len - 12);
    assert_int_equal(
        amqp_properties_read(slice_of(out->raw, peer->payload.len - 12), &out->properties), 0);
    assert_true(size < sizeof out->body);
    memset(out->body, 0, sizeof out->body);
    if (size == 0)
        return;
    if (!peer_next(peer))
        fail_msg("no body");
    assert_int_equal(peer->type, AMQP_FRAME_BODY);
    assert_int_equal(peer->payload.len, size);
    memcpy(out->body, peer->payload.data, size);
}

// The next frames are a delivery of this body: its tag.
RIG uint64_t delivered(struct peer *peer, const char *body, bool redelivered)
{
    struct content content;
    const struct amqp_basic_deliver *m = peer_expect(peer, 1, AMQP_BASIC_DELIVER);
    uint64_t tag = m->delivery_tag;
    bool again = m->redelivered;
    take_content(peer, &content);
    if (strcmp(content.body, body) != 0)
        fail_msg("'%s' was delivered instead of '%s'", content.body, body);
    assert_int_equal(again, redelivered);
    return tag;
}

// basic.get of something that is there: tag; *out (may be NULL) is the content.
RIG uint64_t get(struct peer *peer, const char *queue, bool no_ack, struct content *out)
{
    struct content mine;
    const struct amqp_basic_get_ok *ok =
        ask(peer, AMQP_BASIC_GET, &(struct amqp_basic_get){.queue = text(queue), .no_ack = no_ack},
            AMQP_BASIC_GET_OK);
    uint64_t tag = ok->delivery_tag;
    take_content(peer, out != NULL ? out : &mine);
    return tag;
}

RIG void get_empty(struct peer *peer, const char *queue)
{
    (void)ask(peer, AMQP_BASIC_GET, &(struct amqp_basic_get){.queue = text(queue)},
              AMQP_BASIC_GET_EMPTY);
}

RIG void consume(struct peer *peer, const char *queue, const char *tag, bool no_ack)
{
    (void)ask(peer, AMQP_BASIC_CONSUME,
              &(struct amqp_basic_consume){
                  .queue = text(queue), .consumer_tag = text(tag), .no_ack = no_ack},
              AMQP_BASIC_CONSUME_OK);
}

RIG void qos(struct peer *peer, uint16_t count, bool global)
{
    (void)ask(peer, AMQP_BASIC_QOS,
              &(struct amqp_basic_qos){.prefetch_count = count, .global = global},
              AMQP_BASIC_QOS_OK);
}

RIG void ack(struct peer *peer, uint64_t tag, bool multiple)
{
    put_method(&peer->out, 1, AMQP_BASIC_ACK, &(struct amqp_basic_ack){tag, multiple});
}

RIG void nack(struct peer *peer, uint64_t tag, bool multiple, bool requeue)
{
    put_method(&peer->out, 1, AMQP_BASIC_NACK, &(struct amqp_basic_nack){tag, multiple, requeue});
}

#endif
