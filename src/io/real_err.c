// SPDX-License-Identifier: Apache-2.0
//
// errno as our errors: one table. What is not in it is ERR_IO: the caller can do nothing better
// with it, and a wrong guess would be worse than a plain word.
#include <errno.h>
#include <stddef.h>

#include "base/err.h"
#include "io/real_int.h"

static const struct {
    int errnum;
    int err;
} table[] = {
    {ENOENT, ERR_NOT_FOUND},
    {EEXIST, ERR_EXISTS},
    {ENOTEMPTY, ERR_EXISTS},
    {ENOSPC, ERR_NOSPACE},
    {EDQUOT, ERR_NOSPACE},
    {EACCES, ERR_PERMISSION},
    {EPERM, ERR_PERMISSION},
    {EROFS, ERR_PERMISSION},
    {EINVAL, ERR_INVALID},
    {ENOTDIR, ERR_INVALID},
    {EISDIR, ERR_INVALID},
    {ELOOP, ERR_INVALID}, // O_NOFOLLOW met a symbolic link
    {ENAMETOOLONG, ERR_INVALID},
    {EADDRNOTAVAIL, ERR_INVALID},
    {EFBIG, ERR_LIMIT},
    {EMFILE, ERR_LIMIT},
    {ENFILE, ERR_LIMIT},
    {ENOMEM, ERR_NOMEM},
    {ENOBUFS, ERR_NOMEM},
    {EAGAIN, ERR_AGAIN},
    {ENOTCONN, ERR_AGAIN}, // the connection is still being made
    {ECONNRESET, ERR_RESET},
    {EPIPE, ERR_RESET},
    {ECONNABORTED, ERR_RESET},
    {ECONNREFUSED, ERR_REFUSED},
    {ETIMEDOUT, ERR_TIMEOUT},
    {EADDRINUSE, ERR_ADDRESS_IN_USE},
    {EAFNOSUPPORT, ERR_UNSUPPORTED},
    {EOPNOTSUPP, ERR_UNSUPPORTED},
    {ENOSYS, ERR_UNSUPPORTED},
};

int real_err(int errnum)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].errnum == errnum)
            return table[i].err;
    }
    return ERR_IO;
}
