// SPDX-License-Identifier: Apache-2.0
//
// Topic exchanges: the trie against a matcher that tries every choice, patterns that are made to
// cost much, and the delayed delivery of Celery.
#include "queue/rig_exchange_test.h"

// ---- topics

// The words of a text, the empty text having none; tries every choice.
static bool naive(const char *pattern, const char *key)
{
    bool more = strcmp(key, "\1") != 0; // \1: behind the last word
    if (strcmp(pattern, "\1") == 0)
        return !more;
    const char *dot = strchr(pattern, '.');
    size_t len = dot != NULL ? (size_t)(dot - pattern) : strlen(pattern);
    const char *rest = dot != NULL ? dot + 1 : "\1";
    const char *key_dot = strchr(key, '.');
    size_t key_len = key_dot != NULL ? (size_t)(key_dot - key) : strlen(key);
    const char *key_rest = key_dot != NULL ? key_dot + 1 : "\1";
    if (len == 1 && pattern[0] == '#')
        return naive(rest, key) || (more && naive(pattern, key_rest));
    if (!more)
        return false;
    bool same = len == key_len && memcmp(pattern, key, len) == 0;
    return (same || (len == 1 && pattern[0] == '*')) && naive(rest, key_rest);
}

static bool naive_match(const char *pattern, const char *key)
{
    return naive(pattern[0] != '\0' ? pattern : "\1", key[0] != '\0' ? key : "\1");
}

static void test_topic_words(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *key;
        bool match;
    } cases[] = {
        {"stock.usd.nyse", "stock.usd.nyse", true},
        {"stock.usd.nyse", "stock.usd", false},
        {"stock.*.nyse", "stock.usd.nyse", true},
        {"stock.*", "stock.usd.nyse", false},
        {"*", "stock", true},
        {"*", "", false}, // no word at all
        {"*", ".", false},
        {"*.*", ".", true}, // two empty words
        {"#", "", true},
        {"", "", true},
        {"", "a", false},
        {"#.nyse", "nyse", true},
        {"#.nyse", "stock.usd.nyse", true},
        {"stock.#", "stock", true},
        {"stock.#", "stocks", false},
        {"stock.#.nyse", "stock.nyse", true},
        {"stock.#.nyse", "stock.a.b.nyse", true},
        {"stock.#.nyse", "stock.a.b.nasdaq", false},
        {"#.*", "", false},
        {"*.#.*", "a", false},
        {"*.#.*", "a.b", true},
        {"#.#", "", true},
        {"#.a.#.b.#", "a.b", true},
        {"#.a.#.b.#", "b.a", false},
        {"a..b", "a..b", true},
        {"a.*.b", "a..b", true},
        {"a.b", "a..b", false},
        {"a.#.b", "a...b", true},
        {"a*", "ab", false}, // only a whole word is a wildcard
        {"a*", "a*", true},
    };
    exchange_make("t", EXCHANGE_TOPIC);
    queue_add("q", 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct exchange_binding b = binding_of("t", "q", cases[i].pattern);
        assert_int_equal(exchange_bind(ex, &b), 0);
        if (routed("t", cases[i].key) != cases[i].match)
            fail_msg("pattern '%s', key '%s'", cases[i].pattern, cases[i].key);
        assert_int_equal(naive_match(cases[i].pattern, cases[i].key), cases[i].match);
        assert_int_equal(exchange_unbind(ex, &b), 0);
    }
}

#define PATTERNS 300

static void random_key(struct prng *p, bool pattern, char out[TEXT_SIZE])
{
    static const char *const words[] = {"a", "b", "c", "", "*", "#"};
    uint64_t count = prng_below(p, 7);
    out[0] = '\0';
    for (uint64_t i = 0; i < count; i++) {
        uint64_t w = prng_below(p, pattern ? 6 : 4);
        add(out, i > 0 ? "." : "");
        add(out, words[w]);
    }
}

// Bindings come and go; after each round every key must reach what the naive matcher says.
static void test_topic_random(void **state)
{
    (void)state;
    static char patterns[PATTERNS][TEXT_SIZE];
    static bool bound[PATTERNS];
    struct prng p;
    prng_seed(&p, 20);
    exchange_make("t", EXCHANGE_TOPIC);
    for (uint32_t i = 0; i < PATTERNS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "q%u", i);
        queue_add(name, i);
        random_key(&p, true, patterns[i]);
        bound[i] = false;
    }
    for (int round = 0; round < 200; round++) {
        for (int n = 0; n < 50; n++) {
            uint32_t i = (uint32_t)prng_below(&p, PATTERNS);
            char name[16];
            (void)snprintf(name, sizeof name, "q%u", i);
            const struct exchange_binding b = binding_of("t", name, patterns[i]);
            assert_int_equal(bound[i] ? exchange_unbind(ex, &b) : exchange_bind(ex, &b), 0);
            bound[i] = !bound[i];
        }
        char key[TEXT_SIZE];
        random_key(&p, false, key);
        (void)routed("t", key);
        for (uint32_t i = 0; i < PATTERNS; i++)
            if (reached(i) != (bound[i] && naive_match(patterns[i], key)))
                fail_msg("pattern '%s', key '%s'", patterns[i], key);
    }
}

// Patterns made to cost much, with the longest keys: a walk that follows each choice by itself
// would not end.
static void test_topic_hostile(void **state)
{
    (void)state;
    char key[TEXT_SIZE] = "";
    char pattern[TEXT_SIZE] = "";
    exchange_make("t", EXCHANGE_TOPIC);
    queue_add("q", 1);
    for (int i = 0; i < 60; i++)
        add(pattern, i == 0 ? "#.a" : ".#.a");
    add(pattern, ".#.b");
    bind("t", "q", pattern);
    for (int i = 0; i < 127; i++)
        add(key, "a.");
    assert_int_equal(routed("t", key), 0);
    key[strlen(key) - 1] = '\0';
    key[strlen(key) - 1] = 'b';
    assert_int_equal(routed("t", key), 1);
    memset(key, '.', MESSAGE_NAME_MAX); // 256 empty words
    key[MESSAGE_NAME_MAX] = '\0';
    assert_int_equal(routed("t", key), 0);
}

// Celery's delayed delivery: 28 levels, each with a queue for its bit and the next level for the
// rest of the key.
static void test_delayed_delivery(void **state)
{
    (void)state;
    for (int level = 27; level >= 0; level--) {
        char name[32], below[32], key[TEXT_SIZE] = "";
        (void)snprintf(name, sizeof name, "celery_delayed_%d", level);
        (void)snprintf(below, sizeof below, level > 0 ? "celery_delayed_%d" : "celery_delivery",
                       level - 1);
        exchange_make(name, EXCHANGE_TOPIC);
        queue_add(name, (uint32_t)level);
        for (int i = 0; i < 27 - level; i++)
            add(key, "*.");
        add(key, "1.#");
        bind(name, name, key);
    }
    exchange_make("celery_delivery", EXCHANGE_TOPIC);
    for (int level = 27; level >= 0; level--) {
        char name[32], below[32], key[TEXT_SIZE] = "";
        (void)snprintf(name, sizeof name, "celery_delayed_%d", level);
        if (level > 0)
            (void)snprintf(below, sizeof below, "celery_delayed_%d", level - 1);
        else
            (void)snprintf(below, sizeof below, "celery_delivery");
        for (int i = 0; i < 27 - level; i++)
            add(key, "*.");
        add(key, "0.#");
        bind_exchange(name, below, key);
    }
    queue_add("celery", 100);
    bind("celery_delivery", "celery", "#.celery");
    char key[TEXT_SIZE] = "";
    for (int i = 27; i >= 0; i--)
        add(key, i == 3 ? "1." : "0.");
    add(key, "celery");
    assert_int_equal(routed("celery_delayed_27", key), 1);
    assert_true(reached(3));
    memset(key, 0, sizeof key);
    for (int i = 27; i >= 0; i--)
        add(key, "0.");
    add(key, "celery");
    assert_int_equal(routed("celery_delayed_27", key), 1);
    assert_true(reached(100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_topic_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_topic_random, setup, teardown),
        cmocka_unit_test_setup_teardown(test_topic_hostile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delayed_delivery, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
