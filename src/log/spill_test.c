// SPDX-License-Identifier: Apache-2.0
//
// Logs in memory on real files: none while memory lasts; a backlog is in files, read back the same,
// and costs no memory; what is trimmed leaves nothing; a restart begins with nothing.
#include "log/rig_steps_test.h"

enum { SLOT = 2, BUDGET = 400 << 10, VALUE = 2000 };

static struct budget memory;

static void make_run(struct rig *r, void *arg)
{
    const struct log_options o = {
        .segment_bytes = 100 << 10, .retention_bytes = -1, .retention_ms = -1, .memory = true};
    struct log_key key = {.topic = {{9, 9, 9}}, .partition = 0};
    (void)arg;
    assert_int_equal(log_create(r->store, &key, &o, &r->logs[SLOT]), 0);
    assert_true(log_in_memory(r->logs[SLOT]));
}

static void begin(void)
{
    budget_init(&memory, BUDGET, NULL);
    rig->store_options.memory_budget = &memory;
    rig->options[0].segment_bytes = 1U << 20;
    rig_open(rig);
    rig_on(rig, rig->shard, make_run, NULL);
}

static int64_t fill(int count)
{
    int64_t end = 0;
    for (int i = 0; i < count; i++) {
        struct rig_append a = {SLOT, 2, VALUE, 1000 + i, 7, {0}, 0};
        do {
            rig_on(rig, rig->shard, rig_append_run, &a);
            if (a.err == ERR_AGAIN)
                rig_idle(rig); // it is being spilled
        } while (a.err == ERR_AGAIN);
        assert_int_equal(a.err, 0);
        end = a.out.last_offset + 1;
    }
    rig_idle(rig);
    return end;
}

static int spilled(const char *ending)
{
    char command[200];
    (void)snprintf(command, sizeof command, "find '%s/spill' -name '*%s' 2>/dev/null | wc -l",
                   rig->root, ending);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    int n = -1;
    assert_int_equal(fscanf(f, "%d", &n), 1);
    assert_int_equal(pclose(f), 0);
    return n;
}

static void trim_run(struct rig *r, void *arg)
{
    assert_int_equal(log_set_start(r->logs[SLOT], *(int64_t *)arg), 0);
}

static void trim(int64_t to)
{
    rig_on(rig, rig->shard, trim_run, &to);
    rig_idle(rig);
}

static void delete_run(struct rig *r, void *arg)
{
    (void)arg;
    log_delete(r->logs[SLOT]);
    r->logs[SLOT] = NULL;
}

static void test_no_files_while_memory_lasts(void **state)
{
    (void)state;
    begin();
    fill(40);                    // 160 KB
    for (int i = 0; i < 40; i++) // a queue that is worked off as it fills
        trim(fill(20));
    assert_int_equal(spilled(""), 0);
    assert_int_equal(budget_used(&memory), 0);
    assert_int_equal(rig->logs[SLOT]->segments_count, 1);
    assert_true(rig->logs[SLOT]->segments[0].pending_count < 10);
    rig_close(rig);
}

static void test_a_backlog(void **state)
{
    (void)state;
    begin();
    int64_t end = fill(1000); // 4 MB
    assert_true(budget_used(&memory) <= BUDGET);
    assert_true(spilled(".log") > 30);
    assert_int_equal(count_files(".log"), 0);
    assert_true(log_size_bytes(rig->logs[SLOT]) > 4000 * 1000);
    struct buf got;
    int cold;
    buf_init(&got, 64U << 20);
    assert_int_equal(read_all(SLOT, 30000, &got, &cold), end);
    assert_true(cold > 50);
    expect_dense(buf_slice(&got), 0);
    buf_fini(&got);
    int64_t ms;
    assert_int_equal(rig_lookup(rig, SLOT, 1500, &ms), 999);
    trim(1001); // the middle of a batch, of a segment, on disk
    assert_int_equal(log_start_offset(rig->logs[SLOT]), 1001);
    buf_init(&got, 64U << 20);
    read_all(SLOT, 100000, &got, &cold);
    expect_dense(buf_slice(&got), 1000);
    buf_fini(&got);
    int before = spilled(".log");
    trim(end - 1);
    assert_true(spilled(".log") < before);
    trim(end);
    assert_int_equal(spilled(".log"), 0); // worked off: nothing is left
    fill(1000);
    assert_true(spilled(".log") > 30);
    rig_on(rig, rig->shard, delete_run, NULL);
    rig_idle(rig);
    rig_close(rig);
    assert_int_equal(spilled(".log"), 0);
    assert_int_equal(budget_used(&memory), 0);
}

struct drop_call {
    int64_t from, to;
    int count;
};

static void drop_run(struct rig *r, void *arg)
{
    struct drop_call *c = arg;
    c->count = log_drop_segments(r->logs[SLOT], c->from, c->to);
}

static void test_holes(void **state)
{
    (void)state;
    begin();
    int64_t end = fill(500);
    int before = spilled(".log");
    struct drop_call c = {1, end - 300, 0};
    rig_on(rig, rig->shard, drop_run, &c);
    rig_idle(rig);
    assert_true(c.count > 10);
    assert_int_equal(spilled(".log"), before - c.count);
    struct buf got;
    struct batch b;
    int64_t offset = 400;
    buf_init(&got, 1 << 20);
    assert_int_equal(rig_read(rig, SLOT, &offset, 1, &got, NULL), 0);
    assert_int_equal(batch_peek(buf_slice(&got), &b), 0);
    assert_true(b.base_offset > 400);
    assert_true(b.base_offset < end);
    buf_fini(&got);
    rig_close(rig);
}

static void wipe_run(struct rig *r, void *arg)
{
    *(int *)arg = log_spill_wipe(r->opener);
}

static void test_a_start_wipes(void **state)
{
    (void)state;
    int err = -1;
    begin();
    fill(500);
    rig_on(rig, rig->opener, wipe_run, &err); // as if it had been killed: nothing is in use then
    assert_int_equal(err, 0);
    char command[100];
    (void)snprintf(command, sizeof command, "test ! -e '%s/spill'", rig->root);
    assert_int_equal(system(command), 0);
    rig_on(rig, rig->opener, wipe_run, &err); // and a second time
    assert_int_equal(err, 0);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_files_while_memory_lasts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_backlog, setup, teardown),
        cmocka_unit_test_setup_teardown(test_holes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_start_wipes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
