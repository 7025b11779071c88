// SPDX-License-Identifier: Apache-2.0
//
// Queues on real threads: three shards that publish to each other's queues, consume from each
// other's queues, give back, leave and come again, all at once. What it is about is what the
// sanitizers say; that every message is acknowledged once is checked besides.
#include "io/real_testing.h"

#include <stdatomic.h>

#include "base/err.h"
#include "base/mem.h"
#include "node/queues.h"

enum { SHARDS = 3, QUEUES = 3, MESSAGES = 2000, CHUNK = 20, CREDIT = 10, LEAVE_EVERY = 500 };

struct reader { // of one queue on one shard
    struct party *party;
    uint32_t queue;
    struct queue_subscription *sub;
    uint32_t taken;
    bool leaving, over;
};

struct party { // what a shard does
    struct shard *shard;
    struct io_msg msg;
    struct publish_receipt receipt;
    struct queue_fetch fetch;
    struct reader readers[QUEUES];
    uint64_t holder;
    uint32_t sent, chunk, acked, seen, confirmed;
    bool fetching;
};

static struct node *node;
static struct party parties[SHARDS];
static const char *const names[QUEUES] = {"disk", "other disk", "memory"};
static struct uuid ids[QUEUES];
static _Atomic(uint32_t) acked_total, quiet_total;
static sem_t started, acked_all, all_quiet, stopped;

// ---- publishing

static void chunk_publish(struct party *p)
{
    const struct publish publish = {
        .vhost = slice_cstr("/"),
        .message = {.exchange = slice_cstr(""),
                    .routing_key = slice_cstr(names[p->chunk++ % QUEUES]),
                    .body = slice_cstr("some work"),
                    .published_ms = io_wall_ms(shard_io(p->shard)),
                    .expires_ms = -1},
        .persistent = p->chunk % 2 == 0,
    };
    for (uint32_t i = 0; i < CHUNK; i++) {
        uint32_t queues = 0;
        assert_int_equal(publish_add(p->shard, &publish, &p->receipt, &queues), 0);
        assert_int_equal(queues, 1);
    }
    p->sent += CHUNK;
}

static void chunk_confirmed(struct publish_receipt *receipt)
{
    struct party *p = CONTAINER_OF(receipt, struct party, receipt);
    assert_int_equal(receipt->err, 0);
    p->confirmed += CHUNK;
    if (p->sent < MESSAGES)
        chunk_publish(p);
}

// ---- consuming

static void settled(struct party *p, uint32_t queue, const struct queue_delivery *d)
{
    bool back = ++p->seen % 7 == 0 && !d->redelivered;
    queue_settle_at(p->shard, &ids[queue], p->holder, d->level, d->offset,
                    back ? QUEUE_RELEASE : QUEUE_ACKNOWLEDGE);
    if (back)
        return;
    p->acked++;
    if (atomic_fetch_add(&acked_total, 1) + 1 == SHARDS * MESSAGES)
        sem_post(&acked_all);
}

static void reader_subscribe(struct reader *r);

static void reader_left(void *arg)
{
    struct reader *r = arg;
    r->leaving = false;
    if (!r->over)
        reader_subscribe(r);
    else if (atomic_fetch_add(&quiet_total, 1) + 1 == SHARDS * QUEUES)
        sem_post(&all_quiet);
}

static void fetched(struct queue_fetch *fetch)
{
    struct party *p = CONTAINER_OF(fetch, struct party, fetch);
    assert_int_equal(fetch->err, 0);
    p->fetching = false;
    if (fetch->empty)
        return;
    settled(p, 0, &fetch->delivery);
    blob_unref(fetch->delivery.blob);
}

static void reader_deliver(void *arg, const struct queue_delivery *deliveries, uint32_t count)
{
    struct reader *r = arg;
    uint32_t before = r->taken;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(slice_eq_cstr(deliveries[i].message.body, "some work"));
        settled(r->party, r->queue, &deliveries[i]);
    }
    r->taken += count;
    queue_subscription_set_credit(r->sub, CREDIT);
    if (before / LEAVE_EVERY == r->taken / LEAVE_EVERY)
        return;
    r->leaving = true;
    queue_unsubscribe(r->sub, reader_left, r);
    if (r->party->fetching)
        return;
    r->party->fetching = true;
    queue_fetch_start(r->party->shard, &r->party->fetch);
}

static void reader_attached(void *arg, int err)
{
    (void)arg;
    assert_int_equal(err, 0);
}

static void reader_subscribe(struct reader *r)
{
    const struct queue_subscription_options o = {
        .queue = ids[r->queue],
        .holder = r->party->holder,
        .credit = CREDIT,
        .arg = r,
        .attached = reader_attached,
        .deliver = reader_deliver,
    };
    queue_subscribe(r->party->shard, &o, &r->sub);
}

static void party_begin(struct io_msg *msg)
{
    struct party *p = CONTAINER_OF(msg, struct party, msg);
    p->holder = node_holder_new(p->shard);
    p->receipt.done = chunk_confirmed;
    p->fetch = (struct queue_fetch){.queue = ids[0], .holder = p->holder, .done = fetched};
    for (uint32_t i = 0; i < QUEUES; i++) {
        p->readers[i] = (struct reader){.party = p, .queue = i};
        reader_subscribe(&p->readers[i]);
    }
    chunk_publish(p);
}

static void party_end(struct io_msg *msg)
{
    struct party *p = CONTAINER_OF(msg, struct party, msg);
    for (uint32_t i = 0; i < QUEUES; i++) {
        p->readers[i].over = true;
        if (!p->readers[i].leaving)
            queue_unsubscribe(p->readers[i].sub, reader_left, &p->readers[i]);
    }
}

// ---- the node

static void on_started(void *arg, int err, const char *what)
{
    (void)arg;
    (void)what;
    assert_int_equal(err, 0);
    sem_post(&started);
}

static void on_stopped(void *arg)
{
    (void)arg;
    sem_post(&stopped);
}

static void on_failed(void *arg, int err, const char *what)
{
    (void)arg;
    (void)err;
    fail_msg("%s", what);
}

static void change_done(struct queue_change *change)
{
    assert_int_equal(change->err, 0);
    sem_post(&started);
}

static void declare_run(struct io_msg *msg)
{
    (void)msg;
    static struct queue_change changes[QUEUES];
    for (uint32_t i = 0; i < QUEUES; i++) {
        changes[i] = (struct queue_change){.kind = QUEUE_DECLARE, .done = change_done};
        changes[i].queue = (struct queue_facts){
            .vhost = slice_cstr("/"),
            .name = slice_cstr(names[i]),
            .durable = i < 2,
            .levels = 1,
            .settings = {.message_ttl_ms = -1,
                         .expires_ms = -1,
                         .max_length = -1,
                         .max_length_bytes = -1},
        };
        queue_change_start(node_shard(node, 0), &changes[i]);
    }
}

static void ids_read(struct io_msg *msg)
{
    (void)msg;
    for (uint32_t i = 0; i < QUEUES; i++)
        ids[i] = queue_by_name(node_shard(node, 0), slice_cstr("/"), slice_cstr(names[i]))->id;
    sem_post(&started);
}

static void wait_times(sem_t *sem, uint32_t times)
{
    while (times > 0)
        times -= sem_wait(sem) == 0;
}

static void on_shard(uint32_t index, struct io_msg *msg, void (*run)(struct io_msg *msg))
{
    msg->run = run;
    io_post(shard_io(node_shard(node, index)), msg);
}

static void parties_run(void (*run)(struct io_msg *msg))
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        parties[i].shard = node_shard(node, i);
        on_shard(i, &parties[i].msg, run);
    }
}

static void test_threads(void **state)
{
    (void)state;
    struct io_msg msg;
    char *why = NULL;
    const struct node_options o = {
        .world = world,
        .shards_count = SHARDS,
        .memory_bytes = 64 << 20,
        .started = on_started,
        .failed = on_failed,
    };
    sem_t *sems[] = {&started, &acked_all, &all_quiet, &stopped};
    for (size_t i = 0; i < sizeof sems / sizeof sems[0]; i++)
        assert_int_equal(sem_init(sems[i], 0, 0), 0);
    assert_int_equal(node_create(&o, &node, &why), 0);
    wait_times(&started, 1);
    on_shard(0, &msg, declare_run);
    wait_times(&started, QUEUES);
    on_shard(0, &msg, ids_read);
    wait_times(&started, 1);
    parties_run(party_begin);
    wait_times(&acked_all, 1);
    parties_run(party_end);
    wait_times(&all_quiet, 1);
    node_stop(node, on_stopped, NULL);
    wait_times(&stopped, 1);
    node_destroy(node);
    uint32_t acked = 0;
    for (uint32_t i = 0; i < SHARDS; i++) {
        assert_int_equal(parties[i].confirmed, MESSAGES);
        acked += parties[i].acked;
    }
    assert_int_equal(acked, SHARDS * MESSAGES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
