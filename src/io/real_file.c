// SPDX-License-Identifier: Apache-2.0
//
// Files of a worker: plain blocking calls relative to the root's descriptor. A durable file is
// opened with O_DSYNC and, where the file system takes it, O_DIRECT: the write goes to the device
// once and returns when it is there. Where O_DIRECT is refused (tmpfs, some overlays; at open or
// only at the first write) O_DSYNC alone stays: slower, never weaker.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/real_int.h"

int real_file_create(struct real_io *io, int fd, bool direct, struct io_file **out)
{
    struct real_file *file = mem_zalloc(sizeof *file);
    file->base.ops = &real_ops;
    file->io = io;
    file->fd = fd;
    file->direct = direct;
    list_push_back(&io->files, &file->link);
    *out = &file->base;
    return 0;
}

static int open_flags(int flags)
{
    int how = O_CLOEXEC | O_NOFOLLOW;
    how |= (flags & (IO_WRITE | IO_DURABLE)) != 0 ? O_RDWR : O_RDONLY;
    if ((flags & IO_CREATE) != 0)
        how |= O_CREAT;
    if ((flags & IO_EXCLUSIVE) != 0)
        how |= O_EXCL;
    if ((flags & IO_DURABLE) != 0)
        how |= O_DSYNC;
    return how;
}

int real_open(struct io *base, const char *path, int flags, struct io_file **out)
{
    struct real_io *io = (struct real_io *)base;
    ASSERT(io->world->root_fd >= 0);
    int how = open_flags(flags);
    bool direct = (flags & IO_DURABLE) != 0;
    int fd = openat(io->world->root_fd, path, direct ? how | O_DIRECT : how, 0600);
    if (fd < 0 && direct && errno == EINVAL) {
        direct = false;
        // The refused attempt may have made the file already.
        fd = openat(io->world->root_fd, path, how & ~O_EXCL, 0600);
    }
    if (fd < 0)
        return real_err(errno);
    int rc = real_file_create(io, fd, direct, out);
    if (rc == 0)
        ((struct real_file *)*out)->bulk = !direct && (flags & IO_BULK) != 0;
    return rc;
}

void real_file_close(struct io_file *base)
{
    struct real_file *file = (struct real_file *)base;
    list_remove(&file->link);
    (void)close(file->fd);
    mem_free(file);
}

int64_t real_file_size(struct io_file *base)
{
    struct stat st;
    if (fstat(((struct real_file *)base)->fd, &st) != 0)
        return real_err(errno);
    return st.st_size;
}

// Some file systems take O_DIRECT at open and refuse it, or our alignment, at the first transfer.
static bool direct_refused(struct real_file *file)
{
    if (errno != EINVAL || !file->direct)
        return false;
    int how = fcntl(file->fd, F_GETFL);
    file->direct = false;
    return how >= 0 && fcntl(file->fd, F_SETFL, how & ~O_DIRECT) == 0;
}

int64_t real_read(struct io_file *base, uint64_t offset, void *buf, size_t len)
{
    struct real_file *file = (struct real_file *)base;
    size_t done = 0;
    if (offset > INT64_MAX || len > INT64_MAX - offset)
        return ERR_INVALID;
    while (done < len) {
        ssize_t n = pread(file->fd, (char *)buf + done, len - done, (off_t)(offset + done));
        if (n == 0)
            break;
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR && !direct_refused(file))
            return ERR_IO;
        // A direct read stops short only at the end of the file; going on there would be unaligned.
        if (n > 0 && file->direct && (size_t)n % IO_BLOCK != 0)
            break;
    }
    return (int64_t)done;
}

static int write_error(void)
{
    int err = real_err(errno);
    return err == ERR_NOSPACE || err == ERR_LIMIT ? err : ERR_IO;
}

// The rest of one iovec after a partial write.
static int write_rest(struct real_file *file, uint64_t offset, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = pwrite(file->fd, data, len, (off_t)offset);
        if (n < 0) {
            if (errno != EINTR && !direct_refused(file))
                return write_error();
            continue;
        }
        data += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

// What is left of the iovecs behind the first `skip` bytes.
static int write_behind(struct real_file *file, uint64_t offset, const struct iovec *iov,
                        int iov_count, size_t skip)
{
    for (int i = 0; i < iov_count; i++) {
        size_t len = iov[i].iov_len;
        if (skip < len) {
            int rc = write_rest(file, offset, (const char *)iov[i].iov_base + skip, len - skip);
            if (rc != 0)
                return rc;
            offset += len - skip;
            skip = 0;
        } else {
            skip -= len;
        }
    }
    return 0;
}

int real_write(struct io_file *base, uint64_t offset, const struct iovec *iov, int iov_count)
{
    struct real_file *file = (struct real_file *)base;
    int at = 0;
    size_t total = io_iov_len(iov, iov_count);
    if (offset > INT64_MAX || total > INT64_MAX - offset)
        return ERR_INVALID;
    if (file->bulk && total >= REAL_BULK_MIN_BYTES) {
        size_t done;
        int rc = real_write_bulk(file, offset, iov, iov_count, &done);
        return rc != 0 ? rc : write_behind(file, offset + done, iov, iov_count, done);
    }
    while (at < iov_count) {
        int count = iov_count - at < IOV_MAX ? iov_count - at : IOV_MAX;
        ssize_t n = pwritev(file->fd, iov + at, count, (off_t)offset);
        if (n < 0) {
            if (errno != EINTR && !direct_refused(file))
                return write_error();
            continue;
        }
        size_t left = (size_t)n;
        offset += left;
        while (at < iov_count && left >= iov[at].iov_len)
            left -= iov[at++].iov_len;
        if (left > 0) {
            size_t rest = iov[at].iov_len - left;
            int rc = write_rest(file, offset, (const char *)iov[at].iov_base + left, rest);
            if (rc != 0)
                return rc;
            offset += rest;
            at++;
        }
    }
    return 0;
}

// After a failed fdatasync the kernel may have dropped the dirty pages, so a second one that
// succeeds proves nothing: the caller is told to stop.
int real_sync(struct io_file *base)
{
    return fdatasync(((struct real_file *)base)->fd) == 0 ? 0 : ERR_SYNC;
}

int real_truncate(struct io_file *base, uint64_t size_bytes)
{
    struct real_file *file = (struct real_file *)base;
    if (size_bytes > INT64_MAX)
        return ERR_INVALID;
    while (ftruncate(file->fd, (off_t)size_bytes) != 0) {
        if (errno != EINTR)
            return real_err(errno);
    }
    return 0;
}

int real_reserve(struct io_file *base, uint64_t offset, uint64_t len_bytes)
{
    struct real_file *file = (struct real_file *)base;
    if (offset > INT64_MAX || len_bytes > INT64_MAX - offset)
        return ERR_INVALID;
    if (len_bytes == 0)
        return 0;
    while (fallocate(file->fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len_bytes) != 0) {
        if (errno == EOPNOTSUPP || errno == ENOSYS)
            return 0;
        if (errno != EINTR)
            return write_error();
    }
    return 0;
}
