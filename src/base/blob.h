// SPDX-License-Identifier: Apache-2.0
//
// Refcounted bytes: record data on its way between socket, journal, segment and the fetches that
// wait for it. Written by its creator only, immutable once it has been shared. The count is atomic:
// shards, the journal and the workers each drop their own reference and the last one frees, which
// costs one atomic instead of a message home.
#ifndef WEIR_BASE_BLOB_H
#define WEIR_BASE_BLOB_H

#include <stdatomic.h>

#include "base/budget.h"
#include "base/buf.h"

struct blob {
    _Atomic(uint32_t) refs;
    struct budget *budget; // NULL: not accounted
    size_t size;           // capacity of data, bytes
    uint8_t data[];
};

// One reference for the caller. ERR_BUDGET or ERR_NOMEM; *out untouched then. budget may be NULL.
int blob_create(size_t size, struct budget *budget, struct blob **out);
// The same, but never refused: takes even beyond the budget's limit (budget_force), aborts without
// memory. For small sizes of our own.
struct blob *blob_create_forced(size_t size, struct budget *budget);
struct blob *blob_ref(struct blob *b); // returns b
void blob_unref(struct blob *b);       // accepts NULL

// Bytes whose number is not known before: written like any buffer, from out->len on, and made a
// blob without a copy. What it turns out to need is taken from the budget by force; out is empty
// then and may be begun again.
void blob_build_begin(struct buf *out, size_t max);
#define BLOB_BUILD_AT sizeof(struct blob) // where in the buffer its first byte is
struct blob *blob_build_end(struct buf *out, struct budget *budget); // out->err is 0

// A piece of a blob; holds a reference where the owner says so.
struct blob_piece {
    struct blob *blob;
    size_t off;
    size_t len;
};
struct slice blob_piece_slice(struct blob_piece p);

#endif
