// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints on real files: what the parts emitted comes back, oldest first; deltas and full
// snapshots; a torn slot falls back to the older one; an abandoned cut changes nothing; leftovers
// go; damage and unknown versions are refused by name.
#include "journal/checkpoint.h"

#include "journal/rig_test.h"
#include "journal/snapshot.h"

enum { PARTS = 2 };

struct world {
    struct rig *rig;
    struct checkpointer *checkpointer;
    struct checkpoint_found found;
    struct part_state {
        struct world *world;
        uint32_t index;
        char value[32];
        bool dirty, saw_full;
        int fail;
        uint32_t installed, abandoned;
        size_t pad_bytes;
    } parts[PARTS];
    char loaded[64][64];
    size_t loaded_count;
    sem_t answered, settled;
    int answer_err;
};

static void part_cut(void *arg, struct checkpoint_cut *cut)
{
    struct part_state *part = arg;
    part->saw_full = cut->full;
    if (part->dirty || cut->full) {
        struct state_record record = {
            .kind = STATE_NODE, .key = slice_of(&part->index, 1), .value = slice_cstr(part->value)};
        state_put(&cut->records, &record);
        if (part->pad_bytes > 0) {
            uint8_t *pad = mem_zalloc(part->pad_bytes);
            record.kind = STATE_BROKER_CONFIG;
            record.value = slice_of(pad, part->pad_bytes);
            state_put(&cut->records, &record);
            mem_free(pad);
        }
    }
    checkpoint_cut_done(cut, part->fail);
}

static void part_settled(void *arg, bool installed)
{
    struct part_state *part = arg;
    part->installed += installed;
    part->abandoned += !installed;
    if (installed)
        part->dirty = false;
    sem_post(&part->world->settled);
}

static int load_record(void *arg, const struct state_record *record)
{
    struct world *w = arg;
    ASSERT(w->loaded_count < 64);
    char value[48];
    slice_to_cstr(record->value, value, sizeof value);
    (void)snprintf(w->loaded[w->loaded_count++], 64, "%u.%u=%s", record->kind, record->key.data[0],
                   value);
    return 0;
}

static void load_run(struct io *io, void *arg)
{
    struct world *w = arg;
    w->loaded_count = 0;
    w->rig->open_err = checkpoint_load(io, load_record, w, false, &w->found);
}

static int world_load(struct world *w)
{
    struct io *io = rig_actor(w->rig, "loader", IO_WORKER, 0);
    rig_call_on(io, load_run, w);
    io_actor_stop(io);
    return w->rig->open_err;
}

static void world_open(struct world *w)
{
    assert_int_equal(world_load(w), 0);
    assert_int_equal(rig_open(w->rig, w->found.replay_lsn), 0);
    struct checkpoint_part parts[PARTS];
    for (uint32_t i = 0; i < PARTS; i++) {
        w->parts[i].world = w;
        w->parts[i].index = i;
        parts[i] = (struct checkpoint_part){
            .io = w->rig->shards[i], .cut = part_cut, .settled = part_settled, .arg = &w->parts[i]};
    }
    struct checkpoint_options options = {
        .actor = w->rig->maker, .journal = w->rig->journal, .parts = parts, .parts_count = PARTS};
    assert_int_equal(checkpointer_create(&options, &w->found, &w->checkpointer), 0);
}

struct asking {
    struct checkpoint_request request;
    struct world *world;
};

static void asked(struct checkpoint_request *request)
{
    struct asking *asking = CONTAINER_OF(request, struct asking, request);
    asking->world->answer_err = request->err;
    sem_post(&asking->world->answered);
}

static int world_checkpoint(struct world *w)
{
    struct asking asking = {.world = w};
    asking.request =
        (struct checkpoint_request){.reply_to = w->rig->shards[2], .urgent = true, .done = asked};
    checkpoint_request(w->checkpointer, &asking.request);
    rig_wait(&w->answered);
    for (int i = 0; i < PARTS; i++)
        rig_wait(&w->settled);
    return w->answer_err;
}

static void world_close(struct world *w)
{
    struct rig_quiet quiet = {.msg.run = rig_quiet_run};
    sem_init(&quiet.sem, 0, 0);
    checkpointer_quiesce(w->checkpointer, w->rig->opener, &quiet.msg);
    rig_wait(&quiet.sem);
    sem_destroy(&quiet.sem);
    rig_close(w->rig);
    checkpointer_destroy(w->checkpointer);
    w->checkpointer = NULL;
}

static struct world *world_create(void)
{
    struct world *w = mem_zalloc(sizeof *w);
    w->rig = rig_create();
    sem_init(&w->answered, 0, 0);
    sem_init(&w->settled, 0, 0);
    return w;
}

static void world_destroy(struct world *w)
{
    rig_destroy(w->rig);
    mem_free(w);
}

static void world_set(struct world *w, uint32_t part, const char *value)
{
    (void)snprintf(w->parts[part].value, sizeof w->parts[part].value, "%s", value);
    w->parts[part].dirty = true;
}

static size_t snapshots(struct world *w)
{
    char command[160];
    (void)snprintf(command, sizeof command, "exit $(ls '%s/snapshot' | wc -l)", w->rig->root);
    int status = system(command);
    assert_true(WIFEXITED(status));
    return (size_t)WEXITSTATUS(status);
}

static void test_state_comes_back_oldest_first(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_open(w);
    assert_int_equal(w->found.sequence, 0);
    world_set(w, 0, "a1");
    world_set(w, 1, "b1");
    rig_add_one(w->rig, 0, "frame", 10);
    assert_int_equal(world_checkpoint(w), 0);
    assert_true(w->parts[0].saw_full);
    world_set(w, 1, "b2");
    assert_int_equal(world_checkpoint(w), 0);
    assert_false(w->parts[0].saw_full);
    assert_int_equal(world_checkpoint(w), 0); // nothing changed: no file
    assert_int_equal(snapshots(w), 2);
    struct checkpoint_stats stats;
    checkpoint_stats(w->checkpointer, &stats);
    assert_int_equal(stats.checkpoints, 3);
    assert_int_equal(stats.abandoned, 0);
    assert_int_equal(stats.snapshot_files, 2);
    world_close(w);

    assert_int_equal(world_load(w), 0);
    assert_int_equal(w->found.sequence, 3);
    assert_int_equal(w->found.replay_lsn, 3);
    assert_int_equal(w->found.records, 3);
    assert_string_equal(w->loaded[0], "1.0=a1");
    assert_string_equal(w->loaded[1], "1.1=b1");
    assert_string_equal(w->loaded[2], "1.1=b2");
    world_destroy(w);
}

static void test_chain_is_compacted(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_open(w);
    world_set(w, 0, "base");
    assert_int_equal(world_checkpoint(w), 0);
    for (int i = 0; i < CHECKPOINT_CHAIN_MAX + 3; i++) {
        world_set(w, 1, "delta");
        assert_int_equal(world_checkpoint(w), 0);
        assert_true(snapshots(w) <= CHECKPOINT_CHAIN_MAX);
    }
    assert_true(snapshots(w) < 6);      // it was full once, and began again
    w->parts[1].pad_bytes = 900 * 1024; // deltas of weight
    for (int i = 0; i < 2; i++) {
        world_set(w, 1, "heavy");
        assert_int_equal(world_checkpoint(w), 0);
        assert_false(w->parts[0].saw_full);
    }
    world_set(w, 1, "light");
    w->parts[1].pad_bytes = 0;
    assert_int_equal(world_checkpoint(w), 0);
    assert_true(w->parts[0].saw_full);
    assert_int_equal(snapshots(w), 1);
    world_close(w);
    assert_int_equal(world_load(w), 0);
    assert_int_equal(w->loaded_count, 2);
    assert_string_equal(w->loaded[1], "1.1=light");
    world_destroy(w);
}

static void test_abandoned_cut_changes_nothing(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_open(w);
    world_set(w, 0, "good");
    assert_int_equal(world_checkpoint(w), 0);
    world_set(w, 0, "better");
    w->parts[1].fail = ERR_IO;
    assert_int_equal(world_checkpoint(w), ERR_IO);
    assert_int_equal(w->parts[0].abandoned, 1);
    assert_int_equal(w->parts[1].abandoned, 1);
    assert_true(w->parts[0].dirty);
    world_close(w);
    assert_int_equal(world_load(w), 0);
    assert_int_equal(w->found.sequence, 1);
    assert_string_equal(w->loaded[0], "1.0=good");
    w->parts[1].fail = 0;
    world_open(w);
    assert_int_equal(world_checkpoint(w), 0);
    world_close(w);
    assert_int_equal(world_load(w), 0);
    assert_int_equal(w->found.sequence, 2);
    assert_string_equal(w->loaded[w->loaded_count - 1], "1.0=better");
    world_destroy(w);
}

static void checkpoint_file(struct world *w, off_t at, const void *data, size_t len)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/CHECKPOINT", w->rig->root);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, at), (ssize_t)len);
    close(fd);
}

static void test_torn_slot_falls_back_to_the_older(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_open(w);
    world_set(w, 0, "one");
    assert_int_equal(world_checkpoint(w), 0); // slot 0
    world_set(w, 0, "two");
    assert_int_equal(world_checkpoint(w), 0); // slot 1
    world_close(w);
    uint8_t junk[16];
    memset(junk, 0xa5, sizeof junk);
    checkpoint_file(w, IO_BLOCK + 24, junk, sizeof junk);
    assert_int_equal(world_load(w), 0);
    assert_int_equal(w->found.sequence, 1);
    assert_int_equal(w->found.slot, 0);
    assert_int_equal(w->loaded_count, 2);
    assert_string_equal(w->loaded[0], "1.0=one");
    assert_int_equal(snapshots(w), 2); // the next start may read better: nothing is removed yet
    world_open(w);
    world_set(w, 0, "three");
    assert_int_equal(world_checkpoint(w), 0);
    assert_int_equal(snapshots(w), 2); // the one that nothing names was, and none written over
    world_close(w);
    assert_int_equal(world_load(w), 0);
    assert_int_equal(w->found.sequence, 3);
    assert_int_equal(w->found.slot, 1);
    checkpoint_file(w, 24, junk, sizeof junk);
    checkpoint_file(w, IO_BLOCK + 24, junk, sizeof junk);
    assert_int_equal(world_load(w), ERR_CORRUPT);
    assert_non_null(strstr(w->found.damage, "neither"));
    world_destroy(w);
}

static void test_one_changed_bit_is_no_torn_slot(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_open(w);
    world_set(w, 0, "one");
    assert_int_equal(world_checkpoint(w), 0); // slot 0
    world_set(w, 0, "two");
    assert_int_equal(world_checkpoint(w), 0); // slot 1
    world_close(w);
    uint8_t block[IO_BLOCK];
    assert_int_equal(world_load(w), 0);
    slot_put(block, &(struct checkpoint_slot){.sequence = w->found.sequence,
                                              .replay_lsn = w->found.replay_lsn,
                                              .chain = w->found.chain});
    for (size_t at = 0; at < CHECKPOINT_SLOT_HEADER + 2 * CHECKPOINT_SLOT_ENTRY; at++) {
        uint8_t hurt = block[at] ^ (uint8_t)(1U << (at % 8));
        checkpoint_file(w, (off_t)(IO_BLOCK + at), &hurt, 1);
        int err = world_load(w);
        assert_true(err == ERR_CORRUPT || (err == ERR_FORMAT_VERSION && at >= 8 && at < 12));
        assert_non_null(strstr(w->found.damage, "CHECKPOINT"));
        checkpoint_file(w, (off_t)(IO_BLOCK + at), &block[at], 1);
    }
    memset(block, 0, sizeof block);
    checkpoint_file(w, IO_BLOCK, block, sizeof block); // the choice that is offered
    assert_int_equal(world_load(w), 0);
    assert_int_equal(w->found.sequence, 1);
    world_destroy(w);
}

static void test_first_slot_torn_is_a_new_store(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_open(w);
    world_set(w, 0, "one");
    assert_int_equal(world_checkpoint(w), 0);
    world_close(w);
    uint8_t junk[64];
    memset(junk, 0x5a, sizeof junk);
    checkpoint_file(w, 0, junk, sizeof junk);
    assert_int_equal(world_load(w), 0);
    assert_int_equal(w->found.sequence, 0);
    assert_int_equal(w->loaded_count, 0);
    world_destroy(w);
}

static void snapshot_poke(struct world *w, uint64_t number, off_t at, uint8_t value)
{
    char path[128], name[SNAPSHOT_PATH_SIZE];
    snapshot_path(number, ".snap", name);
    (void)snprintf(path, sizeof path, "%s/%s", w->rig->root, name);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &value, 1, at), 1);
    close(fd);
}

static void test_damage_is_refused_by_name(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_open(w);
    world_set(w, 0, "one");
    assert_int_equal(world_checkpoint(w), 0);
    world_close(w);
    snapshot_poke(w, 1, SNAPSHOT_HEADER + 2, 0x77);
    assert_int_equal(world_load(w), ERR_CORRUPT);
    assert_non_null(strstr(w->found.damage, "0000000000000001.snap is damaged"));
    assert_int_equal(w->loaded_count, 0); // nothing of it was applied
    snapshot_poke(w, 1, SNAPSHOT_HEADER + 2, 0);
    assert_int_equal(world_load(w), 0);
    snapshot_poke(w, 1, 8, 7);
    assert_int_equal(world_load(w), ERR_FORMAT_VERSION);
    assert_non_null(strstr(w->found.damage, "format 7"));
    snapshot_poke(w, 1, 8, SNAPSHOT_VERSION);
    uint8_t version = 5;
    checkpoint_file(w, 8, &version, 1);
    assert_int_equal(world_load(w), ERR_FORMAT_VERSION);
    assert_non_null(strstr(w->found.damage, "CHECKPOINT is in format 5"));
    version = CHECKPOINT_VERSION;
    checkpoint_file(w, 8, &version, 1);
    char command[160];
    (void)snprintf(command, sizeof command, "rm '%s'/snapshot/*.snap", w->rig->root);
    assert_int_equal(system(command), 0);
    assert_int_equal(world_load(w), ERR_CORRUPT);
    assert_non_null(strstr(w->found.damage, "is missing"));
    world_destroy(w);
}

static void test_state_records(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 4096);
    struct state_record in[3] = {
        {.kind = STATE_TOPIC, .key = slice_cstr("k"), .value = slice_cstr("v")},
        {.kind = STATE_OFFSET, .key = slice_cstr("gone"), .value = SLICE_NULL},
        {.kind = STATE_LOG, .key = slice_cstr("empty"), .value = slice_cstr("")},
    };
    for (int i = 0; i < 3; i++)
        state_put(&buf, &in[i]);
    struct cursor cursor = cursor_of(buf_slice(&buf));
    struct state_record out;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(state_get(&cursor, &out), 0);
        assert_int_equal(out.kind, in[i].kind);
        assert_true(slice_eq(out.key, in[i].key));
        assert_true(slice_eq(out.value, in[i].value));
    }
    assert_int_equal(cursor_left(&cursor), 0);
    for (size_t len = 0; len < 14; len++) { // the first record, cut short anywhere
        cursor = cursor_of(slice_of(buf.data, len));
        assert_int_equal(state_get(&cursor, &out), ERR_TRUNCATED);
    }
    buf.data[1] = 1; // a tombstone with a value
    cursor = cursor_of(buf_slice(&buf));
    assert_int_equal(state_get(&cursor, &out), ERR_MALFORMED);
    buf.data[1] = 0;
    buf.data[0] = 0; // no kind
    cursor = cursor_of(buf_slice(&buf));
    assert_int_equal(state_get(&cursor, &out), ERR_MALFORMED);
    buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_comes_back_oldest_first),
        cmocka_unit_test(test_chain_is_compacted),
        cmocka_unit_test(test_abandoned_cut_changes_nothing),
        cmocka_unit_test(test_torn_slot_falls_back_to_the_older),
        cmocka_unit_test(test_one_changed_bit_is_no_torn_slot),
        cmocka_unit_test(test_first_slot_torn_is_a_new_store),
        cmocka_unit_test(test_damage_is_refused_by_name),
        cmocka_unit_test(test_state_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
