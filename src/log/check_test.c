// SPDX-License-Identifier: Apache-2.0
//
// What stands on disk: a store at rest is found whole, damage is found and named, and what a crash
// leaves behind is cleared away.
#include "log/rig_steps_test.h"

struct check_call {
    struct log_check check;
    int err;
    char what[128];
};

static void check_report(void *arg, const char *path, uint64_t position, const char *what)
{
    struct check_call *c = arg;
    (void)path;
    (void)position;
    (void)snprintf(c->what, sizeof c->what, "%s", what);
}

static void check_run(struct rig *r, void *arg)
{
    struct check_call *c = arg;
    struct log_key key = rig_key(0);
    char dir[FILES_PATH_SIZE];
    files_dir(FILES_ROOT, &key, dir);
    c->check.report = check_report;
    c->check.arg = c;
    c->err = log_check_dir(r->opener, dir, true, &c->check);
}

static struct check_call check(void)
{
    struct check_call c = {0};
    rig_on(rig, rig->opener, check_run, &c);
    assert_int_equal(c.err, 0);
    return c;
}

// Flips one bit in the first segment.
static void damage(long position)
{
    struct file_key key = {.log = rig_key(0), .base_offset = 0, .kind = FILE_LOG};
    char path[FILES_PATH_SIZE], full[FILES_PATH_SIZE + 80];
    files_path(FILES_ROOT, &key, path);
    (void)snprintf(full, sizeof full, "%s/%s", rig->root, path);
    FILE *f = fopen(full, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, position, SEEK_SET), 0);
    int byte = fgetc(f);
    assert_int_equal(fseek(f, position, SEEK_SET), 0);
    assert_int_not_equal(fputc(byte ^ 4, f), EOF);
    assert_int_equal(fclose(f), 0);
}

static void test_check_and_damage(void **state)
{
    (void)state;
    rig->options[0].index_interval_bytes = 100;
    rig->store_options.tail_bytes_per_log = 0;
    rig_open(rig);
    int64_t end = append_many(0, 400, 1000);
    rig_cut(rig, true, true);
    struct check_call c = check();
    assert_int_equal(c.check.errors, 0);
    assert_true(c.check.segments > 1);
    assert_int_equal(c.check.end_offset, end);
    assert_int_equal(c.check.records, end);
    assert_true(count_files(".index") > 1);
    damage(100);
    c = check();
    assert_true(c.check.errors > 0);
    assert_string_equal(c.what, "the batch's checksum does not match");
    int64_t offset = 1; // the second batch: the first one has 68 bytes
    assert_int_equal(rig_read(rig, 0, &offset, 1, NULL, NULL), ERR_CORRUPT_MESSAGE);
    damage(100);
    assert_int_equal(rig_read(rig, 0, &offset, 1, NULL, NULL), 0);
    rig_close(rig);
}

// What a crash leaves behind the known end, and files of segments that never came to be.
static void test_tidy(void **state)
{
    (void)state;
    rig_open(rig);
    append_many(0, 100, 1000);
    rig_cut(rig, true, true);
    append_many(0, 100, 2000);
    struct buf want;
    snapshot_of(&want);
    rig_close(rig);
    char command[400];
    (void)snprintf(command, sizeof command,
                   "cd '%s'/log/*/0 && last=$(ls *.log | tail -1) && for f in ${last%%.log}.*; "
                   "do head -c 5000 /dev/zero >> $f; done && "
                   "cp $last 00000000000000009999.log",
                   rig->root);
    assert_int_equal(system(command), 0);
    rig_open(rig);
    rig_idle(rig);
    append_many(0, 1, 9000);
    rig_cut(rig, false, true);
    struct check_call c = check();
    if (c.check.errors > 0)
        print_error("%s\n", c.what);
    assert_int_equal(c.check.errors, 0);
    assert_int_equal(c.check.end_offset, log_end_offset(rig->logs[0]));
    buf_fini(&want);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_check_and_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tidy, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
