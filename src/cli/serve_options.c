// SPDX-License-Identifier: Apache-2.0
//
// Reading the options of `weir serve`. One table names them; each may come from the file, the
// environment or the command line.
#include "cli/serve_options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "node/config.h"

static const struct {
    const char *name;
    uint16_t port;
    bool on;
} door_presets[SERVE_DOORS_COUNT] = {
#define SERVE_DOOR_ROW(id, name, port, on) {name, port, on},
    SERVE_DOORS(SERVE_DOOR_ROW)
#undef SERVE_DOOR_ROW
};

const char *serve_door_name(enum serve_door door)
{
    ASSERT(door < SERVE_DOORS_COUNT);
    return door_presets[door].name;
}

#define usage(...) cli_usage(&cli_serve, __VA_ARGS__)

// ---- one option's value

static int set_text(char **slot, const char *value)
{
    mem_free(*slot);
    *slot = mem_strdup(value);
    return 0;
}

static int set_data(struct serve_options *o, const char *value)
{
    return set_text(&o->data, value);
}

static int set_addr_file(struct serve_options *o, const char *value)
{
    return set_text(&o->addr_file, value);
}

static int set_shards(struct serve_options *o, const char *value)
{
    char *end = NULL;
    long n = strtol(value, &end, 10);
    if (end == value || *end != '\0' || n < 1 || n > 64)
        return usage("--shards takes a number from 1 to 64, not '%s'", value);
    o->shards = (uint32_t)n;
    return 0;
}

static int set_allow_remote(struct serve_options *o, const char *value)
{
    o->insecure = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
    return 0;
}

static int listen_add(struct serve_listen *l, enum serve_door door, const char *text)
{
    struct io_addr addr;
    char full[128];
    if (l->count == IO_LISTENERS_MAX)
        return usage("more than %d addresses: '%s'", IO_LISTENERS_MAX, text);
    // "localhost:P", ":P" and "P" mean both loopback families.
    const char *port = strncmp(text, "localhost:", 10) == 0 ? text + 10 : text;
    port += *port == ':';
    char *end = NULL;
    unsigned long p = strtoul(port, &end, 10);
    if (end != port && *end == '\0' && p <= UINT16_MAX && isdigit((unsigned char)*port)) {
        l->port = (uint16_t)p;
        return 0;
    }
    (void)snprintf(full, sizeof full, "%s:%u", text, door_presets[door].port);
    if (io_addr_parse(text, &addr) == 0 || io_addr_parse(full, &addr) == 0) {
        l->addrs[l->count++] = addr;
        return 0;
    }
    return usage("--%s takes HOST:PORT with an IP address, a port alone, localhost:PORT, or none; "
                 "not '%s'",
                 door_presets[door].name, text);
}

static int set_door(struct serve_options *o, enum serve_door door, const char *value)
{
    struct serve_listen *l = &o->doors[door];
    char *copy = mem_strdup(value);
    int err = 0;
    l->count = 0;
    l->on = strcmp(value, "none") != 0;
    for (char *p = copy; err == 0 && l->on && p != NULL;) {
        char *comma = strchr(p, ',');
        if (comma != NULL)
            *comma = '\0';
        err = listen_add(l, door, p);
        p = comma != NULL ? comma + 1 : NULL;
    }
    mem_free(copy);
    return err;
}

static int set_kafka(struct serve_options *o, const char *value)
{
    return set_door(o, SERVE_KAFKA, value);
}

static int set_amqp(struct serve_options *o, const char *value)
{
    return set_door(o, SERVE_AMQP, value);
}

static int set_http(struct serve_options *o, const char *value)
{
    return set_door(o, SERVE_HTTP, value);
}

static int set_setting(struct serve_options *o, const char *pair)
{
    ASSERT(pair != NULL);
    const char *eq = strchr(pair, '=');
    if (eq == NULL)
        return usage("-X takes name=value, not '%s'", pair);
    struct slice name = slice_of(pair, (size_t)(eq - pair));
    if (config_find(CONFIG_BROKER, name) == NULL)
        return usage("there is no setting '%s'; doc/settings.md lists them", pair);
    if (o->settings_count == SERVE_SETTINGS_MAX)
        return usage("more settings than a start takes: '%s'", pair);
    o->settings[o->settings_count++] = mem_strdup(pair);
    return 0;
}

struct serve_option {
    const char *name; // on the command line with "--", in the file as it is
    const char *env;
    bool flag;
    int (*set)(struct serve_options *o, const char *value);
};

static const struct serve_option table[] = {
    {"data", "WEIR_DATA_DIR", false, set_data},
    {"kafka", "WEIR_KAFKA", false, set_kafka},
    {"amqp", "WEIR_AMQP", false, set_amqp},
    {"http", "WEIR_HTTP", false, set_http},
    {"shards", "WEIR_SHARDS", false, set_shards},
    {"addr-file", "WEIR_ADDR_FILE", false, set_addr_file},
    {"allow-remote", "WEIR_ALLOW_REMOTE", true, set_allow_remote},
};
#define OPTIONS (sizeof table / sizeof table[0])

static const struct serve_option *option_find(const char *name)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

// ---- the three places

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t len = strlen(text);
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        text[--len] = '\0';
    return text;
}

static int file_line(struct serve_options *o, const char *path, int number, char *line)
{
    char *text = trim(line);
    char *eq = strchr(text, '=');
    if (*text == '\0' || *text == '#')
        return 0;
    if (eq == NULL) {
        cli_error("%s:%d: expected name = value", path, number);
        return EX_CONFIG;
    }
    *eq = '\0';
    const char *name = trim(text);
    const char *value = trim(eq + 1);
    const struct serve_option *option = option_find(name);
    if (option != NULL)
        return option->set(o, value);
    char pair[1024];
    (void)snprintf(pair, sizeof pair, "%s=%s", name, value);
    return set_setting(o, pair);
}

static int file_read(struct serve_options *o, const char *path)
{
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        cli_error("cannot read the option file %s: %s", path, strerror(errno));
        return EX_NOINPUT;
    }
    char line[1024];
    int code = 0;
    for (int number = 1; code == 0 && fgets(line, sizeof line, f) != NULL; number++)
        code = file_line(o, path, number, line);
    (void)fclose(f);
    return code;
}

static int environment_read(struct serve_options *o)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        const char *value = getenv(table[i].env);
        int code = value != NULL ? table[i].set(o, value) : 0;
        if (code != 0)
            return code;
    }
    for (size_t i = 0; i < config_defs_count; i++) {
        char name[128] = "WEIR_";
        size_t at = config_defs[i].scope == CONFIG_BROKER ? strlen(name) : sizeof name;
        const char *from = config_defs[i].name;
        from += strncmp(from, "weir.", 5) == 0 ? 5 : 0;
        for (; *from != '\0' && at < sizeof name - 1; from++)
            name[at++] = *from == '.' ? '_' : (char)toupper((unsigned char)*from);
        if (at >= sizeof name)
            continue;
        name[at] = '\0';
        const char *value = getenv(name);
        char pair[1024];
        (void)snprintf(pair, sizeof pair, "%s=%s", config_defs[i].name, value != NULL ? value : "");
        int code = value != NULL ? set_setting(o, pair) : 0;
        if (code != 0)
            return code;
    }
    return 0;
}

static int argument_read(struct serve_options *o, int argc, char **argv, int *at)
{
    const char *arg = argv[*at];
    ASSERT(arg != NULL);
    if (strncmp(arg, "-X", 2) == 0) {
        const char *pair = arg[2] != '\0' ? arg + 2 : *at + 1 < argc ? argv[++*at] : "";
        return set_setting(o, pair);
    }
    if (strncmp(arg, "--", 2) != 0)
        return usage("unexpected '%s'", arg);
    char name[64];
    const char *eq = strchr(arg, '=');
    (void)snprintf(name, sizeof name, "%.*s", eq != NULL ? (int)(eq - arg - 2) : 60, arg + 2);
    const struct serve_option *option = option_find(name);
    if (option == NULL && strcmp(name, "config") == 0) {
        *at += eq == NULL; // read before all others; here it is only passed over
        return 0;
    }
    if (option == NULL)
        return usage("there is no option '%s'", arg);
    const char *value = eq != NULL ? eq + 1 : NULL;
    if (value == NULL && option->flag)
        value = "true";
    if (value == NULL && *at + 1 < argc)
        value = argv[++*at];
    return value != NULL ? option->set(o, value) : usage("'%s' needs a value", arg);
}

static const char *config_path(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            return argv[i + 1];
        if (strncmp(argv[i], "--config=", 9) == 0)
            return argv[i] + 9;
    }
    return getenv("WEIR_CONFIG");
}

static int options_check(const struct serve_options *o)
{
    if (o->data == NULL)
        return usage("%s", "--data DIR is needed: where the store lives (it is made if need be)");
    if (!o->doors[SERVE_KAFKA].on && !o->doors[SERVE_AMQP].on && !o->doors[SERVE_HTTP].on)
        return usage("%s", "every door is 'none': nobody could come in");
    for (uint32_t d = 0; d < SERVE_DOORS_COUNT; d++) {
        const struct serve_listen *l = &o->doors[d];
        for (uint32_t i = 0; i < l->count && !o->insecure; i++) {
            if (io_addr_is_loopback(&l->addrs[i]))
                continue;
            cli_error("there are no users configured, so weir only listens on loopback; "
                      "--allow-remote opens it to everybody who can reach it");
            return EX_CONFIG;
        }
    }
    return 0;
}

int serve_options_read(int argc, char **argv, struct serve_options *out)
{
    struct serve_options o = {0};
    for (uint32_t d = 0; d < SERVE_DOORS_COUNT; d++)
        o.doors[d] = (struct serve_listen){.on = door_presets[d].on, .port = door_presets[d].port};
    const char *path = config_path(argc, argv);
    int code = path != NULL ? file_read(&o, path) : 0;
    if (code == 0)
        code = environment_read(&o);
    for (int i = 1; code == 0 && i < argc; i++)
        code = argument_read(&o, argc, argv, &i);
    if (code == 0)
        code = options_check(&o);
    if (code != 0)
        serve_options_free(&o);
    else
        *out = o;
    return code;
}

void serve_options_free(struct serve_options *options)
{
    mem_free(options->data);
    mem_free(options->addr_file);
    for (uint32_t i = 0; i < options->settings_count; i++)
        mem_free(options->settings[i]);
    *options = (struct serve_options){0};
}
