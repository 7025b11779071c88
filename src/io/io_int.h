// SPDX-License-Identifier: Apache-2.0
//
// What the implementations of io share: the table of operations, the head that every actor, world,
// socket and file begins with, and the timer heap. One table for all four kinds of object: a call
// through it costs one indirect jump, and a wrapper (io/fault.c) overrides only the rows it cares
// about. Link-time substitution was rejected: wrappers could not stack, and the shipped binary
// could not carry the simulator.
#ifndef WEIR_IO_IO_INT_H
#define WEIR_IO_IO_INT_H

#include "io/io.h"

struct io_ops {
    int (*actor_create)(struct io_world *world, const struct io_actor_options *options,
                        struct io **out);
    void (*actor_stop)(struct io *io);
    void (*post)(struct io *to, struct io_msg *msg);
    int64_t (*now_ns)(struct io *io);
    int64_t (*wall_ms)(struct io *io);
    void (*random)(struct io *io, void *out, size_t len);
    void (*timers_changed)(struct io *io); // the earliest deadline may have moved

    int (*listen)(struct io *io, const struct io_listen_options *options, struct io_sock **out);
    int (*sock_addr)(struct io_sock *sock, struct io_addr *out);
    int (*connect)(struct io *io, const struct io_addr *addr, struct io_sock **out);
    void (*sock_own)(struct io_sock *sock, const struct io_sock_events *events, void *owner);
    void (*watch)(struct io_sock *sock, int mask);
    int64_t (*recv)(struct io_sock *sock, void *buf, size_t len);
    int64_t (*send)(struct io_sock *sock, const struct iovec *iov, int iov_count);
    void (*close)(struct io_sock *sock);

    int (*open)(struct io *io, const char *path, int flags, struct io_file **out);
    void (*file_close)(struct io_file *file);
    int64_t (*file_size)(struct io_file *file);
    int64_t (*read)(struct io_file *file, uint64_t offset, void *buf, size_t len);
    int (*write)(struct io_file *file, uint64_t offset, const struct iovec *iov, int iov_count);
    int (*sync)(struct io_file *file);
    int (*truncate)(struct io_file *file, uint64_t size_bytes);
    int (*reserve)(struct io_file *file, uint64_t offset, uint64_t len_bytes);
    int (*rename)(struct io *io, const char *from, const char *to);
    int (*remove)(struct io *io, const char *path);
    int (*mkdir)(struct io *io, const char *path);
    int (*sync_dir)(struct io *io, const char *path);
    int (*list)(struct io *io, const char *path, int (*fn)(void *arg, const char *name), void *arg);
    int64_t (*disk_free)(struct io *io);
    int (*lock)(struct io *io, const char *path, const char *text, struct io_file **out);
    int (*lock_text)(struct io_file *lock, const char *text);
};

struct io {
    const struct io_ops *ops;
    struct io *base; // where mail, timers and turns live: itself, or what a wrapper wraps
    enum io_kind kind;
    bool dead; // simulator: its machine crashed; nothing it asks for happens any more
    struct heap timers;
    void (*turn_end)(void *arg);
    void *turn_end_arg;
};

struct io_world {
    const struct io_ops *ops;
};

struct io_sock {
    const struct io_ops *ops;
};

struct io_file {
    const struct io_ops *ops;
};

void io_base_init(struct io *io, const struct io_ops *ops, enum io_kind kind);
void io_base_fini(struct io *io);

// Fires what was due at now_ns when the call began, in order of (deadline, start); a timer that
// starts itself again with a deadline in the past waits for the next call. True if any fired.
bool io_timers_fire(struct io *io, int64_t now_ns);
int64_t io_timers_next(const struct io *io); // earliest deadline; INT64_MAX when none runs

// A path that stays under the root: relative, no empty part, no "." or ".."; "" and "." mean the
// root itself and are allowed where `root_too`.
bool io_path_ok(const char *path, bool root_too);

bool io_addr_is_v4(const struct io_addr *addr);
size_t io_iov_len(const struct iovec *iov, int iov_count);

#endif
