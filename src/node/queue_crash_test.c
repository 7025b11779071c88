// SPDX-License-Identifier: Apache-2.0
//
// Queues over stops and power losses, at rest and in the middle of traffic; and one topic with two
// readers: what Kafka's road writes is consumed, what is published is fetched.
#include "node/node_int.h"
#include "node/rig_queue_test.h"
#include "queue/lease_format.h"

static void start(uint64_t seed)
{
    rig_init(&rig, seed, 3, NULL);
}

static void restart(bool crash, uint32_t shards)
{
    if (crash)
        rig_crash(&rig);
    else
        rig_stop(&rig);
    rig.shards = shards;
    assert_int_equal(rig_start(&rig), 0);
}

static bool queue_there(const char *name, struct uuid *out_id)
{
    const struct queue_facts *facts =
        queue_by_name(node_shard(rig.node, 0), VHOST, slice_cstr(name));
    if (facts != NULL)
        *out_id = facts->id;
    return facts != NULL;
}

// Settled stays settled, the rest comes again in order; flagged after a power loss all of it, after
// a stop only what had been delivered.
static void test_restarts(void **state)
{
    (void)state;
    struct uuid id, again;
    for (uint32_t round = 0; round < 8; round++) {
        bool crash = round % 2 == 1;
        start(100 + round);
        declare_plain("q", true, &id);
        declare_plain("transient", false, NULL);
        publish_texts(0, "q", "m", 20);
        publish_texts(0, "transient", "m", 3);
        struct taker t = {.shard = 1, .queue = id, .credit = 10};
        assert_int_equal(taker_start(&t), 0);
        taker_wait(&t, 10);
        settle(&t, 0, 4, QUEUE_ACKNOWLEDGE);
        settle(&t, 6, 8, QUEUE_ACKNOWLEDGE);
        idle(round < 4 ? 200 : 20000); // with or without a checkpoint in between
        restart(crash, 2 + round % 3);
        assert_true(queue_there("q", &again));
        assert_true(uuid_eq(&id, &again));
        assert_false(queue_there("transient", &again));
        expect_counts(&id, 14, 0);
        struct taker u = {.shard = 0, .queue = id, .credit = 100};
        assert_int_equal(taker_start(&u), 0);
        taker_wait(&u, 14);
        expect_texts(&u, 0, "m", 4, 2);
        expect_texts(&u, 2, "m", 8, 12);
        for (uint32_t i = 0; i < 14; i++)
            assert_int_equal(u.got[i].redelivered, crash || i < 4);
        settle(&u, 0, 14, QUEUE_ACKNOWLEDGE);
        idle(200);
        restart(!crash, 3);
        expect_counts(&id, 0, 0);
        publish_texts(2, "q", "n", 1);
        expect_counts(&id, 1, 0);
        rig_fini(&rig);
    }
}

static void checkpoint_over(struct checkpoint_request *request)
{
    assert_int_equal(request->err, 0);
    rig.done = true;
}

static void checkpoint_run(struct rig *r, struct shard *shard, void *arg)
{
    struct checkpoint_request *request = arg;
    *request = (struct checkpoint_request){
        .reply_to = shard_io(shard), .urgent = true, .done = checkpoint_over};
    checkpoint_request(r->node->checkpointer, request);
}

// Nothing was journalled behind the last checkpoint: still it was no orderly stop.
static void test_crash_at_rest(void **state)
{
    (void)state;
    static struct checkpoint_request request;
    struct uuid id;
    for (uint32_t round = 0; round < 4; round++) {
        start(180 + round);
        declare_plain("q", true, &id);
        publish_texts(0, "q", "m", 5);
        if (round == 3) // an earlier stop was one
            restart(false, 3);
        rig_on_shard(&rig, 0, checkpoint_run, &request);
        struct taker t = {.shard = 1, .queue = id, .credit = 3};
        assert_int_equal(taker_start(&t), 0);
        taker_wait(&t, 3);
        if (round == 2) // its set is in the next one
            rig_on_shard(&rig, 0, checkpoint_run, &request);
        restart(round > 0, 3);
        struct taker u = {.shard = 0, .queue = id, .credit = 10};
        assert_int_equal(taker_start(&u), 0);
        taker_wait(&u, 5);
        for (uint32_t i = 0; i < 5; i++)
            assert_int_equal(u.got[i].redelivered, round > 0 || i < 3);
        rig_fini(&rig);
    }
}

// Traffic of all kinds, cut off or stopped anywhere: nothing confirmed is lost, and nothing is left
// in memory.
struct traffic {
    struct publishing p;
    uint32_t shard, confirmed, number;
    struct io_timer timer;
    bool on;
};

static void traffic_go(struct io_timer *timer)
{
    struct traffic *w = CONTAINER_OF(timer, struct traffic, timer);
    struct shard *shard = node_shard(rig.node, w->shard);
    io_timer_start(shard_io(shard), timer, io_now_ns(shard_io(shard)) + 300000);
    if (w->p.receipt.flights > 0)
        return;
    if (w->p.over && w->p.receipt.err == 0)
        w->confirmed = w->number;
    w->p.receipt = (struct publish_receipt){.done = receipt_done};
    w->p.over = false;
    for (int i = 0; i < 5; i++)
        assert_int_equal(publish_one(shard, &w->p, w->number++), 0);
}

static void traffic_run(struct rig *r, struct shard *shard, void *arg)
{
    struct traffic *w = arg;
    io_timer_init(&w->timer, traffic_go);
    io_timer_start(shard_io(shard), &w->timer, io_now_ns(shard_io(shard)));
    r->done = true;
}

static void test_ends_in_traffic(void **state)
{
    (void)state;
    static struct traffic w;
    static struct taker takers[3], last;
    struct uuid id;
    for (uint32_t seed = 200; seed < 260; seed++) {
        start(seed);
        declare_plain("q", true, &id);
        w = (struct traffic){.p = {.key = "q", .prefix = "m"}, .shard = seed % 3};
        for (uint32_t i = 0; i < 3; i++) {
            takers[i] = (struct taker){.shard = i, .queue = id, .credit = 3};
            assert_int_equal(taker_start(&takers[i]), 0);
        }
        rig_on_shard(&rig, w.shard, traffic_run, &w);
        (void)sim_run_until(rig.sim, sim_now_ns(rig.sim) + (seed % 20) * 517000, NULL, NULL);
        restart(seed % 3 != 0, 3);
        last = (struct taker){.shard = 1, .queue = id, .credit = GOT_MAX};
        assert_int_equal(taker_start(&last), 0);
        idle(500);
        assert_true(last.count >= w.confirmed);
        expect_texts(&last, 0, "m", 0, last.count);
        rig_fini(&rig);
    }
}

// ---- no room

static bool publish_over(void *arg)
{
    return ((struct publishing *)arg)->over;
}

static void publish_start_run(struct rig *r, struct shard *shard, void *arg)
{
    publish_run(r, shard, arg);
    r->done = true;
}

// A full disk holds messages up and loses none; what needs no disk goes on.
static void test_full_disk(void **state)
{
    (void)state;
    static struct taker t;
    struct uuid id;
    for (uint32_t shard = 0; shard < 3; shard++) {
        start(280 + shard);
        declare_plain("q", true, &id);
        declare_plain("memory", false, NULL);
        publish_texts(shard, "q", "m", 1);
        sim_disk_capacity(rig.machine, sim_disk_used(rig.machine));
        struct publishing p[40];
        char names[40][8];
        uint32_t waiting = 0;
        for (uint32_t i = 0; i < 40; i++) {
            (void)snprintf(names[i], sizeof names[i], "%u-", i);
            p[i] = (struct publishing){.key = "q", .prefix = names[i], .count = 1};
            p[i].size = 100000;
            rig_on_shard(&rig, shard, publish_start_run, &p[i]);
            assert_int_equal(p[i].err, 0);
            idle(50);
        }
        for (uint32_t i = 0; i < 40; i++)
            waiting += !p[i].over;
        assert_in_range(waiting, 1, 39);
        publish_texts(shard, "memory", "m", 3);
        sim_disk_capacity(rig.machine, 1U << 30);
        for (uint32_t i = 0; i < 40; i++) {
            wait_for(publish_over, &p[i]);
            assert_int_equal(p[i].receipt.err, 0);
        }
        t = (struct taker){.shard = 1, .queue = id, .credit = 100};
        assert_int_equal(taker_start(&t), 0);
        taker_wait(&t, 41);
        for (uint32_t i = 0; i < 40; i++)
            expect_texts(&t, i + 1, names[i], 0, 1); // in order
        rig_fini(&rig);
    }
}

// More than the memory for queues that are not durable: what has no room waits until older messages
// lie in files.
static void test_full_memory(void **state)
{
    (void)state;
    static struct taker t;
    struct uuid id;
    for (uint32_t shard = 0; shard < 3; shard++) {
        start(290 + shard);
        declare_plain("memory", false, &id);
        struct publishing p[20];
        char names[20][8];
        for (uint32_t i = 0; i < 20; i++) {
            (void)snprintf(names[i], sizeof names[i], "%u-", i);
            p[i] = (struct publishing){.key = "memory", .prefix = names[i], .count = 10};
            p[i].size = 100000;
            assert_int_equal(publish(shard, &p[i]), 0);
            while (shard_appends_blocked(node_shard(rig.node, shard)))
                idle(1);
        }
        t = (struct taker){.shard = 1, .queue = id, .credit = 200};
        assert_int_equal(taker_start(&t), 0);
        taker_wait(&t, 200);
        for (uint32_t i = 0; i < 20; i++)
            expect_texts(&t, i * 10, names[i], 0, 10); // in order
        rig_fini(&rig);
    }
}

// ---- two readers of one topic

static void produce_done(struct produce *r)
{
    (void)r;
    rig.done = true;
}

static void produce_run(struct rig *r, struct shard *shard, void *arg)
{
    struct produce *p = arg;
    (void)r;
    p->done = produce_done;
    produce_start(shard, p);
}

static int produce_text(const struct uuid *topic, const char *text)
{
    struct batch_builder bb;
    struct buf out;
    blob_build_begin(&out, 1U << 20);
    batch_build_begin(&bb, &out, BATCH_NONE, 1700000000000);
    batch_build_record(&bb, 1700000000000, slice_cstr("key"), slice_cstr(text), SLICE_NULL, 0);
    assert_int_equal(batch_build_end(&bb), 0);
    size_t len = out.len - BLOB_BUILD_AT;
    struct produce_part part = {.part = {.topic = *topic, .current_leader_epoch = -1}};
    part.records = (struct blob_piece){blob_build_end(&out, NULL), 0, len};
    struct produce r = {.parts = &part, .parts_count = 1, .acks = -1};
    rig_on_shard(&rig, 0, produce_run, &r);
    blob_unref(part.records.blob);
    return part.part.err;
}

static void fetch_done(struct fetch *r)
{
    (void)r;
    rig.done = true;
}

static void fetch_run(struct rig *r, struct shard *shard, void *arg)
{
    struct fetch *f = arg;
    (void)r;
    f->done = fetch_done;
    fetch_start(shard, f);
}

static uint32_t fetch_count(const struct uuid *topic, int64_t offset)
{
    struct fetch_part part = {.part = {.topic = *topic, .current_leader_epoch = -1},
                              .offset = offset,
                              .max_bytes = 1 << 20,
                              .last_fetched_epoch = -1};
    struct fetch f = {.parts = &part, .parts_count = 1, .max_bytes = 1 << 20};
    uint32_t count = 0;
    rig_on_shard(&rig, 2, fetch_run, &f);
    assert_int_equal(part.part.err, 0);
    for (uint32_t i = 0; i < part.read.pieces_count; i++) {
        struct slice bytes = blob_piece_slice(part.read.pieces[i]);
        for (struct batch b; bytes.len > 0;
             bytes = slice_of(bytes.data + b.size_bytes, bytes.len - b.size_bytes)) {
            assert_int_equal(batch_peek(bytes, &b), 0);
            assert_true(batch_crc_ok(slice_of(bytes.data, b.size_bytes)));
            count += (uint32_t)b.records_count;
        }
    }
    fetch_release(&f);
    return count;
}

static void test_one_topic_two_readers(void **state)
{
    (void)state;
    struct uuid id;
    start(300);
    declare_plain("orders", true, &id);
    const struct topic *topic = topic_by_name(node_shard(rig.node, 2), slice_cstr("orders"));
    assert_non_null(topic);
    assert_true(uuid_eq(&topic->id, &id));
    struct taker t = {.shard = 1, .queue = id, .credit = 10};
    assert_int_equal(taker_start(&t), 0);
    assert_int_equal(produce_text(&id, "from afar"), 0);
    taker_wait(&t, 1);
    assert_string_equal(t.got[0].text, "from afar");
    assert_string_equal(t.got[0].key, "");
    assert_false(t.got[0].redelivered);
    publish_texts(0, "orders", "m", 5);
    assert_int_equal(fetch_count(&id, 0), 6);
    taker_wait(&t, 6);
    rig_fini(&rig);
}

// ---- Kafka's DeleteRecords: what lies below the log's start is settled

static void trim_done(struct scatter *s)
{
    (void)s;
    rig.done = true;
}

static void trim_run(struct rig *r, struct shard *shard, void *arg)
{
    struct scatter *s = arg;
    (void)r;
    s->done = trim_done;
    scatter_start(shard, s);
}

static void delete_records(const struct uuid *id, int64_t offset)
{
    struct trim_part part = {.part = {.topic = *id, .current_leader_epoch = -1}, .offset = offset};
    struct scatter s = {.job = SCATTER_TRIM, .parts = &part, .parts_count = 1};
    rig_on_shard(&rig, 1, trim_run, &s);
    assert_int_equal(part.part.err, 0);
    assert_int_equal(part.low_watermark, offset);
}

static void test_records_deleted_by_kafka(void **state)
{
    (void)state;
    struct uuid id;
    start(60);
    declare_plain("q", true, &id);
    publish_texts(0, "q", "m", 20);
    delete_records(&id, 5);
    expect_counts(&id, 15, 0);
    struct taker t = {.shard = 1, .queue = id, .credit = 10};
    assert_int_equal(taker_start(&t), 0);
    taker_wait(&t, 10);
    expect_texts(&t, 0, "m", 5, 10);
    delete_records(&id, 12); // leased ones too
    expect_counts(&id, 5, 3);
    settle(&t, 0, 10, QUEUE_ACKNOWLEDGE);
    idle(100);
    restart(true, 3);
    expect_counts(&id, 5, 0);
    rig_fini(&rig);
}

// ---- a queue and its topic are there together or not at all

#define SMALL_FILE (4U << 20)
#define FULL_BYTES (SMALL_FILE / 8) // journal/port.c: from there on a turn's frames are cut

static struct crowded {
    struct queue_change declared;
    struct topic_delete deleted;
    bool deletes;
    void (*run)(struct node_call *call);
    uint32_t left_bytes; // of the frames that go together, when the change comes
} crowded;

// Settled ranges of a queue that nobody knows.
static void crowd(struct shard *shard, uint32_t bytes)
{
    static const uint8_t head[LEASE_KEY_BYTES] = {1};
    struct blob *blob;
    assert_int_equal(blob_create(bytes - 40 - sizeof head, NULL, &blob), 0);
    for (size_t i = 0; i < blob->size; i++)
        blob->data[i] = i == 0 || i % 2 == 0;
    if (blob->size % 2 == 0) // a version, and pairs
        blob->size--;
    const struct journal_write w = {.kind = JOURNAL_LEASE,
                                    .head = slice_of(head, sizeof head),
                                    .body = {.blob = blob, .len = blob->size}};
    journal_add(shard_port(shard), &w);
    blob_unref(blob);
}

static void crowded_arrived(struct node_call *call)
{
    crowd(call->to, FULL_BYTES - crowded.left_bytes);
    crowded.run(call);
}

static void deleted_done(struct topic_delete *request)
{
    (void)request;
}

static void crowded_run(struct rig *r, struct shard *shard, void *arg)
{
    struct node_call *call = crowded.deletes ? &crowded.deleted.call : &crowded.declared.call;
    (void)arg;
    if (crowded.deletes)
        topic_delete_start(shard, &crowded.deleted);
    else
        change_run(r, shard, &crowded.declared);
    crowded.run = call->run;
    call->run = crowded_arrived;
    r->done = true;
}

static void test_torn_turns(void **state)
{
    (void)state;
    static const char *const config[] = {"weir.journal.file.bytes=4194304", NULL};
    struct uuid id;
    for (uint32_t i = 0; i < 2 * 12 * 12; i++) {
        rig_init(&rig, 400 + i, 2, config);
        crowded = (struct crowded){.deletes = i % 2 == 1, .left_bytes = 32 * (i / 2 % 12)};
        crowded.deleted = (struct topic_delete){.name = slice_cstr("q"), .done = deleted_done};
        crowded.declared.kind = QUEUE_DECLARE;
        crowded.declared.queue = (struct queue_facts){.vhost = VHOST,
                                                      .name = slice_cstr("q"),
                                                      .durable = true,
                                                      .levels = 1,
                                                      .settings = plain};
        if (crowded.deletes)
            declare_plain("q", true, NULL);
        rig_on_shard(&rig, 0, crowded_run, NULL);
        (void)sim_run_until(rig.sim, sim_now_ns(rig.sim) + (1 + i / 24) * 100000, NULL, NULL);
        restart(true, 2);
        if (!queue_there("q", &id))
            declare_plain("q", true, NULL);
        assert_int_equal(delete_queue("q"), 0);
        rig_fini(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restarts),
        cmocka_unit_test(test_crash_at_rest),
        cmocka_unit_test(test_ends_in_traffic),
        cmocka_unit_test(test_torn_turns),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_full_memory),
        cmocka_unit_test(test_one_topic_two_readers),
        cmocka_unit_test(test_records_deleted_by_kafka),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
