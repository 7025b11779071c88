// SPDX-License-Identifier: Apache-2.0
//
// The wrapper that fails. Its files are objects of their own around the wrapped actor's; sockets
// are handed out as they are, since only making one fails here (the simulator cuts connections).
#include "io/fault.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/io_int.h"

struct fault_io {
    struct io base;
    struct io *inner;
    struct io_fault_plan *plan;
};

struct fault_file {
    struct io_file base;
    struct io_file *inner;
    struct fault_io *io;
    bool durable;
};

static const struct io_ops fault_ops;

void io_fault_plan_init(struct io_fault_plan *plan, uint64_t seed)
{
    *plan = (struct io_fault_plan){0};
    prng_seed(&plan->prng, seed);
}

static bool rule_hits(struct io_fault_rule *rule, struct prng *prng)
{
    if (rule->countdown == 1) {
        if (rule->times == UINT32_MAX)
            return true;
        if (rule->times <= 1)
            rule->countdown = 0;
        else
            rule->times--;
        return true;
    }
    if (rule->countdown > 1)
        rule->countdown--;
    return rule->chance_ppm > 0 && prng_chance(prng, rule->chance_ppm, 1000000);
}

// 0, or what the call is to fail with.
static int roll(struct io_fault_plan *plan, enum io_fault_op op)
{
    static const int errors[IO_FAULT_OPS] = {
        [IO_FAULT_OPEN] = ERR_IO,   [IO_FAULT_READ] = ERR_IO, [IO_FAULT_WRITE] = ERR_IO,
        [IO_FAULT_SYNC] = ERR_SYNC, [IO_FAULT_NAME] = ERR_IO, [IO_FAULT_CONNECT] = ERR_REFUSED,
    };
    struct io_fault_rule *rule = &plan->rules[op];
    plan->calls[op]++;
    if (!rule_hits(rule, &plan->prng))
        return 0;
    plan->failed[op]++;
    return rule->err != 0 ? rule->err : errors[op];
}

static struct fault_io *self(struct io *io)
{
    ASSERT(io->ops == &fault_ops);
    return (struct fault_io *)io;
}

int io_fault_wrap(struct io *inner, struct io_fault_plan *plan, struct io **out)
{
    struct fault_io *io = mem_zalloc(sizeof *io);
    io_base_init(&io->base, &fault_ops, inner->kind);
    io->base.base = inner->base; // mail, timers and turns
    io->inner = inner;
    io->plan = plan;
    *out = &io->base;
    return 0;
}

void io_fault_unwrap(struct io *io)
{
    if (io == NULL)
        return;
    io_base_fini(&self(io)->base);
    mem_free(io);
}

// ---- handed on

static void fault_actor_stop(struct io *io)
{
    io_actor_stop(self(io)->inner);
}

static int64_t fault_now_ns(struct io *io)
{
    return io_now_ns(self(io)->inner);
}

static int64_t fault_wall_ms(struct io *io)
{
    return io_wall_ms(self(io)->inner);
}

static void fault_random(struct io *io, void *out, size_t len)
{
    io_random(self(io)->inner, out, len);
}

static int fault_listen(struct io *io, const struct io_listen_options *options,
                        struct io_sock **out)
{
    return io_listen(self(io)->inner, options, out);
}

static int64_t fault_disk_free(struct io *io)
{
    return io_disk_free(self(io)->inner);
}

static int fault_list(struct io *io, const char *path, int (*fn)(void *arg, const char *name),
                      void *arg)
{
    return io_list(self(io)->inner, path, fn, arg);
}

static int fault_connect(struct io *io, const struct io_addr *addr, struct io_sock **out)
{
    int rc = roll(self(io)->plan, IO_FAULT_CONNECT);
    return rc != 0 ? rc : io_connect(self(io)->inner, addr, out);
}

// ---- names

static int fault_rename(struct io *io, const char *from, const char *to)
{
    int rc = roll(self(io)->plan, IO_FAULT_NAME);
    return rc != 0 ? rc : io_rename(self(io)->inner, from, to);
}

static int fault_remove(struct io *io, const char *path)
{
    int rc = roll(self(io)->plan, IO_FAULT_NAME);
    return rc != 0 ? rc : io_remove(self(io)->inner, path);
}

static int fault_mkdir(struct io *io, const char *path)
{
    int rc = roll(self(io)->plan, IO_FAULT_NAME);
    return rc != 0 ? rc : io_mkdir(self(io)->inner, path);
}

static int fault_sync_dir(struct io *io, const char *path)
{
    int rc = roll(self(io)->plan, IO_FAULT_SYNC);
    return rc != 0 ? rc : io_sync_dir(self(io)->inner, path);
}

// ---- files

static struct io_file *file_wrap(struct fault_io *io, struct io_file *inner, bool durable)
{
    struct fault_file *file = mem_zalloc(sizeof *file);
    file->base.ops = &fault_ops;
    file->inner = inner;
    file->io = io;
    file->durable = durable;
    return &file->base;
}

static int fault_open(struct io *io, const char *path, int flags, struct io_file **out)
{
    struct io_file *inner = NULL;
    int rc = roll(self(io)->plan, IO_FAULT_OPEN);
    if (rc == 0)
        rc = io_open(self(io)->inner, path, flags, &inner);
    if (rc == 0)
        *out = file_wrap(self(io), inner, (flags & IO_DURABLE) != 0);
    return rc;
}

static int fault_lock(struct io *io, const char *path, const char *text, struct io_file **out)
{
    struct io_file *inner = NULL;
    int rc = roll(self(io)->plan, IO_FAULT_OPEN);
    if (rc == 0)
        rc = io_lock(self(io)->inner, path, text, &inner);
    if (rc == 0)
        *out = file_wrap(self(io), inner, false);
    return rc;
}

static struct fault_file *file_of(struct io_file *file)
{
    return (struct fault_file *)file;
}

static void fault_file_close(struct io_file *file)
{
    io_file_close(file_of(file)->inner);
    mem_free(file);
}

static int64_t fault_file_size(struct io_file *file)
{
    return io_file_size(file_of(file)->inner);
}

static int64_t fault_read(struct io_file *file, uint64_t offset, void *buf, size_t len)
{
    int rc = roll(file_of(file)->io->plan, IO_FAULT_READ);
    return rc != 0 ? rc : io_read(file_of(file)->inner, offset, buf, len);
}

// The first len bytes, one iovec at a time.
static void write_part(struct io_file *inner, uint64_t offset, const struct iovec *iov,
                       uint64_t len)
{
    while (len > 0) {
        struct iovec part = *iov++;
        if (part.iov_len > len)
            part.iov_len = (size_t)len;
        if (part.iov_len > 0 && io_write(inner, offset, &part, 1) != 0)
            return;
        offset += part.iov_len;
        len -= part.iov_len;
    }
}

static int fault_write(struct io_file *base, uint64_t offset, const struct iovec *iov,
                       int iov_count)
{
    struct fault_file *file = file_of(base);
    int rc = roll(file->io->plan, IO_FAULT_WRITE);
    if (rc == 0)
        return io_write(file->inner, offset, iov, iov_count);
    uint64_t len = io_iov_len(iov, iov_count);
    uint64_t part = file->io->plan->rules[IO_FAULT_WRITE].after_bytes;
    if (len > 0 && part >= len)
        part = len - 1;
    if (file->durable)
        part = part / IO_BLOCK * IO_BLOCK;
    write_part(file->inner, offset, iov, len == 0 ? 0 : part);
    return rc;
}

static int fault_sync(struct io_file *file)
{
    int rc = roll(file_of(file)->io->plan, IO_FAULT_SYNC);
    return rc != 0 ? rc : io_sync(file_of(file)->inner);
}

static int fault_truncate(struct io_file *file, uint64_t size_bytes)
{
    int rc = roll(file_of(file)->io->plan, IO_FAULT_WRITE);
    return rc != 0 ? rc : io_truncate(file_of(file)->inner, size_bytes);
}

static int fault_reserve(struct io_file *file, uint64_t offset, uint64_t len_bytes)
{
    int rc = roll(file_of(file)->io->plan, IO_FAULT_WRITE);
    return rc != 0 ? rc : io_reserve(file_of(file)->inner, offset, len_bytes);
}

static int fault_lock_text(struct io_file *lock, const char *text)
{
    int rc = roll(file_of(lock)->io->plan, IO_FAULT_WRITE);
    return rc != 0 ? rc : io_lock_text(file_of(lock)->inner, text);
}

// Rows that are absent are never reached: worlds and sockets are not wrapped, and mail and timers
// go to the wrapped actor (io.base).
static const struct io_ops fault_ops = {
    .actor_stop = fault_actor_stop,
    .now_ns = fault_now_ns,
    .wall_ms = fault_wall_ms,
    .random = fault_random,
    .listen = fault_listen,
    .connect = fault_connect,
    .open = fault_open,
    .file_close = fault_file_close,
    .file_size = fault_file_size,
    .read = fault_read,
    .write = fault_write,
    .sync = fault_sync,
    .truncate = fault_truncate,
    .reserve = fault_reserve,
    .rename = fault_rename,
    .remove = fault_remove,
    .mkdir = fault_mkdir,
    .sync_dir = fault_sync_dir,
    .list = fault_list,
    .disk_free = fault_disk_free,
    .lock = fault_lock,
    .lock_text = fault_lock_text,
};
