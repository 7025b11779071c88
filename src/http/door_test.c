// SPDX-License-Identifier: Apache-2.0
//
// The HTTP door on a real node of two shards, asked over real sockets as a stranger would: what it
// tells of queues, exchanges and bindings, of the server, and what it makes of bad requests.
#include "io/real_testing.h"

#include "http/door.h"
#include "http/mhd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"
#include "node/queues.h"

enum { SHARDS = 2, ANSWER_MAX = 1 << 20 };

static struct node *node;
static struct http_door *door;
static uint16_t port;
static sem_t started, changed, stopped;

// ---- the node

static int open_doors(void *arg, struct shard *shard)
{
    const struct http_door_options o = {.version = "9.9"};
    (void)arg;
    return shard_index(shard) == 0 ? http_door_open(shard, &o, &door) : 0;
}

static void close_doors(void *arg, struct shard *shard)
{
    (void)arg;
    if (shard_index(shard) == 0)
        http_door_close(door);
}

static void destroy_doors(void *arg, struct shard *shard)
{
    (void)arg;
    if (shard_index(shard) == 0)
        http_door_destroy(door);
}

static void on_started(void *arg, int err, const char *what)
{
    (void)arg;
    (void)what;
    assert_int_equal(err, 0);
    sem_post(&started);
}

static void on_failed(void *arg, int err, const char *what)
{
    (void)arg;
    (void)err;
    fail_msg("%s", what);
}

static void on_stopped(void *arg)
{
    (void)arg;
    sem_post(&stopped);
}

// ---- what there is to be told

static void change_done(struct queue_change *change)
{
    (void)change;
    sem_post(&changed);
}

struct errand { // a change, begun on shard 0
    struct io_msg msg;
    struct queue_change change;
};

static void errand_run(struct io_msg *msg)
{
    struct errand *e = CONTAINER_OF(msg, struct errand, msg);
    e->change.done = change_done;
    queue_change_start(node_shard(node, 0), &e->change);
}

static void change(const struct queue_change *wanted)
{
    struct errand e = {.msg.run = errand_run, .change = *wanted};
    io_post(shard_io(node_shard(node, 0)), &e.msg);
    while (sem_wait(&changed) != 0)
        ;
    assert_int_equal(e.change.err, 0);
}

static const struct queue_settings plain = {
    .message_ttl_ms = -1, .expires_ms = -1, .max_length = -1, .max_length_bytes = -1};

static void world_fill(void)
{
    struct queue_change q = {.kind = QUEUE_DECLARE};
    q.queue = (struct queue_facts){.vhost = slice_cstr("/"),
                                   .name = slice_cstr("orders <b>"),
                                   .durable = true,
                                   .levels = 5,
                                   .settings = plain};
    q.queue.settings.message_ttl_ms = 60000;
    q.queue.settings.dead_letter = true;
    q.queue.settings.dead_exchange = slice_cstr("dead");
    change(&q);
    q.queue = (struct queue_facts){
        .vhost = slice_cstr("/"), .name = slice_of("raw\xff", 4), .levels = 1, .settings = plain};
    change(&q);
    struct queue_change x = {.kind = EXCHANGE_DECLARE};
    x.exchange = (struct exchange){.vhost = slice_cstr("/"),
                                   .name = slice_cstr("shop"),
                                   .type = EXCHANGE_TOPIC,
                                   .durable = true};
    change(&x);
    struct queue_change b = {.kind = BINDING_ADD};
    b.binding = (struct exchange_binding){.vhost = slice_cstr("/"),
                                          .source = slice_cstr("shop"),
                                          .destination = slice_cstr("orders <b>"),
                                          .key = slice_cstr("order.#")};
    change(&b);
}

// ---- a stranger

static char answer[ANSWER_MAX];

// Sends what it is given, reads to the end; the status, 0 when there was no answer.
static int talk(const char *bytes, size_t len)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    size_t have = 0;
    int status = 0;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    (void)!send(fd, bytes, len, MSG_NOSIGNAL);
    for (ssize_t n = 1; n > 0 && have<sizeof answer - 1; have += n> 0 ? (size_t)n : 0)
        n = recv(fd, answer + have, sizeof answer - 1 - have, 0);
    (void)close(fd);
    answer[have] = '\0';
    (void)sscanf(answer, "HTTP/1.1 %d", &status);
    return status;
}

static int get(const char *path)
{
    char request[1024];
    int len = snprintf(request, sizeof request,
                       "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    return talk(request, (size_t)len);
}

static const char *body(void)
{
    const char *at = strstr(answer, "\r\n\r\n");
    assert_non_null(at);
    return at + 4;
}

static json_t *get_json(const char *path)
{
    assert_int_equal(get(path), 200);
    json_t *value = json_loads(body(), 0, NULL);
    assert_non_null(value);
    return value;
}

static const char *text_of(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    assert_non_null(text);
    return text;
}

// ---- the tests

static void test_library(void **state)
{
    const struct mhd *once = NULL;
    const struct mhd *twice = NULL;
    (void)state;
    assert_int_equal(mhd_load(&once), 0);
    assert_int_equal(mhd_load(&twice), 0);
    assert_ptr_equal(once, twice);
    assert_non_null(once->destroy_response); // the last one
}

static void test_queues(void **state)
{
    (void)state;
    static const char *const paths[] = {"/api/queues", "/api/queues/", "/api/queues/%2F",
                                        "/api/queues/%2f/"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        json_t *all = get_json(paths[i]);
        assert_int_equal(json_array_size(all), 2);
        assert_string_equal(text_of(json_array_get(all, 0), "name"), "orders <b>");
        assert_string_equal(text_of(json_array_get(all, 1), "name"), "raw\xEF\xBF\xBD");
        json_decref(all);
    }
    json_t *q = get_json("/api/queues/%2F/orders%20%3Cb%3E");
    assert_int_equal(json_integer_value(json_object_get(q, "messages")), 0);
    assert_int_equal(json_integer_value(json_object_get(q, "messages_ready")), 0);
    assert_int_equal(json_integer_value(json_object_get(q, "messages_unacknowledged")), 0);
    assert_int_equal(json_integer_value(json_object_get(q, "consumers")), 0);
    assert_true(json_is_true(json_object_get(q, "durable")));
    assert_int_equal(strlen(text_of(q, "idle_since")), strlen("2026-11-24T13:43:33.000+00:00"));
    json_t *arguments = json_object_get(q, "arguments");
    assert_int_equal(json_integer_value(json_object_get(arguments, "x-message-ttl")), 60000);
    assert_int_equal(json_integer_value(json_object_get(arguments, "x-max-priority")), 4);
    assert_string_equal(text_of(arguments, "x-dead-letter-exchange"), "dead");
    assert_null(json_object_get(arguments, "x-expires"));
    json_decref(q);
    assert_int_equal(get("/api/queues/%2F/none"), 404);
    assert_int_equal(get("/api/queues/nowhere"), 404);
    assert_int_equal(get("/api/queues/%2F/q/what"), 404);
}

static void test_bindings(void **state)
{
    (void)state;
    static const char *const paths[] = {"/api/queues/%2F/orders%20%3Cb%3E/bindings",
                                        "/api/exchanges/%2F/shop/bindings/source",
                                        "/api/bindings/%2F", "/api/bindings"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        json_t *all = get_json(paths[i]);
        assert_int_equal(json_array_size(all), 1);
        json_t *b = json_array_get(all, 0);
        assert_string_equal(text_of(b, "source"), "shop");
        assert_string_equal(text_of(b, "destination"), "orders <b>");
        assert_string_equal(text_of(b, "destination_type"), "queue");
        assert_string_equal(text_of(b, "routing_key"), "order.#");
        json_decref(all);
    }
    json_t *none = get_json("/api/exchanges/%2F/shop/bindings/destination");
    assert_int_equal(json_array_size(none), 0);
    json_decref(none);
}

static void test_exchanges(void **state)
{
    (void)state;
    json_t *shop = get_json("/api/exchanges/%2F/shop/");
    assert_string_equal(text_of(shop, "type"), "topic");
    json_decref(shop);
    json_t *all = get_json("/api/exchanges/%2F");
    assert_true(json_array_size(all) >= 6); // the preset ones and ours
    json_decref(all);
    json_t *vhosts = get_json("/api/vhosts");
    assert_int_equal(json_array_size(vhosts), 1);
    assert_string_equal(text_of(json_array_get(vhosts, 0), "name"), "/");
    json_decref(vhosts);
    json_t *overview = get_json("/api/overview");
    assert_string_equal(text_of(overview, "product_version"), "9.9");
    json_decref(overview);
    assert_int_equal(get("/api/exchanges/%2F/none"), 404);
    assert_int_equal(get("/api/exchanges/%2F/shop/bindings"), 404);
}

static void test_status(void **state)
{
    (void)state;
    assert_int_equal(get("/healthz"), 200);
    assert_string_equal(body(), "ok\n");
    assert_int_equal(get("/metrics"), 200);
    assert_non_null(strstr(body(), "\n# TYPE weir_topics gauge\nweir_topics 1\n"));
    assert_non_null(strstr(body(), "\nweir_uptime_seconds "));
    assert_non_null(strstr(body(), "\nweir_memory_limit_bytes 67108864\n"));
    assert_null(strchr(body(), '\r'));
}

static void test_bad_requests(void **state)
{
    static const char garbage[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n";
    static const char post[] = "POST /api/queues HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                               "Content-Length: 5\r\n\r\nhello";
    (void)state;
    assert_int_equal(get("/"), 404);
    assert_int_equal(get("/api"), 404);
    assert_int_equal(get("/api/queues/%2"), 404);
    assert_int_equal(get("/api/queues/%zz"), 404);
    assert_int_equal(get("/../../etc/passwd"), 404);
    assert_int_equal(get("/api/queues/a/b/c/d/e/f/g/h"), 404);
    assert_int_equal(talk(post, sizeof post - 1), 405);
    assert_non_null(strstr(answer, "Allow: GET, HEAD"));
    assert_int_not_equal(talk(garbage, sizeof garbage - 1), 200);
    char *long_path = mem_alloc(100001);
    memset(long_path, 'a', 100000);
    memcpy(long_path, "GET /", 5);
    long_path[100000] = '\0';
    assert_int_not_equal(talk(long_path, 100000), 200); // more head than it reads
    mem_free(long_path);
    assert_int_equal(get("/healthz"), 200); // and it still answers
}

// A request is half sent when the server stops.
static void test_stop(void **state)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    (void)state;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, "GET /api/que", 12, 0), 12);
    node_stop(node, on_stopped, NULL);
    while (sem_wait(&stopped) != 0)
        ;
    node_destroy(node);
    (void)close(fd);
}

static int node_up(void **state)
{
    char *why = NULL;
    if (setup(state) != 0 || sem_init(&started, 0, 0) != 0 || sem_init(&changed, 0, 0) != 0 ||
        sem_init(&stopped, 0, 0) != 0)
        return -1;
    const struct node_options o = {
        .world = world,
        .shards_count = SHARDS,
        .memory_bytes = 64 << 20,
        .open_doors = open_doors,
        .close_doors = close_doors,
        .destroy_doors = destroy_doors,
        .started = on_started,
        .failed = on_failed,
    };
    if (node_create(&o, &node, &why) != 0)
        return -1;
    while (sem_wait(&started) != 0)
        ;
    port = http_door_listeners(door)->addrs[0].port;
    world_fill();
    return 0;
}

static int node_down(void **state)
{
    return teardown(state); // the last test has stopped the node
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_library),  cmocka_unit_test(test_queues),
        cmocka_unit_test(test_bindings), cmocka_unit_test(test_exchanges),
        cmocka_unit_test(test_status),   cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, node_up, node_down);
}
