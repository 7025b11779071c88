// SPDX-License-Identifier: Apache-2.0
//
// Exchanges: what direct, fanout and headers exchanges match, circles of exchanges, what deletion
// takes with it, and a hundred thousand bindings.
#include "queue/rig_exchange_test.h"

// ---- what is there

static void test_what_is_there(void **state)
{
    (void)state;
    static const char *const presets[] = {"",          "amq.direct",  "amq.fanout",
                                          "amq.topic", "amq.headers", "amq.match"};
    enum exchange_type type;
    for (size_t i = 0; i < 6; i++) {
        const struct exchange *x = exchange_find(ex, slice_cstr("/"), slice_cstr(presets[i]));
        assert_non_null(x);
        assert_true(x->preset && x->durable);
    }
    assert_null(exchange_find(ex, slice_cstr("/"), slice_cstr("orders")));
    assert_null(exchange_find(ex, slice_cstr("other"), slice_cstr("amq.direct")));
    assert_false(exchanges_vhost_exists(ex, slice_cstr("other")));
    const struct exchange lost = {.vhost = slice_cstr("other"), .name = slice_cstr("x")};
    assert_int_equal(exchange_add(ex, &lost), ERR_NOT_FOUND);
    assert_int_equal(exchange_type_by_name(slice_cstr("topic"), &type), 0);
    assert_int_equal(type, EXCHANGE_TOPIC);
    assert_string_equal(exchange_type_name(type), "topic");
    assert_int_equal(exchange_type_by_name(slice_cstr("x-weird"), &type), ERR_NOT_FOUND);
}

static void test_binding_is_its_parts(void **state)
{
    (void)state;
    exchange_make("orders", EXCHANGE_DIRECT);
    queue_add("q", 1);
    struct exchange_binding b = binding_of("orders", "q", "new");
    assert_int_equal(exchange_bind(ex, &b), 0);
    assert_int_equal(exchange_bind(ex, &b), ERR_EXISTS);
    b.arguments = slice_cstr("other arguments make another binding");
    assert_null(exchange_bound(ex, &b));
    assert_int_equal(exchange_bind(ex, &b), 0);
    assert_non_null(exchange_bound(ex, &b));
    assert_int_equal(exchange_find(ex, slice_cstr("/"), slice_cstr("orders"))->bindings_out, 2);
    assert_int_equal(routed("orders", "new"), 1); // the queue once
    assert_int_equal(exchange_unbind(ex, &b), 0);
    assert_int_equal(exchange_unbind(ex, &b), ERR_NOT_FOUND);
    assert_int_equal(routed("orders", "new"), 1);
    assert_int_equal(routed("orders", "ne"), 0);
    b = binding_of("orders", "no such queue", "new");
    assert_int_equal(exchange_bind(ex, &b), ERR_NOT_FOUND);
    b = binding_of("no such exchange", "q", "new");
    assert_int_equal(exchange_bind(ex, &b), ERR_NOT_FOUND);
    b = binding_of("", "q", "new");
    assert_int_equal(exchange_bind(ex, &b), ERR_ACCESS_REFUSED);
    b = binding_of("orders", "", "new");
    b.to_exchange = true;
    assert_int_equal(exchange_bind(ex, &b), ERR_ACCESS_REFUSED);
}

static void test_default_exchange(void **state)
{
    (void)state;
    queue_add("q", 1);
    assert_int_equal(routed("", "q"), 1);
    assert_true(reached(1));
    assert_int_equal(routed("", "Q"), 0);
    exchanges_queue_remove(ex, slice_cstr("/"), slice_cstr("q"), NULL, NULL);
    assert_int_equal(routed("", "q"), 0);
    assert_int_equal(
        exchange_route(ex, &route, slice_cstr("/"), slice_cstr("gone"), NULL, 0, NULL, 0),
        ERR_NOT_FOUND);
    assert_int_equal(route.count, 0);
}

static void test_direct_and_fanout(void **state)
{
    (void)state;
    char name[16];
    exchange_make("logs", EXCHANGE_DIRECT);
    exchange_make("all", EXCHANGE_FANOUT);
    for (uint32_t i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof name, "q%u", i);
        queue_add(name, i);
        bind("logs", name, i % 2 == 0 ? "even" : "odd");
        bind("all", name, "whatever");
    }
    assert_int_equal(routed("logs", "even"), 5);
    assert_true(reached(4));
    assert_false(reached(5));
    assert_int_equal(routed("all", ""), 10);
    // Several keys of one message (CC): each queue once.
    const struct slice keys[] = {slice_cstr("even"), slice_cstr("odd"), slice_cstr("even")};
    assert_int_equal(
        exchange_route(ex, &route, slice_cstr("/"), slice_cstr("logs"), keys, 3, NULL, 0), 0);
    assert_int_equal(route.count, 10);
    // The key's first binding goes, the others stay.
    const struct exchange_binding first = binding_of("logs", "q0", "even");
    assert_int_equal(exchange_unbind(ex, &first), 0);
    assert_int_equal(routed("logs", "even"), 4);
}

// ---- headers

static uint32_t routed_headers(const struct exchange_header *headers, uint32_t count)
{
    const struct slice keys[] = {slice_cstr("ignored")};
    assert_int_equal(exchange_route(ex, &route, slice_cstr("/"), slice_cstr("amq.match"), keys, 1,
                                    headers, count),
                     0);
    return route.count;
}

#define H(n, v) ((struct exchange_header){slice_cstr(n), slice_cstr(v)})

static void bind_headers(const char *queue, enum exchange_match match,
                         const struct exchange_header *headers, uint32_t count)
{
    struct exchange_binding b = binding_of("amq.match", queue, "");
    b.match = match;
    b.headers = headers;
    b.headers_count = count;
    assert_int_equal(exchange_bind(ex, &b), 0);
}

static void test_headers(void **state)
{
    (void)state;
    const struct exchange_header two[] = {H("format", "pdf"), H("kind", "report")};
    const struct exchange_header there[] = {{slice_cstr("kind"), SLICE_NULL}};
    const struct exchange_header x[] = {H("x-tenant", "a"), H("kind", "report")};
    for (uint32_t i = 0; i < 8; i++) {
        const char name[3] = {'q', (char)('0' + i), '\0'};
        queue_add(name, i);
    }
    bind_headers("q0", MATCH_ALL, two, 2);
    bind_headers("q1", MATCH_ANY, two, 2);
    bind_headers("q2", MATCH_ALL, there, 1);
    bind_headers("q3", MATCH_ALL, NULL, 0); // everything
    bind_headers("q4", MATCH_ANY, NULL, 0); // nothing
    bind_headers("q5", MATCH_ALL, x, 2);
    bind_headers("q6", MATCH_ALL_WITH_X, x, 2);
    bind_headers("q7", MATCH_ANY_WITH_X, x, 1);

    assert_int_equal(routed_headers(NULL, 0), 1);
    assert_true(reached(3));
    const struct exchange_header both[] = {H("kind", "report"), H("other", "1"),
                                           H("format", "pdf")};
    assert_int_equal(routed_headers(both, 3), 5);
    assert_true(reached(0) && reached(1) && reached(2) && reached(3) && reached(5));
    const struct exchange_header one[] = {H("format", "zip"), H("kind", "invoice")};
    assert_int_equal(routed_headers(one, 2), 2);
    assert_true(reached(2) && reached(3));
    assert_int_equal(routed_headers(x, 2), 6);
    assert_true(reached(1) && reached(2) && reached(3) && reached(5) && reached(6) && reached(7));
    assert_int_equal(routed_headers(x, 1), 2);
    assert_true(reached(3) && reached(7));
    assert_true(exchange_wants_headers(ex, slice_cstr("/"), slice_cstr("amq.match")));
    assert_false(exchange_wants_headers(ex, slice_cstr("/"), slice_cstr("amq.topic")));
    assert_false(exchange_wants_headers(ex, slice_cstr("/"), slice_cstr("")));
    for (uint32_t i = 0; i < 8; i++) {
        const char name[3] = {'q', (char)('0' + i), '\0'};
        exchanges_queue_remove(ex, slice_cstr("/"), slice_cstr(name), NULL, NULL);
    }
    assert_int_equal(routed_headers(x, 2), 0);
}

// Against what the words say: bindings come and go, and share what they ask for.

#define MODEL_BINDINGS 24
#define MODEL_HEADERS  5

struct model_binding {
    bool there;
    enum exchange_match match;
    struct exchange_header headers[MODEL_HEADERS];
    uint32_t count;
};

static uint32_t headers_draw(struct prng *p, bool any, struct exchange_header *out)
{
    static const char *const names[] = {"a", "b", "c", "x-d", "x-match"};
    static const char *const values[] = {"1", "2", ""};
    uint32_t count = (uint32_t)prng_below(p, MODEL_HEADERS + 1);
    for (uint32_t i = 0; i < count; i++) {
        out[i].name = slice_cstr(names[prng_below(p, 5)]);
        out[i].value = slice_cstr(values[prng_below(p, 3)]);
        if (any && prng_chance(p, 1, 3))
            out[i].value = SLICE_NULL;
    }
    return count;
}

static bool model_has(const struct exchange_header *headers, uint32_t count,
                      const struct exchange_header *wanted)
{
    for (uint32_t i = 0; i < count; i++)
        if (slice_eq(headers[i].name, wanted->name) &&
            (wanted->value.data == NULL || slice_eq(headers[i].value, wanted->value)))
            return true;
    return false;
}

static bool model_matches(const struct model_binding *b, const struct exchange_header *headers,
                          uint32_t count)
{
    bool any = b->match == MATCH_ANY || b->match == MATCH_ANY_WITH_X;
    bool with_x = b->match == MATCH_ALL_WITH_X || b->match == MATCH_ANY_WITH_X;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct exchange_header *h = &b->headers[i];
        if (slice_eq_cstr(h->name, "x-match") || (!with_x && slice_eq_cstr(h->name, "x-d")))
            continue;
        if (model_has(headers, count, h) == any)
            return any;
    }
    return !any;
}

static void test_headers_against_a_model(void **state)
{
    (void)state;
    static struct model_binding model[MODEL_BINDINGS];
    struct exchange_header headers[MODEL_HEADERS];
    struct prng p;
    char name[8];
    prng_seed(&p, 11);
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t n = (uint32_t)prng_below(&p, MODEL_BINDINGS);
        struct model_binding *b = &model[n];
        (void)snprintf(name, sizeof name, "m%u", n);
        if (b->there) {
            exchanges_queue_remove(ex, slice_cstr("/"), slice_cstr(name), NULL, NULL);
            b->there = false;
        } else {
            b->there = true;
            b->match = (enum exchange_match)prng_below(&p, 4);
            b->count = headers_draw(&p, true, b->headers);
            queue_add(name, n);
            bind_headers(name, b->match, b->headers, b->count);
        }
        uint32_t count = headers_draw(&p, false, headers), matching = 0;
        (void)routed_headers(headers, count);
        for (uint32_t i = 0; i < MODEL_BINDINGS; i++) {
            bool matches = model[i].there && model_matches(&model[i], headers, count);
            assert_int_equal(reached(i), matches);
            matching += matches;
        }
        assert_int_equal(route.count, matching);
    }
}

// As many headers as fit into a binding, in many of them, and a message that has them all: the work
// is what the bindings ask for. If it were that times what the message has, this took ten seconds.
static void test_many_headers(void **state)
{
    (void)state;
    enum { MANY = 10000, TIMES = 100 };
    static char names[MANY][8];
    struct exchange_header *asked = mem_alloc(MANY * sizeof asked[0]);
    struct exchange_header *had = mem_alloc(MANY * sizeof had[0]);
    for (uint32_t i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "%05u", i);
        asked[i] = (struct exchange_header){slice_cstr(names[i]), slice_cstr("t")};
        had[MANY - 1 - i] = asked[i];
    }
    for (uint32_t i = 0; i < TIMES; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "m%u", i);
        queue_add(name, i);
        bind_headers(name, MATCH_ALL, asked, MANY);
    }
    assert_int_equal(routed_headers(had, MANY), TIMES);
    assert_int_equal(routed_headers(had, MANY - 1), 0);
    mem_free(asked);
    mem_free(had);
}

// ---- exchange to exchange, deletion

static void test_circles_end(void **state)
{
    (void)state;
    exchange_make("a", EXCHANGE_FANOUT);
    exchange_make("b", EXCHANGE_TOPIC);
    exchange_make("c", EXCHANGE_DIRECT);
    queue_add("q", 1);
    queue_add("r", 2);
    bind_exchange("a", "b", "");
    bind_exchange("b", "c", "#");
    bind_exchange("c", "a", "k");
    bind_exchange("a", "a", "itself");
    bind("c", "q", "k");
    bind("a", "q", "");
    bind("b", "r", "k.#");
    assert_int_equal(routed("a", "k"), 2);
    assert_int_equal(routed("b", "k"), 2);
    assert_int_equal(routed("c", "other"), 0);
    // A headers exchange at the far end: whoever publishes to the near one needs the headers.
    assert_false(exchange_wants_headers(ex, slice_cstr("/"), slice_cstr("a")));
    bind_exchange("c", "amq.headers", "x");
    assert_true(exchange_wants_headers(ex, slice_cstr("/"), slice_cstr("a")));
}

static void dropped_count(void *arg, const struct exchange_binding *binding)
{
    assert_true(binding->source.len > 0);
    assert_non_null(exchange_bound(ex, binding)); // before it goes
    ++*(uint32_t *)arg;
}

static void test_deletion_takes_bindings(void **state)
{
    (void)state;
    uint32_t dropped = 0;
    exchange_make("a", EXCHANGE_TOPIC);
    exchange_make("b", EXCHANGE_FANOUT);
    queue_add("q", 1);
    bind("a", "q", "#");
    bind("a", "q", "x.*");
    bind("b", "q", "");
    bind_exchange("a", "b", "#");
    bind_exchange("b", "a", "#");
    const struct exchange *a = exchange_find(ex, slice_cstr("/"), slice_cstr("a"));
    const struct exchange *b = exchange_find(ex, slice_cstr("/"), slice_cstr("b"));
    assert_int_equal(a->bindings_out, 3);
    assert_int_equal(a->bindings_in, 1);
    exchanges_queue_remove(ex, slice_cstr("/"), slice_cstr("q"), dropped_count, &dropped);
    assert_int_equal(dropped, 3);
    assert_int_equal(a->bindings_out, 1);
    assert_int_equal(b->bindings_out, 1);
    dropped = 0;
    exchange_remove(ex, slice_cstr("/"), slice_cstr("a"), dropped_count, &dropped);
    assert_int_equal(dropped, 2);
    assert_int_equal(b->bindings_out, 0);
    assert_int_equal(b->bindings_in, 0);
    assert_null(exchange_find(ex, slice_cstr("/"), slice_cstr("a")));
    assert_int_equal(routed("b", ""), 0);
}

static bool count_exchange(void *arg, const struct exchange *exchange)
{
    assert_non_null(exchange->name.data);
    return --*(int *)arg > 0;
}

static bool count_binding(void *arg, const struct exchange_binding *binding)
{
    const char *want[] = {"k2", "k1", "k0"};
    int *left = arg;
    assert_true(slice_eq_cstr(binding->key, want[--*left]));
    return *left > 0;
}

static void test_walks_in_order(void **state)
{
    (void)state;
    queue_add("q", 1);
    bind("amq.direct", "q", "k0");
    bind("amq.direct", "q", "k1");
    bind("amq.direct", "q", "k2");
    int left = 100;
    exchanges_vhost_add(ex, slice_cstr("other"));
    exchanges_each(ex, SLICE_NULL, count_exchange, &left);
    assert_int_equal(left, 100 - 12);
    left = 100;
    exchanges_each(ex, slice_cstr("other"), count_exchange, &left);
    assert_int_equal(left, 100 - 6);
    left = 2;
    exchanges_each(ex, slice_cstr("/"), count_exchange, &left);
    assert_int_equal(left, 0);
    left = 3;
    exchange_bindings_each(ex, slice_cstr("/"), count_binding, &left);
    assert_int_equal(left, 0);
}

// ---- many

#define MANY 100000

static void test_many_bindings(void **state)
{
    (void)state;
    static const char *const sources[] = {"amq.direct", "amq.fanout", "amq.topic", "amq.match"};
    char name[32];
    queue_add("q", 1);
    for (size_t s = 0; s < 4; s++) {
        for (uint32_t i = 0; i < MANY; i++) {
            (void)snprintf(name, sizeof name, "user.%u.event", i);
            struct exchange_binding b = binding_of(sources[s], "q", name);
            const struct exchange_header headers[] = {H("kind", "event"),
                                                      {slice_cstr("id"), slice_cstr(name)}};
            b.match = MATCH_ALL;
            b.headers = headers;
            b.headers_count = s == 3 ? 2 : 0;
            assert_int_equal(exchange_bind(ex, &b), 0);
        }
        for (uint32_t i = 0; i < 1000 && s != 1; i++) {
            (void)snprintf(name, sizeof name, "user.%u.event", i * 97);
            const struct exchange_header headers[] = {H("kind", "event"),
                                                      {slice_cstr("id"), slice_cstr(name)}};
            const struct slice keys[] = {slice_cstr(name)};
            assert_int_equal(exchange_route(ex, &route, slice_cstr("/"), slice_cstr(sources[s]),
                                            keys, 1, headers, 2),
                             0);
            assert_int_equal(route.count, 1);
        }
        for (uint32_t i = 0; i < MANY / 2; i++) {
            (void)snprintf(name, sizeof name, "user.%u.event", i * 2);
            const struct exchange_binding b = binding_of(sources[s], "q", name);
            assert_int_equal(exchange_unbind(ex, &b), 0);
        }
    }
    uint32_t dropped = 0;
    exchanges_queue_remove(ex, slice_cstr("/"), slice_cstr("q"), dropped_count, &dropped);
    assert_int_equal(dropped, 4 * MANY / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_binding_is_its_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_default_exchange, setup, teardown),
        cmocka_unit_test_setup_teardown(test_direct_and_fanout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_headers_against_a_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_circles_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deletion_takes_bindings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_walks_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_bindings, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
