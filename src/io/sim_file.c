// SPDX-License-Identifier: Apache-2.0
//
// File calls of simulated workers: each takes a made-up time by which the caller's clock advances,
// may fail by the universe's dice, and leaves its mark in the trace. The content is sim_disk.c's.
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/sim_int.h"

int sim_call(struct sim_io *io, int64_t min_ns, int64_t max_ns, bool changes, struct sim_span *out)
{
    struct sim *sim = io->sim;
    struct sim_machine *machine = io->world->machine;
    if (io->base.dead)
        return ERR_STOPPED;
    if (machine->disk == NULL)
        return ERR_UNSUPPORTED;
    ASSERT(sim->running == io);
    out->start_ns = io->clock_ns;
    io->clock_ns += sim_between(sim, min_ns, max_ns) + sim_long_delay(sim);
    out->end_ns = io->clock_ns;
    if (!changes)
        return 0;
    bool crash = machine->crash_countdown > 0 && --machine->crash_countdown == 0;
    if (!crash && !heap_contains(&machine->crash_event.node) && sim_roll(sim, SIM_FAULT_CRASH)) {
        crash = true;
        machine->crash_kind = sim_random(sim, 4) == 0 ? SIM_KILL : SIM_POWER_LOSS;
    }
    if (crash)
        sim_schedule(sim, &machine->crash_event, sim_between(sim, out->start_ns, out->end_ns - 1));
    return 0;
}

struct sim_file *sim_file_create(struct sim_io *io, struct sim_inode *inode, int flags)
{
    struct sim_file *file = mem_zalloc(sizeof *file);
    file->base.ops = &sim_ops;
    file->io = io;
    file->inode = sim_inode_ref(inode);
    file->flags = flags;
    list_push_back(&io->files, &file->link);
    return file;
}

static void unlock(struct sim_file *file)
{
    if (file->lock && file->inode != NULL)
        file->inode->locked_by = NULL;
}

void sim_file_kill(struct sim_file *file)
{
    unlock(file);
    sim_inode_unref(file->inode);
    file->inode = NULL;
}

void sim_file_close(struct io_file *base)
{
    struct sim_file *file = (struct sim_file *)base;
    if (file->inode != NULL)
        sim_fact(file->io->sim, FACT_FILE_CLOSE, file->inode->uid, 0, 0);
    sim_file_kill(file);
    list_remove(&file->link);
    mem_free(file);
}

int64_t sim_file_size(struct io_file *base)
{
    struct sim_file *file = (struct sim_file *)base;
    struct sim_io *io = file->io;
    if (io->base.dead)
        return ERR_STOPPED;
    int64_t size = (int64_t)sim_inode_size(file->inode, io->uid, io->clock_ns);
    sim_fact(io->sim, FACT_SIZE, file->inode->uid, 0, size);
    return size;
}

int64_t sim_read(struct io_file *base, uint64_t offset, void *buf, size_t len)
{
    struct sim_file *file = (struct sim_file *)base;
    struct sim_io *io = file->io;
    struct sim *sim = io->sim;
    struct sim_span span;
    int rc = sim_call(io, 5 * SIM_US, 100 * SIM_US, false, &span);
    if (rc != 0)
        return rc;
    sim->report.reads++;
    if (sim_fault(sim, SIM_FAULT_READ_FAIL)) {
        sim_fact(sim, FACT_READ, file->inode->uid, offset, ERR_IO);
        return ERR_IO;
    }
    size_t n = sim_inode_read(file->inode, io->uid, span.start_ns, offset, buf, len);
    if (n > 0 && sim_fault(sim, SIM_FAULT_READ_FLIP))
        ((uint8_t *)buf)[sim_random(sim, n)] ^= (uint8_t)(1u << sim_random(sim, 8));
    sim_fact(sim, FACT_READ, file->inode->uid, offset, (int64_t)n);
    sim_trace(sim, buf, n);
    return (int64_t)n;
}

static void trace_iov(struct sim *sim, const struct iovec *iov, int iov_count)
{
    for (int i = 0; i < iov_count; i++)
        sim_trace(sim, iov[i].iov_base, iov[i].iov_len);
}

// Room for a write; a full disk may begin here, and lasts a while for whatever grows.
static int take_room(struct sim_inode *inode, uint64_t end)
{
    struct sim_disk *disk = inode->disk;
    struct sim *sim = disk->sim;
    if (sim->now_ns >= disk->full_until_ns && sim_fault(sim, SIM_FAULT_DISK_FULL)) {
        disk->full_until_ns = sim->now_ns + sim_between(sim, 10 * SIM_MS, 5000 * (int64_t)SIM_MS);
        disk->full_bytes = disk->used_bytes + sim_random(sim, 16) * IO_BLOCK;
    }
    return sim_inode_grow(inode, end);
}

static bool aligned(uint64_t offset, const struct iovec *iov, int iov_count)
{
    bool ok = offset % IO_BLOCK == 0;
    for (int i = 0; i < iov_count; i++)
        ok = ok && iov[i].iov_len % IO_BLOCK == 0 && (uintptr_t)iov[i].iov_base % IO_BLOCK == 0;
    return ok;
}

static void note_write(const struct sim_inode *inode, uint64_t offset, uint64_t len)
{
    struct sim_last_write *last = inode->disk->last_writes;
    memmove(last + 1, last, (SIM_LAST_WRITES - 1) * sizeof *last);
    last[0] = (struct sim_last_write){inode->uid, offset, len};
}

int sim_write(struct io_file *base, uint64_t offset, const struct iovec *iov, int iov_count)
{
    struct sim_file *file = (struct sim_file *)base;
    struct sim_io *io = file->io;
    struct sim *sim = io->sim;
    struct sim_span span;
    uint64_t len = io_iov_len(iov, iov_count);
    bool durable = (file->flags & IO_DURABLE) != 0;
    ASSERT((file->flags & IO_WRITE) != 0);
    ASSERT(!durable || aligned(offset, iov, iov_count));
    int64_t bytes_ns = (int64_t)(len / 4);
    int rc = sim_call(io, (durable ? 100 : 5) * SIM_US + bytes_ns,
                      (durable ? 2000 : 50) * SIM_US + bytes_ns, true, &span);
    if (rc != 0)
        return rc;
    rc = len == 0 ? 0 : take_room(file->inode, offset + len);
    bool fails = rc == 0 && len > 0 && sim_fault(sim, SIM_FAULT_WRITE_FAIL);
    if (fails)
        rc = ERR_IO;
    sim_fact(sim, FACT_WRITE, file->inode->uid, offset, rc != 0 ? rc : (int64_t)len);
    trace_iov(sim, iov, iov_count);
    sim->report.writes++;
    sim->report.write_bytes += len;
    if (rc != 0) // some of it may have found room, or all
        len = sim_random(sim, len + fails);
    if (rc != 0 && sim_inode_grow(file->inode, offset + len) != 0)
        len = 0;
    struct sim_op *op = sim_inode_write(file->inode, offset, iov, iov_count, len);
    op->start_ns = span.start_ns;
    op->end_ns = span.end_ns;
    op->actor = io->uid;
    if (durable && rc == 0)
        op->durable_ns = span.end_ns;
    if (rc == 0)
        note_write(file->inode, offset, len);
    op->doomed = durable && fails; // it was to be synced, and was not
    return rc;
}

// A failed sync leaves what it should have covered unknown, for good: the kernel has marked the
// pages clean.
static void doom(struct sim_inode *inode)
{
    LIST_FOR (it, &inode->ops) {
        struct sim_op *op = CONTAINER_OF(it, struct sim_op, link);
        if (op->durable_ns == INT64_MAX && sim_random(inode->disk->sim, 2) == 0)
            op->doomed = true;
    }
}

int sim_sync(struct io_file *base)
{
    struct sim_file *file = (struct sim_file *)base;
    struct sim_io *io = file->io;
    struct sim *sim = io->sim;
    struct sim_span span;
    int rc = sim_call(io, 200 * SIM_US, 5000 * SIM_US, true, &span);
    if (rc != 0)
        return rc;
    sim->report.syncs++;
    rc = sim_fault(sim, SIM_FAULT_SYNC_FAIL) ? ERR_SYNC : 0;
    sim_fact(sim, FACT_SYNC, file->inode->uid, 0, rc);
    if (rc != 0) {
        doom(file->inode);
        return rc;
    }
    LIST_FOR (it, &file->inode->ops) {
        struct sim_op *op = CONTAINER_OF(it, struct sim_op, link);
        bool covered = op->end_ns <= span.start_ns || op->actor == io->uid;
        if (covered && !op->doomed && op->durable_ns > span.end_ns)
            op->durable_ns = span.end_ns;
    }
    return 0;
}

int sim_truncate(struct io_file *base, uint64_t size_bytes)
{
    struct sim_file *file = (struct sim_file *)base;
    struct sim_io *io = file->io;
    struct sim_span span;
    ASSERT((file->flags & IO_WRITE) != 0);
    int rc = sim_call(io, 5 * SIM_US, 50 * SIM_US, true, &span);
    if (rc != 0)
        return rc;
    rc = sim_inode_grow(file->inode, size_bytes);
    sim_fact(io->sim, FACT_TRUNCATE, file->inode->uid, size_bytes, rc);
    if (rc != 0)
        return rc;
    struct sim_op *op = sim_inode_truncate(file->inode, size_bytes);
    op->start_ns = span.start_ns;
    op->end_ns = span.end_ns;
    op->actor = io->uid;
    if (file->inode->reserved_bytes > size_bytes)
        file->inode->reserved_bytes = size_bytes;
    sim_inode_recount(file->inode);
    return 0;
}

int sim_reserve(struct io_file *base, uint64_t offset, uint64_t len_bytes)
{
    struct sim_file *file = (struct sim_file *)base;
    struct sim_span span;
    int rc = sim_call(file->io, 5 * SIM_US, 50 * SIM_US, true, &span);
    if (rc != 0)
        return rc;
    rc = len_bytes == 0 ? 0 : take_room(file->inode, offset + len_bytes);
    if (rc == 0 && offset + len_bytes > file->inode->reserved_bytes)
        file->inode->reserved_bytes = offset + len_bytes;
    sim_fact(file->io->sim, FACT_RESERVE, file->inode->uid, offset + len_bytes, rc);
    return rc;
}
