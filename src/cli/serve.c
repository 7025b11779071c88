// SPDX-License-Identifier: Apache-2.0
//
// `weir serve`: one node on the real machine with its doors. The main thread only waits for a
// signal; the second one ends the process at once.
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/serve_options.h"
#include "io/listeners.h"
#include "io/real.h"
#include "kafka/door.h"
#include "node/config.h"
#include "node/node.h"

struct server {
    struct serve_options options;
    struct io_world *world;
    struct node *node;
    struct kafka_door *doors[64]; // by shard
    const char *advertised;
    _Atomic(int) err;
    _Atomic(bool) started, stopped;
    char what[512];
};

// ---- what people see

static void say(void *arg, enum node_level level, const char *text)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    (void)arg;
    if (level > NODE_DEBUG)
        (void)fprintf(stderr, "weir: %s: %s\n", names[level], text);
}

// A file that appears whole, with a line per open address, so that scripts can wait for it.
static int addr_file_write(const char *path, struct kafka_door *door)
{
    char temporary[4096];
    char text[IO_ADDR_TEXT_SIZE];
    (void)snprintf(temporary, sizeof temporary, "%s.tmp", path);
    FILE *f = fopen(temporary, "we");
    if (f == NULL)
        return ERR_IO;
    for (uint32_t i = 0; i < kafka_door_addresses(door); i++) {
        io_addr_text(kafka_door_address(door, i), text);
        (void)fprintf(f, "kafka=%s\n", text);
    }
    int failed = fclose(f);
    return failed != 0 || rename(temporary, path) != 0 ? ERR_IO : 0;
}

static void welcome(struct server *s)
{
    struct kafka_door *door = s->doors[0];
    char text[IO_ADDR_TEXT_SIZE];
    for (uint32_t i = 0; i < kafka_door_addresses(door); i++) {
        io_addr_text(kafka_door_address(door, i), text);
        (void)fprintf(stderr, "weir: kafka on %s\n", text);
    }
    (void)fprintf(stderr, "weir: ready; data in %s\n", s->options.data);
}

// ---- hooks of the node, on its threads

static int open_doors(void *arg, struct shard *shard)
{
    struct server *s = arg;
    uint32_t index = shard_index(shard);
    struct io_addr addrs[IO_LISTENERS_MAX];
    struct kafka_door_options o = {
        .listen = s->options.listen,
        .listen_count = s->options.listen_count,
        .port = s->options.port,
        .advertised = s->advertised,
    };
    if (index > 0) {
        o.listen_count = kafka_door_addresses(s->doors[0]);
        for (uint32_t i = 0; i < o.listen_count; i++)
            addrs[i] = *kafka_door_address(s->doors[0], i);
        o.listen = addrs;
    }
    return kafka_door_open(shard, &o, &s->doors[index]);
}

static void close_doors(void *arg, struct shard *shard)
{
    struct server *s = arg;
    kafka_door_close(s->doors[shard_index(shard)]);
}

static void destroy_doors(void *arg, struct shard *shard)
{
    struct server *s = arg;
    kafka_door_destroy(s->doors[shard_index(shard)]);
}

static void unblocked(void *arg, struct shard *shard)
{
    (void)arg;
    if (shard_door(shard, SHARD_DOOR_KAFKA) != NULL)
        kafka_door_unblocked(shard_door(shard, SHARD_DOOR_KAFKA));
}

static void give_up(struct server *s, int err, const char *what)
{
    (void)snprintf(s->what, sizeof s->what, "%s", what);
    atomic_store(&s->err, err);
    io_real_wake(s->world);
}

static void on_started(void *arg, int err, const char *what)
{
    struct server *s = arg;
    if (err != 0) {
        give_up(s, err, what);
        return;
    }
    welcome(s);
    if (s->options.addr_file != NULL && addr_file_write(s->options.addr_file, s->doors[0]) != 0) {
        give_up(s, ERR_IO, "the file of --addr-file cannot be written");
        return;
    }
    atomic_store(&s->started, true);
}

static void on_failed(void *arg, int err, const char *what)
{
    // Nothing can be made durable any more. What was acknowledged is on disk; going on would only
    // pretend.
    (void)arg;
    cli_error("%s (%s); stopping. Restart when the disk is well: nothing acknowledged is lost",
              what, err_text(err));
    _exit(EX_IOERR);
}

static void on_stopped(void *arg)
{
    struct server *s = arg;
    atomic_store(&s->stopped, true);
    io_real_wake(s->world);
}

// ---- the command

static int node_run(struct server *s)
{
    uint32_t shards = s->options.shards;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (shards == 0)
        shards = cores <= 4 ? 1 : (uint32_t)(cores / 2 > 64 ? 64 : cores / 2);
    const struct node_options o = {
        .world = s->world,
        .shards_count = shards,
        .config = (const char *const *)s->options.settings,
        .open_doors = open_doors,
        .destroy_doors = destroy_doors,
        .close_doors = close_doors,
        .appends_unblocked = unblocked,
        .started = on_started,
        .failed = on_failed,
        .arg = s,
    };
    char *why = NULL;
    int err = node_create(&o, &s->node, &why);
    if (err != 0) {
        cli_error("%s: %s", s->options.data, why != NULL ? why : err_text(err));
        mem_free(why);
        return cli_exit_code(err);
    }
    (void)io_real_wait_signal(s->world);
    err = atomic_load(&s->err);
    if (err == 0) {
        node_stop(s->node, on_stopped, s);
        while (!atomic_load(&s->stopped))
            if (io_real_wait_signal(s->world) != 0)
                _exit(EX_TEMPFAIL); // asked twice: at once
    } else {
        cli_error("%s: %s", s->options.data, s->what);
    }
    node_destroy(s->node);
    return cli_exit_code(err);
}

static const char *advertised_of(const struct serve_options *o)
{
    const char *last = NULL;
    for (uint32_t i = 0; i < o->settings_count; i++)
        if (strncmp(o->settings[i], "advertised.listeners=", 21) == 0)
            last = o->settings[i] + 21;
    return last != NULL && last[0] != '\0' ? last : NULL;
}

static int serve(int argc, char **argv)
{
    struct server *s = mem_zalloc(sizeof *s);
    int code = serve_options_read(argc, argv, &s->options);
    if (code != 0) {
        mem_free(s);
        return code;
    }
    node_on_log(say, NULL);
    s->advertised = advertised_of(&s->options);
    io_real_block_signals();
    (void)io_real_rlimit_files();
    int err = io_real_create(&s->world);
    if (err == 0)
        err = io_real_set_root(s->world, s->options.data);
    if (err != 0) {
        cli_error("cannot use %s as data directory: %s", s->options.data, err_text(err));
        code = cli_exit_code(err);
    } else {
        code = node_run(s);
    }
    io_real_destroy(s->world);
    serve_options_free(&s->options);
    mem_free(s);
    return code;
}

const struct cli_command cli_serve = {
    .name = "serve",
    .summary = "run the server",
    .help =
        "usage: weir serve --data DIR [OPTION ...]\n"
        "\n"
        "  --data DIR         where the store lives; made if need be\n"
        "  --kafka ADDR       listen here: IP:PORT, several with commas; a port alone or "
        "localhost:PORT means both\n"
        "                     loopback addresses (default 9092; port 0 takes a free one)\n"
        "  --shards N         threads that own partitions (default 1 up to four cores, then half "
        "the cores)\n"
        "  -X NAME=VALUE      a setting, by Kafka's name where Kafka has one; doc/settings.md "
        "lists them\n"
        "  --addr-file FILE   write a line kafka=HOST:PORT per address once all doors are open\n"
        "  --allow-remote     listen elsewhere than on loopback although nobody has to log in\n"
        "  --config FILE      options and settings, a line 'name = value' each\n"
        "\n"
        "Every option can come from the environment too: WEIR_DATA_DIR, WEIR_KAFKA, WEIR_SHARDS, "
        "WEIR_ADDR_FILE,\n"
        "WEIR_ALLOW_REMOTE, WEIR_CONFIG, and WEIR_NUM_PARTITIONS for num.partitions and so on.\n",
    .run = serve,
};
