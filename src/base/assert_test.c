// SPDX-License-Identifier: Apache-2.0
//
// A failed assertion ends the process by SIGABRT and says where and why; one that holds costs no
// side effect twice.
#include "base/assert.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void what_holds_is_evaluated_once(void **state)
{
    (void)state;
    int times = 0;
    ASSERT(++times == 1);
    assert_int_equal(times, 1);
}

static void what_fails_aborts_and_tells(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL); // cmocka and the sanitizers catch it
        dup2(ends[1], STDERR_FILENO);
        int offset = 5;
        ASSERT(offset == 6);
        _exit(0); // not reached
    }
    close(ends[1]);
    char text[600] = "";
    size_t len = 0;
    ssize_t n;
    while (len < sizeof text - 1 && (n = read(ends[0], text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "assert_test.c:"));
    assert_non_null(strstr(text, "assertion failed: offset == 6"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_holds_is_evaluated_once),
        cmocka_unit_test(what_fails_aborts_and_tells),
    };
    return cmocka_run_group_tests_name("assert", tests, NULL, NULL);
}
