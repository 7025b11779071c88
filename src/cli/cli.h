// SPDX-License-Identifier: Apache-2.0
//
// The command line: a command is a file that ends in one struct cli_command. Commands print tables
// on a terminal and TSV into a pipe, and end with the codes of sysexits.h, so that scripts can tell
// a wrong option from a server that is not there.
#ifndef WEIR_CLI_CLI_H
#define WEIR_CLI_CLI_H

#include <stdbool.h>

#define CLI_VERSION "0.1.0" // of weir

struct cli_command {
    const char *name;
    const char *summary;               // one line
    const char *help;                  // the whole text of `weir NAME --help`
    int (*run)(int argc, char **argv); // argv[0] is the command's name; returns the exit code
};

extern const struct cli_command cli_serve, cli_topic, cli_group, cli_status, cli_check;
extern const struct cli_command cli_queue, cli_sim;

// Writes "weir: …" to standard error; for what went wrong and what to do next.
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
// The same, and a line that names `weir COMMAND --help`. Returns EX_USAGE.
int cli_usage(const struct cli_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int cli_exit_code(int err); // the sysexits code of an ERR_*
// What was printed has left the process: code, or EX_IOERR after a message if code is 0.
int cli_written(int code);

#endif
