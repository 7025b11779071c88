// SPDX-License-Identifier: Apache-2.0
//
// Names of files: making, renaming, removing, listing, and the lock of the data directory. All
// relative to the root's descriptor, so the process's working directory never matters.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/real_int.h"

static int root_of(struct io *io)
{
    int fd = ((struct real_io *)io)->world->root_fd;
    ASSERT(fd >= 0);
    return fd;
}

static int open_dir(struct io *io, const char *path)
{
    return openat(root_of(io), path[0] == '\0' ? "." : path,
                  O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int real_rename(struct io *io, const char *from, const char *to)
{
    int root = root_of(io);
    return renameat(root, from, root, to) == 0 ? 0 : real_err(errno);
}

int real_remove(struct io *io, const char *path)
{
    int root = root_of(io);
    if (unlinkat(root, path, 0) == 0)
        return 0;
    if (errno == EISDIR || errno == EPERM)
        return unlinkat(root, path, AT_REMOVEDIR) == 0 ? 0 : real_err(errno);
    return real_err(errno);
}

int real_mkdir(struct io *io, const char *path)
{
    if (mkdirat(root_of(io), path, 0700) == 0 || errno == EEXIST)
        return 0;
    return real_err(errno);
}

int real_sync_dir(struct io *io, const char *path)
{
    int fd = open_dir(io, path);
    if (fd < 0)
        return real_err(errno);
    int rc = fsync(fd);
    // File systems without anything to sync in a directory say EINVAL; there is no stronger call.
    if (rc != 0 && errno == EINVAL)
        rc = 0;
    (void)close(fd);
    return rc == 0 ? 0 : ERR_SYNC;
}

struct names {
    char **items;
    size_t count;
    size_t cap;
};

static void names_add(struct names *names, const char *name)
{
    if (names->count == names->cap) {
        names->cap = names->cap == 0 ? 64 : names->cap * 2;
        names->items = mem_realloc(names->items, names->cap * sizeof *names->items);
    }
    names->items[names->count++] = mem_strdup(name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(DIR *dir, struct names *out)
{
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL)
            return errno == 0 ? 0 : real_err(errno);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            names_add(out, entry->d_name);
    }
}

int real_list(struct io *io, const char *path, int (*fn)(void *arg, const char *name), void *arg)
{
    struct names names = {0};
    int fd = open_dir(io, path);
    if (fd < 0)
        return real_err(errno);
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        int err = real_err(errno);
        (void)close(fd);
        return err;
    }
    int rc = read_names(dir, &names);
    (void)closedir(dir);
    if (names.count > 0)
        qsort(names.items, names.count, sizeof *names.items, by_name);
    for (size_t i = 0; i < names.count; i++) {
        if (rc == 0)
            rc = fn(arg, names.items[i]);
        mem_free(names.items[i]);
    }
    mem_free(names.items);
    return rc;
}

int64_t real_disk_free(struct io *io)
{
    struct statvfs st;
    if (fstatvfs(root_of(io), &st) != 0)
        return ERR_IO;
    return (int64_t)(st.f_bavail * st.f_frsize);
}

// flock belongs to the open file, not to the process: a second lock is refused even to ourselves,
// and the kernel lets it go when the process dies.
int real_lock(struct io *io, const char *path, const char *text, struct io_file **out)
{
    int fd = openat(root_of(io), path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return real_err(errno);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int err = errno == EWOULDBLOCK ? ERR_LOCKED : real_err(errno);
        (void)close(fd);
        return err;
    }
    struct io_file *file;
    int rc = real_file_create((struct real_io *)io, fd, false, &file);
    ASSERT(rc == 0);
    rc = real_lock_text(file, text);
    if (rc != 0) {
        io_file_close(file);
        return rc;
    }
    *out = file;
    return 0;
}

int real_lock_text(struct io_file *lock, const char *text)
{
    struct iovec iov = {.iov_len = strlen(text)};
    memcpy(&iov.iov_base, &text, sizeof text);
    int rc = iov.iov_len == 0 ? 0 : real_write(lock, 0, &iov, 1);
    return rc != 0 ? rc : real_truncate(lock, iov.iov_len);
}
