// SPDX-License-Identifier: Apache-2.0
//
// Assertions that stay on in release. A failed ASSERT is a bug of ours: the process stops at once,
// before a wrong state can reach the disk. Never assert on what a stranger or a disk can cause:
// that is an error, not a bug.
#ifndef WEIR_BASE_ASSERT_H
#define WEIR_BASE_ASSERT_H

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

// Prints file, line and expression to standard error and aborts. Never returns.
_Noreturn void assert_fail(const char *expr, const char *file, int line);

#define ASSERT(expr) (LIKELY(expr) ? (void)0 : assert_fail(#expr, __FILE__, __LINE__))

#endif
