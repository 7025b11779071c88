// SPDX-License-Identifier: Apache-2.0
//
// weir's entry: finds the command and runs it. Everything else is a command's own affair.
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/version.h"
#include "cli/cli.h"

static const struct cli_command *const commands[] = {
    &cli_serve, &cli_topic, &cli_group, &cli_queue, &cli_status, &cli_check, &cli_sim,
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void usage(FILE *out)
{
    (void)fputs("weir: event log, task queue and stream processing on one log\n\n"
                "usage: weir COMMAND [OPTION ...]\n\n",
                out);
    for (size_t i = 0; i < COMMANDS; i++)
        (void)fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    (void)fputs("\n'weir COMMAND --help' tells more. 'weir --version' names the version.\n", out);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return EX_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)puts("weir " CLI_VERSION);
        return EX_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return EX_OK;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i]->name) != 0)
            continue;
        if (argc > 2 && strcmp(argv[2], "--help") == 0) {
            (void)fputs(commands[i]->help, stdout);
            return EX_OK;
        }
        return cli_written(commands[i]->run(argc - 1, argv + 1));
    }
    cli_error("there is no command '%s'; 'weir --help' lists them", argv[1]);
    return EX_USAGE;
}
