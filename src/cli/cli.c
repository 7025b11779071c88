// SPDX-License-Identifier: Apache-2.0
//
// How every command speaks of what went wrong, and the code it leaves with. Apart from main.c, so
// that the parts of commands can be tested without it.
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/err.h"

void cli_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("weir: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
}

int cli_usage(const struct cli_command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fprintf(stderr, "weir %s: ", command->name);
    (void)vfprintf(stderr, format, args);
    (void)fprintf(stderr, "\nTry 'weir %s --help'.\n", command->name);
    va_end(args);
    return EX_USAGE;
}

int cli_written(int code)
{
    bool written = fflush(stdout) == 0 && ferror(stdout) == 0;
    if (written || code != 0)
        return code;
    cli_error("standard output cannot be written");
    return EX_IOERR;
}

int cli_exit_code(int err)
{
    switch (err) {
    case 0:
        return EX_OK;
    case ERR_LOCKED:
    case ERR_REFUSED:
    case ERR_RESET:
    case ERR_EOF:
    case ERR_TIMEOUT:
    case ERR_ADDRESS_IN_USE:
        return EX_UNAVAILABLE;
    case ERR_CORRUPT:
    case ERR_FORMAT_VERSION:
        return EX_DATAERR;
    case ERR_PERMISSION:
        return EX_NOPERM;
    case ERR_CONFIG:
        return EX_CONFIG;
    case ERR_NOT_FOUND:
        return EX_NOINPUT;
    case ERR_IO:
    case ERR_SYNC:
    case ERR_NOSPACE:
        return EX_IOERR;
    default:
        return EX_SOFTWARE;
    }
}
