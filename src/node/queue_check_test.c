// SPDX-License-Identifier: Apache-2.0
//
// What `weir check` finds in the records of queues: nothing in a store as it should be, and each
// thing that does not fit.
#include "node/queue_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "log/frames.h"
#include "node/node_int.h"
#include "queue/lease_format.h"

static const struct uuid orders_id = {{8, 1}}, other_id = {{8, 2}}, exchange_id = {{7}};
static char last_fault[256];

static void note(void *arg, const char *what)
{
    (void)arg;
    slice_to_cstr(slice_cstr(what), last_fault, sizeof last_fault);
}

static void put(struct queue_check *c, uint8_t kind, struct slice key, struct slice value)
{
    const struct state_record record = {kind, key, value};
    queue_check_record(c, &record);
}

static struct slice id_slice(const struct uuid *id)
{
    return slice_of(id->bytes, sizeof id->bytes);
}

static void put_topic(struct queue_check *c, const struct uuid *id, uint32_t partitions)
{
    struct buf value;
    const struct topic topic = {
        .id = *id, .name = slice_cstr("orders"), .partitions_count = partitions};
    buf_init(&value, 1U << 20);
    topic_record_put(&topic, &value);
    put(c, STATE_TOPIC, id_slice(id), buf_slice(&value));
    buf_fini(&value);
}

static void put_queue(struct queue_check *c, const struct uuid *id, const char *name,
                      uint32_t levels)
{
    struct buf value;
    const struct queue_facts facts = {.id = *id,
                                      .vhost = slice_cstr("/"),
                                      .name = slice_cstr(name),
                                      .durable = true,
                                      .levels = levels,
                                      .settings = {.message_ttl_ms = -1}};
    buf_init(&value, 1U << 20);
    queue_record_put(&facts, &value);
    put(c, STATE_QUEUE, id_slice(id), buf_slice(&value));
    buf_fini(&value);
}

static void put_exchange(struct queue_check *c, const struct uuid *id)
{
    struct buf value;
    const struct exchange x = {.id = *id,
                               .vhost = slice_cstr("/"),
                               .name = slice_cstr("news"),
                               .type = EXCHANGE_TOPIC,
                               .durable = true};
    buf_init(&value, 1U << 20);
    exchange_record_put(&x, &value);
    put(c, STATE_EXCHANGE, id_slice(id), buf_slice(&value));
    buf_fini(&value);
}

static void put_binding(struct queue_check *c, const struct uuid *destination)
{
    struct buf key, value;
    const struct exchange_binding b = {.vhost = slice_cstr("/"),
                                       .source = slice_cstr("news"),
                                       .destination = slice_cstr("orders"),
                                       .key = slice_cstr("#"),
                                       .durable = true};
    const struct binding_ends ends = {exchange_id, *destination};
    buf_init(&key, 1U << 20);
    buf_init(&value, 1U << 20);
    binding_record_key(&b, &ends, &key);
    binding_record_put(&b, &value);
    put(c, STATE_BINDING, buf_slice(&key), buf_slice(&value));
    buf_fini(&key);
    buf_fini(&value);
}

static void put_leases(struct queue_check *c, const struct uuid *id, int32_t level, int64_t start,
                       int64_t next)
{
    uint8_t key[LEASE_KEY_BYTES];
    struct buf value;
    const struct log_key log = {*id, level};
    const struct lease_state state = {.start = start, .next = next};
    lease_key_put(&log, key);
    buf_init(&value, 1U << 20);
    lease_state_put(&value, &state);
    put(c, STATE_LEASES, slice_of(key, sizeof key), buf_slice(&value));
    buf_fini(&value);
}

static void settled_frame(struct queue_check *c, int64_t from, int64_t to)
{
    uint8_t key[LEASE_KEY_BYTES];
    struct buf body;
    const struct log_key log = {orders_id, 0};
    int64_t last = 0;
    lease_key_put(&log, key);
    buf_init(&body, 1U << 20);
    lease_frame_begin(&body);
    lease_frame_put(&body, &last, (struct lease_range){from, to});
    const struct journal_replayed frame = {
        .kind = JOURNAL_LEASE, .head = slice_of(key, sizeof key), .body = buf_slice(&body)};
    queue_check_frame(c, &frame);
    buf_fini(&body);
}

static void batch_frame(struct queue_check *c, int64_t last_offset)
{
    uint8_t head[FRAME_BATCH_BYTES];
    const struct frame_batch f = {
        .key = {orders_id, 0}, .last_offset = last_offset, .size_bytes = 1000};
    frame_batch_put(head, &f);
    const struct journal_replayed frame = {.kind = JOURNAL_BATCH,
                                           .head = slice_of(head, sizeof head)};
    queue_check_frame(c, &frame);
}

// A store with one queue of a hundred messages, of which fifty are settled.
static struct queue_check *whole(void)
{
    struct queue_check *c = queue_check_create(note, NULL);
    put_leases(c, &orders_id, 0, 40, 60);
    put_queue(c, &orders_id, "orders", 1); // its topic may come later
    put_topic(c, &orders_id, 1);
    put_exchange(c, &exchange_id);
    put_binding(c, &orders_id);
    put_binding(c, &other_id);
    batch_frame(c, 99);
    settled_frame(c, 45, 50);
    return c;
}

static struct queue_check_counts finish(struct queue_check *c)
{
    struct queue_check_counts counts;
    last_fault[0] = '\0';
    queue_check_finish(c, &counts);
    queue_check_destroy(c);
    return counts;
}

static void expect_fault(struct queue_check *c, const char *words)
{
    assert_int_equal(finish(c).faults, 1);
    if (strstr(last_fault, words) == NULL)
        fail_msg("%s", last_fault);
}

static void test_whole(void **state)
{
    (void)state;
    struct queue_check_counts counts = finish(whole());
    assert_string_equal(last_fault, "");
    assert_int_equal(counts.faults, 0);
    assert_int_equal(counts.queues, 1);
    assert_int_equal(counts.exchanges, 1);
    assert_int_equal(counts.bindings, 2);
    assert_int_equal(counts.void_bindings, 1); // its queue was deleted
    assert_int_equal(counts.lease_sets, 1);
    struct queue_check *c = whole();
    settled_frame(c, 50, 150); // beyond the frames: the files know
    queue_check_log(c, &(struct log_key){orders_id, 0}, 150);
    assert_int_equal(finish(c).faults, 0);
    c = whole(); // deleted, all but what was settled in it
    settled_frame(c, 0, 1000);
    put(c, STATE_QUEUE, id_slice(&orders_id), SLICE_NULL);
    put(c, STATE_TOPIC, id_slice(&orders_id), SLICE_NULL);
    assert_int_equal(finish(c).faults, 0);
}

static void test_faults(void **state)
{
    (void)state;
    struct queue_check *c = whole();
    put(c, STATE_TOPIC, id_slice(&orders_id), SLICE_NULL);
    expect_fault(c, "has no topic");
    c = whole();
    put_topic(c, &orders_id, 2);
    expect_fault(c, "has 1 levels, its topic 2 partitions");
    c = whole();
    put_queue(c, &other_id, "orders", 1);
    put_topic(c, &other_id, 1);
    expect_fault(c, "the name of another");
    c = whole();
    put_exchange(c, &other_id);
    expect_fault(c, "the name of another");
    c = whole();
    settled_frame(c, 90, 101);
    expect_fault(c, "up to offset 101");
    c = whole();
    put_leases(c, &orders_id, 0, 40, 101);
    expect_fault(c, "up to offset 101");
    c = whole();
    put_leases(c, &orders_id, 1, 1, 1);
    expect_fault(c, "at level 1");
}

static void test_damage(void **state)
{
    (void)state;
    static const uint8_t kinds[] = {STATE_QUEUE, STATE_EXCHANGE, STATE_LEASES, STATE_BINDING};
    uint8_t key[LEASE_KEY_BYTES];
    lease_key_put(&(struct log_key){orders_id, 0}, key);
    for (size_t i = 0; i < sizeof kinds; i++) {
        struct queue_check *c = whole();
        size_t len = kinds[i] == STATE_LEASES ? sizeof key : sizeof orders_id.bytes;
        struct slice id = kinds[i] == STATE_EXCHANGE ? id_slice(&exchange_id) : slice_of(key, len);
        put(c, kinds[i], id, slice_cstr("\1nonsense"));
        expect_fault(c, err_text(ERR_CORRUPT));
    }
    struct queue_check *c = whole();
    const struct journal_replayed frame = {
        .kind = JOURNAL_LEASE, .head = slice_of(key, sizeof key), .body = slice_cstr("\1\1")};
    queue_check_frame(c, &frame);
    assert_int_equal(finish(c).faults, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
