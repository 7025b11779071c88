// SPDX-License-Identifier: Apache-2.0
//
// What the files of `weir queue` share.
#ifndef WEIR_CLI_QUEUE_H
#define WEIR_CLI_QUEUE_H

#include "cli/arguments.h"

// get, publish, purge, delete, redrive; another verb is a usage error. Returns the exit code.
int queue_messages(const char *verb, const struct cli_arguments *args);

#endif
