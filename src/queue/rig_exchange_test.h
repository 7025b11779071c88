// SPDX-License-Identifier: Apache-2.0
//
// Exchanges for tests: one virtual host, queues with small numbers as ids.
#ifndef WEIR_QUEUE_RIG_EXCHANGE_TEST_H
#define WEIR_QUEUE_RIG_EXCHANGE_TEST_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/prng.h"
#include "queue/exchange.h"
#include "queue/message.h"

#define RIG __attribute__((unused)) static

#define TEXT_SIZE (MESSAGE_NAME_MAX + 1)

RIG struct exchanges *ex;
RIG struct route route;

RIG int setup(void **state)
{
    (void)state;
    ex = exchanges_create(7);
    route = (struct route){0};
    exchanges_vhost_add(ex, slice_cstr("/"));
    return 0;
}

RIG int teardown(void **state)
{
    (void)state;
    route_fini(&route);
    exchanges_destroy(ex);
    return 0;
}

RIG void add(char text[TEXT_SIZE], const char *more)
{
    size_t len = strlen(text);
    assert_true(len + strlen(more) < TEXT_SIZE);
    (void)snprintf(text + len, TEXT_SIZE - len, "%s", more);
}

RIG struct uuid id_of(uint32_t n)
{
    struct uuid id = {{0}};
    memcpy(id.bytes, &n, sizeof n);
    return id;
}

RIG void queue_add(const char *name, uint32_t n)
{
    struct uuid id = id_of(n);
    exchanges_queue_add(ex, slice_cstr("/"), slice_cstr(name), &id, true);
}

RIG void exchange_make(const char *name, enum exchange_type type)
{
    const struct exchange facts = {
        .vhost = slice_cstr("/"), .name = slice_cstr(name), .type = type, .durable = true};
    assert_int_equal(exchange_add(ex, &facts), 0);
}

RIG struct exchange_binding binding_of(const char *source, const char *queue, const char *key)
{
    return (struct exchange_binding){
        .vhost = slice_cstr("/"),
        .source = slice_cstr(source),
        .destination = slice_cstr(queue),
        .key = slice_cstr(key),
        .durable = true,
    };
}

RIG void bind(const char *source, const char *queue, const char *key)
{
    const struct exchange_binding b = binding_of(source, queue, key);
    assert_int_equal(exchange_bind(ex, &b), 0);
}

RIG void bind_exchange(const char *source, const char *exchange, const char *key)
{
    struct exchange_binding b = binding_of(source, exchange, key);
    b.to_exchange = true;
    assert_int_equal(exchange_bind(ex, &b), 0);
}

RIG uint32_t routed(const char *exchange, const char *key)
{
    const struct slice keys[] = {slice_cstr(key)};
    assert_int_equal(
        exchange_route(ex, &route, slice_cstr("/"), slice_cstr(exchange), keys, 1, NULL, 0), 0);
    return route.count;
}

RIG bool reached(uint32_t n)
{
    const struct uuid id = id_of(n);
    for (uint32_t i = 0; i < route.count; i++)
        if (uuid_eq(&route.queues[i], &id))
            return true;
    return false;
}

#endif
