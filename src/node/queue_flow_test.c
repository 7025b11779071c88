// SPDX-License-Identifier: Apache-2.0
//
// Messages through a node of three shards: published on any, queued on any, consumed on any; given
// back, got one at a time, dead-lettered; queues that go meanwhile, restarts and power losses; and
// the same log by Kafka's road.
#include "node/rig_queue_test.h"

static void start(uint64_t seed)
{
    rig_init(&rig, seed, 3, NULL);
}

static uint32_t home_of(const struct uuid *queue)
{
    return node_shard_of_partition(rig.node, queue, 0);
}

// ---- publishing and consuming

static void test_any_shard_to_any_other(void **state)
{
    (void)state;
    struct uuid id;
    start(1);
    for (uint32_t n = 0; n < 18; n++) {
        char name[16];
        (void)snprintf(name, sizeof name, "q%u", n);
        declare_plain(name, n % 2 == 0, &id);
        struct taker t = {.shard = n / 2 % 3, .queue = id, .credit = 100};
        publish_texts(n / 6, name, "a", 10);
        expect_counts(&id, 10, 0);
        assert_int_equal(taker_start(&t), 0);
        taker_wait(&t, 10);
        expect_texts(&t, 0, "a", 0, 10);
        for (uint32_t i = 0; i < 10; i++) {
            assert_false(t.got[i].redelivered);
            assert_string_equal(t.got[i].key, ""); // the queue's own
        }
        expect_counts(&id, 0, 10);
        publish_texts(n / 6, name, "b", 10);
        taker_wait(&t, 20);
        expect_texts(&t, 10, "b", 0, 10);
        settle(&t, 0, 20, QUEUE_ACKNOWLEDGE);
        expect_counts(&id, 0, 0);
        taker_stop(&t);
        assert_int_equal(stats_of(&id).consumers, 0);
    }
    rig_fini(&rig);
}

static void test_credit_is_kept(void **state)
{
    (void)state;
    struct uuid id;
    start(2);
    declare_plain("q", true, &id);
    struct taker t = {.queue = id, .credit = 3};
    t.shard = (home_of(&id) + 1) % 3;
    publish_texts(0, "q", "m", 10);
    assert_int_equal(taker_start(&t), 0);
    idle(100);
    assert_int_equal(t.count, 3);
    settle(&t, 0, 3, QUEUE_ACKNOWLEDGE); // credit is another matter
    idle(100);
    assert_int_equal(t.count, 3);
    expect_counts(&id, 7, 0);
    taker_stop(&t);
    rig_fini(&rig);
}

static void test_a_taker_that_acks_gets_all(void **state)
{
    (void)state;
    struct uuid id;
    for (uint32_t seed = 3; seed < 9; seed++) {
        start(seed);
        declare_plain("q", seed % 2 == 0, &id);
        struct taker t = {.shard = seed % 3, .queue = id, .credit = 1 + seed % 3, .ack = true};
        publish_texts(0, "q", "m", 100);
        assert_int_equal(taker_start(&t), 0);
        taker_wait(&t, 100);
        expect_texts(&t, 0, "m", 0, 100);
        idle(100);
        expect_counts(&id, 0, 0);
        rig_fini(&rig); // the taker is still there
    }
}

static void test_gated(void **state)
{
    (void)state;
    struct uuid id;
    start(10);
    declare_plain("q", true, &id);
    struct taker t = {.queue = id, .gated = true, .grant = 4};
    t.shard = (home_of(&id) + 1) % 3;
    assert_int_equal(taker_start(&t), 0);
    publish_texts(0, "q", "m", 6);
    taker_wait(&t, 6);
    idle(100);
    assert_int_equal(t.unused, 2);
    taker_stop(&t);
    rig_fini(&rig);
}

// ---- receipts

static void publish_all_run(struct rig *r, struct shard *shard, void *arg)
{
    for (struct publishing **p = arg; *p != NULL; p++)
        publish_run(r, shard, *p);
}

static bool is_over(void *arg)
{
    return ((struct publishing *)arg)->over;
}

static void test_receipts(void **state)
{
    (void)state;
    struct uuid id;
    start(11);
    declare_plain("disk", true, &id);
    declare_plain("memory", false, NULL);
    struct publishing nobody = {.key = "nowhere", .prefix = "x", .count = 3};
    assert_int_equal(publish(0, &nobody), 0);
    assert_int_equal(nobody.queues, 0);
    struct publishing lost = {.exchange = "no such", .key = "disk", .prefix = "x", .count = 1};
    assert_int_equal(publish(0, &lost), ERR_NOT_FOUND);
    for (uint32_t shard = 0; shard < 3; shard++) {
        struct publishing disk = {.key = "disk", .prefix = "d", .count = 5};
        struct publishing swift = disk;
        swift.transient = true;
        struct publishing memory = disk;
        memory.key = "memory";
        struct publishing *all[] = {&disk, &swift, &memory, NULL};
        rig_on_shard(&rig, shard, publish_all_run, all);
        assert_false(disk.over); // what asks for no disk does not wait for it
        wait_for(is_over, &disk);
        assert_true(swift.over);
        assert_true(memory.over);
        for (uint32_t i = 0; i < 3; i++)
            assert_int_equal(all[i]->err != 0 ? all[i]->err : all[i]->receipt.err, 0);
    }
    idle(100);
    expect_counts(&id, 30, 0);
    rig_fini(&rig);
}

static void cancel_run(struct rig *r, struct shard *shard, void *arg)
{
    struct publishing *p = arg;
    p->receipt = (struct publish_receipt){.done = receipt_done};
    p->over = false;
    for (uint32_t i = 0; i < p->count; i++)
        assert_int_equal(publish_one(shard, p, i), 0);
    publish_receipt_cancel(shard, &p->receipt);
    assert_int_equal(p->receipt.flights, 0);
    r->done = true;
}

static void test_a_cancelled_receipt_is_not_touched(void **state)
{
    (void)state;
    struct uuid id;
    start(12);
    declare_plain("q", true, &id);
    // Large enough for several flights, some of which have left when it is cancelled.
    struct publishing *p = mem_zalloc(sizeof *p);
    *p = (struct publishing){.key = "q", .prefix = "c", .count = 100, .size = 100000};
    rig_on_shard(&rig, 0, cancel_run, p);
    assert_false(p->over);
    mem_free(p);
    idle(1000);
    expect_counts(&id, 100, 0);
    rig_fini(&rig);
}

static void test_limits_of_publishing(void **state)
{
    (void)state;
    static const char *const config[] = {"weir.journal.file.bytes=4194304", NULL};
    struct uuid id;
    rig_init(&rig, 13, 3, config);
    declare_plain("q", true, &id);
    const uint32_t most = (uint32_t)journal_body_max(4194304);
    struct publishing big = {.key = "q", .prefix = "b", .count = 1, .size = most - 300};
    assert_int_equal(publish(0, &big), 0); // whatever max.message.bytes says
    big.size = most;
    assert_int_equal(publish(0, &big), ERR_MESSAGE_TOO_LARGE);
    // More than a shard's share of memory in one turn.
    struct publishing flood = {.key = "q", .prefix = "f", .count = 400, .size = 100000};
    assert_int_equal(publish(1, &flood), ERR_BUDGET);
    struct publishing after = {.key = "q", .prefix = "a", .count = 1};
    assert_int_equal(publish(1, &after), 0);
    rig_fini(&rig);
}

// ---- one at a time

struct fetching {
    struct queue_fetch fetch;
    struct got got;
    struct taker *taker;           // gives back its first one just before
    struct publishing *publishing; // is done just before
};

static void fetch_done(struct queue_fetch *fetch)
{
    struct fetching *f = CONTAINER_OF(fetch, struct fetching, fetch);
    if (fetch->err == 0 && !fetch->empty) {
        got_note(&f->got, &fetch->queue, &fetch->delivery);
        blob_unref(fetch->delivery.blob);
    }
    rig.done = true;
}

static void fetch_run(struct rig *r, struct shard *shard, void *arg)
{
    struct fetching *f = arg;
    (void)r;
    f->fetch.done = fetch_done;
    if (f->taker != NULL)
        queue_settle_at(shard, &f->fetch.queue, f->taker->holder, f->taker->got[0].level,
                        f->taker->got[0].offset, QUEUE_RELEASE);
    for (uint32_t i = 0; f->publishing != NULL && i < f->publishing->count; i++)
        assert_int_equal(publish_one(shard, f->publishing, i), 0);
    queue_fetch_start(shard, &f->fetch);
}

static struct fetching fetch_at(uint32_t shard, const struct uuid *queue, uint64_t owner,
                                struct taker *taker)
{
    static struct fetching f;
    f = (struct fetching){.fetch = {.queue = *queue, .owner = owner, .no_ack = true},
                          .taker = taker};
    f.fetch.holder = 1000 + shard;
    rig_on_shard(&rig, shard, fetch_run, &f);
    return f;
}

static struct queue_change redeclared;
static struct queue_ask purged;

static void publish_then_declare(struct rig *r, struct shard *shard, void *arg)
{
    publish_run(r, shard, arg);
    r->done = false;
    redeclared = (struct queue_change){.kind = QUEUE_DECLARE};
    redeclared.queue = *queue_by_name(shard, VHOST, slice_cstr("q"));
    change_run(r, shard, &redeclared);
}

static void publish_then_purge(struct rig *r, struct shard *shard, void *arg)
{
    publish_run(r, shard, arg);
    r->done = false;
    purged = (struct queue_ask){.id = queue_by_name(shard, VHOST, slice_cstr("q"))->id};
    purged.purge = true;
    ask_run(r, shard, &purged);
}

static void test_fetch(void **state)
{
    (void)state;
    struct uuid id;
    start(14);
    declare_plain("q", true, &id);
    const struct uuid none = {{8}};
    for (uint32_t shard = 0; shard < 3; shard++) {
        assert_int_equal(fetch_at(shard, &none, 0, NULL).fetch.err, ERR_NOT_FOUND);
        assert_true(fetch_at(shard, &id, 0, NULL).fetch.empty);
        publish_texts(shard, "q", "g", 3);
        struct fetching f = fetch_at(shard, &id, 0, NULL);
        assert_int_equal(f.fetch.err, 0);
        assert_false(f.fetch.empty);
        assert_string_equal(f.got.text, "g0");
        assert_int_equal(f.fetch.ready_left, 2);
        struct taker t = {.shard = shard, .queue = id, .credit = 2};
        assert_int_equal(taker_start(&t), 0);
        taker_wait(&t, 2);
        assert_true(fetch_at(shard, &id, 0, NULL).fetch.empty);
        // What was given back before in the same turn is there.
        f = fetch_at(shard, &id, 0, &t);
        assert_false(f.fetch.empty);
        assert_string_equal(f.got.text, "g1");
        assert_true(f.got.redelivered);
        settle(&t, 1, 2, QUEUE_ACKNOWLEDGE);
        taker_stop(&t);
        expect_counts(&id, 0, 0);
    }
    rig_fini(&rig);
}

// As in RabbitMQ a connection finds in a queue what it has just published to it.
static void test_nothing_overtakes_a_publish(void **state)
{
    (void)state;
    struct uuid id;
    start(16);
    declare_plain("q", true, &id);
    for (uint32_t shard = 0; shard < 3; shard++) {
        struct publishing p = {.key = "q", .prefix = "p", .count = 3, .no_receipt = true};
        static struct fetching f;
        f = (struct fetching){.fetch = {.queue = id, .no_ack = true}, .publishing = &p};
        rig_on_shard(&rig, shard, fetch_run, &f);
        assert_false(f.fetch.empty);
        assert_string_equal(f.got.text, "p0");
        assert_int_equal(f.fetch.ready_left, 2);
        rig_on_shard(&rig, shard, publish_then_declare, &p);
        assert_int_equal(redeclared.err, 0);
        assert_int_equal(redeclared.messages, 5);
        rig_on_shard(&rig, shard, publish_then_purge, &p);
        assert_int_equal(purged.purged, 8);
    }
    rig_fini(&rig);
}

// ---- whose a queue is

static void test_exclusive(void **state)
{
    (void)state;
    struct uuid id;
    start(15);
    const struct queue_facts facts = {
        .name = slice_cstr("mine"), .exclusive = true, .owner = 77, .settings = plain};
    assert_int_equal(declare(facts, &id), 0);
    for (uint32_t shard = 0; shard < 3; shard++) {
        struct taker stranger = {.shard = shard, .queue = id, .owner = 78};
        struct taker owner = {.shard = shard, .queue = id, .owner = 77, .exclusive = true};
        struct taker second = owner;
        assert_int_equal(taker_start(&stranger), ERR_RESOURCE_LOCKED);
        assert_int_equal(fetch_at(shard, &id, 78, NULL).fetch.err, ERR_RESOURCE_LOCKED);
        assert_int_equal(fetch_at(shard, &id, 77, NULL).fetch.err, 0);
        assert_int_equal(taker_start(&owner), 0);
        assert_int_equal(taker_start(&second), ERR_ACCESS_REFUSED);
        taker_stop(&stranger);
        taker_stop(&second);
        taker_stop(&owner);
    }
    struct taker lost = {.queue = {{1, 2, 3}}};
    assert_int_equal(taker_start(&lost), ERR_NOT_FOUND);
    taker_stop(&lost);
    rig_fini(&rig);
}

// ---- given back

static void leave_at_once(struct rig *r, struct shard *shard, void *arg)
{
    struct taker *t = arg;
    taker_run(r, shard, t);
    queue_unsubscribe(t->sub, taker_left, t);
}

// A taker that leaves while its messages are on their way loses none of them.
static void test_leaving_gives_back(void **state)
{
    (void)state;
    struct uuid id;
    for (uint32_t seed = 20; seed < 40; seed++) {
        start(seed);
        declare_plain("q", seed % 2 == 0, &id);
        publish_texts(0, "q", "m", 20);
        struct taker hasty = {.shard = seed % 3, .queue = id, .credit = 7};
        struct taker gone = hasty, last = {.shard = 0, .queue = id, .credit = 50};
        rig_on_shard(&rig, hasty.shard, leave_at_once, &hasty);
        assert_false(hasty.attached);
        assert_int_equal(taker_start(&gone), 0);
        taker_stop(&gone); // some are there, others on their way
        settle(&gone, 0, gone.count, QUEUE_RELEASE);
        expect_counts(&id, 20, 0);
        struct taker swift = {.shard = seed % 3, .queue = id, .credit = 7, .no_ack = true};
        assert_int_equal(taker_start(&swift), 0);
        taker_stop(&swift);
        expect_counts(&id, 20 - swift.count, 0);
        assert_int_equal(taker_start(&last), 0);
        taker_wait(&last, 20 - swift.count);
        expect_texts(&last, 0, "m", swift.count, last.count);
        taker_stop(&last);
        rig_fini(&rig);
    }
}

static void test_requeue_comes_again(void **state)
{
    (void)state;
    struct uuid id;
    start(41);
    declare_plain("q", true, &id);
    publish_texts(0, "q", "m", 5);
    struct taker t = {.shard = 2, .queue = id, .credit = 8};
    assert_int_equal(taker_start(&t), 0);
    taker_wait(&t, 5);
    settle(&t, 1, 4, QUEUE_RELEASE);
    taker_wait(&t, 8);
    expect_texts(&t, 5, "m", 1, 3);
    for (uint32_t i = 5; i < 8; i++)
        assert_true(t.got[i].redelivered);
    settle(&t, 0, 1, QUEUE_ACKNOWLEDGE);
    settle(&t, 4, 8, QUEUE_ACKNOWLEDGE);
    expect_counts(&id, 0, 0);
    taker_stop(&t);
    rig_fini(&rig);
}

// ---- dead letters

static void test_dead_letters(void **state)
{
    (void)state;
    struct uuid source, grave;
    start(42);
    declare_plain("grave", true, &grave);
    struct queue_facts facts = {.name = slice_cstr("source"), .durable = true, .settings = plain};
    facts.settings.dead_letter = true;
    facts.settings.dead_key = slice_cstr("grave");
    facts.settings.message_ttl_ms = 500;
    assert_int_equal(declare(facts, &source), 0);
    struct taker t = {.shard = 1, .queue = source, .credit = 2};
    struct taker g = {.shard = 2, .queue = grave, .credit = 100};
    assert_int_equal(taker_start(&t), 0);
    assert_int_equal(taker_start(&g), 0);
    publish_texts(0, "source", "m", 4);
    taker_wait(&t, 2);
    settle(&t, 0, 1, QUEUE_REJECT);
    taker_wait(&g, 1);
    expect_texts(&g, 0, "m", 0, 1);
    assert_int_equal(g.got[0].deaths, 1);
    taker_wait(&g, 3); // two that nobody took expire; one is leased and does not
    expect_texts(&g, 1, "m", 2, 2);
    idle(100);
    expect_counts(&source, 0, 1);
    expect_counts(&grave, 0, 3);
    assert_int_equal(stats_of(&source).dead_lettered, 3);
    assert_int_equal(delete_queue("grave"), 0);
    settle(&t, 1, 2, QUEUE_REJECT); // nobody takes it now: dropped
    idle(100);
    expect_counts(&source, 0, 0);
    assert_true(g.cancelled);
    rig_fini(&rig);
}

static void test_priority_goes_on(void **state)
{
    (void)state;
    struct uuid grave, source;
    start(43);
    struct queue_facts facts = {.name = slice_cstr("grave"), .settings = plain, .levels = 6};
    assert_int_equal(declare(facts, &grave), 0);
    facts = (struct queue_facts){.name = slice_cstr("source"), .durable = true, .settings = plain};
    facts.settings.dead_letter = true;
    facts.settings.dead_key = slice_cstr("grave");
    facts.settings.message_ttl_ms = 100;
    assert_int_equal(declare(facts, &source), 0); // has no levels: the message remembers
    for (uint8_t priority = 0; priority < 9; priority++) {
        struct publishing p = {.key = "source", .prefix = "p", .count = 1, .priority = priority};
        assert_int_equal(publish(priority % 3, &p), 0);
    }
    idle(500);
    expect_counts(&grave, 9, 0);
    struct taker t = {.shard = 1, .queue = grave, .credit = 100};
    assert_int_equal(taker_start(&t), 0);
    taker_wait(&t, 9);
    static const int32_t levels[] = {5, 5, 5, 5, 4, 3, 2, 1, 0}; // what is too high is cut
    for (uint32_t i = 0; i < 9; i++)
        assert_int_equal(t.got[i].level, levels[i]);
    rig_fini(&rig);
}

// It would expire, come back and expire again: RabbitMQ drops it. A reject is somebody's will.
static void test_dead_letters_in_circles(void **state)
{
    (void)state;
    struct uuid id;
    start(43);
    struct queue_facts facts = {.name = slice_cstr("round"), .durable = true, .settings = plain};
    facts.settings.dead_letter = true;
    facts.settings.dead_key = slice_cstr("round");
    facts.settings.message_ttl_ms = 300;
    assert_int_equal(declare(facts, &id), 0);
    publish_texts(0, "round", "m", 2);
    idle(1000);
    expect_counts(&id, 0, 0);
    assert_int_equal(stats_of(&id).expired, 2);
    struct taker t = {.shard = 1, .queue = id, .credit = 3};
    assert_int_equal(taker_start(&t), 0);
    publish_texts(0, "round", "m", 1);
    taker_wait(&t, 1);
    settle(&t, 0, 1, QUEUE_REJECT);
    taker_wait(&t, 2);
    settle(&t, 1, 2, QUEUE_REJECT);
    taker_wait(&t, 3);
    assert_int_equal(t.got[2].deaths, 1); // twice of one kind
    rig_fini(&rig);
}

// ---- queues that go

static void test_deleted_meanwhile(void **state)
{
    (void)state;
    struct uuid id;
    for (uint32_t seed = 50; seed < 60; seed++) {
        start(seed);
        declare_plain("q", seed % 2 == 0, &id);
        struct taker t = {.shard = seed % 3, .queue = id, .credit = 5};
        publish_texts(0, "q", "m", 10);
        assert_int_equal(taker_start(&t), 0);
        taker_wait(&t, 5);
        struct publishing late = {.key = "q", .prefix = "l", .count = 50};
        rig.msg.run = rig_arrived; // published while the deletion is under way
        rig.run = publish_run;
        rig.run_shard = (uint32_t)(seed + 1) % 3;
        rig.arg = &late;
        static struct queue_change change;
        change = (struct queue_change){.kind = QUEUE_DELETE, .done = change_done};
        change.queue.vhost = VHOST;
        change.queue.name = slice_cstr("q");
        queue_change_start(node_shard(rig.node, 0), &change);
        io_post(shard_io(node_shard(rig.node, rig.run_shard)), &rig.msg);
        idle(1000);
        assert_int_equal(change.err, 0);
        assert_true(late.over);
        assert_int_equal(late.err, 0); // RabbitMQ confirms what a queue that is gone would have had
        assert_int_equal(late.receipt.err, 0);
        assert_true(t.cancelled);
        settle(&t, 0, 5, QUEUE_ACKNOWLEDGE); // nobody minds
        taker_stop(&t);
        assert_int_equal(fetch_at(1, &id, 0, NULL).fetch.err, ERR_NOT_FOUND);
        rig_fini(&rig);
    }
}

static bool queue_is_gone(void *arg)
{
    for (uint32_t i = 0; i < 3; i++)
        if (queue_by_name(node_shard(rig.node, i), VHOST, slice_cstr(arg)) != NULL)
            return false;
    return true;
}

static void test_unused_queues_go(void **state)
{
    (void)state;
    struct uuid id;
    static char idle_name[] = "idle", last_name[] = "last";
    start(61);
    struct queue_facts facts = {.name = slice_cstr(idle_name), .settings = plain};
    facts.settings.expires_ms = 2000;
    assert_int_equal(declare(facts, NULL), 0);
    facts = (struct queue_facts){.name = slice_cstr(last_name), .durable = true, .settings = plain};
    facts.auto_delete = facts.settings.auto_delete = true;
    assert_int_equal(declare(facts, &id), 0);
    idle(1000);
    assert_false(queue_is_gone(idle_name));
    wait_for(queue_is_gone, idle_name);
    assert_false(queue_is_gone(last_name)); // nobody has used it yet
    struct taker t = {.shard = 2, .queue = id};
    assert_int_equal(taker_start(&t), 0);
    taker_stop(&t);
    wait_for(queue_is_gone, last_name);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_shard_to_any_other),
        cmocka_unit_test(test_credit_is_kept),
        cmocka_unit_test(test_a_taker_that_acks_gets_all),
        cmocka_unit_test(test_gated),
        cmocka_unit_test(test_receipts),
        cmocka_unit_test(test_a_cancelled_receipt_is_not_touched),
        cmocka_unit_test(test_limits_of_publishing),
        cmocka_unit_test(test_fetch),
        cmocka_unit_test(test_nothing_overtakes_a_publish),
        cmocka_unit_test(test_exclusive),
        cmocka_unit_test(test_leaving_gives_back),
        cmocka_unit_test(test_requeue_comes_again),
        cmocka_unit_test(test_dead_letters),
        cmocka_unit_test(test_priority_goes_on),
        cmocka_unit_test(test_dead_letters_in_circles),
        cmocka_unit_test(test_deleted_meanwhile),
        cmocka_unit_test(test_unused_queues_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
