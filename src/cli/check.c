// SPDX-License-Identifier: Apache-2.0
//
// `weir check DIR`: verifies a store at rest, changing nothing: the checkpoint and its snapshots,
// the journal, every segment with its indexes. It takes the store's lock, so that it never reads
// beside a running server.
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "io/real.h"
#include "journal/checkpoint.h"
#include "log/log.h"
#include "node/queue_check.h"

struct check {
    struct io_msg msg;
    struct io_world *world;
    struct io *io;
    const char *dir;
    bool json;
    int err;
    _Atomic(bool) done;
    struct checkpoint_found checkpoint;
    struct journal_recovery journal;
    struct log_check logs;
    struct log_settled *settled; // of the snapshots, oldest first: the last one of a log holds
    size_t settled_count, settled_cap;
    uint64_t unsettled; // places behind them that are no whole batches
    struct queue_check *queue_check;
    struct queue_check_counts queues;
    json_t *faults;
};

static void fault(struct check *c, const char *path, uint64_t position, const char *what)
{
    if (!c->json)
        (void)printf("FAULT  %s at %llu: %s\n", path, (unsigned long long)position, what);
    (void)json_array_append_new(c->faults, json_pack("{s:s, s:I, s:s}", "path", path, "position",
                                                     (json_int_t)position, "what", what));
}

// Whether the snapshots speak for this place. Behind them lies what was on its way when the server
// was killed: the journal has it, and the next start writes it again or cuts it.
static bool is_settled(const struct check *c, const char *path, uint64_t position)
{
    char dir[LOG_DIR_SIZE];
    const char *name = strrchr(path, '/');
    if (name == NULL)
        return true;
    for (size_t i = c->settled_count; i-- > 0;) {
        const struct log_settled *s = &c->settled[i];
        log_dir(&s->key, dir);
        if (strlen(dir) != (size_t)(name - path) || memcmp(dir, path, strlen(dir)) != 0)
            continue;
        long long base = strtoll(name + 1, NULL, 10);
        if (base != s->base_offset)
            return base < s->base_offset;
        // The active segment's indexes are made anew at every start.
        return strstr(name, ".log") != NULL && position < s->size_bytes;
    }
    return false;
}

static void log_fault(void *arg, const char *path, uint64_t position, const char *what)
{
    struct check *c = arg;
    if (c->journal.groups > 0 && !is_settled(c, path, position))
        c->unsettled++;
    else
        fault(c, path, position, what);
}

static int record_take(void *arg, const struct state_record *record)
{
    struct check *c = arg;
    struct log_settled s;
    queue_check_record(c->queue_check, record);
    int err = log_record_settled(record, &s);
    if (err == ERR_NOT_FOUND)
        return 0;
    if (err != 0)
        return err;
    if (c->settled_count == c->settled_cap) {
        c->settled_cap = c->settled_cap == 0 ? 64 : c->settled_cap * 2;
        c->settled = mem_realloc(c->settled, c->settled_cap * sizeof *c->settled);
    }
    c->settled[c->settled_count++] = s;
    return 0;
}

static int frame_take(void *arg, const struct journal_replayed *frame)
{
    struct check *c = arg;
    queue_check_frame(c->queue_check, frame);
    return 0;
}

static void queue_fault(void *arg, const char *what)
{
    fault(arg, "queues", 0, what);
}

static int frame_verify(void *arg, const struct journal_replayed *frame)
{
    struct check *c = arg;
    return log_reference_verify(c->io, frame);
}

static int partition_check(void *arg, const char *name)
{
    struct check *c = arg;
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", c->dir, name);
    int err = log_check_dir(c->io, path, true, &c->logs);
    struct log_key key = {.partition = (int32_t)strtol(name, NULL, 10)};
    if (err != 0)
        fault(c, path, 0, err_text(err));
    else if (uuid_from_hex(slice_cstr(c->dir + strlen("log/")), &key.topic) == 0)
        queue_check_log(c->queue_check, &key, c->logs.end_offset);
    return 0;
}

static int topic_check(void *arg, const char *name)
{
    struct check *c = arg;
    char path[256];
    (void)snprintf(path, sizeof path, "log/%s", name);
    c->dir = path;
    return io_list(c->io, path, partition_check, c);
}

static void check_run(struct io_msg *msg)
{
    struct check *c = CONTAINER_OF(msg, struct check, msg);
    struct io_file *lock = NULL;
    const struct journal_replay replay = {frame_take, frame_verify, c};
    c->queue_check = queue_check_create(queue_fault, c);
    c->err = io_lock(c->io, "LOCK", "weir check\n", &lock);
    if (c->err == 0) {
        int err = checkpoint_load(c->io, record_take, c, true, &c->checkpoint);
        if (err != 0)
            fault(c, "CHECKPOINT", 0,
                  c->checkpoint.damage[0] != '\0' ? c->checkpoint.damage : err_text(err));
        err = journal_scan(c->io, "journal", c->checkpoint.replay_lsn, &replay, &c->journal);
        if (err != 0)
            fault(c, "journal", 0,
                  c->journal.damage[0] != '\0' ? c->journal.damage : err_text(err));
        c->logs.report = log_fault;
        c->logs.arg = c;
        err = io_list(c->io, "log", topic_check, c);
        if (err != 0 && err != ERR_NOT_FOUND)
            fault(c, "log", 0, err_text(err));
        queue_check_finish(c->queue_check, &c->queues);
        io_file_close(lock);
    }
    queue_check_destroy(c->queue_check);
    atomic_store(&c->done, true);
    io_real_wake(c->world);
}

static void print_json(const struct check *c)
{
    json_t *all = json_pack(
        "{s:{s:I, s:I, s:I}, s:{s:I, s:I, s:b}, s:{s:I, s:I, s:I, s:I}, s:{s:I, s:I, s:I, s:I}, "
        "s:I, s:O}",
        "checkpoint", "sequence", (json_int_t)c->checkpoint.sequence, "files",
        (json_int_t)c->checkpoint.snapshot_files, "records", (json_int_t)c->checkpoint.records,
        "journal", "groups", (json_int_t)c->journal.groups, "frames", (json_int_t)c->journal.frames,
        "torn_end", (int)c->journal.cut, "logs", "segments", (json_int_t)c->logs.segments,
        "batches", (json_int_t)c->logs.batches, "records", (json_int_t)c->logs.records, "bytes",
        (json_int_t)c->logs.bytes, "queues", "queues", (json_int_t)c->queues.queues, "exchanges",
        (json_int_t)c->queues.exchanges, "bindings",
        (json_int_t)(c->queues.bindings - c->queues.void_bindings), "lease_sets",
        (json_int_t)c->queues.lease_sets, "unsettled", (json_int_t)c->unsettled, "faults",
        c->faults);
    (void)json_dumpf(all, stdout, JSON_INDENT(2));
    (void)printf("\n");
    json_decref(all);
}

static void print_text(const struct check *c)
{
    typedef unsigned long long ull;
    (void)printf("checkpoint  number %llu, %llu snapshot files, %llu records\n",
                 (ull)c->checkpoint.sequence, (ull)c->checkpoint.snapshot_files,
                 (ull)c->checkpoint.records);
    (void)printf("journal     %llu groups, %llu frames behind it%s\n", (ull)c->journal.groups,
                 (ull)c->journal.frames,
                 c->journal.cut ? "; a torn last group, which no one was told was durable" : "");
    (void)printf("logs        %llu segments, %llu batches, %llu records, %llu bytes\n",
                 (ull)c->logs.segments, (ull)c->logs.batches, (ull)c->logs.records,
                 (ull)c->logs.bytes);
    if (c->unsettled > 0)
        (void)printf("unclean     %llu places behind the checkpoint, which the next start settles "
                     "from the journal\n",
                     (ull)c->unsettled);
    (void)printf("queues      %llu queues, %llu exchanges, %llu bindings, %llu sets of settled "
                 "messages\n",
                 (ull)c->queues.queues, (ull)c->queues.exchanges,
                 (ull)(c->queues.bindings - c->queues.void_bindings), (ull)c->queues.lease_sets);
    (void)printf("%zu faults\n", json_array_size(c->faults));
}

static int check_store(struct check *c, const char *dir)
{
    const struct io_actor_options worker = {.name = "check", .kind = IO_WORKER};
    int err = io_real_create(&c->world);
    if (err == 0)
        err = io_real_set_root(c->world, dir);
    if (err == 0)
        err = io_actor_create(c->world, &worker, &c->io);
    if (err != 0)
        return err;
    c->msg.run = check_run;
    io_post(c->io, &c->msg);
    while (!atomic_load(&c->done))
        if (io_real_wait_signal(c->world) != 0)
            break;
    io_actor_stop(c->io);
    return c->err;
}

static int check(int argc, char **argv)
{
    static const char *const known[] = {"--format", NULL};
    struct cli_arguments args;
    int code = cli_arguments_read(&cli_check, argc, argv, known, &args);
    if (code != 0)
        return code;
    const char *format = cli_option(&args, "--format");
    format = format != NULL ? format : "text";
    bool json = strcmp(format, "json") == 0;
    if (args.words_count != 1)
        return cli_usage(&cli_check, "one data directory is needed");
    if (!json && strcmp(format, "text") != 0)
        return cli_usage(&cli_check, "--format takes text or json, not '%s'", format);
    if (access(args.words[0], X_OK) != 0) {
        cli_error("%s: %s", args.words[0], err_text(ERR_NOT_FOUND));
        return EX_NOINPUT;
    }
    struct check *c = mem_zalloc(sizeof *c);
    c->json = json;
    c->faults = json_array();
    io_real_block_signals();
    int err = check_store(c, args.words[0]);
    code = cli_exit_code(err);
    if (err == ERR_LOCKED)
        cli_error("%s is in use by a running server; stop it first", args.words[0]);
    else if (err != 0)
        cli_error("%s: %s", args.words[0], err_text(err));
    else if (json)
        print_json(c);
    else
        print_text(c);
    if (err == 0 && json_array_size(c->faults) > 0)
        code = EX_DATAERR;
    io_real_destroy(c->world);
    json_decref(c->faults);
    mem_free(c->settled);
    mem_free(c);
    return code;
}

const struct cli_command cli_check = {
    .name = "check",
    .summary = "verify a store at rest",
    .help =
        "usage: weir check DIR [--format text|json]\n"
        "\n"
        "Reads the checkpoint, the journal and every segment of a store that no server uses, "
        "checks all checksums,\n"
        "offsets, indexes and queues, and changes nothing. Ends with 65 when something is hurt.\n",
    .run = check,
};
