// SPDX-License-Identifier: Apache-2.0
//
// The end of the process after a failed ASSERT. It allocates nothing and takes no lock of ours: the
// heap may be what is broken.
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void assert_fail(const char *expr, const char *file, int line)
{
    char text[512];
    int len = snprintf(text, sizeof text, "weir: %s:%d: assertion failed: %s\n", file, line, expr);
    if (len > (int)sizeof text - 1)
        len = (int)sizeof text - 1;
    // Nothing can be done when standard error is closed; the abort below tells it anyway.
    if (len > 0 && write(STDERR_FILENO, text, (size_t)len) < 0)
        abort();
    abort();
}
