// SPDX-License-Identifier: Apache-2.0
//
// What the files of the real implementation share: the actor (mailbox, sleep word, its loop when it
// has one), sockets and files.
#ifndef WEIR_IO_REAL_INT_H
#define WEIR_IO_REAL_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/list.h"
#include "io/io_int.h"

#define REAL_FDS_RESERVE 32                       // descriptors that no connection may take
#define REAL_ACCEPT_MAX  64                       // connections accepted per turn and listener
#define REAL_ACCEPT_NS   (100 * INT64_C(1000000)) // pause when connections cannot be accepted

// Addresses this process listens on: the first of them is bound alone, so that a second server is
// told that the address is in use although SO_REUSEPORT would let it in.
struct real_listen_addr {
    struct list link;
    struct io_addr addr;
    int count;
};

struct real_world {
    struct io_world base;
    int root_fd;  // -1 before io_real_set_root
    int spare_fd; // given up to accept and close a connection when there is no descriptor left
    bool one_cpu; // nobody spins
    _Atomic(bool) woken;
    pthread_mutex_t listen_lock; // guards listen_addrs and spare_fd
    struct list listen_addrs;
    struct list ended; // real_io: kept until the world goes, since others may still post to them
};

struct real_io {
    struct io base;
    struct real_world *world;
    pthread_t thread;
    char name[16];
    int64_t spin_ns;
    bool ran;          // something ran in this turn
    int64_t now_ns;    // loops: the turn's time, 0 = not read yet
    struct list socks; // real_sock
    struct list files; // real_file
    uint8_t *stage;    // workers: aligned copy of what a bulk write sends; NULL until the first
    size_t stage_bytes;

    // What other threads touch stands on lines of its own.
    _Alignas(64) _Atomic(struct io_msg *) mail; // newest first
    _Atomic(uint32_t) asleep;                   // 1: the owner sleeps or is about to (futex word)
    _Atomic(uint32_t) posting;                  // threads that are within real_post
    _Atomic(bool) stopping;
    _Atomic(bool) ended; // what is posted is dropped
    struct list ended_link;

    // loops only
    _Alignas(64) uv_loop_t loop;
    uv_async_t async;
    uv_timer_t timer;
    struct io_timer accept_again; // listeners that pause
    int64_t timer_armed_ns;       // the deadline the uv_timer stands for; INT64_MAX: none
};

struct real_sock {
    struct io_sock base;
    struct real_io *io;
    struct list link;
    void *owner;
    union {
        const struct io_sock_events *events;
        void (*accept)(void *owner, struct io_sock *sock, const struct io_addr *peer);
    } on;
    struct real_listen_addr *listening; // NULL: a connection
    uint8_t mask;                       // wanted
    uint8_t armed;                      // what libuv polls for
    bool closed;
    uv_poll_t poll; // holds the descriptor
};

struct real_file {
    struct io_file base;
    struct real_io *io;
    struct list link;
    int fd;
    bool direct; // O_DIRECT is on
    bool bulk;   // opened with IO_BULK, and the file system has not refused it yet
};

extern const struct io_ops real_ops;

int real_err(int errnum); // ERR_* of an errno
int64_t real_clock_ns(void);

// real_loop.c
int real_loop_init(struct real_io *io);
void real_loop_run(struct real_io *io); // the thread of a loop
void real_loop_wake(struct real_io *io);

// real.c
void real_posters_leave(struct real_io *io); // waits until no thread is within real_post
bool real_run_mail(struct real_io *io);
void real_turn_end(struct real_io *io);

// real_sock.c
int real_listen(struct io *io, const struct io_listen_options *options, struct io_sock **out);
int real_sock_addr(struct io_sock *sock, struct io_addr *out);
int real_connect(struct io *io, const struct io_addr *addr, struct io_sock **out);
void real_sock_own(struct io_sock *sock, const struct io_sock_events *events, void *owner);
void real_watch(struct io_sock *sock, int mask);
int64_t real_recv(struct io_sock *sock, void *buf, size_t len);
int64_t real_send(struct io_sock *sock, const struct iovec *iov, int iov_count);
void real_close(struct io_sock *sock);
int real_sock_create(struct real_io *io, int fd, struct real_sock **out); // takes fd, also on error
void real_accept_ready(struct real_sock *listener);
void real_accept_again(struct io_timer *timer);

// real_listen.c
void real_listen_forget(struct real_sock *listener);
socklen_t real_addr_out(const struct io_addr *addr, struct sockaddr_storage *out);
void real_addr_in(const struct sockaddr_storage *addr, struct io_addr *out);

// real_file.c
int real_open(struct io *io, const char *path, int flags, struct io_file **out);
void real_file_close(struct io_file *file);
int64_t real_file_size(struct io_file *file);
int64_t real_read(struct io_file *file, uint64_t offset, void *buf, size_t len);
int real_write(struct io_file *file, uint64_t offset, const struct iovec *iov, int iov_count);
int real_sync(struct io_file *file);
int real_truncate(struct io_file *file, uint64_t size_bytes);
int real_reserve(struct io_file *file, uint64_t offset, uint64_t len_bytes);

// real_bulk.c
#define REAL_BULK_MIN_BYTES ((size_t)512 * 1024)
// Writes what it can; *out_written bytes. The rest, and everything when it is 0, is the caller's.
int real_write_bulk(struct real_file *file, uint64_t offset, const struct iovec *iov, int iov_count,
                    size_t *out_written);

// real_dir.c
int real_rename(struct io *io, const char *from, const char *to);
int real_remove(struct io *io, const char *path);
int real_mkdir(struct io *io, const char *path);
int real_sync_dir(struct io *io, const char *path);
int real_list(struct io *io, const char *path, int (*fn)(void *arg, const char *name), void *arg);
int64_t real_disk_free(struct io *io);
int real_lock(struct io *io, const char *path, const char *text, struct io_file **out);
int real_lock_text(struct io_file *lock, const char *text);
int real_file_create(struct real_io *io, int fd, bool direct, struct io_file **out);

#endif
