// SPDX-License-Identifier: Apache-2.0
//
// The store at rest, after an orderly stop: every segment that lies there must be whole, as `weir
// check` sees it.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "log/log.h"
#include "sim/world.h"

#define CHECK_LIMIT_NS (INT64_C(600) * 1000000000)
#define PATH_BYTES     128

struct files_check {
    struct world *world;
    struct io *io;
    struct io_msg msg;
    char topic[PATH_BYTES];
    bool done;
};

static void fault_found(void *arg, const char *path, uint64_t position, const char *what)
{
    struct files_check *f = arg;
    model_fail(&f->world->model, "after an orderly stop %s is hurt at %llu: %s", path,
               (unsigned long long)position, what);
}

static int partition_check(void *arg, const char *name)
{
    struct files_check *f = arg;
    char path[2 * PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", f->topic, name);
    struct log_check check = {.report = fault_found, .arg = f};
    int err = log_check_dir(f->io, path, true, &check);
    if (err != 0)
        model_fail(&f->world->model, "%s cannot be checked: %s", path, err_text(err));
    f->world->model.checks++;
    return 0;
}

static int topic_check(void *arg, const char *name)
{
    struct files_check *f = arg;
    (void)snprintf(f->topic, sizeof f->topic, "log/%s", name);
    return io_list(f->io, f->topic, partition_check, f);
}

static void check_run(struct io_msg *msg)
{
    struct files_check *f = CONTAINER_OF(msg, struct files_check, msg);
    int err = io_list(f->io, "log", topic_check, f);
    if (err != 0)
        model_fail(&f->world->model, "the logs cannot be listed: %s", err_text(err));
    f->done = true;
}

static bool check_done(void *arg)
{
    const struct files_check *f = arg;
    return f->done;
}

void files_check(struct world *w)
{
    struct files_check f = {.world = w, .msg.run = check_run};
    struct io_world *world = sim_start(w->server_machine);
    const struct io_actor_options o = {.name = "check", .kind = IO_WORKER};
    int err = io_actor_create(world, &o, &f.io);
    ASSERT(err == 0);
    io_post(f.io, &f.msg);
    bool done = sim_run_until(w->sim, sim_now_ns(w->sim) + CHECK_LIMIT_NS, check_done, &f);
    ASSERT(done);
    io_actor_stop(f.io);
    sim_world_free(world);
}
