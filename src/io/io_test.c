// SPDX-License-Identifier: Apache-2.0
//
// What is the same in every world: addresses as text, and which paths may name a file.
#include "io/io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "io/io_int.h"

static void test_addr_text(void **state)
{
    (void)state;
    struct io_addr a;
    char text[IO_ADDR_TEXT_SIZE];
    const char *good[] = {"127.0.0.1:9092", "[::1]:0", "[fe80::12]:65535", "0.0.0.0:1"};
    const char *bad[] = {"",          "127.0.0.1",  "127.0.0.1:",  "127.0.0.1:65536", "[::1]",
                         "[::1:9092", "host:9092",  "::1:9092",    "1.2.3.4:9a",      "[]:1",
                         ":9092",     "1.2.3.4:-1", "1.2.3.4.5:1", "[::1]9092"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(io_addr_parse(good[i], &a), 0);
        io_addr_text(&a, text);
        assert_string_equal(text, good[i]);
        assert_int_equal(io_addr_is_loopback(&a), i < 2);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(io_addr_parse(bad[i], &a), ERR_INVALID);
}

static void test_paths(void **state)
{
    (void)state;
    const char *good[] = {"a", "a/b", "a/b.c/..d", ".hidden", "..."};
    const char *bad[] = {"/a", "a/", "a//b", "..", "a/..", "../a", "a/../b", "./a", "a/."};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(io_path_ok(good[i], false));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(io_path_ok(bad[i], true));
    assert_true(io_path_ok("", true));
    assert_true(io_path_ok(".", true));
    assert_false(io_path_ok("", false));
    assert_false(io_path_ok(".", false));
}

static void test_iov_len(void **state)
{
    (void)state;
    char bytes[10];
    const struct iovec iov[] = {{bytes, 3}, {bytes, 0}, {bytes, 7}};
    assert_int_equal(io_iov_len(iov, 3), 10);
    assert_int_equal(io_iov_len(iov, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addr_text),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_iov_len),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
