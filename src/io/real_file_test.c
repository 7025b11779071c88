// SPDX-License-Identifier: Apache-2.0
//
// Files of the real world: reading and writing, many pieces at once, durable writes, names, the
// lock, a full device.
#include "io/real.h"

#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/real_testing.h"

// ---- files

static int collect(void *arg, const char *name)
{
    char *out = arg;
    strncat(out, name, 200 - strlen(out));
    strncat(out, " ", 200 - strlen(out));
    return 0;
}

static void files(struct io *io, void *arg)
{
    (void)arg;
    struct io_file *f = NULL, *g = NULL;
    char buf[64] = {0}, names[256] = "";
    char a[] = "hello ", b[] = "world";
    struct iovec iov[2] = {{a, 6}, {b, 5}};
    assert_int_equal(io_open(io, "nothing", 0, &f), ERR_NOT_FOUND);
    assert_int_equal(io_open(io, "../escape", IO_WRITE | IO_CREATE, &f), ERR_INVALID);
    assert_int_equal(io_open(io, "/etc/passwd", 0, &f), ERR_INVALID);
    assert_null(f);
    assert_int_equal(io_mkdir(io, "d"), 0);
    assert_int_equal(io_mkdir(io, "d"), 0);
    assert_int_equal(io_open(io, "d/x", IO_WRITE | IO_CREATE | IO_EXCLUSIVE, &f), 0);
    assert_int_equal(io_open(io, "d/x", IO_WRITE | IO_CREATE | IO_EXCLUSIVE, &g), ERR_EXISTS);
    assert_int_equal(io_write(f, 3, iov, 2), 0);
    assert_int_equal(io_file_size(f), 14);
    assert_int_equal(io_read(f, 0, buf, sizeof buf), 14);
    assert_memory_equal(buf, "\0\0\0hello world", 14);
    assert_int_equal(io_sync(f), 0);
    assert_int_equal(io_truncate(f, 8), 0);
    assert_int_equal(io_read(f, 8, buf, 1), 0);
    assert_int_equal(io_reserve(f, 0, 1 << 20), 0);
    assert_int_equal(io_file_size(f), 8);
    io_file_close(f);
    assert_int_equal(io_rename(io, "d/x", "d/y"), 0);
    assert_int_equal(io_sync_dir(io, "d"), 0);
    assert_int_equal(io_sync_dir(io, ""), 0);
    assert_int_equal(io_open(io, "d/a", IO_WRITE | IO_CREATE, &f), 0);
    io_file_close(f);
    assert_int_equal(io_list(io, "d", collect, names), 0);
    assert_string_equal(names, "a y ");
    assert_int_equal(io_remove(io, "d"), ERR_EXISTS);
    assert_int_equal(io_remove(io, "d/a"), 0);
    assert_int_equal(io_remove(io, "d/y"), 0);
    assert_int_equal(io_remove(io, "d"), 0);
    assert_int_equal(io_list(io, "d", collect, names), ERR_NOT_FOUND);
    assert_true(io_disk_free(io) > 0);
    io_file_close(NULL);
}

static void many_iovecs(struct io *io, void *arg)
{
    (void)arg;
    enum { COUNT = 3000 };
    struct io_file *f = NULL;
    struct iovec *iov = mem_zalloc(COUNT * sizeof *iov);
    uint16_t *numbers = mem_zalloc(COUNT * sizeof *numbers);
    for (uint16_t i = 0; i < COUNT; i++) {
        numbers[i] = i;
        iov[i] = (struct iovec){&numbers[i], 2};
    }
    uint16_t back[COUNT];
    assert_int_equal(io_open(io, "many", IO_WRITE | IO_CREATE, &f), 0);
    assert_int_equal(io_write(f, 0, iov, COUNT), 0);
    assert_int_equal(io_read(f, 0, back, sizeof back), sizeof back);
    assert_memory_equal(back, numbers, sizeof back);
    io_file_close(f);
    mem_free(numbers);
    mem_free(iov);
}

static void durable(struct io *io, void *arg)
{
    (void)arg;
    struct io_file *f = NULL;
    uint8_t *page = mem_alloc_aligned(IO_BLOCK, 3 * IO_BLOCK);
    uint8_t *back = mem_alloc_aligned(IO_BLOCK, 4 * IO_BLOCK);
    memset(page, 'a', IO_BLOCK);
    memset(page + IO_BLOCK, 'b', 2 * IO_BLOCK);
    struct iovec iov[2] = {{page, IO_BLOCK}, {page + IO_BLOCK, 2 * IO_BLOCK}};
    assert_int_equal(io_open(io, "wal", IO_WRITE | IO_CREATE | IO_EXCLUSIVE | IO_DURABLE, &f), 0);
    assert_int_equal(io_write(f, IO_BLOCK, iov, 2), 0);
    assert_int_equal(io_file_size(f), 4 * IO_BLOCK);
    assert_int_equal(io_read(f, 0, back, 4 * IO_BLOCK), 4 * IO_BLOCK);
    assert_int_equal(back[0], 0);
    assert_memory_equal(back + IO_BLOCK, page, 3 * IO_BLOCK);
    assert_int_equal(io_read(f, 4 * IO_BLOCK, back, IO_BLOCK), 0);
    io_file_close(f);
    mem_free(page);
    mem_free(back);
}

static void locks(struct io *io, void *arg)
{
    (void)arg;
    struct io_file *lock = NULL, *second = NULL, *read = NULL;
    char buf[64] = {0};
    assert_int_equal(io_lock(io, "LOCK", "a long first text", &lock), 0);
    assert_int_equal(io_lock(io, "LOCK", "mine", &second), ERR_LOCKED);
    assert_null(second);
    assert_int_equal(io_lock_text(lock, "kafka=here"), 0);
    assert_int_equal(io_open(io, "LOCK", 0, &read), 0);
    assert_int_equal(io_read(read, 0, buf, sizeof buf), 10);
    assert_string_equal(buf, "kafka=here");
    io_file_close(read);
    io_file_close(lock);
    assert_int_equal(io_lock(io, "LOCK", "again", &lock), 0);
    io_file_close(lock);
}

// A bulk write in pieces of odd lengths at an odd place, among older bytes, grown and rewritten.
static void bulk(struct io *io, void *arg)
{
    (void)arg;
    enum { SIZE = 9 << 20, PIECES = 7 };
    static const uint64_t offsets[] = {0, 1, 4095, 4096, 12345, 3 << 20};
    uint8_t *model = mem_zalloc(2 * SIZE), *bytes = mem_alloc(SIZE), *back = mem_alloc(2 * SIZE);
    uint64_t end = 0;
    struct io_file *f = NULL, *reader = NULL;
    assert_int_equal(io_open(io, "bulk", IO_WRITE | IO_CREATE | IO_BULK, &f), 0);
    assert_int_equal(io_open(io, "bulk", 0, &reader), 0);
    for (size_t round = 0; round < sizeof offsets / sizeof offsets[0]; round++) {
        size_t len = (size_t)SIZE >> round; // the last are too short to be bulk
        struct iovec iov[PIECES];
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)(i * 31 + i / 251 + round);
        for (size_t i = 0, at = 0; i < PIECES; i++) {
            size_t n = i + 1 < PIECES ? len / PIECES - i * 3 : len - at;
            iov[i] = (struct iovec){bytes + at, n};
            at += n;
        }
        memcpy(model + offsets[round], bytes, len);
        end = end > offsets[round] + len ? end : offsets[round] + len;
        assert_int_equal(io_write(f, offsets[round], iov, PIECES), 0);
        assert_int_equal(io_read(reader, 0, back, 2 * SIZE), end);
        assert_memory_equal(back, model, end);
        assert_int_equal(io_sync(f), 0);
    }
    assert_int_equal(io_file_size(f), end); // it ends where the bytes end, not at a block
    io_file_close(reader);
    io_file_close(f);
    mem_free(model);
    mem_free(bytes);
    mem_free(back);
}

static void test_files(void **state)
{
    (void)state;
    struct io *io = actor("files", IO_WORKER, 0);
    call_on(io, files, NULL);
    call_on(io, many_iovecs, NULL);
    call_on(io, durable, NULL);
    call_on(io, bulk, NULL);
    call_on(io, locks, NULL);
    io_actor_stop(io);
}

static void full_device(struct io *io, void *arg)
{
    (void)arg;
    struct io_file *f = NULL;
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    assert_int_equal(io_open(io, "full", IO_WRITE, &f), 0);
    assert_int_equal(io_write(f, 0, &iov, 1), ERR_NOSPACE);
    io_file_close(f);
}

static void test_no_space(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_int_equal(io_real_set_root(world, "/dev"), 0);
    struct io *io = actor("full", IO_WORKER, 0);
    call_on(io, full_device, NULL);
    io_actor_stop(io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_space, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
