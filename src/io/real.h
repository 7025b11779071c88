// SPDX-License-Identifier: Apache-2.0
//
// The real machine behind io.h: actors are threads, loops poll with libuv, files are the kernel's.
// This header is for main only; everything else sees io.h. All calls belong to the main thread.
#ifndef WEIR_IO_REAL_H
#define WEIR_IO_REAL_H

#include "io/io.h"

int io_real_create(struct io_world **out);
void io_real_destroy(struct io_world *world); // every actor has been stopped; accepts NULL

// The data directory: made (mode 0700, parents must be there) and opened; all paths of files are
// relative to it from now on. Sets the process's umask to 077. Before any actor touches a file.
// ERR_NOT_FOUND, ERR_PERMISSION, ERR_NOSPACE, ERR_INVALID (no directory), ERR_IO.
int io_real_set_root(struct io_world *world, const char *path);

// Raises the limit of open files to the hard limit. Returns what it is now, or ERR_*.
int64_t io_real_rlimit_files(void);

// SIGINT and SIGTERM no longer kill: they wait for io_real_wait_signal. SIGPIPE is ignored. Call it
// before the first actor is made.
void io_real_block_signals(void);
// Waits for SIGINT or SIGTERM and returns it; 0 when io_real_wake was called instead.
int io_real_wait_signal(struct io_world *world);
void io_real_wake(struct io_world *world); // from any thread: ends io_real_wait_signal

// What one connection at rest takes in this process, without the kernel's part: for the manual and
// tests.
size_t io_real_sock_bytes(void);

#endif
