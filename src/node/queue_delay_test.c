// SPDX-License-Identifier: Apache-2.0
//
// Messages that wait: none comes before its time or long after, over stops and power losses none is
// lost; what they carry comes along; what they wait in is nobody else's affair.
#include "node/queue_delay.h"

#include <stdlib.h>

#include "node/rig_queue_test.h"

// ---- the note

static void test_note(void **state)
{
    (void)state;
    const struct exchange_header headers[] = {{slice_cstr("kind"), slice_cstr("report")},
                                              {slice_cstr("empty"), slice_cstr("")}};
    const struct slice keys[] = {slice_cstr("one"), slice_cstr("")};
    const struct publish p = {
        .vhost = slice_cstr("staging"),
        .message = {.published_ms = 5000, .expires_ms = 65000},
        .priority = 7,
        .persistent = true,
        .headers = headers,
        .headers_count = 2,
        .extra_keys = keys,
        .extra_keys_count = 2,
    };
    struct buf out;
    struct delay_note note;
    struct exchange_header got[2];
    buf_init(&out, 4096);
    delay_note_put(&p, 123456789, &out);
    assert_int_equal(delay_note_get(buf_slice(&out), &note), 0);
    assert_int_equal(note.due_ms, 123456789);
    assert_int_equal(note.ttl_ms, 60000);
    assert_true(note.persistent && !note.internal);
    assert_int_equal(note.priority, 7);
    assert_true(slice_eq(note.vhost, p.vhost));
    assert_int_equal(note.keys_count, 2);
    assert_true(slice_eq(note.keys[0], keys[0]) && slice_eq(note.keys[1], keys[1]));
    assert_int_equal(note.headers_count, 2);
    delay_note_headers(&note, got);
    for (int i = 0; i < 2; i++)
        assert_true(slice_eq(got[i].name, headers[i].name) &&
                    slice_eq(got[i].value, headers[i].value));
    for (size_t len = 0; len < out.len; len++)
        assert_int_equal(delay_note_get(slice_of(out.data, len), &note), ERR_MALFORMED);
    buf_put_u8(&out, 0);
    assert_int_equal(delay_note_get(buf_slice(&out), &note), ERR_MALFORMED);
    out.data[0] = 2;
    out.len--;
    assert_int_equal(delay_note_get(buf_slice(&out), &note), ERR_MALFORMED);
    buf_fini(&out);
}

static void test_rungs(void **state)
{
    (void)state;
    static const struct {
        int64_t left_ms;
        uint32_t rung;
    } cases[] = {
        {0, 0},         {-5, 0},          {1, 0},          {999, 0},  {1000, 1},
        {1999, 1},      {2000, 2},        {3999, 2},       {4000, 3}, {3600000, 12},
        {86400000, 17}, {4294967295, 23}, {INT64_MAX, 23},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(delay_rung(cases[i].left_ms), cases[i].rung);
}

// ---- on the rig

static int change_of(struct queue_change *change)
{
    rig_on_shard(&rig, 2, change_run, change);
    return change->err;
}

static void delayed_exchange(const char *name, enum exchange_type type)
{
    static struct queue_change change;
    change = (struct queue_change){.kind = EXCHANGE_DECLARE};
    change.exchange = (struct exchange){.vhost = VHOST,
                                        .name = slice_cstr(name),
                                        .type = type,
                                        .durable = true,
                                        .delayed = true,
                                        .arguments = slice_cstr("")};
    assert_int_equal(change_of(&change), 0);
}

static void bind(const char *source, const char *queue, const char *key)
{
    static struct queue_change change;
    change = (struct queue_change){.kind = BINDING_ADD};
    change.binding = (struct exchange_binding){.vhost = VHOST,
                                               .source = slice_cstr(source),
                                               .destination = slice_cstr(queue),
                                               .key = slice_cstr(key),
                                               .arguments = slice_cstr("")};
    assert_int_equal(change_of(&change), 0);
}

struct late { // a message to be published late
    struct publish publish;
    struct publish_receipt receipt;
    int err;
    uint32_t queues;
};

static void late_durable(struct publish_receipt *receipt)
{
    (void)receipt;
    rig.done = true;
}

static void late_run(struct rig *r, struct shard *shard, void *arg)
{
    struct late *l = arg;
    l->receipt = (struct publish_receipt){.done = late_durable};
    l->publish.message.published_ms = io_wall_ms(shard_io(shard));
    if (l->publish.message.expires_ms > 0) // as a TTL
        l->publish.message.expires_ms += l->publish.message.published_ms;
    l->err = publish_add(shard, &l->publish, &l->receipt, &l->queues);
    if (l->receipt.flights == 0)
        r->done = true;
}

static int publish_late(struct late *l, uint32_t shard)
{
    rig_on_shard(&rig, shard, late_run, l);
    return l->err != 0 ? l->err : l->receipt.err;
}

static struct late late_message(const char *exchange, const char *text, int64_t delay_ms)
{
    return (struct late){.publish = {.vhost = VHOST,
                                     .message = {.exchange = slice_cstr(exchange),
                                                 .routing_key = slice_cstr("k"),
                                                 .body = slice_cstr(text),
                                                 .expires_ms = -1},
                                     .persistent = true,
                                     .delay_ms = delay_ms}};
}

static void publish_one_late(const char *exchange, const char *text, int64_t delay_ms)
{
    struct late l = late_message(exchange, text, delay_ms);
    assert_int_equal(publish_late(&l, (uint32_t)delay_ms % 3), 0);
    assert_int_equal(l.queues, 1);
}

static struct uuid q_id;

static long long number(const char *text)
{
    return strtoll(text, NULL, 10);
}

static void start(uint64_t seed)
{
    rig_init(&rig, seed, 3, NULL);
    delayed_exchange("later", EXCHANGE_TOPIC);
    declare_plain("q", true, &q_id);
    bind("later", "q", "#");
}

static uint64_t q_ready(void)
{
    return stats_of(&q_id).ready;
}

// Comes between `delay_ms` and a little later, not before.
static void expect_in(int64_t delay_ms)
{
    uint64_t before = q_ready();
    publish_one_late("later", "x", delay_ms);
    int64_t asked = sim_now_ns(rig.sim);
    idle(delay_ms - 50);
    assert_int_equal(q_ready(), before);
    idle(delay_ms / 50 + 200);
    if (q_ready() != before + 1)
        fail_msg("delay %lld: not there after %lld ms", (long long)delay_ms,
                 (long long)(sim_now_ns(rig.sim) - asked) / 1000000);
}

static void test_in_time(void **state)
{
    (void)state;
    static const int64_t delays[] = {60,    500,   999,    1000,    1001,    2500,
                                     10000, 65432, 600000, 3599999, 86400123};
    start(1);
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++)
        expect_in(delays[i]);
    rig_fini(&rig);
}

// A crowd of all delays: in order of their due times, none lost, none twice.
#define CROWD 400

static void test_crowd_in_order(void **state)
{
    (void)state;
    start(2);
    struct taker t = {.shard = 0, .queue = q_id, .credit = GOT_MAX, .ack = true};
    assert_int_equal(taker_start(&t), 0);
    int64_t began_ms = sim_now_ns(rig.sim) / 1000000;
    for (uint32_t i = 0; i < CROWD; i++) {
        char text[16];
        int64_t due_ms = 20000 + (i * 7919) % CROWD * 100;
        (void)snprintf(text, sizeof text, "%lld", (long long)due_ms);
        publish_one_late("later", text, began_ms + due_ms - sim_now_ns(rig.sim) / 1000000);
    }
    taker_wait(&t, CROWD);
    for (uint32_t i = 0; i < CROWD; i++)
        assert_int_equal(number(t.got[i].text), 20000 + i * 100);
    idle(2000);
    assert_int_equal(t.count, CROWD);
    rig_fini(&rig);
}

static void test_restarts(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 8; round++) {
        start(10 + round);
        for (uint32_t i = 0; i < 30; i++) {
            char text[16];
            (void)snprintf(text, sizeof text, "%u", i);
            publish_one_late("later", text, 300 + i * 1000);
        }
        for (uint32_t i = 0; i < 4; i++) {
            idle(1700 + 900 * round);
            if ((round + i) % 2 == 0)
                rig_stop(&rig);
            else
                rig_crash(&rig);
            rig.shards = 1 + (round + i) % 3;
            assert_int_equal(rig_start(&rig), 0);
        }
        rig_stop(&rig);
        rig.shards = 3;
        assert_int_equal(rig_start(&rig), 0);
        idle(40000);
        uint64_t there = q_ready();
        assert_true(there >= 30); // a crash may bring one twice
        struct taker t = {.shard = 1, .queue = q_id, .credit = GOT_MAX, .ack = true};
        assert_int_equal(taker_start(&t), 0);
        taker_wait(&t, (uint32_t)there);
        bool seen[30] = {false};
        for (uint32_t i = 0; i < there; i++)
            seen[number(t.got[i].text)] = true;
        for (uint32_t i = 0; i < 30; i++)
            assert_true(seen[i]);
        rig_fini(&rig);
    }
}

// More than a reader holds at once, of messages and of bytes.
static void test_many_and_large(void **state)
{
    (void)state;
    start(3);
    struct publishing p = {.exchange = "later", .key = "k", .prefix = "m", .count = 3000};
    p.delay_ms = 1500;
    assert_int_equal(publish(0, &p), 0);
    p.delay_ms = 500;
    p.count = 8;
    p.size = 500000;
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(publish(i % 3, &p), 0);
    idle(6000);
    assert_int_equal(q_ready(), 3032);
    rig_fini(&rig);
}

// ---- what comes along

static void test_what_comes_along(void **state)
{
    (void)state;
    start(4);
    delayed_exchange("by headers", EXCHANGE_HEADERS);
    struct queue_facts facts = {.name = slice_cstr("p"), .durable = true, .settings = plain};
    struct uuid p_id;
    facts.levels = 5;
    assert_int_equal(declare(facts, &p_id), 0);
    static struct queue_change change;
    const struct exchange_header wanted[] = {{slice_cstr("kind"), slice_cstr("report")}};
    change = (struct queue_change){.kind = BINDING_ADD};
    change.binding = (struct exchange_binding){.vhost = VHOST,
                                               .source = slice_cstr("by headers"),
                                               .destination = slice_cstr("p"),
                                               .match = MATCH_ALL,
                                               .headers = wanted,
                                               .headers_count = 1};
    assert_int_equal(change_of(&change), 0);
    struct late l = late_message("by headers", "first", 1200);
    struct buf own;
    buf_init(&own, 256);
    message_header_put(&own, slice_cstr("amq.own"), slice_cstr("kept"));
    l.publish.headers = wanted;
    l.publish.headers_count = 1;
    l.publish.priority = 3;
    l.publish.message.headers = buf_slice(&own);
    l.publish.message.headers_count = 1;
    assert_int_equal(publish_late(&l, 0), 0);
    idle(1500);
    struct taker t = {.shard = 1, .queue = p_id, .credit = 10};
    assert_int_equal(taker_start(&t), 0);
    taker_wait(&t, 1);
    assert_string_equal(t.got[0].text, "first");
    assert_string_equal(t.got[0].exchange, "by headers");
    assert_string_equal(t.got[0].key, "k");
    assert_int_equal(t.got[0].level, 3);
    assert_int_equal(t.got[0].headers, 1);
    buf_fini(&own);
    rig_fini(&rig);
}

// A TTL begins when the wait is over; further keys reach further queues; a message whose exchange
// is gone, or that no queue takes, is dropped.
static void test_what_becomes_of_it(void **state)
{
    (void)state;
    start(5);
    struct uuid direct_id, other_id;
    delayed_exchange("direct", EXCHANGE_DIRECT);
    declare_plain("r", true, &direct_id);
    declare_plain("s", true, &other_id);
    bind("direct", "r", "k");
    bind("direct", "s", "further");
    const struct slice further[] = {slice_cstr("further")};
    struct late l = late_message("direct", "x", 3000);
    l.publish.message.expires_ms = 500; // a TTL of half a second
    l.publish.extra_keys = further;
    l.publish.extra_keys_count = 1;
    assert_int_equal(publish_late(&l, 0), 0);
    idle(2900);
    expect_counts(&direct_id, 0, 0);
    idle(300);
    expect_counts(&direct_id, 1, 0);
    expect_counts(&other_id, 1, 0);
    idle(1500);
    expect_counts(&direct_id, 0, 0);

    l = late_message("direct", "nobody", 1500);
    l.publish.message.routing_key = slice_cstr("nobody");
    assert_int_equal(publish_late(&l, 1), 0);
    delayed_exchange("short-lived", EXCHANGE_FANOUT);
    bind("short-lived", "r", "");
    publish_one_late("short-lived", "gone", 1500);
    static struct queue_change change;
    change = (struct queue_change){.kind = EXCHANGE_DELETE};
    change.exchange = (struct exchange){.vhost = VHOST, .name = slice_cstr("short-lived")};
    assert_int_equal(change_of(&change), 0);
    idle(3000);
    expect_counts(&direct_id, 0, 0);
    l = late_message("short-lived", "never", 1500);
    assert_int_equal(publish_late(&l, 1), ERR_NOT_FOUND);
    rig_fini(&rig);
}

// ---- nobody else's affair

static bool shown_visible(void *arg, const struct queue_facts *facts)
{
    (void)arg;
    assert_false(facts->hidden);
    return true;
}

static void topic_deleted(struct topic_delete *r)
{
    (void)r;
    rig.done = true;
}

static void topic_delete_run(struct rig *r, struct shard *shard, void *arg)
{
    (void)r;
    ((struct topic_delete *)arg)->done = topic_deleted;
    topic_delete_start(shard, arg);
}

static void trimmed(struct scatter *s)
{
    (void)s;
    rig.done = true;
}

static void trim_run(struct rig *r, struct shard *shard, void *arg)
{
    struct scatter *s = arg;
    (void)r;
    s->done = trimmed;
    scatter_start(shard, s);
}

static void test_hidden(void **state)
{
    static const char *const any[] = {"weir.amqp.vhosts=*", NULL};
    (void)state;
    rig_init(&rig, 6, 3, any);
    assert_true(vhost_known(node_shard(rig.node, 0), VHOST));
    struct late l = late_message("amq.direct", "x", 1000);
    assert_int_equal(publish_late(&l, 0), ERR_UNSUPPORTED); // nothing waits before it is needed
    assert_int_equal(topic_count(node_shard(rig.node, 0)), 0);
    delayed_exchange("later", EXCHANGE_TOPIC);
    delayed_exchange("also later", EXCHANGE_TOPIC);
    for (int round = 0; round < 2; round++) {
        struct shard *shard = node_shard(rig.node, 1);
        assert_int_equal(queue_facts_count(shard), 0);
        queue_facts_each(shard, shown_visible, NULL);
        assert_false(vhost_known(shard, slice_cstr(DELAY_VHOST)));
        const struct topic *t = topic_by_name(shard, slice_cstr("weir.delay_v.0"));
        assert_non_null(t);
        assert_true(t->internal && t->queue);
        struct topic_delete r = {.name = slice_cstr("weir.delay_v.0")};
        rig_on_shard(&rig, 1, topic_delete_run, &r);
        assert_int_equal(r.err, ERR_POLICY_VIOLATION);
        struct trim_part part = {.part = {.topic = t->id, .current_leader_epoch = -1}};
        struct scatter trim = {.job = SCATTER_TRIM, .parts = &part, .parts_count = 1};
        rig_on_shard(&rig, 1, trim_run, &trim);
        assert_int_equal(part.part.err, ERR_INVALID_TOPIC_EXCEPTION);
        rig_crash(&rig);
        assert_int_equal(rig_start(&rig), 0);
    }
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_note),
        cmocka_unit_test(test_rungs),
        cmocka_unit_test(test_in_time),
        cmocka_unit_test(test_crowd_in_order),
        cmocka_unit_test(test_restarts),
        cmocka_unit_test(test_many_and_large),
        cmocka_unit_test(test_what_comes_along),
        cmocka_unit_test(test_what_becomes_of_it),
        cmocka_unit_test(test_hidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
