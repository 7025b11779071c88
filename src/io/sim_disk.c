// SPDX-License-Identifier: Apache-2.0
//
// The content of simulated files. What is durable lies in pages; every write and truncation since
// is kept as an operation with its span of time, in order. A read lays the operations its reader
// may see over the pages; a sync states when operations become durable; a crash decides the fate of
// each of the others alone. So nothing is copied but the bytes written, and a crash at any instant
// is a walk over a short list. Copying whole files at each sync was rejected: it costs a thousand
// times more.
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/sim_int.h"

// Beyond this many, the oldest become durable as if the kernel had written them back.
#define OPS_MAX 512

struct sim_inode *sim_inode_create(struct sim_disk *disk)
{
    struct sim_inode *inode = mem_zalloc(sizeof *inode);
    inode->refs = 1;
    inode->disk = disk;
    inode->uid = disk->sim->next_uid++;
    list_init(&inode->ops);
    return inode;
}

struct sim_inode *sim_inode_ref(struct sim_inode *inode)
{
    if (inode != NULL)
        inode->refs++;
    return inode;
}

static void op_drop(struct sim_inode *inode, struct sim_op *op)
{
    list_remove(&op->link);
    inode->ops_count--;
    mem_free(op);
}

void sim_inode_unref(struct sim_inode *inode)
{
    if (inode == NULL || --inode->refs > 0)
        return;
    LIST_FOR_SAFE (it, &inode->ops)
        op_drop(inode, CONTAINER_OF(it, struct sim_op, link));
    for (size_t i = 0; i < inode->pages_count; i++)
        mem_free(inode->pages[i]);
    mem_free(inode->pages);
    mem_free(inode->flips);
    ASSERT(inode->disk->used_bytes >= inode->counted_bytes);
    inode->disk->used_bytes -= inode->counted_bytes;
    mem_free(inode);
}

// ---- pages

static uint8_t *page_at(struct sim_inode *inode, size_t index)
{
    if (index >= inode->pages_count) {
        size_t count = (index + 1) * 2;
        inode->pages = mem_realloc(inode->pages, count * sizeof *inode->pages);
        memset(inode->pages + inode->pages_count, 0,
               (count - inode->pages_count) * sizeof *inode->pages);
        inode->pages_count = count;
    }
    if (inode->pages[index] == NULL)
        inode->pages[index] = mem_zalloc(IO_BLOCK);
    return inode->pages[index];
}

// data NULL: zeros
static void pages_write(struct sim_inode *inode, uint64_t offset, const uint8_t *data, uint64_t len)
{
    sim_flips_heal(inode, offset, len);
    while (len > 0) {
        size_t index = (size_t)(offset / IO_BLOCK);
        size_t in_page = (size_t)(offset % IO_BLOCK);
        size_t n = len < IO_BLOCK - in_page ? (size_t)len : IO_BLOCK - in_page;
        bool absent = index >= inode->pages_count || inode->pages[index] == NULL;
        if (data != NULL)
            memcpy(page_at(inode, index) + in_page, data, n);
        else if (!absent)
            memset(inode->pages[index] + in_page, 0, n);
        if (data != NULL)
            data += n;
        offset += n;
        len -= n;
    }
}

static void pages_read(const struct sim_inode *inode, uint64_t offset, uint8_t *out, size_t len)
{
    while (len > 0) {
        size_t index = (size_t)(offset / IO_BLOCK);
        size_t in_page = (size_t)(offset % IO_BLOCK);
        size_t n = len < IO_BLOCK - in_page ? len : IO_BLOCK - in_page;
        if (index < inode->pages_count && inode->pages[index] != NULL)
            memcpy(out, inode->pages[index] + in_page, n);
        else
            memset(out, 0, n);
        out += n;
        offset += n;
        len -= n;
    }
}

// ---- operations

static void base_write(struct sim_inode *inode, uint64_t offset, const uint8_t *data, uint64_t len)
{
    pages_write(inode, offset, data, len);
    if (len > 0 && offset + len > inode->size)
        inode->size = offset + len;
}

static void base_resize(struct sim_inode *inode, uint64_t size)
{
    if (size < inode->size)
        pages_write(inode, size, NULL, inode->size - size); // what grows again shows zeros
    inode->size = size;
}

static void op_apply(struct sim_inode *inode, const struct sim_op *op)
{
    if (op->truncate)
        base_resize(inode, op->offset);
    else
        base_write(inode, op->offset, op->zeros ? NULL : op->data, op->len);
}

void sim_inode_settle(struct sim_inode *inode)
{
    int64_t now_ns = inode->disk->sim->now_ns;
    LIST_FOR_SAFE (it, &inode->ops) {
        struct sim_op *op = CONTAINER_OF(it, struct sim_op, link);
        bool written_back = inode->ops_count > OPS_MAX && op->end_ns <= now_ns && !op->doomed;
        if (op->durable_ns > now_ns && !written_back)
            return;
        op_apply(inode, op);
        op_drop(inode, op);
    }
}

static bool is_zero(const struct iovec *iov, int iov_count)
{
    for (int i = 0; i < iov_count; i++) {
        const uint8_t *data = iov[i].iov_base;
        size_t len = iov[i].iov_len;
        if (len > 0 && (data[0] != 0 || memcmp(data, data + 1, len - 1) != 0))
            return false;
    }
    return true;
}

static struct sim_op *op_add(struct sim_inode *inode, uint64_t offset, uint64_t len, size_t room)
{
    sim_inode_settle(inode);
    struct sim_op *op = mem_alloc(sizeof *op + room);
    memset(op, 0, sizeof *op);
    op->offset = offset;
    op->len = len;
    op->durable_ns = INT64_MAX;
    list_push_back(&inode->ops, &op->link);
    inode->ops_count++;
    return op;
}

// The first len bytes of iov.
struct sim_op *sim_inode_write(struct sim_inode *inode, uint64_t offset, const struct iovec *iov,
                               int iov_count, uint64_t len)
{
    bool zeros = is_zero(iov, iov_count);
    struct sim_op *op = op_add(inode, offset, len, zeros ? 0 : (size_t)len);
    op->zeros = zeros;
    size_t done = 0;
    for (int i = 0; i < iov_count && !zeros && done < len; i++) {
        size_t n = iov[i].iov_len < len - done ? iov[i].iov_len : (size_t)(len - done);
        if (n > 0)
            memcpy(op->data + done, iov[i].iov_base, n);
        done += n;
    }
    return op;
}

struct sim_op *sim_inode_truncate(struct sim_inode *inode, uint64_t size)
{
    struct sim_op *op = op_add(inode, size, 0, 0);
    op->truncate = true;
    return op;
}

// ---- what a reader sees

static bool visible(const struct sim_op *op, uint64_t actor, int64_t at_ns)
{
    return op->end_ns <= at_ns || op->actor == actor;
}

uint64_t sim_inode_size(struct sim_inode *inode, uint64_t actor, int64_t at_ns)
{
    uint64_t size = inode->size;
    LIST_FOR (it, &inode->ops) {
        const struct sim_op *op = CONTAINER_OF(it, struct sim_op, link);
        if (!visible(op, actor, at_ns))
            continue;
        if (op->truncate)
            size = op->offset;
        else if (op->len > 0 && op->offset + op->len > size)
            size = op->offset + op->len;
    }
    return size;
}

static void overlay(const struct sim_op *op, uint64_t offset, uint8_t *out, size_t len)
{
    uint64_t end = offset + len;
    uint64_t from = op->offset > offset ? op->offset : offset;
    uint64_t to = op->truncate || op->offset + op->len > end ? end : op->offset + op->len;
    if (from >= to)
        return;
    if (op->truncate || op->zeros)
        memset(out + (from - offset), 0, (size_t)(to - from));
    else
        memcpy(out + (from - offset), op->data + (from - op->offset), (size_t)(to - from));
}

size_t sim_inode_read(struct sim_inode *inode, uint64_t actor, int64_t at_ns, uint64_t offset,
                      void *buf, size_t len)
{
    sim_inode_settle(inode);
    uint64_t size = sim_inode_size(inode, actor, at_ns);
    if (offset >= size)
        return 0;
    if (len > size - offset)
        len = (size_t)(size - offset);
    pages_read(inode, offset, buf, len);
    LIST_FOR (it, &inode->ops) {
        const struct sim_op *op = CONTAINER_OF(it, struct sim_op, link);
        if (visible(op, actor, at_ns))
            overlay(op, offset, buf, len);
    }
    return len;
}

// ---- crashes

static void op_tear(struct sim_inode *inode, const struct sim_op *op)
{
    struct sim *sim = inode->disk->sim;
    uint64_t at = op->offset;
    uint64_t end = op->offset + op->len;
    while (at < end) {
        uint64_t next = (at / SIM_SECTOR + 1) * SIM_SECTOR;
        if (next > end)
            next = end;
        if (sim_random(sim, 2) == 0)
            base_write(inode, at, op->zeros ? NULL : op->data + (at - op->offset), next - at);
        at = next;
    }
}

// An operation that nothing protects: kept, lost or torn.
static void op_gamble(struct sim_inode *inode, const struct sim_op *op)
{
    struct sim *sim = inode->disk->sim;
    uint64_t dice = sim_random(sim, 3);
    if (dice == 0) {
        op_apply(inode, op);
    } else if (dice == 1 || op->truncate || op->len <= SIM_SECTOR) {
        sim_count(sim, SIM_FAULT_LOST_WRITE);
    } else {
        sim_count(sim, SIM_FAULT_TORN_WRITE);
        op_tear(inode, op);
    }
}

// The process died, the kernel lives: what was written stays dirty; what was being written is
// there up to some byte.
static void op_outlive(struct sim_inode *inode, struct sim_op *op, int64_t now_ns)
{
    struct sim *sim = inode->disk->sim;
    op->actor = 0;
    if (op->end_ns <= now_ns)
        return;
    op->end_ns = now_ns;
    op->durable_ns = INT64_MAX;
    if (op->truncate || op->len == 0)
        return;
    uint64_t kept = sim_random(sim, op->len + 1);
    sim_count(sim, kept == 0 ? SIM_FAULT_LOST_WRITE : SIM_FAULT_TORN_WRITE);
    op->len = kept;
}

static bool may_be_lost(const struct sim_op *op, int64_t now_ns)
{
    return op->durable_ns > now_ns;
}

void sim_inode_crash(struct sim_inode *inode, bool power)
{
    struct sim *sim = inode->disk->sim;
    uint64_t longest = 0;
    LIST_FOR_SAFE (it, &inode->ops) {
        struct sim_op *op = CONTAINER_OF(it, struct sim_op, link);
        if (op->start_ns > sim->now_ns) { // it never began
            op_drop(inode, op);
            continue;
        }
        if (!power) {
            if (may_be_lost(op, sim->now_ns))
                op->durable_ns = INT64_MAX; // a sync under way did not finish
            op_outlive(inode, op, sim->now_ns);
            continue;
        }
        if (!op->truncate && op->offset + op->len > longest)
            longest = op->offset + op->len;
        if (may_be_lost(op, sim->now_ns))
            op_gamble(inode, op);
        else
            op_apply(inode, op);
        op_drop(inode, op);
    }
    // The length may have reached the disk although the data did not.
    if (power && longest > inode->size && sim_random(sim, 4) == 0)
        base_resize(inode, longest);
    inode->reserved_bytes = power ? 0 : inode->reserved_bytes;
    inode->locked_by = NULL;
    sim_inode_recount(inode);
}

void sim_inode_flip(struct sim_inode *inode, uint64_t offset, uint8_t bits)
{
    page_at(inode, (size_t)(offset / IO_BLOCK))[offset % IO_BLOCK] ^= bits;
}

// ---- capacity

static uint64_t blocks(uint64_t bytes)
{
    return (bytes + IO_BLOCK - 1) / IO_BLOCK * IO_BLOCK;
}

int sim_inode_grow(struct sim_inode *inode, uint64_t end)
{
    struct sim_disk *disk = inode->disk;
    uint64_t need = blocks(end);
    uint64_t capacity = disk->capacity_bytes;
    if (need <= inode->counted_bytes)
        return 0;
    if (disk->sim->now_ns < disk->full_until_ns && disk->full_bytes < capacity)
        capacity = disk->full_bytes;
    // Blocks of a removed file come back when its removal is on disk: a file system in need sees to
    // that.
    if (disk->used_bytes + (need - inode->counted_bytes) > capacity)
        sim_names_commit(disk);
    if (disk->used_bytes + (need - inode->counted_bytes) > capacity)
        return ERR_NOSPACE;
    disk->used_bytes += need - inode->counted_bytes;
    inode->counted_bytes = need;
    return 0;
}

void sim_inode_recount(struct sim_inode *inode)
{
    uint64_t size = sim_inode_size(inode, 0, INT64_MAX);
    uint64_t need = blocks(size > inode->reserved_bytes ? size : inode->reserved_bytes);
    inode->disk->used_bytes += need;
    inode->disk->used_bytes -= inode->counted_bytes;
    inode->counted_bytes = need;
}
