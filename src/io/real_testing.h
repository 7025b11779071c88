// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the real world share: a world on a temporary directory, and calls that run on
// an actor while the test waits, as main would. Included once by each test; there is nothing to
// link.
#ifndef WEIR_IO_REAL_TESTING_H
#define WEIR_IO_REAL_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <semaphore.h>
#include <stdlib.h>

#include "base/list.h"
#include "io/real.h"

static struct io_world *world;
static char root[64];

static inline int setup(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/weir-io-test-XXXXXX");
    assert_non_null(mkdtemp(root));
    assert_int_equal(io_real_create(&world), 0);
    assert_int_equal(io_real_set_root(world, root), 0);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    char command[128];
    io_real_destroy(world);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command) == 0 ? 0 : -1;
}

// Runs fn on an actor and waits until it has returned.
struct call {
    struct io_msg msg;
    void (*fn)(struct io *io, void *arg);
    struct io *io;
    void *arg;
    sem_t done;
};

static inline void call_run(struct io_msg *msg)
{
    struct call *call = CONTAINER_OF(msg, struct call, msg);
    call->fn(call->io, call->arg);
    sem_post(&call->done);
}

static inline void call_on(struct io *io, void (*fn)(struct io *io, void *arg), void *arg)
{
    struct call call = {.msg.run = call_run, .fn = fn, .io = io, .arg = arg};
    sem_init(&call.done, 0, 0);
    io_post(io, &call.msg);
    while (sem_wait(&call.done) != 0) {
    }
    sem_destroy(&call.done);
}

static inline struct io *actor(const char *name, enum io_kind kind, int64_t spin_ns)
{
    struct io *io = NULL;
    struct io_actor_options options = {.name = name, .kind = kind, .spin_ns = spin_ns};
    assert_int_equal(io_actor_create(world, &options, &io), 0);
    return io;
}

#endif
