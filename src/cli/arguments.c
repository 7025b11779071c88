// SPDX-License-Identifier: Apache-2.0
//
// See arguments.h. getopt_long was rejected: it writes its own messages and knows no "what to do
// next".
#include "cli/arguments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static const char *known_name(const char *arg, size_t len, const char *const *known)
{
    if (len == 7 && memcmp(arg, "--kafka", 7) == 0)
        return "--kafka";
    for (; known != NULL && *known != NULL; known++)
        if (strlen(*known) == len && memcmp(*known, arg, len) == 0)
            return *known;
    return NULL;
}

static int option_read(const struct cli_command *command, int argc, char **argv, int *at,
                       const char *const *known, struct cli_arguments *out)
{
    const char *arg = argv[*at];
    const char *eq = strchr(arg, '=');
    const char *name = known_name(arg, eq != NULL ? (size_t)(eq - arg) : strlen(arg), known);
    if (name == NULL)
        return cli_usage(command, "there is no option '%s'", arg);
    if (eq == NULL && *at + 1 == argc)
        return cli_usage(command, "'%s' needs a value", arg);
    const char *value = eq != NULL ? eq + 1 : argv[++*at];
    if (strcmp(name, "--kafka") == 0) {
        out->kafka = value;
        return 0;
    }
    if (out->options_count == CLI_OPTIONS_MAX)
        return cli_usage(command, "more than %d options", CLI_OPTIONS_MAX);
    out->options[out->options_count++] = (struct cli_option_value){name, value};
    return 0;
}

int cli_arguments_read(const struct cli_command *command, int argc, char **argv,
                       const char *const *known, struct cli_arguments *out)
{
    *out = (struct cli_arguments){0};
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            int code = option_read(command, argc, argv, &i, known, out);
            if (code != 0)
                return code;
        } else if (out->words_count == CLI_WORDS_MAX) {
            return cli_usage(command, "more than %d words", CLI_WORDS_MAX);
        } else {
            out->words[out->words_count++] = argv[i];
        }
    }
    return 0;
}

const char *cli_option(const struct cli_arguments *args, const char *name)
{
    for (uint32_t i = args->options_count; i-- > 0;)
        if (strcmp(args->options[i].name, name) == 0)
            return args->options[i].value;
    return NULL;
}

int cli_number(const struct cli_command *command, const char *name, const char *text, int64_t min,
               int64_t max, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || v < min || v > max)
        return cli_usage(command, "%s takes a number from %lld to %lld, not '%s'", name,
                         (long long)min, (long long)max, text);
    *out = v;
    return 0;
}
