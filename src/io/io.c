// SPDX-License-Identifier: Apache-2.0
//
// The thin part of io: each call goes to the implementation through its table of operations; what
// is the same in every world (the timer heap, paths, iovecs) is done here once.
#include "io/io.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/list.h"
#include "io/io_int.h"

void io_base_init(struct io *io, const struct io_ops *ops, enum io_kind kind)
{
    io->ops = ops;
    io->base = io;
    io->kind = kind;
    io->dead = false;
    heap_init(&io->timers);
    io->turn_end = NULL;
    io->turn_end_arg = NULL;
}

void io_base_fini(struct io *io)
{
    heap_fini(&io->timers);
}

// ---- actors and mail

int io_actor_create(struct io_world *world, const struct io_actor_options *options, struct io **out)
{
    ASSERT(strlen(options->name) <= 15);
    return world->ops->actor_create(world, options, out);
}

void io_actor_stop(struct io *io)
{
    io->ops->actor_stop(io);
}

void io_post(struct io *to, struct io_msg *msg)
{
    ASSERT(msg->run != NULL);
    to = to->base;
    to->ops->post(to, msg);
}

void io_on_turn_end(struct io *io, void (*fn)(void *arg), void *arg)
{
    io = io->base;
    io->turn_end = fn;
    io->turn_end_arg = arg;
}

// ---- time and chance

int64_t io_now_ns(struct io *io)
{
    return io->ops->now_ns(io);
}

int64_t io_wall_ms(struct io *io)
{
    return io->ops->wall_ms(io);
}

void io_random(struct io *io, void *out, size_t len)
{
    io->ops->random(io, out, len);
}

void io_timer_init(struct io_timer *timer, void (*fire)(struct io_timer *timer))
{
    *timer = (struct io_timer){.fire = fire};
}

void io_timer_start(struct io *io, struct io_timer *timer, int64_t deadline_ns)
{
    ASSERT(timer->fire != NULL);
    io = io->base;
    if (io->dead)
        return;
    heap_remove(&io->timers, &timer->node);
    heap_push(&io->timers, &timer->node, deadline_ns);
    io->ops->timers_changed(io);
}

void io_timer_stop(struct io *io, struct io_timer *timer)
{
    io = io->base;
    if (!heap_contains(&timer->node))
        return;
    heap_remove(&io->timers, &timer->node);
    io->ops->timers_changed(io);
}

bool io_timer_running(const struct io_timer *timer)
{
    return heap_contains(&timer->node);
}

int64_t io_timers_next(const struct io *io)
{
    const struct heap_node *node = heap_min(&io->timers);
    return node == NULL ? INT64_MAX : node->key;
}

bool io_timers_fire(struct io *io, int64_t now_ns)
{
    uint64_t began_seq = io->timers.next_seq;
    bool fired = false;
    for (;;) {
        struct heap_node *node = heap_min(&io->timers);
        // A timer restarted into the past sorts by its deadline, but its seq shows it is new.
        if (node == NULL || node->key > now_ns || node->seq >= began_seq)
            return fired;
        struct io_timer *timer = CONTAINER_OF(node, struct io_timer, node);
        heap_remove(&io->timers, node);
        fired = true;
        timer->fire(timer);
    }
}

// ---- sockets

int io_listen(struct io *io, const struct io_listen_options *options, struct io_sock **out)
{
    ASSERT(io->kind == IO_LOOP);
    ASSERT(options->accept != NULL);
    return io->ops->listen(io, options, out);
}

int io_sock_addr(struct io_sock *sock, struct io_addr *out)
{
    return sock->ops->sock_addr(sock, out);
}

int io_connect(struct io *io, const struct io_addr *addr, struct io_sock **out)
{
    ASSERT(io->kind == IO_LOOP);
    return io->ops->connect(io, addr, out);
}

void io_sock_own(struct io_sock *sock, const struct io_sock_events *events, void *owner)
{
    ASSERT(events->ready != NULL);
    sock->ops->sock_own(sock, events, owner);
}

void io_watch(struct io_sock *sock, int mask)
{
    ASSERT((mask & ~(IO_READABLE | IO_WRITABLE)) == 0);
    sock->ops->watch(sock, mask);
}

int64_t io_recv(struct io_sock *sock, void *buf, size_t len)
{
    ASSERT(len > 0);
    return sock->ops->recv(sock, buf, len);
}

int64_t io_send(struct io_sock *sock, const struct iovec *iov, int iov_count)
{
    ASSERT(iov_count > 0);
    return sock->ops->send(sock, iov, iov_count);
}

void io_close(struct io_sock *sock)
{
    if (sock != NULL)
        sock->ops->close(sock);
}

// ---- files

int io_open(struct io *io, const char *path, int flags, struct io_file **out)
{
    ASSERT(io->kind == IO_WORKER);
    if (!io_path_ok(path, false))
        return ERR_INVALID;
    return io->ops->open(io, path, flags, out);
}

void io_file_close(struct io_file *file)
{
    if (file != NULL)
        file->ops->file_close(file);
}

int64_t io_file_size(struct io_file *file)
{
    return file->ops->file_size(file);
}

int64_t io_read(struct io_file *file, uint64_t offset, void *buf, size_t len)
{
    return file->ops->read(file, offset, buf, len);
}

int io_write(struct io_file *file, uint64_t offset, const struct iovec *iov, int iov_count)
{
    return file->ops->write(file, offset, iov, iov_count);
}

int io_sync(struct io_file *file)
{
    return file->ops->sync(file);
}

int io_truncate(struct io_file *file, uint64_t size_bytes)
{
    return file->ops->truncate(file, size_bytes);
}

int io_reserve(struct io_file *file, uint64_t offset, uint64_t len_bytes)
{
    return file->ops->reserve(file, offset, len_bytes);
}

int io_rename(struct io *io, const char *from, const char *to)
{
    ASSERT(io->kind == IO_WORKER);
    if (!io_path_ok(from, false) || !io_path_ok(to, false))
        return ERR_INVALID;
    return io->ops->rename(io, from, to);
}

int io_remove(struct io *io, const char *path)
{
    ASSERT(io->kind == IO_WORKER);
    return io_path_ok(path, false) ? io->ops->remove(io, path) : ERR_INVALID;
}

int io_mkdir(struct io *io, const char *path)
{
    ASSERT(io->kind == IO_WORKER);
    return io_path_ok(path, false) ? io->ops->mkdir(io, path) : ERR_INVALID;
}

int io_sync_dir(struct io *io, const char *path)
{
    ASSERT(io->kind == IO_WORKER);
    return io_path_ok(path, true) ? io->ops->sync_dir(io, path) : ERR_INVALID;
}

int io_list(struct io *io, const char *path, int (*fn)(void *arg, const char *name), void *arg)
{
    ASSERT(io->kind == IO_WORKER);
    return io_path_ok(path, true) ? io->ops->list(io, path, fn, arg) : ERR_INVALID;
}

int64_t io_disk_free(struct io *io)
{
    return io->ops->disk_free(io);
}

int io_lock(struct io *io, const char *path, const char *text, struct io_file **out)
{
    ASSERT(io->kind == IO_WORKER);
    return io_path_ok(path, false) ? io->ops->lock(io, path, text, out) : ERR_INVALID;
}

int io_lock_text(struct io_file *lock, const char *text)
{
    return lock->ops->lock_text(lock, text);
}

// ---- shared by the implementations

bool io_path_ok(const char *path, bool root_too)
{
    if (path[0] == '\0' || strcmp(path, ".") == 0)
        return root_too;
    for (const char *part = path;;) {
        size_t len = strcspn(part, "/");
        if (len == 0 || (len == 1 && part[0] == '.') || (len == 2 && memcmp(part, "..", 2) == 0))
            return false;
        if (part[len] == '\0')
            return true;
        part += len + 1;
    }
}

size_t io_iov_len(const struct iovec *iov, int iov_count)
{
    size_t len = 0;
    for (int i = 0; i < iov_count; i++) {
        ASSERT(iov[i].iov_len <= SIZE_MAX - len);
        len += iov[i].iov_len;
    }
    return len;
}
