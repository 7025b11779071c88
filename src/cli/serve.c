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

#include "amqp/door.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/serve_options.h"
#include "http/door.h"
#include "io/listeners.h"
#include "io/real.h"
#include "kafka/door.h"
#include "node/config.h"
#include "node/node.h"

struct server {
    struct serve_options options;
    struct io_world *world;
    struct node *node;
    struct kafka_door *kafka[64]; // by shard
    struct amqp_door *amqp[64];
    struct http_door *http; // on shard 0
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

// The addresses of a door that is open, as they came out; NULL: it is not.
static const struct io_listeners *door_listeners(const struct server *s, enum serve_door door)
{
    switch (door) {
    case SERVE_KAFKA:
        return s->kafka[0] != NULL ? kafka_door_listeners(s->kafka[0]) : NULL;
    case SERVE_AMQP:
        return s->amqp[0] != NULL ? amqp_door_listeners(s->amqp[0]) : NULL;
    case SERVE_HTTP:
        return s->http != NULL ? http_door_listeners(s->http) : NULL;
    case SERVE_DOORS_COUNT:
        break;
    }
    return NULL;
}

static void addresses_print(const struct server *s, FILE *out, const char *format)
{
    char text[IO_ADDR_TEXT_SIZE];
    for (enum serve_door d = 0; d < SERVE_DOORS_COUNT; d++) {
        const struct io_listeners *l = door_listeners(s, d);
        for (uint32_t i = 0; l != NULL && i < l->count; i++) {
            io_addr_text(&l->addrs[i], text);
            (void)fprintf(out, "%s%s%s%s\n", format[0] == '=' ? "" : "weir: ", serve_door_name(d),
                          format, text);
        }
    }
}

// A file that appears whole, with a line per open address, so that scripts can wait for it.
static int addr_file_write(const struct server *s)
{
    char temporary[4096];
    (void)snprintf(temporary, sizeof temporary, "%s.tmp", s->options.addr_file);
    FILE *f = fopen(temporary, "we");
    if (f == NULL)
        return ERR_IO;
    addresses_print(s, f, "=");
    int failed = fclose(f);
    return failed != 0 || rename(temporary, s->options.addr_file) != 0 ? ERR_IO : 0;
}

static void welcome(const struct server *s)
{
    addresses_print(s, stderr, " on ");
    (void)fprintf(stderr, "weir: ready; data in %s\n", s->options.data);
}

// ---- hooks of the node, on its threads

// The first shard settles what port 0 means; the others listen where it does.
static struct io_listeners_options listen_options(const struct server *s, enum serve_door door)
{
    const struct serve_listen *l = &s->options.doors[door];
    const struct io_listeners *there = door_listeners(s, door);
    if (there != NULL)
        return (struct io_listeners_options){.listen = there->addrs, .listen_count = there->count};
    return (struct io_listeners_options){
        .listen = l->addrs, .listen_count = l->count, .port = l->port};
}

static int open_kafka(struct server *s, struct shard *shard)
{
    const struct io_listeners_options l = listen_options(s, SERVE_KAFKA);
    const struct kafka_door_options o = {.listen = l.listen,
                                         .listen_count = l.listen_count,
                                         .port = l.port,
                                         .advertised = s->advertised};
    if (!s->options.doors[SERVE_KAFKA].on)
        return 0;
    return kafka_door_open(shard, &o, &s->kafka[shard_index(shard)]);
}

static int open_amqp(struct server *s, struct shard *shard)
{
    const struct io_listeners_options l = listen_options(s, SERVE_AMQP);
    const struct amqp_door_options o = {
        .listen = l.listen, .listen_count = l.listen_count, .port = l.port};
    if (!s->options.doors[SERVE_AMQP].on)
        return 0;
    return amqp_door_open(shard, &o, &s->amqp[shard_index(shard)]);
}

static int open_http(struct server *s, struct shard *shard)
{
    const struct io_listeners_options l = listen_options(s, SERVE_HTTP);
    const struct http_door_options o = {
        .listen = l.listen, .listen_count = l.listen_count, .port = l.port, .version = CLI_VERSION};
    if (!s->options.doors[SERVE_HTTP].on || shard_index(shard) != 0)
        return 0;
    return http_door_open(shard, &o, &s->http);
}

// What people can do about a door that does not open; the error itself ends the start.
static void door_explain(enum serve_door door, int err)
{
    const char *name = serve_door_name(door);
    if (err == ERR_ADDRESS_IN_USE)
        cli_error("the address of --%s is in use: stop what listens there, name another port, or "
                  "do without (--%s none)",
                  name, name);
    else if (err == ERR_UNSUPPORTED)
        cli_error("--%s needs libmicrohttpd: apt-get install libmicrohttpd12", name);
}

static int open_doors(void *arg, struct shard *shard)
{
    static int (*const open[SERVE_DOORS_COUNT])(struct server *, struct shard *) = {
        [SERVE_KAFKA] = open_kafka, [SERVE_AMQP] = open_amqp, [SERVE_HTTP] = open_http};
    for (enum serve_door d = 0; d < SERVE_DOORS_COUNT; d++) {
        int err = open[d](arg, shard);
        if (err != 0) {
            door_explain(d, err);
            return err;
        }
    }
    return 0;
}

static void close_doors(void *arg, struct shard *shard)
{
    struct server *s = arg;
    uint32_t index = shard_index(shard);
    if (index == 0)
        http_door_close(s->http);
    amqp_door_close(s->amqp[index]);
    kafka_door_close(s->kafka[index]);
}

static void destroy_doors(void *arg, struct shard *shard)
{
    struct server *s = arg;
    uint32_t index = shard_index(shard);
    if (index == 0)
        http_door_destroy(s->http);
    amqp_door_destroy(s->amqp[index]);
    kafka_door_destroy(s->kafka[index]);
}

static void unblocked(void *arg, struct shard *shard)
{
    struct server *s = arg;
    kafka_door_unblocked(s->kafka[shard_index(shard)]);
    amqp_door_unblocked(s->amqp[shard_index(shard)]);
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
    if (s->options.addr_file != NULL && addr_file_write(s) != 0) {
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
        "  --amqp ADDR        the same for AMQP clients (default 5672)\n"
        "  --http ADDR        the same for metrics, health and Flower (default none; a port to "
        "open it)\n"
        "                     'none' closes a door\n"
        "  --shards N         threads that own partitions (default 1 up to four cores, then half "
        "the cores)\n"
        "  -X NAME=VALUE      a setting, by Kafka's name where Kafka has one; doc/settings.md "
        "lists them\n"
        "  --addr-file FILE   write a line kafka=HOST:PORT or amqp=… per address once all doors "
        "are open\n"
        "  --allow-remote     listen elsewhere than on loopback although nobody has to log in\n"
        "  --config FILE      options and settings, a line 'name = value' each\n"
        "\n"
        "Every option can come from the environment too: WEIR_DATA_DIR, WEIR_KAFKA, WEIR_AMQP, "
        "WEIR_HTTP, WEIR_SHARDS, WEIR_ADDR_FILE,\n"
        "WEIR_ALLOW_REMOTE, WEIR_CONFIG, and WEIR_NUM_PARTITIONS for num.partitions and so on.\n",
    .run = serve,
};
