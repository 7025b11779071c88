// SPDX-License-Identifier: Apache-2.0
//
// The node whole, on a simulated machine with three shards: topics over restarts and power losses,
// produce and fetch across shards, idempotent repetition, waiting fetches, epochs, producer ids,
// status.
#include "node/rig_node_test.h"

static struct rig *the_rig; // requests' callbacks have no argument of their own

static void done_create(struct topic_create *r)
{
    (void)r;
    the_rig->done = true;
}

static void run_create(struct rig *rig, struct shard *shard, void *arg)
{
    struct topic_create *r = arg;
    (void)rig;
    r->done = done_create;
    topic_create_start(shard, r);
}

static int create_at(struct rig *rig, uint32_t shard, const char *name, int32_t partitions,
                     struct uuid *out_id)
{
    struct topic_create r = {
        .name = slice_cstr(name), .partitions_count = partitions, .replication_factor = 3};
    rig_on_shard(rig, shard, run_create, &r);
    if (out_id != NULL)
        *out_id = r.id;
    return r.err;
}

static int create(struct rig *rig, const char *name, int32_t partitions, struct uuid *out_id)
{
    return create_at(rig, 1, name, partitions, out_id);
}

static void done_delete(struct topic_delete *r)
{
    (void)r;
    the_rig->done = true;
}

static void run_delete(struct rig *rig, struct shard *shard, void *arg)
{
    struct topic_delete *r = arg;
    (void)rig;
    r->done = done_delete;
    topic_delete_start(shard, r);
}

static int delete_topic(struct rig *rig, const char *name)
{
    struct topic_delete r = {.name = slice_cstr(name)};
    rig_on_shard(rig, 2, run_delete, &r);
    return r.err;
}

// ---- produce

struct produced {
    struct produce request;
    struct produce_part *parts;
};

static void done_produce(struct produce *r)
{
    (void)r;
    the_rig->done = true;
}

static void run_produce(struct rig *rig, struct shard *shard, void *arg)
{
    struct produce *r = arg;
    (void)rig;
    r->done = done_produce;
    produce_start(shard, r);
}

static struct blob_piece one_batch(int64_t pid, int32_t sequence, const char *text)
{
    struct batch_builder bb;
    struct buf out;
    struct blob *blob = NULL;
    buf_init(&out, 8U << 20);
    batch_build_begin(&bb, &out, BATCH_NONE, 1700000000000);
    if (pid >= 0)
        batch_build_producer(&bb, pid, 0, sequence);
    batch_build_record(&bb, 1700000000000, SLICE_NULL, slice_cstr(text), SLICE_NULL, 0);
    assert_int_equal(batch_build_end(&bb), 0);
    assert_int_equal(blob_create(out.len, NULL, &blob), 0);
    memcpy(blob->data, out.data, out.len);
    size_t len = out.len;
    buf_fini(&out);
    return (struct blob_piece){blob, 0, len};
}

// One batch into each of `count` partitions; the answers stay in parts.
static void produce(struct rig *rig, const struct uuid *topic, struct produce_part *parts,
                    uint32_t count, int64_t pid, int32_t sequence, const char *text)
{
    struct produce r = {.parts = parts, .parts_count = count, .acks = -1};
    for (uint32_t i = 0; i < count; i++) {
        parts[i] = (struct produce_part){.part = {.topic = *topic, .partition = (int32_t)i}};
        parts[i].part.current_leader_epoch = -1;
        parts[i].records = one_batch(pid, sequence, text);
    }
    rig_on_shard(rig, 0, run_produce, &r);
    for (uint32_t i = 0; i < count; i++)
        blob_unref(parts[i].records.blob);
}

// ---- fetch

static void done_fetch(struct fetch *r)
{
    (void)r;
    the_rig->done = true;
}

static void run_fetch(struct rig *rig, struct shard *shard, void *arg)
{
    struct fetch *r = arg;
    (void)rig;
    r->done = done_fetch;
    fetch_start(shard, r);
}

static void fetch(struct rig *rig, const struct uuid *topic, struct fetch_part *parts,
                  uint32_t count, int64_t offset, int64_t wait_ms)
{
    struct fetch r = {.parts = parts, .parts_count = count, .max_bytes = 1 << 20, .min_bytes = 1};
    r.max_wait_ms = wait_ms;
    for (uint32_t i = 0; i < count; i++) {
        parts[i] = (struct fetch_part){.part = {.topic = *topic, .partition = (int32_t)i}};
        parts[i].part.current_leader_epoch = -1;
        parts[i].last_fetched_epoch = -1;
        parts[i].offset = offset;
        parts[i].max_bytes = 1 << 20;
    }
    rig_on_shard(rig, 2, run_fetch, &r);
    for (uint32_t i = 0; i < count; i++) // the test looks at counts only
        for (uint32_t p = 0; p < parts[i].read.pieces_count; p++)
            assert_true(batch_crc_ok(blob_piece_slice(parts[i].read.pieces[p])));
    uint32_t bytes[16];
    for (uint32_t i = 0; i < count; i++)
        bytes[i] = parts[i].read.bytes;
    fetch_release(&r);
    for (uint32_t i = 0; i < count; i++)
        parts[i].read.bytes = bytes[i];
}

// ---- the tests

static void test_topics_outlive_power_loss(void **state)
{
    (void)state;
    struct rig rig;
    struct uuid id, again;
    the_rig = &rig;
    rig_init(&rig, 1, 3, NULL);
    assert_int_equal(create(&rig, "plays", 7, &id), 0);
    assert_int_equal(create(&rig, "plays", 7, NULL), ERR_TOPIC_ALREADY_EXISTS);
    assert_int_equal(create(&rig, "no/slash", 1, NULL), ERR_INVALID_TOPIC_EXCEPTION);
    assert_int_equal(create(&rig, "zero", 0, NULL), ERR_INVALID_PARTITIONS);
    assert_int_equal(create(&rig, "huge", INT32_MAX, NULL), ERR_INVALID_PARTITIONS);
    assert_int_equal(create(&rig, "gone", 2, NULL), 0);
    assert_int_equal(delete_topic(&rig, "gone"), 0);
    assert_int_equal(delete_topic(&rig, "gone"), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    for (int round = 0; round < 3; round++) {
        int32_t epoch = node_epoch(rig.node);
        if (round == 1)
            rig_stop(&rig);
        else
            rig_crash(&rig);
        rig.shards = 3 + (uint32_t)round; // the number of shards is not on disk
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(node_epoch(rig.node), epoch + 1);
        for (uint32_t s = 0; s < 3; s++) {
            struct shard *shard = node_shard(rig.node, s);
            const struct topic *t = topic_by_name(shard, slice_cstr("plays"));
            assert_non_null(t);
            again = t->id;
            assert_true(uuid_eq(&again, &id));
            assert_int_equal(t->partitions_count, 7);
            assert_int_equal(topic_count(shard), 1);
        }
    }
    rig_fini(&rig);
}

static void test_produce_and_fetch_across_shards(void **state)
{
    (void)state;
    struct rig rig;
    struct uuid id;
    struct produce_part parts[7];
    struct fetch_part got[7];
    the_rig = &rig;
    rig_init(&rig, 2, 3, NULL);
    assert_int_equal(create(&rig, "plays", 7, &id), 0);
    for (int64_t n = 0; n < 3; n++) {
        produce(&rig, &id, parts, 7, -1, 0, "one play");
        for (uint32_t i = 0; i < 7; i++) {
            assert_int_equal(parts[i].part.err, 0);
            assert_int_equal(parts[i].base_offset, n);
        }
    }
    rig_crash(&rig);
    assert_int_equal(rig_start(&rig), 0);
    fetch(&rig, &id, got, 7, 0, 0);
    for (uint32_t i = 0; i < 7; i++) {
        assert_int_equal(got[i].part.err, 0);
        assert_int_equal(got[i].part.high_watermark, 3);
        assert_true(got[i].read.bytes > 3 * BATCH_HEADER_BYTES);
    }
    fetch(&rig, &id, got, 7, 4, 0);
    assert_int_equal(got[0].part.err, ERR_OFFSET_OUT_OF_RANGE);
    got[0].part.topic = (struct uuid){{1}};
    produce(&rig, &(struct uuid){{9}}, parts, 1, -1, 0, "nowhere");
    assert_int_equal(parts[0].part.err, ERR_UNKNOWN_TOPIC_ID);
    rig_fini(&rig);
}

// What a journal's file cannot take is refused, whatever max.message.bytes says: its segment may be
// out of reach when it comes.
static void test_batches_fit_the_journal(void **state)
{
    (void)state;
    static const char *const config[] = {"weir.journal.file.bytes=4194304",
                                         "message.max.bytes=100000000", NULL};
    const size_t most = (size_t)journal_body_max(4194304);
    struct rig rig;
    struct uuid id;
    struct produce_part part;
    the_rig = &rig;
    rig_init(&rig, 12, 2, config);
    assert_int_equal(create(&rig, "plays", 1, &id), 0);
    for (size_t over = 0; over < 2; over++) {
        const size_t len = most - 200 + 400 * over;
        char *text = mem_alloc(len + 1);
        memset(text, 'x', len);
        text[len] = '\0';
        produce(&rig, &id, &part, 1, -1, 0, text);
        assert_int_equal(part.part.err, over == 0 ? 0 : ERR_MESSAGE_TOO_LARGE);
        assert_int_equal(part.why != NULL, over != 0);
        mem_free(text);
    }
    produce(&rig, &id, &part, 1, -1, 0, "goes on");
    assert_int_equal(part.base_offset, 1);
    rig_fini(&rig);
}

static void done_status(struct status_request *r)
{
    (void)r;
    the_rig->done = true;
}

static void run_status(struct rig *rig, struct shard *shard, void *arg)
{
    struct status_request *r = arg;
    (void)rig;
    r->done = done_status;
    status_start(shard, r);
}

static void done_alter(struct topic_alter *r)
{
    (void)r;
    the_rig->done = true;
}

static void run_alter(struct rig *rig, struct shard *shard, void *arg)
{
    struct topic_alter *r = arg;
    (void)rig;
    r->done = done_alter;
    topic_alter_start(shard, r);
}

static int flush_messages(struct rig *rig, enum config_op op)
{
    const struct config_change change = {op, slice_cstr("flush.messages"), slice_cstr("1")};
    struct topic_alter r = {.name = slice_cstr("plays"), .changes = &change, .changes_count = 1};
    rig_on_shard(rig, 1, run_alter, &r);
    return r.err;
}

// Relaxed and back, without a pause: what is acknowledged after that outlives a power loss, and a
// checkpoint is made without any other reason for one.
static void test_strict_again_at_once(void **state)
{
    (void)state;
    static struct rig rig;
    struct uuid id;
    struct produce_part part;
    struct fetch_part got;
    static struct status_request status;
    the_rig = &rig;
    for (uint64_t round = 0; round < 4; round++) {
        rig_init(&rig, 20 + round, 3, NULL);
        assert_int_equal(create(&rig, "plays", 1, &id), 0);
        assert_int_equal(flush_messages(&rig, CONFIG_SET), 0);
        produce(&rig, &id, &part, 1, -1, 0, "relaxed");
        assert_int_equal(flush_messages(&rig, CONFIG_DELETE), 0);
        if (round % 2 == 0) { // until its checkpoint, or at once
            (void)sim_run_until(rig.sim, sim_now_ns(rig.sim) + 5000000000, NULL, NULL);
            rig_on_shard(&rig, 1, run_status, &status);
            assert_true(status.status.checkpoints.checkpoints > 0);
        }
        for (int64_t n = 1; n < 4; n++) {
            produce(&rig, &id, &part, 1, -1, 0, "strict");
            assert_int_equal(part.part.err, 0);
            assert_int_equal(part.base_offset, n);
        }
        rig_crash(&rig);
        assert_int_equal(rig_start(&rig), 0);
        fetch(&rig, &id, &got, 1, 3, 0);
        assert_int_equal(got.part.high_watermark, 4);
        rig_fini(&rig);
    }
}

static void test_repetition_is_recognised_over_a_restart(void **state)
{
    (void)state;
    struct rig rig;
    struct uuid id;
    struct produce_part parts[1];
    the_rig = &rig;
    rig_init(&rig, 3, 3, NULL);
    assert_int_equal(create(&rig, "orders", 1, &id), 0);
    produce(&rig, &id, parts, 1, 42, 0, "first");
    assert_int_equal(parts[0].base_offset, 0);
    produce(&rig, &id, parts, 1, 42, 1, "second");
    assert_int_equal(parts[0].base_offset, 1);
    rig_crash(&rig);
    assert_int_equal(rig_start(&rig), 0);
    produce(&rig, &id, parts, 1, 42, 1, "second"); // the answer was lost: sent again
    assert_int_equal(parts[0].part.err, 0);
    assert_int_equal(parts[0].base_offset, 1);
    produce(&rig, &id, parts, 1, 42, 3, "a gap");
    assert_int_equal(parts[0].part.err, ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    rig_stop(&rig); // now from the snapshot
    assert_int_equal(rig_start(&rig), 0);
    produce(&rig, &id, parts, 1, 42, 1, "second");
    assert_int_equal(parts[0].base_offset, 1);
    produce(&rig, &id, parts, 1, 42, 2, "third");
    assert_int_equal(parts[0].base_offset, 2);
    rig_fini(&rig);
}

static void test_produce_is_answered_in_time(void **state)
{
    (void)state;
    struct rig rig;
    struct uuid id;
    struct produce_part part = {.part = {.current_leader_epoch = -1}};
    struct produce r = {.parts = &part, .parts_count = 1, .acks = -1, .timeout_ms = 1};
    the_rig = &rig;
    rig_init(&rig, 8, 3, NULL);
    assert_int_equal(create(&rig, "slow", 1, &id), 0);
    sim_set_fault(rig.sim, SIM_FAULT_DELAY, 1000000); // every disk call takes long
    part.part.topic = id;
    part.records = one_batch(-1, 0, "late");
    rig_on_shard(&rig, 2, run_produce, &r);
    assert_int_equal(part.part.err, ERR_REQUEST_TIMED_OUT);
    assert_int_equal(part.base_offset, -1);
    blob_unref(part.records.blob);
    sim_set_fault(rig.sim, SIM_FAULT_DELAY, 0);
    produce(&rig, &id, &part, 1, -1, 0, "in time");
    assert_int_equal(part.part.err, 0);
    assert_int_equal(part.base_offset, 1); // the late one has become durable all the same
    rig_fini(&rig);
}

static void test_fetch_waits_and_gives_up(void **state)
{
    (void)state;
    struct rig rig;
    struct uuid id;
    struct fetch_part got[5];
    the_rig = &rig;
    rig_init(&rig, 4, 3, NULL);
    assert_int_equal(create(&rig, "quiet", 5, &id), 0);
    int64_t before = sim_now_ns(rig.sim);
    fetch(&rig, &id, got, 5, 0, 500);
    assert_true(sim_now_ns(rig.sim) - before >= 500 * 1000000);
    assert_int_equal(got[4].read.bytes, 0);
    assert_int_equal(got[4].part.high_watermark, 0);
    rig_fini(&rig);
}

// ---- a fetch that waits on one shard is woken by a produce on another

struct waiting {
    struct fetch fetch;
    struct fetch_part parts[5];
    bool done;
};

static void waiting_done(struct fetch *r)
{
    CONTAINER_OF(r, struct waiting, fetch)->done = true;
}

static void run_waiting(struct rig *rig, struct shard *shard, void *arg)
{
    struct waiting *w = arg;
    w->fetch.done = waiting_done;
    fetch_start(shard, &w->fetch);
    rig->done = true;
}

static void test_fetch_is_woken(void **state)
{
    (void)state;
    struct rig rig;
    struct uuid id;
    struct produce_part part[1];
    struct waiting w = {.fetch = {.parts_count = 5, .max_bytes = 1 << 20, .min_bytes = 1}};
    the_rig = &rig;
    rig_init(&rig, 5, 3, NULL);
    assert_int_equal(create(&rig, "quiet", 5, &id), 0);
    w.fetch.parts = w.parts;
    w.fetch.max_wait_ms = 30000;
    for (uint32_t i = 0; i < 5; i++) {
        w.parts[i].part.topic = id;
        w.parts[i].part.partition = (int32_t)i;
        w.parts[i].part.current_leader_epoch = -1;
        w.parts[i].last_fetched_epoch = -1;
        w.parts[i].max_bytes = 1 << 20;
    }
    rig_on_shard(&rig, 1, run_waiting, &w);
    int64_t before = sim_now_ns(rig.sim);
    (void)sim_run_until(rig.sim, before + 1000000000, NULL, NULL);
    assert_false(w.done);
    produce(&rig, &id, part, 1, -1, 0, "wake up");
    rig_until(&rig, &w.done);
    assert_true(sim_now_ns(rig.sim) - before < INT64_C(5000000000));
    assert_true(w.parts[0].read.bytes > 0);
    fetch_release(&w.fetch);
    rig_fini(&rig);
}

struct both {
    struct produce *produce;
    struct waiting *waiting;
};

static void run_both(struct rig *rig, struct shard *shard, void *arg)
{
    struct both *both = arg;
    (void)rig;
    both->waiting->fetch.done = waiting_done;
    produce_start(shard, both->produce);
    fetch_start(shard, &both->waiting->fetch);
}

// A record that was appended before the fetch came, and is durable only after, must wake it: what
// the log's size was then says nothing about what could be read.
static void test_fetch_is_woken_by_what_was_on_its_way(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct rig rig;
        struct uuid id;
        struct waiting w = {.fetch = {.parts_count = 1, .max_bytes = 1 << 20, .min_bytes = 1}};
        struct produce_part part = {.part = {.current_leader_epoch = -1}};
        struct produce p = {.parts = &part, .parts_count = 1, .acks = -1, .done = done_produce};
        the_rig = &rig;
        rig_init(&rig, 100 + seed, 1, NULL);
        assert_int_equal(create_at(&rig, 0, "busy", 1, &id), 0);
        part.part.topic = id;
        part.records = one_batch(-1, 0, "on its way");
        w.fetch.parts = w.parts;
        w.fetch.max_wait_ms = 30000;
        w.parts[0].part.topic = id;
        w.parts[0].part.current_leader_epoch = -1;
        w.parts[0].last_fetched_epoch = -1;
        w.parts[0].max_bytes = 1 << 20;
        struct both both = {&p, &w};
        int64_t before = sim_now_ns(rig.sim);
        rig_on_shard(&rig, 0, run_both, &both);
        rig_until(&rig, &w.done);
        assert_true(sim_now_ns(rig.sim) - before < INT64_C(5000000000));
        assert_true(w.parts[0].read.bytes > 0);
        fetch_release(&w.fetch);
        blob_unref(part.records.blob);
        rig_fini(&rig);
    }
}

// ---- producer ids

static void done_id(struct producer_id_take *r)
{
    (void)r;
    the_rig->done = true;
}

static void run_id(struct rig *rig, struct shard *shard, void *arg)
{
    struct producer_id_take *r = arg;
    (void)rig;
    r->done = done_id;
    producer_id_start(shard, r);
}

static void test_producer_ids_never_repeat(void **state)
{
    (void)state;
    struct rig rig;
    int64_t last = -1;
    the_rig = &rig;
    rig_init(&rig, 6, 2, NULL);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1200; i++) { // more than a block
            struct producer_id_take r = {0};
            rig_on_shard(&rig, 1, run_id, &r);
            assert_int_equal(r.err, 0);
            assert_true(r.id > last);
            last = r.id;
        }
        rig_crash(&rig);
        assert_int_equal(rig_start(&rig), 0);
    }
    rig_fini(&rig);
}

// ---- status and settings

static void test_status_adds_up(void **state)
{
    (void)state;
    struct rig rig;
    struct uuid id;
    struct produce_part parts[7];
    struct status_metric metrics[STATUS_METRICS_MAX];
    static struct status_request r;
    the_rig = &rig;
    rig_init(&rig, 7, 3, NULL);
    assert_int_equal(create(&rig, "plays", 7, &id), 0);
    produce(&rig, &id, parts, 7, -1, 0, "x");
    rig_on_shard(&rig, 2, run_status, &r);
    assert_int_equal(r.status.topics, 1);
    assert_int_equal(r.status.partitions, 7);
    assert_int_equal(r.status.logs.appended_batches, 7);
    assert_true(r.status.journal.groups > 0);
    uint32_t count = status_metrics(&r.status, metrics, STATUS_METRICS_MAX);
    assert_in_range(count, 20, STATUS_METRICS_MAX);
    rig_fini(&rig);
}

static void test_refused_options(void **state)
{
    (void)state;
    static const char *const bad[] = {"num.partitions=0", NULL};
    char *why = NULL;
    struct node *node = NULL;
    struct node_options o = {.shards_count = 0};
    assert_int_equal(node_create(&o, &node, &why), ERR_CONFIG);
    assert_non_null(why);
    mem_free(why);
    o.shards_count = 1;
    o.config = bad;
    assert_int_equal(node_create(&o, &node, &why), ERR_CONFIG);
    assert_non_null(strstr(why, "num.partitions"));
    mem_free(why);
    assert_null(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topics_outlive_power_loss),
        cmocka_unit_test(test_produce_and_fetch_across_shards),
        cmocka_unit_test(test_batches_fit_the_journal),
        cmocka_unit_test(test_strict_again_at_once),
        cmocka_unit_test(test_repetition_is_recognised_over_a_restart),
        cmocka_unit_test(test_produce_is_answered_in_time),
        cmocka_unit_test(test_fetch_waits_and_gives_up),
        cmocka_unit_test(test_fetch_is_woken),
        cmocka_unit_test(test_fetch_is_woken_by_what_was_on_its_way),
        cmocka_unit_test(test_producer_ids_never_repeat),
        cmocka_unit_test(test_status_adds_up),
        cmocka_unit_test(test_refused_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
