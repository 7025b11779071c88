// SPDX-License-Identifier: Apache-2.0
//
// An actor's view of the world that fails on purpose. It wraps any io (the real one too): files and
// connections are the wrapped actor's, mail, timers and turns stay with it, and chosen calls fail
// instead, by countdown or by chance. For unit tests: "the third sync fails" on a real file.
#ifndef WEIR_IO_FAULT_H
#define WEIR_IO_FAULT_H

#include "base/prng.h"
#include "io/io.h"

enum io_fault_op {
    IO_FAULT_OPEN,    // io_open, io_lock
    IO_FAULT_READ,    // io_read
    IO_FAULT_WRITE,   // io_write, io_truncate, io_reserve, io_lock_text
    IO_FAULT_SYNC,    // io_sync, io_sync_dir
    IO_FAULT_NAME,    // io_rename, io_remove, io_mkdir
    IO_FAULT_CONNECT, // io_connect
    IO_FAULT_OPS
};

struct io_fault_rule {
    // The n-th call from now fails (1 = the next); 0: none does. It is counted down to 0.
    uint32_t countdown;
    uint32_t times;      // how many in a row fail then; 0 counts as 1, UINT32_MAX: all from then on
    uint32_t chance_ppm; // besides: each call fails with this chance in a million
    int err;             // 0: the op's own (OPEN, READ, WRITE, NAME: ERR_IO, SYNC: ERR_SYNC,
                         // CONNECT: ERR_REFUSED)
    // WRITE: that many bytes of the failing io_write reach the file; more than it has: all but one.
    // For a durable file, only whole blocks of them.
    uint64_t after_bytes;
};

// One thread's: the actor reads and counts it, so a test sets it up before, after, or on the actor.
struct io_fault_plan {
    struct io_fault_rule rules[IO_FAULT_OPS];
    struct prng prng; // for the chances
    uint64_t calls[IO_FAULT_OPS];
    uint64_t failed[IO_FAULT_OPS];
};
void io_fault_plan_init(struct io_fault_plan *plan, uint64_t seed); // nothing fails

// *out is used instead of inner, by the same actor; the plan must outlive it. io_actor_stop on
// either ends the actor; the wrapper is freed by io_fault_unwrap, after that.
int io_fault_wrap(struct io *inner, struct io_fault_plan *plan, struct io **out);
void io_fault_unwrap(struct io *io); // accepts NULL

#endif
