// SPDX-License-Identifier: Apache-2.0
//
// The door from outside: every API in every version is asked with the least it needs and answers
// something that decodes; random requests, valid in form and wild in content, do no harm; what is
// under way when the server dies is given back.
#include "kafka/door.h"

#include "kafka/rig_kafka_test.h"
#include "wire/gen/kafka_metadata.h"
#include "wire/gen/kafka_produce.h"

static void test_host_port(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {
        {"localhost:19092", "localhost", 19092},
        {"broker.example", "broker.example", 9092},
        {"[::1]:5", "::1", 5},
        {"[fe80::1]", "fe80::1", 9092},
        {"127.0.0.1:65535", "127.0.0.1", 65535},
        {"PLAINTEXT://my-host.example:29092", "my-host.example", 29092},
        {"PLAINTEXT://[::1]:29092", "::1", 29092},
    };
    static const char *const bad[] = {"PLAINTEXT://",
                                      "SSL://host:9093",
                                      "PLAINTEXT://:9092",
                                      "a:1,b:2",
                                      "::1",
                                      "ho st:1",
                                      "",
                                      ":9092",
                                      "host:",
                                      "host:0",
                                      "h:abc",
                                      "h:65536",
                                      "[::1:9092",
                                      "h:123456"};
    char host[KAFKA_HOST_MAX + 1];
    uint16_t port;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(kafka_host_port(good[i].text, host, &port), 0);
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(kafka_host_port(bad[i], host, &port), ERR_INVALID);
}

// A request with nothing in it but defaults; "" where a string has to be.
static void *least(const struct wire_api *api, int version, struct arena *arena)
{
    void *q = arena_zalloc(arena, api->request->root->size);
    assert_non_null(q);
    wire_default(api->request->root, q);
    (void)version;
    return q;
}

static void test_every_api_in_every_version(void **state)
{
    (void)state;
    struct rig rig;
    struct arena arena;
    rig_init(&rig);
    arena_init(&arena, 1 << 20);
    for (uint32_t i = 0; i < kafka_handlers_count; i++) {
        const struct wire_api *api = wire_kafka_api(kafka_handlers[i].key);
        assert_non_null(api);
        for (int v = api->min_version; v <= api->max_version; v++) {
            struct rig_call c;
            void *q = least(api, v, &arena);
            if (api->key == KAFKA_API_PRODUCE)
                ((struct kafka_produce_request *)q)->acks = -1;
            assert_non_null(rig_ask(&rig, &c, api->key, v, q));
            kafka_call_fini(&c.call);
            arena_reset(&arena);
        }
    }
    assert_int_equal(rig_request_errors(&rig), 0);
    arena_fini(&arena);
    rig_fini(&rig);
}

static void test_table_is_in_order(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < kafka_handlers_count; i++)
        assert_true(kafka_handlers[i - 1].key < kafka_handlers[i].key);
    assert_null(kafka_handler_find(-1));
    assert_null(kafka_handler_find(1000));
    assert_int_equal(kafka_handler_find(KAFKA_API_FETCH)->key, KAFKA_API_FETCH);
}

// Whatever a request says, the server answers or closes, and owes nobody memory afterwards.
static void test_random_requests(void **state)
{
    (void)state;
    struct rig rig;
    struct prng prng;
    struct arena arena;
    rig_init(&rig);
    prng_seed(&prng, 11);
    arena_init(&arena, 16 << 20);
    int asked = 0;
    int answered = 0;
    for (int round = 0; round < 1500; round++) {
        struct kafka_client *client = rig_connect(&rig);
        const struct kafka_handler *h = &kafka_handlers[prng_below(&prng, kafka_handlers_count)];
        const struct wire_api *api = wire_kafka_api(h->key);
        int version = (int)prng_range(&prng, api->min_version, api->max_version);
        void *q = arena_zalloc(&arena, api->request->root->size);
        if (wire_generate(api->request, version, &prng, &arena, q) == 0) {
            struct rig_call c;
            rig_begin(&rig, client, &c, h->key, version, q);
            // Some wait for their answer, some are gone before it comes.
            rig_run(&rig, prng_chance(&prng, 1, 2) ? SECONDS(2) : 1000000);
            asked++;
            answered += c.done && c.call.err == 0;
            kafka_client_close(client);
            kafka_call_fini(&c.call);
        } else {
            kafka_client_close(client);
        }
        arena_reset(&arena);
    }
    rig_run(&rig, SECONDS(1200)); // joins and fetches run out
    assert_true(asked > 1000);
    assert_true(answered > 400);
    assert_int_equal(rig_connections(&rig), 0);
    arena_fini(&arena);
    rig_fini(&rig);
}

static void test_requests_under_way_when_the_server_dies(void **state)
{
    (void)state;
    struct rig rig;
    struct prng prng;
    struct arena arena;
    rig_init(&rig);
    prng_seed(&prng, 5);
    arena_init(&arena, 16 << 20);
    for (uint32_t i = 0; i < kafka_handlers_count; i++) {
        const struct wire_api *api = wire_kafka_api(kafka_handlers[i].key);
        struct kafka_client *client = rig_connect(&rig);
        void *q = arena_zalloc(&arena, api->request->root->size);
        struct rig_call c;
        assert_int_equal(wire_generate(api->request, api->max_version, &prng, &arena, q), 0);
        rig_begin(&rig, client, &c, api->key, api->max_version, q);
        rig_run(&rig, 300000);
        if (i % 2 == 0)
            sim_crash(rig.server, SIM_POWER_LOSS);
        kafka_client_close(client);
        kafka_call_fini(&c.call);
        if (i % 2 == 0) {
            node_destroy(rig.node); // a leak here is the sanitizer's to find
            sim_world_free(rig.server_world);
            rig_start(&rig, NULL);
        }
        arena_reset(&arena);
    }
    arena_fini(&arena);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_port),
        cmocka_unit_test(test_table_is_in_order),
        cmocka_unit_test(test_every_api_in_every_version),
        cmocka_unit_test(test_random_requests),
        cmocka_unit_test(test_requests_under_way_when_the_server_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
