// SPDX-License-Identifier: Apache-2.0
//
// What the node has to tell people goes through one hook that the command line sets; without it,
// silence.
#include <stdarg.h>
#include <stdio.h>

#include "node/node.h"

static node_log_fn *say_fn;
static void *say_arg;

void node_on_log(node_log_fn *fn, void *arg)
{
    say_fn = fn;
    say_arg = arg;
}

void node_say(struct node *node, enum node_level level, const char *format, ...)
{
    (void)node;
    if (say_fn == NULL)
        return;
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say_fn(say_arg, level, text);
}
