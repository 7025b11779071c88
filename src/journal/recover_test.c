// SPDX-License-Identifier: Apache-2.0
//
// What recovery does to hurt files: the newest group torn at every block and at every sector is
// cut; a flipped bit anywhere in an earlier group refuses the start in words; stale groups of a
// recycled file stay dead; unknown versions and foreign files are named.
#include "journal/rig_test.h"

enum { FILE_BYTES = 256 * 1024 };

// Three groups of about 9 KiB in file 1; returns its bytes.
static uint8_t *three_groups(struct rig *rig)
{
    assert_int_equal(rig_open(rig, 0), 0);
    rig_add_one(rig, 0, "one", 9000);
    rig_add_one(rig, 1, "two", 9000);
    rig_add_one(rig, 2, "three", 9000);
    rig_close(rig);
    uint8_t *bytes = mem_alloc(FILE_BYTES);
    assert_int_equal(rig_file_read(rig, 1, bytes, FILE_BYTES), FILE_BYTES);
    return bytes;
}

enum { GROUP = 3 * IO_BLOCK, FIRST = WAL_GROUPS_AT, LAST = WAL_GROUPS_AT + 2 * GROUP };

static void test_newest_group_torn_anywhere_is_cut(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    uint8_t *bytes = three_groups(rig);
    uint8_t zeros[GROUP] = {0};
    const size_t group_len = WAL_GROUP_HEADER + WAL_FRAME_HEADER + 5 + 9000 + WAL_COMMIT_BYTES;
    for (size_t kept = 0; kept < group_len; kept += 512) { // a sector at a time reaches the disk
        rig_file_write(rig, 1, LAST, bytes + LAST, GROUP);
        rig_file_write(rig, 1, LAST + kept, zeros, GROUP - kept);
        assert_int_equal(rig_scan(rig, 0), 0);
        assert_int_equal(rig->replayed_count, 2);
        assert_string_equal(rig->replayed[1].head, "two");
        assert_int_equal(rig->recovery.cut, kept > 0);
    }
    for (size_t lost = 0; lost < group_len; lost += 512) { // any one sector is missing
        rig_file_write(rig, 1, LAST, bytes + LAST, GROUP);
        size_t len = lost + 512 <= group_len ? 512 : group_len - lost;
        rig_file_write(rig, 1, LAST + lost, zeros, len);
        assert_int_equal(rig_scan(rig, 0), 0);
        assert_int_equal(rig->replayed_count, 2);
    }
    // Opening writes on: the cut group is gone for good.
    assert_int_equal(rig_open(rig, 0), 0);
    rig_add_one(rig, 0, "four", 10);
    assert_int_equal(rig->done[0][0].lsn, 5);
    rig_close(rig);
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 3);
    assert_string_equal(rig->replayed[2].head, "four");
    mem_free(bytes);
    rig_destroy(rig);
}

static void test_file_cut_short_at_every_block(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    uint8_t *bytes = three_groups(rig);
    char path[160];
    rig_path(rig, 1, path);
    for (off_t len = WAL_GROUPS_AT; len < LAST + GROUP; len += 1000) {
        rig_file_write(rig, 1, 0, bytes, FILE_BYTES);
        assert_int_equal(truncate(path, len), 0);
        assert_int_equal(rig_scan(rig, 0), 0);
        size_t whole = (size_t)(len - FIRST + (GROUP - 9000 - 105)) / GROUP;
        assert_true(rig->replayed_count <= whole);
        assert_true(rig->replayed_count + 1 >= (size_t)(len - FIRST) / GROUP);
    }
    mem_free(bytes);
    rig_destroy(rig);
}

static void test_flipped_bit_in_an_earlier_group_refuses_the_start(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    uint8_t *bytes = three_groups(rig);
    const size_t group_len = WAL_GROUP_HEADER + WAL_FRAME_HEADER + 3 + 9000 + WAL_COMMIT_BYTES;
    for (size_t group = 0; group < 2; group++) {
        for (size_t at = 0; at < group_len; at += 64) {
            size_t where = FIRST + group * GROUP + at;
            uint8_t hurt = bytes[where] ^ (uint8_t)(1u << (at / 64 % 8));
            rig_file_write(rig, 1, where, &hurt, 1);
            assert_int_equal(rig_scan(rig, 0), ERR_CORRUPT);
            assert_true(rig->replayed_count <= group);
            assert_non_null(strstr(rig->recovery.damage, "0000000000000001.wal"));
            assert_non_null(strstr(rig->recovery.damage, "Restore"));
            rig_file_write(rig, 1, where, &bytes[where], 1);
        }
    }
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 3);
    mem_free(bytes);
    rig_destroy(rig);
}

static void test_one_bit_of_the_newest_group_is_no_torn_write(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    uint8_t *bytes = three_groups(rig);
    const size_t group_len = WAL_GROUP_HEADER + WAL_FRAME_HEADER + 5 + 9000 + WAL_COMMIT_BYTES;
    const size_t commit_at = group_len - WAL_COMMIT_BYTES;
    for (size_t at = 0; at < group_len; at += at < 200 || at >= commit_at ? 1 : 61) {
        uint8_t hurt = bytes[LAST + at] ^ (uint8_t)(1u << (at % 8));
        rig_file_write(rig, 1, LAST + at, &hurt, 1);
        assert_int_equal(rig_scan(rig, 0), ERR_CORRUPT);
        assert_non_null(strstr(rig->recovery.damage, "one bit of the newest group"));
        hurt ^= (uint8_t)(1u << ((at + 3) % 8)); // two: nothing tells that from a torn write
        rig_file_write(rig, 1, LAST + at, &hurt, 1);
        assert_int_equal(rig_scan(rig, 0), 0);
        assert_int_equal(rig->replayed_count, 2);
        rig_file_write(rig, 1, LAST + at, &bytes[LAST + at], 1);
    }
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 3);
    mem_free(bytes);
    rig_destroy(rig);
}

static void test_the_choice_offered_works(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    mem_free(three_groups(rig));
    uint8_t junk = 0xff;
    rig_file_write(rig, 1, FIRST + GROUP + 100, &junk, 1);
    assert_int_equal(rig_open(rig, 0), ERR_CORRUPT);
    rig_close(rig);
    char words[48], path[160];
    (void)snprintf(words, sizeof words, "truncate to %d bytes", FIRST + GROUP);
    assert_non_null(strstr(rig->recovery.damage, words));
    rig_path(rig, 1, path);
    assert_int_equal(truncate(path, FIRST + GROUP), 0);
    assert_int_equal(rig_open(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 1);
    rig_add_one(rig, 0, "new", 10);
    rig_close(rig);
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 2);
    rig_destroy(rig);
}

static void test_headers_are_checked(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    uint8_t *bytes = three_groups(rig);
    uint8_t version = 9, flipped = bytes[33] ^ 1;
    rig_file_write(rig, 1, 8, &version, 1);
    assert_int_equal(rig_scan(rig, 0), ERR_FORMAT_VERSION);
    assert_non_null(strstr(rig->recovery.damage, "format 9"));
    assert_non_null(strstr(rig->recovery.damage, "0000000000000001.wal"));
    rig_file_write(rig, 1, 8, bytes + 8, 1);
    rig_file_write(rig, 1, 33, &flipped, 1); // the salt
    assert_int_equal(rig_scan(rig, 0), ERR_CORRUPT);
    assert_non_null(strstr(rig->recovery.damage, "no readable header"));
    rig_file_write(rig, 1, 33, bytes + 33, 1);
    // The opening is gone, the groups are not.
    uint8_t other = bytes[WAL_OPENING_AT + 24] ^ 1;
    rig_file_write(rig, 1, WAL_OPENING_AT + 24, &other, 1);
    assert_int_equal(rig_scan(rig, 0), ERR_CORRUPT);
    assert_non_null(strstr(rig->recovery.damage, "opening block"));
    mem_free(bytes);
    rig_destroy(rig);
}

static void test_foreign_and_misplaced_files_are_refused(void **state)
{
    (void)state;
    struct rig *a = rig_create(), *b = rig_create();
    mem_free(three_groups(a));
    uint8_t *bytes = three_groups(b);
    struct wal_header header;
    uint32_t version;
    assert_int_equal(wal_header_get(bytes, &header, &version), 0);
    header.number = 2;
    wal_header_put(bytes, &header);
    char path[160];
    rig_path(a, 2, path);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, FILE_BYTES), FILE_BYTES);
    close(fd);
    assert_int_equal(rig_scan(a, 0), ERR_CORRUPT);
    assert_non_null(strstr(a->recovery.damage, "another store"));
    mem_free(bytes);
    rig_destroy(a);
    rig_destroy(b);
}

static void test_stale_group_of_an_earlier_use_stays_dead(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    uint8_t *bytes = three_groups(rig);
    // The same bytes under a new salt: a file that was recycled.
    struct wal_header header;
    uint32_t version;
    assert_int_equal(wal_header_get(bytes, &header, &version), 0);
    header.salt ^= 0x5a5a;
    wal_header_put(bytes, &header);
    rig_file_write(rig, 1, 0, bytes, IO_BLOCK);
    struct wal_opening opening = {.salt = header.salt, .first_lsn = 1};
    wal_opening_put(bytes, &opening);
    rig_file_write(rig, 1, WAL_OPENING_AT, bytes, IO_BLOCK);
    assert_int_equal(rig_scan(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 0);
    assert_false(rig->recovery.cut);
    mem_free(bytes);
    rig_destroy(rig);
}

static void test_leftovers_of_the_maker(void **state)
{
    (void)state;
    struct rig *rig = rig_create();
    mem_free(three_groups(rig));
    char from[160], to[160];
    rig_path(rig, 1, from);
    (void)snprintf(to, sizeof to, "%s/journal/0000000000000005.new", rig->root);
    int fd = open(to, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    (void)snprintf(from, sizeof from, "%s/journal/0000000000000006.old", rig->root);
    fd = open(from, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, FILE_BYTES), 0);
    close(fd);
    assert_int_equal(rig_open(rig, 0), 0);
    assert_int_equal(rig->replayed_count, 3);
    rig_close(rig);
    assert_int_not_equal(access(to, F_OK), 0);
    assert_int_not_equal(access(from, F_OK), 0);
    rig_path(rig, 7, to); // its blocks serve as a spare file
    assert_int_equal(access(to, F_OK), 0);
    assert_int_equal(rig_scan(rig, 0), 0);
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest_group_torn_anywhere_is_cut),
        cmocka_unit_test(test_file_cut_short_at_every_block),
        cmocka_unit_test(test_flipped_bit_in_an_earlier_group_refuses_the_start),
        cmocka_unit_test(test_one_bit_of_the_newest_group_is_no_torn_write),
        cmocka_unit_test(test_the_choice_offered_works),
        cmocka_unit_test(test_headers_are_checked),
        cmocka_unit_test(test_foreign_and_misplaced_files_are_refused),
        cmocka_unit_test(test_stale_group_of_an_earlier_use_stays_dead),
        cmocka_unit_test(test_leftovers_of_the_maker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
