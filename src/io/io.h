// SPDX-License-Identifier: Apache-2.0
//
// The outside world behind one table: clock, chance, timers, mail between actors, sockets, files.
// Everything above is written against this header and runs unchanged on the real machine
// (io/real*.c), on a machine that fails on purpose (io/fault.c, wraps any other) and inside the
// simulator (io/sim*.c), where time, disks and networks are made up.
//
// An ACTOR is a single-threaded piece of the program with a mailbox; nothing is shared between
// actors but what they post to each other. There are two kinds:
//   loop    has sockets and timers, never blocks, never touches a file (a shard);
//   worker  reads, writes and syncs files with calls that block, and handles one message after the
//   other (the journal,
//           the writer and the reader of a shard, the checkpointer). No sockets; timers are
//           allowed.
// On the real machine an actor is a thread. In the simulator a worker's blocking call makes its own
// clock advance, its later writes and posts carry the later time, and a crash in between undoes
// them: straight-line code, and still every interleaving and every torn write.
//
// A TURN is: all messages and ready events at hand, one after the other, then the actor's turn_end
// hook. Completions and callbacks are never called from inside the call that started them.
//
// All calls but io_post belong to the actor's own thread. Errors are ERR_* (base/err.h).
#ifndef WEIR_IO_IO_H
#define WEIR_IO_IO_H

#include <sys/uio.h>

#include "base/heap.h"
#include "base/slice.h"

struct io;       // an actor's view of the world
struct io_world; // what actors live in: the process, or a simulated machine
struct io_sock;
struct io_file;

// ---- actors and mail

enum io_kind { IO_LOOP, IO_WORKER };

struct io_actor_options {
    const char *name; // at most 15 bytes: the thread's name
    enum io_kind kind;
    int64_t
        spin_ns; // worker: poll the mailbox that long before sleeping, after a turn that had work
};

int io_actor_create(struct io_world *world, const struct io_actor_options *options,
                    struct io **out);
// Ends an actor: its thread runs what is in the mailbox, closes its sockets and files, and is
// joined. Called from the thread that created it, never from an actor. What is posted to it
// afterwards is dropped; its memory lasts as long as the world.
void io_actor_stop(struct io *io);

// A message is embedded in the sender's object and belongs to the receiver once posted. Messages of
// one sender to one receiver arrive in order; nothing else is promised.
struct io_msg {
    struct io_msg *next;
    void (*run)(struct io_msg *msg); // on the receiver
};
void io_post(struct io *to, struct io_msg *msg); // from any thread

// Called once at the end of every turn in which anything ran. NULL switches it off.
void io_on_turn_end(struct io *io, void (*fn)(void *arg), void *arg);

// ---- time and chance

int64_t
io_now_ns(struct io *io); // monotonic; constant within a turn of a loop is allowed, never goes back
int64_t io_wall_ms(struct io *io); // Unix time, milliseconds; may jump
void io_random(struct io *io, void *out, size_t len);

struct io_timer {
    struct heap_node node;
    void (*fire)(
        struct io_timer *timer); // the timer is stopped when this runs; it may start itself again
};
void io_timer_init(struct io_timer *timer, void (*fire)(struct io_timer *timer));
void io_timer_start(struct io *io, struct io_timer *timer,
                    int64_t deadline_ns); // restarts a running one
void io_timer_stop(struct io *io, struct io_timer *timer);
bool io_timer_running(const struct io_timer *timer);

// ---- sockets (loops only). Readiness, level-triggered: a connection that is idle holds no buffer.

struct io_addr {
    uint8_t ip[16]; // IPv6, or IPv4 mapped into it (::ffff:a.b.c.d)
    uint16_t port;  // host order
};
#define IO_ADDR_TEXT_SIZE 56
int io_addr_parse(const char *text,
                  struct io_addr *out); // "127.0.0.1:9092", "[::1]:9092"; ERR_INVALID
void io_addr_text(const struct io_addr *addr, char out[IO_ADDR_TEXT_SIZE]);
bool io_addr_is_loopback(const struct io_addr *addr);

enum { IO_READABLE = 1, IO_WRITABLE = 2 };

struct io_sock_events {
    // mask of IO_READABLE, IO_WRITABLE; an error or hang-up shows as readable, and the next io_recv
    // names it.
    void (*ready)(void *owner, int mask);
};

struct io_listen_options {
    struct io_addr addr; // port 0: any free one
    int backlog;
    // A new connection on this actor. The callee calls io_sock_own at once, or io_close.
    void (*accept)(void *owner, struct io_sock *sock, const struct io_addr *peer);
    void *owner;
};
// Several loops may listen on one address (SO_REUSEPORT): the kernel spreads connections over them.
// When descriptors run low (32 kept in reserve) new connections are accepted and closed at once.
int io_listen(struct io *io, const struct io_listen_options *options, struct io_sock **out);
int io_sock_addr(struct io_sock *sock, struct io_addr *out); // the local address
int io_connect(struct io *io, const struct io_addr *addr,
               struct io_sock **out); // writable or readable when decided
void io_sock_own(struct io_sock *sock, const struct io_sock_events *events, void *owner);
void io_watch(struct io_sock *sock, int mask); // what to be told about; 0 pauses
// > 0 bytes; ERR_EOF at an orderly end; ERR_AGAIN; ERR_RESET or another ERR_* when the connection
// is lost.
int64_t io_recv(struct io_sock *sock, void *buf, size_t len);
int64_t io_send(struct io_sock *sock, const struct iovec *iov, int iov_count);
void io_close(struct io_sock *sock); // accepts NULL; no event afterwards

// ---- files (workers only; blocking). Paths are relative to the world's root, '/' between parts.

enum {
    IO_CREATE = 1,    // make it when it is not there
    IO_EXCLUSIVE = 2, // with IO_CREATE: ERR_EXISTS when it is there
    IO_WRITE = 4,     // else read only
    IO_DURABLE = 8, // every write is durable when it returns (O_DSYNC, with O_DIRECT where the file
                    // system can); offset, length and address are multiples of IO_BLOCK
    IO_BULK = 16,   // large writes pass the page cache by; any offset, length and address; unsynced
};
#define IO_BLOCK 4096

int io_open(struct io *io, const char *path, int flags,
            struct io_file **out);        // ERR_NOT_FOUND, ERR_EXISTS, ERR_IO …
void io_file_close(struct io_file *file); // accepts NULL; syncs nothing
int64_t io_file_size(struct io_file *file);
// Reads up to len bytes; fewer only at the end of the file. Number of bytes, or ERR_IO.
int64_t io_read(struct io_file *file, uint64_t offset, void *buf, size_t len);
// Writes all or fails: 0, ERR_NOSPACE, ERR_IO. After a failure what reached the file is unknown.
int io_write(struct io_file *file, uint64_t offset, const struct iovec *iov, int iov_count);
int io_sync(struct io_file *file); // data and size; ERR_SYNC: nothing may be assumed any more, the
                                   // caller must stop
int io_truncate(struct io_file *file, uint64_t size_bytes);
// Reserves blocks without changing the size (posix_fallocate with KEEP_SIZE); ERR_NOSPACE; 0 where
// it is unsupported.
int io_reserve(struct io_file *file, uint64_t offset, uint64_t len_bytes);
int io_rename(struct io *io, const char *from, const char *to); // atomic; durable after io_sync_dir
int io_remove(struct io *io, const char *path);                 // file or empty directory
int io_mkdir(struct io *io, const char *path);                  // 0 also when it is there
int io_sync_dir(struct io *io, const char *path);
// Calls fn once per entry (without "." and ".."), sorted by name.
int io_list(struct io *io, const char *path, int (*fn)(void *arg, const char *name), void *arg);
int64_t io_disk_free(struct io *io); // bytes left for us, or ERR_IO
// Locks the directory tree for this process: file `path` holds `text`. ERR_LOCKED when another
// holds it.
int io_lock(struct io *io, const char *path, const char *text, struct io_file **out);
int io_lock_text(struct io_file *lock,
                 const char *text); // replaces the text (the address to be found at)

#endif
