// SPDX-License-Identifier: Apache-2.0
//
// The arguments of commands that talk to a server: words, --kafka, and the options that a command
// names.
#ifndef WEIR_CLI_ARGUMENTS_H
#define WEIR_CLI_ARGUMENTS_H

#include <stdint.h>

#include "cli/cli.h"

#define CLI_WORDS_MAX   16
#define CLI_OPTIONS_MAX 32

struct cli_option_value {
    const char *name, *value;
};
struct cli_arguments {
    const char *kafka; // --kafka, or NULL
    const char *words[CLI_WORDS_MAX];
    uint32_t words_count;
    struct cli_option_value options[CLI_OPTIONS_MAX]; // in order; may repeat
    uint32_t options_count;
};

// `known`: the command's own options, each with a value, NULL-terminated ("--partitions"); may be
// NULL. 0 or EX_USAGE after a message.
int cli_arguments_read(const struct cli_command *command, int argc, char **argv,
                       const char *const *known, struct cli_arguments *out);
const char *cli_option(const struct cli_arguments *args, const char *name); // the last one, or NULL
// A whole number in [min, max], or EX_USAGE after a message.
int cli_number(const struct cli_command *command, const char *name, const char *text, int64_t min,
               int64_t max, int64_t *out);

#endif
